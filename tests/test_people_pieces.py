"""Cutting and refining meshes keeps their surface and makes clean edges."""

from __future__ import annotations

import torch

from lca_mini.people.pieces import Piece, cut, refine


def grid(n: int = 9) -> Piece:
    y, x = torch.meshgrid(torch.linspace(-1, 1, n), torch.linspace(-1, 1, n), indexing="ij")
    points = torch.stack([x.flatten(), y.flatten(), 0 * x.flatten()], 1)
    r, c = torch.meshgrid(torch.arange(n - 1), torch.arange(n - 1), indexing="ij")
    a = (r * n + c).flatten()
    faces = torch.cat([torch.stack([a, a + 1, a + n], 1), torch.stack([a + 1, a + n + 1, a + n], 1)])
    rows = torch.ones(len(points), 1, 1).expand(-1, 3, 1)
    return Piece(points, rows, rows.expand(-1, -1, 52), torch.ones(len(points), 55) / 55, faces)


def area(piece: Piece) -> torch.Tensor:
    a, b, c = piece.template[piece.faces].unbind(1)
    return torch.linalg.cross(b - a, c - a)[:, 2] / 2


def test_cut_keeps_area_and_orientation_and_separates_the_sides():
    piece = grid()
    line = lambda p: p[:, 0] + 0.37 * p[:, 1] - 0.1131  # noqa: E731
    after = cut(piece, line(piece.template))
    assert torch.isclose(area(after).sum(), area(piece).sum())
    assert float(area(after).min()) >= 0
    sides = line(after.template)[after.faces]
    assert bool(((sides > -0.014).all(1) | (sides < 0.014).all(1)).all())


def test_refine_is_watertight():
    piece = grid()
    after, ends = refine(piece, piece.template[:, 0] > 0.2)
    assert torch.isclose(area(after).sum(), area(piece).sum()) and float(area(after).min()) > 0
    edges = torch.cat([after.faces[:, [0, 1]], after.faces[:, [1, 2]], after.faces[:, [2, 0]]]).sort(1).values
    unique, uses = edges.unique(dim=0, return_counts=True)
    rim = after.template[unique[uses == 1]]
    assert int(uses.max()) == 2 and torch.isclose((rim[:, 0] - rim[:, 1]).norm(dim=1).sum(), torch.tensor(8.0))
    torch.testing.assert_close(after.template[len(piece.template) :], piece.template[ends].mean(1))
