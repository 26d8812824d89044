"""Cameras: where they stand, what they frame, and that a crop is the same picture enlarged."""

from __future__ import annotations

import math

import pytest
import torch

from lca_mini.capture.chance import normals, uniforms
from lca_mini.capture.rigs import (
    DOME_CENTRE, NOMINAL, crop_camera, dome_cameras, frame_person, intrinsics, look_at, orbit_cameras, project,
    relative_box, studio_cameras,
    upper_body, wild_cameras,
)  # fmt: skip


def test_chance_belongs_to_the_seed():
    one = uniforms(torch.tensor([5]), 3, 4)
    many = uniforms(torch.tensor([9, 5, 5]), 3, 10)
    assert torch.equal(many[1, :4], one[0]) and torch.equal(many[1], many[2]) and not torch.equal(many[0], many[1])
    assert not torch.equal(uniforms(torch.tensor([5]), 4, 4), one)
    u, n = uniforms(torch.arange(4000), 0, 8), normals(torch.arange(4000), 0, 8)
    assert 0 <= u.min() and u.max() < 1 and abs(u.mean() - 0.5) < 0.01 and abs(u.var() - 1 / 12) < 0.003
    assert abs(n.mean()) < 0.02 and abs(n.std() - 1) < 0.02
    assert (torch.corrcoef(u.T) - torch.eye(8)).abs().max() < 0.08


def test_look_at():
    view = look_at(torch.tensor([0.0, 1, 3]), torch.tensor([0.0, 1, 0]), torch.tensor([0.0, 1, 0]))
    points = torch.tensor([[0.0, 1, 0], [1, 1, 0], [0, 2, 0]])
    seen = points @ view[:3, :3].T + view[:3, 3]
    torch.testing.assert_close(seen, torch.tensor([[0.0, 0, 3], [1, 0, 3], [0, -1, 3]]))  # x right, y down
    torch.testing.assert_close(torch.linalg.det(view[:3, :3]), torch.tensor(1.0))


def test_wild_cameras():
    seeds, centres = torch.arange(40), torch.randn(40, 12, 3, generator=torch.Generator().manual_seed(0)) * 0.05
    viewmats, Ks = wild_cameras(seeds, centres)
    again, _ = wild_cameras(seeds[[7]], centres[[7]])
    torch.testing.assert_close(again[0], viewmats[7])
    middle = project(centres[:, :, None], viewmats, Ks)
    assert (middle - NOMINAL / 2).abs().max() < 0.12 * NOMINAL
    eye = -(viewmats[..., :3, :3].mT @ viewmats[..., :3, 3:])[..., 0]
    distance = (eye - centres).norm(dim=-1)
    assert distance.min() > 1.9 and distance.max() < 4.8
    away = eye - centres
    assert torch.atan2(away[..., 0], away[..., 2]).abs().max() < math.radians(71)
    assert (eye[:, 1:] - eye[:, :-1]).norm(dim=-1).max() < 0.8  # one path, not a dozen places
    field = 2 * torch.atan(NOMINAL / 2 / Ks[..., 0, 0])
    assert field.min() >= math.radians(34.9) and field.max() <= math.radians(60.1)


@pytest.mark.parametrize("count", [12, 40, 200])
def test_a_dome_is_calibrated_and_any_few_of_its_cameras_surround(count):
    viewmats, Ks = dome_cameras(count)
    away = -(viewmats[:, :3, :3].mT @ viewmats[:, :3, 3:])[..., 0] - torch.tensor(DOME_CENTRE)
    distance = away.norm(dim=-1)
    assert distance.min() > 2.5 and distance.max() < 3.5 and len(viewmats.flatten(1).unique(dim=0)) == count
    middle = project(torch.tensor(DOME_CENTRE).expand(count, 1, 3), viewmats, Ks)
    assert (middle - NOMINAL / 2).abs().max() < 1e-2
    elevation = torch.asin(away[:, 1] / distance)
    assert elevation.min() > math.radians(-21) and elevation.max() < math.radians(51)
    drawn, _ = studio_cameras(torch.arange(50), 8, count)
    assert (drawn[:, :, None] == viewmats).all((-1, -2)).any(-1).all()  # always these cameras
    eye = -(drawn[..., :3, :3].mT @ drawn[..., :3, 3:])[..., 0] - torch.tensor(DOME_CENTRE)
    gaps = torch.atan2(eye[..., 0], eye[..., 2]).sort(dim=1).values
    gaps = torch.cat([gaps.diff(dim=1), gaps[:, :1] + 2 * math.pi - gaps[:, -1:]], 1)
    assert gaps.max() < math.radians(120)
    with pytest.raises(ValueError, match="at least one"):
        dome_cameras(0)


def test_crops():
    g = torch.Generator().manual_seed(1)
    points = torch.randn(5, 60, 3, generator=g) * torch.tensor([0.3, 0.8, 0.2])
    viewmats, Ks = studio_cameras(torch.arange(5), 1)
    viewmats, Ks = viewmats[:, 0], Ks[:, 0]
    box = frame_person(points, viewmats, Ks, 0.08)
    inside = project(points, viewmats, crop_camera(Ks, box, 256))
    low, high = inside.amin(1), inside.amax(1)
    side = (high - low).amax(1)
    torch.testing.assert_close(side, torch.full((5,), 256 / 1.16), atol=0.05, rtol=0)
    torch.testing.assert_close((low + high) / 2, torch.full((5, 2), 128.0), atol=0.05, rtol=0)
    jitter = torch.rand(5, 3, generator=g) * 2 - 1
    moved = project(points, viewmats, crop_camera(Ks, frame_person(points, viewmats, Ks, 0.08, jitter), 256))
    assert moved.min() >= 0 and moved.max() <= 256 and not torch.allclose(moved, inside, atol=1.0)

    head = frame_person(points[:, :10] * 0.2, viewmats, Ks, 0.25)
    fraction = relative_box(head, box)
    whole = frame_person(points[:, :10] * 0.2, viewmats, crop_camera(Ks, box, 256), 0.25)
    torch.testing.assert_close(fraction * 256, whole, atol=0.02, rtol=0)
    close = upper_body(box, head)
    assert (close[:, 2] <= box[:, 2]).all()
    assert (close[:, 1] - close[:, 2] / 2 < head[:, 1] - head[:, 2] / 2 + 1e-3).all()


def test_orbit_frames_the_body():
    viewmats, Ks = orbit_cameras(torch.tensor([0.0, 0.1, 0.0]), 0.9, torch.linspace(-3, 3, 7))
    ends = torch.tensor([[0.0, 1.0, 0], [0.0, -0.8, 0]]).expand(7, 2, 3)
    pixels = project(ends, viewmats, Ks)
    assert pixels.min() > 0 and pixels.max() < NOMINAL and (pixels[:, 1, 1] - pixels[:, 0, 1]).min() > 0.8 * NOMINAL
    torch.testing.assert_close(intrinsics(torch.tensor(math.pi / 2), 100)[0, 0], torch.tensor(50.0))
