"""Noise for everything procedural: one periodic volume, hashed once, looked up everywhere.

Enters: points. Leaves: smooth random numbers. Not part of the paper. A look-up is one trilinear `grid_sample`, so that
a pixel's texture costs a handful of kernels however rich it is.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from lca_mini.capture.chance import uniforms

SIZE = 64


@lru_cache(maxsize=8)
def _volume(device: str) -> Float[Tensor, "1 4 66 66 66"]:
    """Channels: two fractal sums (lattices of 8 to 64 cells), two of single cells; each about [-1, 1], periodic."""
    streams = []
    for channel in range(4):
        total = torch.zeros(SIZE, SIZE, SIZE)
        octaves = (8, 16, 32, 64) if channel < 2 else (64,)
        for o, cells in enumerate(octaves):
            lattice = 2 * uniforms(torch.tensor([77 + channel]), o, cells**3).view(1, 1, cells, cells, cells) - 1
            total += _enlarge(lattice, SIZE // cells)[0, 0] * 0.6**o
        streams.append(total / total.std() * 0.5)
    volume = F.pad(torch.stack(streams)[None], (1, 1, 1, 1, 1, 1), mode="circular")
    return volume.to(device, memory_format=torch.channels_last_3d)  # the channels of a cell lie together


def _enlarge(lattice: Tensor, factor: int) -> Tensor:
    if factor == 1:
        return lattice
    padded = F.pad(lattice, (1, 1, 1, 1, 1, 1), mode="circular")
    side = lattice.shape[-1] * factor
    fine = F.interpolate(padded, scale_factor=factor, mode="trilinear", align_corners=False)
    return fine[..., factor : factor + side, factor : factor + side, factor : factor + side]


def noise(points: Float[Tensor, "P 3"]) -> Float[Tensor, "P 4"]:
    """Four independent noises at points, of period 1 along each axis: two fractal ones (features of 1/8 and finer), two
    fine ones (1/64)."""
    volume = _volume(str(points.device))
    wrapped = points - points.floor()
    grid = (wrapped * SIZE + 0.5) * (2 / (SIZE + 2)) + (1 / (SIZE + 2) - 1)
    return F.grid_sample(volume, grid[None, None, None], align_corners=False)[0, :, 0, 0].T


def smoothstep(low: float | Tensor, high: float | Tensor, x: Tensor) -> Tensor:
    """0 below `low`, 1 above `high`, smooth between; falls instead where low > high."""
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)
