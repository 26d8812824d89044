"""Whom a run learns from: people filmed as it goes, or a folder of samples.

Enters: settings, and which rank asks. Leaves: a `SampleStream`. Part of the paper: its two sources, in the wild and in the
studio. What differs from the paper: both are made by this library.
"""

from __future__ import annotations

import math
from itertools import groupby
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from lca_mini.capture.film import people_at_once
from lca_mini.capture.takes import Studio
from lca_mini.capture.wild import Tracker
from lca_mini.config import Config
from lca_mini.data import open_stream
from lca_mini.data.manifest import read_manifest
from lca_mini.data.people import cast_of, film_with
from lca_mini.data.stream import Cast, Film, SampleStream
from lca_mini.training.settings import TrainSettings
from lca_mini.types import Sample, join

REMEMBERED = 64  # people; so few are filmed once, before the clock starts, and kept
KEPT = 5e9  # bytes that people of the studio may take: 1,700 of them at the size of nano, 420 at that of mini
READERS = 4  # threads that decode stored pictures ahead


def people_of(
    settings: TrainSettings, config: Config, device: torch.device, rank: int, ranks: int, position: int,
    film: Film | None, cast: Cast | None,
) -> SampleStream:  # fmt: skip
    """The people of a run, from a step on.

    Args:
        film, cast: other people than the settings say; as in `SampleStream`.
    Raises: ValueError, one sentence, for a folder that is none, damaged, or holds less than was asked.
    """
    if film is None and settings.folder is not None:
        check_folder_fits(settings, config)
        return open_stream(settings.folder, settings.batch, rank, ranks, position, echo=settings.echo, workers=READERS,
                           split="train", device=device)
    few = 0 < settings.people <= REMEMBERED
    if film is None:
        sizes = (settings.references, settings.targets, config.image_size, config.face_size)
        tracker = Tracker().times(settings.tracker) if settings.tracker > 0 else None
        film = film_with(*sizes, device, 2 * settings.people if few else 0, tracker, Studio(settings.routines))
    cast = cast or cast_of("train", settings.people, settings.first)
    if settings.studio_people:
        one = 12 * (settings.references + settings.targets) * (config.image_size**2 + config.face_size**2)  # bytes
        together = people_at_once(device) if settings.studio_people * one <= KEPT else 0
        film = few_in_studio(film, cast, settings.studio_people, together)
    reel = 1 if few or torch.device(device).type == "cpu" else max(1, people_at_once(device) // settings.batch)
    stream = SampleStream(film, cast, settings.kind, settings.batch, rank, ranks, position, settings.echo, reel=reel)
    if few:
        from tqdm.auto import tqdm

        cycle = math.lcm(settings.people, settings.batch * ranks) // (settings.batch * ranks)
        for step in tqdm(range(cycle * (1 + (settings.kind == "mixed"))), desc="film", leave=False):
            film(stream.seeds(step), stream.kind_at(step))
    return stream


def few_in_studio(film: Film, cast: Cast, people: int, together: int) -> Film:
    """A film that sees the first `people` of a split over and over in the studio, and everybody in the wild.

    Args:
        together: how many to film at once, and keep; always the same ones, so that a resumed run sees the same pictures to
            the bit. 0 to film them anew each time.
    """
    first = int(cast(torch.arange(1))[0])
    kept: dict[int, Sample] = {}

    def filmed(seeds: Int[Tensor, "B"], kind: str) -> Sample:
        if kind != "studio":
            return film(seeds, kind)
        places = (seeds - first) % people
        if not together:
            return film(first + places, kind)
        parts = []
        for group, some in groupby(places.tolist(), lambda place: place // together):
            begin = group * together
            if group not in kept:
                kept[group] = film(first + torch.arange(begin, min(begin + together, people)), kind)
            parts.append(kept[group][[place - begin for place in some]])
        return join(parts)

    return filmed


def check_folder_fits(settings: TrainSettings, config: Config) -> None:
    """Raises: ValueError where a folder's samples are smaller than asked, or of other sizes than the model's."""
    plan = read_manifest(Path(settings.folder)).plan  # type: ignore[arg-type]
    for name in ("references", "targets"):
        if getattr(settings, name) > getattr(plan, name):
            raise ValueError(f"{settings.folder!r} holds {getattr(plan, name)} {name} a person, and "
                             f"{getattr(settings, name)} were asked for; give --{name} {getattr(plan, name)}")
    if (plan.image_size, plan.face_size) != (config.image_size, config.face_size):
        raise ValueError(f"{settings.folder!r} holds pictures of {plan.image_size} and faces of {plan.face_size} pixels; "
                         f"preset {config.preset} reads {config.image_size} and {config.face_size}")
    if settings.people or settings.studio_people:
        raise ValueError(f"people cannot be chosen from a folder; {settings.folder!r} holds {plan.people}")
