"""The correction branch by itself, on true displacements of the skin alone: after the stages, whose tokens it reads.

Enters: weights, and how long. Leaves: the model with a correction branch whose Gaussians follow faces more closely. No part
of the paper, whose branch learns from pictures, as ours does in the stages, with `TrueMotion` beside them. No avatar is
drawn here, so that a step costs little, and the branch sees every action on every person. All else that it says
(colours, sizes, turns, clothes, eyeballs) is held to what it said before.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lca_mini.capture.film import small_steps
from lca_mini.capture.motion import random_frames
from lca_mini.capture.takes import Studio, studio_moments
from lca_mini.config import MOST_IMAGES, check_ranges
from lca_mini.data.people import film_with
from lca_mini.model import LCA
from lca_mini.model.decoder import CorrectionBranch
from lca_mini.training.alone import WORLDS, AloneSettings, Latest, from_each, train_alone
from lca_mini.training.faces import EYES, TrueMotion
from lca_mini.training.losses import motion_loss
from lca_mini.types import DrivingSignal, GaussianOffsets

LITTLE = 1e-4  # metres: a moment whose Gaussians move less on average (root mean square) counts for less
KEEP = 0.3  # weight of all that is to stay, against the motion of faces
OTHERS = 192  # anchors in a step that `TrueMotion` does not watch, beside all of the eyeballs
FEW = 5  # of so many films, one gives a single picture of each person
APART = 0.5  # of the moments, faces whose actions are drawn one by one
AT_A_TIME = 2.0  # of them, on average


@dataclass(frozen=True)
class CorrectingSettings(AloneSettings):
    """As there, with smaller defaults, since a person is all of their tokens."""

    people: int = 16
    """Filmed together, in the studio and in the wild by turns."""
    echo: int = 16
    """How often a person is met on average, each time with other movements."""
    pool: int = 500
    """People of each world and process that steps draw from; 1.6 MB each."""
    lr: float = 2e-3
    """Peak learning rate."""
    muon: float = 3.0
    """Rate of Muon's matrices, the branch's layers, over that of AdamW; 0 for AdamW alone."""
    references: int = 8
    """Pictures of each person."""
    moments: int = 6
    """Of each person in a step: bodies, faces and gazes."""

    def __post_init__(self) -> None:
        """As there."""
        check_ranges(self, {"references": (1, MOST_IMAGES), "moments": (1, 1000)})
        super().__post_init__()


class Moves(nn.Module):
    """The correction branch, from tokens, in one call, so that whatever wraps it sees it."""

    def __init__(self, branch: CorrectionBranch) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, tokens: Float[Tensor, "B m D"], signal: DrivingSignal) -> GaussianOffsets:
        """Corrections [B T n .] of the Gaussians of m anchors."""
        with torch.autocast(tokens.device.type, enabled=False):
            return self.branch(self.branch.token_half(tokens)[:, None], signal)


class Correcting:
    """Fused tokens of people, and how others of them move."""

    stage, batch, matrices = "correcting", 16, (nn.Linear,)

    def __init__(self, settings: CorrectingSettings, model: LCA) -> None:
        config, device = model.config, model.anchors.points.device
        if model.correction_branch is None:
            raise ValueError("these weights have a single branch, so that no corrections can be trained; take ones with two")
        self.settings, self.model, self.films = settings, model, 0
        self.filmed = film_with(settings.references, 1, config.image_size, config.face_size, device)
        self.before = copy.deepcopy(model.correction_branch).requires_grad_(False)
        self.true_motion = TrueMotion(model)
        eyeballs = model.anchors.skin_weights[:, EYES].sum(1) > 0.5
        unwatched = ~eyeballs
        unwatched[self.true_motion.watched] = False
        self.eyeballs, self.others = (some.nonzero()[:, 0] for some in (eyeballs, unwatched))
        self.people, self.moments = ({world: Latest(settings.pool) for world in WORLDS} for _ in range(2))

    def part(self, model: LCA) -> nn.Module:
        """As in `Lesson`."""
        assert model.correction_branch is not None
        return Moves(model.correction_branch)

    @torch.no_grad()
    def film(self, seeds: Int[Tensor, "B"], world: str) -> int:
        """As in `Lesson`; counts people."""
        model, sample = self.model, self.filmed(seeds, world)
        some = slice(0, 1 if self.films % FEW == FEW - 1 else None)
        avatar = model.reconstruct(sample.images[:, some], sample.face_images[:, some], None, sample.betas)[0]
        homes = model.anchors_of(avatar.betas).repeat_interleave(model.config.gaussians_per_anchor, dim=1)
        self.people[world].add(avatar.fused_tokens.half(), *self.true_motion.nearest(avatar.canonical.means - homes))
        with small_steps(homes.device):
            count = self.settings.moments
            motion = studio_moments(seeds, count, Studio(routines=0.3)) if world == "studio" else random_frames(seeds, count, world)
        self.moments[world].add(*(part.to(homes.device) for part in (motion.pose, motion.gaze, motion.actions)))
        self.films += 1
        return len(seeds)

    def loss(self, part: nn.Module, generator: torch.Generator) -> dict[str, Float[Tensor, ""]]:
        """How much of the skin's true motion is `not_followed`, and how much all else has changed, as shares."""
        tokens, nearest, on_skin, where = from_each(self.people, self.batch, generator)
        pose, gaze, actions, _ = from_each(self.moments, self.batch, generator)
        actions = sometimes_apart(actions, generator)
        drawn = torch.randperm(len(self.others), generator=generator, device=generator.device)[:OTHERS]
        seen = (self.true_motion.watched, self.eyeballs, self.others[drawn])
        tokens = tokens[:, torch.cat(seen)].float()
        with torch.no_grad():
            signal = DrivingSignal(pose, torch.zeros_like(pose[..., 0, :]), self.model.expression_from_actions(actions), gaze)
            true, counts = self.true_motion.moved(nearest, on_skin, actions)
            old = self.before(self.before.token_half(tokens)[:, None], signal)
        new = part(tokens, signal)
        face, eyes = (len(ids) * self.model.config.gaussians_per_anchor for ids in seen[:2])
        everywhere = counts.new_ones(len(counts), 1, new.means.shape[2], 1)
        held = {"means": torch.cat([1 - counts, everywhere[:, :, face:]], 2), "quats": everywhere, "scales": everywhere,
                "colors": everywhere}  # fmt: skip
        losses = {}
        for world, some in where.items():
            stay = sum(motion_loss(getattr(new, kind)[some, :, of], getattr(old, kind)[some, :, of], counted[some, :, of])
                       for kind, counted in held.items() for of in (slice(None), slice(face, face + eyes)))  # fmt: skip
            losses[world] = not_followed(new.means[some, :, :face], true[some], counts[some]) + KEEP * stay
        return losses


def sometimes_apart(actions: Float[Tensor, "B T 52"], generator: torch.Generator) -> Float[Tensor, "B T 52"]:
    """Facial actions, in a share of the moments a few at random instead. Faces that people make move both lids at once, and
    from them alone the branch doesn't learn what either does: skin knows, and moves by the sum of its actions."""
    drawn = torch.rand(3, *actions.shape, generator=generator, device=actions.device)
    few = drawn[0] * (drawn[1] < AT_A_TIME / actions.shape[-1])
    return torch.where(drawn[2, ..., :1] < APART, few, actions)


def not_followed(
    means: Float[Tensor, "B T n 3"], true: Float[Tensor, "B T n 3"], counts: Float[Tensor, "B 1 n 1"]
) -> Float[Tensor, ""]:
    """As `motion_loss`, but of each moment by itself, and then their mean: a lid counts as much as a jaw, which moves far
    more skin. (Without, the branch learns jaws and hardly lids.)"""
    wrong, motion = ((counts * part.square()).sum((2, 3)) for part in (means - true, true))
    return (wrong / (motion + LITTLE**2 * counts.sum((2, 3)))).mean()


def train_correcting(settings: CorrectingSettings) -> dict[str, Any]:
    """As `train_alone`, whose arguments, files and errors it has."""
    return train_alone(settings, lambda model: Correcting(settings, model))
