"""How fast people are filmed: pictures a second of `sample_people`, dressed, lit, shadowed and degraded.

Enters: a kind of capture and how many people at a time. Leaves: one dictionary, one JSON line on the terminal. No part
of the paper, whose pictures lie on disks. Body pictures and face crops, of references and of targets, all count.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch

from lca_mini.capture.film import SAMPLE_KINDS, sample_people
from lca_mini.capture.wild import Tracker
from lca_mini.device import device_name
from lca_mini.people.splits import seeds_of


def bench_data(
    kind: str = "wild", people: int | None = None, references: int = 8, targets: int = 4, image_size: int = 256,
    face_size: int = 128, repeats: int = 5, device: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Time filming, other people in each call.

    Args:
        kind: of `SAMPLE_KINDS`; wild samples have a tracker's errors too.
        people: a call, filmed together; None takes 64 on a GPU and 4 on a CPU.
        repeats: timed calls, after two that are not.
        device: None takes a GPU if there is one.
    Returns: a dictionary that JSON takes; per second are medians, `ms_*` are for a call.
    Raises: ValueError for another kind, numbers below 1, or a GPU that is not there.
    """
    if kind not in SAMPLE_KINDS:
        raise ValueError(f"no capture {kind!r}; choose one of {', '.join(SAMPLE_KINDS)}")
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    on_cuda = torch.device(device).type == "cuda"
    if on_cuda and not torch.cuda.is_available():
        raise ValueError("there is no CUDA device here; use --device cpu")
    people = (64 if on_cuda else 4) if people is None else people
    if min(people, references, targets, repeats) < 1:
        raise ValueError("people, references, targets and repeats must all be at least 1")
    tracker = Tracker() if kind == "wild" else None
    seconds = []
    if on_cuda:
        torch.cuda.reset_peak_memory_stats()
    for i in range(2 + repeats):
        seeds = seeds_of("train", i * people, people)
        started = time.perf_counter()
        sample_people(seeds, kind, references, targets, image_size, face_size, device, people, tracker=tracker)
        if on_cuda:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    seconds = sorted(seconds[2:])
    median, late = statistics.median(seconds), seconds[min(len(seconds) - 1, round(0.95 * len(seconds)))]
    images = 2 * (references + targets)
    short = lambda value: float(f"{value:.4g}")  # noqa: E731
    return {
        "bench": "data", "kind": kind, "device": device_name(device), "people": people, "references": references,
        "targets": targets, "image_size": image_size, "face_size": face_size, "repeats": repeats,
        "images_per_s": short(images * people / median), "people_per_s": short(people / median),
        "ms_median": short(1000 * median), "ms_p95": short(1000 * late),
        "memory_gib": short(torch.cuda.max_memory_allocated() / 2**30) if on_cuda else None,
        "torch": torch.__version__,
    }  # fmt: skip
