"""Skin, eyes, teeth and hair: procedural colour at covered pixels.

Enters: looks, and where on the template each pixel lies. Leaves: `Surface`s. Not part of the paper. Everything is drawn
in template space, so that it sticks to the face when the face moves.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from lca_mini.people.hair import beard, scalp, strands
from lca_mini.people.looks import Looks
from lca_mini.people.noise import noise, smoothstep
from lca_mini.types import Movable

EYES = ((0.02924, 0.69513, 0.1915), (-0.02924, 0.69513, 0.1915))
IRIS_RADIUS, PUPIL_RADIUS = 0.0064, 0.0027


@dataclass(frozen=True)
class Surface(Movable):
    """What `shading.shade` wants to know of each pixel. bump: added to the unit normal before shading."""

    albedo: Float[Tensor, "P 3"]
    specular: Float[Tensor, " P"]
    roughness: Float[Tensor, " P"]
    wrap: Float[Tensor, " P"]
    bump: Float[Tensor, "P 3"]


def skin(looks: Looks, who: Int[Tensor, " P"], at: Float[Tensor, "P 3"], masks: Float[Tensor, "P 6"]) -> Surface:
    """Skin with lips, brows, stubble, and whatever hair lies on it."""
    lips, mouth, _, nails, ears, light = masks.unbind(1)
    x, y, z = at.unbind(1)
    side = x.abs()
    rough = noise(at * 1.7 + looks.phase[who])
    fine = noise(at * 6 + looks.phase[who])
    albedo = looks.skin[who] * torch.exp(0.10 * rough[:, :1] + 0.05 * fine[:, 1:2])
    face = smoothstep(0.56, 0.60, y) * smoothstep(0.12, 0.15, z)

    cheek = torch.exp(-((side - 0.044) / 0.018).square() - ((y - 0.662) / 0.018).square()) * face
    nose = torch.exp(-(side / 0.014).square() - ((y - 0.658) / 0.016).square()) * smoothstep(0.205, 0.225, z)
    red = (0.5 * cheek + 0.45 * nose) * looks.blush[who] + 0.35 * ears + 0.22 * smoothstep(0.66, 0.72, side) * (y > 0.4)
    albedo = albedo * torch.exp(red[:, None] * at.new_tensor([0.02, -0.38, -0.30]))
    spots = smoothstep(0.32, 0.55, fine[:, 2]) * looks.freckles[who] * (0.4 * face + 0.6 * (cheek + nose).clamp(max=1))
    albedo = albedo * torch.exp(-spots[:, None] * at.new_tensor([0.35, 0.6, 0.75]))
    socket = torch.exp(-((side - 0.0290) / 0.021).square() - ((y - 0.6905) / 0.0105).square()) * face
    albedo = albedo * torch.exp(
        -(0.32 * socket * (1 - 0.3 * looks.female[who]))[:, None] * at.new_tensor([0.7, 1.0, 0.9])
    )

    red_lips = smoothstep(0.25, 0.75, lips)[:, None]
    crease = torch.exp(-0.25 * (noise(at * at.new_tensor([9.0, 1.0, 1.0]))[:, 2:3]).abs())
    albedo = albedo * (1 - red_lips) + looks.lips[who] * crease * red_lips
    inside = smoothstep(0.3, 0.8, mouth)[:, None]
    albedo = albedo * (1 - inside) + at.new_tensor([0.16, 0.022, 0.02]) * inside
    nail = smoothstep(0.4, 0.8, nails)[:, None]
    albedo = albedo * (1 - 0.6 * nail) + 0.6 * nail * (looks.skin[who] * at.new_tensor([1.15, 1.0, 1.0])).clamp(max=0.8)

    albedo = _brows(albedo, looks, who, at, face)
    specular = 0.75 + 0.5 * red_lips[:, 0] + 0.5 * nail[:, 0] + 0.8 * inside[:, 0]
    roughness = 0.52 + 0.06 * fine[:, 0] - 0.12 * red_lips[:, 0] - 0.15 * nail[:, 0] - 0.1 * inside[:, 0]
    albedo, cover, tilt = _head_hair(albedo, looks, who, at, masks)
    dim = light[:, None].clamp(min=0.25).pow(0.9) * (1 - cover[:, None]) + cover[:, None]
    albedo = albedo * dim.pow(at.new_tensor([0.7, 1.0, 1.05]))
    keep = 1 - cover
    return Surface(
        albedo, specular * keep + 0.55 * cover, roughness * keep + 0.5 * cover, 0.28 * keep + 0.1 * cover,
        0.05 * keep[:, None] * fine[:, 1:] + cover[:, None] * tilt,
    )  # fmt: skip


def _brows(albedo: Tensor, looks: Looks, who: Tensor, at: Tensor, face: Tensor) -> Tensor:
    side, y = at[:, 0].abs(), at[:, 1]
    t = (side - 0.0105) / 0.0400  # 0 at the nose, 1 at the temple
    arch = 0.7115 + 0.0060 * torch.sin((t.clamp(0, 1) * 0.80 + 0.05) * torch.pi) - 0.0035 * t.clamp(0, 1.2)
    arch = arch + (0.0035 + 0.005 * (looks.phase[who, 0] - 0.5)) * (t - 0.35) + 0.002 * (looks.phase[who, 1] - 0.5)
    half = 0.0036 * (1 - 0.65 * t.clamp(0, 1).square()) * (0.75 + 0.4 * looks.brows[who, 3])
    hairs = noise(torch.stack([side * 9 - y * 9, y * 3 + side * 2, at[:, 2] * 0], 1) + looks.phase[who])[:, 2]
    inside = smoothstep(1.15, 0.55, (y - arch).abs() / half) * smoothstep(-0.05, 0.10, t) * smoothstep(1.04, 0.90, t)
    amount = (inside * (1.05 + 0.55 * hairs) * looks.brows[who, 3] * 1.15).clamp(0, 0.95) * (face > 0.5)
    return albedo * (1 - amount[:, None]) + looks.brows[who, :3] * amount[:, None]


def _head_hair(albedo: Tensor, looks: Looks, who: Tensor, at: Tensor, masks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Colour, cover and normal tilt of the hair on scalp and jaw."""
    shade, tilt, lines = _strand_shade(looks, who, at)
    height = scalp(at, masks[:, 4], looks.recede[who])
    wisps = 0.006 * lines + 0.003 * tilt[:, 1]
    on_scalp = smoothstep(-0.004, 0.006, height + wisps) * (height > -0.02)
    shaved = (
        smoothstep(-0.003, 0.008, height + 0.3 * wisps) * 0.30 * (1 - looks.grown[who]) * (1 - 0.7 * looks.age[who])
    )
    buzz = (looks.hairdo[who] == 1).float()
    cover = on_scalp * looks.grown[who] * (1 - 0.22 * buzz)
    jaw = beard(at, masks[:, 0])
    full = smoothstep(-0.002, 0.007, jaw + wisps) * (looks.beard[who, 1] > 0) * (0.55 + 0.45 * looks.beard[who, 1])
    stubble = smoothstep(-0.004, 0.008, jaw) * looks.beard[who, 0] * (0.45 + 0.25 * lines)
    own = torch.where((jaw > height)[:, None], looks.whiskers[who], looks.hair[who])
    color = own * shade[:, None]
    faint = (shaved + stubble).clamp(0, 0.6)[:, None]
    albedo = albedo * (1 - faint) + (0.25 * albedo + 0.75 * color * albedo.new_tensor([0.9, 1.0, 1.1])) * faint
    cover = torch.maximum(cover, full * (1 - smoothstep(0.2, 0.6, masks[:, 1])))
    return albedo * (1 - cover[:, None]) + color * cover[:, None], cover, tilt


def _strand_shade(looks: Looks, who: Tensor, at: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Brightness, normal tilt and fine lines of strands."""
    along = strands(at) + looks.phase[who]
    lines = noise(along)
    tangle = noise(at * 2.4 + looks.phase[who])
    curl = looks.curl[who]
    curls = noise(at * 0.9 + looks.phase[who])
    straight = 0.42 * lines[:, 2] + 0.35 * noise(along * 0.45)[:, 3] + 0.25 * tangle[:, 0]
    wavy = 0.55 * curls[:, 2] + 0.40 * tangle[:, 1] + 0.25 * lines[:, 2]
    value = straight * (1 - curl) + wavy * curl
    tilt = 0.30 * lines[:, 1:] * (1 - curl[:, None]) + 0.45 * curls[:, 1:] * curl[:, None] + 0.18 * tangle[:, :3]
    return torch.exp(value), tilt, lines[:, 2] * (1 - 0.5 * curl) + 0.5 * curls[:, 3] * curl


def hanging_hair(looks: Looks, who: Int[Tensor, " P"], at: Float[Tensor, "P 3"]) -> Surface:
    """Hair that is a mesh of its own."""
    shade, tilt, _ = _strand_shade(looks, who, at)
    one = torch.ones_like(shade)
    return Surface(looks.hair[who] * shade[:, None], 0.55 * one, 0.5 * one, 0.1 * one, tilt)


def eyes(looks: Looks, who: Int[Tensor, " P"], at: Float[Tensor, "P 3"], light: Float[Tensor, " P"]) -> Surface:
    """Sclera, iris with its rings, pupil; wet. Drawn in the eyeball's own rest frame, so that it follows the gaze."""
    centres = at.new_tensor(EYES)
    local = at - torch.where(at[:, :1] > 0, centres[0], centres[1])
    radius = local[:, :2].norm(dim=1) + (local[:, 2] < 0) * 0.02
    spoke = F.normalize(local[:, :2] + 1e-6, dim=1)
    fibre = noise(torch.cat([spoke * 0.35, radius[:, None] * 8], 1) + looks.phase[who])[:, 2]
    iris = looks.iris[who] * torch.exp(0.5 * fibre + 0.5 * smoothstep(0.0055, 0.003, radius))[:, None]
    iris = iris * (1 - 0.75 * smoothstep(IRIS_RADIUS * 0.76, IRIS_RADIUS, radius))[:, None]
    pupil = smoothstep(PUPIL_RADIUS + 0.0004, PUPIL_RADIUS - 0.0002, radius)[:, None]
    iris = iris * (1 - pupil) + 0.004 * pupil
    veins = smoothstep(0.008, 0.014, radius)[:, None] * (0.5 + noise(at * 4)[:, :1])
    white = at.new_tensor([0.74, 0.70, 0.67]) * torch.exp(-0.35 * veins.clamp(0, 1) * at.new_tensor([0.1, 0.5, 0.5]))
    inside = smoothstep(IRIS_RADIUS + 0.0004, IRIS_RADIUS - 0.0003, radius)[:, None]
    one = torch.ones_like(radius)
    lid_shadow = 0.35 + 0.65 * light.clamp(0.0, 0.6)[:, None] / 0.6
    return Surface(
        (white * (1 - inside) + iris * inside) * lid_shadow, 1.6 * one, 0.16 * one, 0.15 * one, torch.zeros_like(at)
    )


def small_parts(kind: Int[Tensor, " P"], at: Float[Tensor, "P 3"]) -> Surface:
    """Tongue (0), teeth (1), lashes (2)."""
    table = at.new_tensor([[0.36, 0.09, 0.08], [0.46, 0.42, 0.35], [0.014, 0.011, 0.010]])
    gum = torch.where(at[:, 1] > 0.63, smoothstep(0.6415, 0.6440, at[:, 1]), smoothstep(0.6175, 0.6150, at[:, 1]))
    deep = smoothstep(0.16, 0.205, at[:, 2]) * 0.75 + 0.25
    gaps = 1 - 0.35 * smoothstep(0.88, 1.0, torch.cos(at[:, 0] * (2 * torch.pi / 0.0075)).abs())
    tooth = table[1] * gaps[:, None] * (1 - gum[:, None]) + at.new_tensor([0.26, 0.06, 0.055]) * gum[:, None]
    albedo = torch.where((kind == 1)[:, None], tooth * deep[:, None], table[kind])
    wet = (kind < 2).float()
    return Surface(albedo, 0.2 + 0.9 * wet, 0.6 - 0.3 * wet, 0.15 * wet, torch.zeros_like(at))
