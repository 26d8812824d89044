"""`lca-mini bench scaling`: training on one GPU, on all of them, and on all with the model in parts.

Enters: a preset, people a step. Leaves: a dictionary for JSON, people a second of each. Each training is a run of its own,
as `lca-mini train pretrain` would make it, filming included; its log holds the speeds, of which the first windows, while
kernels are made and buffers grow, do not count. No part of the paper.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from lca_mini.bench.clock import check_numbers, quantile, rounded
from lca_mini.device import choose_device, device_name

WINDOW = 10  # steps, a multiple of `echo`
FEW = 2  # windows before those that count
WAYS = (("one", 1, False), ("all", 0, False), ("all_sharded", 0, True))  # name, processes (0: all GPUs), shard


def bench_scaling(
    preset: str = "mini", batch: int = 64, repeats: int = 5, echo: int = 2, device: str | None = None, processes: int = 0
) -> dict[str, Any]:
    """Train for some windows of ten steps in each of the `WAYS`.

    Args:
        batch: people a step and process.
        repeats: windows that count, two more do not.
        processes: 0 for one a GPU; on a CPU, where this only shows that all runs, it must be told.
    Returns: `people_per_s`, medians; `times`, of all processes over one; `memory_gib`, the peak of the first process on
        CUDA; `failed`, why a way did not run.
    Raises: ValueError for a number that is not positive, or fewer than two processes.
    """
    check_numbers(batch=batch, repeats=repeats, echo=echo)
    device = choose_device(device or "auto")
    processes = processes or (torch.cuda.device_count() if device == "cuda" else 1)
    if processes < 2:
        raise ValueError("scaling is measured between one GPU and several, and here is one: use a machine with two or more")
    about: dict[str, Any] = {name: {} for name in ("people_per_s", "people_per_s_p95", "memory_gib", "failed")}
    for name, count, shard in WAYS:
        asked = {"preset": preset, "batch": batch, "steps": WINDOW * (FEW + repeats), "echo": echo, "log_every": WINDOW,
                 "save_every": 0, "preview_every": 0, "device": device, "shard": shard}  # fmt: skip
        print(f"training {preset} by {count or processes} process{'es' * (count != 1)}{', in parts' * shard}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count or processes}", "-m",
                 "lca_mini.bench.scaling", json.dumps(asked | {"out": folder})], stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            if done.returncode:
                about["failed"][name] = " ".join(done.stderr[-800:].split())
                continue
            lines = [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text().splitlines()]
            speeds = [line["people_per_s"] for line in lines if line["step"] > WINDOW * FEW]
            about["people_per_s"][name] = rounded(statistics.median(speeds))
            about["people_per_s_p95"][name] = rounded(quantile([-speed for speed in speeds], 0.95) * -1)
            about["memory_gib"][name] = json.loads((Path(folder) / "memory.json").read_text())
    speeds = about["people_per_s"]
    times = rounded(speeds["all"] / speeds["one"]) if {"one", "all"} <= speeds.keys() else None
    return {"bench": "scaling", "preset": preset, "device": device_name(device), "processes": processes, "batch": batch,
            "echo": echo, "references": 8, "targets": 4, "repeats": repeats, "times": times, **about,
            "torch": torch.__version__}  # fmt: skip


def main(words: str) -> None:
    """What each process does."""
    from lca_mini.training import TrainSettings, train

    settings = TrainSettings(**json.loads(words))
    train(settings)
    if os.environ.get("RANK", "0") == "0":
        peak = rounded(torch.cuda.max_memory_allocated() / 2**30) if torch.cuda.is_initialized() else None
        (Path(settings.out) / "memory.json").write_text(json.dumps(peak))


if __name__ == "__main__":
    main(sys.argv[1])
