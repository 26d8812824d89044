"""`lca-mini`: the library from a terminal.

Enters: a command line. Leaves: files and lines of text, results as one JSON line, the last. Bad input is one sentence
on stderr and exit code 2; then nothing was written. No part of the paper.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from functools import partial, wraps
from pathlib import Path
from typing import Annotated, Any, Callable, Literal, Union

import tyro

from lca_mini.bench.command import bench
from lca_mini.data.commands import COMMANDS as DATA_COMMANDS
from lca_mini.drive_commands import COMMANDS as DRIVE_COMMANDS
from lca_mini.experiments.command import experiment

DESCRIPTION = """Animatable Gaussian avatars from a few pictures of a person.

Begin with `lca-mini demo`: it takes eight pictures that ship with the package and writes videos of the avatar that the
model makes from them. Then give it your own: `lca-mini demo --images FOLDER`.
"""


def demo(
    images: Path | None = None,
    out: Path = Path("lca_demo"),
    weights: str = "mini",
    preset: Literal["nano", "mini", "paper"] | None = None,
    motion: Path | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    backend: Literal["auto", "cpu", "gsplat", "reference"] = "auto",
    size: int = 512,
    fps: int = 24,
    frames: int = 288,
    turn_frames: int = 96,
) -> None:
    """From a folder of pictures to a person who turns, talks and moves.

    Writes turntable.mp4, performance.mp4, contact_sheet.png, avatar.ply (for 3DGS viewers) and report.json.

    Args:
        images: Folder with 1 to 16 pictures of one person: PNG with alpha, or picture.jpg beside picture_mask.png. Left
            out: eight pictures of a person that the model has never seen.
        out: Folder to write into.
        weights: "mini", a .safetensors file, or a folder that holds one.
        preset: Refuse weights of another preset.
        motion: A motion file to perform instead of the built-in clip; `lca-mini drive --help` says which kinds.
        device: Where to compute; auto takes the GPU if there is one.
        backend: What renders; auto takes gsplat on a GPU and our own rasteriser on a CPU.
        size: Side of a picture, pixels.
        fps: Frames a second of the videos.
        frames: Length of the built-in performance.
        turn_frames: Length of the turntable.
    """
    from lca_mini.demo import DemoSettings, run_demo

    settings = DemoSettings(weights, preset, motion, device, backend, size, fps, turn_frames, frames)
    report = run_demo(images, out, settings)
    seconds = sum(report["ms"].values()) / 1000
    print(f"{report['gaussians']} Gaussians, weights {weights}, body {report['body']}, backend {report['backend']} on "
          f"{report['device']}: {seconds:.0f} s")  # fmt: skip
    print(f"look at {out / 'contact_sheet.png'} and {out / 'performance.mp4'}")


def train(
    stage: Annotated[Literal["pretrain", "posttrain"], tyro.conf.Positional],
    out: Path,
    preset: Literal["nano", "mini", "paper"] = "mini",
    init: str | None = None,
    anew: tuple[str, ...] = (),
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
    """
    from lca_mini.training import TrainSettings
    from lca_mini.training import train as run_training

    settings = TrainSettings(
        stage=stage, preset=preset, out=str(out), init=init, anew=anew, resume=resume, data=data, people=people,
        batch=batch, echo=echo, tracker=tracker, routines=routines, references=references, targets=targets,
        steps=steps, minutes=minutes, lr=lr, gamma=gamma, perceptual=perceptual, device=device, seed=seed,
        studio_people=studio_people, at_once=at_once, save_every=save_every, preview_every=preview_every,
        tensorboard=tensorboard, schedule=schedule, first=first, ema=ema, shard_megabytes=shard_megabytes,
        shard=shard,
    )  # fmt: skip
    print_json(run_training(settings))


def train_reader(
    out: Path,
    init: str | None = None,
    preset: Literal["nano", "mini", "paper"] = "mini",
    minutes: float = 0.0,
    films: int = 0,
    people: int = 64,
    close_ups: int = 12,
    echo: int = 3,
    pool: int = 40_000,
    first: int = 0,
    lr: float = 1e-3,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    seed: int = 0,
    shard_megabytes: float = 0.0,
) -> None:
    """Teach the expression encoder alone to read facial actions off close-ups, before `train`. The last line is JSON.

    `lca-mini train-reader --minutes 2 --out runs/reader`, then `lca-mini train pretrain --init runs/reader ...`.

    Args:
        out: Folder for weights, log and summary.
        init: Weights to begin with: a name, a .safetensors file or a folder; left out: random ones.
        preset: Size of the model, where there is no --init.
        minutes: Time to take; 0 for no limit (then give --films).
        films: How often to film; 0 for no limit (then give --minutes).
        people: Filmed together, in the studio and in the wild by turns.
        close_ups: Of each of them.
        echo: How often a close-up is met on average, each time altered differently.
        pool: Close-ups of each world that steps draw from; 0.05 MB each at 128 pixels.
        first: How many people to pass over, since another run has seen them.
        lr: Peak learning rate.
        device: Where to compute.
        seed: Of weights and alterations.
        shard_megabytes: Size of the files that weights are split into; 0 for one file.
    """
    from lca_mini.training import ReadingSettings, train_reading

    settings = ReadingSettings(
        out=str(out), init=init, preset=preset, minutes=minutes, films=films, people=people, close_ups=close_ups, echo=echo,
        pool=pool, first=first, lr=lr, device=device, seed=seed, shard_megabytes=shard_megabytes,
    )  # fmt: skip
    print_json(train_reading(settings))


def evaluate(
    split: Literal["test-studio", "test-wild", "test-stylised"],
    weights: str = "mini",
    preset: Literal["nano", "mini", "paper"] | None = None,
    people: int | None = None,
    views: int | None = None,
    images: int = 8,
    batch: int = 4,
    driven_by: Literal["actions", "faces"] = "actions",
    true_betas: bool = True,
    lpips: str = "auto",
    device: Literal["auto", "cpu", "cuda"] = "auto",
    backend: Literal["auto", "cpu", "gsplat", "reference"] = "auto",
    out: Path | None = None,
) -> None:
    """Measure a model on people, views and poses that it has never seen. The last line is JSON.

    The head of lca_mini/training/evaluate.py is the protocol.

    Args:
        split: Which people, and how they are filmed.
        weights: "mini", a .safetensors file, or a folder that holds one.
        preset: Refuse weights of another preset.
        people: How many, from the first of the split; left out: the protocol's, 64 in the wild, else 32.
        views: Pictures of each to reproduce; left out: the protocol's, 8 in the studio, else 4.
        images: Pictures of each that the model sees: of 8, those that show most of the face.
        batch: People at once.
        driven_by: Facial actions, or the code that the expression encoder reads off the face to be reproduced.
        true_betas: Tell the model the true body shape, which comes from the tracker as the poses do; else its own guess.
        lpips: auto, lpips-vgg, lpips-alex, lpips-random-alex or lpips-random-vgg; the result says which it was.
        device: Where to compute.
        backend: What renders.
        out: Folder for the result as <split>.json and a contact sheet <split>.png; <split>_<images>.json for other than 8.
    """
    from lca_mini.demo import staged
    from lca_mini.device import choose_device, commit
    from lca_mini.export import save_png
    from lca_mini.model import load
    from lca_mini.training import evaluate as measure

    def run() -> tuple[dict[str, Any], Any]:
        model = load(weights, choose_device(device), expect_preset=preset)
        result, sheet = measure(
            model, split, people, views, images, batch=batch, driven_by=driven_by, true_betas=true_betas, lpips=lpips,
            backend=backend,
        )  # fmt: skip
        about = {"command": "lca-mini " + " ".join(sys.argv[1:]), "commit": commit(), "weights": weights}
        return about | result | {"config": model.config.to_dict()}, sheet

    if out is None:
        result = run()[0]
    else:
        with staged(out) as work:
            result, sheet = run()
            name = split if images == 8 else f"{split}_{images}"
            (work / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
            save_png(sheet, work / f"{name}.png")
    print_json(result)


def flowing(job: Callable[..., None]) -> Callable[..., None]:
    """The same command, each argument's words in one line: tyro would break them where the source does."""
    job.__doc__ = re.sub(r"\n {8,}", " ", inspect.cleandoc(job.__doc__ or ""))
    return job


def nested(commands: dict[str, Callable[..., None]], words: str) -> Callable[..., None]:
    """One command made of several: `lca-mini data make ...`. Each runs after parsing, so that its errors are its own."""

    def later(job: Callable[..., None]) -> Callable[..., Any]:
        return wraps(job)(lambda **options: partial(job, **options))

    jobs = [Annotated[Any, tyro.conf.subcommand(name, constructor=later(flowing(job)))] for name, job in commands.items()]

    def chosen(job: Any) -> None:
        job()

    chosen.__annotations__["job"], chosen.__doc__ = tyro.conf.OmitSubcommandPrefixes[Union[tuple(jobs)]], words
    return chosen


COMMANDS = {"demo": demo, **DRIVE_COMMANDS, "train": train, "train-reader": train_reader, "eval": evaluate, "experiment": experiment, "bench": bench}
COMMANDS = {name: flowing(job) for name, job in COMMANDS.items()} | {
    "data": nested(DATA_COMMANDS, "Folders of samples: make, check and show them; figures of the population.")}


def print_json(result: dict[str, Any]) -> None:
    """One line."""
    print(json.dumps(result), flush=True)


def main(argv: list[str] | None = None) -> int:
    """Run a command line (None for the process's own) and return the exit code."""
    try:
        tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="lca-mini", description=DESCRIPTION, args=argv)
    except ValueError as error:
        print("lca-mini:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0 if leaving.code is None else 2
    except KeyboardInterrupt:
        print("lca-mini: stopped", file=sys.stderr)
        return 130
    return 0


def run() -> None:
    """The console script."""
    sys.exit(main())
