"""A triangle rasteriser in plain torch: which triangle does each pixel see, and where on it.

Enters: posed meshes and cameras. Leaves: `Fragments`, a visibility buffer, and after shading (`shading.py`) images by
`resolve`. It films the synthetic people; the paper films real ones. No gradients: what is filmed is training data.

On a CPU every triangle is expanded to the pixels of its bounding box at once; edge tests decide; one `scatter_reduce` over
64-bit keys (depth above, triangle below) keeps the nearest. Both triangles of a shared edge evaluate the same numbers,
so that no pixel falls between them. On CUDA `rasterizer_triton` does the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from lca_mini.types import Movable

NEAR = 0.01
EMPTY = torch.iinfo(torch.int64).max


@dataclass(frozen=True)
class Fragments(Movable):
    """What each pixel sees. face: triangle, -1 where empty. bary: weights of its corners, perspective-correct, 0 where
    empty. depth: camera z, metres, 0 where empty."""

    face: Int[Tensor, "N H W"]
    bary: Float[Tensor, "N H W 3"]
    depth: Float[Tensor, "N H W"]


@torch.no_grad()
def rasterize(
    vertices: Float[Tensor, "N V 3"],
    faces: Int[Tensor, "F 3"],
    viewmats: Float[Tensor, "N 4 4"],
    Ks: Float[Tensor, "N 3 3"],
    height: int,
    width: int,
    face_visible: Bool[Tensor, "N F"] | None = None,
    max_candidates: int = 1 << 25,
) -> Fragments:
    """Visibility of N meshes of one topology, each through its own camera. Both sides of a triangle are seen.

    Args:
        vertices: world frame, metres.
        viewmats, Ks: world to camera (OpenCV axes); pixels, the centre of the top left pixel is (0.5, 0.5).
        face_visible: False hides a triangle (a garment that this person does not wear).
        max_candidates: bounds memory: pairs of triangle and pixel that are tested at once (about 150 bytes each).
    Triangles with a corner nearer than 1 cm are dropped.
    Raises: ValueError where the meshes and cameras differ in number.
    """
    screen = on_screen(vertices, viewmats, Ks)
    key = visibility(screen, faces, face_visible, height, width, max_candidates)

    n, y, x = (key != EMPTY).nonzero(as_tuple=True)
    face = key[n, y, x] & 0xFFFFFFFF
    corners = screen[n[:, None], faces[face]]  # [P 3 3]: x, y, 1/z
    spans = edge_weights(corners[..., :2], torch.stack([x, y], 1) + 0.5)
    weights = spans * corners[..., 2]
    total = weights.sum(1)
    fragments = Fragments(
        face=torch.where(key != EMPTY, key & 0xFFFFFFFF, -1),
        bary=screen.new_zeros(*key.shape, 3),
        depth=screen.new_zeros(key.shape),
    )
    fragments.bary[n, y, x] = weights / total[:, None]
    fragments.depth[n, y, x] = spans.sum(1) / total
    return fragments


@torch.no_grad()
def orthographic_depth(
    points: Float[Tensor, "N V 3"], faces: Int[Tensor, "F 3"], size: int,
    face_visible: Bool[Tensor, "N F"] | None = None, max_candidates: int = 1 << 25,
) -> Float[Tensor, "N size size"]:  # fmt: skip
    """The nearest depth at each pixel of a parallel projection; 1 where empty.

    Args:
        points: x and y in pixels, z (depth) in [0, 1].
    """
    screen = torch.cat([points[..., :2], 2 - points[..., 2:]], -1)
    key = visibility(screen, faces, face_visible, size, size, max_candidates)
    nearness = (0x7FFFFFFF - (key >> 32)).to(torch.int32).view(torch.float32)
    return torch.where(key != EMPTY, 2 - nearness, 1.0)


def visibility(
    screen: Float[Tensor, "N V 3"], faces: Int[Tensor, "F 3"], face_visible: Bool[Tensor, "N F"] | None, height: int,
    width: int, max_candidates: int,
) -> Int[Tensor, "N H W"]:  # fmt: skip
    """The key of the nearest triangle of each pixel: its index in the low 32 bits, int64's maximum where there is none.
    On CUDA `rasterizer_triton` finds them.

    Args:
        screen: x and y in pixels, and a nearness that is affine on the screen (1/z): the largest wins; a triangle
            with a corner at 0 is not drawn.
    """
    if screen.is_cuda:
        from lca_mini.capture.rasterizer_triton import nearest

        return nearest(screen, faces, face_visible, height, width)
    images, count = screen.shape[0], faces.shape[0]
    key = torch.full((images * height * width,), EMPTY, dtype=torch.int64, device=screen.device)
    at_once = max(1, max_candidates // max(count, 1))
    for first in range(0, images, at_once):
        part = slice(first, min(first + at_once, images))
        triangles = _prepare(screen[part], faces, None if face_visible is None else face_visible[part], height, width)
        ends = triangles.pixels.cumsum(0)
        total = int(ends[-1]) if len(ends) else 0
        cuts = [0, len(ends)]
        if total > max_candidates:
            marks = torch.arange(max_candidates, total, max_candidates, device=ends.device)
            cuts = sorted({0, *torch.searchsorted(ends, marks).tolist(), len(ends)})
        for a, b in zip(cuts[:-1], cuts[1:]):
            size = total if len(cuts) == 2 else int(ends[b - 1] - (ends[a - 1] if a else 0))
            if size:
                _test(key[first * height * width :], triangles, a, b, size, width)
    return key.view(images, height, width)


@dataclass(frozen=True)
class _Triangles:
    """The T triangles whose box holds a pixel's centre. planes: three edge functions, positive inside: their slopes in
    x, in y, and offsets [9 T]; nearness: of the corners over the area [3 T]; box: x0, y0, width, and the image's first
    row [4 T]; face, pixels: index, and size of the box [T]."""

    planes: Tensor
    nearness: Tensor
    box: Tensor
    face: Tensor
    pixels: Tensor


def _prepare(screen: Tensor, faces: Tensor, shown: Tensor | None, height: int, width: int) -> _Triangles:
    columns, corners = screen.movedim(2, 0).contiguous(), faces.T.contiguous()  # [3 N V], [3 F]
    x, y = (columns[k].index_select(1, corners.flatten()).unflatten(1, corners.shape) for k in range(2))  # [N 3 F]
    x0, x1 = (x.amin(1) - 0.5).ceil().clamp(0, width), (x.amax(1) - 0.5).floor().clamp(-1, width - 1)
    y0, y1 = (y.amin(1) - 0.5).ceil().clamp(0, height), (y.amax(1) - 0.5).floor().clamp(-1, height - 1)
    alive = (x1 >= x0) & (y1 >= y0)
    alive = (alive if shown is None else alive & shown).flatten().nonzero()[:, 0]
    image, face = alive // len(faces), alive % len(faces)
    x0, x1, y0, y1 = (t.flatten()[alive].int() for t in (x0, x1, y0, y1))
    wide, pixels = x1 + 1 - x0, (x1 + 1 - x0) * (y1 + 1 - y0)

    corners = columns_at(corners, face)
    x, y, nearness = columns_at(columns.flatten(1), corners + image * screen.shape[1])
    area = (x[1] - x[0]) * (y[2] - y[0]) - (y[1] - y[0]) * (x[2] - x[0])
    planes = []
    for i, j in ((1, 2), (2, 0), (0, 1)):
        # an edge runs from its lower vertex index to its higher one, whichever triangle asks
        flip = corners[i] > corners[j]
        ax, bx = torch.where(flip, x[j], x[i]), torch.where(flip, x[i], x[j])
        ay, by = torch.where(flip, y[j], y[i]), torch.where(flip, y[i], y[j])
        dx, dy = ay - by, bx - ax
        sign = torch.where(flip, -area.sign(), area.sign())
        planes.append(torch.stack([dx, dy, -(dx * ax + dy * ay)]) * sign)
    nearness = nearness / area.abs().clamp(min=1e-12)
    box = torch.stack([x0, y0, wide, image.int() * height])
    pixels = pixels * (area != 0) * (nearness > 0).all(0)
    return _Triangles(torch.stack(planes, 1).flatten(0, 1), nearness, box, face, pixels)


def _test(key: Tensor, triangles: _Triangles, a: int, b: int, size: int, width: int) -> None:
    """Test the `size` pairs of triangle a to b and pixel, and lower `key` in place where a triangle is nearer."""
    pixels = triangles.pixels[a:b]
    triangle = torch.repeat_interleave(pixels, output_size=size)
    local = torch.arange(size, dtype=torch.int32, device=key.device) - (pixels.cumsum(0) - pixels).int()[triangle]
    triangle += a
    x0, y0, wide, top = columns_at(triangles.box, triangle)
    row = local // wide
    px, py = x0 + (local - row * wide), y0 + row
    x, y = px + 0.5, py + 0.5
    dx, dy, offset = columns_at(triangles.planes, triangle).view(3, 3, -1)
    weights = torch.addcmul(torch.addcmul(offset, dx, x), dy, y)
    inside = (weights.amin(0) >= 0).nonzero()[:, 0]
    triangle = triangle[inside]
    nearness = (columns_at(weights, inside) * columns_at(triangles.nearness, triangle)).sum(0).clamp(min=0)
    value = ((0x7FFFFFFF - nearness.view(torch.int32)).long() << 32) | triangles.face[triangle]
    where = (top + py)[inside].long() * width + px[inside]
    key.scatter_reduce_(0, where, value, "amin")


def on_screen(vertices: Tensor, viewmats: Tensor, Ks: Tensor) -> Tensor:
    """x and y in pixels and 1/z of vertices [N V 3]; 0 instead of 1/z at what is nearer than 1 cm."""
    if not vertices.shape[0] == viewmats.shape[0] == Ks.shape[0]:
        raise ValueError(f"{vertices.shape[0]} meshes but {viewmats.shape[0]} viewmats and {Ks.shape[0]} Ks")
    camera = vertices @ viewmats[:, :3, :3].mT + viewmats[:, None, :3, 3]
    inverse = torch.where(camera[..., 2:] > NEAR, 1 / camera[..., 2:], 0)
    screen = (camera * inverse) @ Ks.mT
    return torch.cat([screen[..., :2], inverse], -1)


def columns_at(columns: Shaped[Tensor, "D N"], at: Int[Tensor, "*shape"]) -> Shaped[Tensor, "D *shape"]:
    """`columns[:, at]`, one row after another: so a CPU gathers them several times as fast, and CUDA, which would take
    short rows [N D] one block each, reads each row in full."""
    out, at_ = columns.new_empty(len(columns), at.numel()), at.flatten()
    for row, into in zip(columns, out):
        torch.index_select(row, 0, at_, out=into)
    return out.unflatten(1, at.shape)


def edge_weights(corners: Float[Tensor, "P 3 2"], points: Float[Tensor, "P 2"]) -> Float[Tensor, "P 3"]:
    """Twice the signed areas that a point spans with the edges opposite to each corner."""
    a, b = corners[:, [1, 2, 0]] - points[:, None], corners[:, [2, 0, 1]] - points[:, None]
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def visible_points(fragments: Fragments) -> tuple[Int[Tensor, " P"], Int[Tensor, " P"], Int[Tensor, " P"]]:
    """Image, row and column of every covered pixel, so that shading is computed only there."""
    return (fragments.face >= 0).nonzero(as_tuple=True)


def interpolate(
    values: Float[Tensor, "N V D"] | Float[Tensor, "V D"],
    faces: Int[Tensor, "F 3"],
    fragments: Fragments,
    points: tuple[Tensor, Tensor, Tensor],
) -> Float[Tensor, "P D"]:
    """Vertex values at covered pixels; one set of values for all images, or one an image."""
    corners = faces[fragments.face[points]]
    gathered = values[corners] if values.dim() == 2 else values[points[0][:, None], corners]
    return (gathered * fragments.bary[points][..., None]).sum(1)
