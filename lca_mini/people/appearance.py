"""Which material covers a pixel.

Enters: looks, the part of the shared mesh each pixel shows, and where on the template it lies. Leaves: one
`Surface` for all pixels. Not part of the paper.
"""

from __future__ import annotations

from dataclasses import fields

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lca_mini.people.cloth import cloth
from lca_mini.people.trimmings import accessory
from lca_mini.people.looks import Looks
from lca_mini.people.skin import Surface, eyes, hanging_hair, skin, small_parts
from lca_mini.people.wardrobe import CURTAIN, EYE, SHOES, SKIN, TONGUE, TOP


def appearance(
    looks: Looks, who: Int[Tensor, " P"], part: Int[Tensor, " P"], at: Float[Tensor, "P 3"], masks: Float[Tensor, "P 6"]
) -> Surface:
    """The material of P pixels.

    Args:
        who: index into looks.
        part: of `wardrobe`.
        at: position on the template, metres.
        masks: `wardrobe.masks` there.
    """
    groups = [
        (part == SKIN, lambda i: skin(looks, who[i], at[i], masks[i])),
        (part == EYE, lambda i: eyes(looks, who[i], at[i], masks[i, 5])),
        ((part >= TONGUE) & (part < CURTAIN), lambda i: small_parts(part[i] - TONGUE, at[i])),
        ((part >= CURTAIN) & (part < TOP), lambda i: hanging_hair(looks, who[i], at[i])),
        (part > SHOES, lambda i: accessory(looks, who[i], part[i], at[i])),
        ((part >= TOP) & (part <= SHOES), lambda i: cloth(looks, who[i], part[i] - TOP, at[i])),
    ]
    out = {
        f.name: at.new_zeros(len(at), 3) if f.name in ("albedo", "bump") else at.new_zeros(len(at))
        for f in fields(Surface)
    }
    for mask, material in groups:
        index = mask.nonzero()[:, 0]
        if len(index):
            for name, values in vars(material(index)).items():
                out[name][index] = values
    return Surface(**out)
