"""What leaves the library as a file: 3DGS .ply, MP4, PNG and contact sheets.

Enters: Gaussians, or pictures [H W 3], uint8 or floats in [0, 1]. Leaves: files. Every file is written beside its
place under another name and renamed when whole: a reader never sees half of one, and a failure leaves nothing. What
differs from the paper: it stores no avatars; the .ply is the one that the usual 3DGS viewers open, with degree-0
colours.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterable, Iterator, Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from lca_mini.types import Gaussians

Picture = Float[Tensor, "H W 3"] | UInt8[Tensor, "H W 3"]

SH0 = 0.28209479177387814  # the constant spherical harmonic: colour = 0.5 + SH0 f_dc
PLY_FIELDS = (
    "x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity", "scale_0", "scale_1", "scale_2",
    "rot_0", "rot_1", "rot_2", "rot_3",
)


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, same ending; rename it when the block ends, delete it when it raises.

    Raises: ValueError, in one sentence, where the folder cannot be made or written to.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror}; choose another output folder") from error
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror or error}; choose another place") from error
    finally:
        temporary.unlink(missing_ok=True)


def save_ply(gaussians: Gaussians, path: str | Path) -> None:
    """Write one set of Gaussians [N .] as a binary 3DGS .ply: logit opacities, log scales, wxyz quaternions.

    Raises: ValueError when there are leading batch dims, or the place cannot be written.
    """
    if gaussians.means.ndim != 2:
        raise ValueError(f"a .ply holds one set of Gaussians [N 3], got means of shape {tuple(gaussians.means.shape)}")
    g = gaussians.map(lambda t: t.detach().cpu().float())
    table = torch.cat([
        g.means, torch.zeros_like(g.means), (g.colors - 0.5) / SH0, torch.logit(g.opacities, eps=1e-6)[:, None],
        g.scales.clamp(min=1e-12).log(), torch.nn.functional.normalize(g.quats, dim=-1),
    ], dim=-1)
    properties = "".join(f"property float {name}\n" for name in PLY_FIELDS)
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(table)}\n{properties}end_header\n"
    with whole_file(path) as temporary:
        temporary.write_bytes(header.encode("ascii") + table.numpy().astype("<f4").tobytes())


def load_ply(path: str | Path) -> Gaussians:
    """Read what `save_ply` wrote (or another 3DGS .ply whose first columns are floats; higher harmonics are dropped).

    Raises: ValueError when the file is missing, of another kind, or cut off.
    """
    import numpy as np

    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error
    head, mark, body = data.partition(b"end_header\n")
    lines = head.decode("ascii", errors="replace").splitlines()
    names = [line.split()[2] for line in lines if line.startswith("property float ")]
    counts = [int(line.split()[2]) for line in lines if line.startswith("element vertex ")]
    if not mark or "format binary_little_endian 1.0" not in lines or len(counts) != 1 or set(PLY_FIELDS) - set(names):
        raise ValueError(f"{path} is not a binary little-endian 3DGS .ply with the fields {', '.join(PLY_FIELDS)}")
    if len(body) < counts[0] * len(names) * 4:
        raise ValueError(f"{path} is cut off: {counts[0]} Gaussians announced, {len(body) // (4 * len(names))} there")
    values = np.frombuffer(body, "<f4", counts[0] * len(names)).reshape(counts[0], len(names)).astype("f4")
    table = torch.from_numpy(values)[:, [names.index(name) for name in PLY_FIELDS]]
    return Gaussians(
        means=table[:, 0:3], quats=table[:, 13:17], scales=table[:, 10:13].exp(), opacities=table[:, 9].sigmoid(),
        colors=table[:, 6:9] * SH0 + 0.5,
    )


def to_bytes(picture: Picture) -> UInt8[Tensor, "H W 3"]:
    """A picture as uint8 on the CPU; floats are clamped to [0, 1] and rounded.

    Raises: ValueError for another shape.
    """
    if picture.ndim != 3 or picture.shape[-1] != 3:
        raise ValueError(f"a picture must have shape [H W 3], got {tuple(picture.shape)}")
    if picture.dtype != torch.uint8:
        picture = (picture.detach().float().clamp(0, 1) * 255).round().to(torch.uint8)
    return picture.cpu()


def save_png(image: Picture, path: str | Path) -> None:
    """Write a picture as PNG.

    Raises: ValueError for another shape, or when the place cannot be written.
    """
    from PIL import Image

    pixels = Image.fromarray(to_bytes(image).numpy())
    with whole_file(path) as temporary:
        pixels.save(temporary, format="PNG")


def contact_sheet(images: Sequence[Picture] | Picture, columns: int, gap: int = 4) -> UInt8[Tensor, "rows columns 3"]:
    """Lay pictures of one size out in rows over white, `gap` pixels apart.

    Raises: ValueError when there are none, their sizes differ, or `columns` is not positive.
    """
    pictures = [to_bytes(image) for image in images]
    if not pictures or columns < 1:
        raise ValueError(f"a contact sheet needs pictures and at least one column, got {len(pictures)} and {columns}")
    if len({p.shape for p in pictures}) > 1:
        sizes = sorted({tuple(p.shape) for p in pictures})
        raise ValueError(f"a contact sheet needs pictures of one size, got {sizes}")
    height, width, _ = pictures[0].shape
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    sheet = torch.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, dtype=torch.uint8)
    for i, picture in enumerate(pictures):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        sheet[top : top + height, left : left + width] = picture
    return sheet


class VideoWriter:
    """An MP4 that browsers play (H.264, yuv420p), frame by frame; odd sizes gain one repeated row or column.

        with VideoWriter("turntable.mp4", fps=30) as video:
            video.add(picture)

    The file appears when the block ends; where it raises, nothing is left.
    """

    def __init__(self, path: str | Path, fps: int | float = 30, quality: int = 18) -> None:
        """quality: x264's constant rate factor, 0 (lossless) to 51; 18 looks like the source."""
        if Path(path).suffix != ".mp4":
            raise ValueError(f"a video's name must end in .mp4, got {path}")
        self.path, self.fps, self.quality = Path(path), fps, quality
        self.shape: torch.Size | None = None
        self._sink: Any = None

    def __enter__(self) -> VideoWriter:
        self._file = whole_file(self.path)
        self._temporary = self._file.__enter__()
        return self

    def add(self, picture: Picture) -> None:
        """Append a frame.

        Raises: ValueError when its size is not that of the first.
        """
        pixels = to_bytes(picture)
        if self._sink is None:
            self._open(pixels.shape)
        if pixels.shape != self.shape:
            raise ValueError(f"frame of shape {tuple(pixels.shape)} in a video of {tuple(self.shape or ())}")
        height, width, _ = pixels.shape
        rows, columns = torch.arange(height + height % 2), torch.arange(width + width % 2)
        self._sink.send(pixels[rows.clamp(max=height - 1)][:, columns.clamp(max=width - 1)].numpy().tobytes())

    def _open(self, shape: torch.Size) -> None:
        import imageio_ffmpeg

        self.shape = shape
        self._sink = imageio_ffmpeg.write_frames(
            str(self._temporary), (shape[1] + shape[1] % 2, shape[0] + shape[0] % 2), fps=self.fps, codec="libx264",
            pix_fmt_in="rgb24", pix_fmt_out="yuv420p", quality=None, macro_block_size=1, ffmpeg_log_level="error",
            output_params=["-crf", str(self.quality), "-movflags", "+faststart"],
        )
        self._sink.send(None)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if self._sink is not None:
            self._sink.close()
        if kind is None and self._sink is None:
            error = ValueError(f"no frames were given for {self.path}")
            kind, trace = ValueError, None
            self._file.__exit__(kind, error, trace)
            raise error
        self._file.__exit__(kind, error, trace)


def save_video(frames: Iterable[Picture], path: str | Path, fps: int | float = 30) -> int:
    """Write frames as they come; returns how many.

    Raises: ValueError when there are none, their sizes differ, or the place cannot be written.
    """
    count = 0
    with VideoWriter(path, fps) as video:
        for frame in frames:
            video.add(frame)
            count += 1
    return count
