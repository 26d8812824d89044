"""What geometry tokens know, and where they look, before and after post-training.

Enters: two models, and test people of both worlds. Leaves: numbers, and a sheet of pictures. Part of the paper: S.1 (PCA
of the geometry tokens of studio and wild people overlaps) and figure 6 (attention of chosen geometry tokens to image
tokens in the last layer, cleaner after post-training). What differs from the paper: it shows pictures; ours come with
numbers. How well the worlds mix: how often a person's nearest neighbour, by mean token, is of the same world (0.5: mixed,
1: apart). How clean attention is: the share of what falls on the pictures that falls on cells which show the surface
within `NEAR` of the anchor; and the entropy of it.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn import functional as F

from lca_mini.data.people import cast_of, film_with
from lca_mini.data.stream import Cast, Film
from lca_mini.export import contact_sheet, to_bytes
from lca_mini.model import LCA
from lca_mini.model.surface import patch_cells
from lca_mini.types import Sample

PLACES = {"nose": (0.0, 0.66, 0.2), "chest": (0.0, 0.33, 0.15), "left hand": (0.7, 0.42, 0.0), "right foot": (-0.1, -0.9, 0.1)}
"""Metres, canonical template; the nearest anchor is taken."""
NEAR = 0.15  # metres
SHOWN = 4  # pictures of a person
DOT = 3  # pixels, half the side of a person's dot
PLOT = 256  # pixels


def fused(model: LCA, sample: Sample) -> tuple[Float[Tensor, "B M D"], Float[Tensor, "B Q S P"], tuple[int, int]]:
    """Tokens after the last layer; how the anchors of `PLACES` share out their attention over the patches of all pictures
    (sums to less than one where geometry is attended to as well); the body pictures' grid of patches."""
    caught: dict[str, Tensor] = {}

    def keep(module: torch.nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        caught["tokens"], caught["context"] = inputs[0].float(), inputs[1].float()

    attention = model.transformer.layers[-1].fuse.attention
    handle = attention.register_forward_hook(keep)
    try:
        tokens = model.encode(sample.images, sample.face_images, None, sample.betas).fused_tokens
    finally:
        handle.remove()
    which = anchors_of(model)
    query = attention.query_norm(attention.query(caught["tokens"][:, which])).unflatten(-1, (attention.heads, -1))
    key = attention.key_norm(attention.key(caught["context"])).unflatten(-1, (attention.heads, -1))
    logits = torch.einsum("bqhd,bkhd->bhqk", query, key) / query.shape[-1] ** 0.5
    shares = logits.softmax(-1).mean(1)
    grids = [model.image_encoder.grid(*each.shape[-2:]) for each in (sample.images, sample.face_images)]
    pictures, patches = sample.images.shape[1], sum(rows * columns for rows, columns in grids)
    return tokens, shares[..., : pictures * patches].unflatten(-1, (pictures, patches)), grids[0]


def anchors_of(model: LCA) -> Int[Tensor, "Q"]:
    """The anchors of `PLACES`."""
    places = model.anchors.points.new_tensor(list(PLACES.values()))
    return torch.cdist(places, model.anchors.points).argmin(1)


def on_target(model: LCA, sample: Sample, shares: Float[Tensor, "B Q S P"]) -> tuple[float, float]:
    """The share of attention to body pictures that falls near the anchor; and the entropy of it, bits, on average."""
    grid = model.image_encoder.grid(*sample.images.shape[-2:])
    body = shares[..., : grid[0] * grid[1]].flatten(2)
    body = body / body.sum(-1, keepdim=True).clamp(min=1e-12)
    cells = patch_cells(sample.surface, grid).flatten(1, 2)  # [B S*P cells 4]
    points = model.anchors.points[anchors_of(model)]
    distance = (cells[:, None, :, :, :3] - points[None, :, None, None]).norm(dim=-1)
    near = ((distance < NEAR) & (cells[:, None, ..., 3] > 0.2)).any(-1)
    visible = near.any(-1)
    hit = ((body * near).sum(-1) * visible).sum() / visible.sum().clamp(min=1)
    entropy = -(body * body.clamp(min=1e-12).log2()).sum(-1).mean()
    return float(hit), float(entropy)


def apart(people: Float[Tensor, "n D"], worlds: Int[Tensor, "n"]) -> float:
    """How often the nearest other person is of the same world."""
    distance = torch.cdist(people, people)
    distance.fill_diagonal_(torch.inf)
    return float((worlds[distance.argmin(1)] == worlds).float().mean())


def pca(people: Float[Tensor, "n D"]) -> tuple[Float[Tensor, "n 2"], float]:
    """The first two principal components, and the share of variance in them."""
    centred = people - people.mean(0)
    left, values, _ = torch.linalg.svd(centred, full_matrices=False)
    return left[:, :2] * values[:2], float(values[:2].square().sum() / values.square().sum().clamp(min=1e-12))


@torch.no_grad()
def compare_tokens(
    models: dict[str, LCA], people: int = 16, film: Film | None = None, cast: Cast | None = None
) -> tuple[dict[str, Any], UInt8[Tensor, "H W 3"]]:
    """Compare models on the first people of both test worlds.

    Args:
        models: by what they shall be called, such as before and after post-training.
        film, cast: other people than the library's, as in `SampleStream`.
    Returns: `stages`, numbers of each model; and a sheet: a row a model of attention maps of each of `PLACES` on pictures
        of the first wild person, and a plot of everybody's tokens, studio in blue, wild in orange.
    """
    stages: dict[str, dict[str, float]] = {}
    rows = []
    for name, model in models.items():
        config, device = model.config, model.anchors.points.device
        filmed = film or film_with(8, 1, config.image_size, config.face_size, device)
        means, hits, entropies, maps = [], [], [], None
        for kind in ("studio", "wild"):
            for seeds in (cast or cast_of(f"test-{kind}"))(torch.arange(people)).split(4):
                sample = filmed(seeds, kind)
                tokens, shares, grid = fused(model, sample)
                means.append(tokens.mean(1))
                if sample.surface is not None:
                    hit, entropy = on_target(model, sample, shares)
                    hits.append(hit), entropies.append(entropy)
                if kind == "wild" and maps is None:
                    maps = overlays(sample.images[0, :SHOWN], shares[0, :, :SHOWN], grid)
        everybody = torch.cat(means)
        worlds = torch.arange(2, device=device).repeat_interleave(people)
        plane, variance = pca(everybody)
        stages[name] = {"same_world_neighbour": round(apart(everybody, worlds), 4), "variance_in_2_components": round(variance, 4),
                        "attention_near_anchor": round(sum(hits) / max(1, len(hits)), 4),
                        "attention_entropy_bits": round(sum(entropies) / max(1, len(entropies)), 4)}  # fmt: skip
        rows += [*maps, F.interpolate(dots(plane, worlds).movedim(-1, 0)[None], maps[0].shape[:2], mode="area")[0].movedim(0, -1)]
    sheet = contact_sheet(rows, columns=len(rows) // len(models))
    return {"stages": stages, "places": list(PLACES), "test_people": people}, to_bytes(sheet)


def overlays(
    images: Float[Tensor, "S 3 H W"], shares: Float[Tensor, "Q S P"], grid: tuple[int, int]
) -> list[Float[Tensor, "_H _w 3"]]:
    """Of each place one picture: all images side by side, pale, red where the anchor looks."""
    made = []
    for share in shares[..., : grid[0] * grid[1]]:
        heat = F.interpolate((share / share.max().clamp(min=1e-12)).unflatten(-1, grid)[:, None], images.shape[-2:], mode="bilinear")
        pale = 0.6 + 0.4 * images.mean(1, keepdim=True)
        made.append(torch.cat(list(torch.cat([pale, pale * (1 - heat), pale * (1 - heat)], 1).movedim(1, -1)), 1).cpu())
    width = max(1, len(made) // 2)
    return [torch.cat(made[i : i + width], 0) for i in range(0, len(made), width)]


def dots(plane: Float[Tensor, "n 2"], worlds: Int[Tensor, "n"]) -> Float[Tensor, "PLOT PLOT 3"]:
    """A scatter plot as a picture: studio people (0) blue, wild ones (1) orange."""
    canvas = torch.ones(PLOT, PLOT, 3)
    low, high = plane.amin(0), plane.amax(0)
    where = ((plane - low) / (high - low).clamp(min=1e-9) * (PLOT - 4 * DOT) + 2 * DOT).long().cpu()
    for (x, y), world in zip(where.tolist(), worlds.tolist()):
        tone = torch.tensor([0.95, 0.55, 0.1] if world else [0.2, 0.4, 0.75])
        canvas[PLOT - y - DOT : PLOT - y + DOT, x - DOT : x + DOT] = tone
    return canvas
