"""Synthetic people for a stream: who is in a split, and how they are filmed.

Enters: a split's name and sizes. Leaves: the two functions that `SampleStream` takes. It replaces the paper's data,
which is not public.
"""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from lca_mini.capture.film import sample_people
from lca_mini.capture.takes import Studio
from lca_mini.capture.wild import Tracker
from lca_mini.data.stream import Cast, Film
from lca_mini.people.splits import SPAN, first_seed
from lca_mini.types import Sample

AT_ONCE = {"cpu": 4, "cuda": 32}  # people of a stored batch


def cast_of(split: str, people: int = 0, first: int = 0) -> Cast:
    """Positions to seeds of a split. people: how many there are, after which they come again; 0 for all. first: how many
    to pass over.

    Raises: ValueError for an unknown split, or more people than it has.
    """
    start = first_seed(split, first, people or SPAN - first)

    def cast(positions: Int[Tensor, "B"]) -> Int[Tensor, "B"]:
        return start + positions % (people or SPAN - first)

    return cast


def film_with(
    references: int, targets: int, image_size: int, face_size: int, device: torch.device | str, remember: int = 0,
    tracker: Tracker | None = None, studio: Studio = Studio(), of_references: bool = False,
) -> Film:
    """Film people on a device with so many reference images and targets each.

    Args:
        remember: how many steps' samples to keep, so that people who come again need not be filmed again.
        tracker: whose errors wild samples carry; None for the truth, as evaluation takes it.
        studio: the takes of studio samples; evaluation leaves it out, training asks for routines.
        of_references: as in `sample_people`.
    """
    at_once = AT_ONCE["cpu"] if torch.device(device).type == "cpu" else None  # as many as a GPU has room for
    kept: dict[tuple[str, tuple[int, ...]], Sample] = {}

    def film(seeds: Int[Tensor, "B"], kind: str) -> Sample:
        key = (kind, tuple(seeds.tolist()))
        if key in kept:
            return kept[key]
        sample = sample_people(
            seeds, kind, references, targets, image_size, face_size, device, at_once, tracker=tracker, studio=studio,
            of_references=of_references,
        )  # fmt: skip
        if len(kept) < remember:
            kept[key] = sample
        return sample

    return film
