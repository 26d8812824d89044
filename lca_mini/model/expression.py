"""Expression codes epsilon, from a picture of the face or from the 52 named facial actions.

Enters: face crops, sRGB [0, 1]; or facial actions [0, 1]. Leaves: epsilon in (-1, 1), 128 numbers. Part of the paper:
the facial expression code, learned through the correction branch: the encoder sees the target's face, and the render
teaches it. What differs from the paper, where the code is FACS-inspired and not told further: the encoder reads as many
numbers as there are facial actions, and one matrix, the `ActionMap`, makes epsilon of them, read or given. So sliders and
motion files drive as faces do, a face can be read back, and a code has no room for who it is. Where a sample knows its
actions, they teach the reading too; without, only the render does. Each face is read a second time in a mirror. No action
at all is the zero code.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

LOOKED_AT = 0.6  # of a crop's side: the face, not the hair around it
LOWER = 0.05  # of a crop's side that this lies below its middle
WIDTHS = (1, 2, 4, 6)  # of the stages, in units of the first one's
LOOKS = (4, 2, 2, 1)  # of each stage
FRONT_LOOKS = 3  # of the stage in front of them
SMALLEST = 6  # side of the last stage's maps, about


class Norm(nn.Module):
    """Batch normalisation. (torch's module keeps a count of batches too, which no checkpoint of ours has.)"""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, self.training)


class Stage(nn.Module):
    """Halves the sides, then looks again at the same size, once or more."""

    def __init__(self, before: int, after: int, looks: int) -> None:
        super().__init__()
        self.shrink = nn.Conv2d(before, after, 3, 2, 1)
        self.looks = nn.ModuleList(nn.Conv2d(after, after, 3, padding=1) for _ in range(looks))
        self.norms = nn.ModuleList(Norm(after) for _ in range(1 + looks))
        for norm in self.norms[2:]:
            nn.init.zeros_(norm.weight)  # further looks begin by changing nothing

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d _h _w"]:
        x = F.silu(self.norms[0](self.shrink(x)))
        for look, norm in zip(self.looks, self.norms[1:]):
            x = x + F.silu(norm(look(x)))
        return x


class ExpressionEncoder(nn.Module):
    """A small convolutional network that reads facial actions off a face crop. The statistics of its norms are learned by
    `training.reading` alone; elsewhere it stays in evaluation mode, where it is asked about the face in a mirror as well,
    and answers with the mean of both."""

    def __init__(self, size: int, mirrored: tuple[int, ...], base_channels: int) -> None:
        """`size`: of crops, pixels. `mirrored`: which action each one is in a mirror. `base_channels`: of the first stage of
        the `net`; where crops are so large that its last maps would be too, it sees them at half their size, and beside them
        what a stage in `front` of it makes of them."""
        super().__init__()
        self.register_buffer("mirrored", torch.tensor(mirrored), persistent=False)
        self.size = size
        left = round(size * (1 - LOOKED_AT) / 2)
        top, side = left + round(size * LOWER), size - 2 * left
        self.window = (..., slice(top, top + side), slice(left, left + side))
        halvings = max(1, round(math.log2(side / SMALLEST)))
        stages, large = min(len(WIDTHS), halvings), halvings > len(WIDTHS)
        for _ in range(stages + large):
            side = (side + 1) // 2
        self.front = Stage(3, base_channels, FRONT_LOOKS) if large else None
        widths = [3 + large * base_channels, *(base_channels * times for times in WIDTHS[:stages])]
        self.net = nn.Sequential(
            *(Stage(before, after, looks) for before, after, looks in zip(widths, widths[1:], LOOKS)),
            nn.Conv2d(widths[-1], 2 * base_channels, 1), nn.GroupNorm(1, 2 * base_channels), nn.SiLU(), nn.Flatten(),
            nn.Linear(2 * base_channels * side**2, len(mirrored)),
        )  # fmt: skip
        # whatever differs between faces is noise at first; were it read, learning would begin by silencing the features
        with torch.no_grad():
            self.net[-1].weight.mul_(0.01)
            self.net[-1].bias.fill_(0.1)
        self.eval()

    def forward(self, faces: Float[Tensor, "*batch 3 h w"]) -> Float[Tensor, "*batch A"]:
        """Actions in [0, 1] of square crops of any size; they are resized to the encoder's own."""
        flat = faces.reshape(-1, *faces.shape[-3:])
        if flat.shape[-1] != self.size:
            flat = F.interpolate(flat, (self.size, self.size), mode="bilinear", antialias=True)
        seen = 2 * flat[self.window] - 1
        raw = self.read(seen)
        if not self.training:
            raw = (raw + self.read(seen.flip(-1))[:, self.mirrored]) / 2
        # gradients pass as if there were no bounds: an action read as -0.1 that should be 0.3 must come back
        return (raw + (raw.clamp(0, 1) - raw).detach()).reshape(*faces.shape[:-3], -1)

    def read(self, seen: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b A"]:
        """Actions without bounds, of the middle of crops, [-1, 1]."""
        seen = seen.contiguous(memory_format=torch.channels_last)  # the faster layout
        if self.front is not None:
            front = self.front(seen)
            seen = torch.cat([F.avg_pool2d(seen, 2, ceil_mode=True).to(front.dtype), front], dim=1)
        return self.net(seen).float()


class ActionMap(nn.Module):
    """Facial actions to epsilon: a matrix, softly bounded, so that mixtures of actions are mixtures of codes. (With a hidden
    layer between, a correction branch trained on known displacements was left with twice the error.)"""

    def __init__(self, actions: int, expression_dim: int) -> None:
        super().__init__()
        self.net = nn.Linear(actions, expression_dim, bias=False)
        nn.init.orthogonal_(self.net.weight)

    def forward(self, actions: Float[Tensor, "*batch A"]) -> Float[Tensor, "*batch E"]:
        return torch.tanh(self.net(actions).float())
