"""NeuMan's phone videos as ExAvatar prepares them: one moving camera, SMPL-X parameters.

Enters: the folder of one subject, and the body whose parameters it holds. Leaves: a `Take`. What is read (from
ExAvatar's public loaders and fitting):

    sparse/cameras.txt                      COLMAP: id PINHOLE width height fx fy cx cy, one for all frames
    images/<frame>.png, masks/<frame>.png   masks: white is person
    smplx_optimized/smplx_params/<n>.json   root_pose, body_pose, jaw_pose, leye_pose, reye_pose, lhand_pose,
                                            rhand_pose, trans, (expr)
    smplx_optimized/shape_param.json        100 betas

Parameters stand in each frame's own camera: x right, y down, metres. So the world of a frame is its camera turned y up,
and COLMAP's poses (of arbitrary scale) are not needed. COLMAP's pixel centres are ours. ExAvatar's offsets of face and
joints are left out: the body is that of plain SMPL-X. No part of the paper.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from lca_mini.body import Body, rest_joints
from lca_mini.body.lbs import reframe
from lca_mini.data.real.take import Take, turn_about_x

PARTS = {"root_pose": 1, "body_pose": 21, "jaw_pose": 1, "leye_pose": 1, "reye_pose": 1, "lhand_pose": 15,
         "rhand_pose": 15}  # fmt: skip


def read_neuman(folder: str | Path, body: Body) -> Take:
    """One person's video.

    Raises: ValueError, one sentence that names the file, for anything that cannot be used.
    """
    folder = Path(folder)
    files = sorted((folder / "smplx_optimized" / "smplx_params").glob("*.json"), key=lambda f: int_of(f.stem))
    if not files:
        raise ValueError(f"{str(folder)!r} has no smplx_optimized/smplx_params/*.json: prepare it with ExAvatar")
    pictures = {int_of(file.stem): file for file in (folder / "images").glob("*.png")}
    images, poses, shifts = [], [], []
    for file in files:
        if int_of(file.stem) not in pictures:
            raise ValueError(f"frame {file.stem} of {str(folder)!r} has parameters but no picture in images/")
        images.append(pictures[int_of(file.stem)])
        said = read_json(file)
        try:
            poses.append(torch.cat([torch.tensor(said[part]).float().view(count, 3) for part, count in PARTS.items()]))
            shifts.append(torch.tensor(said["trans"]).float().view(3))
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(f"parameters {str(file)!r} lack something of SMPL-X ({error})") from None
    count = body.shapedirs.shape[-1]
    shape = torch.tensor(read_json(folder / "smplx_optimized" / "shape_param.json")).float().flatten()
    betas = torch.nn.functional.pad(shape, (0, count))[:count]
    up = turn_about_x(180)
    pose, transl = reframe(torch.stack(poses), torch.stack(shifts), rest_joints(body, betas)[0], up)
    upright = torch.eye(4)
    upright[:3, :3] = up.T
    frames = len(images)
    return Take(
        folder.resolve().name, tuple(images), tuple(folder / "masks" / image.name for image in images),
        upright.expand(frames, 4, 4), read_camera(folder / "sparse" / "cameras.txt").expand(frames, 3, 3),
        torch.zeros(frames, 5), pose, transl, betas,
    )  # fmt: skip


def read_camera(file: Path) -> torch.Tensor:
    """K of COLMAP's one pinhole camera."""
    try:
        lines = [line.split() for line in file.read_text().splitlines() if line.strip() and line[0] != "#"]
        (_, model, _, _, fx, fy, cx, cy), = lines
        if model != "PINHOLE":
            raise ValueError(f"its model is {model}")
        return torch.tensor([[float(fx), 0, float(cx)], [0, float(fy), float(cy)], [0, 0, 1]])
    except (OSError, ValueError) as error:
        raise ValueError(f"{str(file)!r} must hold one PINHOLE camera of COLMAP ({error})") from None


def read_json(file: Path) -> dict | list:
    """Plain values. Raises: ValueError, naming the file."""
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{str(file)!r} is missing or no json ({error})") from None


def int_of(name: str) -> int:
    """A frame's number."""
    try:
        return int(name)
    except ValueError:
        raise ValueError(f"{name!r} is no frame number") from None
