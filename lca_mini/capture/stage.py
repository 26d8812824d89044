"""People on a stage, and pictures of it by deferred shading.

Enters: posed people, light, cameras. Leaves: `Plate`s: linear light, cover, and the place on the template that each
pixel shows. Not part of the paper, whose pictures come from real cameras.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lca_mini.capture.patches import Patches, rasterize_patches
from lca_mini.capture.rasterizer import columns_at
from lca_mini.capture.shading import Light, Plate, gather_plate, shade, vertex_normals
from lca_mini.capture.shadows import ShadowMap, shadow_map, sun_visibility
from lca_mini.capture.styles import flatten_toons, restyle
from lca_mini.people.appearance import appearance
from lca_mini.people.crowd import Crowd
from lca_mini.people.looks import Looks
from lca_mini.people.skin import Surface
from lca_mini.people.wardrobe import EYE, TOP, wardrobe
from lca_mini.types import CELL, Cameras, Movable


@dataclass(frozen=True)
class Stage(Movable):
    """People posed and lit, M moments in all, ready for any camera. who: the person of each moment. style: of each
    person, index into `styles.STYLES`; None where all are natural."""

    vertices: Float[Tensor, "M N 3"]
    normals: Float[Tensor, "M N 3"]
    visible: Bool[Tensor, "M F"]
    who: Int[Tensor, " M"]
    looks: Looks
    light: Light
    shadows: ShadowMap | None
    style: Int[Tensor, " B"] | None = None


@torch.no_grad()
def set_stage(
    crowd: Crowd, vertices: Float[Tensor, "B F N 3"], light: Light, shadows: bool = True,
    style: Int[Tensor, " B"] | None = None,
) -> Stage:  # fmt: skip
    """What all cameras share: normals and shadows of posed people."""
    people, count = vertices.shape[:2]
    mesh = wardrobe(str(vertices.device))
    who = torch.arange(people, device=vertices.device).repeat_interleave(count)
    moments, visible = vertices.flatten(0, 1), crowd.visible[who]
    shade_map = shadow_map(moments, mesh.faces, light.direction[who], face_visible=visible) if shadows else None
    return Stage(moments, vertex_normals(moments, mesh.faces), visible, who, crowd.looks, light, shade_map, style)


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
        eye.append(columns_at(-(viewmats[:, :3, :3].mT @ viewmats[:, :3, 3:])[..., 0].T, image))
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
    moment, face, bary, eye = moment[order], patches.face[order], columns_at(patches.bary, order), columns_at(eye, order)
    who, part, corners = stage.who[moment], mesh.part[face], columns_at(mesh.faces.T, face)
    # [D P] throughout, seen as [P D]: columns are read in full, rows are not
    mix = lambda columns, at: (columns_at(columns, at) * bary).sum(1).T  # noqa: E731
    place, masks = mix(torch.cat([mesh.template, mesh.masks], 1).T, corners).split((3, 6), 1)
    both = torch.cat([stage.vertices, stage.normals], -1).flatten(0, 1).T.contiguous()
    position, normal = mix(both, corners + moment * stage.vertices.shape[1]).split(3, 1)
    surface = appearance(stage.looks, who, part, place, masks)
    if stage.style is not None:
        surface = restyle(surface, stage.style[who], place)
    lining = torch.where(part >= TOP, 0.35, 1.0)
    colors = light_patches(position, normal, eye.T, surface, lining, stage.light, who, stage.shadows, moment)
    if stage.style is not None:
        behind = (normal * (eye.T - position)).sum(1) < 0
        albedo = surface.albedo * torch.where(behind, lining, 1.0)[:, None]
        colors = flatten_toons(colors, albedo, stage.style[who])
    back = torch.empty_like(order)
    back[order] = torch.arange(len(order), device=order.device)
    return columns_at(colors.T, back).T, columns_at(place.T, back).T


def light_patches(
    position: Float[Tensor, "P 3"], normal: Float[Tensor, "P 3"], eye: Float[Tensor, "P 3"], surface: Surface,
    lining: Float[Tensor, " P"], light: Light, who: Int[Tensor, " P"], shadows: ShadowMap | None,
    moment: Int[Tensor, " P"],
) -> Float[Tensor, "P 3"]:  # fmt: skip
    """Linear light that leaves patches towards the eye. On CUDA `shading_triton` computes it.

    Args:
        normal: of any length.
        lining: how bright a surface's inner side is over its outer one.
        who, moment: which light each patch stands in, and which shadows.
    """
    if position.is_cuda:
        from lca_mini.capture.shading_triton import lit

        return lit(position, normal, eye, surface, lining, light, who, shadows, moment)
    normal, to_viewer = F.normalize(normal, dim=1), F.normalize(eye - position, dim=1)
    behind = (normal * to_viewer).sum(1, keepdim=True) < 0
    bumped = F.normalize(torch.where(behind, -normal, normal) + surface.bump, dim=1)
    sunlight = torch.ones_like(surface.wrap)
    if shadows is not None:
        sunlight = sun_visibility(shadows, position, normal, moment)
    albedo = torch.where(behind, lining[:, None] * surface.albedo, surface.albedo)
    return shade(bumped, to_viewer, albedo, surface.specular, surface.roughness, surface.wrap, sunlight, light, who)


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
