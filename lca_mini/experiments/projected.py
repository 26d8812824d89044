"""A peer: the template body, textured with the reference pictures (table 2).

Enters: reference pictures of people with their true cameras and poses (`sample_people`, `of_references`). Leaves: pictures
of their targets. No learning and no part of the paper. Each texel of the body's UV map is looked up in every picture that
sees it, as the posed template itself hides what lies behind; seen colours are averaged by how squarely the surface faces
the camera; texels that nobody sees take the colour of the nearest one, in metres on the T-pose, that somebody does.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from lca_mini.body import Body
from lca_mini.capture.rasterizer import rasterize
from lca_mini.training.baseline import WHITE
from lca_mini.training.regions import template_vertices
from lca_mini.types import Cameras, Sample

TEXTURE = 512  # texels, along a side
HIDDEN = 0.015  # metres behind the nearest surface
SQUARELY = 0.2  # cosine between surface normal and view below which a picture says nothing
SEEN = 8192  # texels that unseen ones choose the nearest of
GUTTER = 3  # texels round the islands of the map, filled from beside


def texels(body: Body, size: int = TEXTURE) -> tuple[Int[Tensor, "P"], Int[Tensor, "P"], Float[Tensor, "P 3"]]:
    """Texels that show the body: their places in the flat map, triangles, and weights of their corners."""
    flat = torch.cat([body.uvs, torch.ones_like(body.uvs[:, :1])], 1)[None]
    K = torch.diag(flat.new_tensor([size, size, 1.0]))[None]
    seen = rasterize(flat, body.uv_faces, torch.eye(4, device=flat.device)[None], K, size, size)
    place = (seen.face.flatten() >= 0).nonzero()[:, 0]
    return place, seen.face.flatten()[place], seen.bary.flatten(0, 2)[place]


def look_up(
    body: Body, vertices: Float[Tensor, "n V 3"], cameras: Cameras, pictures: Float[Tensor, "n 3 H W"],
    face: Int[Tensor, "P"], bary: Float[Tensor, "P 3"],
) -> tuple[Float[Tensor, "n P 3"], Float[Tensor, "n P"]]:  # fmt: skip
    """What each of n pictures (cameras [n 4 4]) shows at points of the surface, and how much that counts."""
    height, width = pictures.shape[-2:]
    depth = rasterize(vertices, body.faces, cameras.viewmats, cameras.Ks, height, width).depth[:, None]
    corners = vertices[:, body.faces[face]]
    points = (corners * bary[..., None]).sum(2)
    normals = F.normalize(torch.linalg.cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0]), dim=-1)
    centres = -(cameras.viewmats[:, :3, :3].mT @ cameras.viewmats[:, :3, 3:])[..., 0]
    facing = (normals * F.normalize(centres[:, None] - points, dim=-1)).sum(-1)
    seen = points @ cameras.viewmats[:, :3, :3].mT + cameras.viewmats[:, None, :3, 3]
    pixel = seen @ cameras.Ks.mT
    pixel = pixel[..., :2] / pixel[..., 2:].clamp(min=0.01)
    grid = (2 * pixel / pixel.new_tensor([width, height]) - 1)[:, None]
    nearest = F.grid_sample(depth, grid, mode="nearest", align_corners=False)[:, 0, 0]
    colour = F.grid_sample(pictures, grid, mode="bilinear", align_corners=False)[:, :, 0].mT
    inside = (grid[:, 0].abs() < 1).all(-1) & (seen[..., 2] > 0.05) & (seen[..., 2] < nearest + HIDDEN)
    person = (colour.amin(-1) < WHITE) & (nearest > 0)
    return colour, (inside & person & (facing > SQUARELY)) * facing.clamp(min=0).square()


def texture_of(body: Body, own: Sample, person: int, pictures: list[int], size: int = TEXTURE) -> Float[Tensor, "size size 3"]:
    """The texture of one person of `own`, filmed with `of_references`, from these of its pictures and their face crops."""
    place, face, bary = texels(body, size)
    vertices = template_vertices(body, own.betas[person : person + 1], own[person : person + 1])[0, pictures]
    side = own.face_images.shape[-1]
    near = Cameras(own.face_viewmats, own.face_Ks, side, side)
    both = [
        look_up(body, vertices, cameras[person, pictures, 0], images[person, pictures], face, bary)
        for cameras, images in ((own.cameras, own.images), (near, own.face_images))
    ]
    colours, weights = (torch.cat(parts) for parts in zip(*both))
    total = weights.sum(0)
    colour = (colours * weights[..., None]).sum(0) / total[:, None].clamp(min=1e-6)
    colour = fill(colour, total > 0, (body.template[body.faces[face]] * bary[..., None]).sum(1))
    texture = colour.new_zeros(size * size, 4)
    texture[place] = torch.cat([colour, torch.ones_like(colour[:, :1])], 1)
    return with_gutter(texture.view(size, size, 4))


def fill(
    colour: Float[Tensor, "P 3"], seen: Bool[Tensor, "P"], points: Float[Tensor, "P 3"]
) -> Float[Tensor, "P 3"]:
    """Unseen points take the colour of the nearest of `SEEN` seen ones; all are grey where none is seen."""
    known = seen.nonzero()[:, 0]
    if not len(known):
        return torch.full_like(colour, 0.5)
    known = known[torch.linspace(0, len(known) - 1, min(SEEN, len(known)), device=known.device).long()]
    colour = colour.clone()
    for some in (~seen).nonzero()[:, 0].split(4096):
        colour[some] = colour[known[torch.cdist(points[some], points[known]).argmin(1)]]
    return colour


def with_gutter(texture: Float[Tensor, "H W 4"]) -> Float[Tensor, "H W 3"]:
    """A map whose islands have grown by `GUTTER` texels. The fourth channel says which texels are islands."""
    image = texture.movedim(-1, 0)[None]
    for _ in range(GUTTER):
        mean = F.avg_pool2d(image[:, :3] * image[:, 3:], 3, 1, 1), F.avg_pool2d(image[:, 3:], 3, 1, 1)
        grown = torch.cat([mean[0] / mean[1].clamp(min=1e-6), (mean[1] > 0).float()], 1)
        image = torch.where(image[:, 3:] > 0, image, grown)
    return image[0, :3].movedim(0, -1)


def textured(body: Body, sample: Sample, textures: Float[Tensor, "B size size 3"]) -> Float[Tensor, "B T 3 H W"]:
    """Pictures of a sample's targets over white, each pixel the mean of 2 x 2."""
    cameras, size = sample.cameras, textures.shape[1]
    Ks = torch.cat([2 * cameras.Ks[..., :2, :], cameras.Ks[..., 2:, :]], -2)
    pictures = []
    for person, vertices in enumerate(template_vertices(body, sample.betas, sample)):
        seen = rasterize(vertices, body.faces, cameras.viewmats[person, :, 0], Ks[person, :, 0], 2 * cameras.height,
                         2 * cameras.width)  # fmt: skip
        uv = (body.uvs[body.uv_faces[seen.face.clamp(min=0)]] * seen.bary[..., None]).sum(-2)
        u, v = (uv * size).long().clamp(0, size - 1).unbind(-1)
        colour = torch.where(seen.face[..., None] >= 0, textures[person][v, u], 1.0)
        pictures.append(F.avg_pool2d(colour.movedim(-1, 1), 2))
    return torch.stack(pictures)
