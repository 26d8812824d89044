"""Every number that a hand may turn, by name: joints, fingers, 52 facial actions, gaze; and presets of them.

Enters: nothing. Leaves: `DIALS`, `PRESETS`, and `posture_of`, which makes a `Posture` of a setting. Part of the paper:
its driving signal in readable units. What differs from the paper: its people are driven by tracked performances.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lca_mini.body import ACTIONS
from lca_mini.capture.gestures import ARMS, FACES, HANDS, LEGS, actions_of
from lca_mini.capture.motion import Posture

Setting = dict[str, float]
"""Names of dials and their values."""

Ranges = dict[str, tuple[float, float]]

ARM: Ranges = {"lower": (-70, 90), "forward": (-40, 90), "twist": (-90, 90), "elbow": (0, 140),
               "forearm": (-80, 80), "wrist": (-70, 70), "wrist_side": (-25, 25)}  # fmt: skip
HAND: Ranges = {"index": (0, 1), "middle": (0, 1), "ring": (0, 1), "pinky": (0, 1), "spread": (0, 1),
                "thumb": (-0.3, 1), "thumb_across": (-0.4, 1)}  # fmt: skip
LEG: Ranges = {"raise": (-30, 90), "spread": (-10, 45), "outward": (-30, 45), "knee": (0, 120)}
PARTS: dict[str, Ranges] = {
    "left_arm": ARM, "right_arm": ARM, "left_hand": HAND, "right_hand": HAND, "left_leg": LEG, "right_leg": LEG,
    "spine": {"bend": (-30, 60), "twist": (-50, 50), "lean": (-30, 30)},
    "head": {"nod": (-40, 45), "turn": (-70, 70), "tilt": (-35, 35)},
    "body": {"heading": (-180, 180)},
    "gaze": {"yaw": (-35, 35), "pitch": (-25, 25)},
    "face": {action: (0, 1) for action in ACTIONS},
}  # fmt: skip
"""Parts of a person and their dials, in the order of `Posture` and of `lca_mini.capture.gestures`."""
REGIONS: tuple[str, ...] = ("brow", "eye", "cheek", "nose", "jaw", "mouth", "tongue")
"""Of the face; the name of each action begins with one."""


@dataclass(frozen=True)
class Dial:
    """One number. low, high: degrees, or shares of a finger's curl or of an action."""

    name: str
    low: float
    high: float

    @property
    def part(self) -> str:
        return self.name.split(".")[0]

    @property
    def in_degrees(self) -> bool:
        return self.part not in ("left_hand", "right_hand", "face")


DIALS: dict[str, Dial] = {
    f"{part}.{axis}": Dial(f"{part}.{axis}", low, high)
    for part, ranges in PARTS.items() for axis, (low, high) in ranges.items()
}  # fmt: skip


def setting_of(part: str, values: tuple[float, ...] | Tensor) -> Setting:
    """A row of a vocabulary as dials of a part, rounded: sliders in a browser send back what they were sent, rounded."""
    return {f"{part}.{axis}": round(float(value), 4) for axis, value in zip(PARTS[part], values, strict=True)}


def _body(arms: str, legs: str = "straight spread", hands: str = "relaxed", **more: float) -> Setting:
    """Left and right, or one word for both; `more`: spine and head, as spine_bend."""
    setting: Setting = {name: 0.0 for name, dial in DIALS.items() if dial.part in ("spine", "head", "body")}
    for part, words, rows in (("arm", arms, ARMS), ("leg", legs, LEGS), ("hand", hands, HANDS)):
        left, right = (words.split() * 2)[:2]
        setting |= setting_of(f"left_{part}", rows[left]) | setting_of(f"right_{part}", rows[right])
    return setting | {name.replace("_", ".", 1): value for name, value in more.items()}


BODIES: dict[str, Setting] = {
    "relaxed": _body("hang", spine_bend=2.0),
    "T-pose": {name: 0.0 for name, dial in DIALS.items() if dial.part not in ("gaze", "face")},
    "A-pose": _body("away", "spread", "flat"),
    "wave": _body("hang wave", hands="relaxed open", head_tilt=-6.0),
    "hands on hips": _body("hips", "spread", "relaxed"),
    "explain": _body("explain offer", hands="pinch open", head_nod=3.0),
    "point": _body("hang point", hands="relaxed point"),
    "stop": _body("hang stop", hands="relaxed flat"),
    "cheer": _body("cheer", "spread", "fist", head_nod=-8.0),
    "arms up": _body("up", "straight", "open"),
    "run": _body("run", "front rear", "grip", spine_bend=12.0),
    "kick": _body("wide", "straight kick", "fist", spine_bend=4.0),
    "sit": _body("ready", "sit", "relaxed", spine_bend=18.0),
}
NO_FACE: Setting = setting_of("face", actions_of("neutral"))
PRESETS: dict[str, dict[str, Setting]] = {
    "body": BODIES,
    "left_hand": {name: setting_of("left_hand", row) for name, row in HANDS.items()},
    "right_hand": {name: setting_of("right_hand", row) for name, row in HANDS.items()},
    "face": {name: setting_of("face", actions_of(name)) for name in FACES},
}
"""Of a kind, by name; each sets all dials that the kind is about."""
START: Setting = {name: 0.0 for name in DIALS} | BODIES["relaxed"] | NO_FACE


def checked(name: str, value: float) -> float:
    """A value within its dial's range.

    Raises: ValueError for a name that no dial has, or a value that is no number or out of range.
    """
    dial = DIALS.get(name)
    if dial is None:
        part = name.split(".")[0]
        near = [n for n in DIALS if n.split(".")[0] == part] if part in PARTS else list(PARTS)
        raise ValueError(f"no dial {name!r}; choose one of {', '.join(near)}")
    value = float(value)
    if not dial.low <= value <= dial.high:
        raise ValueError(f"{name} goes from {dial.low:g} to {dial.high:g}, not {value:g}")
    return value


def posture_of(setting: Setting) -> Posture:
    """The posture [] of all dials."""
    rows = {part: torch.tensor([float(setting[f"{part}.{axis}"]) for axis in axes]) for part, axes in PARTS.items()}

    def both(part: str) -> Tensor:
        return torch.stack([rows[f"left_{part}"], rows[f"right_{part}"]])

    return Posture(
        arms=both("arm"), hands=both("hand"), legs=both("leg"), spine=rows["spine"], head=rows["head"],
        heading=rows["body"][0], gaze=rows["gaze"], jaw=torch.zeros(()), actions=rows["face"],
    )  # fmt: skip
