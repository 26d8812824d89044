"""Gaussian splatting in sixty lines of torch: what the fast backends are tested against. Slow, on purpose.

Enters: one set of Gaussians, one camera. Leaves: colors, alphas, depths of one image. EWA splatting exactly as
gsplat 1.5.3 draws it in its "classic" mode, in the dtype of its input (float64 for gradcheck), differentiable by
autograd, every pixel against every Gaussian: memory is N H W. gsplat culls tiles and images by a radius; that radius
is where alpha falls under 1/255, so that leaving the culling out changes nothing. Less blur than its default of 0.3
pixels squared, which softens outlines.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from lca_mini.types import Cameras, Gaussians, Rendering

NEAR = 0.01  # metres
BLUR = 0.1  # pixels squared, added to the diagonal of every projected covariance; a pixel's own square has 1/12
GUARD = 0.3  # how far outside the image, in half fields of view, the Jacobian is still taken where the mean is


def rotation_matrices(quats: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotations of wxyz quaternions, which need not be unit."""
    w, x, y, z = torch.nn.functional.normalize(quats, dim=-1).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def project(
    means: Float[Tensor, "N 3"], quats: Float[Tensor, "N 4"], scales: Float[Tensor, "N 3"],
    viewmat: Float[Tensor, "4 4"], K: Float[Tensor, "3 3"], width: int, height: int,
) -> tuple[Float[Tensor, "N 2"], Float[Tensor, "N 2 2"], Float[Tensor, "N"]]:
    """Pixel means, pixel covariances (blurred) and depths; all Gaussians must lie beyond the near plane."""
    camera = means @ viewmat[:3, :3].T + viewmat[:3, 3]
    depths, slopes = camera[:, 2], camera[:, :2] / camera[:, 2:]
    focal, centre = K.diagonal()[:2], K[:2, 2]
    size = torch.tensor([width, height], dtype=means.dtype, device=means.device)
    margin = GUARD * 0.5 * size / focal
    u = torch.maximum(torch.minimum(slopes, (size - centre) / focal + margin), -centre / focal - margin)
    jacobian = torch.cat([torch.eye(2, dtype=u.dtype, device=u.device).expand(len(u), 2, 2), -u[:, :, None]], dim=-1)
    jacobian = jacobian * focal[:, None] / depths[:, None, None]
    half = jacobian @ viewmat[:3, :3] @ rotation_matrices(quats) * scales[:, None, :]
    covariances = half @ half.mT + BLUR * torch.eye(2, dtype=u.dtype, device=u.device)
    return slopes * focal + centre, covariances, depths


def splat(
    means: Float[Tensor, "N 3"], quats: Float[Tensor, "N 4"], scales: Float[Tensor, "N 3"],
    opacities: Float[Tensor, "N"], colors: Float[Tensor, "N 3"], viewmat: Float[Tensor, "4 4"],
    K: Float[Tensor, "3 3"], width: int, height: int, background: Float[Tensor, "3"],
) -> tuple[Float[Tensor, "H W 3"], Float[Tensor, "H W 1"], Float[Tensor, "H W 1"]]:
    """Draw one image: colors, alphas and depths (alpha-weighted mean z, metres, 0 where empty)."""
    camera_z = means @ viewmat[2, :3] + viewmat[2, 3]
    order = torch.argsort(camera_z.detach(), stable=True)
    order = order[camera_z[order] >= NEAR]
    means2d, covariances, depths = project(means[order], quats[order], scales[order], viewmat, K, width, height)
    opacities, colors = opacities[order], colors[order]

    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    pixels = torch.stack([x, y], dim=-1).to(means) + 0.5
    deltas = pixels - means2d[:, None, None]
    sigmas = 0.5 * torch.einsum("nhwi,nij,nhwj->nhw", deltas, torch.linalg.inv(covariances), deltas)
    alphas = (opacities[:, None, None] * torch.exp(-sigmas)).clamp(max=0.999)
    alphas = torch.where(alphas < 1 / 255, 0.0, alphas)

    # a pixel stops before the first Gaussian that would take its transmittance to 1e-4
    after = torch.cumprod(1 - alphas, dim=0)
    alphas = torch.where(after <= 1e-4, 0.0, alphas)
    ones = torch.ones_like(pixels[None, :, :, 0])
    transmittance = torch.cat([ones, torch.cumprod(1 - alphas, dim=0)])
    weights = transmittance[:-1] * alphas
    coverage = 1 - transmittance[-1, :, :, None]
    image = torch.einsum("nhw,nc->hwc", weights, colors) + (1 - coverage) * background
    depth = torch.einsum("nhw,n->hw", weights, depths)[..., None] / coverage.clamp(min=1e-10)
    return image, coverage, depth


def draw(gaussians: Gaussians, cameras: Cameras, background: Float[Tensor, "3"]) -> Rendering:
    """`splat` for every image of Gaussians [B N .] and Cameras [B C .]; any device, the Gaussians' dtype."""
    dtype, images = gaussians.means.dtype, []
    for person, viewmats, Ks in zip(range(len(gaussians.means)), cameras.viewmats.to(dtype), cameras.Ks.to(dtype)):
        one = gaussians[person]
        for viewmat, K in zip(viewmats, Ks):
            images.append(splat(
                one.means, one.quats, one.scales, one.opacities, one.colors, viewmat, K, cameras.width, cameras.height,
                background,
            ))
    grid = cameras.viewmats.shape[:2]
    colors, alphas, depths = (torch.stack(parts).unflatten(0, grid) for parts in zip(*images))
    return Rendering(colors=colors, alphas=alphas, depths=depths)
