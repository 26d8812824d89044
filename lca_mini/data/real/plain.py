"""A plain folder that anybody can fill with a capture of one person.

Enters: a folder. Leaves: a `Take`. Its layout:

    images/<camera>/<frame>.png or .jpg     pictures; the frames of each camera in the order of their names
    masks/<camera>/<frame>.png              white is person
    cameras.json                            {"<camera>": {"K": 3 x 3, "world_to_camera": 4 x 4, or one 4 x 4 a frame,
                                             "distortion": [k1, k2, p1, p2, k3], may be left out}, ...}
    smplx.npz                               poses [F 165] axis-angle, trans [F 3], betas [K]; one row a frame

Axes as in the library: world y up, metres; cameras x right, y down, z forward; K in pixels, the centre of the top left
pixel at (0.5, 0.5). Every camera has all F frames. No part of the paper.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from lca_mini.body import JOINTS
from lca_mini.data.real.take import Take, read_arrays

PICTURES = (".png", ".jpg", ".jpeg")


def read_plain(folder: str | Path) -> Take:
    """One person's capture.

    Raises: ValueError, one sentence that names the file, for anything that cannot be used.
    """
    folder = Path(folder)
    cameras = read_cameras(folder / "cameras.json")
    arrays = {name: torch.from_numpy(values.astype("f4"))
              for name, values in read_arrays(folder / "smplx.npz", "SMPL-X file").items()
              if name in ("poses", "trans", "betas")}  # fmt: skip
    if set(arrays) != {"poses", "trans", "betas"} or arrays["poses"].shape[1:] != (165,) or arrays["trans"].shape != (
        len(arrays["poses"]), 3) or arrays["betas"].dim() != 1:  # fmt: skip
        shapes = ", ".join(f"{name} {list(values.shape)}" for name, values in arrays.items())
        raise ValueError(f"SMPL-X file {str(folder / 'smplx.npz')!r} must hold poses [F 165], trans [F 3] and betas "
                         f"[K], not {shapes or 'nothing'}")
    frames = len(arrays["poses"])
    images, masks, views, Ks, bends = [], [], [], [], []
    for name, (K, viewmats, distortion) in cameras.items():
        files = sorted(f for f in (folder / "images" / name).glob("*") if f.suffix.lower() in PICTURES)
        if len(files) != frames:
            raise ValueError(f"camera {name!r} has {len(files)} pictures in {str(folder / 'images' / name)!r}, but "
                             f"smplx.npz {frames} frames")
        images += files
        masks += [folder / "masks" / name / f"{file.stem}.png" for file in files]
        if viewmats.dim() == 3 and len(viewmats) != frames:
            raise ValueError(f"camera {name!r} has {len(viewmats)} world_to_camera for {frames} frames")
        views.append(viewmats.expand(frames, 4, 4))
        Ks.append(K.expand(frames, 3, 3))
        bends.append(distortion.expand(frames, 5))
    repeat = len(cameras)
    pose = arrays["poses"].unflatten(1, (len(JOINTS), 3))
    return Take(
        folder.resolve().name, tuple(images), tuple(masks), torch.cat(views), torch.cat(Ks), torch.cat(bends),
        pose.repeat(repeat, 1, 1), arrays["trans"].repeat(repeat, 1), arrays["betas"],
    )  # fmt: skip


def read_cameras(file: Path) -> dict[str, tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """K, world_to_camera (one, or one a frame) and distortion of each camera."""
    try:
        said = json.loads(file.read_text())
        found = {}
        for name, camera in dict(said).items():
            K, views = torch.tensor(camera["K"]).float(), torch.tensor(camera["world_to_camera"]).float()
            distortion = torch.tensor(camera.get("distortion", [0] * 5)).float()
            if K.shape != (3, 3) or views.shape[-2:] != (4, 4) or views.dim() > 3 or distortion.shape != (5,):
                raise ValueError(f"camera {name!r} has K {list(K.shape)}, world_to_camera {list(views.shape)} and "
                                 f"distortion {list(distortion.shape)}")
            turn = views[..., :3, :3]
            if (turn @ turn.mT - torch.eye(3)).abs().max() > 1e-3 or torch.linalg.det(turn).min() < 0:
                raise ValueError(f"world_to_camera of {name!r} is no rotation and translation")
            found[name] = (K, views, distortion)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f'cameras {str(file)!r} must read {{"<camera>": {{"K": 3 x 3, "world_to_camera": 4 x 4}}, '
                         f"...}} ({error})") from None
    if not found:
        raise ValueError(f"cameras {str(file)!r} name no camera")
    return found
