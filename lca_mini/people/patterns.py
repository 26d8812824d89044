"""Patterns of cloth: stripes, checks, tartans, flowers, denim, knit, letters, emblems.

Enters: where on a garment each pixel lies. Leaves: how much of the garment's second and third colour it shows. Not part
of the paper. Letters and emblems are of our own making. Each pattern is computed only where somebody wears it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lca_mini.capture.constants import constant
from lca_mini.people.looks import PATTERNS, Looks
from lca_mini.people.noise import noise, smoothstep
from lca_mini.types import Movable

_LETTERS = (  # strokes between the points of a 3 x 3 keypad, 7 8 9 on top
    "17 79 93 46", "71 79 45 13", "71 93 46", "71 59 53", "71 13", "17 73 39", "79 82", "72 29", "73 19", "79 91 13",
    "75 95 52", "17 75 59 93", "17 79 45", "82", "71 13 39", "17 79 96 64", "71 13 39 97",
)  # fmt: skip


@dataclass(frozen=True)
class Weave(Movable):
    """P pixels of garments. round, along: metres round and along the limb, divided by the pattern's scale. at: on the
    template. arm: `cuts.along_sleeve`. grain: fine noise."""

    who: Int[Tensor, " P"]
    round: Float[Tensor, " P"]
    along: Float[Tensor, " P"]
    at: Float[Tensor, "P 3"]
    arm: Float[Tensor, " P"]
    grain: Float[Tensor, " P"]


Amounts = tuple[Tensor, Tensor | None]


def pattern_amounts(looks: Looks, kind: Int[Tensor, " P"], weave: Weave) -> Float[Tensor, "P 2"]:
    """How much of the second and of the third colour each pixel shows."""
    out = torch.zeros(len(kind), 2, device=kind.device)
    kind, order = kind.to(torch.uint8).sort(stable=True)
    ends = torch.searchsorted(kind, constant(kind, tuple(range(1, len(_DRAW) + 1)))).tolist()
    for draw, first, end in zip(_DRAW, [0, *ends], ends):
        if draw is not None and first < end:
            index = order[first:end]
            second, third = draw(looks, weave[index])
            out[index, 0] = second
            if third is not None:
                out[index, 1] = third
    return out


def _wave(w: Tensor, period: float, share: float) -> Tensor:
    return smoothstep(share - 0.06, share + 0.06, 0.5 + 0.5 * torch.cos(w * (2 * torch.pi / period)))


def _hoops(looks: Looks, w: Weave) -> Amounts:
    return _wave(w.along, 0.045, 0.55), None


def _stripes(looks: Looks, w: Weave) -> Amounts:
    return _wave(w.round, 0.028, 0.72), None


def _checks(looks: Looks, w: Weave) -> Amounts:
    second = 0.5 * _wave(w.round, 0.07, 0.5) + 0.5 * _wave(w.along, 0.07, 0.5)
    return second, 0.7 * torch.maximum(_wave(w.round + 0.01, 0.07, 0.965), _wave(w.along + 0.01, 0.07, 0.965))


def _dots(looks: Looks, w: Weave) -> Amounts:
    u, v = w.round / 0.036, w.along / 0.036
    u = u + 0.5 * (v.floor() % 2)
    return smoothstep(0.30, 0.25, ((u % 1 - 0.5).square() + (v % 1 - 0.5).square()).sqrt()), None


def _print(looks: Looks, w: Weave) -> Amounts:
    zero = torch.zeros_like(w.round)
    second = smoothstep(0.05, 0.12, noise(torch.stack([w.round, w.along, zero], 1) * 1.6)[:, 0])
    return second, smoothstep(0.30, 0.36, noise(torch.stack([w.along, w.round, zero + 0.4], 1) * 1.6)[:, 1])


def _heather(looks: Looks, w: Weave) -> Amounts:
    return (0.35 + 0.45 * w.grain).clamp(0, 0.8) * 0.5, None


def _band(looks: Looks, w: Weave) -> Amounts:
    y, trunk = w.at[:, 1], w.arm < 0.3
    second = smoothstep(0.275, 0.280, y) * smoothstep(0.355, 0.350, y) * trunk
    return second, smoothstep(0.30, 0.303, y) * smoothstep(0.33, 0.327, y) * trunk


def _badge(looks: Looks, w: Weave) -> Amounts:
    x, y, z = w.at.unbind(1)
    disc, front = (x.square() + (y - 0.31).square()).sqrt(), z > 0.1
    ring = smoothstep(0.048, 0.045, disc) * smoothstep(0.030, 0.033, disc)
    return smoothstep(0.062, 0.059, disc) * front, ring * front


def _blocks(looks: Looks, w: Weave) -> Amounts:
    return torch.maximum((w.arm > 0.19).float(), smoothstep(0.40, 0.403, w.at[:, 1])), None


def _plaid(looks: Looks, w: Weave) -> Amounts:
    second, third = [], []
    for t in (w.round, w.along):
        broad, narrow = _wave(t, 0.10, 0.62), _wave(t + 0.05, 0.10, 0.93)
        second.append((broad + 0.8 * narrow).clamp(max=1))
        third.append(_wave(t + 0.018, 0.10, 0.985) * 0.9)
    twill = 0.85 + 0.15 * torch.sin((w.round + w.along) * 2200)
    return (0.5 * second[0] + 0.5 * second[1]) * twill, torch.maximum(*third)


def _floral(looks: Looks, w: Weave) -> Amounts:
    u, v = w.round / 0.055, w.along / 0.055
    u = u + 0.5 * (v.floor() % 2)
    cell = torch.stack([u.floor(), v.floor()], 1)
    jitter = torch.sin(cell @ constant(cell, ((12.9, 39.3, 73.1), (78.2, 11.1, 27.7)))) * 43.7 % 1
    x, y = u % 1 - 0.5 + 0.22 * (jitter[:, 0] - 0.5), v % 1 - 0.5 + 0.22 * (jitter[:, 1] - 0.5)
    radius, angle = (x.square() + y.square() + 1e-8).sqrt(), torch.atan2(y, x + 1e-8)
    size = 0.24 + 0.16 * jitter[:, 2]
    petal = size * (0.72 + 0.28 * torch.cos((5 + (looks.petals[w.who] % 2)) * angle + 6.3 * jitter[:, 0]))
    leaf = smoothstep(0.05, 0.03, (x * 0.6 + y).abs()) * (radius < 0.52) * (radius > 0.25)
    heart = smoothstep(0.085, 0.065, radius)
    flower = smoothstep(0.02, -0.02, radius - petal)
    return flower * (1 - heart), torch.maximum(heart, 0.8 * leaf * (1 - flower))


def _denim(looks: Looks, w: Weave) -> Amounts:
    x, y, z = w.at.unbind(1)
    twill = 0.5 + 0.5 * torch.sin((w.round * 0.6 + w.along) * 3200)
    worn = torch.exp(-((y + 0.28) / 0.13).square()) * smoothstep(0.10, 0.17, z) * (y < 0.1)
    return torch.zeros_like(x), (0.10 * twill + 0.13 * w.grain.clamp(-1, 1) + 0.15 * worn).clamp(0, 0.6)


def _knit(looks: Looks, w: Weave) -> Amounts:
    u, v = w.round / 0.0095, w.along / 0.011
    stitch = (v + (u % 1 - 0.5).abs() * 0.9) % 1
    rib = 0.5 + 0.5 * torch.cos(2 * torch.pi * u)
    return (0.55 * smoothstep(0.65, 1.0, stitch) + 0.35 * (1 - rib)).clamp(0, 0.7), None


@lru_cache(maxsize=8)
def _keypad(device: torch.device) -> Float[Tensor, "L 4 4"]:
    """Strokes of each letter: x0 y0 x1 y1, missing ones repeated."""
    rows = []
    for word in _LETTERS:
        strokes = (word.split() * 4)[:4]
        rows.append([[c for d in s for c in (((int(d) - 1) % 3) / 2, (int(d) - 1) // 3 / 2)] for s in strokes])
    return torch.tensor(rows, device=device)


def _letters(looks: Looks, w: Weave) -> Amounts:
    x, y, z = w.at.unbind(1)
    column = (x / 0.036 + 2.5).floor()
    inside = (column >= 0) & (column < 5) & (z > 0.09) & (w.arm < 0.19)
    letter = looks.letters[w.who].gather(1, column.long().clamp(0, 4)[:, None])[:, 0]
    point = torch.stack([(x / 0.036 + 2.5 - column - 0.17) / 0.62, (y - 0.285) / 0.052], 1)[:, None]
    stroke = _keypad(x.device)[letter]  # [P 4 4]
    start, line = stroke[..., :2], stroke[..., 2:] - stroke[..., :2]
    t = (((point - start) * line).sum(-1) / line.square().sum(-1)).clamp(0, 1)
    away = (point - start - t[..., None] * line).norm(dim=-1).amin(1)
    return smoothstep(0.17, 0.11, away) * inside, None


def _emblem(looks: Looks, w: Weave) -> Amounts:
    x, y, z = w.at.unbind(1)
    x, y = x - 0.035 * (looks.petals[w.who] > 5), y - 0.315
    radius, angle = (x.square() + y.square() + 1e-9).sqrt(), torch.atan2(x, y + 1e-9)
    front = (z > 0.1) & (w.arm < 0.19)
    reach = 0.055 * looks.scale[w.who, 0]
    rose = reach * (0.55 + 0.45 * torch.cos(looks.petals[w.who] * angle))
    ring = smoothstep(0.006, 0.003, (radius - 1.12 * reach).abs())
    petals, heart = smoothstep(0.002, -0.002, radius - rose), smoothstep(0.3, 0.25, radius / reach)
    return torch.maximum(petals, ring) * front, heart * front


_DRAW: tuple[Callable[[Looks, Weave], Amounts] | None, ...] = (
    None, _hoops, _stripes, _checks, _dots, _print, _heather, _band, _badge, _blocks, _plaid, _floral, _denim, _knit,
    _letters, _emblem,
)  # fmt: skip
assert len(_DRAW) == len(PATTERNS)
