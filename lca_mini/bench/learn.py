"""`lca-mini bench encode` and `lca-mini bench train`: the two jobs of the whole network.

Enters: a preset and sizes. Leaves: dictionaries for JSON. Part of the paper: its encoder and its training step; it
gives no times for either.
"""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import Any

import torch

from lca_mini.bench.clock import Clock, check_numbers, choose, measure_ceilings, rounded, summary
from lca_mini.bench.scenes import make_model, pictures
from lca_mini.device import device_name
from lca_mini.model import LCA
from lca_mini.render import choose_backend

FEW = 2  # calls before the timed ones: these take long


def bench_encode(
    preset: str = "mini", images: int = 8, batch: int = 1, repeats: int = 10, device: str | None = None
) -> dict[str, Any]:
    """Time `LCA.encode`: pictures to an avatar, under bfloat16 autocast on CUDA.

    Args:
        images: reference pictures of each person.
        batch: people at once.
    Returns: `ms_*` a call, `fps` people a second, `memory_gib` the peak on CUDA. The roofline counts the transformer's
        matrix products (two operations for each weight and token) and its weights read once.
    Raises: ValueError for an unknown preset, a number that is not positive, or more than 16 images.
    """
    check_numbers(images=images, batch=batch, repeats=repeats)
    device = choose(device)
    clock, (model, weights) = Clock(device), make_model(preset, device)
    faces = tuple(t.expand(batch, *t.shape[1:]).contiguous() for t in pictures(model, images, True, device))

    @torch.no_grad()
    def encode() -> None:
        with torch.autocast("cuda", torch.bfloat16, enabled=clock.cuda):
            model.encode(*faces)

    if clock.cuda:
        torch.cuda.reset_peak_memory_stats()
    ms = clock.stages([encode], repeats, FEW)[0]
    memory = rounded(torch.cuda.max_memory_allocated() / 2**30) if clock.cuda else None
    ceilings = measure_ceilings(device)
    blocks = sum(p.numel() for p in model.transformer.parameters())
    counted = (2 if clock.cuda else 4) * blocks, 2 * blocks * tokens_of(model, images) * batch
    roofline = ceilings.compare(statistics.median(ms), *counted)
    return {
        "bench": "encode", "preset": preset, "weights": weights, "device": device_name(device), "images": images,
        "image_size": model.config.image_size, "batch": batch, "repeats": repeats, **summary(ms, batch),
        "parameters": sum(p.numel() for p in model.parameters()), "memory_gib": memory,
        "roofline": {"encode": roofline}, "ceilings": ceilings.report(), "torch": torch.__version__,
    }  # fmt: skip


def tokens_of(model: LCA, images: int) -> float:
    """Tokens that a transformer weight meets on average: half of a layer's weights serve its self-attention inside
    images or geometry, which see one stream each, the rest both; counted as if all saw the mean of these."""
    grids = (model.image_encoder.grid(side, side) for side in (model.config.image_size, model.config.face_size))
    image_tokens = images * sum(rows * columns for rows, columns in grids)
    return 0.75 * (image_tokens + model.config.anchors)


def bench_train(
    preset: str = "nano", batch: int = 2, references: int = 4, targets: int = 2, repeats: int = 5, backend: str = "auto",
    device: str | None = None,
) -> dict[str, Any]:
    """Time one training step on synthetic people: filming them, forward with rendering, backward, optimiser.

    Args:
        batch: people a step. references, targets: pictures of each.
    Returns: `ms_*` a step without filming, which runs apart and may be repeated less often; `fps` people a second.
    Raises: ValueError for an unknown preset or a number that is not positive.
    """
    from lca_mini.body import load_body
    from lca_mini.config import preset as config_of
    from lca_mini.data.people import cast_of, film_with
    from lca_mini.model import build
    from lca_mini.training.optim import make_optimizer
    from lca_mini.training.perceptual import perceptual
    from lca_mini.training.settings import TrainSettings
    from lca_mini.training.step import Learner, draw, objective

    check_numbers(batch=batch, references=references, targets=targets, repeats=repeats)
    device = choose(device, backend)
    clock, config = Clock(device), config_of(preset)
    settings = TrainSettings(preset=preset, steps=1, batch=batch, references=references, targets=targets)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build(config, load_body(num_betas=config.num_betas)).to(device).train()
    optimizer, learner = make_optimizer(model, settings.lr, 1.0, settings.weight_decay, settings.muon), Learner(model)
    net = perceptual("lpips-random-alex", device, bfloat16=clock.cuda)
    film = film_with(references, targets, config.image_size, config.face_size, device)
    seeds = cast_of("train")(torch.arange(batch))
    chance = replace(draw(0, 0, 0, 1.0, references, targets, settings.given_betas), references=slice(0, references))
    backend, kept = choose_backend(device) if backend == "auto" else backend, {}

    def shoot() -> None:
        kept["sample"] = film(seeds, "wild")

    def forward() -> None:
        with torch.autocast("cuda", torch.bfloat16, enabled=clock.cuda):
            learned = learner(kept["sample"], chance).map(lambda t: t.float() if t.is_floating_point() else t)
        kept["loss"] = objective(learned, kept["sample"], chance, settings.weights, net, backend).loss

    def backward() -> None:
        optimizer.zero_grad()
        kept["loss"].backward()

    times = clock.stages([shoot, forward, backward, optimizer.step], repeats, FEW)
    stages = {name: rounded(statistics.median(ms)) for name, ms in zip(("film", "forward", "backward", "optimizer"), times)}
    steps = [sum(parts) for parts in zip(*times[1:])]
    return {
        "bench": "train", "preset": preset, "device": device_name(device), "backend": backend, "batch": batch,
        "references": references, "targets": targets, "repeats": repeats, **summary(steps, batch), "stages": stages,
        "memory_gib": rounded(torch.cuda.max_memory_allocated() / 2**30) if clock.cuda else None,
        "torch": torch.__version__,
    }  # fmt: skip
