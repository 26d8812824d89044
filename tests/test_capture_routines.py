"""Routines: smooth, closed, and they show what they are for."""

from __future__ import annotations

import math

import pytest
import torch

from lca_mini.body import rotation_matrices
from lca_mini.body.names import ACTIONS, JOINTS
from lca_mini.capture.routines import ROUTINES, talk


@pytest.mark.parametrize("name", ROUTINES)
def test_routines_are_smooth_and_close(name):
    def fastest(frames: int) -> float:
        motion = talk(frames, frames / 20) if name == "talk" else ROUTINES[name](frames)
        turns = torch.cat([rotation_matrices(motion.pose).flatten(1), motion.transl * 5, motion.actions], 1)
        assert float(motion.actions.min()) >= 0 and float(motion.actions.max()) <= 1
        return float((turns.roll(-1, 0) - turns).abs().max())

    assert fastest(4800) < 0.6 * fastest(2400)  # continuous, the seam of the loop included


def test_sitting_lowers_the_hips_and_reaching_moves_the_arms():
    sit = ROUTINES["sit"](240)
    assert -0.50 < float(sit.transl[:, 1].min()) < -0.30 and float(sit.transl[0, 1].abs()) < 0.05
    knee = sit.pose[120, JOINTS.index("left_knee")].norm()
    assert math.radians(70) < float(knee) < math.radians(95)
    reach = ROUTINES["reach"](240).pose
    for side in ("left", "right"):
        shoulder = reach[:, JOINTS.index(f"{side}_shoulder")]
        assert float((shoulder - shoulder[0]).norm(dim=1).max()) > math.radians(50)


def test_sweeps_show_every_action_and_every_finger_alone():
    faces = ROUTINES["facs_sweep"](52 * 20).actions
    peak, when = faces.max(0)
    assert float(peak.min()) > 0.95
    blinks = torch.tensor([a.startswith("eye") for a in ACTIONS])  # lids follow the gaze, blinks belong to life
    for action in range(len(ACTIONS)):
        others = faces[when[action]].clone()
        others[action] = 0
        assert float(others[~blinks].max()) < 1e-6, ACTIONS[action]
    hands = ROUTINES["finger_sweep"](560).pose
    for side in ("left", "right"):
        for finger in ("index", "middle", "ring", "pinky", "thumb"):
            bend = hands[:, JOINTS.index(f"{side}_{finger}2")].norm(dim=1)
            assert float(bend.max() - bend.min()) > math.radians(25), (side, finger)
    gaze = torch.rad2deg(ROUTINES["gaze_sweep"](100).gaze)
    assert float(gaze[:, 0].max()) > 25 and float(gaze[:, 0].min()) < -25 and float(gaze[:, 1].max()) > 18


def test_talk_moves_the_mouth_most_of_the_time():
    actions = ROUTINES["talk"](240).actions[:, [i for i, a in enumerate(ACTIONS) if a.startswith(("jaw", "mouth"))]]
    assert float((actions.amax(1)[20:220] > 0.15).float().mean()) > 0.85
    assert float(actions.std(0).max()) > 0.1
