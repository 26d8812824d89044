"""Driving on a CPU: numba kernels on plain threads, each working through its anchors from token to posed Gaussian.

Enters: a `DrivePlan` and packed rows of a signal. Leaves: posed Gaussians in buffers that the next frame overwrites.
Part of the paper: eq. 9 and skinning. What differs from `LCA.drive`, its readable twin: nothing within rounding; there
are no gradients.

Matrix products are ours too: torch's, on small matrices, spend their time waking OpenMP threads, and beside another
busy process a frame takes fifty times as long. Four anchors share a pass over the weights, four inputs at a time, which
keeps the arithmetic of one row of vectors busy; exp is a polynomial, because libm's is a scalar call.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from lca_mini.compiled import jit, share
from lca_mini.model.drive_plan import BOUNDS, LEFT_EYE, PACKED, RIGHT_EYE, DrivePlan
from lca_mini.model.light import LIGHT_REACH

FIRST_TRANSL, FIRST_GAZE = PACKED["transl"].start, PACKED["gaze"].start
REACH_P, REACH_Q, REACH_S, REACH_C = (np.float32(bound) for bound in BOUNDS)
REACH_L = np.float32(LIGHT_REACH)
F0, F1, F2, F3 = np.float32(0), np.float32(1), np.float32(2), np.float32(3)
TINY = np.float32(1e-24)
CHUNKS = 8  # of anchors, a thread: enough that a thread that comes late finds work left
ROWS = 4  # anchors that pass through the layers together

# exp(-16 p) = e(p)^16 for p in [0, 1]; e fitted at Chebyshev nodes
_nodes = np.cos(np.pi * (np.arange(8) + 0.5) / 8) * 0.5 + 0.5
E0, E1, E2, E3, E4, E5, E6, E7 = (np.float32(c) for c in np.polyfit(_nodes, np.exp(-_nodes), 7)[::-1])
SIXTEENTH = np.float32(1 / 16)


class NumbaKernels:
    """Buffers and the work of one call. packed: what `run` reads. gaussians: what it writes."""

    def __init__(self, plan: DrivePlan) -> None:
        """The plan's tensors must be on the CPU."""
        self.plan, self.packed, self.gaussians = plan, plan.new_packed(), plan.new_gaussians()
        self.rows, width = self.packed.flatten(0, -2).numpy(), plan.tokens.shape[2]
        self.transforms = np.empty((plan.images, len(plan.chain), 3, 4), np.float32)
        self.signal_half = np.empty((plan.images, 2 * width), np.float32)
        *inner, (last, last_bias) = plan.layers
        weights = torch.stack([w for w, _ in inner]) if inner else torch.zeros(0, width, width)
        biases = torch.stack([b for _, b in inner]) if inner else torch.zeros(0, width)
        constant = (weights, biases, last, last_bias, plan.skin_ids, plan.skin_values, plan.normals)
        self.constant = tuple(t.detach().numpy() for t in constant)
        self.skeleton = tuple(t.numpy() for t in (plan.rest, plan.steps)), plan.chain[:, 1].clone().numpy()
        fields = ("means", "quats", "scales", "colors")
        self.personal = [plan.light.numpy(), plan.tokens.numpy()]
        self.personal += [getattr(plan.canonical, field).numpy() for field in fields]
        self.posed = [getattr(self.gaussians, field).flatten(0, len(plan.leading) - 1).numpy() for field in fields]

    def run(self) -> None:
        """packed to gaussians."""
        plan, threads, (bodies, parents) = self.plan, torch.get_num_threads(), self.skeleton
        weight, pieces = plan.signal_weight.numpy(), threads * CHUNKS
        for image, row in enumerate(self.rows):
            pose_joints(row, *(t[image // plan.frames] for t in bodies), parents, self.transforms[image])
            product_of_row(row, weight, self.signal_half[image])
        edges = (np.linspace(0, plan.tokens.shape[1] / ROWS, pieces + 1).astype(int) * ROWS).tolist()
        edges[-1] = plan.tokens.shape[1]

        def part(item: int) -> None:
            image, piece = divmod(item, pieces)
            pose_anchors(
                edges[piece], edges[piece + 1], self.rows[image], self.signal_half[image], self.transforms[image],
                *self.constant, *(t[image // plan.frames] for t in self.personal), *(t[image] for t in self.posed),
            )  # fmt: skip

        share(part, plan.images * pieces, threads)


@jit
def pose_joints(row, rest, steps, parents, transforms):
    """Rest to posed transform [55 3 4] of each joint, parents before children, from one row of a signal."""
    local, world = np.empty((3, 3)), np.empty((len(parents), 3, 4))
    for j in range(len(parents)):
        if j == LEFT_EYE or j == RIGHT_EYE:
            at = FIRST_GAZE + 2 * (j - LEFT_EYE)
            yaw, pitch = 0.5 * row[at], -0.5 * row[at + 1]
            w, x, y, z = (math.cos(yaw) * math.cos(pitch), math.cos(yaw) * math.sin(pitch),
                          math.sin(yaw) * math.cos(pitch), -math.sin(yaw) * math.sin(pitch))  # fmt: skip
        else:
            x, y, z = float(row[3 * j]), float(row[3 * j + 1]), float(row[3 * j + 2])
            angle = math.sqrt(x * x + y * y + z * z)
            k = math.sin(0.5 * angle) / angle if angle > 1e-8 else 0.5
            w, x, y, z = math.cos(0.5 * angle), k * x, k * y, k * z
        local[0, 0], local[0, 1], local[0, 2] = 1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)
        local[1, 0], local[1, 1], local[1, 2] = 2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)
        local[2, 0], local[2, 1], local[2, 2] = 2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)
        up = parents[j]
        for i in range(3):
            if up < 0:
                for k in range(3):
                    world[j, i, k] = local[i, k]
                world[j, i, 3] = steps[j, i]
            else:
                for k in range(3):
                    world[j, i, k] = (world[up, i, 0] * local[0, k] + world[up, i, 1] * local[1, k]
                                      + world[up, i, 2] * local[2, k])  # fmt: skip
                world[j, i, 3] = (world[up, i, 0] * steps[j, 0] + world[up, i, 1] * steps[j, 1]
                                  + world[up, i, 2] * steps[j, 2] + world[up, i, 3])  # fmt: skip
        for i in range(3):
            for k in range(3):
                transforms[j, i, k] = world[j, i, k]
            transforms[j, i, 3] = world[j, i, 3] - (world[j, i, 0] * rest[j, 0] + world[j, i, 1] * rest[j, 1]
                                                    + world[j, i, 2] * rest[j, 2])  # fmt: skip


@jit
def product_of_row(row, weight, out):
    """out [n] = row [S] weight [S n]."""
    out[:] = F0
    for k in range(weight.shape[0]):
        for n in range(weight.shape[1]):
            out[n] += row[k] * weight[k, n]


@jit
def product(x, weight, bias, y):
    """y [4 N] = x [4 K] weight [K N] + bias."""
    K, N = weight.shape
    for n in range(N):
        y[0, n] = y[1, n] = y[2, n] = y[3, n] = bias[n]
    y0, y1, y2, y3 = y[0], y[1], y[2], y[3]
    for k in range(0, K - K % 4, 4):
        w0, w1, w2, w3 = weight[k], weight[k + 1], weight[k + 2], weight[k + 3]
        a0, a1, a2, a3 = x[0, k], x[0, k + 1], x[0, k + 2], x[0, k + 3]
        b0, b1, b2, b3 = x[1, k], x[1, k + 1], x[1, k + 2], x[1, k + 3]
        c0, c1, c2, c3 = x[2, k], x[2, k + 1], x[2, k + 2], x[2, k + 3]
        d0, d1, d2, d3 = x[3, k], x[3, k + 1], x[3, k + 2], x[3, k + 3]
        for n in range(N):
            p, q, r, s = w0[n], w1[n], w2[n], w3[n]
            y0[n] += a0 * p + a1 * q + a2 * r + a3 * s
            y1[n] += b0 * p + b1 * q + b2 * r + b3 * s
            y2[n] += c0 * p + c1 * q + c2 * r + c3 * s
            y3[n] += d0 * p + d1 * q + d2 * r + d3 * s
    for k in range(K - K % 4, K):
        for j in range(ROWS):
            for n in range(N):
                y[j, n] += x[j, k] * weight[k, n]


@jit
def squash(x, tanh):
    """In place: SiLU, or tanh where that is asked for; both from e = exp(-|v|), or exp(-2 |v|)."""
    for j in range(ROWS):
        row = x[j]
        for n in range(row.shape[0]):
            v = row[n]
            p = abs(v) * (F2 * SIXTEENTH if tanh else SIXTEENTH)
            p = F1 if p > F1 else p
            e = E0 + p * (E1 + p * (E2 + p * (E3 + p * (E4 + p * (E5 + p * (E6 + p * E7))))))
            e = e * e
            e = e * e
            e = e * e
            e = e * e
            high = (F1 - e if tanh else F1) / (F1 + e)
            if tanh:
                row[n] = high if v > F0 else -high
            else:
                row[n] = v * (high if v > F0 else F1 - high)


@jit
def pose_anchors(begin, end, row, signal_half, transforms, inner, inner_bias, last, last_bias, skin_ids, skin_values,
                 normals, light, tokens, means, quats, scales, colors, posed_means, posed_quats, posed_scales,
                 posed_colors):  # fmt: skip
    """The anchors begin:end of one image, from token features [M H] to posed Gaussians [M G .]."""
    width, m = tokens.shape[1], np.empty((3, 4), np.float32)
    x, y = np.empty((ROWS, width), np.float32), np.empty((ROWS, width), np.float32)
    raw = np.empty((ROWS, last.shape[1]), np.float32)
    for first in range(begin, end, ROWS):
        for j in range(ROWS):
            anchor = min(first + j, end - 1)
            for n in range(width):
                x[j, n] = tokens[anchor, n] * (F1 + signal_half[n]) + signal_half[width + n]
        for depth in range(inner.shape[0]):
            squash(x, False)
            product(x, inner[depth], inner_bias[depth], y)
            x, y = y, x
        squash(x, False)
        product(x, last, last_bias, raw)
        squash(raw, True)
        for anchor in range(first, min(first + ROWS, end)):
            place(anchor, raw[anchor - first], row, skin_ids[anchor], skin_values[anchor], normals[anchor], light,
                  transforms, m, means, quats, scales, colors, posed_means, posed_quats, posed_scales,
                  posed_colors)  # fmt: skip


@jit
def shade_factor(m, normal, light):
    """Of red, green and blue, as in `lca_mini.model.light`, for an anchor whose blended transform is m [3 4]."""
    x = m[0, 0] * normal[0] + m[0, 1] * normal[1] + m[0, 2] * normal[2]
    y = m[1, 0] * normal[0] + m[1, 1] * normal[1] + m[1, 2] * normal[2]
    z = m[2, 0] * normal[0] + m[2, 1] * normal[1] + m[2, 2] * normal[2]
    unit = F1 / np.sqrt(max(TINY, x * x + y * y + z * z))
    x, y, z = unit * x, unit * y, unit * z
    basis = (x, y, z, x * y, y * z, x * z, x * x - y * y, F3 * z * z - F1)
    red = green = blue = F0
    for k in range(len(basis)):
        red += basis[k] * light[k, 0]
        green += basis[k] * light[k, 1]
        blue += basis[k] * light[k, 2]
    return (F1 + REACH_L * np.tanh(red / REACH_L), F1 + REACH_L * np.tanh(green / REACH_L),
            F1 + REACH_L * np.tanh(blue / REACH_L))  # fmt: skip


@jit
def place(anchor, raw, row, skin_ids, skin_values, normal, light, transforms, m, means, quats, scales, colors,
          posed_means, posed_quats, posed_scales, posed_colors):  # fmt: skip
    """Correct, skin and shade the Gaussians of one anchor. raw [G * 13]: tanh of the last layer. m [3 4]: scratch."""
    per_anchor = raw.shape[0] // 13
    m[:] = F0
    for k in range(skin_ids.shape[0]):
        weight, joint = skin_values[k], skin_ids[k]
        if weight == F0:
            break
        for i in range(3):
            for j in range(4):
                m[i, j] += weight * transforms[joint, i, j]
    shade = shade_factor(m, normal, light)
    # the quaternion of the blend: the largest of four candidates, as in `matrix_to_quaternion`
    x, y, z = m[0, 0], m[1, 1], m[2, 2]
    s0, s1, s2, s3 = F1 + x + y + z, F1 + x - y - z, F1 - x + y - z, F1 - x - y + z
    wx, wy, wz = m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]
    xy, xz, yz = m[0, 1] + m[1, 0], m[0, 2] + m[2, 0], m[1, 2] + m[2, 1]
    best = max(max(s0, s1), max(s2, s3))
    if s0 == best:
        aw, ax, ay, az = s0, wx, wy, wz
    elif s1 == best:
        aw, ax, ay, az = wx, s1, xy, xz
    elif s2 == best:
        aw, ax, ay, az = wy, xy, s2, yz
    else:
        aw, ax, ay, az = wz, xz, yz, s3
    unit = F1 / np.sqrt(max(TINY, aw * aw + ax * ax + ay * ay + az * az))
    for g in range(per_anchor):
        n, r = anchor * per_anchor + g, raw[13 * g : 13 * g + 13]
        x, y, z = means[n, 0] + REACH_P * r[0], means[n, 1] + REACH_P * r[1], means[n, 2] + REACH_P * r[2]
        for i in range(3):
            posed_means[n, i] = m[i, 0] * x + m[i, 1] * y + m[i, 2] * z + m[i, 3] + row[FIRST_TRANSL + i]
            posed_scales[n, i] = scales[n, i] * np.exp(REACH_S * r[7 + i])
            posed_colors[n, i] = min(F1, shade[i] * min(F1, max(F0, colors[n, i] + REACH_C * r[10 + i])))
        bw, bx, by, bz = (quats[n, 0] + REACH_Q * r[3], quats[n, 1] + REACH_Q * r[4],
                          quats[n, 2] + REACH_Q * r[5], quats[n, 3] + REACH_Q * r[6])  # fmt: skip
        k = unit / np.sqrt(max(TINY, bw * bw + bx * bx + by * by + bz * bz))
        posed_quats[n, 0] = k * (aw * bw - ax * bx - ay * by - az * bz)
        posed_quats[n, 1] = k * (aw * bx + bw * ax + ay * bz - az * by)
        posed_quats[n, 2] = k * (aw * by + bw * ay + az * bx - ax * bz)
        posed_quats[n, 3] = k * (aw * bz + bw * az + ax * by - ay * bx)
