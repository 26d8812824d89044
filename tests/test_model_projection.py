"""Where parts lie in a picture: a body that was posed and seen by an affine camera is found again."""

from __future__ import annotations

import pytest
import torch

from lca_mini.body import bone_transforms, load_body, rest_joints, sample_anchors
from lca_mini.body.lbs import blend_transforms
from lca_mini.model.projection import PARTS, BodyProjection, look, seen_at

SIDE = 48


@pytest.fixture(scope="module")
def world() -> dict[str, torch.Tensor]:
    """A posed body, seen from the front: 2 m are a picture's side; its map holds what its anchors show, nearest first."""
    body = load_body()
    anchors = sample_anchors(body, 1024)
    pose = torch.zeros(1, 55, 3)
    pose[0, 16, 2], pose[0, 4, 0], pose[0, 15, 1] = -0.9, 0.7, 0.5  # an arm down, a knee bent, the head turned
    joints = rest_joints(body, torch.zeros(1, body.shapedirs.shape[-1]))
    blended = blend_transforms(anchors.skin_weights, bone_transforms(pose, joints, body.parents))[0]
    posed = (blended[..., :3] @ anchors.points[..., None])[..., 0] + blended[..., 3]
    middle = (posed.amax(0) + posed.amin(0)) / 2
    at = torch.stack([0.5 + (posed - middle)[:, 0] / 2, 0.5 - (posed - middle)[:, 1] / 2], dim=-1)
    maps = torch.zeros(1, 5, SIDE, SIDE)
    maps[:, 4] = 0.02
    for index in posed[:, 2].argsort():
        column, row = (at[index] * SIDE).long()
        maps[0, :3, row, column], maps[0, 3, row, column] = anchors.points[index], 1.0
    return {"at": at, "maps": maps, "projection": BodyProjection(anchors, body.joint_template), "anchors": anchors,
            "posed": posed, "blended": blended}  # fmt: skip


def test_all_joints_but_none_twice() -> None:
    members = [joint for part, _, _ in PARTS for joint in part]
    assert sorted(members) == list(range(55))


def test_anchors_are_seen_where_they_are(world: dict) -> None:
    seen, _ = world["projection"].seen(world["maps"])
    error = (seen_at(seen.affine[0], world["anchors"].points) - world["at"]).norm(dim=-1)
    assert error.median() < 0.5 / SIDE and error.quantile(0.95) < 2 / SIDE
    assert seen.evidence.shape == (1, 1024) and (seen.evidence[0].median() > 5)


def test_it_is_known_from_where_a_part_is_seen(world: dict) -> None:
    seen, affine = world["projection"].seen(world["maps"])
    forward, size = look(seen.affine[0])
    turned = (world["blended"][:, :, :3] @ forward[..., None])[..., 0]  # canonical to posed axes
    assert (turned[:, 2] < -0.9).float().mean() > 0.9  # the camera stands before the body and looks along -z
    assert (size - 0.5).abs().median() < 0.05
    points = world["anchors"].points[None]
    assert (world["projection"].towards(affine, points)[0] * forward).sum(-1).median() > 0.99


def test_cells_that_are_wrong_weigh_little_and_unsure_ones_nothing(world: dict) -> None:
    projection, maps = world["projection"], world["maps"].clone()
    right = projection.seen(maps)[0].affine
    wrong = maps.clone()
    wrong[0, :3, ::5, ::5] *= -1  # mirrored
    unsure = wrong.clone()
    unsure[0, 4, ::5, ::5] = 0.5
    errors = [(seen_at(projection.seen(m)[0].affine, world["anchors"].points) - seen_at(right, world["anchors"].points))
              .norm(dim=-1).mean() for m in (wrong, unsure)]  # fmt: skip
    assert errors[0] < 1.5 / SIDE and errors[1] < 0.3 * errors[0]


def test_an_empty_picture_says_nothing(world: dict) -> None:
    maps = torch.zeros_like(world["maps"])
    maps[:, 4] = 0.5
    seen, _ = world["projection"].seen(maps)
    assert torch.isfinite(seen.affine).all() and not seen.evidence.any()
