"""People made of noise, as small as `model_tiny` reads them: enough to train on, nothing to look at."""

from __future__ import annotations

import torch
from model_tiny import BETAS
from torch import Tensor

from lca_mini.types import Cameras, Sample

REFERENCES, TARGETS, SIDE, FACE = 4, 2, 32, 16


def one_person(seed: int) -> Sample:
    """A sample without leading axes; all of it follows from the seed."""
    generator = torch.Generator().manual_seed(seed)

    def rand(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    masks = torch.zeros(TARGETS, 1, SIDE, SIDE)
    masks[..., 6:26, 8:24] = 1
    colour = rand(3, 1, 1)
    targets = masks * colour + (1 - masks)
    view = torch.eye(4)
    view[2, 3] = 2.0
    K = torch.tensor([[40.0, 0, 16], [0, 40.0, 16], [0, 0, 1]])
    cameras = Cameras(view.expand(TARGETS, 1, 4, 4), K.expand(TARGETS, 1, 3, 3), SIDE, SIDE)
    return Sample(
        images=targets[:1].expand(REFERENCES, -1, -1, -1) * 0.9 + 0.1 * rand(REFERENCES, 3, SIDE, SIDE),
        face_images=rand(REFERENCES, 3, FACE, FACE), image_mask=torch.ones(REFERENCES, dtype=torch.bool),
        face_boxes=0.2 + 0.2 * rand(REFERENCES, 3), targets=targets, target_masks=masks,
        target_faces=rand(TARGETS, 3, FACE, FACE), cameras=cameras, pose=0.1 * rand(TARGETS, 55, 3),
        transl=0.05 * rand(TARGETS, 3), gaze=0.1 * rand(TARGETS, 4), actions=rand(TARGETS, 52),
        betas=rand(BETAS), seeds=torch.tensor(seed), surface=rand(REFERENCES, 4, SIDE // 4, SIDE // 4),
        face_surface=rand(REFERENCES, 4, FACE // 4, FACE // 4), face_viewmats=view.expand(TARGETS, 1, 4, 4),
        face_Ks=torch.tensor([[60.0, 0, 8], [0, 60.0, 8], [0, 0, 1]]).expand(TARGETS, 1, 3, 3),
    )


def fake_film(seeds: Tensor, kind: str) -> Sample:
    """People of these seeds, stacked; studio people are others than wild ones."""
    people = [one_person(int(seed) + (10**6 if kind == "studio" else 0)) for seed in seeds]
    tensors = {
        name: torch.stack([getattr(p, name) for p in people])
        for name in Sample.__dataclass_fields__ if name != "cameras"
    }
    cameras = Cameras(torch.stack([p.cameras.viewmats for p in people]), torch.stack([p.cameras.Ks for p in people]),
                      SIDE, SIDE)
    return Sample(cameras=cameras, **tensors)


def fake_cast(positions: Tensor) -> Tensor:
    """A split that begins at seed 1000."""
    return 1000 + positions
