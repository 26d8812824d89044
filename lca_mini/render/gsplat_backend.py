"""The CUDA backend: gsplat, as it comes, with our blur.

Enters: Gaussians [B N .], Cameras [B C .] on a GPU. Leaves: a Rendering [B C H W .].
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from lca_mini.render.reference import BLUR
from lca_mini.types import Cameras, Gaussians, Rendering


def draw(gaussians: Gaussians, cameras: Cameras, background: Float[Tensor, "3"]) -> Rendering:
    """Draw with `gsplat.rasterization` ("classic" mode, its defaults but for `BLUR`), in float32.

    Raises: ValueError when the tensors are not on a GPU or gsplat is not installed.
    """
    if not gaussians.means.is_cuda:
        raise ValueError(
            f'the gsplat backend draws CUDA tensors, these are on {gaussians.means.device}; use backend="cpu"'
        )
    try:
        from gsplat import rasterization
    except ImportError as error:
        raise ValueError(
            f'the gsplat backend needs gsplat, which does not import ({error}); pip install gsplat, or backend="cpu"'
        ) from error
    batch, views = cameras.viewmats.shape[:2]
    # outside autocast: gsplat's kernels take float32 alone
    images, alphas, _ = rasterization(
        gaussians.means.float(), gaussians.quats.float(), gaussians.scales.float(), gaussians.opacities.float(),
        gaussians.colors.float(), cameras.viewmats.float(), cameras.Ks.float(), cameras.width, cameras.height,
        eps2d=BLUR, packed=False, backgrounds=background.float().expand(batch, views, 3), render_mode="RGB+ED",
    )
    return Rendering(colors=images[..., :3], alphas=alphas, depths=images[..., 3:])
