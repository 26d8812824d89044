"""Visibility at several samples a pixel, cut into patches of one surface each, so that each is shaded once (MSAA).

Enters: posed meshes and cameras. Leaves: `Patches`. It films the synthetic people; the paper films real ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lca_mini.capture.rasterizer import EMPTY, columns_at, on_screen, visibility
from lca_mini.types import Movable


@dataclass(frozen=True)
class Patches(Movable):
    """What pixels see, cut into patches of one surface each: most pixels are one patch, a silhouette's are two or more.

    pixel: flat index into images x height x width. share: how much of the pixel the patch covers. face, bary: triangle,
    and weights of its corners (perspective-correct) at the patch's middle.
    """

    pixel: Int[Tensor, " P"]
    share: Float[Tensor, " P"]
    face: Int[Tensor, " P"]
    bary: Float[Tensor, "3 P"]


@torch.no_grad()
def rasterize_patches(
    vertices: Float[Tensor, "N V 3"], faces: Int[Tensor, "F 3"], viewmats: Float[Tensor, "N 4 4"],
    Ks: Float[Tensor, "N 3 3"], height: int, width: int, face_visible: Bool[Tensor, "N F"] | None,
    surface: Int[Tensor, " F"], factor: int = 2, max_candidates: int = 1 << 25,
) -> Patches:  # fmt: skip
    """Visibility at factor x factor samples a pixel, to be shaded once a patch rather than once a sample (MSAA).

    Samples of a pixel make one patch where they show the same `surface` at about the same depth (within two pixels'
    width); those of a negative surface stay alone.

    Args:
        surface: of each face, such as its material.
        factor: samples along each axis of a pixel. height, width, Ks: in pixels.
    Raises: ValueError where the meshes and cameras differ in number.
    """
    fine = torch.cat([Ks[:, :2] * factor, Ks[:, 2:]], 1)
    screen = on_screen(vertices, viewmats, fine)
    key = visibility(screen, faces, face_visible, height * factor, width * factor, max_candidates)
    key = key.view(-1, height, factor, width, factor).permute(2, 4, 0, 1, 3).reshape(factor**2, -1)
    pixel = (key.amin(0) != EMPTY).nonzero()[:, 0]
    key = key[:, pixel]
    covered = key != EMPTY
    face = torch.where(covered, key & 0xFFFFFFFF, 0)
    depth = 1 / (0x7FFFFFFF - (key >> 32)).to(torch.int32).view(torch.float32)
    image = pixel // (height * width)
    which, sample, share, middle = _group(covered, surface[face], depth, (2 / Ks[:, 0, 0])[image])
    face, pixel, image = face.flatten()[sample * len(pixel) + which], pixel[which], image[which]
    sample, within = sample.int(), (pixel - image * (height * width)).int()
    left, top = within % width * factor, within // width * factor

    corners = columns_at(faces.T, face) + image * screen.shape[1]
    sx, sy, nearness = columns_at(screen.flatten(0, 1).T, corners)
    inside = _spans(sx - (left + sample % factor + 0.5), sy - (top + sample // factor + 0.5))
    middle = _spans(sx - (left + middle[0]), sy - (top + middle[1]))
    # where the middle lies outside of the one triangle that stands for the patch, go towards it as far as the edge
    sign = inside.sum(0).sign()
    inside, middle = inside * sign, middle * sign
    reach = torch.where(middle < 0, inside / (inside - middle).clamp(min=1e-20), 1).amin(0).clamp(0, 1)
    spans = torch.lerp(inside, middle, reach).clamp(min=0) * nearness
    return Patches(pixel, share, face, spans / spans.sum(0).clamp(min=1e-20))


def _spans(x: Float[Tensor, "3 P"], y: Float[Tensor, "3 P"]) -> Float[Tensor, "3 P"]:
    """`edge_weights` of the origin, in columns."""
    return torch.stack([x[i - 2] * y[i - 1] - y[i - 2] * x[i - 1] for i in range(3)])


def _group(covered: Tensor, surface: Tensor, depth: Tensor, tolerance: Tensor) -> tuple[Tensor, ...]:
    """The patches of P pixels of S samples each ([S P]): pixel, the sample that stands for it, share, and middle."""
    samples = len(covered)
    whole = (covered & (surface == surface[0]) & ((depth[0] - depth).abs() < tolerance * depth)).all(0)
    whole &= surface[0] >= 0  # nine pixels of ten
    one, rest = whole.nonzero()[:, 0], (~whole).nonzero()[:, 0]
    owner, share, middle = _owners(covered[:, rest], surface[:, rest], depth[:, rest], tolerance[rest])
    leads = (owner == torch.arange(samples, device=depth.device)[:, None]).flatten().nonzero()[:, 0]
    sample, which = leads // max(1, len(rest)), leads % max(1, len(rest))
    centre = depth.new_full((2, len(one)), samples**0.5 / 2)
    return (
        torch.cat([one, rest[which]]), torch.cat([torch.zeros_like(one), sample]),
        torch.cat([depth.new_ones(len(one)), share.flatten()[leads]]),
        torch.cat([centre, middle.flatten(1)[:, leads]], 1),
    )  # fmt: skip


def _owners(covered: Tensor, surface: Tensor, depth: Tensor, tolerance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Which sample stands for each of a pixel's S samples ([S P], -1 where empty); for those that stand for a patch,
    its share of the pixel [S P] and its middle in samples (x, y) [2 S P]."""
    samples = len(covered)
    side = round(samples**0.5)
    owner = torch.full_like(covered, -1, dtype=torch.int8)
    for j in range(samples):
        mine = torch.where(covered[j], j, -1).to(torch.int8)
        for i in reversed(range(j)):
            same = (surface[i] == surface[j]) & (surface[j] >= 0)
            same = same & ((depth[i] - depth[j]).abs() < tolerance * depth[j]) & (owner[i] == i) & covered[j]
            mine = torch.where(same, i, mine)
        owner[j] = mine
    share, middle = torch.zeros_like(depth), depth.new_zeros(2, *depth.shape)
    order = torch.arange(samples, device=depth.device)
    for i in range(samples):
        members = (owner == i).float()
        count = members.sum(0)
        share[i] = count / samples
        for axis, at in enumerate((order % side, order // side)):
            middle[axis, i] = ((at + 0.5)[:, None] * members).sum(0) / count.clamp(min=1)
    return owner, share, middle
