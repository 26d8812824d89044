"""How fast people are filmed: pictures a second of `sample_people`, dressed, lit, shadowed and degraded.

Enters: a kind of capture and how many people at a time. Leaves: a dictionary for JSON. No part of the paper, whose
pictures lie on disks. Body pictures and face crops, of references and of targets, each count as one.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch

from lca_mini.bench.clock import Clock, check_numbers, rounded, summary
from lca_mini.capture.film import SAMPLE_KINDS, people_at_once, sample_people
from lca_mini.capture.wild import Tracker
from lca_mini.device import choose_device, device_name
from lca_mini.people.splits import seeds_of

FEW = 2  # calls before the timed ones


def bench_data(
    kind: str = "wild", people: int | None = None, references: int = 8, targets: int = 4, image_size: int = 256,
    face_size: int = 128, repeats: int = 5, device: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Time filming, other people in each call.

    Args:
        kind: of `SAMPLE_KINDS`; wild samples have a tracker's errors too.
        people: a call, filmed together; None takes 4 on a CPU, on a GPU `film.people_at_once`.
        repeats: timed calls, after two that are not.
        device: None takes a GPU if there is one.
    Returns: a dictionary that JSON takes; per second are medians, `ms_*` are for a call, `fps` counts pictures.
    Raises: ValueError for another kind, numbers below 1, or a GPU that is not there.
    """
    if kind not in SAMPLE_KINDS:
        raise ValueError(f"no capture {kind!r}; choose one of {', '.join(SAMPLE_KINDS)}")
    device = choose_device(device or "auto")
    clock = Clock(device)
    people = (people_at_once(device) if clock.cuda else 4) if people is None else people
    check_numbers(people=people, references=references, targets=targets, repeats=repeats)
    tracker, turn = Tracker() if kind == "wild" else None, itertools.count()

    def shoot() -> None:
        seeds = seeds_of("train", next(turn) * people, people)
        sample_people(seeds, kind, references, targets, image_size, face_size, device, people, tracker=tracker)

    if clock.cuda:
        torch.cuda.reset_peak_memory_stats()
    images = 2 * (references + targets)
    times = summary(clock.stages([shoot], repeats, FEW)[0], images * people)
    return {
        "bench": "data", "kind": kind, "device": device_name(device), "people": people, "references": references,
        "targets": targets, "image_size": image_size, "face_size": face_size, "repeats": repeats, **times,
        "images_per_s": times["fps"], "people_per_s": rounded(times["fps"] / images),
        "memory_gib": rounded(torch.cuda.max_memory_allocated() / 2**30) if clock.cuda else None,
        "torch": torch.__version__,
    }  # fmt: skip
