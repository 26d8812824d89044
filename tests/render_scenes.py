"""Scenes and comparisons that the render tests share."""

from __future__ import annotations

from dataclasses import replace

import torch

from lca_mini.types import Cameras, Gaussians, Rendering

FIELDS = ("means", "quats", "scales", "opacities", "colors")
BACKGROUND = (0.2, 0.5, 0.9)


def gaussian_cloud(
    count: int = 200, people: int = 1, spread: float = 0.5, size: float = 0.08, opacity: float = 0.0, seed: int = 1
) -> Gaussians:
    """Random anisotropic Gaussians [people count .] around the origin, float64; `opacity` shifts the logit."""
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(people, count, *shape, generator=g, dtype=torch.float64)

    return Gaussians(
        means=normal(3) * spread, quats=normal(4), scales=size * (0.7 * normal(3)).exp(),
        opacities=torch.sigmoid(2 * normal() + opacity), colors=torch.sigmoid(normal(3)),
    )


def cameras_around(
    views: int = 1, people: int = 1, width: int = 50, height: int = 37, distance: float = 2.0, seed: int = 2
) -> Cameras:
    """Cameras [people views .] turned at random, the origin `distance` metres ahead; odd sizes, off-centre, float64."""
    g = torch.Generator().manual_seed(seed)
    rotation = torch.linalg.qr(torch.randn(people, views, 3, 3, generator=g, dtype=torch.float64))[0]
    viewmats = torch.eye(4, dtype=torch.float64).repeat(people, views, 1, 1)
    viewmats[..., :3, :3] = rotation * torch.det(rotation)[..., None, None]
    viewmats[..., 2, 3] = distance
    K = torch.tensor([[45.0, 0, width / 2 + 1], [0, 47.0, height / 2 - 2], [0, 0, 1]], dtype=torch.float64)
    return Cameras(viewmats, K.repeat(people, views, 1, 1), width, height)


def with_opacities(gaussians: Gaussians) -> Gaussians:
    """Every third opacity exactly 0, every third exactly 1."""
    opacities = gaussians.opacities.clone()
    opacities[..., ::3], opacities[..., 1::3] = 0.0, 1.0
    return replace(gaussians, opacities=opacities)


def random_loss(rendering: Rendering) -> torch.Tensor:
    """The same fixed random projection of colors, alphas and depths, whatever the backend."""
    g, total = torch.Generator().manual_seed(7), 0.0
    for image in (rendering.colors, rendering.alphas, rendering.depths):
        total = total + (image * torch.randn(image.shape, generator=g, dtype=torch.float64).to(image)).sum()
    return total


def gradients(gaussians: Gaussians, draw) -> tuple[Rendering, dict[str, torch.Tensor]]:
    """Render with `draw` and differentiate `random_loss`."""
    leaves = gaussians.map(lambda t: t.detach().clone().requires_grad_())
    rendering = draw(leaves)
    values = torch.autograd.grad(random_loss(rendering), [getattr(leaves, f) for f in FIELDS])
    return rendering.map(lambda t: t.detach().cpu().double()), {
        field: value.cpu().double() for field, value in zip(FIELDS, values)
    }


def assert_same(got, wanted, values: float = 2e-5, slopes: float = 2e-4) -> None:
    """Renderings agree within `values` (depths relative to 1 m or more), gradients within `slopes` of their norm."""
    (image, grads), (image_wanted, grads_wanted) = got, wanted
    for field in ("colors", "alphas", "depths"):
        a, b = getattr(image, field), getattr(image_wanted, field)
        assert a.shape == b.shape
        error = ((a - b).abs() / b.abs().clamp(min=1)).max()
        assert error < values, f"{field} differ by {error:.1e}"
    for field in FIELDS:
        a, b = grads[field], grads_wanted[field]
        assert torch.isfinite(a).all()
        error = (a - b).norm() / b.norm().clamp(min=1e-6)
        assert error < slopes, f"gradients of {field} differ by {error:.1e} of their norm"
