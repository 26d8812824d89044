"""Driving on a CPU: matrix products by torch into buffers that stay, all else in two numba kernels.

Enters: a `DrivePlan` and packed rows of a signal. Leaves: posed Gaussians in buffers that the next frame overwrites.
Part of the paper: eq. 9 and skinning. What differs from `LCA.drive`, its readable twin: nothing within rounding; there
are no gradients.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn import functional as F

from lca_mini.compiled import jit, share
from lca_mini.model.drive_plan import BOUNDS, LEFT_EYE, PACKED, RIGHT_EYE, DrivePlan

FIRST_TRANSL, FIRST_GAZE = PACKED["transl"].start, PACKED["gaze"].start
REACH_P, REACH_Q, REACH_S, REACH_C = (np.float32(bound) for bound in BOUNDS)
F0, F1 = np.float32(0), np.float32(1)
TINY = np.float32(1e-24)
CHUNKS = 4  # of anchors, a thread


class NumbaKernels:
    """Buffers and the work of one call. packed: what `run` reads. gaussians: what it writes."""

    def __init__(self, plan: DrivePlan) -> None:
        """The plan's tensors must be on the CPU."""
        self.plan, self.packed, self.gaussians = plan, plan.new_packed(), plan.new_gaussians()
        rows = plan.images * plan.tokens.shape[1]
        self.signal_half = torch.empty(plan.images, plan.tokens.shape[2])
        self.hidden = [torch.empty(rows, len(weight)) for weight, _ in plan.layers]
        self.raw = torch.empty(rows, len(plan.layers[-1][1]))
        self.transforms = np.empty((plan.images, len(plan.chain), 3, 4), np.float32)
        constant = (plan.skin_ids, plan.skin_values, plan.rest, plan.steps, plan.chain[:, 1:2].reshape(-1))
        self.skin_ids, self.skin_values, self.rest, self.steps, self.parents = (t.numpy().copy() for t in constant)
        fields = ("means", "quats", "scales", "colors")
        self.canonical = [getattr(plan.canonical, field).numpy() for field in fields]
        self.posed = [getattr(self.gaussians, field).flatten(0, len(plan.leading) - 1).numpy() for field in fields]

    def run(self) -> None:
        """packed to gaussians."""
        plan, packed = self.plan, self.packed.flatten(0, -2)
        torch.mm(packed, plan.signal_weight, out=self.signal_half)
        people, anchors, width = plan.tokens.shape
        summed = self.hidden[0].view(people, plan.frames, anchors, width)
        torch.add(plan.tokens[:, None], self.signal_half.view(people, plan.frames, 1, width), out=summed)
        for (weight, bias), x, y in zip(plan.layers, self.hidden, [*self.hidden[1:], self.raw]):
            torch.addmm(bias, F.silu(x, inplace=True), weight, out=y)
        raw = self.raw.tanh_().view(plan.images, anchors, plan.per_anchor, -1).numpy()
        rows, threads = packed.numpy(), torch.get_num_threads()
        edges = np.linspace(0, anchors, threads * CHUNKS + 1).astype(int).tolist()
        for image in range(plan.images):
            person = image // plan.frames
            pose_joints(rows[image], self.rest[person], self.steps[person], self.parents, self.transforms[image])

        def part(item: int) -> None:
            image, chunk = divmod(item, threads * CHUNKS)
            place(
                edges[chunk], edges[chunk + 1], raw[image], rows[image], self.skin_ids, self.skin_values,
                self.transforms[image], *(t[image // plan.frames] for t in self.canonical), *(t[image] for t in self.posed),
            )  # fmt: skip

        share(part, plan.images * threads * CHUNKS, threads)


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
def place(begin, end, raw, row, skin_ids, skin_values, transforms, means, quats, scales, colors,
          posed_means, posed_quats, posed_scales, posed_colors):  # fmt: skip
    """Correct and skin the Gaussians of the anchors begin:end of one image. raw [M G 13]: tanh of the last layer."""
    per_anchor, m = raw.shape[1], np.empty((3, 4), np.float32)
    for anchor in range(begin, end):
        m[:] = F0
        for k in range(skin_ids.shape[1]):
            weight, joint = skin_values[anchor, k], skin_ids[anchor, k]
            if weight == F0:
                break
            for i in range(3):
                for j in range(4):
                    m[i, j] += weight * transforms[joint, i, j]
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
            n, r = anchor * per_anchor + g, raw[anchor, g]
            x, y, z = means[n, 0] + REACH_P * r[0], means[n, 1] + REACH_P * r[1], means[n, 2] + REACH_P * r[2]
            for i in range(3):
                posed_means[n, i] = m[i, 0] * x + m[i, 1] * y + m[i, 2] * z + m[i, 3] + row[FIRST_TRANSL + i]
                posed_scales[n, i] = scales[n, i] * np.exp(REACH_S * r[7 + i])
                posed_colors[n, i] = min(F1, max(F0, colors[n, i] + REACH_C * r[10 + i]))
            bw, bx, by, bz = (quats[n, 0] + REACH_Q * r[3], quats[n, 1] + REACH_Q * r[4],
                              quats[n, 2] + REACH_Q * r[5], quats[n, 3] + REACH_Q * r[6])  # fmt: skip
            k = unit / np.sqrt(max(TINY, bw * bw + bx * bx + by * by + bz * bz))
            posed_quats[n, 0] = k * (aw * bw - ax * bx - ay * by - az * bz)
            posed_quats[n, 1] = k * (aw * bx + bw * ax + ay * bz - az * by)
            posed_quats[n, 2] = k * (aw * by + bw * ay + az * bx - ax * bz)
            posed_quats[n, 3] = k * (aw * bz + bw * az + ax * by - ay * bx)
