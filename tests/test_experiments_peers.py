"""Peers: a known texture is found again, an optimised person comes to look like the pictures."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lca_mini import load_body
from lca_mini.body import sample_anchors
from lca_mini.capture.film import sample_people
from lca_mini.config import preset
from lca_mini.experiments.optimised import Effort, optimise, posed, progress_of
from lca_mini.experiments.peers import Peer
from lca_mini.experiments.projected import fill, texture_of, textured, with_gutter
from lca_mini.training.metrics import psnr
from lca_mini.training.step import draw_targets


@pytest.fixture(scope="module")
def own():
    return sample_people(torch.tensor([7]), "studio", 4, 1, image_size=96, face_size=48, of_references=True)


def test_a_known_texture_is_found_again(own):
    body = load_body()
    steps = torch.linspace(0.1, 0.9, 128)
    known = torch.stack([steps.expand(128, -1), steps[:, None].expand(-1, 128), torch.full((128, 128), 0.3)], -1)[None]
    pictures = textured(body, own, known)
    white = torch.ones_like(own.face_images)
    painted = replace(own, images=pictures, face_images=white)
    found = texture_of(body, painted, 0, [0, 1, 2, 3], size=128)[None]
    again = textured(body, own, found)
    mask = (pictures.amin(2, keepdim=True) < 0.9).float()
    assert psnr(again, pictures, mask).min() > 26
    wrong = texture_of(body, replace(painted, transl=own.transl + 0.2), 0, [0, 1, 2, 3], size=128)[None]
    assert psnr(textured(body, own, wrong), pictures, mask).max() < 22


def test_unseen_texels_take_the_nearest_colour_and_islands_grow():
    points = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0.1, 0, 0], [0.8, 0, 0]])
    colours = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]])
    filled = fill(colours, torch.tensor([True, True, False, False]), points)
    assert torch.equal(filled, colours[[0, 1, 0, 1]])
    assert (fill(colours, torch.zeros(4, dtype=torch.bool), points) == 0.5).all()
    texture = torch.zeros(9, 9, 4)
    texture[4, 4] = torch.tensor([0.2, 0.4, 0.6, 1])
    grown = with_gutter(texture)
    torch.testing.assert_close(grown[1:8, 1:8], torch.tensor([0.2, 0.4, 0.6]).expand(7, 7, 3))
    assert (grown[0] == 0).all()


def test_an_optimised_person_comes_to_look_like_the_pictures(own):
    body = load_body()
    anchors = sample_anchors(body, 200)

    def quality(steps, pictures=(0, 1, 2)):
        made = optimise(body, anchors, 4, own, list(pictures), Effort(steps=steps, seconds=0))
        with torch.no_grad():
            drawn = draw_targets(posed(made, body, anchors, own), own.cameras, "cpu")[0]
        assert torch.isfinite(drawn).all()
        return made, psnr(drawn, own.targets, own.target_masks)[0]

    (first, before), (made, after) = quality(1), quality(25)
    assert (after[:3] > before[:3] + 0.3).all()
    again, _ = quality(25)
    assert torch.equal(made.means, again.means) and not torch.equal(made.means, first.means)


def test_effort_ends_by_steps_or_seconds_and_needs_one():
    assert progress_of(Effort(10, 0), 5, 1e9) == 0.5 and progress_of(Effort(0, 60), 10**6, 30) == 0.5
    assert progress_of(Effort(10, 60), 1, 30) == 0.5
    with pytest.raises(ValueError, match="needs an end"):
        Effort(0, 0)


def test_peers_keep_the_people_that_they_optimised(tmp_path, monkeypatch):
    small = replace(preset("nano"), image_size=64, face_size=32, anchors=64)

    def film(seeds, kind):
        return sample_people(seeds, kind, 2, 1, 64, 32, of_references=True)

    def only(jobs):
        left = iter(range(jobs))

        def begin(minutes):
            if next(left, None) is None:
                raise TimeoutError

        return begin

    peer = Peer("optimised", small, "cpu", "test-wild", 1, 1, Effort(2, 0), tmp_path, film)
    with pytest.raises(TimeoutError):
        peer.prepare(2, only(1))
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    peer.prepare(2, only(1))
    assert len(list(tmp_path.glob("*.safetensors"))) == 2
    sample = sample_people(300_000_000 + torch.arange(2), "wild", 2, 1, 64, 32)
    monkeypatch.setattr("lca_mini.experiments.peers.optimise", None)  # nobody is optimised again
    assert peer(sample).shape == sample.targets.shape
    other = Peer("projected", small, "cpu", "test-wild", 1, 1, Effort(2, 0), tmp_path / "none", film)
    other.prepare(2, only(0))
    pictures = other(sample)
    assert pictures.shape == sample.targets.shape and pictures.amin() >= 0 and not (tmp_path / "none").exists()
    assert (psnr(pictures, sample.targets, sample.target_masks) > 5).all()
