"""People from seeds: their meshes at rest, and posed.

Enters: seeds; then frames of movement. Leaves: `Crowd`, and world-space vertices over the shared mesh of `wardrobe`.
Not part of the paper: it films real people, whom one cannot ship.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lca_mini.body import Body, bone_transforms, load_body, rest_joints, with_gaze
from lca_mini.body.lbs import blend_transforms, carry_points
from lca_mini.capture.shading import vertex_normals
from lca_mini.people import cuts
from lca_mini.people.folds import drives, folds, slack
from lca_mini.people.hair import beard, scalp
from lca_mini.people.looks import Looks, looks_of
from lca_mini.people.noise import noise, smoothstep
from lca_mini.people.shape import traits_of
from lca_mini.people.sway import hang
from lca_mini.people.wardrobe import (
    BAG, BOTTOM, BRIM, COLLAR, CURTAIN, EARRINGS, GLASSES, HAT, LASHES, LENSES, SCARF, SHOES, SKIN, SKIRT, TAIL, TOP,
    WATCH, Wardrobe, wardrobe,
)  # fmt: skip
from lca_mini.types import Movable

MARGIN, NECK_MARGIN = 0.03, 0.055


@dataclass(frozen=True)
class Crowd(Movable):
    """B people. rest: dressed, T-pose, neutral face, metres. visible: which faces of the shared mesh they show."""

    seeds: Int[Tensor, " B"]
    betas: Float[Tensor, "B K"]
    rest: Float[Tensor, "B N 3"]
    visible: Bool[Tensor, "B F"]
    looks: Looks


@torch.no_grad()
def grow(seeds: Int[Tensor, " B"], device: torch.device | str) -> Crowd:
    """The people of these seeds: the same on every device and in every batch, to rounding."""
    traits = traits_of(seeds)
    looks = looks_of(seeds, traits).to(device)
    mesh = wardrobe(str(torch.device(device)))
    betas = traits.betas.to(device)
    rest = mesh.template + (betas @ mesh.shapedirs.flatten(0, 1).T).unflatten(-1, mesh.template.shape)
    part = mesh.vertex_part
    loose = torch.where((part == TOP) | (part == BAG), looks.loose[:, :1] * 0.9 + 0.1, looks.loose[:, 1:] * 0.6)
    rest = rest + loose[..., None] * mesh.fit + (looks.morphs @ mesh.morphs.flatten(1)).view_as(rest) + mesh.sole
    rest = rest + _thickness(mesh, looks)[..., None] * vertex_normals(rest, mesh.faces)
    return Crowd(seeds.to(device), betas, rest, visible_faces(mesh, looks), looks)


@torch.no_grad()
def posed(
    crowd: Crowd, pose: Float[Tensor, "B F 55 3"], transl: Float[Tensor, "B F 3"], gaze: Float[Tensor, "B F 4"],
    actions: Float[Tensor, "B F 52"], swing: Float[Tensor, "B F 2 3"] | None = None,
) -> Float[Tensor, "B F N 3"]:  # fmt: skip
    """Vertices in the world: facial actions and folds first, then the skeleton, as the body itself moves; then skirts
    and hair hang down from it. swing: of `sway.hang`."""
    body, mesh, creased = body_on(str(pose.device)), wardrobe(str(pose.device)), folds(str(pose.device))
    points = crowd.rest[:, None].expand(*pose.shape[:2], -1, -1).clone()
    points[:, :, mesh.moving] += (actions @ mesh.exprdirs.flatten(0, 1).T).unflatten(-1, (-1, 3))
    bends = (drives(pose) @ creased.fields.flatten(1)).unflatten(-1, (-1, 3))
    points[:, :, creased.ids] += bends * slack(creased.part, crowd.looks)[:, None, :, None]
    joints = rest_joints(body, crowd.betas[:, None].expand(*pose.shape[:2], -1), actions)
    transforms = bone_transforms(with_gaze(pose, gaze), joints, body.parents)
    blended = blend_transforms(mesh.weights, transforms)
    return hang(carry_points(blended, points), points, blended, transforms, joints, crowd.looks, swing) + transl[..., None, :]


@lru_cache(maxsize=8)
def body_on(device: str) -> Body:
    """The library's body, kept on each device."""
    return load_body().to(device)


def _thickness(mesh: Wardrobe, looks: Looks) -> Float[Tensor, "B N"]:
    """How far each vertex stands off the surface it was made from, metres."""
    p, part = mesh.template, mesh.vertex_part
    x, y, z = p.unbind(1)
    out_on_arm = cuts.along_sleeve(p)
    loose_top, loose_legs = looks.loose[:, :1], looks.loose[:, 1:]
    tucked = looks.tucked[:, None]
    waist = smoothstep(0.25, 0.12, y) * (out_on_arm < 0.19)
    top = 0.006 + loose_top * (0.006 * smoothstep(0.46, 0.30, y) + 0.012 * smoothstep(0.20, 0.36, out_on_arm))
    layer = looks.layer[:, None].expand(-1, len(p))
    beside = x.abs() - cuts.front_opening(layer, y.expand_as(layer))
    apart = smoothstep(-0.004, 0.018, beside) * (z > 0.06) + (z <= 0.06)
    top = top + 0.007 * ((layer > 0) & (layer < 4)) * apart
    top = torch.where(tucked, top * (1 - 0.6 * waist), top + 0.006 * waist)
    legs = (
        0.004
        + (0.2 + loose_legs) * (0.004 + 0.022 * smoothstep(-0.12, -0.7, y) * (y < -0.1))
        + 0.010 * smoothstep(-0.70, -0.79, y)
    )
    legs = legs + tucked * 0.006 * smoothstep(0.0, 0.08, y)
    legs = legs * torch.where((x.abs() < 0.05) & (y < -0.05), 0.6, 1.0)
    zero = torch.zeros_like(loose_top)
    garment = torch.where(
        part == TOP, top, torch.where(part == BOTTOM, legs, torch.where(part == SKIRT, 0.006, 0.0) + zero)
    )
    garment = torch.where(part == SHOES, 0.004 + zero, garment)

    head = (part == SKIN) & (y > 0.55)
    ids = head.nonzero()[:, 0]
    points, masks = p[ids], mesh.masks[ids]
    people = len(looks.age)
    flat = (points + looks.phase[:, None]).flatten(0, 1)
    lumps = noise(flat * 2.2)[:, 0].view(people, -1)
    curls = noise(flat * 0.55 + 0.3)[:, 3].view(people, -1)
    height = scalp(points, masks[:, 4], looks.recede[:, None])
    up = smoothstep(0.68, 0.77, points[:, 1])
    depth = looks.hair_depth[:, :1] * up + looks.hair_depth[:, 1:] * (1 - up)
    ramp = smoothstep(0.0, 0.008, height) * 0.35 + smoothstep(0.0, 0.05, height) * 0.65
    hair = depth * ramp * (1 + 0.14 * lumps + 0.16 * looks.curl[:, None] * curls)
    whiskers = beard(points, masks[:, 0])
    garment[:, ids] += hair * looks.grown[:, None] + 0.010 * looks.beard[:, 1:] * smoothstep(0.0, 0.02, whiskers)
    return garment


@lru_cache(maxsize=8)
def _face_places(device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Middles of the faces [F 3], how far out on an arm they are [F], and their necklines [4 F]."""
    mesh = wardrobe(device)
    centre = mesh.template[mesh.faces].mean(1)
    return centre, cuts.along_sleeve(centre), cuts.necklines(centre).T.contiguous()


def visible_faces(mesh: Wardrobe, looks: Looks) -> Bool[Tensor, "B F"]:
    """Which faces each person shows. What lies deeper than `MARGIN` (at the neck `NECK_MARGIN`) under a garment is
    hidden, so that nothing pokes through in any pose."""
    centre, arm, necklines = _face_places(str(mesh.template.device))
    part, y = mesh.part, centre[:, 1]
    neck = necklines[looks.neckline]  # [B F]
    sleeve, hem, waist, leg, skirt, shoe = (c[:, None] for c in looks.cuts.unbind(1))
    skirted, tucked, hairdo = looks.skirted[:, None], looks.tucked[:, None], looks.hairdo[:, None]

    top = (arm < sleeve) & (y > hem) & (neck < 0)
    bottom = ~skirted & (y < waist) & (y > leg)
    skirt_on = skirted & (y > skirt)
    shoes = y < shoe
    under_top = (y > hem + MARGIN) & ~tucked
    lower_end = torch.where(skirted, skirt, leg)
    waist_end = torch.where(skirted, torch.full_like(waist, 0.12), waist)
    hidden_skin = (
        ((y > 0.3) & (arm < sleeve - MARGIN) & (neck < -NECK_MARGIN))
        | ((y < 0.3) & (y > lower_end + MARGIN))
        | (y < shoe - 0.012)
    )
    hat, layer = looks.headwear[:, None], looks.layer[:, None]
    scarf, hatted = hat == 4, (hat > 0) & (hat < 4)
    bareheaded = ~scarf & ~(hatted & (y > 0.725))
    visor = (centre[:, 0].abs() < 0.080) & (centre[:, 2] > 0.16)
    show = torch.zeros_like(neck, dtype=torch.bool)
    for index, mask in (
        (TOP, top & ~(tucked & (y < waist_end - MARGIN))), (BOTTOM, bottom & ~under_top),
        (SKIRT, skirt_on & ~under_top),
        (SHOES, shoes & ~(~skirted & (y > leg + MARGIN))), (SKIN, ~hidden_skin),
        (CURTAIN, ((hairdo == 5) | (hairdo == 6)) & bareheaded),
        (TAIL, ((hairdo == 7) & bareheaded) | ((hairdo == 8) & (hat == 0))),
        (GLASSES, (looks.glasses[:, None] > 0)), (LENSES, looks.sunglasses[:, None]), (HAT, hatted), (SCARF, scarf),
        (BRIM, (hat == 3) | ((hat == 1) & visor)), (COLLAR, layer == 4),
        (EARRINGS, (looks.earrings[:, None] > 0) & ~scarf), (WATCH, looks.watch[:, None] & (sleeve < 0.6)),
        (BAG, looks.bag[:, None]),
        (LASHES, (looks.female[:, None] > 0.5).expand_as(show)),
    ):  # fmt: skip
        show = show | ((part == index) & mask)
    return show | (part == 1) | (part == 2) | (part == 3)
