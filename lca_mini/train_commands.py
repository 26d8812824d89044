"""`lca-mini train`, `train-reader`, `train-finder` and `train-corrections`: the command line of training.

Enters: options. Leaves: folders of weights and logs, a line of JSON. No part of the paper.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import tyro

from lca_mini.training import (
    CorrectingSettings, FindingSettings, LossWeights, ReadingSettings, TrainSettings, train_correcting, train_finding,
    train_reading,
)  # fmt: skip
from lca_mini.training import train as run_training


def train(
    stage: Annotated[Literal["pretrain", "posttrain"], tyro.conf.Positional],
    out: Path,
    preset: Literal["nano", "mini", "paper"] = "mini",
    init: str | None = None,
    anew: tuple[str, ...] = (),
    still: tuple[str, ...] = (),
    resume: bool = False,
    data: str = "stage",
    people: int = 0,
    studio_people: int = 0,
    first: int = 0,
    steps: int = 0,
    minutes: float = 0.0,
    batch: int = 16,
    echo: int = 1,
    tracker: float = 0.25,
    routines: float = 0.3,
    references: int = 8,
    targets: int = 4,
    lr: float = 1e-3,
    schedule: Literal["cosine", "constant"] = "cosine",
    ema: float = 0.998,
    gamma: float | None = None,
    perceptual: str = "auto",
    device: Literal["auto", "cpu", "cuda"] = "auto",
    seed: int = 0,
    at_once: float = 0.0,
    save_every: int = 1000,
    preview_every: int = 500,
    shard_megabytes: float = 0.0,
    tensorboard: bool = False,
    shard: bool = False,
    deterministic: bool = False,
    weights: LossWeights = LossWeights(),
) -> None:
    """Train a model: first pretrain on people in the wild, then posttrain on studio captures.

    `lca-mini train pretrain --preset nano --minutes 2 --out runs/first` runs on a laptop. The last line is JSON.
    Eight GPUs: `torchrun --nproc-per-node 8 -m lca_mini train pretrain --preset paper --shard --minutes 600 --out big`.

    Args:
        stage: pretrain starts from random weights, posttrain from pretrained ones (--init).
        out: Folder for weights, log, previews and the state to resume from.
        preset: Size of the model.
        init: Weights to begin with: a name, a .safetensors file or a folder.
        anew: Modules that begin with random weights in spite of --init, such as expression_encoder action_map.
        still: Modules that learn nothing: expression_encoder surface_finder, which were taught alone and would forget.
        resume: Go on from the state in --out, exactly.
        data: Whom to learn from: wild, studio, mixed; stage, which is wild for pretrain and studio for posttrain; or a
            folder of samples (`lca-mini data make`).
        people: How many different people there are; 0 for no end.
        studio_people: How many of them are met in the studio; 0 for all.
        first: How many people to pass over, since another run has seen them.
        steps: Steps to take; 0 for no limit (then give --minutes).
        minutes: Time to take; 0 for no limit (then give --steps).
        batch: People a step and process.
        echo: How many steps see the same people, where filming is slower than learning.
        tracker: Size of the errors in wild people's poses, shapes and cameras; 0 for none, 1 for a poor tracker.
        routines: Share of studio moments out of routines: face action by action, fingers, gaze, speech, sitting, ...
        references: Most reference images a person.
        targets: Views a person to reproduce.
        lr: Peak learning rate.
        schedule: Of the learning rate after warming up: half a cosine to zero, or constant.
        ema: Decay of the averaged weights, which are the ones that are saved; 0 for none.
        gamma: Learning rate of a layer over that of the next; left out: 1 for pretrain, 0.65 for posttrain.
        perceptual: auto, lpips-vgg, lpips-alex, or a random-backbone variant lpips-random-alex, lpips-random-vgg.
        device: Where to compute.
        seed: Of weights and of everything drawn at random.
        at_once: Minutes after which to stop and save, to be resumed with --resume; 0 for none.
        save_every: Steps between two saved states; what a kill costs.
        preview_every: Steps between two contact sheets.
        shard_megabytes: Size of the files that weights are split into; 0 for one file.
        tensorboard: Log for TensorBoard too, in OUT/tensorboard (pip install tensorboard).
        shard: Several processes, which torchrun starts, hold a part each of weights, gradients and optimiser states
            (FSDP), instead of a copy each of all (DDP); they learn the same.
        deterministic: Get the same weights each time on a GPU too, bit by bit; a step takes several times as long.
        weights: Of the terms of the loss; 0 leaves one out.
    """
    settings = TrainSettings(**{**locals(), "out": str(out)})  # the options, by their names
    print(json.dumps(run_training(settings)), flush=True)


def train_reader(settings: Annotated[ReadingSettings, tyro.conf.arg(name="")]) -> None:
    """Teach the expression encoder alone to read facial actions off close-ups, before `train`. The last line is JSON.

    `lca-mini train-reader --minutes 2 --out runs/reader`, then `lca-mini train pretrain --init runs/reader
    --still expression_encoder ...`.
    """
    print(json.dumps(train_reading(settings)), flush=True)


def train_finder(settings: Annotated[FindingSettings, tyro.conf.arg(name="")]) -> None:
    """Teach the surface finder alone which point of the body each 4 pixels show, before `train`. The last line is JSON.

    `lca-mini train-finder --minutes 5 --out runs/finder`, then `lca-mini train pretrain --init runs/finder
    --still surface_finder ...`.
    """
    print(json.dumps(train_finding(settings)), flush=True)


def train_corrections(settings: Annotated[CorrectingSettings, tyro.conf.arg(name="")]) -> None:
    """Teach the correction branch alone how faces move, after `train`. The last line is JSON.

    `lca-mini train-corrections --init mini --minutes 5 --out runs/corrections`: a laptop will do, since no avatar is drawn.
    """
    print(json.dumps(train_correcting(settings)), flush=True)


COMMANDS = {"train": train, "train-reader": train_reader, "train-finder": train_finder, "train-corrections": train_corrections}
