"""Avatars fitted to pictures with exact cameras and poses, for `diagnose`, `ceiling` and `face_ceiling`."""

from __future__ import annotations

from dataclasses import replace
from typing import Callable

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from lca_mini.experiments.optimised import LAST_RATE, RATES
from lca_mini.training.losses import error_loss
from lca_mini.types import Avatar

FITTING_RATES = RATES | {"light": 1e-2}
Raw = dict[str, Tensor]


def raw_of(avatar: Avatar) -> Raw:
    """What may be fitted, without bounds: all that is canonical, and the light."""
    c = avatar.canonical
    raw = {"means": c.means, "quats": c.quats, "scales": c.scales.log(), "light": avatar.light,
           "opacities": c.opacities.logit(1e-3), "colors": c.colors.logit(1e-3)}  # fmt: skip
    return {name: value.detach().clone() for name, value in raw.items()}


def avatar_of(avatar: Avatar, raw: Raw) -> Avatar:
    """The inverse of `raw_of`."""
    gaussians = replace(avatar.canonical, means=raw["means"], quats=F.normalize(raw["quats"], dim=-1), scales=raw["scales"].exp(),
                        opacities=raw["opacities"].sigmoid(), colors=raw["colors"].sigmoid())  # fmt: skip
    return replace(avatar, canonical=gaussians, light=raw["light"])


def fit(raw: Raw, rates: dict[str, float], steps: int, shown: Callable[[], tuple[Tensor, Tensor, Tensor]]) -> None:
    """Steps of Adam, in place, of what has a rate.

    Args:
        shown: of each step the renders, their targets and masks [b . H W].
    """
    groups = [{"params": [raw[name].requires_grad_()], "lr": rate} for name, rate in rates.items()]
    optimizer = torch.optim.Adam(groups, eps=1e-15)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, LAST_RATE ** (1 / steps))
    for _ in tqdm(range(steps), leave=False, desc="fit"):
        pictures, targets, masks = shown()
        loss = error_loss(pictures, targets, masks) + 0.5 * error_loss(pictures, targets, torch.ones_like(masks))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
