"""The light that a person stands in: how bright each part looks as it turns.

Enters: the mean of a person's fused tokens once, and anchors' normals and blended transforms each frame. Leaves: a
factor for the colours of each anchor's Gaussians. No part of the paper, whose Gaussians keep their colour however the
body turns; the reference pictures show people under a light that stays where it is. Diffusely reflected light is
nearly a quadratic form of the normal (Ramamoorthi and Hanrahan, "An Efficient Representation for Irradiance
Environment Maps", 2001); its constant is left to the colours.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lca_mini.model.decoder import soft_bound

LIGHT_TERMS = 8
LIGHT_REACH = 0.8  # a factor lies between 1 - this and 1 + this


class LightHead(nn.Module):
    """A person's light from the mean of the fused tokens; before training none, so that every factor is one."""

    def __init__(self, width: int) -> None:
        """`width`: D."""
        super().__init__()
        self.head = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 3 * LIGHT_TERMS))
        nn.init.zeros_(self.head[-1].weight)
        nn.init.zeros_(self.head[-1].bias)

    def forward(self, token: Float[Tensor, "B D"]) -> Float[Tensor, "B 8 3"]:
        """Of each term of `light_basis`, what it adds to the factors of red, green and blue."""
        return self.head(token).unflatten(-1, (LIGHT_TERMS, 3))


def light_basis(normals: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 8"]:
    """x, y, z, xy, yz, xz, x^2 - y^2, 3 z^2 - 1 of unit normals, world frame."""
    x, y, z = normals.unbind(-1)
    return torch.stack([x, y, z, x * y, y * z, x * z, x * x - y * y, 3 * z * z - 1], dim=-1)


def posed_normals(
    normals: Float[Tensor, "M 3"], blended: Float[Tensor, "*batch M 3 4"]
) -> Float[Tensor, "*batch M 3"]:
    """Unit normals, world frame, of the template's `normals` turned by their anchors' `blend_transforms`."""
    return nn.functional.normalize((blended[..., :3] * normals[:, None, :]).sum(-1), dim=-1)


def shade_factor(
    light: Float[Tensor, "*#batch 8 3"], normals: Float[Tensor, "*#batch M 3"]
) -> Float[Tensor, "*#batch M 3"]:
    """What colours are multiplied with where unit `normals` point, world frame; leading axes broadcast."""
    return 1 + soft_bound(light_basis(normals) @ light, LIGHT_REACH)
