"""The wild: each fault does what it says and nothing else, and can be switched off; trackers err by stated amounts."""

from __future__ import annotations

import io
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from PIL import Image

from lca_mini.body import bone_transforms, load_body, rest_joints
from lca_mini.capture.film import sample_people
from lca_mini.capture.jpeg import _quantise, jpeg
from lca_mini.capture.motion import random_frames
from lca_mini.capture.shading import Plate, resolve
from lca_mini.capture.wild import CLEAN, Tracker, Wild, _streak, as_the_phone_sees, occlude, photograph, tracked
from lca_mini.types import Cameras

SEEDS = torch.arange(40, 48)


@pytest.fixture(scope="module")
def plate() -> Plate:
    """Discs, half covered at the rim, of a smooth colour: [8 4 . 64 64]."""
    at = (torch.arange(64) + 0.5) / 64 - 0.5
    cover = ((0.3 - (at[:, None].square() + at.square()).sqrt()) * 64 + 0.5).clamp(0, 1).expand(8, 4, 1, 64, 64)
    color = 0.3 + 0.4 * torch.stack([at[:, None].expand(64, 64), at.expand(64, 64), 0 * at.expand(64, 64)])
    return Plate(color * cover, cover, color * cover)


def test_without_faults_a_photograph_is_the_resolved_plate(plate):
    torch.testing.assert_close(photograph(plate, None, SEEDS, 61, CLEAN), resolve(plate)[0])


@pytest.mark.parametrize("fault", ["matte", "motion_blur", "exposure", "white_balance", "grain", "jpeg"])
def test_each_fault_changes_pictures_mildly_and_keeps_the_far_background_white(plate, fault):
    clean = resolve(plate)[0]
    wild = replace(CLEAN, **{fault: getattr(Wild(), fault)})
    made = photograph(plate, None, SEEDS, 61, wild)
    error = (made - clean).square().mean()
    assert 1e-7 < float(error) < 2e-3 and 0 <= float(made.min()) and float(made.max()) <= 1
    assert (made[..., :6, :6] == 1).all() and (made[..., 32, :4] == 1).all()
    torch.testing.assert_close(made[2:4], photograph(plate[2:4], None, SEEDS[2:4], 61, wild))  # of the seed alone


def test_the_person_shines_through_white_only_where_the_matte_errs(plate):
    made = photograph(plate, None, SEEDS, 61, replace(CLEAN, matte=1.0))
    wrong = ((made - resolve(plate)[0]).abs().amax(2, keepdim=True) > 0.02).float()
    away = torch.nn.functional.avg_pool2d(plate.cover.flatten(0, 1), 15, 1, 7).unflatten(0, (8, 4))
    assert 0.005 < float(wrong.mean()) and float(wrong[(away == 0) | (away > 0.999)].sum()) == 0


def test_objects_hide_part_of_a_person_but_no_face(plate):
    boxes = torch.tensor([0.5, 0.2, 0.14]).expand(8, 4, 3)
    everything = torch.tensor([0.5, 0.5, 1.0]).expand(8, 4, 3)
    hidden, where = occlude(plate, SEEDS, boxes, everything, 1.0)
    assert torch.equal(hidden.cover, plate.cover * (1 - where)) and float(where.mean((2, 3, 4)).min()) > 0
    face = occlude(plate, SEEDS, boxes, boxes * torch.tensor([1, 1, 0.7]), 1.0)[1]
    assert float(face.max()) == 0
    many = plate[:1].map(lambda t: t[..., ::4, ::4].expand(500, -1, -1, -1, -1))
    some = occlude(many, torch.arange(500), boxes[:1].expand(500, 4, 3), everything[:1].expand(500, 4, 3), 0.2)[1]
    assert 0.15 < float((some.amax((2, 3, 4)) > 0).float().mean()) < 0.25
    # the same object at the same place in a picture of a part
    part = torch.tensor([0.5, 0.75, 0.5]).expand(8, 4, 3)
    near = torch.nn.functional.avg_pool2d(occlude(plate, SEEDS, boxes, part, 1.0)[1].flatten(0, 1), 2)
    assert float((near[:, 0] - where.flatten(0, 1)[:, 0, 32:, 16:48]).abs().mean()) < 0.02


def test_jpeg_loses_little_at_high_quality_and_more_at_low():
    at = torch.linspace(0, 1, 40)
    picture = torch.stack([at[:, None] * at, at[:, None].expand(40, 40), (9 * at).sin().expand(40, 40) / 2 + 0.5])[None]
    bytes_ = (picture[0].movedim(0, -1) * 255).round().to(torch.uint8).numpy()
    distance = lambda a, b: -10 * float((a - b).square().mean().log10())  # noqa: E731
    ours, theirs = [], []
    for quality in (95, 75, 30):
        file = io.BytesIO()
        Image.fromarray(bytes_).save(file, "JPEG", quality=quality, subsampling="4:2:0")
        real = torch.from_numpy(np.array(Image.open(file))).movedim(-1, 0)[None] / 255
        made = jpeg(picture, torch.tensor([float(quality)]))
        ours.append(distance(made, picture))
        theirs.append(distance(real, picture))
        assert distance(made, real) > theirs[-1]  # nearer to a real codec than that is to the picture
    assert ours == sorted(ours, reverse=True) and max(abs(a - b) for a, b in zip(ours, theirs)) < 1.5, (ours, theirs)
    grey = torch.full((1, 3, 16, 16), 128 / 255)
    torch.testing.assert_close(jpeg(grey, torch.tensor([50.0])), grey, atol=2e-5, rtol=0)


def test_blocks_are_rounded_as_two_cosine_transforms_of_8_by_8_do():
    planes = 200 * torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(0)) - 100
    table = torch.tensor([3.0, 40.0])[:, None, None] + torch.arange(64.0).view(8, 8)
    k = torch.arange(8.0)
    cosines = torch.cos((2 * k + 1) * k[:, None] * (torch.pi / 16)) / 2
    cosines[0] /= 2**0.5
    made = _quantise(planes, table)
    for n, d, y, x in ((0, 0, 0, 0), (1, 2, 8, 16), (1, 0, 0, 8)):
        block = planes[n, d, y : y + 8, x : x + 8]
        rounded = (cosines @ block @ cosines.T / table[n]).round() * table[n]
        torch.testing.assert_close(made[n, d, y : y + 8, x : x + 8], cosines.T @ rounded @ cosines, atol=1e-3, rtol=0)


def test_only_moving_pictures_are_blurred_and_along_their_line():
    dot = torch.zeros(3, 4, 15, 15)
    dot[:, :, 7, 7] = 1
    made = _streak(dot.clone(), torch.tensor([0.0, 4, 4]), torch.tensor([0.0, 0, torch.pi / 2]))
    assert torch.equal(made[0], dot[0])
    across = made[1, :, 7]
    torch.testing.assert_close(across.sum(-1), torch.ones(4))
    assert (across[:, 5:10] > 0.05).all() and (across[:, 2:4] == 0).all() and made[1].sum() == pytest.approx(4)
    torch.testing.assert_close(made[2], made[1].mT, atol=1e-6, rtol=0)


def test_trackers_err_by_one_to_two_centimetres():
    frames = random_frames(SEEDS, 6, "wild")
    cameras = Cameras(torch.eye(4).expand(8, 6, 1, 4, 4), torch.eye(3).expand(8, 6, 1, 3, 3), 64, 64)
    betas, body = torch.zeros(8, 64), load_body()
    motion, shape, seen = tracked(SEEDS, frames, betas, cameras, Tracker())

    def joints(m, b):
        rest = rest_joints(body, b[:, None].expand(8, 6, -1), m.actions)
        moved = bone_transforms(m.pose, rest, body.parents)
        return (moved[..., :3, :3] @ rest[..., None])[..., 0] + moved[..., :3, 3] + m.transl[..., None, :]

    error = (joints(motion, shape) - joints(frames, betas)).norm(dim=-1)
    assert 0.012 < float(error[:, :, :22].mean()) < 0.024, float(error[:, :, :22].mean())
    assert float(error.max()) < 0.15
    assert 0.001 < float((seen.Ks - cameras.Ks).abs().max()) < 0.03 and torch.equal(seen.viewmats, cameras.viewmats)
    assert torch.equal(motion.actions, frames.actions)
    none = Tracker(*[0.0] * len(fields(Tracker)))
    same, shape, seen = tracked(SEEDS, frames, betas, cameras, none)
    torch.testing.assert_close(joints(same, shape), joints(frames, betas), atol=1e-5, rtol=0)
    assert torch.equal(seen.Ks, cameras.Ks)


def test_samples_are_tracked_on_demand_and_targets_stay_clean():
    sizes = dict(references=2, targets=1, image_size=32, face_size=16)
    seeds = torch.tensor([11, 12])
    framed = replace(CLEAN, waist_up=Wild().waist_up)
    true, clean = sample_people(seeds, "wild", **sizes), sample_people(seeds, "wild", **sizes, wild=framed)
    wrong = sample_people(seeds, "wild", **sizes, tracker=Tracker())
    assert torch.equal(true.images, wrong.images) and torch.equal(true.targets, wrong.targets)
    assert float((true.pose - wrong.pose).abs().max()) > 0.01 and not torch.equal(true.betas, wrong.betas)
    assert not torch.equal(true.images, clean.images) and torch.equal(true.target_masks, clean.target_masks)
    lit = sample_people(seeds, "wild", **sizes, wild=replace(framed, environment=Wild().environment))
    assert torch.equal(true.targets, lit.targets)
    upper = sample_people(seeds, "wild", **sizes, wild=replace(CLEAN, waist_up=1.0))
    whole = sample_people(seeds, "wild", **sizes, wild=CLEAN)
    assert (upper.face_boxes[..., 2] > 1.4 * whole.face_boxes[..., 2]).any()


def test_a_video_from_the_waist_up_has_such_targets_too():
    sizes = dict(references=1, targets=8, image_size=32, face_size=16)
    whole, upper = (
        sample_people(torch.tensor([11]), "wild", **sizes, wild=replace(CLEAN, waist_up=share)) for share in (0.0, 1.0)
    )
    zoom = upper.cameras.Ks[..., 0, 0] / whole.cameras.Ks[..., 0, 0]
    assert bool((zoom > 0.999).all()) and bool((zoom > 1.2).any())


def test_the_world_turns_until_the_phone_stands_in_front_and_every_camera_sees_the_same():
    body, count = load_body(), 6
    generator = torch.Generator().manual_seed(0)
    pose, transl = 0.3 * torch.randn(2, count, 55, 3, generator=generator), torch.randn(2, count, 3, generator=generator)
    betas = 0.5 * torch.randn(2, body.shapedirs.shape[-1], generator=generator)
    viewmats = torch.eye(4).repeat(2, count, 1, 1)
    azimuth = torch.tensor([[0.8], [-2.5]]) + 0.1 * torch.randn(2, count, generator=generator)
    eye = torch.stack([3 * azimuth.sin(), 0 * azimuth, 3 * azimuth.cos()], -1)
    viewmats[..., :3, :3] = torch.stack([
        torch.stack([azimuth.cos(), 0 * azimuth, -azimuth.sin()], -1), torch.tensor([0.0, -1, 0]).expand(2, count, 3), -eye / 3], -2)
    viewmats[..., :3, 3] = -(viewmats[..., :3, :3] @ eye[..., None])[..., 0]
    joints = rest_joints(body, betas, None)
    turned, moved, cameras = as_the_phone_sees(pose, transl, joints[:, 0], viewmats, viewmats[:, :, None])

    def seen(pose, transl, cameras):
        points = bone_transforms(pose, joints[:, None].expand(pose.shape), body.parents)
        points = (points[..., :3, :3] @ joints[:, None, :, :, None])[..., 0] + points[..., :3, 3] + transl[:, :, None]
        return torch.einsum("btij,btpj->btpi", cameras[..., :3, :3], points) + cameras[..., None, :3, 3]

    torch.testing.assert_close(seen(turned, moved, cameras[:, :, 0]), seen(pose, transl, viewmats), atol=1e-5, rtol=0)
    assert torch.equal(turned[:, :, 1:], pose[:, :, 1:])
    ahead = cameras[:, :, 0, 2, :3].mean(1)
    assert ahead[:, 0].abs().max() < 1e-6 and ahead[:, 2].max() < -0.9


def test_wild_samples_know_the_world_as_their_phone_sees_it():
    sample = sample_people(SEEDS[:2], "wild", 6, 2, 32, 32)
    eyes = -(sample.cameras.viewmats[:, :, 0, :3, :3].mT @ sample.cameras.viewmats[:, :, 0, :3, 3:])[..., 0]
    assert (torch.atan2(eyes[..., 0], eyes[..., 2]).abs() < 0.35).all()  # a path of 20 degrees, and steps to the side
