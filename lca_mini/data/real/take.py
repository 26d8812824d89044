"""Captures of real people, and how a `Sample` is made of one.

Enters: a `Take`: which pictures of one person there are, and for each its mask, camera and SMPL-X pose. Leaves: a
`Sample`, as from synthetic people: squares round the person over white, face crops, cameras of the crops. Part of the
paper: its videos and studio captures. What differs: facial actions are unknown (zeros), and so is `surface` (None).

The person's world is y up, in metres, whatever the source's axes were; pixels as in `Cameras`: the centre of the top
left pixel is (0.5, 0.5), where OpenCV's calibration says (0, 0).
"""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from lca_mini.body import ACTIONS, Body, bone_transforms, rest_joints, rotation_matrices
from lca_mini.capture.chance import uniforms
from lca_mini.capture.rigs import crop_camera, project, relative_box
from lca_mini.data.photos import crop, open_picture, square_round, to_tensor
from lca_mini.types import Cameras, Sample

if TYPE_CHECKING:
    from PIL.Image import Image

HEAD, JAW = 15, 22


@dataclass(frozen=True)
class Take:
    """One person's pictures, N of them; a path may lead into a zip file (`open_stored`). pose, transl: of each picture (several cameras repeat a moment). distortion:
    k1, k2, p1, p2, k3 of OpenCV's model. labels: in masks, whatever is not zero is person; else how white it is."""

    name: str
    images: tuple[Path, ...]
    masks: tuple[Path, ...]
    viewmats: Float[Tensor, "N 4 4"]
    Ks: Float[Tensor, "N 3 3"]
    distortion: Float[Tensor, "N 5"]
    pose: Float[Tensor, "N 55 3"]
    transl: Float[Tensor, "N 3"]
    betas: Float[Tensor, " K"]
    labels: bool = False

    def __post_init__(self) -> None:
        """Raises: ValueError where something is not finite, or numbers of pictures disagree."""
        for name in ("viewmats", "Ks", "distortion", "pose", "transl"):
            values = getattr(self, name)
            if len(values) != len(self.images) or len(self.masks) != len(self.images):
                raise ValueError(f"capture {self.name!r} has {len(self.images)} pictures but {len(values)} {name}")
            if not torch.isfinite(values).all():
                raise ValueError(f"{name} of capture {self.name!r} holds values that are not finite (NaN or infinity)")

    @property
    def seed(self) -> int:
        """Real people are told apart by negative numbers, which belong to no split of synthetic ones."""
        return -1 - zlib.crc32(self.name.encode())


def sample_of(
    take: Take, body: Body, references: int = 8, targets: int = 4, image_size: int = 256, face_size: int = 128,
    draw: int = 0,
) -> Sample:  # fmt: skip
    """One person's training material (B = 1): references and targets are different pictures, drawn at random.

    Args:
        body: whose `betas` these are; it places the head. draw: another number, another choice of pictures.
    Raises: ValueError where there are too few pictures, or a picture or mask cannot be used.
    """
    count = references + targets
    if len(take.images) < count:
        raise ValueError(f"capture {take.name!r} has {len(take.images)} pictures; {references} references and "
                         f"{targets} targets need {count}")
    chosen = uniforms(torch.tensor([take.seed + 2**33 * draw]), 71, len(take.images))[0].argsort()[:count]
    betas = F.pad(take.betas, (0, body.shapedirs.shape[-1]))[: body.shapedirs.shape[-1]]
    made = [view(take, body, betas, int(i), image_size, face_size) for i in chosen]
    images, masks, faces, boxes, Ks = (torch.stack(each)[None] for each in zip(*made))
    pose = take.pose[chosen][None]
    s, t = slice(0, references), slice(references, count)
    return Sample(
        images=images[:, s], face_images=faces[:, s], image_mask=torch.ones(1, references, dtype=torch.bool),
        face_boxes=boxes[:, s], targets=images[:, t], target_masks=masks[:, t], target_faces=faces[:, t],
        cameras=Cameras(take.viewmats[chosen][None, t, None], Ks[:, t, None], image_size, image_size),
        pose=pose[:, t], transl=take.transl[chosen][None, t], gaze=gaze_of(pose[:, t, 23:25]),
        actions=torch.zeros(1, targets, len(ACTIONS)), betas=betas[None], seeds=torch.tensor([take.seed]),
    )  # fmt: skip


def view(take: Take, body: Body, betas: Tensor, index: int, image_size: int, face_size: int) -> tuple[Tensor, ...]:
    """One picture: image, mask, face, face box, and intrinsics of the square."""
    image, mask = read_pair(take, index)
    K, viewmat = take.Ks[index], take.viewmats[index]
    left, top, side = whole_square(*square_round(mask))
    square = torch.tensor([left + side / 2, top + side / 2, side])
    head = project(head_points(body, betas, take.pose[index], take.transl[index]), viewmat, K)
    low, high = head.amin(0), head.amax(0)
    face = torch.cat([(low + high) / 2, (high - low).amax()[None] * 1.4])
    if not face.abs().max() < 4 * max(image.shape):
        raise ValueError(f"the head lies far outside picture {str(take.images[index])!r}; camera and pose of capture "
                         f"{take.name!r} do not belong together (other axes or units?)")
    picture = crop(image, *square.tolist(), image_size)
    covered = 1 - crop(1 - mask.expand(3, -1, -1), *square.tolist(), image_size)[:1]  # what lies outside is painted white
    portrait = crop(image, *face.tolist(), face_size)
    return picture, covered, portrait, relative_box(face, square), crop_camera(K, square, image_size)


def whole_square(cx: float, cy: float, side: float) -> tuple[int, int, int]:
    """Left, top and side in whole pixels, as `lca_mini.data.photos.crop` cuts."""
    side = max(1, round(side))
    return round(cx - side / 2), round(cy - side / 2), side


def read_pair(take: Take, index: int) -> tuple[Float[Tensor, "3 H W"], Float[Tensor, "1 H W"]]:
    """A picture over white and its mask, both without lens distortion."""
    image = to_tensor(open_stored(take.images[index]).convert("RGB"))
    mask = to_tensor(open_stored(take.masks[index]).convert("L"))
    mask = (mask > 0).float() if take.labels else mask
    if image.shape[1:] != mask.shape[1:]:
        raise ValueError(f"mask {str(take.masks[index])!r} is {mask.shape[2]} x {mask.shape[1]} pixels but its picture "
                         f"{image.shape[2]} x {image.shape[1]}")
    if mask.max() <= 0.5:
        raise ValueError(f"the mask {str(take.masks[index])!r} is empty; the person must be white")
    both = undistort(torch.cat([image, mask]), take.Ks[index], take.distortion[index])
    return both[:3] * both[3:] + 1 - both[3:], both[3:]


class Member(io.BytesIO):
    """A file out of a zip file; its name is where it lay."""

    def __init__(self, content: bytes, path: Path) -> None:
        super().__init__(content)
        self.path = path

    def __str__(self) -> str:
        return str(self.path)


def open_stored(file: Path) -> Image:
    """A picture from a file, or from a zip file that the path leads into (folder/cam1.zip/cam1/0001.png).

    Raises: ValueError, naming it, where it is missing or cannot be used.
    """
    if file.is_file():
        return open_picture(file)
    packed = next((parent for parent in file.parents if parent.suffix == ".zip" and parent.is_file()), None)
    if packed is None:
        raise ValueError(f"picture {str(file)!r} is missing")
    try:
        with zipfile.ZipFile(packed) as archive:
            content = archive.read(file.relative_to(packed).as_posix())
    except (KeyError, OSError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"picture {str(file)!r} is missing or damaged ({error})") from None
    return open_picture(Member(content, file))


def undistort(
    picture: Float[Tensor, "c H W"], K: Float[Tensor, "3 3"], distortion: Float[Tensor, "5"]
) -> Float[Tensor, "c H W"]:
    """The picture that a pinhole with the same K would have taken (OpenCV's radial and tangential model)."""
    if not distortion.any():
        return picture
    height, width = picture.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    rays = torch.stack([x, y, torch.ones_like(x)], -1) @ torch.linalg.inv(K).T
    x, y = rays[..., 0], rays[..., 1]
    k1, k2, p1, p2, k3 = distortion
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    bent_x = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    bent_y = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    at = torch.stack([bent_x, bent_y, torch.ones_like(x)], -1) @ K.T
    grid = at[..., :2] / torch.tensor([width, height]) * 2 - 1
    return F.grid_sample(picture[None], grid[None], align_corners=False)[0]


def head_points(
    body: Body, betas: Float[Tensor, " K"], pose: Float[Tensor, "55 3"], transl: Float[Tensor, "3"]
) -> Float[Tensor, "P 3"]:
    """The corners of a box round the head, in the world: what hangs on head and jaw of the rest body, moved with the
    head."""
    mostly = (body.skin_weights[:, HEAD] + body.skin_weights[:, JAW] > 0.8).nonzero()[:, 0][::7]
    points = body.template[mostly] + body.shapedirs[mostly] @ betas
    turn = bone_transforms(pose, rest_joints(body, betas), body.parents)[HEAD]
    return points @ turn[:3, :3].T + turn[:3, 3] + transl


def gaze_of(eyes: Float[Tensor, "*batch 2 3"]) -> Float[Tensor, "*batch 4"]:
    """(yaw, pitch) of both eyes from their joints' axis-angle: where their +z axis points."""
    x, y, z = rotation_matrices(eyes)[..., 2].unbind(-1)
    return torch.stack([torch.atan2(x, z), torch.asin(y.clamp(-1, 1))], -1).flatten(-2)


def read_arrays(file: Path, about: str) -> dict[str, np.ndarray]:
    """Plain arrays of an .npz. Nothing in it is ever unpickled.

    Raises: ValueError, naming the file, where it is missing, damaged or holds Python objects.
    """
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{about} {str(file)!r} is missing, damaged or no .npz of plain arrays ({error})") from None


def turn_about_x(degrees: float) -> Float[Tensor, "3 3"]:
    """A change of axes: 180 takes a camera's y down to y up, -90 takes z up to y up."""
    c, s = round(math.cos(math.radians(degrees))), round(math.sin(math.radians(degrees)))
    return torch.tensor([[1.0, 0, 0], [0, c, -s], [0, s, c]])
