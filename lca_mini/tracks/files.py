"""Motion files by their ending. Enters: a path. Leaves: a `Track`. No part of the paper."""

from __future__ import annotations

from pathlib import Path

from lca_mini.tracks.motion_json import read_motion_json
from lca_mini.tracks.smplx_files import read_npz
from lca_mini.tracks.track import Track


def read_motion(path: str | Path, up: str = "auto", fps: float | None = None) -> Track:
    """An .npz of SMPL-X or SMPL-H poses (AMASS), or our own .json, every frame of it.

    Args:
        up: "y" or "z" of an .npz; "auto" as `smplx_files` says. Our JSON says it itself.
        fps: frames a second of an .npz that does not say; None for 30.
    Raises: ValueError, one sentence, for another kind of file, and as the readers do.
    """
    ending = Path(path).suffix.lower()
    if ending == ".json":
        return read_motion_json(path)
    if ending != ".npz":
        raise ValueError(f"motion {str(path)!r} is of a kind that is not read; give an .npz of SMPL-X or SMPL-H poses, or "
                         "a .json as lca_mini.tracks.motion_json describes it")
    return read_npz(path, up, fps)
