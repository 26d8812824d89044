"""Bad input through the command line: one sentence, exit code 2, nothing written. And what good input prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lca_mini import build, load_body, preset
from lca_mini.cli import main
from lca_mini.model import save_checkpoint


@pytest.fixture(scope="session")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of an untrained nano model."""
    path = tmp_path_factory.mktemp("weights") / "nano.safetensors"
    save_checkpoint(build(preset("nano"), load_body()), path, {"commit": "test"})
    return path


def cut_out(path: Path, size: tuple[int, int] = (96, 128)) -> Path:
    """A picture with alpha: a coloured block on nothing."""
    pixels = np.zeros((size[1], size[0], 4), np.uint8)
    pixels[size[1] // 8 : -size[1] // 8, size[0] // 4 : -size[0] // 4] = (180, 90, 60, 255)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with two good pictures."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in "ab":
        cut_out(folder / f"{name}.png")
    return folder


def empty_folder(folder: Path) -> str:
    for file in folder.iterdir():
        file.unlink()
    return "holds no picture"


def text_named_png(folder: Path) -> str:
    (folder / "c.png").write_text("I am not a picture")
    return "c.png' is not a picture"


def truncated_jpeg(folder: Path) -> str:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (128, 96, 3), np.uint8)).save(folder / "c.jpg")
    Image.new("L", (96, 128), 255).save(folder / "c_mask.png")
    data = (folder / "c.jpg").read_bytes()
    (folder / "c.jpg").write_bytes(data[: len(data) // 2])
    return "c.jpg' is cut off"


def eight_by_eight(folder: Path) -> str:
    cut_out(folder / "c.png", (8, 8))
    return "8 x 8"


def mask_of_another_size(folder: Path) -> str:
    Image.new("L", (64, 64), 255).save(folder / "a_mask.png")
    return "make them the same size"


def empty_mask(folder: Path) -> str:
    Image.new("L", (96, 128), 0).save(folder / "a_mask.png")
    return "is empty"


def seventeen(folder: Path) -> str:
    for i in range(15):
        cut_out(folder / f"more{i}.png")
    return "17 pictures"


def no_folder(folder: Path) -> str:
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    return "no folder"


def refuse(capsys: pytest.CaptureFixture, argv: list[str], words: str) -> None:
    """The command line ends with code 2 and one sentence that has these words."""
    assert main(argv) == 2
    said = capsys.readouterr().err.split("\r")[-1].splitlines()
    assert len(said) == 1 and said[0].startswith("lca-mini: ") and words in said[0], said


PICTURES = (
    empty_folder, text_named_png, truncated_jpeg, eight_by_eight, mask_of_another_size, empty_mask, seventeen, no_folder,
)  # fmt: skip


@pytest.mark.parametrize("spoil", PICTURES, ids=lambda spoil: spoil.__name__)
def test_bad_pictures(spoil, pictures: Path, tmp_path: Path, nano: Path, capsys):
    words = spoil(pictures)
    refuse(capsys, ["demo", "--images", str(pictures), "--weights", str(nano), "--out", str(tmp_path / "out")], words)
    assert sorted(p.name for p in tmp_path.iterdir()) in (["pictures"], [])


def write_motion(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


def test_bad_motion(pictures: Path, tmp_path: Path, nano: Path, capsys):
    pose = np.zeros((9, 165), np.float32)
    spoiled = pose.copy()
    spoiled[3, 7] = np.nan
    (tmp_path / "cut.npz").write_bytes(write_motion(tmp_path / "whole.npz", poses=pose).read_bytes()[:200])
    cases = {
        write_motion(tmp_path / "nan.npz", poses=spoiled): "not finite (NaN",
        write_motion(tmp_path / "shape.npz", poses=pose[:, :160]): "not [9 165]",
        write_motion(tmp_path / "length.npz", poses=pose, trans=np.zeros((8, 3))): "same number of frames",
        write_motion(tmp_path / "nothing.npz", other=pose): "has no pose",
        tmp_path / "cut.npz": "damaged",
        tmp_path / "missing.npz": "missing",
    }
    before = sorted(tmp_path.iterdir())
    for motion, words in cases.items():
        refuse(capsys, ["demo", "--images", str(pictures), "--weights", str(nano), "--motion", str(motion),
                        "--out", str(tmp_path / "out")], words)  # fmt: skip
    assert sorted(tmp_path.iterdir()) == before


def test_bad_weights(pictures: Path, tmp_path: Path, nano: Path, capsys):
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(nano.read_bytes()[:-1000])
    start = ["demo", "--images", str(pictures), "--out", str(tmp_path / "out"), "--weights"]
    refuse(capsys, [*start, str(cut)], "cut off")
    refuse(capsys, [*start, str(nano), "--preset", "mini"], "is of preset 'nano', not 'mini'")
    refuse(capsys, [*start, str(tmp_path / "none.safetensors")], "no checkpoint")
    assert not (tmp_path / "out").exists()


def test_unwritable_output_is_found_before_any_work(tmp_path: Path, capsys):
    (tmp_path / "file").write_text("in the way")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        refuse(capsys, ["demo", "--images", "no such folder", "--out", str(out)], "cannot write into")
        refuse(capsys, ["eval", "--split", "test-wild", "--weights", "none", "--out", str(out)], "cannot write into")
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_permission(tmp_path: Path, capsys):
    tmp_path.chmod(0o500)
    refuse(capsys, ["demo", "--out", str(tmp_path)], "cannot write into")
    tmp_path.chmod(0o700)


@pytest.mark.parametrize("argv", [
    ["demo", "--size", "8"], ["demo", "--frames", "0"], ["demo", "--fps", "0"],
    ["train", "pretrain", "--out", "unused", "--steps", "0"], ["train", "posttrain", "--out", "unused", "--steps", "3"],
    ["eval", "--split", "test-wild", "--weights", "nowhere.safetensors"],
    ["bench", "render", "--gaussians", "0"],
])  # fmt: skip
def test_bad_numbers(argv: list[str], capsys):
    refuse(capsys, argv, "")
    assert not Path("unused").exists()


@pytest.mark.parametrize("argv", [[], ["dance"], ["demo", "--size", "big"], ["demo", "--no-such-option"], ["eval"]])
def test_words_that_make_no_command(argv: list[str], capsys):
    assert main(argv) == 2
    assert capsys.readouterr().err


@pytest.mark.parametrize("command", ["demo", "train", "eval", "bench"])
def test_help_teaches(command: str, capsys):
    assert main([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.count("--") > 4 and "default" in out


def test_bench_prints_json_last(capsys):
    assert main(["bench", "render", "--backend", "cpu", "--gaussians", "500", "--size", "64", "--repeats", "3"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {"ms_median", "ms_p95", "fps", "device", "backend"} <= result.keys() and result["backend"] == "cpu"


def test_as_a_process(tmp_path: Path):
    command = [sys.executable, "-m", "lca_mini", "demo", "--images", str(tmp_path), "--out", str(tmp_path / "out")]
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "holds no picture" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_reader_who_leaves_is_no_error():
    command = f"{sys.executable} -m lca_mini experiment table1 --preset nano --device cpu --plan | true"
    assert subprocess.run(command, shell=True, capture_output=True, text=True).stderr == ""


def test_interruption_leaves_nothing(pictures: Path, tmp_path: Path, nano: Path, monkeypatch, capsys):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lca_mini.studio.Studio.film", interrupted)
    out = tmp_path / "new" / "out"
    assert main(["demo", "--images", str(pictures), "--weights", str(nano), "--out", str(out)]) == 130
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pictures"]


def test_eval_prints_json_last(tmp_path: Path, nano: Path, capsys):
    out = tmp_path / "results"
    assert main(["eval", "--split", "test-wild", "--weights", str(nano), "--people", "1", "--views", "1", "--images", "2",
                 "--batch", "1", "--lpips", "lpips-random-alex", "--out", str(out)]) == 0  # fmt: skip
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {"psnr", "ssim", "l1", "lpips", "lpips_kind", "baseline_psnr"} <= result.keys()
    name = "test-wild_2"  # of pictures; eight and one do not overwrite each other
    assert json.loads((out / f"{name}.json").read_text()) == result and (out / f"{name}.png").is_file()


def test_train_runs_from_the_command_line(tmp_path: Path, capsys):
    out = tmp_path / "run"
    assert main(["train", "pretrain", "--preset", "nano", "--steps", "1", "--batch", "1", "--references", "1", "--targets",
                 "1", "--people", "1", "--device", "cpu", "--perceptual", "lpips-random-alex", "--out", str(out)]) == 0  # fmt: skip
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["step"] == 1
    assert list(out.glob("*.safetensors"))
