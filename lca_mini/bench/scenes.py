"""What is measured: a figure of ellipsoids for rendering alone, and a real avatar, posed, that fills the frame.

Enters: sizes and seeds. Leaves: Gaussians and cameras; or a model, an avatar, driving signals and cameras. No part of
the paper.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch

from lca_mini.model import LCA
from lca_mini.types import Avatar, Cameras, DrivingSignal, Gaussians

# (centre, half axes) in metres, y up, feet at 0: torso, head, legs, arms held out
LIMBS = (
    ((0.0, 1.20, 0.0), (0.17, 0.30, 0.11)), ((0.0, 1.65, 0.0), (0.09, 0.13, 0.10)),
    ((0.10, 0.48, 0.0), (0.085, 0.48, 0.085)), ((-0.10, 0.48, 0.0), (0.085, 0.48, 0.085)),
    ((0.45, 1.40, 0.0), (0.33, 0.05, 0.05)), ((-0.45, 1.40, 0.0), (0.33, 0.05, 0.05)),
)
STATURE = 1.78
CLIP, MOMENT = 288, 40  # frames of the built-in performance, and where waving begins
CORRECTION = 0.1  # standard deviation of a random model's last weights of corrections and light: zero would do nothing


def human_figure(count: int, seed: int = 0) -> Gaussians:
    """Gaussians [N .] on a figure of ellipsoids: flat on the surface, as wide as they lie apart, mostly opaque."""
    g = torch.Generator().manual_seed(seed)
    centres, axes = (torch.tensor(part) for part in zip(*LIMBS))
    p = 1.6075  # Thomsen's formula for the area of an ellipsoid
    products = torch.stack([axes[:, 0] * axes[:, 1], axes[:, 0] * axes[:, 2], axes[:, 1] * axes[:, 2]], dim=-1)
    areas = 4 * math.pi * products.pow(p).mean(-1).pow(1 / p)
    limb = torch.multinomial(areas, count, replacement=True, generator=g)
    sphere = torch.nn.functional.normalize(torch.randn(count, 3, generator=g), dim=-1)
    normals = torch.nn.functional.normalize(sphere / axes[limb], dim=-1)
    # the shortest turn from z to the normal, then a spin about it: wxyz
    turn = torch.stack([1 + normals[:, 2].abs(), -normals[:, 1], normals[:, 0], torch.zeros(count)], dim=-1)
    spacing = math.sqrt(areas.sum().item() / count)
    scales = spacing * torch.tensor([1.0, 1.0, 0.3]) * torch.exp(0.3 * torch.randn(count, 3, generator=g))
    return Gaussians(
        means=sphere * axes[limb] + centres[limb], quats=torch.nn.functional.normalize(turn, dim=-1), scales=scales,
        opacities=torch.empty(count).uniform_(0.6, 0.99, generator=g), colors=torch.rand(count, 3, generator=g),
    )


def front_camera(size: int) -> Cameras:
    """One square camera [1 .], three metres away, whose frame the figure fills from top to bottom."""
    focal = 0.95 * size * 3.0 / STATURE
    view = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
    view[:3, 3] = torch.tensor([0.0, STATURE / 2, 3.0])
    K = torch.tensor([[focal, 0.0, size / 2], [0.0, focal, size / 2], [0.0, 0.0, 1.0]])
    return Cameras(view[None], K[None], size, size)


@dataclass(frozen=True)
class Scene:
    """An avatar of B people, F frames of waving for each [B F .], and a camera [B F 1 .] whose frame the body fills.
    weights: "mini", or "random" where a preset ships none."""

    model: LCA
    avatar: Avatar
    signal: DrivingSignal
    cameras: Cameras
    weights: str


def posed_avatar(preset: str, size: int, device: str, people: int = 1, frames: int = 1) -> Scene:
    """The packaged person by the packaged weights; or random weights, whose Gaussians lie on the body all the same."""
    from lca_mini.capture import performance
    from lca_mini.driving import body_cameras, driving_signal, posed_joints

    (model, weights), one = make_model(preset, device), make_avatar(preset, device)
    with torch.no_grad():
        clip = performance(CLIP, 24)[[(MOMENT + i) % CLIP for i in range(frames)]]
        alone = driving_signal(model, clip[None])
        views = body_cameras(posed_joints(model, one, alone), torch.zeros(1, device=device), size)

    def each(t: torch.Tensor) -> torch.Tensor:
        return t.expand(people, *t.shape[1:]).clone()

    return Scene(model, one.map(each), alone.map(each), views.map(each), weights)


@lru_cache(maxsize=1)
def make_model(preset: str, device: str) -> tuple[LCA, str]:
    """A preset's model, kept for the next measurement, and where its weights come from."""
    from lca_mini.body import load_body
    from lca_mini.config import preset as config_of
    from lca_mini.model import build, load
    from lca_mini.model.checkpoint import ASSETS

    config = config_of(preset)
    if (ASSETS / preset).is_dir():
        return load(preset, device), preset
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build(config, load_body(num_betas=config.num_betas))
        for last in (model.correction_branch.out, model.light_head.head[-1]):
            last.weight.data.normal_(std=CORRECTION)
    return model.to(device).eval().requires_grad_(False), "random"


@lru_cache(maxsize=1)
@torch.no_grad()
def make_avatar(preset: str, device: str) -> Avatar:
    """Of eight pictures by that model, kept too."""
    model, weights = make_model(preset, device)
    with torch.autocast("cuda", torch.bfloat16, enabled=torch.device(device).type == "cuda"):
        return model.encode(*pictures(model, 8, weights == "random", device))


def pictures(model: LCA, count: int, noise: bool, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and face images [1 S 3 . .]: noise, or the packaged person (at most eight pictures)."""
    config = model.config
    if noise:
        g = torch.Generator().manual_seed(0)
        return tuple(torch.rand(1, count, 3, side, side, generator=g).to(device)
                     for side in (config.image_size, config.face_size))  # fmt: skip
    from lca_mini.data import prepare, read_photos
    from lca_mini.demo import EXAMPLE

    images, faces = prepare(read_photos(EXAMPLE), config.image_size, config.face_size, model.find_faces, device)
    return images[:, :count], faces[:, :count]
