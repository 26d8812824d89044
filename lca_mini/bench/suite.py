"""`lca-mini bench suite`: all measurements of a machine into one folder, a file each.

Enters: a device and a folder. Leaves: `bench_<what>_<device>.json`, device being "h200" for an NVIDIA H200, "cpu" for a
CPU. A measurement that fails leaves its reason in place of its figures, and the others go on; where driving fails on
CUDA, it is measured once more with gsplat's own tile lists, and then with the readable path in a CUDA graph as well. No
part of the paper.
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import Any, Callable

import torch

from lca_mini.bench.clock import choose
from lca_mini.bench.data import bench_data
from lca_mini.bench.drive import bench_drive
from lca_mini.bench.learn import bench_encode, bench_train
from lca_mini.bench.render import bench_render
from lca_mini.bench.scaling import bench_scaling
from lca_mini.device import commit

Job = tuple[str, Callable[..., dict[str, Any]], dict[str, Any]]


def jobs(device: str) -> list[Job]:
    """Name, function and arguments of each measurement; the most telling first."""
    filming: list[Job] = [(f"data_{kind}", bench_data, {"kind": kind, "device": device}) for kind in ("wild", "studio")]
    if torch.device(device).type == "cuda":
        paper = {"preset": "paper", "size": 1024, "device": device}
        mini = {"preset": "mini", "size": 512, "device": device}
        several: list[Job] = [
            ("scaling_mini", bench_scaling, {"preset": "mini", "batch": 64, "device": device}),
            ("scaling_paper", bench_scaling, {"preset": "paper", "batch": 4, "repeats": 2, "device": device}),
        ]  # fmt: skip
        return [
            ("drive_paper", bench_drive, paper | {"repeats": 200}),
            ("drive_paper_batch16", bench_drive, paper | {"batch": 16, "repeats": 40}),
            ("drive_paper_gsplat_lists", bench_drive, paper | {"lists": "gsplat", "repeats": 200}),
            ("drive_paper_batch16_gsplat_lists", bench_drive, paper | {"lists": "gsplat", "batch": 16, "repeats": 40}),
            ("drive_paper_people16", bench_drive, paper | {"people": 16, "repeats": 40}),
            ("drive_paper_graph", bench_drive, paper | {"kernels": "torch", "repeats": 100}),
            ("encode_paper", bench_encode, {"preset": "paper", "device": device}),
            ("drive_mini", bench_drive, mini | {"repeats": 200}),
            ("drive_mini_batch16", bench_drive, mini | {"batch": 16, "repeats": 40}),
            ("encode_mini", bench_encode, {"preset": "mini", "device": device}),
            ("render_gsplat", bench_render, {"backend": "gsplat", "size": 1024, "repeats": 50}),
            ("train_mini", bench_train, {"preset": "mini", "batch": 16, "references": 8, "targets": 4, "repeats": 3,
                                        "device": device}),
            *filming, *(several if torch.cuda.device_count() > 1 else ()),
        ]
    return [
        ("render", bench_render, {"backend": "cpu", "against_reference": True}),
        ("drive_mini", bench_drive, {"device": device}),
        ("drive_mini_batch16", bench_drive, {"batch": 16, "repeats": 10, "device": device}),
        ("encode_mini", bench_encode, {"repeats": 3, "device": device}),
        ("train_nano", bench_train, {"repeats": 3, "device": device}),
        *filming,
    ]


def short_name(device: str) -> str:
    """A device as it stands in file names: "NVIDIA H200" is "h200"."""
    if torch.device(device).type == "cpu":
        return "cpu"
    name = torch.cuda.get_device_name(device).lower().removeprefix("nvidia ").removeprefix("tesla ")
    return re.sub(r"[^a-z0-9]+", "-", name).strip("-")


def bench_suite(out: Path, device: str | None = None, only: tuple[str, ...] = ()) -> dict[str, Any]:
    """Run every job (or those in `only`), print a line for each as it ends.

    Returns: the file names that were written, and what failed.
    Raises: ValueError for a name in `only` that is no job, or a folder that cannot be written.
    """
    device = choose(device)
    listed = jobs(device)
    unknown = sorted(set(only) - {name for name, _, _ in listed})
    if unknown:
        raise ValueError(f"no measurement {', '.join(unknown)}; choose from {', '.join(name for name, _, _ in listed)}")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot write into {str(out)!r}: {error.strerror}; choose another folder with --out") from None
    written, failed, suffix = [], {}, short_name(device)
    for name, function, arguments in listed:
        if only and name not in only:
            continue
        started = time.perf_counter()
        try:
            result = attempt(function, arguments)
        except Exception as error:  # one that fails must not take the others' figures along
            failed[name] = " ".join(f"{type(error).__name__}: {error}".split())[:500]
            print(f"{name}: failed, {failed[name]}", flush=True)
            continue
        about = {"command": f"lca-mini bench suite --device {device} --only {name}", "commit": commit()}
        file = out / f"bench_{name}_{suffix}.json"
        file.write_text(json.dumps(about | result, indent=2) + "\n")
        written.append(file.name)
        seconds = time.perf_counter() - started
        figures = f"{result['times']} times" if "times" in result else f"{result['ms_median']} ms, {result['fps']} a second"
        print(f"{name}: {figures} ({seconds:.0f} s)", flush=True)
    return {"bench": "suite", "written": written, "failed": failed, "python": sys.version.split()[0]}


def attempt(function: Callable[..., dict[str, Any]], arguments: dict[str, Any]) -> dict[str, Any]:
    """A measurement; of driving, where "auto" raises, once more on CUDA with gsplat's own lists, and then with kernels
    "torch" (as well). The result says what failed, and why."""
    others = {"lists": "gsplat"} if torch.device(arguments.get("device", "cpu")).type == "cuda" else {}
    others["kernels"] = "torch"
    failures: dict[str, str] = {}
    while True:
        try:
            return function(**arguments) | failures
        except Exception as error:
            left = [name for name in others if name not in arguments] if function is bench_drive else []
            if not left:
                raise
            failures[f"{left[0]}_that_failed"] = " ".join(f"{type(error).__name__}: {error}".split())[:500]
            arguments = arguments | {left[0]: others[left[0]]}
