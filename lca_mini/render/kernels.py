"""The numba kernels of the CPU rasteriser, one function a stage. `cpu.py` allocates, threads and differentiates.

Enters: float32 arrays of one image. Leaves: the image, or gradients. The maths is that of `reference.py`, with its
derivative written out. Every kernel releases the GIL and works on a range, so that plain Python threads share a stage.

How it is fast: a tile is 16 x 16 pixels, a row of it is one vector of 16 lanes, and only the rows that a Gaussian
reaches are visited. All lanes of a tile live in one flat buffer of planes with unsigned constant offsets: that is what
lets LLVM prove that planes do not overlap, and vectorise. `exp` is a polynomial, because libm's is a scalar call.
"""

from __future__ import annotations

import math

import numpy as np

from lca_mini.compiled import jit

TILE = 16
NEAR = 0.01  # metres
BLUR = 0.1  # pixels squared, added to the diagonal of every projected covariance
MIN_ALPHA = np.float32(1 / 255)
MAX_ALPHA = np.float32(0.999)
MIN_TRANSMITTANCE = np.float32(1e-4)
GUARD = 0.3  # how far outside the image, in half fields of view, the Jacobian is still taken where the mean is

# columns of a splat: a projected Gaussian, one cache line
X, Y, CONIC_XX, CONIC_XY, CONIC_YY, OPACITY, DEPTH, RED, GREEN, BLUE, REACH_Y = range(11)
SPLAT = 16

# planes of a tile's buffer: transmittance (negative: saturated), then colour and depth, or what backward needs
U = np.uint64
LANES, ROW = U(16), U(16)
P1, P2, P3, P4, P5, P6, P7 = (U(256 * i) for i in range(1, 8))
BATCH = 32  # Gaussians between two looks at which rows are saturated

# exp(8 p) = e(p)^8 for p in [-1, 0]; e fitted at Chebyshev nodes, relative error of the eighth power below 1e-6
_nodes = np.cos(np.pi * (np.arange(7) + 0.5) / 7) * 0.5 - 0.5
E0, E1, E2, E3, E4, E5, E6 = (np.float32(c) for c in np.polyfit(_nodes, np.exp(_nodes), 6)[::-1])
F0, F1, EIGHTH = np.float32(0), np.float32(1), np.float32(1 / 8)


@jit
def project(begin, end, means, quats, scales, opacities, colors, view, K, width, height, splats, rects):
    """Fill `splats[begin:end]` [N 16] and `rects` [N 4]: the tiles (x0, x1, y0, y1) touched; empty where culled."""
    fx, fy, cx, cy = float(K[0, 0]), float(K[1, 1]), float(K[0, 2]), float(K[1, 2])
    left, right = cx / fx + GUARD * 0.5 * width / fx, (width - cx) / fx + GUARD * 0.5 * width / fx
    top, bottom = cy / fy + GUARD * 0.5 * height / fy, (height - cy) / fy + GUARD * 0.5 * height / fy
    for n in range(begin, end):
        rects[n, 0] = rects[n, 1] = rects[n, 2] = rects[n, 3] = 0
        mx, my, mz = float(means[n, 0]), float(means[n, 1]), float(means[n, 2])
        z = view[2, 0] * mx + view[2, 1] * my + view[2, 2] * mz + view[2, 3]
        opacity = float(opacities[n])
        if z < NEAR or opacity < MIN_ALPHA:
            continue
        iz = 1.0 / z
        x = (view[0, 0] * mx + view[0, 1] * my + view[0, 2] * mz + view[0, 3]) * iz
        y = (view[1, 0] * mx + view[1, 1] * my + view[1, 2] * mz + view[1, 3]) * iz
        u, v = min(right, max(-left, x)), min(bottom, max(-top, y))
        qw, qx, qy, qz = float(quats[n, 0]), float(quats[n, 1]), float(quats[n, 2]), float(quats[n, 3])
        s = 2.0 / max(1e-24, qw * qw + qx * qx + qy * qy + qz * qz)
        # column k of the rotation, taken to camera axes by `view`, then to pixels by the Jacobian of the projection
        xx, xy, yy = BLUR, 0.0, BLUR
        for k in range(3):
            if k == 0:
                r0, r1, r2 = 1 - s * (qy * qy + qz * qz), s * (qx * qy + qw * qz), s * (qx * qz - qw * qy)
            elif k == 1:
                r0, r1, r2 = s * (qx * qy - qw * qz), 1 - s * (qx * qx + qz * qz), s * (qy * qz + qw * qx)
            else:
                r0, r1, r2 = s * (qx * qz + qw * qy), s * (qy * qz - qw * qx), 1 - s * (qx * qx + qy * qy)
            c2 = view[2, 0] * r0 + view[2, 1] * r1 + view[2, 2] * r2
            p0 = fx * iz * (view[0, 0] * r0 + view[0, 1] * r1 + view[0, 2] * r2 - u * c2) * scales[n, k]
            p1 = fy * iz * (view[1, 0] * r0 + view[1, 1] * r1 + view[1, 2] * r2 - v * c2) * scales[n, k]
            xx, xy, yy = xx + p0 * p0, xy + p0 * p1, yy + p1 * p1
        det = xx * yy - xy * xy
        if det <= 0 or xx + yy > 1e60:  # beyond, det overflows and what follows would leave the arrays
            continue
        px, py = fx * x + cx, fy * y + cy
        reach = math.sqrt(max(0.0, 2.0 * math.log(255.0 * opacity))) + 1e-3  # beyond, alpha is under 1/255
        rx, ry = reach * math.sqrt(xx), reach * math.sqrt(yy)
        if px + rx <= 0 or px - rx >= width or py + ry <= 0 or py - ry >= height:
            continue
        splats[n, X], splats[n, Y], splats[n, DEPTH], splats[n, OPACITY] = px, py, z, opacity
        splats[n, CONIC_XX], splats[n, CONIC_XY], splats[n, CONIC_YY] = yy / det, -xy / det, xx / det
        splats[n, RED], splats[n, GREEN], splats[n, BLUE] = colors[n, 0], colors[n, 1], colors[n, 2]
        splats[n, REACH_Y] = ry
        rects[n, 0] = int(max(px - rx, 0.0)) // TILE
        rects[n, 1] = int(min(px + rx, width - 1.0)) // TILE + 1
        rects[n, 2] = int(max(py - ry, 0.0)) // TILE
        rects[n, 3] = int(min(py + ry, height - 1.0)) // TILE + 1


@jit
def bin_tiles(splats, rects, depth_bits, tiles_x, tiles_y):
    """Lists of Gaussians by tile, nearest first: (slots [N+1], starts [tiles+1], ids).

    A stable radix sort of the depths' bits (positive floats sort as integers) orders the Gaussians once; filling the
    tiles in that order leaves every list sorted. `slots[n]` is the first of Gaussian n's intersections, which backward
    gives a place of their own.
    """
    N = rects.shape[0]
    slots, starts = np.zeros(N + 1, np.int64), np.zeros(tiles_x * tiles_y + 1, np.int64)
    order, other, visible = np.empty(N, np.int32), np.empty(N, np.int32), 0
    for n in range(N):
        count = (rects[n, 1] - rects[n, 0]) * (rects[n, 3] - rects[n, 2])
        slots[n + 1] = slots[n] + count
        if count > 0:
            order[visible] = n
            visible += 1
            for ty in range(rects[n, 2], rects[n, 3]):
                for tx in range(rects[n, 0], rects[n, 1]):
                    starts[ty * tiles_x + tx + 1] += 1
    for shift in (0, 11, 22):
        heads = np.zeros(2049, np.int64)
        for i in range(visible):
            heads[((depth_bits[order[i], DEPTH] >> shift) & 2047) + 1] += 1
        for d in range(2048):
            heads[d + 1] += heads[d]
        for i in range(visible):
            digit = (depth_bits[order[i], DEPTH] >> shift) & 2047
            other[heads[digit]] = order[i]
            heads[digit] += 1
        order, other = other, order
    for t in range(tiles_x * tiles_y):
        starts[t + 1] += starts[t]
    fill, ids = starts.copy(), np.empty(slots[N], np.int32)
    for i in range(visible):
        n = order[i]
        for ty in range(rects[n, 2], rects[n, 3]):
            for tx in range(rects[n, 0], rects[n, 1]):
                t = ty * tiles_x + tx
                ids[fill[t]] = n
                fill[t] += 1
    return slots, starts, ids


@jit
def rasterize(begin, end, splats, starts, ids, tiles_x, background, colors, alphas, depths):
    """Blend the tiles begin:end, nearest Gaussian first, into colors [H W 3], alphas [H W] and mean depths [H W]."""
    height, width = alphas.shape
    buf, alive = np.empty(5 * 256, np.float32), np.empty(16, np.bool_)
    for tile in range(begin, end):
        x0, y0 = (tile % tiles_x) * TILE, (tile // tiles_x) * TILE
        columns, rows = min(TILE, width - x0), min(TILE, height - y0)
        # depths are summed from the tile's nearest on: their mean keeps its digits where alpha is small
        nearest = splats[ids[starts[tile]], DEPTH] if starts[tile] < starts[tile + 1] else F0
        buf[:] = F0
        for y in range(TILE):
            for x in range(TILE):
                buf[y * 16 + x] = F1 if y < rows and x < columns else -F1
        for first in range(starts[tile], starts[tile + 1], BATCH):
            any_alive = False
            for y in range(TILE):
                best = -F1
                for x in range(TILE):
                    best = max(best, buf[y * 16 + x])
                alive[y] = best > F0
                any_alive |= alive[y]
            if not any_alive:
                break
            for i in range(first, min(first + BATCH, starts[tile + 1])):
                s = splats[ids[i]]
                ox, oy = np.float32(x0 + 0.5) - s[X], np.float32(y0 + 0.5) - s[Y]
                xx, xy, yy = s[CONIC_XX] * EIGHTH * np.float32(-0.5), -s[CONIC_XY] * EIGHTH, s[CONIC_YY] * EIGHTH
                opacity, depth, red, green, blue = s[OPACITY], s[DEPTH] - nearest, s[RED], s[GREEN], s[BLUE]
                for y in range(max(0, math.ceil(-oy - s[REACH_Y])), min(TILE, math.floor(s[REACH_Y] - oy) + 1)):
                    if not alive[y]:
                        continue
                    dy = oy + np.float32(y)
                    linear, constant = xy * dy, np.float32(-0.5) * yy * dy * dy
                    row = U(y) * ROW
                    for x in range(LANES):
                        at = row + x
                        dx = ox + np.float32(x)
                        p = dx * (xx * dx + linear) + constant
                        p = F0 if p > F0 else p
                        p = -F1 if p < -F1 else p
                        e = E0 + p * (E1 + p * (E2 + p * (E3 + p * (E4 + p * (E5 + p * E6)))))
                        e = e * e
                        e = e * e
                        alpha = opacity * (e * e)
                        alpha = MAX_ALPHA if alpha > MAX_ALPHA else alpha
                        alpha = F0 if alpha < MIN_ALPHA else alpha
                        t = buf[at]
                        weight = t * alpha
                        after = t - weight
                        stop = after <= MIN_TRANSMITTANCE
                        weight = F0 if stop else weight
                        buf[at] = -abs(t) if stop else after
                        buf[at + P1] += weight * red
                        buf[at + P2] += weight * green
                        buf[at + P3] += weight * blue
                        buf[at + P4] += weight * depth
        for y in range(rows):
            for x in range(columns):
                at = y * 16 + x
                t = abs(buf[at])
                alphas[y0 + y, x0 + x] = F1 - t
                depths[y0 + y, x0 + x] = nearest + buf[at + 1024] / (F1 - t) if t < F1 else F0
                for k in range(3):
                    colors[y0 + y, x0 + x, k] = buf[at + 256 * (k + 1)] + t * background[k]
