"""The Triton kernels of tile lists with fixed room, one after another as `tile_lists` launches them.

Enters: pointers to projected Gaussians, flattened over images. Leaves: what each kernel's first line says. No part of
the paper. What differs from gsplat's kernels: a program fills a slot of the lists, not a Gaussian's slots, so that the
number of programs does not depend on the frame.
"""

from __future__ import annotations

import triton
import triton.language as tl

PARTS_FROM = tl.constexpr(24)  # a list's word: the number of a Gaussian, and above it a bit for each part of a tile
IDS = tl.constexpr(2**24 - 1)
SLACK = tl.constexpr(1e-3)  # of an exponent's limit: a part more costs time, a part less would be seen
ROUNDING = tl.constexpr(1e-6)  # of its largest terms, which in a long thin Gaussian are far larger than their sum


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
def reached(means2d, conics, opacities, n, shared, real, left, top, TILE: tl.constexpr, WIDE: tl.constexpr,
            HIGH: tl.constexpr):  # fmt: skip
    """A bit for each part of the tile at pixel (left, top), `WIDE` x `HIGH` pixels in rows: whether Gaussian n reaches
    an alpha of 1/255 between its outermost pixels' centres. From a mean outside, the form is least on a near side."""
    x, y = tl.load(means2d + 2 * n, mask=real, other=0.0), tl.load(means2d + 2 * n + 1, mask=real, other=0.0)
    a = tl.load(conics + 3 * n, mask=real, other=1.0)
    b = tl.load(conics + 3 * n + 1, mask=real, other=0.0)
    c = tl.load(conics + 3 * n + 2, mask=real, other=1.0)
    most = tl.log(255.0 * tl.load(opacities + n - shared, mask=real, other=1.0)) * (1.0 + SLACK) + SLACK
    b_c, b_a, bits = b / c, b / a, n - n
    for part in tl.static_range(TILE // WIDE * (TILE // HIGH)):
        x0 = left.to(tl.float32) + (part % (TILE // WIDE) * WIDE + 0.5) - x
        y0 = top.to(tl.float32) + (part // (TILE // WIDE) * HIGH + 0.5) - y
        x1, y1 = x0 + (WIDE - 1), y0 + (HIGH - 1)
        dx, dy = tl.minimum(tl.maximum(x0, 0.0), x1), tl.minimum(tl.maximum(y0, 0.0), y1)
        along_y, along_x = tl.minimum(tl.maximum(-b_c * dx, y0), y1), tl.minimum(tl.maximum(-b_a * dy, x0), x1)
        at_x = 0.5 * (a * dx * dx + c * along_y * along_y) + b * dx * along_y
        at_y = 0.5 * (a * along_x * along_x + c * dy * dy) + b * along_x * dy
        far_x, far_y = tl.maximum(-x0, x1), tl.maximum(-y0, y1)
        rounding = ROUNDING * (a * far_x * far_x + c * far_y * far_y)
        bits |= tl.where(tl.minimum(at_x, at_y) <= most + rounding, 1 << part, 0)
    return bits


@triton.jit
def owner(ends, slot, real, gaussians, STEPS: tl.constexpr, LANES: tl.constexpr):
    """Whose slot: the first Gaussian whose pairs end beyond it; and which of its pairs."""
    low = tl.zeros((LANES,), tl.int32)
    high = low + gaussians
    for _ in range(STEPS):
        middle = low + (high - low) // 2
        going = real & (low < high)
        before = going & (tl.load(ends + middle, mask=going, other=0) <= slot)
        low = tl.where(before, middle + 1, low)
        high = tl.where(going & (before == 0), middle, high)
    return low, (slot - tl.load(ends + low - 1, mask=real & (low > 0), other=0)).to(tl.int32)


@triton.jit
def fill(ends, order, means2d, radii, conics, opacities, keys, ids, gaussians, each, views, tiles_x, tiles_y,
         STEPS: tl.constexpr, TILE: tl.constexpr, PARTS: tl.constexpr, WIDE: tl.constexpr, HIGH: tl.constexpr,
         LOWEST: tl.constexpr, HIGHEST: tl.constexpr, LANES: tl.constexpr):  # fmt: skip
    """A slot of the lists a lane: the tile (over all images) as a key, and the Gaussian. Nearest Gaussians come first,
    each with its tiles in rows; slots beyond the last pair get the highest key. each: Gaussians an image. PARTS: put
    the bits of the parts that the Gaussian reaches above its number."""
    slot = tl.program_id(0).to(tl.int64) * LANES + tl.arange(0, LANES)
    real = slot < tl.load(ends + gaussians - 1)
    low, at = owner(ends, slot, real, gaussians, STEPS, LANES)
    n = tl.load(order + low, mask=real, other=0).to(tl.int32)
    x0, x1, y0, y1 = rectangle(means2d, radii, n, real, tiles_x, tiles_y, TILE)
    wide = tl.maximum(x1 - x0, 1)
    image, row, column = n // each, y0 + at // wide, x0 + at % wide
    tile = (image * tiles_y + row) * tiles_x + column
    tl.store(keys + slot, tl.where(real, tile + LOWEST, HIGHEST).to(keys.dtype.element_ty))
    if PARTS:
        shared = (image - image // views) * each  # from a Gaussian's number to that of its opacity
        parts = reached(means2d, conics, opacities, n, shared, real, column * TILE, row * TILE, TILE, WIDE, HIGH)
        n |= parts << PARTS_FROM
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
