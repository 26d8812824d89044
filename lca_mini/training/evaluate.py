"""How good a model is on people it has never seen, in views and poses it was not shown.

Enters: a model and a test split. Leaves: foreground-masked PSNR, SSIM, L1 and LPIPS (protocol in `metrics`), a 95 %
interval of PSNR over people, the same PSNR of two painted templates, and a contact sheet. Part of the paper: the figures of its tables 1 and 2, in kind. What
differs from the paper: the people are synthetic. Avatars are driven by facial actions, so that no pixel of a target
enters; the body shape is the model's own guess from the reference images unless the caller asks for the true one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lca_mini.config import MOST_IMAGES
from lca_mini.device import device_name
from lca_mini.data.people import cast_of, film_with
from lca_mini.data.stream import Cast, Film
from lca_mini.model import LCA
from lca_mini.render import choose_backend
from lca_mini.training import metrics
from lca_mini.training.baseline import baselines
from lca_mini.training.perceptual import perceptual
from lca_mini.training.sheet import sheet_of
from lca_mini.training.step import draw_targets
from lca_mini.types import DrivingSignal, Sample

KIND_OF_SPLIT = {"test-studio": "studio", "test-wild": "wild", "test-stylised": "stylised"}
DRIVERS = ("actions", "faces")
MEASURES = ("psnr", "ssim", "l1")
BASELINES = ("baseline_psnr", "baseline_parts_psnr")


@torch.no_grad()
def evaluate(
    model: LCA,
    split: str,
    people: int = 32,
    views: int = 4,
    images: int = 8,
    *,
    batch: int = 4,
    driven_by: str = "actions",
    true_betas: bool = True,
    lpips: str = "auto",
    backend: str = "auto",
    progress: bool = True,
    kind: str | None = None,
    film: Film | None = None,
    cast: Cast | None = None,
) -> tuple[dict[str, Any], Tensor]:
    """Measure a model where it is (CPU or CUDA); the same numbers every time.

    Args:
        split: "test-studio", "test-wild", or any other split if `kind` is given.
        people, views, images: the first people of the split, target views and reference images of each.
        driven_by: "actions", or "faces" for the code that the expression encoder reads off the target's face crop.
        true_betas: give the model the true body shape.
        lpips: which perceptual distance, as in `perceptual`.
        film, cast: other people than the library's, as in `SampleStream`.
    Returns: plain values for one line of JSON, and a contact sheet [H W 3] uint8: two references, then targets, each
        beside its render.
    Raises: ValueError for another split or driver, or numbers that make no sense.
    """
    from tqdm.auto import tqdm

    kind = KIND_OF_SPLIT.get(split) if kind is None else kind
    if kind not in KIND_OF_SPLIT.values():
        raise ValueError(f"no test split {split!r}; choose one of {', '.join(KIND_OF_SPLIT)}")
    if driven_by not in DRIVERS:
        raise ValueError(f"avatars cannot be driven by {driven_by!r} here; choose one of {', '.join(DRIVERS)}")
    if min(people, views, batch) < 1 or not 1 <= images <= MOST_IMAGES:
        raise ValueError(f"{people} people, {views} views and {images} images cannot be evaluated; each must be at "
                         f"least 1, and images at most {MOST_IMAGES}")
    config, device = model.config, model.anchors.points.device
    film = film or film_with(images, views, config.image_size, config.face_size, device)
    cast = cast or cast_of(split)
    net = perceptual(lpips, device)
    backend = choose_backend(device) if backend == "auto" else backend
    was_training = model.training
    model.eval()
    numbers: dict[str, list[Tensor]] = {name: [] for name in (*MEASURES, "lpips", *BASELINES)}
    shown: list[tuple[Sample, Tensor]] = []
    for first in tqdm(range(0, people, batch), desc=f"evaluate {split}", disable=not progress):
        seeds = cast(torch.arange(first, min(first + batch, people)))
        sample = film(seeds, kind)
        renders = reenact(model, sample, driven_by, true_betas, backend)
        flat = [t.flatten(0, 1) for t in (renders, sample.targets, sample.target_masks)]
        for name in MEASURES:
            numbers[name].append(getattr(metrics, name)(*flat).unflatten(0, renders.shape[:2]))
        numbers["lpips"].append(metrics.lpips(net, *flat).unflatten(0, renders.shape[:2]))
        for name, picture in zip(BASELINES, baselines(model.body, sample)):
            numbers[name].append(metrics.psnr(picture, sample.targets, sample.target_masks))
        if first < 8:
            shown.append((sample, renders))
    model.train(was_training)
    means = {name: round(float(torch.cat(values).double().mean(1).mean()), 4) for name, values in numbers.items()}
    low, high = metrics.interval(torch.cat(numbers["psnr"]).mean(1))
    seeds = cast(torch.arange(people))
    result = {
        "split": split, **means, "psnr_95": [round(low, 4), round(high, 4)], "lpips_kind": net.name, "people": people, "views": views, "images": images,
        "kind": kind, "driven_by": driven_by, "betas": "true" if true_betas else "predicted",
        "seeds": [int(seeds[0]), int(seeds[-1])], "baseline_parts": "oracle: colours from the targets",
        "preset": config.preset, "size": config.image_size, "backend": backend, "device": device_name(device),
    }
    return result, torch.cat([sheet_of(sample, renders, people=8) for sample, renders in shown])



def reenact(model: LCA, sample: Sample, driven_by: str, true_betas: bool, backend: str) -> Tensor:
    """Avatars of a sample's people, rendered [B T 3 H W] over white as their targets were filmed."""
    avatar = model.encode(
        sample.images, sample.face_images, sample.image_mask, sample.betas if true_betas else None
    )
    if driven_by == "actions":
        expression = model.expression_from_actions(sample.actions)
    else:
        expression = model.expression_from_faces(sample.target_faces)
    signal = DrivingSignal(sample.pose, sample.transl, expression, sample.gaze)
    return draw_targets(model.drive(avatar, signal), sample.cameras, backend)[0].clamp(0, 1)
