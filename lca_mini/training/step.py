"""One training step: a `Sample` through the model and the renderer to a loss.

Enters: a `Sample` of B people and what chance decided for this step. Leaves: named loss terms and renders. Part of the
paper: eq. 10, with I_cano (canonical Gaussians, posed) and I_pose (corrected ones); epsilon comes from the
target's own face crop. What differs from the paper: every other person is driven by its facial actions instead, where
they are known; they also teach the encoder, and how the face moves (`faces`); some steps hand the model fewer references,
some the true body shape; L_img of I_cano is taken on one random target a step, not on all, and perceptual distance and
SSIM on every other target, which costs half as much; where the targets' face crops have cameras, they are reproduced too,
since a mouth is a few pixels of a whole person.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from lca_mini.body import Body, bone_transforms, rest_joints
from lca_mini.body.anchors import LIPS
from lca_mini.capture.constants import constant
from lca_mini.model import LCA, Reconstruction, face_finder_loss
from lca_mini.model.surface import surface_loss
from lca_mini.render import render
from lca_mini.training import losses
from lca_mini.training.faces import EYES, HEAD, TrueMotion
from lca_mini.training.losses import LossWeights
from lca_mini.training.metrics import psnr
from lca_mini.training.perceptual import Perceptual
from lca_mini.types import Cameras, DrivingSignal, Gaussians, Movable, Sample

FEWER = (1, 1, 1, 2, 4)  # reference counts beside the most, as often as they stand here: few, so that a compiled model stays so
SHOW_FEWER = 0.75  # fraction of steps with fewer references
NEAR_SPOTS = {"eyes": (slice(2), 0.015), "mouth": (slice(2, 3), 0.025)}  # which of `face_spots`, and how near, metres
SHAPE_FIRST = 0.15  # of the run: true betas alone, while the head that predicts them is still wrong


@dataclass(frozen=True)
class Chance:
    """What a step draws on the host. references: the slice of reference images to use. given_betas: whether the model
    is told the body shape. faces_first: whether person 0 is driven by its face crop (else by actions), 1 the other way
    and so on. canonical: which target I_cano is compared on. seed: for what is drawn on the device."""

    references: slice
    canonical: int
    given_betas: bool
    faces_first: bool
    seed: int


def draw(
    seed: int, step: int, rank: int, progress: float, most: int, targets: int, given_betas: float
) -> Chance:
    """A function of its arguments alone, so that a resumed run draws the same. most: reference images there are."""
    rng = random.Random(f"{seed} {step} {rank}")
    shared = random.Random(f"{seed} {step}")  # the same on all ranks: shapes agree, and nobody waits
    fewer = [count for count in FEWER if count < most]
    count = shared.choice(fewer) if fewer and shared.random() < SHOW_FEWER else most
    first = rng.randint(0, most - count)
    given = shared.random() < given_betas or (progress < SHAPE_FIRST and given_betas > 0)
    return Chance(slice(first, first + count), rng.randrange(targets), given, step % 2 == 0, rng.getrandbits(48))


@dataclass(frozen=True)
class Learned(Movable):
    """All that a step needs of the networks, in one call, so that whatever wraps them sees it. read: facial actions, off
    the targets' faces. moves: as `Learner.moves` gives them. spots: as `face_spots` does."""

    reconstruction: Reconstruction
    read: Float[Tensor, "B T 52"]
    moves: tuple[Float[Tensor, "B T n 3"], Float[Tensor, "B T n 3"], Float[Tensor, "B 1 n 1"]] | None
    spots: Float[Tensor, "B T 3 3"]
    boxes: Float[Tensor, "B S 3"]
    body: Float[Tensor, "B M 3"]
    true_body: Float[Tensor, "B M 3"]


class Learner(nn.Module):
    """The model, where it is to stay, with the forward pass of training."""

    def __init__(self, model: LCA) -> None:
        super().__init__()
        self.model = model
        self.true_motion = TrueMotion(model)

    def forward(self, sample: Sample, chance: Chance) -> Learned:
        """Actions read, reconstruction under read or true ones, how corrections and truth move the face, and face boxes."""
        read = self.model.actions_from_faces(sample.target_faces)
        first = torch.arange(len(read), device=read.device) % 2 == 0
        by_face = (first if chance.faces_first else ~first)[:, None, None] | ~known_actions(sample.actions)
        code = self.model.expression_from_actions(torch.where(by_face, read, sample.actions))
        signal = DrivingSignal(sample.pose, sample.transl, code, sample.gaze)
        images = sample.images[:, chance.references]
        reconstruction = self.model(
            images, sample.face_images[:, chance.references], None, sample.betas if chance.given_betas else None, signal
        )
        bodies = (self.model.anchors_of(betas) for betas in (reconstruction.betas, sample.betas))
        return Learned(reconstruction, read, self.moves(reconstruction, sample, signal),
                       face_spots(self.model.body, sample), self.model.find_faces(images), *bodies)  # fmt: skip

    def moves(
        self, made: Reconstruction, sample: Sample, signal: DrivingSignal
    ) -> tuple[Float[Tensor, "B T n 3"], Float[Tensor, "B T n 3"], Float[Tensor, "B 1 n 1"]] | None:
        """Corrections of the Gaussians of the anchors that `TrueMotion` watches, its truth, and which count; None without
        corrections. The tokens are taken as they are: they have pictures to learn from."""
        branch = self.model.correction_branch
        if branch is None:
            return None
        true, counts = self.true_motion(made.offsets, sample.actions)
        counts = counts * known_actions(sample.actions)[..., None]
        with torch.autocast(true.device.type, enabled=False):
            features = branch.token_half(made.avatar.fused_tokens[:, self.true_motion.watched].detach())
            return branch(features[:, None], signal).means, true, counts


@torch.no_grad()
def face_spots(body: Body, sample: Sample) -> Float[Tensor, "B T 3 3"]:
    """Where the targets' eyes and mouths are, metres, world frame."""
    rest = rest_joints(body, sample.betas)[:, None].expand(sample.pose.shape)
    head = bone_transforms(sample.pose, rest, body.parents)[:, :, HEAD]
    eyes = rest[:, :, EYES]
    spots = torch.cat([eyes, eyes.mean(2, keepdim=True) + constant(eyes, LIPS)], 2)
    return spots @ head[..., :3, :3].mT + head[:, :, None, :3, 3] + sample.transl[:, :, None]


def known_actions(actions: Float[Tensor, "B T A"]) -> Bool[Tensor, "B 1 1"]:
    """Whose actions are known: real captures have zeros alone."""
    return (actions != 0).any(-1).any(-1)[:, None, None]


@dataclass(frozen=True)
class Outcome(Movable):
    """renders: of I_pose over white. psnr: their foreground PSNR, dB, mean."""

    loss: Float[Tensor, ""]
    terms: dict[str, Float[Tensor, ""]]
    renders: Float[Tensor, "B T 3 H W"]
    psnr: Float[Tensor, ""]


def objective(
    learned: Learned, sample: Sample, chance: Chance, weights: LossWeights, net: Perceptual | None, backend: str
) -> Outcome:
    """Render, compare, regularise (eq. 10 and 12)."""
    made = learned.reconstruction
    generator = torch.Generator(sample.targets.device).manual_seed(chance.seed)
    colour = torch.rand(len(sample.targets), 1, 3, 1, 1, device=sample.targets.device, generator=generator)

    half = slice(chance.canonical % 2, None, 2)

    def compare(gaussians: Gaussians, which: slice) -> tuple[dict[str, Tensor], Tensor]:
        pictures, coverage = draw_targets(gaussians[:, which], sample.cameras[:, which], backend)
        masks = sample.target_masks[:, which]
        pair = ((pictures, coverage), (sample.targets[:, which], masks))
        coloured, targets = (losses.recolour(images, alphas, colour) for images, alphas in pair)
        terms = losses.image_loss(coloured, targets, net, weights, half)
        terms["error"] = losses.error_loss(*(t.flatten(0, 1) for t in (pictures, sample.targets[:, which], masks)))
        return terms | {"mask": losses.mask_loss(coverage.flatten(0, 1), masks.flatten(0, 1))}, pictures

    terms, renders = compare(made.posed, slice(None))
    if made.corrections is not None:
        terms["correction"] = losses.correction_loss(made.corrections.means, made.corrections.colors)
        if weights.canonical > 0:
            one = slice(chance.canonical, chance.canonical + 1)
            terms |= {f"cano_{name}": term for name, term in compare(made.canonical_posed, one)[0].items()}
    if sample.face_viewmats is not None and sample.face_Ks is not None and weights.near > 0:
        side = sample.target_faces.shape[-1]
        near, _ = draw_targets(made.posed, Cameras(sample.face_viewmats, sample.face_Ks, side, side), backend)
        faces = losses.image_loss(near, sample.target_faces, net, weights, half)
        terms |= {f"near_{name}": term for name, term in faces.items()}
        for name, (which, reach) in NEAR_SPOTS.items():
            spots = learned.spots[:, :, which]
            terms[name] = losses.spots_loss(near, sample.target_faces, spots, sample.face_viewmats, sample.face_Ks, reach)
    terms["acap"] = losses.acap_loss(made.offsets)
    terms["asap"] = losses.asap_loss(made.avatar.canonical.scales)
    terms["betas"] = losses.betas_loss(learned.body, learned.true_body)
    terms["face_finder"] = face_finder_loss(learned.boxes, sample.face_boxes[:, chance.references])
    if made.found is not None and sample.surface is not None and sample.face_surface is not None:
        pairs = zip(made.found, (sample.surface, sample.face_surface))
        wrong = zip(*(surface_loss(found, true[:, chance.references]) for found, true in pairs))
        terms["surface"], terms["surprise"] = (sum(parts) / 2 for parts in wrong)
    terms["reading"] = losses.reading_loss(learned.read, sample.actions, known_actions(sample.actions).float())
    if learned.moves is not None:
        terms["motion"] = losses.motion_loss(*learned.moves)
    with torch.no_grad():
        quality = psnr(renders, sample.targets, sample.target_masks).mean()
    return Outcome(losses.total(terms, weights), terms, renders.detach(), quality)


def draw_targets(
    gaussians: Gaussians, cameras: Cameras, backend: str
) -> tuple[Float[Tensor, "B T 3 H W"], Float[Tensor, "B T 1 H W"]]:
    """Pictures over white and their coverage, through the camera of each target."""
    rendering = render(gaussians, cameras, backend=backend)
    return rendering.colors[:, :, 0].movedim(-1, -3), rendering.alphas[:, :, 0].movedim(-1, -3)
