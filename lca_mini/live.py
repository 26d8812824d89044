"""Signal in, pixels out: the whole work of a frame, as fast as this library can do it.

Enters: a model, an avatar and cameras once, then one `DrivingSignal` a call. Leaves: pictures. Part of the paper: its
animation, 586 frames a second on one A100. What differs from `render(model.drive(avatar, signal), cameras)`: no
gradients, colours alone, and on CUDA driving and projection are one graph launch, after which gsplat's tile lists and
blending follow: all that depends on how many tiles the Gaussians touch. On a CPU, and for other backends than gsplat,
a `Driver` and `render` one after the other.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from lca_mini.model.driver import Driver
from lca_mini.model.lca import LCA
from lca_mini.render import choose_backend, render
from lca_mini.render.gsplat_stages import Binned, Projected, bin_tiles, blend, project
from lca_mini.types import Avatar, Cameras, DrivingSignal, Gaussians


class Live:
    """An avatar (or B) before cameras, frame by frame, or F frames a call."""

    def __init__(
        self, model: LCA, avatar: Avatar, cameras: Cameras, frames: int | None = None, kernels: str = "auto",
        precision: str = "auto", backend: str = "auto", background: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> None:  # fmt: skip
        """Make the driver, and on CUDA capture it with the projection behind it.

        Args:
            cameras: [B C .], or [B F C .] where `frames` is F; `look` changes where they stand, not their size.
            frames, kernels, precision: as `Driver` takes them.
            backend: as `render` takes it.
        Raises: ValueError, one sentence, for what `Driver` refuses, and cameras with other leading axes.
        """
        self.backend = choose_backend(avatar.betas.device) if backend == "auto" else backend
        self.background, self.projected = background, None
        leading = (len(avatar.betas),) if frames is None else (len(avatar.betas), frames)
        if cameras.viewmats.shape[:-3] != leading:
            raise ValueError(f"cameras with viewmats {list(cameras.viewmats.shape)} do not fit {list(leading)} frames; "
                             f"[{' '.join(map(str, leading))} C 4 4] is needed")
        self.cameras = cameras.map(lambda t: t.detach().float().clone(memory_format=torch.contiguous_format))
        self.staged = self.backend == "gsplat"
        if self.staged:
            colour = torch.tensor(background, device=avatar.betas.device)
            self.backgrounds = colour.expand(*cameras.viewmats.shape[:-2], 3).contiguous()
        self.driver = Driver(model, avatar, frames, kernels, precision, then=self.project if self.staged else None)

    def project(self, gaussians: Gaussians) -> None:
        """What the driver's graph ends with."""
        self.projected = project(gaussians, self.cameras)

    def look(self, cameras: Cameras) -> None:
        """Move the cameras; number and size stay as they were."""
        self.cameras.viewmats.copy_(cameras.viewmats)
        self.cameras.Ks.copy_(cameras.Ks)

    @torch.no_grad()
    def __call__(self, signal: DrivingSignal) -> Float[Tensor, "*leading C H W 3"]:
        """The pictures of a frame (or F), RGB over the background; new memory at each call."""
        gaussians = self.driver(signal)
        if not self.staged:
            return render(gaussians, self.cameras, self.backend, self.background).colors
        return self.blend(gaussians, self.bin())

    def bin(self) -> Binned:
        """The tile lists of what the driver left."""
        projected: Projected = self.projected
        return bin_tiles(projected, self.cameras.width, self.cameras.height)

    def blend(self, gaussians: Gaussians, binned: Binned) -> Float[Tensor, "*leading C H W 3"]:
        """The pictures."""
        return blend(gaussians, self.projected, binned, self.cameras.width, self.cameras.height, self.backgrounds)
