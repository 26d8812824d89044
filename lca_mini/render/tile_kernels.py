"""The Triton kernels of tile lists with fixed room, one after another as `tile_lists` launches them.

Enters: pointers to projected Gaussians, flattened over images. Leaves: what each kernel's first line says. No part of
the paper. What differs from gsplat's kernels: a program fills a slot of the lists, not a Gaussian's slots, so that the
number of programs does not depend on the frame.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def rectangle(means2d, radii, n, real, tiles_x, tiles_y, TILE: tl.constexpr):
    """The tiles of Gaussian n, as gsplat counts them: x from first to before last, y likewise; none where culled."""
    rx = tl.load(radii + 2 * n, mask=real, other=0)
    ry = tl.load(radii + 2 * n + 1, mask=real, other=0)
    seen = real & (rx > 0) & (ry > 0)
    x = tl.load(means2d + 2 * n, mask=seen, other=0.0) * (1.0 / TILE)  # exact, as TILE is a power of two
    y = tl.load(means2d + 2 * n + 1, mask=seen, other=0.0) * (1.0 / TILE)
    rx, ry = rx.to(tl.float32) * (1.0 / TILE), ry.to(tl.float32) * (1.0 / TILE)
    x0 = tl.minimum(tl.maximum(tl.floor(x - rx), 0.0), tiles_x).to(tl.int32)
    x1 = tl.minimum(tl.maximum(tl.ceil(x + rx), 0.0), tiles_x).to(tl.int32)
    y0 = tl.minimum(tl.maximum(tl.floor(y - ry), 0.0), tiles_y).to(tl.int32)
    y1 = tl.minimum(tl.maximum(tl.ceil(y + ry), 0.0), tiles_y).to(tl.int32)
    return x0, tl.where(seen, x1, x0), y0, tl.where(seen, y1, y0)


@triton.jit
def measure(means2d, radii, depths, counts, sort_depths, gaussians, tiles_x, tiles_y, TILE: tl.constexpr,
            LANES: tl.constexpr):  # fmt: skip
    """How many tiles each Gaussian touches, and its depth, infinite where it touches none."""
    n = tl.program_id(0) * LANES + tl.arange(0, LANES)
    real = n < gaussians
    x0, x1, y0, y1 = rectangle(means2d, radii, n, real, tiles_x, tiles_y, TILE)
    count = (x1 - x0) * (y1 - y0)
    depth = tl.load(depths + n, mask=real & (count > 0), other=float("inf"))
    tl.store(counts + n, count.to(tl.int64), mask=real)
    tl.store(sort_depths + n, depth, mask=real)


@triton.jit
def fill(ends, order, means2d, radii, keys, ids, gaussians, each, tiles_x, tiles_y, STEPS: tl.constexpr,
         TILE: tl.constexpr, LOWEST: tl.constexpr, HIGHEST: tl.constexpr, LANES: tl.constexpr):  # fmt: skip
    """A slot of the lists a lane: the tile (over all images) as a key, and the Gaussian. Nearest Gaussians come first,
    each with its tiles in rows; slots beyond the last pair get the highest key. each: Gaussians an image."""
    slot = tl.program_id(0).to(tl.int64) * LANES + tl.arange(0, LANES)
    real = slot < tl.load(ends + gaussians - 1)
    # whose slot: the first Gaussian, in the order of depths, whose pairs end beyond it
    low = tl.zeros((LANES,), tl.int32)
    high = low + gaussians
    for _ in range(STEPS):
        middle = low + (high - low) // 2
        going = real & (low < high)
        before = going & (tl.load(ends + middle, mask=going, other=0) <= slot)
        low = tl.where(before, middle + 1, low)
        high = tl.where(going & (before == 0), middle, high)
    at = (slot - tl.load(ends + low - 1, mask=real & (low > 0), other=0)).to(tl.int32)
    n = tl.load(order + low, mask=real, other=0).to(tl.int32)
    x0, x1, y0, y1 = rectangle(means2d, radii, n, real, tiles_x, tiles_y, TILE)
    wide = tl.maximum(x1 - x0, 1)
    tile = ((n // each) * tiles_y + y0 + at // wide) * tiles_x + x0 + at % wide
    tl.store(keys + slot, tl.where(real, tile + LOWEST, HIGHEST).to(keys.dtype.element_ty))
    tl.store(ids + slot, n)


@triton.jit
def collect(ends, keys, moved, ids, sorted_ids, offsets, gaussians, room, tiles, images, padded,
            STEPS: tl.constexpr, LOWEST: tl.constexpr, LANES: tl.constexpr):  # fmt: skip
    """Ids into the order of sorted keys, and where each tile's begin. padded: tiles an image with the row of tiles
    below it, all of which begin where the image's last list ends. moved: the slot from which each key came."""
    slot = tl.program_id(0).to(tl.int64) * LANES + tl.arange(0, LANES)
    total = tl.load(ends + gaussians - 1)
    real = slot < tl.minimum(total, room)
    source = tl.load(moved + slot, mask=real, other=0)
    tl.store(sorted_ids + slot, tl.load(ids + source, mask=real, other=0), mask=slot < room)
    if tl.program_id(0) * LANES < images * padded:
        t = tl.program_id(0) * LANES + tl.arange(0, LANES)
        key = (t // padded) * tiles + tl.minimum(t % padded, tiles) + LOWEST
        low = tl.zeros((LANES,), tl.int32)
        high = low + room
        for _ in range(STEPS):
            middle = low + (high - low) // 2
            going = low < high
            before = going & (tl.load(keys + middle, mask=going, other=0).to(tl.int32) < key)
            low = tl.where(before, middle + 1, low)
            high = tl.where(going & (before == 0), middle, high)
        tl.store(offsets + t, tl.minimum(low.to(tl.int64), total).to(tl.int32), mask=t < images * padded)
