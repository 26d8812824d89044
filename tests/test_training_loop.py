"""The loop: killed and resumed equals uninterrupted, stages connect exactly, bad numbers are skipped and counted."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from model_tiny import tiny_model
from training_fakes import FACE, REFERENCES, SIDE, TARGETS, fake_cast, fake_film

from lca_mini.config import preset
from lca_mini.data import Plan
from lca_mini.data.make import make_folder
from lca_mini.device import repeatable
from lca_mini.model import save_checkpoint
from lca_mini.model.checkpoint import find_files
from lca_mini.training import loop, source
from lca_mini.training.losses import LossWeights
from lca_mini.training.optim import MuonAdamW, make_optimizer, orthogonalise, rate_factor, skip_where
from lca_mini.training.settings import TrainSettings
from lca_mini.training.source import check_folder_fits
from lca_mini.training.state import load_state
from lca_mini.training.step import draw
from safetensors.torch import load_file

MAKE_MODEL = loop.make_model


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(loop, "make_model", lambda settings: tiny_model(settings.seed, corrected=False).train())
    torch.set_num_threads(2)


def settings(out, **changes):
    plain = TrainSettings(
        preset="nano", out=str(out), batch=2, references=4, targets=TARGETS, steps=6, lr=3e-3, device="cpu",
        weights=LossWeights(perceptual=0.0), log_every=2, preview_every=0, save_every=0,
    )
    return replace(plain, **changes)


def run(asked, film=fake_film):
    return loop.train(asked, film=film, cast=fake_cast)


def test_killed_and_resumed_training_equals_uninterrupted_training(tmp_path):
    run(settings(tmp_path / "whole"))

    def film(seeds, kind):
        if int(seeds[0]) == 1000 + 2 * 2:  # the third step is the last one that is begun
            os.kill(os.getpid(), signal.SIGTERM)
        return fake_film(seeds, kind)

    killed = run(settings(tmp_path / "killed"), film)
    assert (killed["stopped"], killed["step"]) == ("signal", 3)
    resumed = run(settings(tmp_path / "killed", resume=True))
    assert (resumed["stopped"], resumed["step"]) == ("finished", 6)
    states = [load_file(tmp_path / name / "state" / "state.safetensors") for name in ("whole", "killed")]
    assert states[0].keys() == states[1].keys() and any(k.startswith("exp_avg_sq.") for k in states[0])
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed")]
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


def test_the_loss_falls_and_is_logged(tmp_path):
    summary = run(settings(tmp_path, steps=30, log_every=5, preview_every=10, people=2),
                  lambda seeds, kind: fake_film(1000 + seeds % 2, kind))
    assert [file.name for file in find_files(tmp_path)] == ["model.safetensors"]
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["loss"] < 0.7 * lines[0]["loss"] and lines[-1]["step"] == summary["step"] == 30
    assert {"l1", "cano_l1", "mask", "betas", "grad_norm", "psnr", "people_per_s", "lr"} <= lines[-1].keys()
    assert json.loads((tmp_path / "summary.json").read_text())["people"] == 60
    assert {f.name for f in tmp_path.glob("preview_*.png")} == {f"preview_{n:06d}.png" for n in (10, 20, 30)}


def test_minutes_end_a_run_and_move_its_rate(tmp_path):
    summary = run(settings(tmp_path, steps=1000, minutes=0.03, log_every=1))
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert summary["seconds"] >= 1.8 and summary["step"] < 1000 and summary["stopped"] == "finished"
    late = [line for line in log if line["progress"] > 0.1]
    for line in late:  # the clock, not the count of steps, moves the rate
        share = rate_factor(line["progress"], 0.03, "cosine") / rate_factor(late[0]["progress"], 0.03, "cosine")
        assert line["lr"] == pytest.approx(late[0]["lr"] * share, rel=0.05, abs=1e-5)


def test_training_in_pieces_equals_training_at_once(tmp_path):
    run(settings(tmp_path / "whole"))
    pieces = [run(settings(tmp_path / "cut", at_once=1e-5))]
    while pieces[-1]["stopped"] == "paused":
        pieces.append(run(settings(tmp_path / "cut", at_once=1e-5, resume=True)))
    assert [piece["step"] for piece in pieces] == [1, 2, 3, 4, 5, 6]
    states = [load_file(tmp_path / name / "state" / "state.safetensors") for name in ("whole", "cut")]
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


def test_few_people_are_met_in_the_studio_and_all_in_the_wild(tmp_path, monkeypatch):
    seen = []

    def film(seeds, kind):
        seen.append((kind, seeds.tolist()))
        return fake_film(seeds, kind)

    few = settings(tmp_path / "few", data="mixed", studio_people=3, steps=4)
    run(few, film)
    assert seen == [("wild", [1000, 1001]), ("studio", [1000, 1001, 1002]), ("wild", [1004, 1005])]
    filmed = source.people_of(few, few.config, torch.device("cpu"), 0, 1, 0, film, fake_cast).film
    for asked, met in (([1002, 1003], [1002, 1000]), ([1006, 1007], [1000, 1001])):  # twice, from what was filmed once
        sample = filmed(torch.tensor(asked), "studio")
        expected = fake_film(torch.tensor(met), "studio")
        assert torch.equal(sample.seeds, expected.seeds) and torch.equal(sample.images, expected.images)
    seen.clear()
    monkeypatch.setattr(source, "KEPT", 1e5)  # bytes: too few to keep them
    run(settings(tmp_path / "many", data="mixed", studio_people=3, steps=4), film)
    assert seen == [("wild", [1000, 1001]), ("studio", [1002, 1000]), ("wild", [1004, 1005]), ("studio", [1000, 1001])]


def test_a_model_that_sees_no_faces_does_not_depend_on_them(tmp_path):
    def film(seeds, kind):
        sample = fake_film(seeds, kind)
        return replace(sample, face_images=1 - sample.face_images)

    for name, source in (("one", fake_film), ("other", film)):
        run(settings(tmp_path / name, face_crops=False, steps=2), source)
        run(settings(tmp_path / f"{name}-sees", steps=2), source)
    weights = {name: load_file(tmp_path / name / "model.safetensors") for name in ("one", "other", "one-sees", "other-sees")}
    alike = lambda a, b: all(torch.equal(t, weights[b][name]) for name, t in weights[a].items())  # noqa: E731
    assert alike("one", "other") and not alike("one-sees", "other-sees")


def test_what_a_model_lacks_is_lacking():
    config = settings("x", fusion="cross", finder=False, dual_branch=False).config
    assert (config.fusion, config.finder_channels, config.dual_branch) == ("cross", 0, False)
    assert settings("x").config == preset("nano")


def test_tensorboard_gets_the_log_or_is_said_to_be_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ValueError, match="pip install tensorboard"):
        run(settings(tmp_path / "without", tensorboard=True))
    drawn = []

    class Writer:
        def __init__(self, folder):
            drawn.append(folder)

        def add_scalar(self, name, value, step):
            drawn.append((name, step))

        def add_image(self, name, sheet, step, dataformats):
            drawn.append((name, step, sheet.shape[2], dataformats))

        def flush(self):
            pass

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=Writer))
    run(settings(tmp_path / "with", tensorboard=True, preview_every=4))
    assert drawn[0] == str(tmp_path / "with" / "tensorboard")
    assert {("loss", 6), ("psnr", 2), ("people_per_s", 4), ("preview", 4, 3, "HWC")} <= set(drawn[1:])


def test_steps_that_are_not_finite_change_nothing_and_end_a_run_that_has_too_many(tmp_path):
    def film(seeds, kind, broken=(1002, 1006)):
        sample = fake_film(seeds, kind)
        if int(seeds[0]) in broken:
            sample = replace(sample, targets=sample.targets * float("nan"))
        return sample

    summary = run(settings(tmp_path / "some"), film)
    assert summary["bad_steps"] == 2
    state = load_file(tmp_path / "some" / "state" / "state.safetensors")
    assert all(torch.isfinite(t).all() for t in state.values())
    assert {float(t) for k, t in state.items() if k.startswith("step.")} == {4.0}
    with pytest.raises(RuntimeError, match="1002, 1003, 1006"):
        run(settings(tmp_path / "many", most_bad_steps=1), film)


def test_posttrain_starts_from_exactly_the_pretrained_weights(tmp_path, monkeypatch):
    model = tiny_model(3)
    save_checkpoint(model, tmp_path / "pre.safetensors", {}, dtype=None)
    init = str(tmp_path / "pre.safetensors")
    asked = settings(tmp_path / "post", stage="posttrain", init=init, steps=1, lr=0.0, ema=0.0)
    assert (asked.kind, asked.decay) == ("studio", 0.65)
    monkeypatch.undo()
    seen = []

    def load(name, expect_preset, trainable):
        loaded = tiny_model(9)
        loaded.load_state_dict(load_file(name), strict=False)
        seen.append((expect_preset, trainable))
        return loaded

    monkeypatch.setattr(loop, "load", load)
    run(asked)
    assert seen == [("nano", True)]
    after = load_file(tmp_path / "post" / "state" / "state.safetensors")
    for name, parameter in model.named_parameters():
        assert torch.equal(after[f"model.{name}"], parameter), name


def test_what_begins_anew_does_so_and_nothing_else(tmp_path, monkeypatch):
    model = tiny_model()
    monkeypatch.setattr(loop, "load", lambda name, **_: tiny_model())
    monkeypatch.setattr(loop, "load_body", lambda **_: None)
    monkeypatch.setattr(loop, "build", lambda config, body: tiny_model(1))
    made = MAKE_MODEL(settings(tmp_path, init="some", anew=("action_map",)))
    for name, parameter in made.named_parameters():
        assert torch.equal(parameter, model.get_parameter(name)) != name.startswith("action_map."), name
    for wrong in ({"anew": ("beard",)}, {"still": ("beard",)}):
        with pytest.raises(ValueError, match="no module beard .* action_map"):
            MAKE_MODEL(settings(tmp_path, init="some", **wrong))


def test_what_is_to_be_still_does_not_learn_and_all_else_does(tmp_path, monkeypatch):
    still, model = ("surface_finder", "expression_encoder"), tiny_model()
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    monkeypatch.setattr(loop, "make_model", MAKE_MODEL)
    monkeypatch.setattr(loop, "load", lambda name, **_: model)
    run(settings(tmp_path, steps=2, init="some", still=still))
    unchanged = {name.split(".")[0] for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])}
    assert unchanged >= set(still) and not unchanged & {"transformer", "canonical_branch", "placement", "action_map"}


def test_layers_learn_slower_the_farther_they_are_from_the_output():
    model = tiny_model()
    names = {id(p): n for n, p in model.named_parameters()}
    for gamma in (0.65, 1.0):
        groups = make_optimizer(model, 1e-3, gamma, 0.1, 1.5).param_groups
        rates = {names[id(p)]: g["lr"] for g in groups for p in g["params"]}
        assert rates.keys() == set(names.values())
        assert rates["canonical_branch.head.2.weight"] == pytest.approx(1e-3)
        assert rates["transformer.layers.1.fuse.mlp.0.weight"] == pytest.approx(1.5e-3 * gamma)
        assert rates["transformer.layers.0.fuse.mlp.0.weight"] == pytest.approx(1.5e-3 * gamma**2)
        assert rates["image_encoder.project.weight"] == pytest.approx(1e-3 * gamma**3)
    assert all(g["weight_decay"] == 0 or p.dim() > 1 for g in groups for p in g["params"])
    learning = {names[id(p)] for g in make_optimizer(model, 1e-3, 0.0, 0.1, 1.5).param_groups for p in g["params"]}
    assert "canonical_branch.head.2.weight" in learning and not any(n.startswith("transformer.layers") for n in learning)
    assert learning == {name for name, p in model.named_parameters() if p.requires_grad}


def test_the_schedule_warms_up_and_anneals():
    assert rate_factor(0.0, 0.1, "cosine") < 0.01
    assert rate_factor(0.05, 0.1, "cosine") == pytest.approx(0.5)
    assert rate_factor(0.1, 0.1, "cosine") == 1.0
    assert rate_factor(0.55, 0.1, "cosine") == pytest.approx(0.5)
    assert rate_factor(1.0, 0.1, "cosine") == pytest.approx(0.0)
    assert rate_factor(0.9, 0.1, "constant") == 1.0


def test_chance_follows_from_step_and_rank_and_shapes_agree_over_ranks():
    draws = [draw(0, step, 0, 0.5, 8, 4, 0.5) for step in range(200)]
    assert draws == [draw(0, step, 0, 0.5, 8, 4, 0.5) for step in range(200)]
    counts = {d.references.stop - d.references.start for d in draws}
    assert counts == {1, 2, 4, 8} and all(0 <= d.references.start and d.references.stop <= 8 for d in draws)
    assert {d.canonical for d in draws} == {0, 1, 2, 3}
    assert 60 < sum(d.given_betas for d in draws) < 140
    assert all(d.given_betas for d in (draw(0, step, 0, 0.1, 8, 4, 0.5) for step in range(50)))
    other = [draw(0, step, 1, 0.5, 8, 4, 0.5) for step in range(200)]
    assert [o.references.stop - o.references.start for o in other] == [
        d.references.stop - d.references.start for d in draws
    ]
    assert all(o.given_betas == d.given_betas and o.seed != d.seed for o, d in zip(other, draws))


@pytest.mark.parametrize("wrong, word", [
    ({"stage": "finetune"}, "posttrain"), ({"preset": "huge"}, "nano"), ({"steps": 0}, "end"), ({"batch": 0}, "batch"),
    ({"references": 17}, "references"), ({"gamma": 2.0}, "gamma"), ({"lr": float("nan")}, "lr"),
    ({"fusion": "glue"}, "cross"), ({"at_once": -1.0}, "at_once"), ({"data": "film"}, "studio"), ({"echo": 0}, "echo"),
    ({"stage": "posttrain"}, "init"), ({"perceptual": "vgg"}, "lpips-vgg"),
])
def test_bad_settings_are_refused_before_any_work(tmp_path, wrong, word):
    with pytest.raises(ValueError, match=word):
        settings(tmp_path, **wrong)


def test_folders_that_cannot_be_used_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be written"):
        run(settings(tmp_path / "file" / "run"))
    with pytest.raises(ValueError, match="nothing to resume"):
        run(settings(tmp_path / "new", resume=True))
    run(settings(tmp_path / "old", steps=1))
    with pytest.raises(ValueError, match="holds a run"):
        run(settings(tmp_path / "old"))
    with pytest.raises(ValueError, match="batch = 2"):
        run(settings(tmp_path / "old", batch=3, resume=True))
    state = tmp_path / "old" / "state" / "state.safetensors"
    state.write_bytes(state.read_bytes()[:500])
    with pytest.raises(ValueError, match="cut off"):
        load_state(tmp_path / "old", tiny_model(), None, make_optimizer(tiny_model(), 1e-3, 1.0, 0.0, 0.0))


def test_muon_turns_matrices_and_keeps_still_where_a_step_is_bad():
    matrices = torch.randn(3, 24, 40)
    values = torch.linalg.svdvals(orthogonalise(matrices))
    assert values.min() > 0.5 and values.max() < 1.4
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    assert torch.nn.functional.cosine_similarity(
        orthogonalise(matrices).flatten(1), (left @ right).flatten(1)
    ).min() > 0.97
    torch.testing.assert_close(orthogonalise(matrices.mT), orthogonalise(matrices).mT, atol=0.02, rtol=0)

    model = tiny_model()
    optimizer = make_optimizer(model, 1e-2, 1.0, 0.1, 1.0)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for bad in (True, False):
        for p in model.parameters():
            p.grad = torch.full_like(p, float("nan")) if bad else torch.randn_like(p)
        skip_where(optimizer, torch.tensor(bad))
        optimizer.step()
        moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
        assert moved == (set() if bad else set(before))
    weight = "transformer.layers.0.fuse.mlp.0.weight"
    step = dict(model.named_parameters())[weight] - before[weight]
    assert float(step.square().mean().sqrt()) == pytest.approx(0.2e-2, rel=0.3)  # as long as AdamW's usual step
    assert all(torch.isfinite(p).all() for p in model.parameters())

    # kernels are one matrix each; another with as many rows, if wider, changes nothing
    generator = torch.Generator().manual_seed(0)
    narrow, wide = (torch.randn(shape, generator=generator) for shape in ((8, 3, 3, 3), (8, 6, 3, 3)))
    steps = {}
    for name, shapes in (("alone", [narrow]), ("both", [narrow, wide]), ("as a matrix", [narrow.flatten(1)])):
        weights = [torch.nn.Parameter(torch.zeros_like(grad)) for grad in shapes]
        for weight, grad in zip(weights, shapes):
            weight.grad = grad.clone()
        MuonAdamW([{"params": weights, "muon": True, "lr": 1e-2}]).step()
        steps[name] = weights[0].detach().flatten(1)
    torch.testing.assert_close(steps["alone"], steps["as a matrix"], rtol=0, atol=0)
    torch.testing.assert_close(steps["alone"], steps["both"], rtol=0, atol=1e-4)  # steps are 0.01 long, in bfloat16
    assert float(steps["both"].square().mean().sqrt()) == pytest.approx(0.2e-2, rel=0.3)


def test_a_folder_of_samples_trains_as_filming_does(tmp_path):
    made = Plan("wild", "train", 4, 0, REFERENCES, TARGETS, SIDE, FACE, 2)
    make_folder(made, tmp_path / "people", fake_film, quiet=True)
    asked = settings(tmp_path / "run", data=str(tmp_path / "people"), references=REFERENCES, steps=3)
    summary = loop.train(asked)
    assert summary["step"] == 3 and summary["bad_steps"] == 0
    with pytest.raises(ValueError, match=f"holds {TARGETS} targets .* --targets {TARGETS}"):
        loop.train(replace(asked, out=str(tmp_path / "more"), targets=TARGETS + 1))
    with pytest.raises(ValueError, match="people cannot be chosen"):
        loop.train(replace(asked, out=str(tmp_path / "some"), people=2))
    with pytest.raises(ValueError, match=f"pictures of {SIDE}"):
        check_folder_fits(asked, replace(tiny_model().config, image_size=2 * SIDE))
    with pytest.raises(ValueError, match="no data .* lca-mini data make"):
        settings(tmp_path, data=str(tmp_path / "nothing"))


def test_repeatable_sums_are_asked_for_and_given_back():
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cuda.flash_sdp_enabled()
    with repeatable():
        assert torch.are_deterministic_algorithms_enabled() and not torch.backends.cuda.flash_sdp_enabled()
    with repeatable(False):
        assert before == (torch.are_deterministic_algorithms_enabled(), torch.backends.cuda.flash_sdp_enabled())
    with pytest.raises(ValueError, match="deterministic does not go with gsplat"):
        TrainSettings(steps=1, deterministic=True, backend="gsplat")
