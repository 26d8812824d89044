"""Which reference pictures an avatar is made from, where not all are shown.

Enters: a `Sample`. Leaves: the same people with fewer pictures, or without face crops. Part of the paper: its tables for
8 images and for 1.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Int
from torch import Tensor

from lca_mini.types import Sample

FACE_CELLS = (0.58, 0.1)  # metres of the canonical template: a face lies higher and farther forward


def chosen_images(sample: Sample, images: int) -> Int[Tensor, "B images"]:
    """Which references to show where fewer are asked for: those that show most of the face, in their own order; the
    first ones where it is not known what they show."""
    people, count = sample.images.shape[:2]
    if images >= count or sample.surface is None:
        return torch.arange(min(images, count), device=sample.images.device).expand(people, -1)
    y, z, cover = sample.surface[:, :, 1], sample.surface[:, :, 2], sample.surface[:, :, 3]
    face = (cover * ((y > FACE_CELLS[0]) & (z > FACE_CELLS[1]))).sum((2, 3))
    return face.argsort(dim=1, descending=True, stable=True)[:, :images].sort(dim=1).values


def fewer_images(sample: Sample, images: int) -> Sample:
    """The same people with that many references each, as `chosen_images` chooses them."""
    if images >= sample.images.shape[1]:
        return sample
    index = chosen_images(sample, images)
    rows = torch.arange(len(index), device=index.device)[:, None]
    names = ("images", "face_images", "image_mask", "face_boxes", "surface", "face_surface")
    values = {name: getattr(sample, name) for name in names}
    return replace(sample, **{name: value[rows, index] for name, value in values.items() if value is not None})


def without_faces(sample: Sample) -> Sample:
    """The same people, their face crops white."""
    return replace(sample, face_images=torch.ones_like(sample.face_images))
