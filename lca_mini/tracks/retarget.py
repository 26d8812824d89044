"""Somebody else's movement on this avatar's body: feet that stood stand.

Enters: a `Track`, a body and betas. Leaves: the track with another root translation; joints keep their angles. Part of
the paper: driving one person with another's motion. Steps are as long as legs, so that translation is scaled by the ratio
of pelvis heights, and then lifted or lowered as a whole until the lowest twentieth of the frames touches the floor:
leaps stay leaps. What it does not do: correct single frames, or hands that should meet.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from lca_mini.body import Body, bone_transforms, linear_blend_skinning, rest_joints, rest_vertices
from lca_mini.tracks.track import Track

STRIDE = 11  # every so many vertices stand for the body, and all of the soles
SOLE = 0.02  # metres over the lowest vertex
TOUCHING = 0.05  # share of the frames that touch the floor, at least
PLAUSIBLE = (0.6, 1.6)  # ratios of two adults' legs
CHUNK = 64  # frames posed at once


def hip_height(body: Body, betas: Float[Tensor, " K"]) -> float:
    """Of the pelvis over the soles, at rest, metres."""
    return float(rest_joints(body, betas)[0, 1] - rest_vertices(body, betas)[:, 1].min())


def lowest(
    body: Body, betas: Float[Tensor, " K"], pose: Float[Tensor, "F 55 3"], transl: Float[Tensor, "F 3"]
) -> Float[Tensor, " F"]:
    """The height of the lowest point of the body in each frame, metres, world frame."""
    rest = rest_vertices(body, betas)
    sole = rest[:, 1] < rest[:, 1].min() + SOLE
    sole[::STRIDE] = True
    ids = sole.nonzero()[:, 0]
    joints, heights = rest_joints(body, betas), []
    for first in range(0, len(pose), CHUNK):
        part = pose[first : first + CHUNK]
        transforms = bone_transforms(part, joints, body.parents)
        points = linear_blend_skinning(rest[ids].expand(len(part), -1, 3), body.skin_weights[ids], transforms)
        heights.append(points[..., 1].amin(-1))
    return torch.cat(heights) + transl[:, 1]


def leg_ratio(track: Track, body: Body, betas: Float[Tensor, " K"]) -> tuple[float, str]:
    """How much longer the avatar's legs are than those of whoever moved, and where that is known from."""
    own = hip_height(body, betas)
    if track.hip_height is not None:
        return own / track.hip_height, "the recorded body's hip height"
    if not track.grounded:
        return own / hip_height(body, torch.zeros_like(betas)), "the template's legs, as the file names no others"
    motion = track.motion
    pelvis = rest_joints(body, betas)[0, 1]
    reach = pelvis - lowest(body, betas, motion.pose, torch.zeros_like(motion.transl))
    upright = reach > 0.95 * reach.max()
    ratio = float((reach[upright] / motion.transl[upright, 1].clamp(min=1e-3)).median())
    if PLAUSIBLE[0] < ratio < PLAUSIBLE[1]:
        return ratio, "the pelvis' height over the file's floor in upright frames"
    return 1.0, "nothing: the pelvis is at no height over the file's floor that legs could have, so that steps keep their length"


@torch.no_grad()
def retarget(track: Track, body: Body, betas: Float[Tensor, " K"]) -> Track:
    """Fit the root's path to a body, as the module's head says.

    Args:
        betas: of the avatar. The floor is where its soles are at rest with no translation.
    """
    body, betas, motion = body.to("cpu"), betas.detach().float().cpu(), track.motion
    ratio, why = leg_ratio(track, body, betas)
    floor = float(rest_vertices(body, betas)[:, 1].min())
    transl = ratio * motion.transl
    lift = floor - torch.quantile(lowest(body, betas, motion.pose, transl), TOUCHING)
    transl = transl + torch.stack([lift.new_zeros(()), lift, lift.new_zeros(())])
    note = f"translation times {ratio:.3f}, from {why}"
    return replace(track, motion=replace(motion, transl=transl), hip_height=hip_height(body, betas), grounded=False,
                   notes=(*track.notes, note))  # fmt: skip
