"""Who is for training and who is for testing: disjoint ranges of seeds.

Enters: a split's name. Leaves: seeds. Part of the paper: its train and test people differ, as ours do.
"""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

SPAN = 10**8
SPLITS: dict[str, int] = {
    "train": 0, "val": SPAN, "test-studio": 2 * SPAN, "test-wild": 3 * SPAN, "demo": 4 * SPAN,
    "test-stylised": 5 * SPAN,
}  # fmt: skip


def seeds_of(split: str, start: int = 0, count: int = 1) -> Int[Tensor, "count"]:
    """Seeds `start` to `start + count - 1` of a split; errors as in `first_seed`."""
    first = first_seed(split, start, count)
    return torch.arange(first, first + count)


def first_seed(split: str, start: int = 0, count: int = 1) -> int:
    """Seed `start` of a split that is to give `count` of them.

    Raises: ValueError for an unknown split, or where the range leaves the split.
    """
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}; choose one of {', '.join(SPLITS)}")
    if start < 0 or count < 0 or start + count > SPAN:
        raise ValueError(f"people {start} to {start + count} leave the split {split!r}, which has {SPAN}")
    return SPLITS[split] + start


def split_of(seed: int) -> str:
    """The split that a seed belongs to.

    Raises: ValueError for a seed of no split.
    """
    for name, first in SPLITS.items():
        if first <= seed < first + SPAN:
            return name
    raise ValueError(f"seed {seed} belongs to no split; they are {', '.join(SPLITS)}")
