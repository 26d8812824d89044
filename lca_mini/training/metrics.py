"""Metrics: PSNR, SSIM, L1 and LPIPS of renders, over the person alone.

Enters: renders and targets, both composited over white, and ground-truth masks. Leaves: one number an image. Protocol
(the paper's tables are foreground-masked, and do not say more): PSNR and L1 over the pixels where the ground-truth mask
is above 0.5, all three channels; the SSIM map averaged over the same pixels; LPIPS over the square round the mask, at
least `SMALLEST_CROP` pixels, from the pictures over white. Averages are over a person's images, then over people.
`evaluate` says which people, views and frames.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from lca_mini.training.perceptual import Perceptual, ssim_map

SMALLEST_CROP = 64  # pixels


def masked_mean(
    values: Float[Tensor, "*batch 3 H W"], masks: Float[Tensor, "*batch 1 H W"]
) -> Float[Tensor, "*batch"]:
    """Mean over channels and foreground pixels; of an image without foreground, zero."""
    inside = (masks > 0.5).to(values.dtype)
    return (values * inside).sum((-3, -2, -1)) / (3 * inside.sum((-3, -2, -1))).clamp(min=1)


def psnr(
    renders: Float[Tensor, "*batch 3 H W"], targets: Float[Tensor, "*batch 3 H W"],
    masks: Float[Tensor, "*batch 1 H W"],
) -> Float[Tensor, "*batch"]:
    """Peak signal to noise ratio over the foreground, dB; at most 100."""
    return -10 * masked_mean((renders - targets).square(), masks).clamp(min=1e-10).log10()


def l1(
    renders: Float[Tensor, "*batch 3 H W"], targets: Float[Tensor, "*batch 3 H W"],
    masks: Float[Tensor, "*batch 1 H W"],
) -> Float[Tensor, "*batch"]:
    """Mean absolute difference over the foreground."""
    return masked_mean((renders - targets).abs(), masks)


def ssim(
    renders: Float[Tensor, "*batch 3 H W"], targets: Float[Tensor, "*batch 3 H W"],
    masks: Float[Tensor, "*batch 1 H W"],
) -> Float[Tensor, "*batch"]:
    """Structural similarity over the foreground."""
    maps = ssim_map(renders.reshape(-1, *renders.shape[-3:]), targets.reshape(-1, *targets.shape[-3:]))
    return masked_mean(maps.reshape(renders.shape), masks)


def lpips(
    net: Perceptual, renders: Float[Tensor, "b 3 H W"], targets: Float[Tensor, "b 3 H W"],
    masks: Float[Tensor, "b 1 H W"],
) -> Float[Tensor, "b"]:
    """Perceptual distance over the square round the person; `net.name` says which distance it is."""
    distances = []
    for render, target, mask in zip(renders, targets, masks):
        rows, columns = square_round(mask)
        distances.append(net(render[None, :, rows, columns], target[None, :, rows, columns])[0])
    return torch.stack(distances)


def interval(people: Float[Tensor, "B"], draws: int = 2000) -> tuple[float, float] | None:
    """The middle 95 % of means over people drawn again with replacement (bootstrap); always the same draws.

    People without a number (NaN) are left out; None where nobody has one.
    """
    known = people.double().cpu()
    known = known[~known.isnan()]
    if not len(known):
        return None
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randint(len(known), (draws, len(known)), generator=generator)
    means = known[chosen].mean(1)
    return float(means.quantile(0.025)), float(means.quantile(0.975))


def square_round(mask: Float[Tensor, "1 H W"]) -> tuple[slice, slice]:
    """Rows and columns of the smallest square round a mask, moved into the picture; all of it for an empty mask."""
    inside = (mask[0] > 0.5).nonzero()
    if not len(inside):
        return slice(None), slice(None)
    (top, left), (bottom, right) = inside.amin(0).tolist(), inside.amax(0).tolist()
    side = max(bottom - top, right - left) + 1
    slices = []
    for first, last, length in ((top, bottom, mask.shape[-2]), (left, right, mask.shape[-1])):
        extent = min(max(side, SMALLEST_CROP), length)
        start = min(max((first + last + 1 - extent) // 2, 0), length - extent)
        slices.append(slice(start, start + extent))
    return slices[0], slices[1]
