"""Where the face is in a body image, so that a folder of pictures needs no face crops.

Enters: square body images, sRGB [0, 1], foreground over white. Leaves: boxes (cx, cy, side), fractions of the image's
side. No part of the paper, which takes its crops from elsewhere; learned beside the model from the same people.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

SIZE = 128  # pixels that it looks at
CELLS = 16  # side of its heat map


class FaceFinder(nn.Module):
    """A heat map whose mean is the centre, and the side from the features under the heat."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after, stride in ((3, 16, 2), (16, 32, 2), (32, 64, 2), (64, 64, 1), (64, 64, 1)):
            layers += [nn.Conv2d(before, after, 3, stride=stride, padding=1), nn.GroupNorm(4, after), nn.SiLU()]
        self.features = nn.Sequential(*layers)
        self.heat = nn.Conv2d(64, 1, 1)
        self.side = nn.Linear(64, 1)
        nn.init.constant_(self.side.bias, -1.7)  # a side of 0.15, about a head in a full body image

    def forward(self, images: Float[Tensor, "*batch 3 H W"]) -> Float[Tensor, "*batch 3"]:
        """Boxes [*batch 3] in float32."""
        flat = images.reshape(-1, *images.shape[-3:])
        if flat.shape[-1] != SIZE:
            flat = F.interpolate(flat, (SIZE, SIZE), mode="bilinear", antialias=True)
        features = self.features(2 * (flat - 1))
        heat, features = self.heat(features).float(), features.float()
        with torch.autocast(images.device.type, enabled=False):
            heat = heat.flatten(1).softmax(dim=-1).view(-1, CELLS, CELLS)
            centres = (torch.arange(CELLS, device=images.device) + 0.5) / CELLS
            x, y = heat.sum(1) @ centres, heat.sum(2) @ centres
            side = self.side((features * heat[:, None]).sum((-2, -1))).sigmoid()[:, 0]
        return torch.stack([x, y, side], dim=-1).reshape(*images.shape[:-3], 3)


def face_finder_loss(found: Float[Tensor, "*batch 3"], boxes: Float[Tensor, "*batch 3"]) -> Float[Tensor, ""]:
    """Distance of the centres in true sides plus the difference of the sides' logarithms, Huber, averaged."""
    centres = (found[..., :2] - boxes[..., :2]) / boxes[..., 2:].clamp(min=1e-3)
    sides = found[..., 2:].clamp(min=1e-3).log() - boxes[..., 2:].clamp(min=1e-3).log()
    error = torch.cat([centres, sides], dim=-1)
    return F.smooth_l1_loss(error, torch.zeros_like(error), beta=0.5)
