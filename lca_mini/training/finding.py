"""The surface finder by itself, on reference pictures alone (`alone` says why).

Enters: weights, and how long. Leaves: the model with a `SurfaceFinder` that errs less. Whatever is looked up in pictures,
patterns of clothes above all, is looked up where it says: with the truth for its maps, striped shirts are smeared less. No
part of the paper, whose frozen Sapiens encoder comes with such knowledge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lca_mini.capture.takes import Studio
from lca_mini.config import MOST_IMAGES, check_ranges
from lca_mini.data.people import film_with
from lca_mini.model import LCA
from lca_mini.model.surface import surface_loss, unweighed, weighed
from lca_mini.training.alone import WORLDS, AloneSettings, Pool, from_each, train_alone, turned
from lca_mini.training.losses import LossWeights

KINDS = ("body", "face")
SURPRISE = LossWeights().surprise / LossWeights().surface  # weight of the expected errors' loss, as in the whole model


@dataclass(frozen=True)
class FindingSettings(AloneSettings):
    """As there, with smaller defaults, since pictures are larger."""

    people: int = 32
    """Filmed together, in the studio and in the wild by turns."""
    pool: int = 20_000
    """Pictures of each world and kind that steps draw from; 0.3 MB for a body at 256 pixels and its face."""
    references: int = 8
    """Pictures of each person, with a face crop each."""

    def __post_init__(self) -> None:
        """As there."""
        check_ranges(self, {"references": (1, MOST_IMAGES)})
        super().__post_init__()


class Finding:
    """Body images and face crops in turn, and which point of the body each of their cells shows."""

    stage, batch, matrices = "finding", 128, (nn.Conv2d,)

    def __init__(self, settings: FindingSettings, model: LCA) -> None:
        config, device = model.config, model.anchors.points.device
        sizes = (config.image_size, config.face_size)
        self.filmed = film_with(settings.references, 1, *sizes, device, studio=Studio(routines=0.3))
        self.pools = {(world, kind): Pool(settings.pool) for world in WORLDS for kind in KINDS}
        self.step = 0

    def part(self, model: LCA) -> nn.Module:
        """As in `Lesson`. Raises: ValueError for a model without one."""
        if model.surface_finder is None:
            raise ValueError("these weights have no surface finder, so that none can be trained; take ones that have")
        return model.surface_finder

    def film(self, seeds: Int[Tensor, "B"], world: str) -> int:
        """As in `Lesson`."""
        sample = self.filmed(seeds, world)
        assert sample.surface is not None and sample.face_surface is not None
        for kind, pictures, true in zip(KINDS, (sample.images, sample.face_images), (sample.surface, sample.face_surface)):
            self.pools[world, kind].add(pictures.flatten(0, 1), weighed(true.flatten(0, 1)).half())
        return 2 * sample.images.shape[:2].numel()

    def loss(self, part: nn.Module, generator: torch.Generator) -> dict[str, Float[Tensor, ""]]:
        """How far off places are, metres along the three axes, and a little for coverage and expected errors."""
        kind = KINDS[self.step % 2]
        self.step += 1
        pictures, true, where = from_each({world: self.pools[world, kind] for world in WORLDS}, self.batch, generator)
        by = 2 * torch.rand(len(pictures), 4, device=pictures.device, generator=generator) - 1
        pictures, true = 1 - turned(1 - pictures, by), unweighed(turned(true.float(), by))  # white stays white
        found = part(pictures)
        wrong = {world: surface_loss(found[some], true[some]) for world, some in where.items()}
        return {world: off + SURPRISE * surprise for world, (off, surprise) in wrong.items()}


def train_finding(settings: FindingSettings) -> dict[str, Any]:
    """As `train_alone`, whose arguments, files and errors it has."""
    return train_alone(settings, lambda model: Finding(settings, model))
