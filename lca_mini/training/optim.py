"""Optimisation as this project does it: Muon for the blocks' matrices, AdamW for the rest, a rate for each depth, one
schedule for steps and minutes, averaged weights.

Enters: a model and settings' numbers. Leaves: an optimiser, a factor for its rates, an average of its weights. Part of
the paper: layer-wise learning-rate decay, gamma = 0.65, in post-training. What differs from the paper: it does not say
what counts as a layer; ours are the tokens, each transformer layer, and the heads (`LCA.parameter_depths`). Nor does it
name its optimiser; torch's own Muon cannot leave a step out without asking the device, and takes one matrix at a time.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lca_mini.model import LCA
from lca_mini.model.transformer import Block
from lca_mini.training.shard import each_whole, local

BETAS = (0.9, 0.95)


NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # of the quintic that drives all singular values towards 1
MOMENTUM = 0.95


class MuonAdamW(torch.optim.AdamW):
    """AdamW, except that groups with "muon" set take Muon's step: momentum, orthogonalised (Jordan et al., 2024), and as
    long as AdamW's usual one (0.2 a number, Moonlight, arXiv 2502.16982), so that both kinds share one rate."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step of both kinds; gradients must be there."""
        groups, bad = self.param_groups, getattr(self, "found_inf", None)
        good = torch.ones((), device=groups[0]["params"][0].device) if bad is None else 1 - bad
        for group in groups:
            if group["muon"]:
                self.muon_step(group, good)
        self.param_groups = [group for group in groups if not group["muon"]]
        try:
            super().step()
        finally:
            self.param_groups = groups

    def muon_step(self, group: dict[str, Any], good: Float[Tensor, ""]) -> None:
        """Step one group's matrices; where `good` is 0, nothing changes. The kernels of a convolution are one matrix, a row
        for each output. Those with as many rows go together, with zeros beside the narrower ones."""
        alike: dict[int, list[nn.Parameter]] = {}  # by whole rows; what follows is of this process's
        for parameter in group["params"]:
            if parameter.grad is not None:
                alike.setdefault(len(parameter), []).append(parameter)
        for rows, parameters in alike.items():
            for parameter in parameters:
                if not self.state[parameter]:
                    self.state[parameter]["step"] = torch.zeros((), device=parameter.device)
                    self.state[parameter]["exp_avg"] = torch.zeros_like(parameter)
                self.state[parameter]["step"] += good
            momenta = [local(self.state[parameter]["exp_avg"]) for parameter in parameters]
            grads = side_by_side([local(parameter.grad) for parameter in parameters])  # type: ignore[arg-type]
            grads = torch.where(good > 0, grads, 0.0)
            before = side_by_side(momenta)
            after = before.lerp(grads, 1 - MOMENTUM)
            turn = good * group["lr"] * each_whole(orthogonalise, grads.lerp(after, MOMENTUM), parameters[0])
            torch._foreach_copy_(momenta, apart(before + good * (after - before), momenta))
            turns = apart(turn, momenta)
            torch._foreach_mul_(turns, [0.2 * max(rows, part[0].numel()) ** 0.5 for part in turns])
            weights = [local(parameter) for parameter in parameters]
            torch._foreach_mul_(weights, 1 - good * group["lr"] * group["weight_decay"])
            torch._foreach_sub_(weights, turns)


def side_by_side(tensors: list[Tensor]) -> Float[Tensor, "K m n"]:
    """Each as a matrix, zeros to the right of all but the widest."""
    return nn.utils.rnn.pad_sequence([tensor.flatten(1).mT for tensor in tensors], batch_first=True).mT


def apart(matrices: Float[Tensor, "K m n"], like: list[Tensor]) -> list[Tensor]:
    """What `side_by_side` put together, in these shapes."""
    return [matrix[:, : one[0].numel()].reshape(one.shape) for matrix, one in zip(matrices, like)]


def orthogonalise(matrices: Float[Tensor, "K m n"], steps: int = 5) -> Float[Tensor, "K m n"]:
    """U V^T of each matrix U S V^T, nearly: singular values end between about 0.7 and 1.2 (Newton-Schulz, bfloat16)."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = (matrices.mT if tall else matrices).bfloat16()
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    a, b, c = NEWTON_SCHULZ
    for _ in range(steps):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype)


def make_optimizer(model: LCA, lr: float, gamma: float, weight_decay: float, muon: float) -> MuonAdamW:
    """One group a depth and kind: the heads learn at `lr`, a layer at gamma times the rate of the next one.

    Vectors (norms, biases) do not decay. Each group keeps its full rate as "base_lr". With gamma = 0 only heads learn;
    the rest is told that it needs no gradients.

    Args:
        muon: rate of Muon's matrices, those of attention and MLP blocks, over that of AdamW; 0 for AdamW alone.
    """
    depths = model.parameter_depths()
    last = max(depths.values())
    in_blocks = {id(p) for m in model.modules() if isinstance(m, Block) for p in m.parameters() if p.dim() == 2}
    groups: dict[tuple[int, bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not gamma and depths[name] < last:
            parameter.requires_grad_(False)
        if parameter.requires_grad:
            kind = (depths[name], parameter.dim() > 1, muon > 0 and id(parameter) in in_blocks)
            groups.setdefault(kind, []).append(parameter)
    settings = []
    for (depth, matrix, by_muon), parameters in sorted(groups.items(), key=lambda item: item[0]):
        rate = lr * gamma ** (last - depth) * (muon if by_muon else 1.0)
        settings.append({"params": parameters, "lr": rate, "base_lr": rate, "weight_decay": weight_decay * matrix,
                         "muon": by_muon})
    return MuonAdamW(settings, betas=BETAS, fused=True)


def share_done(*limits: tuple[float, float]) -> float:
    """How much of a job is done, 0 to 1: of each limit, what is used up of how much; whichever is further on. A limit of
    zero is none."""
    return max(used / most if most else 0.0 for used, most in limits)


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
    """Exponential moving average of the trainable weights, float32, in parts where these are."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        """`decay`: per step, reached gradually: min(decay, (1 + step) / (10 + step))."""
        self.decay = decay
        self.live = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.weights = {name: p.detach().clone() for name, p in self.live.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after step number `step`, from zero."""
        decay = min(self.decay, (1 + step) / (10 + step))
        averages, live = ([local(t) for t in tensors.values()] for tensors in (self.weights, self.live))
        torch._foreach_lerp_(averages, live, 1 - decay)


def skip_where(optimizer: torch.optim.Optimizer, bad: Tensor) -> None:
    """Let the next fused step leave everything untouched where `bad`, a boolean on the device, is True.

    The flag is the one that gradient scalers set; nobody waits for the device.
    """
    optimizer.found_inf = bad.float().reshape(())  # type: ignore[attr-defined]
