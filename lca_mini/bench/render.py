"""`lca-mini bench render`: splatting alone, forward, and forward with backward.

Enters: sizes and a backend. Leaves: a dictionary for JSON. What differs from the paper: its 586 frames a second time
the whole animation; see `lca_mini.bench.drive`.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from typing import Any, Callable

import numpy as np
import torch

from lca_mini.bench.clock import Clock, check_numbers, choose, measure_ceilings, quantile, rounded, summary
from lca_mini.bench.scenes import front_camera, human_figure
from lca_mini.device import device_name
from lca_mini.render import choose_backend, render
from lca_mini.types import Cameras, Gaussians

REFERENCE_ROWS = 4  # of the picture, spread over it: the readable reference takes as long for each


def bench_render(
    backend: str = "auto", gaussians: int = 65536, size: int = 512, repeats: int = 30, batch: int = 1,
    device: str | None = None, against_reference: bool = False,
) -> dict[str, Any]:
    """Time `render` on `batch` figures, one view each, forward alone and forward with backward.

    Args:
        backend: as in `render`.
        gaussians: of each figure.
        size: side of the square picture, pixels.
        repeats: timed calls of each kind.
        device: None takes "cuda" for "gsplat", "cpu" for "cpu", else "cuda" where there is one.
        against_reference: also time `lca_mini.render.reference` on the same scene and device: a few rows of one
            picture, since it works every pixel alike and the whole would take minutes; `reference_ms` is the sum for
            all rows.
    Returns: a dictionary that JSON takes; `ms_*` are for the whole batch, `fps` counts pictures.
    Raises: ValueError when a number is not positive, or the backend cannot run on the device.
    """
    check_numbers(gaussians=gaussians, size=size, repeats=repeats, batch=batch)
    device = choose(device, backend)
    backend = choose_backend(device) if backend == "auto" else backend
    one, camera = human_figure(gaussians).to(device), front_camera(size).to(device)
    people = one.map(lambda t: t.expand(batch, *t.shape).contiguous().requires_grad_())
    views = Cameras(camera.viewmats.expand(batch, 1, 4, 4), camera.Ks.expand(batch, 1, 3, 3), size, size)
    upstream = torch.rand(batch, 1, size, size, 3, device=device)
    clock = Clock(device)

    def forward() -> None:
        with torch.no_grad():
            render(people, views, backend)

    def both() -> None:
        leaves = (people.means, people.quats, people.scales, people.opacities, people.colors)
        torch.autograd.grad(render(people, views, backend).colors, leaves, upstream)

    started = time.perf_counter()
    forward()
    clock.wait()
    first = time.perf_counter() - started
    ms, ms_both = clock.each(forward, repeats), clock.each(both, repeats)
    result = {
        "bench": "render", "backend": backend, "device": device_name(device), "gaussians": gaussians, "size": size,
        "batch": batch, "repeats": repeats, **summary(ms, batch),
        "ms_with_backward_median": rounded(statistics.median(ms_both)),
        "ms_with_backward_p95": rounded(quantile(ms_both, 0.95)),
    }  # fmt: skip
    if backend == "cpu":
        stages, touched = cpu_stages(one, camera, repeats)
        ceilings = measure_ceilings(device)
        result |= {"stages": stages, "intersections": touched, "ceilings": ceilings.report()}
        counted = raster_counts(gaussians, touched, size)
        result["roofline"] = {name: ceilings.compare(stages[name], *count) for name, count in counted.items()}
    if against_reference:
        slow = reference_ms(one, camera, clock)
        result |= {"reference_ms": rounded(slow), "reference_rows_timed": REFERENCE_ROWS,
                   "times_faster_than_reference": rounded(slow * batch / result["ms_median"])}  # fmt: skip
    return result | {"first_call_s": rounded(first), "torch": torch.__version__}


def cpu_stages(gaussians: Gaussians, cameras: Cameras, repeats: int) -> tuple[dict[str, float], int]:
    """Median milliseconds of the CPU backend's stages on one picture, and how many pairs of a Gaussian and a tile
    there are."""
    from lca_mini.compiled import share
    from lca_mini.render.cpu import CHUNKS
    from lca_mini.render.kernels import SPLAT, TILE, bin_tiles, project, rasterize

    count, width, height, threads = len(gaussians.means), cameras.width, cameras.height, torch.get_num_threads()
    tiles_x, tiles_y = -(-width // TILE), -(-height // TILE)
    fields = [t.contiguous().numpy() for t in vars(gaussians).values()]
    view, K, white = cameras.viewmats[0].numpy(), cameras.Ks[0].numpy(), np.ones(3, np.float32)
    splats, rects = np.empty((count, SPLAT), np.float32), np.empty((count, 4), np.int32)
    images = np.empty((height, width, 3), np.float32), *(np.empty((height, width), np.float32) for _ in range(2))
    lists: list[np.ndarray] = []

    def split(kernel: Callable[[int, int], Any], items: int, chunks: int) -> None:
        edges = np.linspace(0, items, threads * chunks + 1).astype(int).tolist()
        share(lambda i: kernel(edges[i], edges[i + 1]), threads * chunks, threads)

    def first() -> None:
        split(lambda i, j: project(i, j, *fields, view, K, width, height, splats, rects), count, 1)

    def second() -> None:
        lists[:] = bin_tiles(splats, rects, splats.view(np.uint32), tiles_x, tiles_y)

    def third() -> None:
        split(lambda i, j: rasterize(i, j, splats, *lists[1:], tiles_x, white, *images), tiles_x * tiles_y, CHUNKS)

    times = Clock("cpu").stages([first, second, third], repeats)
    medians = {name: rounded(statistics.median(ms)) for name, ms in zip(("project", "bin", "blend"), times)}
    return medians, len(lists[2])


def raster_counts(gaussians: int, touched: int, size: int) -> dict[str, tuple[float, float]]:
    """Bytes and operations of each stage. project: 14 numbers in, 11 out, about 150 operations a Gaussian. bin: every
    pair's key and id written and, by a sort of 44 bits, read and written six times. blend: 10 numbers a pair, 20
    operations for each of a tile's 256 pixels (an upper count: saturated pixels stop), a picture of 16 bytes a pixel."""
    return {
        "project": (4 * 25 * gaussians, 150 * gaussians), "bin": (12 * 13 * touched, 0),
        "blend": (40 * touched + 16 * size**2, 20 * 256 * touched),
    }  # fmt: skip


def reference_ms(gaussians: Gaussians, cameras: Cameras, clock: Clock) -> float:
    """Milliseconds that the readable reference would take for one picture, from `REFERENCE_ROWS` of its rows."""
    height, total = cameras.height, 0.0
    for i in range(REFERENCE_ROWS):
        row = (2 * i + 1) * height // (2 * REFERENCE_ROWS)
        K = cameras.Ks.clone()
        K[..., 1, 2] -= row
        strip = replace(cameras, Ks=K, height=1)
        clock.wait()
        started = time.perf_counter()
        render(gaussians, strip, "reference")
        clock.wait()
        total += 1000 * (time.perf_counter() - started)
    return total * height / REFERENCE_ROWS
