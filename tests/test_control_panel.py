"""Sliders, buttons and the viewport's half of the conversation with the browser; the browser itself is elsewhere."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from lca_mini.control import open_panel
from lca_mini.control.dials import DIALS, PRESETS, START
from lca_mini.control.panel import from_hexadecimal, hexadecimal

pytest.importorskip("anywidget")


@pytest.fixture
def panel(nano, avatar, tmp_path):
    return open_panel(nano, avatar, size=128, folder=str(tmp_path))


@pytest.fixture
def sent(panel, monkeypatch) -> list:
    """What the viewport sends, instead of to a browser."""
    messages: list = []
    monkeypatch.setattr(panel.viewport, "send", lambda content, buffers=None: messages.append((content, buffers)))
    return messages


def say(panel, **content) -> None:
    """What the browser would."""
    panel.viewport._receive(None, content, None)


def test_sliders_and_session_agree(panel):
    sliders, session = panel.sliders, panel.session
    assert sliders.of.keys() == DIALS.keys()
    for name in ("left_arm.elbow", "right_hand.index", "face.browInnerUp", "gaze.yaw", "head.tilt"):
        before = session.frame()
        sliders.of[name].value = 0.8 * DIALS[name].high
        assert session.setting[name] == 0.8 * DIALS[name].high
        assert name.startswith(("face", "gaze")) or not torch.equal(session.frame(), before)  # a small picture
    session.apply({"spine.bend": 25})
    assert sliders.of["spine.bend"].value == 25


def test_the_browser_is_told_what_it_can_hold_and_believed_to_the_step(panel):
    for name, dial in DIALS.items():
        slider = panel.sliders.of[name]
        for i in range(round((dial.high - dial.low) / slider.step) + 1):
            value = round(dial.low + i * slider.step, 2)
            told = slider.in_browser(value)
            assert told == pytest.approx(value, abs=1e-9) and slider.in_browser(told) == told, f"{name} {value}"
    turn = panel.sliders.of["head.turn"]
    panel.session.apply({"head.turn": 10})
    assert turn.value == 10 and turn.get_state("value")["value"] == turn.in_browser(10)
    turn.set_state({"value": 9.999999999999996})
    assert turn.value == 10 and panel.session.setting["head.turn"] == 10
    panel.session.apply({"head.turn": 10.4})
    assert panel.session.setting["head.turn"] == 10.4 and turn.get_state("value")["value"] == turn.in_browser(10)


@pytest.mark.parametrize("kind", PRESETS)
def test_presets_move_sliders_and_a_slider_leaves_the_preset(panel, kind: str):
    name = list(PRESETS[kind])[3]
    panel.sliders.presets[kind].value = name
    assert all(panel.sliders.of[dial].value == value for dial, value in PRESETS[kind][name].items())
    dial = next(d for d in PRESETS[kind][name] if d != "body.heading")
    panel.sliders.of[dial].value = DIALS[dial].high
    assert panel.sliders.presets[kind].value == "(preset)" and panel.session.setting[dial] == DIALS[dial].high


def test_reset_brings_the_first_picture_back(panel):
    first = panel.session.frame()
    panel.sliders.presets["body"].value = "wave"
    panel.controls["view"].value = "upper body"
    panel.controls["background"].value = "#102030"
    panel.controls["play"].value = True
    assert panel.controls["clip"].value == "performance" and panel.session.playing
    assert not torch.equal(panel.session.frame(), first)
    panel.controls["reset"].click()
    assert torch.equal(panel.session.frame(), first) and panel.session.setting == START
    assert not panel.controls["play"].value and panel.controls["view"].value == "whole body"
    assert from_hexadecimal(panel.controls["background"].value) == pytest.approx(panel.session.background, abs=1 / 255)


def test_buttons_write_files_and_say_where(panel, tmp_path):
    panel.controls["snapshot"].click()
    panel.controls["ply"].click()
    assert {file.name for file in tmp_path.iterdir()} == {"snapshot-1.png", "avatar-1.ply"}
    assert "avatar-1.ply" in panel.status.value
    with Image.open(tmp_path / "snapshot-1.png") as picture:
        assert np.array_equal(np.array(picture), panel.session.frame().numpy())
    panel.folder = str(tmp_path / "snapshot-1.png")
    panel.controls["snapshot"].click()
    assert "cannot write" in panel.status.value


def test_a_random_person_comes_in_the_same_pose(panel):
    panel.sliders.presets["body"].value = "wave"
    before, setting = panel.session.frame(), dict(panel.session.setting)
    panel.controls["random"].click()
    assert "person 1 of the split demo" in panel.status.value and panel.progress.layout.visibility == "hidden"
    assert panel.session.setting == setting and not torch.equal(panel.session.frame(), before)


def test_colours():
    assert hexadecimal((1.0, 0.0, 0.5)) == "#ff0080" and from_hexadecimal("#ff0080") == (1.0, 0.0, 128 / 255)
    for wrong in ("red", "#12345", "#gggggg"):
        with pytest.raises(ValueError, match="write it as"):
            from_hexadecimal(wrong)


def test_nothing_is_sent_before_a_browser_asks(panel, sent):
    panel.sliders.of["head.turn"].value = 20
    assert not sent and panel.viewport.poster[:2] == b"\xff\xd8"
    say(panel, kind="hello")
    (about, [jpeg]) = sent[0]
    assert len(sent) == 1 and about["kind"] == "frame" and about["changes"] == panel.session.changes
    shown = np.array(Image.open(io.BytesIO(jpeg))).astype(int)
    assert np.abs(shown - panel.session.frame().numpy().astype(int)).mean() < 3


def test_the_newest_frame_wins_and_nothing_queues(panel, sent):
    say(panel, kind="hello")
    for value in range(10):
        panel.sliders.of["head.turn"].value = value + 1
    say(panel, kind="moved", turn=[0.2, 0.0])
    assert len(sent) == 1, "a frame was sent before the last was drawn"
    say(panel, kind="drawn")
    assert len(sent) == 2 and sent[1][0]["changes"] == panel.session.changes
    say(panel, kind="drawn")
    assert len(sent) == 2, "the same picture was sent twice"
    panel.sliders.of["head.turn"].value = -5
    assert len(sent) == 3, "a browser that waits gets the new picture at once"


def test_moves_reach_the_camera(panel, sent):
    orbit = panel.session.orbit
    say(panel, kind="drawn", turn=[0.3, 0.1], pan=[0.1, 0.0], zoom=0.2)
    moved = panel.session.orbit
    assert moved.azimuth == pytest.approx(-0.3) and moved.elevation == pytest.approx(orbit.elevation + 0.1)
    assert moved.distance < orbit.distance and moved.target != orbit.target
    say(panel, kind="reset")
    assert panel.session.orbit == orbit
    say(panel, kind="moved", pointer=[0.5, 0.5])
    assert panel.session.setting["gaze.yaw"] == 0, "nobody asked the eyes to follow"
    panel.controls["follow"].value = True
    say(panel, kind="moved", pointer=[0.9, 0.0])
    assert panel.session.setting["gaze.yaw"] > 5


def test_a_clip_goes_on_as_frames_are_drawn(panel, sent):
    say(panel, kind="hello")
    panel.controls["play"].value = True
    for _ in range(4):
        say(panel, kind="drawn")
    assert len(sent) == 5 and panel.session.seconds > 0
    assert sent[1][1] != sent[4][1]


@pytest.mark.parametrize("wrong", [{"turn": [float("nan"), 0]}, {"turn": ["x", 0]}, {"zoom": None}, {"pan": 3}])
def test_a_message_that_makes_no_sense_is_told_and_forgotten(panel, sent, wrong):
    orbit = panel.session.orbit
    say(panel, kind="moved", **wrong)
    assert sent[-1][0]["kind"] == "problem" and panel.session.orbit == orbit
