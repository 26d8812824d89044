"""lca_mini: animatable Gaussian avatars from a few pictures."""

from lca_mini.body import ACTIONS, JOINTS, Body, load_body
from lca_mini.config import PRESETS, Config, preset
from lca_mini.model import LCA, build, load
from lca_mini.render import render
from lca_mini.types import (
    Avatar, Cameras, DrivingSignal, GaussianOffsets, Gaussians, Rendering, Sample,
)  # fmt: skip

__version__ = "0.1.0"

__all__ = [
    "ACTIONS", "Avatar", "Body", "Cameras", "Config", "DrivingSignal", "GaussianOffsets", "Gaussians", "JOINTS", "LCA",
    "PRESETS", "Rendering", "Sample", "build", "load", "load_body", "preset", "render",
]  # fmt: skip
