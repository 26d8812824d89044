"""Detail: what the reference pictures show where each anchor and each Gaussian lies.

Enters: pictures, the map of places that `SurfaceFinder` found in each, and how `BodyProjection` sees anchors in them.
Leaves: additions to geometry tokens, the light that was seen, and for each Gaussian the colour seen at its place, less
what the light of the pictures did to it, and how far to trust it. What
differs from the paper: all of it. A patch of 16 pixels shows 14 cm of a whole person, and a token of 384 numbers cannot
hold its pattern; the paper's patches show 3 cm.

It looks twice. Before the transformer each anchor gathers, over all pictures, the colours around it, from which side it
is seen, and whether there is anything at some heights above it: pictures that show background there say that hair and
cloth end below, as a visual hull does. After the canonical branch has placed the Gaussians, each looks up its own colour.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from lca_mini.model.light import LIGHT_TERMS, LightSeen, camera_normals, light_seen, patches_of, shade_factor
from lca_mini.model.projection import Seen, look, seen_at
from lca_mini.types import Movable

NEAR = 0.05  # metres: a picture that shows places farther off shows something in front
HEIGHTS = (-0.01, 0.01, 0.03, 0.06, 0.1, 0.16)  # metres above the skin
ENOUGH = 10.0  # sure cells
HIDDEN = 64

Kind = tuple[Float[Tensor, "B S 3 _h _w"], Float[Tensor, "B S 5 _u _v"], Seen]
"""Body images, or face crops: pictures, what is known of their places, how anchors are seen."""


@dataclass(frozen=True)
class Gathered(Movable):
    """What the first look leaves for the second. scores: of R = 2 S pictures. normals: of the anchors, camera axes."""

    scores: Float[Tensor, "B R M"]
    normals: Float[Tensor, "B R M 3"]
    light: LightSeen


class Detail(nn.Module):
    """Look up, believe, pool."""

    def __init__(self, width: int, per_anchor: int, points: Float[Tensor, "M 3"]) -> None:
        """`points`: of the anchors, canonical template, metres."""
        super().__init__()
        self.register_buffer("patches", patches_of(points), persistent=False)
        self.read = nn.Sequential(nn.Linear(3 * per_anchor + len(HEIGHTS) + 7, HIDDEN), nn.SiLU())
        self.score = nn.Linear(HIDDEN, 1)
        self.inform = nn.Linear(3 * per_anchor + 3 + 2 * len(HEIGHTS) + HIDDEN, width)
        self.lit = nn.utils.skip_init(nn.Linear, 3 * LIGHT_TERMS, width, bias=False)  # zero, below; draws nothing
        self.gate = nn.Linear(width, per_anchor)
        for layer, bias in ((self.score, 0.0), (self.inform, 0.0), (self.gate, -2.0)):
            nn.init.zeros_(layer.weight)
            nn.init.constant_(layer.bias, bias)
        nn.init.zeros_(self.lit.weight)

    def forward(
        self, kinds: tuple[Kind, ...], places: Float[Tensor, "M G 3"], normals: Float[Tensor, "M 3"],
        image_mask: Bool[Tensor, "B S"] | None,
    ) -> tuple[Float[Tensor, "B M D"], Gathered]:  # fmt: skip
        """Additions to tokens, and what `paint` needs.

        Args:
            places: where Gaussians begin, on the canonical template, metres; the first axis is their anchors'.
            normals: of the anchors, unit.
            image_mask: False where a picture is padding.
        """
        colors, facts, distance, cover, weight, turned = joined(
            anchor_facts(*kind, places, normals, float(i)) for i, kind in enumerate(kinds)
        )
        visible = visibility(distance, cover[..., 0], turned[..., 2])
        hidden = self.read(torch.cat([2 * colors - 1, cover, facts], dim=-1))
        scores = self.score(hidden)[..., 0]
        if image_mask is not None:
            padding = ~image_mask.repeat(1, len(kinds))[..., None]
            scores, weight = scores.masked_fill(padding, -torch.inf), weight.masked_fill(padding, 0.0)
        belief = (scores + (visible + 1e-6).log()).softmax(dim=1)
        pool = lambda values: (belief[..., None] * values).sum(1)  # noqa: E731
        trust = pool(visible[..., None])
        share = weight[..., None] / weight.sum(1, keepdim=True).clamp(min=1e-3)[..., None]
        hull = (cover + 1 - weight[..., None]).amin(1).clamp(max=1)
        about = [trust * (2 * pool(colors) - 1), trust, pool(distance[..., None] / NEAR), pool(0.3 / facts[..., 4:5].exp()),
                 (share * cover).sum(1), hull, pool(hidden)]  # fmt: skip
        light = light_seen(colors.unflatten(-1, (-1, 3)).mean(-2), turned, visible * weight, self.patches)
        lit = self.lit(light.believed)[:, None]
        return self.inform(torch.cat(about, dim=-1)) + lit, Gathered(scores, turned, light)

    def paint(
        self, kinds: tuple[Kind, ...], places: Float[Tensor, "B M G 3"], gathered: Gathered,
        fused_tokens: Float[Tensor, "B M D"], light: Float[Tensor, "B 8 3"],
    ) -> tuple[Float[Tensor, "B M G 3"], Float[Tensor, "B M G"]]:  # fmt: skip
        """The colour that the pictures show at each Gaussian's place, RGB, less the light of the pictures, and how much of
        it to take: as its token says, and no more than is visible. Places are held still.

        Args:
            light: of the pictures, camera axes.
        """
        colors, distance, cover = joined(gaussian_facts(*kind, places.detach()) for kind in kinds)
        colors = colors / shade_factor(light[:, None], gathered.normals)[..., None, :]
        visible = visibility(distance, cover, gathered.normals[..., 2, None])
        belief = (gathered.scores[..., None] + (visible + 1e-6).log()).softmax(dim=1)
        trust = (belief * visible).sum(1)
        return (belief[..., None] * colors).sum(1), torch.sigmoid(self.gate(fused_tokens)) * trust


def joined(looks: Iterable[tuple[Tensor, ...]]) -> Iterator[Tensor]:
    """The facts of all kinds of pictures, one kind after another along the axis of pictures."""
    return (torch.cat(parts, dim=1) for parts in zip(*looks))


def visibility(
    distance: Float[Tensor, "*batch"], cover: Float[Tensor, "*batch"], facing: Float[Tensor, "*#batch"]
) -> Float[Tensor, "*batch"]:
    """How likely a place is seen, 0 to 1: the picture shows that place and not another, is covered (outlines show the
    background too), and looks at it from outside."""
    return cover.pow(4) * torch.exp(-(distance / NEAR).square()) * torch.sigmoid(8 * facing + 1)


@torch.no_grad()
def anchor_facts(
    images: Float[Tensor, "B S 3 H W"], maps: Float[Tensor, "B S 5 h w"], seen: Seen, places: Float[Tensor, "M G 3"],
    normals: Float[Tensor, "M 3"], kind: float,
) -> tuple[Tensor, ...]:  # fmt: skip
    """What each picture shows around each anchor.

    Args:
        kind: a number that tells these pictures from others.
    Returns: colours [B S M 3G]; facts [B S M 7]: the place shown there less the anchor's, in units of 5 cm, facing,
        logarithm of the picture's size, evidence, kind; distance of the two places [B S M], metres; coverage at
        `HEIGHTS` [B S M K], 1 beyond the picture; weight of what a picture says [B S M]; normals, camera axes [B S M 3].
    """
    affine, points = seen.affine, places.mean(1)
    colors = sample(images, seen_at(affine[..., None, :, :], places))
    heights = torch.stack([points + height * normals for height in HEIGHTS], dim=1)
    at = seen_at(affine[..., None, :, :], heights)
    cover = torch.where(inside(at), sample(maps[:, :, 3:4], at)[..., 0], 1.0)
    at = seen_at(affine, points)[..., None, :]
    away = sample(maps[:, :, :3], at)[..., 0, :] - points
    distance = torch.where(inside(at)[..., 0], away.norm(dim=-1), 1.0)
    size, turned = look(affine)[1], camera_normals(affine, normals)
    facing = turned[..., 2]  # 1 head on, -1 from behind
    facts = torch.cat([(away / NEAR).clamp(-3, 3), torch.stack(
        [facing, size.clamp(min=1e-3).log(), torch.log1p(seen.evidence) / 3, torch.full_like(facing, kind)], dim=-1)],
        dim=-1)  # fmt: skip
    weight = seen.evidence / (seen.evidence + ENOUGH)
    return colors.flatten(-2), facts, distance, cover, weight, turned


@torch.no_grad()
def gaussian_facts(
    images: Float[Tensor, "B S 3 H W"], maps: Float[Tensor, "B S 5 h w"], seen: Seen, places: Float[Tensor, "B M G 3"]
) -> tuple[Tensor, ...]:
    """Of each picture and Gaussian: colour [B S M G 3], distance of the place shown there, metres, and coverage."""
    at = seen_at(seen.affine[..., None, :, :], places[:, None])
    shown, cover = sample(maps[:, :, :4], at).split((3, 1), dim=-1)
    return sample(images, at), (shown - places[:, None]).norm(dim=-1), cover[..., 0] * inside(at)


def inside(at: Float[Tensor, "*batch 2"]) -> Bool[Tensor, "*batch"]:
    """Whether fractions of a picture's sides lie in it."""
    return ((at > 0) & (at < 1)).all(-1)


def sample(
    pictures: Float[Tensor, "B S c h w"], at: Float[Tensor, "B S M K 2"]
) -> Float[Tensor, "B S M K c"]:
    """Bilinear values at fractions of a picture's sides; beyond its edge, those at the edge."""
    values = F.grid_sample(pictures.flatten(0, 1).float(), 2 * at.flatten(0, 1) - 1, align_corners=False, padding_mode="border")
    return values.movedim(1, -1).unflatten(0, pictures.shape[:2])
