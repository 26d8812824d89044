"""Cameras: a hand-held phone, a studio dome, and the crops that make their pictures square.

Enters: seeds and where a person stands. Leaves: viewmats and intrinsics. It replaces the paper's two sources of
pictures, monocular videos in the wild and a studio of about 200 cameras, both of which are not public.

A camera first films a nominal square of `NOMINAL` pixels; `crop_camera` then makes any square box of it the whole
picture, without resampling: the person is rasterised again through the cropped camera.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from lca_mini.capture.chance import normals, uniforms
from lca_mini.capture.constants import constant

NOMINAL = 1024
GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))
DOME_CENTRE = (0.0, -0.05, 0.05)


def look_at(
    eye: Float[Tensor, "*batch 3"], target: Float[Tensor, "*batch 3"], up: Float[Tensor, "*batch 3"]
) -> Float[Tensor, "*batch 4 4"]:
    """World to camera (OpenCV axes) of a camera at `eye` that sees `target` in its centre and `up` upwards."""
    forward = F.normalize(target - eye, dim=-1)
    right = F.normalize(torch.linalg.cross(forward, up.expand_as(forward), dim=-1), dim=-1)
    down = torch.linalg.cross(forward, right, dim=-1)
    rotation = torch.stack([right, down, forward], -2)
    top = torch.cat([rotation, -(rotation @ eye[..., None])], -1)
    bottom = constant(eye, (0.0, 0.0, 0.0, 1.0)).expand(*eye.shape[:-1], 1, 4)
    return torch.cat([top, bottom], -2)


def intrinsics(field_of_view: Float[Tensor, "*batch"], size: int = NOMINAL) -> Float[Tensor, "*batch 3 3"]:
    """Ks of square pictures. field_of_view: across the whole picture, radians."""
    focal = size / 2 / torch.tan(field_of_view / 2)
    zero, centre, one = torch.zeros_like(focal), torch.full_like(focal, size / 2), torch.ones_like(focal)
    return torch.stack([focal, zero, centre, zero, focal, centre, zero, zero, one], -1).unflatten(-1, (3, 3))


def wild_cameras(
    seeds: Int[Tensor, " B"], centres: Float[Tensor, "B F 3"], floor: Float[Tensor, " B"] | float = -0.9
) -> tuple[Float[Tensor, "B F 4 4"], Float[Tensor, "B F 3 3"]]:
    """A phone in somebody's hand: one slow path a person, with shake, 2 to 4.5 m away, within 70 degrees of +z.

    Args:
        centres: middle of the person at each frame, world frame, metres.
        floor: height of the ground, metres; the phone is held 0.6 to 1.9 m above it.
    """
    frames = centres.shape[1]
    u, shake = uniforms(seeds, 21, 8)[:, None], normals(seeds, 22, frames * 5).unflatten(1, (frames, 5))
    path = torch.linspace(-0.5, 0.5, frames, device=centres.device) if frames > 1 else centres.new_zeros(1)
    azimuth = (2 * u[..., 0] - 1) * math.radians(60) + path * (2 * u[..., 1] - 1) * math.radians(20)
    distance = 2.0 + 2.5 * u[..., 2] + 0.3 * path * (2 * u[..., 3] - 1)
    height = torch.as_tensor(floor, device=centres.device).reshape(-1, 1) + 0.6 + 1.3 * u[..., 4]
    azimuth = (azimuth + 0.02 * shake[..., 0]).clamp(-math.radians(70), math.radians(70))
    distance = distance.clamp(2.0, 4.5)
    eye = torch.stack([centres[..., 0] + distance * azimuth.sin(), height + 0.02 * shake[..., 1],
                       centres[..., 2] + distance * azimuth.cos()], -1)  # fmt: skip
    target = centres + 0.04 * shake[..., 2:5]
    tilt = (0.05 * (2 * u[..., 5] - 1) + 0.015 * shake[..., 3])[..., None]
    up = torch.cat([tilt.sin(), tilt.cos(), torch.zeros_like(tilt)], -1)
    field = torch.deg2rad(35 + 25 * u[..., 6]).expand(azimuth.shape)
    return look_at(eye, target, up), intrinsics(field)


def dome_cameras(
    count: int = 40, device: torch.device | str = "cpu"
) -> tuple[Float[Tensor, "C 4 4"], Float[Tensor, "C 3 3"]]:
    """A calibrated dome round the place where people stand: fixed cameras -20 to 50 degrees high, 2.6 to 3.4 m away.

    Any few of them in a row, the last followed by the first, surround the person (golden angle).
    Raises: ValueError for less than one camera.
    """
    if count < 1:
        raise ValueError(f"a dome of {count} cameras; it needs at least one")
    order = torch.arange(count, device=device)
    azimuth = GOLDEN_ANGLE * order
    part = lambda step: (0.5 + order * step) % 1  # noqa: E731
    elevation = torch.deg2rad(-20 + 70 * part(0.7548776662).pow(1.4))
    distance = 2.6 + 0.8 * part(0.5698402910)
    flat = distance * elevation.cos()
    centre = torch.tensor(DOME_CENTRE, device=device).expand(count, 3)
    eye = centre + torch.stack([azimuth.sin() * flat, distance * elevation.sin(), azimuth.cos() * flat], -1)
    up = torch.tensor([0.0, 1, 0], device=device)
    return look_at(eye, centre, up), intrinsics(torch.deg2rad(42 + 6 * part(0.4301597090)))


def studio_cameras(
    seeds: Int[Tensor, " B"], frames: int, count: int = 40
) -> tuple[Float[Tensor, "B F 4 4"], Float[Tensor, "B F 3 3"]]:
    """One camera of a dome of `count` for each frame: a row of them, from a start of each seed's own."""
    viewmats, Ks = dome_cameras(count, seeds.device)
    start = (uniforms(seeds, 32, 1) * count).long()
    which = (start + torch.arange(frames, device=seeds.device)) % count
    return viewmats[which], Ks[which]


def orbit_cameras(
    centre: Float[Tensor, "3"], half_height: float, azimuths: Float[Tensor, " C"], elevation: float = 0.1
) -> tuple[Float[Tensor, "C 4 4"], Float[Tensor, "C 3 3"]]:
    """Cameras round a centre that frame `half_height` metres above and below it. Angles in radians; azimuth 0 is +z."""
    field = math.radians(34)
    distance = 1.12 * half_height / math.tan(field / 2)
    away = torch.stack([azimuths.sin() * math.cos(elevation), torch.full_like(azimuths, math.sin(elevation)),
                        azimuths.cos() * math.cos(elevation)], -1)  # fmt: skip
    up = torch.tensor([0.0, 1, 0], device=centre.device)
    target = centre.expand_as(away)
    return look_at(target + distance * away, target, up), intrinsics(torch.full_like(azimuths, field))


def project(
    points: Float[Tensor, "*batch P 3"], viewmats: Float[Tensor, "*batch 4 4"], Ks: Float[Tensor, "*batch 3 3"]
) -> Float[Tensor, "*batch P 2"]:
    """World points to pixels; points behind the camera are taken at 1 cm before it."""
    camera = points @ viewmats[..., :3, :3].mT + viewmats[..., None, :3, 3]
    camera = camera / camera[..., 2:].clamp(min=0.01)
    return (camera @ Ks.mT)[..., :2]


def frame_person(
    points: Float[Tensor, "*batch P 3"],
    viewmats: Float[Tensor, "*batch 4 4"],
    Ks: Float[Tensor, "*batch 3 3"],
    margin: float = 0.08,
    jitter: Float[Tensor, "*batch 3"] | None = None,
) -> Float[Tensor, "*batch 3"]:
    """The square (cx, cy, side) in pixels round projected points.

    Args:
        points: of the body, world frame (a few hundred vertices will do); of the head for a face crop.
        margin: left free on each side, as a fraction of the points' extent; 0.25 makes a face crop.
        jitter: in [-1, 1]; moves the square within its margin and scales it by up to half a margin.
    """
    pixels = project(points, viewmats, Ks)
    low, high = pixels.amin(-2), pixels.amax(-2)
    extent = (high - low).amax(-1)
    centre, side = (low + high) / 2, extent * (1 + 2 * margin)
    if jitter is not None:
        side = side + extent * margin * 0.5 * jitter[..., 2]
        centre = centre + (extent * margin * 0.6)[..., None] * jitter[..., :2]
    return torch.cat([centre, side[..., None]], -1)


def upper_body(
    box: Float[Tensor, "*batch 3"], head: Float[Tensor, "*batch 3"], reach: float = 3.0
) -> Float[Tensor, "*batch 3"]:
    """A close-up between a body's square and its head's: `reach` heads wide, at most the body, the head at the top."""
    side = torch.minimum(head[..., 2] * reach, box[..., 2])
    return torch.stack([head[..., 0], head[..., 1] - 0.75 * head[..., 2] + side / 2, side], -1)


def relative_box(inner: Float[Tensor, "*batch 3"], outer: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """A square (cx, cy, side) in fractions of another's side, from its top left: a face in its body picture."""
    corner = outer[..., :2] - outer[..., 2:] / 2
    return torch.cat([inner[..., :2] - corner, inner[..., 2:]], -1) / outer[..., 2:]


def crop_camera(
    Ks: Float[Tensor, "*batch 3 3"], box: Float[Tensor, "*batch 3"], size: int
) -> Float[Tensor, "*batch 3 3"]:
    """Intrinsics of the same camera where a square (cx, cy, side) of its picture is all of it, `size` pixels wide."""
    scale = size / box[..., 2]
    corner = box[..., :2] - box[..., 2:] / 2
    zero, one = torch.zeros_like(scale), torch.ones_like(scale)
    shift = -scale[..., None] * corner
    change = torch.stack([scale, zero, shift[..., 0], zero, scale, shift[..., 1], zero, zero, one], -1)
    return change.unflatten(-1, (3, 3)) @ Ks
