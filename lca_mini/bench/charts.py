"""Charts of measurements, for notebooks, and the stored results of other machines.

Enters: dictionaries that `lca_mini.bench` made. Leaves: matplotlib figures. No part of the paper.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESULTS = Path(__file__).parents[2] / "results"
"""Where `lca-mini bench suite --out results` stores what it measured, in a checkout of the repository."""
TONES = ("#33658a", "#86bbd8", "#f6ae2d", "#f26419", "#758e4f", "#8d6b94", "#b0475a")
STAGES = {"signal": 0, "drive": 1, "drive_and_project": 1, "project": 2, "rank": 2, "list": 3, "bin": 6, "blend": 4,
          "render": 5, "rest of render": 5}  # fmt: skip
"""Tone of each stage: the same in all bars of a chart, whatever stages the others have."""


def stored(bench: str, device: str) -> list[dict[str, Any]]:
    """Results of one kind ("drive", "render", "encode", "train") from results/bench_*_<device>.json, by file name; none
    where none were stored."""
    files = sorted(RESULTS.glob(f"bench_*_{device}.json"))
    return [result for result in (json.loads(file.read_text()) for file in files) if result.get("bench") == bench]


def label(result: dict[str, Any]) -> str:
    """A result in two lines: preset, Gaussians, frames a call, kernels and whose tile lists."""
    together = result["batch"] * result["people"]
    call = "one a call" if together == 1 else f"{together} a call"
    call += f" of {result['people']} avatars" if result["people"] > 1 else ""
    how = result["kernels"] + (", gsplat's lists" if result.get("lists") == "gsplat" else "")
    return f"{result['preset']}, {result['gaussians']:,} Gaussians\n{result['size']} pixels, {call} ({how})"


def parts_of(result: dict[str, Any]) -> dict[str, float]:
    """The stages that follow one another, milliseconds a frame; a renderer's own stages in place of their sum."""
    pictures = result["batch"] * result["people"]
    stages = dict(result["stages"])
    if pictures == 1 and {"project", "bin", "blend"} <= stages.keys():
        stages["rest of render"] = max(0.0, stages.pop("render") - sum(stages[s] for s in ("project", "bin", "blend")))
    else:
        stages = {k: v for k, v in stages.items() if "render" not in stages or k not in ("project", "bin", "blend")}
    return {name: ms / pictures for name, ms in stages.items()}


def stage_bars(results: list[dict[str, Any]], title: str) -> Figure:
    """A bar a result, cut into its stages, milliseconds a frame."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 1.6 + 0.7 * len(results)), layout="constrained")
    for row, result in enumerate(results):
        left = 0.0
        for name, ms in parts_of(result).items():
            axes.barh(row, ms, left=left, color=TONES[STAGES[name]], height=0.55, label=name.replace("_", " "))
            left += ms
    axes.set_yticks(range(len(results)), [label(result) for result in results], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("ms a frame, stage after stage")
    handles = dict(zip(*reversed(axes.get_legend_handles_labels())))  # one of a name
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles), fontsize=8)
    axes.set_title(f"{title}: {results[0]['device']}", fontsize=10)
    return figure


def roofline_bars(result: dict[str, Any], title: str) -> Figure:
    """Each stage's time beside the least that this device's memory and arithmetic would need."""
    from matplotlib import pyplot

    names = list(result["roofline"])
    figure, axes = pyplot.subplots(figsize=(8, 1.6 + 0.6 * len(names)), layout="constrained")
    for row, name in enumerate(names):
        counted = result["roofline"][name]
        axes.barh(row - 0.18, counted["least_ms"] * counted["gap"], height=0.34, color=TONES[0],
                  label=None if row else "measured")  # fmt: skip
        axes.barh(row + 0.18, counted["least_ms"], height=0.34, color=TONES[2], label=None if row else "least possible")
    axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("ms a call")
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    axes.set_title(f"{title}: {result['device']}", fontsize=10)
    return figure


def rate_bars(results: list[dict[str, Any]], title: str) -> Figure:
    """Pictures a second: waited for, and streamed."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 1.6 + 0.7 * len(results)), layout="constrained")
    for row, result in enumerate(results):
        pairs = (("waited for", result["fps"], -0.18), ("streamed", result["fps_streamed"], 0.18))
        for tone, (name, fps, shift) in zip(TONES, pairs):
            axes.barh(row + shift, fps, height=0.34, color=tone, label=None if row else name)
            axes.text(fps, row + shift, f" {fps:,.0f}", va="center", fontsize=8)
    axes.set_yticks(range(len(results)), [label(result) for result in results], fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel("pictures a second")
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    axes.set_title(f"{title}: {results[0]['device']}", fontsize=10)
    return figure
