"""Where hair and beard grow, and the hair that hangs: a curtain and a tail.

Enters: points of the template; the body. Leaves: signed scalars over the head, and two meshes. Not part of the paper.
Hair that lies on the head is the scalp itself, pushed outwards; its edge is drawn per pixel, and so ends in strands.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from lca_mini.capture.constants import constant
from lca_mini.people.noise import smoothstep
from lca_mini.people.pieces import Piece, follow, grid_faces

AXIS_Z = 0.115
_LINE_Z = (0.0, 0.045, 0.07, 0.095, 0.105, 0.128, 0.138, 0.150, 0.165, 0.19, 0.24)
_LINE_Y = (0.59, 0.595, 0.61, 0.65, 0.69, 0.70, 0.672, 0.705, 0.745, 0.757, 0.757)
_BEARD_Z = (0.0, 0.128, 0.138, 0.150, 0.165, 0.19, 0.205, 0.26)
_BEARD_Y = (0.40, 0.55, 0.690, 0.670, 0.645, 0.633, 0.636, 0.636)


def _piecewise(z: Tensor, knots: tuple[float, ...], values: tuple[float, ...]) -> Tensor:
    k, v = constant(z, knots), constant(z, values)
    i = torch.searchsorted(k, z.contiguous()).clamp(1, len(knots) - 1)
    t = ((z - k[i - 1]) / (k[i] - k[i - 1])).clamp(0, 1)
    return v[i - 1] + t * (v[i] - v[i - 1])


def scalp(
    points: Float[Tensor, "P 3"], ears: Float[Tensor, " P"], recede: Tensor | float = 0.0
) -> Float[Tensor, "... P"]:
    """Height above the hairline, metres; negative on the bare face, ears and neck. recede: 0 none to 1 far;
    below 0 a fringe falls towards the brows instead."""
    x, y, z = points.unbind(-1)
    line = _piecewise(z, _LINE_Z, _LINE_Y)
    front, side = smoothstep(0.14, 0.185, z), x.abs()
    recede = torch.as_tensor(recede, device=x.device, dtype=x.dtype)
    temples = 0.35 * (side - 0.02).clamp(0, 0.03) + recede.clamp(min=0) * (0.02 + 0.5 * (side - 0.01).clamp(0, 0.03))
    line = line + front * (temples + recede.clamp(max=0) * (0.034 - 0.012 * smoothstep(0.03, 0.06, side)))
    height = torch.where(y > 0.56, y - line, torch.full_like(y, -0.1))
    return height - 0.2 * ears


def beard(points: Float[Tensor, "P 3"], lips: Float[Tensor, " P"]) -> Float[Tensor, " P"]:
    """Depth inside the region where a beard grows, metres; negative outside."""
    x, y, z = points.unbind(-1)
    moustache = 0.016 * smoothstep(0.034, 0.022, x.abs()) * smoothstep(0.19, 0.2, z)
    upper = _piecewise(z, _BEARD_Z, _BEARD_Y) + moustache - y
    lower = y - (0.578 - 0.35 * (z - 0.19).clamp(max=0) - 0.12 * (z - 0.12).clamp(min=0))
    return torch.minimum(torch.minimum(upper, lower), z - 0.128) - 0.05 * smoothstep(0.3, 0.7, lips)


def curtain(body: Piece, rows: int = 18, columns: int = 33) -> tuple[Piece, Float[Tensor, "v 3"]]:
    """Hair that falls round the back and sides of the head to the shoulder blades, and what to add to make it a bob."""
    t, s = torch.meshgrid(torch.linspace(0, 1, rows), torch.linspace(-1, 1, columns), indexing="ij")
    t, s = t.flatten(), s.flatten()
    points, short = _fall(t, s), _fall(0.5 * t, s)
    y = points[:, 1]
    weights = torch.zeros(len(t), 55)
    head, neck = smoothstep(0.54, 0.66, y), smoothstep(0.44, 0.56, y)
    weights[:, 15], weights[:, 12], weights[:, 9] = head, (1 - head) * neck, (1 - head) * (1 - neck)
    leader = _leader(body)
    return follow(points, grid_faces(rows, columns, False), leader, 80, weights), short - points


def _fall(t: Tensor, s: Tensor) -> Tensor:
    """The curtain's surface: t from the top of the head down, s from one side round the back to the other."""
    around = s * math.radians(118)  # 0 is the back
    uneven = 0.035 * torch.sin(9.7 * s + 0.6) + 0.025 * torch.sin(23.0 * s)  # locks end where they end
    layers = 1 - 0.30 * smoothstep(0.62, 1.0, s.abs()) - 0.10 * s.square() + uneven  # shorter beside the face
    y = 0.765 - 0.385 * t * layers
    side, back = around.sin(), around.cos()
    half_width = 0.082 + 0.014 * smoothstep(0.75, 0.68, y)
    depth = (
        0.098
        + 0.012 * smoothstep(0.76, 0.70, y)
        - 0.004 * smoothstep(0.66, 0.60, y)
        + 0.060 * smoothstep(0.60, 0.46, y)
    )
    widen = 1 + 0.25 * smoothstep(0.62, 0.50, y)
    return torch.stack([half_width * widen * side, y, AXIS_Z - 0.006 - torch.where(back > 0, depth, 0.085) * back], 1)


def tail(body: Piece, rows: int = 14, columns: int = 14) -> tuple[Piece, Float[Tensor, "v 3"]]:
    """A ponytail at the back of the head, and what to add to make it a bun."""
    t, s = torch.meshgrid(torch.linspace(0, 1, rows), torch.arange(columns) / columns * 2 * math.pi, indexing="ij")
    t, s = t.flatten(), s.flatten()
    y = 0.752 - 0.30 * t + 0.012 * (t * math.pi).sin()
    z = 0.016 - 0.040 * (t / 0.25).clamp(max=1).mul(math.pi / 2).sin() + 0.010 * t
    radius = 0.004 + 0.024 * (t / 0.18).clamp(max=1).sqrt() * (1 - smoothstep(0.45, 1.05, t))
    points = torch.stack([radius * s.cos(), y, z + radius * s.sin()], 1)
    polar = t * math.pi
    bun = torch.stack(
        [0.036 * polar.sin() * s.cos(), 0.765 + 0.033 * polar.sin() * s.sin(), 0.022 - 0.030 * polar.cos()], 1
    )
    weights = torch.zeros(len(t), 55)
    weights[:, 15] = smoothstep(1.1, 0.3, t)
    weights[:, 12] = 1 - weights[:, 15]
    return follow(points, grid_faces(rows, columns, True), _leader(body), 80, weights), bun - points


def strands(points: Float[Tensor, "P 3"]) -> Float[Tensor, "P 3"]:
    """Coordinates that vary quickly across hair that falls from the crown, slowly along it."""
    x, y, z = points.unbind(-1)
    flat = F.normalize(torch.stack([x, z - AXIS_Z], -1) + 1e-5, dim=-1)
    return torch.stack([0.62 * flat[:, 0], 0.4 * y, 0.62 * flat[:, 1]], -1)


def _leader(body: Piece) -> Piece:
    """The vertices that hanging hair follows: the skull, the neck, the upper back."""
    x, y, z = body.template.unbind(1)
    skull = (y > 0.66) & (body.weights[:, 15] > 0.9) & (z < 0.16)
    below = (y < 0.66) & (y > 0.3) & (z < 0.10) & (x.abs() < 0.17)
    ids = (skull | below).nonzero()[:, 0]
    return Piece(body.template[ids], body.shapedirs[ids], body.exprdirs[ids], body.weights[ids], body.faces)


def ripple(points: Float[Tensor, "v 3"]) -> Float[Tensor, "v 3"]:
    """What makes hanging hair wavy: displacements that grow downwards, out of step round the head."""
    x, y, z = points.unbind(1)
    around = torch.atan2(x, AXIS_Z - z)
    amount = 0.011 * smoothstep(0.72, 0.60, y)
    out = F.normalize(torch.stack([x, 0 * y, z - AXIS_Z], 1), dim=1)
    swing = torch.sin(y * 105 + 2.5 * torch.sin(3 * around)) + 0.5 * torch.sin(y * 61 + 7 * around)
    return out * (amount * swing)[:, None]
