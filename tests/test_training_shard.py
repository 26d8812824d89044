"""A model in parts learns what copies of it learn, in two processes on the CPU; `shard_runs` holds the runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from shard_runs import RATE, STEPS
from torch import Tensor

from lca_mini.training import TrainSettings, train

HERE = Path(__file__).parent
UNLIT = {"detail.lit.weight", "light_head.told.weight", "light_head.trust.weight", "light_head.trust.bias"}  # of a light that
# these pictures do not bear out
NOISE = 1e-8  # gradients, of a whole of norm 3, that are rounding alone: of biases that a norm takes away again


def start(folder: Path, *names: str) -> int:
    """Two processes that do these runs; their exit code."""
    there = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)]), "CUDA_VISIBLE_DEVICES": "",
                          "OMP_NUM_THREADS": "1"}  # fmt: skip
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    what = [str(HERE / "shard_runs.py"), str(folder), *names]
    done = subprocess.run([*launch, *what], env=there, capture_output=True, text=True)
    print(done.stderr[-5000:])
    return done.returncode


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    died = start(folder, "copies", "parts", "by_accelerate", "clipped_copies", "clipped_parts", "killed")
    assert died and not (folder / "killed" / "summary.json").exists()
    assert start(folder, "resumed") == 0
    return folder


def state(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "state" / "state.safetensors")


def log(folder: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in ("seconds", "people_per_s")} for line in lines]


def distance(one: dict[str, Tensor], other: dict[str, Tensor], kind: str) -> float:
    """Of all tensors of a kind together, relative."""
    names = [name for name in one if name.startswith(f"{kind}.")]
    a, b = (torch.cat([tensors[name].flatten() for name in names]) for tensors in (one, other))
    return float((a - b).norm() / a.norm())


def test_parts_learn_what_copies_learn(runs):
    """To rounding, but for what Muon turns: of those, momenta to rounding, weights as close as its bfloat16 is. Some
    processors multiply whole matrices and parts in another order; where a gradient is little more than `NOISE`, Adam, whose
    steps are as long as those of any other, makes that much more of the difference."""
    copies, parts = (state(runs / name) for name in ("copies", "parts"))
    assert copies.keys() == parts.keys()
    deaf = {name[11:] for name, t in copies.items() if name.startswith("exp_avg_sq.") and t.max() < NOISE**2}
    assert len(deaf - UNLIT) <= 4
    for name, tensor in copies.items():
        kind, _, parameter = name.partition(".")
        squares, learned = copies.get(f"exp_avg_sq.{parameter}"), kind in ("model", "ema")
        if learned and (parameter in deaf or squares is None and f"exp_avg.{parameter}" in copies):
            continue
        allowed = 1e-6 * tensor.abs() + (1e-8 if learned else 10 * NOISE)
        if learned and squares is not None:
            allowed += STEPS * RATE * NOISE / squares.sqrt().clamp(min=NOISE)
        off = (parts[name] - tensor).abs()
        assert (off <= allowed).all(), f"{name}: {float((off / allowed).max()):.1f} times what rounding may do"
    assert distance(copies, parts, "model") < 5e-5 and distance(copies, parts, "ema") < 5e-5
    weights = [load_file(runs / name / "model.safetensors") for name in ("copies", "parts")]
    assert {t.dtype for name, t in weights[1].items() if "anchors" not in name} == {torch.bfloat16}
    torch.testing.assert_close(*weights, rtol=2**-7, atol=3e-5)  # four of Muon's steps, 1e-3 a number, turned in bfloat16
    lines = [log(runs / name) for name in ("copies", "parts")]
    assert len(lines[0]) == STEPS and lines[0][2]["loss"] is not None
    for line, other in zip(*lines):
        assert line.keys() == other.keys()
        assert all(other[key] in (value, pytest.approx(value or 0, rel=1e-5)) for key, value in line.items())


def test_a_step_that_is_bad_for_one_process_is_left_out_by_all(runs):
    for name in ("copies", "parts", "killed"):
        assert json.loads((runs / name / "summary.json").read_text())["bad_steps"] == 1
        steps = {float(t) for key, t in state(runs / name).items() if key.startswith("step.")}
        assert steps == {STEPS - 1.0} and all(torch.isfinite(t).all() for t in state(runs / name).values())


def test_gradients_are_clipped_by_their_norm_over_all_parts(runs):
    """Rounding of the norm reaches the momenta as it is, and weights through the bfloat16 of Muon's turn."""
    copies, parts = (state(runs / name) for name in ("clipped_copies", "clipped_parts"))
    assert min(line["grad_norm"] for line in log(runs / "clipped_parts") if line["grad_norm"]) > 0.2  # twice the bound
    assert distance(copies, parts, "exp_avg") < 5e-6
    assert distance(copies, parts, "exp_avg_sq") < 5e-6
    assert distance(copies, parts, "model") < 5e-5 and distance(copies, parts, "ema") < 5e-5


def test_accelerate_shards_as_we_do_on_a_cpu(runs):
    """And layers that are computed again in the backward pass are put together again for it."""
    ours, theirs = (state(runs / name) for name in ("parts", "by_accelerate"))
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_killed_and_resumed_equals_uninterrupted(runs):
    whole, resumed = (state(runs / name) for name in ("parts", "killed"))
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole.items())
    weights = [load_file(runs / name / "model.safetensors") for name in ("parts", "killed")]
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


def test_each_process_holds_half(runs):
    held = [json.loads((runs / "parts" / f"held_{rank}.json").read_text()) for rank in (0, 1)]
    for what in ("weights", "momenta"):
        numbers = [each[what] for each in held]
        assert sum(numbers) == held[0]["all"] and max(numbers) < 0.51 * held[0]["all"]


def test_where_it_makes_no_sense_it_is_refused_before_any_work(tmp_path, monkeypatch):
    plain = TrainSettings(preset="nano", out=str(tmp_path / "run"), steps=1, device="cpu", shard=True)
    with pytest.raises(ValueError, match="there is one: start it with torchrun"):
        train(plain)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(torch, "__version__", "2.6.1")
    with pytest.raises(ValueError, match="needs torch 2.7"):
        train(plain)
    assert not (tmp_path / "run").exists()
    for wrong in ({"compile": True}, {"gamma": 0.0}):
        with pytest.raises(ValueError, match=f"shard goes neither .* {next(iter(wrong))}"):
            replace(plain, **wrong)
