"""True motions of the face, to teach corrections with."""

from __future__ import annotations


import pytest
import torch

from lca_mini.body import ACTIONS, load_body
from lca_mini.body.template import rest_vertices
from lca_mini.config import preset
from lca_mini.model.lca import LCA, build
from lca_mini.training.faces import TrueMotion


@pytest.fixture(scope="module")
def nano() -> LCA:
    return build(preset("nano"), load_body())


def test_gaussians_on_the_skin_move_as_the_template_does(nano: LCA) -> None:
    motion = TrueMotion(nano)
    body, count = nano.body, len(motion.homes)
    ids = torch.randint(len(motion.skin), (len(motion.face),), generator=torch.Generator().manual_seed(0))
    offsets = torch.zeros(2, count, 3)
    offsets[:, motion.face] = motion.skin[ids] - motion.homes[motion.face]
    actions = torch.rand(2, 3, len(ACTIONS), generator=torch.Generator().manual_seed(1))
    true, counts = motion(offsets, actions)
    moved = rest_vertices(body, torch.zeros(2, 3, body.shapedirs.shape[-1]), actions) - body.template
    where = torch.cdist(motion.skin[ids][None], body.template[None])[0].argmin(1)
    faces = slice(0, len(motion.face))
    torch.testing.assert_close(true[:, :, faces], moved[:, :, where], atol=2e-4, rtol=0)
    assert counts[:, :, faces].all() and true[:, :, faces].norm(dim=-1).max() > 0.01


def test_hands_stay_and_what_is_off_the_skin_does_not_count(nano: LCA) -> None:
    motion = TrueMotion(nano)
    offsets = torch.zeros(1, len(motion.homes), 3)
    offsets[:, motion.face[0]] = torch.tensor([0.0, 0.0, 0.2])
    true, counts = motion(offsets, torch.ones(1, 1, len(ACTIONS)))
    assert counts[0, 0, 0, 0] == 0 and counts[0, 0, len(motion.face) :].all()
    assert len(motion.hands) > 0 and not true[:, :, len(motion.face) :].any()
    on_hands = motion.homes[motion.hands]
    assert (on_hands[:, 0].abs() > 0.5).all(), "hands of a T-pose are far from the middle"
