"""What people put on besides clothes: glasses, hats, headscarves, collars, earrings, watches, bags.

Enters: the body and the tights that garments are cut from. Leaves: small meshes that follow the body, and the shapes
they can take (`Shaped`). Not part of the paper. Everybody carries all of it, and shows what the seed asks for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lca_mini.people.noise import smoothstep
from lca_mini.people.pieces import Piece, follow, grid_faces, nearest, outward

BRIM_FRONT = 70  # degrees to each side that a cap's visor spans
_SCARF = (  # y, half width, front z, back z, half angle (degrees) left open for the face
    (0.832, 0.004, 0.120, 0.110, 0), (0.824, 0.040, 0.160, 0.068, 0), (0.803, 0.066, 0.196, 0.034, 0),
    (0.778, 0.080, 0.214, 0.016, 0), (0.757, 0.086, 0.2235, 0.008, 0), (0.744, 0.088, 0.2265, 0.005, 15),
    (0.725, 0.0905, 0.2265, 0.003, 32), (0.695, 0.092, 0.223, 0.003, 41), (0.660, 0.091, 0.220, 0.005, 42),
    (0.630, 0.087, 0.219, 0.010, 38), (0.605, 0.081, 0.220, 0.013, 30), (0.588, 0.077, 0.222, 0.014, 17),
    (0.572, 0.073, 0.219, 0.014, 0), (0.550, 0.074, 0.200, 0.009, 0), (0.515, 0.098, 0.200, -0.002, 0),
    (0.475, 0.128, 0.207, -0.016, 0), (0.430, 0.150, 0.222, -0.034, 0),
)  # fmt: skip


@dataclass(frozen=True)
class Shaped:
    """A piece, and displacements that give it another shape, by the names of `extras.MORPHS`."""

    piece: Piece
    morphs: dict[str, Float[Tensor, "v 3"]]


def _stack(*xyz: Tensor | float) -> Tensor:
    return torch.stack(torch.broadcast_tensors(*(torch.as_tensor(v, dtype=torch.float32) for v in xyz)), -1)


def _rigid(points: Tensor, faces: Tensor, leader: Piece, neighbours: int, joint: int = 15) -> Piece:
    """Fixed to one joint, shaped by the neighbourhood."""
    return follow(points, faces, leader, neighbours, torch.eye(55)[joint].expand(len(points), -1).contiguous())


def _where(body: Piece, keep: Tensor) -> Piece:
    """Some of the body's vertices, for `follow`, which reads no faces."""
    return Piece(body.template[keep], body.shapedirs[keep], body.exprdirs[keep], body.weights[keep], body.faces)


def _join(*parts: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    start, faces = 0, []
    for points, triangles in parts:
        faces.append(triangles + start)
        start += len(points)
    return torch.cat([p for p, _ in parts]), torch.cat(faces)


def _sweep(path: Tensor, side: Tensor, up: Tensor, section: Tensor, looped: bool) -> tuple[Tensor, Tensor]:
    """A tube: at each of n points of a path, k offsets (along `side` and `up`) of its cross-section."""
    points = path[:, None] + section[:, :1] * side[:, None] + section[:, 1:] * up[:, None]
    faces = grid_faces(len(path), len(section), True, looped)
    return points.flatten(0, 1), outward(points.flatten(0, 1), faces, path.repeat_interleave(len(section), 0))


def _mirrored(points: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
    """A mesh and its mirror image in x."""
    return _join((points, faces), (points * points.new_tensor([-1.0, 1, 1]), faces.flip(1)))


_LENSES = {  # half width, half height, exponent of the superellipse, rise of the outer corner, fall of the outer half
    "round": (0.0215, 0.0205, 2.0, 0.0, 0.0), "square": (0.0265, 0.0185, 4.5, 0.0, 0.0),
    "cat": (0.0265, 0.0175, 2.8, 0.007, 0.0), "aviator": (0.0275, 0.0215, 2.5, 0.002, 0.007),
}  # fmt: skip


def _lens(kind: str, around: Tensor, shrink: float = 1.0) -> Tensor:
    """Points on the left lens' outline. around: radians from the nose's side, anticlockwise seen from the front."""
    width, height, power, rise, fall = _LENSES[kind]
    c, s = around.cos(), around.sin()
    x = width * shrink * c.sign() * c.abs().pow(2 / power)
    y = height * shrink * s.sign() * s.abs().pow(2 / power)
    y = y + rise * c.clamp(min=0) * (s > -0.3) - fall * smoothstep(0.2, -0.8, s) * c.clamp(min=-0.2)
    x = x + 0.0320
    return _stack(x, 0.692 + y, 0.2245 - 2.0 * x.square())


def _frame(kind: str, thickness: float) -> tuple[Tensor, Tensor]:
    around = torch.arange(20) / 20 * 2 * math.pi
    rim = _lens(kind, around)
    out = torch.nn.functional.normalize(rim - rim.mean(0), dim=1)
    angles = torch.tensor([math.pi / 2, math.pi * 7 / 6, math.pi * 11 / 6])
    section = thickness * torch.stack([angles.cos(), angles.sin()], 1)
    forward = torch.tensor([0.0, 0, 1]).expand(20, -1)
    left = _sweep(rim, out, forward, section, True)
    inner, outer = rim[10], rim[1]
    hinge = _stack(outer[0] + 0.001, outer[1] + 0.002, outer[2])
    arm = torch.stack([hinge, torch.tensor([0.0725, 0.704, 0.198]), torch.tensor([0.0785, 0.705, 0.160]),
                       torch.tensor([0.0795, 0.704, 0.125]), torch.tensor([0.0780, 0.688, 0.104])])  # fmt: skip
    flat = section * torch.tensor([0.7, 1.3])
    sideways, upright = torch.tensor([1.0, 0, 0.2]).expand(5, -1), torch.tensor([0.0, 1, 0]).expand(5, -1)
    temple = _sweep(arm, sideways, upright, flat, False)
    pair = _mirrored(*_join(left, temple))
    x = torch.tensor([1.0, 0.35, -0.35, -1.0]) * inner[0]
    bridge = _stack(x, inner[1] + 0.004 + 0.002 * (1 - (x / inner[0]).square()), inner[2] + 0.0025)
    up = torch.tensor([0.0, 1, 0]).expand(4, -1)
    return _join(pair, _sweep(bridge, up, forward[:4], section, False))


def _glass(kind: str) -> tuple[Tensor, Tensor]:
    outline = _lens(kind, torch.arange(20) / 20 * 2 * math.pi, 0.98)
    fan = torch.stack([torch.full((20,), 20), torch.arange(20), (torch.arange(20) + 1) % 20], 1)
    points = torch.cat([outline, outline.mean(0, keepdim=True) + torch.tensor([[0.0, 0, 0.0025]])])
    return _mirrored(points, outward(points, fan, points - torch.tensor([0.0, 0, 1])))


def glasses(body: Piece) -> tuple[Shaped, Shaped]:
    """Frames and (dark) lenses."""
    y, z = body.template[:, 1], body.template[:, 2]
    head = _where(body, (y > 0.64) & (y < 0.735) & (z > 0.08) & (body.weights[:, 15] > 0.9))
    points, faces = _frame("round", 0.0013)
    morphs = {kind: _frame(kind, 0.0013)[0] - points for kind in ("square", "cat", "aviator")}
    morphs["thick"] = _frame("round", 0.0023)[0] - points
    panes, triangles = _glass("round")
    shades = {kind: _glass(kind)[0] - panes for kind in ("square", "cat", "aviator")}
    return Shaped(_rigid(points, faces, head, 90), morphs), Shaped(_rigid(panes, triangles, head, 90), shades)


def _dome(around: Tensor, rise: Tensor, kind: str) -> Tensor:
    """A hat's crown. rise: 0 at its edge to 1 at the top."""
    height, wide, low, power = {"cap": (0.098, 0.0, 0.0, 2.4), "beanie": (0.112, 0.003, -0.012, 2.3),
                                "felt": (0.118, 0.002, 0.0, 4.2)}[kind]  # fmt: skip
    angle = rise * math.pi / 2
    flat, up = angle.cos().clamp(min=0).pow(2 / power), angle.sin().pow(2 / power)
    side, front = around.sin(), around.cos()
    y = 0.726 + low + 0.016 * front * flat + (height - low) * up * (1 - 0.1 * front * flat * (kind != "felt"))
    if kind == "felt":
        y = y - 0.016 * (1 - flat).clamp(0, 1) * smoothstep(0.75, 1.0, rise)
    z = 0.118 + (0.1115 + wide) * flat * front - 0.010 * up * (kind != "felt")
    return _stack((0.0855 + wide) * flat * side, y, z)


def _brim(around: Tensor, out: Tensor, kind: str) -> Tensor:
    """A cap's visor, or a brim all round. out: 0 at the crown to 1 at its edge."""
    side, front = around.sin(), around.cos()
    edge = _dome(around, torch.zeros_like(around), kind)
    if kind == "cap":
        reach = 0.075 * smoothstep(math.radians(BRIM_FRONT + 12), 0.0, around.abs()) * out
        return edge + _stack(0.12 * reach * side, -0.22 * reach - 0.5 * out * (edge[:, 0].square()) * 2.5, reach)
    reach = 0.062 * out
    curl = 0.004 * out - 0.12 * reach * front.abs() + 0.25 * reach * side.abs()
    return edge + _stack(reach * side, curl, reach * front)


def hats(body: Piece) -> tuple[Shaped, Shaped]:
    """A crown and a brim: a cap, reshaped to a beanie (which shows no brim) or a felt hat."""
    y = body.template[:, 1]
    skull = _where(body, (y > 0.71) & (body.weights[:, 15] > 0.9))
    rise, around = torch.meshgrid(torch.linspace(0, 1, 9), (torch.arange(24) - 12) / 12 * math.pi, indexing="ij")
    rise, around = rise.flatten(), around.flatten()
    centre = torch.tensor([0.0, 0.74, 0.115])
    crown = _dome(around, rise, "cap")
    crown_faces = outward(crown, grid_faces(9, 24, True), centre.expand_as(crown))
    out, turn = torch.meshgrid(torch.linspace(0, 1, 3), (torch.arange(24) - 12) / 12 * math.pi, indexing="ij")
    out, turn = out.flatten(), turn.flatten()
    visor = _brim(turn, out, "cap")
    felt = _brim(turn, out, "felt")
    visor_faces = outward(felt, grid_faces(3, 24, True), felt - torch.tensor([0.0, 1, 0]))
    shapes = {kind: _dome(around, rise, kind) - crown for kind in ("beanie", "felt")}
    return (
        Shaped(_rigid(crown, crown_faces, skull, 120), shapes),
        Shaped(_rigid(visor, visor_faces, skull, 120), {"felt": felt - visor}),
    )


def _clear(points: Tensor, leader: Piece, clearance: Tensor | float, reach: float = 0.06) -> Tensor:
    """Points pushed outwards until they lie `clearance` off a surface; ones deeper than `reach` are not."""
    foot = nearest(points, leader)
    return points + (clearance - foot.gap).clamp(0, reach) * foot.normals


def scarf(body: Piece, tights: Piece, columns: int = 29) -> Shaped:
    """A headscarf that leaves the face open and closes under the chin."""
    table = torch.tensor(_SCARF)
    s = torch.linspace(-1, 1, columns)
    y, width, front, back, gap = (table[:, i : i + 1] for i in range(5))
    opening = torch.deg2rad(gap)
    around = math.pi + s * (math.pi - opening)  # 0 is the front
    centre, half = (front + back) / 2, (front - back) / 2
    centre = torch.where(gap > 0, torch.full_like(centre, 0.113), centre)
    half = torch.where((gap > 0) & (around.cos() > 0), front - centre, torch.where(gap > 0, centre - back, half))
    tuck = 1 - 0.13 * smoothstep(0.80, 1.0, s.abs()) * smoothstep(12.0, 30.0, gap)
    shoulder = 0.555 - 0.22 * width * around.sin().abs()  # it lies on the shoulders, and falls before and behind them
    y = torch.where(y < 0.54, y + around.sin().square() * (shoulder - y).clamp(min=0), y)
    y = y - 0.010 * (y < 0.5) * around.cos()
    points = _stack(width * around.sin() * tuck, y, centre + half * around.cos() * tuck).flatten(0, 1)
    inside = _stack(0.0, points[:, 1], 0.11)
    faces = outward(points, grid_faces(len(table), columns, False), inside)
    points = torch.where(points[:, 1:2] < 0.56, _clear(points, tights, 0.022), points)
    leader = _where(body, (body.template[:, 1] > 0.40) & (body.template[:, 0].abs() < 0.17))
    height = points[:, 1]
    weights = torch.zeros(len(points), 55)
    head, neck = smoothstep(0.50, 0.585, height), smoothstep(0.42, 0.52, height)
    weights[:, 15], weights[:, 12], weights[:, 9] = head, (1 - head) * neck, (1 - head) * (1 - neck)
    piece = follow(points, faces, leader, 60, weights)
    near = torch.cdist(points, leader.template).topk(24, largest=False).indices
    chin = smoothstep(0.64, 0.60, height) * smoothstep(0.12, 0.17, points[:, 2]) * smoothstep(0.50, 0.56, height)
    moved = leader.exprdirs[near].mean(1) * chin[:, None, None]  # room for the jaw
    return Shaped(Piece(points, piece.shapedirs, moved, weights, faces), {})


def collar(body: Piece, columns: int = 25) -> Shaped:
    """A shirt's collar: a stand round the neck that folds outwards, open in front."""
    s = torch.linspace(-1, 1, columns)
    around = math.pi + s * math.radians(172)
    profile = torch.tensor([(-0.002, -0.010), (-0.003, 0.010), (0.002, 0.013), (0.008, -0.002), (0.009, -0.014)])
    out, up = profile[:, :1], profile[:, 1:]
    tip = smoothstep(0.75, 1.0, s.abs()) * (out > 0.005)
    z = 0.092 + (0.070 + out) * around.cos()
    y = 0.560 - 0.42 * (z - 0.03).clamp(max=0.125) + up - 0.022 * tip
    points = _stack((0.070 + out) * around.sin() * (1 + 0.4 * tip), y, z).flatten(0, 1)
    points = _clear(points, body, 0.009 + out.expand(-1, columns).reshape(-1, 1))
    x, y, _ = body.template.unbind(1)
    leader = _where(body, (y > 0.44) & (y < 0.60) & (x.abs() < 0.15))
    near = torch.cdist(points, leader.template).topk(40, largest=False).indices
    faces = outward(points, grid_faces(len(profile), columns, False), torch.tensor([0.0, 0.5, 0.085]).expand_as(points))
    return Shaped(follow(points, faces, leader, 40, leader.weights[near].mean(1)), {})


def earrings(body: Piece) -> Shaped:
    """Hoops at the lobes; they shrink to studs."""
    turn = torch.arange(12) / 12 * 2 * math.pi
    lobe = torch.tensor([0.0740, 0.6475, 0.1205])
    radial = _stack(0.15 * turn.sin(), turn.cos(), turn.sin())
    ring = lobe + torch.tensor([0.0015, -0.0125, 0.0]) + 0.0125 * radial
    angles = torch.arange(3) / 3 * 2 * math.pi
    section = 0.0013 * torch.stack([angles.cos(), angles.sin()], 1)
    points, faces = _sweep(ring, radial, torch.tensor([1.0, 0, 0]).expand(12, -1), section, True)
    ball = lobe + torch.tensor([0.0015, 0, 0]) + 0.0034 * torch.nn.functional.normalize(
        points - ring.repeat_interleave(3, 0) + 0.0008 * radial.repeat_interleave(3, 0), dim=1
    )
    shape, _ = _mirrored(ball, faces)
    points, faces = _mirrored(points, faces)
    x, y, _ = body.template.unbind(1)
    leader = _where(body, (y > 0.64) & (y < 0.665) & (x.abs() > 0.066))
    return Shaped(_rigid(points, faces, leader, 6), {"studs": shape - points})


def watch(body: Piece) -> Shaped:
    """A band and a dial on the left wrist."""
    turn = torch.arange(18) / 18 * 2 * math.pi
    radial = _stack(torch.zeros(18), turn.cos(), turn.sin())
    path = torch.tensor([0.615, 0.4632, 0.0868]) + radial * torch.tensor([0.0, 0.0235, 0.0275])
    section = torch.tensor([(-0.0015, -0.009), (0.0015, -0.009), (0.0015, 0.009), (-0.0015, 0.009)])
    band = _sweep(path, radial, torch.tensor([1.0, 0, 0]).expand(18, -1), section, True)
    rim = torch.arange(12) / 12 * 2 * math.pi
    level = torch.tensor([0.4885, 0.4955])[:, None]
    sides = _stack(0.615 + 0.0165 * rim.cos(), level, 0.0868 + 0.0165 * rim.sin()).flatten(0, 1)
    dial = torch.cat([sides, torch.tensor([[0.615, 0.4965, 0.0868]])])
    fan = torch.stack([torch.full((12,), 24), 12 + torch.arange(12), 12 + (torch.arange(12) + 1) % 12], 1)
    disc = torch.cat([outward(dial, grid_faces(2, 12, True), torch.tensor([0.615, 0.492, 0.0868]).expand_as(dial)),
                      outward(dial, fan, dial - torch.tensor([0.0, 1, 0]))])  # fmt: skip
    points, faces = _join(band, (dial, disc))
    wrist = _where(body, (body.template[:, 0] > 0.58) & (body.template[:, 0] < 0.65))
    near = torch.cdist(points, wrist.template).topk(12, largest=False).indices
    return Shaped(follow(points, faces, wrist, 12, wrist.weights[near].mean(1)), {})


def bag(tights: Piece, fit: Float[Tensor, "n 3"]) -> tuple[Shaped, Float[Tensor, "v 3"]]:
    """A strap from the right shoulder to the left hip, and the bag there; and the drape of the cloth they lie on."""
    trunk = (tights.centres[:, 0].abs() < 0.20) & (tights.centres[:, 1] > -0.12)
    leader = Piece(tights.template, tights.shapedirs, tights.exprdirs, tights.weights, tights.faces[trunk])
    turn = (torch.arange(44) / 44 * 2 * math.pi)[:, None]
    shoulder, hip = torch.tensor([-0.095, 0.535, 0.085]), torch.tensor([0.195, -0.03, 0.085])
    path = (shoulder + hip) / 2 + turn.cos() * (shoulder - hip) / 2 + turn.sin() * torch.tensor([0.0, 0, 0.15])
    for _ in range(4):  # onto the trunk, then taut, so that it bridges hollows
        foot = nearest(path, leader)
        path = foot.points + foot.gap.clamp(0.002, 0.006) * foot.normals
        path = 0.5 * path + 0.25 * (path.roll(1, 0) + path.roll(-1, 0))
    foot = nearest(path, leader)
    path = path + (0.004 - foot.gap).clamp(min=0) * foot.normals
    along = torch.nn.functional.normalize(path.roll(-1, 0) - path.roll(1, 0), dim=1)
    across = torch.nn.functional.normalize(torch.linalg.cross(along, foot.normals), dim=1)
    band = torch.tensor([(-0.016, 0.0), (0.0, 0.003), (0.016, 0.0), (0.0, -0.003)])
    strap = _sweep(path, across, foot.normals, band, True)

    middle = torch.tensor([0.218, -0.095, 0.062])
    down, around = torch.meshgrid(torch.linspace(0, math.pi, 7), torch.arange(14) / 14 * 2 * math.pi, indexing="ij")
    down, around = down.flatten(), around.flatten()
    boxy = lambda v: v.sign() * v.abs().pow(0.45)  # noqa: E731
    pouch = middle + _stack(0.028 * boxy(down.sin()) * boxy(around.cos()), 0.085 * boxy(down.cos()),
                            0.105 * boxy(down.sin()) * boxy(around.sin()))  # fmt: skip
    pouch_faces = outward(pouch, grid_faces(7, 14, True), middle.expand_as(pouch))
    points, faces = _join(strap, (pouch, pouch_faces))
    strap_at = nearest(strap[0], leader)
    hip_at = nearest(hip.expand(len(pouch), -1), leader)
    both = lambda values: torch.cat([strap_at.mix(values), hip_at.mix(values)])  # noqa: E731
    weights = torch.cat([strap_at.mix(tights.weights), torch.eye(55)[:1].expand(len(pouch), -1)])
    lift = {"lift": torch.cat([strap_at.normals, hip_at.normals])}
    return Shaped(Piece(points, both(tights.shapedirs), both(tights.exprdirs) * 0, weights, faces), lift), both(fit)
