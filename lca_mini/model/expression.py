"""Expression codes epsilon, from a picture of the face or from the 52 named facial actions.

Enters: face crops, sRGB [0, 1]; or facial actions [0, 1]. Leaves: epsilon in (-1, 1), 128 numbers. Part of the paper:
the facial expression code, learned self-supervised through the correction branch: the encoder sees the target's face,
and nothing but the render teaches it. What differs from the paper: an `ActionMap` from FACS-like actions to the same
code, so that sliders and motion files can drive; no action at all is the zero code.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

LARGEST_FACE = 128  # pixels; larger crops are shrunk first


class ExpressionEncoder(nn.Module):
    """A small convolutional network: face crop to epsilon."""

    def __init__(self, face_size: int, expression_dim: int, base_channels: int) -> None:
        """`base_channels`: of the first layer; later ones have up to eight times as many."""
        super().__init__()
        self.size = min(face_size, LARGEST_FACE)
        stages = int(math.log2(self.size // 4))
        widths = [base_channels * min(2**stage, 8) for stage in range(stages)]
        layers: list[nn.Module] = []
        for before, after in zip([3, *widths], widths):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(4, after), nn.SiLU()]
        side = self.size // 2**stages
        layers += [nn.Conv2d(widths[-1], 2 * base_channels, 1), nn.SiLU(), nn.Flatten()]
        self.net = nn.Sequential(*layers, nn.Linear(2 * base_channels * side**2, expression_dim))

    def forward(self, faces: Float[Tensor, "*batch 3 h w"]) -> Float[Tensor, "*batch E"]:
        """Square crops of any size; they are resized to the encoder's own."""
        flat = faces.reshape(-1, *faces.shape[-3:])
        if flat.shape[-1] != self.size:
            flat = F.interpolate(flat, (self.size, self.size), mode="bilinear", antialias=True)
        return torch.tanh(self.net(2 * flat - 1).float()).reshape(*faces.shape[:-3], -1)


class ActionMap(nn.Module):
    """Facial actions to epsilon; without biases, so that a neutral face is the zero code."""

    def __init__(self, actions: int, expression_dim: int, hidden: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(actions, hidden, bias=False), nn.SiLU(), nn.Linear(hidden, expression_dim, bias=False)
        )
        # a face of a few actions begins with a code of about 0.5 a number: codes of 0.01 never grew in short runs
        nn.init.normal_(self.net[0].weight, std=1.0)
        nn.init.normal_(self.net[2].weight, std=1.5 * hidden**-0.5)

    def forward(self, actions: Float[Tensor, "*batch A"]) -> Float[Tensor, "*batch E"]:
        return torch.tanh(self.net(actions).float())
