"""`lca-mini`: the library from a terminal.

Enters: a command line. Leaves: files and lines of text, results as one JSON line, the last. Bad input is one sentence
on stderr and exit code 2; then nothing was written. No part of the paper.
"""

from __future__ import annotations

import inspect
import json
import os
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
from lca_mini.train_commands import COMMANDS as TRAIN_COMMANDS

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


COMMANDS = {"demo": demo, **DRIVE_COMMANDS, **TRAIN_COMMANDS, "eval": evaluate, "experiment": experiment, "bench": bench}
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
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return 0


def run() -> None:
    """The console script."""
    sys.exit(main())
