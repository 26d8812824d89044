"""Sizes and switches, in one frozen dataclass, and the three presets.

Enters: a preset's name. Leaves: a `Config`. Modules never take a whole `Config`: `lca_mini.model.lca` hands each the
numbers it needs. What differs from the paper: `nano` and `mini` are smaller; `paper` has the paper's L, D, M and G.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

MOST_IMAGES = 16  # reference pictures of a person


@dataclass(frozen=True)
class Config:
    """Everything that fixes the shape of a model's weights."""

    preset: str = "mini"
    image_size: int = 256  # side of a body image, pixels
    face_size: int = 128  # side of a face crop, pixels
    expression_size: int = 320  # side of the crops that expressions are read off; smaller ones are enlarged
    image_encoder: str = "patch"  # "patch", "timm:<name>" or "sapiens:<TorchScript file>"
    patch_size: int = 16  # pixels, of the "patch" encoder
    finder_channels: int = 48  # of the net that finds correspondences; 0 leaves it out, and what builds on it
    finder_blocks: int = 1  # of attention before the transformer, where patches are told their places
    width: int = 384  # D
    layers: int = 4  # L
    heads: int = 6
    mlp_ratio: float = 2.0
    fusion: str = "joint"  # multi-modal attention: "joint" self-attention, or "cross"
    anchors: int = 2048  # M, geometry tokens
    gaussians_per_anchor: int = 8  # G
    frequencies: int = 10  # of the positional encoding of anchors (eq. 3)
    correction_hidden: int = 128  # H
    correction_layers: int = 3
    num_betas: int = 64
    expression_dim: int = 128
    dual_branch: bool = True  # False: no correction branch (table S1)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and safetensors metadata."""
        return asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> "Config":
        """The inverse of `to_dict`; unknown names are an error that lists them."""
        unknown = set(values) - {f.name for f in fields(Config)}
        if unknown:
            raise ValueError(f"unknown config fields {sorted(unknown)}; this checkpoint is from another version")
        return Config(**values)


PRESETS: dict[str, Config] = {
    "nano": Config(
        preset="nano", image_size=128, face_size=64, expression_size=64, width=96, layers=2, heads=4, anchors=512,
        gaussians_per_anchor=4, correction_hidden=64, frequencies=6, finder_channels=16,
    ),
    "mini": Config(),
    "paper": Config(
        preset="paper", image_size=512, face_size=512, width=1024, layers=8, heads=16, mlp_ratio=4.0, anchors=8192,
        correction_hidden=256,
    ),
}


def check_ranges(settings: object, ranges: dict[str, tuple[float, float]]) -> None:
    """Raises: ValueError, naming the first, where a field lies outside its (lowest, highest)."""
    for name, (low, high) in ranges.items():
        if not low <= getattr(settings, name) <= high:
            raise ValueError(f"{name} is {getattr(settings, name)}; it must lie between {low} and {high}")


def preset(name: str) -> Config:
    """A preset by name.

    Raises: ValueError, listing the presets, for another name.
    """
    if name not in PRESETS:
        raise ValueError(f"no preset {name!r}; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
