"""Pieces of mesh that carry everything the body carries, and cutting them cleanly.

Enters: the packaged wardrobe. Leaves: `Piece`s. Not part of the paper. A cut inserts vertices where a level of a scalar
crosses the edges; whatever hides one side of it afterwards ends in a clean line.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lca_mini.body import ASSETS, Body
from lca_mini.types import Movable


@dataclass(frozen=True)
class Piece(Movable):
    """A mesh in the template's rest pose that follows shape, facial actions and skeleton as the body does."""

    template: Float[Tensor, "v 3"]
    shapedirs: Float[Tensor, "v 3 K"]
    exprdirs: Float[Tensor, "v 3 52"]
    weights: Float[Tensor, "v 55"]
    faces: Int[Tensor, "f 3"]

    @property
    def centres(self) -> Float[Tensor, "f 3"]:
        """Middles of the faces on the template."""
        return self.template[self.faces].mean(1)


@lru_cache(maxsize=1)
def wardrobe_arrays() -> dict[str, np.ndarray]:
    """All arrays of the packaged wardrobe."""
    with np.load(ASSETS / "wardrobe.npz") as file:
        return {key: file[key] for key in file.files}


def stored_piece(name: str) -> Piece:
    """A piece of the packaged wardrobe."""
    a = wardrobe_arrays()
    parts = (
        torch.from_numpy(a[f"{name}.{k}"].astype(np.float32)) for k in ("template", "shapedirs", "exprdirs", "weights")
    )
    return Piece(*parts, torch.from_numpy(a[f"{name}.faces"].astype(np.int64)))


def body_piece(body: Body) -> Piece:
    """The body itself."""
    return Piece(body.template, body.shapedirs, body.exprdirs, body.skin_weights, body.faces)


def keep_faces(piece: Piece, keep: Bool[Tensor, " f"]) -> tuple[Piece, Int[Tensor, " v"]]:
    """The faces where `keep`, without unused vertices; and which vertices those were."""
    used, faces = piece.faces[keep].unique(return_inverse=True)
    points = (getattr(piece, k)[used] for k in ("template", "shapedirs", "exprdirs", "weights"))
    return Piece(*points, faces), used


def cut(piece: Piece, values: Float[Tensor, " v"]) -> Piece:
    """Split the faces that a scalar's zero level crosses. Nothing is removed.

    Args:
        values: the scalar at the vertices.
    """
    above = values[piece.faces] >= 0
    crossed = above.any(1) & ~above.all(1)
    if not bool(crossed.any()):
        return piece
    tri, up = piece.faces[crossed], above[crossed]
    lone = torch.where(up.sum(1, keepdim=True) == 1, up, ~up).long().argmax(1)
    a, b, c = (tri.gather(1, ((lone + k) % 3)[:, None])[:, 0] for k in range(3))
    edges = torch.stack([torch.minimum(a, b), torch.maximum(a, b)], 1), torch.stack(
        [torch.minimum(a, c), torch.maximum(a, c)], 1
    )
    unique, inverse = torch.cat(edges).unique(dim=0, return_inverse=True)
    i, j = unique.unbind(1)
    t = (values[i] / (values[i] - values[j])).clamp(0.04, 0.96)  # no slivers
    p, q = (inverse + len(piece.template)).view(2, -1)

    def extend(x: Tensor) -> Tensor:
        w = t.view(-1, *[1] * (x.dim() - 1))
        return torch.cat([x, x[i] * (1 - w) + x[j] * w])

    new = torch.cat([torch.stack([a, p, q], 1), torch.stack([p, b, c], 1), torch.stack([p, c, q], 1)])
    return replace(
        piece, template=extend(piece.template), shapedirs=extend(piece.shapedirs), exprdirs=extend(piece.exprdirs),
        weights=extend(piece.weights), faces=torch.cat([piece.faces[~crossed], new]),
    )  # fmt: skip


def refine(piece: Piece, region: Bool[Tensor, " v"]) -> tuple[Piece, Int[Tensor, "m 2"]]:
    """Halve the edges between vertices of a region, rounding the template as its normals ask (the mid-edge of a
    point-normal triangle). Also returned: the two ends of each new vertex."""
    faces = piece.faces
    split = region[faces]
    pairs = torch.stack([faces[:, [1, 2]], faces[:, [2, 0]], faces[:, [0, 1]]], 1)  # opposite to each corner
    halved = torch.stack([split[:, 1] & split[:, 2], split[:, 2] & split[:, 0], split[:, 0] & split[:, 1]], 1)
    ends, inverse = pairs[halved].sort(1).values.unique(dim=0, return_inverse=True)
    middle = torch.full(halved.shape, -1)
    middle[halved] = inverse + len(piece.template)
    whole, one = halved.all(1), halved.sum(1) == 1
    (a, b, c), (p, q, r) = faces[whole].unbind(1), middle[whole].unbind(1)
    corner = halved[one].long().argmax(1)
    apex, left, right = (faces[one].gather(1, ((corner + k) % 3)[:, None])[:, 0] for k in range(3))
    m = middle[one].gather(1, corner[:, None])[:, 0]
    quarters = [
        torch.stack(t, 1) for t in ((a, r, q), (r, b, p), (q, p, c), (p, q, r), (apex, left, m), (apex, m, right))
    ]
    i, j = ends.unbind(1)
    normals = unit_normals(piece.template, faces)
    d = piece.template[j] - piece.template[i]
    bulge = (d * normals[i]).sum(1, keepdim=True) * normals[i] - (d * normals[j]).sum(1, keepdim=True) * normals[j]
    both = {k: getattr(piece, k) for k in ("template", "shapedirs", "exprdirs", "weights")}
    both = {k: torch.cat([x, (x[i] + x[j]) / 2 - (bulge / 8 if k == "template" else 0)]) for k, x in both.items()}
    return Piece(**both, faces=torch.cat([faces[~whole & ~one], *quarters])), ends


def unit_normals(points: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, "v 3"]:
    """Area-weighted vertex normals."""
    a, b, c = points[faces].unbind(1)
    across = torch.linalg.cross(b - a, c - a)
    total = torch.zeros_like(points)
    for k in range(3):
        total.index_add_(0, faces[:, k], across)
    return torch.nn.functional.normalize(total, dim=1)


@dataclass(frozen=True)
class Foot(Movable):
    """Nearest points on a surface: corners, their shares, position, unit normal, and how far outside it one started."""

    ids: Int[Tensor, "v 3"]
    shares: Float[Tensor, "v 3"]
    points: Float[Tensor, "v 3"]
    normals: Float[Tensor, "v 3"]
    gap: Float[Tensor, "v 1"]

    def mix(self, values: Float[Tensor, "n *rest"]) -> Float[Tensor, "v *rest"]:
        """The surface's vertex values at these points."""
        return torch.einsum("vn,vn...->v...", self.shares, values[self.ids])


def nearest(points: Float[Tensor, "v 3"], leader: Piece) -> Foot:
    """The point of a leader's surface nearest to each point, among the 12 faces with the nearest middles."""
    near = torch.cdist(points, leader.centres).topk(12, largest=False).indices
    corners = leader.template[leader.faces[near]]  # [v 12 3 3]
    a, u, w = corners[:, :, 0], corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0]
    d = points[:, None] - a
    uu, uw, ww, du, dw = ((x * y).sum(-1) for x, y in ((u, u), (u, w), (w, w), (d, u), (d, w)))
    determinant = (uu * ww - uw * uw).clamp(min=1e-14)
    s, t = ((ww * du - uw * dw) / determinant).clamp(0, 1), ((uu * dw - uw * du) / determinant).clamp(0, 1)
    total = (s + t).clamp(min=1)
    s, t = s / total, t / total
    foot = a + s[..., None] * u + t[..., None] * w
    best = (points[:, None] - foot).norm(dim=-1).argmin(1)
    rows = torch.arange(len(best))
    shares = torch.stack([1 - s - t, s, t], -1)[rows, best]
    ids, foot = leader.faces[near[rows, best]], foot[rows, best]
    normals = torch.einsum("vn,vni->vi", shares, unit_normals(leader.template, leader.faces)[ids])
    normals = torch.nn.functional.normalize(normals, dim=1)
    return Foot(ids, shares, foot, normals, ((points - foot) * normals).sum(1, keepdim=True))


def bind(piece: Piece, leader: Piece, clearance: float) -> Piece:
    """Let a piece follow the nearest points of a leader's surface in shape, expression and skeleton, at least
    `clearance` metres outside it."""
    foot = nearest(piece.template, leader)
    template = piece.template + (clearance - foot.gap).clamp(min=0, max=0.03) * foot.normals
    mix = foot.mix
    return Piece(template, mix(leader.shapedirs), mix(leader.exprdirs), mix(leader.weights), piece.faces)


def grid_faces(rows: int, columns: int, closed: bool, looped: bool = False) -> Int[Tensor, "f 3"]:
    """Triangles of a grid of vertices, row after row. closed: the last column meets the first. looped: so do rows."""
    r, c = torch.meshgrid(
        torch.arange(rows if looped else rows - 1), torch.arange(columns if closed else columns - 1), indexing="ij"
    )
    r, c = r.flatten(), c.flatten()
    below, beside = (r + 1) % rows * columns, (c + 1) % columns
    a, b, p, q = r * columns + c, r * columns + beside, below + c, below + beside
    return torch.cat([torch.stack([a, p, b], 1), torch.stack([b, p, q], 1)])


def outward(
    points: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"], inside: Float[Tensor, "v 3"]
) -> Int[Tensor, "f 3"]:
    """The faces, all turned round if their normals look towards the points `inside` on the whole."""
    away = (unit_normals(points, faces) * (points - inside)).sum()
    return faces if float(away) > 0 else faces.flip(1)


def follow(
    points: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"], leader: Piece, neighbours: int, weights: Tensor
) -> Piece:
    """A new mesh that takes its shape and expression from the `neighbours` nearest vertices of a leader.

    Args:
        weights: its skin weights.
    """
    distance, nearest = torch.cdist(points, leader.template).topk(neighbours, largest=False)
    share = 1 / (distance + 0.02)
    share = share / share.sum(1, keepdim=True)
    mix = lambda x: torch.einsum("vn,vn...->v...", share, x[nearest])  # noqa: E731
    return Piece(points, mix(leader.shapedirs), torch.zeros_like(mix(leader.exprdirs)), weights, faces)
