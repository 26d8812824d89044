"""Film a crowd: meshes to pictures by deferred shading.

Enters: people, their movement, cameras, light. Leaves: sRGB pictures over white with exact masks. It stands in for the
paper's videos in the wild and its studio captures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lca_mini.body import rest_joints
from lca_mini.capture.chance import uniforms
from lca_mini.capture.constants import constant
from lca_mini.capture.motion import Motion, random_frames
from lca_mini.capture.rigs import (
    crop_camera, frame_person, intrinsics, look_at, relative_box, studio_cameras, upper_body, wild_cameras,
)  # fmt: skip
from lca_mini.capture.shading import Light, random_lights, resolve
from lca_mini.capture.stage import set_stage, shoot, surface_cells
from lca_mini.capture.styles import style_of
from lca_mini.capture.takes import Studio, studio_light, studio_moments
from lca_mini.capture.wild import Tracker, Wild, as_the_phone_sees, occlude, photograph, tracked
from lca_mini.people.crowd import Crowd, body_on, grow, posed
from lca_mini.people.wardrobe import SHOES, SKIN, TAIL, wardrobe
from lca_mini.types import Cameras, Sample, join

SAMPLE_KINDS = ("wild", "studio", "stylised")


@torch.no_grad()
def film(
    crowd: Crowd, frames: Motion, cameras: Cameras, light: Light, supersample: int = 2, shadows: bool = True
) -> tuple[Float[Tensor, "B F C 3 H W"], Float[Tensor, "B F C 1 H W"]]:
    """Pictures of each person at each frame through each camera, and coverage masks.

    Args:
        frames: [B F ...]
        cameras: viewmats [B F C 4 4], Ks [B F C 3 3].
        light: of B people.
        supersample: samples along each axis of a pixel.
    Raises: ValueError where people, frames and cameras disagree.
    """
    shape = cameras.viewmats.shape[:3]
    if frames.pose.shape[:2] != shape[:2] or len(crowd.seeds) != shape[0]:
        raise ValueError(
            f"{len(crowd.seeds)} people and frames of shape {tuple(frames.pose.shape[:2])} do not fit cameras of shape "
            f"{tuple(shape)}"
        )
    vertices = posed(crowd, frames.pose, frames.transl, frames.gaze, frames.actions, frames.swing)
    stage = set_stage(crowd, vertices, light, shadows)
    flat = Cameras(cameras.viewmats.flatten(0, 1), cameras.Ks.flatten(0, 1), cameras.width, cameras.height)
    images, masks = resolve(shoot(stage, [flat], supersample)[0])
    return images.unflatten(0, shape[:2]), masks.unflatten(0, shape[:2])


def people_at_once(device: torch.device | str) -> int:
    """How many people `sample_people` films together: 8 on a CPU; on a GPU one for each GiB that it has, at most 128."""
    if torch.device(device).type == "cpu":
        return 8
    return max(1, min(128, torch.cuda.get_device_properties(device).total_memory >> 30))


@contextmanager
def small_steps(device: torch.device) -> Iterator[None]:
    """Where postures are drawn for a GPU: hundreds of small steps, which a CPU takes faster, and one thread faster than
    many that wait for each other (with 32 threads beside another job, filming took four times as long)."""
    threads = torch.get_num_threads()
    if device.type != "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@torch.no_grad()
def sample_people(
    seeds: Int[Tensor, " B"], kind: str, references: int = 8, targets: int = 4, image_size: int = 256,
    face_size: int = 128, device: torch.device | str = "cpu", at_once: int | None = None, wild: Wild = Wild(),
    tracker: Tracker | None = None, studio: Studio = Studio(), of_references: bool = False,
) -> Sample:  # fmt: skip
    """Training material of B people.

    "wild": a hand-held camera in everyday light with shadows, in a world whose +z axis points at it; references and face
    crops suffer what `wild` lists, targets never do. "studio": a dome of 40 cameras, even light, larger gestures. "stylised": the same dome, but people
    of toon, marble, clay or paint (`styles`); to test with, never to train on. About a third of the targets are
    close-ups of the head, some the upper body.

    Args:
        at_once: at most so many people are filmed together; bounds memory (about 0.2 GB each). More keep a GPU busier.
            None: `people_at_once`.
        wild: the faults of wild pictures.
        tracker: the errors of pose, translation, gaze, shape and cameras of wild samples; None gives the truth, from
            which the pictures were made.
        studio: the takes of the other two kinds.
        of_references: the same people and the same references, but all that is said of targets is said of the
            references' own moments: cameras (also of their face crops), poses, clean pictures and masks. For methods that
            are given tracked poses.
    Raises: ValueError for another kind.
    """
    if kind not in SAMPLE_KINDS:
        raise ValueError(f"no capture {kind!r}; choose one of {', '.join(SAMPLE_KINDS)}")
    at_once = at_once or people_at_once(device)
    chunks = [
        _sample(part, torch.device(device), kind, references, targets, image_size, face_size, wild, tracker, studio,
                of_references)
        for part in seeds.tensor_split(max(1, math.ceil(len(seeds) / at_once)))
    ]
    return join(chunks)


def _sample(
    seeds: Tensor, device: torch.device, kind: str, references: int, targets: int, image_size: int, face_size: int,
    wild: Wild, tracker: Tracker | None, studio: Studio, of_references: bool,
) -> Sample:  # fmt: skip
    count, seeds = references + targets, seeds.cpu()
    with small_steps(device):
        if kind == "wild":
            light, frames = random_lights(seeds, "wild", wild.environment), random_frames(seeds, count, "wild")
        else:
            light, frames = studio_light(seeds, studio), studio_moments(seeds, count, studio)
        light, frames, crowd = light.to(device), frames.to(device), grow(seeds, device)
    seeds = seeds.to(device)
    shadows = kind != "studio" or studio.light != "even"
    vertices = posed(crowd, frames.pose, frames.transl, frames.gaze, frames.actions, frames.swing)
    stage = set_stage(crowd, vertices, light, shadows, style_of(seeds) if kind == "stylised" else None)
    body_ids, head_ids = _landmarks(device)
    body, head = vertices[:, :, body_ids], vertices[:, :, head_ids]
    centres = (body.amin(2) + body.amax(2)) / 2
    if kind == "wild":
        viewmats, Ks = wild_cameras(seeds, centres, body[..., 1].amin((1, 2)))
    else:
        viewmats, Ks = studio_cameras(seeds, count, studio.cameras)

    u = uniforms(seeds, 51, count * 10).unflatten(1, (count, 10))
    jitter = 2 * u - 1
    whole = frame_person(body, viewmats, Ks, 0.08, jitter[..., :3])
    face = frame_person(head, viewmats, Ks, 0.2, jitter[..., 3:6])
    framing = u[..., 6:7]
    upper = upper_body(whole, face, 2.6)
    if kind == "wild":  # a video shows somebody from the waist up, or as a whole, throughout
        partial = uniforms(seeds, 63, 1)[:, None] < wild.waist_up
        whole = torch.where(partial, upper_body(whole, face, 3.0), whole)
    framed = torch.where(
        framing < 0.34,
        frame_person(head, viewmats, Ks, 0.12, jitter[..., 3:6]),
        torch.where(framing < 0.56, upper, whole),
    )
    is_target = (torch.arange(count, device=device) >= references)[:, None]
    framed = torch.where(is_target, framed, whole)

    cropped = crop_camera(Ks, framed, image_size)
    near_view, near_Ks = _portrait_cameras(head, jitter[..., 7:10], face_size)
    face_view = torch.where(is_target[..., None], near_view, viewmats)
    face_Ks = torch.where(is_target[..., None], near_Ks, crop_camera(Ks, face, face_size))
    plates = shoot(stage, [_one_a_moment(viewmats, cropped, image_size), _one_a_moment(face_view, face_Ks, face_size)])
    s, t = (slice(None), slice(0, references)), (slice(None), slice(references, count))
    t = s if of_references else t
    body_plate, face_plate = (plate.map(lambda x: x.unflatten(0, (-1, count))[:, :, 0]) for plate in plates)
    boxes = relative_box(face, whole)[s]
    references_, faces_ = body_plate[s], face_plate[s]
    if kind == "wild":
        everything = constant(boxes, (0.5, 0.5, 1.0)).expand_as(boxes)
        references_, in_front = occlude(references_, seeds, boxes, everything, wild.occluder)
        faces_, before_face = occlude(faces_, seeds, boxes, boxes, wild.occluder)
        images = photograph(references_, in_front, seeds, 61, wild)
        face_images = photograph(faces_, before_face, seeds, 62, wild)
        target_faces = photograph(face_plate[t], None, seeds, 64, replace(wild, matte=0.0))
    else:
        images, face_images, target_faces = (resolve(plate)[0] for plate in (references_, faces_, face_plate[t]))
    target_images, target_masks = resolve(body_plate[t])
    cameras = Cameras(viewmats[t][:, :, None], cropped[t][:, :, None], image_size, image_size)
    motion, betas, near = frames[t], crowd.betas, face_view[t][:, :, None]
    if kind == "wild":
        if tracker is not None:
            motion, betas, cameras = tracked(seeds, motion, betas, cameras, tracker)
        root = rest_joints(body_on(str(device)), betas, None)[:, 0]
        pose, transl, turned, near = as_the_phone_sees(motion.pose, motion.transl, root, viewmats, cameras.viewmats, near)
        motion, cameras = replace(motion, pose=pose, transl=transl), replace(cameras, viewmats=turned)
    return Sample(
        images=images, face_images=face_images,
        image_mask=torch.ones(len(seeds), references, dtype=torch.bool, device=device), face_boxes=boxes,
        targets=target_images, target_masks=target_masks, target_faces=target_faces, cameras=cameras,
        pose=motion.pose, transl=motion.transl, gaze=motion.gaze, actions=motion.actions, betas=betas, seeds=seeds,
        surface=surface_cells(references_), face_surface=surface_cells(faces_),
        face_viewmats=near, face_Ks=face_Ks[t][:, :, None],
    )  # fmt: skip


def _one_a_moment(viewmats: Float[Tensor, "B F 4 4"], Ks: Float[Tensor, "B F 3 3"], size: int) -> Cameras:
    return Cameras(viewmats.flatten(0, 1)[:, None], Ks.flatten(0, 1)[:, None], size, size)


@lru_cache(maxsize=8)
def _landmarks(device: torch.device) -> tuple[Tensor, Tensor]:
    """A few hundred vertices of the dressed body, and of the head."""
    mesh = wardrobe(str(device))
    body = ((mesh.vertex_part == SKIN) | (mesh.vertex_part == SHOES) | (mesh.vertex_part == TAIL)).nonzero()[:, 0][::9]
    y, weight = mesh.template[:, 1], mesh.weights[:, 15] + mesh.weights[:, 22]
    head = ((mesh.vertex_part == SKIN) & (weight > 0.8) & (y > 0.58)).nonzero()[:, 0][::9]
    return body, head


def _portrait_cameras(
    head: Float[Tensor, "B F P 3"], jitter: Float[Tensor, "B F 3"], size: int
) -> tuple[Tensor, Tensor]:
    """A camera within 50 degrees of where each face looks."""
    mesh = wardrobe(str(head.device))
    _, ids = _landmarks(head.device)
    rest = mesh.template[ids]
    middle = rest.mean(0)
    # the head's turn, from its points: a rigid fit
    covariance = (head - head.mean(2, keepdim=True)).mT @ (rest - middle)
    left, _, right = torch.linalg.svd(covariance)
    flip = torch.det(left @ right).sign()
    turn = left @ torch.diag_embed(torch.stack([torch.ones_like(flip), torch.ones_like(flip), flip], -1)) @ right
    yaw, pitch = 0.87 * jitter[..., 0], 0.25 * jitter[..., 1]
    ray = torch.stack([yaw.sin() * pitch.cos(), pitch.sin(), yaw.cos() * pitch.cos()], -1)
    centre = head.mean(2)
    eye = centre + (turn @ ray[..., None])[..., 0] * 1.2
    viewmats = look_at(eye, centre, turn[..., :, 1])
    Ks = intrinsics(torch.full_like(yaw, 0.6))
    box = frame_person(head, viewmats, Ks, 0.2, jitter * 0.6)
    return viewmats, crop_camera(Ks, box, size)
