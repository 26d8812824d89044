"""Accessories: worn by those who should, closed or open as meant, outside what they lie on; patterns where worn."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lca_mini.people import grow
from lca_mini.people.extras import MORPHS
from lca_mini.people.looks import PATTERNS
from lca_mini.people.noise import noise
from lca_mini.people.patterns import Weave, pattern_amounts
from lca_mini.people.pieces import grid_faces, outward
from lca_mini.people.wardrobe import (
    BAG, BRIM, COLLAR, CURTAIN, EARRINGS, GLASSES, HAT, LENSES, SCARF, SKIN, WATCH, wardrobe,
)  # fmt: skip


@pytest.fixture(scope="module")
def crowd():
    return grow(torch.arange(200), "cpu")


def test_accessories_are_shown_to_those_who_wear_them(crowd):
    mesh, looks = wardrobe(), crowd.looks
    shown = lambda part: (crowd.visible & (mesh.part == part)).any(1)  # noqa: E731
    hat, scarf = (looks.headwear > 0) & (looks.headwear < 4), looks.headwear == 4
    for part, wears in (
        (GLASSES, looks.glasses > 0), (LENSES, looks.sunglasses), (HAT, hat), (SCARF, scarf),
        (BRIM, (looks.headwear == 1) | (looks.headwear == 3)), (COLLAR, looks.layer == 4),
        (EARRINGS, (looks.earrings > 0) & ~scarf), (WATCH, looks.watch & (looks.cuts[:, 0] < 0.6)), (BAG, looks.bag),
    ):  # fmt: skip
        assert torch.equal(shown(part), wears) and bool(wears.any()), part
    assert not bool(shown(CURTAIN)[scarf].any())


def test_the_mesh_stays_modest():
    mesh = wardrobe()
    accessories = mesh.vertex_part >= GLASSES
    assert int(accessories.sum()) < 0.10 * len(mesh.template)
    assert mesh.morphs.shape == (len(MORPHS), len(mesh.template), 3)
    assert bool((mesh.morphs.abs().amax((1, 2)) > 0).all())


def test_hats_and_scarves_contain_the_head(crowd):
    """Seen from the middle of the head, whatever the hat covers lies within it: hair under hats is pressed."""
    mesh = wardrobe()
    for part, kinds in ((HAT, (1, 2, 3)), (SCARF, (4,))):
        who = torch.stack([crowd.looks.headwear == k for k in kinds]).any(0).nonzero()[:, 0]
        skull = (mesh.vertex_part == SKIN) & (mesh.template[:, 1] > 0.755)
        shell = mesh.vertex_part == part
        for person in who[:6]:
            rest = crowd.rest[person]
            centre = torch.tensor([0.0, 0.0, 0.0]) + rest[skull].mean(0) - torch.tensor([0.0, 0.04, 0.0])
            inner, outer = rest[skull] - centre, rest[shell] - centre
            a, b = torch.nn.functional.normalize(inner, dim=1), torch.nn.functional.normalize(outer, dim=1)
            near = (a @ b.T).topk(3).indices
            room = outer.norm(dim=1)[near].amax(1) - inner.norm(dim=1)
            assert float(room.min()) > -0.001, (part, int(person))


def test_grids_close_and_face_outwards():
    rows, columns = 6, 8
    turn = torch.arange(columns) / columns * 2 * torch.pi
    y = torch.linspace(0, 1, rows)[:, None]
    points = torch.stack(torch.broadcast_tensors(turn.cos(), y, turn.sin()), -1).flatten(0, 1)
    faces = grid_faces(rows, columns, True)
    assert len(faces) == 2 * (rows - 1) * columns
    assert len(grid_faces(rows, columns, True, looped=True)) == 2 * rows * columns
    inside = points * torch.tensor([0.0, 1, 0])
    for given in (faces, faces.flip(1)):
        turned = outward(points, given, inside)
        a, b, c = points[turned].unbind(1)
        middle = (a + b + c) / 3 * torch.tensor([1.0, 0, 1])
        assert float((torch.linalg.cross(b - a, c - a) * middle).sum(1).min()) > 0


def test_each_pattern_shows_its_colours(crowd):
    looks = crowd.looks
    p = 4000
    at = torch.rand(p, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.3, 0.45, 0.2])
    at = at + torch.tensor([-0.15, 0.0, 0.02])
    who = torch.arange(p) % 200
    weave = Weave(who, at[:, 0], at[:, 1], at, torch.zeros(p), noise(at * 9)[:, 2])
    for k, name in enumerate(PATTERNS):
        amounts = pattern_amounts(looks, torch.full((p,), k), weave)
        assert bool(((amounts >= 0) & (amounts <= 1)).all()), name
        assert (name == "plain") == (float(amounts.max()) == 0), name
    mixed = torch.arange(p) % len(PATTERNS)
    together = pattern_amounts(looks, mixed, weave)
    for k in (1, 10, 14):
        alone = pattern_amounts(looks, mixed[mixed == k], weave[(mixed == k).nonzero()[:, 0]])
        torch.testing.assert_close(together[mixed == k], alone)


def test_letters_differ_between_people(crowd):
    looks = crowd.looks[:2]
    x = torch.linspace(-0.1, 0.1, 200)
    at = torch.stack(torch.broadcast_tensors(x, torch.tensor(0.31), torch.tensor(0.2)), 1)
    weave = Weave(torch.zeros(200, dtype=torch.long), x, x, at, torch.zeros(200), x)
    kind = torch.full((200,), PATTERNS.index("letters"))
    first = pattern_amounts(looks, kind, weave)
    second = pattern_amounts(looks, kind, replace(weave, who=weave.who + 1))
    assert not torch.equal(first, second)
