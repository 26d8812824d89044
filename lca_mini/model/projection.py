"""Where each part of the body lies in each picture: cameras and pose, as far as a picture tells them.

Enters: the maps of places that `SurfaceFinder` found. Leaves: for each picture and anchor an affine map from the
canonical template to the picture, which says where any point near that anchor is seen, from which side, and how large.
What differs from the paper: all of it; its patches are small and its training long enough to learn this by attention.

Under an affine camera linear blend skinning stays linear: a point with weights w_j is seen at sum_j w_j A_j (x, 1), where
A_j joins the camera and the pose of part j. The A_j of a picture follow from all its cells by one weighted least-squares
fit, held together by what bodies are: neighbouring parts meet at their joint, and turn little against each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lca_mini.body import Anchors
from lca_mini.types import Movable

PARTS: tuple[tuple[tuple[int, ...], int, int], ...] = (
    ((0, 3, 6), -1, 0), ((9, 13, 14), 0, 9), ((12, 15, 22, 23, 24), 1, 12),
    ((16,), 1, 16), ((18,), 3, 18), ((20, *range(25, 40)), 4, 20), ((17,), 1, 17), ((19,), 6, 19), ((21, *range(40, 55)), 7, 21),
    ((1,), 0, 1), ((4,), 9, 4), ((7, 10), 10, 7), ((2,), 0, 2), ((5,), 12, 5), ((8, 11), 13, 8),
)  # fmt: skip
"""Rigid parts: their SMPL-X joints, the part they hang on (-1 for none), and the joint where the two meet."""
UNIT = 0.1  # metres, of coordinates inside a part
MEET, ALIKE, TINY = 10.0, 1.0, 1e-3  # weights of the prior: maps agree at joints, are alike, are small; a sure cell has 1
SURE = 0.02  # metres: a cell that errs by this much weighs 1
ROUNDS = 2  # of the fit; from the second on, cells that disagree weigh less
DOUBT = 0.02  # of a picture's side: a cell that lies this far off weighs half
VOXEL = 0.04  # metres


@dataclass(frozen=True)
class Seen(Movable):
    """Of each picture and anchor: how places near it are seen.

    affine: (x, y, z, 1), metres, canonical template, to fractions of the picture's sides. evidence: how many sure
    cells the parts of this anchor rest on.
    """

    affine: Float[Tensor, "*batch M 4 2"]
    evidence: Float[Tensor, "*batch M"]


class BodyProjection(nn.Module):
    """The fit; it has nothing to learn."""

    def __init__(self, anchors: Anchors, joints: Float[Tensor, "55 3"]) -> None:
        """`joints`: of the template, metres."""
        super().__init__()
        device = anchors.points.device
        owner = torch.zeros(len(joints), dtype=torch.long, device=device)
        for index, (members, _, _) in enumerate(PARTS):
            owner[list(members)] = index
        points, count = anchors.points, len(PARTS)
        weights = points.new_zeros(len(points), count).index_add_(1, owner, anchors.skin_weights)
        centres = weights.T @ points / weights.sum(0)[:, None].clamp(min=1e-6)
        low = points.amin(0) - 5 * VOXEL
        size = ((points.amax(0) + 5 * VOXEL - low) / VOXEL).ceil().long()
        axes = [low[i] + VOXEL * (torch.arange(int(size[i]), device=device) + 0.5) for i in range(3)]
        voxels = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, 2)
        nearest = torch.cat([torch.cdist(some, points).argmin(1) for some in voxels.split(8192)])
        tensors = {"weights": weights, "centres": centres, "prior": prior(centres, joints), "low": low, "size": size,
                   "table": weights[nearest]}  # fmt: skip
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor, persistent=False)

    def weights_at(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch P"]:
        """Which parts any point of canonical space moves with: those of the nearest anchor, to 4 cm."""
        index = ((points - self.low) / VOXEL).long().clamp(min=torch.zeros_like(self.size), max=self.size - 1)
        return self.table[(index[..., 0] * self.size[1] + index[..., 1]) * self.size[2] + index[..., 2]]

    @torch.no_grad()
    def fit(self, maps: Float[Tensor, "*batch 5 h w"]) -> tuple[Float[Tensor, "*batch P 4 2"], Float[Tensor, "*batch P"]]:
        """The affine map of each part, from canonical metres to fractions of the picture; and its evidence.

        Args:
            maps: as `known` gives them: places, coverage, expected error.
        """
        flat = maps.flatten(0, -4).float()
        rows, columns = flat.shape[-2:]
        points = flat[:, :3].flatten(2).mT
        trust = (flat[:, 3].pow(4) * (SURE / flat[:, 4]).square().clamp(max=9)).flatten(1)[..., None]  # [N K 1]
        y, x = torch.meshgrid(torch.arange(rows, device=flat.device), torch.arange(columns, device=flat.device), indexing="ij")
        at = torch.stack([(x + 0.5) / columns, (y + 0.5) / rows], dim=-1).flatten(0, 1)
        parts = self.weights_at(points)
        local = torch.cat([(points[..., None, :] - self.centres) / UNIT, torch.ones_like(parts)[..., None]], dim=-1)
        design = (parts[..., None] * local).flatten(2)  # [N K 4P]
        weight = trust
        for round_ in range(ROUNDS):
            if round_:
                weight = trust / (1 + ((design @ solved - at) / DOUBT).square().sum(-1, keepdim=True))
            weighted = (weight * design).mT
            factor = torch.linalg.cholesky_ex(weighted @ design + self.prior).L
            half = torch.linalg.solve_triangular(factor, weighted @ at, upper=False)
            solved = torch.linalg.solve_triangular(factor.mT, half, upper=True)  # [N 4P 2]
        linear, offset = solved.unflatten(1, (-1, 4)).split((3, 1), dim=2)
        linear = linear / UNIT
        affine = torch.cat([linear, offset - (self.centres[..., None] * linear).sum(2, keepdim=True)], dim=2)
        return tuple(t.unflatten(0, maps.shape[:-3]) for t in (affine, (weight * parts).sum(1)))

    def seen(self, maps: Float[Tensor, "*batch 5 h w"]) -> tuple[Seen, Float[Tensor, "*batch P 4 2"]]:
        """The fit, blended for each anchor as skinning blends; and the fit itself."""
        affine, evidence = self.fit(maps)
        return Seen(torch.einsum("mp,...pij->...mij", self.weights, affine), evidence @ self.weights.T), affine

    def towards(self, affine: Float[Tensor, "*batch P 4 2"], points: Float[Tensor, "*batch K 3"]) -> Float[Tensor, "*batch K 3"]:
        """Which way the camera looks at these points, in canonical axes, unit."""
        return look(torch.einsum("...kp,...pij->...kij", self.weights_at(points), affine))[0]


def look(affine: Float[Tensor, "*batch 4 2"]) -> tuple[Float[Tensor, "*batch 3"], Float[Tensor, "*batch"]]:
    """The unit direction in which a camera looks, and its sides of the picture a metre."""
    forward = torch.linalg.cross(affine[..., :3, 0], affine[..., :3, 1])
    area = forward.norm(dim=-1)
    return forward / area[..., None].clamp(min=1e-6), area.sqrt()


def seen_at(affine: Float[Tensor, "*#batch 4 2"], points: Float[Tensor, "*#batch 3"]) -> Float[Tensor, "*#batch 2"]:
    """Where points are seen, in fractions of the picture."""
    return (affine[..., :3, :] * points[..., None]).sum(-2) + affine[..., 3, :]


def prior(centres: Float[Tensor, "P 3"], joints: Float[Tensor, "55 3"]) -> Float[Tensor, "K K"]:
    """The quadratic form of what is known before any picture; K = 4 P numbers for each of the picture's axes."""
    count = len(PARTS)
    rows = []
    for index, (_, parent, joint) in enumerate(PARTS):
        if parent < 0:
            continue
        meeting = centres.new_zeros(count, 4)
        for part, sign in ((index, 1.0), (parent, -1.0)):
            meeting[part] = sign * torch.cat([(joints[joint] - centres[part]) / UNIT, centres.new_ones(1)])
        rows.append(MEET**0.5 * meeting.flatten())
        for axis in range(3):
            alike = centres.new_zeros(count, 4)
            alike[index, axis], alike[parent, axis] = ALIKE**0.5, -(ALIKE**0.5)
            rows.append(alike.flatten())
    stacked = torch.stack(rows)
    return stacked.T @ stacked + TINY * torch.eye(4 * count, device=centres.device)
