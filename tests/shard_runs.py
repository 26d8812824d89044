"""What `test_training_shard.py` runs in two processes: `torchrun --nproc-per-node 2 tests/shard_runs.py FOLDER RUN ...`

Each RUN is one of `RUNS`; all learn from the same tiny people; one, shown to the second process, is broken. Beside
what training leaves in FOLDER/RUN, each process leaves there how many numbers it held (held_0.json, held_1.json).
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from model_tiny import tiny_model
from torch import Tensor
from training_fakes import TARGETS, fake_cast, fake_film

from lca_mini.training import loop
from lca_mini.training.losses import LossWeights
from lca_mini.training.settings import TrainSettings
from lca_mini.training.shard import local, plugin_for, spread
from lca_mini.training.step import Learner
from lca_mini.types import Sample

STEPS, BATCH, RANKS, RATE = 4, 2, 2, 3e-3
BROKEN = 1000 + 1 * BATCH * RANKS + BATCH  # the first one of the second process in the second step
LAST = 1000 + 3 * BATCH * RANKS  # of the fourth step, which a killed run does not survive; step 2 is on disk
RUNS: dict[str, dict[str, Any]] = {
    "copies": {}, "parts": {"shard": True}, "by_accelerate": {"shard": True, "checkpointing": True},
    "clipped_copies": {"clip": 0.1, "steps": 3}, "clipped_parts": {"clip": 0.1, "steps": 3, "shard": True},
    "killed": {"shard": True, "save_every": 2}, "resumed": {"out": "killed", "shard": True, "resume": True},
}  # fmt: skip


def film(seeds: Tensor, kind: str) -> Sample:
    """People made of noise; one is broken."""
    sample = fake_film(seeds, kind)
    return replace(sample, targets=sample.targets * float("nan")) if BROKEN in seeds else sample


def deadly(seeds: Tensor, kind: str) -> Sample:
    """The same until the fourth step."""
    if int(seeds[0]) >= LAST:
        os.kill(os.getpid(), signal.SIGKILL)
    return film(seeds, kind)


def by_accelerate(accelerator: Any, learner: Learner, optimizer: torch.optim.Optimizer) -> tuple[Any, Any]:
    """What `spread` does on GPUs, on a CPU that is told to be one."""
    from accelerate.utils import DistributedType

    accelerator.state.distributed_type = DistributedType.FSDP
    accelerator.state.fsdp_plugin = plugin_for(learner.model)
    try:
        return accelerator.prepare(learner, optimizer)
    finally:
        accelerator.state.distributed_type = DistributedType.MULTI_CPU


def main(folder: Path, names: list[str]) -> None:
    """Train as each name says, into FOLDER/name."""
    torch.set_num_threads(1)
    loop.make_model = lambda settings: tiny_model(settings.seed, corrected=False).train()
    held: list[tuple[Any, Any]] = []
    for name in names:

        def watched(*whole: Any, spreading: Any = by_accelerate if name == "by_accelerate" else spread) -> Any:
            held.append(spreading(*whole))
            return held[-1]

        loop.spread = watched
        changes = {"out": name, **RUNS[name]}
        settings = TrainSettings(
            preset="nano", batch=BATCH, references=4, targets=TARGETS, lr=RATE, device="cpu", ema=0.9, log_every=1,
            weights=LossWeights(perceptual=0.0), preview_every=0,
            **{"steps": STEPS, "clip": 1e6, "save_every": 0, **changes, "out": str(folder / changes["out"])},
        )  # fmt: skip
        loop.train(settings, film=deadly if name == "killed" else film, cast=fake_cast)
        if settings.shard:
            rank = os.environ["RANK"]
            (Path(settings.out) / f"held_{rank}.json").write_text(json.dumps(numbers(*held[-1])))


def numbers(learner: Learner, optimizer: torch.optim.Optimizer) -> dict[str, int]:
    """How many numbers of weights and of momenta this process holds, and how many weights there are."""
    momenta = [state["exp_avg"] for state in optimizer.state.values()]
    weights = list(learner.parameters())
    return {"weights": sum(local(p).numel() for p in weights), "momenta": sum(local(t).numel() for t in momenta),
            "all": sum(p.numel() for p in weights)}


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
