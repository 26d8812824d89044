"""Who somebody is: build, gender, age and ancestry from a seed.

Enters: seeds. Leaves: `Traits`, betas among them. A person is a blend of two of the random adults that were kept when
the body was baked, both of one gender; angles keep the spread of the crowd. Not part of the paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lca_mini.body import ASSETS, load_body
from lca_mini.capture.chance import uniforms
from lca_mini.types import Movable

HEIGHTS = {"male": (1.60, 1.95), "female": (1.48, 1.80)}


@dataclass(frozen=True)
class Traits(Movable):
    """female: 0 or 1. age: years. ancestry: shares (African, Asian, European) that steer skin and hair."""

    betas: Float[Tensor, "B K"]
    female: Float[Tensor, " B"]
    age: Float[Tensor, " B"]
    ancestry: Float[Tensor, "B 3"]


@lru_cache(maxsize=1)
def _pool() -> tuple[list[Tensor], list[Tensor]]:
    """Betas and phenotypes of plausible men and women."""
    body = load_body()
    with np.load(ASSETS / "wardrobe.npz") as file:
        betas = torch.from_numpy(file["sample.betas"].astype(np.float32))
        phenotypes = torch.from_numpy(file["sample.phenotypes"].astype(np.float32))
    top, bottom = body.template[:, 1].argmax(), body.template[:, 1].argmin()
    height = (
        body.template[top, 1] - body.template[bottom, 1] + betas @ (body.shapedirs[top, 1] - body.shapedirs[bottom, 1])
    )
    pools = []
    for female, (low, high) in enumerate(HEIGHTS.values()):
        keep = ((phenotypes[:, 0] > 0.5) == bool(female)) & (height > low) & (height < high) & (phenotypes[:, 1] < 0.93)
        pools.append((betas[keep], phenotypes[keep]))
    return [b for b, _ in pools], [p for _, p in pools]


def traits_of(seeds: Int[Tensor, " B"]) -> Traits:
    """Traits of each seed, on the CPU."""
    u = uniforms(seeds.cpu(), 1, 6)
    female = u[:, 0] < 0.5
    betas, phenotypes = _pool()
    blended = []
    for b, p in zip(betas, phenotypes):
        first, second = ((u[:, i] * len(b)).long() for i in (1, 2))
        angle = (0.15 + 0.5 * u[:, 3:4]) * torch.pi / 2
        mean = b.mean(0)
        shape = mean + 0.92 * (angle.cos() * (b[first] - mean) + angle.sin() * (b[second] - mean))
        share = angle.cos() / (angle.cos() + angle.sin())
        blended.append(torch.cat([shape, share * p[first] + (1 - share) * p[second]], 1))
    both = torch.where(female[:, None], blended[1], blended[0])
    betas_, phenotype = both[:, : betas[0].shape[1]], both[:, betas[0].shape[1] :]
    age = 22 + (phenotype[:, 1] - 2 / 3).clamp(min=0) * 3 * 55
    return Traits(betas_, female.float(), age, phenotype[:, 8:11])
