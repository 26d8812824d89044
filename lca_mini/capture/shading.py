"""Light on covered pixels, and from linear light to a picture.

Enters: what the rasteriser found at each covered pixel (normals, albedo, ...) and one `Light` an image. Leaves: sRGB
images over a background, and coverage masks. It lights the synthetic people; the paper's are filmed by real cameras.

One sun with a shadow map, a sky above and a ground below. `Light` is exposed so that a white shirt in full sun stays
below 1: nothing clips.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from lca_mini.capture.chance import uniforms
from lca_mini.capture.constants import constant
from lca_mini.types import Movable

KNEE = 0.8
LIGHT_KINDS = ("wild", "studio")
_MOODS = (  # colours of sun, sky and ground (linear), ranges of the sun's elevation (degrees) and of its share of light
    ((1.00, 0.95, 0.87), (0.78, 0.89, 1.00), (0.55, 0.50, 0.44), (35, 70), (0.40, 0.55)),  # outdoors, noon
    ((1.00, 0.74, 0.48), (0.80, 0.84, 1.00), (0.62, 0.52, 0.43), (12, 30), (0.35, 0.55)),  # golden hour
    ((0.95, 0.98, 1.00), (0.96, 0.98, 1.00), (0.50, 0.50, 0.50), (45, 75), (0.12, 0.28)),  # overcast
    ((1.00, 0.84, 0.64), (1.00, 0.90, 0.76), (0.66, 0.56, 0.46), (30, 65), (0.28, 0.45)),  # lamps indoors
    ((0.94, 0.98, 1.00), (0.96, 1.00, 0.99), (0.58, 0.60, 0.60), (35, 70), (0.25, 0.42)),  # office
    ((1.00, 0.97, 0.92), (0.88, 0.94, 1.00), (0.52, 0.49, 0.46), (8, 35), (0.48, 0.62)),  # window at the side
)


@dataclass(frozen=True)
class Light(Movable):
    """The light of N images, linear. direction: towards the sun, unit, world frame. sun: what a white surface that
    faces it reflects. sky, ground: the same of a dome that is one colour above and another below. around: on top of
    that, what comes from areas all around, a quadratic form of the normal (xx yy zz xy yz zx x y z 1), which is what
    diffuse reflection keeps of any environment (Ramamoorthi and Hanrahan 2001)."""

    direction: Float[Tensor, "N 3"]
    sun: Float[Tensor, "N 3"]
    sky: Float[Tensor, "N 3"]
    ground: Float[Tensor, "N 3"]
    around: Float[Tensor, "N 10 3"] | None = None


def random_lights(seeds: Int[Tensor, " N"], kind: str, environment: float = 0.0) -> Light:
    """One light a seed: "wild" is outdoors, indoors, sun at the side; "studio" an even dome with a weak frontal key.

    Args:
        environment: share of the wild sky's light that comes from a few coloured areas instead.
    Raises: ValueError for another kind.
    """
    if kind not in LIGHT_KINDS:
        raise ValueError(f"no light {kind!r}; choose one of {', '.join(LIGHT_KINDS)}")
    u = uniforms(seeds, 11, 14)
    if kind == "wild":
        moods = constant(u, tuple((*a, *b, *c, *d, *e) for a, b, c, d, e in _MOODS))
        mood = moods[(u[:, 0] * len(_MOODS)).long()]
        tint = 1 + 0.12 * (u[:, 5:14] - 0.5)
        sun, sky, ground = (mood[:, :9] * tint).split(3, 1)
        elevation = torch.deg2rad(mood[:, 9] + (mood[:, 10] - mood[:, 9]) * u[:, 1])
        share = mood[:, 11] + (mood[:, 12] - mood[:, 11]) * u[:, 2]
        azimuth = (2 * u[:, 3] - 1) * math.radians(105)
        exposure = 0.80 + 0.16 * u[:, 4]
    else:
        sun, sky, ground = (torch.ones_like(u[:, :3]), torch.ones_like(u[:, :3]), torch.full_like(u[:, :3], 0.72))
        elevation = torch.deg2rad(25 + 20 * u[:, 1])
        share = 0.22 + 0.12 * u[:, 2]
        azimuth = (2 * u[:, 3] - 1) * math.radians(40)
        exposure = 0.85 + 0.05 * u[:, 4]
    flat = elevation.cos()
    direction = torch.stack([azimuth.sin() * flat, elevation.sin(), azimuth.cos() * flat], 1)
    key, fill = share[:, None], 1 - share[:, None]
    around = None
    if environment and kind == "wild":
        around = environment * _areas(seeds, sun, sky, ground) * fill[..., None]
        fill = fill * (1 - environment)
    return expose(Light(direction, sun * key, sky * fill, ground * fill, around), exposure)


def dome_light(people: int, which: int, count: int = 40, device: torch.device | str = "cpu") -> Light:
    """One of a dome's `count` lights alone, for relighting: a sun without sky. Light is linear: a sum of
    such takes shows the person in any light. Evenly spread over the sphere above -30 degrees.

    Raises: ValueError where the dome has no such light.
    """
    if not 0 <= which < count:
        raise ValueError(f"a dome of {count} lights has no light {which}")
    height = -0.5 + 1.5 * (which + 0.5) / count
    azimuth, flat = which * math.pi * (3 - math.sqrt(5)), math.sqrt(1 - height**2)
    direction = torch.tensor([[math.sin(azimuth) * flat, height, math.cos(azimuth) * flat]], device=device)
    none = torch.zeros(people, 3, device=device)
    return Light(direction.expand(people, 3), torch.full((people, 3), 0.9, device=device), none, none)


def _areas(seeds: Tensor, sun: Tensor, sky: Tensor, ground: Tensor) -> Float[Tensor, "N 10 3"]:
    """Three large soft areas (windows, lamps, walls, a bright cloud) in the colours of a mood, as a quadratic form."""
    u = uniforms(seeds, 13, 18).unflatten(1, (3, 6))
    azimuth, elevation = 2 * math.pi * u[..., 0], torch.deg2rad(-15 + 70 * u[..., 1])
    flat = elevation.cos()
    d = torch.stack([azimuth.sin() * flat, elevation.sin(), azimuth.cos() * flat], -1)  # [N 3 areas 3]
    colors = torch.stack([sun, sky, ground], 1) * (0.85 + 0.3 * u[..., 2:5])
    strength = (0.3 + u[..., 5:]) / (0.3 + u[..., 5:]).sum(1, keepdim=True)
    colors = (colors * strength)[:, :, None]  # [N 3 areas 1 3]
    # a clamped cosine towards d is about 0.25 + 0.5 c + 5/32 (3 c^2 - 1); softer, as the areas are wide
    x, y, z = d.unbind(-1)
    square = torch.stack([x * x, y * y, z * z, 2 * x * y, 2 * y * z, 2 * z * x], -1)
    form = torch.cat([0.3 * square, 0.45 * d, torch.full_like(d[..., :1], 0.25)], -1)
    return (form[..., None] * colors).sum(1)


def expose(light: Light, level: Float[Tensor, " N"]) -> Light:
    """Scale lights so that white in full sun, or where it is brightest of six other sides, reflects `level` in its
    brightest channel."""
    full = [light.sun + ambient(light.direction, light, slice(None))]
    for axis in torch.cat([torch.eye(3), -torch.eye(3)]).to(light.direction):
        cosine = (light.direction @ axis).clamp(min=0)[:, None]
        full.append(light.sun * cosine + ambient(axis.expand_as(light.direction), light, slice(None)))
    gain = (level / torch.stack(full).amax((0, 2)))[:, None]
    around = None if light.around is None else light.around * gain[..., None]
    return Light(light.direction, light.sun * gain, light.sky * gain, light.ground * gain, around)


def shade(
    normals: Float[Tensor, "P 3"],
    to_viewer: Float[Tensor, "P 3"],
    albedo: Float[Tensor, "P 3"],
    specular: Float[Tensor, " P"],
    roughness: Float[Tensor, " P"],
    wrap: Float[Tensor, " P"],
    sunlight: Float[Tensor, " P"],
    light: Light,
    image: Int[Tensor, " P"],
) -> Float[Tensor, "P 3"]:
    """Linear light that leaves covered points: Lambert, a GGX highlight, and the dome.

    Args:
        normals, to_viewer: unit, world frame; a normal that looks away is flipped (cloth has two sides).
        albedo: linear.
        specular: strength of the highlight; 1 is a dielectric's 4 % at normal incidence.
        roughness: (0, 1].
        wrap: how far light creeps round the terminator, red first (0 none, about 0.3 skin).
        sunlight: share of the sun that arrives (`sun_visibility`).
        image: which light each point stands in.
    """
    normals = torch.where((normals * to_viewer).sum(1, keepdim=True) < 0, -normals, normals)
    direction, sun = light.direction[image], light.sun[image]
    cosine = (normals * direction).sum(1, keepdim=True)
    creep = wrap[:, None] * constant(normals, (1.0, 0.45, 0.3))
    lambert = ((cosine + creep) / (1 + creep)).clamp(min=0)
    sun = sun * sunlight[:, None]

    half = F.normalize(direction + to_viewer, dim=1)
    alpha2 = roughness.clamp(min=0.05).pow(4)
    d = alpha2 / ((normals * half).sum(1).square() * (alpha2 - 1) + 1).square()
    facing = (normals * to_viewer).sum(1).clamp(min=0.02)
    reach = (direction * half).sum(1).clamp(min=0.3)
    highlight = specular * 0.04 * d / (4 * reach.square()) * cosine[:, 0].clamp(min=0)
    mirror = 2 * facing[:, None] * normals - to_viewer
    rim = specular * 0.04 * (1 + 4 * (1 - facing).pow(5)) * (1 - 0.6 * roughness)
    diffuse = albedo * (lambert * sun + ambient(normals, light, image))
    return diffuse + highlight[:, None] * sun + rim[:, None] * ambient(mirror, light, image)


def vertex_normals(vertices: Float[Tensor, "N V 3"], faces: Int[Tensor, "F 3"]) -> Float[Tensor, "N V 3"]:
    """Area-weighted unit normals; outward where faces are counter-clockwise seen from outside."""
    a, b, c = vertices[:, faces].unbind(2)
    across = torch.linalg.cross(b - a, c - a, dim=-1)
    total = torch.zeros_like(vertices)
    for corner in range(3):
        total.index_add_(1, faces[:, corner], across)
    return F.normalize(total, dim=-1)


@dataclass(frozen=True)
class Plate(Movable):
    """Pictures of people before any background: linear light, what covers each pixel, and where on the canonical
    template that is (metres); light and place are weighted by the cover."""

    light: Float[Tensor, "*batch 3 h w"]
    cover: Float[Tensor, "*batch 1 h w"]
    place: Float[Tensor, "*batch 3 h w"]


def gather_plate(
    colors: Float[Tensor, "P 3"], place: Float[Tensor, "P 3"], share: Float[Tensor, " P"], pixel: Int[Tensor, " P"],
    shape: tuple[int, int, int],
) -> Plate:  # fmt: skip
    """Put shaded patches (`rasterize_patches`) into pictures: a box filter in linear light.

    Args:
        colors: linear. shape: images, height and width.
    """
    count, height, width = shape
    total = colors.new_zeros(7, count * height * width)
    total.index_add_(1, pixel, torch.cat([soft_clip(colors).T, torch.ones_like(share)[None], place.T]) * share)
    light, cover, at = total.view(7, count, height, width).split((3, 1, 3))
    return Plate(light.transpose(0, 1), cover.transpose(0, 1), at.transpose(0, 1))


def resolve(
    plate: Plate, background: tuple[float, float, float] = (1.0, 1.0, 1.0)
) -> tuple[Float[Tensor, "*batch 3 h w"], Float[Tensor, "*batch 1 h w"]]:
    """sRGB pictures [0, 1] over a background (sRGB), and their coverage."""
    behind = srgb_to_linear(constant(plate.light, background))[:, None, None]
    return linear_to_srgb(plate.light + (1 - plate.cover) * behind), plate.cover


def soft_clip(linear: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """The identity up to 0.8, then a smooth shoulder that stays under 1: highlights keep their gradient."""
    over = (linear - KNEE).clamp(min=0) / (1 - KNEE)
    return torch.where(linear > KNEE, KNEE + (1 - KNEE) * (1 - torch.exp(-over)), linear.clamp(min=0))


def srgb_to_linear(srgb: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """IEC 61966-2-1."""
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb.clamp(min=0) + 0.055) / 1.055).pow(2.4))


def linear_to_srgb(linear: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """IEC 61966-2-1; the inverse of `srgb_to_linear`."""
    return torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clamp(min=0.0031308).pow(1 / 2.4) - 0.055)


def ambient(normals: Float[Tensor, "P 3"], light: Light, image: Int[Tensor, " P"] | slice) -> Float[Tensor, "P 3"]:
    """What a white surface of these normals reflects of all light but the sun's."""
    up = 0.5 + 0.5 * normals[:, 1:2]
    total = torch.lerp(light.ground[image], light.sky[image], up)
    if light.around is None:
        return total
    x, y, z = normals.unbind(1)
    one = torch.ones_like(x)
    basis = (x * x, y * y, z * z, x * y, y * z, z * x, x, y, z, one)
    for k, value in enumerate(basis):
        total = torch.addcmul(total, light.around[:, k][image], value[:, None])
    return total.clamp(min=0)
