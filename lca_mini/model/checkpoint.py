"""Weights on disk: safetensors with everything that is needed to make the model again.

Enters: a model and metadata; or a name ("mini", "nano": weights that ship in `lca_mini/assets/<name>`) or a path.
Leaves: one file or numbered shards, written whole or not at all; or a model. The metadata holds the config, the
body's name, the commit and the format's version; where the anchors lie on the body is stored too, so that nothing has
to be sampled again. Weights of frozen image encoders are not stored. No part of the paper.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lca_mini.body import Anchors, Body, anchors_at, load_body
from lca_mini.config import PRESETS, Config
from lca_mini.model.lca import LCA

FORMAT = "7"
ASSETS = Path(__file__).parents[1] / "assets"
ANCHORS = ("anchors.faces", "anchors.barycentric")
SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.safetensors")


def save_checkpoint(
    model: LCA,
    path: str | Path,
    metadata: dict[str, Any],
    dtype: torch.dtype | None = torch.bfloat16,
    shard_bytes: int | None = None,
    tensors: dict[str, Tensor] | None = None,
) -> list[Path]:
    """Write the model's weights; nothing is left behind where that fails.

    Args:
        path: of the file, ending in ".safetensors"; shards add "-00001-of-00002" before the ending.
        metadata: plain values to keep with the weights; "commit" belongs among them.
        dtype: of stored weights; None as they are.
        shard_bytes: largest size of a file, about; None for one file.
        tensors: what to write as its weights, named as by `saved_tensors`; None for its own.
    Returns: the files written.
    Raises: ValueError for another ending, or where the folder cannot be written.
    """
    from safetensors.torch import save_file

    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"a checkpoint's name must end in .safetensors, unlike {str(path)!r}")
    tensors = saved_tensors(model) if tensors is None else tensors
    tensors = {name: t.detach().cpu().to(dtype or t.dtype) for name, t in tensors.items()}
    tensors |= dict(zip(ANCHORS, (model.anchors.faces.cpu().int(), model.anchors.barycentric.cpu().float())))
    about = {"format": FORMAT, "config": model.config.to_dict(), "body": model.body.name}
    words = {key: json.dumps(value) for key, value in {"commit": "unknown", **metadata, **about}.items()}
    shards = split(tensors, shard_bytes)
    names = [path]
    if len(shards) > 1:
        names = shard_names(path, path.stem, len(shards))
    partial = [name.with_name(f".{name.name}.{os.getpid()}.partial") for name in names]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for shard, part in zip(shards, partial):
            save_file({name: t.contiguous() for name, t in shard.items()}, part, metadata=words)
        for part, name in zip(partial, names):
            os.replace(part, name)
    except Exception as error:  # safetensors has its own error for a disk that is full or read-only
        raise ValueError(f"the checkpoint could not be written to {str(path)!r} ({error})") from error
    finally:
        for part in filter(Path.exists, partial):
            part.unlink()
    return names


def load(
    name_or_path: str | Path,
    device: torch.device | str = "cpu",
    *,
    body: Body | None = None,
    expect_preset: str | None = None,
    trainable: bool = False,
) -> LCA:
    """A model with its weights, float32, in evaluation mode.

    Args:
        name_or_path: "mini" or "nano", a .safetensors file, any one of its shards, or a folder that holds one model.
        body: None for the library's own.
        expect_preset: the preset that the caller can use; None for any.
        trainable: whether parameters ask for gradients; without, `encode` and `drive` build no graph.
    Raises: ValueError, one sentence, for a missing or cut-off file, another preset or another body.
    """
    files = find_files(name_or_path)
    about = read_metadata(files[0])
    config = Config.from_dict(about["config"])
    if expect_preset is not None and config.preset != expect_preset:
        raise ValueError(f"checkpoint {str(name_or_path)!r} is of preset {config.preset!r}, not {expect_preset!r}")
    body = load_body(num_betas=config.num_betas) if body is None else body
    if body.name != about["body"]:
        raise ValueError(f"checkpoint {str(name_or_path)!r} was trained on body {about['body']!r}, "
                         f"but body {body.name!r} is in use")
    tensors: dict[str, Tensor] = {}
    for file in files:
        tensors |= read_tensors(file)
    anchors = stored_anchors(tensors, config, body, str(name_or_path))
    model = LCA(config, body, anchors)
    check_tensors(model, tensors, str(name_or_path))
    model.load_state_dict(tensors, strict=False)
    if not trainable:
        model.requires_grad_(False)
    return model.eval().to(device)


def read_metadata(file: str | Path) -> dict[str, Any]:
    """What `save_checkpoint` wrote beside the weights: format, config, body, commit, and the caller's own.

    Raises: ValueError, one sentence, where the file is cut off or no checkpoint of ours.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            words = opened.metadata() or {}
        about = {key: json.loads(value) for key, value in words.items()}
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise ValueError(f"checkpoint {str(file)!r} is cut off or no safetensors file of ours ({error})") from error
    if about.get("format") != FORMAT or "config" not in about or "body" not in about:
        found = about.get("format")
        raise ValueError(f"checkpoint {str(file)!r} is of format {found!r}; this version reads {FORMAT!r}")
    return about


def find_files(name_or_path: str | Path) -> list[Path]:
    """The file, or the complete set of shards, that a name or path stands for. Raises: ValueError."""
    shipped = isinstance(name_or_path, str) and name_or_path in PRESETS
    path = ASSETS / name_or_path if shipped else Path(name_or_path)
    if not path.exists():
        have = f"no weights of preset {str(name_or_path)!r} ship with this version" if shipped else "it does not exist"
        raise ValueError(f"there is no checkpoint {str(name_or_path)!r}: {have}")
    found = [path]
    if path.is_dir():
        found = sorted(f for f in path.glob("*.safetensors") if not f.name.startswith("."))
        if not found:
            raise ValueError(f"the folder {str(path)!r} holds no .safetensors file")
    shard = SHARD.fullmatch(found[0].name)
    if shard is None:
        if len(found) > 1:
            raise ValueError(f"the folder {str(path)!r} holds {len(found)} checkpoints; name one of the files")
        return found
    count = int(shard[3])
    shards = shard_names(found[0], shard[1], count)
    missing = [s.name for s in shards if not s.is_file()]
    if missing or (path.is_dir() and len(found) != count):
        problem = f"lacks {', '.join(missing)}" if missing else "has files of another model beside its shards"
        raise ValueError(f"checkpoint {str(name_or_path)!r} {problem}")
    return shards


def shard_names(path: Path, stem: str, count: int) -> list[Path]:
    """The files of a model in `count` shards, beside `path`."""
    return [path.with_name(f"{stem}-{i + 1:05d}-of-{count:05d}.safetensors") for i in range(count)]


def read_tensors(file: Path) -> dict[str, Tensor]:
    """All tensors of one file, on the CPU. Raises: ValueError where it is cut off."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"checkpoint {str(file)!r} is cut off or damaged ({error})") from error


def stored_anchors(tensors: dict[str, Tensor], config: Config, body: Body, name: str) -> Anchors:
    """Take the anchors out of a checkpoint's tensors. Raises: ValueError where they are missing or not on this body."""
    faces, barycentric = (tensors.pop(key, torch.zeros(0)) for key in ANCHORS)
    if faces.shape != (config.anchors,) or barycentric.shape != (config.anchors, 3):
        raise ValueError(f"checkpoint {name!r} does not fit its preset {config.preset!r}: it has {len(faces)} anchors "
                         f"where {config.anchors} are expected")
    if not 0 <= int(faces.min()) <= int(faces.max()) < len(body.faces):
        raise ValueError(f"checkpoint {name!r} was trained on another body than {body.name!r}: its anchors lie outside")
    return anchors_at(body, faces.long(), barycentric)


def check_tensors(model: LCA, tensors: dict[str, Tensor], name: str) -> None:
    """Raises: ValueError where names or shapes are not the model's."""
    wanted = {key: tuple(t.shape) for key, t in saved_tensors(model).items()}
    have = {key: tuple(t.shape) for key, t in tensors.items()}
    for key in sorted(wanted.keys() | have.keys()):
        if wanted.get(key) != have.get(key):
            raise ValueError(
                f"checkpoint {name!r} does not fit its preset {model.config.preset!r}: {key} is "
                f"{list(have[key]) if key in have else 'missing'} where "
                f"{list(wanted[key]) if key in wanted else 'nothing'} is expected"
            )


def saved_tensors(model: LCA) -> dict[str, Tensor]:
    """The state that belongs into a checkpoint: all but a frozen, retrievable image encoder."""
    state = model.state_dict()
    return {k: t for k, t in state.items() if model.image_encoder.saved or not k.startswith("image_encoder.")}


def split(tensors: dict[str, Tensor], shard_bytes: int | None) -> list[dict[str, Tensor]]:
    """Tensors in order, a new shard begun where the next one would not fit."""
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, tensor in tensors.items():
        bytes_of_one = tensor.numel() * tensor.element_size()
        if shard_bytes is not None and shards[-1] and size + bytes_of_one > shard_bytes:
            shards.append({})
            size = 0
        shards[-1][name] = tensor
        size += bytes_of_one
    return shards
