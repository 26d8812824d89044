"""Full-body captures of Goliath-4 (Codec Avatar Studio, Meta): a dome of some 200 cameras, pictures in zip files.

Enters: the folder of one full-body capture, with SMPL-X parameters put beside it. Leaves: a `Take`. What is read (from
the data set's public loaders and datasheet):

    camera_calibration.json                 {"KRT": [{"cameraId", "K": 3 x 3, "T": 4 x 4 or 4 x 3}]}, both transposed; K of
                                            pictures of 4096 rows and 2668 columns, T world to camera, millimetres
    image/cam<id>.zip                       cam<id>/<frame>.avif, stored at half that size
    segmentation_parts/cam<id>.zip          cam<id>/<frame>.png, labels of parts: not zero is person
    smplx.npz                               not of the data set: frames [F], poses [F 165], trans [F 3] in metres, betas [K],
                                            fitted in the capture's own world

Goliath's own tracking is a mesh and a skeleton of its own, neither of them SMPL-X; so somebody has to fit that (its
keypoints and meshes are in the same world). The world is y down, as its lights are drawn; ours y up. OpenCV's first pixel
centre is (0, 0), ours (0.5, 0.5). Zip files may be unpacked in place. No part of the paper, whose studio is like this one.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from lca_mini.body import JOINTS, Body, rest_joints
from lca_mini.body.lbs import reframe
from lca_mini.data.real.take import Take, open_stored, read_arrays, turn_about_x

ROWS = 4096  # of the pictures that K is of
NEAR, FAR = 0.5, 10.0  # metres between a camera and the person, along its view, in a dome 5.5 m wide


def read_goliath(folder: str | Path, body: Body, cameras: int = 40) -> Take:
    """One person's capture, at the moments that were fitted.

    Args:
        body: whose parameters were fitted. cameras: at most so many, spread over those that have pictures.
    Raises: ValueError, one sentence that names the file, for anything that cannot be used.
    """
    folder = Path(folder)
    frames, pose, transl, betas = read_fits(folder / "smplx.npz")
    calibration = read_calibration(folder / "camera_calibration.json")
    there = [name for name in calibration if inside(folder / "image", name) is not None]
    if not there or cameras < 1:
        raise ValueError(f"{str(folder / 'image')!r} holds pictures of none of the {len(calibration)} cameras in "
                         f"camera_calibration.json, or none was asked for ({cameras})")
    there = [there[i * len(there) // min(cameras, len(there))] for i in range(min(cameras, len(there)))]
    images, masks, chosen, Ks, views = [], [], [], [], []
    for name in there:
        pictures, labels = inside(folder / "image", name), inside(folder / "segmentation_parts", name)
        if labels is None:
            raise ValueError(f"camera {name!r} has pictures but nothing in {str(folder / 'segmentation_parts')!r}")
        K, view = calibration[name]
        for moment, frame in enumerate(frames):
            if frame in pictures and frame in labels:  # the data set lacks one in a thousand
                images.append(pictures[frame])
                masks.append(labels[frame])
                chosen.append(moment)
                Ks.append(K)
                views.append(view)
    if not images:
        raise ValueError(f"no picture in {str(folder / 'image')!r} is of a frame that smplx.npz lists ({frames[:3]}...)")
    count, shrunk = body.shapedirs.shape[-1], shrink(images[0])
    betas = torch.nn.functional.pad(betas, (0, count))[:count]
    up = turn_about_x(180)
    pose, transl = reframe(pose, transl, rest_joints(body, betas)[0], up)
    upright = torch.eye(4)
    upright[:3, :3] = up.T
    Ks, views = torch.stack(Ks), torch.stack(views) @ upright
    Ks = torch.cat([torch.cat([Ks[:, :2, :2], Ks[:, :2, 2:] + 0.5], 2) / shrunk, Ks[:, 2:]], 1)
    when = torch.tensor(chosen)
    pelvis = views[:, :3, :3] @ (transl[when] + rest_joints(body, betas)[0])[..., None] + views[:, :3, 3:]
    seen = (pelvis[:, 2, 0] > NEAR) & (pelvis.norm(dim=1)[:, 0] < FAR)
    if seen.float().mean() < 0.5:
        raise ValueError(f"most cameras of {str(folder)!r} do not see the person that smplx.npz describes, {NEAR} to "
                         f"{FAR:.0f} m away; calibration is read as millimetres, smplx.npz as metres, both in one world")
    return Take(folder.resolve().name, tuple(images), tuple(masks), views, Ks, torch.zeros(len(images), 5), pose[when],
                transl[when], betas, labels=True)


def inside(folder: Path, camera: str) -> dict[int, Path] | None:
    """Frames of a camera, packed or not; a path into a zip file goes on behind the file's name. None without any."""
    packed = folder / f"cam{camera}.zip"
    if packed.is_file():
        try:
            with zipfile.ZipFile(packed) as archive:
                files = [packed / name for name in archive.namelist() if not name.endswith("/")]
        except (zipfile.BadZipFile, OSError) as error:
            raise ValueError(f"{str(packed)!r} is damaged or no zip file ({error})") from None
    else:
        files = sorted((folder / f"cam{camera}").glob("*"))
    return {int(file.stem): file for file in files if file.stem.isdecimal()} or None


def read_calibration(file: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """K of the full picture, and world to camera in metres, of each camera."""
    try:
        found = {}
        for camera in json.loads(file.read_text())["KRT"]:
            K, T = torch.tensor(camera["K"]).double().T, torch.tensor(camera["T"]).double().T[:3]
            if K.shape != (3, 3) or T.shape != (3, 4):
                raise ValueError(f"camera {camera['cameraId']!r} has K {list(K.shape)} and T {list(T.shape)}")
            if (T[:, :3] @ T[:, :3].T - torch.eye(3).double()).abs().max() > 1e-3 or K[2].tolist() != [0, 0, 1]:
                raise ValueError(f"T of camera {camera['cameraId']!r} is no rotation, or K not transposed")
            view = torch.eye(4).double()
            view[:3] = T
            view[:3, 3] /= 1000
            found[str(camera["cameraId"])] = (K.float(), view.float())
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, IndexError) as error:
        raise ValueError(f'calibration {str(file)!r} must read {{"KRT": [{{"cameraId", "K", "T"}}]}} ({error})') from None
    return found


def read_fits(file: Path) -> tuple[list[int], Tensor, Tensor, Tensor]:
    """Frame numbers, pose [F 55 3], translation [F 3] and betas, in the capture's own world."""
    if not file.is_file():
        raise ValueError(f"{str(file)!r} is missing: Goliath has no SMPL-X parameters; fit them, and put frames, poses, "
                         "trans and betas there")
    said = read_arrays(file, "SMPL-X file")
    shapes = {name: values.shape for name, values in said.items()}
    frames = len(said.get("frames", ()))
    if not frames or (shapes.get("poses"), shapes.get("trans")) != ((frames, 165), (frames, 3)) or (
        len(shapes.get("betas", ())) != 1):  # fmt: skip
        told = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
        raise ValueError(f"SMPL-X file {str(file)!r} must hold frames [F], poses [F 165], trans [F 3] and betas [K], not "
                         f"{told or 'nothing'}")
    poses, trans, betas = (torch.from_numpy(said[name].astype("f4")) for name in ("poses", "trans", "betas"))
    return [int(f) for f in said["frames"]], poses.unflatten(1, (len(JOINTS), 3)), trans, betas


def shrink(picture: Path) -> float:
    """How many times smaller than K's a picture was stored."""
    from PIL import features

    if picture.suffix == ".avif" and not features.check("avif"):
        raise ValueError(f"the Pillow installed here cannot read {str(picture)!r}; pip install 'pillow>=11.3' can")
    return ROWS / open_stored(picture).height
