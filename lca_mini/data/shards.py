"""Samples as rows of Parquet files, one row a person, and back.

Enters: `Sample`s of B people. Leaves: one Parquet file that Hugging Face `datasets` opens as it is (pictures as images,
tensors as arrays of fixed shape), and the same people again. Pictures are stored as PNG, 8 bits a channel, so that they
come back within 1/510; what each cell of a reference shows (`surface`) as 16-bit floats, within 0.5 mm; the rest exactly.
No part of the paper. The only module that imports `datasets`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lca_mini.types import Cameras, Sample

PICTURES = ("images", "face_images", "targets", "target_faces", "target_masks")
HALVES = ("surface", "face_surface")
SEED = "seeds"
PNG_EFFORT = 3  # of 9: files 10 % larger than at 9, written four times as fast


def write_shard(sample: Sample, path: Path) -> None:
    """Write B people, in their order. Raises: OSError where the file cannot be written."""
    columns = columns_of(sample)
    with hub() as datasets:
        features = datasets.Features({name: feature_of(datasets, name, values) for name, values in columns.items()})
        rows = {name: encoded(name, values) for name, values in columns.items()}
        datasets.Dataset.from_dict(rows, features=features).to_parquet(str(path), batch_size=len(sample.seeds))


def columns_of(sample: Sample) -> dict[str, Tensor]:
    """Every tensor of a sample by name, on the CPU; what is None is left out, the cameras' two are named after them."""
    found = {f.name: getattr(sample, f.name) for f in fields(sample) if f.name != "cameras"}
    found |= {"viewmats": sample.cameras.viewmats, "Ks": sample.cameras.Ks}
    return {name: value.detach().cpu() for name, value in found.items() if value is not None}


def feature_of(datasets: Any, name: str, values: Tensor) -> Any:
    """What `datasets` calls a column of this shape."""
    if name in PICTURES:
        return datasets.Sequence(datasets.Image())
    shape = tuple(values.shape[1:])
    kind = "float16" if name in HALVES else {torch.bool: "bool", torch.int64: "int64"}.get(values.dtype, "float32")
    if len(shape) < 2:
        value = datasets.Value(kind)
        return datasets.Sequence(value, length=shape[0]) if shape else value
    return {2: datasets.Array2D, 3: datasets.Array3D, 4: datasets.Array4D, 5: datasets.Array5D}[len(shape)](shape, kind)


def encoded(name: str, values: Tensor) -> list[Any]:
    """A column's rows."""
    if name in PICTURES:
        pixels = (values.clamp(0, 1) * 255).round().byte().movedim(2, -1).numpy()
        return [[{"bytes": png(picture), "path": None} for picture in person] for person in pixels]
    if name in HALVES:
        values = values.half()
    return list(values.numpy()) if values.dim() > 1 else values.tolist()


def png(pixels: np.ndarray) -> bytes:
    """A lossless file of a picture [H W 1 or 3]."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(file, "PNG", compress_level=PNG_EFFORT)
    return file.getvalue()


@dataclass(frozen=True)
class Shard:
    """The rows of one file: arrays by column, and for pictures their bytes, [people][pictures]."""

    arrays: dict[str, np.ndarray]
    pictures: dict[str, list[list[bytes]]]

    @property
    def seeds(self) -> list[int]:
        """Who it holds."""
        return self.arrays[SEED].tolist()


def read_shard(path: Path) -> Shard:
    """All rows of a file; pictures stay encoded.

    Raises: ValueError, naming the file, where it is no Parquet file of samples.
    """
    with hub() as datasets:
        try:
            rows = datasets.load_dataset("parquet", data_files={"all": [str(path)]}, split="all", streaming=True)
            table = next(rows.with_format("arrow").iter(batch_size=10**6))
        except Exception as error:  # pyarrow, fsspec and datasets each have their own
            raise ValueError(f"shard {str(path)!r} cannot be read as Parquet ({str(error).splitlines()[0]})") from None
    arrays, pictures = {}, {}
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        if name in PICTURES:
            pictures[name] = [[picture["bytes"] for picture in person] for person in column.to_pylist()]
        elif hasattr(column, "storage"):
            arrays[name] = column.to_numpy()
        else:
            arrays[name] = np.asarray(column.to_pylist())
    missing = {SEED, *PICTURES, "viewmats", "Ks"} - arrays.keys() - pictures.keys()
    if missing:
        raise ValueError(f"shard {str(path)!r} is no shard of samples: it has no {', '.join(sorted(missing))}")
    return Shard(arrays, pictures)


def people_of(found: Sequence[tuple[Shard, int]], device: torch.device | str = "cpu") -> Sample:
    """A sample of the people at these rows, decoded."""
    first = found[0][0]
    tensors: dict[str, Tensor] = {}
    for name in first.pictures:
        people = [torch.stack([decoded(file) for file in shard.pictures[name][row]]) for shard, row in found]
        tensors[name] = torch.stack(people).to(device).float() / 255
    for name in first.arrays:
        values = torch.from_numpy(np.stack([shard.arrays[name][row] for shard, row in found]))
        tensors[name] = (values.float() if values.is_floating_point() else values).to(device)
    height, width = tensors["targets"].shape[-2:]
    cameras = Cameras(tensors.pop("viewmats"), tensors.pop("Ks"), width, height)
    return Sample(cameras=cameras, **tensors)


def decoded(file: bytes) -> Float[Tensor, "c H W"]:
    """A picture's bytes, uint8."""
    from PIL import Image

    pixels = torch.from_numpy(np.array(Image.open(io.BytesIO(file))))
    return pixels[None] if pixels.dim() == 2 else pixels.movedim(-1, 0)


@contextmanager
def hub() -> Iterator[Any]:
    """Hugging Face `datasets`, its own progress bars silenced meanwhile.

    Raises: ValueError where it is not installed.
    """
    try:
        import datasets
    except ImportError:
        raise ValueError("shards need Hugging Face datasets: pip install 'lca-mini[data]'") from None
    silent = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield datasets
    finally:
        if not silent:
            datasets.enable_progress_bars()
