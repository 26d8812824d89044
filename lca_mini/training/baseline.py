"""What an avatar must beat: the template body, posed as the target is and painted in flat colours.

Enters: a `Sample`. Leaves: pictures of its targets without any learning. No part of the paper. Both baselines know the
true pose, body shape and facial actions. The plain one paints the whole body in the mean colour of the person in the
reference images. The stronger one paints head, torso, arms, legs and feet each in the mean colour that the target
images themselves show there: an oracle, since it looks at what it must predict.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lca_mini.body import Body
from lca_mini.training.regions import owners
from lca_mini.types import Sample

PARTS: dict[str, tuple[int, ...]] = {
    "head": (12, 15, 22, 23, 24), "torso": (0, 3, 6, 9, 13, 14), "arms": (16, 17, 18, 19, 20, 21, *range(25, 55)),
    "legs": (1, 2, 4, 5), "feet": (7, 8, 10, 11),
}  # fmt: skip
WHITE = 0.995  # a channel below it is the person: references come without masks


def part_map(body: Body, seen: Int[Tensor, "B T H W"]) -> Int[Tensor, "B T H W"]:
    """Which of `PARTS` of the bare template each target pixel sees; -1 for none. seen: of `regions.template_seen`."""
    owner = owners(body)
    part_of_joint = torch.zeros(body.skin_weights.shape[1], dtype=torch.long, device=owner.device)
    for index, joints in enumerate(PARTS.values()):
        part_of_joint[list(joints)] = index
    return torch.where(seen >= 0, part_of_joint[owner][seen.clamp(min=0)], -1)


def reference_colour(sample: Sample) -> Float[Tensor, "B 3"]:
    """Mean colour of the pixels of all reference images that are not white."""
    inside = (sample.images.amin(-3, keepdim=True) < WHITE) & sample.image_mask[..., None, None, None]
    return (sample.images * inside).sum((1, 3, 4)) / inside.sum((1, 3, 4)).clamp(min=1)


def painted(parts: Int[Tensor, "B T H W"], colours: Float[Tensor, "B P 3"]) -> Float[Tensor, "B T 3 H W"]:
    """Pictures of the template over white, each part in its colour."""
    white = torch.ones_like(colours[:, :1])
    palette = torch.cat([colours, white], dim=1)
    index = torch.where(parts >= 0, parts, colours.shape[1])
    pixels = palette.gather(1, index.flatten(1)[..., None].expand(-1, -1, 3))
    return pixels.unflatten(1, parts.shape[1:]).movedim(-1, -3)


def part_colours(parts: Int[Tensor, "B T H W"], sample: Sample) -> Float[Tensor, "B P 3"]:
    """Mean colour that the targets show in each part, inside their masks (an oracle); the whole's where unseen."""
    inside = (sample.target_masks[:, :, 0] > 0.5)[:, :, None]
    overall = (sample.targets * inside).sum((1, 3, 4)) / inside.sum((1, 3, 4)).clamp(min=1)
    colours = []
    for index in range(len(PARTS)):
        here = inside & (parts == index)[:, :, None]
        count = here.sum((1, 3, 4))
        mean = (sample.targets * here).sum((1, 3, 4)) / count.clamp(min=1)
        colours.append(torch.where(count > 0, mean, overall))
    return torch.stack(colours, dim=1)


def baselines(
    body: Body, sample: Sample, seen: Int[Tensor, "B T H W"]
) -> tuple[Float[Tensor, "B T 3 H W"], Float[Tensor, "B T 3 H W"]]:
    """The targets painted in one colour, and in one colour a part. seen: of `regions.template_seen`."""
    parts = part_map(body, seen)
    plain = reference_colour(sample)[:, None].expand(-1, len(PARTS), -1)
    return painted(parts, plain), painted(parts, part_colours(parts, sample))
