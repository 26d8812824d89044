"""All that a frame needs and that no frame changes, laid out for kernels: the half of driving done once a person.

Enters: a model, an `Avatar`, and how many frames come at a time. Leaves: a `DrivePlan`. Part of the paper: eq. 9 and
skinning. What differs from the readable path `LCA.drive`: layout alone. The signal is one row of numbers (`PACKED`),
and the first layer's columns for numbers that it does not read are zero; the soft bounds' slopes are folded into the
last layer, so that a correction is bound * tanh(output); skin weights keep their non-zero joints; each joint knows the
chain of joints up to the root, so that all joints are posed at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lca_mini.body import rest_joints
from lca_mini.model.decoder import OFFSETS
from lca_mini.model.lca import LCA
from lca_mini.types import Avatar, DrivingSignal, Gaussians

JOINTS = 55
LEFT_EYE, RIGHT_EYE = 23, 24
PACKED = {"pose": slice(0, 165), "transl": slice(165, 168), "gaze": slice(168, 172), "expression": slice(172, None)}
"""Where each part of a driving signal stands in its row of numbers."""
BOUNDS = tuple(bound for _, _, _, bound in OFFSETS.values())  # of dp, dq, ds, dc


@dataclass(frozen=True)
class DrivePlan:
    """Constant tensors for B people of M anchors, G Gaussians each, on one device.

    frames: F, frames a call. leading: leading axes of signals and of what is returned, (B,) or (B, F). chain: each
    joint, its parent, and so on to the root, then -1. steps: of each joint from its parent, rest pose, metres.
    normals: of the anchors, unit, template. light: as the avatar has it.
    skin_ids, skin_values: the K joints that move an anchor most, all that do (zero weights fill up).
    layers: (weight [in out], bias [out]) after the split first layer, the last one giving 13 numbers a Gaussian.
    """

    frames: int
    leading: tuple[int, ...]
    rest: Float[Tensor, "B 55 3"]
    steps: Float[Tensor, "B 55 3"]
    chain: Int[Tensor, "55 D"]
    skin_ids: Int[Tensor, "M K"]
    skin_values: Float[Tensor, "M K"]
    normals: Float[Tensor, "M 3"]
    light: Float[Tensor, "B 8 3"]
    tokens: Float[Tensor, "B M H"]
    signal_weight: Float[Tensor, "S 2*H"]
    layers: tuple[tuple[Float[Tensor, "..."], Float[Tensor, "..."]], ...]
    canonical: Gaussians

    @property
    def images(self) -> int:
        """How many sets of Gaussians a call makes: B F."""
        return len(self.rest) * self.frames

    @property
    def per_anchor(self) -> int:
        """G."""
        return self.canonical.means.shape[1] // self.tokens.shape[1]

    def new_packed(self) -> Float[Tensor, "*leading S"]:
        """A row of numbers for each frame, zero."""
        return self.rest.new_zeros(*self.leading, len(self.signal_weight))

    def new_gaussians(self) -> Gaussians:
        """Buffers for posed Gaussians; opacities, which no frame changes, are filled in already."""
        def over_frames(t: Tensor) -> Tensor:
            return t[:, None].expand(len(t), self.frames, *t.shape[1:]).reshape(*self.leading, *t.shape[1:]).clone()

        return self.canonical.map(over_frames)


def make_plan(model: LCA, avatar: Avatar, frames: int | None) -> DrivePlan:
    """frames: None for signals [B ...], a number for [B F ...].

    Raises: ValueError where frames is not positive. The caller answers for a model with a correction branch.
    """
    branch = model.correction_branch
    if frames is not None and frames < 1:
        raise ValueError(f"frames is {frames}; an avatar is driven at least one frame at a time")
    people, device = len(avatar.betas), avatar.betas.device
    rest, parents = rest_joints(model.body, avatar.betas), list(model.body.parents)
    steps = torch.cat([rest[:, :1], rest[:, 1:] - rest[:, parents[1:]]], dim=1)
    values, ids = model.anchors.skin_weights.sort(dim=1, descending=True)
    most = int((values > 0).sum(1).max())
    layers = [(layer.weight, layer.bias) for layer in branch.rest if hasattr(layer, "weight")]
    slopes = torch.cat([torch.full((last - first,), unit / bound) for first, last, unit, bound in OFFSETS.values()])
    slopes = slopes.to(device).repeat(len(branch.out.bias) // len(slopes))
    layers.append((slopes[:, None] * branch.out.weight, slopes * branch.out.bias))
    return DrivePlan(
        frames=frames or 1, leading=(people,) if frames is None else (people, frames), rest=rest.contiguous(),
        steps=steps.contiguous(), chain=chains(parents).to(device), skin_ids=ids[:, :most].int().contiguous(),
        skin_values=values[:, :most].contiguous(), normals=model.anchors.normals.float().contiguous(),
        light=avatar.light.float().contiguous(), tokens=avatar.token_features.float().contiguous(),
        signal_weight=packed_weight(branch.signal_layer.weight),
        layers=tuple((weight.T.contiguous(), bias.contiguous()) for weight, bias in layers),
        canonical=avatar.canonical.map(lambda t: t.float().contiguous()),
    )


def chains(parents: list[int]) -> Int[Tensor, "55 D"]:
    """Each joint's way up to the root, itself first; -1 beyond the root."""
    rows = []
    for joint in range(len(parents)):
        rows.append([])
        while joint >= 0:
            rows[-1].append(joint)
            joint = parents[joint]
    longest = max(map(len, rows))
    return torch.tensor([row + [-1] * (longest - len(row)) for row in rows], dtype=torch.int32)


def packed_weight(weight: Float[Tensor, "n S"]) -> Float[Tensor, "P n"]:
    """The signal's half of the first layer (gain, then shift) for packed rows; it reads neither root, nor eyes, nor translation."""
    pose, expression, gaze = weight.split([3 * (JOINTS - 3), weight.shape[1] - 3 * (JOINTS - 3) - 4, 4], dim=1)
    nothing = weight.new_zeros(len(weight), 3)
    body, rest = pose[:, : 3 * (LEFT_EYE - 1)], pose[:, 3 * (LEFT_EYE - 1) :]
    return torch.cat([nothing, body, nothing, nothing, rest, nothing, gaze, expression], dim=1).T.contiguous()


def pack(signal: DrivingSignal) -> list[Float[Tensor, "*leading n"]]:
    """A signal's parts in the order of `PACKED`."""
    return [signal.pose.flatten(-2), signal.transl, signal.gaze, signal.expression]


def unpack(packed: Float[Tensor, "*leading S"]) -> DrivingSignal:
    """The signal whose rows these are: views."""
    parts = {name: packed[..., where] for name, where in PACKED.items()}
    return DrivingSignal(**parts | {"pose": parts["pose"].unflatten(-1, (JOINTS, 3))})
