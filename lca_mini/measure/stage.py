"""What the measurements of driving film and render: people doing what they are told, before known cameras.

Enters: seeds and `Motion`. Leaves: true pictures, cameras, masks of a region, avatars, renders with parts of the
correction branch's input left out. It stands in for the paper's studio.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lca_mini.body import Body, bone_transforms, posed_vertices, rest_joints, with_gaze
from lca_mini.body.lbs import carry_points
from lca_mini.capture import Motion, crop_camera, frame_person, look_at, random_lights
from lca_mini.capture.film import film, sample_people
from lca_mini.capture.rigs import intrinsics
from lca_mini.driving import cameras_round
from lca_mini.model import LCA
from lca_mini.people.crowd import grow
from lca_mini.render import render
from lca_mini.training.regions import template_seen
from lca_mini.types import Avatar, Cameras, DrivingSignal, Gaussians

HEAD = 15
FACE_MOVES = 0.001  # metres by which an action at 1 moves a vertex of the face region
PARTS = ("expression", "gaze", "hands")


def spread_over(motion: Motion, people: int) -> Motion:
    """One clip [F ...] for everybody: [B F ...]."""
    return motion.map(lambda t: t[None].expand(people, *t.shape))


def placed(body: Body, betas: Float[Tensor, "B K"], motion: Motion) -> tuple[Tensor, Tensor]:
    """True joints [B F 55 3] and bones' transforms [B F 55 4 4], world frame."""
    rest = rest_joints(body, betas)[:, None].expand(motion.pose.shape)
    transforms = bone_transforms(with_gaze(motion.pose, motion.gaze), rest, body.parents)
    return carry_points(transforms[..., :3, :], rest) + motion.transl[..., None, :], transforms


def portrait_cameras(
    body: Body, betas: Float[Tensor, "B K"], motion: Motion, size: int, angles: Float[Tensor, "B F C 2"]
) -> Cameras:
    """Close-ups of heads [B F C], framed as the expression encoder's crops in training are.

    Args:
        angles: yaw and pitch of each camera from straight ahead of the face, radians.
    """
    head = (body.skin_weights[:, HEAD] + body.skin_weights[:, HEAD + 7] > 0.8) & (body.template[:, 1] > 0.58)
    ids = head.nonzero()[::9, 0]
    shape = motion.pose.shape[:2]
    points = posed_vertices(body, betas[:, None].expand(*shape, -1), motion.pose, motion.transl, motion.actions)[:, :, ids]
    turn = placed(body, betas, motion)[1][..., HEAD, None, :3, :3]
    yaw, pitch = angles.unbind(-1)
    ray = torch.stack([yaw.sin() * pitch.cos(), pitch.sin(), yaw.cos() * pitch.cos()], -1)
    centre = points.mean(2)[:, :, None].expand(ray.shape)
    viewmats = look_at(centre + 1.2 * (turn @ ray[..., None])[..., 0], centre, turn[..., 1].expand(ray.shape))
    Ks = intrinsics(torch.full_like(yaw, 0.6))
    box = frame_person(points[:, :, None].expand(*yaw.shape, -1, 3), viewmats, Ks, 0.2)
    return Cameras(viewmats, crop_camera(Ks, box, size), size, size)


def eye_cameras(body: Body, betas: Float[Tensor, "B K"], motion: Motion, size: int, width: float = 0.1) -> Cameras:
    """Straight ahead of the face, both eyes and no more, `width` metres across: [B F 1]."""
    joints, transforms = placed(body, betas, motion)
    ahead = transforms[..., HEAD, :3, 2:3].mT * 1.2
    return cameras_round(joints[..., 23:25, :].mean(-2), ahead, width / 1.2, size)


@torch.no_grad()
def true_pictures(seeds: Int[Tensor, " B"], motion: Motion, cameras: Cameras) -> Float[Tensor, "B F C 3 H W"]:
    """These people, filmed in the studio's light over white."""
    device = motion.pose.device
    return film(grow(seeds, device), motion, cameras, random_lights(seeds.to(device), "studio"), shadows=False)[0]


def avatars_of(model: LCA, seeds: Int[Tensor, " B"], references: int = 8) -> Avatar:
    """Avatars of studio pictures, with the true body shapes."""
    config, device = model.config, model.anchors.points.device
    sample = sample_people(seeds, "studio", references, 1, config.image_size, config.face_size, device, len(seeds))
    return model.encode(sample.images, sample.face_images, betas=sample.betas)


def region(body: Body, name: str) -> Bool[Tensor, " V"]:
    """Vertices of the "face" (what facial actions move, and the eyeballs), the "eyes" (the balls), or the "hands"."""
    weights = body.skin_weights
    if name == "hands":
        return weights[:, [20, 21, *range(25, 55)]].sum(1) > 0.5
    eyes = weights[:, 23:25].sum(1) > 0.5
    return eyes if name == "eyes" else eyes | (body.exprdirs.norm(dim=1).amax(-1) > FACE_MOVES)


def region_masks(
    body: Body, betas: Float[Tensor, "B K"], motion: Motion, cameras: Cameras, name: str
) -> Float[Tensor, "B F 1 H W"]:
    """Where the true body's region is seen by the first camera; hair, hats and glasses before it count with it."""
    seen = template_seen(body, betas, motion, cameras[:, :, :1])
    inside = region(body, name)[body.faces].all(1)
    return ((seen >= 0) & inside[seen.clamp(min=0)])[:, :, None].float()


def driven(model: LCA, avatar: Avatar, signal: DrivingSignal, without: str | None = None) -> Gaussians:
    """`LCA.drive`, or the same with a part of the correction branch's input at rest; the skeleton moves as before.

    Args:
        without: "expression" (epsilon zero, a neutral face), "gaze" (psi zero) or "hands" (their joints straight).
    Raises: ValueError for another part.
    """
    if without is not None and without not in PARTS:
        raise ValueError(f"no part {without!r} of the driving signal; choose one of {', '.join(PARTS)}")
    told = signal
    if without == "hands":
        told = replace(signal, pose=torch.cat([signal.pose[..., :25, :], torch.zeros_like(signal.pose[..., 25:, :])], -2))
    elif without is not None:
        told = replace(signal, **{without: torch.zeros_like(getattr(signal, without))})
    return model.posed(avatar, signal, model.correct(avatar, told))


def pictures(gaussians: Gaussians, cameras: Cameras, backend: str) -> Float[Tensor, "B F C 3 H W"]:
    """Renders over white."""
    return render(gaussians, cameras, backend).colors.clamp(0, 1).movedim(-1, -3)
