"""Recordings of faces: Live Link Face's CSV (ARKit), and MediaPipe's face landmarker as CSV or JSON.

Enters: a file. Leaves: a `Track` with facial actions and, where the file has it, gaze. Part of the paper: a control that
people can read, in place of epsilon itself. Conventions:

* Columns and categories are found by name, whatever their case and order. ARKit has all 52 actions; MediaPipe has no
  `tongueOut`, and a `_neutral` that is left aside. What is missing is zero and what is unknown is left aside, each with a
  note; a file without any known action is refused.
* Live Link Face: `Timecode` hours:minutes:seconds:frames, of which as many make a second as were counted (60 where the
  recording is too short to tell); after the 52 columns come head and eye angles, radians.
* MediaPipe JSON: a list of frames, or {"fps": 30, "frames": [...]}. A frame is {"jawOpen": 0.4, ...}, or a list of
  {"categoryName" or "category_name", "score"}, or holds one under "faceBlendshapes", "face_blendshapes", "blendshapes" or
  "categories". `timestampMs`, `timestamp_ms` (milliseconds), `timestamp` or `time` (seconds) of a frame or a row are its
  time; without, the caller's frame rate counts.
* The eyes' gaze comes from the eyeLook actions: 1 is 30 degrees sideways and 25 up or down, as in `capture.motion.look`.
  On request it comes from ARKit's eye angles, whose sign is that with which they agree with the eyeLook columns.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from lca_mini.body import ACTIONS
from lca_mini.capture.motion import look
from lca_mini.tracks.face_rows import TIMES, Rows, csv_rows, json_rows
from lca_mini.tracks.track import Track, even_times, still

YAW, PITCH = 30.0, 25.0  # degrees of an eyeLook action of 1
ACTION_OF = {name.lower(): name for name in ACTIONS}
ANGLES = tuple(f"{part}{axis}" for part in ("head", "lefteye", "righteye") for axis in ("yaw", "pitch", "roll"))
ASIDE = ("blendshapecount", "neutral", "frame", "index", "displayname", "faceindex", *ANGLES)
GAZES = ("actions", "angles", "none")


def read_face(path: str | Path, fps: float | None = None, gaze: str = "actions") -> Track:
    """A recording of a face.

    Args:
        fps: frames a second where the file has no times; None for 30.
        gaze: whence the eyes' direction: "actions" (eyeLook), "angles" (ARKit's eye columns), or "none".
    Raises: ValueError, one sentence, for a file that is missing, of another layout, or holds numbers that are no actions.
    """
    name = f"face {str(path)!r}"
    if gaze not in GAZES:
        raise ValueError(f"gaze cannot come from {gaze!r}; choose one of {', '.join(GAZES)}")
    ending = Path(path).suffix.lower()
    if ending not in (".csv", ".json"):
        raise ValueError(f"{name} is of a kind that is not read; give a .csv (Live Link Face, MediaPipe) or a .json "
                         "(MediaPipe)")
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{name} is missing or no text ({error})") from None
    rows, seconds, said = csv_rows(text, name) if ending == ".csv" else json_rows(text, name)
    notes = []
    if seconds is None:
        rate = said or fps or 30.0
        seconds = even_times(len(rows), rate)
        notes += [] if said else [f"the face's file has no times: {rate:g} frames a second are taken"]
    if len(seconds) > 1 and seconds.diff().min() <= 0:
        raise ValueError(f"the times of {name} do not rise from frame to frame")
    actions, more = actions_of_rows(rows, name)
    track = Track(replace(still(len(rows)), actions=actions), seconds - seconds[0], frozenset({"actions"}), notes=(*notes, *more))
    return track if gaze == "none" else with_eyes(track, rows, gaze, name)


def actions_of_rows(rows: Rows, name: str) -> tuple[Float[Tensor, "F 52"], list[str]]:
    """The 52 actions by name, and notes on what is missing and what is unknown."""
    have = [action for key, action in ACTION_OF.items() if all(key in row for row in rows)]
    if not have:
        raise ValueError(f"{name} has none of the 52 facial actions (jawOpen, mouthSmileLeft, ...) in every frame")
    values = torch.tensor([[row[action.lower()] for action in have] for row in rows])
    if not torch.isfinite(values).all():
        raise ValueError(f"{name} holds values that are not finite (NaN or infinity)")
    if values.min() < -0.1 or values.max() > 1.1:
        worst = have[int((values - 0.5).abs().amax(0).argmax())]
        raise ValueError(f"{worst} of {name} goes from {values.min():.3g} to {values.max():.3g}; actions go from 0 to 1")
    actions = torch.zeros(len(rows), len(ACTIONS))
    actions[:, [ACTIONS.index(action) for action in have]] = values.clamp(0, 1)
    missing = [action for action in ACTIONS if action not in have]
    unknown = sorted(set().union(*rows) - ACTION_OF.keys() - set(ASIDE) - TIMES.keys())
    notes = [f"not in the face's file and left at zero: {', '.join(missing)}"] if missing else []
    notes += [f"unknown in the face's file and left aside: {', '.join(unknown)}"] if unknown else []
    if any(key.startswith("head") for key in rows[0]):
        notes.append("the face's head angles are left aside: the body's motion turns the head")
    return actions, notes


def gaze_of_actions(actions: Float[Tensor, "*batch 52"]) -> Float[Tensor, "*batch 4"]:
    """psi of the eyeLook actions, radians: (yaw, pitch) of the left eye, then of the right."""
    look_ = {name: actions[..., ACTIONS.index(f"eyeLook{name}")] for name in
             ("InLeft", "OutLeft", "UpLeft", "DownLeft", "InRight", "OutRight", "UpRight", "DownRight")}  # fmt: skip
    degrees = torch.stack([
        YAW * (look_["OutLeft"] - look_["InLeft"]), PITCH * (look_["UpLeft"] - look_["DownLeft"]),
        YAW * (look_["InRight"] - look_["OutRight"]), PITCH * (look_["UpRight"] - look_["DownRight"]),
    ], dim=-1)  # fmt: skip
    return torch.deg2rad(degrees)


def with_eyes(track: Track, rows: Rows, gaze: str, name: str) -> Track:
    """The track with its gaze, and a note where there is none."""
    by_name = gaze_of_actions(track.motion.actions)
    looks = all(f"eyelook{way}{side}" in rows[0] for way in ("in", "out", "up", "down") for side in ("left", "right"))
    columns = [f"{side}eye{axis}" for side in ("left", "right") for axis in ("yaw", "pitch")]
    if gaze == "angles":
        if not all(column in row for row in rows for column in columns):
            raise ValueError(f"{name} has no eye angles (LeftEyeYaw, LeftEyePitch, ...); let gaze come from the actions")
        angles = torch.tensor([[row[column] for column in columns] for row in rows])
        if not torch.isfinite(angles).all() or angles.abs().max() > math.pi / 2:
            raise ValueError(f"eye angles of {name} must be radians within a quarter turn")
        agreement = (angles * by_name).sum(0)
        angles = angles * torch.where(agreement < 0, -1.0, 1.0)
        actions = look(track.motion.actions, torch.rad2deg(angles.unflatten(-1, (2, 2)).mean(-2)))
        note = () if looks else ("eye angles are taken as positive to the person's left and upwards: nothing to compare "
                                 "their signs with",)  # fmt: skip
        motion = replace(track.motion, gaze=angles, actions=actions)
        return replace(track, motion=motion, parts=track.parts | {"gaze"}, notes=track.notes + note)
    if not looks:
        return replace(track, notes=(*track.notes, "the face's file has no eyeLook actions: it leaves the gaze alone"))
    return replace(track, motion=replace(track.motion, gaze=by_name), parts=track.parts | {"gaze"})
