"""Film a crowd: meshes to pictures by deferred shading.

Enters: people, their movement, cameras, light. Leaves: sRGB pictures over white with exact masks. It stands in for the
paper's videos in the wild and its studio captures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lca_mini.capture.chance import normals as normal_numbers
from lca_mini.capture.chance import uniforms
from lca_mini.capture.motion import Motion, random_frames
from lca_mini.capture.rasterizer import Patches, rasterize_patches
from lca_mini.capture.rigs import (
    crop_camera, frame_person, intrinsics, look_at, relative_box, studio_cameras, upper_body, wild_cameras,
)  # fmt: skip
from lca_mini.capture.shading import (
    Light, Plate, ShadowMap, gather_plate, random_lights, resolve, shade, shadow_map, sun_visibility, vertex_normals,
)  # fmt: skip
from lca_mini.people.appearance import appearance
from lca_mini.people.crowd import Crowd, grow, posed
from lca_mini.people.looks import Looks
from lca_mini.people.wardrobe import EYE, SHOES, SKIN, TAIL, TOP, wardrobe
from lca_mini.types import Cameras, Movable, Sample

SAMPLE_KINDS = ("wild", "studio")
CELL = 8  # side of the cells of `Sample.surface`, pixels


@dataclass(frozen=True)
class Stage(Movable):
    """People posed and lit, M moments in all, ready for any camera. who: the person of each moment."""

    vertices: Float[Tensor, "M N 3"]
    normals: Float[Tensor, "M N 3"]
    visible: Bool[Tensor, "M F"]
    who: Int[Tensor, " M"]
    looks: Looks
    light: Light
    shadows: ShadowMap | None


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
    stage = set_stage(crowd, posed(crowd, frames.pose, frames.transl, frames.gaze, frames.actions), light, shadows)
    flat = Cameras(cameras.viewmats.flatten(0, 1), cameras.Ks.flatten(0, 1), cameras.width, cameras.height)
    images, masks = resolve(shoot(stage, [flat], supersample)[0])
    return images.unflatten(0, shape[:2]), masks.unflatten(0, shape[:2])


@torch.no_grad()
def set_stage(crowd: Crowd, vertices: Float[Tensor, "B F N 3"], light: Light, shadows: bool = True) -> Stage:
    """What all cameras share: normals and shadows of posed people."""
    people, count = vertices.shape[:2]
    mesh = wardrobe(str(vertices.device))
    who = torch.arange(people, device=vertices.device).repeat_interleave(count)
    moments, visible = vertices.flatten(0, 1), crowd.visible[who]
    shade_map = shadow_map(moments, mesh.faces, light.direction[who], face_visible=visible) if shadows else None
    return Stage(moments, vertex_normals(moments, mesh.faces), visible, who, crowd.looks, light, shade_map)


@torch.no_grad()
def shoot(stage: Stage, shots: Sequence[Cameras], supersample: int = 2) -> list[Plate]:
    """Pictures [M C ...] of each moment through its own C cameras (viewmats [M C 4 4]), for each of the shots; all of
    them are shaded together.

    Args:
        supersample: visibility is sampled so often along each axis of a pixel; what one pixel sees of one surface is
            shaded once, eyes at every sample.
    """
    device = stage.vertices.device
    mesh = wardrobe(str(device))
    apart = torch.where(mesh.part == EYE, -1, mesh.part)
    patches, moment, eye, pixels = [], [], [], 0
    for cameras in shots:
        moments, views = cameras.viewmats.shape[:2]
        viewmats, Ks = cameras.viewmats.flatten(0, 1), cameras.Ks.flatten(0, 1)
        each = torch.arange(moments, device=device).repeat_interleave(views)
        every = slice(None) if views == 1 else each
        seen = rasterize_patches(
            stage.vertices[every], mesh.faces, viewmats, Ks, cameras.height, cameras.width, stage.visible[every], apart,
            supersample,
        )  # fmt: skip
        image = seen.pixel // (cameras.height * cameras.width)
        moment.append(each[image])
        eye.append(-(viewmats[:, :3, :3].mT @ viewmats[:, :3, 3:])[..., 0].T[:, image])
        patches.append(replace(seen, pixel=seen.pixel + pixels))
        pixels += len(viewmats) * cameras.height * cameras.width
    together = Patches(*(torch.cat([getattr(p, f.name) for p in patches], -1) for f in fields(Patches)))
    colors, place = _shade(stage, together, torch.cat(moment), torch.cat(eye, 1))
    whole = gather_plate(colors, place, together.share, together.pixel, (1, 1, pixels))
    plates, first = [], 0
    for cameras in shots:
        shape = (*cameras.viewmats.shape[:2], cameras.height, cameras.width)
        size = math.prod(shape)
        cut = whole.map(lambda t: t[0, :, 0, first : first + size].unflatten(1, shape).movedim(0, 2))
        plates.append(cut)
        first += size
    return plates


def _shade(
    stage: Stage, patches: Patches, moment: Int[Tensor, " P"], eye: Float[Tensor, "3 P"]
) -> tuple[Float[Tensor, "P 3"], Float[Tensor, "P 3"]]:
    """Linear light of patches, and where on the template they lie. eye: where each one's camera is."""
    mesh = wardrobe(str(eye.device))
    order = mesh.part.to(torch.uint8)[patches.face].argsort(stable=True)
    moment, face, bary, eye = moment[order], patches.face[order], patches.bary[:, order], eye[:, order]
    who, part, corners = stage.who[moment], mesh.part[face], mesh.faces.T[:, face]
    # [D P] throughout, seen as [P D]: columns are read in full, rows are not
    mix = lambda columns, at: (columns[:, at] * bary).sum(1).T  # noqa: E731
    place, masks = mix(torch.cat([mesh.template, mesh.masks], 1).T.contiguous(), corners).split((3, 6), 1)
    both = torch.cat([stage.vertices, stage.normals], -1).flatten(0, 1).T.contiguous()
    position, normal = mix(both, corners + moment * stage.vertices.shape[1]).split(3, 1)
    normal, to_viewer = F.normalize(normal, dim=1), F.normalize(eye.T - position, dim=1)

    surface = appearance(stage.looks, who, part, place, masks)
    behind = (normal * to_viewer).sum(1, keepdim=True) < 0
    bumped = F.normalize(torch.where(behind, -normal, normal) + surface.bump, dim=1)
    sunlight = torch.ones_like(surface.wrap)
    if stage.shadows is not None:
        sunlight = sun_visibility(stage.shadows, position, normal, moment)
    albedo = torch.where(behind & (part >= TOP)[:, None], 0.35 * surface.albedo, surface.albedo)
    colors = shade(
        bumped, to_viewer, albedo, surface.specular, surface.roughness, surface.wrap, sunlight, stage.light, who
    )
    back = torch.empty_like(order)
    back[order] = torch.arange(len(order), device=order.device)
    return colors.T[:, back].T, place.T[:, back].T


def surface_cells(plate: Plate, cell: int = CELL) -> Float[Tensor, "*batch 4 rows columns"]:
    """Mean point of the template over what is covered of each cell, zero where nothing is, and the share of it that is
    covered. What is left over at the right and at the bottom makes smaller cells.

    Args:
        cell: its side, pixels.
    """
    both = torch.cat([plate.place, plate.cover], -3)
    height, width = both.shape[-2:]
    padded = F.pad(both.flatten(0, -4), (0, -width % cell, 0, -height % cell))
    mean = F.avg_pool2d(padded, cell).unflatten(0, both.shape[:-3])
    place, cover = mean.split((3, 1), -3)
    return torch.cat([place / cover.clamp(min=0.25 / cell**2), cover], -3)


@torch.no_grad()
def sample_people(
    seeds: Int[Tensor, " B"], kind: str, references: int = 8, targets: int = 4, image_size: int = 256,
    face_size: int = 128, device: torch.device | str = "cpu", at_once: int | None = None,
) -> Sample:  # fmt: skip
    """Training material of B people.

    "wild": a hand-held camera in everyday light with shadows; "studio": a dome, even light, larger gestures. About a
    third of the targets are close-ups of the head, some the upper body. Sensor noise is on references and face crops, never on targets.

    Args:
        at_once: people filmed together, 8 on a CPU and 32 on a GPU by default; bounds memory (0.3 GB each).
    Raises: ValueError for another kind.
    """
    if kind not in SAMPLE_KINDS:
        raise ValueError(f"no capture {kind!r}; choose one of {', '.join(SAMPLE_KINDS)}")
    at_once = at_once or (8 if torch.device(device).type == "cpu" else 32)
    chunks = [
        _sample(part.to(device), kind, references, targets, image_size, face_size) for part in seeds.split(at_once)
    ]
    return _join(chunks)


def _sample(seeds: Tensor, kind: str, references: int, targets: int, image_size: int, face_size: int) -> Sample:
    device, count = seeds.device, references + targets
    crowd, light = grow(seeds, device), random_lights(seeds, kind)
    frames = random_frames(seeds, count, kind)
    vertices = posed(crowd, frames.pose, frames.transl, frames.gaze, frames.actions)
    stage = set_stage(crowd, vertices, light, shadows=kind == "wild")
    body_ids, head_ids = _landmarks(str(device))
    body, head = vertices[:, :, body_ids], vertices[:, :, head_ids]
    centres = (body.amin(2) + body.amax(2)) / 2
    if kind == "wild":
        viewmats, Ks = wild_cameras(seeds, centres, body[..., 1].amin((1, 2)))
    else:
        viewmats, Ks = studio_cameras(seeds, centres)

    u = uniforms(seeds, 51, count * 10).unflatten(1, (count, 10))
    jitter = 2 * u - 1
    whole = frame_person(body, viewmats, Ks, 0.08, jitter[..., :3])
    face = frame_person(head, viewmats, Ks, 0.2, jitter[..., 3:6])
    framing = u[..., 6:7]
    upper = upper_body(whole, face, 2.6)
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
    whole_plate, face_plate = (plate.map(lambda t: t.unflatten(0, (-1, count))[:, :, 0]) for plate in plates)
    images, masks = resolve(whole_plate)
    faces, face_masks = resolve(face_plate)
    if kind == "wild":
        images[:, :references] = _sensor(images[:, :references], masks[:, :references], seeds, 61)
        faces = _sensor(faces, face_masks, seeds, 62)
    s, t = slice(0, references), slice(references, count)
    return Sample(
        images=images[:, s], face_images=faces[:, s],
        image_mask=torch.ones(len(seeds), references, dtype=torch.bool, device=device),
        face_boxes=relative_box(face, whole)[:, s], targets=images[:, t], target_masks=masks[:, t],
        target_faces=faces[:, t],
        cameras=Cameras(viewmats[:, t, None], cropped[:, t, None], image_size, image_size), pose=frames.pose[:, t],
        transl=frames.transl[:, t], gaze=frames.gaze[:, t], actions=frames.actions[:, t], betas=crowd.betas,
        seeds=seeds, surface=surface_cells(whole_plate[:, s]),
        face_surface=surface_cells(face_plate[:, s]),
    )  # fmt: skip


def _one_a_moment(viewmats: Float[Tensor, "B F 4 4"], Ks: Float[Tensor, "B F 3 3"], size: int) -> Cameras:
    return Cameras(viewmats.flatten(0, 1)[:, None], Ks.flatten(0, 1)[:, None], size, size)


def _landmarks(device: str) -> tuple[Tensor, Tensor]:
    """A few hundred vertices of the dressed body, and of the head."""
    mesh = wardrobe(device)
    body = ((mesh.vertex_part == SKIN) | (mesh.vertex_part == SHOES) | (mesh.vertex_part == TAIL)).nonzero()[:, 0][::9]
    y, weight = mesh.template[:, 1], mesh.weights[:, 15] + mesh.weights[:, 22]
    head = ((mesh.vertex_part == SKIN) & (weight > 0.8) & (y > 0.58)).nonzero()[:, 0][::9]
    return body, head


def _portrait_cameras(
    head: Float[Tensor, "B F P 3"], jitter: Float[Tensor, "B F 3"], size: int
) -> tuple[Tensor, Tensor]:
    """A camera within 50 degrees of where each face looks."""
    mesh = wardrobe(str(head.device))
    _, ids = _landmarks(str(head.device))
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


def _sensor(images: Tensor, masks: Tensor, seeds: Tensor, stream: int) -> Tensor:
    """Mild noise of a small sensor, of one strength a person; the white background stays white."""
    strength = 0.012 * uniforms(seeds, 60, 1)[:, :, None, None, None]
    grain = normal_numbers(seeds, stream, images[0].numel()).view_as(images)
    return (images + strength * grain * masks).clamp(0, 1)


def _join(chunks: list[Sample]) -> Sample:
    if len(chunks) == 1:
        return chunks[0]
    first = chunks[0]
    joined = {name: torch.cat([getattr(c, name) for c in chunks]) for name in vars(first) if name != "cameras"}
    cameras = Cameras(
        torch.cat([c.cameras.viewmats for c in chunks]),
        torch.cat([c.cameras.Ks for c in chunks]),
        first.cameras.width,
        first.cameras.height,
    )
    return Sample(cameras=cameras, **joined)
