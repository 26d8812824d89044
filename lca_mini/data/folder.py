"""Samples from a folder of shards, in the order in which the stream that films them would give them.

Enters: a folder that `make_folder` wrote. Leaves: a `SampleStream` of it: the same people, step by step, as on the fly,
with 8 bits a channel. Part of the paper: its stored data sets. A position is one integer, whatever the number of
workers; of each step every rank reads its own people.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from lca_mini.data.manifest import Manifest, check_seeds, find_fault, read_manifest
from lca_mini.data.shards import Shard, people_of, read_shard
from lca_mini.data.stream import SampleStream
from lca_mini.types import Sample

OPEN_SHARDS = 4  # kept in memory at once, pictures still encoded


@dataclass
class SampleFolder:
    """A folder of samples, checked on opening: every shard is there and has its size. A shard's SHA-256 and its people
    are checked when it is first read. `film` and `cast` are what `SampleStream` takes; threads may share them."""

    folder: Path
    device: torch.device | str = "cpu"
    manifest: Manifest = field(init=False)
    opened: OrderedDict[str, Shard] = field(default_factory=OrderedDict, init=False, repr=False)
    checked: set[str] = field(default_factory=set, init=False, repr=False)
    lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        self.folder = Path(self.folder)
        self.manifest = read_manifest(self.folder)
        for name, _, _ in self.manifest.plan.shards:
            self.refuse(name, find_fault(self.folder, self.manifest, name, quick=True))

    def refuse(self, name: str, fault: str | None) -> None:
        """Raises: ValueError where there is a fault."""
        if fault is not None:
            raise ValueError(f"in {str(self.folder)!r}, shard {name!r} {fault}; lca-mini data make with the same "
                             "settings films it again")

    def __len__(self) -> int:
        """How many people."""
        return self.manifest.plan.people

    def cast(self, positions: Int[Tensor, "B"]) -> Int[Tensor, "B"]:
        """The n-th, (n+1)-th ... person's seeds; after the last comes the first again."""
        return self.manifest.plan.shards[0][1] + positions % len(self)

    def film(self, seeds: Int[Tensor, "B"], kind: str) -> Sample:
        """The stored samples of these people.

        Raises: ValueError for people who are not in the folder, another kind, or a damaged shard.
        """
        plan = self.manifest.plan
        if kind != plan.kind:
            raise ValueError(f"{str(self.folder)!r} holds {plan.kind!r} people, not {kind!r}")
        first, found = plan.shards[0][1], []
        for seed in seeds.tolist():
            if not 0 <= seed - first < plan.people:
                raise ValueError(f"{str(self.folder)!r} holds the people {first} to {first + plan.people - 1}, not {seed}")
            index, row = divmod(seed - first, plan.shard)
            found.append((self.shard(index), row))
        return people_of(found, self.device)

    def shard(self, index: int) -> Shard:
        """One shard, read, held against the manifest, and kept for the next who asks."""
        name, first, count = self.manifest.plan.shards[index]
        with self.lock:
            if name not in self.opened:
                if name not in self.checked:
                    self.refuse(name, find_fault(self.folder, self.manifest, name))
                shard = read_shard(self.folder / name)
                check_seeds(shard.seeds, self.manifest.plan.split, first, count, f"shard {name!r}")
                self.checked.add(name)
                self.opened[name] = shard
                while len(self.opened) > OPEN_SHARDS:
                    self.opened.popitem(last=False)
            self.opened.move_to_end(name)
            return self.opened[name]


def open_stream(
    folder: str | Path, batch: int, rank: int = 0, ranks: int = 1, position: int = 0, *, echo: int = 1,
    workers: int = 0, split: str | None = None, device: torch.device | str = "cpu",
) -> SampleStream:  # fmt: skip
    """Stream a folder of samples as `SampleStream` films them.

    Args:
        batch, rank, ranks, position, echo: as in `SampleStream`.
        workers: threads that read the next takes ahead, one take each; 0 reads when asked.
        split: refuse a folder of another split.
    Raises: ValueError, one sentence, for a folder that is none, is unfinished or damaged, or of another split.
    """
    source = SampleFolder(Path(folder), device)
    plan = source.manifest.plan
    if split is not None and plan.split != split:
        raise ValueError(f"{str(folder)!r} holds people of split {plan.split!r}, not {split!r}")
    film = ReadAhead(source, ranks * batch, workers) if workers else source.film
    return SampleStream(film, source.cast, plan.kind, batch, rank, ranks, position, echo)


class ReadAhead:
    """A folder's `film` that begins the next `workers` takes while the caller uses this one."""

    def __init__(self, source: SampleFolder, step: int, workers: int) -> None:
        """step: how many people further each take begins than the one before, over all ranks."""
        self.source, self.step, self.workers = source, step, workers
        self.pool = ThreadPoolExecutor(workers, thread_name_prefix="samples")
        self.begun: dict[tuple[int, ...], Future[Sample]] = {}

    def __call__(self, seeds: Int[Tensor, "B"], kind: str) -> Sample:
        """As `SampleFolder.film`."""
        first = self.source.manifest.plan.shards[0][1]
        wanted = [self.source.cast(seeds - first + ahead * self.step) for ahead in range(self.workers + 1)]
        keys = [tuple(each.tolist()) for each in wanted]
        for key, each in zip(keys, wanted):
            if key not in self.begun:
                self.begun[key] = self.pool.submit(self.source.film, each, kind)
        ready = self.begun.pop(keys[0])
        self.begun = {key: future for key, future in self.begun.items() if key in keys}
        return ready.result()
