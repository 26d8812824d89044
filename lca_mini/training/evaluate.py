"""How good an avatar is on people that nobody has seen, in views and poses that were not shown.

Enters: a model, or whatever else re-enacts a person, and a test split. Leaves: numbers for one line of JSON, and a
contact sheet. Part of the paper: the figures of its tables 1 and 2, in kind; its people are real, ours synthetic.

The protocol, so that anybody gets the same digits (`PROTOCOL` holds the numbers):

* People: the first of the split, by seed. Each is filmed at 8 + T moments: 8 references and T targets, other poses seen
  from other places. Targets stay the same whatever `images` is: fewer pictures are those of the 8 that show most of the
  face.
* Frames: as `sample_people` makes them at the preset's size, without resizing; about a third of the targets are close-ups
  of the head, a fifth the upper body. No tracker errs: poses, cameras and, unless told otherwise, body shape are true.
* Drive: by facial actions, so that no pixel of a target enters; or by the code read off its face crop.
* Measures: as in `metrics`, over white, inside the true mask; of face and hands inside the mask and the region
  (`regions`), in pictures that show at least a thousandth of a picture of it.
* Averages: over a person's pictures, then over people. Intervals: 95 %, bootstrap over people, seed 0.
"""

from __future__ import annotations

import math
from typing import Any, Callable

import torch
from jaxtyping import Float
from torch import Tensor

from lca_mini.body import Body
from lca_mini.config import MOST_IMAGES, Config
from lca_mini.data.people import cast_of, film_with
from lca_mini.data.stream import Cast, Film
from lca_mini.device import device_name
from lca_mini.model import LCA
from lca_mini.render import choose_backend
from lca_mini.training import metrics
from lca_mini.training.baseline import baselines
from lca_mini.training.perceptual import Perceptual, perceptual
from lca_mini.training.regions import REGIONS, region_masks, template_seen
from lca_mini.training.sheet import sheet_of
from lca_mini.training.shown import fewer_images, without_faces
from lca_mini.training.step import draw_targets
from lca_mini.types import DrivingSignal, Sample

KIND_OF_SPLIT = {"test-studio": "studio", "test-wild": "wild", "test-stylised": "stylised"}
PROTOCOL = {"test-studio": (32, 8), "test-wild": (64, 4), "test-stylised": (32, 4)}  # people, targets of each
REFERENCES = 8  # filmed of each person, however few are shown
SMALLEST_REGION = 1e-3  # of a picture's pixels
DRIVERS = ("actions", "faces")
MEASURES = ("psnr", "ssim", "l1")
BASELINES = ("baseline_psnr", "baseline_parts_psnr")

Reenact = Callable[[Sample], Float[Tensor, "B T 3 H W"]]
"""People to pictures of their targets, over white; it may look at all of a `Sample` but `targets` and their masks."""


def evaluate(
    model: LCA,
    split: str,
    people: int | None = None,
    views: int | None = None,
    images: int = 8,
    *,
    batch: int = 4,
    driven_by: str = "actions",
    true_betas: bool = True,
    face_crops: bool = True,
    lpips: str = "auto",
    backend: str = "auto",
    progress: bool = True,
    kind: str | None = None,
    film: Film | None = None,
    cast: Cast | None = None,
) -> tuple[dict[str, Any], Tensor]:
    """Measure a model where it is (CPU or CUDA); the same numbers every time.

    Args:
        driven_by: "actions", or "faces" for the code that the expression encoder reads off the target's face crop.
        true_betas: give the model the true body shape.
        face_crops: show it the faces too; without, they are white.
        others: as in `measure`.
    Returns, raises: as `measure`.
    """
    if driven_by not in DRIVERS:
        raise ValueError(f"avatars cannot be driven by {driven_by!r} here; choose one of {', '.join(DRIVERS)}")
    device = model.anchors.points.device
    backend = choose_backend(device) if backend == "auto" else backend
    was_training = model.training
    model.eval()
    try:
        result, sheet = measure(
            lambda sample: reenact(model, sample if face_crops else without_faces(sample), driven_by, true_betas, backend),
            model.body, model.config, split, people, views, images, batch=batch, lpips=lpips, progress=progress, kind=kind,
            film=film, cast=cast,
        )  # fmt: skip
    finally:
        model.train(was_training)
    about = {"driven_by": driven_by, "betas": "true" if true_betas else "predicted", "face_crops": face_crops}
    return result | about | {"backend": backend}, sheet


@torch.no_grad()
def measure(
    reenacted: Reenact,
    body: Body,
    config: Config,
    split: str,
    people: int | None = None,
    views: int | None = None,
    images: int = 8,
    *,
    batch: int = 4,
    lpips: str = "auto",
    progress: bool = True,
    kind: str | None = None,
    film: Film | None = None,
    cast: Cast | None = None,
) -> tuple[dict[str, Any], Tensor]:
    """Measure whatever re-enacts people, on the body's device.

    Args:
        body: for regions and baselines. config: sizes of pictures.
        split: "test-studio", "test-wild", "test-stylised", or any other split if `kind` is given.
        people, views, images: the first people of the split, targets and reference images of each; None for `PROTOCOL`'s.
        lpips: which perceptual distance, as in `perceptual`.
        film, cast: other people than the library's, as in `SampleStream`.
    Returns: plain values for one line of JSON, and a contact sheet [H W 3] uint8: two references, then targets, each
        beside its render.
    Raises: ValueError for another split, or numbers that make no sense.
    """
    from tqdm.auto import tqdm

    kind = KIND_OF_SPLIT.get(split) if kind is None else kind
    if kind not in KIND_OF_SPLIT.values():
        raise ValueError(f"no test split {split!r}; choose one of {', '.join(KIND_OF_SPLIT)}")
    usual = PROTOCOL.get(split, PROTOCOL["test-wild"])
    people, views = usual[0] if people is None else people, usual[1] if views is None else views
    if min(people, views, batch) < 1 or not 1 <= images <= MOST_IMAGES:
        raise ValueError(f"{people} people, {views} views and {images} images cannot be evaluated; each must be at "
                         f"least 1, and images at most {MOST_IMAGES}")
    device = body.template.device
    film = film or film_with(max(images, REFERENCES), views, config.image_size, config.face_size, device)
    cast = cast or cast_of(split)
    net = perceptual(lpips, device)
    names = (*MEASURES, "lpips", *(f"{region}_psnr" for region in REGIONS), *BASELINES)
    numbers: dict[str, list[Tensor]] = {name: [] for name in names}
    shown: list[tuple[Sample, Tensor]] = []
    for first in tqdm(range(0, people, batch), desc=f"evaluate {split}", disable=not progress):
        sample = fewer_images(film(cast(torch.arange(first, min(first + batch, people))), kind), images)
        renders = reenacted(sample)
        for name, values in picture_numbers(renders, sample, body, net).items():
            numbers[name].append(values.double().nanmean(1).cpu())
        if first < 8:
            shown.append((sample, renders))
    result = {"split": split, **summary({name: torch.cat(values) for name, values in numbers.items()})}
    seeds = cast(torch.arange(people))
    result |= {
        "lpips_kind": net.name, "people": people, "views": views, "images": images, "kind": kind,
        "seeds": [int(seeds[0]), int(seeds[-1])], "baseline_parts": "oracle: colours from the targets",
        "preset": config.preset, "size": config.image_size, "device": device_name(device),
    }  # fmt: skip
    return result, torch.cat([sheet_of(sample, renders, people=8) for sample, renders in shown])


def picture_numbers(
    renders: Float[Tensor, "B T 3 H W"], sample: Sample, body: Body, net: Perceptual
) -> dict[str, Float[Tensor, "B T"]]:
    """Every measure of every picture; NaN where it shows too little of a region."""
    targets, masks, shape = sample.targets, sample.target_masks, renders.shape[:2]
    made = {name: getattr(metrics, name)(renders, targets, masks) for name in MEASURES}
    made["lpips"] = metrics.lpips(net, *(t.flatten(0, 1) for t in (renders, targets, masks))).unflatten(0, shape)
    seen = template_seen(body, sample.betas, sample, sample.cameras)
    for name, region in region_masks(body, seen).items():
        inside = region * (masks > 0.5)
        enough = inside.flatten(2).float().mean(2) >= SMALLEST_REGION
        made[f"{name}_psnr"] = torch.where(enough, metrics.psnr(renders, targets, inside.float()), math.nan)
    for name, picture in zip(BASELINES, baselines(body, sample, seen)):
        made[name] = metrics.psnr(picture, targets, masks)
    return made


def summary(people: dict[str, Float[Tensor, "B"]]) -> dict[str, Any]:
    """Means over people, their intervals, and each person's PSNR, so that two methods can be compared in pairs."""
    means = {name: rounded(float(values.nanmean())) for name, values in people.items()}
    bounds = {name: metrics.interval(values) for name, values in people.items() if name not in BASELINES}
    intervals = {f"{name}_95": None if both is None else [rounded(b) for b in both] for name, both in bounds.items()}
    counts = {f"people_with_{name}": int((~people[f"{name}_psnr"].isnan()).sum()) for name in REGIONS}
    return means | intervals | counts | {"people_psnr": [rounded(float(value)) for value in people["psnr"]]}


def rounded(value: float) -> float | None:
    """Four digits after the point; None for what is no number, which JSON does not have."""
    return None if math.isnan(value) else round(value, 4)


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
