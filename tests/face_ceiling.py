"""How much expressions could show: `python tests/face_ceiling.py` writes results/face_ceiling_mini.json.

What it costs to leave the expression out (`measure_parts`) depends on how well faces are drawn: motion hides in blur. Here
the avatar of each person is fitted to 96 exact close-ups of the face, which do not count as pictures that anybody has; then
the FACS sweep, as reconstructed and as fitted. `cost_if_exact` of the fitted is the most that these Gaussians could show.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from avatar_fit import FITTING_RATES, avatar_of, fit, raw_of

from lca_mini.capture.motion import random_frames
from lca_mini.device import choose_device, commit, device_name
from lca_mini.driving import driving_signal
from lca_mini.measure.reenact import FACE_PIXELS, NEUTRAL, facs_peaks, parts_of_one
from lca_mini.measure.stage import avatars_of, driven, pictures, portrait_cameras, spread_over, true_pictures
from lca_mini.model import LCA, load
from lca_mini.people.splits import seeds_of
from lca_mini.render import choose_backend

PEOPLE, PICTURES, STEPS, VIEWS = 12, 96, 500, 8  # of test-studio; to fit to; steps of Adam; pictures a step
OUT = Path(__file__).parents[1] / "results" / "face_ceiling_mini.json"


def before_and_after(model: LCA, seeds: Tensor) -> list[dict[str, Tensor]]:
    """PSNR of one person's face over the FACS sweep, as `parts_of_one` gives it: as reconstructed, and fitted."""
    device = model.anchors.points.device
    backend, generator = choose_backend(device), torch.Generator(device).manual_seed(0)
    motion = random_frames(seeds, PICTURES, "studio").to(device)
    either_way = 2 * torch.rand(1, PICTURES, 1, 2, generator=generator, device=device) - 1
    angles = either_way * torch.tensor([0.5, 0.2], device=device)  # yaw and pitch, radians
    with torch.no_grad():
        avatar = avatars_of(model, seeds)
        cameras = portrait_cameras(model.body, avatar.betas, motion, FACE_PIXELS, angles)
        true, signal = true_pictures(seeds, motion, cameras)[0, :, 0], driving_signal(model, motion)
    raw = raw_of(avatar)

    def shown() -> tuple[Tensor, Tensor, Tensor]:
        which = torch.randperm(PICTURES, generator=generator, device=device)[:VIEWS]
        gaussians = driven(model, avatar_of(avatar, raw), signal.map(lambda t: t[:, which]))
        renders = pictures(gaussians, cameras[:, which], backend)[0, :, 0]
        return renders, true[which], torch.ones_like(renders[:, :1])

    sweep = spread_over(facs_peaks(), 1)
    with torch.no_grad():
        before = parts_of_one(model, avatar, seeds, sweep, "facs", ("expression",), backend)
    fit(raw, FITTING_RATES, STEPS, shown)
    with torch.no_grad():
        return [before, parts_of_one(model, avatar_of(avatar, raw), seeds, sweep, "facs", ("expression",), backend)]


def main() -> None:
    device = choose_device("auto")
    model = load("mini", device=device).requires_grad_(False)
    made = [before_and_after(model, seeds_of("test-studio", i, 1)) for i in tqdm(range(PEOPLE), desc="people")]
    results = {}
    for name, rows in zip(("reconstructed", "fitted"), zip(*made)):
        means = {key: float(torch.stack([row[key] for row in rows]).mean()) for key in rows[0]}
        drawn, still, kept = means["nothing"], means["expression"], means[NEUTRAL]
        figures = {"with": drawn, "without": still, "cost": drawn - still, "neutral": kept, "cost_if_exact": kept - still}
        results[name] = {key: round(value, 3) for key, value in figures.items()}
    about = {"command": "python tests/face_ceiling.py", "commit": commit(), "device": device_name(device), "weights": "mini",
             "people": PEOPLE, "pictures": PICTURES, "steps": STEPS, "pixels": FACE_PIXELS}  # fmt: skip
    OUT.write_text(json.dumps(about | results, indent=2) + "\n")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
