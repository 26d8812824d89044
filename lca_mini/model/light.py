"""The light that a person stands in: how bright each part looks as it turns.

Enters: what pictures show of each anchor, and the mean of a person's fused tokens, once; anchors' normals and blended
transforms each frame. Leaves: a factor for the colours of each anchor's Gaussians. No part of the paper, whose Gaussians
keep their colour however the body turns; the reference pictures show people under a light that stays where it is.
Diffusely reflected light is nearly a quadratic form of the normal (Ramamoorthi and Hanrahan, "An Efficient Representation
for Irradiance Environment Maps", 2001); its constant is left to the colours.

Most of it follows from the pictures without learning: the same place, turned, is brighter or darker (`light_seen`). That
light stays where it is as the camera sees it, which is true of a phone, and of a world as the phone sees it
(`capture.wild`). In a studio, whose cameras stand all round, no such light explains the colours better than none. So the
head has two answers, and the pictures say which of them is given: what one stage teaches, the other does not unlearn.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lca_mini.model.decoder import soft_bound
from lca_mini.types import Movable

LIGHT_TERMS = 8
LIGHT_REACH = 0.8  # a factor lies between 1 - this and 1 + this
PATCH = 16  # anchors, of one colour but for the light, as far as they agree
DARKEST = 0.03  # of a colour whose logarithm is taken
ROUNDS = 5  # of the fit; from the second on, places that disagree weigh less
DOUBT = 0.1  # in the logarithm of a colour: a place that disagrees so much weighs half
EVENNESS = 30.0  # weight of no light at all; a place well seen has about 1
EAGER, LEAST = 200.0, 0.025  # how sharply, and from which gain on, a light that explains more than none is believed


@dataclass(frozen=True)
class LightSeen(Movable):
    """A light in camera axes, and how far to believe that it stays where it is there, 0 to 1."""

    light: Float[Tensor, "B 8 3"]
    belief: Float[Tensor, "B"]

    @property
    def believed(self) -> Float[Tensor, "B 24"]:
        """Its numbers, as far as they are believed."""
        return self.belief[:, None] * self.light.flatten(1)


class LightHead(nn.Module):
    """A person's light, in the world and in the pictures, from the mean of the fused tokens and the light that was seen."""

    def __init__(self, width: int) -> None:
        """`width`: D."""
        super().__init__()
        self.told = nn.Linear(3 * LIGHT_TERMS, width, bias=False)
        self.head = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 4 * 3 * LIGHT_TERMS))
        self.trust = nn.Linear(width, 2)
        for layer, bias in ((self.head[-1], 0.0), (self.trust, 1.0)):
            nn.init.zeros_(layer.weight)
            nn.init.constant_(layer.bias, bias)

    def forward(self, token: Float[Tensor, "B D"], seen: LightSeen) -> tuple[Float[Tensor, "B 8 3"], Float[Tensor, "B 8 3"]]:
        """Of each term of `light_basis`, what it adds to the factors of red, green and blue: in the world, and in the
        pictures (camera axes). Before training what was seen, as far as it is believed."""
        hidden = nn.functional.silu(self.head[0](token) + self.told(seen.believed))
        if_seen, if_not = self.head[-1](hidden).unflatten(-1, (2, 2, LIGHT_TERMS, 3)).unbind(1)
        if_seen = if_seen + self.trust(hidden)[..., None, None] * seen.light[:, None]
        return torch.lerp(if_not, if_seen, seen.belief[:, None, None, None]).unbind(1)


def no_light(people: int, device: torch.device) -> LightSeen:
    """Nothing was seen."""
    return LightSeen(torch.zeros(people, LIGHT_TERMS, 3, device=device), torch.zeros(people, device=device))


def patches_of(points: Float[Tensor, "M 3"]) -> Float[Tensor, "P M"]:
    """Anchors in patches, by the nearest of every `PATCH`-th anchor: ones and zeros."""
    nearest = torch.cdist(points, points[::PATCH]).argmin(1)
    return nn.functional.one_hot(nearest, len(points[::PATCH])).to(points.dtype).T.contiguous()


@torch.no_grad()
def light_seen(
    colors: Float[Tensor, "B R M 3"], normals: Float[Tensor, "B R M 3"], weight: Float[Tensor, "B R M"],
    patches: Float[Tensor, "P M"],
) -> LightSeen:  # fmt: skip
    """The light that best explains how colours change with normals, over R pictures and within patches of one colour.

    A colour is its patch's own times exp(basis @ light): logarithms make that linear, and own colours fall out when each
    patch's mean is taken away. What is left are 8 x 8 equations for each of red, green and blue. It is believed if it
    explains more than none.

    Args:
        colors: that pictures show of each of M anchors. normals: of anchors, unit, camera axes (`camera_normals`).
        weight: of what a picture shows of an anchor.
        patches: as `patches_of` gives them.
    """
    basis, shades = light_basis(normals), colors.clamp(min=DARKEST).log()
    own = (weight[..., None] * colors).sum(1) / weight.sum(1).clamp(min=1e-3)[..., None]
    bright = own.mean(-1).square()  # an error counts as the eye sees it, not as the logarithm does
    weight = weight * (bright / bright.mean(1, keepdim=True).clamp(min=1e-6))[:, None]
    weights, both = weight[..., None].expand_as(colors), torch.cat([basis, shades], dim=-1)
    usual = (patches @ (weight[..., None] * both).sum(1)) / (weight.sum(1) @ patches.T).clamp(min=1e-6)[..., None]
    both = both - (patches.T @ usual)[:, None]  # near zero, so that sums of squares round little
    basis, shades = both.split((LIGHT_TERMS, 3), dim=-1)
    even = EVENNESS * torch.eye(LIGHT_TERMS, device=basis.device)
    for _ in range(ROUNDS):
        scaled = weights[..., None] * both[..., None, :]  # [B R M 3 11], red, green and blue before the terms
        sums = (patches @ scaled.sum(1).flatten(2)).unflatten(2, scaled.shape[3:])
        means = sums / (patches @ weights.sum(1)).clamp(min=1e-6)[..., None]
        square = scaled[..., :LIGHT_TERMS].flatten(1, 2).flatten(2).mT @ both.flatten(1, 2)
        square = square.unflatten(1, (3, LIGHT_TERMS)) - torch.einsum("bpck,bpcl->bckl", sums[..., :LIGHT_TERMS], means)
        terms, shade = square.split((LIGHT_TERMS, 3), dim=-1)
        light = torch.linalg.solve_ex(terms + even, shade.diagonal(dim1=1, dim2=3).mT[..., None])[0][..., 0].mT
        of_basis, of_shades = means.split((LIGHT_TERMS, 3), dim=-1)
        without = shades - (patches.T @ of_shades.diagonal(dim1=2, dim2=3))[:, None]
        mean = patches.T @ torch.einsum("bpck,bkc->bpc", of_basis, light)
        rest = without - (basis @ light[:, None] - mean[:, None])
        weights = weight[..., None] / (1 + (rest / DOUBT).square())
    costs = ((weight[..., None] * torch.log1p((r / DOUBT).square())).sum((1, 2, 3)) for r in (without, rest))
    gain = torch.sub(*(cost.clamp(min=1e-6).log() for cost in costs))
    return LightSeen(light, torch.sigmoid(EAGER * (gain - LEAST)))


def camera_normals(affine: Float[Tensor, "*#batch 4 2"], normals: Float[Tensor, "*#batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Unit normals of the template as an affine camera sees them: x right, y up, z towards the camera."""
    x, y = (nn.functional.normalize(affine[..., :3, i], dim=-1) for i in range(2))
    half, other = nn.functional.normalize(x + y, dim=-1), nn.functional.normalize(x - y, dim=-1)
    axes = torch.stack([half + other, other - half, 2**0.5 * torch.linalg.cross(half, other)], dim=-2)
    return nn.functional.normalize((axes * normals[..., None, :]).sum(-1), dim=-1)


def light_basis(normals: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 8"]:
    """x, y, z, xy, yz, xz, x^2 - y^2, 3 z^2 - 1 of unit normals."""
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
