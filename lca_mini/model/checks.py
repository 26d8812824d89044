"""What a caller may hand to the model, and the one sentence that says what was wrong with it.

Enters: images, masks, driving signals. Leaves: nothing, or a ValueError. No part of the paper.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lca_mini.config import MOST_IMAGES, Config
from lca_mini.types import DrivingSignal


def check_images(config: Config, images: Tensor, face_images: Tensor, image_mask: Tensor | None) -> None:
    """Raises: ValueError, one sentence, for what `encode` cannot take."""
    for what, tensor, side in (("images", images, config.image_size),
                               ("face_images", face_images, config.face_size)):
        if tensor.dim() != 5 or tensor.shape[2:] != (3, side, side):
            raise ValueError(f"{what} has shape {list(tensor.shape)}; preset {config.preset} reads "
                             f"[B S 3 {side} {side}]")
        if not 1 <= tensor.shape[1] <= MOST_IMAGES:
            raise ValueError(f"{tensor.shape[1]} {what} were given; an avatar is made from 1 to {MOST_IMAGES}")
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{what} holds values that are not finite; pixels must lie in [0, 1]")
    if images.shape[:2] != face_images.shape[:2]:
        raise ValueError(f"{list(images.shape[:2])} images and {list(face_images.shape[:2])} face_images (B S) "
                         "were given; every image needs its own face crop")
    if image_mask is not None:
        if image_mask.shape != images.shape[:2] or image_mask.dtype != torch.bool:
            raise ValueError(f"image_mask must be boolean of shape {list(images.shape[:2])}")
        if not image_mask.any(dim=1).all():
            raise ValueError("image_mask leaves a person without any image; keep at least one")


def check_signal(signal: DrivingSignal) -> None:
    """Raises: ValueError, naming the part, where a driving signal holds numbers that are not finite."""
    for part in ("pose", "transl", "expression", "gaze"):
        if not torch.isfinite(getattr(signal, part)).all():
            raise ValueError(f"the driving signal's {part} holds values that are not finite (NaN or infinity)")
