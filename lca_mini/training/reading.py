"""The expression encoder by itself, on close-ups alone (`alone` says why): before the stages, which then leave it still.

Enters: weights or a preset, and how long. Leaves: the model with an encoder that reads facial actions. No part of the
paper, whose encoder learns beside everything else. Ours, once taught, may not: at the rate of the others it forgot within
80 steps what it knew, and its gradients, hundreds of times as large as theirs, were all that clipping left
(results/trial_mini_both.json).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from lca_mini.body import MIRRORED
from lca_mini.capture.takes import Studio
from lca_mini.config import check_ranges
from lca_mini.data.people import film_with
from lca_mini.model import LCA
from lca_mini.training.alone import WORLDS, AloneSettings, Pool, from_each, train_alone, turned
from lca_mini.training.losses import reading_loss

SMALL = 16  # pixels of the pictures that come along and are not looked at
VARIES = 4e-4  # variance over which an action counts as varying, as it does for R2; in the wild most have 0.001 to 0.006
STILL = 0.005  # what stands for the variance of others


@dataclass(frozen=True)
class ReadingSettings(AloneSettings):
    """As there."""

    muon: float = 3.0
    """Rate of Muon's matrices, the convolutions, over that of AdamW; 0 for AdamW alone, which learns more slowly."""
    close_ups: int = 12
    """Of each person."""

    def __post_init__(self) -> None:
        """As there."""
        check_ranges(self, {"close_ups": (1, 64)})
        super().__post_init__()


class Reading:
    """Close-ups, and which facial actions they show."""

    stage, batch, matrices = "reading", 256, (nn.Conv2d,)

    def __init__(self, settings: ReadingSettings, model: LCA) -> None:
        device, size = model.anchors.points.device, model.config.expression_size
        self.filmed = film_with(1, settings.close_ups, SMALL, size, device, studio=Studio(routines=0.3))
        self.pools = {world: Pool(settings.pool) for world in WORLDS}

    def part(self, model: LCA) -> nn.Module:
        """As in `Lesson`."""
        return model.expression_encoder

    def film(self, seeds: Int[Tensor, "B"], world: str) -> int:
        """As in `Lesson`."""
        sample = self.filmed(seeds, world)
        faces = sample.target_faces.flatten(0, 1)
        self.pools[world].add(faces, sample.actions.flatten(0, 1))
        return len(faces)

    def loss(self, part: nn.Module, generator: torch.Generator) -> dict[str, Float[Tensor, ""]]:
        """The unexplained share of an action's variance, mean over actions."""
        faces, actions, where = from_each(self.pools, self.batch, generator)
        faces, actions = in_mirrors(faces, actions, generator)
        read, counts = part(altered(faces, generator)), faces.new_ones(len(faces), 1, 1)
        losses = {}
        for world, some in where.items():
            spread = self.pools[world].spread()
            spread = torch.where(spread > VARIES, spread, STILL)
            losses[world] = reading_loss(read[some, None], actions[some, None], counts[some], spread)
        return losses


def in_mirrors(
    faces: Float[Tensor, "n 3 h w"], actions: Float[Tensor, "n 52"], generator: torch.Generator
) -> tuple[Float[Tensor, "n 3 h w"], Float[Tensor, "n 52"]]:
    """Every other face, at random, as in a mirror."""
    turned_round = torch.rand(len(faces), device=faces.device, generator=generator) < 0.5
    faces = torch.where(turned_round[:, None, None, None], faces.flip(-1), faces)
    return faces, torch.where(turned_round[:, None], actions[:, MIRRORED], actions)


def altered(faces: Float[Tensor, "n 3 h w"], generator: torch.Generator) -> Float[Tensor, "n 3 h w"]:
    """Each face `turned`, and dimmed or tinted; every fourth as if enlarged from half its size."""
    u = 2 * torch.rand(len(faces), 8, device=faces.device, generator=generator) - 1
    gain = 1 + 0.2 * u[:, 4:5] + 0.06 * u[:, 5:]
    faces = faces.clone()
    faces[::4] = F.interpolate(F.avg_pool2d(faces[::4], 2), faces.shape[-2:], mode="bilinear")
    return (turned(faces, u[:, :4], "border") * gain[:, :, None, None]).clamp(0, 1)


def train_reading(settings: ReadingSettings) -> dict[str, Any]:
    """As `train_alone`, whose arguments, files and errors it has."""
    return train_alone(settings, lambda model: Reading(settings, model))
