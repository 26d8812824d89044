"""Measurements: one dictionary each, one JSON line on the terminal. Compare with the paper's 586 FPS on one A100.

Enters: sizes and a backend. Leaves: medians of wall-clock times after a warm-up. What differs from the paper: its
figure times the whole animation (correction, LBS and splatting); `bench_render` times splatting alone.
"""

from __future__ import annotations

import json
import math
import platform
import statistics
import time
from pathlib import Path
from typing import Any, Callable

import torch

from lca_mini.render import choose_backend, render
from lca_mini.types import Avatar, Cameras, DrivingSignal, Gaussians

# (centre, half axes) in metres, y up, feet at 0: torso, head, legs, arms held out
LIMBS = (
    ((0.0, 1.20, 0.0), (0.17, 0.30, 0.11)), ((0.0, 1.65, 0.0), (0.09, 0.13, 0.10)),
    ((0.10, 0.48, 0.0), (0.085, 0.48, 0.085)), ((-0.10, 0.48, 0.0), (0.085, 0.48, 0.085)),
    ((0.45, 1.40, 0.0), (0.33, 0.05, 0.05)), ((-0.45, 1.40, 0.0), (0.33, 0.05, 0.05)),
)
STATURE = 1.78


def human_figure(count: int, seed: int = 0) -> Gaussians:
    """Gaussians [N .] on a figure of ellipsoids: flat on the surface, as wide as they lie apart, mostly opaque."""
    g = torch.Generator().manual_seed(seed)
    centres, axes = (torch.tensor(part) for part in zip(*LIMBS))
    p = 1.6075  # Thomsen's formula for the area of an ellipsoid
    products = torch.stack([axes[:, 0] * axes[:, 1], axes[:, 0] * axes[:, 2], axes[:, 1] * axes[:, 2]], dim=-1)
    areas = 4 * math.pi * products.pow(p).mean(-1).pow(1 / p)
    limb = torch.multinomial(areas, count, replacement=True, generator=g)
    sphere = torch.nn.functional.normalize(torch.randn(count, 3, generator=g), dim=-1)
    normals = torch.nn.functional.normalize(sphere / axes[limb], dim=-1)
    # the shortest turn from z to the normal, then a spin about it: wxyz
    turn = torch.stack([1 + normals[:, 2].abs(), -normals[:, 1], normals[:, 0], torch.zeros(count)], dim=-1)
    spacing = math.sqrt(areas.sum().item() / count)
    scales = spacing * torch.tensor([1.0, 1.0, 0.3]) * torch.exp(0.3 * torch.randn(count, 3, generator=g))
    return Gaussians(
        means=sphere * axes[limb] + centres[limb], quats=torch.nn.functional.normalize(turn, dim=-1), scales=scales,
        opacities=torch.empty(count).uniform_(0.6, 0.99, generator=g), colors=torch.rand(count, 3, generator=g),
    )


def front_camera(size: int) -> Cameras:
    """One square camera [1 .], three metres away, whose frame the figure fills from top to bottom."""
    focal = 0.95 * size * 3.0 / STATURE
    view = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
    view[:3, 3] = torch.tensor([0.0, STATURE / 2, 3.0])
    K = torch.tensor([[focal, 0.0, size / 2], [0.0, focal, size / 2], [0.0, 0.0, 1.0]])
    return Cameras(view[None], K[None], size, size)


def device_name(device: torch.device | str) -> str:
    """The processor's model and threads, or the GPU's name."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{(models or [platform.processor() or platform.machine()])[0]}, {torch.get_num_threads()} threads"


def bench_render(
    backend: str = "auto", gaussians: int = 65536, size: int = 512, repeats: int = 30, batch: int = 1,
    device: str | None = None,
) -> dict[str, Any]:
    """Time `render` on `batch` figures, one view each, forward alone and forward with backward.

    Args:
        backend: as in `render`.
        gaussians: of each figure.
        size: side of the square picture, pixels.
        repeats: timed calls of each kind.
        device: None takes "cuda" for "gsplat", "cpu" for "cpu", else "cuda" where there is one.
    Returns: a dictionary that JSON takes; `ms_*` are for the whole batch, `fps` counts pictures.
    Raises: ValueError when a number is not positive, or the backend cannot run on the device.
    """
    if min(gaussians, size, repeats, batch) < 1:
        raise ValueError("gaussians, size, repeats and batch must all be at least 1")
    if device is None:
        device = {"gsplat": "cuda", "cpu": "cpu"}.get(backend, "cuda" if torch.cuda.is_available() else "cpu")
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"backend {backend!r} needs a CUDA device and there is none; use --backend cpu")
    one, camera = human_figure(gaussians).to(device), front_camera(size).to(device)
    people = one.map(lambda t: t.expand(batch, *t.shape).contiguous().requires_grad_())
    views = Cameras(camera.viewmats.expand(batch, 1, 4, 4), camera.Ks.expand(batch, 1, 3, 3), size, size)
    upstream = torch.rand(batch, 1, size, size, 3, device=device)

    def forward() -> None:
        with torch.no_grad():
            render(people, views, backend)

    def both() -> None:
        leaves = (people.means, people.quats, people.scales, people.opacities, people.colors)
        torch.autograd.grad(render(people, views, backend).colors, leaves, upstream)

    started = time.perf_counter()
    forward()
    first = time.perf_counter() - started
    ms, ms_both = _time(forward, repeats, device), _time(both, repeats, device)
    return {
        "bench": "render", "backend": choose_backend(device) if backend == "auto" else backend,
        "device": device_name(device), "gaussians": gaussians, "size": size, "batch": batch, "repeats": repeats,
        "ms_median": _round(statistics.median(ms)), "ms_p95": _round(_quantile(ms, 0.95)),
        "fps": _round(1000 * batch / statistics.median(ms)),
        "ms_with_backward_median": _round(statistics.median(ms_both)),
        "ms_with_backward_p95": _round(_quantile(ms_both, 0.95)),
        "first_call_s": _round(first), "torch": torch.__version__,
    }


def report_render(
    backend: str = "auto", gaussians: int = 65536, size: int = 512, repeats: int = 30, batch: int = 1,
    device: str | None = None,
) -> dict[str, Any]:
    """`bench_render` for a terminal: says what it does, then prints the result as one JSON line, the last."""
    print(f"rendering {batch} x {gaussians} Gaussians at {size} x {size}, {repeats} times forward, {repeats} both ways")
    result = bench_render(backend, gaussians, size, repeats, batch, device)
    print(json.dumps(result), flush=True)
    return result


def bench_avatar(
    preset: str = "mini", size: int = 512, images: int = 8, repeats: int = 30, device: str | None = None
) -> dict[str, Any]:
    """Time an avatar's stages with random weights of a preset: encode once, then drive and render frame by frame.

    Args:
        preset: "nano", "mini" or "paper".
        size: side of the rendered picture, pixels.
        images: reference images; encode runs under bfloat16 autocast on CUDA.
        repeats: timed calls of each stage.
    Returns: a dictionary that JSON takes: `stages` in ms (median), `fps` of drive and render together, `parameters`,
        and on CUDA the peak memory of `memory_gib`.
    Raises: ValueError for an unknown preset or another number of images than 1 to 16.
    """
    from lca_mini.body import load_body
    from lca_mini.config import preset as config_of
    from lca_mini.model import build

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    on_cuda = torch.device(device).type == "cuda"
    config = config_of(preset)
    torch.manual_seed(0)
    model = build(config, load_body(num_betas=config.num_betas)).to(device).eval().requires_grad_(False)
    pictures = torch.rand(1, images, 3, config.image_size, config.image_size, device=device)
    faces = torch.rand(1, images, 3, config.face_size, config.face_size, device=device)
    signal = DrivingSignal(
        pose=0.2 * torch.randn(1, 55, 3, device=device), transl=torch.tensor([[0.0, STATURE / 2, 0.0]], device=device),
        expression=torch.randn(1, config.expression_dim, device=device), gaze=torch.zeros(1, 4, device=device),
    )
    signal.pose[:, 0] = 0
    camera = front_camera(size).to(device)
    camera = Cameras(camera.viewmats[None], camera.Ks[None], size, size)

    def encode() -> Avatar:
        with torch.autocast("cuda", torch.bfloat16, enabled=on_cuda):
            return model.encode(pictures, faces)

    if on_cuda:
        torch.cuda.reset_peak_memory_stats()
    avatar = encode()
    gaussians = model.drive(avatar, signal)
    stages = {
        "encode": _time(encode, max(3, repeats // 3), device),
        "drive": _time(lambda: model.drive(avatar, signal), repeats, device),
        "render": _time(lambda: render(gaussians, camera), repeats, device),
    }
    frames = _time(lambda: render(model.drive(avatar, signal), camera), repeats, device)
    return {
        "bench": "avatar", "preset": preset, "device": device_name(device), "backend": choose_backend(device),
        "parameters": sum(p.numel() for p in model.parameters()), "gaussians": gaussians.means.shape[-2],
        "images": images, "image_size": config.image_size, "size": size, "repeats": repeats,
        "ms_median": _round(statistics.median(frames)), "ms_p95": _round(_quantile(frames, 0.95)),
        "fps": _round(1000 / statistics.median(frames)),
        "stages": {name: _round(statistics.median(ms)) for name, ms in stages.items()},
        "memory_gib": _round(torch.cuda.max_memory_allocated() / 2**30) if on_cuda else None, "torch": torch.__version__,
    }


def report_avatar(
    preset: str = "mini", size: int = 512, images: int = 8, repeats: int = 30, device: str | None = None
) -> dict[str, Any]:
    """`bench_avatar` for a terminal: the result is one JSON line, the last."""
    print(f"an avatar of preset {preset} from {images} images, random weights, rendered at {size} x {size}")
    result = bench_avatar(preset, size, images, repeats, device)
    print(json.dumps(result), flush=True)
    return result


def _time(call: Callable[[], None], repeats: int, device: str) -> list[float]:
    wait = torch.cuda.synchronize if torch.device(device).type == "cuda" else lambda: None
    times = []
    for i in range(3 + repeats):
        wait()
        started = time.perf_counter()
        call()
        wait()
        times.append(1000 * (time.perf_counter() - started))
    return times[3:]


def _quantile(values: list[float], q: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(q * len(ordered)) - 1)]


def _round(value: float) -> float:
    return float(f"{value:.4g}")
