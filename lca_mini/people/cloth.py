"""Cloth and shoes: procedural colour at covered pixels.

Enters: looks, and where on the template each pixel lies. Leaves: `Surface`s. Not part of the paper. Patterns run round
and along trunk, arms and legs, as woven ones do.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lca_mini.people import cuts
from lca_mini.people.looks import PATTERNS, Looks
from lca_mini.people.noise import noise, smoothstep
from lca_mini.people.skin import Surface


def cloth(looks: Looks, who: Int[Tensor, " P"], garment: Int[Tensor, " P"], at: Float[Tensor, "P 3"]) -> Surface:
    """A garment's surface. garment: 0 top, 1 bottom, 2 skirt, 3 shoes."""
    x, y, z = at.unbind(1)
    arm = cuts.along_sleeve(at)
    around, along = _weave(at, garment)
    folds = noise(at * at.new_tensor([1.1, 0.8, 1.1]) + looks.phase[who])
    grain = noise(torch.stack([around, along, z], 1) * 9 + looks.phase[who])
    palette = looks.colors[who, garment]
    pattern, scale = looks.pattern[who, garment], looks.scale[who, garment]
    amounts = _pattern(pattern, around / scale, along / scale, folds, grain, at, arm)
    color = palette[:, 0] * (1 - amounts[:, :1]) + palette[:, 1] * amounts[:, :1]
    color = color * (1 - amounts[:, 1:]) + palette[:, 2] * amounts[:, 1:]

    sleeve, hem, waist, leg, skirt, shoe = looks.cuts[who].unbind(1)
    neck = cuts.necklines(at).gather(1, looks.neckline[who][:, None])[:, 0]
    is_top, is_legs, is_skirt, is_shoe = ((garment == i).float() for i in range(4))
    trunk = (arm < 0.2).float()
    edge_top = torch.minimum(
        torch.minimum(torch.where(arm > 0.19, sleeve - arm, 1.0), (y - hem) * trunk + (1 - trunk)), -neck
    )
    edge_legs = torch.minimum(y - leg, waist - y)
    edge = is_top * edge_top + is_legs * edge_legs + is_skirt * (y - skirt) + is_shoe * (shoe - y)
    seam = torch.exp(-((edge - 0.014) / 0.0016).square()) * 0.35 + smoothstep(0.005, 0.0, edge) * 0.25
    collar = is_top * smoothstep(0.017, 0.015, -neck) * (looks.scale[who, 0] > 1.1)
    color = color * (1 - 0.35 * collar[:, None])
    fly = is_legs * torch.exp(-(x / 0.0016).square()) * (z > 0.08) * (y > -0.04) * 0.35
    belt_at = torch.minimum(waist, torch.full_like(waist, 0.105))
    belt = looks.belt[who].float() * (is_legs + is_skirt).clamp(max=1) * smoothstep(0.034, 0.031, belt_at + 0.015 - y)
    color = color * (1 - belt[:, None]) + belt[:, None] * at.new_tensor([0.03, 0.018, 0.012])

    sole = is_shoe * smoothstep(-0.849, -0.852, y)
    color = color * (1 - sole[:, None]) + palette[:, 1] * sole[:, None]
    laces = is_shoe * (shoe < -0.77) * (z > 0.13) * (z < 0.20) * smoothstep(0.016, 0.013, (x.abs() - 0.155).abs())
    laces = laces * smoothstep(0.2, 0.6, torch.sin(z * 420)) * (1 - sole) * 0.7
    color = color * (1 - laces[:, None]) + palette[:, 2] * laces[:, None]

    value = 0.10 * grain[:, 2] + 0.22 * folds[:, 0] * (1 - is_shoe)
    albedo = color * torch.exp(value)[:, None] * (1 - (seam + fly).clamp(max=0.6))[:, None]
    slack = (0.20 + 0.16 * is_top * looks.loose[who, 0] + 0.14 * is_legs * looks.loose[who, 1]) * (1 - 0.9 * is_shoe)
    bump = (
        slack[:, None] * torch.stack([folds[:, 0], 0.8 * folds[:, 1], noise(at * 0.9 + 0.37)[:, 0]], 1)
        + 0.05 * grain[:, 1:]
    )
    return Surface(albedo.clamp(max=0.9), 0.25 + 0.6 * is_shoe, 0.85 - 0.4 * is_shoe, 0.08 + 0 * x, bump)


def _weave(at: Tensor, garment: Tensor) -> tuple[Tensor, Tensor]:
    """Metres round and along the limb that a point belongs to."""
    x, y, z = at.unbind(1)
    on_arm = (cuts.along_sleeve(at) > 0.19) & (garment == 0)
    on_leg = (y < -0.09) & (garment == 1)
    along = torch.where(on_arm, x.abs(), y)
    centre_x = torch.where(on_leg, 0.1 * x.sign(), 0.0)
    u, v = torch.where(on_arm, y - 0.462, x - centre_x), torch.where(on_arm, z - 0.09, z - 0.09)
    radius = torch.where(on_arm, 0.05, torch.where(on_leg, 0.08, 0.15))
    return torch.atan2(u, v + 1e-6) * radius, along


def _pattern(kind: Tensor, u: Tensor, v: Tensor, folds: Tensor, grain: Tensor, at: Tensor, arm: Tensor) -> Tensor:
    """How much of the second and of the third colour each pixel shows, [P 2]."""
    wave = lambda w, period, share: smoothstep(
        share - 0.06, share + 0.06, 0.5 + 0.5 * torch.cos(w * (2 * torch.pi / period))
    )  # noqa: E731
    x, y, z = at.unbind(1)
    zero = torch.zeros_like(u)
    hoops, stripes = wave(v, 0.045, 0.55), wave(u, 0.028, 0.72)
    check = 0.5 * wave(u, 0.07, 0.5) + 0.5 * wave(v, 0.07, 0.5)
    overcheck = 0.7 * torch.maximum(wave(u + 0.01, 0.07, 0.965), wave(v + 0.01, 0.07, 0.965))
    cell_u, cell_v = u / 0.036, v / 0.036
    cell_u = cell_u + 0.5 * (cell_v.floor() % 2)
    dots = smoothstep(0.30, 0.25, ((cell_u % 1 - 0.5).square() + (cell_v % 1 - 0.5).square()).sqrt())
    blot = smoothstep(0.05, 0.12, noise(torch.stack([u, v, zero], 1) * 1.6)[:, 0])
    blot2 = smoothstep(0.30, 0.36, noise(torch.stack([v, u, zero + 0.4], 1) * 1.6)[:, 1])
    heather = (0.35 + 0.45 * grain[:, 2]).clamp(0, 0.8)
    band = smoothstep(0.275, 0.280, y) * smoothstep(0.355, 0.350, y) * (arm < 0.3)
    stripe = smoothstep(0.30, 0.303, y) * smoothstep(0.33, 0.327, y) * (arm < 0.3)
    disc = (x.square() + (y - 0.31).square()).sqrt()
    badge = smoothstep(0.062, 0.059, disc) * (z > 0.1)
    ring = smoothstep(0.048, 0.045, disc) * smoothstep(0.030, 0.033, disc) * (z > 0.1)
    blocks = torch.maximum((arm > 0.19).float(), smoothstep(0.40, 0.403, y))
    table = torch.stack([
        torch.stack([zero, hoops, stripes, check, dots, blot, heather * 0.5, band, badge, blocks], 1),
        torch.stack([zero, zero, zero, overcheck, zero, blot2, zero, stripe, ring, zero], 1),
    ], 2)  # fmt: skip
    assert table.shape[1] == len(PATTERNS)
    return table.gather(1, kind[:, None, None].expand(-1, 1, 2))[:, 0]
