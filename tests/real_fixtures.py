"""One of our own people, filmed and stored as real captures are: in other people's layouts, axes and units."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lca_mini.body import load_body, posed_vertices, rest_joints, rotation_matrices
from lca_mini.body.lbs import matrix_to_quaternion
from lca_mini.capture.film import film
from lca_mini.capture.motion import Motion, random_frames
from lca_mini.capture.rasterizer import rasterize
from lca_mini.capture.rigs import look_at
from lca_mini.capture.shading import random_lights
from lca_mini.body.lbs import axis_angle
from lca_mini.people import grow
from lca_mini.types import Cameras, Sample

HEIGHT, WIDTH, FRAMES, CAMERAS, SEED = 160, 120, 3, 2, 4


@dataclass(frozen=True)
class Scene:
    """What was filmed, in the library's own axes. images, masks: uint8 [F C H W 3], [F C H W]."""

    motion: Motion
    cameras: Cameras
    betas: Tensor
    images: np.ndarray
    masks: np.ndarray

    @property
    def root(self) -> Tensor:
        """The pelvis at rest."""
        return rest_joints(load_body(), self.betas)[0]


@lru_cache(maxsize=1)
def scene() -> Scene:
    """Three moments seen by two calibrated cameras, neither in the middle of its picture nor square."""
    seeds = torch.tensor([SEED])
    crowd, motion = grow(seeds, "cpu"), random_frames(seeds, FRAMES, "studio")
    motion = Motion(motion.pose, motion.transl + torch.tensor([0.3, 1.1, -0.2]), motion.gaze, motion.actions)
    centre = motion.transl[0].mean(0)
    eyes = centre + torch.tensor([[0.9, 0.4, 2.8], [-1.9, 0.1, 2.1]])
    views = torch.stack([look_at(eye, centre + torch.tensor([0.05, -0.05, 0]), torch.tensor([0.0, 1, 0])) for eye in eyes])
    K = torch.tensor([[190.0, 0, 64], [0, 186.0, 77], [0, 0, 1]])
    cameras = Cameras(views.expand(1, FRAMES, CAMERAS, 4, 4), K.expand(1, FRAMES, CAMERAS, 3, 3), WIDTH, HEIGHT)
    images, masks = film(crowd, motion, cameras, random_lights(seeds, "studio"), shadows=False)
    pixels = (images[0].movedim(2, -1) * 255).round().byte().numpy()
    coverage = (masks[0, :, :, 0] * 255).round().byte().numpy()
    return Scene(motion, cameras, crowd.betas[0], pixels, coverage)


def save(file: Path, pixels: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file, quality=95)


def flat_pose() -> np.ndarray:
    return scene().motion.pose[0].flatten(1).numpy()


def write_plain(folder: Path) -> Path:
    """The library's own plain layout."""
    s, cameras = scene(), {}
    for c in range(CAMERAS):
        for f in range(FRAMES):
            save(folder / "images" / f"cam{c}" / f"{f:04d}.png", s.images[f, c])
            save(folder / "masks" / f"cam{c}" / f"{f:04d}.png", s.masks[f, c])
        cameras[f"cam{c}"] = {"K": s.cameras.Ks[0, 0, c].tolist(),
                              "world_to_camera": s.cameras.viewmats[0, :, c].tolist() if c else
                              s.cameras.viewmats[0, 0, c].tolist()}  # fmt: skip
    (folder / "cameras.json").write_text(json.dumps(cameras))
    np.savez(folder / "smplx.npz", poses=flat_pose(), trans=s.motion.transl[0].numpy(), betas=s.betas.numpy())
    return folder


def matrix(key: str, values: Tensor) -> str:
    """As OpenCV's FileStorage writes one."""
    rows, columns = values.shape
    data = ", ".join(f"{v:.6f}" for v in values.flatten().tolist())
    return f"{key}: !!opencv-matrix\r\n  rows: {rows}\r\n  cols: {columns}\r\n  dt: d\r\n  data: [{data}]\r\n"


def write_easymocap(folder: Path) -> Path:
    """z up, translation about the origin, first pixel centre at (0, 0), JPEG pictures, masks of 0 and 1."""
    s = scene()
    up = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # y up to z up: y becomes z
    names = ["01", "02"]
    head = "%YAML:1.0\r\n---\r\nnames:\r\n" + "".join(f'  - "{name}"\r\n' for name in names)
    intri, extri = head, head
    for c, name in enumerate(names):
        K, view = s.cameras.Ks[0, 0, c].clone(), s.cameras.viewmats[0, 0, c]
        K[:2, 2] -= 0.5
        turn = view[:3, :3] @ up.T
        intri += matrix(f"K_{name}", K) + matrix(f"dist_{name}", torch.zeros(1, 5))
        extri += matrix(f"R_{name}", axis_angle(matrix_to_quaternion(turn))[:, None])
        extri += matrix(f"Rot_{name}", turn) + matrix(f"T_{name}", view[:3, 3:])
        for f in range(FRAMES):
            save(folder / "images" / name / f"{f:06d}.jpg", s.images[f, c])
            save(folder / "mask" / name / f"{f:06d}.png", (s.masks[f, c] > 127).astype(np.uint8))
    (folder / "intri.yml").write_bytes(intri.encode())
    (folder / "extri.yml").write_bytes(extri.encode())
    (folder / "output/smplx").mkdir(parents=True)
    for f in range(FRAMES):
        turn = rotation_matrices(s.motion.pose[0, f, 0])
        Rh = axis_angle(matrix_to_quaternion(up @ turn))
        Th = up @ (s.root - turn @ s.root + s.motion.transl[0, f])
        poses = s.motion.pose[0, f].flatten().clone()
        poses[:3] = 0
        person = {"id": 0, "Rh": [Rh.tolist()], "Th": [Th.tolist()], "poses": [poses.tolist()],
                  "expression": [[0.0] * 10], "shapes": [s.betas.tolist()]}  # fmt: skip
        (folder / "output/smplx" / f"{f:06d}.json").write_text(json.dumps([person]))
    return folder


def write_neuman(folder: Path) -> Path:
    """One camera; parameters in the camera's own frame, y down."""
    s, c = scene(), 1
    view, K = s.cameras.viewmats[0, 0, c], s.cameras.Ks[0, 0, c]
    (folder / "sparse").mkdir(parents=True)
    (folder / "sparse/cameras.txt").write_text(
        f"# Camera list\n1 PINHOLE {WIDTH} {HEIGHT} {K[0, 0]} {K[1, 1]} {K[0, 2]} {K[1, 2]}\n")
    params = folder / "smplx_optimized" / "smplx_params"
    params.mkdir(parents=True)
    (folder / "smplx_optimized/shape_param.json").write_text(json.dumps(s.betas.tolist()))
    for f in range(FRAMES):
        save(folder / "images" / f"{f:05d}.png", s.images[f, c])
        save(folder / "masks" / f"{f:05d}.png", s.masks[f, c])
        pose = s.motion.pose[0, f]
        root = axis_angle(matrix_to_quaternion(view[:3, :3] @ rotation_matrices(pose[0])))
        trans = view[:3, :3] @ (s.root + s.motion.transl[0, f]) + view[:3, 3] - s.root
        said = {"root_pose": root, "body_pose": pose[1:22], "jaw_pose": pose[22], "leye_pose": pose[23],
                "reye_pose": pose[24], "lhand_pose": pose[25:40], "rhand_pose": pose[40:], "trans": trans,
                "expr": torch.zeros(50)}  # fmt: skip
        (params / f"{f}.json").write_text(json.dumps({key: value.tolist() for key, value in said.items()}))
    return folder


def write_goliath(folder: Path) -> Path:
    """y down, millimetres, matrices transposed, K of 4096 rows; AVIF and labels of parts in zip files; a camera without
    pictures; SMPL-X fits, which Goliath lacks, beside them."""
    s, frames, names = scene(), [682, 692, 1034], ["400870", "401645"]
    down = torch.diag(torch.tensor([1.0, -1, -1]))
    krt = [{"cameraId": "400264", "K": np.eye(3).tolist(), "T": np.eye(4).tolist()}]
    for c, name in enumerate(names):
        K, view = s.cameras.Ks[0, 0, c].double(), s.cameras.viewmats[0, 0, c].double()
        K[:2] *= 4096 / HEIGHT
        K[:2, 2] -= 0.5
        view[:3, :3] = view[:3, :3] @ down.double().T
        view[:3, 3] *= 1000
        krt.append({"cameraId": name, "K": K.T.tolist(), "T": view.T.tolist(), "width": 2668, "height": 4096})
        for kind, ending in (("image", "avif"), ("segmentation_parts", "png")):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            with zipfile.ZipFile(folder / kind / f"cam{name}.zip", "w") as archive:
                for f, frame in enumerate(frames):
                    labels = (s.masks[f, c] > 127) * (1 + np.arange(HEIGHT)[:, None] // 50).astype(np.uint8)
                    content = io.BytesIO()
                    picture = Image.fromarray(s.images[f, c] if kind == "image" else labels)
                    picture.save(content, ending, **(dict(quality=90) if kind == "image" else {}))
                    archive.writestr(f"cam{name}/{frame:06d}.{ending}", content.getvalue())
    (folder / "camera_calibration.json").write_text(json.dumps({"KRT": krt}))
    lines = [f"{frame},{'test' if frame == 1034 else 'train'}" for frame in frames]
    (folder / "frame_splits_list.csv").write_text("\n".join(["frame,split", *lines, ""]))
    poses = s.motion.pose[0].clone()
    poses[:, 0] = axis_angle(matrix_to_quaternion(down @ rotation_matrices(poses[:, 0])))
    trans = (s.motion.transl[0] + s.root) @ down.T - s.root
    np.savez(folder / "smplx.npz", frames=np.array(frames), poses=poses.flatten(1).numpy(), trans=trans.numpy(),
             betas=s.betas.numpy())  # fmt: skip
    return folder


WRITERS = {"plain": write_plain, "easymocap": write_easymocap, "neuman": write_neuman, "goliath": write_goliath}


def overlap(sample: Sample, moved: float = 0.0, wide: float = 1.0) -> Tensor:
    """IoU of the naked body, posed and projected, with each target's mask [T]. moved: metres, sideways. wide: factor on
    the translation, as of wrong units."""
    body, cameras = load_body(), sample.cameras
    betas = sample.betas[0].expand(sample.pose.shape[1], -1)
    vertices = posed_vertices(body, betas, sample.pose[0], sample.transl[0])
    vertices = vertices + (wide - 1) * sample.transl[0, :, None] + torch.tensor([moved, 0, 0])
    size = cameras.height
    drawn = rasterize(vertices, body.faces, cameras.viewmats[0, :, 0], cameras.Ks[0, :, 0], size, size).face >= 0
    seen = sample.target_masks[0, :, 0] > 0.5
    return (drawn & seen).flatten(1).sum(1) / (drawn | seen).flatten(1).sum(1)
