"""A recording in time: movement, when each frame was, and what the file did and did not say.

Enters: a `Motion` and its times. Leaves: the same at other times, or two recordings laid over each other. Part of the
paper: its driving signals, recorded. Joints turn by slerp between unit quaternions (wxyz, as everywhere here); a mean of
axis-angles would take the long way round near half a turn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from lca_mini.body import ACTIONS, JOINTS
from lca_mini.capture.motion import Motion, blend

PARTS = ("pose", "transl", "gaze", "actions")
JAW = JOINTS.index("jaw")
MOST_FRAMES = 100_000


@dataclass(frozen=True)
class Track:
    """F frames. parts: which of `PARTS` the file held; the others are zero. seconds: rising, from 0.

    hip_height: of the recorded body's pelvis over its soles at rest, metres, where it is known. grounded: whether
    `transl`'s y is the height of the pelvis over the floor, as in AMASS. notes: one sentence each: which convention was
    taken, what was missing, what was left aside.
    """

    motion: Motion
    seconds: Float[Tensor, " F"]
    parts: frozenset[str]
    hip_height: float | None = None
    grounded: bool = False
    notes: tuple[str, ...] = ()

    @property
    def fps(self) -> float:
        """Frames a second, on average; 0 for a single frame."""
        length = float(self.seconds[-1])
        return (len(self.seconds) - 1) / length if length > 0 else 0.0


def still(frames: int) -> Motion:
    """The T-pose without expression."""
    return Motion(torch.zeros(frames, len(JOINTS), 3), torch.zeros(frames, 3), torch.zeros(frames, 4),
                  torch.zeros(frames, len(ACTIONS)))  # fmt: skip


def even_times(frames: int, fps: float) -> Float[Tensor, " F"]:
    """When the frames of a steady recording were, seconds.

    Raises: ValueError where `fps` is no rate.
    """
    if not (math.isfinite(fps) and 0 < fps <= 1000):
        raise ValueError(f"a recording of {fps} frames a second; the rate must lie above 0 and at most 1000")
    return torch.arange(frames, dtype=torch.float64) / fps


def neighbours(
    seconds: Float[Tensor, " F"], times: Float[Tensor, " T"]
) -> tuple[Tensor, Tensor, Float[Tensor, " T"]]:
    """The frames before and after each time, and how far it lies between them, 0 to 1; held at both ends."""
    after = torch.searchsorted(seconds, times, right=True).clamp(max=len(seconds) - 1)
    before = (after - 1).clamp(min=0)
    span = (seconds[after] - seconds[before]).clamp(min=1e-9)
    return before, after, ((times - seconds[before]) / span).clamp(0, 1)


def at_times(track: Track, times: Float[Tensor, " T"]) -> Track:
    """The recording at these moments: joints by slerp, all else linearly, the first and last frame held beyond."""
    before, after, share = neighbours(track.seconds, times.to(track.seconds.dtype))
    motion = blend(track.motion[before], track.motion[after], share.to(track.motion.pose.dtype))
    return replace(track, motion=motion, seconds=times - times[0])


def resample(track: Track, fps: float, seconds: float | None = None) -> Track:
    """At a steady rate. A track that has this rate already keeps its frames.

    Args:
        seconds: how much of it, from its start; None for all.
    Raises: ValueError where that makes no or too many frames.
    """
    length = float(track.seconds[-1]) if seconds is None else min(seconds, float(track.seconds[-1]))
    count = int(math.floor(length * fps + 1e-6)) + 1
    if not 1 <= count <= MOST_FRAMES:
        raise ValueError(f"{length:.1f} s at {fps} frames a second are {count} frames; at most {MOST_FRAMES} are made")
    times = even_times(count, fps)
    if count == len(track.seconds) and (track.seconds - times).abs().max() < 1e-4 / fps:
        return track
    return at_times(track, times)


def combine(body: Track, face: Track, fps: float) -> Track:
    """A body's movement with another recording's face on it, as long as the shorter of the two.

    The face brings its actions and, where it has one, its gaze; the body's jaw joint then rests, since jawOpen opens the
    mouth already and both together would open it twice.
    """
    length = min(float(body.seconds[-1]), float(face.seconds[-1]))
    body, face = resample(body, fps, length), resample(face, fps, length)
    pose = body.motion.pose.clone()
    pose[:, JAW] = 0
    changes = {part: getattr(face.motion, part) for part in ("gaze", "actions") if part in face.parts}
    motion = replace(body.motion, pose=pose, **changes)
    return replace(body, motion=motion, parts=body.parts | set(changes), notes=body.notes + face.notes)
