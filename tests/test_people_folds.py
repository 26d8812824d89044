"""What cloth does when somebody moves: nothing at rest, outwards at joints."""

from __future__ import annotations

import torch

from lca_mini.people import grow
from lca_mini.people.folds import DRIVES, drives, folds, slack
from lca_mini.people.pieces import unit_normals
from lca_mini.people.wardrobe import TOP, wardrobe


def test_nothing_moves_at_rest_and_every_drive_moves_something():
    pose = torch.zeros(1, 2, 55, 3)
    assert float(drives(pose).abs().max()) == 0
    fields = folds("cpu").fields
    assert fields.shape[0] == len(DRIVES) and bool((fields.abs().amax((1, 2)) > 5e-3).all())
    assert float(fields.norm(dim=-1).max()) < 0.02


def test_folds_go_outwards():
    """No fold ever pulls cloth into the body."""
    f, mesh = folds("cpu"), wardrobe()
    normals = unit_normals(mesh.template, mesh.faces)[f.ids]
    assert float((f.fields * normals).sum(-1).min()) > -1e-6


def test_a_bent_elbow_folds_its_own_sleeve_more_where_cloth_is_loose():
    crowd = grow(torch.arange(12), "cpu")
    share = slack(folds("cpu").part, crowd.looks)
    top = folds("cpu").part == TOP
    assert torch.equal(share[:, top].amax(1).argsort(), crowd.looks.loose[:, 0].argsort())
    pose = torch.zeros(1, 1, 55, 3)
    pose[..., 18, 1] = -1.5
    active = [name for name, value in zip(DRIVES, drives(pose)[0, 0]) if value != 0]
    assert active == ["left_elbow"]
