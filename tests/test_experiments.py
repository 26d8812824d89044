"""Experiments: rows cost alike, runs are shared and go on where they stopped, claims are judged by their intervals."""

from __future__ import annotations

import importlib
import json
import math
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from model_tiny import tiny_model
from safetensors.torch import load_file
from training_fakes import fake_cast, fake_film

from lca_mini.cli import main as lca_mini
from lca_mini.experiments import Budget, all_tables, describe, run_experiment, table_of
from lca_mini.experiments import __main__ as door
from lca_mini.experiments import run as running
from lca_mini.experiments.plans import EXPERIMENTS, Claim, plan_of
from lca_mini.experiments.run import Clock, OutOfTime
from lca_mini.experiments.tables import markdown, verdicts
from lca_mini.experiments.tokens import apart, compare_tokens, fused, pca
from lca_mini.model.checkpoint import ANCHORS, find_files
from lca_mini.training import loop
from lca_mini.training.perceptual import perceptual

evaluation = importlib.import_module("lca_mini.training.evaluate")  # the package has a function of this name
TOY = Budget("nano", people_seen=8, seeds=1, device="cpu", test_people=2, views=1, lpips="lpips-random-alex",
             batch=2, learning=(("references", 4), ("targets", 2), ("ema", 0.0)))  # fmt: skip


@pytest.fixture(scope="module")
def net():
    """Making one takes seconds."""
    return perceptual("lpips-random-alex")


@pytest.fixture(autouse=True)
def small(monkeypatch, net):
    """Tiny models on people of noise."""
    monkeypatch.setattr(evaluation, "perceptual", lambda name, device: net)

    def with_weights(model, path):
        tensors = {name: t for name, t in load_file(find_files(path)[0]).items() if name not in ANCHORS}
        model.load_state_dict(tensors)
        return model

    def make(settings):
        model = tiny_model(settings.seed, dual_branch=settings.dual_branch)
        return (with_weights(model, settings.init) if settings.init else model).train()

    def loaded(path, device="cpu", expect_preset="nano"):
        if expect_preset != "nano":
            raise ValueError("of preset nano")
        if path == "mini":  # stands for any that are there
            return tiny_model(0).eval()
        summary = json.loads((path / "summary.json").read_text())
        return with_weights(tiny_model(dual_branch=summary["settings"]["dual_branch"]), path).eval()

    monkeypatch.setattr(loop, "make_model", make)
    monkeypatch.setattr(running, "load", loaded)


def go(name, folder, **changes):
    asked = {"budget": TOY, "runs": folder / "runs", "out": folder / "results", "film": fake_film, "cast": fake_cast}
    return run_experiment(name, **{**asked, **changes})


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_rows_see_equally_many_people_and_two_seeds_each(name):
    budget = Budget("mini", people_seen=10_000)
    for row in plan_of(name, budget).rows:
        assert len(row.runs) == (0 if row.method != "model" else 1 if name == "tokens" else 2)
        if name != "tokens":
            assert all(abs(sum(run.people for run in final.chain) - 10_000) <= 32 for final in row.runs), row.name
        assert [run.settings.seed for run in row.runs] == list(range(len(row.runs)))


def test_what_is_alike_is_trained_once():
    plans = {name: plan_of(name, Budget()) for name in EXPERIMENTS}
    both = {run.name for run in plans["table1"].rows[3].runs}
    for name, row in (("table2", 0), ("table3", -1), ("s1", 0)):
        assert {run.name for run in plans[name].rows[row].runs} == both
    assert plans["tokens"].rows[1].runs[0].name in both
    pre = {row.runs[0].after.name for row in (plans["s1"].rows[i] for i in (0, 2, 3))}
    assert len(pre) == 1 and len({row.runs[0].name for row in plans["s1"].rows}) == 4
    assert plans["s1"].rows[1].runs[0].after.name not in pre
    every = {run.name: run for plan in plans.values() for run in plan.runs}
    assert len(every) == 2 * (3 + 2 + 2 + 2 * 3 + 2 + 2)  # table1, both, lhm, smaller crowds, single branch, two gammas
    trained = set()
    for run in plans["table3"].runs:
        assert run.after is None or run.after.name in trained
        trained.add(run.name)


def test_the_kinds_of_training_are_those_of_the_paper():
    rows = {row.name: row.runs[0] for name in ("table1", "s1") for row in plan_of(name, Budget()).rows}
    assert [rows[name].settings.kind for name in ("pre only", "post only", "mixed")] == ["wild", "studio", "mixed"]
    last = rows["pre then post"]
    assert (last.settings.kind, last.settings.decay, last.settings.studio_people) == ("studio", 0.65, 91)
    assert last.settings.schedule == "cosine" and last.after.settings.schedule == "constant", "the rate falls once"
    assert (last.after.settings.kind, last.after.settings.decay) == ("wild", 1.0)
    assert rows["gamma 1.0: one rate for all layers"].settings.decay == 1.0
    assert rows["gamma 0.0: only the heads learn"].settings.decay == 0.0
    peer = plan_of("table2", Budget()).rows[1].runs[0]
    for settings in (peer.settings, peer.after.settings):
        assert not settings.face_crops and settings.config.fusion == "cross" and not settings.config.finder_channels
    crowd = [row.runs[0].after.settings.people for row in plan_of("table3", Budget()).rows]
    assert crowd == [100, 1_000, 10_000, 100_000]


def test_a_row_of_table_3_says_how_many_people_it_meets():
    for budget, names in ((Budget(), ["100", "1,000", "10,000", "25,024"]),  # 782 steps, echo 3
                          (Budget(people_seen=600_000), ["100", "1,000", "10,000", "100,000"]),
                          (Budget("nano"), ["100", "1,000", "8,992"]), (Budget("nano", 40), ["32"])):  # fmt: skip
        rows = plan_of("table3", budget).rows
        assert [row.name for row in rows] == [f"{name} people" for name in names]
        assert all(f"{run.chain[0].met:,} people" == row.name for row in rows for run in row.runs)


def test_a_table_in_pieces_is_the_table_at_once(tmp_path):
    whole = go("s1", tmp_path / "whole", minutes_at_once=0.0)
    pieces = [go("s1", tmp_path / "cut", minutes_at_once=1e-4)]
    while not pieces[-1]["complete"]:
        pieces.append(go("s1", tmp_path / "cut", minutes_at_once=1e-4))
        assert len(pieces) < 60
    assert whole["complete"] and len(pieces) > 4
    assert len(whole["rows"]) == 4 * 2 and len(whole["claims"]) == 3 * 2
    assert pieces[-1]["rows"] == whole["rows"] and pieces[-1]["claims"] == whole["claims"]
    assert not list((tmp_path / "cut" / "runs").rglob("state.safetensors"))
    stored = json.loads((tmp_path / "cut" / "results" / "s1_nano.json").read_text())
    assert stored == pieces[-1] and {"command", "commit", "device", "budget"} <= stored.keys()
    text = table_of("s1", tmp_path / "cut" / "results", "nano")
    assert text.count("| test-wild |") == 4 + 3 and "Not complete" not in text
    assert "\n\nof another plan\n\n| split" in markdown(stored | {"note": "of another plan"})
    again = time.monotonic()
    assert go("s1", tmp_path / "cut")["rows"] == whole["rows"] and time.monotonic() - again < 2


def test_trained_weights_beside_peers(tmp_path, monkeypatch):
    other = tiny_model(1).eval()  # in the peers' place: they have tests of their own
    monkeypatch.setattr(running, "measure", lambda peer, body, config, split, **words: running.evaluate(other, split, **words))
    monkeypatch.setattr(running.Peer, "prepare", lambda peer, *given: None)
    made = go("peers", tmp_path)
    assert made["complete"] and len(made["rows"]) == 6 * 2 and len(made["claims"]) == 4 * 2
    assert not list((tmp_path / "runs").glob("nano-*")), "nothing was trained"
    ours = made["rows"][0]
    assert (ours["row"], ours["method"], ours["people_seen"]) == ("ours, 8 images", "weights", 0)
    assert "people seen" not in markdown(made).splitlines()[0] and ": mini**" in markdown(made)
    monkeypatch.setattr(running, "find_files", lambda path: [Path(__file__)])  # other weights
    go("peers", tmp_path)
    assert len(list((tmp_path / "runs" / "scores").glob("weights-*"))) == 2 * 4, "what others scored is not theirs"
    with pytest.raises(ValueError, match="preset"):
        go("peers", tmp_path, budget=replace(TOY, preset="mini"))


def test_processes_share_the_work_and_never_do_the_same_twice(tmp_path, monkeypatch):
    plan = plan_of("s1", TOY)
    mine, others = plan.rows[0].runs[0].after, plan.rows[1].runs[0].after
    trained, kept, wait = [], running.train, running.Clock.wait
    monkeypatch.setattr(running, "train", lambda *given: (trained.append(Path(given[0].out).name), kept(*given))[1])
    with running.held(tmp_path / "runs" / "locks" / mine.name), monkeypatch.context() as patched:  # as another process would
        patched.setattr(running.Clock, "wait", lambda clock: (vars(clock).update(minutes=running.RESERVE), wait(clock)))
        result = go("s1", tmp_path, minutes_at_once=1000)  # which end when only the other's work is left
    assert not result["complete"] and {row["row"] for row in result["rows"]} == {"single branch, gamma 0.65"}
    assert others.name in trained and mine.name not in trained
    after = go("s1", tmp_path)
    assert after["complete"] and len(trained) == len(set(trained)) == len(plan.runs)
    assert after["rows"] == go("s1", tmp_path / "alone")["rows"]


def test_a_run_that_was_killed_before_it_saved_begins_again(tmp_path):
    plan = plan_of("tokens", TOY)
    folder = tmp_path / "runs" / plan.runs[0].name
    folder.mkdir(parents=True)
    (folder / "log.jsonl").write_text("half a li")
    result = go("tokens", tmp_path)
    assert result["complete"] and "half" not in (folder / "log.jsonl").read_text()
    assert set(result["stages"]) == {"before post-training", "after post-training"}
    assert (tmp_path / "results" / "tokens_nano.png").stat().st_size > 1000
    assert "attention near anchor" in table_of("tokens", tmp_path / "results", "nano")


def test_claims_are_judged_by_their_interval():
    def rows(name, *people):
        return [{"row": name, "split": "test-wild", "people_psnr": list(p)} for p in people]

    scores = rows("a", (22.0, 23, 24), (22.2, 23, 24)) + rows("b", (21.0, 22, 23.5), (21.0, 22, 23)) + rows("c", (20, 26, 24))
    found = {(v["ahead"], v["of"]): v for v in verdicts(
        [Claim("a", "b"), Claim("b", "a"), Claim("a", "c"), Claim("a", "nobody")], scores)}
    assert len(found) == 3
    assert found["a", "b"]["verdict"] == "holds" and found["b", "a"]["verdict"] == "reversed"
    assert found["a", "b"]["difference"] == pytest.approx(0.95, abs=1e-3)
    assert found["a", "b"]["seeds"] == pytest.approx([0.833, 1.067], abs=1e-3)
    scores += rows("d", (21.0, 22, 23), (23.3, 24.3, 25.3))  # ahead of a by 0.2 on average, behind with one seed
    assert verdicts([Claim("d", "a")], scores)[0]["verdict"] == "not shown"
    assert found["a", "c"]["verdict"] == "not shown" and len(found["a", "c"]["seeds"]) == 2


def test_tables_say_what_has_not_been_measured(tmp_path):
    text = all_tables(tmp_path)
    assert all(f"`lca-mini experiment {name} --preset mini`" in text for name in EXPERIMENTS)
    assert text.count("not measured yet") == len(EXPERIMENTS) and text._repr_markdown_() == text
    with pytest.raises(ValueError, match="table3"):
        table_of("table9", tmp_path)


def test_the_first_job_of_a_call_is_always_begun():
    clock = Clock(1e-6)
    clock.begin(5)
    with pytest.raises(OutOfTime):
        clock.begin()
    endless = Clock(0)
    for _ in range(3):
        endless.begin(1e9)
    assert math.isinf(endless.left())


def test_worlds_that_mix_and_worlds_that_do_not():
    worlds = torch.arange(2).repeat_interleave(40)
    torch.manual_seed(0)
    people = torch.randn(80, 6)
    assert 0.3 < apart(people, worlds) < 0.7 and apart(people + 9 * worlds[:, None], worlds) == 1
    plane, share = pca(torch.randn(30, 2) @ torch.randn(2, 6))
    assert plane.shape == (30, 2) and share == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("fusion", ["joint", "cross"])
def test_attention_is_what_the_model_computes(fusion, monkeypatch):
    model, sample = tiny_model(fusion=fusion).eval(), fake_film(torch.tensor([5, 6]), "wild")
    seen = {}
    sdpa = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", lambda q, k, v, attn_mask=None: (
        seen.update(shares=(q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)), sdpa(q, k, v, attn_mask=attn_mask))[1])
    with torch.no_grad():
        tokens, shares, grid = fused(model, sample)
    from lca_mini.experiments.tokens import anchors_of
    true = seen["shares"].mean(1)[:, anchors_of(model)]
    assert tokens.shape[:2] == (2, 24) and grid == (4, 4) and shares.shape == (2, 4, 4, 16 + 4)
    torch.testing.assert_close(shares.flatten(2), true[..., : 4 * 20], atol=1e-5, rtol=1e-4)
    stages, sheet = compare_tokens({"one": model, "other": model}, 3, fake_film, fake_cast)
    assert stages["stages"]["one"] == stages["stages"]["other"] and sheet.dtype == torch.uint8


def test_tyro_and_datasets_are_not_needed():
    code = ("import sys; sys.modules.update(tyro=None, datasets=None); from lca_mini.experiments.__main__ import main;"
            "import lca_mini.training.loop; sys.exit(main(['s1', '--plan']))")  # fmt: skip
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert out.returncode == 0 and "gamma 0.65" in out.stdout, out.stderr


def test_both_doors_plan_and_refuse(capsys, tmp_path):
    assert door.main(["table1", "--preset", "nano", "--people-seen", "80", "--batch", "4", "--plan"]) == 0
    assert capsys.readouterr().out.strip() == describe("table1", Budget("nano", people_seen=80, batch=4))
    assert lca_mini(["experiment", "table1", "--preset", "nano", "--people-seen", "80", "--batch", "4", "--plan"]) == 0
    words = capsys.readouterr().out
    assert words.strip() == describe("table1", Budget("nano", people_seen=80, batch=4))
    assert words.count("80 people seen") == 6 and "row 'pre then post'" in words
    for call in (door.main, lambda words: lca_mini(["experiment", *words])):
        assert call(["s1", "--preset", "nano", "--scale", "0", "--runs", str(tmp_path / "x")]) == 2
        assert "scale is 0" in capsys.readouterr().err and not (tmp_path / "x").exists()
