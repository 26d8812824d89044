"""An avatar on disk, so that pictures are read once: safetensors, float32.

Enters: an avatar of one person and the model that made it. Leaves: a file, or the avatar. What differs from the paper:
it says nothing of storing avatars. A file belongs to the weights that correct and carry it: it holds a digest of them,
and is refused beside others. `lca_mini.export.save_ply` writes what other programs read: the T-pose alone.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lca_mini.model.checkpoint import saved_tensors
from lca_mini.model.lca import LCA
from lca_mini.types import Avatar, Gaussians

FORMAT = "lca-mini avatar 1"


def save_avatar(model: LCA, avatar: Avatar, path: str | Path, about: dict[str, Any] | None = None) -> None:
    """Write one person's avatar.

    Args:
        path: ends in ".safetensors".
        about: plain values to keep with it.
    Raises: ValueError for another ending, more people than one, or a place that cannot be written.
    """
    from safetensors.torch import save_file

    from lca_mini.export import whole_file

    if Path(path).suffix != ".safetensors":
        raise ValueError(f"an avatar's name must end in .safetensors, unlike {str(path)!r}")
    if len(avatar.betas) != 1:
        raise ValueError(f"a file holds one avatar, not {len(avatar.betas)}; index it, as avatar[:1]")
    words = {"format": FORMAT, "weights": digest(model), "preset": model.config.preset, "body": model.body.name}
    metadata = {key: json.dumps(value) for key, value in ((about or {}) | words).items()}
    with whole_file(path) as temporary:
        save_file({name: t.detach().cpu().contiguous() for name, t in tensors_of(avatar).items()}, temporary, metadata)


def load_avatar(model: LCA, path: str | Path) -> Avatar:
    """Read what `save_avatar` wrote, onto the model's device.

    Raises: ValueError, one sentence, for a file that is missing, cut off, no avatar, or of other weights.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            about = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
            stored = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise ValueError(f"avatar {str(path)!r} is missing, cut off or no safetensors file ({error})") from None
    if about.get("format") != FORMAT:
        raise ValueError(f"{str(path)!r} is no avatar of this version; save it again, or give a folder of pictures")
    if about.get("weights") != digest(model):
        raise ValueError(f"avatar {str(path)!r} was made with other weights (preset {about.get('preset')}); give those, or "
                         "the pictures")
    wanted = {*(f"canonical.{f.name}" for f in fields(Gaussians)), *(f.name for f in fields(Avatar))} - {"canonical"}
    if stored.keys() != wanted or not all(torch.isfinite(t).all() for t in stored.values()):
        raise ValueError(f"avatar {str(path)!r} is damaged: its arrays are not those of an avatar")
    canonical = Gaussians(**{f.name: stored.pop(f"canonical.{f.name}") for f in fields(Gaussians)})
    return Avatar(canonical=canonical, **stored).to(model.anchors.points.device)


def tensors_of(avatar: Avatar) -> dict[str, Tensor]:
    """Every tensor by name."""
    own = {f.name: getattr(avatar, f.name) for f in fields(Avatar) if f.name != "canonical"}
    return own | {f"canonical.{f.name}": getattr(avatar.canonical, f.name) for f in fields(Gaussians)}


def digest(model: LCA) -> str:
    """Of the weights that drive an avatar, and of where the anchors lie."""
    found = hashlib.sha256(model.anchors.faces.cpu().int().numpy().tobytes())
    for name, tensor in sorted(saved_tensors(model).items()):
        if name.startswith(("correction_branch.", "canonical_branch.")):
            found.update(name.encode() + tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return found.hexdigest()[:16]
