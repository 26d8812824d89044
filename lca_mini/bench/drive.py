"""`lca-mini bench drive`: the whole loop of an animated frame, signal in, pixels out, and where its time goes.

Enters: a preset, sizes, how many frames or people come in a call. Leaves: a dictionary for JSON. It is what the
paper's 586 frames a second on one A100 measure; an H200 has about 2.4 to 3 times an A100's memory bandwidth (its
80 and 40 GB models) and about 3 times its bfloat16 arithmetic, by their maker's data sheets.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch

from lca_mini.bench.clock import Clock, check_numbers, choose, measure_ceilings, rounded, summary
from lca_mini.bench.drive_stages import fixed_stages, gsplat_stages, host_stages
from lca_mini.bench.scenes import Scene, posed_avatar
from lca_mini.device import device_name
from lca_mini.live import Live
from lca_mini.model.driver import PRECISIONS, Driver
from lca_mini.render import render
from lca_mini.render.reference import BLUR
from lca_mini.types import Gaussians

SIGNALS = 16  # different ones that frames take turns with


def bench_drive(
    preset: str = "mini", size: int = 512, batch: int = 1, people: int = 1, repeats: int = 50, backend: str = "auto",
    kernels: str = "auto", precision: str = "auto", device: str | None = None, lists: str = "auto",
) -> dict[str, Any]:
    """Time `Live` on a real avatar, waving, that fills the frame.

    Args:
        preset: weights that ship, or random ones whose Gaussians lie on the body all the same.
        size: side of the square picture, pixels.
        batch: frames of an avatar in a call.
        people: avatars in a call.
        repeats: timed calls.
        backend: as `render` takes it.
        kernels, precision: as `Driver` takes them.
        lists: as `Live` takes them.
    Returns: `ms_median`, `ms_p95`, `fps`: calls that wait for their pixels (latency); `ms_streamed`, `fps_streamed`:
        calls queued one after another (throughput); `ms_readable`: `render(model.drive(...))`; `stages`: medians;
        `errors` against `LCA.drive` in float32; `roofline`; with gsplat `over_gsplat`, the whole loop over
        `gsplat.rasterization` on the same Gaussians with its default arguments, `over_gsplat_unpacked` over its faster
        `packed=False`, each call waited for, and `_streamed` for both queued.
    Raises: ValueError for a number that is not positive, or a device, backend, kernels or lists that cannot be.
    """
    check_numbers(size=size, batch=batch, people=people, repeats=repeats)
    device = choose(device, backend)
    clock, frames = Clock(device), batch if batch > 1 else None
    scene = posed_avatar(preset, size, device, people, max(batch, SIGNALS))
    cut = (slice(None), 0) if frames is None else (slice(None), slice(0, batch))
    cameras = scene.cameras[cut]
    signals = [scene.signal[:, i] for i in range(SIGNALS)] if frames is None else [scene.signal[cut]]
    started = time.perf_counter()
    live = Live(scene.model, scene.avatar, cameras, frames, kernels, precision, backend, lists=lists)
    picture = live(signals[0])
    clock.wait()
    first = time.perf_counter() - started
    turn = Turn(signals)

    ms = clock.each(lambda: live(turn()), repeats)
    streamed = clock.streamed(lambda: live(turn()), repeats)
    gaussians = live.driver(signals[0]).map(torch.clone)
    with torch.no_grad():
        readable = clock.each(
            lambda: render(scene.model.drive(scene.avatar, turn()), cameras, live.backend), max(5, repeats // 5)
        )
    pictures = people * batch
    ceilings = measure_ceilings(device)
    result = {
        "bench": "drive", "preset": preset, "weights": scene.weights, "device": device_name(device),
        "backend": live.backend, "lists": live.lists, "blending": live.blending,
        "kernels": live.driver.kernels, "precision": live.driver.precision,
        "gaussians": gaussians.means.shape[-2], "size": size, "batch": batch, "people": people, "repeats": repeats,
        **summary(ms, pictures), "ms_streamed": rounded(streamed), "fps_streamed": rounded(1000 * pictures / streamed),
        "ms_readable": rounded(statistics.median(readable)), "background_fraction": rounded(background_fraction(picture)),
    }  # fmt: skip
    stages_of = {"fixed": fixed_stages, "gsplat": gsplat_stages}.get(live.lists, host_stages)
    result |= stages_of(live, turn, gaussians, ceilings, clock, repeats)
    if live.staged:
        result |= over_gsplat(live, gaussians, result, clock, repeats)
    result["errors"] = {name: drive_errors(scene, live.driver.kernels, name)
                        for name in (PRECISIONS if live.driver.kernels == "triton" else ("float32",))}  # fmt: skip
    result["ceilings"] = ceilings.report()
    return result | {"first_call_s": rounded(first), "torch": torch.__version__}


class Turn:
    """One signal after another, round and round."""

    def __init__(self, signals: list[Any]) -> None:
        self.signals, self.position = signals, 0

    def __call__(self) -> Any:
        self.position += 1
        return self.signals[self.position % len(self.signals)]


def background_fraction(picture: torch.Tensor) -> float:
    """How much of the picture is pure white, which is behind the Gaussians."""
    return (picture == 1).all(-1).float().mean().item()


def over_gsplat(
    live: Live, gaussians: Gaussians, result: dict[str, Any], clock: Clock, repeats: int
) -> dict[str, Any]:
    """gsplat's own call on the same Gaussians and cameras, with our blur: packed, where it takes no background, and with
    packed=False over ours."""
    from gsplat import rasterization

    made: dict[str, Any] = {}
    cameras = live.cameras
    for name, options in (
        ("gsplat", {}), ("gsplat_unpacked", {"packed": False, "backgrounds": live.backgrounds}),
    ):  # fmt: skip
        def call() -> None:
            with torch.no_grad():
                rasterization(
                    gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities, gaussians.colors,
                    cameras.viewmats, cameras.Ks, cameras.width, cameras.height, eps2d=BLUR, **options,
                )  # fmt: skip

        ms, streamed = statistics.median(clock.each(call, repeats)), clock.streamed(call, repeats)
        made |= {f"ms_{name}": rounded(ms), f"ms_{name}_streamed": rounded(streamed),
                 f"over_{name}": rounded(result["ms_median"] / ms),
                 f"over_{name}_streamed": rounded(result["ms_streamed"] / streamed)}  # fmt: skip
    return made


@torch.no_grad()
def drive_errors(scene: Scene, kernels: str, precision: str) -> dict[str, float]:
    """Of the first person's Gaussians over `SIGNALS` frames against `LCA.drive` in float32: distances of means, in
    millimetres, and differences of colours, in 1/255."""
    avatar, signal = scene.avatar[:1], scene.signal[:1, :SIGNALS]
    driver = Driver(scene.model, avatar, signal.pose.shape[1], kernels, precision)
    got, wanted = driver(signal), scene.model.drive(avatar, signal)
    distance, colour = 1000 * (got.means - wanted.means).norm(dim=-1), 255 * (got.colors - wanted.colors).abs()
    return {"mm_max": rounded(distance.max().item()), "mm_mean": rounded(distance.mean().item()),
            "colour_max": rounded(colour.max().item()), "colour_mean": rounded(colour.mean().item())}  # fmt: skip
