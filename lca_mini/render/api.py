"""`render`: Gaussians and cameras in, pictures out, differentiable in the Gaussians (the paper's rendering step).

Backends, all drawing the same picture: "gsplat" (CUDA), "cpu" (numba, tiles over threads) and "reference" (torch,
slow, any dtype). What differs from the paper: the CPU path.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lca_mini.render import cpu, gsplat_backend, reference
from lca_mini.types import Cameras, Gaussians, Rendering

Backend = Callable[[Gaussians, Cameras, Float[Tensor, "3"]], Rendering]

BACKENDS: dict[str, Backend] = {"gsplat": gsplat_backend.draw, "cpu": cpu.draw, "reference": reference.draw}
"""Name to function of (Gaussians [B N .], Cameras [B C .], background [3]) that returns a Rendering [B C H W .]."""

_TRAILING = {"means": (3,), "quats": (4,), "scales": (3,), "opacities": (), "colors": (3,)}


def choose_backend(device: torch.device | str) -> str:
    """What "auto" means on a device: "gsplat" on CUDA, "cpu" on a CPU.

    Raises: ValueError for another kind of device.
    """
    names = {"cuda": "gsplat", "cpu": "cpu"}
    kind = torch.device(device).type
    if kind not in names:
        raise ValueError(f'no render backend runs on {kind} tensors; move them to "cpu" or "cuda", or take "reference"')
    return names[kind]


def render(
    gaussians: Gaussians, cameras: Cameras, backend: str = "auto",
    background: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> Rendering:
    """Draw every set of Gaussians from each of its cameras.

    Args:
        gaussians: leading dims *batch, world frame, metres.
        cameras: leading dims *batch C.
        backend: "auto" (see `choose_backend`) or a name in `BACKENDS`.
        background: RGB behind the Gaussians.
    Returns: leading dims *batch C; float32, save for "reference", which keeps the dtype of its input. Gradients flow to
        the Gaussians, not to the cameras.
    Raises: ValueError, in one sentence, for an unknown or impossible backend, for shapes or devices that disagree, and
        for values that are not finite (looked for in CPU tensors only: on a GPU looking would stall the stream).
    """
    _check(gaussians, cameras, background)
    name = choose_backend(gaussians.means.device) if backend == "auto" else backend
    if name not in BACKENDS:
        raise ValueError(f"no render backend {backend!r}; choose auto or one of {', '.join(BACKENDS)}")
    batch, means = gaussians.means.shape[:-2], gaussians.means
    people = math.prod(batch)
    flat_gaussians = Gaussians(**{
        field: getattr(gaussians, field).reshape(people, means.shape[-2], *size) for field, size in _TRAILING.items()
    })
    views = cameras.viewmats.shape[-3]
    flat_cameras = replace(
        cameras, viewmats=cameras.viewmats.reshape(people, views, 4, 4), Ks=cameras.Ks.reshape(people, views, 3, 3)
    )
    colour = torch.stack([means.new_full((), float(value)) for value in background])
    rendering = BACKENDS[name](flat_gaussians, flat_cameras, colour)
    return rendering.map(lambda t: t.reshape(*batch, *t.shape[1:]))


def _check(gaussians: Gaussians, cameras: Cameras, background: tuple[float, float, float]) -> None:
    means = gaussians.means
    if means.ndim < 2 or means.shape[-1] != 3:
        raise ValueError(f"means must have shape [*batch N 3], got {tuple(means.shape)}")
    for field, shape in _TRAILING.items():
        value = getattr(gaussians, field)
        if value.shape != (*means.shape[:-1], *shape):
            raise ValueError(
                f"{field} have shape {tuple(value.shape)} but the means ask for {(*means.shape[:-1], *shape)}"
            )
    batch, views = tuple(means.shape[:-2]), tuple(cameras.viewmats.shape[-3:-2])
    for field, shape in (("viewmats", (4, 4)), ("Ks", (3, 3))):
        value = getattr(cameras, field)
        if value.ndim < 3 or tuple(value.shape) != (*batch, *views, *shape):
            raise ValueError(
                f"{field} have shape {tuple(value.shape)} but these Gaussians ask for "
                f"[{' '.join(map(str, (*batch, 'C', *shape)))}]: cameras carry the Gaussians' leading dims, then C"
            )
    if cameras.width < 1 or cameras.height < 1:
        raise ValueError(f"cannot draw an image of {cameras.width} x {cameras.height} pixels; both must be positive")
    if len(background) != 3:
        raise ValueError(f"background must be three numbers (RGB), got {len(background)}")
    tensors = {field: getattr(gaussians, field) for field in _TRAILING}
    tensors |= {"viewmats": cameras.viewmats, "Ks": cameras.Ks}
    for field, value in tensors.items():
        if value.device != means.device:
            raise ValueError(f"{field} are on {value.device} but the means are on {means.device}; move them together")
        # through numpy: one thread scans these small arrays faster than torch wakes its pool
        if value.device.type == "cpu" and not np.isfinite(value.detach().float().numpy()).all():
            raise ValueError(f"{field} hold values that are not finite (NaN or infinity), so nothing can be drawn")
    if means.device.type == "cpu" and not (cameras.Ks[..., [0, 1], [0, 1]] > 0).all():
        raise ValueError("Ks hold a focal length that is not positive; give pixels, at [0, 0] and [1, 1]")
