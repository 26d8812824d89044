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

from lca_mini.capture.constants import constant
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
    """Skin with moles and nails; on the head also lips, brows, stubble, wrinkles, and whatever hair lies on it."""
    nails = masks[:, 3]
    rough = noise(at * 1.7 + looks.phase[who])
    fine = noise(at * 6 + looks.phase[who])
    albedo = looks.skin[who] * torch.exp(0.10 * rough[:, :1] + 0.05 * fine[:, 1:2])
    mole = smoothstep(0.80, 0.92, rough[:, 3]) * looks.moles[who]
    red = 0.22 * smoothstep(0.66, 0.72, at[:, 0].abs()) * (at[:, 1] > 0.4)
    albedo = albedo * torch.exp(red[:, None] * constant(at, (0.02, -0.38, -0.30)))
    albedo = albedo * torch.exp(-mole[:, None] * constant(at, (0.9, 1.2, 1.3)))
    nail = smoothstep(0.4, 0.8, nails)[:, None]
    albedo = albedo * (1 - 0.6 * nail) + 0.6 * nail * (looks.skin[who] * constant(at, (1.15, 1.0, 1.0))).clamp(max=0.8)
    specular, roughness = 0.75 + 0.5 * nail[:, 0], 0.52 + 0.06 * fine[:, 0] - 0.15 * nail[:, 0]
    surface = Surface(albedo, specular, roughness, torch.full_like(specular, 0.28), 0.05 * fine[:, 1:])
    index = (at[:, 1] > 0.53).nonzero()[:, 0]
    if len(index):
        head = _head(looks, who[index], at[index], masks[index], surface[index], fine[index])
        for name, values in vars(head).items():
            getattr(surface, name)[index] = values
    return surface


def _head(looks: Looks, who: Tensor, at: Tensor, masks: Tensor, base: Surface, fine: Tensor) -> Surface:
    lips, mouth, _, _, ears, light = masks.unbind(1)
    x, y, z = at.unbind(1)
    side = x.abs()
    face = smoothstep(0.56, 0.60, y) * smoothstep(0.12, 0.15, z)
    cheek = torch.exp(-((side - 0.044) / 0.018).square() - ((y - 0.662) / 0.018).square()) * face
    nose = torch.exp(-(side / 0.014).square() - ((y - 0.658) / 0.016).square()) * smoothstep(0.205, 0.225, z)
    red = (0.5 * cheek + 0.45 * nose) * looks.blush[who] + 0.35 * ears
    albedo = base.albedo * torch.exp(red[:, None] * constant(at, (0.02, -0.38, -0.30)))
    spots = smoothstep(0.32, 0.55, fine[:, 2]) * looks.freckles[who] * (0.4 * face + 0.6 * (cheek + nose).clamp(max=1))
    albedo = albedo * torch.exp(-spots[:, None] * constant(at, (0.35, 0.6, 0.75)))
    socket = torch.exp(-((side - 0.0290) / 0.021).square() - ((y - 0.6905) / 0.0105).square()) * face
    albedo = albedo * torch.exp(
        -(0.32 * socket * (1 - 0.3 * looks.female[who]))[:, None] * constant(at, (0.7, 1.0, 0.9))
    )
    creases, bend = _wrinkles(looks, who, at, face)
    albedo = albedo * torch.exp(-creases[:, None] * constant(at, (0.8, 1.1, 1.1)))

    red_lips = smoothstep(0.25, 0.75, lips)[:, None]
    crease = torch.exp(-0.25 * fine[:, 3:4].abs())
    albedo = albedo * (1 - red_lips) + looks.lips[who] * crease * red_lips
    inside = smoothstep(0.3, 0.8, mouth)[:, None]
    albedo = albedo * (1 - inside) + constant(at, (0.16, 0.022, 0.02)) * inside
    albedo = _brows(albedo, looks, who, at, face)
    specular = base.specular + 0.5 * red_lips[:, 0] + 0.8 * inside[:, 0]
    roughness = base.roughness - 0.12 * red_lips[:, 0] - 0.1 * inside[:, 0]
    albedo, cover, tilt = _head_hair(albedo, looks, who, at, masks)
    dim = light[:, None].clamp(min=0.25).pow(0.9) * (1 - cover[:, None]) + cover[:, None]
    albedo = albedo * dim.pow(constant(at, (0.7, 1.0, 1.05)))
    keep = 1 - cover
    bump = keep[:, None] * base.bump + cover[:, None] * tilt
    bump = torch.cat([bump[:, :1], bump[:, 1:2] + (bend * keep)[:, None], bump[:, 2:]], 1)
    return Surface(
        albedo, specular * keep + 0.55 * cover, roughness * keep + 0.5 * cover, base.wrap * keep + 0.1 * cover, bump
    )


def _wrinkles(looks: Looks, who: Tensor, at: Tensor, face: Tensor) -> tuple[Tensor, Tensor]:
    """Lines of age: on the forehead, beside the eyes, from nose to mouth, on the neck. How deep, and the tilt up."""
    side, y, z = at[:, 0].abs(), at[:, 1], at[:, 2]
    age = looks.age[who]
    wander = y + 0.0025 * torch.sin(at[:, 0] * 110 + 6.3 * looks.phase[who, 0])
    forehead = smoothstep(0.722, 0.730, y) * smoothstep(0.757, 0.746, y) * smoothstep(0.048, 0.030, side) * face
    lines = torch.sin(wander * 900)
    t = ((0.660 - y) / 0.036).clamp(0, 1)
    fold = torch.exp(-((side - 0.0185 - 0.0140 * t) / 0.0022).square()) * face * (y < 0.662) * (y > 0.622)
    corner_x, corner_y = side - 0.046, y - 0.694
    away = (corner_x.square() + corner_y.square() + 1e-9).sqrt()
    feet = smoothstep(0.004, 0.010, away) * smoothstep(0.024, 0.014, away) * (corner_x > 0.003) * face
    fan = smoothstep(0.55, 1.0, torch.cos(12 * torch.atan2(corner_y, corner_x + 1e-6)))
    neck = smoothstep(0.580, 0.570, y) * smoothstep(0.045, 0.025, side) * (z > 0.09)
    ring = smoothstep(0.75, 1.0, torch.sin(wander * 380))
    creases = 0.20 * forehead * smoothstep(0.5, 1.0, lines) + 0.34 * fold * (0.25 + age) + 0.18 * feet * fan
    return (creases + 0.16 * neck * ring) * age, 0.16 * age * forehead * torch.cos(wander * 900)


def _brows(albedo: Tensor, looks: Looks, who: Tensor, at: Tensor, face: Tensor) -> Tensor:
    index = ((face > 0.5) & ((at[:, 1] - 0.711).abs() < 0.02)).nonzero()[:, 0]
    if not len(index):
        return albedo
    at, who, below = at[index], who[index], albedo[index]
    side, y = at[:, 0].abs(), at[:, 1]
    t = (side - 0.0105) / 0.0400  # 0 at the nose, 1 at the temple
    arch = 0.7115 + 0.0060 * torch.sin((t.clamp(0, 1) * 0.80 + 0.05) * torch.pi) - 0.0035 * t.clamp(0, 1.2)
    arch = arch + (0.0035 + 0.005 * (looks.phase[who, 0] - 0.5)) * (t - 0.35) + 0.002 * (looks.phase[who, 1] - 0.5)
    half = 0.0036 * (1 - 0.65 * t.clamp(0, 1).square()) * (0.75 + 0.4 * looks.brows[who, 3])
    hairs = noise(torch.stack([side * 9 - y * 9, y * 3 + side * 2, at[:, 2] * 0], 1) + looks.phase[who])[:, 2]
    inside = smoothstep(1.15, 0.55, (y - arch).abs() / half) * smoothstep(-0.05, 0.10, t) * smoothstep(1.04, 0.90, t)
    amount = (inside * (1.05 + 0.55 * hairs) * looks.brows[who, 3] * 1.15).clamp(0, 0.95)
    return albedo.index_copy(0, index, below * (1 - amount[:, None]) + looks.brows[who, :3] * amount[:, None])


def _head_hair(albedo: Tensor, looks: Looks, who: Tensor, at: Tensor, masks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Colour, cover and normal tilt of the hair on scalp and jaw."""
    cover, tilt = torch.zeros_like(at[:, 0]), torch.zeros_like(at)
    height = scalp(at, masks[:, 4], looks.recede[who])
    jaw = beard(at, masks[:, 0])
    bearded = (looks.beard[who] > 0).any(1)
    index = ((height > -0.03) | ((jaw > -0.02) & bearded)).nonzero()[:, 0]
    if len(index):
        part = _hair_there(albedo[index], looks, who[index], at[index], masks[index, 1], height[index], jaw[index])
        albedo, cover, tilt = (a.index_copy(0, index, b) for a, b in zip((albedo, cover, tilt), part))
    return albedo, cover, tilt


def _hair_there(
    albedo: Tensor, looks: Looks, who: Tensor, at: Tensor, mouth: Tensor, height: Tensor, jaw: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    shade, tilt, lines = _strand_shade(looks, who, at)
    wisps = 0.006 * lines + 0.003 * tilt[:, 1]
    hairs = noise(2.6 * strands(at) + looks.phase[who])  # single ones, under a millimetre, of uneven length
    fringe = looks.recede[who] < 0
    ends = torch.where(fringe, 0.004 * lines + 0.006 * hairs[:, 3], 0.002 * lines + 0.004 * hairs[:, 3])
    soft = torch.where(fringe, 0.004, 0.009) * (1 - 0.6 * looks.curl[who])
    on_scalp = smoothstep(-soft, soft, height - 0.001 + ends * (1 - 0.6 * looks.curl[who])) * (height > -0.02)
    shaved = (
        smoothstep(-0.003, 0.008, height + 0.3 * wisps) * 0.30 * (1 - looks.grown[who]) * (1 - 0.7 * looks.age[who])
    )
    buzz = (looks.hairdo[who] == 1).float()
    cover = on_scalp * looks.grown[who] * (1 - 0.22 * buzz)
    full = smoothstep(-0.005, 0.008, jaw + 0.002 * lines + 0.003 * hairs[:, 3])
    full = full * (looks.beard[who, 1] > 0) * (0.55 + 0.45 * looks.beard[who, 1])
    stubble = smoothstep(-0.004, 0.008, jaw) * looks.beard[who, 0] * (0.45 + 0.25 * lines)
    own = torch.where((jaw > height)[:, None], looks.whiskers[who], looks.hair[who])
    color = own * shade[:, None]
    faint = (shaved + stubble).clamp(0, 0.6)[:, None]
    albedo = albedo * (1 - faint) + (0.25 * albedo + 0.75 * color * constant(albedo, (0.9, 1.0, 1.1))) * faint
    cover = torch.maximum(cover, full * (1 - smoothstep(0.2, 0.6, mouth)))
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
    centres = constant(at, EYES)
    local = at - torch.where(at[:, :1] > 0, centres[0], centres[1])
    radius = local[:, :2].norm(dim=1) + (local[:, 2] < 0) * 0.02
    spoke = F.normalize(local[:, :2] + 1e-6, dim=1)
    fibre = noise(torch.cat([spoke * 0.35, radius[:, None] * 8], 1) + looks.phase[who])[:, 2]
    iris = looks.iris[who] * torch.exp(0.5 * fibre + 0.5 * smoothstep(0.0055, 0.003, radius))[:, None]
    iris = iris * (1 - 0.75 * smoothstep(IRIS_RADIUS * 0.76, IRIS_RADIUS, radius))[:, None]
    pupil = smoothstep(PUPIL_RADIUS + 0.0004, PUPIL_RADIUS - 0.0002, radius)[:, None]
    iris = iris * (1 - pupil) + 0.004 * pupil
    veins = smoothstep(0.008, 0.014, radius)[:, None] * (0.5 + noise(at * 4)[:, :1])
    white = constant(at, (0.74, 0.70, 0.67)) * torch.exp(-0.35 * veins.clamp(0, 1) * constant(at, (0.1, 0.5, 0.5)))
    inside = smoothstep(IRIS_RADIUS + 0.0004, IRIS_RADIUS - 0.0003, radius)[:, None]
    one = torch.ones_like(radius)
    lid_shadow = 0.35 + 0.65 * light.clamp(0.0, 0.6)[:, None] / 0.6
    return Surface(
        (white * (1 - inside) + iris * inside) * lid_shadow, 1.6 * one, 0.16 * one, 0.15 * one, torch.zeros_like(at)
    )


def small_parts(kind: Int[Tensor, " P"], at: Float[Tensor, "P 3"]) -> Surface:
    """Tongue (0), teeth (1), lashes (2)."""
    table = constant(at, ((0.36, 0.09, 0.08), (0.46, 0.42, 0.35), (0.014, 0.011, 0.010)))
    gum = torch.where(at[:, 1] > 0.63, smoothstep(0.6415, 0.6440, at[:, 1]), smoothstep(0.6175, 0.6150, at[:, 1]))
    deep = smoothstep(0.16, 0.205, at[:, 2]) * 0.75 + 0.25
    gaps = 1 - 0.35 * smoothstep(0.88, 1.0, torch.cos(at[:, 0] * (2 * torch.pi / 0.0075)).abs())
    tooth = table[1] * gaps[:, None] * (1 - gum[:, None]) + constant(at, (0.26, 0.06, 0.055)) * gum[:, None]
    albedo = torch.where((kind == 1)[:, None], tooth * deep[:, None], table[kind])
    wet = (kind < 2).float()
    return Surface(albedo, 0.2 + 0.9 * wet, 0.6 - 0.3 * wet, 0.15 * wet, torch.zeros_like(at))
