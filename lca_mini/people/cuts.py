"""Where garments end: lengths and necklines, as scalars over the template.

Enters: points of the template in its T-pose. Leaves: signed scalars, zero at a cut. Not part of the paper. All numbers
are metres on the template, whose arms lie along x.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

SLEEVES = (0.215, 0.30, 0.345, 0.41, 0.53, 0.645)  # |x| where a sleeve ends: sleeveless to the wrist
HEMS = (0.055, 0.015, -0.01, -0.035)  # y where a top ends; the first is tucked in
LEGS = (-0.28, -0.42, -0.68, -0.80)  # y where trousers end
WAISTS = (0.125, 0.09)  # y where trousers begin
SKIRTS = (-0.26, -0.40, -0.52, -0.66)  # y where a skirt ends
SHOES = (-0.822, -0.775, -0.69)  # y where shoes begin: flats, trainers, boots
NECKLINES = ("crew", "v", "scoop", "high")


def necklines(points: Float[Tensor, "v 3"]) -> Float[Tensor, "v 4"]:
    """Signed distance-like scalars in the order of `NECKLINES`: positive where the neck shows."""
    x, y, z = points[:, 0].abs(), points[:, 1], points[:, 2]
    slope = 0.75 * (x - 0.058).clamp(min=0)  # shoulders fall away from the neck, and stay covered
    crew = y - (0.548 - 0.50 * (z - 0.03)) - slope
    front = z - 0.085
    v = torch.maximum(crew, torch.minimum(front, y - 0.425 - 1.15 * x))
    scoop = torch.maximum(y - (0.530 - 0.50 * (z - 0.03)) - 0.6 * slope, torch.minimum(front, y - 0.440 - 8.0 * x * x))
    high = y - (0.600 - 0.34 * (z - 0.03))
    return torch.stack([crew, v, scoop, high], 1)


def along_sleeve(points: Float[Tensor, "v 3"]) -> Float[Tensor, " v"]:
    """How far out on an arm; 0 on the trunk."""
    return torch.where(points[:, 1] > 0.33, points[:, 0].abs(), 0.0)


def front_opening(layer: Int[Tensor, "*batch"], y: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Half the width, metres, by which a layer of `extras.LAYERS` gapes in front, at heights on the template."""
    v = (y - 0.16).clamp(min=0)
    cardigan, jacket, blazer = 0.010 + 0.19 * v, 0.28 * (y - 0.43).clamp(min=0), 0.26 * (y - 0.21).clamp(min=0)
    return torch.where(layer == 1, cardigan, torch.where(layer == 2, jacket, torch.where(layer == 3, blazer, 0 * y)))
