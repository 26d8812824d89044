"""Where the shipped weights lose their decibels: `python tests/diagnose.py` writes results/diagnosis_mini.json.

Of some people of each test world: how much of the squared error lies near the outline; what light and expression code
are worth; how far off correspondences are; how well any texture that never changes could do with perfect geometry,
plain and shaded by the posed normal; and, of the first few, what avatars reach that are fitted to the very pictures they
are measured on, in the places of their Gaussians alone, in colours and light alone, or in all.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from avatar_fit import FITTING_RATES, avatar_of, fit, raw_of

import lca_mini.capture.film as filming
from lca_mini.body import bone_transforms, rest_joints, with_gaze
from lca_mini.body.lbs import blend_transforms
from lca_mini.data.people import cast_of
from lca_mini.device import commit, device_name
from lca_mini.model import LCA, load
from lca_mini.model.light import light_basis, posed_normals
from lca_mini.training.metrics import psnr
from lca_mini.training.step import draw_targets
from lca_mini.types import Avatar, DrivingSignal, Sample

PEOPLE, TAKES, VIEWS, VOXEL, OUTLINE = 12, 64, 4, 0.005, 4
FITTED, STEPS = 6, 40  # people, and steps of Adam
PARTS = {"places": ("means",), "colours_and_light": ("colors", "light"), "all": tuple(FITTING_RATES)}
OUT = Path(__file__).parents[1] / "results" / "diagnosis_mini.json"


@torch.no_grad()
def losses_of(
    model: LCA, avatar: Avatar, signal: DrivingSignal, found: tuple[Tensor, Tensor], sample: Sample
) -> dict[str, Tensor]:
    """PSNR of each target, whole and changed, share of the error at the outline, and distances in centimetres."""
    targets, masks = sample.targets.flatten(0, 1), sample.target_masks.flatten(0, 1)
    inside = (masks > 0.5).float()
    inner = 1 - F.max_pool2d(1 - inside, 2 * OUTLINE + 1, 1, OUTLINE)
    made = {}
    for name, who, how in (("psnr", avatar, signal), ("psnr_without_light", replace(avatar, light=0 * avatar.light), signal),
                           ("psnr_without_code", avatar, replace(signal, expression=0 * signal.expression))):
        pictures = draw_targets(model.drive(who, how), sample.cameras, "cpu")[0].flatten(0, 1)
        made[name] = psnr(pictures, targets, masks)
        if name == "psnr":
            error = (pictures - targets).square()
            made["outline_share"] = (error * (inside - inner)).sum((1, 2, 3)) / (error * inside).sum((1, 2, 3))
            made["psnr_within_outline"] = psnr(pictures, targets, inner)
    for name, maps, true in zip(("body", "face"), found, (sample.surface, sample.face_surface)):
        distance = (maps[:, :, :3] - true[:, :, :3]).norm(dim=2)[true[:, :, 3] > 0.9]
        made[f"places_of_{name}_pictures_cm"] = 100 * distance.median()[None]
    return made


def fitted(model: LCA, avatar: Avatar, signal: DrivingSignal, sample: Sample) -> dict[str, Tensor]:
    """PSNR of each target after `STEPS` steps towards all of them, by what may change."""
    targets, masks, made = sample.targets.flatten(0, 1), sample.target_masks.flatten(0, 1), {}
    for part, names in PARTS.items():
        raw = raw_of(avatar)

        def drawn() -> Tensor:
            return draw_targets(model.drive(avatar_of(avatar, raw), signal), sample.cameras, "cpu")[0].flatten(0, 1)

        fit(raw, {name: FITTING_RATES[name] for name in names}, STEPS, lambda: (drawn(), targets, masks))
        with torch.no_grad():
            made[f"fitted_{part}"] = psnr(drawn(), targets, masks)
    return made


@torch.no_grad()
def bounds_of(model: LCA, seed: Tensor, kind: str) -> dict[str, Tensor]:
    """PSNR that a texture averaged over the other takes reaches on the first `VIEWS`, geometry being true."""
    plates, resolve = [], filming.resolve
    filming.resolve = lambda plate: plates.append(plate) or resolve(plate)
    try:
        sample = filming.sample_people(seed, kind, 1, TAKES, 256, 32)
    finally:
        filming.resolve = resolve
    cover = sample.target_masks[0, :, 0]
    sure = cover > 0.95
    take = sure.nonzero()[:, 0]
    place = plates[-1].place[0].movedim(1, -1)[sure] / cover[sure][:, None]
    linear = sample.targets[0].movedim(1, -1)[sure].clamp(min=0.003) ** 2.2
    transforms = bone_transforms(with_gaze(sample.pose, sample.gaze), rest_joints(model.body, sample.betas)[:, None].expand(
        sample.pose.shape), model.body.parents)[0]  # fmt: skip
    normals = posed_normals(model.anchors.normals, blend_transforms(model.anchors.skin_weights, transforms))
    anchor = torch.cat([torch.cdist(some, model.anchors.points).argmin(1) for some in place.split(20000)])
    basis = F.pad(light_basis(normals[take, anchor]), (1, 0), value=1.0)
    voxel = torch.unique((place / VOXEL).round().long(), dim=0, return_inverse=True)[1]
    seen, made = take >= VIEWS, {}
    factor = torch.ones_like(linear)
    for name in ("bound_static", "", "", "bound_lit"):  # texture and light in turn
        above, below = (torch.zeros(int(voxel.max()) + 1, 3).index_add_(0, voxel[seen], values[seen])
                        for values in (linear * factor, factor * factor))  # fmt: skip
        texture = above / below.clamp(min=1e-6)
        error = ((texture[voxel] * factor).clamp(1e-6, 1) ** (1 / 2.2) - linear ** (1 / 2.2)).square().mean(1)
        known = below[voxel].sum(1) > 0
        views = [error[(take == view) & known] for view in range(VIEWS)]
        made[name] = torch.stack([-10 * view.mean().log10() for view in views if len(view) > 50])
        for channel in range(3):
            rows = basis[seen] * texture[voxel[seen], channel : channel + 1]
            light = torch.linalg.lstsq(rows.T @ rows + 1e-3 * torch.eye(9), rows.T @ linear[seen, channel]).solution
            factor[:, channel] = (basis @ light).clamp(0.05, 4)
    return {name: values for name, values in made.items() if name}


def main() -> None:
    model, results = load("mini").requires_grad_(False), {}
    for split in ("test-studio", "test-wild"):
        kind, numbers = split.removeprefix("test-"), {}
        for i, seed in enumerate(tqdm(cast_of(split)(torch.arange(PEOPLE)).split(1), desc=split)):
            sample = filming.sample_people(seed, kind, 8, VIEWS)
            with torch.no_grad():
                avatar, _, found = model.reconstruct(sample.images, sample.face_images, None, sample.betas)
                code = model.expression_from_actions(sample.actions)
            signal = DrivingSignal(sample.pose, sample.transl, code, sample.gaze)
            measured = losses_of(model, avatar, signal, found, sample) | bounds_of(model, seed, kind)
            if i < FITTED:
                measured |= fitted(model, avatar, signal, sample) | {"fitted_none": measured["psnr"]}
            for name, values in measured.items():
                numbers.setdefault(name, []).append(values.mean())
        results[split] = {name: round(float(torch.stack(values).mean()), 3) for name, values in numbers.items()}
    about = {"command": "python tests/diagnose.py", "commit": commit(), "device": device_name("cpu"), "people": PEOPLE,
             "views": VIEWS, "takes": TAKES, "voxel_metres": VOXEL, "outline_pixels": OUTLINE,
             "fitted_people": FITTED, "fitting_steps": STEPS}
    OUT.write_text(json.dumps(about | results, indent=2) + "\n")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
