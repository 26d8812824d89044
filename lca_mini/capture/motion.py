"""How the synthetic people move: random postures to train on, and clips to show.

Enters: seeds, or a clip's length. Leaves: `Motion`: SMPL-X pose, root translation, gaze and facial actions. It stands
in for the movements of the paper's filmed people: everyday ones in the wild, extreme faces and hands in the studio.

A `Posture` holds a few readable angles in degrees; `assemble` turns it into joints. Zero is the T-pose.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from lca_mini.body.lbs import axis_angle, quaternion_product, quaternions
from lca_mini.body.names import ACTIONS, JOINTS, MIRRORED
from lca_mini.capture.chance import normals, uniforms
from lca_mini.capture.constants import constant
from lca_mini.capture.gestures import ARMS, FACES, HANDS, LEGS, MILD, actions_of, table
from lca_mini.types import Movable

MOTION_KINDS = ("wild", "studio")
THIGH, SHANK = 0.36, 0.42
_MIRROR = (1.0, -1.0, -1.0)
SWINGS = {"wild": (0.16, 0.20), "studio": (0.12, 0.16)}  # largest spread of random swings of skirts and of hair


@dataclass(frozen=True)
class Motion(Movable):
    """Frames of movement. pose: axis-angle, radians; the eye joints are left at zero, gaze moves them. transl: metres.
    gaze: (yaw, pitch) of the left eye, then of the right, radians. actions: [0, 1]. swing: of skirts and of hair, as
    `people.sway.hang` takes it; None where they hang at rest."""

    pose: Float[Tensor, "*batch 55 3"]
    transl: Float[Tensor, "*batch 3"]
    gaze: Float[Tensor, "*batch 4"]
    actions: Float[Tensor, "*batch 52"]
    swing: Float[Tensor, "*batch 2 3"] | None = None


@dataclass(frozen=True)
class Posture(Movable):
    """Degrees, in the order of `gestures.py`; index 0 of arms, hands and legs is the left one.

    spine: bend forward, twist to the left, lean to the left. head: nod down, turn to the left, tilt to the left.
    heading: of the whole body, to its left. gaze: yaw to the left, pitch up. jaw: how far the jaw joint opens.
    """

    arms: Float[Tensor, "*batch 2 7"]
    hands: Float[Tensor, "*batch 2 7"]
    legs: Float[Tensor, "*batch 2 4"]
    spine: Float[Tensor, "*batch 3"]
    head: Float[Tensor, "*batch 3"]
    heading: Float[Tensor, "*batch"]
    gaze: Float[Tensor, "*batch 2"]
    jaw: Float[Tensor, "*batch"]
    actions: Float[Tensor, "*batch 52"]


def random_frames(seeds: Int[Tensor, " B"], frames: int, kind: str) -> Motion:
    """Independent frames of B people: [B frames ...].

    "wild": everyday postures, mild faces, every side of the person turned to +z over the frames, the front most often.
    "studio": larger gestures, separate fingers, extreme faces, facing +z.
    Raises: ValueError for another kind.
    """
    if kind not in MOTION_KINDS:
        raise ValueError(f"no motion {kind!r}; choose one of {', '.join(MOTION_KINDS)}")
    wild = kind == "wild"
    batch = (len(seeds), frames)
    u = uniforms(seeds, 41, frames * 64).view(*batch, 64)
    g = normals(seeds, 42, frames * 48).view(*batch, 48)

    vocabulary = table(ARMS).to(seeds.device)
    left = _pick(vocabulary, u[..., 0])
    right = torch.where((u[..., 1] < 0.45)[..., None], left, _pick(vocabulary, u[..., 2]))
    arms = torch.stack([left, right], -2)
    rest = _pick(table(ARMS, ("hang", "away", "ready")).to(seeds.device), u[..., 3])[..., None, :]
    calm = torch.where(u[..., 25:26] < (0.45 if wild else 0.1), 0.4, 1.0)
    arms = torch.lerp(rest, arms, (1.4 * calm * u[..., 4:6]).clamp(0.1, 1)[..., None])
    spread = arms.new_tensor([4.0, 5, 6, 7, 8, 6, 4])
    arms = arms + spread * g[..., :14].unflatten(-1, (2, 7)).clamp(-2, 2)

    hands = _pick(table(HANDS).to(seeds.device), u[..., 6:8])
    relaxed = table(HANDS, ("relaxed",)).to(seeds.device)[0]
    hands = torch.lerp(relaxed, hands, ((0.8 if wild else 1.5) * u[..., 8:10]).clamp(0, 1)[..., None])
    fingers = torch.where(u[..., 10:11, None] < 0.25, u[..., 12:20].unflatten(-1, (2, 4)), hands[..., :4])
    hands = torch.cat([fingers, hands[..., 4:]], -1) + 0.05 * g[..., 14:28].unflatten(-1, (2, 7)).clamp(-2, 2)

    standing = ("straight", "straight", "spread", "bent")
    stance = _pick(table(LEGS, standing).to(seeds.device), u[..., 20])[..., None, :]
    legs = torch.where(u[..., 21:22, None] < 0.5, stance, _pair_of_legs(u[..., 22], u[..., 23]))
    legs = legs + legs.new_tensor([3.0, 2, 4, 3]) * g[..., 28:36].unflatten(-1, (2, 4)).clamp(-2, 2)
    legs = torch.cat([legs[..., :3], legs[..., 3:].clamp(min=0)], -1)

    spine = g[..., 36:39].clamp(-2, 2) * g.new_tensor([6.0, 9, 5]) + g.new_tensor([2.0, 0, 0])
    head = g[..., 39:42].clamp(-1.8, 1.8) * g.new_tensor([8.0, 16, 6])
    # low discrepancy: any few frames of a person show several sides
    order = torch.arange(frames, device=seeds.device) * 0.6180339887
    side = 2 * ((u[..., :1, 24] + order) % 1) - 1
    turned = side.abs().double().pow(1.3).to(side.dtype)  # a CPU rounds a single float32 power unlike one in a row
    heading = 180 * side.sign() * turned if wild else 14 * g[..., 42].clamp(-2, 2)
    gaze = (2 * u[..., 26:28] - 1) * u.new_tensor([25.0, 18.0]) * torch.where(u[..., 28:29] < 0.6, 1.0, 0.25)
    actions, jaw = _random_faces(u[..., 29:64], g[..., 43], wild)
    motion = assemble(Posture(arms, hands, legs, spine, head, heading, gaze, jaw, actions))
    return replace(motion, swing=_random_swing(seeds, frames, kind))


def _random_swing(seeds: Tensor, frames: int, kind: str) -> Float[Tensor, "B F 2 3"]:
    """Such as a movement might have left, of each frame alone: most swings are small, none is large."""
    u = uniforms(seeds, 44, frames * 2).view(len(seeds), frames, 2, 1)
    g = normals(seeds, 45, frames * 6).view(len(seeds), frames, 2, 3).clamp(-2, 2)
    return u * g * constant(g, SWINGS[kind])[:, None]


def _random_faces(u: Tensor, g: Tensor, wild: bool) -> tuple[Tensor, Tensor]:
    """Mixed faces [*batch 52] and what the jaw joint adds, degrees [*batch]."""
    faces = torch.stack([actions_of(n) for n in (MILD if wild else tuple(FACES))]).to(u.device)
    first, second = _pick(faces, u[..., 0]), _pick(faces, u[..., 1])
    if wild:
        out = 0.6 * first * u[..., 2:3] + 0.3 * second * u[..., 3:4]
    else:
        out = torch.maximum(first * (0.45 + 0.55 * u[..., 2:3]), second * (u[..., 3:4] * 1.6 - 0.6).clamp(min=0))
        # single actions, mostly of both sides
        for k in range(3):
            index = (u[..., 4 + k] * len(ACTIONS)).long()
            alone = F.one_hot(index, len(ACTIONS)).float()
            other = F.one_hot(_mirrored(u.device)[index], len(ACTIONS)).float()
            coupled = (u[..., 7 + k] < 0.8).float()[..., None]
            amount = (1.5 * u[..., 10 + k] - 0.5).clamp(min=0)[..., None]
            out = torch.maximum(out, amount * torch.maximum(alone, coupled * other * (0.85 + 0.15 * u[..., 13:14])))
    out = out * (1 - _named("eyeLook", u.device))
    blink = torch.where(u[..., 14] < 0.08, u[..., 15], 0.0)[..., None] * _named("eyeBlink", u.device)
    out = torch.maximum(out, blink).clamp(0, 1)
    tongue = _named("tongueOut", u.device)
    jaw_open = _named("jawOpen", u.device)
    out = torch.maximum(out, jaw_open * 0.4 * (out * tongue).sum(-1, keepdim=True))
    # a third of the frames open the mouth partly by the jaw joint
    share = torch.where(u[..., 16] < 0.33, 0.5 * u[..., 17], 0.0)
    opening = (out * jaw_open).sum(-1)
    return out * (1 - jaw_open * share[..., None]), 16 * opening * share


def assemble(posture: Posture) -> Motion:
    """Joints of a posture. The root sinks so that the lower foot stays on the ground; lids and eyeLook actions follow
    the gaze."""
    p = posture
    euler = p.arms.new_zeros(*p.heading.shape, 55, 3)  # degrees, R = Rz Ry Rx
    mirror = p.arms.new_tensor(_MIRROR)
    for side, flip in (("left", torch.ones_like(mirror)), ("right", mirror)):
        i = 0 if side == "left" else 1
        lower, forward, twist, elbow, turn, curl, deviate = p.arms[..., i, :].unbind(-1)
        raised = 6 * F.softplus((20 - lower) / 6)
        zero = torch.zeros_like(lower)
        joints = {
            "collar": (zero, -0.16 * forward, 0.22 * raised),
            "shoulder": (twist, -0.9 * forward, -lower - 0.22 * raised),
            "elbow": (0.45 * turn, -elbow.clamp(min=0), zero),
            "wrist": (0.55 * turn, -deviate, -curl),
        }
        flex, spread, outward, knee = p.legs[..., i, :].unbind(-1)
        joints |= {
            "hip": (-flex, outward, spread),
            "knee": (knee, zero, zero),
            "ankle": (38 * torch.tanh((flex - knee) / 38), zero, -0.7 * spread),
        }
        joints |= _hand(p.hands[..., i, :])
        for name, angles in joints.items():
            euler[..., JOINTS.index(f"{side}_{name}"), :] = torch.stack(angles, -1) * flip
    lean = mirror.new_tensor([1.0, 1.0, -1.0])
    for name, part in (("spine1", 0.3), ("spine2", 0.35), ("spine3", 0.35)):
        euler[..., JOINTS.index(name), :] = part * p.spine * lean
    for name, part in (("neck", 0.45), ("head", 0.55)):
        euler[..., JOINTS.index(name), :] = part * p.head * lean
    euler[..., 0, 1] = p.heading
    euler[..., JOINTS.index("jaw"), 0] = p.jaw
    gaze = torch.deg2rad(p.gaze)
    return Motion(
        pose=axis_angle(euler_quaternions(torch.deg2rad(euler))),
        transl=_sink(euler),
        gaze=torch.cat([gaze, gaze], -1),
        actions=look(p.actions, p.gaze),
    )


def _hand(hand: Tensor) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """Euler angles of the 15 joints of a left hand, degrees."""
    spread, thumb, across = hand[..., 4], hand[..., 5].clamp(-0.3, 1), hand[..., 6].clamp(-0.4, 1)
    zero = torch.zeros_like(spread)
    joints: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
    for i, (finger, fan) in enumerate((("index", -16.0), ("middle", -3.0), ("ring", 8.0), ("pinky", 20.0))):
        curl = hand[..., i].clamp(-0.08, 1)
        fanned = fan * spread * (1 - curl.clamp(min=0))
        for k, most in enumerate((78.0, 98.0, 62.0)):
            joints[f"{finger}{k + 1}"] = (zero, fanned if k == 0 else zero, -most * curl)
    joints["thumb1"] = (30 * across, 22 * across + 10 * thumb, zero)
    joints["thumb2"] = (18 * thumb, 26 * thumb, zero)
    joints["thumb3"] = (30 * thumb, 42 * thumb, zero)
    return joints


def _sink(euler: Tensor) -> Tensor:
    """How far the root drops for the lower foot to stand, metres, [*batch 3]."""
    reach = []
    for side in ("left", "right"):
        hip = euler_quaternions(torch.deg2rad(euler[..., JOINTS.index(f"{side}_hip"), :]))
        knee = euler_quaternions(torch.deg2rad(euler[..., JOINTS.index(f"{side}_knee"), :]))
        thigh, shank = hip.new_tensor([0, 0, -THIGH, 0]), hip.new_tensor([0, 0, -SHANK, 0])
        reach.append(_turn(hip, thigh)[..., 2] + _turn(quaternion_product(hip, knee), shank)[..., 2])
    # a smooth minimum: no jolt where the weight passes from one foot to the other
    lowest = -(torch.logsumexp(-80 * torch.stack(reach), 0) - math.log(2)) / 80
    drop = -lowest - (THIGH + SHANK)
    zero = torch.zeros_like(drop)
    return torch.stack([zero, drop, zero], -1)


def look(actions: Float[Tensor, "*batch 52"], gaze: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 52"]:
    """Set the eyeLook actions to a gaze (yaw, pitch), degrees; looking down lowers the lids with it."""
    yaw, pitch = (gaze / gaze.new_tensor([30.0, 25.0])).unbind(-1)
    out = actions * (1 - _named("eyeLook", gaze.device))
    to_left, to_right = ("eyeLookOutLeft", "eyeLookInRight"), ("eyeLookInLeft", "eyeLookOutRight")
    for name, amount in (*((n, yaw) for n in to_left), *((n, -yaw) for n in to_right),
                         ("eyeLookUp", pitch), ("eyeLookDown", -pitch)):  # fmt: skip
        out = out + _named(name, gaze.device) * amount.clamp(0, 1)[..., None]
    return out


def euler_quaternions(angles: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 4"]:
    """Rz Ry Rx as a quaternion, wxyz. Angles in radians."""
    c, s = (angles / 2).cos(), (angles / 2).sin()
    zero = torch.zeros_like(c[..., 0])
    x = torch.stack([c[..., 0], s[..., 0], zero, zero], -1)
    y = torch.stack([c[..., 1], zero, s[..., 1], zero], -1)
    z = torch.stack([c[..., 2], zero, zero, s[..., 2]], -1)
    return quaternion_product(z, quaternion_product(y, x))


def slerp(
    a: Float[Tensor, "*batch 4"], b: Float[Tensor, "*batch 4"], t: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch 4"]:
    """The shortest way from rotation a to rotation b, wxyz."""
    cosine = (a * b).sum(-1, keepdim=True)
    b, cosine = torch.where(cosine < 0, -b, b), cosine.abs().clamp(max=1.0)
    angle = torch.atan2((b - a * cosine).norm(dim=-1, keepdim=True), cosine)
    near = angle < 1e-4
    sine = torch.where(near, torch.ones_like(angle), angle.sin())
    t = t[..., None]
    return torch.where(near, torch.lerp(a, b, t), (((1 - t) * angle).sin() * a + (t * angle).sin() * b) / sine)


def blend(a: Motion, b: Motion, t: Float[Tensor, "*batch"]) -> Motion:
    """From motion a (t = 0) to motion b (t = 1): joints by slerp, all else linearly."""
    turned = slerp(quaternions(a.pose), quaternions(b.pose), t[..., None].expand(a.pose.shape[:-1]))
    w = t[..., None]
    swing = None if a.swing is None or b.swing is None else torch.lerp(a.swing, b.swing, w[..., None])
    return Motion(axis_angle(turned), torch.lerp(a.transl, b.transl, w), torch.lerp(a.gaze, b.gaze, w),
                  torch.lerp(a.actions, b.actions, w), swing)  # fmt: skip


def _turn(quat: Tensor, vector: Tensor) -> Tensor:
    inverse = quat * quat.new_tensor([1.0, -1, -1, -1])
    return quaternion_product(quaternion_product(quat, vector.expand_as(quat)), inverse)


def _pick(rows: Tensor, u: Tensor) -> Tensor:
    return rows[(u * len(rows)).long()]


def _pair_of_legs(which: Tensor, swap: Tensor) -> Tensor:
    """Two legs that belong together [*batch 2 4]: a stride, a raised or kicking leg, a squat, a step aside."""
    pairs = (("front", "rear"), ("raise", "straight"), ("kick", "straight"), ("sit", "sit"), ("side", "straight"),
             ("straight", "bent"), ("bent", "bent"), ("front", "rear"))  # fmt: skip
    rows = torch.stack([table(LEGS, pair) for pair in pairs]).to(which.device)
    legs = _pick(rows, which)
    return torch.where((swap < 0.5)[..., None, None], legs, legs.flip(-2))


@lru_cache(maxsize=64)
def _named(name: str, device: torch.device) -> Tensor:
    """1 at the actions whose name begins so, [52]."""
    return torch.tensor([float(a.startswith(name)) for a in ACTIONS], device=device)


@lru_cache(maxsize=8)
def _mirrored(device: torch.device) -> Tensor:
    """`MIRRORED`, kept where it is used, [52]."""
    return torch.tensor(MIRRORED, device=device)
