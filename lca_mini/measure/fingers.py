"""How far an avatar's finger-tips are, in pictures, from where they should be, in pixels of a picture of 512.

Enters: a model; synthetic test people. Leaves: distances. Part of the paper: hands driven finger by finger. In the T-pose
whatever lies at a finger-tip of the body is dyed, less the farther off it lies. Avatar and true body are then driven and
drawn through the same cameras by the same renderer, the true body as opaque dots, one a vertex; the distance is that of the
two dyes' centroids. So what is faint, hidden, or off the finger counts as it shows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable

import torch
from jaxtyping import Float
from torch import Tensor

from lca_mini.body import JOINTS, Body, posed_vertices, rest_joints, rest_vertices
from lca_mini.capture.film import sample_people
from lca_mini.driving import body_cameras, driving_signal, hand_cameras
from lca_mini.measure.reenact import finger_peaks
from lca_mini.measure.stage import placed, spread_over
from lca_mini.model import LCA
from lca_mini.people.splits import seeds_of
from lca_mini.render import render
from lca_mini.types import Cameras, Gaussians

TIPS = tuple(f"{side}_{finger}3" for side in ("left", "right") for finger in ("thumb", "index", "middle", "ring", "pinky"))
SIDES = {"left": slice(0, 5), "right": slice(5, 10)}
END = 0.25  # share of a last phalanx' vertices that make its end
REACH = 0.01  # metres from a tip at which half of its dye is left
SEEN = 0.25  # a true tip counts where it shows this share of the most that it ever does; ours, this share of the true one
SIZE = 512  # pixels
Tick = Callable[[int], object]


def tip_vertices(body: Body) -> list[Tensor]:
    """The vertices at the end of each finger, in the order of `TIPS`."""
    found = []
    for tip in TIPS:
        joint = JOINTS.index(tip)
        ids = (body.skin_weights[:, joint] > 0.5).nonzero()[:, 0]
        along = body.joint_template[joint] - body.joint_template[body.parents[joint]]
        reach = (body.template[ids] - body.joint_template[joint]) @ along
        found.append(ids[reach.topk(max(3, int(END * len(ids)))).indices])
    return found


def dyed(points: Float[Tensor, "n 3"], tips: Float[Tensor, "10 3"]) -> Float[Tensor, "n 10"]:
    """How much of each tip's dye points of the T-pose hold."""
    return torch.exp2(-(torch.cdist(points, tips) / REACH).square())


def dots(points: Float[Tensor, "F V 3"], body: Body) -> Gaussians:
    """A mesh as opaque dots, as large as its vertices are apart."""
    corners = body.template[body.faces]
    sides = (corners - corners.roll(1, 1)).norm(dim=-1).mean(1)
    none, shape = points.new_zeros(len(body.template)), points.shape[:-1]
    sums, counts = (none.index_add(0, body.faces.flatten(), t.repeat_interleave(3)) for t in (sides, torch.ones_like(sides)))
    size = 0.5 * sums / counts.clamp(min=1)
    return Gaussians(points, points.new_tensor([1.0, 0, 0, 0]).expand(*shape, 4), size[:, None].expand(*shape, 3),
                     points.new_full(shape, 0.99), torch.zeros_like(points))  # fmt: skip


def centroids(
    gaussians: Gaussians, dye: Float[Tensor, "N k"], cameras: Cameras, backend: str
) -> tuple[Float[Tensor, "F k 2"], Float[Tensor, "F k"]]:
    """Where each dye shows in the pictures of F moments, pixels, and how much of it does, in pixels full of it."""
    places, amounts = [], []
    grid = torch.arange(cameras.width, device=dye.device) + 0.5
    for part in dye.split(3, dim=1):
        three = torch.nn.functional.pad(part, (0, 3 - part.shape[1]))
        picture = render(replace(gaussians, colors=three.expand_as(gaussians.means)), cameras, backend, (0.0, 0.0, 0.0)).colors
        shown = picture[:, 0, ..., : part.shape[1]].clamp(min=0)  # [F H W k]
        amount = shown.sum((1, 2))
        sums = [(shown.sum(axis) * grid[:, None]).sum(1) for axis in (1, 2)]
        places.append(torch.stack(sums, -1) / amount.clamp(min=1e-6)[..., None])
        amounts.append(amount)
    return torch.cat(places, 1), torch.cat(amounts, 1)


@torch.no_grad()
def measure_fingers(model: LCA, people: int, backend: str = "auto", tick: Tick = lambda count: None) -> dict[str, Any]:
    """Mean distances at the 14 peaks of a finger sweep, for avatars that were told the body's shape and that guessed it:
    pixels of a whole-body picture and of a close-up of each hand, each of 512; millimetres, across the close-up. missing:
    the share of tips that show in truth and not in the avatar's close-ups; they have no distance."""
    device, body = model.anchors.points.device, model.body
    config, ends, clip = model.config, tip_vertices(body), finger_peaks()
    found: dict[str, list[Tensor]] = {f"{who}_{camera}": [] for who in ("true", "predicted") for camera in ("whole", "hand")}
    lost: dict[str, list[Tensor]] = {"true": [], "predicted": []}
    mm: list[Tensor] = []  # of a pixel, across the middle of a close-up
    for i in range(people):
        sample = sample_people(seeds_of("test-studio", i, 1), "studio", 8, 1, config.image_size, config.face_size, device)
        motion = spread_over(clip, 1).to(device)
        vertices = posed_vertices(body, sample.betas[:, None].expand(1, len(clip.pose), -1), motion.pose, motion.transl)[0]
        joints = placed(body, sample.betas, motion)[0]
        views = [("whole", body_cameras(joints, joints.new_zeros(1), SIZE)[0], slice(0, 10))]
        views += [("hand", hand_cameras(joints, joints.new_zeros(1), SIZE, side)[0], part) for side, part in SIDES.items()]
        close, hand = views[1][1], joints[0, 0, JOINTS.index("left_middle1")]
        mm.append(1000 * (close.viewmats[0, 0, 2, :3] @ hand + close.viewmats[0, 0, 2, 3]) / close.Ks[0, 0, 0, 0])
        mesh, dye = dots(vertices, body), dyed(*resting(body, sample.betas, ends))
        truth = [centroids(mesh, dye[:, part], cameras, backend) for _, cameras, part in views]
        for who, betas in (("true", sample.betas), ("predicted", None)):
            avatar = model.encode(sample.images, sample.face_images, betas=betas)
            shift = rest_joints(body, avatar.betas)[0, 0] - rest_joints(body, sample.betas)[0, 0]
            dye = dyed(avatar.canonical.means[0], resting(body, avatar.betas, ends)[1])
            drawn = model.drive(avatar, driving_signal(model, motion))[0]
            drawn = replace(drawn, means=drawn.means - shift)  # pelvis on pelvis
            for (camera, cameras, part), (place, amount) in zip(views, truth):
                ours, ours_amount = centroids(drawn, dye[:, part], cameras, backend)
                shows = amount > SEEN * amount.amax(0)
                there = shows & (ours_amount > SEEN * amount)
                found[f"{who}_{camera}"].append((ours - place).norm(dim=-1)[there])
                if camera == "hand":
                    lost[who].append((shows & ~there).sum() / shows.sum())
        tick(1)
    whole, near = ({who: mean(found[f"{who}_{camera}"]) for who in lost} for camera in ("whole", "hand"))
    return {f"{who}_shape": {
        "mm": near[who] and round(near[who] * float(torch.stack(mm).mean()), 2), "pixels_whole_body": whole[who],
        "pixels_hand": near[who], "missing": mean(lost[who]),
    } for who in lost} | {"people": people, "moments": len(clip.pose), "size": SIZE}  # fmt: skip


def resting(body: Body, betas: Float[Tensor, "1 K"], ends: list[Tensor]) -> tuple[Float[Tensor, "V 3"], Float[Tensor, "10 3"]]:
    """The vertices of this shape in the T-pose, and its finger-tips."""
    rest = rest_vertices(body, betas)[0]
    return rest, torch.stack([rest[ids].mean(0) for ids in ends])


def mean(values: list[Tensor]) -> float | None:
    """Of all, rounded; None of nothing."""
    together = torch.cat([value.flatten() for value in values])
    return round(float(together.mean()), 4) if len(together) else None
