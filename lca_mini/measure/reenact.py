"""Faces that drive other faces, and what each part of the driving signal is worth.

Enters: a model; synthetic test people. Leaves: PSNR over the face, the eyes or the hands, dB. Part of the paper: cross-
reenactment, and its correction branch's inputs. Where the paper can only show cross-reenactment, here is a truth: the
second person filmed making the first one's expression.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable

import torch
from jaxtyping import Float
from torch import Tensor

from lca_mini.capture import ROUTINES, Motion, random_frames
from lca_mini.capture.chance import uniforms
from lca_mini.driving import driving_signal, hand_cameras
from lca_mini.measure.stage import (
    avatars_of, driven, eye_cameras, pictures, placed, portrait_cameras, region_masks, spread_over, true_pictures,
)  # fmt: skip
from lca_mini.model import LCA
from lca_mini.people.crowd import grow
from lca_mini.people.splits import seeds_of
from lca_mini.training.metrics import psnr
from lca_mini.types import Avatar, Cameras

FACE_PIXELS, EYE_PIXELS, HAND_PIXELS = 128, 96, 128
JAW = 22
MOVES = 14  # of `finger_sweep`
Tick = Callable[[int], object]


def mean(values: Tensor) -> float:
    """Over everything, rounded for JSON."""
    return round(float(values.double().mean()), 3)


@torch.no_grad()
def measure_reenactment(
    model: LCA, people: int, frames: int, backend: str, tick: Tick = lambda count: None, split: str = "test-studio"
) -> dict[str, Any]:
    """Each person's avatar driven by their own face, by the next person's, by actions, and not at all.

    All four are compared with the same true pictures over the face region. Own and other faces are both seen by a camera
    that is not the one to be reproduced, as crops in training were.
    """
    device = model.anchors.points.device
    rows: dict[str, list[Tensor]] = {"self": [], "cross": [], "actions": [], "neutral": []}
    for i in range(people):
        seeds = seeds_of(split, i, 1)
        avatar, own = avatars_of(model, seeds), random_frames(seeds, frames, "studio").to(device)
        betas = grow(seeds, device).betas
        turns = 2 * uniforms(seeds, 71, frames * 4).view(1, frames, 2, 2).to(device) - 1
        angles = turns * torch.tensor([[0.35, 0.1], [0.87, 0.25]], device=device)  # to be reproduced; for the encoder
        seen = portrait_cameras(model.body, betas, own, FACE_PIXELS, angles[:, :, :1])
        close_up = portrait_cameras(model.body, betas, own, model.config.expression_size, angles[:, :, 1:])
        true, faces = (true_pictures(seeds, own, cameras)[:, :, 0] for cameras in (seen, close_up))
        codes = {"self": model.expression_from_faces(faces), "actions": model.expression_from_actions(own.actions)}
        codes["cross"] = model.expression_from_faces(filmed_like(model, seeds_of(split, (i + 1) % people, 1), own))
        codes["neutral"] = torch.zeros_like(codes["self"])
        masks, signal = region_masks(model.body, betas, own, seen, "face"), driving_signal(model, own)
        for name, code in codes.items():
            renders = pictures(driven(model, avatar, replace(signal, expression=code)), seen, backend)
            rows[name].append(psnr(renders[:, :, 0], true, masks).mean())
        tick(1)
    means = {name: torch.stack(values) for name, values in rows.items()}
    return {
        "psnr": {name: mean(values) for name, values in means.items()},
        "self_minus_cross": mean(means["self"] - means["cross"]), "people": people, "frames": frames, "region": "face",
    }  # fmt: skip


def filmed_like(model: LCA, seeds: Tensor, motion: Motion) -> Float[Tensor, "1 F 3 h w"]:
    """Crops of another person who makes the faces of `motion`, with a head and a camera that move in their own ways."""
    device, frames = motion.pose.device, motion.pose.shape[1]
    other = random_frames(seeds, frames, "studio").to(device)
    pose = other.pose.clone()
    pose[:, :, JAW] = motion.pose[:, :, JAW]
    other = replace(other, pose=pose, gaze=motion.gaze, actions=motion.actions)
    turns = 2 * uniforms(seeds, 72, frames * 2).view(1, frames, 1, 2).to(device) - 1
    angles = turns * torch.tensor([0.87, 0.25], device=device)
    cameras = portrait_cameras(model.body, grow(seeds, device).betas, other, model.config.expression_size, angles)
    return true_pictures(seeds, other, cameras)[:, :, 0]


@torch.no_grad()
def measure_parts(
    model: LCA, people: int, backend: str, every: int = 1, tick: Tick = lambda count: None
) -> dict[str, Any]:
    """What it costs to leave a part of the signal out of the correction branch, where that part matters most.

    Expression: all 52 actions in turn, over the face. Gaze: a gaze sweep, over the eyeballs; the eye joints turn in any
    case. Hands: a finger sweep, over the hand; the finger joints bend in any case. Gaze and hands also over the face on
    the FACS sweep, beside the expression. People of test-studio, true body shapes, driven by actions.

    `cost_if_exact`, of the expression: what it would cost if faces were followed exactly, and drawn as well as neutral ones
    are now. Single actions change few pixels, so that a face which is blurred by itself hides much of what they do.

    Args:
        every: take each `every`-th frame of a sweep.
    """
    sweeps = {"facs": (facs_peaks()[::every], ("expression", "gaze", "hands")),
              "gaze": (ROUTINES["gaze_sweep"](16)[::every], ("gaze",)),
              "fingers": (finger_peaks()[::every], ("hands",))}  # fmt: skip
    found: dict[tuple[str, str], list[Tensor]] = {}
    for i in range(people):
        seeds = seeds_of("test-studio", i, 1)
        avatar = avatars_of(model, seeds)
        for sweep, (clip, parts) in sweeps.items():
            costs = parts_of_one(model, avatar, seeds, spread_over(clip, 1), sweep, parts, backend)
            for part, value in costs.items():
                found.setdefault((sweep, part), []).append(value)
        tick(1)
    means = {key: torch.stack(values) for key, values in found.items()}
    kept = means.pop(("facs", NEUTRAL))
    table = [
        {"removed": part, "sweep": sweep, "region": REGION[sweep], "with": mean(means[sweep, "nothing"]),
         "without": mean(values), "cost": mean(means[sweep, "nothing"] - values)}
        | ({"cost_if_exact": mean(kept - values)} if part == "expression" else {})
        for (sweep, part), values in means.items() if part != "nothing"
    ]  # fmt: skip
    return {"parts": table, "people": people}


REGION = {"facs": "face", "gaze": "eyes", "fingers": "hands"}
NEUTRAL = "expression, neutral truth"


def parts_of_one(
    model: LCA, avatar: Avatar, seeds: Tensor, motion: Motion, sweep: str, parts: tuple[str, ...], backend: str
) -> dict[str, Tensor]:
    """PSNR of one person over a sweep's region with nothing left out, and without each part; on the FACS sweep also without
    expression against the person whose face keeps still."""
    motion = motion.to(avatar.betas.device)
    cameras = sweep_cameras(model, avatar.betas, motion, sweep)
    true = true_pictures(seeds, motion, cameras)[:, :, 0]
    masks, signal = region_masks(model.body, avatar.betas, motion, cameras, REGION[sweep]), driving_signal(model, motion)
    seen = masks.sum((-3, -2, -1)) > 0
    found = {}
    for part in ("nothing", *parts):
        gaussians = driven(model, avatar, signal, None if part == "nothing" else part)
        drawn = pictures(gaussians, cameras, backend)[:, :, 0]
        found[part] = psnr(drawn, true, masks)[seen].mean()
        if part == "expression":
            still = replace(motion, actions=torch.zeros_like(motion.actions))
            found[NEUTRAL] = psnr(drawn, true_pictures(seeds, still, cameras)[:, :, 0], masks)[seen].mean()
    return found


def sweep_cameras(model: LCA, betas: Float[Tensor, "B K"], motion: Motion, sweep: str) -> Cameras:
    """Straight at the face, at both eyes, or at the hand that moves: [B F 1]."""
    if sweep == "facs":
        return portrait_cameras(model.body, betas, motion, FACE_PIXELS, motion.gaze.new_zeros(*motion.gaze.shape[:2], 1, 2))
    if sweep == "gaze":
        return eye_cameras(model.body, betas, motion, EYE_PIXELS)
    joints, ahead = placed(model.body, betas, motion)[0], torch.zeros(1, device=betas.device)
    left, right = (hand_cameras(joints, ahead, HAND_PIXELS, side) for side in ("left", "right"))
    curled = motion.pose[..., 25:40, :].norm(dim=-1).sum(-1) >= motion.pose[..., 40:55, :].norm(dim=-1).sum(-1)
    return Cameras(torch.where(curled[..., None, None, None], left.viewmats, right.viewmats), left.Ks, HAND_PIXELS,
                   HAND_PIXELS)  # fmt: skip


def facs_peaks() -> Motion:
    """The 52 moments of `facs_sweep` at which one action is at its height, in the order of `ACTIONS`."""
    return ROUTINES["facs_sweep"](104)[1::2]


def finger_peaks() -> Motion:
    """The 14 moments of `finger_sweep` at which one movement is at its height; left hand first."""
    sweep = ROUTINES["finger_sweep"](400)
    return sweep[torch.tensor([round(400 * (0.08 + 0.84 * k / MOVES + 0.029)) for k in range(MOVES)])]
