"""How far skirts and long hair swing in a clip, from its own movement.

Enters: `Motion`. Leaves: its `swing`, which `people.sway.hang` turns into displacements. Not part of the paper, which
names secondary motion as a limit of its own.

What hangs is a damped pendulum whose pivot moves. How far it lags behind where it would hang at rest, u, obeys
u'' + 2 d w u' + w^2 u = -a, with a the acceleration of that place: u is a convolved with the pendulum's impulse
response, so that all frames come at once and none is stepped through.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from lca_mini.body import bone_transforms, load_body, rest_joints
from lca_mini.body.lbs import carry_points
from lca_mini.capture.motion import Motion

PENDULUMS = ((1.1, 0.25, 0.45), (1.4, 0.22, 0.25))
"""Cloth and hair: swings a second, damping (1 is critical), length in metres."""
FARTHEST, TURN = (0.35, 0.40), (0.35, 0.45)  # of cloth and hair: pull in units of gravity, turn in radians
LASTS = 3.0  # seconds after which a swing has died down
_HIPS, _KNEES, _HEAD = (1, 2), (4, 5), 15
_CROWN = (0.0, 0.70, 0.02)  # where hair leaves the head, template


@torch.no_grad()
def swung(motion: Motion, fps: float, looped: bool = False) -> Motion:
    """A clip [F ...] with the swing that its own movement causes, on the mean body.

    Args:
        looped: its last frame meets its first. Else it went on before its first frame as it begins.
    Raises: ValueError for frames too far apart to see a swing.
    """
    fastest = max(rate for rate, _, _ in PENDULUMS)
    if fps < 4 * fastest:
        raise ValueError(f"{fps:g} frames a second are too few for cloth that swings; take at least {4 * fastest:g}")
    places, turns = _markers(motion)
    pulls = []
    for k, (rate, damping, length) in enumerate(PENDULUMS):
        moved = torch.cat([places[:, k], turns[:, k, None]], 1)
        lag = _lag(moved, fps, rate, damping, looped) / places.new_tensor([length, length, 1.0])
        most = lag.new_tensor([FARTHEST[k], FARTHEST[k], TURN[k]])
        pulls.append((most * (lag / most).tanh())[:, [0, 2, 1]])
    return replace(motion, swing=torch.stack(pulls, 1))


def _markers(motion: Motion) -> tuple[Float[Tensor, "F 2 2"], Float[Tensor, "F 2"]]:
    """Where a skirt's hem and hair's tips would hang, over the ground (x, z), metres; and which way they face, radians,
    without jumps."""
    body = load_body()
    joints = rest_joints(body, torch.zeros(1, body.shapedirs.shape[-1]), torch.zeros(1, 52))
    bones = bone_transforms(motion.pose.cpu(), joints, body.parents)
    at = carry_points(bones[..., :3, :], joints) + motion.transl.cpu()[:, None]
    hips, knees = at[:, _HIPS], at[:, _KNEES]
    hem = (2 * hips.mean(1) + knees.mean(1)) / 3  # legs push a skirt, but do not hold it
    across = hips[:, 0] - hips[:, 1] + 0.15 * (knees[:, 0] - knees[:, 1])
    head = bones[:, _HEAD]
    strand = head[:, :3, :3] @ head.new_tensor([*_CROWN]) + head[:, :3, 3] + motion.transl.cpu()
    strand = strand - 0.6 * PENDULUMS[1][2] * head[:, :3, 1]  # hair is stiff near its roots
    facing = torch.stack([across, head[:, :3, 0]], 1)
    turn = torch.atan2(-facing[..., 2], facing[..., 0])
    step = turn.diff(dim=0, prepend=turn[:1])
    step = (step + math.pi) % (2 * math.pi) - math.pi
    return torch.stack([hem, strand], 1)[..., [0, 2]], turn[:1] + step.cumsum(0)


def _lag(moved: Float[Tensor, "F D"], fps: float, rate: float, damping: float, looped: bool) -> Float[Tensor, "F D"]:
    """How far pendulums lag behind what they hang on, in its unit. Of loops, the step from the last frame to the first
    is as long as the mean of the steps beside it."""
    steps = moved.diff(dim=0)
    if len(steps) < 2:
        return torch.zeros_like(moved)
    last = (steps[:1] + steps[-1:]) / 2
    first = last if looped else steps[:1]
    push = (torch.cat([steps, last]) - torch.cat([first, steps])) * fps  # acceleration times a frame's length
    t = torch.arange(math.ceil(LASTS * fps)) / fps
    own = 2 * math.pi * rate
    damped = own * math.sqrt(1 - damping * damping)
    response = (-damping * own * t).exp() * (damped * t).sin() / damped
    before = push.new_zeros(len(t) - 1, push.shape[1])
    if looped:
        before = push.repeat(-(-len(t) // len(push)), 1)[-len(before) :]
    history = torch.cat([before, push]).T[:, None]
    return -F.conv1d(history, response.flip(0)[None, None])[:, 0].T
