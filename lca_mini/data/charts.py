"""Histograms of whom a population holds.

Enters: one array of numbers an axis, and names for those that are categories. Leaves: a picture, and the counts. No part
of the paper. The only module that imports matplotlib.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

BINS = 24
COLUMNS = 5


def counts(axes: Mapping[str, Tensor], names: Mapping[str, Sequence[str]] = {}) -> dict[str, dict]:
    """For JSON: of each axis its categories and how many have each, or bin edges and counts, mean and spread.

    Args:
        axes: [people] each; integers where `names` says what the values mean.
    Raises: ValueError where an axis is not finite, or a category has no name.
    """
    found = {}
    for axis, values in axes.items():
        values = torch.as_tensor(values).double().cpu()
        if not torch.isfinite(values).all():
            raise ValueError(f"axis {axis!r} holds values that are not finite")
        if axis in names:
            if values.numel() and not 0 <= values.min() <= values.max() < len(names[axis]):
                raise ValueError(f"axis {axis!r} holds categories without a name")
            number = torch.bincount(values.long(), minlength=len(names[axis]))
            found[axis] = {"categories": list(names[axis]), "counts": number.tolist()}
        else:
            number, edges = np.histogram(values.numpy(), bins=BINS)
            found[axis] = {"edges": [round(float(e), 5) for e in edges], "counts": number.tolist(),
                           "mean": round(float(values.mean()), 5), "std": round(float(values.std()), 5)}
    return found


def chart(tables: Mapping[str, dict]) -> UInt8[Tensor, "H W 3"]:
    """What `counts` found, an axis a panel.

    Raises: ValueError where matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ValueError("histograms need matplotlib: pip install 'lca-mini[notebooks]'") from None
    rows = -(-len(tables) // COLUMNS)
    figure = Figure(figsize=(3 * COLUMNS, 1.9 * rows), dpi=80, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    for i, (axis, table) in enumerate(tables.items()):
        panel = figure.add_subplot(rows, COLUMNS, i + 1)
        panel.set_title(axis.replace("_", " "), fontsize=9)
        panel.tick_params(labelsize=7)
        panel.set_yticks([])
        for side in ("top", "right", "left"):
            panel.spines[side].set_visible(False)
        if "categories" in table:
            at = np.arange(len(table["counts"]))
            panel.bar(at, table["counts"], color="#4c78a8")
            panel.set_xticks(at, table["categories"], rotation=40, ha="right", fontsize=6)
        else:
            edges = np.array(table["edges"])
            panel.bar(edges[:-1], table["counts"], np.diff(edges), align="edge", color="#4c78a8")
    canvas.draw()
    return torch.from_numpy(np.asarray(canvas.buffer_rgba())[..., :3].copy())
