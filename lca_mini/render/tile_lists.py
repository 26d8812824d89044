"""Tile lists with fixed room: gsplat's own lists, made without the host knowing how long they are.

Enters: `Projected` Gaussians [*batch C N .]. Leaves: `Ranked`, whose last end is how many pairs of a Gaussian and a tile
there are; then, for a number of slots, `Binned` lists that `gsplat_stages.blend` takes. No part of the paper. What
differs from `gsplat_stages.bin_tiles`, the readable twin: every shape is known before the frame, so that a CUDA graph
holds all of it; where there are more pairs than slots, the farthest are missing, and whoever compares the last end with
the number of slots knows it. The lists themselves are the same, Gaussian for Gaussian.

How: Gaussians are sorted by depth, and their pairs written in that order; then a stable sort by tile alone, whose 16
bits take a radix sort two passes, leaves every tile's list nearest first. gsplat's kernel of blending takes all ids from
a tile's offset to the next one's, and for the last tile all that remain, unused slots included; so it is handed one row
of tiles more than the image has. Nothing of it lies in the picture, and each of its tiles leaves at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
from jaxtyping import Float, Int
from torch import Tensor

from lca_mini.render.gsplat_stages import TILE, Binned, Projected
from lca_mini.render.tile_kernels import collect, fill, measure

LANES = 256  # slots, or Gaussians, a program
WIDE, HIGH = 8, 4  # pixels of a part of a tile, of which there are at most eight
MOST_SHORT = 2**16  # tiles, over all images, whose numbers are sorted as 16 bits


@dataclass(frozen=True)
class Ranked:
    """Gaussians of all images together, nearest first; those that touch no tile come last.

    order: their numbers, flattened over images. ends: how many pairs there are up to each, itself included.
    """

    order: Int[Tensor, "I"]
    ends: Int[Tensor, "I"]

    @property
    def total(self) -> Int[Tensor, "1"]:
        """How many pairs there are, on the device."""
        return self.ends[-1:]


def tiles_of(width: int, height: int) -> tuple[int, int]:
    """Columns and rows of tiles."""
    return -(-width // TILE), -(-height // TILE)


def rank(projected: Projected, width: int, height: int) -> Ranked:
    """The first half: sort by depth, count pairs."""
    count = projected.depths.numel()
    counts = torch.empty(count, dtype=torch.int64, device=projected.depths.device)
    depths = torch.empty(count, dtype=torch.float32, device=projected.depths.device)
    measure[(triton.cdiv(count, LANES),)](
        projected.means2d, projected.radii, projected.depths, counts, depths, count, *tiles_of(width, height),
        TILE=TILE, LANES=LANES,
    )  # fmt: skip
    order = torch.sort(depths, stable=True).indices
    return Ranked(order, torch.cumsum(counts[order], dim=0))


def list_tiles(
    projected: Projected, ranked: Ranked, room: int, width: int, height: int,
    opacities: Float[Tensor, "*batch N"] | None = None,
) -> Binned:  # fmt: skip
    """The second half, for at most `room` pairs (a multiple of 256).

    Args:
        opacities: make lists for `tile_blend.blend_parts`: a bit for each part of the tile that the Gaussian reaches
            stands in the ids' upper 8 bits; their lower 24 must number all Gaussians.
    Returns: lists whose offsets [*batch C tiles_y+1 tiles_x] have a row for no tile of the picture; ids [room].
    """
    shape, device = projected.depths.shape, projected.depths.device
    tiles_x, tiles_y = tiles_of(width, height)
    images, count = shape[:-1].numel(), len(ranked.order)
    tiles, padded = tiles_x * tiles_y, tiles_x * (tiles_y + 1)
    short = images * tiles <= MOST_SHORT
    kind = torch.int16 if short else torch.int32
    lowest, highest = torch.iinfo(kind).min if short else 0, torch.iinfo(kind).max
    keys, ids = torch.empty(room, dtype=kind, device=device), torch.empty(room, dtype=torch.int32, device=device)
    fill[(room // LANES,)](
        ranked.ends, ranked.order, projected.means2d, projected.radii, projected.conics,
        projected.depths if opacities is None else opacities, keys, ids, count, shape[-1], shape[-2], tiles_x, tiles_y,
        STEPS=count.bit_length(), TILE=TILE, PARTS=opacities is not None,
        WIDE=WIDE, HIGH=HIGH, LOWEST=lowest, HIGHEST=highest, LANES=LANES,
    )  # fmt: skip
    keys, moved = torch.sort(keys, stable=True)  # 31 steps below find a place among 2^31 keys: compiled once
    sorted_ids = torch.empty_like(ids)
    offsets = torch.empty(*shape[:-1], tiles_y + 1, tiles_x, dtype=torch.int32, device=device)
    collect[(triton.cdiv(max(room, images * padded), LANES),)](
        ranked.ends, keys, moved, ids, sorted_ids, offsets, count, room, tiles, images, padded,
        STEPS=31, LOWEST=lowest, LANES=LANES,
    )  # fmt: skip
    return Binned(offsets, sorted_ids)
