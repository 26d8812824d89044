"""The expression encoder and the surface finder, each by itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from lca_mini.body import ACTIONS, MIRRORED
from lca_mini.capture.takes import Studio
from lca_mini.cli import main
from lca_mini.config import preset
from lca_mini.data.people import cast_of, film_with
from lca_mini.model import load
from lca_mini.model.surface import surface_loss, unweighed, weighed
from lca_mini.training import FindingSettings, ReadingSettings, train_finding, train_reading
from lca_mini.training.alone import Pool, from_each, turned
from lca_mini.training.loop import random_model
from lca_mini.training.reading import Reading, altered, in_mirrors


def test_the_encoder_alone_learns(tmp_path: Path) -> None:
    settings = ReadingSettings(
        out=str(tmp_path / "a"), preset="nano", films=1, people=3, close_ups=6, echo=800, lr=2e-3, device="cpu"
    )
    made = train_reading(settings)
    assert made["films"] == 1 and made["pictures"] == 18 and set(made["loss"]) == {"studio"}
    film = film_with(1, 6, 16, 64, "cpu", studio=Studio(routines=0.3))
    sample = film(cast_of("train")(torch.arange(3)), "studio")
    with torch.no_grad():
        read = load(tmp_path / "a").actions_from_faces(sample.target_faces)
    wrong, spread = (read - sample.actions).square().mean((0, 1)), sample.actions.var((0, 1))
    unexplained = (wrong / spread)[spread > 0.002].mean()
    total = (sample.actions - sample.actions.mean((0, 1))).square().sum()
    assert (read - sample.actions).square().sum() < 0.6 * total
    assert unexplained < 0.6, "faces that were met 150 times must be read better than by their mean"
    torch.manual_seed(0)
    once = train_reading(ReadingSettings(out=str(tmp_path / "b"), init=str(tmp_path / "a"), films=1, people=1, close_ups=2,
                                         echo=1, device="cpu"))  # fmt: skip
    one, two = (load(tmp_path / name).state_dict() for name in "ab")
    changed = {name.split(".")[0] for name in one if not torch.equal(one[name], two[name])}
    assert changed == {"expression_encoder"}
    assert json.loads((tmp_path / "b" / "summary.json").read_text()) == once


def test_a_pool_keeps_the_latest_with_their_actions() -> None:
    pool, generator = Pool(5), torch.Generator().manual_seed(0)
    for film in range(3):
        value = torch.arange(3.0) / 100 + film / 10
        pool.add(value.view(3, 1, 1, 1).expand(3, 3, 2, 2), value[:, None])
    faces, actions = pool.draw(200, generator)
    assert faces.shape == (5, 3, 2, 2), "no more than there are"
    seen = {round(v, 2) for _ in range(40) for v in pool.draw(5, generator)[1].flatten().tolist()}
    assert seen == {0.11, 0.12, 0.2, 0.21, 0.22}
    torch.testing.assert_close(faces[:, 0, 0, 0], actions[:, 0], atol=0.003, rtol=0)


def test_small_actions_weigh_as_much_as_large_ones() -> None:
    lesson = Reading(ReadingSettings(out="", films=1), random_model(preset("nano"), 0))
    actions, (large, small) = torch.zeros(400, 52), (ACTIONS.index(name) for name in ("jawOpen", "cheekPuff"))
    actions[:, large], actions[:, small] = torch.rand(400), 0.1 * torch.rand(400)  # variances 1/12 and 1/1200
    lesson.pools["wild"].add(torch.zeros(400, 3, 8, 8), actions)
    torch.testing.assert_close(lesson.pools["wild"].spread(), actions.var(0, unbiased=False))

    def loss(action: int, by: float) -> float:
        class Part(torch.nn.Module):
            def forward(self, faces: torch.Tensor) -> torch.Tensor:
                return off

        before, again = (torch.Generator().manual_seed(0) for _ in range(2))
        faces, drawn, _ = from_each(lesson.pools, lesson.batch, before)
        off = in_mirrors(faces, drawn, before)[1]
        off[:, action] += by
        return float(lesson.loss(Part(), again)["wild"])

    for action, spread in ((large, 12**-0.5), (small, 0.1 * 12**-0.5)):
        assert loss(action, spread) == pytest.approx(1 / 52, rel=0.2)


def test_a_mirrored_face_has_mirrored_actions() -> None:
    faces, actions = torch.rand(64, 3, 4, 6), torch.rand(64, 52)
    seen, told = in_mirrors(faces, actions, torch.Generator().manual_seed(0))
    kept = (seen == faces).flatten(1).all(1)
    assert 20 < kept.sum() < 44
    assert torch.equal(told[kept], actions[kept]) and torch.equal(seen[~kept], faces[~kept].flip(-1))
    assert torch.equal(told[~kept], actions[~kept][:, torch.tensor(MIRRORED)])


def test_norms_see_half_of_each_batch_in_each_world() -> None:
    lesson = Reading(ReadingSettings(out="", films=1), random_model(preset("nano"), 0))
    generator, seen = torch.Generator().manual_seed(0), []

    class Part(torch.nn.Module):
        def forward(self, faces: torch.Tensor) -> torch.Tensor:
            seen.append((faces.flatten(1).mean(1) > 0.5).tolist())
            return torch.full((len(faces), 52), 0.5)

    for world, value in (("studio", 0.9), ("wild", 0.1)):
        lesson.pools[world].add(torch.full((200, 3, 8, 8), value), torch.full((200, 52), value))
        assert set(lesson.loss(Part(), generator)) == set(("studio", "wild")[: len(seen)])
    assert seen == [[True] * 128, [True] * 128 + [False] * 128]


def test_alterations_keep_a_face_where_it_is() -> None:
    faces = torch.zeros(64, 3, 32, 32)
    faces[..., 12:20, 12:20] = 0.7
    seen = altered(faces, torch.Generator().manual_seed(0))
    assert not torch.equal(seen[0], seen[1]) and seen.amin() >= 0 and seen.amax() <= 1
    assert (seen[..., 14:18, 14:18].mean() - 0.7).abs() < 0.06 and seen[..., :4, :].amax() == 0


def test_every_fourth_face_is_seen_as_a_small_one() -> None:
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    stripes = (0.5 + 0.4 * (y % 4 < 2) - 0.2).expand(400, 3, -1, -1)  # two pixels wide: half is left of them at half the size
    contrast = altered(stripes, torch.Generator().manual_seed(0))[:, 1, 16:48, 16:48].std((1, 2))
    assert 70 < (contrast < 0.105).sum() < 130


def test_the_finder_alone_learns(tmp_path: Path) -> None:
    settings = FindingSettings(
        out=str(tmp_path / "a"), preset="nano", films=2, people=2, references=2, echo=400, lr=2e-3, device="cpu"
    )
    made = train_finding(settings)
    assert made["stage"] == "finding" and made["pictures"] == 16 and set(made["loss"]) == {"studio", "wild"}
    new, taught = random_model(preset("nano"), 0), load(tmp_path / "a")
    config = new.config
    film = film_with(2, 1, config.image_size, config.face_size, "cpu", studio=Studio(routines=0.3))
    sample = film(cast_of("train")(torch.arange(2)), "studio")
    with torch.no_grad():
        before, after = (float(surface_loss(model.surface_finder(sample.images), sample.surface)[0]) for model in (new, taught))
    assert after < 0.8 * before, "pictures that were met hundreds of times must be known better"
    train_finding(FindingSettings(out=str(tmp_path / "b"), init=str(tmp_path / "a"), films=1, people=1, references=1, echo=1,
                                  device="cpu"))  # fmt: skip
    one, two = (load(tmp_path / name).state_dict() for name in "ab")
    assert {name.split(".")[0] for name in one if not torch.equal(one[name], two[name])} == {"surface_finder"}


def test_places_are_turned_with_their_picture() -> None:
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    inside = ((x - 16).square() + (y - 16).square() < 100).float()
    surface = (torch.stack([x / 32, y / 32, 0 * x, torch.ones_like(x)]) * inside).expand(16, -1, -1, -1)
    by = 2 * torch.rand(16, 4, generator=torch.Generator().manual_seed(0)) - 1
    places = unweighed(turned(weighed(surface), by))
    picture = turned(surface[:, :2].repeat_interleave(4, 2).repeat_interleave(4, 3), by)  # four times as large
    small = torch.nn.functional.avg_pool2d(picture, 4)
    sure = (places[:, 3:] > 0.99).expand(-1, 2, -1, -1)
    assert (small - places[:, :2])[sure].abs().max() < 0.03 < (surface[:, :2] - places[:, :2])[sure].abs().max()


def test_bad_settings_are_refused_in_a_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["train-reader", "--out", str(tmp_path)]) == 2
    assert "give films, minutes, or both" in capsys.readouterr().err
    assert main(["train-finder", "--out", str(tmp_path), "--films", "1", "--references", "17"]) == 2
    assert "references is 17" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    for out, words in ((tmp_path / "file", "cannot be made"), (tmp_path, "holds a run already")):
        (tmp_path / "summary.json").write_text("{}")
        assert main(["train-reader", "--films", "1", "--preset", "nano", "--out", str(out)]) == 2
        assert words in capsys.readouterr().err
