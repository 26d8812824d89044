"""gsplat's rasterization in three stages, colours alone: what `lca_mini.live` needs to put the first into a CUDA graph.

Enters: Gaussians [*batch N .], Cameras [*batch C .] on a GPU. Leaves: `Projected`, then `Binned`, then pictures
[*batch C H W 3] over a background. The kernels are gsplat's own, called as `gsplat.rasterization(packed=False)` calls
them; no gradients, no depths. What differs from `gsplat_backend`: that is for training and checks its input; this is
for frames, and checks nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from lca_mini.render.reference import BLUR
from lca_mini.types import Cameras, Gaussians, Movable

TILE = 16
NEAR, FAR = 0.01, 1e10  # gsplat's defaults, metres


@dataclass(frozen=True)
class Projected(Movable):
    """Gaussians on the image plane. radii: pixels, zero where culled. conics: inverse covariances, upper triangle."""

    radii: Int[Tensor, "*batch C N 2"]
    means2d: Float[Tensor, "*batch C N 2"]
    depths: Float[Tensor, "*batch C N"]
    conics: Float[Tensor, "*batch C N 3"]


@dataclass(frozen=True)
class Binned(Movable):
    """The tiles' lists, nearest Gaussian first: where each begins in `ids`. There are as many ids as there are pairs
    of a Gaussian and a tile that it touches."""

    offsets: Int[Tensor, "*batch C tiles_y tiles_x"]
    ids: Int[Tensor, "I"]


def project(gaussians: Gaussians, cameras: Cameras) -> Projected:
    """The first stage; the host does not wait for it."""
    from gsplat.cuda._wrapper import fully_fused_projection

    radii, means2d, depths, conics, _ = fully_fused_projection(
        gaussians.means, None, gaussians.quats, gaussians.scales, cameras.viewmats, cameras.Ks, cameras.width,
        cameras.height, eps2d=BLUR, packed=False, near_plane=NEAR, far_plane=FAR, opacities=gaussians.opacities,
    )  # fmt: skip
    return Projected(radii, means2d, depths, conics)


def bin_tiles(projected: Projected, width: int, height: int) -> Binned:
    """The second stage; inside, gsplat makes the host wait for the number of intersections."""
    from gsplat.cuda._wrapper import isect_offset_encode, isect_tiles

    tiles_x, tiles_y = -(-width // TILE), -(-height // TILE)
    images = projected.depths.shape[:-1]
    _, keys, ids = isect_tiles(projected.means2d, projected.radii, projected.depths, TILE, tiles_x, tiles_y)
    return Binned(isect_offset_encode(keys, images.numel(), tiles_x, tiles_y).view(*images, tiles_y, tiles_x), ids)


def blend(
    gaussians: Gaussians, projected: Projected, binned: Binned, width: int, height: int,
    backgrounds: Float[Tensor, "*batch C 3"],
) -> Float[Tensor, "*batch C H W 3"]:  # fmt: skip
    """The third stage."""
    from gsplat.cuda._wrapper import rasterize_to_pixels

    shape = projected.depths.shape
    colors = gaussians.colors[..., None, :, :].expand(*shape, 3)
    opacities = gaussians.opacities[..., None, :].expand(shape)
    return rasterize_to_pixels(
        projected.means2d, projected.conics, colors, opacities, width, height, TILE, binned.offsets, binned.ids,
        backgrounds=backgrounds, packed=False,
    )[0]
