"""The backward half of the numba kernels: from gradients of an image to gradients of its Gaussians.

Enters: what the forward kernels left, and dL/d(colors, alphas, depths). Leaves: dL/d(means, quats, scales,
opacities, colors) of one image. Tiles are replayed front to back with the same arithmetic as forward, so no list of
last Gaussians and no division of transmittances is needed. A pixel's loss is linear in the weights,
L = sum_i w_i q_i + T_end background . dL/dcolour, with q_i = colour_i . dL/dcolour + dL/dalpha + (depth_i - depth)
dL/ddepth / alpha; hence dL/dalpha_i = T_i q_i - (what lies behind i) / (1 - alpha_i), and what lies behind is L minus
the running sum.

Every (Gaussian, tile) pair writes ten moments to a place of its own; the Gaussian then sums its places: threads never
meet, and the result does not depend on their number.

numba's cache watches one file: whoever changes a constant in `kernels.py` saves this file too.
"""

from __future__ import annotations

import math

import numpy as np

from lca_mini.compiled import jit
from lca_mini.render.kernels import (
    BATCH, BLUE, CONIC_XX, CONIC_XY, CONIC_YY, DEPTH, E0, E1, E2, E3, E4, E5, E6, EIGHTH, F0, F1, GREEN, GUARD, LANES,
    MAX_ALPHA, MIN_ALPHA, MIN_TRANSMITTANCE, OPACITY, P1, P2, P3, P4, P5, P6, P7, REACH_Y, RED, ROW, TILE, U, X, Y,
)

MOMENTS = 10  # of g = dL/d(exp(-sigma)): sum g, g dx, g dy, g dx dx, g dx dy, g dy dy; then dL/d(red green blue depth)
A0, A1, A2, A3, A4, A5, A6 = (U(16 * i) for i in range(7))  # rows of the accumulators of one Gaussian
ACCUMULATORS = U(7 * 16)


@jit
def rasterize_backward(begin, end, splats, rects, slots, starts, ids, tiles_x, colors, alphas, depths,
                       v_colors, v_alphas, v_depths, moments):
    """Fill `moments` [intersections 10] (zero on entry) for the tiles begin:end."""
    height, width = alphas.shape
    # planes: transmittance, loss behind, dL/d(red, green, blue), dL/ddepth over alpha, dL/dalpha, depth
    buf, acc, alive = np.empty(8 * 256, np.float32), np.empty(7 * 16, np.float32), np.empty(16, np.bool_)
    for tile in range(begin, end):
        if starts[tile] == starts[tile + 1]:
            continue
        tx, ty = tile % tiles_x, tile // tiles_x
        x0, y0 = tx * TILE, ty * TILE
        columns, rows = min(TILE, width - x0), min(TILE, height - y0)
        buf[:] = F0
        for y in range(TILE):
            for x in range(TILE):
                at = y * 16 + x
                if y >= rows or x >= columns:
                    buf[at] = -F1
                    continue
                buf[at] = F1
                alpha, va = alphas[y0 + y, x0 + x], v_alphas[y0 + y, x0 + x]
                behind = alpha * va
                for k in range(3):
                    buf[at + 512 + 256 * k] = v_colors[y0 + y, x0 + x, k]
                    behind += colors[y0 + y, x0 + x, k] * v_colors[y0 + y, x0 + x, k]
                buf[at + 256], buf[at + 6 * 256], buf[at + 7 * 256] = behind, va, depths[y0 + y, x0 + x]
                buf[at + 5 * 256] = v_depths[y0 + y, x0 + x] / alpha if alpha > F0 else F0
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
                n = ids[i]
                s = splats[n]
                ox, oy = np.float32(x0 + 0.5) - s[X], np.float32(y0 + 0.5) - s[Y]
                xx, xy, yy = s[CONIC_XX] * EIGHTH * np.float32(-0.5), -s[CONIC_XY] * EIGHTH, s[CONIC_YY] * EIGHTH
                opacity, depth, red, green, blue = s[OPACITY], s[DEPTH], s[RED], s[GREEN], s[BLUE]
                for x in range(ACCUMULATORS):
                    acc[x] = F0
                for y in range(max(0, math.ceil(-oy - s[REACH_Y])), min(TILE, math.floor(s[REACH_Y] - oy) + 1)):
                    if not alive[y]:
                        continue
                    dy = oy + np.float32(y)
                    linear, constant = xy * dy, np.float32(-0.5) * yy * dy * dy
                    dy2, row = dy * dy, U(y) * ROW
                    for x in range(LANES):
                        at = row + x
                        dx = ox + np.float32(x)
                        p = dx * (xx * dx + linear) + constant
                        p = F0 if p > F0 else p
                        p = -F1 if p < -F1 else p
                        e = E0 + p * (E1 + p * (E2 + p * (E3 + p * (E4 + p * (E5 + p * E6)))))
                        e = e * e
                        e = e * e
                        e = e * e
                        raw = opacity * e
                        alpha = MAX_ALPHA if raw > MAX_ALPHA else raw
                        alpha = F0 if alpha < MIN_ALPHA else alpha
                        t = buf[at]
                        weight = t * alpha
                        after = t - weight
                        stop = after <= MIN_TRANSMITTANCE
                        weight = F0 if stop else weight
                        buf[at] = -abs(t) if stop else after
                        vr, vg, vb, vd = buf[at + P2], buf[at + P3], buf[at + P4], buf[at + P5]
                        q = red * vr + green * vg + blue * vb + (depth - buf[at + P7]) * vd + buf[at + P6]
                        behind = buf[at + P1] - weight * q
                        buf[at + P1] = behind
                        g = e * (t * q - behind / (F1 - alpha))
                        g = F0 if weight <= F0 else g
                        g = F0 if raw > MAX_ALPHA else g
                        acc[A0 + x] += g
                        acc[A1 + x] += g * dy
                        acc[A2 + x] += g * dy2
                        acc[A3 + x] += weight * vr
                        acc[A4 + x] += weight * vg
                        acc[A5 + x] += weight * vb
                        acc[A6 + x] += weight * vd
                m0 = m1 = m2 = m3 = m4 = m5 = m6 = m7 = m8 = m9 = F0
                for x in range(LANES):
                    dx = ox + np.float32(x)
                    g, g_dy = acc[A0 + x], acc[A1 + x]
                    m0 += g
                    m1 += g * dx
                    m2 += g_dy
                    m3 += g * dx * dx
                    m4 += g_dy * dx
                    m5 += acc[A2 + x]
                    m6 += acc[A3 + x]
                    m7 += acc[A4 + x]
                    m8 += acc[A5 + x]
                    m9 += acc[A6 + x]
                m = moments[slots[n] + (ty - rects[n, 2]) * (rects[n, 1] - rects[n, 0]) + tx - rects[n, 0]]
                m[0], m[1], m[2], m[3], m[4], m[5], m[6], m[7], m[8], m[9] = m0, m1, m2, m3, m4, m5, m6, m7, m8, m9


@jit
def project_backward(begin, end, means, quats, scales, view, K, width, height, splats, slots, moments,
                     v_means, v_quats, v_scales, v_opacities, v_colors):
    """Sum each Gaussian's moments and carry them through the projection; zero gradients where it was culled."""
    fx, fy, cx, cy = float(K[0, 0]), float(K[1, 1]), float(K[0, 2]), float(K[1, 2])
    left, right = cx / fx + GUARD * 0.5 * width / fx, (width - cx) / fx + GUARD * 0.5 * width / fx
    top, bottom = cy / fy + GUARD * 0.5 * height / fy, (height - cy) / fy + GUARD * 0.5 * height / fy
    W = view[:3, :3].astype(np.float64)
    R, A, v_A = np.empty((3, 3)), np.empty((3, 3)), np.empty((3, 3))  # rotation; to camera axes, W R
    sums = np.empty(MOMENTS)
    for n in range(begin, end):
        v_means[n, :] = F0
        v_quats[n, :] = F0
        v_scales[n, :] = F0
        v_colors[n, :] = F0
        v_opacities[n] = F0
        if slots[n] == slots[n + 1]:
            continue
        sums[:] = 0.0
        for slot in range(slots[n], slots[n + 1]):
            for k in range(MOMENTS):
                sums[k] += moments[slot, k]
        o, a, b, c = splats[n, OPACITY], splats[n, CONIC_XX], splats[n, CONIC_XY], splats[n, CONIC_YY]
        v_opacities[n] = sums[0]
        v_colors[n, 0], v_colors[n, 1], v_colors[n, 2] = sums[6], sums[7], sums[8]
        v_px, v_py = o * (a * sums[1] + b * sums[2]), o * (b * sums[1] + c * sums[2])
        # dL/dconic = -o/2 [Sxx Sxy; Sxy Syy]; dL/dcovariance = -conic dL/dconic conic
        h = 0.5 * o
        e0, e1, e2, e3 = (a * sums[3] + b * sums[4], a * sums[4] + b * sums[5],
                          b * sums[3] + c * sums[4], b * sums[4] + c * sums[5])
        g_xx, g_xy, g_yy = h * (e0 * a + e1 * b), h * (e0 * b + e1 * c), h * (e2 * b + e3 * c)

        z = W[2, 0] * means[n, 0] + W[2, 1] * means[n, 1] + W[2, 2] * means[n, 2] + view[2, 3]
        iz = 1.0 / z
        x = (W[0, 0] * means[n, 0] + W[0, 1] * means[n, 1] + W[0, 2] * means[n, 2] + view[0, 3]) * iz
        y = (W[1, 0] * means[n, 0] + W[1, 1] * means[n, 1] + W[1, 2] * means[n, 2] + view[1, 3]) * iz
        u, v = min(right, max(-left, x)), min(bottom, max(-top, y))
        qw, qx, qy, qz = float(quats[n, 0]), float(quats[n, 1]), float(quats[n, 2]), float(quats[n, 3])
        norm = max(1e-12, math.sqrt(qw * qw + qx * qx + qy * qy + qz * qz))
        qw, qx, qy, qz = qw / norm, qx / norm, qy / norm, qz / norm
        R[0, 0], R[0, 1], R[0, 2] = 1 - 2 * (qy * qy + qz * qz), 2 * (qx * qy - qw * qz), 2 * (qx * qz + qw * qy)
        R[1, 0], R[1, 1], R[1, 2] = 2 * (qx * qy + qw * qz), 1 - 2 * (qx * qx + qz * qz), 2 * (qy * qz - qw * qx)
        R[2, 0], R[2, 1], R[2, 2] = 2 * (qx * qz - qw * qy), 2 * (qy * qz + qw * qx), 1 - 2 * (qx * qx + qy * qy)

        # J = [jx 0 -jx u; 0 jy -jy v]; B = J A; covariance = (B s)(B s)^T
        jx, jy = fx * iz, fy * iz
        v_jx = v_jy = v_u = v_v = 0.0
        for k in range(3):
            for i in range(3):
                A[i, k] = W[i, 0] * R[0, k] + W[i, 1] * R[1, k] + W[i, 2] * R[2, k]
            s = float(scales[n, k])
            B0, B1 = jx * (A[0, k] - u * A[2, k]), jy * (A[1, k] - v * A[2, k])
            t0, t1 = 2 * s * (g_xx * B0 + g_xy * B1), 2 * s * (g_xy * B0 + g_yy * B1)
            v_scales[n, k] = t0 * B0 + t1 * B1
            v_B0, v_B1 = t0 * s, t1 * s
            v_jx += v_B0 * (A[0, k] - u * A[2, k])
            v_jy += v_B1 * (A[1, k] - v * A[2, k])
            v_u -= v_B0 * jx * A[2, k]
            v_v -= v_B1 * jy * A[2, k]
            v_A[0, k], v_A[1, k], v_A[2, k] = v_B0 * jx, v_B1 * jy, -v_B0 * jx * u - v_B1 * jy * v

        v_x = v_px * fx + (v_u if -left <= x <= right else 0.0)
        v_y = v_py * fy + (v_v if -top <= y <= bottom else 0.0)
        v_cx, v_cy = v_x * iz, v_y * iz
        v_cz = sums[9] - (v_x * x + v_y * y + v_jx * jx + v_jy * jy) * iz
        for k in range(3):
            v_means[n, k] = W[0, k] * v_cx + W[1, k] * v_cy + W[2, k] * v_cz

        for k in range(3):  # R takes the place of its gradient, W^T v_A
            for i in range(3):
                R[i, k] = W[0, i] * v_A[0, k] + W[1, i] * v_A[1, k] + W[2, i] * v_A[2, k]
        gw = 2 * (qx * (R[2, 1] - R[1, 2]) + qy * (R[0, 2] - R[2, 0]) + qz * (R[1, 0] - R[0, 1]))
        gx = 2 * (qy * (R[0, 1] + R[1, 0]) + qz * (R[0, 2] + R[2, 0]) + qw * (R[2, 1] - R[1, 2])
                  - 2 * qx * (R[1, 1] + R[2, 2]))
        gy = 2 * (qx * (R[0, 1] + R[1, 0]) + qz * (R[1, 2] + R[2, 1]) + qw * (R[0, 2] - R[2, 0])
                  - 2 * qy * (R[0, 0] + R[2, 2]))
        gz = 2 * (qx * (R[0, 2] + R[2, 0]) + qy * (R[1, 2] + R[2, 1]) + qw * (R[1, 0] - R[0, 1])
                  - 2 * qz * (R[0, 0] + R[1, 1]))
        along = gw * qw + gx * qx + gy * qy + gz * qz
        v_quats[n, 0], v_quats[n, 1] = (gw - along * qw) / norm, (gx - along * qx) / norm
        v_quats[n, 2], v_quats[n, 3] = (gy - along * qy) / norm, (gz - along * qz) / norm
