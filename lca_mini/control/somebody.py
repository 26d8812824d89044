"""Somebody new: a synthetic person whom the model has never met, filmed and encoded.

Enters: a number. Leaves: an `Avatar`. Part of the paper: one pass from pictures to an avatar, for people of the "demo"
split, of whom none was trained on.
"""

from __future__ import annotations

from typing import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from lca_mini.data.people import film_with
from lca_mini.model import LCA
from lca_mini.people.splits import seeds_of
from lca_mini.types import Avatar

PICTURES = 8


@torch.no_grad()
def somebody(
    model: LCA, number: int, tick: Callable[[str, float], None] = lambda words, share: None
) -> tuple[Avatar, Float[Tensor, "S 3 H W"]]:
    """A person's avatar and the pictures it was made of; some seconds on a CPU.

    Args:
        number: which person of the split "demo"; the same number is the same person.
        tick: called with what happens next, and how much is done, 0 to 1.
    Raises: ValueError where the split has no such person.
    """
    seeds = seeds_of("demo", number)
    config, device = model.config, model.anchors.points.device
    tick(f"filming person {number}", 0.1)
    sample = film_with(PICTURES, 1, config.image_size, config.face_size, device)(seeds, "wild")
    tick(f"encoding person {number}", 0.7)
    avatar = model.encode(sample.images, sample.face_images, sample.image_mask)
    tick(f"person {number}", 1.0)
    return avatar, sample.images[0]
