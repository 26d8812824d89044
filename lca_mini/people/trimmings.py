"""Material of accessories: frames, lenses, felt, knit, leather, metal.

Enters: looks, and where on the template each pixel lies. Leaves: `Surface`s. Not part of the paper.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lca_mini.capture.constants import constant
from lca_mini.people.looks import Looks
from lca_mini.people.noise import noise, smoothstep
from lca_mini.people.skin import Surface
from lca_mini.people.wardrobe import GLASSES

_TRIM = (0, 0, 1, 1, 2, 6, 3, 4, 5)  # of `extras.TRIMS`, for each part from GLASSES on
_SPECULAR = (1.2, 0.9, 0.2, 0.2, 0.25, 0.25, 2.2, 1.0, 0.7)
_ROUGHNESS = (0.35, 0.12, 0.85, 0.85, 0.75, 0.85, 0.25, 0.35, 0.5)


def accessory(looks: Looks, who: Int[Tensor, " P"], part: Int[Tensor, " P"], at: Float[Tensor, "P 3"]) -> Surface:
    """The surface of accessories. part: of `wardrobe`, GLASSES to BAG."""
    kind = part - GLASSES
    x, y, z = at.unbind(1)
    glasses, lens, hat, brim, scarf, collar, _, watch, bag = (kind == i for i in range(9))
    trim = constant(at, _TRIM).long()[kind]
    color = looks.trims[who, trim]
    color = torch.where(collar[:, None], looks.colors[who, 0, 0], color)
    color = torch.where(lens[:, None], 0.012 + 0.02 * color, color)
    strap = bag & (x < 0.188)
    color = torch.where(strap[:, None], looks.trims[who, 4], color)
    dial = watch & (y > 0.4945)
    rim = smoothstep(0.012, 0.015, ((x - 0.615).square() + (z - 0.0868).square()).sqrt())[:, None]
    color = torch.where(dial[:, None], 0.05 + 0.8 * looks.trims[who, 3] * rim, color)

    cloth = hat | brim | scarf | collar | bag
    rough, fine = noise(at * 1.3 + looks.phase[who]), noise(at * 10 + looks.phase[who])
    knitted = hat & (looks.headwear[who] == 2)
    around = torch.atan2(x, z - 0.118)
    ribs = 0.5 + 0.5 * torch.cos(around * 60)
    turned_up = knitted & (y < 0.752)
    band = hat & (looks.headwear[who] == 3) & (y < 0.758)
    panel = hat & (looks.headwear[who] == 1) & ((torch.cos(around * 3)).abs() < 0.03)
    value = torch.where(cloth, 0.14 * rough[:, 0] + 0.10 * fine[:, 2], 0.0) - 0.35 * ribs * knitted
    value = value - 0.9 * band - 0.4 * panel + 0.12 * turned_up
    flap = bag & ~strap & (((y + 0.075) / 0.0016).square() < 1)
    value = value - 0.6 * flap
    folds = noise(at * constant(at, (2.2, 0.9, 2.2)) + looks.phase[who])
    bump = torch.where(scarf[:, None], 0.35 * folds[:, :3], 0.06 * fine[:, 1:])
    bump = bump * cloth[:, None]
    bump = bump + (knitted * 0.3 * torch.sin(around * 60))[:, None] * torch.stack([z - 0.118, 0 * x, -x], 1) * 10
    return Surface(
        (color * torch.exp(value)[:, None]).clamp(0.003, 0.9), constant(at, _SPECULAR)[kind],
        constant(at, _ROUGHNESS)[kind], 0.08 * cloth, bump,
    )  # fmt: skip
