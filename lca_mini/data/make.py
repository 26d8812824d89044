"""Make a folder of samples: film people, write them as Parquet shards, go on where an interruption stopped.

Enters: a `Plan` and a folder. Leaves: in it `data/*.parquet`, `manifest.json`, and `README.md`, a generated Hugging
Face dataset card. It stores what the paper's data would be; the people are synthetic.

A shard appears under its name when it is whole, and in the manifest after that. What a shard holds follows from the
plan alone, so that a run killed anywhere and begun again leaves the same bytes as one that was left in peace.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from lca_mini.data.hub_card import hub_card
from lca_mini.data.manifest import (
    FILE, PARTIAL, Manifest, Plan, check_seeds, find_fault, generator, read_manifest, write_whole,
)  # fmt: skip
from lca_mini.data.people import AT_ONCE, film_with
from lca_mini.data.shards import read_shard, write_shard
from lca_mini.data.stream import Film
from lca_mini.types import Sample, join


def make_folder(plan: Plan, folder: Path, film: Film | None = None, quiet: bool = False) -> Manifest:
    """Film whoever is missing.

    Args:
        film: other people than the library's, as in `SampleStream`; its samples must follow from the seeds alone.
        quiet: no progress bar.
    Returns: the finished manifest.
    Raises: ValueError, one sentence and before any work, for a folder that holds something else, was begun with
        another plan or by another version, or cannot be written; and where `film` returns other people than asked for.
    """
    from tqdm.auto import tqdm

    manifest = begin(plan, folder)
    film = film or film_with(plan.references, plan.targets, plan.image_size, plan.face_size, plan.device, studio=plan.studio)
    todo = [shard for shard in plan.shards if find_fault(folder, manifest, shard[0])]
    waiting = sum(count for _, _, count in todo)
    with tqdm(total=plan.people, initial=plan.people - waiting, desc=f"film {plan.split} {plan.kind}", unit="person",
              disable=quiet) as bar:
        for name, first, count in todo:
            sample = filmed(plan, film, first, count, bar.update)
            check_seeds(sample.seeds.tolist(), plan.split, first, count, f"shard {name!r}")
            manifest = keep(sample, manifest, folder, name)
    card = hub_card(manifest).encode()
    if not (folder / "README.md").is_file() or (folder / "README.md").read_bytes() != card:
        write_whole(folder / "README.md", card)
    return manifest


def begin(plan: Plan, folder: Path) -> Manifest:
    """The manifest of a folder that is new, or was begun with this plan by this version."""
    maker = generator()
    try:
        if (folder / FILE).is_file():
            begun = read_manifest(folder)
            for name, value in asdict(plan).items():
                if getattr(begun.plan, name) != value:
                    raise ValueError(f"the folder {str(folder)!r} was begun with {name} = "
                                     f"{getattr(begun.plan, name)!r}; go on with that, or choose another folder")
            if begun.generator != maker:
                raise ValueError(f"the folder {str(folder)!r} was begun by another version of the program "
                                 f"({begun.generator}); finish it with that one, or choose another folder")
            (folder / "data").mkdir(exist_ok=True)
            return begun
        there = [f.name for f in folder.iterdir() if f.name not in ("data", FILE + PARTIAL)] if folder.exists() else []
        if there or (folder / "data").is_dir() and any((folder / "data").iterdir()):
            raise ValueError(f"the folder {str(folder)!r} holds other things ({(there or ['data'])[0]!r}); choose an "
                             "empty or a new one")
        (folder / "data").mkdir(parents=True, exist_ok=True)
        manifest = Manifest(plan, maker, {})
        manifest.save(folder)
    except OSError as error:
        raise ValueError(f"cannot write into {str(folder)!r} ({error.strerror}); choose another folder") from None
    return manifest


def filmed(plan: Plan, film: Film, first: int, count: int, tell: Callable[[int], object]) -> Sample:
    """The people of one shard, on the CPU, filmed in runs that are the same however often the work stops."""
    parts = []
    for at in range(first, first + count, AT_ONCE[plan.device]):
        seeds = torch.arange(at, min(at + AT_ONCE[plan.device], first + count))
        parts.append(film(seeds, plan.kind).to("cpu"))
        tell(len(seeds))
    return join(parts)


def keep(sample: Sample, manifest: Manifest, folder: Path, name: str) -> Manifest:
    """Write one shard, then say so in the manifest."""
    path = folder / name
    beside = path.with_name(path.name + PARTIAL)
    try:
        write_shard(sample, beside)
        beside.replace(path)
        manifest = manifest.with_shard(name, path)
        manifest.save(folder)
    except OSError as error:
        raise ValueError(f"cannot write {str(path)!r} ({error.strerror or error}); what is finished stays, and the "
                         "same command goes on from there") from None
    return manifest


def check_folder(folder: Path, quiet: bool = False) -> Manifest:
    """Hold every shard against the manifest: size, SHA-256, and that its people are those of the declared split.

    Raises: ValueError, one sentence that names the first shard at fault, and says how many there are.
    """
    from tqdm.auto import tqdm

    manifest = read_manifest(folder)
    faults = []
    for name, first, count in tqdm(manifest.plan.shards, desc="check", unit="shard", disable=quiet, leave=False):
        fault = find_fault(folder, manifest, name)
        if fault is not None:
            faults.append(f"shard {name!r} {fault}")
            continue
        try:
            check_seeds(read_shard(folder / name).seeds, manifest.plan.split, first, count, f"shard {name!r}")
        except ValueError as error:
            faults.append(str(error))
    if faults:
        others = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise ValueError(f"in {str(folder)!r}, {faults[0]}{others}; lca-mini data make with the same settings films it "
                         "again")
    return manifest

