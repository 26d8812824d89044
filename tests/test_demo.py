"""The main job, small: everything is written, the avatar moves, and cameras see what they should."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lca_mini import load_body, render
from lca_mini.body import eye_gaze, gaze_pose
from lca_mini.capture import turntable
from lca_mini.demo import EXAMPLE, DemoSettings, run_demo
from lca_mini.driving import (
    body_cameras, driving_signal, face_cameras, hand_cameras, posed_joints, steady, with_face,
)  # fmt: skip
from lca_mini.export import load_ply
from lca_mini.model import save_checkpoint


@pytest.fixture(scope="module")
def made(nano, tmp_path_factory) -> Path:
    """The folder that a small demo of the packaged pictures writes."""
    folder = tmp_path_factory.mktemp("demo")
    save_checkpoint(nano, folder / "nano.safetensors", {"commit": "test"})
    settings = DemoSettings(weights=str(folder / "nano.safetensors"), size=96, frames=10, turn_frames=8)
    report = run_demo(None, folder / "out", settings, quiet=True)
    assert report == json.loads((folder / "out" / "report.json").read_text())
    return folder / "out"


def frames_of(path: Path) -> np.ndarray:
    import imageio

    return np.stack([frame for frame in imageio.get_reader(path)])


def test_all_files_are_there_and_nothing_else(made: Path):
    files = {file.name for file in made.iterdir()}
    assert files == {"turntable.mp4", "performance.mp4", "contact_sheet.png", "avatar.ply", "report.json"}


def test_videos_have_their_frames_and_show_somebody(made: Path):
    turn, play = frames_of(made / "turntable.mp4"), frames_of(made / "performance.mp4")
    assert turn.shape == (8, 96, 96, 3) and play.shape == (10, 96, 192, 3)
    assert (turn[0].min(-1) < 180).mean() > 0.03, "nobody in the turntable"
    assert (play[0][:, 96:].min(-1) < 180).mean() > 0.2, "no face beside the body"
    assert np.abs(turn[0].astype(int) - turn[2]).max() > 60, "the person does not turn"


def test_sheet_and_avatar(made: Path, avatar):
    with Image.open(made / "contact_sheet.png") as sheet:
        assert sheet.width > 2000 and sheet.height > 1200
    gaussians = load_ply(made / "avatar.ply")
    assert gaussians.means.shape == avatar.canonical.means.shape[1:]


def test_report_says_what_ran(made: Path):
    report = json.loads((made / "report.json").read_text())
    assert report["weights"]["preset"] == "nano" and report["backend"] in ("cpu", "gsplat") and report["gaussians"] == 2048
    assert report["ms"]["encoding"] > 0 and report["ms_per_frame"]["turntable"] > 0
    assert report["body"] == load_body().name and report["versions"]["torch"] == torch.__version__.split("+")[0]
    assert len(report["pictures"]) == 8


def test_the_packaged_pictures_are_eight_cut_outs():
    files = sorted(EXAMPLE.glob("*.png"))
    assert len(files) == 8
    for file in files:
        with Image.open(file) as picture:
            alpha = np.array(picture.getchannel("A"))
            assert picture.size == (512, 512) and 0.03 < (alpha > 127).mean() < 0.9


def test_gaze_is_read_off_the_eyes():
    gaze = torch.empty(50, 4, dtype=torch.float64).uniform_(-0.6, 0.6)
    assert torch.allclose(eye_gaze(gaze_pose(gaze)), gaze, atol=1e-9)


def test_faces_by_name_and_by_action():
    calm = turntable(2)
    smile, same = with_face(calm, "smile"), with_face(calm, {"mouthSmileLeft": 0.8})
    assert smile.actions.sum() > same.actions.sum() > 0 and torch.equal(smile.pose, calm.pose)
    left = with_face(calm, "neutral", gaze=(20, -10))
    assert torch.allclose(torch.rad2deg(left.gaze[0]), torch.tensor([20.0, -10.0, 20.0, -10.0]))
    for face in ("grin", {"smile": 1.0}):
        with pytest.raises(ValueError, match="choose"):
            with_face(calm, face)


def test_nan_never_reaches_the_model(nano):
    clip = turntable(3)
    clip.pose[1, 5, 0] = torch.nan
    with pytest.raises(ValueError, match="pose holds values that are not finite"):
        driving_signal(nano, clip[None])


def projected(joints: torch.Tensor, cameras) -> torch.Tensor:
    seen = joints @ cameras.viewmats[..., :3, :3].mT + cameras.viewmats[..., None, :3, 3]
    pixels = seen @ cameras.Ks.mT
    return pixels[..., :2] / pixels[..., 2:]


def test_cameras_see_body_face_and_hands(nano, avatar):
    signal = driving_signal(nano, turntable(6)[None])
    joints = posed_joints(nano, avatar, signal)
    ahead = torch.zeros(1)
    body = projected(joints, body_cameras(joints, ahead, 200)[:, :, 0])
    assert body.min() > 0 and body.max() < 200
    assert (body[..., 15, 1] < body[..., 10, 1]).all(), "upside down"
    face = projected(joints[..., 23:25, :], face_cameras(joints, ahead, 200)[:, :, 0])
    assert (face - 100).abs().max() < 45 and (face[..., 0, 0] > face[..., 1, 0]).all(), "the left eye is on the right"
    hand = projected(joints[..., 25:40, :], hand_cameras(joints, ahead, 200, "left")[:, :, 0])
    assert hand.min() > 0 and hand.max() < 200


def test_posed_joints_follow_the_gaussians(nano, avatar):
    still, moved = turntable(1), turntable(1)
    moved.transl[:] += torch.tensor([0.3, -0.1, 0.2])
    signals = [driving_signal(nano, clip[None]) for clip in (still, moved)]
    a, b = (posed_joints(nano, avatar, s) for s in signals)
    assert torch.allclose(b - a, torch.tensor([0.3, -0.1, 0.2]).expand_as(a), atol=1e-6)
    means = [nano.drive(avatar, s).means for s in signals]
    assert torch.allclose(means[1] - means[0], b[:, :, :1] - a[:, :, :1], atol=1e-5)


def test_steady_leaves_a_resting_body_and_calms_a_moving_one():
    joints = torch.randn(1, 1, 55, 3).expand(1, 20, 55, 3)
    assert torch.allclose(steady(joints, 7), joints, atol=1e-6)
    shaking = torch.randn(1, 40, 55, 3, generator=torch.Generator().manual_seed(0))
    assert steady(shaking, 9).std() < 0.5 * shaking.std()


def test_a_driven_avatar_is_seen_by_its_cameras(nano, avatar):
    signal = driving_signal(nano, turntable(2)[None])
    cameras = body_cameras(posed_joints(nano, avatar, signal), torch.tensor([0.0, 1.5]), 64)
    alphas = render(nano.drive(avatar, signal), cameras).alphas
    assert alphas.shape == (1, 2, 2, 64, 64, 1)
    assert (alphas.mean((2, 3, 4, 5)) > 0.05).all() and alphas[..., :2, :, :].max() < 0.01


def test_the_lines_of_python_in_the_readme_run(tmp_path: Path, monkeypatch):
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    block = readme.split("```python\n")[1].split("```")[0]
    assert sum(bool(line) for line in block.splitlines()) == 12
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(block, names)
    assert names["rendering"].colors.shape == (1, 6, 1, 512, 512, 3)
    assert (names["rendering"].alphas.mean((0, 2, 3, 4, 5)) > 0.03).all()
