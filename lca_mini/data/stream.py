"""Endless people: samples made on the fly, on the device that uses them, from seeds alone.

Enters: a split and where in it to begin. Leaves: `Sample`s of B people a step. Part of the paper: its two sources,
"wild" (monocular videos) and "studio" (a dome of cameras); "mixed" takes them in turn (table 1). What differs from the
paper: nothing is stored; step, rank and split say who is filmed, so a position is one integer and resume is exact.
Where filming is slower than learning, the same take can be seen several times, spread over some steps (`echo`), and
several takes filmed at once (`reel`), since a GPU films a hundred people in little more time than ten.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Callable, Iterator

import torch
from jaxtyping import Int
from torch import Tensor

from lca_mini.types import Sample

KINDS = ("wild", "studio", "mixed")

Film = Callable[[Int[Tensor, "B"], str], Sample]
"""Seeds and a kind ("wild" or "studio") to the samples of these people."""

Cast = Callable[[Int[Tensor, "B"]], Int[Tensor, "B"]]
"""The n-th, (n+1)-th ... person of a split: positions, from zero, to seeds."""


@dataclass
class SampleStream:
    """Iterate to get one `Sample` of `batch` people a step, for ever; `position` is the next step.

    A take is whom a step sees: of its ranks * batch people, every rank takes its own run of `batch`. Every
    `echo`-th step sees a new take; the others see one of the last `pool` takes again, which are kept on the device. The
    takes of a reel, `reel` of one kind in a row, are filmed by one call.
    """

    film: Film
    cast: Cast
    kind: str
    batch: int
    rank: int = 0
    ranks: int = 1
    position: int = 0
    echo: int = 1
    pool: int = 32
    reel: int = 1
    kept: dict[int, Sample] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no kind of people {self.kind!r}; choose one of {', '.join(KINDS)}")
        if min(self.batch, self.echo, self.pool, self.reel) < 1 or not 0 <= self.rank < self.ranks or self.position < 0:
            raise ValueError(f"a stream of {self.batch} people a step, seen {self.echo} times out of {self.pool} "
                             f"takes, {self.reel} filmed at once, for rank {self.rank} of {self.ranks} from step "
                             f"{self.position} cannot be")

    def __iter__(self) -> Iterator[Sample]:
        return self

    def __next__(self) -> Sample:
        newest, take = self.position // self.echo, self.take_at(self.position)
        self.kept = {index: sample for index, sample in self.kept.items() if index > newest - self.pool}
        if take not in self.kept:
            takes = self.reel_of(take)
            filmed = self.film(torch.cat([self.seeds(each) for each in takes]), self.kind_at(take))
            self.kept |= {each: filmed[i * self.batch : (i + 1) * self.batch] for i, each in enumerate(takes)}
        self.position += 1
        return self.kept[take] if self.echo > 1 else self.kept.pop(take)

    def reel_of(self, take: int) -> list[int]:
        """The takes that are filmed with this one."""
        kinds = 1 + (self.kind == "mixed")
        first = take // kinds // self.reel * self.reel
        return [(first + i) * kinds + take % kinds for i in range(self.reel)]

    def take_at(self, step: int) -> int:
        """Which take a step sees: a function of the step alone."""
        newest, again = divmod(step, self.echo)
        return newest if not again else random.Random(step).randint(max(0, newest - self.pool + 1), newest)

    def seeds(self, take: int) -> Int[Tensor, "B"]:
        """Who is filmed in a take, on this rank."""
        first = (take * self.ranks + self.rank) * self.batch
        return self.cast(torch.arange(first, first + self.batch))

    def kind_at(self, take: int) -> str:
        """"wild" or "studio"; mixed streams begin with "wild"."""
        return self.kind if self.kind != "mixed" else KINDS[take % 2]

    @property
    def state(self) -> dict[str, int]:
        """Where the stream stands: all that a resume needs."""
        return {"position": self.position}
