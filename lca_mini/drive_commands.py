"""`lca-mini drive` and `lca-mini measure` from a terminal.

Enters: a command line, through `lca_mini.cli`. Leaves: a film, or figures. No part of the paper.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Callable, Literal

import tyro


def drive(
    out: Path,
    avatar: Path | None = None,
    motion: Path | None = None,
    face: Path | None = None,
    weights: str = "mini",
    up: Literal["auto", "y", "z"] = "auto",
    gaze: Literal["actions", "angles", "none"] = "actions",
    face_fps: float | None = None,
    framing: Literal["find", "whole"] = "find",
    view: Literal["both", "body", "face"] = "both",
    size: int = 512,
    fps: int = 30,
    seconds: float = 0.0,
    save: Path | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    backend: Literal["auto", "cpu", "gsplat", "reference"] = "auto",
) -> None:
    """Let an avatar perform a motion file, a recorded face, or the face of somebody else in pictures.

    `lca-mini drive --motion walk.npz --face take.csv --out film.mp4` writes film.mp4, and film.json, which says what ran
    and which conventions were taken. Give --motion, --face or both; the shorter of the two ends the film.

    Args:
        out: The video, .mp4.
        avatar: A folder of pictures as for `lca-mini demo`, or a file that --save wrote. Left out: the packaged example.
        motion: An .npz of SMPL-X or SMPL-H poses: AMASS as it comes (poses [F 165] or [F 156], trans, mocap_frame_rate),
            or the same y up without that rate; or our own .json (lca_mini/tracks/motion_json.py describes it). It is
            fitted to the avatar's legs. Left out: the avatar stands.
        face: A .csv of Live Link Face (ARKit), a .csv or .json of MediaPipe's face landmarker; or pictures of somebody:
            a folder, a picture, a video of a whole person before a plain light background. Left out: the motion's own.
        weights: "mini", a .safetensors file, or a folder that holds one.
        up: Which axis of an .npz is up; auto takes z for AMASS's files and y for others.
        gaze: Whence a .csv's or .json's gaze: the eyeLook actions, ARKit's eye angles, or none.
        face_fps: Frames a second of a face that has no times; left out: 30 of a recording, 1 of a folder of pictures.
        framing: Of pictures of a face: find it in a picture of the whole person, or take each whole picture for the face.
        view: What the video shows; both: the body, and the face beside it.
        size: Side of a picture, pixels.
        fps: Frames a second of the video; recordings are resampled.
        seconds: Longest film; 0 for all.
        save: Also write the avatar into this .safetensors file, so that it need not be encoded again.
        device: Where to compute; auto takes the GPU if there is one.
        backend: What renders; auto takes gsplat on a GPU and our own rasteriser on a CPU.
    """
    from lca_mini.drive import DriveSettings, run_drive

    settings = DriveSettings(motion, face, weights, up, gaze, face_fps, framing, view, size, fps, seconds, save, device,
                             backend)  # fmt: skip
    report = run_drive(avatar, out, settings)
    print(*report["notes"], sep="\n")
    print(f"{report['frames']} frames, {report['ms_per_frame']} ms each, backend {report['backend']} on "
          f"{report['device']}: look at {out}")  # fmt: skip


def measure(
    what: Annotated[Literal["driving"], tyro.conf.Positional],
    out: Path = Path("results"),
    weights: str = "mini",
    size: Literal["auto", "cpu", "cuda", "tiny"] = "auto",
    only: tuple[str, ...] = (),
    device: Literal["auto", "cpu", "cuda"] = "auto",
    backend: Literal["auto", "cpu", "gsplat", "reference"] = "auto",
) -> None:
    """Measure how well expression, gaze and hands drive people whom the model has never seen. The last line is JSON.

    Writes driving_<preset>.json: R2 of a ridge regression from the expression code to the 52 actions, an action at a
    time, and how often a linear probe guesses from the code who it is (codes); PSNR of faces driven by themselves, by
    others, by actions (reenactment); what leaving expression, gaze or hands out costs (parts); the error of gaze read
    back from renders (gaze); distances of finger-tips (fingers). A quarter of an hour on two CPU cores.

    Args:
        what: What to measure; so far driving alone.
        out: Folder for the result.
        weights: "mini", a .safetensors file, or a folder that holds one.
        size: How many people and moments; auto takes what suits the device, tiny only shows that all runs.
        only: Some of codes, reenactment, parts, gaze, fingers; the file keeps its other figures.
        device: Where to compute.
        backend: What renders.
    """
    from lca_mini.measure import measure_driving

    result = measure_driving(weights, out, size, only, device, backend)
    print(json.dumps(result), flush=True)


COMMANDS: dict[str, Callable[..., None]] = {"drive": drive, "measure": measure}
