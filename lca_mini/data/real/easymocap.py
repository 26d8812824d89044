"""Multi-view captures in the layout of EasyMocap, in which ZJU-MoCap was made.

Enters: a folder, and the body whose parameters it holds. Leaves: a `Take`. What is read (from EasyMocap's public camera
and result writers):

    intri.yml, extri.yml                    OpenCV YAML: names; K_<cam>, dist_<cam>; Rot_<cam> (or R_<cam>, a rotation
                                            vector) and T_<cam>, world to camera, metres
    images/<cam>/<frame>.jpg                (or <cam>/<frame>.jpg, as ZJU-MoCap has it)
    mask/<cam>/<frame>.png                  not zero is person
    output/smplx/<frame>.json               [{"id", "Rh", "Th", "poses", "shapes", "expression"}]

EasyMocap turns the posed body about the world's origin (x = R(Rh) body(poses) + Th), SMPL-X about its pelvis; its world
is z up, ours y up; OpenCV's first pixel centre is (0, 0), ours (0.5, 0.5). `poses` are 165 numbers in SMPL-X's order, or
EasyMocap's 87: 22 body joints, 6 principal components of each hand, jaw, eyes.

Not read: ZJU-MoCap's annots.npy and new_params/*.npy, which are pickled Python objects (a pickle can run anything); its
SMPL (not SMPL-X) parameters, since another skeleton cannot drive this body exactly. No part of the paper.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lca_mini.body import Body, rest_joints, rotation_matrices
from lca_mini.body.lbs import reframe
from lca_mini.data.real.take import Take, turn_about_x

PICTURES = (".jpg", ".jpeg", ".png")
RESULTS = ("output/smplx", "output-smplx/smplx", "smplx")
_MATRIX = re.compile(r"^(\w+): *!!opencv-matrix\s+rows: *(\d+)\s+cols: *(\d+)\s+dt: *\w+\s+data: *\[([^\]]*)\]", re.M)
_NAMES = re.compile(r"^names:\s*((?:\n\s*- *\S+ *)+|\[[^\]]*\])", re.M)


def read_easymocap(folder: str | Path, body: Body, hands: tuple[Tensor, Tensor] | None = None) -> Take:
    """One person's capture, the first person of each result file.

    Args:
        body: whose shapes the result files hold.
        hands: principal components [2 hands, 6, 45] and means [2 hands, 45] of the hands of that body's file, for
            `poses` of 87 numbers (`hand_components`).
    Raises: ValueError, one sentence that names the file, for anything that cannot be used.
    """
    folder = Path(folder)
    results = next((folder / name for name in RESULTS if (folder / name).is_dir()), None)
    if results is None:
        pickled = [f.name for f in (folder / "annots.npy", folder / "new_params", folder / "params") if f.exists()]
        why = f"; {pickled[0]} holds pickled SMPL parameters, which are not read" if pickled else ""
        raise ValueError(f"{str(folder)!r} has no {RESULTS[0]} with one json a frame{why}: fit SMPL-X with EasyMocap "
                         "(--model smplx) and put its results there")
    cameras = read_cameras(folder)
    files = sorted(results.glob("*.json"))
    if not files:
        raise ValueError(f"{str(results)!r} holds no json")
    moments = [read_result(file, hands) for file in files]
    betas = torch.stack([shape for _, _, shape in moments]).mean(0)
    count = body.shapedirs.shape[-1]
    betas = torch.nn.functional.pad(betas, (0, count))[:count]
    root = rest_joints(body, betas)[0]
    pose, about_origin = torch.stack([m[0] for m in moments]), torch.stack([m[1] for m in moments])
    transl = (rotation_matrices(pose[:, 0]) @ root) + about_origin - root
    up = turn_about_x(-90)
    pose, transl = reframe(pose, transl, root, up)
    images, masks, chosen = [], [], []
    for camera, name in enumerate(cameras):
        for moment, file in enumerate(files):
            images.append(picture(folder, name, file.stem))
            masks.append(folder / "mask" / name / f"{file.stem}.png")
            chosen.append((camera, moment))
    which, when = torch.tensor(chosen).unbind(1)
    Ks, views, bends = (torch.stack(each) for each in zip(*cameras.values()))
    upright = torch.eye(4)
    upright[:3, :3] = up.T
    return Take(folder.resolve().name, tuple(images), tuple(masks), (views @ upright)[which], Ks[which], bends[which],
                pose[when], transl[when], betas, labels=True)


def picture(folder: Path, camera: str, frame: str) -> Path:
    """Where the picture of a frame lies."""
    places = [root / camera / (frame + ending) for root in (folder / "images", folder) for ending in PICTURES]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise ValueError(f"camera {camera!r} has no picture of frame {frame!r} in {str(folder)!r}")
    return found


def read_cameras(folder: Path) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """K with our pixel centres, world to camera (z up), distortion, of each camera."""
    names, intri = read_yaml(folder / "intri.yml")
    _, extri = read_yaml(folder / "extri.yml")
    cameras = {}
    for name in names:
        try:
            turn = extri[f"Rot_{name}"] if f"Rot_{name}" in extri else rotation_matrices(extri[f"R_{name}"].view(3))
            view = torch.eye(4)
            view[:3, :3], view[:3, 3] = turn, extri[f"T_{name}"].view(3)
            K, bend = intri[f"K_{name}"].clone(), intri.get(f"dist_{name}", intri.get(f"D_{name}", torch.zeros(5)))
        except (KeyError, RuntimeError) as error:
            raise ValueError(f"camera {name!r} in {str(folder)!r} has no usable K, R or T ({error})") from None
        K[:2, 2] += 0.5
        cameras[name] = (K, view, torch.nn.functional.pad(bend.flatten(), (0, 5))[:5])
    return cameras


def read_yaml(file: Path) -> tuple[list[str], dict[str, Tensor]]:
    """Names and matrices of a file that OpenCV's FileStorage wrote.

    Raises: ValueError where it is missing or names no camera.
    """
    try:
        text = file.read_text().replace("\r", "")
        names = re.findall(r"[\w.-]+", re.sub(r"^\s*- ", " ", _NAMES.search(text)[1], flags=re.M))
        matrices = {key: torch.tensor(np.array([float(x) for x in data.replace("\n", " ").split(",")], "f4")).view(
            int(rows), int(columns)) for key, rows, columns, data in _MATRIX.findall(text)}
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise ValueError(f"cameras {str(file)!r} are missing or no OpenCV YAML with names ({error})") from None
    return names, matrices


def read_result(file: Path, hands: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor, Tensor]:
    """Pose [55 3] with Rh as its root, translation about the origin, and shapes, of one moment."""
    try:
        person = json.loads(file.read_text())[0]
        Rh, Th, poses, shapes = (torch.tensor(person[key]).float().flatten() for key in ("Rh", "Th", "poses", "shapes"))
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise ValueError(f"result {str(file)!r} is no EasyMocap result with Rh, Th, poses and shapes ({error})") from None
    if len(poses) == 87 and hands is not None:
        components, means = hands
        left, right = (poses[66 + 6 * i : 72 + 6 * i] @ components[i, :6] + means[i] for i in range(2))
        poses = torch.cat([poses[:66], poses[78:], left, right])
    if len(poses) != 165 or len(Rh) != 3 or len(Th) != 3:
        ask = ": name the SMPL-X file whose hand components they use" if len(poses) == 87 else ": fit SMPL-X, not SMPL"
        raise ValueError(f"result {str(file)!r} has {len(poses)} pose numbers instead of 165{ask}")
    if poses[:3].any():
        raise ValueError(f"result {str(file)!r} turns its root twice, by Rh and by poses; one of them must be zero")
    return torch.cat([Rh, poses[3:]]).view(55, 3), Th, shapes


def hand_components(file: str | Path) -> tuple[Tensor, Tensor]:
    """Principal components [2 45 45] and means [2 45] of the hands, from a SMPL-X .npz."""
    from lca_mini.data.real.take import read_arrays

    arrays = read_arrays(Path(file), "SMPL-X file")
    return (torch.stack([torch.from_numpy(arrays[f"hands_components{side}"].astype("f4")) for side in "lr"]),
            torch.stack([torch.from_numpy(arrays[f"hands_mean{side}"].astype("f4")) for side in "lr"]))
