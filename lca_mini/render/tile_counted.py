"""Tile lists with fixed room without a radix sort: pairs are counted into their tiles, and each tile is put in order.

Enters: `Projected` Gaussians [*batch C N .] and opacities. Leaves: `Counted`, whose last end is how many pairs of a
Gaussian and a tile there are at most; then, for a number of slots, `Binned` lists for `tile_blend.blend_parts`. No part
of the paper. What differs from `tile_lists`: a Gaussian that reaches no pixel of a tile is not in its list, so that
pictures are the same and lists shorter; and the work of ordering grows with the square of a list's length, which is
less than many passes over few pairs, and more where lists are long or frames many.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from lca_mini.render import tile_lists
from lca_mini.render.gsplat_stages import TILE, Binned, Projected
from lca_mini.render.tile_kernels import measure, owner, reached, rectangle

LANES = 256  # slots, or Gaussians, a program
ORDERED, AHEAD = 128, 16  # slots a program that puts them in order, and those they are compared with at a time


@dataclass(frozen=True)
class Counted:
    """ends: how many pairs there are up to each Gaussian (of all images, in their own order), itself included."""

    ends: Int[Tensor, "I"]

    @property
    def total(self) -> Int[Tensor, "1"]:
        """How many pairs there are, on the device."""
        return self.ends[-1:]


def count(projected: Projected, width: int, height: int) -> Counted:
    """The first half."""
    number, device = projected.depths.numel(), projected.depths.device
    counts = torch.empty(number, dtype=torch.int64, device=device)
    measure[(triton.cdiv(number, LANES),)](
        projected.means2d, projected.radii, projected.depths, counts, torch.empty(number, device=device), number,
        *tile_lists.tiles_of(width, height), TILE=TILE, LANES=LANES,
    )  # fmt: skip
    return Counted(torch.cumsum(counts, dim=0))


def list_counted(
    projected: Projected, counted: Counted, room: int, width: int, height: int, opacities: Float[Tensor, "*batch N"]
) -> Binned:
    """The second half, for at most `room` pairs (a multiple of 256); as `tile_lists.list_tiles` returns it, the ids of
    slots that no list has being anything."""
    shape, device = projected.depths.shape, projected.depths.device
    tiles_x, tiles_y = tile_lists.tiles_of(width, height)
    padded, number = tiles_x * (tiles_y + 1), len(counted.ends)
    lists = shape[:-1].numel() * padded
    held, bounds = torch.zeros(2, lists + 1, dtype=torch.int32, device=device)
    tiles, places, keys, where = torch.empty(4, room, dtype=torch.int64, device=device)
    spread[(room // LANES,)](
        counted.ends, projected.means2d, projected.radii, projected.conics, projected.depths, opacities, held, tiles,
        keys, number, shape[-1], shape[-2], tiles_x, tiles_y,
        STEPS=number.bit_length(), TILE=TILE, WIDE=tile_lists.WIDE, HIGH=tile_lists.HIGH, LANES=LANES,
    )  # fmt: skip
    torch.cumsum(held[:-1], dim=0, dtype=torch.int32, out=bounds[1:])
    gather[(room // LANES,)](bounds, tiles, keys, where, places, LANES=LANES)
    ids = torch.empty(room, dtype=torch.int32, device=device)
    order[(room // ORDERED,)](bounds, places, where, ids, lists, LANES=ORDERED, AHEAD=AHEAD)
    return Binned(bounds[:-1].view(*shape[:-1], tiles_y + 1, tiles_x), ids)


@triton.jit
def spread(ends, means2d, radii, conics, depths, opacities, held, tiles, keys, gaussians, each, views, tiles_x, tiles_y,
           STEPS: tl.constexpr, TILE: tl.constexpr, WIDE: tl.constexpr, HIGH: tl.constexpr,
           LANES: tl.constexpr):  # fmt: skip
    """A pair a lane: its tile, below it which of the tile's pairs it is, in no certain order; -1 where it reaches no
    part. Its key: depth, then number, then the bits of its parts. held: zeros, where pairs of a tile are counted."""
    slot = tl.program_id(0).to(tl.int64) * LANES + tl.arange(0, LANES)
    real = slot < tl.load(ends + gaussians - 1)
    n, at = owner(ends, slot, real, gaussians, STEPS, LANES)
    x0, x1, y0, y1 = rectangle(means2d, radii, n, real, tiles_x, tiles_y, TILE)
    wide = tl.maximum(x1 - x0, 1)
    image, row, column = n // each, y0 + at // wide, x0 + at % wide
    shared = (image - image // views) * each  # from a Gaussian's number to that of its opacity
    parts = reached(means2d, conics, opacities, n, shared, real, column * TILE, row * TILE, TILE, WIDE, HIGH)
    real = real & (parts != 0)
    tile = (image * (tiles_y + 1) + row) * tiles_x + column
    place = tl.atomic_add(held + tile, 1, mask=real, sem="relaxed")
    tl.store(tiles + slot, tl.where(real, (tile.to(tl.int64) << 32) | place.to(tl.int64), -1))
    depth = tl.load(depths + n, mask=real, other=0.0).to(tl.int32, bitcast=True)  # as good as a number: none is negative
    tl.store(keys + slot, (depth.to(tl.int64) << 32) | (n.to(tl.int64) << 8) | parts.to(tl.int64))


@triton.jit
def gather(bounds, tiles, keys, where, places, LANES: tl.constexpr):
    """Keys to their tile's list, and for each which list that is."""
    slot = tl.program_id(0).to(tl.int64) * LANES + tl.arange(0, LANES)
    tile = tl.load(tiles + slot)
    real = tile >= 0
    to = tl.load(bounds + (tile >> 32), mask=real, other=0) + tile.to(tl.int32)
    tl.store(places + to, tl.load(keys + slot, mask=real, other=0), mask=real)
    tl.store(where + to, tile >> 32, mask=real)


@triton.jit
def order(bounds, places, where, ids, lists, LANES: tl.constexpr, AHEAD: tl.constexpr):
    """Each to its place in its list, which is how many of the list have lower keys; the words of `tile_blend`."""
    slot = tl.program_id(0) * LANES + tl.arange(0, LANES)
    total = tl.load(bounds + lists)
    real = slot < total
    tile = tl.load(where + slot, mask=real, other=0)
    begin, end = tl.load(bounds + tile, mask=real, other=total), tl.load(bounds + tile + 1, mask=real, other=0)
    key = tl.load(places + slot, mask=real, other=0)
    lower = tl.zeros((LANES, AHEAD), tl.int32)
    ahead = tl.min(begin, axis=0)
    last = tl.max(end, axis=0)
    while ahead < last:
        other = ahead + tl.arange(0, AHEAD)
        less = tl.load(places + other, mask=other < last, other=0)[None, :] < key[:, None]
        same = (other[None, :] >= begin[:, None]) & (other[None, :] < end[:, None])
        lower += (less & same).to(tl.int32)
        ahead += AHEAD
    word = ((key >> 8) & 0xFFFFFF) | ((key & 255) << 24)
    tl.store(ids + begin + tl.sum(lower, axis=1), word.to(tl.int32), mask=real)
