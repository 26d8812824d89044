"""What a run leaves in its folder beside its state: log, summary, and weights ready for `load`.

Enters: a run's numbers and its model. Leaves: `log.jsonl`, `summary.json`, `model.safetensors`. No part of the paper.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from lca_mini.export import whole_file
from lca_mini.model import LCA, save_checkpoint
from lca_mini.model.checkpoint import saved_tensors
from lca_mini.training.optim import Average
from lca_mini.training.settings import TrainSettings
from lca_mini.training.shard import gathered
from lca_mini.training.state import NAME, read_about
from lca_mini.training.window import Window


def made_folder(folder: str | Path) -> Path:
    """The folder, made where it is not there. Raises: ValueError where it cannot be."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"the folder {str(folder)!r} cannot be made ({error.strerror}); choose another one") from None
    return Path(folder)


def check_folder(settings: TrainSettings) -> Path:
    """The run's folder, made. Raises: ValueError where it cannot be, or holds another run, or has nothing to resume."""
    out = Path(settings.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "log.jsonl").open("a").close()
    except OSError as error:
        raise ValueError(f"the folder {str(out)!r} cannot be written ({error}); choose another one") from None
    if settings.resume:
        began = read_about(out)["settings"]
        for name in ("stage", "preset", "seed", "batch", "data", "people", "references", "targets", "echo", "studio_people",
                     "dual_branch", "fusion", "finder", "face_crops"):
            if began.get(name, getattr(settings, name)) != getattr(settings, name):
                raise ValueError(f"the run in {str(out)!r} was begun with {name} = {began[name]!r}; resume with that")
    elif (out / NAME).exists():
        raise ValueError(f"the folder {str(out)!r} holds a run already; resume it, or choose another folder")
    return out


def open_board(settings: TrainSettings, out: Path) -> Any:
    """A writer for TensorBoard, None where nobody asked. Raises: ValueError where TensorBoard is not installed."""
    if not settings.tensorboard:
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ValueError("TensorBoard is not installed: pip install tensorboard, or train without it") from None
    return SummaryWriter(str(out / "tensorboard"))


def log_line(
    out: Path, window: Window, step: int, optimizer: torch.optim.Optimizer, progress: float, seconds: float,
    people: int, write: bool, board: Any = None,
) -> dict[str, Any]:
    """Means over the steps since the last line, written to `log.jsonl` and to `board`, if any; this is where the device is
    waited for."""
    rates = [group["lr"] for group in optimizer.param_groups]
    line = {"step": step, "seconds": round(seconds, 2), "progress": round(progress, 4), "lr": max(rates)}
    line |= window.close(people)
    if write:
        with (out / "log.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")
    if board is not None:
        for name, value in line.items():
            if name != "step" and value is not None:
                board.add_scalar(name, value, step)
        board.flush()
    return {key: value for key, value in line.items() if key in ("loss", "psnr", "people_per_s", "lr")}


def save_weights(
    settings: TrainSettings, model: LCA, average: Average | None, out: Path, about: dict[str, Any], write: bool = True
) -> list[str]:
    """`model.safetensors`: averaged weights where there is an average, with what made them.

    Of several processes each must call, and one write.
    """
    most = int(settings.shard_megabytes * 1e6) or None
    keep = ("stage", "step", "seconds", "psnr", "loss", "perceptual", "device", "torch", "commit", "settings")
    tensors = gathered(saved_tensors(model) | (average.weights if average is not None else {}), keep=write)
    if not write:
        return []
    metadata = {key: about.get(key) for key in keep}
    files = save_checkpoint(model, out / "model.safetensors", metadata, shard_bytes=most, tensors=tensors)
    return [str(file) for file in files]


def write_summary(out: Path, summary: dict[str, Any]) -> None:
    """`summary.json`, whole or not at all."""
    with whole_file(out / "summary.json") as path:
        path.write_text(json.dumps(summary, indent=1) + "\n")
