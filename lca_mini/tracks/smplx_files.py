"""Motion files in SMPL-X's and SMPL-H's numbers, AMASS among them.

Enters: an .npz file. Leaves: a `Track`, y up, metres. Part of the paper: theta. Conventions:

* `poses` [F 165] is SMPL-X in its own order; `poses` [F 156] is SMPL-H (body, then both hands), without jaw and eyes.
  Instead of `poses`: `global_orient`, `body_pose`, `jaw_pose`, `leye_pose`, `reye_pose`, `left_hand_pose` and
  `right_hand_pose`. Axis-angle, radians, hands relative to the flat hand. Beside them `trans` or `transl` [F 3],
  `actions` [F 52].
* AMASS writes its rate as `mocap_framerate` (SMPL-H) or `mocap_frame_rate` (SMPL-X), has z up, and its floor at z = 0. A
  file with either is taken for AMASS, any other for y up, unless the caller says; the track's notes tell which it was.
* `betas` of a file are of SMPL-X's own shape space, which is not that of the packaged body: the avatar keeps its shape.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lca_mini.body import ACTIONS, JOINTS, eye_gaze, rotation_matrices
from lca_mini.body.lbs import axis_angle, quaternion_product, quaternions
from lca_mini.capture.motion import Motion
from lca_mini.tracks.track import Track, even_times

FIELDS = {
    "global_orient": 1, "body_pose": 21, "jaw_pose": 1, "leye_pose": 1, "reye_pose": 1, "left_hand_pose": 15,
    "right_hand_pose": 15,
}  # fmt: skip
"""Fields that a file may have instead of `poses`, and how many joints each has, in the order of a pose."""
RATES = ("mocap_framerate", "mocap_frame_rate")
UPS = ("auto", "y", "z")
SMPLH = 156
REST_FPS = 30.0


def read_npz(path: str | Path, up: str = "auto", fps: float | None = None) -> Track:
    """A motion file, every frame of it.

    Args:
        up: "y", "z", or "auto", which follows the module's conventions.
        fps: frames a second of a file that does not say; None for 30.
    Raises: ValueError, one sentence, for a file that is missing, cut off, of another layout, or not finite.
    """
    if up not in UPS:
        raise ValueError(f"no axis {up!r} is up; choose one of {', '.join(UPS)}")
    arrays, rate, amass = read_arrays(Path(path))
    poses, count = arrays.get("poses"), next(iter(arrays.values())).shape[0]
    parts = {"pose"} | ({"transl"} if {"trans", "transl"} & arrays.keys() else set()) | ({"actions"} & arrays.keys())

    def part(key: str, width: int) -> Tensor:
        return arrays[key].reshape(count, -1) if key in arrays else torch.zeros(count, width)

    if poses is None:
        flat = torch.cat([part(key, 3 * joints) for key, joints in FIELDS.items()], dim=1)
    elif poses.reshape(count, -1).shape[1] == SMPLH:
        poses = poses.reshape(count, -1)
        flat = torch.cat([poses[:, :66], poses.new_zeros(count, 9), poses[:, 66:]], dim=1)
    else:
        flat = poses.reshape(count, -1)
    pose, transl = flat.unflatten(1, (len(JOINTS), 3)), part("transl" if "transl" in arrays else "trans", 3)
    gaze = eye_gaze(pose[:, 23:25])
    parts |= {"gaze"} if pose[:, 23:25].any() else set()
    taken = ("z" if amass else "y") if up == "auto" else up
    why = "as was asked for" if up != "auto" else "as AMASS has it" if amass else "since the file has no AMASS rate"
    notes = [f"{taken} is up, {why}"]
    if rate is None:
        rate = REST_FPS if fps is None else fps
        notes.append(f"the file has no frame rate: {rate:g} a second are taken")
    if taken == "z":
        pose, transl = y_up(pose, transl)
    if up == "auto" and "transl" in parts:
        check_upright(pose, taken, str(path))
    if amass and "betas" in amass:
        notes.append("the file's betas are of another shape space and are left aside")
    motion = Motion(pose, transl, gaze, part("actions", len(ACTIONS)))
    return Track(motion, even_times(count, rate), frozenset(parts), grounded=bool(amass) and taken == "z", notes=tuple(notes))


def read_arrays(path: Path) -> tuple[dict[str, Tensor], float | None, set[str]]:
    """The arrays that are known, the frame rate if there is one, and the file's names where it looks like AMASS's."""
    widths = {"trans": 3, "transl": 3, "actions": len(ACTIONS)} | {key: 3 * count for key, count in FIELDS.items()}
    known, name = {"poses", *widths}, f"motion {str(path)!r}"
    try:
        with np.load(path, allow_pickle=False) as file:
            names = set(file.files)
            arrays = {key: torch.from_numpy(file[key].astype(np.float32)) for key in file.files if key in known}
            rates = [float(file[key]) for key in (*RATES, "fps") if key in file.files]
    except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{name} is missing, damaged or no .npz of plain arrays ({error})") from None
    if not ({"poses"} | FIELDS.keys()) & arrays.keys():
        raise ValueError(f"{name} has no pose: give poses [F 165], or {', '.join(FIELDS)}")
    frames = {key: array.shape[0] if array.dim() else 0 for key, array in arrays.items()}
    if len(set(frames.values())) > 1 or not min(frames.values()):
        raise ValueError(f"the arrays of {name} must all have the same number of frames, not {frames}")
    count = min(frames.values())
    for key, array in arrays.items():
        if key == "poses" and array.numel() not in (165 * count, SMPLH * count):
            raise ValueError(f"poses of {name} has shape {list(array.shape)}, not [{count} 165] (SMPL-X) or [{count} "
                             f"{SMPLH}] (SMPL-H)")
        if key != "poses" and array.numel() != count * widths[key]:
            raise ValueError(f"{key} of {name} has shape {list(array.shape)}, not [{count} {widths[key]}]")
        if not torch.isfinite(array).all():
            raise ValueError(f"{key} of {name} holds values that are not finite (NaN or infinity)")
    if rates and not (math.isfinite(rates[0]) and 0 < rates[0] <= 1000):
        raise ValueError(f"{name} says that it has {rates[0]} frames a second, which is no rate")
    return arrays, rates[0] if rates else None, names if set(RATES) & names else set()


def y_up(pose: Tensor, transl: Tensor) -> tuple[Tensor, Tensor]:
    """A z-up world turned so that y is up: (x, y, z) becomes (x, z, -y). The pelvis' own place in the rest pose, by which
    a file's origin differs from ours, is a constant that `retarget` takes up."""
    quarter = pose.new_tensor([math.cos(math.pi / 4), -math.sin(math.pi / 4), 0.0, 0.0])
    root = axis_angle(quaternion_product(quarter.expand(len(pose), 4), quaternions(pose[:, 0])))
    return torch.cat([root[:, None], pose[:, 1:]], dim=1), torch.stack([transl[:, 0], transl[:, 2], -transl[:, 1]], dim=1)


def check_upright(pose: Tensor, taken: str, name: str) -> None:
    """Raises: ValueError where people stand along the axis that was not taken for up: the file's world is another."""
    head = rotation_matrices(pose[:, 0])[..., 1].median(0).values  # where the pelvis' own y axis points
    if head[1].abs() < 0.3 and head[2].abs() > 0.8:
        other = "y" if taken == "z" else "z"
        raise ValueError(f"motion {name!r} was taken to have {taken} up, but its people stand along another axis; say "
                         f"which is up: {other}, or {taken} if they really lie")
