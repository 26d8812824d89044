"""One mesh for everybody: body, teeth, lashes, garments, shoes, hair. Who shows what of it is a matter of masks.

Enters: the packaged wardrobe. Leaves: `Wardrobe`, whose topology all people share, so that a crowd is one batch. Not
part of the paper. The body under the clothes is not in it at all: trunk, hips and feet of the body are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lca_mini.body import load_body
from lca_mini.people import accessories, cuts
from lca_mini.people.extras import MORPHS
from lca_mini.people.hair import curtain, ripple, scalp, tail
from lca_mini.people.occlusion import head_occlusion
from lca_mini.people.pieces import (
    Piece,
    bind,
    body_piece,
    cut,
    keep_faces,
    refine,
    stored_piece,
    unit_normals,
    wardrobe_arrays,
)
from lca_mini.types import Movable

SKIN, EYE, TONGUE, TEETH, LASHES, CURTAIN, TAIL, TOP, BOTTOM, SKIRT, SHOES = range(11)
GLASSES, LENSES, HAT, BRIM, SCARF, COLLAR, EARRINGS, WATCH, BAG = range(11, 20)
EYE_HEIGHT = 0.6925
LOW = 0.080  # metres by which a low ponytail is lower
MASKS = ("lips", "inside-mouth", "eyelids", "fingernails", "ears", "light")


@dataclass(frozen=True)
class Wardrobe(Movable):
    """The shared mesh; N vertices, F faces, R reshapings, all of it on the template in its T-pose.

    part: of each face. vertex_part: of each vertex. masks: of `MASKS`, [0, 1]; the last tells how open to light a
    vertex is. moving: vertices that facial actions move, and exprdirs theirs alone. body_ids: the body's vertex behind
    each skin, eye or tongue vertex, -1 elsewhere. fit: smooth displacement that makes a garment hang rather than cling.
    morphs: displacements that reshape hair, skirts and accessories, of `extras.MORPHS`.
    sole: displacement of shoe vertices.
    """

    template: Float[Tensor, "N 3"]
    shapedirs: Float[Tensor, "N 3 K"]
    weights: Float[Tensor, "N 55"]
    faces: Int[Tensor, "F 3"]
    part: Int[Tensor, " F"]
    vertex_part: Int[Tensor, " N"]
    masks: Float[Tensor, "N 6"]
    moving: Int[Tensor, " A"]
    exprdirs: Float[Tensor, "A 3 52"]
    body_ids: Int[Tensor, " N"]
    fit: Float[Tensor, "N 3"]
    morphs: Float[Tensor, "R N 3"]
    sole: Float[Tensor, "N 3"]


@lru_cache(maxsize=8)
def wardrobe(device: str = "cpu") -> Wardrobe:
    """The shared mesh on a device."""
    return _build() if device == "cpu" else wardrobe("cpu").to(device)


def _build() -> Wardrobe:
    body = load_body()
    whole = body_piece(body)
    masks = torch.cat([_vertex_masks(body), head_occlusion(whole)[:, None]], 1)
    shown, ids = keep_faces(whole, _ever_seen(whole))
    shown, ends = refine(shown, (scalp(shown.template, masks[ids, 4]) > -0.01) & (ids < 13348))
    masks = torch.cat([masks[ids], masks[ids][ends].mean(1)])
    ids = torch.cat([ids, torch.full((len(ends),), -1)])
    tights, skirt = _cut_all(bind(stored_piece("tights"), whole, 0.003)), stored_piece("skirt")
    for level in cuts.SKIRTS:
        skirt = cut(skirt, skirt.template[:, 1] - level)
    fit = _hang(tights)
    y, x = tights.centres[:, 1], tights.centres[:, 0].abs()
    arm = (x > 0.2) & (y > 0.33)
    regions = [
        (y > min(cuts.HEMS) - 1e-3) & (x < max(cuts.SLEEVES)),
        (y < max(cuts.WAISTS) + 1e-3) & ~arm,
        y < max(cuts.SHOES) + 1e-3,
    ]
    layers = [keep_faces(tights, region) for region in regions]
    hanging, bob = curtain(whole)
    bound, bun = tail(whole)
    lashes = stored_piece("lashes")
    lashes, _ = keep_faces(lashes, lashes.centres[:, 1] > EYE_HEIGHT)  # the upper ones
    teeth = [stored_piece(name) for name in ("teeth_upper", "teeth_lower")]
    frames, panes = accessories.glasses(whole)
    crown, brim = accessories.hats(whole)
    bag, drape = accessories.bag(tights, fit)
    extra = [frames, panes, crown, brim, accessories.scarf(whole, tights), accessories.collar(whole),
             accessories.earrings(whole), accessories.watch(whole), bag]  # fmt: skip
    oldest = ids[shown.faces].amin(1)
    body_part = torch.where(oldest < 13348, SKIN, torch.where(oldest < 13574, TONGUE, EYE))
    pieces: list[tuple[Piece, Tensor | int]] = [
        (shown, body_part), (teeth[0], TEETH), (teeth[1], TEETH), (lashes, LASHES), (hanging, CURTAIN),
        (bound, TAIL), (layers[0][0], TOP), (layers[1][0], BOTTOM), (skirt, SKIRT), (layers[2][0], SHOES),
        *((e.piece, GLASSES + i) for i, e in enumerate(extra)),
    ]  # fmt: skip
    counts = [len(p.template) for p, _ in pieces]
    start = np.cumsum([0, *counts]).tolist()
    join = lambda name: torch.cat([getattr(p, name) for p, _ in pieces])  # noqa: E731
    total = start[-1]
    faces = torch.cat([p.faces + s for (p, _), s in zip(pieces, start)])
    part = torch.cat([k if isinstance(k, Tensor) else torch.full((len(p.faces),), k) for p, k in pieces])
    vertex_part = torch.zeros(total, dtype=torch.long).scatter(0, faces.flatten(), part.repeat_interleave(3))

    def spread(rows: dict[int, Tensor], width: int) -> Tensor:
        out = torch.zeros(total, width)
        for i, values in rows.items():
            out[start[i] : start[i] + counts[i]] = values
        return out

    shapes: dict[str, dict[int, Tensor]] = {name: {} for name in MORPHS}
    for i, shaped in enumerate(extra):
        for name, shift in shaped.morphs.items():
            shapes[name][10 + i] = shift
    shapes["bob"][4], shapes["bun"][5], shapes["low"][5] = bob, bun, torch.tensor([0.0, -LOW, 0.012])
    shapes["wave"] = {4: ripple(hanging.template), 5: ripple(bound.template)}
    shapes["flare"][8] = _flare(skirt.template)
    exprdirs = join("exprdirs")
    moving = (exprdirs.abs().amax((1, 2)) > 2e-5).nonzero()[:, 0]
    return Wardrobe(
        template=join("template"), shapedirs=join("shapedirs"), weights=join("weights"), faces=faces, part=part,
        vertex_part=vertex_part,
        masks=torch.cat([masks, torch.tensor([0.0, 0, 0, 0, 0, 1]).expand(total - len(masks), -1)]),
        moving=moving, exprdirs=exprdirs[moving].contiguous(),
        body_ids=torch.cat([ids, torch.full((total - len(ids),), -1)]),
        fit=spread({6: fit[layers[0][1]], 7: fit[layers[1][1]], 18: drape}, 3),
        morphs=torch.stack([spread(shapes[name], 3) for name in MORPHS]),
        sole=spread({9: _soles(layers[2][0].template)}, 3),
    )  # fmt: skip


def _cut_all(tights: Piece) -> Piece:
    for level in cuts.SLEEVES:
        tights = cut(tights, cuts.along_sleeve(tights.template) - level)
    for level in (*cuts.HEMS, *cuts.WAISTS, *cuts.LEGS, *cuts.SHOES):
        tights = cut(tights, tights.template[:, 1] - level)
    for i in range(len(cuts.NECKLINES)):
        tights = cut(tights, cuts.necklines(tights.template)[:, i])
    return tights


def _ever_seen(body: Piece) -> Bool[Tensor, " f"]:
    """Faces of the body that some outfit leaves bare."""
    x, y, _ = body.centres.unbind(1)
    trunk = (x.abs() < 0.19) & (y < 0.40) & (y > -0.20)
    return ~(trunk | (y < min(cuts.SHOES) - 0.012))


def _vertex_masks(body) -> Float[Tensor, "V 5"]:
    """The packaged masks, which lie in UV space, at the body's vertices."""
    uv = torch.zeros(len(body.template), 2)
    uv[body.faces.flatten()] = body.uvs[body.uv_faces.flatten()]
    arrays = wardrobe_arrays()
    stack = torch.stack([torch.from_numpy(arrays[f"uvmask.{m}"]).float() / 255 for m in MASKS[:5]])
    grid = torch.stack([2 * uv[:, 0] - 1, 1 - 2 * uv[:, 1]], 1)
    return torch.nn.functional.grid_sample(stack[None], grid[None, None], align_corners=False)[0, :, 0].T


def _hang(piece: Piece, rounds: int = 60) -> Float[Tensor, "v 3"]:
    """Towards the smoothed surface: fills hollows, never goes inwards."""
    faces, n = piece.faces, len(piece.template)
    edges = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = torch.cat([edges, edges.flip(1)]).unique(dim=0)
    degree = torch.bincount(edges[:, 0], minlength=n).clamp(min=1)[:, None]
    smooth = piece.template
    for _ in range(rounds):
        smooth = 0.5 * smooth + 0.5 * torch.zeros_like(smooth).index_add(0, edges[:, 0], smooth[edges[:, 1]]) / degree
    normal = unit_normals(piece.template, faces)
    outward = ((smooth - piece.template) * normal).sum(1, keepdim=True).clamp(0, 0.03)
    limbs = (piece.template[:, :1].abs() > 0.19) | (piece.template[:, 1:2] < -0.09)
    return outward * normal * (~limbs)


def _soles(points: Float[Tensor, "v 3"]) -> Float[Tensor, "v 3"]:
    """From a sock to a shoe: a flat sole that juts out a little, and a fuller toe."""
    x, y, z = points.unbind(1)
    low = ((-0.835 - y) / 0.02).clamp(0, 1)
    centre = torch.where(x > 0, 0.155, -0.155) * torch.ones_like(x)
    toe = ((z - 0.19) / 0.07).clamp(0, 1)
    down = torch.where(y < -0.845, -0.878 - y, -0.008 * low)
    return torch.stack(
        [0.10 * low * (x - centre), down + 0.006 * toe * (1 - low), 0.014 * toe + 0.006 * low * (z - 0.12) / 0.1], 1
    )


def _flare(points: Float[Tensor, "v 3"]) -> Float[Tensor, "v 3"]:
    """A skirt that widens towards its hem, in folds."""
    x, y, z = points.unbind(1)
    depth = ((0.02 - y) / 0.7).clamp(0, 1)
    folds = 1 + 0.35 * torch.sin(9 * torch.atan2(x, z - 0.09)) * depth
    return torch.stack([x, 0 * y, z - 0.09], 1) * (0.55 * depth * folds)[:, None]
