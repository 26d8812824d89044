"""`lca-mini drive`, small: films are as long as they should be, faces go where they should, bad input is one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lca_mini.body import ACTIONS, JOINTS
from lca_mini.capture import performance
from lca_mini.cli import main
from lca_mini.demo import EXAMPLE
from lca_mini.drive import DriveSettings, run_drive, timeline
from lca_mini.export import save_video
from lca_mini.model import save_checkpoint
from lca_mini.model.avatar_file import load_avatar, save_avatar
from lca_mini.tracks.track import PARTS, Track, even_times
from lca_mini.transfer import FilmedFace, filmed_face


@pytest.fixture(scope="module")
def files(nano, avatar, tmp_path_factory) -> Path:
    """Weights, an avatar, a motion of 1 s, a face of 0.5 s, a video of 4 frames of the example."""
    folder = tmp_path_factory.mktemp("drive")
    save_checkpoint(nano, folder / "nano.safetensors", {"commit": "test"}, dtype=None)
    save_avatar(nano, avatar, folder / "me.safetensors")
    clip = performance(31, 30)
    np.savez(folder / "clip.npz", poses=clip.pose.flatten(1), trans=clip.transl, fps=30)
    rows = "\n".join(f"{i / 10},{i / 5}" for i in range(6))
    (folder / "face.csv").write_text(f"time,jawOpen\n{rows}\n")
    with Image.open(EXAMPLE / "1.png") as picture:
        over = np.array(Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB"))
    save_video([torch.from_numpy(over)] * 4, folder / "video.mp4", fps=8)
    return folder


def settings(files: Path, **more: object) -> DriveSettings:
    return DriveSettings(weights=str(files / "nano.safetensors"), size=64, fps=10, **more)


def shape_of(path: Path) -> tuple[int, ...]:
    import imageio

    return np.stack([frame for frame in imageio.get_reader(path)]).shape


def test_the_shorter_ends_the_film_and_the_json_says_what_ran(files: Path, tmp_path: Path):
    report = run_drive(files / "me.safetensors", tmp_path / "new" / "film.mp4",
                       settings(files, motion=files / "clip.npz", face=files / "face.csv"), quiet=True)  # fmt: skip
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["film.json", "film.mp4"]
    assert report == json.loads((tmp_path / "new" / "film.json").read_text())
    assert shape_of(tmp_path / "new" / "film.mp4") == (6, 64, 128, 3) and report["frames"] == 6
    assert report["notes"][0].startswith("y is up") and "tongueOut" in " ".join(report["notes"])


@pytest.mark.parametrize("face", ["video.mp4", "pictures"])
def test_pictures_of_somebody_drive(face: str, files: Path, tmp_path: Path):
    where = EXAMPLE if face == "pictures" else files / face
    report = run_drive(files / "me.safetensors", tmp_path / "film.mp4",
                       settings(files, face=where, view="face", seconds=2.5), quiet=True)  # fmt: skip
    frames = 26 if face == "pictures" else 6  # one a second; 4 frames at 8 a second, the last one shown
    assert shape_of(tmp_path / "film.mp4") == (frames, 64, 64, 3) and report["expression"] == "read off pictures"


def test_pictures_are_encoded_and_saved(files: Path, tmp_path: Path, nano):
    run_drive(None, tmp_path / "film.mp4", settings(files, motion=files / "clip.npz", view="body", seconds=0.1,
                                                    save=tmp_path / "saved" / "me.safetensors"), quiet=True)  # fmt: skip
    assert sorted(p.name for p in tmp_path.iterdir()) == ["film.json", "film.mp4", "saved"]
    assert load_avatar(nano, tmp_path / "saved" / "me.safetensors").canonical.means.shape == (1, 2048, 3)


def test_codes_of_a_crop_are_the_encoders(nano):
    with Image.open(EXAMPLE / "1.png") as picture:
        height = picture.height
    seen = filmed_face(nano, EXAMPLE / "1.png")
    assert seen.codes.shape == (1, 128) and height == 512
    assert torch.allclose(seen.codes, nano.expression_from_faces(seen.crops), atol=1e-6)
    whole = filmed_face(nano, EXAMPLE / "1.png", framing="whole")
    assert whole.crops[:, :, :4].mean() > seen.crops.mean(), "all of the picture has more white in it"


def test_timeline_of_codes_rests_the_jaw_and_blends(files: Path):
    clip = performance(21, 10)
    clip.pose[:, JOINTS.index("jaw"), 0] = 0.2
    body = Track(clip, even_times(21, 10), frozenset(PARTS))
    codes = torch.stack([torch.zeros(128), torch.ones(128)])
    filmed = FilmedFace(codes, even_times(2, 1.0), torch.zeros(2, 3, 8, 8), ())
    track, at = timeline(body, None, filmed, settings(files, face=files / "video.mp4"))
    assert len(track.seconds) == len(at) == 21 and not track.motion.pose[:, JOINTS.index("jaw")].any()
    assert torch.allclose(at[5], torch.full((128,), 0.5)) and torch.equal(at[15], torch.ones(128))
    alone, none = timeline(body, None, None, settings(files, motion=files / "clip.npz"))
    assert none is None and alone.motion.pose[3, JOINTS.index("jaw"), 0] == pytest.approx(0.2)


def test_a_recorded_face_reaches_the_actions(files: Path):
    from lca_mini.tracks import read_face

    track, _ = timeline(None, read_face(files / "face.csv"), None, settings(files, face=files / "face.csv"))
    assert track.motion.actions[:, ACTIONS.index("jawOpen")].tolist() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])


def test_an_avatar_on_disk_is_the_avatar(nano, avatar, files: Path, tmp_path: Path):
    back = load_avatar(nano, files / "me.safetensors")
    for name in ("fused_tokens", "token_features", "betas", "light"):
        assert torch.equal(getattr(back, name), getattr(avatar, name)), name
    assert torch.equal(back.canonical.colors, avatar.canonical.colors)
    from lca_mini import build, load_body, preset

    torch.manual_seed(7)
    with pytest.raises(ValueError, match="made with other weights"):
        load_avatar(build(preset("nano"), load_body()), files / "me.safetensors")
    with pytest.raises(ValueError, match="no avatar of this version"):
        load_avatar(nano, files / "nano.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((files / "me.safetensors").read_bytes()[:500])
    with pytest.raises(ValueError, match="cut off"):
        load_avatar(nano, tmp_path / "cut.safetensors")
    with pytest.raises(ValueError, match="end in .safetensors"):
        save_avatar(nano, avatar, tmp_path / "me.pt")


WRONG = [
    (["--motion", "{d}/clip.npz", "--out", "{t}/film.avi"], "must end in .mp4"),
    (["--out", "{t}/film.mp4"], "nothing to perform"),
    (["--motion", "{d}/none.npz", "--out", "{t}/film.mp4"], "missing"),
    (["--motion", "{d}/face.csv", "--out", "{t}/film.mp4"], "kind that is not read"),
    (["--face", "{d}/clip.npz", "--out", "{t}/film.mp4"], "kind that is not read"),
    (["--face", "{d}/none.mp4", "--out", "{t}/film.mp4"], "there is no face"),
    (["--face", "{t}/broken.mp4", "--out", "{t}/film.mp4"], "cannot be read"),
    (["--face", "{t}", "--out", "{t}/film.mp4"], "holds no picture of a face"),
    (["--avatar", "{d}/nano.safetensors", "--face", "{d}/face.csv", "--out", "{t}/film.mp4"], "no avatar of this version"),
    (["--avatar", "{d}/face.csv", "--face", "{d}/face.csv", "--out", "{t}/film.mp4"], "neither a folder of pictures"),
    (["--avatar", "{d}/nowhere", "--face", "{d}/face.csv", "--out", "{t}/film.mp4"], "no folder"),
    (["--face", "{d}/face.csv", "--size", "8", "--out", "{t}/film.mp4"], "size is 8"),
    (["--face", "{d}/face.csv", "--fps", "0", "--out", "{t}/film.mp4"], "fps is 0"),
    (["--face", "{d}/face.csv", "--gaze", "angles", "--out", "{t}/film.mp4"], "no eye angles"),
    (["--face", "{d}/face.csv", "--out", "{d}/face.csv/film.mp4"], "cannot write into"),
]


@pytest.mark.parametrize("argv,words", WRONG, ids=[words for _, words in WRONG])
def test_bad_input_is_one_sentence(argv: list[str], words: str, files: Path, tmp_path: Path, capsys):
    (tmp_path / "broken.mp4").write_bytes(b"no video" * 50)
    before = sorted(p.name for p in files.iterdir())
    argv = [word.format(d=files, t=tmp_path) for word in argv]
    assert main(["drive", "--weights", str(files / "nano.safetensors"), *argv]) == 2
    said = capsys.readouterr().err.split("\r")[-1].splitlines()
    assert len(said) == 1 and said[0].startswith("lca-mini: ") and words in said[0], said
    assert sorted(p.name for p in tmp_path.iterdir()) == ["broken.mp4"] and sorted(p.name for p in files.iterdir()) == before


def test_help_teaches(capsys):
    assert main(["drive", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "AMASS" in said and "Live Link Face" in said and "MediaPipe" in said and said.count("default") > 8
