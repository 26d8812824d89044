"""Tokens: image features and anchors, brought to one width D (eq. 1, 2, 3).

Enters: features of body images and of face crops; anchor points of the canonical body. Leaves: `image_tokens`
[B S P D], where the P patches of a picture are those of its body image followed by those of its face crop, and
`geometry_tokens` [1 M D], the same for everybody. What differs from the paper (it is silent): the 2D positions are
fixed sinusoids, and a learned embedding tells body from face. Nothing tells one reference picture from another, so
their order cannot matter.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn


class ImageTokens(nn.Module):
    """One linear layer, shared by body and face, plus position and body/face type (eq. 1, 2)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.project = nn.Linear(channels, width)
        self.types = nn.Parameter(0.02 * torch.randn(2, width))

    def forward(
        self,
        body: Float[Tensor, "B S Pb C"],
        face: Float[Tensor, "B S Pf C"],
        body_grid: tuple[int, int],
        face_grid: tuple[int, int],
    ) -> Float[Tensor, "B S P D"]:
        """Project, place and join the two kinds of patches, body first; grids are (rows, columns)."""
        tokens = []
        for kind, (features, grid) in enumerate(((body, body_grid), (face, face_grid))):
            place = position_embedding(grid, self.width, features.device) + self.types[kind]
            tokens.append(self.project(features) + place)
        return torch.cat(tokens, dim=2)


class GeometryTokens(nn.Module):
    """T_gs = proj(positional_encoding(X)) (eq. 3)."""

    def __init__(self, frequencies: int, width: int) -> None:
        super().__init__()
        self.frequencies = frequencies
        self.project = nn.Linear(3 + 6 * frequencies, width)

    def forward(self, points: Float[Tensor, "M 3"]) -> Float[Tensor, "1 M D"]:
        """`points`: anchors, canonical frame, metres."""
        return self.project(positional_encoding(points, self.frequencies))[None]


def positional_encoding(points: Float[Tensor, "*batch 3"], frequencies: int) -> Float[Tensor, "*batch K"]:
    """The points, then sine and cosine of 2^k pi times each coordinate, k = 0 ... frequencies - 1: K = 3 + 6 k.

    Args:
        points: metres; the longest wave is 2 m, about a body.
    """
    octaves = math.pi * 2.0 ** torch.arange(frequencies, device=points.device, dtype=points.dtype)
    phases = (points[..., None] * octaves).flatten(-2)
    return torch.cat([points, phases.sin(), phases.cos()], dim=-1)


def position_embedding(
    grid: tuple[int, int], width: int, device: torch.device | str = "cpu"
) -> Float[Tensor, "P D"]:
    """Fixed 2D sinusoids of the patch centres in fractions of the image, so that they do not depend on its size.

    Args:
        grid: rows and columns of patches.
        width: D, a multiple of 4: a quarter each for sine and cosine of y and of x.
    Raises: ValueError where `width` is no multiple of 4.
    """
    if width % 4:
        raise ValueError(f"a token width of {width} is no multiple of 4, which 2D positions need")
    rows, columns = grid
    y = (torch.arange(rows, device=device) + 0.5) / rows
    x = (torch.arange(columns, device=device) + 0.5) / columns
    half_waves = math.pi * torch.logspace(0, 6, width // 4, base=2, device=device)
    place = torch.stack(torch.meshgrid(y, x, indexing="ij"), dim=-1).flatten(0, 1)
    phases = (place[..., None] * half_waves).flatten(-2)
    return torch.cat([phases.sin(), phases.cos()], dim=-1)
