"""A camera that a hand moves: round a point, nearer, aside.

Enters: drags, wheel and keys as numbers. Leaves: `Cameras`, and where on a ray the pointer looks. No part of the paper.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from lca_mini.driving import cameras_round
from lca_mini.types import Cameras

FIELD = math.radians(30)
NEAR, FAR = 0.25, 12.0  # metres
STEEPEST = math.radians(85)


@dataclass(frozen=True)
class Orbit:
    """Looks at `target` (world frame, metres) from `distance` metres; azimuth 0 is in front of who faces +z; radians."""

    target: tuple[float, float, float]
    distance: float
    azimuth: float = 0.0
    elevation: float = 0.08

    def moved(
        self, turn: tuple[float, float] = (0.0, 0.0), pan: tuple[float, float] = (0.0, 0.0), zoom: float = 0.0
    ) -> Orbit:
        """Another orbit.

        Args:
            turn: radians; positive moves the picture to the right and down, as a drag does.
            pan: parts of the picture's side, to the right and down.
            zoom: natural logarithm of how much nearer.
        Raises: ValueError for what is not finite.
        """
        if not all(map(math.isfinite, (*turn, *pan, zoom))):
            raise ValueError(f"a camera cannot be moved by {turn}, {pan}, {zoom}; all must be finite numbers")
        wide = 2 * self.distance * math.tan(FIELD / 2)
        right, up, _ = self.axes()
        target = torch.tensor(self.target, dtype=torch.float64) - wide * pan[0] * right + wide * pan[1] * up
        return replace(
            self,
            target=tuple(target.clamp(-5, 5).tolist()),
            distance=min(max(self.distance * math.exp(-min(max(zoom, -9), 9)), NEAR), FAR),
            azimuth=math.remainder(self.azimuth - turn[0], 2 * math.pi),
            elevation=min(max(self.elevation + turn[1], -STEEPEST), STEEPEST),
        )

    def axes(self) -> Float[Tensor, "3 3"]:
        """Right and up in the picture, and from the target to the camera; unit vectors, world frame, float64."""
        a, e = self.azimuth, self.elevation
        right = (math.cos(a), 0.0, -math.sin(a))
        up = (-math.sin(a) * math.sin(e), math.cos(e), -math.cos(a) * math.sin(e))
        back = (math.sin(a) * math.cos(e), math.sin(e), math.cos(a) * math.cos(e))
        return torch.tensor([right, up, back], dtype=torch.float64)

    def cameras(self, size: int, device: torch.device | str) -> Cameras:
        """The one camera [1 1] of square pictures."""
        back = self.distance * self.axes()[2]
        target = torch.tensor([self.target], dtype=torch.float64)
        cameras = cameras_round(target, back[None], FIELD, size)
        return cameras.map(lambda t: t.float().to(device))

    def pointed_at(self, x: float, y: float, before: Float[Tensor, "3"], by: float) -> Float[Tensor, "3"]:
        """The point under the pointer that is `by` metres nearer to the camera than `before`.

        Args:
            x, y: -1 to 1, rightwards and upwards, 0 in the middle of the picture.
            before: world frame, metres, float64.
        """
        right, up, back = self.axes()
        eye = torch.tensor(self.target, dtype=torch.float64) + self.distance * back
        depth = max(float((eye - before) @ back) - by, 0.1)
        slope = math.tan(FIELD / 2)
        return eye + depth * (slope * x * right + slope * y * up - back)
