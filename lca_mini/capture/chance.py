"""Random numbers that belong to a seed: the same on every device, in every batch, in any order.

Enters: seeds. Leaves: uniform and normal numbers, a fixed count for each. Not part of the paper.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

_GOLDEN, _MIX_A, _MIX_B = -7046029254386353131, -4658895280553007687, -7723592293110705685


def uniforms(seeds: Int[Tensor, "*batch"], stream: int, count: int) -> Float[Tensor, "*batch count"]:
    """`count` numbers in [0, 1) for each seed (splitmix64); another `stream` gives independent ones."""
    index = torch.arange(count, device=seeds.device) + (stream + 1) * 1_000_003
    x = _scramble(seeds.long()[..., None] * _GOLDEN + 0x632BE5AB)
    x = _scramble(x + index * _GOLDEN)
    return (_shift(x, 40)).float() / 16777216.0


def normals(seeds: Int[Tensor, "*batch"], stream: int, count: int) -> Float[Tensor, "*batch count"]:
    """`count` standard normal numbers for each seed."""
    a, b = uniforms(seeds, stream, 2 * count).unflatten(-1, (2, count)).unbind(-2)
    return (-2 * (1 - a).log()).sqrt() * (2 * math.pi * b).cos()


def _shift(x: Tensor, bits: int) -> Tensor:
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _scramble(x: Tensor) -> Tensor:
    x = (x ^ _shift(x, 30)) * _MIX_A
    x = (x ^ _shift(x, 27)) * _MIX_B
    return x ^ _shift(x, 31)
