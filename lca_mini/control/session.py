"""What the hands have set, and the picture of it: everything behind the viewport and the sliders, without either.

Enters: a model, an avatar, settings of dials, moves of the camera, clips. Leaves: pictures, uint8 [H W 3]. Part of the
paper: driving an avatar live. Whoever shows a session is called back after each change.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Callable

import torch
from jaxtyping import UInt8
from torch import Tensor

from lca_mini.body import JOINTS
from lca_mini.capture import Motion, performance, turntable, walk
from lca_mini.capture.motion import assemble
from lca_mini.control.camera import FIELD, Orbit
from lca_mini.control.dials import PARTS, PRESETS, START, Setting, checked, posture_of
from lca_mini.driving import driving_signal, posed_joints
from lca_mini.export import to_bytes
from lca_mini.live import Live
from lca_mini.model import LCA
from lca_mini.studio import BACKGROUND
from lca_mini.types import Avatar, DrivingSignal

FPS = 24
CLIPS: dict[str, Callable[[], Motion]] = {
    "performance": lambda: performance(12 * FPS, FPS), "walk": lambda: walk(4 * FPS, FPS),
    "turntable": lambda: turntable(6 * FPS),
}  # fmt: skip
VIEWS: dict[str, tuple[tuple[str, ...], float]] = {
    "face": (("left_eye", "right_eye"), 0.36), "upper body": (("spine3", "head"), 0.95),
    "left hand": (("left_middle1",), 0.3), "right hand": (("right_middle1",), 0.3),
}  # fmt: skip
"""Views beside "whole body": joints to look at, and how many metres the picture is wide."""
SIZES = (64, 1024)  # pixels, least and most


class Session:
    """One avatar before one camera. `watchers` are called, without arguments, after each change."""

    def __init__(self, model: LCA, avatar: Avatar, size: int = 256) -> None:
        """Raises: ValueError, one sentence, for more people than one, or a size that is no size."""
        self.model, self.background, self.size = model, BACKGROUND, size
        self.watchers: list[Callable[[], None]] = []
        self.changes = 0
        self.setting: Setting = dict(START)
        self._drop_clip()
        self._live: Live | None = None
        self._set_avatar(avatar)
        self.resize(size)
        self.orbit = self.view("whole body")

    # ---- what is set

    def apply(self, setting: Setting) -> None:
        """Set dials, all or none, as `apply({"head.turn": 20, "face.jawOpen": 0.4})`. A clip moves body and hands, so
        that turning one of these puts the clip aside.

        Raises: ValueError as `dials.checked`.
        """
        if self.clip is not None and any(name.split(".")[0] not in ("face", "gaze") for name in setting):
            setting = {name: checked(name, value) for name, value in setting.items()}
            self._drop_clip()
        self.setting = self.setting | {name: checked(name, value) for name, value in setting.items()}
        self._changed()

    def preset(self, kind: str, name: str) -> None:
        """A preset of `dials.PRESETS`: "body", "left_hand", "right_hand" or "face". Raises: ValueError for another."""
        if kind not in PRESETS or name not in PRESETS[kind]:
            known = ", ".join(PRESETS.get(kind, PRESETS))
            raise ValueError(f"no preset {kind!r}, {name!r}; choose one of {known}")
        self.apply(PRESETS[kind][name])

    def paint(self, background: tuple[float, float, float]) -> None:
        """The colour behind the person, RGB [0, 1]. Raises: ValueError for another thing."""
        if len(background) != 3 or not all(0 <= value <= 1 for value in background):
            raise ValueError(f"a background is three numbers from 0 to 1, not {background}")
        self.background, self._live = tuple(map(float, background)), None
        self._changed()

    def resize(self, size: int) -> None:
        """Side of the picture, pixels. Raises: ValueError where it is out of `SIZES`."""
        if not SIZES[0] <= size <= SIZES[1]:
            raise ValueError(f"a picture of {size} pixels; choose {SIZES[0]} to {SIZES[1]}")
        self.size, self._live = int(size), None
        self._changed()

    def replace_avatar(self, avatar: Avatar) -> None:
        """Somebody else, in the same pose. Raises: ValueError for more people than one."""
        self._set_avatar(avatar)
        self._changed()

    def reset(self) -> None:
        """Pose, face, gaze, camera, background and clip as they were at first; person and size stay."""
        self.setting, self.background, self._live = dict(START), BACKGROUND, None
        self._drop_clip()
        self.orbit = self.view("whole body")
        self._changed()

    # ---- clips

    def load_clip(self, name: str) -> None:
        """A clip of `CLIPS`, paused at its start; "" for none. Raises: ValueError for another."""
        if name and name not in CLIPS:
            raise ValueError(f"no clip {name!r}; choose one of {', '.join(CLIPS)}")
        if name != self.clip_name:
            self.clip_name, self.clip = name, CLIPS[name]() if name else None
        self.seconds, self.playing = 0.0, False
        self._changed()

    def _drop_clip(self) -> None:
        self.clip_name, self.clip, self.seconds, self.playing = "", None, 0.0, False

    def play(self, playing: bool = True) -> None:
        """Go on, or pause. Raises: ValueError where no clip is loaded."""
        if playing and self.clip is None:
            raise ValueError("nothing to play; load_clip one first")
        self.playing = playing
        self._changed()

    def advance(self, seconds: float) -> None:
        """Move a clip that plays, round and round. Watchers are not called: who shows pictures asks for the next."""
        if self.playing:
            self.seconds = (self.seconds + seconds) % (len(self.clip.pose) / FPS)

    def motion(self) -> Motion:
        """The moment [1 ...] that is shown. While a clip is loaded, body and hands are the clip's, eyes look where
        both say, and each action is the larger of the clip's and the slider's."""
        posture = posture_of(self.setting)
        own = assemble(posture)
        actions = torch.maximum(own.actions, posture.actions)  # eyeLook sliders, too
        if self.clip is None:
            return replace(own, actions=actions)[None]
        clip = self.clip[min(int(self.seconds * FPS + 1e-6), len(self.clip.pose) - 1)]
        return replace(clip, gaze=clip.gaze + own.gaze, actions=torch.maximum(clip.actions, actions))[None]

    # ---- camera and eyes

    def move(
        self, turn: tuple[float, float] = (0.0, 0.0), pan: tuple[float, float] = (0.0, 0.0), zoom: float = 0.0,
        pointer: tuple[float, float] | None = None,
    ) -> None:  # fmt: skip
        """Move the camera as `Orbit.moved`; eyes follow the pointer (-1 to 1 rightwards, upwards) where one is given.

        Raises: ValueError for what is not finite.
        """
        self.orbit = self.orbit.moved(turn, pan, zoom)
        if pointer is not None:
            self.setting = self.setting | self._gaze_at(*pointer)
        self._changed()

    def show(self, view: str) -> None:
        """Take a view of `VIEWS`, or "whole body", from the front. Raises: ValueError for another."""
        self.orbit = self.view(view)
        self._changed()

    def view(self, name: str) -> Orbit:
        """A view's camera. Parts of the body are looked for where they are now."""
        if name == "whole body":
            high, low = float(self.rest[15, 1]) + 0.22, float(self.rest[7:12, 1].min()) - 0.08
            wide, centre = 1.2 * (high - low), torch.tensor([0.0, (high + low) / 2, 0.0])
        elif name in VIEWS:
            joints, wide = VIEWS[name]
            centre = self.joints()[[JOINTS.index(joint) for joint in joints]].mean(0)
        else:
            raise ValueError(f"no view {name!r}; choose one of whole body, {', '.join(VIEWS)}")
        return Orbit(tuple(centre.tolist()), wide / (2 * math.tan(FIELD / 2)))

    def joints(self) -> Tensor:
        """Where the joints are now, world frame, metres, [55 3], on the CPU."""
        return posed_joints(self.model, self.avatar, self.signal())[0].cpu()

    def _gaze_at(self, x: float, y: float) -> Setting:
        """Dials of a gaze at what the pointer is on, within their range: before the eyes by a third of what the picture
        shows, 0.6 m at most, so that close-ups, too, turn the eyes far."""
        if not (math.isfinite(x) and math.isfinite(y)):
            raise ValueError(f"eyes cannot follow a pointer at {x}, {y}; both must be finite numbers")
        signal = self.signal()
        eyes = posed_joints(self.model, self.avatar, signal)[0, 23:25].mean(0).cpu().double()
        head = self.model.transforms(self.avatar, signal)[0, JOINTS.index("head"), :3, :3].cpu().double()
        way = head.mT @ (self.orbit.pointed_at(x, y, eyes, min(0.3 * self.orbit.distance, 0.6)) - eyes)
        angles = (math.atan2(way[0], way[2]), math.atan2(way[1], math.hypot(way[0], way[2])))
        limits = PARTS["gaze"].items()
        return {f"gaze.{axis}": min(max(math.degrees(angle), low), high)
                for angle, (axis, (low, high)) in zip(angles, limits)}  # fmt: skip

    # ---- the picture

    def signal(self) -> DrivingSignal:
        """What drives the avatar now, [1 ...]."""
        return driving_signal(self.model, self.motion())

    @torch.no_grad()
    def frame(self) -> UInt8[Tensor, "H W 3"]:
        """The picture, on the CPU."""
        cameras = self.orbit.cameras(self.size, self.avatar.betas.device)
        if self._live is None:
            self._live = Live(self.model, self.avatar, cameras, background=self.background)
        self._live.look(cameras)
        return to_bytes(self._live(self.signal())[0, 0])

    def _set_avatar(self, avatar: Avatar) -> None:
        if len(avatar.betas) != 1:
            raise ValueError(f"a session shows one person, not {len(avatar.betas)}; index the avatar, as avatar[:1]")
        self.avatar, self._live = avatar, None
        still = driving_signal(self.model, assemble(posture_of(START))[None])
        self.rest = posed_joints(self.model, avatar, still)[0].cpu()

    def _changed(self) -> None:
        self.changes += 1
        for watcher in list(self.watchers):
            watcher()
