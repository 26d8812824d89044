"""Light on CUDA: what leaves each patch towards its camera, in one Triton kernel.

Enters: patches on a lit stage and their surfaces. Leaves: linear light. Its readable twin is `stage.light_patches` with
`shading.shade`, `shading.ambient` and `shadows.sun_visibility`, which name each step; there, each step reads and writes all
patches. Not part of the paper.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from lca_mini.capture.shading import Light
from lca_mini.capture.shadows import ShadowMap
from lca_mini.people.skin import Surface

LANES = 128


def lit(
    position: Float[Tensor, "P 3"], normal: Float[Tensor, "P 3"], eye: Float[Tensor, "P 3"], surface: Surface,
    lining: Float[Tensor, " P"], light: Light, who: Int[Tensor, " P"], shadows: ShadowMap | None,
    moment: Int[Tensor, " P"],
) -> Float[Tensor, "P 3"]:  # fmt: skip
    """As `stage.light_patches`, for tensors on CUDA."""
    out = torch.empty_like(position.T, memory_format=torch.contiguous_format)
    count = out.shape[1]
    columns = [t.T.contiguous() for t in (position, normal, eye, surface.bump, surface.albedo)]
    numbers = [t.contiguous() for t in (surface.specular, surface.roughness, surface.wrap, lining, who, moment)]
    lamps = [t.contiguous() for t in (light.direction, light.sun, light.sky, light.ground)]
    around = out if light.around is None else light.around.contiguous()
    maps = [out] * 4
    if shadows is not None:
        maps = [t.contiguous() for t in (shadows.depth, shadows.project, shadows.texel, shadows.depth_range)]
    if count:
        lit_kernel[(triton.cdiv(count, LANES),)](
            *columns, *numbers, *lamps, around, *maps, out, count, maps[0].shape[-1],
            AROUND=light.around is not None, SHADOWS=shadows is not None, LANES=LANES,
        )  # fmt: skip
    return out.T


@triton.jit
def lit_kernel(position, normal, eye, bump, albedo, specular, roughness, wrap, lining, who, moment, direction, sun, sky,
               ground, around, depth, project, texel, depth_range, out, count, size, AROUND: tl.constexpr,
               SHADOWS: tl.constexpr, LANES: tl.constexpr):  # fmt: skip
    """A lane a patch. The names are those of `shading.shade`."""
    at = tl.program_id(0).to(tl.int64) * LANES + tl.arange(0, LANES)
    real = at < count
    person = tl.load(who + at, mask=real, other=0)
    px, py, pz = three(position + at, count, real)
    nx, ny, nz = unit(*three(normal + at, count, real))
    ex, ey, ez = three(eye + at, count, real)
    vx, vy, vz = unit(ex - px, ey - py, ez - pz)
    behind = nx * vx + ny * vy + nz * vz < 0

    sunny = 1.0
    if SHADOWS:
        sunny = sunlight(px, py, pz, nx, ny, nz, tl.load(moment + at, mask=real, other=0), depth, project, texel,
                         depth_range, size, real)  # fmt: skip
    bx, by, bz = three(bump + at, count, real)
    side = tl.where(behind, -1.0, 1.0)
    nx, ny, nz = unit(side * nx + bx, side * ny + by, side * nz + bz)
    side = tl.where(nx * vx + ny * vy + nz * vz < 0, -1.0, 1.0)
    nx, ny, nz = side * nx, side * ny, side * nz

    dx, dy, dz = three(direction + 3 * person, 1, real)
    cosine = nx * dx + ny * dy + nz * dz
    hx, hy, hz = unit(dx + vx, dy + vy, dz + vz)
    rough = tl.load(roughness + at, mask=real, other=1.0)
    gloss = 0.04 * tl.load(specular + at, mask=real, other=0.0)
    alpha = tl.maximum(rough, 0.05)
    alpha2 = alpha * alpha * alpha * alpha
    peak = nx * hx + ny * hy + nz * hz
    spread = peak * peak * (alpha2 - 1) + 1
    facing = tl.maximum(nx * vx + ny * vy + nz * vz, 0.02)
    reach = tl.maximum(dx * hx + dy * hy + dz * hz, 0.3)
    highlight = gloss * alpha2 / (spread * spread) / (4 * reach * reach) * tl.maximum(cosine, 0.0)
    away = 1 - facing
    rim = gloss * (1 + 4 * away * away * away * away * away) * (1 - 0.6 * rough)
    mx, my, mz = 2 * facing * nx - vx, 2 * facing * ny - vy, 2 * facing * nz - vz

    dim = tl.where(behind, tl.load(lining + at, mask=real, other=1.0), 1.0)
    creep = tl.load(wrap + at, mask=real, other=0.0)
    for channel in tl.static_range(3):
        share = creep * (1.0 if channel == 0 else 0.45 if channel == 1 else 0.3)
        lambert = tl.maximum((cosine + share) / (1 + share), 0.0)
        key = tl.load(sun + 3 * person + channel, mask=real, other=0.0) * sunny
        g = tl.load(ground + 3 * person + channel, mask=real, other=0.0)
        s = tl.load(sky + 3 * person + channel, mask=real, other=0.0) - g
        fill, mirrored = g + s * (0.5 + 0.5 * ny), g + s * (0.5 + 0.5 * my)
        if AROUND:
            fill, mirrored = areas(around + 30 * person + channel, fill, mirrored, nx, ny, nz, mx, my, mz, real)
        color = dim * tl.load(albedo + channel * count + at, mask=real, other=0.0)
        color = color * (lambert * key + fill) + highlight * key + rim * mirrored
        tl.store(out + channel * count + at, color, mask=real)


@triton.jit
def three(base, apart, real):
    """Three numbers that lie so far apart."""
    x = tl.load(base, mask=real, other=0.0)
    return x, tl.load(base + apart, mask=real, other=0.0), tl.load(base + 2 * apart, mask=real, other=0.0)


@triton.jit
def unit(x, y, z):
    """A direction."""
    length = tl.maximum(tl.sqrt(x * x + y * y + z * z), 1e-12)
    return x / length, y / length, z / length


@triton.jit
def areas(form, a, b, x, y, z, u, v, w, real):
    """What a quadratic form (`Light.around`) adds at two normals."""
    xx, yy = tl.load(form, mask=real, other=0.0), tl.load(form + 3, mask=real, other=0.0)
    zz, xy = tl.load(form + 6, mask=real, other=0.0), tl.load(form + 9, mask=real, other=0.0)
    yz, zx = tl.load(form + 12, mask=real, other=0.0), tl.load(form + 15, mask=real, other=0.0)
    lx, ly = tl.load(form + 18, mask=real, other=0.0), tl.load(form + 21, mask=real, other=0.0)
    lz, one = tl.load(form + 24, mask=real, other=0.0), tl.load(form + 27, mask=real, other=0.0)
    a += xx * x * x + yy * y * y + zz * z * z + xy * x * y + yz * y * z + zx * z * x + lx * x + ly * y + lz * z + one
    b += xx * u * u + yy * v * v + zz * w * w + xy * u * v + yz * v * w + zx * w * u + lx * u + ly * v + lz * w + one
    return tl.maximum(a, 0.0), tl.maximum(b, 0.0)


@triton.jit
def sunlight(px, py, pz, nx, ny, nz, moment, depth, project, texel, depth_range, size, real):
    """The share of the sun that arrives: `shadows.sun_visibility`."""
    row = project + 12 * moment
    a0, a1, a2 = three(row, 1, real)
    b0, b1, b2 = three(row + 4, 1, real)
    c0, c1, c2 = three(row + 8, 1, real)
    tx, ty, tz = unit(-c0, -c1, -c2)
    lift = 1.6 * tl.load(texel + moment, mask=real, other=0.0) + 0.002
    lift = tl.where(nx * tx + ny * ty + nz * tz < 0, -lift, lift)
    px, py, pz = px + lift * nx, py + lift * ny, pz + lift * nz
    x = a0 * px + a1 * py + a2 * pz + tl.load(row + 3, mask=real, other=0.0)
    y = b0 * px + b1 * py + b2 * pz + tl.load(row + 7, mask=real, other=0.0)
    z = c0 * px + c1 * py + c2 * pz + tl.load(row + 11, mask=real, other=0.0)
    z -= 0.004 / tl.load(depth_range + moment, mask=real, other=1.0)
    column, line = tl.floor(x), tl.floor(y)
    right, down = x - column, y - line
    column, line = column.to(tl.int32), line.to(tl.int32)
    share = 0 * z
    for j in tl.static_range(3):
        here = tl.minimum(tl.maximum(line + (j - 1), 0), size - 1)
        tall = 1 - down if j == 0 else down if j == 2 else 0 * down + 1
        for i in tl.static_range(3):
            there = tl.minimum(tl.maximum(column + (i - 1), 0), size - 1)
            wide = 1 - right if i == 0 else right if i == 2 else 0 * right + 1
            seen = tl.load(depth + (moment * size + here) * size + there, mask=real, other=0.0) >= z
            share += tl.where(seen, 0.25 * tall * wide, 0.0)
    return share
