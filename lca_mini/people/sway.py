"""Skirts, hems of loose tops, long hair and hoops hang towards the ground, and swing.

Enters: posed people, and how far what hangs has swung. Leaves: vertices of the shared mesh that are moved in the world.
Not part of the paper, which names secondary motion as a limit of its own. Everything follows from one moment; what
came before it lies in the swing alone (`capture.pendulum`), so that any frame can be made without the others.

Each vertex hangs below a pivot as a rod does: its lever times the change of direction from how its bone would hold it
to where gravity and swing pull it. The part of a move that goes inwards ends where the body begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lca_mini.body import load_body, rest_joints
from lca_mini.people.extras import MORPHS
from lca_mini.people.looks import Looks
from lca_mini.people.noise import smoothstep
from lca_mini.people.pieces import body_piece, nearest
from lca_mini.people.wardrobe import CURTAIN, EARRINGS, LOW, SKIRT, TAIL, TOP, wardrobe
from lca_mini.types import Movable

SWINGS = ("cloth", "hair")  # what swings by itself, in the order of `Motion.swing`
PELVIS, HEAD = 0, 15
FARTHEST = 0.9  # how far aside a unit rod is moved at most, 64 degrees
SKIN = {PELVIS: 0.006, HEAD: 0.02}  # metres that stay between what hangs and the skin; hair lies on clothes
GATE = 0.05  # metres outside the legs at which a skirt hangs from the hips instead
_PIVOTS = {SKIRT: 0.02, TOP: 0.14, CURTAIN: 0.70, TAIL: 0.735, EARRINGS: 0.6475}  # y on the template
_GAINS = {SKIRT: 1.0, TOP: 0.8, CURTAIN: 0.8, TAIL: 0.9, EARRINGS: 1.0}  # 1: hangs as a chain


@dataclass(frozen=True)
class Hanging(Movable):
    """Vertices that swing together.

    ids: of the shared mesh. part: theirs. joint: that holds them. pivots: how far above that joint each one's pivot
    is, metres. gains: share of the lever. outward, clear: unit, away from the middle and from the nearest skin,
    template frame. room: how far away that skin is, metres. twist: share of a turn about the vertical.
    """

    ids: Int[Tensor, " A"]
    part: Int[Tensor, " A"]
    joint: int
    pivots: Float[Tensor, " A"]
    gains: Float[Tensor, " A"]
    outward: Float[Tensor, "A 3"]
    clear: Float[Tensor, "A 3"]
    room: Float[Tensor, " A"]
    twist: Float[Tensor, " A"]


@lru_cache(maxsize=8)
def hanging(device: str) -> tuple[Hanging, Hanging]:
    """Cloth and hair, on a device."""
    if device != "cpu":
        cloth, hair = hanging("cpu")
        return cloth.to(device), hair.to(device)
    return _group((SKIRT, TOP), PELVIS), _group((CURTAIN, TAIL, EARRINGS), HEAD)


@torch.no_grad()
def _group(parts: tuple[int, ...], joint: int) -> Hanging:
    mesh, body = wardrobe("cpu"), load_body()
    part, (x, y, _) = mesh.vertex_part, mesh.template.unbind(1)
    pivots, gains = torch.zeros_like(y), torch.zeros_like(y)
    for index in parts:
        pivots[part == index], gains[part == index] = _PIVOTS[index], _GAINS[index]
    ids = ((gains > 0) & (y < pivots) & (x.abs() < 0.3)).nonzero()[:, 0]
    points, kind, depth = mesh.template[ids], part[ids], (pivots - y)[ids]
    foot = nearest(points, body_piece(body))
    axis = points.new_tensor([0.0, 0, 0.09 if joint == PELVIS else 0.115])
    away = torch.where((kind == TAIL)[:, None], points.new_tensor([0.0, 0, -1]), points - axis)
    away = torch.nn.functional.normalize(away * points.new_tensor([1.0, 0, 1]), dim=1)
    gap = points - foot.points
    clear = torch.nn.functional.normalize(gap + 1e-3 * foot.normals, dim=1)
    clear = torch.where((kind == CURTAIN)[:, None] | (kind == SKIRT)[:, None], clear, away)
    room = (gap.norm(dim=1) - SKIN[joint]).clamp(min=0)
    rings = (kind == TAIL)[:, None] & ((points[:, None, 1] - points[None, :, 1]).abs() < 1e-5) & (kind == TAIL)
    room = torch.where(kind == TAIL, room.expand(len(ids), -1).masked_fill(~rings, torch.inf).amin(1), room)  # as one
    at = rest_joints(body, torch.zeros(1, body.shapedirs.shape[-1]), torch.zeros(1, 52))[0, joint, 1]
    turns = smoothstep(0.0, 0.4 if joint == PELVIS else 0.25, depth)
    turns = torch.where((kind == TOP) | (kind == EARRINGS), 0.0, turns)
    room = torch.where(kind == EARRINGS, torch.inf, torch.where(kind == TOP, 0.0, room))
    return Hanging(ids, kind, joint, pivots[ids] - at, gains[ids], away, clear, room, turns)


def hang(
    posed: Float[Tensor, "B F N 3"], rest: Float[Tensor, "B F N 3"], blended: Float[Tensor, "B F N 3 4"],
    transforms: Float[Tensor, "B F 55 4 4"], joints: Float[Tensor, "B F 55 3"], looks: Looks,
    swing: Float[Tensor, "B F 2 3"] | None,
) -> Float[Tensor, "B F N 3"]:  # fmt: skip
    """Let hang what can; in place.

    Args:
        posed: where the skeleton alone puts the vertices. rest: in the T-pose. blended: each vertex's own transform.
        transforms, joints: of the bones; at rest.
        swing: of cloth and of hair: pull to +x, turn to the left, pull to +z, in the world. Pulls are in units of
            gravity, turns in radians. None: at rest.
    """
    down = posed.new_zeros(*posed.shape[:2], 2, 3)
    down[..., 1] = -1
    if swing is not None:
        down[..., ::2] = swing[..., ::2]
        down = down / down.norm(dim=-1, keepdim=True)
    for k, group in enumerate(hanging(str(posed.device))):
        at, bone = posed[:, :, group.ids], transforms[:, :, group.joint, :3]
        points = rest[:, :, group.ids]
        low = LOW * looks.morphs[:, MORPHS.index("low"), None] * (group.part == TAIL)
        pivots = joints[:, :, group.joint, 1, None] + (group.pivots - low)[:, None]
        lever = group.gains * (pivots - points[..., 1]).clamp(min=0)
        if group.joint == PELVIS:
            turn = bone[:, :, None, :, :3]
            lever = lever * torch.where(group.part == TOP, _slack(looks), 1.0)[:, None]
        else:
            turn = blended[:, :, group.ids, :, :3]
        clear = (turn @ group.clear[..., None])[..., 0]
        if group.joint == PELVIS:
            out = (turn @ group.outward[..., None])[..., 0]
            held = (points[..., None, :] * turn).sum(-1) + bone[:, :, None, :, 3] - at
            held = held * (group.part == SKIRT)[:, None]
            at = at + smoothstep(0.0, GATE, (held * out).sum(-1))[..., None] * held
        strand = -turn[..., 1]
        change = down[:, :, k, None] - strand
        aside = change - (change * strand).sum(-1, keepdim=True) * strand
        most = change.norm(dim=-1, keepdim=True).clamp(max=FARTHEST)
        aside = aside * (most / aside.norm(dim=-1, keepdim=True).clamp(min=1e-6))
        if swing is not None:
            middle = (bone[..., :3] @ joints[:, :, group.joint, :, None])[..., 0] + bone[..., 3]
            x, _, z = ((at - middle[:, :, None]) / lever.clamp(min=0.01)[..., None]).unbind(-1)
            angle = swing[:, :, k, 1, None] * group.twist
            aside = aside + angle[..., None] * torch.stack([z, torch.zeros_like(x), -x], -1)
        inside = ((aside * clear).sum(-1) + group.room / lever.clamp(min=1e-4)).clamp(max=0)
        aside = aside - inside[..., None] * clear
        shorter = 1 - (1 - aside.square().sum(-1, keepdim=True)).clamp(min=0).sqrt()  # rods keep their length
        posed[:, :, group.ids] = at + lever[..., None] * (aside - shorter * strand)
    return posed


def _slack(looks: Looks) -> Float[Tensor, "B 1"]:
    """How freely a top's hem hangs: open layers and loose cloth, not what is tight or tucked in."""
    open_ = (looks.layer > 0) & (looks.layer < 4)
    free = torch.where(open_, 1.0, smoothstep(0.3, 1.0, looks.loose[:, 0]))
    return (free * ~looks.tucked)[:, None]
