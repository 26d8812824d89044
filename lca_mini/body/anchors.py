"""Anchors: the points on the template body from which geometry tokens are made (eq. 3).

Enters: a body. Leaves: M points on its surface with everything that follows the surface there. Denser on the face and
the hands, which are looked at more than their area says. What differs from the paper: its sampling is not told.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lca_mini.body.template import Body
from lca_mini.types import Movable


LIDS = 0.022  # metres from an eye's centre within which skin is lid
LIPS = (0.0, -0.068, 0.02)  # from between the eyes, metres, at rest
MOUTH = 0.045  # metres from the lips within which anchors lie on teeth, tongue and cheeks inside
HIDDEN = 0.2  # cosine of the angle to its axis beyond which an eyeball is hidden, wherever it looks


@dataclass(frozen=True)
class Anchors(Movable):
    """M points on the template: metres, rest pose. spacing: distance to the nearest neighbours, metres."""

    points: Float[Tensor, "M 3"]
    normals: Float[Tensor, "M 3"]
    skin_weights: Float[Tensor, "M 55"]
    shapedirs: Float[Tensor, "M 3 K"]
    spacing: Float[Tensor, "M"]
    faces: Int[Tensor, "M"]
    barycentric: Float[Tensor, "M 3"]


def sample_anchors(body: Body, count: int, seed: int = 0, oversample: int = 6) -> Anchors:
    """Spread `count` anchors over the body by farthest-point sampling of random surface points.

    Distances are measured with head and hands magnified, most of all eyeballs and the lids around them: a lid lies so close
    to the ball that anchors of the ball alone would leave it none. The mouth behind the lips gets its share, what lies deeper
    in the head hardly any, the hidden side of the eyes none. The same seed gives the same anchors on every machine.
    """
    generator = torch.Generator().manual_seed(seed)
    corners = body.template[body.faces]
    normals = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = normals.norm(dim=1) / 2
    weights = body.skin_weights[body.faces].mean(1)
    head, hands = weights[:, 15] + weights[:, 22:25].sum(1), weights[:, 25:].sum(1) + 0.5 * weights[:, 20:22].sum(1)
    eyes = weights[:, 23:25].sum(1) > 0.5
    face = head * (normals[:, 2] / (2 * area).clamp(min=1e-12) > -0.2) * (corners.mean(1)[:, 2] > 0.1)
    from_eye, away = _from_eyes(body)
    lids = face * (away < LIDS) * ~eyes
    outside = _outside(body)
    lips = body.joint_template[23:25].mean(0) + body.template.new_tensor(LIPS)
    mouth = (outside < 1) & ((corners.mean(1) - lips).norm(dim=1) < MOUTH)
    magnify = 1 + 0.7 * head + 1.3 * face + 1.8 * hands + 3.0 * eyes + 3.0 * lids + 1.0 * mouth
    seen = torch.where(mouth, 1.0, outside) * ~(eyes & (from_eye[:, 2] < HIDDEN * away))
    pick = torch.multinomial(area * magnify.square() * seen, count * oversample, True, generator=generator)
    u = torch.rand(len(pick), 2, generator=generator)
    u = torch.where(u.sum(1, keepdim=True) > 1, 1 - u, u)
    barycentric = torch.cat([1 - u.sum(1, keepdim=True), u], 1)
    points = (corners[pick] * barycentric[..., None]).sum(1)
    keep = _farthest(points, magnify[pick], count)
    return anchors_at(body, pick[keep], barycentric[keep])


def anchors_at(body: Body, faces: Int[Tensor, "M"], barycentric: Float[Tensor, "M 3"]) -> Anchors:
    """The anchors at these points of the surface: triangles and weights of their corners."""
    ids = body.faces[faces]
    corners = body.template[ids]
    normals = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    points = (corners * barycentric[..., None]).sum(1)

    def mix(values: Tensor) -> Tensor:
        return torch.einsum("mc,mc...->m...", barycentric, values[ids])

    spacing = torch.cdist(points, points).topk(4, largest=False).values[:, 1:].mean(1)
    return Anchors(
        points=points, normals=torch.nn.functional.normalize(normals, dim=1), skin_weights=mix(body.skin_weights),
        shapedirs=mix(body.shapedirs), spacing=spacing, faces=faces, barycentric=barycentric,
    )  # fmt: skip


def action_directions(body: Body, anchors: Anchors) -> Float[Tensor, "M 3 E"]:
    """How far each action at 1 moves each anchor at rest, metres."""
    return torch.einsum("mc,mcxk->mxk", anchors.barycentric, body.exprdirs[body.faces[anchors.faces]])


def _from_eyes(body: Body) -> tuple[Float[Tensor, "F 3"], Float[Tensor, "F"]]:
    """Where faces are from the centre of the nearer eyeball, metres, and how far."""
    off = body.template[body.faces].mean(1)[:, None] - body.joint_template[23:25]
    away, which = off.norm(dim=-1).min(1)
    return off[torch.arange(len(off)), which], away


def _outside(body: Body) -> Float[Tensor, "F"]:
    """1 for faces seen from outside; small for tongue and mouth cavity, which lie inside the head."""
    centre = body.template[body.faces].mean(1)
    weights = body.skin_weights[body.faces].mean(1)
    skull = body.joint_template[15] + torch.tensor([0.0, 0.03, 0.04])
    ray = centre - skull
    is_head = weights[:, 15] + weights[:, 22] > 0.8
    direction = torch.nn.functional.normalize(ray, dim=1)
    reach = ray.norm(dim=1)
    head_ids = is_head.nonzero()[:, 0]
    close = direction[head_ids] @ direction[head_ids].T > 0.998
    farthest = torch.where(close, reach[head_ids][None], 0.0).amax(1)
    outside = torch.ones(len(centre))
    outside[head_ids] = torch.where(reach[head_ids] < 0.8 * farthest, 0.03, 1.0)
    return outside


def _farthest(points: Float[Tensor, "P 3"], magnify: Float[Tensor, "P"], count: int) -> Int[Tensor, "M"]:
    """In NumPy: thousands of small steps, each of which would wake torch's threads."""
    cloud, weight = points.numpy(), magnify.square().numpy()
    chosen = np.empty(count, dtype=np.int64)
    distance = np.full(len(cloud), np.inf, dtype=np.float32)
    index = 0
    for i in range(count):
        chosen[i] = index
        gap = cloud - cloud[index]
        np.minimum(distance, (gap * gap).sum(1) * weight, out=distance)
        index = int(distance.argmax())
    return torch.from_numpy(chosen)
