"""Which material covers a pixel.

Enters: looks, the part of the shared mesh each pixel shows, and where on the template it lies. Leaves: one
`Surface` for all pixels. Not part of the paper.
"""

from __future__ import annotations

from dataclasses import fields

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lca_mini.capture.constants import constant
from lca_mini.people.cloth import cloth
from lca_mini.people.looks import Looks
from lca_mini.people.skin import Surface, eyes, hanging_hair, skin, small_parts
from lca_mini.people.trimmings import accessory
from lca_mini.people.wardrobe import CURTAIN, EYE, SHOES, TONGUE, TOP


def appearance(
    looks: Looks, who: Int[Tensor, " P"], part: Int[Tensor, " P"], at: Float[Tensor, "P 3"], masks: Float[Tensor, "P 6"]
) -> Surface:
    """The material of P pixels.

    Args:
        who: index into looks.
        part: of `wardrobe`, in ascending order.
        at: position on the template, metres.
        masks: `wardrobe.masks` there.
    """
    groups = [  # up to which part, and its material
        (EYE, lambda i: skin(looks, who[i], at[i], masks[i])),
        (TONGUE, lambda i: eyes(looks, who[i], at[i], masks[i, 5])),
        (CURTAIN, lambda i: small_parts(part[i] - TONGUE, at[i])),
        (TOP, lambda i: hanging_hair(looks, who[i], at[i])),
        (SHOES + 1, lambda i: cloth(looks, who[i], part[i] - TOP, at[i])),
        (torch.iinfo(part.dtype).max, lambda i: accessory(looks, who[i], part[i], at[i])),
    ]
    ends = torch.searchsorted(part, constant(part, tuple(end for end, _ in groups))).tolist()
    parts = [material(slice(a, b)) for a, b, (_, material) in zip([0, *ends], ends, groups) if b > a]
    if not parts:
        return Surface(at.new_zeros(0, 3), *(at.new_zeros(0) for _ in range(3)), at.new_zeros(0, 3))
    return Surface(*(torch.cat([getattr(p, f.name) for p in parts]) for f in fields(Surface)))
