"""Peers of table 2 that learn from nobody, behind the one door that `measure` knocks at.

Enters: a method's name, and test people. Leaves: pictures of their targets. Part of the paper: its table 2, in kind. Both
are told the true cameras and poses of the pictures that they see, which our model is not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from lca_mini.body import load_body, sample_anchors
from lca_mini.config import Config
from lca_mini.data.people import cast_of, film_with
from lca_mini.data.stream import Cast, Film
from lca_mini.experiments.optimised import Effort, optimise, posed
from lca_mini.experiments.projected import texture_of, textured
from lca_mini.export import whole_file
from lca_mini.model.lca import ANCHOR_SEED
from lca_mini.training.evaluate import KIND_OF_SPLIT, REFERENCES
from lca_mini.training.shown import chosen_images
from lca_mini.training.step import draw_targets
from lca_mini.types import Gaussians, Sample, join


class Peer:
    """Re-enacts test people by a method, "optimised" or "projected"."""

    def __init__(
        self, method: str, config: Config, device: str, split: str, images: int, views: int, effort: Effort, folder: Path,
        film: Film | None = None,
    ) -> None:  # fmt: skip
        """
        Args:
            images, views: references shown and targets filmed of each person, as in `measure`.
            folder: for optimised people, who are found again there.
            film: other people than the library's; films them with `of_references`.
        """
        self.method, self.config, self.kind, self.split, self.images = method, config, KIND_OF_SPLIT[split], split, images
        self.effort, self.folder, self.device = effort, folder, torch.device(device)
        body = load_body(num_betas=config.num_betas)
        self.anchors = sample_anchors(body, config.anchors, ANCHOR_SEED).to(self.device)
        self.body = body.to(self.device)
        count = max(images, REFERENCES)
        self.film = film or film_with(count, views, config.image_size, config.face_size, device, of_references=True)

    def prepare(self, people: int, begin: Callable[[float], None], cast: Cast | None = None) -> None:
        """Optimise the first people of the split, one after another; other methods need nothing.

        Args:
            begin: is told of each person's minutes, and raises where there is no time left.
        """
        from tqdm.auto import tqdm

        if self.method != "optimised":
            return
        for seed in tqdm((cast or cast_of(self.split))(torch.arange(people)), desc=f"optimise {self.split}"):
            if not self.file(seed).exists():
                begin(self.effort.seconds / 60)
                self.gaussians(seed)

    def file(self, seed: Tensor) -> Path:
        """Where one person's Gaussians are kept."""
        return self.folder / f"{int(seed)}.safetensors"

    def gaussians(self, seed: Tensor) -> Gaussians:
        """One person's canonical Gaussians: read, or optimised and kept."""
        from safetensors.torch import load_file, save_file

        file = self.file(seed)
        if not file.exists():
            own = self.film(seed[None].cpu(), self.kind)
            pictures = chosen_images(own, self.images)[0].tolist()
            with torch.enable_grad():
                made = optimise(self.body, self.anchors, self.config.gaussians_per_anchor, own, pictures, self.effort)
            with whole_file(file) as partial:
                save_file({name: value.cpu().contiguous() for name, value in vars(made).items()}, partial)
        return Gaussians(**load_file(file)).to(self.device)

    @torch.no_grad()
    def __call__(self, sample: Sample) -> Float[Tensor, "B T 3 H W"]:
        """Pictures of the targets, over white."""
        if self.method == "optimised":
            posed_ones = [posed(self.gaussians(seed), self.body, self.anchors, sample[i : i + 1])
                          for i, seed in enumerate(sample.seeds)]  # fmt: skip
            return draw_targets(join(posed_ones), sample.cameras, "auto")[0].clamp(0, 1)
        own = self.film(sample.seeds.cpu(), self.kind)
        chosen = chosen_images(own, self.images).tolist()
        textures = [texture_of(self.body, own, person, pictures) for person, pictures in enumerate(chosen)]
        return textured(self.body, sample, torch.stack(textures))
