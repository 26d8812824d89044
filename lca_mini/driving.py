"""From movement to what `drive` and `render` take: driving signals, and cameras that follow a person.

Enters: a `Motion` (from `lca_mini.capture`, or a file that `lca_mini.tracks` has read) and a model. Leaves: a
`DrivingSignal`, posed joints, and `Cameras` round the body or before the face. Part of the paper: its driving signals
theta, epsilon and psi. What differs from the paper: epsilon comes from named facial actions here; `lca_mini.transfer`
reads it off a filmed face.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from lca_mini.body import ACTIONS, JOINTS, rest_joints
from lca_mini.body.lbs import carry_points
from lca_mini.capture.gestures import FACES, actions_of
from lca_mini.capture.motion import Motion, look
from lca_mini.capture.rigs import intrinsics, look_at
from lca_mini.model import LCA, check_signal
from lca_mini.types import Avatar, Cameras, DrivingSignal


def driving_signal(model: LCA, motion: Motion) -> DrivingSignal:
    """Facial actions become the model's expression code; all else passes.

    Raises: ValueError where a number is not finite.
    """
    motion = motion.to(model.anchors.points.device)
    with torch.no_grad():
        signal = DrivingSignal(motion.pose, motion.transl, model.expression_from_actions(motion.actions), motion.gaze)
    check_signal(signal)
    return signal


def with_face(motion: Motion, face: str | dict[str, float], gaze: tuple[float, float] = (0.0, 0.0)) -> Motion:
    """The same movement with one face throughout: `with_face(motion, "smile")`, or `{"jawOpen": 0.4}`.

    Args:
        face: a name of `lca_mini.capture.gestures.FACES`, or names of `lca_mini.ACTIONS`, each 0 to 1, the rest 0.
        gaze: yaw to the person's left and pitch up, degrees, of both eyes.
    Raises: ValueError for another name.
    """
    if isinstance(face, str):
        if face not in FACES:
            raise ValueError(f"no face {face!r}; choose one of {', '.join(FACES)}")
        values = actions_of(face)
    else:
        unknown = sorted(set(face) - set(ACTIONS))
        if unknown:
            raise ValueError(f"no facial action {', '.join(unknown)}; choose from {', '.join(ACTIONS)}")
        values = torch.tensor([float(face.get(name, 0.0)) for name in ACTIONS])
    angles = motion.gaze.new_tensor(gaze)
    return replace(
        motion, gaze=torch.deg2rad(angles).repeat(2).expand_as(motion.gaze),
        actions=look(values.to(angles.device).expand_as(motion.actions), angles.expand(*motion.gaze.shape[:-1], 2)),
    )  # fmt: skip


def posed_joints(model: LCA, avatar: Avatar, signal: DrivingSignal) -> Float[Tensor, "*batch 55 3"]:
    """Where the 55 joints are, world frame, metres; leading axes (B,) or (B, F) as in the signal."""
    joints = rest_joints(model.body, avatar.betas)
    joints = joints if signal.pose.dim() == 3 else joints[:, None].expand_as(signal.pose)
    return carry_points(model.transforms(avatar, signal)[..., :3, :], joints) + signal.transl[..., None, :]


def steady(joints: Float[Tensor, "*batch F 55 3"], frames: int) -> Float[Tensor, "*batch F 55 3"]:
    """A moving average over time, for cameras that follow calmly. frames: odd."""
    flat = joints.flatten(-2).flatten(0, -3).mT
    flat = F.avg_pool1d(F.pad(flat, (frames // 2, frames // 2), mode="replicate"), frames, stride=1)
    return flat.mT.reshape(joints.shape)


def body_cameras(
    joints: Float[Tensor, "*batch 55 3"], azimuths: Float[Tensor, " C"], size: int, elevation: float = 0.08
) -> Cameras:
    """Cameras that frame the whole body, one for each azimuth: [*batch C].

    Args:
        joints: posed, world frame, metres; all bodies are shown at one scale.
        azimuths: radians, world frame; 0 looks at a person who faces +z from the front.
        size: side of the picture, pixels.
        elevation: radians above the horizon.
    """
    high, low = joints[..., 15, 1] + 0.22, joints[..., 7:12, 1].amin(-1) - 0.08
    half = 0.5 * (high - low).amax()
    centre = torch.stack([joints[..., 0, 0], 0.5 * (high + low), joints[..., 0, 2]], dim=-1)
    field = math.radians(30)
    away = torch.stack([azimuths.sin() * math.cos(elevation), torch.full_like(azimuths, math.sin(elevation)),
                        azimuths.cos() * math.cos(elevation)], dim=-1)  # fmt: skip
    return cameras_round(centre, 1.1 * half / math.tan(field / 2) * away, field, size)


def face_cameras(joints: Float[Tensor, "*batch 55 3"], azimuths: Float[Tensor, " C"], size: int) -> Cameras:
    """Close-ups of the face, at the height of the eyes: [*batch C]. Arguments as in `body_cameras`, but azimuth 0 is
    in front of the person's shoulders, so that a turn of the head is seen."""
    left = joints[..., 16, :] - joints[..., 17, :]
    heading = torch.atan2(-left[..., 2], left[..., 0])[..., None] + azimuths
    away = torch.stack([heading.sin(), torch.zeros_like(heading), heading.cos()], dim=-1)
    eyes = joints[..., 23:25, :].mean(-2)
    centre = eyes - eyes.new_tensor([0.0, 0.015, 0.0])
    return cameras_round(centre, 1.2 * away, 2 * math.atan(0.17 / 1.2), size)


def cameras_round(
    centre: Float[Tensor, "*batch 3"], offsets: Float[Tensor, "*dims C 3"], field: float, size: int
) -> Cameras:
    """Square cameras [*batch C] that see `centre` in their middle. offsets: of each from it. field: of view, radians."""
    target = centre[..., None, :].expand(*centre.shape[:-1], offsets.shape[-2], 3)
    viewmats = look_at(target + offsets, target, target.new_tensor([0.0, 1.0, 0.0]))
    Ks = intrinsics(target.new_full(target.shape[:-1], field), size)
    return Cameras(viewmats, Ks, size, size)


def hand_cameras(joints: Float[Tensor, "*batch 55 3"], azimuths: Float[Tensor, " C"], size: int, side: str) -> Cameras:
    """Close-ups of one hand, "left" or "right": [*batch C]. Arguments as in `body_cameras`."""
    away = torch.stack([azimuths.sin(), torch.zeros_like(azimuths), azimuths.cos()], dim=-1)
    return cameras_round(joints[..., JOINTS.index(f"{side}_middle1"), :], 1.2 * away, 2 * math.atan(0.13 / 1.2), size)
