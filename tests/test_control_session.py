"""What the sliders, the mouse and the clips do to the picture, without any of them."""

from __future__ import annotations

import math

import pytest
import torch

from lca_mini.body import ACTIONS
from lca_mini.control import Session
from lca_mini.control.camera import FAR, NEAR, STEEPEST, Orbit
from lca_mini.control.dials import BODIES, DIALS, PRESETS, REGIONS, START, posture_of
from lca_mini.control.files import next_file, record, save_avatar, snapshot
from lca_mini.control.session import CLIPS, FPS, VIEWS
from lca_mini.driving import driving_signal
from lca_mini.export import load_ply
from lca_mini.render import render


@pytest.fixture
def session(nano, avatar) -> Session:
    return Session(nano, avatar, 96)


def test_every_joint_finger_and_action_has_a_dial():
    assert sum(name.startswith("face.") for name in DIALS) == len(ACTIONS) == 52
    assert all(any(action.startswith(region) for region in REGIONS) for action in ACTIONS)
    for kind, settings in PRESETS.items():
        for name, setting in settings.items():
            assert setting.keys() == next(iter(settings.values())).keys(), f"{kind} {name} leaves dials as they were"
            for dial, value in setting.items():
                assert DIALS[dial].low <= value <= DIALS[dial].high, f"{name} sets {dial} to {value}"


def test_dials_reach_their_place_in_the_posture():
    posture = posture_of(START | {"left_arm.elbow": 91, "right_hand.pinky": 0.7, "right_leg.knee": 33, "head.turn": 12,
                                  "gaze.pitch": -5, f"face.{ACTIONS[20]}": 0.3, "body.heading": 44})  # fmt: skip
    assert posture.arms[0, 3] == 91 and posture.hands[1, 3] == 0.7 and posture.legs[1, 3] == 33
    assert posture.head[1] == 12 and posture.gaze[1] == -5 and posture.actions[20] == 0.3 and posture.heading == 44
    assert not posture_of(BODIES["T-pose"] | {n: 0.0 for n in START if n[:4] in ("gaze", "face")}).arms.any()


def test_the_picture_is_drive_and_render(nano, session: Session):
    session.apply({"head.turn": 30, "face.jawOpen": 0.6, "left_arm.lower": 10})
    gaussians = nano.drive(session.avatar, driving_signal(nano, session.motion()))
    wanted = render(gaussians, session.orbit.cameras(96, "cpu"), background=session.background).colors[0, 0]
    got = session.frame()
    assert got.shape == (96, 96, 3) and got.dtype == torch.uint8
    assert ((got / 255 - wanted).abs() < 1.5 / 255).float().mean() > 0.999


def test_settings_change_the_picture_and_reset_brings_it_back(session: Session):
    first, orbit = session.frame(), session.orbit
    for change in (
        lambda: session.apply({"right_arm.elbow": 120}), lambda: session.preset("body", "cheer"),
        lambda: session.move(turn=(0.7, 0.1)), lambda: session.move(pan=(0.2, 0)), lambda: session.move(zoom=0.5),
        lambda: session.paint((0.1, 0.2, 0.3)), lambda: session.show("face"), lambda: session.load_clip("turntable"),
    ):  # fmt: skip
        before = session.frame()
        if session.clip is None:
            change()
        session.seconds = 1.5
        assert not torch.equal(session.frame(), before)
    session.reset()
    assert torch.equal(session.frame(), first) and session.setting == START and session.orbit == orbit
    session.resize(64)
    assert session.frame().shape == (64, 64, 3)


def test_watchers_hear_of_each_change(session: Session):
    heard = []
    session.watchers.append(lambda: heard.append(session.changes))
    session.preset("face", "smile")
    session.move(zoom=0.1)
    session.reset()
    assert heard == [session.changes - 2, session.changes - 1, session.changes]


@pytest.mark.parametrize("do, says", [
    (lambda s: s.apply({"head.turn": 10, "head.turns": 10}), "no dial 'head.turns'"),
    (lambda s: s.apply({"head.turn": 300}), "goes from -70 to 70"),
    (lambda s: s.apply({"head.turn": math.nan}), "not nan"),
    (lambda s: s.preset("face", "grin"), "choose one of neutral"),
    (lambda s: s.preset("foot", "left"), "choose one of body"),
    (lambda s: s.load_clip("opera"), "no clip"), (lambda s: s.play(), "nothing to play"),
    (lambda s: s.show("knee"), "no view"), (lambda s: s.resize(8), "8 pixels"),
    (lambda s: s.paint((0.1, 2.0, 0.0)), "from 0 to 1"), (lambda s: s.move(turn=(math.inf, 0)), "finite"),
    (lambda s: s.move(pointer=(math.nan, 0)), "finite"),
    (lambda s: s.replace_avatar(s.avatar[[0, 0]]), "one person, not 2"),
])  # fmt: skip
def test_what_cannot_be_is_one_sentence_and_changes_nothing(session: Session, do, says: str):
    first, changes = session.frame(), session.changes
    with pytest.raises(ValueError, match=says):
        do(session)
    assert session.changes == changes and session.setting == START and torch.equal(session.frame(), first)


def test_camera_keeps_its_limits_and_comes_back():
    orbit = Orbit((0.0, 0.2, 0.0), 3.0)
    assert orbit.moved(zoom=99).distance == NEAR and orbit.moved(zoom=-99).distance == FAR
    assert orbit.moved(turn=(0, 99)).elevation == STEEPEST
    there = orbit.moved((0.4, 0.1), (0, 0), 0.3).moved(pan=(0.1, -0.2))
    back = there.moved(pan=(-0.1, 0.2)).moved((-0.4, -0.1), (0, 0), -0.3)
    assert math.isclose(back.distance, 3.0) and math.isclose(back.azimuth, 0, abs_tol=1e-12)
    assert torch.allclose(torch.tensor(back.target), torch.tensor(orbit.target), atol=1e-12)


def test_a_drag_takes_the_picture_with_it(session: Session):
    def seen(orbit: Orbit, point: torch.Tensor) -> torch.Tensor:
        cameras = orbit.cameras(100, "cpu")
        pixel = cameras.Ks[0, 0] @ (cameras.viewmats[0, 0, :3, :3] @ point + cameras.viewmats[0, 0, :3, 3])
        return pixel[:2] / pixel[2]

    nose = torch.tensor([0.0, 0.3, 0.15])
    orbit = Orbit((0.0, 0.3, 0.0), 2.0)
    still = seen(orbit, nose)
    assert (seen(orbit.moved(turn=(0.2, 0)), nose) - still)[0] > 1 and (seen(orbit.moved(turn=(0, 0.2)), nose) - still)[1] > 1
    panned = seen(orbit.moved(pan=(0.1, 0.2)), torch.tensor(orbit.target))
    assert torch.allclose(panned, torch.tensor([60.0, 70.0]), atol=0.1)


@pytest.mark.parametrize("heading", [0.0, 60.0])
def test_eyes_follow_the_pointer(session: Session, heading: float):
    session.apply({"body.heading": heading})
    session.orbit = session.view("face").moved(turn=(-math.radians(heading), 0))

    def gaze(x: float, y: float) -> tuple[float, float]:
        session.move(pointer=(x, y))
        return session.setting["gaze.yaw"], session.setting["gaze.pitch"]

    (left, _), (middle, level), (right, _) = gaze(-0.5, 0), gaze(0, 0), gaze(0.5, 0)
    assert left < middle - 10 and right > middle + 10 and abs(middle) < 6
    assert gaze(0, 0.5)[1] > level + 8 and gaze(0, -0.5)[1] < level - 8


def test_clips_play_round_and_sliders_lie_over_them(session: Session):
    session.load_clip("walk")
    still = session.motion()
    session.advance(1.0)
    assert torch.equal(session.motion().pose, still.pose), "it moves while paused"
    session.play()
    session.advance(1.0)
    assert not torch.equal(session.motion().pose, still.pose)
    session.advance(len(session.clip.pose) / FPS - 1.0)
    assert torch.allclose(session.motion().pose, still.pose)
    session.apply({"face.jawOpen": 0.9, "gaze.yaw": 10})
    assert session.clip is not None and session.motion().actions[0, ACTIONS.index("jawOpen")] == pytest.approx(0.9)
    session.apply({"head.turn": 5})
    assert session.clip is None and not session.playing
    assert set(CLIPS) == {"performance", "walk", "turntable"} and "face" in VIEWS


def test_files_are_written_under_the_next_number(session: Session, tmp_path):
    assert snapshot(session, tmp_path).name == "snapshot-1.png" and snapshot(session, tmp_path).name == "snapshot-2.png"
    saved = load_ply(save_avatar(session, tmp_path))
    assert torch.allclose(saved.means, session.avatar.canonical.means[0])
    session.load_clip("walk")
    kept, shares = (session.orbit, session.seconds), []
    video = record(session, tmp_path, shares.append)
    assert video.stat().st_size > 1000 and len(shares) == len(session.clip.pose) and shares[-1] == 1
    assert (session.orbit, session.seconds) == kept
    assert next_file(tmp_path, "video", ".mp4").name == "video-2.mp4"
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match="cannot write"):
        snapshot(session, tmp_path / "file")
