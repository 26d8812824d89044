"""The losses: L = L_img(I, I_cano) + L_img(I, I_pose) + lambda L_reg(p, s) (eq. 10 and 12), and what ours add.

Enters: renders over white with their coverage, targets over white with their masks, and one forward pass's numbers.
Leaves: named terms, unweighted, and their weighted sum. What differs from the paper: L_reg is as in LHM, with our own
thresholds; SSIM beside the perceptual distance, and PSNR itself, over white as it is measured; close-ups of the face;
elsewhere render and target are laid over the same random colour, one a person, so that white clothes and white background
are two things; terms for coverage, predicted betas, the face finder, correspondences, for the reading of facial actions,
and for what they move; for eyes and mouth, in close-ups.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from lca_mini.training.metrics import masked_mean
from lca_mini.training.perceptual import Perceptual, ssim_map


@dataclass(frozen=True)
class LossWeights:
    """Weight of each term, zero to leave it out. canonical, near: of L_img of I_cano, and of close-ups of the face,
    against L_img(I, I_pose)."""

    l1: float = 1.0
    error: float = 0.1
    perceptual: float = 0.05
    ssim: float = 0.1
    mask: float = 0.5
    canonical: float = 0.5
    near: float = 1.0
    eyes: float = 1.0
    mouth: float = 0.5
    acap: float = 10.0
    asap: float = 0.01
    correction: float = 0.02
    betas: float = 0.1
    face_finder: float = 0.1
    surface: float = 0.5
    surprise: float = 0.005
    reading: float = 0.1
    motion: float = 1.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 <= value < float("inf"):
                raise ValueError(f"the loss weight {name} is {value}; it must be zero or positive")


def recolour(
    images: Float[Tensor, "*batch 3 H W"], coverage: Float[Tensor, "*batch 1 H W"],
    background: Float[Tensor, "*#batch 3 1 1"],
) -> Float[Tensor, "*batch 3 H W"]:
    """Pictures over white, laid over another colour."""
    return images + (1 - coverage) * (background - 1)


def image_loss(
    images: Float[Tensor, "B T 3 H W"], targets: Float[Tensor, "B T 3 H W"], net: Perceptual | None,
    weights: LossWeights, some: slice = slice(None),
) -> dict[str, Float[Tensor, ""]]:  # fmt: skip
    """L_img (eq. 10): L1, perceptual distance and 1 - SSIM, those of them that have a weight.

    Args:
        some: targets of each person that the last two, which cost most, are taken on; all where it would leave none.
    """
    terms = {"l1": (images - targets).abs().mean()}
    if images[:, some].shape[1]:
        images, targets = images[:, some], targets[:, some]
    images, targets = images.flatten(0, 1), targets.flatten(0, 1)
    if net is not None and weights.perceptual > 0:
        terms["perceptual"] = net(images, targets).mean()
    if weights.ssim > 0:
        terms["ssim"] = 1 - ssim_map(images, targets).mean()
    return terms


def error_loss(
    images: Float[Tensor, "b 3 H W"], targets: Float[Tensor, "b 3 H W"], masks: Float[Tensor, "b 1 H W"]
) -> Float[Tensor, ""]:
    """Logarithm (base 10) of the mean squared error over the foreground: PSNR over -10, as it is measured."""
    squares = masked_mean((images - targets).square(), masks)
    return (squares + 1e-4).log10().mean()


def mask_loss(coverage: Float[Tensor, "b 1 H W"], masks: Float[Tensor, "b 1 H W"]) -> Float[Tensor, ""]:
    """Mean difference of rendered coverage and mask."""
    return (coverage - masks).abs().mean()


def acap_loss(offsets: Float[Tensor, "*batch 3"], reach: float = 0.06) -> Float[Tensor, ""]:
    """As close as possible (L_reg, eq. 12): how far offsets from the anchors go beyond `reach`, metres, squared.

    Skirts and long hair need more room than LHM's 5 cm, and pay for it slowly.
    """
    return F.relu(offsets.norm(dim=-1) - reach).square().mean() / reach


def spots_loss(
    images: Float[Tensor, "B T 3 h w"], targets: Float[Tensor, "B T 3 h w"], spots: Float[Tensor, "B T n 3"],
    viewmats: Float[Tensor, "B T 1 4 4"], Ks: Float[Tensor, "B T 1 3 3"], reach: float,
) -> Float[Tensor, ""]:  # fmt: skip
    """L1 of close-ups, weighed by nearness to spots: half of the weight lies within 1.2 times `reach`, metres, of one."""
    camera = torch.einsum("btij,btej->btei", viewmats[:, :, 0, :3, :3], spots) + viewmats[:, :, 0, None, :3, 3]
    depth = camera[..., 2:].clamp(min=0.1)
    at = torch.einsum("btij,btej->btei", Ks[:, :, 0], camera / depth)[..., :2]
    size = reach * Ks[:, :, 0, None, :1, 0] / depth  # pixels [B T n 1]
    y, x = (torch.arange(n, device=at.device) + 0.5 for n in images.shape[-2:])
    across, down = ((places - at[..., i : i + 1]) / size for i, places in enumerate((x, y)))  # [B T n w], [B T n h]
    weight = torch.exp(-0.5 * (across[..., None, :].square() + down[..., None].square())).sum(2)
    return ((images - targets).abs().mean(2) * weight).sum() / weight.sum().clamp(min=1.0)


def asap_loss(scales: Float[Tensor, "*batch 3"], ratio: float = 6.0) -> Float[Tensor, ""]:
    """As spherical as possible (L_reg, eq. 12): the logarithm by which longest over shortest axis exceeds `ratio`."""
    logs = scales.log()
    return F.relu(logs.amax(-1) - logs.amin(-1) - math.log(ratio)).mean()


def correction_loss(means: Float[Tensor, "*batch 3"], colors: Float[Tensor, "*batch 3"]) -> Float[Tensor, ""]:
    """Small corrections are better: squared length in units of 10 cm plus squared change of colour, averaged."""
    return 100 * means.square().sum(-1).mean() + colors.square().sum(-1).mean()


def betas_loss(points: Float[Tensor, "B M 3"], true_points: Float[Tensor, "B M 3"]) -> Float[Tensor, ""]:
    """Mean distance, in units of 10 cm, of anchors on bodies of predicted and of true shape: of 64 betas a few count."""
    return 10 * (points - true_points).norm(dim=-1).mean()


def reading_loss(
    read: Float[Tensor, "B T A"], actions: Float[Tensor, "B T A"], known: Float[Tensor, "B 1 1"],
    spread: Float[Tensor, " A"] | None = None,
) -> Float[Tensor, ""]:  # fmt: skip
    """Facial actions read off faces against true ones, of people whose actions are known (1, else 0): squared error in
    units of each action's variance, so that rare and small actions count as much as the jaw. spread: that variance; left
    out: in this batch, and a little more for actions that hardly vary in it."""
    if spread is None:
        spread = actions.flatten(0, 1).var(0, unbiased=False) + 0.005
    return (known * (read - actions).square() / spread).mean()


def motion_loss(
    means: Float[Tensor, "B T n k"], true: Float[Tensor, "B T n k"], counts: Float[Tensor, "B 1 n 1"]
) -> Float[Tensor, ""]:
    """Corrections of positions against true displacements (`TrueMotion`): squared error over what there is to explain.

    Args:
        counts: 1 for Gaussians to compare, 0 for others.
    """
    return (counts * (means - true).square()).sum() / ((counts * true.square()).sum() + 1e-6 * counts.sum())


def total(terms: dict[str, Float[Tensor, ""]], weights: LossWeights) -> Float[Tensor, ""]:
    """The weighted sum; a term named "cano_<name>" weighs weights.canonical times weights.<name>, "near_" alike."""
    shares = {"cano_": weights.canonical, "near_": weights.near}
    sums = []
    for name, term in terms.items():
        share, plain = (shares[name[:5]], name[5:]) if name[:5] in shares else (1.0, name)
        sums.append(term * getattr(weights, plain) * share)
    return torch.stack(sums).sum()
