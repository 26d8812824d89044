"""How much of the sky each point of the head sees: sockets, nostrils, ears and the underside of the chin are darker.

Enters: the body. Leaves: a number per vertex, computed once on the template. Not part of the paper.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from lca_mini.capture.rasterizer import orthographic_depth
from lca_mini.people.pieces import Piece, unit_normals

BOTTOM, DIRECTIONS, SIZE, REACH = 0.52, 40, 160, 0.17


@torch.no_grad()
def head_occlusion(body: Piece) -> Float[Tensor, " v"]:
    """Cosine-weighted share of unblocked directions, 1 below the neck. Light from below counts half."""
    ids = (body.template[:, 1] > BOTTOM).nonzero()[:, 0]
    faces = body.faces[(body.template[body.faces][..., 1] > BOTTOM).all(1)]
    k = torch.arange(DIRECTIONS) + 0.5
    height, turn = 1 - 2 * k / DIRECTIONS, k * math.pi * (3 - math.sqrt(5))
    flat = (1 - height.square()).sqrt()
    towards = torch.stack([flat * turn.cos(), height, flat * turn.sin()], 1)
    right = torch.nn.functional.normalize(
        torch.linalg.cross(towards, torch.tensor([0.31, 0.05, 0.95]).expand_as(towards)), dim=1
    )
    axes = torch.stack([right, torch.linalg.cross(towards, right), -towards], 1)
    centre = (body.template[ids].amax(0) + body.template[ids].amin(0)) / 2
    seen = (body.template - centre) @ axes.mT / (2 * REACH) + 0.5  # [D v 3], about [0, 1]
    pixels = torch.cat([seen[..., :2] * SIZE, seen[..., 2:]], -1)
    depth = orthographic_depth(pixels, faces, SIZE)
    normals = unit_normals(body.template, body.faces)[ids]
    lifted = pixels[:, ids] + torch.cat(
        [(normals @ axes.mT)[..., :2] * 0.0025 / (2 * REACH) * SIZE, torch.zeros(DIRECTIONS, len(ids), 1)], -1
    )
    grid = (lifted[..., :2] / SIZE * 2 - 1)[:, None]
    blocker = torch.nn.functional.grid_sample(depth[:, None], grid, align_corners=False)[:, 0, 0]
    free = (lifted[..., 2] < blocker + 0.006 / (2 * REACH)).float()
    weight = (towards @ normals.T).clamp(min=0) * (0.75 + 0.25 * towards[:, 1:2])
    out = torch.ones(len(body.template))
    out[ids] = (free * weight).sum(0) / weight.sum(0).clamp(min=1e-6)
    return out
