"""Shadows of the sun: depth seen from it, and which points it reaches.

Enters: posed meshes and the directions of their suns. Leaves: `ShadowMap`s, and the share of the sun at each point. It
lights the synthetic people; the paper's are filmed by real cameras.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lca_mini.capture.constants import constant
from lca_mini.capture.rasterizer import orthographic_depth
from lca_mini.types import Movable


@dataclass(frozen=True)
class ShadowMap(Movable):
    """Depth seen from the sun. project: world to texels and depth in [0, 1]. texel: metres. depth_range: metres."""

    depth: Float[Tensor, "N S S"]
    project: Float[Tensor, "N 3 4"]
    texel: Float[Tensor, " N"]
    depth_range: Float[Tensor, " N"]


@torch.no_grad()
def shadow_map(
    vertices: Float[Tensor, "N V 3"], faces: Int[Tensor, "F 3"], direction: Float[Tensor, "N 3"], size: int = 256,
    face_visible: Bool[Tensor, "N F"] | None = None,
) -> ShadowMap:  # fmt: skip
    """Rasterise N meshes from their suns, each fitted to its mesh."""
    aside = constant(direction, (0.31, 0.0, 0.95)).expand_as(direction)
    right = F.normalize(torch.linalg.cross(direction, aside, dim=-1), dim=-1)
    up = torch.linalg.cross(direction, right, dim=-1)
    axes = torch.stack([right, up, -direction], 1)  # [N 3 3]
    seen = vertices @ axes.mT
    low, high = seen.amin(1), seen.amax(1)
    side = (high - low)[:, :2].amax(1) * (size / (size - 6))
    middle = (low + high)[:, :2] / 2
    depth_range = (high - low)[:, 2] * 1.02 + 1e-3
    scale = torch.stack([size / side, size / side, 1 / depth_range], 1)
    shift = torch.cat([size / 2 - middle * scale[:, :2], (0.005 - low[:, 2:] / depth_range[:, None])], 1)
    project = torch.cat([axes * scale[..., None], shift[..., None]], 2)
    texels = vertices @ project[..., :3].mT + project[:, None, :, 3]
    return ShadowMap(orthographic_depth(texels, faces, size, face_visible), project, side / size, depth_range)


def sun_visibility(
    shadows: ShadowMap, points: Float[Tensor, "P 3"], normals: Float[Tensor, "P 3"], image: Int[Tensor, " P"]
) -> Float[Tensor, " P"]:
    """Share of the sun that arrives at points: 3 x 3 taps with a tent's weights, 1 lit, 0 in shadow.

    Args:
        normals: unit; the side that the sun does not see is shaded by its Lambert term.
    """
    size = shadows.depth.shape[-1]
    # columns: gathering short rows is slow on a GPU
    project = shadows.project.flatten(1).T.contiguous()[:, image].view(3, 4, -1)
    toward = -F.normalize(project[2, :3], dim=0)
    normals, points = normals.T, points.T
    outward = torch.where((normals * toward).sum(0) < 0, -normals, normals)
    lifted = points + outward * (1.6 * shadows.texel[image] + 0.002)
    at = (project[:, :3] * lifted).sum(1) + project[:, 3]
    depth = at[2] - 0.004 / shadows.depth_range[image]
    cell = at[:2].floor()
    part = at[:2] - cell
    weights = torch.stack([1 - part, torch.ones_like(part), part]) / 2  # [3 taps 2 axes P]
    column, row = cell.long()
    texels = shadows.depth.flatten()
    base = image * (size * size)
    lit = torch.zeros_like(depth)
    for j in range(3):
        y = (row + j - 1).clamp(0, size - 1) * size + base
        for i in range(3):
            x = (column + i - 1).clamp(0, size - 1)
            lit = lit + weights[i, 0] * weights[j, 1] * (texels[y + x] >= depth)
    return lit
