"""Shapes in signatures are checked while tests run, and all tests share two threads."""

from __future__ import annotations

import torch
from jaxtyping import install_import_hook

CHECKED = (
    "body.anchors", "body.template", "model.encoders", "model.expression", "model.face_finder", "model.detail", "model.light", "model.surface",
    "model.tokens", "model.transformer", "render.cpu", "render.reference", "capture.clips", "capture.film", "capture.motion",
    "capture.shading", "people", "training", "driving", "studio",
)  # fmt: skip
"""Modules whose annotations hold at run time. The others are doors, which say themselves what is wrong (and tests hand
them what is wrong on purpose), or are compiled by numba."""

install_import_hook([f"lca_mini.{name}" for name in CHECKED], "shape_checks.check")
torch.set_num_threads(2)
