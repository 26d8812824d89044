"""Do the eyes look where they were told? A reader of gaze, taught on true pictures, is asked about renders.

Enters: a model; synthetic people. Leaves: angles in degrees. Part of the paper: psi. The reader is a small convolutional
network on one crop of both eyes; it learns from train people filmed with known gaze, blurred and dimmed at random so that
a soft render is no new world to it. Its own error on true pictures of test people says how far it can be trusted.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from lca_mini.capture import Motion, turntable
from lca_mini.capture.chance import uniforms
from lca_mini.capture.motion import look
from lca_mini.driving import driving_signal
from lca_mini.measure.probe import AT_ONCE
from lca_mini.measure.stage import avatars_of, eye_cameras, pictures, true_pictures
from lca_mini.model import LCA
from lca_mini.people.crowd import grow
from lca_mini.people.splits import seeds_of

PIXELS, ROWS = 96, (32, 64)
LIMITS = (27.0, 20.0)  # degrees of yaw and pitch
Tick = Callable[[int], object]


def looking_about(seeds: Tensor, frames: int) -> tuple[Motion, Float[Tensor, "B F 2"]]:
    """Calm people whose eyes look anywhere; and where, yaw and pitch in degrees."""
    degrees = (2 * uniforms(seeds.cpu(), 81, frames * 2).view(len(seeds), frames, 2) - 1) * torch.tensor(LIMITS)
    motion = turntable(1)[torch.zeros(frames, dtype=torch.long)]
    motion = motion.map(lambda t: t[None].expand(len(seeds), *t.shape))
    motion = replace(motion, gaze=torch.deg2rad(degrees).repeat(1, 1, 2), actions=look(motion.actions, degrees))
    return motion, degrees


def film_eyes(model: LCA, split: str, start: int, people: int, frames: int, tick: Tick) -> tuple[Tensor, Tensor]:
    """True crops [n 3 h w] of people's eyes and where they look [n 2], degrees."""
    device, crops, angles = model.anchors.points.device, [], []
    for seeds in seeds_of(split, start, people).split(AT_ONCE[device.type]):
        motion, degrees = looking_about(seeds, frames)
        motion = motion.to(device)
        cameras = eye_cameras(model.body, grow(seeds, device).betas, motion, PIXELS)
        crops.append(eyes_of(true_pictures(seeds, motion, cameras)))
        angles.append(degrees.flatten(0, 1).to(device))
        tick(len(seeds))
    return torch.cat(crops), torch.cat(angles)


def eyes_of(images: Float[Tensor, "B F 1 3 H W"]) -> Float[Tensor, "n 3 h W"]:
    """The middle rows of an eye camera's pictures."""
    return images[:, :, 0].flatten(0, 1)[..., slice(*ROWS), :]


class GazeReader(nn.Module):
    """Crop to yaw and pitch, degrees."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((3, 24), (24, 48), (48, 64)):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(4, after), nn.SiLU()]
        size = 64 * (ROWS[1] - ROWS[0]) // 8 * PIXELS // 8
        self.net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(size, 64), nn.SiLU(), nn.Linear(64, 2))

    def forward(self, crops: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 2"]:
        flat = crops - crops.mean((-3, -2, -1), keepdim=True)
        return 20 * self.net(flat / flat.std((-3, -2, -1), keepdim=True).clamp(min=1e-3))


def teach(crops: Float[Tensor, "n 3 h w"], degrees: Float[Tensor, "n 2"], steps: int, seed: int = 0) -> GazeReader:
    """A reader that has seen these crops, shifted by up to 2 pixels, softened and dimmed at random."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        reader = GazeReader().to(crops.device)
        optimiser = torch.optim.AdamW(reader.parameters(), lr=2e-3, weight_decay=0.02)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=max(2, steps))
        for _ in range(steps):
            which = torch.randint(len(crops), (64,), generator=generator).to(crops.device)
            batch, chance = crops[which], torch.rand(4, generator=generator).tolist()
            shift = (round(4 * chance[0] - 2), round(4 * chance[1] - 2))
            batch = soften(torch.roll(batch, shift, (-2, -1)), 1.6 * chance[2]) * (0.8 + 0.3 * chance[3])
            loss = F.smooth_l1_loss(reader(batch) / 5, degrees[which] / 5)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return reader.eval().requires_grad_(False)


def soften(images: Float[Tensor, "n 3 h w"], sigma: float) -> Float[Tensor, "n 3 h w"]:
    """Gaussian blur of `sigma` pixels."""
    if sigma < 0.2:
        return images
    reach = torch.arange(-4, 5, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (reach / sigma).square())
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, 9)
    images = F.conv2d(F.pad(images, (4, 4, 0, 0), mode="replicate"), kernel, groups=3)
    return F.conv2d(F.pad(images, (0, 0, 4, 4), mode="replicate"), kernel.mT, groups=3)


def apart(a: Float[Tensor, "n 2"], b: Float[Tensor, "n 2"]) -> Float[Tensor, " n"]:
    """The angle between two directions of (yaw, pitch), degrees."""
    (yaw_a, pitch_a), (yaw_b, pitch_b) = (torch.deg2rad(x.double()).unbind(-1) for x in (a, b))
    cosine = pitch_a.sin() * pitch_b.sin() + pitch_a.cos() * pitch_b.cos() * (yaw_a - yaw_b).cos()
    return cosine.clamp(-1, 1).acos() * (180 / math.pi)


@torch.no_grad()
def measure_gaze(
    model: LCA, train_people: int, people: int, frames: int, steps: int, backend: str, tick: Tick = lambda count: None
) -> dict[str, Any]:
    """`read_gaze` by a `reader_of` so many people, of test people in the studio."""
    reader = reader_of(model, train_people, frames, steps, tick)
    found = read_gaze(model, reader, "test-studio", people, frames, backend, tick)
    return found | {"train_people": train_people, "people": people, "frames": frames, "steps": steps, "pixels": PIXELS}


def reader_of(model: LCA, people: int, frames: int, steps: int, tick: Tick = lambda count: None) -> GazeReader:
    """A reader taught on so many train people; of the model, only the body and the device count."""
    return teach(*film_eyes(model, "train", 10_000, people, frames, tick), steps)


@torch.no_grad()
def read_gaze(
    model: LCA, reader: GazeReader, split: str, people: int, frames: int, backend: str, tick: Tick = lambda count: None
) -> dict[str, float]:
    """The reader's error on renders of people, on true pictures of them, and that of always saying straight ahead.

    Eyes of people with sunglasses count like all others.
    """
    device = model.anchors.points.device
    true, degrees = film_eyes(model, split, 0, people, frames, tick)
    read = []
    for seeds in seeds_of(split, 0, people).split(1):
        motion = looking_about(seeds, frames)[0].to(device)
        avatar = avatars_of(model, seeds)
        cameras = eye_cameras(model.body, avatar.betas, motion, PIXELS)
        gaussians = model.drive(avatar, driving_signal(model, motion))
        read.append(reader(eyes_of(pictures(gaussians, cameras, backend))))
        tick(1)
    found = torch.cat(read)
    slope = (found * degrees).sum(0) / degrees.square().sum(0)
    return {
        "renders_degrees": round(float(apart(found, degrees).mean()), 2),
        "true_pictures_degrees": round(float(apart(reader(true), degrees).mean()), 2),
        "always_straight_degrees": round(float(apart(0 * degrees, degrees).mean()), 2),
        "yaw_read_per_degree": round(float(slope[0]), 3), "pitch_read_per_degree": round(float(slope[1]), 3),
    }  # fmt: skip
