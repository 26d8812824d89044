"""Film a crowd: meshes to pictures by deferred shading.

Enters: people, their movement, cameras, light. Leaves: sRGB pictures over white with exact masks. It stands in for the
paper's videos in the wild and its studio captures.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lca_mini.capture.chance import normals as normal_numbers
from lca_mini.capture.chance import uniforms
from lca_mini.capture.motion import Motion, random_frames
from lca_mini.capture.rasterizer import interpolate, rasterize, visible_points
from lca_mini.capture.rigs import (
    crop_camera, frame_person, intrinsics, look_at, relative_box, studio_cameras, upper_body, wild_cameras,
)  # fmt: skip
from lca_mini.capture.shading import (
    Light,
    ShadowMap,
    random_lights,
    resolve,
    shade,
    shadow_map,
    sun_visibility,
    vertex_normals,
)
from lca_mini.people.appearance import appearance
from lca_mini.people.crowd import Crowd, grow, posed
from lca_mini.people.looks import Looks
from lca_mini.people.wardrobe import SHOES, SKIN, TAIL, TOP, wardrobe
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
    images, masks, _ = shoot(
        stage,
        Cameras(cameras.viewmats.flatten(0, 1), cameras.Ks.flatten(0, 1), cameras.width, cameras.height),
        supersample,
    )
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
def shoot(
    stage: Stage, cameras: Cameras, supersample: int = 2
) -> tuple[Float[Tensor, "M C 3 H W"], Float[Tensor, "M C 1 H W"], Float[Tensor, "M C 4 h w"]]:
    """Pictures of each moment through its own C cameras (viewmats [M C 4 4]), masks, and which point of the canonical
    template is seen in each cell of 8 x 8 pixels (`surface_cells`)."""
    moments, views = cameras.viewmats.shape[:2]
    device = stage.vertices.device
    mesh = wardrobe(str(device))
    height, width = cameras.height * supersample, cameras.width * supersample
    viewmats, Ks = cameras.viewmats.flatten(0, 1), cameras.Ks.flatten(0, 1).clone()
    Ks[:, :2] *= supersample
    each = torch.arange(moments, device=device).repeat_interleave(views)
    every = slice(None) if views == 1 else each
    fragments = rasterize(stage.vertices[every], mesh.faces, viewmats, Ks, height, width, stage.visible[every])
    points = visible_points(fragments)
    image, face, bary = points[0], fragments.face[points], fragments.bary[points]
    moment = each[image]
    who, part = stage.who[moment], mesh.part[face]
    shared = interpolate(torch.cat([mesh.template, mesh.masks], 1), mesh.faces, fragments, points)
    corners, row = mesh.faces[face], moment[:, None]
    position = (stage.vertices[row, corners] * bary[..., None]).sum(1)
    normal = F.normalize((stage.normals[row, corners] * bary[..., None]).sum(1), dim=1)

    surface = appearance(stage.looks, who, part, shared[:, :3], shared[:, 3:])
    eye = -(viewmats[:, :3, :3].mT @ viewmats[:, :3, 3:])[..., 0]
    to_viewer = F.normalize(eye[image] - position, dim=1)
    behind = (normal * to_viewer).sum(1, keepdim=True) < 0
    bumped = F.normalize(torch.where(behind, -normal, normal) + surface.bump, dim=1)
    sunlight = torch.ones_like(surface.wrap)
    if stage.shadows is not None:
        sunlight = sun_visibility(stage.shadows, position, normal, moment)
    albedo = torch.where(behind & (part >= TOP)[:, None], 0.35 * surface.albedo, surface.albedo)
    colors = shade(
        bumped, to_viewer, albedo, surface.specular, surface.roughness, surface.wrap, sunlight, stage.light, who
    )
    grid = (len(viewmats), height, width)
    made = (*resolve(colors, points, grid, supersample), surface_cells(shared[:, :3], points, grid, CELL * supersample))
    images, masks, surface = (each.unflatten(0, (moments, views)) for each in made)
    return images, masks, surface


def surface_cells(
    at: Float[Tensor, "P 3"], points: tuple[Tensor, Tensor, Tensor], shape: tuple[int, int, int], cell: int
) -> Float[Tensor, "N 4 h w"]:
    """Mean of `at` over the covered pixels of each cell, zero where there are none, and the share of them.

    Args:
        points: image, row and column of each (`visible_points`). shape: images, height and width. cell: its side; what
            is left over at the right and at the bottom makes smaller cells.
    """
    count, rows, columns = shape[0], -(-shape[1] // cell), -(-shape[2] // cell)
    image, y, x = points
    which = (image * rows + y // cell) * columns + x // cell
    sums = at.new_zeros(count * rows * columns, 4)
    sums.index_add_(0, which, torch.cat([at, torch.ones_like(at[:, :1])], 1))
    means = torch.cat([sums[:, :3] / sums[:, 3:].clamp(min=1), sums[:, 3:] / cell**2], 1)
    return means.view(count, rows, columns, 4).permute(0, 3, 1, 2)


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
    images, masks, surface = _shoot_flat(stage, viewmats, cropped, image_size)
    near_view, near_Ks = _portrait_cameras(head, jitter[..., 7:10], face_size)
    face_view = torch.where(is_target[..., None], near_view, viewmats)
    face_Ks = torch.where(is_target[..., None], near_Ks, crop_camera(Ks, face, face_size))
    faces, face_masks, face_surface = _shoot_flat(stage, face_view, face_Ks, face_size)
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
        seeds=seeds, surface=surface[:, s], face_surface=face_surface[:, s],
    )  # fmt: skip


def _shoot_flat(stage: Stage, viewmats: Tensor, Ks: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """One camera a moment: images [B F 3 H W], masks, surface cells."""
    made = shoot(stage, Cameras(viewmats.flatten(0, 1)[:, None], Ks.flatten(0, 1)[:, None], size, size))
    images, masks, surface = (each[:, 0].unflatten(0, viewmats.shape[:2]) for each in made)
    return images, masks, surface


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
