"""What a studio asks of people: the default changes nothing, each option does what it says, and all follows from the seed."""

from __future__ import annotations

import pytest
import torch

from lca_mini.capture.film import sample_people
from lca_mini.capture.motion import random_frames
from lca_mini.capture.routines import ROUTINES
from lca_mini.capture.shading import dome_light, random_lights
from lca_mini.capture.takes import LENGTH, Studio, lamp_of, studio_light, studio_moments

SEEDS = torch.arange(40, 48)
SIZES = dict(references=2, targets=2, image_size=32, face_size=16)


def scripted(motion) -> torch.Tensor:
    """Which moments [B F] are moments of a routine."""
    script = torch.cat([r(LENGTH).pose for r in ROUTINES.values()]).flatten(1)
    return (motion.pose.flatten(2)[:, :, None] - script).abs().amax(-1).amin(-1) < 1e-6


def test_without_routines_moments_are_those_of_evaluation():
    plain, asked = random_frames(SEEDS, 12, "studio"), studio_moments(SEEDS, 12, Studio())
    assert all(torch.equal(a, b) for a, b in zip(vars(plain).values(), vars(asked).values()))
    assert torch.equal(random_lights(SEEDS, "studio").sun, studio_light(SEEDS, Studio()).sun)


def test_a_share_of_moments_comes_from_routines_and_the_rest_stays():
    seeds, plain = torch.arange(16), random_frames(torch.arange(16), 12, "studio")
    half = studio_moments(seeds, 12, Studio(routines=0.5))
    kept = (half.pose == plain.pose).flatten(2).all(2)
    assert 0.38 < float((~kept).float().mean()) < 0.62
    assert torch.equal(half.actions[kept], plain.actions[kept]) and not scripted(half)[kept].any()
    assert float(scripted(half)[~kept].float().mean()) > 0.75  # the others are of the walk
    every = studio_moments(torch.arange(80), 12, Studio(routines=1.0))
    assert float((every.actions > 0.9).flatten(0, 1).any(0).float().mean()) > 0.6  # most of the 52 actions at their peak
    again = studio_moments(seeds[5:6], 12, Studio(routines=0.5))
    assert torch.allclose(again.pose[0], half.pose[5], atol=1e-5) and torch.allclose(again.gaze[0], half.gaze[5])


def test_views_show_one_moment_by_several_cameras():
    sample = sample_people(SEEDS[:1], "studio", **SIZES, studio=Studio(views=4, cameras=7))
    assert torch.equal(sample.pose[0, 0], sample.pose[0, 1])
    assert not torch.allclose(sample.cameras.viewmats[0, 0], sample.cameras.viewmats[0, 1])


def test_lights_of_the_dome_add_up_and_cast_shadows():
    single = studio_light(SEEDS, Studio(light="single"))
    assert len(lamp_of(SEEDS).unique()) > 3 and not single.sky.any() and not single.ground.any()
    assert torch.equal(single.direction[3], dome_light(1, int(lamp_of(SEEDS)[3])).direction[0])
    even, lamp, around = (sample_people(SEEDS[:2], "studio", **SIZES, studio=Studio(light=kind))
                          for kind in ("even", "single", "environment"))  # fmt: skip
    inside = even.target_masks[:, :, 0] == 1
    assert torch.equal(even.target_masks, lamp.target_masks) and torch.equal(even.target_masks, around.target_masks)
    bright = [float(s.targets.mean(2)[inside].mean()) for s in (even, lamp, around)]
    dark = [float((s.targets.mean(2)[inside] < 0.02).float().mean()) for s in (even, lamp, around)]
    assert bright[1] < 0.8 * bright[0] and dark[1] > 0.15 > 0.05 > dark[0] and abs(bright[2] - bright[0]) > 0.005


def test_wild_people_know_nothing_of_a_studio():
    plain = sample_people(SEEDS[:1], "wild", **SIZES)
    asked = sample_people(SEEDS[:1], "wild", **SIZES, studio=Studio(routines=1.0, light="single"))
    assert torch.equal(plain.targets, asked.targets) and torch.equal(plain.pose, asked.pose)


@pytest.mark.parametrize("wrong, words", [(dict(routines=1.5), "share"), (dict(cameras=0), "0 cameras"),
                                          (dict(views=0), "0 views"), (dict(light="disco"), "no studio light")])
def test_what_cannot_be_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        Studio(**wrong)
