"""Where the time of an animated frame goes: the stages of each path that `Live` may take.

Enters: a `Live` after its first frame. Leaves: for JSON, milliseconds and rooflines of the stages. No part of the paper.
"""

from __future__ import annotations

import statistics
from typing import Any, Callable

import torch

from lca_mini.bench.clock import Ceilings, Clock, rounded
from lca_mini.bench.render import cpu_stages, raster_counts
from lca_mini.live import Live
from lca_mini.recorded import record
from lca_mini.render import render
from lca_mini.types import Gaussians

COPIED = 13  # numbers of a Gaussian that a frame changes


@torch.no_grad()
def fixed_stages(
    live: Live, turn: Callable[[], Any], gaussians: Gaussians, ceilings: Ceilings, clock: Clock, repeats: int
) -> dict[str, Any]:
    """signal: one copy, waited for; from the host too. The others: each alone in a graph of its own, launched over and
    over: drive_and_project; rank: sort by depth, count; list: fill, sort by tile; blend. `ms_graphs`: the two graphs of a
    frame as they are. `pixels_apart`: of a picture, those more than 1/255 from the one by gsplat's lists and kernel."""
    from lca_mini.render.gsplat_stages import project
    from lca_mini.render.tile_lists import rank

    size, posed, there = (live.cameras.width, live.cameras.height), live.driver.runner.gaussians, turn().to("cpu")
    picture, touched, room = live(turn()), live.count(), live.drawn.room
    apart = (picture - live.blend(posed, live.bin())).abs().amax(-1) > 1 / 255
    binned = live.bin_within(room)

    def drive_and_project() -> None:
        live.driver.runner.run()
        project(posed, live.cameras)

    def alone(work: Callable[[], Any]) -> float:
        return clock.streamed(record(work)[0].replay, repeats)

    stages = {
        "signal": statistics.median(clock.each(lambda: live.driver.load(turn()), repeats)),
        "drive_and_project": alone(drive_and_project),
        "rank": alone(lambda: rank(live.projected, *size)),
        "list": alone(lambda: live.bin_within(room)),
        "blend": alone(lambda: live.blend_within(posed, binned)),
    }  # fmt: skip
    from_host = statistics.median(clock.each(lambda: live.driver.load(there), repeats))
    graphs = [clock.streamed(graph, repeats) for graph in (live.driver.replay, live.drawn.way(room))]
    counted = raster_counts(gaussians.means[..., 0].numel(), touched, live.cameras.width)
    drive, projection = drive_counts(live), counted["project"]
    counts = {"drive_and_project": tuple(a + b for a, b in zip(drive, projection)),
              **list_counts(gaussians.means[..., 0].numel(), room), "blend": counted["blend"]}  # fmt: skip
    return {
        "stages": {name: rounded(ms) for name, ms in stages.items()}, "ms_signal_from_host": rounded(from_host),
        "ms_graphs": [rounded(ms) for ms in graphs], "intersections": touched, "room": room,
        "pixels_apart": rounded(apart.float().mean().item()),
        "roofline": {name: ceilings.compare(stages[name], *count) for name, count in counts.items()},
    }  # fmt: skip


def list_counts(gaussians: int, room: int) -> dict[str, tuple[float, float]]:
    """Bytes of fixed lists, radix sorts of eight bits a pass. rank: 20 in and 12 out a Gaussian, four passes over its
    depth and number, then its count fetched and summed. list: a slot's key and id written, two passes over its key and
    number, its id fetched and written."""
    return {"rank": (gaussians * (32 + 4 * 2 * 12 + 4 * 8), 0), "list": (room * (6 + 2 * 2 * 10 + 8 + 4 + 4), 0)}


def gsplat_stages(
    live: Live, turn: Callable[[], Any], gaussians: Gaussians, ceilings: Ceilings, clock: Clock, repeats: int
) -> dict[str, Any]:
    """signal: one copy. drive_and_project: the graph. bin: tile lists, with gsplat's wait inside. blend."""
    kept: dict[str, Any] = {}

    def bins() -> None:
        kept["binned"] = live.bin()

    parts = (
        lambda: live.driver.load(turn()), live.driver.replay, bins,
        lambda: live.blend(live.driver.runner.gaussians, kept["binned"]),
    )  # fmt: skip
    with torch.no_grad():
        times = clock.stages(list(parts), repeats)
        graph = clock.streamed(live.driver.replay, repeats)
    names = ("signal", "drive_and_project", "bin", "blend")
    stages = {name: rounded(statistics.median(ms)) for name, ms in zip(names, times)}
    touched = len(kept["binned"].ids)
    counted = raster_counts(gaussians.means[..., 0].numel(), touched, live.cameras.width)
    drive = drive_counts(live)
    counted["drive_and_project"] = tuple(a + b for a, b in zip(drive, counted.pop("project")))
    measured = stages | {"drive_and_project": graph}
    return {
        "stages": stages, "ms_graph_streamed": rounded(graph), "intersections": touched,
        "roofline": {name: ceilings.compare(measured[name], *count) for name, count in counted.items()},
    }  # fmt: skip


def host_stages(
    live: Live, turn: Callable[[], Any], gaussians: Gaussians, ceilings: Ceilings, clock: Clock, repeats: int
) -> dict[str, Any]:
    """signal, drive and render; on the CPU backend also the rasteriser's own stages, for the first picture."""
    def draw() -> None:
        render(live.driver.runner.gaussians, live.cameras, live.backend)

    times = clock.stages([lambda: live.driver.load(turn()), live.driver.replay, draw], repeats)
    stages = {name: rounded(statistics.median(ms)) for name, ms in zip(("signal", "drive", "render"), times)}
    roofline = {"drive": ceilings.compare(stages["drive"], *drive_counts(live))} if live.driver.kernels != "torch" else {}
    if live.backend != "cpu":
        return {"stages": stages, "roofline": roofline}
    first = (0,) * (gaussians.means.dim() - 2)
    parts, touched = cpu_stages(gaussians[first], live.cameras[first], repeats)
    for name, count in raster_counts(gaussians.means.shape[-2], touched, live.cameras.width).items():
        roofline[name] = ceilings.compare(parts[name], *count)
    return {"stages": stages | parts, "intersections": touched, "roofline": roofline}


def drive_counts(live: Live) -> tuple[float, float]:
    """Bytes and operations of driving, what cannot be avoided: tokens, weights and canonical Gaussians read once a
    person, posed Gaussians written; matrix products, and about 300 operations a Gaussian for the rest."""
    packed, avatar, model = live.driver.runner.packed, live.driver.avatar, live.driver.model
    branch, images = model.correction_branch, packed[..., 0].numel()
    count = avatar.canonical.means.shape[1]
    people, anchors, width = avatar.token_features.shape
    weights = sum(p.numel() for p in branch.parameters()) - branch.token_layer.weight.numel() if branch else 0
    inner = sum(p.numel() for name, p in branch.named_parameters() if name.startswith(("rest.", "out."))) if branch else 0
    moved = people * (anchors * width + COPIED * count) + weights + images * COPIED * count
    return 4 * moved, images * (2 * anchors * inner + 300 * count)
