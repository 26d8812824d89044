"""Small tables of numbers, made once on each device.

Enters: tuples. Leaves: tensors, not to be written into. Not part of the paper. To make one where a GPU needs it is to copy
it from the CPU, which waits until the GPU has done all it was asked to do before.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


def constant(like: Tensor, values: tuple) -> Tensor:
    """The numbers in `like`'s type and on its device."""
    return _constant(values, like.dtype, like.device)


@lru_cache(maxsize=1024)
def _constant(values: tuple, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=dtype, device=device)
