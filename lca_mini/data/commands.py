"""`lca-mini data ...`: folders of samples from a terminal.

Enters: a command line, through `lca_mini.cli`. Leaves: folders, figures and lines of text. No part of the paper.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Callable, Literal

import tyro

from lca_mini.device import choose_device, commit, device_name

FOLDER = Annotated[Path, tyro.conf.Positional]
SPLIT = Literal["train", "val", "test-studio", "test-wild", "demo"]


def make(
    kind: str,
    people: int,
    out: Path,
    split: SPLIT = "train",
    start: int = 0,
    references: int = 8,
    targets: int = 4,
    image_size: int = 256,
    face_size: int = 128,
    shard: int = 64,
    routines: float | None = None,
    cameras: int = 40,
    views: int = 1,
    light: Literal["even", "single", "environment"] = "even",
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> None:
    """Film synthetic people into a folder of Parquet shards; the same command goes on where it was interrupted.

    Args:
        kind: How they are filmed: wild or studio.
        people: How many.
        out: Folder, new or begun by the same command.
        split: Which people; splits are disjoint ranges of seeds.
        start: The first of them, counted from the beginning of the split.
        references: Reference images a person.
        targets: Views a person to reproduce.
        image_size: Side of a picture, pixels.
        face_size: Side of a face crop, pixels.
        shard: People a file.
        routines: Share of a studio's moments out of scripted routines; left out: 0.3 for split train, else none.
        cameras: Of a studio's dome.
        views: Pictures in a row, each by another camera of the studio, that show one moment.
        light: Of a studio: even, a single lamp of the dome (another for each person), or everyday light from around.
        device: Where to film.
    """
    from lca_mini.capture.film import SAMPLE_KINDS
    from lca_mini.data.make import make_folder
    from lca_mini.data.manifest import Plan

    if kind not in SAMPLE_KINDS:
        raise ValueError(f"no kind {kind!r}; choose one of {', '.join(SAMPLE_KINDS)}")
    where = choose_device(device)
    if routines is None:
        routines = 0.3 if split == "train" and kind != "wild" else 0.0
    plan = Plan(kind, split, people, start, references, targets, image_size, face_size, shard, where, routines, cameras,
                views, light)
    manifest = make_folder(plan, out)
    print(f"{people} people in {len(plan.shards)} shards, {megabytes(manifest):.1f} MB: {out}")


def check(folder: FOLDER) -> None:
    """Hold every shard of a folder against its manifest; name the first that is damaged or missing (exit code 2).

    Args:
        folder: Made by `lca-mini data make`.
    """
    from lca_mini.data.make import check_folder

    manifest = check_folder(folder)
    print(f"{folder} is whole: {manifest.plan.people} people in {len(manifest.plan.shards)} shards, "
          f"{megabytes(manifest):.1f} MB, every SHA-256 and every seed as declared")  # fmt: skip


def show(folder: FOLDER, out: Path | None = None, people: int = 8) -> None:
    """Print what a folder holds, and draw its first people.

    Args:
        folder: Made by `lca-mini data make`.
        out: The picture; contact_sheet.png in the folder where left out.
        people: Rows of the picture: two references with their faces, then two targets.
    """
    from lca_mini.data.folder import SampleFolder
    from lca_mini.data.sheets import people_rows
    from lca_mini.export import save_png

    source = SampleFolder(folder)
    manifest, plan = source.manifest, source.manifest.plan
    first, last = manifest.to_dict()["seeds"]
    path = out or folder / "contact_sheet.png"
    save_png(people_rows(source, people), path)
    print(f"{plan.people} {plan.kind} people of split {plan.split}, seeds {first} to {last}")
    print(f"{plan.references} references and {plan.targets} targets of {plan.image_size} pixels, faces of "
          f"{plan.face_size}")  # fmt: skip
    print(f"{len(plan.shards)} shards, {megabytes(manifest):.1f} MB; made by {manifest.generator['name']} "
          f"{manifest.generator['version']} ({manifest.generator['digest']}) on {plan.device}")  # fmt: skip
    print(f"look at {path}")


def card(
    out: Path,
    people: int = 64,
    faces: int = 32,
    size: int = 512,
    described: int = 4096,
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> None:
    """Draw the figures of the population's data card: wild and studio, faces, axes and clothes in motion,
    each file of 32 people at most and under 600 KB.

    Args:
        out: Folder for the figures.
        people: Of each kind, whole.
        faces: Close-ups.
        size: Side of a picture as filmed, pixels; a sheet that grows too large is shrunk.
        described: People in the histograms.
        device: Where to film.
    """
    from tqdm.auto import tqdm

    from lca_mini.data.charts import chart, counts
    from lca_mini.data.people import film_with
    from lca_mini.data.sheets import PEOPLE, crowd_sheet, moving_sheet, save_small
    from lca_mini.data.study import described as axes_of

    if min(people, faces, described) < 1 or not 16 <= size <= 2048 or size % 8:
        raise ValueError(f"{people} people and {faces} faces of {size} pixels, {described} described, cannot be drawn")
    where = choose_device(device)
    save_small(chart(counts(*axes_of(described))), out / "axes.jpg")
    save_small(moving_sheet(size, where), out / "moving.jpg")
    whole, close = film_with(1, 1, size, 16, where), film_with(1, 1, 16, size, where)
    with tqdm(total=2 * people + faces, desc="film", unit="person") as bar:
        for name, film, kind, total in (("faces", close, "studio", faces), ("wild", whole, "wild", people),
                                        ("studio", whole, "studio", people)):  # fmt: skip
            for first in range(0, total, PEOPLE):
                sheet = crowd_sheet(film, kind, min(PEOPLE, total - first), film is close, first=first, tell=bar.update)
                save_small(sheet, out / f"{name}-{first // PEOPLE + 1}.jpg")
    print(f"look at {', '.join(sorted(file.name for file in out.glob('*.jpg')))} in {out}")


def study(
    out: Path,
    people: int = 1000,
    described: int = 4096,
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> None:
    """Do pixels betray the split, and how are colours and axes spread? Writes data_study.json and data_study.jpg.

    A linear classifier on 32 x 32 pixels is asked to tell train people from test people. The last line is JSON.

    Args:
        out: Folder for the results.
        people: Of each split and kind; four times as many are filmed.
        described: People in the histograms.
        device: Where to film.
    """
    from lca_mini.data.charts import chart
    from lca_mini.data.manifest import generator, write_whole
    from lca_mini.data.people import film_with
    from lca_mini.data.sheets import save_small
    from lca_mini.data.study import described as axes_of
    from lca_mini.data.study import study as run

    where = choose_device(device)
    axes, names = axes_of(described)
    found = run(film_with(1, 1, 64, 16, where), people, axes, names)
    about = {"command": "lca-mini " + " ".join(sys.argv[1:]), "commit": commit(), "generator": generator(), "device": device_name(where),
             "people_of_each_split": people, "described": described}  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "data_study.json", (json.dumps(about | found, indent=1) + "\n").encode())
    save_small(chart(found["colours"] | found["axes"]), out / "data_study.jpg")
    print(json.dumps(about | {"leaks": found["leaks"]}))


def megabytes(manifest: Any) -> float:
    """Of all shards."""
    return sum(size for size, _ in manifest.done.values()) / 1e6


COMMANDS: dict[str, Callable[..., None]] = {"make": make, "check": check, "show": show, "card": card, "study": study}
