"""Linear blend skinning of points and of Gaussians.

Enters: rest-pose points, joint rotations as axis-angle, rest joints. Leaves: posed points or Gaussians.
Part of the paper: "skinning" in PAPER.md. What differs: nothing that is known.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from lca_mini.types import Gaussians


def rotation_matrices(axis_angle: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Rodrigues' formula; smooth at zero."""
    angle2 = axis_angle.square().sum(-1)[..., None, None]
    small = angle2 < 1e-8
    angle = torch.where(small, torch.ones_like(angle2), angle2).sqrt()
    a = torch.where(small, 1 - angle2 / 6, torch.sin(angle) / angle)
    b = torch.where(small, 0.5 - angle2 / 24, (1 - torch.cos(angle)) / angle.square())
    x, y, z = axis_angle.unbind(-1)
    zero = torch.zeros_like(x)
    k = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    return torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device) + a * k + b * (k @ k)


def gaze_pose(gaze: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 2 3"]:
    """Axis-angle of the left and right eye joints for (yaw, pitch) of each, radians (psi): yaw about +y, pitch up."""
    yaw, pitch = gaze.unflatten(-1, (2, 2)).unbind(-1)
    half_y, half_p = yaw / 2, -pitch / 2
    w = torch.cos(half_y) * torch.cos(half_p)
    v = torch.stack(
        [torch.cos(half_y) * torch.sin(half_p), torch.sin(half_y) * torch.cos(half_p), -torch.sin(half_y) * torch.sin(half_p)],
        -1,
    )
    s = v.norm(dim=-1).clamp(min=1e-9)
    return v * (2 * torch.atan2(s, w) / s)[..., None]


def eye_gaze(eyes: Float[Tensor, "*batch 2 3"]) -> Float[Tensor, "*batch 4"]:
    """psi of the two eye joints' axis-angle: where their +z axis points; the inverse of `gaze_pose`."""
    x, y, z = rotation_matrices(eyes)[..., 2].unbind(-1)
    return torch.stack([torch.atan2(x, z), torch.asin(y.clamp(-1, 1))], dim=-1).flatten(-2)


def with_gaze(pose: Float[Tensor, "*batch 55 3"], gaze: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 55 3"]:
    """The SMPL-X pose whose eye joints look along psi."""
    return torch.cat([pose[..., :23, :], gaze_pose(gaze), pose[..., 25:, :]], dim=-2)


@lru_cache(maxsize=8)
def _tree(parents: tuple[int, ...], device: torch.device) -> tuple[Tensor, list[tuple[Tensor, Tensor]], Tensor]:
    """Parents of all but the root; per depth its joints and where their parents stand in the depth above; the way back."""
    depth: list[int] = []
    for parent in parents:
        depth.append(0 if parent < 0 else depth[parent] + 1)
    levels = [[j for j, d in enumerate(depth) if d == level] for level in range(max(depth) + 1)]
    above = [[]] + levels[:-1]
    steps = [(level, [up.index(parents[j]) for j in level if parents[j] >= 0]) for level, up in zip(levels, above)]
    order = [j for level in levels for j in level]

    def tensor(values: list[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.long, device=device)

    back = [order.index(j) for j in range(len(parents))]
    return tensor(list(parents[1:])), [(tensor(level), tensor(up)) for level, up in steps], tensor(back)


def bone_transforms(
    pose: Float[Tensor, "*batch J 3"], joints: Float[Tensor, "*batch J 3"], parents: tuple[int, ...]
) -> Float[Tensor, "*batch J 4 4"]:
    """Rest to posed transform of each bone, column vectors (SMPL, eq. 3 and 4).

    Args:
        pose: axis-angle, radians, each relative to its parent.
        joints: rest pose, metres.
        parents: index of each joint's parent, -1 for the root; parents come before children.
    """
    joints = joints.expand(pose.shape)
    parent_of, levels, back = _tree(parents, pose.device)
    step = torch.cat([joints[..., :1, :], joints[..., 1:, :] - joints.index_select(-2, parent_of)], -2)
    local = torch.cat([rotation_matrices(pose), step[..., None]], -1)
    world = [local[..., :1, :, :]]
    for level, above in levels[1:]:  # all joints of one depth at once
        up, move = world[-1].index_select(-3, above), local.index_select(-3, level)
        moved = up[..., :3] @ move
        world.append(torch.cat([moved[..., :3], moved[..., 3:] + up[..., 3:]], -1))
    placed = torch.cat(world, -3).index_select(-3, back)
    rotation = placed[..., :3]
    shift = placed[..., 3] - (rotation @ joints[..., None])[..., 0]
    top = torch.cat([rotation, shift[..., None]], -1)
    bottom = torch.eye(4, dtype=pose.dtype, device=pose.device)[3:].expand(*top.shape[:-2], 1, 4)
    return torch.cat([top, bottom], -2)


def blend_transforms(
    skin_weights: Float[Tensor, "N J"], transforms: Float[Tensor, "*batch J 4 4"]
) -> Float[Tensor, "*batch N 3 4"]:
    """The weighted mean of bone transforms at each point."""
    if skin_weights.shape[-1] != transforms.shape[-3]:
        raise ValueError(f"skin weights of {skin_weights.shape[-1]} joints do not fit {transforms.shape[-3]} bone transforms")
    return (skin_weights @ transforms[..., :3, :].flatten(-2)).unflatten(-1, (3, 4))


def carry_points(
    transforms: Float[Tensor, "*#batch 3 4"], points: Float[Tensor, "*#batch 3"]
) -> Float[Tensor, "*batch 3"]:
    """Each point by its own transform: vertices by blended ones, joints by their bones'; leading axes broadcast."""
    return (transforms[..., :3] * points[..., None, :]).sum(-1) + transforms[..., 3]


def linear_blend_skinning(
    points: Float[Tensor, "*batch N 3"], skin_weights: Float[Tensor, "N J"], transforms: Float[Tensor, "*batch J 4 4"]
) -> Float[Tensor, "*batch N 3"]:
    """Move rest-pose points with the skeleton (LBS; SMPL, eq. 2).

    Args:
        points: rest pose, metres.
        skin_weights: rows sum to one.
        transforms: rest to posed, from `bone_transforms`.
    Returns: posed points, metres, before the root translation.
    Raises: ValueError where points, weights and transforms disagree in number.
    """
    if points.shape[-2] != skin_weights.shape[0]:
        raise ValueError(f"{points.shape[-2]} points but skin weights for {skin_weights.shape[0]}")
    return carry_points(blend_transforms(skin_weights, transforms), points)


def quaternion_product(a: Float[Tensor, "*batch 4"], b: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 4"]:
    """Hamilton product, wxyz."""
    aw, av, bw, bv = a[..., :1], a[..., 1:], b[..., :1], b[..., 1:]
    av, bv = torch.broadcast_tensors(av, bv)
    w = aw * bw - (av * bv).sum(-1, keepdim=True)
    return torch.cat([w, aw * bv + bw * av + torch.linalg.cross(av, bv)], -1)


def matrix_to_quaternion(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 4"]:
    """The unit quaternion (wxyz) of a rotation, or of a blend of rotations: its largest of four candidates (Shepperd)."""
    m = matrix
    t = torch.stack([m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]], -1)
    x, y, z = t.unbind(-1)
    squares = torch.stack([1 + x + y + z, 1 + x - y - z, 1 - x + y - z, 1 - x - y + z], -1)
    wx, wy, wz = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    xy, xz, yz = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    rows = torch.stack(
        [squares[..., 0], wx, wy, wz, wx, squares[..., 1], xy, xz, wy, xy, squares[..., 2], yz, wz, xz, yz, squares[..., 3]], -1
    ).unflatten(-1, (4, 4))
    best = squares.argmax(-1)[..., None, None].expand(*squares.shape[:-1], 1, 4)
    return F.normalize(rows.gather(-2, best)[..., 0, :], dim=-1)


def axis_angle(quats: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3"]:
    """Rotation vectors of at most pi, radians."""
    quats = torch.where(quats[..., :1] < 0, -quats, quats)
    sine = quats[..., 1:].norm(dim=-1, keepdim=True)
    angle = 2 * torch.atan2(sine, quats[..., :1])
    return quats[..., 1:] * torch.where(sine > 1e-7, angle / sine.clamp(min=1e-7), 2.0)


def quaternions(axis_angles: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 4"]:
    """The inverse of `axis_angle`, wxyz."""
    angle = axis_angles.norm(dim=-1, keepdim=True)
    return torch.cat([(angle / 2).cos(), axis_angles * torch.sinc(angle / (2 * math.pi)) / 2], -1)


def reframe(
    pose: Float[Tensor, "*batch T 55 3"], transl: Float[Tensor, "*batch T 3"], root: Float[Tensor, "*#batch 3"],
    turn: Float[Tensor, "*batch 3 3"],
) -> tuple[Float[Tensor, "*batch T 55 3"], Float[Tensor, "*batch T 3"]]:
    """Pose and translation in a world that was turned: x' = turn x.

    Args:
        root: the pelvis of the rest body, about which SMPL-X turns.
    """
    quats = quaternion_product(matrix_to_quaternion(turn)[..., None, :], quaternions(pose[..., 0, :]))
    turned = torch.cat([axis_angle(quats)[..., None, :], pose[..., 1:, :]], -2)
    return turned, (transl + root[..., None, :]) @ turn.mT - root[..., None, :]


def skin_gaussians(
    gaussians: Gaussians, skin_weights: Float[Tensor, "M J"], transforms: Float[Tensor, "*batch J 4 4"],
    transl: Float[Tensor, "*batch 3"],
) -> Gaussians:  # fmt: skip
    """Skin Gaussians that come in equal groups, one group an anchor: means move, quats turn; all else stays.

    Args:
        gaussians: canonical frame, N = M * G, the G of an anchor adjacent.
        skin_weights: of the M anchors.
        transforms: rest to posed.
        transl: root translation, metres.
    Raises: ValueError where N is no multiple of M.
    """
    return carry_gaussians(gaussians, blend_transforms(skin_weights, transforms), transl)


def carry_gaussians(
    gaussians: Gaussians, blended: Float[Tensor, "*batch M 3 4"], transl: Float[Tensor, "*batch 3"]
) -> Gaussians:
    """`skin_gaussians` for whoever has the anchors' `blend_transforms` already."""
    count, anchors = gaussians.means.shape[-2], blended.shape[-3]
    if count % anchors:
        raise ValueError(f"{count} Gaussians cannot be shared out among {anchors} anchors")
    group = (anchors, count // anchors)
    turn = matrix_to_quaternion(blended[..., :3])
    moved = carry_points(blended[..., None, :, :], gaussians.means.unflatten(-2, group))
    quats = quaternion_product(turn[..., None, :], gaussians.quats.unflatten(-2, group))
    batch = moved.shape[:-3]
    return replace(
        gaussians, means=moved.flatten(-3, -2) + transl[..., None, :], quats=quats.flatten(-3, -2),
        scales=gaussians.scales.expand(*batch, count, 3), opacities=gaussians.opacities.expand(*batch, count),
        colors=gaussians.colors.expand(*batch, count, 3),
    )  # fmt: skip
