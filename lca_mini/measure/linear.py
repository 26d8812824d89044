"""Linear probes: how much of something can be read off a code by a matrix alone.

Enters: rows of codes and of what they should tell. Leaves: ridge regressions, R2, accuracies. No part of the paper, whose
claims about epsilon (it carries expression, not identity) they test.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from lca_mini.types import Movable

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
LEAST_SPREAD = 0.02  # standard deviation over which a target counts as varying


@dataclass(frozen=True)
class Ridge(Movable):
    """y = (x - x_mean) @ weights + y_mean."""

    weights: Float[Tensor, "d k"]
    x_mean: Float[Tensor, " d"]
    y_mean: Float[Tensor, " k"]

    def __call__(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch k"]:
        return (x - self.x_mean) @ self.weights + self.y_mean


def fit_ridge(x: Float[Tensor, "n d"], y: Float[Tensor, "n k"], strength: float) -> Ridge:
    """Least squares with `strength` times the mean variance of x on the diagonal; solved in float64."""
    x_, y_ = x.double(), y.double()
    x_mean, y_mean = x_.mean(0), y_.mean(0)
    x_, y_ = x_ - x_mean, y_ - y_mean
    gram = x_.T @ x_
    gram = gram + strength * gram.diagonal().mean().clamp(min=1e-12) * torch.eye(len(gram), dtype=gram.dtype, device=x.device)
    weights = torch.linalg.solve(gram, x_.T @ y_)
    return Ridge(weights.to(x.dtype), x_mean.to(x.dtype), y_mean.to(y.dtype))


def fit_ridge_held_out(
    x: Float[Tensor, "P f d"], y: Float[Tensor, "P f k"], strengths: tuple[float, ...] = STRENGTHS
) -> tuple[Ridge, float]:
    """A ridge over all rows, its strength chosen on the last quarter of the people; and that strength."""
    held = max(1, len(x) // 4)
    if len(x) <= held:
        raise ValueError(f"{len(x)} people are too few to choose a strength on some of them; give at least 2")
    errors = []
    for strength in strengths:
        ridge = fit_ridge(x[:-held].flatten(0, 1), y[:-held].flatten(0, 1), strength)
        errors.append(float((ridge(x[-held:]) - y[-held:]).square().mean()))
    best = strengths[errors.index(min(errors))]
    return fit_ridge(x.flatten(0, 1), y.flatten(0, 1), best), best


def r2(guess: Float[Tensor, "n k"], true: Float[Tensor, "n k"]) -> tuple[Float[Tensor, " k"], Tensor]:
    """Explained share of each target's variance about its own mean here, 1 at best; and which targets vary."""
    spread = (true - true.mean(0)).square().sum(0)
    varies = (spread / len(true)).sqrt() > LEAST_SPREAD
    return 1 - (guess - true).square().sum(0) / spread.clamp(min=1e-9), varies


def guess_who(codes: Float[Tensor, "P f d"], strengths: tuple[float, ...] = STRENGTHS) -> float:
    """How often a linear classifier tells from a code which of P people it is, 0 to 1.

    It learns from two thirds of each person's frames and is asked about the others; of several strengths of weight decay
    the most successful counts, which is the strictest.
    Raises: ValueError for fewer than 3 frames a person.
    """
    people, frames = codes.shape[:2]
    if frames < 3 or people < 2:
        raise ValueError(f"{people} people with {frames} frames each cannot be told apart; give 2 and 3 at least")
    shown = frames * 2 // 3
    mean, spread = codes.mean((0, 1)), codes.std((0, 1)).clamp(min=1e-6)
    codes = ((codes - mean) / spread).float()
    who: Int[Tensor, "P f"] = torch.arange(people, device=codes.device)[:, None].expand(people, frames)
    train, test = codes[:, :shown].flatten(0, 1), codes[:, shown:].flatten(0, 1)
    found = []
    for strength in strengths:
        weights = torch.zeros(codes.shape[-1] + 1, people, device=codes.device, requires_grad=True)
        optimiser = torch.optim.LBFGS([weights], max_iter=60, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            optimiser.zero_grad()
            value = F.cross_entropy(train @ weights[:-1] + weights[-1], who[:, :shown].flatten())
            value = value + 0.1 * strength * weights[:-1].square().mean() * codes.shape[-1]
            value.backward()
            return value

        with torch.enable_grad():
            optimiser.step(loss)
        guess = (test @ weights[:-1] + weights[-1]).argmax(-1)
        found.append(float((guess == who[:, shown:].flatten()).float().mean()))
    return max(found)
