"""The Triton kernels of driving, one after another as `drive_triton.TritonKernels` launches them.

Enters: pointers into a `DrivePlan` and its buffers. Leaves: what each kernel's first line says. Part of the paper: eq. 9
and skinning.

`pose_joints`: a program a frame, a lane a joint, each walking up its chain. `blend`: a lane an anchor, the mean
transform, its quaternion, and what the light makes of colours there. `layer`: a linear layer with what comes before and
after it. `place`: a lane a Gaussian. The first two do not depend on the third, so they run beside it on a stream of their
own.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def turn(l00, l01, l02, l10, l11, l12, l20, l21, l22, x, y, z):
    """A matrix times a vector."""
    return l00 * x + l01 * y + l02 * z, l10 * x + l11 * y + l12 * z, l20 * x + l21 * y + l22 * z


@triton.jit
def pose_joints(packed, rest, steps, chain, transforms, numbers, frames, joints, LONGEST: tl.constexpr,
                JOINTS: tl.constexpr, LEFT_EYE: tl.constexpr, RIGHT_EYE: tl.constexpr, GAZE: tl.constexpr):  # fmt: skip
    """Rest to posed transforms [images 55 12] from rows [images numbers]: T = L(root) ... L(parent) L(joint)."""
    image = tl.program_id(0)
    person = image // frames
    j = tl.arange(0, JOINTS)
    real = j < joints
    row = packed + image * numbers
    one = (j >= 0).to(tl.float32)
    none = one - 1.0
    # the product so far: rotation a, translation t
    a00, a01, a02, a10, a11, a12, a20, a21, a22 = one, none, none, none, one, none, none, none, one
    t0, t1, t2 = none, none, none
    for d in range(0, LONGEST):  # not unrolled: sine and cosine are long
        up = tl.load(chain + j * LONGEST + d, mask=real, other=-1)
        on = up >= 0
        up = tl.where(on, up, 0)
        x = tl.load(row + 3 * up, mask=on, other=0.0)
        y = tl.load(row + 3 * up + 1, mask=on, other=0.0)
        z = tl.load(row + 3 * up + 2, mask=on, other=0.0)
        angle = tl.sqrt(x * x + y * y + z * z)
        eye = on & ((up == LEFT_EYE) | (up == RIGHT_EYE))
        at = row + GAZE + tl.where(eye, 2 * (up - LEFT_EYE), 0)
        # half angles: of the turn, or of an eye's yaw and pitch
        first = 0.5 * tl.where(eye, tl.load(at, mask=eye, other=0.0), angle)
        second = -0.5 * tl.load(at + 1, mask=eye, other=0.0)
        c1, s1, c2, s2 = tl.cos(first), tl.sin(first), tl.cos(second), tl.sin(second)
        k = tl.where(angle > 1e-8, s1 / tl.maximum(angle, 1e-8), 0.5)
        w = c1 * c2
        x = tl.where(eye, c1 * s2, k * x)
        y = tl.where(eye, s1 * c2, k * y)
        z = tl.where(eye, -s1 * s2, k * z)
        l00, l01, l02 = 1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)
        l10, l11, l12 = 2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)
        l20, l21, l22 = 2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)
        step = steps + (person * joints + up) * 3
        b00, b10, b20 = turn(l00, l01, l02, l10, l11, l12, l20, l21, l22, a00, a10, a20)
        b01, b11, b21 = turn(l00, l01, l02, l10, l11, l12, l20, l21, l22, a01, a11, a21)
        b02, b12, b22 = turn(l00, l01, l02, l10, l11, l12, l20, l21, l22, a02, a12, a22)
        u0, u1, u2 = turn(l00, l01, l02, l10, l11, l12, l20, l21, l22, t0, t1, t2)
        a00, a01, a02, a10, a11, a12, a20, a21, a22 = b00, b01, b02, b10, b11, b12, b20, b21, b22
        t0 = u0 + tl.load(step, mask=on, other=0.0)
        t1 = u1 + tl.load(step + 1, mask=on, other=0.0)
        t2 = u2 + tl.load(step + 2, mask=on, other=0.0)
    home = rest + (person * joints + j) * 3
    x = tl.load(home, mask=real, other=0.0)
    y = tl.load(home + 1, mask=real, other=0.0)
    z = tl.load(home + 2, mask=real, other=0.0)
    out = transforms + (image * joints + j) * 12
    tl.store(out, a00, mask=real)
    tl.store(out + 1, a01, mask=real)
    tl.store(out + 2, a02, mask=real)
    tl.store(out + 3, t0 - (a00 * x + a01 * y + a02 * z), mask=real)
    tl.store(out + 4, a10, mask=real)
    tl.store(out + 5, a11, mask=real)
    tl.store(out + 6, a12, mask=real)
    tl.store(out + 7, t1 - (a10 * x + a11 * y + a12 * z), mask=real)
    tl.store(out + 8, a20, mask=real)
    tl.store(out + 9, a21, mask=real)
    tl.store(out + 10, a22, mask=real)
    tl.store(out + 11, t2 - (a20 * x + a21 * y + a22 * z), mask=real)


@triton.jit
def blend(packed, transforms, skin_ids, skin_values, normals, light, blended, numbers, anchors, joints, frames, reach,
          MOST: tl.constexpr, TRANSL: tl.constexpr, TERMS: tl.constexpr, BLEND: tl.constexpr,
          LANES: tl.constexpr):  # fmt: skip
    """Each anchor's mean transform with the root translation, its quaternion (`matrix_to_quaternion`), and the factors
    of its colours (`shade_factor`)."""
    image = tl.program_id(1)
    m = tl.program_id(0) * LANES + tl.arange(0, LANES)
    real = m < anchors
    zero = (m < 0).to(tl.float32)
    a00, a01, a02, a03, a10, a11, a12, a13, a20, a21, a22, a23 = (
        zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero)
    for k in tl.static_range(MOST):
        weight = tl.load(skin_values + m * MOST + k, mask=real, other=0.0)
        moves = real & (weight > 0)
        joint = tl.load(skin_ids + m * MOST + k, mask=real, other=0)
        at = transforms + (image * joints + joint) * 12
        a00 += weight * tl.load(at, mask=moves, other=0.0)
        a01 += weight * tl.load(at + 1, mask=moves, other=0.0)
        a02 += weight * tl.load(at + 2, mask=moves, other=0.0)
        a03 += weight * tl.load(at + 3, mask=moves, other=0.0)
        a10 += weight * tl.load(at + 4, mask=moves, other=0.0)
        a11 += weight * tl.load(at + 5, mask=moves, other=0.0)
        a12 += weight * tl.load(at + 6, mask=moves, other=0.0)
        a13 += weight * tl.load(at + 7, mask=moves, other=0.0)
        a20 += weight * tl.load(at + 8, mask=moves, other=0.0)
        a21 += weight * tl.load(at + 9, mask=moves, other=0.0)
        a22 += weight * tl.load(at + 10, mask=moves, other=0.0)
        a23 += weight * tl.load(at + 11, mask=moves, other=0.0)
    s0, s1 = 1 + a00 + a11 + a22, 1 + a00 - a11 - a22
    s2, s3 = 1 - a00 + a11 - a22, 1 - a00 - a11 + a22
    wx, wy, wz = a21 - a12, a02 - a20, a10 - a01
    xy, xz, yz = a01 + a10, a02 + a20, a12 + a21
    best = tl.maximum(tl.maximum(s0, s1), tl.maximum(s2, s3))
    is0, is1, is2 = s0 == best, s1 == best, s2 == best
    w = tl.where(is0, s0, tl.where(is1, wx, tl.where(is2, wy, wz)))
    x = tl.where(is0, wx, tl.where(is1, s1, tl.where(is2, xy, xz)))
    y = tl.where(is0, wy, tl.where(is1, xy, tl.where(is2, s2, yz)))
    z = tl.where(is0, wz, tl.where(is1, xz, tl.where(is2, yz, s3)))
    unit = 1.0 / tl.sqrt(tl.maximum(w * w + x * x + y * y + z * z, 1e-24))
    row = packed + image * numbers + TRANSL
    out = blended + (image * anchors + m) * BLEND
    tl.store(out, a00, mask=real)
    tl.store(out + 1, a01, mask=real)
    tl.store(out + 2, a02, mask=real)
    tl.store(out + 3, a03 + tl.load(row), mask=real)
    tl.store(out + 4, a10, mask=real)
    tl.store(out + 5, a11, mask=real)
    tl.store(out + 6, a12, mask=real)
    tl.store(out + 7, a13 + tl.load(row + 1), mask=real)
    tl.store(out + 8, a20, mask=real)
    tl.store(out + 9, a21, mask=real)
    tl.store(out + 10, a22, mask=real)
    tl.store(out + 11, a23 + tl.load(row + 2), mask=real)
    tl.store(out + 12, unit * w, mask=real)
    tl.store(out + 13, unit * x, mask=real)
    tl.store(out + 14, unit * y, mask=real)
    tl.store(out + 15, unit * z, mask=real)
    x = tl.load(normals + 3 * m, mask=real, other=0.0)
    y = tl.load(normals + 3 * m + 1, mask=real, other=0.0)
    z = tl.load(normals + 3 * m + 2, mask=real, other=0.0)
    x, y, z = turn(a00, a01, a02, a10, a11, a12, a20, a21, a22, x, y, z)
    unit = 1.0 / tl.sqrt(tl.maximum(x * x + y * y + z * z, 1e-24))
    x, y, z = unit * x, unit * y, unit * z
    for i in tl.static_range(3):
        term = light + (image // frames) * TERMS * 3 + i
        total = x * tl.load(term) + y * tl.load(term + 3) + z * tl.load(term + 6)
        total += x * y * tl.load(term + 9) + y * z * tl.load(term + 12) + x * z * tl.load(term + 15)
        total += (x * x - y * y) * tl.load(term + 18) + (3 * z * z - 1) * tl.load(term + 21)
        tl.store(out + 16 + i, 1 + reach * (2 * tl.sigmoid(2 * total / reach) - 1), mask=real)


@triton.jit
def layer(x, signal_half, weight, bias, y, rows, frames, wide, out, columns, FIRST: tl.constexpr, LAST: tl.constexpr,
          EXACT: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr):  # fmt: skip
    """y [images rows out] = act(x weight + bias). FIRST: x [people rows wide] are token features, which the image's
    signal half scales and shifts before SiLU. act: SiLU, for LAST tanh. EXACT: no TF32."""
    image = tl.program_id(1)
    m = (tl.program_id(0) // columns) * ROWS + tl.arange(0, ROWS)
    n = (tl.program_id(0) % columns) * COLUMNS + tl.arange(0, COLUMNS)
    source = (image // frames if FIRST else image).to(tl.int64)
    x += source * rows * wide
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for first in range(0, wide, DEPTH):
        k = first + tl.arange(0, DEPTH)
        part = tl.load(x + m[:, None] * wide + k[None, :], mask=(m < rows)[:, None] & (k < wide)[None, :], other=0.0)
        if FIRST:
            gain = tl.load(signal_half + 2 * image * wide + k, mask=k < wide, other=0.0)
            shift = tl.load(signal_half + (2 * image + 1) * wide + k, mask=k < wide, other=0.0)
            sums = part.to(tl.float32) * (1 + gain)[None, :] + shift[None, :]
            part = (sums * tl.sigmoid(sums)).to(weight.dtype.element_ty)
        share = tl.load(weight + k[:, None] * out + n[None, :], mask=(k < wide)[:, None] & (n < out)[None, :], other=0.0)
        if EXACT:
            total += tl.dot(part, share, input_precision="ieee")
        else:
            total += tl.dot(part, share)
    total += tl.load(bias + n, mask=n < out, other=0.0)[None, :]
    if LAST:
        total = 2 * tl.sigmoid(2 * total) - 1
    else:
        total = total * tl.sigmoid(total)
    at = image.to(tl.int64) * rows * out + m[:, None] * out + n[None, :]
    tl.store(y + at, total.to(y.dtype.element_ty), mask=(m < rows)[:, None] & (n < out)[None, :])


@triton.jit
def correction(at, real):
    """One number of the last layer, whatever it is stored as, in float32."""
    return tl.load(at, mask=real, other=0.0).to(tl.float32)


@triton.jit
def place(raw, blended, means, quats, scales, colors, posed_means, posed_quats, posed_scales, posed_colors,
          count, per_anchor, frames, reach_p, reach_q, reach_s, reach_c, BLEND: tl.constexpr,
          LANES: tl.constexpr):  # fmt: skip
    """Correct, skin and shade each Gaussian. raw [images N 13]: tanh of the last layer."""
    image = tl.program_id(1).to(tl.int64)
    n = tl.program_id(0) * LANES + tl.arange(0, LANES)
    real = n < count
    here, there = (image // frames) * count + n, image * count + n
    r = raw + there * 13
    b = blended + (image * (count // per_anchor) + n // per_anchor) * BLEND
    x = tl.load(means + 3 * here, mask=real, other=0.0) + reach_p * correction(r, real)
    y = tl.load(means + 3 * here + 1, mask=real, other=0.0) + reach_p * correction(r + 1, real)
    z = tl.load(means + 3 * here + 2, mask=real, other=0.0) + reach_p * correction(r + 2, real)
    for i in tl.static_range(3):
        a, c = tl.load(b + 4 * i, mask=real, other=0.0), tl.load(b + 4 * i + 1, mask=real, other=0.0)
        e, t = tl.load(b + 4 * i + 2, mask=real, other=0.0), tl.load(b + 4 * i + 3, mask=real, other=0.0)
        tl.store(posed_means + 3 * there + i, a * x + c * y + e * z + t, mask=real)
        ds = reach_s * correction(r + 7 + i, real)
        tl.store(posed_scales + 3 * there + i, tl.load(scales + 3 * here + i, mask=real, other=0.0) * tl.exp(ds), mask=real)
        colour = tl.load(colors + 3 * here + i, mask=real, other=0.0)
        colour += reach_c * correction(r + 10 + i, real)
        colour = tl.minimum(tl.maximum(colour, 0.0), 1.0) * tl.load(b + 16 + i, mask=real, other=1.0)
        tl.store(posed_colors + 3 * there + i, tl.minimum(colour, 1.0), mask=real)
    bw = tl.load(quats + 4 * here, mask=real, other=1.0) + reach_q * correction(r + 3, real)
    bx = tl.load(quats + 4 * here + 1, mask=real, other=0.0) + reach_q * correction(r + 4, real)
    by = tl.load(quats + 4 * here + 2, mask=real, other=0.0) + reach_q * correction(r + 5, real)
    bz = tl.load(quats + 4 * here + 3, mask=real, other=0.0) + reach_q * correction(r + 6, real)
    k = 1.0 / tl.sqrt(tl.maximum(bw * bw + bx * bx + by * by + bz * bz, 1e-24))
    aw, ax = k * tl.load(b + 12, mask=real, other=0.0), k * tl.load(b + 13, mask=real, other=0.0)
    ay, az = k * tl.load(b + 14, mask=real, other=0.0), k * tl.load(b + 15, mask=real, other=0.0)
    tl.store(posed_quats + 4 * there, aw * bw - ax * bx - ay * by - az * bz, mask=real)
    tl.store(posed_quats + 4 * there + 1, aw * bx + bw * ax + ay * bz - az * by, mask=real)
    tl.store(posed_quats + 4 * there + 2, aw * by + bw * ay + az * bx - ax * bz, mask=real)
    tl.store(posed_quats + 4 * there + 3, aw * bz + bw * az + ax * by - ay * bx, mask=real)
