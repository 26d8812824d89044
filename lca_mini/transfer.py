"""One person's face in pictures or a video, for another person's avatar: cross-reenactment.

Enters: a folder of pictures, a picture or a video, and a model. Leaves: expression codes with their times. Part of the
paper: epsilon of a filmed face drives whichever avatar. What differs from the paper: faces are found by the model's own
small finder, which was trained on whole people over white; gaze is not read off the pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from lca_mini.data.photos import PICTURES, crop, open_picture, square_round, to_tensor
from lca_mini.model import LCA
from lca_mini.tracks.track import MOST_FRAMES, even_times, neighbours

VIDEOS = (".mp4", ".mov", ".webm", ".mkv", ".avi", ".m4v")
FRAMINGS = ("find", "whole")
CHUNK = 16  # pictures held at once
STEADY = 5  # frames over which the face's box is averaged in a video

Square = tuple[Tensor, tuple[float, float, float]]


@dataclass(frozen=True)
class FilmedFace:
    """Codes of F moments, on the CPU. crops: what the encoder saw of the first ones. notes: what was
    taken for granted."""

    codes: Float[Tensor, "F E"]
    seconds: Float[Tensor, " F"]
    crops: Float[Tensor, "few 3 h w"]
    notes: tuple[str, ...]

    def at(self, times: Float[Tensor, " T"]) -> Float[Tensor, "T E"]:
        """Codes at these moments, linearly between pictures; the space of codes is smooth enough for that."""
        before, after, share = neighbours(self.seconds, times.to(self.seconds.dtype))
        return torch.lerp(self.codes[before], self.codes[after], share.float()[:, None])


@torch.no_grad()
def filmed_face(
    model: LCA, path: str | Path, fps: float | None = None, framing: str = "find",
    tick: Callable[[], object] = lambda: None,
) -> FilmedFace:  # fmt: skip
    """Read the expression off every picture.

    Args:
        path: a folder of pictures (in order of their names), one picture, or a video.
        fps: pictures a second; None for one a second, and for a video's own rate.
        framing: "find" looks for the face of a whole person; "whole" takes each picture for a crop of a face.
        tick: called after each picture.
    Raises: ValueError, one sentence that names the file, for what cannot be read or shows no face.
    """
    path = Path(path)
    if framing not in FRAMINGS:
        raise ValueError(f"no framing {framing!r} of a face; choose one of {', '.join(FRAMINGS)}")
    files = picture_files(path)
    squares, rate = (map(read_square, files), 1.0) if files else read_video(path)
    crops, codes = [], []
    held: list[Square] = []
    boxes: list[Tensor] = []

    def finish() -> None:
        found = torch.stack(boxes[-len(held) :])
        if not files:
            found = steadied(torch.stack(boxes))[-len(held) :]
        faces = torch.stack([crop(image, *inside(box, square), model.config.expression_size)
                             for (image, square), box in zip(held, found.tolist())])  # fmt: skip
        codes.append(model.expression_from_faces(faces.to(device)).cpu())
        if not crops:  # of a long video, all would fill the memory
            crops.append(faces)
        held.clear()

    device = model.anchors.points.device
    for image, square in squares:
        box = torch.tensor([0.5, 0.5, 1.0])
        if framing == "find":
            whole = crop(image, *square, model.config.image_size)
            box = model.find_faces(whole[None].to(device))[0].float().cpu()
            if not torch.isfinite(box).all():
                raise ValueError(f"no face was found in {str(path)!r}, picture {len(boxes) + 1}")
        boxes.append(box)
        held.append((image, square))
        tick()
        if len(held) == CHUNK:
            finish()
        if len(boxes) > MOST_FRAMES:
            raise ValueError(f"{str(path)!r} has more than {MOST_FRAMES} pictures; cut it")
    if held:
        finish()
    if not codes:
        raise ValueError(f"video {str(path)!r} has no frames")
    notes = ["expression is read off pictures; their gaze is not"]
    if not files:
        notes.append("a video has no mask: its background is taken as it is, and should be plain and light")
    return FilmedFace(torch.cat(codes), even_times(len(boxes), fps or rate), crops[0], tuple(notes))


def is_pictures(path: str | Path) -> bool:
    """Whether a face comes from pictures or a video, and not from a recording of actions."""
    return Path(path).is_dir() or Path(path).suffix.lower() in (*PICTURES, *VIDEOS)


def picture_files(path: Path) -> list[Path]:
    """The pictures of a folder, or the one; none for a video. Raises: ValueError where there is nothing of the kind."""
    if path.is_dir():
        found = sorted(f for f in path.iterdir() if f.suffix.lower() in PICTURES and f.name[0] != "."
                       and not f.stem.endswith("_mask"))  # fmt: skip
        if not found:
            raise ValueError(f"the folder {str(path)!r} holds no picture of a face; put png, jpg or webp there")
        return found
    if not path.is_file():
        raise ValueError(f"there is no face {str(path)!r}; give a recording (.csv, .json), a video or a folder of pictures")
    if path.suffix.lower() in PICTURES:
        return [path]
    if path.suffix.lower() not in VIDEOS:
        raise ValueError(f"face {str(path)!r} is of a kind that is not read; videos end in {', '.join(VIDEOS)}")
    return []


def read_square(file: Path) -> Square:
    """A picture over white and the square of it to look at: round the person where a cut-out or `<name>_mask.png` tells,
    else all of it."""
    from PIL import Image

    picture, beside = open_picture(file), file.with_name(f"{file.stem}_mask.png")
    mask = None
    if beside.is_file():
        mask = open_picture(beside).convert("L")
        if mask.size != picture.size:
            raise ValueError(f"mask {str(beside)!r} is of another size than its picture")
    elif picture.mode in ("RGBA", "LA") or "transparency" in picture.info:
        mask = picture.convert("RGBA").getchannel("A")
    colours = picture.convert("RGBA").convert("RGB")
    if mask is None:
        return whole_square(to_tensor(colours))
    if mask.getextrema()[1] <= 127:
        raise ValueError(f"the mask of {str(file)!r} is empty; paint the person white (or opaque)")
    return to_tensor(Image.composite(colours, Image.new("RGB", picture.size, "white"), mask)), square_round(to_tensor(mask))


def whole_square(image: Float[Tensor, "3 H W"]) -> Square:
    """All of a picture, as a square."""
    height, width = image.shape[-2:]
    return image, (width / 2, height / 2, float(max(height, width)))


def read_video(path: Path) -> tuple[Iterator[Square], float]:
    """Frames one by one, and how many a second. Raises: ValueError where there is no video in the file."""
    import imageio_ffmpeg

    try:
        reader = imageio_ffmpeg.read_frames(str(path), pix_fmt="rgb24")
        about = next(reader)
    except (OSError, RuntimeError, StopIteration, IndexError, KeyError) as error:
        words = " ".join(str(error).split())[-120:]
        raise ValueError(f"video {str(path)!r} cannot be read; save it again as mp4 ({words})") from None
    width, height = about["size"]

    def frames() -> Iterator[Square]:
        for data in reader:
            pixels = torch.frombuffer(bytearray(data), dtype=torch.uint8).view(height, width, 3)
            yield whole_square(pixels.permute(2, 0, 1).float() / 255)

    return frames(), float(about["fps"])


def inside(box: list[float], square: tuple[float, float, float]) -> tuple[float, float, float]:
    """A box in fractions of a square (cx, cy, side), in pixels."""
    cx, cy, side = square
    return cx + (box[0] - 0.5) * side, cy + (box[1] - 0.5) * side, max(box[2], 0.02) * side


def steadied(boxes: Float[Tensor, "F 3"]) -> Float[Tensor, "F 3"]:
    """Boxes averaged over the frames before, so that a crop does not tremble."""
    padded = torch.cat([boxes[:1].expand(STEADY - 1, 3), boxes])
    return F.avg_pool1d(padded.T[None], STEADY, stride=1)[0].T
