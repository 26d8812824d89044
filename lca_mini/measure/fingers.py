"""How far an avatar's finger-tips are from where they should be, in pixels of a picture of 512.

Enters: a model; synthetic test people. Leaves: distances. Part of the paper: hands driven finger by finger. What is
measured is geometry, not appearance: in the T-pose the 8 Gaussians nearest to the end of each true finger are picked; they
are driven, and their mean, weighted by opacity, is projected; against it the mean of the true mesh's vertices at that
end, posed with the true skeleton. No detector looks at the picture, so that a finger which is there but invisible counts
as right; and Gaussians that miss the finger in the T-pose are as far off in every pose.
"""

from __future__ import annotations

from typing import Any, Callable

import torch
from jaxtyping import Float
from torch import Tensor

from lca_mini.body import JOINTS, Body, posed_vertices, rest_joints, rest_vertices
from lca_mini.capture import project
from lca_mini.capture.film import sample_people
from lca_mini.driving import body_cameras, driving_signal, hand_cameras
from lca_mini.measure.reenact import finger_peaks
from lca_mini.measure.stage import placed, spread_over
from lca_mini.model import LCA
from lca_mini.people.splits import seeds_of
from lca_mini.types import Avatar

TIPS = tuple(f"{side}_{finger}3" for side in ("left", "right") for finger in ("thumb", "index", "middle", "ring", "pinky"))
END = 0.25  # share of a last phalanx' vertices that make its end
NEAREST = 8
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


def tip_gaussians(model: LCA, avatar: Avatar, ends: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Which Gaussians of one avatar are nearest to the true body's finger ends in the T-pose [10 8], and their opacities.
    `ends`: the ends' places [10 3]."""
    distance = torch.cdist(torch.stack(ends), avatar.canonical.means[0])
    distance = distance + 10.0 * (avatar.canonical.opacities[0] < 0.2)
    ids = distance.topk(NEAREST, largest=False).indices
    return ids, avatar.canonical.opacities[0][ids]


@torch.no_grad()
def measure_fingers(model: LCA, people: int, tick: Tick = lambda count: None) -> dict[str, Any]:
    """Mean distances at the 14 peaks of a finger sweep, for avatars that were told the body's shape and that guessed it:
    millimetres, pixels of a whole-body picture, and pixels of a close-up of the hand, each of 512."""
    device, body = model.anchors.points.device, model.body
    config, tips = model.config, tip_vertices(body)
    clip = finger_peaks()
    rows: dict[str, list[Tensor]] = {"true": [], "predicted": []}
    for i in range(people):
        sample = sample_people(seeds_of("test-studio", i, 1), "studio", 8, 1, config.image_size, config.face_size, device)
        motion = spread_over(clip, 1).to(device)
        vertices = posed_vertices(body, sample.betas[:, None].expand(1, len(clip.pose), -1), motion.pose, motion.transl)
        true = torch.stack([vertices[0][:, ids].mean(1) for ids in tips], 1)  # [F 10 3]
        rest = rest_vertices(body, sample.betas)[0]
        joints = placed(body, sample.betas, motion)[0]
        for name, betas in (("true", sample.betas), ("predicted", None)):
            avatar = model.encode(sample.images, sample.face_images, betas=betas)
            shift = rest_joints(body, avatar.betas)[0, 0] - rest_joints(body, sample.betas)[0, 0]
            ids, weights = tip_gaussians(model, avatar, [rest[ids].mean(0) + shift for ids in tips])
            means = model.drive(avatar, driving_signal(model, motion)).means[0] - shift  # pelvis on pelvis
            guess = (means[:, ids] * weights[..., None]).sum(2) / weights.sum(1)[:, None]
            rows[name].append(distances(guess, true, joints))
        tick(1)
    tables = {name: torch.stack(values).mean(0).tolist() for name, values in rows.items()}
    keys = ("mm", "pixels_whole_body", "pixels_hand")
    return {f"{name}_shape": {key: round(value, 2) for key, value in zip(keys, values)} for name, values in tables.items()} | {
        "people": people, "moments": len(clip.pose), "size": SIZE,
    }  # fmt: skip


def distances(
    guess: Float[Tensor, "F 10 3"], true: Float[Tensor, "F 10 3"], joints: Float[Tensor, "1 F 55 3"]
) -> Float[Tensor, "3"]:
    """Mean distance in millimetres, and in pixels through a camera of the whole body and one of each hand."""
    ahead = torch.zeros(1, device=joints.device)
    both, sides = torch.stack([guess, true]), (slice(0, 5), slice(5, 10))
    whole = body_cameras(joints, ahead, SIZE)
    seen = project(both, whole.viewmats[0, :, 0], whole.Ks[0, :, 0])
    near = []
    for side, part in zip(("left", "right"), sides):
        camera = hand_cameras(joints, ahead, SIZE, side)
        near.append(project(both[:, :, part], camera.viewmats[0, :, 0], camera.Ks[0, :, 0]))
    hands = torch.cat(near, 2)
    return torch.stack([1000 * (guess - true).norm(dim=-1).mean(), (seen[0] - seen[1]).norm(dim=-1).mean(),
                        (hands[0] - hands[1]).norm(dim=-1).mean()])  # fmt: skip
