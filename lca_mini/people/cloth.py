"""Cloth and shoes: procedural colour at covered pixels.

Enters: looks, and where on the template each pixel lies. Leaves: `Surface`s. Not part of the paper. Patterns run round
and along trunk, arms and legs, as woven ones do.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lca_mini.capture.constants import constant
from lca_mini.people import cuts
from lca_mini.people.looks import Looks
from lca_mini.people.noise import noise, smoothstep
from lca_mini.people.patterns import Weave, pattern_amounts
from lca_mini.people.skin import Surface


def cloth(looks: Looks, who: Int[Tensor, " P"], garment: Int[Tensor, " P"], at: Float[Tensor, "P 3"]) -> Surface:
    """A garment's surface. garment: 0 top, 1 bottom, 2 skirt, 3 shoes."""
    x, y, z = at.unbind(1)
    arm = cuts.along_sleeve(at)
    around, along = _weave(at, garment)
    folds = noise(at * constant(at, (1.1, 0.8, 1.1)) + looks.phase[who])
    grain = noise(torch.stack([around, along, z], 1) * 9 + looks.phase[who])
    palette = looks.colors[who, garment]
    pattern, scale = looks.pattern[who, garment], looks.scale[who, garment]
    weave = Weave(who, around / scale, along / scale, at, arm, grain[:, 2])
    amounts = pattern_amounts(looks, pattern, weave)
    color = palette[:, 0] * (1 - amounts[:, :1]) + palette[:, 1] * amounts[:, :1]
    color = color * (1 - amounts[:, 1:]) + palette[:, 2] * amounts[:, 1:]
    color, value = _layer(looks, who, garment, at, arm, color)

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
    belt_low = smoothstep(0.034, 0.031, belt_at + 0.015 - y)
    belt = looks.belt[who] * belt_low * torch.where(garment == 0, smoothstep(0.016, 0.013, y - belt_at), 1 - is_shoe)
    color = color * (1 - belt[:, None]) + belt[:, None] * constant(at, (0.03, 0.018, 0.012))

    sole = is_shoe * smoothstep(-0.849, -0.852, y)
    color = color * (1 - sole[:, None]) + palette[:, 1] * sole[:, None]
    laces = is_shoe * (shoe < -0.77) * (z > 0.13) * (z < 0.20) * smoothstep(0.016, 0.013, (x.abs() - 0.155).abs())
    laces = laces * smoothstep(0.2, 0.6, torch.sin(z * 420)) * (1 - sole) * 0.7
    color = color * (1 - laces[:, None]) + palette[:, 2] * laces[:, None]

    value = value + 0.10 * grain[:, 2] + 0.22 * folds[:, 0] * (1 - is_shoe)
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


def _layer(
    looks: Looks, who: Tensor, garment: Tensor, at: Tensor, arm: Tensor, color: Tensor
) -> tuple[Tensor, Tensor]:
    """Open cardigans, zipped jackets, blazers with lapels, shirts with buttons, drawn on tops: colour, and the
    logarithm of what shadows leave of it."""
    layer = looks.layer[who]
    value = torch.zeros_like(arm)
    index = ((garment == 0) & (layer > 0) & (arm < 0.19) & (at[:, 2] > 0.06)).nonzero()[:, 0]
    if not len(index):
        return color, value
    (x, y, _), layer, person = at[index].unbind(1), layer[index], who[index]
    cardigan, jacket, blazer, shirt = (layer == i for i in range(1, 5))
    open_ = cuts.front_opening(layer, y)
    d = x.abs() - open_  # metres outside the opening
    worn = color[index]
    within = smoothstep(0.0006, -0.0006, d)[:, None] * ~shirt[:, None]
    inner = looks.trims[person, 6]
    lapel = torch.exp(-((x.abs() - open_ - 0.055 * smoothstep(0.19, 0.42, y)) / 0.0016).square()) * (y > 0.2) * blazer
    ribs = (d > 0) * (d < 0.022) * cardigan * (0.6 + 0.4 * torch.sin(y * 900)) * 0.35
    zip_ = torch.exp(-(d / 0.0032).square()) * jacket * (0.5 + 0.2 * torch.sin(y * 1500))
    placket = torch.exp(-((x.abs() - 0.014) / 0.0012).square()) * shirt * 0.3
    edge = torch.exp(-(d / 0.0022).square()) * (open_ > 0) * 0.5 + placket
    shadow = torch.exp(d.clamp(max=0) / 0.010) * (d < 0) * 0.45
    off = (y / 0.075) % 1 - 0.5
    button = smoothstep(0.0058, 0.0046, (x.square() + (off * 0.075).square()).sqrt())
    button = button * (shirt | ((open_ < 0.016) & (cardigan | (blazer & (y > 0.03)))))
    worn = worn * (1 - within) + inner * within
    worn = worn * (1 - zip_[:, None]) + 0.18 * zip_[:, None]
    worn = worn * (1 - button[:, None]) + button[:, None] * looks.colors[person, 3, 1] * 0.7
    color = color.index_copy(0, index, worn)
    return color, value.index_copy(0, index, -(shadow * ~shirt + edge + lapel * 0.6 + ribs))
