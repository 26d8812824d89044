"""How the Gaussians of face and hands ought to move under facial actions, where the truth is known.

Enters: a model, its canonical Gaussians, true facial actions. Leaves: true displacements of those Gaussians in the canonical
frame. Part of the paper: none; its correction branch learns from pictures alone, of far more faces. Ours learned next to
nothing of faces from them (without its expression, pictures were as good as with it), since most actions move a few pixels
by one; so on synthetic people, whose skin moves with the template's, corrections are shown the way.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lca_mini.body import Body
from lca_mini.body.anchors import action_directions
from lca_mini.model import LCA

HEAD, JAW, EYES, FIRST_FINGER = 15, 22, slice(23, 25), 25
MOVES = 0.001  # metres by which an action at 1 moves an anchor of the face
NEAR = 0.015  # metres from the skin beyond which a Gaussian belongs to something else
AT_ONCE = 8  # people, whose distances to the skin are in memory together


class TrueMotion:
    """Of one model. watched: its anchors on what actions move, then those on fingers, whose corrections should be none,
    since the skeleton moves them; n of the N Gaussians are theirs."""

    def __init__(self, model: LCA) -> None:
        body, anchors = model.body, model.anchors
        face = (action_directions(body, anchors).norm(dim=1).amax(-1) > MOVES).nonzero()[:, 0]
        hands = (anchors.skin_weights[:, FIRST_FINGER:].sum(1) > 0.5).nonzero()[:, 0]
        self.homes = anchors.points.repeat_interleave(model.config.gaussians_per_anchor, dim=0)
        self.face, self.hands = (gaussians_of(ids, model.config.gaussians_per_anchor) for ids in (face, hands))
        self.watched = torch.cat([face, hands])
        skin = head_vertices(body)
        self.skin, self.dirs = body.template[skin], body.exprdirs[skin]

    @torch.no_grad()
    def __call__(
        self, offsets: Float[Tensor, "B N 3"], actions: Float[Tensor, "B T 52"]
    ) -> tuple[Float[Tensor, "B T n 3"], Float[Tensor, "B 1 n 1"]]:
        """Displacements of the watched Gaussians, metres, and which of them are on the skin (1) or off it (0).

        Args:
            offsets: of canonical Gaussians from their anchors, metres.
        """
        return self.moved(*self.nearest(offsets), actions)

    @torch.no_grad()
    def nearest(self, offsets: Float[Tensor, "B N 3"]) -> tuple[Int[Tensor, "B f"], Bool[Tensor, "B f"]]:
        """Which point of the skin each Gaussian of the face is nearest to, and whether it is on it; offsets as above."""
        places = self.homes[self.face] + offsets[:, self.face]
        found = [torch.cdist(part, self.skin[None].expand(len(part), -1, -1)).min(-1) for part in places.split(AT_ONCE)]
        return torch.cat([each.indices for each in found]), torch.cat([each.values for each in found]) < NEAR

    def moved(
        self, nearest: Int[Tensor, "B f"], on_skin: Bool[Tensor, "B f"], actions: Float[Tensor, "B T 52"]
    ) -> tuple[Float[Tensor, "B T n 3"], Float[Tensor, "B 1 n 1"]]:
        """As calling it, of what `nearest` found."""
        moves = [torch.einsum("bnxk,btk->btnx", self.dirs[some], part.to(self.dirs.dtype))
                 for some, part in zip(nearest.split(AT_ONCE), actions.split(AT_ONCE))]  # fmt: skip
        counts = on_skin.float()[:, None, :, None]
        still = counts.new_zeros(*actions.shape[:2], len(self.hands), 3)
        return torch.cat([torch.cat(moves), still], 2), torch.cat([counts, counts.new_ones(len(counts), 1, len(self.hands), 1)], 2)


def gaussians_of(anchors: Int[Tensor, "m"], per_anchor: int) -> Int[Tensor, "n"]:
    """All Gaussians of these anchors."""
    return (anchors[:, None] * per_anchor + torch.arange(per_anchor, device=anchors.device)).flatten()


def head_vertices(body: Body) -> Int[Tensor, "v"]:
    """All that actions move, and every fourth vertex of the rest of the head."""
    moving = body.exprdirs.norm(dim=1).amax(-1) > 1e-5
    head = body.skin_weights[:, HEAD] + body.skin_weights[:, JAW] > 0.5
    fourth = torch.arange(len(head), device=head.device) % 4 == 0
    return (moving | (head & fourth)).nonzero()[:, 0]
