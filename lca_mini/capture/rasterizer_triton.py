"""The rasteriser's inner loop on CUDA: which triangle is nearest at each pixel, two Triton kernels.

Enters: meshes on the screen. Leaves: the keys of `rasterizer.visibility`, its readable twin, which expands every triangle
to a list of pixels; here nothing is written but the keys. Not part of the paper.

`small`: a lane a triangle, which walks through its own box; boxes of more than `MOST` pixels would hold up the other lanes
and are left to `large`: a program a triangle, whose lanes share its box.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lca_mini.capture.rasterizer import EMPTY

LANES, MOST, SHARING = 32, 64, 128


def nearest(
    screen: Float[Tensor, "N V 3"], faces: Int[Tensor, "F 3"], face_visible: Bool[Tensor, "N F"] | None, height: int,
    width: int,
) -> Int[Tensor, "N H W"]:  # fmt: skip
    """As `rasterizer.visibility`, for tensors on CUDA."""
    (images, points, _), count = screen.shape, len(faces)
    key = torch.full((images, height, width), EMPTY, dtype=torch.int64, device=screen.device)
    left = torch.empty(images * count, dtype=torch.bool, device=screen.device)
    screen, faces = screen.contiguous(), faces.contiguous()
    shown = left if face_visible is None else face_visible.contiguous()
    blocks = triton.cdiv(count, LANES)
    # no fused multiply-add: both triangles of an edge must evaluate the same numbers
    exact = {"enable_fp_fusion": False}
    if images * count:
        small[(images * blocks,)](
            screen, faces, shown, key, left, points, count, height, width, blocks, ALL=face_visible is None, MOST=MOST,
            LANES=LANES, num_warps=1, **exact,
        )  # fmt: skip
    index = left.nonzero()[:, 0]
    if len(index):
        large[(len(index),)](screen, faces, index, key, points, count, height, width, LANES=SHARING, **exact)
    return key


@triton.jit
def small(screen, faces, shown, key, left, points, count, height, width, blocks, ALL: tl.constexpr, MOST: tl.constexpr,
          LANES: tl.constexpr):  # fmt: skip
    """Draw triangles of small boxes; tell which ones are left."""
    image = (tl.program_id(0) // blocks).to(tl.int64)
    face = (tl.program_id(0) % blocks) * LANES + tl.arange(0, LANES)
    real = face < count
    drawn = real
    if not ALL:
        drawn = real & (tl.load(shown + image * count + face, mask=real, other=0) != 0)
    x0, x1, y0, y1, a0, a1, a2, an, b0, b1, b2, bn, c0, c1, c2, cn = triangle(
        screen + 3 * points * image, faces, face, drawn, height, width
    )
    pixels = tl.where(drawn & (cn > 0), (x1 + 1 - x0) * (y1 + 1 - y0), 0)
    tl.store(left + image * count + face, pixels > MOST, mask=real)
    pixels = tl.where(pixels > MOST, 0, pixels)
    here = key + image * height * width
    x, y = x0, y0
    for step in range(0, tl.max(pixels, 0)):
        test(here, a0, a1, a2, an, b0, b1, b2, bn, c0, c1, c2, cn, x, y, width, face, step < pixels)
        last = x == x1
        x, y = tl.where(last, x0, x + 1), tl.where(last, y + 1, y)


@triton.jit
def large(screen, faces, index, key, points, count, height, width, LANES: tl.constexpr):
    """Draw the triangles of a list of image * count + face."""
    which = tl.load(index + tl.program_id(0))
    image, face = which // count, (which % count).to(tl.int32)
    x0, x1, y0, y1, a0, a1, a2, an, b0, b1, b2, bn, c0, c1, c2, cn = triangle(
        screen + 3 * points * image, faces, face, face >= 0, height, width
    )
    wide, pixels = x1 + 1 - x0, (x1 + 1 - x0) * (y1 + 1 - y0)
    here = key + image * height * width
    for first in range(0, pixels, LANES):
        step = first + tl.arange(0, LANES)
        x, y = x0 + step % wide, y0 + step // wide
        test(here, a0, a1, a2, an, b0, b1, b2, bn, c0, c1, c2, cn, x, y, width, face, step < pixels)


@triton.jit
def triangle(screen, faces, face, drawn, height, width):
    """The box of the pixels whose centres may lie inside; three edge functions that are positive inside (slope in x, in
    y, offset), each with its corner's nearness over the area, which is 0 where the triangle is not to be drawn."""
    i = tl.load(faces + 3 * face, mask=drawn, other=0)
    j = tl.load(faces + 3 * face + 1, mask=drawn, other=0)
    k = tl.load(faces + 3 * face + 2, mask=drawn, other=0)
    xi, yi, ni = tl.load(screen + 3 * i), tl.load(screen + 3 * i + 1), tl.load(screen + 3 * i + 2)
    xj, yj, nj = tl.load(screen + 3 * j), tl.load(screen + 3 * j + 1), tl.load(screen + 3 * j + 2)
    xk, yk, nk = tl.load(screen + 3 * k), tl.load(screen + 3 * k + 1), tl.load(screen + 3 * k + 2)
    x0 = tl.ceil(tl.minimum(tl.minimum(xi, xj), xk) - 0.5)
    x1 = tl.floor(tl.maximum(tl.maximum(xi, xj), xk) - 0.5)
    y0 = tl.ceil(tl.minimum(tl.minimum(yi, yj), yk) - 0.5)
    y1 = tl.floor(tl.maximum(tl.maximum(yi, yj), yk) - 0.5)
    x0 = tl.minimum(tl.maximum(x0, 0.0), width).to(tl.int32)
    x1 = tl.minimum(tl.maximum(x1, -1.0), width - 1).to(tl.int32)
    y0 = tl.minimum(tl.maximum(y0, 0.0), height).to(tl.int32)
    y1 = tl.minimum(tl.maximum(y1, -1.0), height - 1).to(tl.int32)
    x1, y1 = tl.maximum(x1, x0 - 1), tl.maximum(y1, y0 - 1)  # an empty box has no pixels
    area = (xj - xi) * (yk - yi) - (yj - yi) * (xk - xi)
    ahead = (ni > 0) & (nj > 0) & (nk > 0)
    turn = tl.where(ahead, tl.where(area > 0, 1.0, tl.where(area < 0, -1.0, 0.0)), 0.0)
    a0, a1, a2 = edge(j, k, xj, yj, xk, yk, turn)
    b0, b1, b2 = edge(k, i, xk, yk, xi, yi, turn)
    c0, c1, c2 = edge(i, j, xi, yi, xj, yj, turn)
    size = tl.maximum(tl.abs(area), 1e-12)
    an, bn, cn = ni * tl.abs(turn) / size, nj * tl.abs(turn) / size, nk * tl.abs(turn) / size
    return x0, x1, y0, y1, a0, a1, a2, an, b0, b1, b2, bn, c0, c1, c2, cn


@triton.jit
def edge(i, j, xi, yi, xj, yj, turn):
    """An edge runs from its lower vertex index to its higher one, whichever triangle asks."""
    flip = i > j
    ax, ay = tl.where(flip, xj, xi), tl.where(flip, yj, yi)
    dx, dy = ay - tl.where(flip, yi, yj), tl.where(flip, xi, xj) - ax
    sign = tl.where(flip, -turn, turn)
    return dx * sign, dy * sign, -(dx * ax + dy * ay) * sign


@triton.jit
def test(key, a0, a1, a2, an, b0, b1, b2, bn, c0, c1, c2, cn, x, y, width, face, real):
    """Lower the keys of pixels whose centres lie inside, where this triangle is nearer."""
    px, py = x + 0.5, y + 0.5
    u, v, w = a2 + a0 * px + a1 * py, b2 + b0 * px + b1 * py, c2 + c0 * px + c1 * py
    nearness = tl.maximum(u * an + v * bn + w * cn, 0.0)
    value = ((0x7FFFFFFF - nearness.to(tl.int32, bitcast=True)).to(tl.int64) << 32) | face
    inside = real & (u >= 0) & (v >= 0) & (w >= 0)
    tl.atomic_min(key + y * width + x, value, mask=inside, sem="relaxed")
