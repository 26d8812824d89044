"""Correspondence: which point of the canonical body does each place of a picture show?

Enters: body images and face crops, and their tokens. Leaves: a map of places, and tokens that know theirs. It stands in
for what the paper's frozen Sapiens encoder knows of people before training begins; ours begins with nothing, and
without such a hint spends most of a short run on finding out that this patch is a sleeve and that one a knee. Learned
beside the model from `Sample.surface`, where it is known. What differs from the paper: all of it.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from lca_mini.model.projection import SURE
from lca_mini.model.tokens import positional_encoding
from lca_mini.model.transformer import Block, in_stream
from lca_mini.types import CELL

CELLS = 2  # a patch is told CELLS x CELLS places
FREQUENCIES = 6  # of the encoding of a place: the shortest wave is 6 cm long
GROUPS = 8
LEAST_AND_MOST = (math.log(0.003), math.log(0.5))  # of the logarithm of an expected error, metres


class Residual(nn.Module):
    """Two 3 x 3 convolutions beside a straight way."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.GroupNorm(GROUPS, channels), nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(GROUPS, channels), nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1),
        )  # fmt: skip

    def forward(self, features: Float[Tensor, "N c h w"]) -> Float[Tensor, "N c h w"]:
        return features + self.net(features)


class SurfaceFinder(nn.Module):
    """A U-Net (Ronneberger et al., 2015) from pictures to points of the canonical template, one for each cell."""

    def __init__(self, channels: int) -> None:
        """`channels`: at the finest of four levels; coarser ones have two and three times as many."""
        super().__init__()
        widths = [channels, 2 * channels, 3 * channels, 3 * channels]
        self.stem = nn.Conv2d(3, channels, CELL, stride=CELL)
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in zip(widths, widths[1:]))
        self.down = nn.ModuleList(Residual(width) for width in widths)
        self.widen = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in zip(widths, widths[1:]))
        self.up = nn.ModuleList(Residual(width) for width in widths[:-1])
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.find = nn.Conv2d(channels, 5, 1)
        with torch.no_grad():
            self.find.bias[4] = math.log(SURE)

    def forward(self, images: Float[Tensor, "*batch 3 H W"]) -> Float[Tensor, "*batch 5 h w"]:
        """A cell every `CELL` pixels, float32: point (x, y, z, metres, canonical template), logit of coverage, and the
        logarithm of the point's expected error, metres."""
        height, width = images.shape[-2:]
        flat = F.pad(images.flatten(0, -4) - 1, (0, -width % CELL, 0, -height % CELL))  # white is zero
        features, levels = self.stem(flat.to(memory_format=torch.channels_last)), []
        for level, block in enumerate(self.down):
            features = block(features if level == 0 else self.shrink[level - 1](features))
            levels.append(features)
        for level in reversed(range(len(self.up))):
            coarse = F.interpolate(self.widen[level](features), size=levels[level].shape[-2:])
            features = self.up[level](levels[level] + coarse)
        with torch.autocast(images.device.type, enabled=False):  # bfloat16 would lose millimetres
            return self.find(F.silu(self.norm(features.float()))).contiguous().unflatten(0, images.shape[:-3])


class Placement(nn.Module):
    """A block of attention inside each picture; then tokens are told which places their patches show."""

    def __init__(self, width: int, heads: int, mlp_ratio: float, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads, mlp_ratio) for _ in range(blocks))
        self.place = nn.Linear(CELLS**2 * (3 + 6 * FREQUENCIES + 1) + 3, width)

    def forward(
        self, image_tokens: Float[Tensor, "B S P D"], cells: Float[Tensor, "B S P Q 4"],
        towards: Float[Tensor, "B S P 3"], segments: tuple[int, ...],
    ) -> Float[Tensor, "B S P D"]:  # fmt: skip
        """Tokens that know their place.

        Args:
            cells: of each patch, as `patch_cells` makes them of `known`.
            towards: which way the camera looks at each patch, canonical axes.
            segments: how many of the P patches belong to the body image, and how many to the face crop.
        """
        tokens = in_stream(image_tokens).flatten(0, 1)
        for block in self.blocks:
            tokens = block(tokens, segments=segments)
        points, covered = cells[..., :3], cells[..., 3:]
        place = torch.cat([positional_encoding(points, FREQUENCIES) * covered, covered], dim=-1)
        place = torch.cat([place.flatten(-2), towards * covered.mean(-2)], dim=-1)
        return tokens.unflatten(0, image_tokens.shape[:2]) + self.place(place)


def known(found: Float[Tensor, "*batch 5 h w"]) -> Float[Tensor, "*batch 5 h w"]:
    """A found map as the rest of the model sees it: coverage and error for their logit and logarithm, and held still,
    since places are learned from `surface_loss` alone, not bent to whatever colours ask."""
    points, logits, errors = found.detach().split((3, 1, 1), dim=-3)
    return torch.cat([points, logits.sigmoid(), errors.clamp(*LEAST_AND_MOST).exp()], dim=-3)


def patch_cells(surface: Float[Tensor, "*batch k h w"], grid: tuple[int, int]) -> Float[Tensor, "*batch P Q 4"]:
    """A map of places at CELLS x CELLS places of each patch of a grid (rows, columns): point and coverage."""
    rows, columns = grid
    cells = unweighed(F.adaptive_avg_pool2d(weighed(surface).flatten(0, -4), (CELLS * rows, CELLS * columns)))
    cells = cells.unflatten(2, (rows, CELLS)).unflatten(4, (columns, CELLS)).permute(0, 2, 4, 3, 5, 1)
    return cells.flatten(3, 4).flatten(1, 2).unflatten(0, surface.shape[:-3])


def weighed(surface: Float[Tensor, "*batch k h w"]) -> Float[Tensor, "*batch 4 h w"]:
    """Places times coverage, and coverage, so that a place may be mixed with none."""
    covered = surface[..., 3:4, :, :]
    return torch.cat([surface[..., :3, :, :] * covered, covered], dim=-3)


def unweighed(mixed: Float[Tensor, "*batch 4 h w"]) -> Float[Tensor, "*batch 4 h w"]:
    """The inverse of `weighed`."""
    covered = mixed[..., 3:, :, :]
    return torch.cat([mixed[..., :3, :, :] / covered.clamp(min=1e-4), covered], dim=-3)


def mean_place(cells: Float[Tensor, "*batch Q 4"]) -> Float[Tensor, "*batch 3"]:
    """The place of a patch, as far as it is covered."""
    points, covered = cells.split((3, 1), dim=-1)
    return (points * covered).sum(-2) / covered.sum(-2).clamp(min=1e-4)


def surface_loss(
    found: Float[Tensor, "*batch 5 h w"], true: Float[Tensor, "*batch 4 h w"]
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """How wrong places are, and how wrong their expected errors.

    Returns: distance, metres, where something is covered, plus a tenth of the cross-entropy of coverage; and the negative
        logarithm of the likelihood of these distances, held still, under Laplace's distribution.
    """
    weight = true[..., 3, :, :]
    distance, errors = (found[..., :3, :, :] - true[..., :3, :, :]).abs().sum(-3), found[..., 4, :, :].clamp(*LEAST_AND_MOST)
    surprise = distance.detach() / errors.exp() + errors
    mean = lambda values: (values * weight).sum() / weight.sum().clamp(min=1)  # noqa: E731
    return mean(distance) + 0.1 * F.binary_cross_entropy_with_logits(found[..., 3, :, :], weight), mean(surprise)
