"""Contact sheets: of stored samples, and of a population for its card.

Enters: a folder of samples, or a way to film people. Leaves: pictures. No part of the paper.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn import functional as F

from lca_mini.data.folder import SampleFolder
from lca_mini.data.stream import Film
from lca_mini.export import contact_sheet, whole_file
from lca_mini.people.splits import seeds_of
from lca_mini.types import Cameras

COLUMNS = 8
PEOPLE = 32  # a file of a card; more would have to be shrunk
RATE, MOMENTS = 24.0, 40  # of the clips that `moving_sheet` takes its pictures from
MOVING = ((2, "turn", 0.6, -0.30, 0.55), (10, "walk", 0.8, -0.35, 0.55), (6, "turn", 0.8, 0.52, 0.32),
          (1, "turn", 3.4, 0.52, 0.32), (28, "bow", 1.1, 0.46, 0.36))  # fmt: skip
"""Who (of the train split), what they do; from where they are seen (radians from ahead), how high, half of how much."""


def people_rows(source: SampleFolder, people: int = 8) -> UInt8[Tensor, "H W 3"]:
    """A row for each of the first people: up to two references with their face crops, then up to two targets.

    Raises: ValueError for no people.
    """
    if people < 1:
        raise ValueError(f"a sheet of {people} people cannot be drawn; ask for one at least")
    plan = source.manifest.plan
    rows, size = [], min(plan.image_size, 256)
    for position in range(min(people, len(source))):
        sample = source.film(source.cast(torch.tensor([position])), plan.kind)[0]
        shown = []
        for i in range(min(2, plan.references)):
            shown += [sample.images[i], sample.face_images[i]]
        shown += list(sample.targets[:2])
        rows += [F.interpolate(p[None], (size, size), mode="bilinear", antialias=True)[0] for p in shown]
    columns = 2 * min(2, plan.references) + min(2, plan.targets)
    return contact_sheet([picture.permute(1, 2, 0) for picture in rows], columns)


def crowd_sheet(
    film: Film, kind: str, people: int, faces: bool = False, split: str = "train", at_once: int = 8, first: int = 0,
    tell: Callable[[int], object] = lambda done: None,
) -> UInt8[Tensor, "H W 3"]:  # fmt: skip
    """People of a split from the `first` on, one picture each, `COLUMNS` beside each other.

    Args:
        film: as `SampleStream` takes it, with one reference and one target. faces: close-ups instead of whole people.
    """
    pictures: list[Tensor] = []
    for start in range(0, people, at_once):
        sample = film(seeds_of(split, first + start, min(at_once, people - start)), kind)
        shown = sample.target_faces[:, 0] if faces else sample.images[:, 0]
        pictures += list((shown.movedim(1, -1).clamp(0, 1) * 255).round().byte().cpu())
        tell(len(shown))
    return contact_sheet(pictures, COLUMNS)


@torch.no_grad()
def moving_sheet(size: int, device: torch.device | str, columns: int = COLUMNS) -> UInt8[Tensor, "H W 3"]:
    """A row for each of `MOVING`: somebody of the train split turns round and stands, walks, or bows and rises, seen
    from one side at equal intervals, with what hangs swinging as the movement before makes it."""
    from lca_mini.capture import NOMINAL, orbit_cameras, random_lights, swung, turntable, walk
    from lca_mini.capture.film import film
    from lca_mini.people import grow

    t = torch.arange(MOMENTS) / RATE
    up = lambda start, length: (0.5 - 0.5 * (torch.pi * ((t - start) / length).clamp(0, 1)).cos())  # noqa: E731
    calm = turntable(1)[torch.zeros(MOMENTS, dtype=torch.long)]
    rows: list[Tensor] = []
    for seed, what, side, height, half in MOVING:
        pose = calm.pose.clone()
        pose[:, 0, 1] = 2.4 * up(0.1, 0.6) if what == "turn" else 0.0
        pose[:, [3, 12, 15], 0] = 0.3 * (up(0.1, 0.5) - up(0.6, 0.5))[:, None] if what == "bow" else 0.0
        clip = swung(walk(MOMENTS, RATE) if what == "walk" else replace(calm, pose=pose), RATE, looped=what == "walk")
        shown = clip[:: MOMENTS // columns][:columns].to(device)[None]
        viewmats, Ks = orbit_cameras(torch.tensor([0.0, height, 0.08]), half, torch.full((columns,), side))
        scaled = Ks * Ks.new_tensor([size / NOMINAL, size / NOMINAL, 1.0])[:, None]
        cameras = Cameras(viewmats[None, :, None], scaled[None, :, None], size, size).to(device)
        crowd = grow(seeds_of("train", seed), device)
        pictures, _ = film(crowd, shown, cameras, random_lights(crowd.seeds.cpu(), "studio").to(device), shadows=False)
        rows += list(pictures[0, :, 0].movedim(1, -1).cpu())
    return contact_sheet(rows, columns)


def save_small(picture: UInt8[Tensor, "H W 3"], path: Path, most: int = 600_000) -> int:
    """Write a JPEG of less than `most` bytes: as fine as fits, smaller where that is not enough; returns its bytes.

    Raises: ValueError where even the smallest does not fit.
    """
    from PIL import Image

    whole = Image.fromarray(picture.numpy())
    for scale in (1.0, 0.75, 0.5, 0.375, 0.25):
        size = (max(1, round(whole.width * scale)), max(1, round(whole.height * scale)))
        shrunk = whole.resize(size, Image.Resampling.LANCZOS) if scale < 1 else whole
        for quality in (88, 78):
            file = io.BytesIO()
            shrunk.save(file, "JPEG", quality=quality, optimize=True)
            if file.tell() < most:
                with whole_file(path) as temporary:
                    temporary.write_bytes(file.getvalue())
                return file.tell()
    raise ValueError(f"{str(path)!r} does not fit into {most} bytes")
