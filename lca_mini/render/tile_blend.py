"""Blending for many small programs: what gsplat's kernel draws, when few tiles have long lists.

Enters: `Projected` Gaussians, and tile lists whose words also say which parts of the tile each Gaussian reaches
(`tile_lists.list_tiles`). Leaves: pictures [*batch C H W 3] over a background. No part of the paper. What differs from
`gsplat_stages.blend`, the readable twin: nothing but rounding. Its kernel gives a tile of 16 x 16 pixels to a program,
which takes every Gaussian of the list; a person covers a sixth of the picture, so that few programs work, and the
longest list decides. Here a program is one warp and has a part of a tile, of which only it takes the Gaussians
that reach 1/255 there.

How: words are read 32 at a time; a lane says whether its Gaussian reaches the part, and one number holds all answers.
Then its bits are taken off from the lowest, `AT_ONCE` a turn, whose loads and alphas do not wait for each other.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from lca_mini.render.gsplat_stages import TILE, Binned, Projected
from lca_mini.render.tile_kernels import IDS, PARTS_FROM
from lca_mini.render.tile_lists import HIGH, WIDE
from lca_mini.types import Gaussians

AT_ONCE = 4  # Gaussians


def blend_parts(
    gaussians: Gaussians, projected: Projected, binned: Binned, width: int, height: int,
    backgrounds: Float[Tensor, "*batch C 3"],
) -> Float[Tensor, "*batch C H W 3"]:  # fmt: skip
    """The third stage, for lists that were made with opacities."""
    leading, each = projected.depths.shape[:-1], projected.depths.shape[-1]
    tiles_y, tiles_x = binned.offsets.shape[-2] - 1, binned.offsets.shape[-1]
    pictures = torch.empty(*leading, height, width, 3, device=backgrounds.device)
    parts = TILE * TILE // (WIDE * HIGH)
    blend_part[(tiles_x * tiles_y * parts, leading.numel())](
        binned.offsets, binned.ids, projected.means2d, projected.conics, gaussians.opacities, gaussians.colors,
        backgrounds, pictures, leading[-1], each, width, height, tiles_x, tiles_x * (tiles_y + 1),
        TILE=TILE, WIDE=WIDE, HIGH=HIGH, PARTS=parts, AT_ONCE=AT_ONCE, num_warps=1,
    )  # fmt: skip
    return pictures


@triton.jit
def blend_part(offsets, words, means2d, conics, opacities, colors, backgrounds, pictures, views, each, width, height,
               tiles_x, padded, TILE: tl.constexpr, WIDE: tl.constexpr, HIGH: tl.constexpr, PARTS: tl.constexpr,
               AT_ONCE: tl.constexpr):  # fmt: skip
    """A part of a tile a program. padded: tiles an image with the row below it. each: Gaussians an image, which share
    opacities and colours with the other views of a person."""
    image = tl.program_id(1)
    at, part = tl.program_id(0) // PARTS, tl.program_id(0) % PARTS
    slot = tl.load(offsets + image * padded + at)
    end = tl.load(offsets + image * padded + at + 1)
    lane, p = tl.arange(0, 32), tl.arange(0, WIDE * HIGH)
    column = (at % tiles_x) * TILE + (part % (TILE // WIDE)) * WIDE + p % WIDE
    row = (at // tiles_x) * TILE + (part // (TILE // WIDE)) * HIGH + p // WIDE
    x, y = column.to(tl.float32) + 0.5, row.to(tl.float32) + 0.5
    shared = (image - image // views) * each  # from a Gaussian's number to that of its opacity
    inside = (column < width) & (row < height)
    open_ = inside.to(tl.int32)  # until a pixel is as good as opaque
    left = open_.to(tl.float32)  # transmittance
    red, green, blue = left - left, left - left, left - left
    while slot < end:
        word = tl.load(words + slot + lane, mask=slot + lane < end, other=0)
        bits = tl.xor_sum(((word >> (PARTS_FROM + part)) & 1) << lane, axis=0)
        while bits != 0:
            for _ in tl.static_range(AT_ONCE):
                lowest = bits & (~bits + 1)
                there = bits != 0
                bits = bits ^ lowest
                # the number of that bit is the exponent of its value
                exponent = (lowest.to(tl.float32).to(tl.int32, bitcast=True) >> 23) & 255
                n = tl.load(words + slot + tl.maximum(exponent - 127, 0)) & IDS
                dx, dy = tl.load(means2d + 2 * n) - x, tl.load(means2d + 2 * n + 1) - y
                a, b, c = tl.load(conics + 3 * n), tl.load(conics + 3 * n + 1), tl.load(conics + 3 * n + 2)
                o = tl.where(there, tl.load(opacities + n - shared), 0.0)
                colour = colors + 3 * (n - shared)
                sigma = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
                alpha = tl.minimum(o * tl.exp(-sigma), 0.999)
                alpha = tl.where((sigma < 0.0) | (alpha < 1.0 / 255.0), 0.0, alpha)
                after = left * (1.0 - alpha)
                open_ = tl.where(after > 1e-4, open_, 0)
                weight = tl.where(open_ != 0, alpha * left, 0.0)
                left = tl.where(open_ != 0, after, left)
                red += weight * tl.load(colour)
                green += weight * tl.load(colour + 1)
                blue += weight * tl.load(colour + 2)
        slot = tl.where(tl.max(open_, axis=0) != 0, slot + 32, end)
    pixel = pictures + ((image.to(tl.int64) * height + row) * width + column) * 3
    tl.store(pixel, red + left * tl.load(backgrounds + 3 * image), mask=inside)
    tl.store(pixel + 1, green + left * tl.load(backgrounds + 3 * image + 1), mask=inside)
    tl.store(pixel + 2, blue + left * tl.load(backgrounds + 3 * image + 2), mask=inside)
