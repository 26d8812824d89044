"""The synthetic population: seeds decide everything, nobody is naked, splits never meet."""

from __future__ import annotations

import pytest
import torch

from lca_mini.body import load_body, posed_vertices
from lca_mini.people import SPLITS, grow, posed, seeds_of
from lca_mini.people.splits import SPAN, split_of
from lca_mini.people.wardrobe import BOTTOM, SKIN, SKIRT, TOP, wardrobe

SEEDS = torch.tensor([3, 400_000_007, 11, 300_000_001])


@pytest.fixture(scope="module")
def crowd():
    return grow(SEEDS, "cpu")


def test_a_seed_is_one_person_in_any_batch(crowd):
    alone = grow(SEEDS[2:3], "cpu")
    assert torch.equal(alone.betas[0], crowd.betas[2])
    assert torch.equal(alone.visible[0], crowd.visible[2])
    torch.testing.assert_close(alone.rest[0], crowd.rest[2], atol=2e-5, rtol=0)
    for name, values in vars(alone.looks).items():
        assert torch.equal(values[0], getattr(crowd.looks, name)[2]), name


def test_people_differ():
    crowd = grow(torch.arange(64), "cpu")
    apart = torch.cdist(crowd.betas, crowd.betas) + 1e9 * torch.eye(64)
    assert float(apart.min()) > 1.0
    assert len(crowd.looks.skin.unique(dim=0)) == 64
    assert len(crowd.looks.hairdo.unique()) >= 6
    assert len(crowd.visible.unique(dim=0)) > 40


def test_adult_sizes():
    rest = grow(torch.arange(100), "cpu").rest
    height = rest[..., 1].amax(1) - rest[..., 1].amin(1)
    assert 1.40 < float(height.min()) and float(height.max()) < 2.15


def test_everybody_is_dressed():
    crowd, mesh = grow(torch.arange(120), "cpu"), wardrobe()
    centre = mesh.template[mesh.faces].mean(1)
    x, y = centre[:, 0].abs(), centre[:, 1]
    trunk = (x < 0.18) & (y < 0.39) & (y > -0.19)
    assert not bool(crowd.visible[:, (mesh.part == SKIN) & trunk].any())
    shown = crowd.visible
    for low, high in ((0.15, 0.35), (-0.18, 0.0)):
        band = (x < 0.18) & (y > low) & (y < high)
        front, back = band & (centre[:, 2] > 0.12), band & (centre[:, 2] < 0.04)
        for side in (front, back):
            cover = torch.stack([shown[:, side & (mesh.part == p)].sum(1) for p in (TOP, BOTTOM, SKIRT)]).sum(0)
            assert int(cover.min()) > 20


def test_skin_lies_on_the_body_itself(crowd):
    mesh, body = wardrobe(), load_body()
    generator = torch.Generator().manual_seed(0)
    pose = 0.3 * torch.randn(4, 1, 55, 3, generator=generator)
    pose[..., 23:25, :] = 0
    actions = torch.rand(4, 1, 52, generator=generator)
    ours = posed(crowd, pose, torch.zeros(4, 1, 3), torch.zeros(4, 1, 4), actions)
    truth = posed_vertices(body, crowd.betas[:, None], pose, torch.zeros(4, 1, 3), actions)
    bare = (mesh.body_ids >= 0) & (mesh.template[:, 1] < 0.5)
    difference = ours[:, :, bare] - truth[:, :, mesh.body_ids[bare]]
    assert float(difference.abs().max()) < 1e-4


def test_splits_are_disjoint():
    assert len({split_of(int(s)) for name in SPLITS for s in (seeds_of(name, 0), seeds_of(name, SPAN - 1))}) == len(
        SPLITS
    )
    for name in SPLITS:
        assert {split_of(int(seeds_of(name, i))) for i in (0, SPAN - 1)} == {name}
    with pytest.raises(ValueError, match="no split"):
        seeds_of("test")
    with pytest.raises(ValueError, match="leave the split"):
        seeds_of("train", SPAN - 1, 2)
