"""Clips to show an avatar with: a walk, a turntable, a performance. Smooth, and the last frame meets the first.

Enters: a clip's length. Leaves: `Motion` with one leading axis, frames. Not part of the paper, whose demonstrations are
driven by captured people.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from lca_mini.capture.gestures import ARMS, HANDS, LEGS, actions_of, table
from lca_mini.capture.motion import Motion, Posture, assemble

_SYLLABLES = ("mm", "aa", "ee", "ff", "oo", "aa", "mm", "ee", "aa", "oo", "neutral")
_COUNT = ("point", "peace", "three", "four", "open")


def turntable(frames: int) -> Motion:
    """A calm person turns once to the left."""
    u = _loop(frames)
    return assemble(replace(_idle(u), arms=_arms("away", "away").expand(frames, 2, 7), heading=360 * u))


def walk(frames: int, fps: float) -> Motion:
    """Walking on the spot, about one stride a second."""
    u = _loop(frames)
    return assemble(_stride(_idle(u), u, _cycles(frames / fps, 0.95), torch.ones_like(u)))


def performance(frames: int, fps: float) -> Motion:
    """Idle, a wave, talk with gestures, counting on the fingers, looking about, a walk on the spot; then again.

    The parts keep their shares of the clip; about 12 seconds look natural.
    """
    u, seconds = _loop(frames), frames / fps
    p = _idle(u)
    arms, hands, actions = p.arms.clone(), p.hands.clone(), p.actions.clone()
    head, spine = p.head.clone(), p.spine.clone()

    wave = _window(u, 0.05, 0.23, 0.05)
    swing = (2 * math.pi * _cycles(seconds, 1.7) * u).sin()
    waving = table(ARMS, ("wave",)) + swing[:, None] * torch.tensor([2.0, 0, 10, 14, 0, 0, 8])
    arms[:, 1] = torch.lerp(arms[:, 1], waving, wave[:, None])
    hands[:, 1] = torch.lerp(hands[:, 1], table(HANDS, ("open",)), wave[:, None])
    actions += wave[:, None] * actions_of("smile")
    head[:, 2] += -6 * wave

    talk = _window(u, 0.25, 0.47, 0.04)
    beat = (2 * math.pi * _cycles(seconds, 0.9) * u).sin()
    explaining = table(ARMS, ("explain", "offer")) + beat[:, None, None] * torch.tensor(
        [[3.0, 5, 3, -9, -6, 4, 0], [-3.0, 4, 2, 9, 5, 0, 0]]
    )
    arms = torch.lerp(arms, explaining, talk[:, None, None])
    hands = torch.lerp(hands, table(HANDS, ("pinch", "open")), 0.8 * talk[:, None, None])
    actions += talk[:, None] * _speech(u, _cycles(seconds, 5.5))
    actions += (talk * 0.35 * (1 + beat) / 2)[:, None] * actions_of("surprise") * (actions_of("shout") == 0)
    head[:, 0] += 4 * talk * beat

    count = _window(u, 0.49, 0.67, 0.03)
    fingers = _keys(u, 0.51, 0.65, torch.cat([table(HANDS, ("fist",)), table(HANDS, _COUNT)]))
    arms[:, 0] = torch.lerp(arms[:, 0], table(ARMS, ("greet",)), count[:, None])
    hands[:, 0] = torch.lerp(hands[:, 0], fingers, count[:, None])
    actions += count[:, None] * 0.4 * actions_of("doubt")

    about = _window(u, 0.68, 0.79, 0.03)
    sweep = torch.stack([(2 * math.pi * (u - 0.68) / 0.11).sin(), 0.6 * (4 * math.pi * (u - 0.68) / 0.11).sin()], 1)
    gaze = p.gaze + about[:, None] * sweep * torch.tensor([24.0, 16.0])
    head[:, 1] += 16 * about * sweep[:, 0]
    actions += (about * _window(u, 0.745, 0.785, 0.015))[:, None] * actions_of("wink")
    spine[:, 1] += 6 * about * sweep[:, 0]

    p = replace(p, arms=arms, hands=hands, head=head, spine=spine, gaze=gaze, actions=actions.clamp(0, 1))
    return assemble(_stride(p, u, _cycles(seconds, 0.95), _window(u, 0.80, 0.98, 0.04)))


def _loop(frames: int) -> Float[Tensor, " F"]:
    if frames < 1:
        raise ValueError(f"a clip of {frames} frames; ask for one at least")
    return torch.arange(frames) / frames


def _cycles(seconds: float, per_second: float) -> int:
    return max(1, round(seconds * per_second))


def _window(u: Tensor, start: float, end: float, ramp: float) -> Tensor:
    """0, then smoothly 1 between start and end, then 0."""
    up, down = ((u - start) / ramp).clamp(0, 1), ((end - u) / ramp).clamp(0, 1)
    return up * up * (3 - 2 * up) * down * down * (3 - 2 * down)


def _keys(u: Tensor, start: float, end: float, rows: Tensor) -> Tensor:
    """From row to row, resting on each, [F numbers]."""
    at = ((u - start) / (end - start)).clamp(0, 1) * (len(rows) - 1)
    low = at.floor().long().clamp(max=len(rows) - 2)
    t = ((at - low) * 1.8 - 0.4).clamp(0, 1)
    return torch.lerp(rows[low], rows[low + 1], (t * t * (3 - 2 * t))[:, None])


def _speech(u: Tensor, syllables: int) -> Tensor:
    faces = torch.stack([actions_of(_SYLLABLES[i % len(_SYLLABLES)]) for i in range(syllables + 1)])
    return _keys(u, 0.0, 1.0, faces)


def _idle(u: Tensor) -> Posture:
    """Standing, swaying a little, blinking."""
    turn = 2 * math.pi * u
    frames = len(u)
    sway = torch.stack([turn.sin(), (2 * turn + 1).sin(), (3 * turn + 2).sin()], 1)
    blink = sum(_window(u, a, a + 0.012, 0.005) for a in (0.03, 0.21, 0.36, 0.55, 0.9))
    arms = _arms("hang", "hang") + sway[:, None, :1] * torch.tensor([1.0, 1, 0, 2, 0, 0, 0])
    return Posture(
        arms=arms,
        hands=table(HANDS, ("relaxed", "relaxed")).expand(frames, 2, 7),
        legs=table(LEGS, ("straight", "spread")).expand(frames, 2, 4),
        spine=torch.tensor([2.0, 0, 0]) + sway * torch.tensor([0.8, 1.5, 0.8]),
        head=sway * torch.tensor([1.5, 3.0, 1.5]),
        heading=torch.zeros(frames),
        gaze=torch.zeros(frames, 2),
        jaw=torch.zeros(frames),
        actions=0.15 * actions_of("smile") + blink[:, None] * actions_of("blink"),
    )


def _arms(left: str, right: str) -> Tensor:
    return table(ARMS, (left, right))


def _stride(p: Posture, u: Tensor, cycles: int, amount: Tensor) -> Posture:
    """Mix a walk into a posture, by `amount` [F]."""
    phase = torch.stack([2 * math.pi * cycles * u, 2 * math.pi * cycles * u + math.pi], 1)
    swing = ((1 + (phase + 0.35).cos()) / 2).square()
    zero = torch.zeros_like(phase)
    legs = torch.stack([5 + 24 * phase.sin(), zero + 2, zero + 5, 6 + 50 * swing], -1)
    forward, elbow = 4 - 24 * phase.sin(), 24 - 12 * phase.sin()
    arms = torch.stack([zero + 66, forward, zero + 5, elbow, zero, zero + 4, zero], -1)
    w = amount[:, None, None]
    twist = torch.stack([zero[:, 0] + 3, 7 * phase[:, 0].sin(), zero[:, 0]], 1)
    return replace(
        p, arms=torch.lerp(p.arms, arms, w), legs=torch.lerp(p.legs, legs, w), spine=p.spine + amount[:, None] * twist
    )
