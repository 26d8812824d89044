"""Sequences to capture people with: sitting, reaching, turning, talking, and sweeps of face, fingers and gaze.

Enters: a clip's length. Leaves: `Motion` with one leading axis, frames; smooth, and the last frame meets the first.
The sweeps are what a studio asks of people so that every action and every joint is seen alone. Part of the paper: its
studio captures, which are of real people.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from lca_mini.body.names import ACTIONS
from lca_mini.capture.clips import _arms, _cycles, _idle, _keys, _loop, _speech, _window
from lca_mini.capture.gestures import ARMS, HANDS, LEGS, actions_of, table
from lca_mini.capture.motion import Motion, assemble

# as in `gestures`; here, so that who is drawn at random from there stays the same
SEATED = torch.tensor([84.0, 9, 8, 84])
LAP, HIGH, LOW = (torch.tensor(row) for row in ([58.0, 26, 12, 62, 20, 0, 0], [-52.0, 38, -10, 10, 0, 0, 0],
                                                [52.0, 58, 0, 12, 0, 0, 0]))  # fmt: skip


def sit(frames: int) -> Motion:
    """Sit down, look to both sides, and stand up again."""
    u = _loop(frames)
    p, down = _idle(u), _window(u, 0.12, 0.88, 0.2)
    bow = down * (1 - _window(u, 0.36, 0.64, 0.12))  # the trunk leans forward while the weight moves
    legs = torch.lerp(p.legs, SEATED.expand_as(p.legs), down[:, None, None])
    arms = torch.lerp(p.arms, LAP.expand_as(p.arms), down[:, None, None])
    spine = p.spine + (28 * bow + 4 * down)[:, None] * torch.tensor([1.0, 0, 0])
    about = _window(u, 0.38, 0.62, 0.06) * (2 * math.pi * (u - 0.38) / 0.24).sin()
    head = p.head + torch.stack([-12 * bow, 30 * about, 0 * u], 1)
    gaze = p.gaze + torch.stack([12 * about, 0 * u], 1)
    return assemble(replace(p, legs=legs, arms=arms, spine=spine, head=head, gaze=gaze))


def reach(frames: int) -> Motion:
    """Reach up with the left hand, down with the right, across with both; the fingers close at the end of each."""
    u = _loop(frames)
    p = _idle(u)
    arms, hands, legs, spine, head = (t.clone() for t in (p.arms, p.hands, p.legs, p.spine, p.head))
    for first, side, goal, bend, turn in ((0.04, 0, HIGH, -6.0, 6.0), (0.36, 1, LOW, 34.0, -10.0)):
        out = _window(u, first, first + 0.28, 0.11)
        closed = _window(u, first + 0.10, first + 0.24, 0.04)
        arms[:, side] = torch.lerp(arms[:, side], goal.expand_as(arms[:, side]), out[:, None])
        hands[:, side] = torch.lerp(hands[:, side], table(HANDS, ("open",)), (out * (1 - closed))[:, None])
        hands[:, side] = torch.lerp(hands[:, side], table(HANDS, ("grip",)), closed[:, None])
        spine += out[:, None] * torch.tensor([bend, turn, 0.0])
        head += out[:, None] * torch.tensor([0.5 * bend, turn, 0.0])
        if bend > 0:
            legs = torch.lerp(legs, table(LEGS, ("bent", "bent")), 0.8 * out[:, None, None])
    across = _window(u, 0.68, 0.96, 0.1)
    arms = torch.lerp(arms, table(ARMS, ("point", "point")), across[:, None, None])
    hands = torch.lerp(hands, table(HANDS, ("flat", "flat")), across[:, None, None])
    spine[:, 1] += 24 * across * (2 * math.pi * (u - 0.68) / 0.28).sin()
    return assemble(replace(p, arms=arms, hands=hands, legs=legs, spine=spine, head=head))


def look_round(frames: int) -> Motion:
    """Turn half round to the left, wait, and come back by the right; eyes lead, then the head, then the body."""
    u = _loop(frames)
    p = _idle(u)
    step = lambda at, width: ((u - at) / width).clamp(0, 1) * math.pi  # noqa: E731
    ease = lambda at, width: (1 - step(at, width).cos()) / 2  # noqa: E731
    heading = 180 * ease(0.10, 0.28) + 180 * ease(0.58, 0.30)
    lead = _window(u, 0.06, 0.26, 0.08) + _window(u, 0.54, 0.76, 0.08)
    head = p.head + lead[:, None] * torch.tensor([0.0, 28.0, 0.0])
    gaze = p.gaze + (_window(u, 0.04, 0.18, 0.05) + _window(u, 0.52, 0.68, 0.05))[:, None] * torch.tensor([20.0, 0.0])
    return assemble(replace(p, heading=heading, head=head, gaze=gaze))


def talk(frames: int, fps: float) -> Motion:
    """Speech-like: about five syllables a second, beats of head, brows and hands."""
    u = _loop(frames)
    seconds, p = frames / fps, _idle(u)
    on = _window(u, 0.03, 0.97, 0.05)
    beat = (2 * math.pi * _cycles(seconds, 0.9) * u).sin()
    slow = (2 * math.pi * _cycles(seconds, 0.3) * u).sin()
    gesture = table(ARMS, ("explain", "offer")) + beat[:, None, None] * torch.tensor(
        [[3.0, 5, 3, -9, -6, 4, 0], [-3.0, 4, 2, 9, 5, 0, 0]]
    )
    arms = torch.lerp(p.arms, gesture, (on * (0.6 + 0.4 * slow))[:, None, None])
    hands = torch.lerp(p.hands, table(HANDS, ("pinch", "open")), (0.7 * on * (1 + slow) / 2)[:, None, None])
    actions = p.actions * (1 - 0.6 * on[:, None]) + on[:, None] * _speech(u, _cycles(seconds, 5.0))
    actions = actions + (0.4 * on * beat.clamp(min=0))[:, None] * brows()
    head = p.head + on[:, None] * torch.stack([3 * beat, 5 * slow, 2 * beat * slow], 1)
    return assemble(replace(p, arms=arms, hands=hands, head=head, actions=actions.clamp(0, 1)))


def facs_sweep(frames: int) -> Motion:
    """Each of the 52 facial actions alone, from 0 to 1 and back, one after the other; gaze moves for the looks."""
    u = _loop(frames)
    p, count = _idle(u), len(ACTIONS)
    middle = (torch.arange(count) + 0.5) / count
    rise = ((1 + (math.pi * ((u[:, None] - middle) * count / 0.5).clamp(-1, 1)).cos()) / 2).square()
    named = lambda part: sum(rise[:, i] for i, a in enumerate(ACTIONS) if a.startswith(part))  # noqa: E731
    left = named("eyeLookOutLeft") + named("eyeLookInRight")
    right = named("eyeLookInLeft") + named("eyeLookOutRight")
    gaze = torch.stack([30 * (left - right), 25 * (named("eyeLookUp") - named("eyeLookDown"))], 1)
    return assemble(replace(p, arms=_arms("hang", "hang").expand_as(p.arms), head=0 * p.head, gaze=gaze, actions=rise))


def finger_sweep(frames: int) -> Motion:
    """Both hands up: each finger curls alone, all spread, the thumb curls and crosses the palm; left, then right."""
    u = _loop(frames)
    p = _idle(u)
    up = _window(u, 0.0, 1.0, 0.06)
    arms = torch.lerp(p.arms, table(ARMS, ("greet", "greet")), up[:, None, None])
    flat = table(HANDS, ("flat",))[0]
    moves = torch.diag(torch.tensor([0.97, 1, 1, 1, 0.8, 1, 1]))  # curls of four fingers, spread, thumb curl, across
    hands = torch.lerp(p.hands, flat.expand_as(p.hands), up[:, None, None])
    for side in range(2):
        for k, move in enumerate(moves):
            start = 0.08 + 0.84 * (side * 7 + k) / 14
            hands[:, side] = hands[:, side] + _window(u, start, start + 0.058, 0.025)[:, None] * move
    return assemble(replace(p, arms=arms, hands=hands))


def gaze_sweep(frames: int) -> Motion:
    """The eyes draw a lying eight to the ends of their range while the head stays."""
    u = _loop(frames)
    p = _idle(u)
    turn = 2 * math.pi * u
    gaze = torch.stack([27 * turn.sin(), 20 * (2 * turn).sin()], 1)
    return assemble(replace(p, head=0 * p.head, gaze=gaze))


def brows() -> Float[Tensor, " 52"]:
    """Raised brows alone."""
    keep = torch.tensor([float(a.startswith("brow")) for a in ACTIONS])
    return keep * actions_of("surprise")


ROUTINES = {
    "sit": sit, "reach": reach, "look_round": look_round, "facs_sweep": facs_sweep, "finger_sweep": finger_sweep,
    "gaze_sweep": gaze_sweep, "talk": lambda frames: talk(frames, 24.0),
}  # fmt: skip
