"""Shapes in signatures are checked while tests run, and all tests share two threads."""

from __future__ import annotations

import pytest
import torch
from jaxtyping import install_import_hook

CHECKED = (
    "body.anchors", "body.template", "model.detail", "model.encoders", "model.expression", "model.face_finder",
    "model.light", "model.surface", "model.tokens", "model.transformer", "render.cpu", "render.reference",
    "model.projection", "capture.clips", "capture.film", "capture.motion", "capture.shading", "people", "tracks", "training",
    "driving", "measure", "studio", "experiments",
)  # fmt: skip
"""Modules whose annotations hold at run time. The others are doors, which say themselves what is wrong (and tests hand
them what is wrong on purpose), or are compiled by numba."""

install_import_hook([f"lca_mini.{name}" for name in CHECKED], "shape_checks.check")
torch.set_num_threads(2)


@pytest.fixture(scope="module")
def nano():
    """A nano model with random weights, always the same."""
    from lca_mini import build, load_body, preset

    torch.manual_seed(0)
    return build(preset("nano"), load_body()).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def avatar(nano):
    """What it makes of noise."""
    torch.manual_seed(1)
    return nano.encode(torch.rand(1, 2, 3, 128, 128), torch.rand(1, 2, 3, 64, 64))
