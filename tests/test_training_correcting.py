"""The correction branch by itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lca_mini.body import load_body
from lca_mini.cli import main
from lca_mini.config import preset
from lca_mini.data.people import cast_of
from lca_mini.model import load, save_checkpoint
from lca_mini.model.lca import build
from lca_mini.training import CorrectingSettings, train_correcting
from lca_mini.training.alone import Latest, from_each
from lca_mini.training.correcting import APART, AT_A_TIME, Correcting, not_followed, sometimes_apart
from lca_mini.training.faces import EYES
from lca_mini.training.loop import random_model
from lca_mini.types import GaussianOffsets

SMALL = {"people": 2, "references": 2, "moments": 4, "device": "cpu"}


@torch.no_grad()
def share_not_followed(lesson: Correcting, seed: int) -> float:
    """Of the motion of faces, by the model as it is, in the studio."""
    losses = lesson.loss(lesson.part(lesson.model), torch.Generator().manual_seed(seed))
    return float(losses["studio"])


def test_corrections_alone_learn_how_faces_move(tmp_path: Path) -> None:
    settings = CorrectingSettings(out=str(tmp_path / "a"), preset="nano", films=4, echo=1000, **SMALL)
    made = train_correcting(settings)
    assert made["stage"] == "correcting" and made["pictures"] == 8 and set(made["loss"]) == {"studio", "wild"}
    new, taught = random_model(preset("nano"), 0), load(tmp_path / "a", trainable=True)
    lessons = [Correcting(settings, model) for model in (new, taught)]
    for lesson in lessons:
        lesson.film(cast_of("train")(torch.tensor([0, 1])), "studio")  # the people of the first film
    before, after = (share_not_followed(lesson, 0) for lesson in lessons)
    assert before == pytest.approx(1, abs=0.05), "no corrections yet"
    assert after < 0.6 * before, "faces that were met hundreds of times must be followed better"
    train_correcting(CorrectingSettings(out=str(tmp_path / "b"), init=str(tmp_path / "a"), films=1, **SMALL))
    one, two = (load(tmp_path / name).state_dict() for name in "ab")
    assert {name.split(".")[0] for name in one if not torch.equal(one[name], two[name])} == {"correction_branch"}


def test_half_of_the_faces_move_one_thing_at_a_time() -> None:
    both_lids = torch.zeros(400, 3, 52)
    both_lids[..., :2] = 0.5
    faces = sometimes_apart(both_lids, torch.Generator().manual_seed(0))
    kept = (faces == both_lids).all(-1)
    assert kept.float().mean() == pytest.approx(1 - APART, abs=0.05)
    apart = faces[~kept]
    assert 0 <= float(apart.min()) and float(apart.max()) <= 1
    assert (apart > 0).sum(-1).float().mean() == pytest.approx(AT_A_TIME, rel=0.1)
    one_lid = (apart[:, :2] > 0).sum(-1) == 1
    assert one_lid.float().mean() == pytest.approx(2 * AT_A_TIME / 52, rel=0.3)


def test_all_but_the_motion_of_faces_is_held() -> None:
    model = random_model(preset("nano"), 0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        out = model.correction_branch.out
        out.weight.copy_(0.1 * torch.randn(out.weight.shape, generator=generator))
    lesson = Correcting(CorrectingSettings(out="", films=1, **SMALL), model)
    lesson.film(cast_of("train")(torch.arange(2)), "studio")
    same = share_not_followed(lesson, 1)
    per_anchor = model.config.gaussians_per_anchor
    with torch.no_grad():
        out.bias.view(per_anchor, 13)[:, 10:] += 0.5  # other colours
    assert share_not_followed(lesson, 1) > same + 0.01
    with torch.no_grad():
        out.bias.view(per_anchor, 13)[:, 10:] -= 0.5
    assert share_not_followed(lesson, 1) == pytest.approx(same, rel=1e-4)
    weights, watched = model.anchors.skin_weights[:, EYES].sum(1), len(lesson.true_motion.watched) * per_anchor
    count = len(lesson.eyeballs) * per_anchor
    assert count and float(weights[lesson.eyeballs].min()) > 0.5 and float(weights[lesson.others].max()) <= 0.5

    def share_when_brighter(first: int) -> float:
        def brighter(module: Any, signal: Any, said: GaussianOffsets) -> GaussianOffsets:
            colors = said.colors.clone()
            colors[:, :, first : first + count] += 0.01
            return replace(said, colors=colors)

        part = lesson.part(model)
        part.register_forward_hook(brighter)
        with torch.no_grad():
            return float(lesson.loss(part, torch.Generator().manual_seed(1))["studio"]) - same

    elsewhere = share_when_brighter(watched + count)
    assert elsewhere > 0 and share_when_brighter(watched) > 1.5 * elsewhere, "eyeballs are few, and held by themselves"


def test_small_actions_count_as_much_as_large_ones() -> None:
    true = torch.randn(1, 2, 50, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1e-2, 1e-3])[:, None, None]
    counts = torch.ones(1, 1, 50, 1)
    for still in (0, 1):
        means = true.clone()
        means[:, still] = 0
        assert float(not_followed(means, true, counts)) == pytest.approx(0.5, abs=0.01)
    assert float(not_followed(true + 1e-5, true, counts)) < 1e-3
    assert float(not_followed(torch.zeros_like(true), 1e-3 * true, counts)) < 0.1, "next to nothing is not to be followed"


def test_rows_of_a_world_stay_together() -> None:
    people = {world: Latest(3) for world in ("studio", "wild")}
    for world, sign in (("studio", 1), ("wild", -1)):
        for first in (1, 3):  # two at a time, where three have room: the first goes
            rows = sign * torch.arange(first, first + 2)
            people[world].add(rows, 10.0 * rows)
    seen = set()
    for seed in range(20):
        rows, tens, where = from_each(people, 6, torch.Generator().manual_seed(seed))
        assert torch.equal(10.0 * rows, tens) and where == {"studio": slice(0, 3), "wild": slice(3, 6)}
        assert (rows[where["studio"]] > 0).all() and (rows[where["wild"]] < 0).all()
        seen |= set(rows.tolist())
    assert seen == {2, 3, 4, -2, -3, -4}


def test_what_cannot_be_corrected_is_refused_in_a_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    single = build(replace(preset("nano"), dual_branch=False), load_body(num_betas=preset("nano").num_betas))
    save_checkpoint(single, tmp_path / "model.safetensors", {})
    asked = ["train-corrections", "--films", "1", "--device", "cpu"]
    assert main([*asked, "--init", str(tmp_path), "--out", str(tmp_path / "a")]) == 2
    assert "single branch" in capsys.readouterr().err
    assert main([*asked, "--moments", "0", "--out", str(tmp_path / "b")]) == 2
    assert "moments is 0" in capsys.readouterr().err
