"""Face recordings as their makers write them, and what happens to those that are not so."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from lca_mini.body import ACTIONS
from lca_mini.capture.motion import look
from lca_mini.tracks import read_face
from lca_mini.tracks.face_files import ANGLES, gaze_of_actions

ARKIT = [name[0].upper() + name[1:] for name in sorted(ACTIONS, key=lambda name: (name[-5:], name))]
EXTRA = ["HeadYaw", "HeadPitch", "HeadRoll", "LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll", "RightEyeYaw", "RightEyePitch",
         "RightEyeRoll"]  # fmt: skip


def row_of(actions: torch.Tensor) -> list[float]:
    return [float(actions[ACTIONS.index(name[0].lower() + name[1:])]) for name in ARKIT]


def live_link(path: Path, actions: torch.Tensor, codes: list[str], angles: torch.Tensor | None = None) -> Path:
    """As Live Link Face writes it, with 52 columns or with 61."""
    lines = [",".join(["Timecode", "BlendshapeCount", *ARKIT, *(EXTRA if angles is not None else [])])]
    for i, code in enumerate(codes):
        more = [] if angles is None else angles[i].tolist()
        numbers = row_of(actions[i]) + more
        lines.append(",".join([code, str(len(numbers)), *(f"{number:.6f}" for number in numbers)]))
    path.write_text("\n".join(lines) + "\n")
    return path


def looking(yaw: torch.Tensor, pitch: torch.Tensor) -> torch.Tensor:
    return look(torch.zeros(len(yaw), 52), torch.stack([yaw, pitch], -1))


def test_live_link_face_with_52_columns(tmp_path: Path):
    actions = torch.rand(4, 52, generator=torch.Generator().manual_seed(0))
    codes = ["12:59:59:58.250", "12:59:59:59.250", "13:00:00:00.250", "13:00:00:02.250"]  # the third was dropped
    track = read_face(live_link(tmp_path / "face.csv", actions, codes))
    assert torch.allclose(track.motion.actions, actions, atol=1e-5)
    assert torch.allclose(track.seconds * 60, torch.tensor([0.0, 1, 2, 4], dtype=torch.float64), atol=1e-6)
    assert track.parts == {"actions", "gaze"} and not track.notes


def test_the_rate_is_counted_where_a_recording_is_long(tmp_path: Path):
    codes = [f"01:00:{i // 30:02d}:{i % 30:02d}.000" for i in range(100)]
    track = read_face(live_link(tmp_path / "face.csv", torch.zeros(100, 52), codes))
    assert track.fps == pytest.approx(30, rel=1e-3)


def test_past_midnight(tmp_path: Path):
    track = read_face(live_link(tmp_path / "face.csv", torch.zeros(2, 52), ["23:59:59:59.0", "00:00:00:00.0"]))
    assert float(track.seconds[1]) == pytest.approx(1 / 60)


def test_gaze_from_the_eye_look_actions():
    yaw, pitch = torch.tensor([20.0, -30.0, 0.0]), torch.tensor([10.0, 0.0, -25.0])
    gaze = torch.rad2deg(gaze_of_actions(looking(yaw, pitch)))
    assert torch.allclose(gaze, torch.stack([yaw, pitch, yaw, pitch], -1), atol=1e-4)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_eye_angles_take_the_sign_that_agrees_with_the_actions(sign: float, tmp_path: Path):
    yaw, pitch = torch.tensor([20.0, -15.0]), torch.tensor([10.0, -12.0])
    true = torch.deg2rad(torch.stack([yaw, pitch, yaw, pitch], -1))
    angles = torch.zeros(2, 9)
    angles[:, [3, 4, 6, 7]] = true * torch.tensor([sign, -sign, sign, -sign])
    file = live_link(tmp_path / "face.csv", looking(yaw, pitch), ["00:00:00:00.0", "00:00:00:01.0"], angles)
    track = read_face(file, gaze="angles")
    assert torch.allclose(track.motion.gaze, true, atol=1e-5) and "head angles" in track.notes[0]
    assert torch.allclose(read_face(file).motion.gaze, true, atol=1e-4)
    assert "gaze" not in read_face(file, gaze="none").parts
    assert len(ANGLES) == 9


MEDIAPIPE = ["_neutral", *(name for name in ACTIONS if name != "tongueOut")]


def categories(values: torch.Tensor, key: str) -> list[dict]:
    scores = {"_neutral": 0.01} | dict(zip(ACTIONS, values.tolist()))
    return [{"index": i, "score": scores[name], key: name, "displayName": ""} for i, name in enumerate(MEDIAPIPE)]


@pytest.mark.parametrize("nesting", ["python", "browser", "plain", "with times"])
def test_mediapipe_json(nesting: str, tmp_path: Path):
    actions = torch.rand(3, 52, generator=torch.Generator().manual_seed(1))
    actions[:, ACTIONS.index("tongueOut")] = 0
    if nesting == "python":  # a list of faces a frame, as face_blendshapes is
        data = {"fps": 25, "frames": [{"face_blendshapes": [categories(row, "category_name")]} for row in actions]}
    elif nesting == "browser":
        data = [{"faceBlendshapes": [{"categories": categories(row, "categoryName"), "headIndex": -1}]} for row in actions]
    elif nesting == "plain":
        data = [dict(zip(ACTIONS, row.tolist())) for row in actions]
    else:
        data = [{"timestampMs": 1000 + 40 * i, "blendshapes": categories(row, "categoryName")}
                for i, row in enumerate(actions)]  # fmt: skip
    (tmp_path / "face.json").write_text(json.dumps(data))
    track = read_face(tmp_path / "face.json", fps=25)
    assert torch.allclose(track.motion.actions, actions, atol=1e-6) and track.fps == pytest.approx(25)
    assert any("tongueOut" in note for note in track.notes) == (nesting != "plain")
    assert any("no times" in note for note in track.notes) == (nesting in ("browser", "plain"))


def test_mediapipe_csv_with_a_foreign_column(tmp_path: Path):
    lines = ["timestamp_ms,_neutral,jaw_open,eyeBlinkLeft,confidence", "0,0.1,0.5,0,0.9", "50,0.1,0.25,1,0.9"]
    (tmp_path / "face.csv").write_text("\n".join(lines))
    track = read_face(tmp_path / "face.csv")
    assert track.motion.actions[:, ACTIONS.index("jawOpen")].tolist() == [0.5, 0.25] and track.fps == pytest.approx(20)
    assert "left at zero: browDownLeft" in track.notes[0] and track.notes[1].endswith("left aside: confidence")
    assert "leaves the gaze alone" in track.notes[2] and track.parts == {"actions"}


WRONG = {
    "nothing of a face": ("a,b\n1,2\n", "none of the 52"), "percent": ("jawOpen\n80\n", "goes from 80 to 80"),
    "nan": ("jawOpen\nnan\n", "not finite"), "words": ("jawOpen\nwide\n", "no number"), "empty": ("jawOpen\n", "no rows"),
    "short line": ("jawOpen,mouthClose\n1\n", "1 cells where"), "twice": ("jawOpen,JawOpen\n1,1\n", "twice"),
    "timecode": ("Timecode,jawOpen\nnoon,1\n", "hours:minutes"), "backwards": ("time,jawOpen\n1,0\n0,0\n", "do not rise"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_csv_says_what_is_wrong(what: str, tmp_path: Path):
    text, words = WRONG[what]
    (tmp_path / "face.csv").write_text(text)
    with pytest.raises(ValueError, match=words):
        read_face(tmp_path / "face.csv")


def test_other_files_and_json_of_other_layouts(tmp_path: Path):
    for text, words in (("{", "no JSON"), ("{}", "list of frames"), ('[{"faceBlendshapes": []}]', "none of the 52"),
                        ('[{"faceBlendshapes": [1, 2]}]', "no list of categories")):  # fmt: skip
        (tmp_path / "face.json").write_text(text)
        with pytest.raises(ValueError, match=words):
            read_face(tmp_path / "face.json")
    with pytest.raises(ValueError, match="missing"):
        read_face(tmp_path / "none.csv")
    with pytest.raises(ValueError, match="kind that is not read"):
        read_face(tmp_path / "face.fbx")
    with pytest.raises(ValueError, match="choose one of"):
        read_face(tmp_path / "face.json", gaze="nose")


def test_no_eye_angles_to_take(tmp_path: Path):
    file = live_link(tmp_path / "face.csv", torch.zeros(1, 52), ["00:00:00:00.0"])
    with pytest.raises(ValueError, match="no eye angles"):
        read_face(file, gaze="angles")
    assert math.isclose(float(read_face(file).seconds[0]), 0)
