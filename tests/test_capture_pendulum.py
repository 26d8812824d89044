"""Swings: of clips from their motion, of single moments by chance."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lca_mini.capture import random_frames, swung, turntable, walk
from lca_mini.capture.motion import SWINGS, Motion, blend
from lca_mini.capture.pendulum import FARTHEST, TURN

FPS = 30.0


def standing(frames: int) -> Motion:
    return Motion(torch.zeros(frames, 55, 3), torch.zeros(frames, 3), torch.zeros(frames, 4), torch.zeros(frames, 52))


def test_who_stands_or_glides_does_not_swing():
    clip = standing(40)
    assert float(swung(clip, FPS).swing.abs().max()) == 0
    glide = replace(clip, transl=torch.arange(40)[:, None] * torch.tensor([0.02, 0, 0.01]))
    assert float(swung(glide, FPS).swing.abs().max()) < 1e-4
    assert float(swung(turntable(60), 20.0, looped=True).swing[:, 0].abs().max()) < 0.02


def test_cloth_and_hair_lag_behind_a_step_then_overshoot_and_come_to_rest():
    at = 0.3 * torch.sigmoid((torch.arange(180) - 20.0) / 1.5)
    swing = swung(replace(standing(180), transl=at[:, None] * torch.tensor([1.0, 0, 0])), FPS).swing
    for k in range(2):
        pull = swing[:, k, 0]
        first, second, third = pull[18:26].min(), pull[22:40].max(), pull[30:50].min()
        assert float(first) < -0.1 and float(second) > 0.1 and 0.3 * float(first) < float(third) + 0.12 < 0.12
        size = pull.abs().unflatten(0, (6, 30)).amax(1)
        assert bool((size[2:] < 0.5 * size[1:-1]).all())
        assert float(pull[:10].abs().max()) < 1e-3 and float(pull[130:].abs().max()) < 0.02
        assert float(swing[:, k, 1:].abs().max()) < 1e-4


def test_a_turn_to_the_left_leaves_skirt_and_hair_to_the_right():
    pose = torch.zeros(90, 55, 3)
    pose[:, 0, 1] = 1.5 * torch.sigmoid((torch.arange(90) - 30.0) / 3)
    turn = swung(replace(standing(90), pose=pose), FPS).swing[:, :, 1]
    assert bool((turn[26:31].mean(0) < -0.1).all()) and bool((turn[32:50].amax(0) > 0.1).all())
    assert bool((turn.abs().amax(0) <= torch.tensor(TURN)).all())


def test_a_head_that_stops_leaves_its_hair_swinging_alone():
    pose = torch.zeros(90, 55, 3)
    pose[:, 15, 0] = 0.7 * torch.sigmoid((torch.arange(90) - 30.0) / 2)
    cloth, hair = swung(replace(standing(90), pose=pose), FPS).swing.unbind(1)
    assert float(cloth.abs().max()) < 1e-4 and float(hair[:, 2].abs().max()) > 0.05


def test_no_frame_knows_the_end_of_its_clip():
    clip = walk(90, FPS)
    torch.testing.assert_close(swung(clip, FPS).swing[:50], swung(clip[:60], FPS).swing[:50])


def test_loops_have_no_seam_and_swings_have_a_limit():
    clip = walk(120, FPS)
    swing = swung(clip, FPS, looped=True).swing
    steps = torch.cat([swing, swing[:1]]).diff(dim=0).abs().amax((1, 2))
    assert float(steps[-1]) <= float(steps.max()) and float(steps[-1]) < 0.06
    wild = swung(replace(clip, transl=torch.randn(120, 3, generator=torch.Generator().manual_seed(0))), FPS).swing
    assert float(wild[..., ::2].abs().max()) <= max(FARTHEST) + 1e-6


def test_the_same_swing_at_every_rate():
    """Twice the frames give the same curve."""
    slow, fast = (swung(walk(4 * n, n), n, looped=True).swing for n in (25, 50))
    assert float((slow - fast[::2]).abs().max()) < 0.25 * float(fast.abs().max())


def test_too_few_frames_are_refused():
    with pytest.raises(ValueError, match="too few"):
        swung(walk(10, 4), 4)


@pytest.mark.parametrize("kind", SWINGS)
def test_chance_swings_belong_to_seed_and_frame(kind):
    seeds = torch.arange(64)
    few, many = random_frames(seeds[5:7], 8, kind).swing, random_frames(seeds, 8, kind).swing
    assert torch.equal(few, many[5:7])
    assert 0.02 < float(many.std()) < 0.12 and float(many.abs().max()) <= 2 * max(SWINGS[kind])


def test_blends_mix_swings():
    a, b = (random_frames(torch.tensor([s]), 2, "wild") for s in (1, 2))
    half = torch.full((1, 2), 0.5)
    torch.testing.assert_close(blend(a, b, half).swing, (a.swing + b.swing) / 2)
    assert blend(a, replace(b, swing=None), half).swing is None
