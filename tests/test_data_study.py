"""The leak test finds a leak and finds none where there is none; figures for cards are drawn and stay small."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from training_fakes import fake_film

from lca_mini.cli import main
from lca_mini.data.charts import chart, counts
from lca_mini.data.people import film_with
from lca_mini.data.sheets import MOVING, crowd_sheet, moving_sheet, save_small
from lca_mini.data.study import colour_axes, leak, look_at_split, study
from lca_mini.people.splits import SPLITS

PEOPLE = 60
AXES = {"height_m": torch.linspace(1.5, 1.9, 50), "hairdo": torch.arange(50) % 3}
NAMES = {"hairdo": ("short", "long", "none")}


def leaky_film(seeds, kind):
    """Test people a little brighter on one side: invisible, but there."""
    sample = fake_film(seeds, "wild")
    brighter = torch.zeros(sample.images.shape[-1])
    brighter[:8] = 0.02 if int(seeds[0]) >= SPLITS["test-studio"] else 0.0
    return replace(sample, images=sample.images + brighter, seeds=seeds)


def test_one_population_does_not_leak():
    splits = [look_at_split(lambda s, k: fake_film(s, "wild"), "wild", split, PEOPLE)[0] for split in ("train", "test-wild")]
    found = leak(*splits)
    assert not found["leak"] and 0.3 < found["accuracy"] < found["guessing_99"][1] and found["people"] == 2 * PEOPLE


def test_a_faint_difference_is_found():
    splits = [look_at_split(leaky_film, "wild", split, PEOPLE)[0] for split in ("train", "test-wild")]
    found = leak(*splits)
    assert found["leak"] and found["accuracy"] > 0.9
    with pytest.raises(ValueError, match="as many of both"):
        leak(splits[0], splits[1][:-1])


def test_our_people_do_not_leak():
    film = film_with(1, 1, 32, 16, "cpu")
    splits = [look_at_split(film, "wild", split, 12)[0] for split in ("train", "test-wild")]
    assert splits[0].shape == (12, 3, 32, 32) and (splits[0] - splits[1]).abs().max() > 0.1
    assert not leak(*splits)["leak"]


def test_the_study_is_plain_json_and_finds_what_was_put_in():
    found = json.loads(json.dumps(study(leaky_film, PEOPLE, AXES, NAMES, quiet=True)))
    assert found["leaks"]["train against test-wild"]["leak"] and found["leaks"]["train against test-studio"]["leak"]
    assert found["axes"]["hairdo"] == {"categories": ["short", "long", "none"], "counts": [17, 17, 16]}
    assert sum(found["axes"]["height_m"]["counts"]) == 50 and abs(found["axes"]["height_m"]["mean"] - 1.7) < 1e-4
    assert len(found["masked_mean_colour"]["wild"]["variance"]) == 3 and sum(found["colours"]["wild_mean_hue"]["counts"])


def test_hues_are_where_a_painter_expects_them():
    hues = colour_axes(torch.eye(3))["mean_hue"]
    assert torch.allclose(hues, torch.tensor([0.0, 120, 240]), atol=1e-3)


def test_axes_are_counted_and_drawn():
    picture = chart(counts(AXES, NAMES))
    assert picture.dtype == torch.uint8 and picture.shape[2] == 3 and 0 < (picture < 128).float().mean() < 0.5
    with pytest.raises(ValueError, match="without a name"):
        counts({"hairdo": torch.tensor([3])}, NAMES)
    with pytest.raises(ValueError, match="not finite"):
        counts({"height_m": torch.tensor([float("nan")])})


def test_sheets_fit_into_their_bytes(tmp_path: Path):
    sheet = crowd_sheet(fake_film, "wild", 11, at_once=4)
    assert sheet.shape == (2 * 32 + 4, 8 * 32 + 7 * 4, 3)
    assert crowd_sheet(fake_film, "wild", 3, faces=True).shape == (16, 3 * 16 + 2 * 4, 3)
    noise = (torch.rand(400, 600, 3) * 255).byte()
    assert save_small(noise, tmp_path / "a.jpg", most=30_000) < 30_000
    assert Image.open(tmp_path / "a.jpg").width < 600
    assert save_small(sheet, tmp_path / "b.jpg") == (tmp_path / "b.jpg").stat().st_size
    with pytest.raises(ValueError, match="does not fit"):
        save_small(noise, tmp_path / "c.jpg", most=100)
    assert not (tmp_path / "c.jpg").exists()


def test_the_sheet_of_moving_clothes_shows_people_who_move():
    sheet = moving_sheet(32, "cpu", columns=2).float()
    assert sheet.shape == (len(MOVING) * 32 + (len(MOVING) - 1) * 4, 2 * 32 + 4, 3)
    for row in sheet.split(36):
        assert 0.05 < float((row[:32, :32] < 250).float().mean()) < 0.9
        assert float((row[:32, :32] - row[:32, 36:]).abs().mean()) > 1


def test_from_the_command_line(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr("lca_mini.data.study.described", lambda people: (AXES, NAMES))
    monkeypatch.setattr("lca_mini.data.people.film_with", lambda *sizes: lambda seeds, kind: fake_film(seeds, "wild"))
    monkeypatch.setattr("lca_mini.data.sheets.moving_sheet", lambda size, device: (torch.rand(40, 60, 3) * 255).byte())
    assert main(["data", "card", "--out", str(tmp_path / "figures"), "--people", "9", "--faces", "2"]) == 0
    assert sorted(f.name for f in (tmp_path / "figures").iterdir()) == [
        "axes.jpg", "faces-1.jpg", "moving.jpg", "studio-1.jpg", "wild-1.jpg"]  # fmt: skip
    assert main(["data", "study", "--out", str(tmp_path / "results"), "--people", "10", "--device", "cpu"]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["leaks"].keys() == {"train against test-wild", "train against test-studio"}
    assert json.loads((tmp_path / "results/data_study.json").read_text())["leaks"] == last["leaks"]
    assert main(["data", "card", "--out", str(tmp_path / "no"), "--people", "0"]) == 2 and not (tmp_path / "no").exists()
