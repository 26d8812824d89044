"""The CPU backend: a tile rasteriser, forward and backward, threads over tiles (or over images, where there are many).

Enters: Gaussians [B N .], Cameras [B C .] on a CPU. Leaves: a Rendering [B C H W .], differentiable in the Gaussians.
The stages (project, bin, rasterize, and back) are numba kernels; `torch.get_num_threads()` plain threads run them, with
the caller's. What differs from gsplat: nothing within rounding.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lca_mini.compiled import share
from lca_mini.types import Cameras, Gaussians, Rendering

Spread = Callable[[Callable[[int, int], Any], int, int], None]

_own = threading.local()
CHUNKS = 6  # of tiles, a thread: enough that a thread with empty tiles finds more work


@dataclass(frozen=True)
class Frame:
    """What backward needs of one image: projected Gaussians, the tiles each touches, and the tiles' lists."""

    splats: np.ndarray
    rects: np.ndarray
    slots: np.ndarray
    starts: np.ndarray
    ids: np.ndarray


def draw(gaussians: Gaussians, cameras: Cameras, background: Float[Tensor, "3"]) -> Rendering:
    """Draw in float32 on the CPU.

    Raises: ValueError when the tensors are elsewhere.
    """
    if gaussians.means.device.type != "cpu":
        raise ValueError(
            f'the cpu backend draws CPU tensors, these are on {gaussians.means.device}; use backend="auto"'
        )
    gaussians = gaussians.map(lambda t: t.float().contiguous())
    colors, alphas, depths = Rasterize.apply(
        gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities, gaussians.colors,
        cameras.viewmats.detach().float().contiguous(), cameras.Ks.detach().float().contiguous(),
        cameras.width, cameras.height, background.float(),
    )
    return Rendering(colors=colors, alphas=alphas[..., None], depths=depths[..., None])


class Rasterize(torch.autograd.Function):
    """(Gaussians, cameras) to (colors, alphas, mean depths)."""

    @staticmethod
    def forward(ctx, means, quats, scales, opacities, colors, viewmats, Ks, width, height, background):
        from lca_mini.render.kernels import SPLAT, TILE, bin_tiles, project, rasterize

        (B, C), N = viewmats.shape[:2], means.shape[1]
        tiles_x, tiles_y = -(-width // TILE), -(-height // TILE)
        images = torch.empty(B, C, height, width, 3)
        alphas, depths = torch.empty(B, C, height, width), torch.empty(B, C, height, width)
        frames: list[Frame | None] = [None] * (B * C)
        kept = any(ctx.needs_input_grad)
        inputs = [t.detach().numpy() for t in (means, quats, scales, opacities, colors)]
        view, K, behind = viewmats.numpy(), Ks.numpy(), background.numpy()
        outputs = [t.numpy() for t in (images, alphas, depths)]

        def one(image: int, spread: Spread) -> None:
            b, c = divmod(image, C)
            splats, rects = _projected(N, SPLAT) if kept else _scratch(N, SPLAT)
            gaussians = [t[b] for t in inputs]
            spread(lambda i, j: project(i, j, *gaussians, view[b, c], K[b, c], width, height, splats, rects), N, 1)
            slots, starts, ids = bin_tiles(splats, rects, splats.view(np.uint32), tiles_x, tiles_y)
            pixels = [t[b, c] for t in outputs]
            tiles = tiles_x * tiles_y
            spread(lambda i, j: rasterize(i, j, splats, starts, ids, tiles_x, behind, *pixels), tiles, CHUNKS)
            if kept:
                frames[image] = Frame(splats, rects, slots, starts, ids)

        _for_images(one, B * C)
        ctx.set_materialize_grads(False)
        ctx.frames = frames if kept else None
        ctx.save_for_backward(means, quats, scales, viewmats, Ks, images, alphas, depths)
        return images, alphas, depths

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, v_images, v_alphas, v_depths):
        from lca_mini.render.kernels import TILE
        from lca_mini.render.kernels_backward import MOMENTS, project_backward, rasterize_backward

        means, quats, scales, viewmats, Ks, images, alphas, depths = ctx.saved_tensors
        (B, C), N, (height, width) = viewmats.shape[:2], means.shape[1], alphas.shape[-2:]
        tiles_x, tiles_y = -(-width // TILE), -(-height // TILE)
        gradients = [torch.empty(B, C, N, *size) for size in ((3,), (4,), (3,), (), (3,))]
        inputs = [t.detach().numpy() for t in (means, quats, scales)]
        view, K = viewmats.numpy(), Ks.numpy()
        drawn = [t.detach().numpy() for t in (images, alphas, depths)]
        for image, slope in zip(tuple(drawn), (v_images, v_alphas, v_depths)):
            drawn.append(np.zeros_like(image) if slope is None else slope.contiguous().numpy())

        def one(image: int, spread: Spread) -> None:
            b, c = divmod(image, C)
            f = ctx.frames[image]
            moments = np.zeros((len(f.ids), MOMENTS), np.float32)
            lists, pixels = (f.splats, f.rects, f.slots, f.starts, f.ids, tiles_x), [t[b, c] for t in drawn]
            spread(lambda i, j: rasterize_backward(i, j, *lists, *pixels, moments), tiles_x * tiles_y, CHUNKS)
            scene = [t[b] for t in inputs] + [view[b, c], K[b, c], width, height, f.splats, f.slots, moments]
            results = [t[b, c].numpy() for t in gradients]
            spread(lambda i, j: project_backward(i, j, *scene, *results), N, 1)

        _for_images(one, B * C)
        return *(t[:, 0] if C == 1 else t.sum(1) for t in gradients), None, None, None, None, None


def _projected(count: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Room for splats and for the rectangles of tiles that they touch."""
    return np.empty((count, columns), np.float32), np.empty((count, 4), np.int32)


def _scratch(count: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """The same room at each call of a thread: without gradients nothing of it is needed afterwards."""
    if getattr(_own, "count", None) != count:
        _own.count, _own.room = count, _projected(count, columns)
    return _own.room


def _for_images(one: Callable[[int, Spread], None], images: int) -> None:
    """Run `one` on every image: a thread an image where there are enough, else all threads inside each image.

    `spread(kernel, size, chunks)`, which `one` is handed, calls `kernel(begin, end)` over 0:size.
    """
    threads = torch.get_num_threads()

    def whole(kernel: Callable[[int, int], Any], size: int, chunks: int) -> None:
        kernel(0, size)

    def split(kernel: Callable[[int, int], Any], size: int, chunks: int) -> None:
        edges = np.linspace(0, size, threads * chunks + 1).astype(int).tolist()
        share(lambda i: kernel(edges[i], edges[i + 1]), threads * chunks, threads)

    if threads > 1 and images >= threads:
        share(lambda image: one(image, whole), images, threads)
    else:
        for image in range(images):
            one(image, whole if threads == 1 else split)
