"""Detail: colours come from where the pictures show a place, and from nowhere else."""

from __future__ import annotations

import torch

from lca_mini.model.detail import Detail, look_up, nearest_cells


def flat_world(size: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    """A picture [1 1 3 size size] of a plane whose colours tell where they are, and its map: x and y are metres, 1 cm a
    pixel."""
    along = (torch.arange(size) + 0.5) / 100
    y, x = torch.meshgrid(along, along, indexing="ij")
    picture = torch.stack([x * 3, y * 3, torch.full_like(x, 0.5)])
    cells = (torch.arange(size // 4) + 0.5) * 0.04
    v, u = torch.meshgrid(cells, cells, indexing="ij")
    return picture[None, None], torch.stack([u, v, 0 * u, 0 * u + 1])[None, None]


def test_places_between_cells_have_the_colours_between() -> None:
    picture, surface = flat_world()
    places = torch.tensor([[[0.105, 0.190, 0.0], [0.13, 0.21, 0.0]], [[0.2, 0.05, 0.0], [0.21, 0.07, 0.0]]])
    colors, facts = look_up(picture, surface, places)
    assert (colors[0, 0, ..., :2] - 3 * places[..., :2]).abs().max() < 0.03  # 1 cm
    assert facts[0, 0, :, 0].max() < 0.03 and torch.allclose(facts[0, 0, :, 1], torch.tensor(0.04), atol=1e-5)


def test_nearest_cells_are_the_nearest_covered_ones() -> None:
    generator = torch.Generator().manual_seed(0)
    cells = torch.rand(3, 4, 50, generator=generator)
    cells[:, 3] = (cells[:, 3] > 0.5).float()
    points = torch.rand(7, 3, generator=generator)
    index, distance = nearest_cells(cells, points)
    apart = torch.cdist(points.expand(3, -1, -1), cells[:, :3].mT)
    apart = torch.where(cells[:, 3:].mT.squeeze(-1)[:, None] > 0, apart, torch.inf)
    assert torch.equal(index, apart.argmin(-1)) and torch.allclose(distance, apart.amin(-1), atol=1e-4)


def test_pictures_that_do_not_show_a_place_do_not_count() -> None:
    torch.manual_seed(0)
    detail = Detail(16, 2)
    picture, surface = flat_world()
    places = torch.tensor([[[0.10, 0.19, 0.0], [0.13, 0.21, 0.0]]])
    other = surface.clone()
    other[:, :, 2] += 1.0  # a metre behind
    both = torch.cat([picture, 1 - picture], dim=1), torch.cat([surface, other], dim=1)
    alone, trust, tokens = detail(((picture, surface),), places, None)
    together, _, _ = detail((both,), places, None)
    assert torch.allclose(alone, together, atol=0.02) and trust.min() > 0.5
    assert not tokens.any()  # nothing is added before training
    padded, _, _ = detail((both,), places, torch.tensor([[True, False]]))
    assert torch.allclose(padded, alone, atol=1e-6)
    nowhere, trust, _ = detail(((picture, other),), places, None)
    assert trust.max() < 1e-6 and torch.isfinite(nowhere).all()


def test_a_token_decides_how_much_to_take() -> None:
    detail = Detail(16, 2)
    share = detail.share(torch.randn(1, 3, 16), torch.tensor([[0.0, 0.5, 1.0]]))
    assert share.shape == (1, 3, 2) and not share[0, 0].any() and (share[0, 2] < 0.2).all()
