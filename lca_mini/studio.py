"""Filming an avatar: videos of clips, and the sheet that shows what went in and what came out.

Enters: an avatar with its model, and `Motion`. Leaves: MP4 files and pictures. No part of the paper; it shows what the
paper's project page shows: turn, expressions, gaze, hands, body.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from lca_mini.capture import Motion, performance, turntable
from lca_mini.data import Photos
from lca_mini.driving import (
    body_cameras, driving_signal, face_cameras, hand_cameras, posed_joints, steady, with_face,
)  # fmt: skip
from lca_mini.export import VideoWriter
from lca_mini.figures import captioned_rows, shrink, thumbnails
from lca_mini.model import LCA
from lca_mini.render import render
from lca_mini.types import Avatar, Cameras, DrivingSignal

BACKGROUND = (0.965, 0.965, 0.97)
MOMENTS = (0.14, 0.33, 0.42, 0.55, 0.63, 0.73, 0.85, 0.92)
"""Moments of `lca_mini.capture.performance` that a sheet shows: wave, talk, count, look about, walk."""
FACES: tuple[tuple[str, tuple[float, float]], ...] = (
    ("neutral", (0, 0)), ("smile", (0, 0)), ("aa", (0, 0)), ("surprise", (0, 8)), ("pucker", (0, 0)),
    ("blink", (0, 0)), ("neutral", (25, 0)), ("neutral", (-25, 0)),
)  # fmt: skip
"""Faces of a sheet, and where they look, degrees."""
HANDS = (("right", 0.14), ("left", 0.36), ("left", 0.51), ("left", 0.538), ("left", 0.566), ("left", 0.594), ("left", 0.622),
         ("left", 0.65))  # fmt: skip
"""Hands of a sheet, and moments of the performance: waving, talking, counting from zero to five."""
CHUNK = 8  # frames driven at once


class Stages:
    """One progress bar for a whole job, and how long each part of it took; a context that closes the bar."""

    def __init__(self, total: int, quiet: bool = False) -> None:
        from tqdm import tqdm

        self.bar = tqdm(total=total, disable=quiet, bar_format="{desc:<24}{percentage:3.0f}% |{bar}| {elapsed}",
                        mininterval=0.5)  # fmt: skip
        self.ms: dict[str, float] = {}

    def __enter__(self) -> Stages:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        self.bar.leave = kind is None
        self.bar.close()

    @contextmanager
    def stage(self, name: str, steps: int = 1) -> Iterator[None]:
        """Name a part and time it; it moves the bar by `steps` in all, whatever was reported by `tick`."""
        started, done = time.perf_counter(), self.bar.n
        self.bar.set_description_str(name)
        yield
        self.bar.update(max(0, done + steps - self.bar.n))
        self.ms[name] = round(1000 * (time.perf_counter() - started), 1)

    def tick(self) -> None:
        """One frame more."""
        self.bar.update()


@dataclass(frozen=True)
class Studio:
    """An avatar (B = 1) and what films it. size: side of a square picture, pixels."""

    model: LCA
    avatar: Avatar
    backend: str
    size: int
    fps: int
    stages: Stages

    def shoot(self, signal: DrivingSignal, cameras: list[Cameras]) -> Float[Tensor, "K F H W 3"]:
        """Drive F frames once, and render them through one camera a frame of each of K sets (cameras [1 F 1])."""
        gaussians = self.model.drive(self.avatar, signal)
        views = [render(gaussians, camera, self.backend, BACKGROUND).colors[0, :, 0] for camera in cameras]
        return torch.stack(views).clamp(0, 1).cpu()

    def joints(self, motion: Motion) -> tuple[DrivingSignal, Float[Tensor, "1 F 55 3"]]:
        """The signal of a clip, and where the joints go."""
        signal = driving_signal(self.model, motion[None])
        return signal, posed_joints(self.model, self.avatar, signal)

    def film(
        self, motion: Motion, path: Path, moments: tuple[float, ...], close_up: bool
    ) -> Float[Tensor, "K n H W 3"]:
        """Write a video, with a face close-up beside the body (K = 2) or without (K = 1).

        Args:
            moments: in [0, 1), rising; frames to return.
        """
        frames = len(motion.pose)
        wanted = {min(frames - 1, int(moment * frames)) for moment in moments}
        signal, joints = self.joints(motion)
        ahead = torch.zeros(1, device=joints.device)
        views = [body_cameras(steady(joints, 1 + 2 * self.fps), ahead, self.size)]
        if close_up:
            views.append(face_cameras(steady(joints, 9), ahead, self.size))
        kept = []
        with VideoWriter(path, self.fps) as video:
            for first in range(0, frames, CHUNK):
                part = (slice(None), slice(first, first + CHUNK))
                shots = self.shoot(signal[part], [view[part] for view in views])
                for i in range(shots.shape[1]):
                    video.add(torch.cat(tuple(shots[:, i]), dim=1))
                    self.stages.tick()
                    if first + i in wanted:
                        kept.append(shots[:, i])
        return torch.stack(kept, dim=1)

    def faces(self) -> Float[Tensor, "8 H W 3"]:
        """Close-ups of `FACES`."""
        signal, joints = self.joints(joined([with_face(turntable(1), face, gaze) for face, gaze in FACES]))
        return self.shoot(signal, [face_cameras(joints, torch.zeros(1, device=joints.device), self.size)])[0]

    def hands(self) -> Float[Tensor, "8 H W 3"]:
        """Close-ups of `HANDS`."""
        clip = performance(240, 20)
        pictures = []
        for side, moment in HANDS:
            signal, joints = self.joints(clip[int(240 * moment)][None])
            cameras = hand_cameras(joints, torch.zeros(1, device=joints.device), self.size, side)
            pictures.append(self.shoot(signal, [cameras])[0, 0])
        return torch.stack(pictures)


def joined(clips: list[Motion]) -> Motion:
    """Clips one after another."""
    return Motion(*(torch.cat([getattr(clip, part) for clip in clips]) for part in ("pose", "transl", "gaze", "actions")))


def draw_sheet(
    photos: Photos, studio: Studio, turn: Float[Tensor, "1 n H W 3"], play: Float[Tensor, "2 m H W 3"]
) -> UInt8[Tensor, "h w 3"]:
    """Pictures that went in, and below them what came out; `turn` and `play` are what `film` returned."""
    return captioned_rows([
        ("the pictures that were given", thumbnails(photos)),
        ("the avatar, seen from all sides", shrink(turn[0])),
        ("faces and gaze", shrink(studio.faces())),
        ("hands", shrink(studio.hands())),
        ("a performance", shrink(play[0])),
    ])  # fmt: skip
