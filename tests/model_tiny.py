"""A body, a config and inputs so small that a whole model runs in milliseconds; for the tests of the model room."""

from __future__ import annotations

from dataclasses import replace

import torch

from lca_mini.body import PARENTS, Anchors, Body, anchors_at
from lca_mini.config import Config, preset
from lca_mini.model.lca import LCA
from lca_mini.types import DrivingSignal

BETAS = 5


def tiny_config(**changes: object) -> Config:
    """nano, smaller still."""
    return replace(preset("nano"), image_size=32, face_size=16, patch_size=8, width=48, heads=4, anchors=24,
                   gaussians_per_anchor=3, correction_hidden=16, num_betas=BETAS, expression_dim=8, **changes)


def tiny_body() -> Body:
    """One triangle a joint, skinned to it and, at one corner, to another one."""
    generator = torch.Generator().manual_seed(0)
    joints = torch.rand(55, 3, generator=generator) - 0.5
    corners = torch.randn(55, 3, 3, generator=generator) * 0.05
    template = (joints[:, None] + corners).reshape(165, 3)
    shapedirs = 0.01 * torch.randn(165, 3, BETAS, generator=generator)
    skin = torch.eye(55).repeat_interleave(3, 0)
    exprdirs = 0.01 * torch.randn(165, 3, 52, generator=generator)
    return Body(
        template=template, shapedirs=shapedirs, exprdirs=exprdirs, skin_weights=0.5 * (skin + skin.roll(1, 0)),
        joint_template=joints, joint_shapedirs=shapedirs[::3], joint_exprdirs=exprdirs[::3],
        faces=torch.arange(165).reshape(55, 3), uvs=torch.rand(165, 2, generator=generator),
        uv_faces=torch.arange(165).reshape(55, 3), posedirs=None, parents=tuple(PARENTS), name="tiny-0",
    )


def tiny_anchors(body: Body, count: int) -> Anchors:
    """Random points of random triangles."""
    generator = torch.Generator().manual_seed(1)
    faces = torch.randint(55, (count,), generator=generator)
    return anchors_at(body, faces, torch.softmax(torch.randn(count, 3, generator=generator), dim=1))


def tiny_model(seed: int = 0, corrected: bool = True, **changes: object) -> LCA:
    """Random weights; `corrected`: with every zero-initialised layer perturbed."""
    torch.manual_seed(seed)
    config, body = tiny_config(**changes), tiny_body()
    model = LCA(config, body, tiny_anchors(body, config.anchors))
    if corrected:
        with torch.no_grad():
            for parameter in model.parameters():
                if not parameter.any():
                    parameter.normal_(std=0.1)
    return model


def tiny_images(people: int = 2, pictures: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise: images and face images of `tiny_config`."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(people, pictures, 3, 32, 32, generator=generator),
            torch.rand(people, pictures, 3, 16, 16, generator=generator))


def tiny_signal(*batch: int, seed: int = 0, scale: float = 0.3) -> DrivingSignal:
    """Random poses; a `scale` of zero is the T-pose."""
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> torch.Tensor:
        return scale * torch.randn(*batch, *shape, generator=generator)

    return DrivingSignal(pose=noise(55, 3), transl=noise(3), expression=noise(8), gaze=noise(4))
