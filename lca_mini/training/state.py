"""The state of a run on disk: everything that a resumed run needs to continue exactly.

Enters: weights, their average, the optimiser, and plain numbers. Leaves: one safetensors file, written whole or not at
all; the numbers are JSON in its metadata. No pickle. There is no state of random numbers: every draw in training is a
function of seed, step and rank. No part of the paper.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lca_mini.training.optim import Average
from lca_mini.training.shard import gathered, laid_out_as

NAME = "state/state.safetensors"  # a folder of its own, so that `load` finds one model in the run's
MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # Muon lacks the third


def save_state(
    folder: Path, model: nn.Module, average: Average | None, optimizer: torch.optim.Optimizer, about: dict[str, Any],
    write: bool = True,
) -> Path:
    """Write the state; `about` holds plain values. Of several processes each must call, and one write.

    Raises: ValueError where the folder cannot be written.
    """
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {}
    for name, parameter in trainable(model).items():
        tensors[f"model.{name}"] = parameter
        for moment, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{moment}.{name}"] = value
    if average is not None:
        tensors |= {f"ema.{name}": t for name, t in average.weights.items()}
    path, tensors = folder / NAME, gathered(tensors, keep=write)
    if not write:
        return path
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(exist_ok=True)
        save_file(tensors, partial, {"state": json.dumps(about)})
        os.replace(partial, path)
    except Exception as error:  # safetensors has its own error for a disk that is full or read-only
        raise ValueError(f"the state of the run could not be written to {str(path)!r} ({error})") from error
    finally:
        partial.unlink(missing_ok=True)
    return path


def load_state(
    folder: Path, model: nn.Module, average: Average | None, optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """Put a saved state back, exactly, and return its plain values.

    Raises: ValueError, one sentence, where there is none, or it is of another model or optimiser, or cut off.
    """
    from safetensors.torch import load_file

    about = read_about(folder)
    path, parameters = folder / NAME, trainable(model)
    tensors = load_file(path)
    wanted = {f"model.{n}": p.shape for n, p in parameters.items()}
    wanted |= {f"ema.{n}": p.shape for n, p in parameters.items()} if average is not None else {}
    for key, shape in wanted.items():
        if key not in tensors or tensors[key].shape != shape:
            raise ValueError(f"{str(path)!r} is the state of another run ({key} does not fit); resume it with the "
                             "settings that it was begun with")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(laid_out_as(parameter, tensors[f"model.{name}"]))
            if average is not None:
                average.weights[name].copy_(laid_out_as(parameter, tensors[f"ema.{name}"]))
            saved = {moment: tensors[f"{moment}.{name}"] for moment in MOMENTS if f"{moment}.{name}" in tensors}
            if saved:
                optimizer.state[parameter] = {moment: laid_out_as(parameter, t) for moment, t in saved.items()}
    return about


def read_about(folder: Path) -> dict[str, Any]:
    """The plain values of a saved state. Raises: ValueError where there is none or it is cut off."""
    from safetensors import SafetensorError, safe_open

    path = folder / NAME
    if not path.is_file():
        raise ValueError(f"there is nothing to resume: {str(path)!r} does not exist")
    try:
        with safe_open(path, framework="pt") as opened:
            return json.loads((opened.metadata() or {})["state"])
    except (SafetensorError, OSError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{str(path)!r} is cut off or no state of a run ({error})") from error


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters that learn, by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}
