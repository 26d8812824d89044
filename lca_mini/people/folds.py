"""What cloth does when somebody moves: folds at bent joints. What hangs and swings is in `sway`.

Enters: poses. Leaves: displacements in the rest frame, before the skeleton moves them. Not part of the paper: its
garments are real ones. Everything follows from the pose of one moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lca_mini.body import load_body, rest_joints
from lca_mini.people.looks import Looks
from lca_mini.people.noise import noise, smoothstep
from lca_mini.people.pieces import unit_normals
from lca_mini.people.wardrobe import BOTTOM, TOP, wardrobe
from lca_mini.types import Movable

DRIVES = ("left_knee", "right_knee", "left_elbow", "right_elbow", "left_hip", "right_hip", "waist")
_KNEES, _ELBOWS, _HIPS, _SPINE = [4, 5], [18, 19], [1, 2], [3, 6, 9]
DEPTH = 0.014  # metres, of a fold in the loosest cloth


@dataclass(frozen=True)
class Folds(Movable):
    """ids: vertices of the shared mesh that move. fields: by how much for each drive, metres. part: their part."""

    ids: Int[Tensor, " A"]
    fields: Float[Tensor, "D A 3"]
    part: Int[Tensor, " A"]


def drives(pose: Float[Tensor, "B F 55 3"]) -> Float[Tensor, "B F D"]:
    """How far each joint of `DRIVES` is bent: [0, 1]."""
    bent = lambda joints, full: (pose[..., joints, :].norm(dim=-1) / full).clamp(max=1)  # noqa: E731
    spine = (pose[..., _SPINE, :].sum(-2).norm(dim=-1, keepdim=True) / 0.9).clamp(max=1)
    return torch.cat([bent(_KNEES, 1.6), bent(_ELBOWS, 1.6), bent(_HIPS, 1.4), spine], -1)


@lru_cache(maxsize=8)
def folds(device: str) -> Folds:
    """The fields, on a device."""
    return _build() if device == "cpu" else folds("cpu").to(device)


@torch.no_grad()
def _build() -> Folds:
    mesh, body = wardrobe("cpu"), load_body()
    joints = rest_joints(body, torch.zeros(1, body.shapedirs.shape[-1]), torch.zeros(1, 52))[0]
    keep = torch.stack([mesh.vertex_part == p for p in (TOP, BOTTOM)]).any(0)
    ids = keep.nonzero()[:, 0]
    p, part = mesh.template[ids], mesh.vertex_part[ids]
    normals = unit_normals(mesh.template, mesh.faces)[ids]
    x, y, z = p.unbind(1)
    top, bottom = part == TOP, part == BOTTOM
    wander = noise(p * 1.1)[:, 0]
    ridge = lambda t, length: 0.5 + 0.5 * torch.sin(t * (2 * torch.pi / length) + 2.2 * wander)  # noqa: E731
    near = lambda t, reach: torch.exp(-(t / reach).square())  # noqa: E731

    fields = []
    for knee in _KNEES:
        d = p - joints[knee]
        behind = 0.35 + 0.65 * smoothstep(0.03, -0.03, d[:, 2])
        fields.append(bottom * (d[:, 0].abs() < 0.12) * near(d[:, 1], 0.09) * behind * ridge(y + 0.4 * z, 0.055))
    for elbow in _ELBOWS:
        d = p - joints[elbow]
        fields.append(top * near(d[:, 0], 0.07) * ridge(x + 0.5 * z, 0.045))
    for hip in _HIPS:
        side = smoothstep(-0.02, 0.04, x * joints[hip, 0].sign())
        d = p - joints[hip]
        front = smoothstep(0.05, 0.12, z)
        fields.append(bottom * side * near(d[:, 1] + 0.01, 0.07) * front * ridge(y + 0.5 * x.abs(), 0.05))
    fields.append((top | bottom) * (x.abs() < 0.2) * near(y - 0.16, 0.11) * ridge(y + 0.25 * x, 0.06))
    cloth = DEPTH * torch.stack(fields)[..., None] * normals
    return Folds(ids, cloth, part)


def slack(part: Int[Tensor, " A"], looks: Looks) -> Float[Tensor, "B A"]:
    """How much of a fold each person's cloth makes."""
    loose = 0.35 + 0.65 * looks.loose
    return torch.where(part == TOP, loose[:, :1], loose[:, 1:])
