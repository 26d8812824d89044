"""The encoder: L layers in which image tokens and geometry tokens learn of each other.

Enters: `image_tokens` [B S P D], `geometry_tokens` [b M D], b being B or 1. Leaves: `fused_tokens` [B M D]. Part of the paper: each
layer is image attention (self-attention inside each image), geometry attention (self-attention over the anchors) and
multi-modal attention. A body image and its face crop are two images to image attention, though they share an axis here.
What differs from the paper: notes on its multi-modal attention disagree, so it is a choice: "joint" self-attention over
the concatenation of both streams with one set of weights, or "cross", where geometry asks and images answer. Queries
and keys are normalised, and under autocast the tokens between the blocks are bfloat16 too. Work that cannot reach the result is not done: the first geometry
attention runs once for all people, and the last joint attention asks for the geometry tokens alone.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

FUSIONS = ("joint", "cross")


class Attention(nn.Module):
    """Multi-head attention; queries and keys are normalised over all heads at once."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.query_norm, self.key_norm = nn.RMSNorm(width, eps=1e-5), nn.RMSNorm(width, eps=1e-5)

    def forward(
        self,
        tokens: Float[Tensor, "B n D"],
        context: Float[Tensor, "B k D"],
        key_mask: Bool[Tensor, "B 1 1 k"] | None = None,
        segments: tuple[int, ...] | None = None,
    ) -> Float[Tensor, "B n D"]:
        """Tokens ask, the context answers.

        Args:
            key_mask: False for keys that nobody may see; None, the fast path, where all are seen.
            segments: lengths of runs of tokens that see only themselves (self-attention, without mask); None for one.
        """
        query, key = normed_alike(self.query_norm, self.query(tokens)), normed_alike(self.key_norm, self.key(context))
        query, key, value = (
            t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (query, key, self.value(context))
        )
        if segments is None:
            mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=key_mask)
        else:
            runs = zip(query.split(segments, 2), key.split(segments, 2), value.split(segments, 2))
            mixed = torch.cat([F.scaled_dot_product_attention(q, k, v) for q, k, v in runs], dim=2)
        return self.out(mixed.transpose(1, 2).flatten(2))


def normed_alike(norm: nn.RMSNorm | nn.LayerNorm, tokens: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
    """A norm in the dtype of what it is given; autocast would go to float32 and back, at twice the cost of the rest."""
    with torch.autocast(tokens.device.type, enabled=False):
        weight = norm.weight.to(tokens.dtype)
        if isinstance(norm, nn.RMSNorm):
            return F.rms_norm(tokens, norm.normalized_shape, weight, norm.eps)
        return F.layer_norm(tokens, norm.normalized_shape, weight, None, norm.eps)


def in_stream(tokens: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
    """Tokens as they travel between blocks: in autocast's dtype where it is on."""
    kind = tokens.device.type
    return tokens.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else tokens


class Block(nn.Module):
    """Pre-norm attention, then a pre-norm MLP, each added to its input."""

    def __init__(self, width: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, bias=False)
        self.attention = Attention(width, heads)
        self.mlp_norm = nn.LayerNorm(width, bias=False)
        hidden = int(width * mlp_ratio)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(
        self,
        tokens: Float[Tensor, "B n D"],
        context: Float[Tensor, "B k D"] | None = None,
        key_mask: Bool[Tensor, "B 1 1 k"] | None = None,
        segments: tuple[int, ...] | None = None,
    ) -> Float[Tensor, "B n D"]:
        """Arguments as in `Attention`; without a context the tokens see themselves."""
        normed = normed_alike(self.norm, tokens)
        seen = normed if context is None else normed_alike(self.norm, context)
        tokens = tokens + self.attention(normed, seen, key_mask, segments)
        return tokens + self.mlp(normed_alike(self.mlp_norm, tokens))


class Layer(nn.Module):
    """Image attention, geometry attention, multi-modal attention."""

    def __init__(self, width: int, heads: int, mlp_ratio: float, fusion: str) -> None:
        super().__init__()
        self.fusion = fusion
        self.image = Block(width, heads, mlp_ratio)
        self.geometry = Block(width, heads, mlp_ratio)
        self.fuse = Block(width, heads, mlp_ratio)

    def forward(
        self,
        image_tokens: Float[Tensor, "B S P D"],
        geometry_tokens: Float[Tensor, "b M D"],
        segments: tuple[int, ...],
        key_mask: Bool[Tensor, "B 1 1 k"] | None,
        last: bool,
    ) -> tuple[Float[Tensor, "B S P D"], Float[Tensor, "B M D"]]:
        """One layer; b is B, or 1 while the geometry tokens are still the same for everybody.

        In the `last` layer the image tokens are returned as they were before multi-modal attention.
        """
        people, pictures = image_tokens.shape[:2]
        image_tokens = self.image(image_tokens.flatten(0, 1), segments=segments).unflatten(0, (people, pictures))
        geometry_tokens = self.geometry(geometry_tokens).expand(people, -1, -1)
        seen = image_tokens.flatten(1, 2)
        if self.fusion == "cross":
            return image_tokens, self.fuse(geometry_tokens, seen, key_mask)
        joint = torch.cat([seen, geometry_tokens], dim=1)
        if last:
            return image_tokens, self.fuse(geometry_tokens, joint, key_mask)
        seen, geometry_tokens = self.fuse(joint, key_mask=key_mask).split((seen.shape[1], geometry_tokens.shape[1]), 1)
        return seen.unflatten(1, (pictures, -1)), geometry_tokens


class Transformer(nn.Module):
    """L layers and a last norm. `checkpointing` recomputes each layer in the backward pass, to save memory."""

    def __init__(self, layers: int, width: int, heads: int, mlp_ratio: float, fusion: str) -> None:
        super().__init__()
        if fusion not in FUSIONS:
            raise ValueError(f"no multi-modal attention {fusion!r}; choose one of {', '.join(FUSIONS)}")
        if width % heads:
            raise ValueError(f"a width of {width} does not divide into {heads} heads")
        self.fusion = fusion
        self.checkpointing = False
        self.layers = nn.ModuleList(Layer(width, heads, mlp_ratio, fusion) for _ in range(layers))
        self.norm = nn.LayerNorm(width, bias=False)
        with torch.no_grad():
            for block in (m for m in self.modules() if isinstance(m, Block)):
                block.attention.out.weight.mul_((3 * layers) ** -0.5)
                block.mlp[-1].weight.mul_((3 * layers) ** -0.5)

    def forward(
        self,
        image_tokens: Float[Tensor, "B S P D"],
        geometry_tokens: Float[Tensor, "b M D"],
        segments: tuple[int, ...],
        image_mask: Bool[Tensor, "B S"] | None = None,
    ) -> Float[Tensor, "B M D"]:
        """Fuse the two streams.

        Args:
            segments: how many of the P patches belong to the body image, and how many to the face crop.
            image_mask: False where a picture is padding. None, not a mask of all True, keeps attention fast.
        """
        image_tokens, geometry_tokens = in_stream(image_tokens), in_stream(geometry_tokens)
        key_mask = None
        if image_mask is not None:
            key_mask = image_mask.repeat_interleave(image_tokens.shape[2], dim=1)
            if self.fusion == "joint":
                key_mask = F.pad(key_mask, (0, geometry_tokens.shape[1]), value=True)
            key_mask = key_mask[:, None, None]
        for index, layer in enumerate(self.layers):
            last = index == len(self.layers) - 1
            if self.checkpointing and torch.is_grad_enabled():
                image_tokens, geometry_tokens = checkpoint(
                    layer, image_tokens, geometry_tokens, segments, key_mask, last, use_reentrant=False
                )
            else:
                image_tokens, geometry_tokens = layer(image_tokens, geometry_tokens, segments, key_mask, last)
        return self.norm(geometry_tokens.float())
