"""A person's own pictures: read from a folder, checked, cut out and cropped to what `encode` takes.

Enters: a folder with 1 to 16 pictures (png, jpg, jpeg, webp) and what tells the person from the background: an alpha
channel, or a mask file `<name>_mask.png` or `masks/<name>.png` (white is person). Face crops may lie in
`faces/<name>.png`, or face boxes in `faces.json`: {"<file name>": [cx, cy, side]} in pixels of the picture as it is
shown. Leaves: `Photos`, then `images` and `face_images` over white. Part of the paper: its inputs, unconstrained
pictures and a face crop of each. What differs from the paper: masks are the caller's, and faces without a crop are
found by the model's own small face finder. Every bad input is one ValueError sentence that names the file.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_IMAGES = 16
SMALLEST = 64  # pixels, either side
LARGEST = 3072  # pixels; a longer side is shrunk to it while reading
MOST_PIXELS = 64_000_000  # as stored; more is refused before decoding
MARGIN = 0.08  # left free on each side, as a fraction of the person's extent: as in `lca_mini.capture`
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
FOREIGN = (".heic", ".heif", ".tif", ".tiff", ".bmp", ".gif", ".avif")
EIGHT_BIT = ("RGB", "RGBA", "L", "LA", "La", "RGBa", "P", "PA", "1", "CMYK", "YCbCr")


@dataclass(frozen=True)
class Photos:
    """Pictures as they are shown (EXIF orientation applied), person over white, sRGB [0, 1]; one entry a picture.

    faces: crops, or None where none was given. face_boxes: (cx, cy, side) in pixels, or None.
    """

    images: tuple[Float[Tensor, "3 H W"], ...]
    masks: tuple[Float[Tensor, "1 H W"], ...]
    faces: tuple[Float[Tensor, "3 h w"] | None, ...]
    face_boxes: tuple[tuple[float, float, float] | None, ...]
    names: tuple[str, ...]


def read_photos(folder: str | Path) -> Photos:
    """Read and check every picture of a folder, in order of their names, on the CPU.

    Raises: ValueError, one sentence that names the file and what to do, for anything that cannot be used.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"there is no folder {str(folder)!r}; name one that holds pictures of a person")
    found = sorted(f for f in folder.iterdir() if f.is_file() and not f.name.startswith("."))
    foreign = [f for f in found if f.suffix.lower() in FOREIGN]
    if foreign:
        raise ValueError(f"picture {str(foreign[0])!r} is of a kind that is not read; save it as png, jpg or webp")
    files = [f for f in found if f.suffix.lower() in PICTURES and not f.stem.endswith("_mask")]
    if not files:
        raise ValueError(f"the folder {str(folder)!r} holds no picture; put 1 to {MOST_IMAGES} png, jpg or webp there")
    if len(files) > MOST_IMAGES:
        raise ValueError(f"the folder {str(folder)!r} holds {len(files)} pictures; keep {MOST_IMAGES} at most")
    for before, after in zip(files, files[1:]):
        if before.stem == after.stem:
            raise ValueError(f"{str(before)!r} and {str(after)!r} differ in their ending alone; rename or remove one")
    boxes = read_boxes(folder / "faces.json", files)
    cut_outs = [read_cut_out(file) for file in files]
    faces = tuple(read_face(folder / "faces" / f"{file.stem}.png") for file in files)
    scaled = tuple(
        None if boxes[f.name] is None else tuple(shrink * side for side in boxes[f.name])
        for f, (_, _, shrink) in zip(files, cut_outs)
    )
    images, masks = tuple(c[0] for c in cut_outs), tuple(c[1] for c in cut_outs)
    return Photos(images, masks, faces, scaled, tuple(f.name for f in files))  # type: ignore[arg-type]


def prepare(
    photos: Photos,
    image_size: int,
    face_size: int,
    find_faces: Callable[[Float[Tensor, "S 3 H W"]], Float[Tensor, "S 3"]],
    device: torch.device | str = "cpu",
) -> tuple[Float[Tensor, "1 S 3 H W"], Float[Tensor, "1 S 3 h w"]]:
    """What `encode` takes: a square round each person with a margin, and a face crop of each.

    Args:
        find_faces: the model's; body images on `device` -> (cx, cy, side) in fractions of the side. It is asked only
            for pictures without a face crop or box; the crop itself is cut from the original picture.
    Raises: ValueError, naming the picture, where a face box is not finite.
    """
    squares = [square_round(mask) for mask in photos.masks]
    images = torch.stack([crop(image, *box, image_size) for image, box in zip(photos.images, squares)]).to(device)
    wanted = [i for i, face in enumerate(photos.faces) if face is None and photos.face_boxes[i] is None]
    found = dict(zip(wanted, find_faces(images[wanted]).detach().float().cpu().tolist())) if wanted else {}
    faces = []
    for i, (image, (cx, cy, side)) in enumerate(zip(photos.images, squares)):
        face, box = photos.faces[i], photos.face_boxes[i]
        if face is not None:
            height, width = face.shape[-2:]
            image, box = face, (width / 2, height / 2, float(min(height, width)))
        elif box is None:
            x, y, part = found[i]
            if not np.isfinite([x, y, part]).all():
                raise ValueError(f"no face was found in {photos.names[i]!r}; give a crop of it in faces/")
            box = (cx + (x - 0.5) * side, cy + (y - 0.5) * side, max(part, 0.02) * side)
        faces.append(crop(image, *box, face_size))
    return images[None], torch.stack(faces).to(device)[None]


def square_round(mask: Float[Tensor, "1 H W"]) -> tuple[float, float, float]:
    """The square (cx, cy, side), pixels, round what a mask shows, with `MARGIN` left free on each side."""
    rows, columns = (mask[0] > 0.5).any(1).nonzero()[:, 0], (mask[0] > 0.5).any(0).nonzero()[:, 0]
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    return (left + right) / 2, (top + bottom) / 2, max(bottom - top, right - left) * (1 + 2 * MARGIN)


def crop(
    image: Float[Tensor, "3 H W"], cx: float, cy: float, side: float, size: int
) -> Float[Tensor, "3 size size"]:
    """A square of a picture, to whole pixels, white where it reaches beyond it, resized with antialiasing."""
    side = max(1, round(side))
    left, top = round(cx - side / 2), round(cy - side / 2)
    height, width = image.shape[-2:]
    x0, x1 = min(max(left, 0), width), min(max(left + side, 0), width)
    y0, y1 = min(max(top, 0), height), min(max(top + side, 0), height)
    square = image.new_ones(3, side, side)
    square[:, y0 - top : y1 - top, x0 - left : x1 - left] = image[:, y0:y1, x0:x1]
    return F.interpolate(square[None], (size, size), mode="bicubic", antialias=True)[0].clamp(0, 1)


def read_cut_out(file: Path) -> tuple[Float[Tensor, "3 H W"], Float[Tensor, "1 H W"], float]:
    """A picture over white, its mask, and by how much both were shrunk."""
    from PIL import Image

    picture = open_picture(file)
    beside = (file.with_name(f"{file.stem}_mask.png"), file.parent / "masks" / f"{file.stem}.png")
    given = [path for path in beside if path.is_file()]
    transparent = "transparency" in picture.info or picture.mode in ("RGBA", "LA", "PA", "La", "RGBa")
    if given:
        mask, source = open_picture(given[0]).convert("L"), given[0]
        if mask.size != picture.size:
            raise ValueError(f"mask {str(source)!r} is {mask.width} x {mask.height} pixels but its picture "
                             f"{picture.width} x {picture.height}; make them the same size")
    elif transparent:
        mask, source = picture.convert("RGBA").getchannel("A"), file
        if mask.getextrema()[0] > 127:
            raise ValueError(f"the alpha channel of {str(file)!r} is opaque everywhere; cut the person out of the "
                             f"background, or give a mask as {beside[0].name!r}")
    else:
        raise ValueError(f"picture {str(file)!r} has neither an alpha channel nor a mask; save it as a cut-out png, "
                         f"or put a mask beside it as {beside[0].name!r}")
    if mask.getextrema()[1] <= 127:
        raise ValueError(f"the mask of {str(source)!r} is empty; paint the person white (or opaque)")
    colours = picture.convert("RGBA").convert("RGB") if transparent else picture.convert("RGB")
    over_white = Image.composite(colours, Image.new("RGB", picture.size, "white"), mask)
    shrink = min(1.0, LARGEST / max(picture.size))
    if shrink < 1:
        size = tuple(max(1, round(shrink * side)) for side in picture.size)
        over_white, mask = over_white.resize(size, Image.Resampling.BOX), mask.resize(size, Image.Resampling.BOX)
    return to_tensor(over_white), to_tensor(mask), shrink


def read_face(file: Path) -> Float[Tensor, "3 h w"] | None:
    """A face crop over white, or None where there is no such file."""
    from PIL import Image

    if not file.is_file():
        return None
    face = open_picture(file).convert("RGBA")
    return to_tensor(Image.alpha_composite(Image.new("RGBA", face.size, "white"), face).convert("RGB"))


def read_boxes(file: Path, pictures: list[Path]) -> dict[str, tuple[float, float, float] | None]:
    """Face boxes by picture's name; None where the file is missing or does not speak of a picture."""
    boxes: dict[str, tuple[float, float, float] | None] = {picture.name: None for picture in pictures}
    if not file.is_file():
        return boxes
    try:
        for name, box in dict(json.loads(file.read_text())).items():
            cx, cy, side = (float(number) for number in box)
            if name not in boxes or not np.isfinite([cx, cy, side]).all() or side < 1:
                raise ValueError(f"{name!r}: {box}")
            boxes[name] = (cx, cy, side)
    except (ValueError, TypeError, OSError) as error:
        raise ValueError(f'face boxes {str(file)!r} must read {{"<picture>": [cx, cy, side], ...}} in pixels, with '
                         f"pictures of that folder ({error})") from None
    return boxes


def open_picture(file: Path | BinaryIO) -> Image:
    """One picture, decoded to its last pixel, turned as EXIF says. Raises: ValueError, naming the file."""
    from PIL import Image, ImageFile, ImageOps

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `MOST_PIXELS` is the stricter bound
        try:
            picture = Image.open(file)
        except Image.DecompressionBombError:
            raise ValueError(f"picture {str(file)!r} is too large; shrink it below {MOST_PIXELS // 10**6} million "
                             "pixels") from None
        except (OSError, ValueError, SyntaxError):
            raise ValueError(f"{str(file)!r} is not a picture, or is damaged; remove it or save it again") from None
    if picture.width * picture.height > MOST_PIXELS:
        raise ValueError(f"picture {str(file)!r} has {picture.width} x {picture.height} pixels; shrink it below "
                         f"{MOST_PIXELS // 10**6} million")
    if min(picture.size) < SMALLEST:
        raise ValueError(f"picture {str(file)!r} is {picture.width} x {picture.height} pixels; at least {SMALLEST} x "
                         f"{SMALLEST} are needed")
    if getattr(picture, "n_frames", 1) > 1 or picture.mode not in EIGHT_BIT:
        raise ValueError(f"picture {str(file)!r} is an animation or not of 8 bits a channel; save it as a plain png")
    lenient = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        picture.load()
        return ImageOps.exif_transpose(picture)
    except (OSError, ValueError, SyntaxError) as error:
        raise ValueError(f"picture {str(file)!r} is cut off or damaged ({error}); save or download it again") from None
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = lenient


def to_tensor(picture: Image) -> Float[Tensor, "c H W"]:
    """RGB or grey pixels in [0, 1]."""
    pixels = torch.from_numpy(np.array(picture)).float() / 255
    return pixels[None] if pixels.dim() == 2 else pixels.permute(2, 0, 1).contiguous()
