"""How good the shipped weights' avatars could be: `python tests/ceiling.py` writes results/ceiling_mini.json.

Of each person of a test world, the avatar that the model makes of 8 pictures is fitted to 160 others with exact cameras
and poses: all that is canonical (places, turns, sizes, opacities, colours), and the light. What is measured are views that
it was not fitted to. So many Gaussians that move with the skeleton as these do, and corrections as they are, reach no more:
nobody has 160 exact pictures.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from avatar_fit import FITTING_RATES, avatar_of, fit, raw_of

from lca_mini.capture.film import sample_people
from lca_mini.data.people import cast_of
from lca_mini.device import choose_device, commit, device_name
from lca_mini.model import LCA, load
from lca_mini.render import choose_backend
from lca_mini.training.evaluate import PROTOCOL, REFERENCES
from lca_mini.training.metrics import interval, psnr
from lca_mini.training.step import draw_targets
from lca_mini.types import DrivingSignal

SPLITS = ("test-studio", "test-wild")
PICTURES, STEPS, VIEWS = 160, 800, 6  # to fit to; steps of Adam; pictures a step
RATES = {name: rate / 2 for name, rate in FITTING_RATES.items()}
AT_ONCE = {"cpu": 1, "cuda": 16}  # people
OUT = Path(__file__).parents[1] / "results" / "ceiling_mini.json"


def before_and_after(model: LCA, seeds: Tensor, kind: str, views: int) -> Tensor:
    """PSNR of each person [2 B], mean over the first `views` targets: as reconstructed, and fitted to all others."""
    device = model.anchors.points.device
    backend, sample = choose_backend(device), sample_people(seeds, kind, REFERENCES, views + PICTURES, device=device)
    with torch.no_grad():
        avatar = model.encode(sample.images, sample.face_images, None, sample.betas)
        codes = model.expression_from_actions(sample.actions)
    raw, generator = raw_of(avatar), torch.Generator().manual_seed(0)

    def drawn(which: Tensor) -> Tensor:
        signal = DrivingSignal(*(t[:, which] for t in (sample.pose, sample.transl, codes, sample.gaze)))
        return draw_targets(model.drive(avatar_of(avatar, raw), signal), sample.cameras[:, which], backend)[0]

    def shown() -> tuple[Tensor, Tensor, Tensor]:
        which = (views + torch.randperm(PICTURES, generator=generator)[:VIEWS]).to(device)
        return tuple(t.flatten(0, 1) for t in (drawn(which), sample.targets[:, which], sample.target_masks[:, which]))

    @torch.no_grad()
    def quality() -> Tensor:
        which = torch.arange(views, device=device)
        return psnr(drawn(which), sample.targets[:, which], sample.target_masks[:, which]).mean(1)

    before = quality()
    fit(raw, RATES, STEPS, shown)
    return torch.stack([before, quality()]).cpu()


def main() -> None:
    device = choose_device("auto")
    model, results = load("mini", device=device).requires_grad_(False), {}
    for split in SPLITS:
        people, views = PROTOCOL[split]
        seeds = cast_of(split)(torch.arange(people)).split(AT_ONCE[device])
        kind = split.removeprefix("test-")
        made = torch.cat([before_and_after(model, some, kind, views) for some in tqdm(seeds, desc=split)], 1)
        results[split] = {"people": people, "views": views} | {
            name: {"psnr": round(float(values.mean()), 3), "psnr_95": [round(bound, 3) for bound in interval(values)],
                   "people_psnr": [round(float(value), 3) for value in values]}
            for name, values in zip(("reconstructed", "fitted"), made)}  # fmt: skip
    about = {"command": "python tests/ceiling.py", "commit": commit(), "device": device_name(device), "weights": "mini",
             "pictures": PICTURES, "steps": STEPS}
    OUT.write_text(json.dumps(about | results, indent=2) + "\n")
    print(json.dumps({split: {name: results[split][name]["psnr"] for name in ("reconstructed", "fitted")} for split in SPLITS}))


if __name__ == "__main__":
    main()
