"""AdamW as this project uses it: a rate for each depth, one schedule for steps and minutes, averaged weights.

Enters: a model and settings' numbers. Leaves: an optimiser, a factor for its rates, an average of its weights. Part of
the paper: layer-wise learning-rate decay, gamma = 0.65, in post-training. What differs from the paper: it does not say
what counts as a layer; ours are the tokens, each transformer layer, and the heads (`LCA.parameter_depths`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lca_mini.model import LCA

BETAS = (0.9, 0.95)


def make_optimizer(model: LCA, lr: float, gamma: float, weight_decay: float) -> torch.optim.AdamW:
    """One group a depth and kind: the heads learn at `lr`, a layer at gamma times the rate of the next one.

    Vectors (norms, biases) do not decay. Each group keeps its full rate as "base_lr". With gamma = 0 only heads learn.
    """
    depths = model.parameter_depths()
    last = max(depths.values())
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((depths[name], parameter.dim() > 1), []).append(parameter)
    settings = []
    for (depth, matrix), parameters in sorted(groups.items(), key=lambda item: item[0]):
        rate = lr * gamma ** (last - depth)
        settings.append({"params": parameters, "lr": rate, "base_lr": rate, "weight_decay": weight_decay * matrix})
    return torch.optim.AdamW(settings, betas=BETAS, fused=True)


def rate_factor(progress: float, warmup: float, schedule: str) -> float:
    """What to multiply every rate with: a linear warm-up, then constant or half a cosine down to zero.

    Args:
        progress: of the run, 0 to 1. warmup: fraction of the run.
    """
    if progress < warmup:
        return max(progress / warmup, 1e-3)
    if schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - warmup) / max(1 - warmup, 1e-9))))


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Put every group at `factor` times its full rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


class Average:
    """Exponential moving average of the trainable weights, float32."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        """`decay`: per step, reached gradually: min(decay, (1 + step) / (10 + step))."""
        self.decay = decay
        self.live = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.weights = {name: p.detach().clone() for name, p in self.live.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after step number `step`, from zero."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.weights.values()), list(self.live.values()), 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange average and live weights; call it twice to be where you were."""
        for name, live in self.live.items():
            kept = live.detach().clone()
            live.copy_(self.weights[name])
            self.weights[name].copy_(kept)


def skip_where(optimizer: torch.optim.Optimizer, bad: Tensor) -> None:
    """Let the next fused step leave everything untouched where `bad`, a boolean on the device, is True.

    The flag is the one that gradient scalers set; nobody waits for the device.
    """
    optimizer.found_inf = bad.float().reshape(())  # type: ignore[attr-defined]
