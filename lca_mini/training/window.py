"""The steps since the last line of the log, kept on the device so that no step waits for it.

Enters: each step's outcome, gradient norm and seeds. Leaves: means as plain numbers, once a window. A step with a
gradient that is not finite is counted, and too many of them are an error that names the people. No part of the paper.
"""

from __future__ import annotations

import math
import time
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lca_mini.training.step import Outcome


class Window:
    """Collects numbers of steps; `bad` counts the steps that were skipped, over the whole run."""

    def __init__(self, most_bad: int, bad: int = 0) -> None:
        """`most_bad`: how many skipped steps a run may have."""
        self.most_bad, self.bad = most_bad, bad
        self.bad_seeds: list[int] = []
        self.begin()

    def begin(self) -> None:
        """Empty it."""
        self.rows: list[Float[Tensor, "k"]] = []
        self.seeds: list[Int[Tensor, "B"]] = []
        self.names: tuple[str, ...] = ()
        self.since = time.monotonic()

    def add(self, outcome: Outcome, norm: Float[Tensor, ""], seeds: Int[Tensor, "B"]) -> None:
        """Take in a step, without waiting for it."""
        numbers = {"grad_norm": norm, "loss": outcome.loss, "psnr": outcome.psnr, **outcome.terms}
        self.names = tuple(numbers)
        self.rows.append(torch.stack([number.detach().float() for number in numbers.values()]))
        self.seeds.append(seeds)

    def close(self, people: int) -> dict[str, Any]:
        """Means over the steps that counted (null where none did), and the speed. people: of a step, all processes.

        Raises: RuntimeError where the run has had too many bad steps.
        """
        sums: dict[str, list[float]] = {name: [] for name in self.names}
        for row, seeds in zip(torch.stack(self.rows).tolist(), self.seeds):
            if not math.isfinite(row[0]):
                self.bad += 1
                self.bad_seeds += seeds.tolist()
                continue
            for name, number in zip(self.names, row):
                sums[name].append(number)
        means = {name: round(sum(n) / len(n), 6) if n else None for name, n in sums.items()}
        speed = len(self.rows) * people / max(time.monotonic() - self.since, 1e-9)
        if self.bad > self.most_bad:
            raise RuntimeError(f"{self.bad} steps had gradients that are not finite, with the people of seeds "
                               f"{sorted(set(self.bad_seeds))[:32]}; lower the learning rate or look at these people")
        self.begin()
        return means | {"people_per_s": round(speed, 1), "bad_steps": self.bad}
