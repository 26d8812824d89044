"""Our own motion file: JSON that a person can read and a program can write without numpy.

Enters: a file, or a `Track`. Leaves: a `Track`, or a file. No part of the paper. The layout:

    {"format": "lca-mini motion 1",
     "fps": 30,                                  frames a second
     "up": "y",                                  "y" or "z"; metres
     "rotations": "axis_angle",                  radians; or "quaternion_wxyz", "quaternion_xyzw"
     "joints": ["left_elbow", "right_index1"],   names of `lca_mini.JOINTS`; joints left out stay at rest
     "poses": [[[0, 0, 0.3], [0, 0, 0]]],        frames x joints x 3 (or 4), each relative to its parent
     "transl": [[0, 0, 0]],                      frames x 3; left out: none
     "hip_height": 0.87,                         of that body's pelvis over its soles, metres; left out: the template's
     "gaze": [[10, 0]],                          frames x 2 or 4: yaw to the left and pitch up, degrees, of both eyes
     "actions": {"jawOpen": [0.4]}}              names of `lca_mini.ACTIONS`, a number a frame, 0 to 1

What has frames must have the same number of them; "poses", "gaze" and "actions" may each be left out, not all.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lca_mini.body import ACTIONS, JOINTS
from lca_mini.body.lbs import axis_angle
from lca_mini.capture.motion import Motion
from lca_mini.export import whole_file
from lca_mini.tracks.smplx_files import y_up
from lca_mini.tracks.track import Track, even_times

FORMAT = "lca-mini motion 1"
ROTATIONS = {"axis_angle": 3, "quaternion_wxyz": 4, "quaternion_xyzw": 4}
KEYS = {"format", "fps", "up", "rotations", "joints", "poses", "transl", "hip_height", "gaze", "actions"}


def read_motion_json(path: str | Path) -> Track:
    """A file of the layout above.

    Raises: ValueError, one sentence that names the part, for anything else.
    """
    name = f"motion {str(path)!r}"
    try:
        data = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{name} is missing or no JSON ({error})") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ValueError(f'{name} is no motion of ours: it must begin with "format": "{FORMAT}"')
    if data.keys() - KEYS:
        raise ValueError(f"{name} has unknown parts {', '.join(sorted(data.keys() - KEYS))}; known are "
                         f"{', '.join(sorted(KEYS))}")
    arrays = {key: numbers(data[key], f"{key} of {name}") for key in ("poses", "transl", "gaze") if key in data}
    given = data.get("actions", {})
    if not isinstance(given, dict) or set(given) - set(ACTIONS):
        wrong = sorted(set(given) - set(ACTIONS)) if isinstance(given, dict) else "a list"
        raise ValueError(f"actions of {name} must be named as in lca_mini.ACTIONS, unlike {wrong}")
    arrays |= {f"actions.{key}": numbers(values, f"action {key} of {name}") for key, values in given.items()}
    frames = {key: len(array) for key, array in arrays.items()}
    if not arrays or len(set(frames.values())) > 1 or not min(frames.values()):
        raise ValueError(f"{name} must hold poses, gaze or actions, all with the same number of frames, not {frames}")
    count = next(iter(frames.values()))
    if not isinstance(data.get("fps"), (int, float)):
        raise ValueError(f"{name} does not say its fps, a number")
    seconds = even_times(count, float(data["fps"]))
    pose, transl = read_poses(data, arrays, count, name), arrays.get("transl", torch.zeros(count, 3))
    if transl.shape != (count, 3):
        raise ValueError(f"transl of {name} has shape {list(transl.shape)}, not [{count} 3]")
    if data.get("up", "y") not in ("y", "z"):
        raise ValueError(f'up of {name} is "y" or "z", not {data["up"]!r}')
    if data.get("up") == "z":
        pose, transl = y_up(pose, transl)
    gaze = arrays.get("gaze", torch.zeros(count, 4))
    if gaze.dim() != 2 or gaze.shape[1] not in (2, 4):
        raise ValueError(f"gaze of {name} has shape {list(gaze.shape)}, not [{count} 2] or [{count} 4]")
    gaze = torch.deg2rad(gaze.repeat(1, 4 // gaze.shape[1]))
    actions = torch.zeros(count, len(ACTIONS))
    for key in given:
        column = arrays[f"actions.{key}"]
        if column.shape != (count,) or column.min() < 0 or column.max() > 1:
            raise ValueError(f"action {key} of {name} must be one number a frame from 0 to 1")
        actions[:, ACTIONS.index(key)] = column
    height = data.get("hip_height")
    if height is not None and not (isinstance(height, (int, float)) and 0.2 < height < 3):
        raise ValueError(f"hip_height of {name} is {height!r}; a pelvis is 0.2 to 3 metres high")
    parts = {part for part, key in (("pose", "poses"), ("transl", "transl"), ("gaze", "gaze"), ("actions", "actions"))
             if key in data}  # fmt: skip
    return Track(Motion(pose, transl, gaze, actions), seconds, frozenset(parts), height)


def numbers(values: Any, name: str) -> Tensor:
    """A nested list as a tensor. Raises: ValueError where it is ragged, holds words, or is not finite."""
    try:
        tensor = torch.tensor(values, dtype=torch.float32)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(f"{name} must be numbers in lists of one length ({error})") from None
    if not tensor.dim() or not torch.isfinite(tensor).all():
        raise ValueError(f"{name} holds values that are not finite (NaN or infinity), or is no list")
    return tensor


def read_poses(data: dict[str, Any], arrays: dict[str, Tensor], count: int, name: str) -> Tensor:
    """Poses [F 55 3] as axis-angle."""
    pose = torch.zeros(count, len(JOINTS), 3)
    if "poses" not in arrays:
        return pose
    joints, kind = data.get("joints", list(JOINTS)), data.get("rotations", "axis_angle")
    if kind not in ROTATIONS:
        raise ValueError(f"rotations of {name} are {kind!r}; choose one of {', '.join(ROTATIONS)}")
    if not isinstance(joints, list) or set(joints) - set(JOINTS) or len(set(joints)) < len(joints):
        raise ValueError(f"joints of {name} must be a list of names of lca_mini.JOINTS, each once, not {joints}")
    poses = arrays["poses"]
    if poses.shape != (count, len(joints), ROTATIONS[kind]):
        raise ValueError(f"poses of {name} has shape {list(poses.shape)}, not [{count} {len(joints)} {ROTATIONS[kind]}]")
    if kind != "axis_angle":
        poses = poses.roll(1, dims=-1) if kind == "quaternion_xyzw" else poses
        lengths = poses.norm(dim=-1, keepdim=True)
        if (lengths - 1).abs().max() > 0.01:
            raise ValueError(f"poses of {name} are quaternions of other lengths than one; normalise them")
        poses = axis_angle(poses / lengths)
    pose[:, [JOINTS.index(joint) for joint in joints]] = poses
    return pose


def write_motion_json(track: Track, path: str | Path) -> None:
    """A track as a file of the layout above, all joints, y up, six digits; its frames must be evenly spaced.

    Raises: ValueError where they are not, or the place cannot be written.
    """
    if len(track.seconds) > 1 and (track.seconds.diff() - track.seconds[1]).abs().max() > 1e-4:
        raise ValueError("the frames of this track are unevenly spaced; resample it first")
    motion = track.motion

    def rounded(tensor: Tensor) -> list[Any]:
        return (tensor.double() * 1e6).round().div(1e6).tolist()

    data: dict[str, Any] = {"format": FORMAT, "fps": track.fps or 30.0, "up": "y", "rotations": "axis_angle"}
    data |= {"joints": list(JOINTS), "poses": rounded(motion.pose), "transl": rounded(motion.transl)}
    data |= {"gaze": rounded(torch.rad2deg(motion.gaze))}
    data["actions"] = {name: rounded(motion.actions[:, i]) for i, name in enumerate(ACTIONS) if motion.actions[:, i].any()}
    if track.hip_height is not None:
        data["hip_height"] = track.hip_height
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(data))
