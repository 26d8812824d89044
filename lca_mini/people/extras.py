"""What is drawn on top of the plain looks: accessories, layers, marks of the skin, shapes of hair and hats.

Enters: seeds. Leaves: `Extras`, a part of `looks.Looks`. Not part of the paper. All draws come from random streams of
their own, so that whoever a seed was before these existed, they still are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lca_mini.capture.chance import uniforms
from lca_mini.capture.shading import srgb_to_linear
from lca_mini.types import Movable

GLASSES = ("none", "round", "square", "cat", "aviator")
HEADWEAR = ("none", "cap", "beanie", "felt", "headscarf")
EARRINGS = ("none", "hoops", "studs")
LAYERS = ("none", "cardigan", "zip", "blazer", "shirt")
TRIMS = ("glasses", "hat", "scarf", "jewels", "strap", "bag", "inner")  # what has a colour of its own
MORPHS = ("bob", "bun", "square", "cat", "aviator", "thick", "beanie", "felt", "studs", "flare", "low", "wave", "lift")
CHANCES = {
    "glasses": 0.20, "sunglasses": 0.12, "headwear": (0.04, 0.03, 0.02), "headscarf": 0.06, "earrings": (0.45, 0.04),
    "watch": 0.20, "bag": 0.10, "layer": (0.06, 0.06, 0.06, 0.12), "flare": 0.45, "mole": 0.5,
}  # fmt: skip
"""Shares of people: sunglasses of those with glasses; headscarf of women, who then wear no hat; earrings of women, of
men; hats in the order of HEADWEAR, layers of LAYERS (not over a dress); flared of skirts; with moles on the face."""
_FRAMES = ((18, 16, 16), (60, 36, 22), (110, 76, 44), (140, 142, 146), (176, 140, 80), (34, 44, 84), (120, 30, 44),
           (196, 190, 180))  # fmt: skip
_FABRIC = ((24, 24, 27), (58, 60, 66), (122, 124, 128), (28, 38, 66), (44, 70, 120), (120, 30, 36), (188, 50, 48),
           (40, 78, 58), (100, 68, 46), (160, 122, 86), (204, 176, 140), (236, 232, 222), (92, 62, 110), (230, 176, 72),
           (222, 150, 164), (30, 110, 118))  # fmt: skip
_LEATHER = ((22, 20, 20), (70, 44, 30), (120, 78, 46), (160, 112, 70), (110, 30, 34), (36, 46, 70), (180, 170, 150))
_JEWELS = ((212, 170, 90), (190, 192, 196), (214, 150, 120), (236, 232, 224))
_INNER = ((238, 237, 232), (238, 237, 232), (26, 26, 28), (150, 152, 156), (170, 196, 220), (36, 46, 76), 
          (196, 180, 150), (150, 44, 48), (96, 120, 90))  # fmt: skip


@dataclass(frozen=True)
class Extras(Movable):
    """glasses, headwear, earrings, layer: indices into the tuples above; layer is what the top is. trims: colours of
    `TRIMS`, linear. morphs: how much of each of `MORPHS`. moles: how dark they are. letters: what a printed top says;
    petals: of the emblem on another."""

    glasses: Int[Tensor, " B"]
    sunglasses: Bool[Tensor, " B"]
    headwear: Int[Tensor, " B"]
    earrings: Int[Tensor, " B"]
    layer: Int[Tensor, " B"]
    watch: Bool[Tensor, " B"]
    bag: Bool[Tensor, " B"]
    trims: Float[Tensor, "B 7 3"]
    morphs: Float[Tensor, "B 13"]
    moles: Float[Tensor, " B"]
    letters: Int[Tensor, "B 5"]
    petals: Int[Tensor, " B"]


def extras_of(
    seeds: Int[Tensor, " B"], female: Bool[Tensor, " B"], dress: Bool[Tensor, " B"], old: Float[Tensor, " B"],
    hairdo: Int[Tensor, " B"], length: Float[Tensor, " B"], curl: Float[Tensor, " B"], loose: Float[Tensor, " B"],
) -> Extras:  # fmt: skip
    """The extras of each seed. hairdo, length, curl, loose (of the top): of `Looks`; 5 to 8 are bob, long, ponytail and
    bun."""
    u = uniforms(seeds.cpu(), 5, 48)
    pick = lambda chances, r: (r[:, None] >= torch.tensor(chances).cumsum(0)).sum(1)  # noqa: E731
    none_last = lambda index, count: torch.where(index < count, index + 1, 0)  # noqa: E731
    glasses = torch.where(u[:, 0] < CHANCES["glasses"] * (0.9 + 0.8 * old), 1 + (u[:, 1] * 4).long(), 0)
    headwear = none_last(pick(CHANCES["headwear"], u[:, 2]), 3)
    headwear = torch.where(female & (u[:, 3] < CHANCES["headscarf"]), 4, headwear)
    wears = u[:, 4] < torch.where(female, *CHANCES["earrings"])
    earrings = torch.where(wears, torch.where(female & (u[:, 5] < 0.5), 1, 2), 0)
    layer = torch.where(dress, 0, none_last(pick(CHANCES["layer"], u[:, 6]), 4))

    on = {name: torch.zeros(len(u)) for name in MORPHS}
    on["bob"] = torch.where(hairdo == 5, 0.75 + 0.25 * length, 0.35 * length)
    on["bun"] = (hairdo == 8).float()
    for name in ("square", "cat", "aviator"):
        on[name] = (glasses == GLASSES.index(name)).float()
    on["thick"] = u[:, 7] * (u[:, 8] < 0.6)
    for name in ("beanie", "felt"):
        on[name] = (headwear == HEADWEAR.index(name)).float()
    on["studs"] = (earrings == 2).float()
    on["flare"] = (u[:, 9] < CHANCES["flare"]) * (0.3 + 0.7 * u[:, 10])
    on["low"] = ((hairdo == 7) & (u[:, 11] < 0.45)).float()
    on["wave"] = torch.maximum(curl, (u[:, 12] < 0.3) * u[:, 13]) * (1 - 0.6 * on["bob"])
    on["lift"] = 0.005 + 0.006 * loose + 0.005 * ((layer > 0) & (layer < 4))  # metres: a strap lies on the top
    trims = [_FRAMES, _FABRIC, _FABRIC, _JEWELS, _LEATHER, _LEATHER, _INNER]
    return Extras(
        glasses=glasses, sunglasses=(glasses > 0) & (u[:, 14] < CHANCES["sunglasses"]), headwear=headwear,
        earrings=earrings, layer=layer, watch=u[:, 15] < CHANCES["watch"], bag=u[:, 16] < CHANCES["bag"],
        trims=torch.stack([colors(table, u[:, 17 + i]) for i, table in enumerate(trims)], 1),
        morphs=torch.stack([on[name] for name in MORPHS], 1),
        moles=(u[:, 24] < CHANCES["mole"]) * (0.3 + 0.7 * u[:, 25]), letters=(u[:, 26:31] * 17).long(),
        petals=3 + (u[:, 31] * 6).long(),
    )  # fmt: skip


def new_patterns(
    seeds: Int[Tensor, " B"], pattern: Int[Tensor, "B 4"], names: tuple[str, ...], dress: Bool[Tensor, " B"]
) -> Int[Tensor, "B 4"]:
    """Some of the plainer garments get the patterns that came later."""
    u = uniforms(seeds.cpu(), 6, 6)
    at = lambda name: names.index(name)  # noqa: E731
    prints = torch.tensor([at(n) for n in ("plaid", "floral", "knit", "knit", "letters", "emblem", "denim", "floral")])
    woven = torch.tensor([at(n) for n in ("plaid", "floral", "denim", "knit", "floral", "plaid")])
    top = torch.where(u[:, 0] < 0.38, prints[(u[:, 1] * len(prints)).long()], pattern[:, 0])
    top = torch.where(dress & (top >= at("letters")), at("floral"), top)
    legs = torch.where(u[:, 2] < 0.30, at("denim"), torch.where(u[:, 2] > 0.96, at("plaid"), pattern[:, 1]))
    skirt = torch.where(u[:, 3] < 0.4, woven[(u[:, 4] * len(woven)).long()], pattern[:, 2])
    return torch.stack([top, legs, torch.where(dress, top, skirt), pattern[:, 3]], 1)


def colors(table: tuple, u: Float[Tensor, " B"]) -> Float[Tensor, "B 3"]:
    """Linear colours picked from sRGB bytes, each a little off."""
    chosen = torch.tensor(table, dtype=torch.float32)[(u * len(table)).long().clamp(max=len(table) - 1)] / 255
    return srgb_to_linear((chosen * (0.94 + 0.12 * ((u * len(table)) % 1))[:, None]).clamp(0, 1))
