"""What a phone, a matting network and a tracker do to the pictures of a person in the wild.

Enters: clean plates of references (`shading.Plate`) and the true movement. Leaves: photographs over white with an
imperfect matte, and the movement as a tracker would see it. It stands in for what the paper's videos suffer from.

Order: background, occluder, motion blur, exposure and white balance, grain, JPEG; then the matte cuts the person out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from lca_mini.body.lbs import axis_angle, quaternion_product, quaternions, reframe, rotation_matrices
from lca_mini.capture.chance import normals, uniforms
from lca_mini.capture.constants import constant
from lca_mini.capture.jpeg import jpeg
from lca_mini.capture.motion import Motion
from lca_mini.capture.shading import Plate, linear_to_srgb
from lca_mini.types import Cameras

POOL = 1 << 22


@dataclass(frozen=True)
class Wild:
    """How strong each fault of pictures in the wild is; zero switches it off. Lengths are in pixels of a picture that
    is 256 wide.

    environment: share of the sky's light that comes from a few coloured areas around the person instead.
    waist_up: share of people who are shown from the waist up. occluder: share of references with an object in front.
    matte: how far the matte's edge is softened and moved; at 0 the cover is known, and so is the light of the person
    alone. motion_blur: longest streak. exposure: spread between pictures of one person, stops. white_balance: the same
    of red and blue over green. grain: strongest noise, of white. jpeg: share of references that were compressed, at
    qualities of 50 to 95.
    """

    environment: float = 0.5
    waist_up: float = 1 / 3
    occluder: float = 0.2
    matte: float = 1.0
    motion_blur: float = 3.0
    exposure: float = 0.12
    white_balance: float = 0.03
    grain: float = 0.012
    jpeg: float = 0.6


CLEAN = Wild(*[0.0] * 9)


@dataclass(frozen=True)
class Tracker:
    """Standard deviations of a tracker's errors. root, body, hands: turn of the root, of each body joint, of each wrist
    and finger joint, degrees about each of three axes. gaze: degrees. aside, depth: metres, across and along the view.
    betas: of each shape coefficient. focal: relative, one a person.

    Sizes, as upper ends: half of what a good regressor reports on 3DPW (WHAM, CVPR 2024: 35.9 mm mean joint error after
    alignment), as we assume that a fit to the whole video does better; a test holds the mean joint error between 12 and
    24 mm.
    """

    root: float = 0.8
    body: float = 1.3
    hands: float = 4.0
    gaze: float = 3.0
    aside: float = 0.006
    depth: float = 0.012
    betas: float = 0.06
    focal: float = 0.01

    def times(self, factor: float) -> "Tracker":
        """All errors larger or smaller by a factor."""
        return Tracker(*(factor * getattr(self, f.name) for f in fields(self)))


def tracked(
    seeds: Int[Tensor, " B"], motion: Motion, betas: Float[Tensor, "B K"], cameras: Cameras, tracker: Tracker
) -> tuple[Motion, Float[Tensor, "B K"], Cameras]:
    """What a tracker makes of a movement [B T ...], a shape and cameras (viewmats [B T C 4 4]): all a little wrong."""
    people, frames = motion.transl.shape[:2]
    g = normals(seeds, 71, frames * 172).view(people, frames, 172).clamp(-2.5, 2.5)
    hands = (tracker.hands,)  # wrists and fingers
    sizes = (tracker.root, *(tracker.body,) * 19, *hands * 2, tracker.body * 0.5, 0.0, 0.0, *hands * 30)
    error = quaternions(torch.deg2rad(constant(g, sizes))[:, None] * g[..., :165].unflatten(-1, (55, 3)))
    pose = axis_angle(quaternion_product(quaternions(motion.pose), error))
    gaze = motion.gaze + math.radians(tracker.gaze) * g[..., 165:167].repeat(1, 1, 2)
    shift = g[..., 167:170] * constant(g, (tracker.aside, tracker.aside, tracker.depth))  # camera axes
    world = cameras.viewmats[:, :, 0, :3, :3].mT @ shift[..., None]
    wrong = normals(seeds, 72, betas.shape[1] + 1).clamp(-2.5, 2.5)
    focal = 1 + tracker.focal * wrong[:, None, None, -1:]
    Ks = cameras.Ks.clone()
    Ks[..., (0, 1), (0, 1)] = Ks[..., (0, 1), (0, 1)] * focal
    moved = replace(motion, pose=pose, transl=motion.transl + world[..., 0], gaze=gaze)
    return moved, betas + tracker.betas * wrong[:, :-1], replace(cameras, Ks=Ks)


def as_the_phone_sees(
    pose: Float[Tensor, "B T 55 3"], transl: Float[Tensor, "B T 3"], root: Float[Tensor, "B 3"],
    viewmats: Float[Tensor, "B F 4 4"], *others: Float[Tensor, "B T 1 4 4"],
) -> tuple[Tensor, ...]:  # fmt: skip
    """The same in a world turned about its vertical until the phone stands at +z: where the compass points, no video
    tells, and light from the left of the picture comes from the left of this world.

    Args:
        root: the pelvis at rest, about which poses turn, metres.
        viewmats: of all pictures of the video; their mean is the phone. others: cameras to turn along.
    Returns: pose, translation and the others.
    """
    ahead = viewmats[:, :, 2, :3].mean(1)
    azimuth = torch.atan2(-ahead[:, 0], -ahead[:, 2])
    turn = rotation_matrices(torch.stack([0 * azimuth, -azimuth, 0 * azimuth], -1))
    back = torch.eye(4, device=turn.device).repeat(len(turn), 1, 1)
    back[:, :3, :3] = turn.mT
    return *reframe(pose, transl, root, turn), *(each @ back[:, None, None] for each in others)


def occlude(
    plate: Plate, seeds: Int[Tensor, " B"], boxes: Float[Tensor, "B S 3"], window: Float[Tensor, "B S 3"], share: float
) -> tuple[Plate, Float[Tensor, "B S 1 h w"]]:
    """Cut away what an object in front hides, never at the face; also returned: where the object is.

    Args:
        boxes: of the faces in the pictures of the whole (cx, cy, side, fractions).
        window: which square of that picture the plate shows: (0.5, 0.5, 1) all of it.
        share: of pictures that have an object.
    """
    count, size = boxes.shape[1], plate.cover.shape[-1]
    u = uniforms(seeds, 81, count * 6).unflatten(1, (count, 6)).to(plate.cover)
    face = boxes[..., 2] / 2
    table = u[..., 1] < 0.4  # a table's edge below the hips; else a post or a plant at one side
    side = torch.where(u[..., 2] < 0.5, -1.0, 1.0)
    half_x = torch.where(table, 2.0, 0.03 + 0.08 * u[..., 3])
    half_y = torch.where(table, 0.5, 0.2 + 0.5 * u[..., 4])
    x = torch.where(table, 0.5, boxes[..., 0] + side * (1.3 * face + half_x + 0.15 * u[..., 5]))
    y = torch.where(table, 1.1 + 0.25 * u[..., 5], 0.55 + 0.5 * u[..., 3]).maximum(boxes[..., 1] + 1.6 * face + half_y)
    lean = torch.where(table, 0.1, 0.25) * (2 * u[..., 4] - 1)
    along = (torch.arange(size, device=u.device) + 0.5) / size - 0.5
    px, py = (window[..., k, None] + window[..., 2:] * along for k in range(2))
    dx, dy = (px - x[..., None])[..., None, :], (py - y[..., None])[..., :, None]
    c, s = (f(lean)[..., None, None] for f in (torch.cos, torch.sin))
    half_x, half_y = half_x[..., None, None], half_y[..., None, None]
    inside = torch.minimum(half_x - (c * dx + s * dy).abs(), half_y - (c * dy - s * dx).abs())
    soft = inside * (size / window[..., 2:, None]) + 0.5
    object_ = (soft.clamp(0, 1) * (u[..., 0] < share)[..., None, None])[:, :, None]
    return plate.map(lambda t: t * (1 - object_)), object_


def photograph(
    plate: Plate, hidden: Float[Tensor, "B S 1 h w"] | None, seeds: Int[Tensor, " B"], stream: int, wild: Wild
) -> Float[Tensor, "B S 3 h w"]:
    """Photographs of people, cut out by a matte and put over white.

    Args:
        plate: without what an object hides. hidden: where that object is; None where there is none.
        stream: another one gives another grain; all else a person's pictures share.
    """
    people, count = plate.cover.shape[:2]
    height, width = plate.cover.shape[-2:]
    u = uniforms(seeds, 82, count * 16 + 8).to(plate.cover)
    person, u = u[:, :8], u[:, 8:].unflatten(1, (count, 16))
    flat = lambda t: t.flatten(0, 1)  # noqa: E731
    light, cover = plate.light, plate.cover
    if wild.motion_blur:
        # two thirds of the pictures are still
        length = wild.motion_blur * width / 256 * (3 * u[..., 3] - 2).clamp(min=0)
        both = _streak(flat(torch.cat([light, cover], 2)), flat(length), flat(math.pi * u[..., 4]))
        light, cover = both.unflatten(0, (people, count)).split((3, 1), 2)
    stops = wild.exposure * (2 * u[..., 5:6] - 1) * torch.ones_like(u[..., :3])
    stops = stops + wild.white_balance * (2 * u[..., 6:9] - 1) * constant(u, (1.0, 0, 1))
    gain = torch.exp2(stops)[..., None, None]
    behind = torch.ones_like(light)
    if wild.matte:
        behind = gain * _background(seeds, count, (height, width))
        if hidden is not None:
            behind = behind * (1 - hidden) + gain * hidden * (0.02 + 0.5 * u[..., :3].square())[..., None, None]
    photo = linear_to_srgb(light * gain + (1 - cover) * behind).clamp(max=1)
    if wild.grain:
        photo = photo + wild.grain * person[:, :1, None, None, None] * _grain(seeds, stream, tuple(photo.shape))
    if wild.jpeg:
        quality = torch.where(u[..., 9] < wild.jpeg, 50 + 45 * u[..., 10], 100.0)
        photo = jpeg(flat(photo.clamp(0, 1)), flat(quality)).unflatten(0, (people, count))
    if not wild.matte:
        return torch.where(cover > 0, photo.clamp(0, 1), 1)
    cover = _matte(cover, u[..., 11:13], wild.matte * person[:, 1:2, None, None, None], seeds)
    return (photo.clamp(0, 1) * cover + (1 - cover)).clamp(0, 1)


def _background(seeds: Tensor, count: int, size: tuple[int, int]) -> Float[Tensor, "B S 3 h w"]:
    """Something out of focus behind a person, linear: a gradient, and blots that change with the picture."""
    u = uniforms(seeds, 83, 16 + count * 75)
    colors = (0.03 + 0.75 * u[:, :9].square()).unflatten(1, (3, 3))  # above, below, blots
    grid = u[:, 16:].unflatten(1, (count, 3, 5, 5))
    down = torch.linspace(0, 1, 5, device=u.device)[:, None]
    coarse = colors[:, 0, :, None, None] * (1 - down) + colors[:, 1, :, None, None] * down
    blots = 1.5 * colors[:, None, 2, :, None, None] * grid
    coarse = torch.lerp(coarse[:, None].expand(-1, count, -1, -1, 5), blots, 0.45)
    return F.interpolate(coarse.flatten(0, 1), size, mode="bilinear", align_corners=True).unflatten(0, (-1, count))


def _streak(pictures: Float[Tensor, "N D h w"], length: Float[Tensor, " N"], angle: Float[Tensor, " N"]) -> Tensor:
    """Blur along a line, of at most 6 pixels; in place. Most pictures are still, and are not touched."""
    moving = (length > 0).nonzero()[:, 0]
    if not len(moving):
        return pictures
    blurred, length, angle = pictures[moving], length[moving], angle[moving]
    t = torch.linspace(-0.5, 0.5, 9, device=length.device) * length.clamp(max=6)[:, None]
    x, y = (t * f(angle)[:, None] for f in (torch.cos, torch.sin))
    taps = torch.arange(-3, 4, device=length.device)
    hat = lambda a: (1 - (taps - a[..., None]).abs()).clamp(min=0)  # noqa: E731
    kernel = (hat(y)[..., :, None] * hat(x)[..., None, :]).mean(1)  # [N 7 7]
    count, depth = blurred.shape[:2]
    kernels = kernel[:, None, None].expand(-1, depth, 1, -1, -1).flatten(0, 1)
    padded = F.pad(blurred, (3, 3, 3, 3), mode="replicate").flatten(0, 1)[None]
    blurred = F.conv2d(padded, kernels, groups=count * depth)[0].unflatten(0, (count, depth))
    return pictures.index_copy_(0, moving, blurred)


def _matte(cover: Tensor, u: Tensor, strength: Tensor, seeds: Tensor) -> Tensor:
    """A cover as a matting network sees it: its edge softer, moved outwards here and inwards there; what is thinner
    than the softness is lost."""
    people, count = cover.shape[:2]
    size = tuple(cover.shape[-2:])
    side = 2 * max(1, round(1.5 * size[1] / 256)) + 1
    soft = cover.flatten(0, 1)
    for _ in range(2):
        soft = F.avg_pool2d(soft, side, 1, side // 2, count_include_pad=False)
    blots = 2 * uniforms(seeds, 84, count * 49).view(people * count, 1, 7, 7) - 1
    shift = F.interpolate(blots, size, mode="bilinear", align_corners=True).unflatten(0, (people, count))
    gain = 1.6 + 1.4 * u[..., 1:2, None, None]
    # no further than keeps what is certain at 0 and at 1
    shift = (0.5 - 0.5 / gain) * (0.6 * shift + 0.4 * (2 * u[..., :1, None, None] - 1))
    wrong = ((soft.unflatten(0, (people, count)) - 0.5 + shift) * gain + 0.5).clamp(0, 1)
    return torch.lerp(cover, wrong, strength.clamp(0, 1))


@lru_cache(maxsize=4)
def _pool(device: str) -> Float[Tensor, " N"]:
    return normals(torch.tensor([83]), 85, POOL)[0].to(device)


def _grain(seeds: Int[Tensor, " B"], stream: int, shape: tuple[int, ...]) -> Float[Tensor, "B S 3 h w"]:
    """Standard normal noise: each picture is a piece of one long list of numbers, begun somewhere else."""
    count, numbers = shape[1], math.prod(shape[2:])
    pool = _pool(str(seeds.device))
    if numbers > POOL // 2:
        raise ValueError(f"pictures of {numbers} numbers need a longer list of noise than {POOL}")
    first = (uniforms(seeds, stream, count) * (POOL - numbers)).long().flatten()
    return pool.unfold(0, numbers, 1)[first].view(shape)
