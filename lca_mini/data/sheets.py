"""Contact sheets of stored samples.

Enters: a folder of samples. Leaves: pictures. No part of the paper.
"""

from __future__ import annotations

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn import functional as F

from lca_mini.data.folder import SampleFolder
from lca_mini.export import contact_sheet


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
