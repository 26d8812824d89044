"""Detail: the colours that the reference pictures show where each Gaussian lies.

Enters: pictures, and the map of places that `SurfaceFinder` found in each. Leaves: for each Gaussian the colour seen at
its place, pooled over all pictures; how far it can be trusted; and the same as an addition to geometry tokens. What
differs from the paper: all of it. A patch of 16 pixels shows 14 cm of a whole person, and a token of 384 numbers cannot
hold its pattern; the paper's patches show 3 cm. Nothing here is learned but whom to believe and how much.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from lca_mini.types import CELL

AT_ONCE = 1 << 28  # distances held in memory
NEAR = 0.05  # metres: places farther than this from any that a picture shows are not in it
SPACING = (0.004, 0.06)  # metres between neighbouring cells
HIDDEN = 64


class Detail(nn.Module):
    """Look up, believe, pool."""

    def __init__(self, width: int, per_anchor: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(3 * per_anchor + 4, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, 1))
        self.inform = nn.Linear(3 * per_anchor + 3, width)
        self.gate = nn.Linear(width, per_anchor)
        for layer, bias in ((self.inform, 0.0), (self.gate, -2.0)):
            nn.init.zeros_(layer.weight)
            nn.init.constant_(layer.bias, bias)

    def share(self, fused_tokens: Float[Tensor, "B M D"], trust: Float[Tensor, "B M"]) -> Float[Tensor, "B M G"]:
        """How much of the seen colour each Gaussian takes: as its token says, and no more than is trusted."""
        return torch.sigmoid(self.gate(fused_tokens)) * trust[..., None]

    def forward(
        self,
        pictures: tuple[tuple[Float[Tensor, "B S 3 _h _w"], Float[Tensor, "B S 4 _u _v"]], ...],
        places: Float[Tensor, "M G 3"],
        image_mask: Bool[Tensor, "B S"] | None,
    ) -> tuple[Float[Tensor, "B M G 3"], Float[Tensor, "B M"], Float[Tensor, "B M D"]]:
        """Colours (RGB), trust in [0, 1], additions to tokens.

        Args:
            pictures: body images and face crops, each with its map of places (`known`).
            places: of the Gaussians, on the canonical template, metres; the first axis is their anchors'.
            image_mask: False where a picture is padding.
        """
        seen = [look_up(*kind, places) for kind in pictures]
        colors = torch.cat([colors for colors, _ in seen], dim=1)  # [B R M G 3]
        facts = torch.cat([facts for _, facts in seen], dim=1)  # [B R M 3]
        kind = torch.cat([torch.full_like(facts[..., :1], float(i)) for i, (_, facts) in enumerate(seen)], dim=1)
        distance, spacing, cover = facts.unbind(-1)
        visible = cover.pow(4) * torch.exp(-(distance / NEAR).square())  # outlines show the background too
        scores = self.score(torch.cat([2 * colors.flatten(-2) - 1, facts * facts.new_tensor([20.0, 20.0, 1.0]), kind], -1))
        scores = scores[..., 0] + (visible + 1e-6).log()
        if image_mask is not None:
            scores = scores.masked_fill(~image_mask.repeat(1, len(pictures))[..., None], -torch.inf)
        belief = scores.softmax(dim=1)
        pool = lambda values: (belief[..., None] * values).sum(1)  # noqa: E731
        pooled = pool(colors.flatten(-2))
        about = pool(torch.stack([visible, distance / NEAR, spacing * 20], dim=-1))
        trust = about[..., 0]
        tokens = self.inform(torch.cat([trust[..., None] * (2 * pooled - 1), about], dim=-1))
        return pooled.unflatten(-1, (-1, 3)), trust, tokens


@torch.no_grad()
def look_up(
    images: Float[Tensor, "B S 3 H W"], surface: Float[Tensor, "B S 4 h w"], places: Float[Tensor, "M G 3"]
) -> tuple[Float[Tensor, "B S M G 3"], Float[Tensor, "B S M 3"]]:
    """What each picture shows at places of the canonical template.

    Returns: colours; and of each group of places its distance from the nearest cell, metres, what neighbouring cells
        are apart there, metres, and that cell's coverage.
    """
    flat, maps = images.flatten(0, 1), surface.flatten(0, 1).float()
    rows, columns = maps.shape[-2:]
    nearest, distance = nearest_cells(maps.flatten(2), places.mean(1))
    step = torch.arange(-1, 2, device=maps.device)
    y, x = nearest // columns, nearest % columns
    around_y, around_x = y[..., None] + step.repeat_interleave(3), x[..., None] + step.repeat(3)  # [N M 9]
    inside = (around_y >= 0) & (around_y < rows) & (around_x >= 0) & (around_x < columns)
    index = around_y.clamp(0, rows - 1) * columns + around_x.clamp(0, columns - 1)
    cells = maps.flatten(2).gather(2, index.flatten(1)[:, None].expand(-1, 4, -1)).unflatten(2, index.shape[1:])
    points, cover = cells[:, :3].movedim(1, -1), cells[:, 3] * inside  # [N M 9 3], [N M 9]
    beside = cover[..., 1::2]  # the four that share a side with the nearest cell, which is number 4
    apart = (points[..., 1::2, :] - points[..., 4:5, :]).norm(dim=-1)
    spacing = ((apart * beside).sum(-1) / beside.sum(-1).clamp(min=1e-3)).clamp(*SPACING)
    square = (places[None, :, :, None] - points[:, :, None]).square().sum(-1)  # [N M G 9]
    weight = (-square / (0.5 * spacing.square()[..., None, None]) + (cover[:, :, None] + 1e-6).log()).softmax(dim=-1)
    shift = torch.stack([weight @ step.repeat(3).float(), weight @ step.repeat_interleave(3).float()], dim=-1)
    at = torch.stack([x, y], dim=-1)[:, :, None] + 0.5 + shift  # cells
    size = at.new_tensor([flat.shape[-1] / CELL, flat.shape[-2] / CELL])
    colors = F.grid_sample(flat.float(), 2 * at / size - 1, align_corners=False, padding_mode="border")
    facts = torch.stack([distance, spacing, cover[..., 4]], dim=-1)
    return colors.movedim(1, -1).unflatten(0, images.shape[:2]), facts.unflatten(0, images.shape[:2])


def nearest_cells(
    cells: Float[Tensor, "N 4 K"], points: Float[Tensor, "M 3"]
) -> tuple[Int[Tensor, "N M"], Float[Tensor, "N M"]]:
    """Of each map the covered cell whose place is nearest to each point, and how far it is, metres."""
    found = []
    for some in cells.split(max(1, AT_ONCE // (cells.shape[-1] * len(points)))):
        places, away = some[:, :3], 1 - some[:, 3:]  # what is not covered counts as 1 m away
        least = places.square().sum(1, keepdim=True) + away
        found.append(torch.baddbmm(least, points.expand(len(some), -1, -1), places, alpha=-2).min(dim=-1))
    least, index = (torch.cat([getattr(part, name) for part in found]) for name in ("values", "indices"))
    return index, (least + points.square().sum(-1)).clamp(min=0).sqrt()
