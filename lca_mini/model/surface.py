"""Correspondence: which point of the canonical body does each patch of a picture show?

Enters: `image_tokens` of body images and face crops. Leaves: the same tokens, told where on the body they are. It stands
in for what the paper's frozen Sapiens encoder knows of people before training begins; ours begins with nothing, and
without such a hint spends most of a short run on finding out that this patch is a sleeve and that one a knee. Learned
beside the model from `Sample.surface`, where it is known. What differs from the paper: all of it.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from lca_mini.model.tokens import positional_encoding
from lca_mini.model.transformer import Block, in_stream

CELLS = 2  # a patch is told apart into CELLS x CELLS places
FREQUENCIES = 6  # of the encoding of a place: the shortest wave, 6 cm, is about as long as places are sure


class SurfaceFinder(nn.Module):
    """A few blocks of attention inside each picture, then place and coverage of each quarter of a patch."""

    def __init__(self, width: int, heads: int, mlp_ratio: float, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads, mlp_ratio) for _ in range(blocks))
        self.norm = nn.LayerNorm(width, bias=False)
        self.find = nn.Linear(width, 4 * CELLS**2)
        self.place = nn.Linear(CELLS**2 * (3 + 6 * FREQUENCIES + 1), width)

    def forward(
        self, image_tokens: Float[Tensor, "B S P D"], segments: tuple[int, ...]
    ) -> tuple[Float[Tensor, "B S P D"], Float[Tensor, "B S P Q 4"]]:
        """Tokens that know their place, and what was found: point (metres, canonical template) and logit of coverage.

        Args:
            segments: how many of the P patches belong to the body image, and how many to the face crop.
        """
        shape = image_tokens.shape
        tokens = in_stream(image_tokens).flatten(0, 1)
        for block in self.blocks:
            tokens = block(tokens, segments=segments)
        found = self.find(self.norm(tokens)).float().unflatten(-1, (CELLS**2, 4))
        # held still: places are learned from `surface_loss` alone, not bent to whatever colours ask
        points, covered = found[..., :3].detach(), found[..., 3:].detach().sigmoid()
        place = torch.cat([positional_encoding(points, FREQUENCIES) * covered, covered], dim=-1)
        return (tokens + self.place(place.flatten(-2))).unflatten(0, shape[:2]), found.unflatten(0, shape[:2])


def patch_cells(surface: Float[Tensor, "*batch 4 h w"], grid: tuple[int, int]) -> Float[Tensor, "*batch P Q 4"]:
    """`Sample.surface` at CELLS x CELLS places of each patch of a grid (rows, columns): point and coverage."""
    rows, columns = grid
    weighted = torch.cat([surface[..., :3, :, :] * surface[..., 3:, :, :], surface[..., 3:, :, :]], dim=-3)
    cells = F.adaptive_avg_pool2d(weighted.flatten(0, -4), (CELLS * rows, CELLS * columns))
    cells = torch.cat([cells[:, :3] / cells[:, 3:].clamp(min=1e-4), cells[:, 3:]], dim=1)
    cells = cells.unflatten(2, (rows, CELLS)).unflatten(4, (columns, CELLS)).permute(0, 2, 4, 3, 5, 1)
    return cells.flatten(3, 4).flatten(1, 2).unflatten(0, surface.shape[:-3])


def surface_loss(found: Float[Tensor, "*batch P Q 4"], cells: Float[Tensor, "*batch P Q 4"]) -> Float[Tensor, ""]:
    """Distance of the places, metres, where something is covered, plus the cross-entropy of coverage."""
    weight = cells[..., 3]
    distance = ((found[..., :3] - cells[..., :3]).abs().sum(-1) * weight).sum() / weight.sum().clamp(min=1)
    return distance + 0.1 * F.binary_cross_entropy_with_logits(found[..., 3], weight)
