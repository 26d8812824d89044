"""Where face and hands are in a picture, for measures of their own.

Enters: the body, and the true pose, shape and facial actions of a `Sample`'s targets. Leaves: masks. No part of the
paper. The bare template is posed as the person stands and drawn through the target's camera; a pixel belongs to what
its nearest triangle belongs to. No labels of the synthetic people are asked for, so that real captures are measured
alike.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lca_mini.body import Body, with_gaze
from lca_mini.body.template import posed_vertices
from lca_mini.capture.motion import Motion
from lca_mini.capture.rasterizer import rasterize
from lca_mini.types import Cameras, Sample

REGIONS = ("face", "hands")
HEAD, HANDS = (15, 22, 23, 24), (20, 21, *range(25, 55))  # joints: head, jaw and eyes; wrists and fingers
FRONT = 0.1  # metres: of the head, what lies farther forward than this, and looks forward, is face


def template_vertices(body: Body, betas: Float[Tensor, "B K"], moments: Motion | Sample) -> Float[Tensor, "B T V 3"]:
    """The bare template at each moment [B T ...] of a movement, or of a sample's targets."""
    pose = with_gaze(moments.pose, moments.gaze)
    return posed_vertices(body, betas[:, None].expand(*pose.shape[:2], -1), pose, moments.transl, moments.actions)


def template_seen(
    body: Body, betas: Float[Tensor, "B K"], moments: Motion | Sample, cameras: Cameras
) -> Int[Tensor, "B T H W"]:
    """Which triangle of the bare template each pixel sees through each moment's camera [B T 1]; -1 for none."""
    vertices = template_vertices(body, betas, moments)
    seen = rasterize(vertices.flatten(0, 1), body.faces, cameras.viewmats.flatten(0, 2), cameras.Ks.flatten(0, 2),
                     cameras.height, cameras.width)  # fmt: skip
    return seen.face.unflatten(0, vertices.shape[:2])


def owners(body: Body) -> Int[Tensor, "F"]:
    """The joint that moves each triangle most."""
    return body.skin_weights[body.faces].mean(1).argmax(1)


def region_triangles(body: Body) -> dict[str, Bool[Tensor, "F"]]:
    """Which triangles are face, and which are hands."""
    owner, corners = owners(body), body.template[body.faces]
    forward = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2] > 0
    head = torch.isin(owner, torch.tensor(HEAD, device=owner.device))
    hands = torch.isin(owner, torch.tensor(HANDS, device=owner.device))
    return {"face": head & forward & (corners.mean(1)[:, 2] > FRONT), "hands": hands}


def region_masks(body: Body, seen: Int[Tensor, "B T H W"]) -> dict[str, Bool[Tensor, "B T 1 H W"]]:
    """A mask of each of `REGIONS`, from what `template_seen` gave."""
    triangles = region_triangles(body)
    return {name: (triangles[name][seen.clamp(min=0)] & (seen >= 0))[:, :, None] for name in REGIONS}
