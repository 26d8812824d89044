"""Signal in, pixels out: the whole work of a frame, as fast as this library can do it.

Enters: a model, an avatar and cameras once, then one `DrivingSignal` a call. Leaves: pictures. Part of the paper: its
animation, 586 frames a second on one A100. What differs from `render(model.drive(avatar, signal), cameras)`: no
gradients, and colours alone. On a CPU, and for other backends than gsplat, a `Driver` and `render` one after the other.

With gsplat, driving and projection are one graph launch, and what follows depends on how many tiles the Gaussians touch:

* lists "fixed": tile lists with room for a number of pairs, and blending, are a second graph, launched right behind the
  first. Meanwhile the host waits for the true number, which the first graph ends with. Where there was not room for it,
  the second graph is recorded with more and run again (about a tenth of a second, once for each room), so that a picture
  that a call returns is always complete.
* lists "gsplat": gsplat's own, step by step, for which the host waits before it can queue anything more.

Both hold the same Gaussians in the same order. Fixed lists are blended "parts" of a tile at a time by a kernel of our
own (`tile_blend`), or by gsplat's, which draws the same but for rounding.
"""

from __future__ import annotations

from typing import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from lca_mini.live_options import choose_blending, choose_lists
from lca_mini.model.driver import Driver
from lca_mini.model.lca import LCA
from lca_mini.recorded import ByRoom, record
from lca_mini.render import choose_backend, render
from lca_mini.render.gsplat_stages import Binned, Projected, bin_tiles, blend, project
from lca_mini.types import Avatar, Cameras, DrivingSignal, Gaussians


class Live:
    """An avatar (or B) before cameras, frame by frame, or F frames a call."""

    def __init__(
        self, model: LCA, avatar: Avatar, cameras: Cameras, frames: int | None = None, kernels: str = "auto",
        precision: str = "auto", backend: str = "auto", background: tuple[float, float, float] = (1.0, 1.0, 1.0),
        lists: str = "auto", blending: str = "auto",
    ) -> None:  # fmt: skip
        """Make the driver, and on CUDA capture it with the projection behind it.

        Args:
            cameras: [B C .], or [B F C .] where `frames` is F; `look` changes where they stand, not their size.
            frames, kernels, precision: as `Driver` takes them.
            backend: as `render` takes it.
            lists: "fixed", "gsplat", or "auto": fixed where Triton is installed. `Live.lists` says which, None for other
                backends than gsplat.
            blending: "parts", "gsplat", or "auto": parts where lists are fixed, unless Gaussians are more than `MOST`.
                `Live.blending` says which.
        Raises: ValueError, one sentence, for what `Driver` refuses, for cameras with other leading axes, and for lists
            or blending that cannot be.
        """
        self.backend = choose_backend(avatar.betas.device) if backend == "auto" else backend
        self.staged = self.backend == "gsplat"
        self.lists = choose_lists(lists, self.staged)
        splats = cameras.viewmats.shape[:-2].numel() * avatar.canonical.means.shape[1]
        self.blending = choose_blending(blending, self.lists, splats)
        self.background = background
        self.projected: Projected | None = None
        leading = (len(avatar.betas),) if frames is None else (len(avatar.betas), frames)
        if cameras.viewmats.shape[:-3] != leading:
            raise ValueError(f"cameras with viewmats {list(cameras.viewmats.shape)} do not fit {list(leading)} frames; "
                             f"[{' '.join(map(str, leading))} C 4 4] is needed")
        self.cameras = cameras.map(lambda t: t.detach().float().clone(memory_format=torch.contiguous_format))
        if self.staged:
            colour = torch.tensor(background, device=avatar.betas.device)
            self.backgrounds = colour.expand(*cameras.viewmats.shape[:-2], 3).contiguous()
        if self.lists == "fixed":
            self.counted, self.pairs = torch.cuda.Event(), torch.empty(1, dtype=torch.int64, pin_memory=True)
            self.drawn = ByRoom(self.within)
        self.driver = Driver(model, avatar, frames, kernels, precision, then=self.prepare if self.staged else None)

    def prepare(self, gaussians: Gaussians) -> None:
        """What the driver's graph ends with."""
        self.projected = project(gaussians, self.cameras)
        if self.lists == "fixed":
            from lca_mini.render.tile_lists import rank

            self.ranked = rank(self.projected, self.cameras.width, self.cameras.height)

    def look(self, cameras: Cameras) -> None:
        """Move the cameras; number and size stay as they were."""
        self.cameras.viewmats.copy_(cameras.viewmats)
        self.cameras.Ks.copy_(cameras.Ks)

    @torch.no_grad()
    def __call__(self, signal: DrivingSignal) -> Float[Tensor, "*leading C H W 3"]:
        """The pictures of a frame (or F), RGB over the background. They hold until the next call; clone what is to be
        kept. On CUDA they are queued on the current stream."""
        gaussians = self.driver(signal)
        if not self.staged:
            return render(gaussians, self.cameras, self.backend, self.background).colors
        if self.lists == "gsplat":
            return self.blend(gaussians, self.bin())
        self.pairs.copy_(self.ranked.total, non_blocking=True)
        self.counted.record()
        return self.drawn(self.count)

    def bin(self) -> Binned:
        """gsplat's tile lists of what the driver left."""
        return bin_tiles(self.projected, self.cameras.width, self.cameras.height)

    def blend(self, gaussians: Gaussians, binned: Binned) -> Float[Tensor, "*leading C H W 3"]:
        """The pictures, by gsplat's kernel."""
        return blend(gaussians, self.projected, binned, self.cameras.width, self.cameras.height, self.backgrounds)

    def bin_within(self, room: int) -> Binned:
        """The same lists with fixed room, for `blend_within`."""
        from lca_mini.render.tile_lists import list_tiles

        opacities = self.driver.runner.gaussians.opacities if self.blending == "parts" else None
        return list_tiles(self.projected, self.ranked, room, self.cameras.width, self.cameras.height, opacities)

    def blend_within(self, gaussians: Gaussians, binned: Binned) -> Float[Tensor, "*leading C H W 3"]:
        """The pictures, as `blending` says."""
        if self.blending != "parts":
            return self.blend(gaussians, binned)
        from lca_mini.render.tile_blend import blend_parts

        return blend_parts(gaussians, self.projected, binned, self.cameras.width, self.cameras.height, self.backgrounds)

    def count(self) -> int:
        """Wait for the number of pairs of a Gaussian and a tile."""
        self.counted.synchronize()
        return int(self.pairs)

    def within(self, room: int) -> Callable[[], Tensor]:
        """The second graph, with so much room."""
        pool = next(iter(self.drawn.ways.values())).pool if self.drawn.ways else None
        return Replay(lambda: self.blend_within(self.driver.runner.gaussians, self.bin_within(room)), pool)


class Replay:
    """A recording that, when called, hands out what it made."""

    def __init__(self, work: Callable[[], Tensor], pool: object = None) -> None:
        self.graph, self.made = record(work, warm_up=1, pool=pool)
        self.pool = self.graph.pool()

    def __call__(self) -> Tensor:
        self.graph.replay()
        return self.made
