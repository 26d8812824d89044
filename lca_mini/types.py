"""What crosses a wall between two rooms of the library: plain frozen dataclasses of tensors.

Enters: nothing. Leaves: the nouns every other module speaks in. Leading axes are written `*batch` where any number
of them is allowed; the fixed trailing axes are named in each class.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Callable, Sequence, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

T = TypeVar("T")
CELL = 4  # side of the cells of `Sample.surface`, pixels


class Movable:
    """Tensor dataclasses that move, slice and cast as one."""

    def map(self: T, fn: Callable[[Tensor], Tensor]) -> T:
        """Apply `fn` to every tensor inside, nested dataclasses included."""
        changes: dict[str, Any] = {}
        for f in fields(self):  # type: ignore[arg-type]
            value = getattr(self, f.name)
            if isinstance(value, Tensor):
                changes[f.name] = fn(value)
            elif isinstance(value, Movable):
                changes[f.name] = value.map(fn)
        return replace(self, **changes)  # type: ignore[type-var]

    def to(self: T, device: torch.device | str) -> T:
        """The same on another device."""
        return self.map(lambda t: t.to(device, non_blocking=True))  # type: ignore[attr-defined]

    def __getitem__(self: T, index: Any) -> T:
        """Index the leading axes of every tensor alike."""
        return self.map(lambda t: t[index])  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Cameras(Movable):
    """Pinhole cameras. OpenCV axes: x right, y down, z forward.

    viewmats: world to camera, metres. Ks: intrinsics, pixels; the centre of the top left pixel is (0.5, 0.5).
    """

    viewmats: Float[Tensor, "*batch C 4 4"]
    Ks: Float[Tensor, "*batch C 3 3"]
    width: int
    height: int


@dataclass(frozen=True)
class Gaussians(Movable):
    """3D Gaussians as gsplat takes them, always activated.

    means: metres. quats: unit, wxyz. scales: standard deviations, metres, > 0. opacities: (0, 1). colors: RGB [0, 1].
    """

    means: Float[Tensor, "*batch N 3"]
    quats: Float[Tensor, "*batch N 4"]
    scales: Float[Tensor, "*batch N 3"]
    opacities: Float[Tensor, "*batch N"]
    colors: Float[Tensor, "*batch N 3"]


@dataclass(frozen=True)
class GaussianOffsets(Movable):
    """What the correction branch adds in the canonical frame, before skinning (eq. 9); zero before training.

    means: metres, added. quats: raw wxyz, added, then normalised. scales: natural logarithm, added. colors: added.
    """

    means: Float[Tensor, "*batch N 3"]
    quats: Float[Tensor, "*batch N 4"]
    scales: Float[Tensor, "*batch N 3"]
    colors: Float[Tensor, "*batch N 3"]


@dataclass(frozen=True)
class DrivingSignal(Movable):
    """What moves an avatar: theta, epsilon and psi of the paper, and where the body stands.

    pose: axis-angle of the 55 SMPL-X joints in SMPL-X order (0 root, 1-21 body, 22 jaw, 23-24 eyes, 25-39 left hand,
    40-54 right hand), radians. transl: root translation, metres. expression: epsilon, unitless.
    gaze: psi, (yaw, pitch) of the left eye then of the right, radians; positive yaw turns to the person's left,
    positive pitch upwards. The eye joints of `pose` are overwritten by `gaze`.
    """

    pose: Float[Tensor, "*batch 55 3"]
    transl: Float[Tensor, "*batch 3"]
    expression: Float[Tensor, "*batch E"]
    gaze: Float[Tensor, "*batch 4"]


@dataclass(frozen=True)
class Avatar(Movable):
    """One person (or B), after `encode`: everything that `drive` needs.

    fused_tokens: geometry tokens after the last layer. canonical: T-pose Gaussians of the canonical branch (eq. 8).
    token_features: the half of the correction branch's first layer that depends on the tokens alone.
    light: what the light of the reference pictures does to a colour, by the posed normal (`lca_mini.model.light`); of a
    phone's pictures, in a world whose +z axis points at the phone.
    """

    fused_tokens: Float[Tensor, "B M D"]
    token_features: Float[Tensor, "B M H"]
    canonical: Gaussians
    betas: Float[Tensor, "B K"]
    light: Float[Tensor, "B 8 3"]


@dataclass(frozen=True)
class Rendering(Movable):
    """colors: RGB over the background. alphas: coverage. depths: alpha-weighted mean z, metres (0 where empty)."""

    colors: Float[Tensor, "*batch C H W 3"]
    alphas: Float[Tensor, "*batch C H W 1"]
    depths: Float[Tensor, "*batch C H W 1"]


def join(parts: Sequence[T]) -> T:
    """Tensor dataclasses one after another along the first axis; what is no tensor is the first one's."""
    if len(parts) == 1:
        return parts[0]
    changes: dict[str, Any] = {}
    for f in fields(parts[0]):  # type: ignore[arg-type]
        values = [getattr(part, f.name) for part in parts]
        if isinstance(values[0], Tensor):
            changes[f.name] = torch.cat(values)
        elif isinstance(values[0], Movable):
            changes[f.name] = join(values)
    return replace(parts[0], **changes)  # type: ignore[type-var]


@dataclass(frozen=True)
class Sample(Movable):
    """One person's training material, or B people stacked: S reference images in, T target views to reproduce.

    images: references, sRGB [0, 1], foreground over white. face_images: a square crop of each one's face.
    image_mask: False where a reference is padding. targets, target_masks: what to render; each target has its own
    frame and one camera (`cameras`, C = 1). target_faces: the face crop of each target, for the expression encoder.
    actions: the 52 facial actions [0, 1] where they are known (synthetic people), else zeros. seeds: who it is.
    surface, face_surface: what each cell of `CELL` pixels of a reference and of its face crop shows, where that is known:
    mean point of the canonical template (x, y, z, metres), and how much of the cell is covered. face_viewmats, face_Ks:
    the cameras of `target_faces`, where these show the targets' moments over white.
    """

    images: Float[Tensor, "*batch S 3 H W"]
    face_images: Float[Tensor, "*batch S 3 h w"]
    image_mask: Bool[Tensor, "*batch S"]
    face_boxes: Float[Tensor, "*batch S 3"]
    targets: Float[Tensor, "*batch T 3 H W"]
    target_masks: Float[Tensor, "*batch T 1 H W"]
    target_faces: Float[Tensor, "*batch T 3 h w"]
    cameras: Cameras
    pose: Float[Tensor, "*batch T 55 3"]
    transl: Float[Tensor, "*batch T 3"]
    gaze: Float[Tensor, "*batch T 4"]
    actions: Float[Tensor, "*batch T 52"]
    betas: Float[Tensor, "*batch K"]
    seeds: Int[Tensor, "*batch"]
    surface: Float[Tensor, "*batch S 4 H/4 W/4"] | None = None
    face_surface: Float[Tensor, "*batch S 4 h/4 w/4"] | None = None
    face_viewmats: Float[Tensor, "*batch T 1 4 4"] | None = None
    face_Ks: Float[Tensor, "*batch T 1 3 3"] | None = None
