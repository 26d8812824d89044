"""The two heads: canonical Gaussians once per person (eq. 8), corrections of them once per frame (eq. 9).

Enters: `fused_tokens` [B M D], anchors, a driving signal. Leaves: `Gaussians` in the canonical frame and
`GaussianOffsets` to add to them there, before skinning; opacity is never corrected. G Gaussians an anchor, anchor by
anchor: Gaussian n belongs to anchor n // G. What differs from the paper, where it is silent: each anchor's Gaussians
start as flat discs spread over its share of the surface, so that training begins from a closed body, and speak in the
anchor's own frame, whose y axis is the surface normal; every output is softly bounded; the first layer of the
correction branch is split, so that its token half is computed once per person, and the signal scales it before it adds
to it, since how far an action moves a lip is a product of both; a Gaussian's colour begins from the one
that `Detail` saw at its place, as far as its token trusts it.
"""

from __future__ import annotations

import math
from typing import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lca_mini.body.lbs import quaternion_product
from lca_mini.types import DrivingSignal, Gaussians, GaussianOffsets

REACH = 0.3  # metres from the anchor that a canonical Gaussian can move: skirts, long hair
STEP = 0.05  # metres for a raw output of one
LARGEST = 0.1  # metres, of a scale
FLATNESS = 0.4  # of the first discs: scale along the normal over scale along the surface
CORRECTION_REACH = 0.15  # metres
POSE_NUMBERS = 156  # axis-angle of the 52 joints that deform: all but the root and the eyes
GAZE_NUMBERS = 4
OFFSETS: dict[str, tuple[int, int, float, float]] = {
    "means": (0, 3, STEP, CORRECTION_REACH), "quats": (3, 7, 0.2, 0.8), "scales": (7, 10, 0.5, 1.0),
    "colors": (10, 13, 0.5, 1.0),
}  # fmt: skip
"""Of each correction: its first and last raw output of the 13, what one of them is worth, and the soft bound."""


Paint = Callable[[Float[Tensor, "B M G 3"]], tuple[Float[Tensor, "B M G 3"], Float[Tensor, "B M G"]]]


class CanonicalBranch(nn.Module):
    """H_cano: c, p, o, q, s of every Gaussian from its anchor's token (eq. 8)."""

    def __init__(
        self, width: int, gaussians_per_anchor: int, normals: Float[Tensor, "M 3"], spacing: Float[Tensor, "M"]
    ) -> None:
        """`normals`: unit, of the canonical surface; `spacing`: from anchor to neighbouring anchors, metres."""
        super().__init__()
        self.head = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 14 * gaussians_per_anchor))
        with torch.no_grad():
            self.head[-1].weight.mul_(0.1)
            self.head[-1].bias.zero_()
            self.head[-1].bias.view(gaussians_per_anchor, 14)[:, 10] = 2.2  # opacity 0.9
        frames = frames_of_normals(normals)
        cell = spacing / math.sqrt(gaussians_per_anchor)
        disc = 0.75 * torch.stack([cell, FLATNESS * cell, cell], dim=-1).clamp(max=0.8 * LARGEST)
        spread = sunflower(gaussians_per_anchor, spacing.device) * (spacing / math.sqrt(math.pi))[:, None, None]
        self.register_buffer("frames", frames, persistent=False)  # [M 4]
        self.register_buffer("spread", rotate(frames[:, None], spread), persistent=False)  # [M G 3]
        self.register_buffer("first_scales", torch.logit(disc / LARGEST)[:, None], persistent=False)  # [M 1 3]

    def forward(
        self, fused_tokens: Float[Tensor, "B M D"], points: Float[Tensor, "B M 3"], paint: Paint | None = None
    ) -> Gaussians:
        """Canonical Gaussians.

        Args:
            points: the anchors of this person, metres.
            paint: of offsets from the anchors, metres, the colours that the pictures show there, and shares of them to
                take, as `Detail` gives them.
        """
        raw = self.head(fused_tokens).unflatten(-1, (-1, 14))  # [B M G 14]
        logits, frames = raw[..., 0:3], self.frames[:, None]
        offsets = self.spread + rotate(frames, soft_bound(STEP * raw[..., 3:6], REACH))
        if paint is not None:
            colors, share = paint(offsets)
            logits = logits + share[..., None] * torch.logit(colors.clamp(0.02, 0.98))
        turn = torch.cat([1 + raw[..., 6:7], raw[..., 7:10]], dim=-1)
        quats = nn.functional.normalize(quaternion_product(frames, turn), dim=-1)
        return Gaussians(
            means=(points[:, :, None] + offsets).flatten(1, 2),
            quats=quats.flatten(1, 2),
            scales=(LARGEST * torch.sigmoid(self.first_scales + raw[..., 11:14])).flatten(1, 2),
            opacities=torch.sigmoid(raw[..., 10]).flatten(1, 2),
            colors=torch.sigmoid(logits).flatten(1, 2),
        )


class CorrectionBranch(nn.Module):
    """H_pose: dc, dp, dq, ds of every Gaussian from its anchor's token, theta, epsilon and psi (eq. 9)."""

    def __init__(self, width: int, gaussians_per_anchor: int, expression_dim: int, hidden: int, layers: int) -> None:
        """`hidden`, `layers`: H, and how many hidden layers, the split first one included."""
        super().__init__()
        self.token_layer = nn.Linear(width, hidden)
        self.signal_layer = nn.Linear(POSE_NUMBERS + expression_dim + GAZE_NUMBERS, 2 * hidden, bias=False)
        self.rest = nn.Sequential(nn.SiLU())
        for _ in range(layers - 1):
            self.rest.extend([nn.Linear(hidden, hidden), nn.SiLU()])
        self.out = nn.Linear(hidden, 13 * gaussians_per_anchor)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def token_half(self, fused_tokens: Float[Tensor, "B M D"]) -> Float[Tensor, "B M H"]:
        """What the first layer makes of the tokens alone, once per person."""
        return self.token_layer(fused_tokens)

    def forward(self, token_features: Float[Tensor, "*batch M H"], signal: DrivingSignal) -> GaussianOffsets:
        """Corrections [*batch N .]; `token_features` has the leading axes of `signal`, or ones to broadcast."""
        numbers = torch.cat([pose_numbers(signal.pose), signal.expression, signal.gaze], dim=-1)
        gain, shift = self.signal_layer(numbers)[..., None, :].chunk(2, dim=-1)
        hidden = self.rest(token_features * (1 + gain) + shift)
        raw = self.out(hidden).unflatten(-1, (-1, 13)).flatten(-3, -2)
        return GaussianOffsets(**{
            name: soft_bound(unit * raw[..., first:last], bound) for name, (first, last, unit, bound) in OFFSETS.items()
        })


def apply_offsets(canonical: Gaussians, offsets: GaussianOffsets) -> Gaussians:
    """Canonical Gaussians with corrections added, still in the canonical frame; leading axes broadcast."""
    means = canonical.means + offsets.means
    return Gaussians(
        means=means,
        quats=nn.functional.normalize(canonical.quats + offsets.quats, dim=-1),
        scales=canonical.scales * offsets.scales.exp(),
        opacities=canonical.opacities.expand(means.shape[:-1]),
        colors=(canonical.colors + offsets.colors).clamp(0, 1),
    )


def pose_numbers(pose: Float[Tensor, "*batch 55 3"]) -> Float[Tensor, "*batch 156"]:
    """theta: the joints that deform, flat; the root only places the body, and the eyes follow psi."""
    return torch.cat([pose[..., 1:23, :], pose[..., 25:55, :]], dim=-2).flatten(-2)


def sunflower(count: int, device: torch.device) -> Float[Tensor, "G 3"]:
    """`count` points evenly over the unit disc of the plane y = 0, by the golden angle."""
    index = torch.arange(count, device=device, dtype=torch.float32)
    radius, angle = ((index + 0.5) / count).sqrt(), index * math.pi * (3 - math.sqrt(5))
    return torch.stack([radius * angle.cos(), torch.zeros_like(radius), radius * angle.sin()], dim=-1)


def frames_of_normals(normals: Float[Tensor, "M 3"]) -> Float[Tensor, "M 4"]:
    """Quaternions (wxyz) that turn +y to each unit normal the short way; for -y, half a turn about x."""
    x, y, z = normals.unbind(-1)
    frames = nn.functional.normalize(torch.stack([1 + y, z, torch.zeros_like(x), -x], dim=-1), dim=-1)
    half_turn = torch.tensor([0.0, 1.0, 0.0, 0.0], device=normals.device)
    return torch.where((y < -0.9999)[:, None], half_turn, frames)


def rotate(quats: Float[Tensor, "*batch 4"], vectors: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Turn vectors by unit quaternions (wxyz); leading axes broadcast."""
    axis, vectors = torch.broadcast_tensors(quats[..., 1:], vectors)
    twice = 2 * torch.linalg.cross(axis, vectors)
    return vectors + quats[..., :1] * twice + torch.linalg.cross(axis, twice)


def soft_bound(values: Tensor, bound: float) -> Tensor:
    """The values near zero, and never beyond plus or minus `bound`."""
    return bound * torch.tanh(values / bound)
