"""Correspondences: cells are pooled rightly, the loss counts what is covered, and places reach the tokens."""

from __future__ import annotations

import pytest
import torch

from lca_mini.model.surface import CELLS, Placement, SurfaceFinder, known, patch_cells, surface_loss


def test_cells_are_those_of_the_patch_grid() -> None:
    surface = torch.zeros(1, 4, 4, 6)  # cells of 8 pixels; patches of 16: two rows, three columns
    surface[0, :, 0, 1] = torch.tensor([1.0, 2, 3, 1])  # first patch, upper right
    surface[0, :, 3, 4] = torch.tensor([4.0, 5, 6, 0.5])  # last patch, lower left
    cells = patch_cells(surface, (2, 3))
    assert cells.shape == (1, 6, CELLS**2, 4)
    assert cells[0, 0, 1].tolist() == [1, 2, 3, 1] and cells[0, 5, 2].tolist() == [4, 5, 6, 0.5]
    assert cells.abs().sum() == 7 + 15.5
    coarse = patch_cells(surface, (1, 1))  # a mean over what is covered, not over what is empty
    assert coarse[0, 0, 1, :3].tolist() == pytest.approx([0, 0, 0]) and coarse[0, 0, 0, :3].tolist() == pytest.approx([1, 2, 3])


def test_the_loss_counts_places_where_something_is_covered() -> None:
    true = torch.zeros(1, 4, 2, 2)
    true[0, :, 0, 0] = torch.tensor([0.5, 0.5, 0.5, 1.0])
    found = torch.cat([true, torch.full((1, 1, 2, 2), -2.0)], dim=1)
    found[:, 3] = torch.where(true[:, 3] > 0.5, 20.0, -20.0)
    assert surface_loss(found, true)[0] == pytest.approx(0, abs=1e-6)
    found[0, 0, 1, 0] = 9.0  # nothing is seen there
    assert surface_loss(found, true)[0] == pytest.approx(0, abs=1e-6)
    found[0, 0, 0, 0] += 0.1
    assert surface_loss(found, true)[0] == pytest.approx(0.1, rel=1e-4)


def test_an_expected_error_is_best_where_it_is_the_error() -> None:
    true = torch.ones(1, 4, 2, 2)
    found = torch.cat([true + 0.02, torch.zeros(1, 1, 2, 2)], dim=1)  # 6 cm in all
    surprises = []
    for error in (0.03, 0.06, 0.12):
        found[:, 4] = torch.tensor(error).log()
        surprises.append(float(surface_loss(found, true)[1]))
    assert surprises[1] < min(surprises[0], surprises[2])
    assert known(found)[0, 4, 0, 0] == pytest.approx(0.12, rel=1e-5)


@pytest.mark.parametrize("size", [16, 32, 50])
def test_a_map_has_a_cell_for_every_four_pixels(size: int) -> None:
    found = SurfaceFinder(8)(torch.rand(2, 3, 3, size, size))
    assert found.shape == (2, 3, 5, -(-size // 4), -(-size // 4)) and found.dtype == torch.float32


def test_the_finder_learns_where_it_looks() -> None:
    torch.manual_seed(0)
    finder, images = SurfaceFinder(8), torch.rand(2, 1, 3, 16, 16)
    true = torch.cat([torch.rand(2, 1, 3, 4, 4), torch.ones(2, 1, 1, 4, 4)], dim=2)
    optimizer, losses = torch.optim.Adam(finder.parameters(), lr=3e-3), []
    for _ in range(60):
        loss = sum(surface_loss(finder(images), true))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert losses[-1] < losses[0] - 1


def test_tokens_learn_their_place_and_pictures_do_not_mix() -> None:
    torch.manual_seed(0)
    placement = Placement(16, 2, 2.0, 1)
    tokens, found = torch.randn(2, 3, 5, 16), torch.randn(2, 3, 5, 2, 5, requires_grad=True)
    cells, towards = patch_cells(known(found), (1, 5)), torch.randn(2, 3, 5, 3)
    placed = placement(tokens, cells, towards, (3, 2))
    assert placed.shape == tokens.shape
    other = tokens.clone()
    other[:, 1, :3] += 1  # another body image, same face crop
    moved = (placement(other, cells, towards, (3, 2)) - placed).abs().amax(-1) > 1e-5
    assert moved[:, 1, :3].all() and not moved[:, 1, 3:].any() and not moved[:, [0, 2]].any()
    assert not cells.requires_grad  # places are learned from their own loss alone
