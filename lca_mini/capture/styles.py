"""People who are no photographs: toon, statue, clay, paint. A test of how far an avatar model generalises.

Enters: natural surfaces. Leaves: stylised ones. Not part of the paper; nothing is ever trained on them.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lca_mini.capture.constants import constant
from lca_mini.people.noise import noise, smoothstep
from lca_mini.people.skin import Surface

STYLES = ("toon", "statue", "clay", "painted")
_LEVELS = ((0.18, 0.40), (0.42, 0.72), (0.80, 1.0))  # from which brightness of a white surface, and what is shown


def style_of(seeds: Int[Tensor, " B"]) -> Int[Tensor, " B"]:
    """One style after the other: index into `STYLES`."""
    return seeds % len(STYLES)


def restyle(surface: Surface, style: Int[Tensor, " P"], at: Float[Tensor, "P 3"]) -> Surface:
    """Other materials for the same shapes. at: place on the template, metres."""
    grey = (surface.albedo * constant(surface.albedo, (0.2126, 0.7152, 0.0722))).sum(1, keepdim=True)
    rough, strokes = noise(at * 0.9), noise(at * constant(at, (2.6, 0.7, 2.6)))
    veins = smoothstep(0.10, 0.0, rough[:, :1].abs()) * 0.3
    marble = (0.62 + 0.10 * grey.sqrt() - veins) * constant(at, (1.0, 0.985, 0.95))
    clay = (0.75 + 0.35 * grey.sqrt() + 0.12 * rough[:, :1]) * constant(at, (0.42, 0.21, 0.13))
    daubed = surface.albedo * torch.exp(0.35 * strokes[:, :3] + 0.15 * rough[:, :3])
    tone = grey.clamp(min=1e-3).sqrt()
    flat = surface.albedo * (((tone * 5).round() / 5).clamp(min=0.12) / tone).square()
    albedo = torch.stack([flat.clamp(0, 0.9), marble, clay, daubed.clamp(0, 0.9)])
    pick = lambda values: constant(at, values)[style]  # noqa: E731
    index = torch.arange(len(style), device=at.device)
    dents = pick((0.0, 0.0, 0.25, 0.15))[:, None] * strokes[:, 1:]
    return replace(
        surface, albedo=albedo[style, index], specular=surface.specular * pick((0.0, 0.4, 0.3, 0.5)),
        roughness=torch.lerp(surface.roughness, pick((0.9, 0.3, 0.9, 0.7)), 0.8),
        bump=surface.bump * pick((0.0, 0.6, 1.0, 0.5))[:, None] + dents,
    )  # fmt: skip


def flatten_toons(
    colors: Float[Tensor, "P 3"], albedo: Float[Tensor, "P 3"], style: Int[Tensor, " P"]
) -> Float[Tensor, "P 3"]:
    """Three tones of light where the style is toon; other colours stay."""
    bright = (colors / albedo.clamp(min=1e-3)).mean(1)
    tone = torch.full_like(bright, 0.2)
    for least, shown in _LEVELS:
        tone = tone + (shown - tone) * smoothstep(least - 0.03, least + 0.03, bright)
    return torch.where((style == STYLES.index("toon"))[:, None], albedo * tone[:, None], colors)
