"""A peer: the same Gaussians, optimised for one person on the same pictures (the ExAvatar kind; table 2).

Enters: reference pictures of a person with their true cameras, poses, shape and facial actions (`sample_people`,
`of_references`). Leaves: canonical `Gaussians`, posed and drawn for any moment. What differs from ExAvatar: its mesh, its
networks and its priors are missing; what is given to it, exact poses, is more than its tracker finds. What differs from
our own model: nothing is learned from other people, and there is no light; facial actions move the anchors as they move
the template.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lca_mini.body import Anchors, Body, bone_transforms, rest_joints, with_gaze
from lca_mini.body.anchors import action_directions
from lca_mini.body.lbs import blend_transforms, carry_gaussians
from lca_mini.model.decoder import FLATNESS, frames_of_normals, rotate, sunflower
from lca_mini.training import losses
from lca_mini.training.baseline import reference_colour
from lca_mini.training.losses import LossWeights
from lca_mini.training.optim import share_done
from lca_mini.training.step import draw_targets
from lca_mini.types import Cameras, Gaussians, Sample

RATES = {"means": 4e-4, "quats": 5e-3, "scales": 1e-2, "opacities": 2e-2, "colors": 3e-2}
LAST_RATE = 0.05  # of the first one
VIEWS = {"body": 4, "face": 2}  # pictures a step
SSIM = 0.2  # of the loss, beside L1


@dataclass(frozen=True)
class Effort:
    """What a person may cost: steps, seconds, or whichever is reached first; 0 for no limit (one of them is needed)."""

    steps: int = 0
    seconds: float = 120.0

    def __post_init__(self) -> None:
        if not self.steps > 0 and not self.seconds > 0:
            raise ValueError("optimising a person needs an end: give seconds, steps, or both")


class Raw(torch.nn.Module):
    """Gaussians [N .] as they are optimised: logarithms of scales, logits of opacities and colours."""

    def __init__(self, anchors: Anchors, points: Float[Tensor, "M 3"], colour: Float[Tensor, "3"], per_anchor: int) -> None:
        """Flat discs that cover the template, in one colour. points: the anchors on this person's body, metres."""
        super().__init__()
        frames = frames_of_normals(anchors.normals)[:, None].expand(-1, per_anchor, -1)
        spread = rotate(frames, sunflower(per_anchor, points.device) * (anchors.spacing / 3.14159**0.5)[:, None, None])
        cell = 0.75 * anchors.spacing / per_anchor**0.5
        discs = torch.stack([cell, FLATNESS * cell, cell], dim=-1)[:, None].expand(-1, per_anchor, -1)
        self.homes = points.repeat_interleave(per_anchor, 0)
        first = {
            "means": (points[:, None] + spread).flatten(0, 1), "quats": frames.flatten(0, 1),
            "scales": discs.flatten(0, 1).log(), "opacities": torch.full((len(self.homes),), 2.2, device=points.device),
            "colors": torch.logit(colour.clamp(0.02, 0.98)).expand(len(self.homes), 3),
        }  # fmt: skip
        self.raw = torch.nn.ParameterDict({name: torch.nn.Parameter(value.clone()) for name, value in first.items()})

    def gaussians(self) -> Gaussians:
        """Activated, canonical."""
        r = self.raw
        return Gaussians(r["means"], torch.nn.functional.normalize(r["quats"], dim=-1), r["scales"].exp().clamp(max=0.1),
                         r["opacities"].sigmoid(), r["colors"].sigmoid())  # fmt: skip


def posed(gaussians: Gaussians, body: Body, anchors: Anchors, sample: Sample) -> Gaussians:
    """Canonical Gaussians [N .] of the one person of a sample at each of its targets' moments [1 T N .]."""
    per_anchor = len(gaussians.means) // len(anchors.points)
    pose, betas = with_gaze(sample.pose, sample.gaze), sample.betas[:, None].expand(-1, sample.pose.shape[1], -1)
    moves = torch.einsum("mxk,btk->btmx", action_directions(body, anchors), sample.actions).repeat_interleave(per_anchor, -2)
    acting = Gaussians(gaussians.means + moves, *(getattr(gaussians, name).expand(*moves.shape[:3], *size) for name, size in (
        ("quats", (4,)), ("scales", (3,)), ("opacities", ()), ("colors", (3,)))))  # fmt: skip
    transforms = bone_transforms(pose, rest_joints(body, betas, sample.actions), body.parents)
    return carry_gaussians(acting, blend_transforms(anchors.skin_weights, transforms), sample.transl)


def optimise(
    body: Body, anchors: Anchors, per_anchor: int, own: Sample, pictures: list[int], effort: Effort = Effort(),
    seed: int = 0, backend: str = "auto",
) -> Gaussians:
    """Fit Gaussians to the reference pictures of one person.

    Args:
        own: one person, filmed with `of_references`, so that cameras and poses are those of the pictures.
        pictures: which of the references may be seen; each with its face crop.
        effort: when to stop; the rates fall with whichever limit is nearer.
    Returns: canonical Gaussians [N .], without gradients. Bounded by steps alone, it is always the same.
    """
    points = anchors.points + anchors.shapedirs @ own.betas[0]
    shown = torch.zeros_like(own.image_mask)
    shown[0, pictures] = True
    colour = reference_colour(Sample(**{**vars(own), "image_mask": shown}))[0]
    raw = Raw(anchors, points, colour, per_anchor)
    groups = [{"params": [raw.raw[name]], "lr": rate, "base": rate} for name, rate in RATES.items()]
    optimizer = torch.optim.Adam(groups, eps=1e-15)
    side = own.face_images.shape[-1]
    faces = Cameras(own.face_viewmats, own.face_Ks, side, side)
    sources = {"body": (own.cameras, own.images), "face": (faces, own.face_images)}
    dice, weights, step, begun = random.Random(seed), LossWeights(), 0, time.monotonic()
    while (progress := progress_of(effort, step, time.monotonic() - begun)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = group["base"] * LAST_RATE**progress
        canonical, loss = raw.gaussians(), torch.zeros((), device=points.device)
        for name, (cameras, images) in sources.items():
            which = sorted(dice.sample(pictures, min(VIEWS[name], len(pictures))))
            moment = Sample(**{**vars(own), **{n: getattr(own, n)[:, which] for n in ("pose", "transl", "gaze", "actions")}})
            drawn, _ = draw_targets(posed(canonical, body, anchors, moment), cameras[:, which], backend)
            terms = losses.image_loss(drawn, images[:, which], None, weights)
            loss = loss + terms["l1"] + SSIM * terms["ssim"]
        loss = loss + weights.acap * losses.acap_loss(canonical.means - raw.homes)
        loss = loss + weights.asap * losses.asap_loss(canonical.scales)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
    return raw.gaussians().map(lambda t: t.detach())


def progress_of(effort: Effort, step: int, seconds: float) -> float:
    """How much of the effort is spent, 0 to 1."""
    return share_done((step, effort.steps), (seconds, effort.seconds))
