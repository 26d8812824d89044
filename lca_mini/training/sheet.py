"""Contact sheets of people: what was given, what was wanted, what came out.

Enters: a `Sample` and renders. Leaves: one picture. No part of the paper.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from lca_mini.export import contact_sheet
from lca_mini.types import Sample


def sheet_of(
    sample: Sample, renders: Float[Tensor, "B T 3 H W"], people: int = 6, references: int = 2, targets: int = 3
) -> UInt8[Tensor, "rows columns 3"]:
    """A row for each person: a few references, then each target beside its render."""
    rows = []
    references, targets = min(references, sample.images.shape[1]), min(targets, renders.shape[1])
    for person in range(min(people, len(renders))):
        rows.extend(sample.images[person, :references])
        pairs = torch.stack([sample.targets[person, :targets], renders[person, :targets]], dim=1)
        rows.extend(pairs.flatten(0, 1))
    return contact_sheet([row.permute(1, 2, 0) for row in rows], columns=references + 2 * targets)
