"""What a session leaves on disk: a snapshot, a video, the avatar.

Enters: a `Session` and a folder. Leaves: a PNG, an MP4 or a .ply, under the next free number, whole or not at all. No
part of the paper.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Callable

from lca_mini.control.session import FPS, Session
from lca_mini.export import VideoWriter, save_ply, save_png

ORBIT_SECONDS = 4


def next_file(folder: str | Path, stem: str, ending: str) -> Path:
    """`folder/stem-1.ending`, or the first number that no file has."""
    return next(path for i in itertools.count(1) if not (path := Path(folder) / f"{stem}-{i}{ending}").exists())


def snapshot(session: Session, folder: str | Path) -> Path:
    """The picture as PNG; returns where. Raises: ValueError where the folder cannot be written."""
    path = next_file(folder, "snapshot", ".png")
    save_png(session.frame(), path)
    return path


def save_avatar(session: Session, folder: str | Path) -> Path:
    """The canonical Gaussians (T-pose) as .ply; returns where. Raises: ValueError where that cannot be written."""
    path = next_file(folder, "avatar", ".ply")
    save_ply(session.avatar.canonical[0], path)
    return path


def record(session: Session, folder: str | Path, tick: Callable[[float], None] = lambda share: None) -> Path:
    """A video of the clip that is loaded, once through; without one, of the camera going once round the person. The
    session is left as it was.

    Args:
        tick: called after each frame with how much is done, 0 to 1.
    Raises: ValueError where the folder cannot be written.
    """
    path = next_file(folder, "video", ".mp4")
    kept = session.orbit, session.seconds, session.playing
    frames = ORBIT_SECONDS * FPS if session.clip is None else len(session.clip.pose)
    try:
        with VideoWriter(path, FPS) as video:
            for i in range(frames):
                if session.clip is None:
                    session.orbit = kept[0].moved(turn=(2 * math.pi * i / frames, 0.0))
                else:
                    session.seconds = i / FPS
                video.add(session.frame())
                tick((i + 1) / frames)
    finally:
        session.orbit, session.seconds, session.playing = kept
    return path
