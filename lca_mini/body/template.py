"""The template body: a SMPL-X model read through the `smplx` package.

Enters: nothing (the packaged CC0 body, baked from Anny by `lca_mini.body.bake`) or a folder of licensed SMPL-X files.
Leaves: `Body`, plain tensors that the other rooms need, and its rest-pose vertices and joints for given shapes.
What differs from the paper: its body model is Meta's own; a SMPL-X-like one drives ours.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lca_mini.body.lbs import bone_transforms, linear_blend_skinning, rotation_matrices
from lca_mini.types import Movable

ASSETS = Path(__file__).parents[1] / "assets"
PACKAGED = ASSETS / "smplx" / "SMPLX_NEUTRAL.npz"
ARRAYS = (
    "v_template shapedirs posedirs J_regressor kintree_table weights f hands_componentsl hands_componentsr hands_meanl "
    "hands_meanr lmk_faces_idx lmk_bary_coords vt ft"
).split()
NUM_ACTIONS = 52


@dataclass(frozen=True)
class Body(Movable):
    """A SMPL-X body in its rest pose (T-pose, y up, facing +z, metres); axes V vertices, J = 55 joints, K betas.

    posedirs is None where the model has no pose-dependent shape (the packaged body). name says which body it is and
    ends in a digest of its template, so that weights trained on one body are never run on another.
    """

    template: Float[Tensor, "V 3"]
    shapedirs: Float[Tensor, "V 3 K"]
    exprdirs: Float[Tensor, "V 3 E"]
    skin_weights: Float[Tensor, "V 55"]
    joint_template: Float[Tensor, "55 3"]
    joint_shapedirs: Float[Tensor, "55 3 K"]
    joint_exprdirs: Float[Tensor, "55 3 E"]
    faces: Int[Tensor, "F 3"]
    uvs: Float[Tensor, "Vt 2"]
    uv_faces: Int[Tensor, "F 3"]
    posedirs: Float[Tensor, "P V 3"] | None
    parents: tuple[int, ...]
    name: str


def create_smplx(folder: str | Path | None = None, num_betas: int = 64) -> Any:
    """The `smplx` package's own layer for the packaged body, or for a folder that holds SMPLX_NEUTRAL.npz.

    `smplx` unpickles what lies in a file; so a user's file is first copied, plain arrays only, and the copy is read.
    Raises: ValueError where the file is missing or is not a SMPL-X model.
    """
    import smplx

    def create(path: Path) -> Any:
        return smplx.create(
            str(path), model_type="smplx", num_betas=num_betas, num_expression_coeffs=NUM_ACTIONS, use_pca=False,
            flat_hand_mean=True,
        )  # fmt: skip

    if folder is None:
        return create(PACKAGED)
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / PACKAGED.name
        np.savez(copy, **_plain_arrays(_find(folder), ARRAYS))
        return create(copy)


def _find(folder: str | Path) -> Path:
    root = Path(folder)
    for path in (root, root / PACKAGED.name, root / "smplx" / PACKAGED.name):
        if path.is_file() and path.suffix == ".npz":
            return path
    raise ValueError(f"no {PACKAGED.name} in {root}: name the folder that holds it, or no folder for the CC0 body")


def _plain_arrays(path: Path, keys: Sequence[str]) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in keys}
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{path} is not a SMPL-X model in npz format ({error}); take the npz of SMPL-X v1.1") from None


@lru_cache(maxsize=4)
def load_body(folder: str | Path | None = None, num_betas: int = 64) -> Body:
    """Read a body (see `create_smplx`), on the CPU.

    Args: folder: of licensed SMPL-X files, or None for the packaged CC0 body. num_betas: K shape components to keep.
    """
    layer = create_smplx(folder, num_betas)
    plain = _plain_arrays(PACKAGED if folder is None else _find(folder), ("vt", "ft"))
    template, regressor = layer.v_template.detach(), layer.J_regressor
    shapedirs, exprdirs = layer.shapedirs.detach(), layer.expr_dirs.detach()
    posedirs = layer.posedirs.detach().reshape(-1, len(template), 3)
    digest = hashlib.sha256(template.numpy().tobytes()).hexdigest()[:8]
    return Body(
        template=template, shapedirs=shapedirs, exprdirs=exprdirs, skin_weights=layer.lbs_weights.detach(),
        joint_template=regressor @ template,
        joint_shapedirs=torch.einsum("jv,vik->jik", regressor, shapedirs),
        joint_exprdirs=torch.einsum("jv,vik->jik", regressor, exprdirs),
        faces=layer.faces_tensor.long(), uvs=torch.from_numpy(plain["vt"]), uv_faces=torch.from_numpy(plain["ft"].astype(np.int64)),
        posedirs=posedirs if bool(posedirs.abs().max() > 0) else None,
        parents=tuple(layer.parents.tolist()), name=f"{'cc0' if folder is None else 'smplx'}-{digest}",
    )  # fmt: skip


def _offsets(dirs: Float[Tensor, "N 3 K"], values: Float[Tensor, "*batch K"]) -> Float[Tensor, "*batch N 3"]:
    return (values @ dirs.reshape(-1, dirs.shape[-1]).T).unflatten(-1, dirs.shape[:2])


def rest_vertices(
    body: Body, betas: Float[Tensor, "*batch K"], actions: Float[Tensor, "*batch 52"] | None = None
) -> Float[Tensor, "*batch V 3"]:
    """Rest-pose vertices of a shape and, if given, facial actions (SMPL-X, eq. 2 without its pose term)."""
    points = body.template + _offsets(body.shapedirs, betas)
    return points if actions is None else points + _offsets(body.exprdirs, actions)


def rest_joints(
    body: Body, betas: Float[Tensor, "*batch K"], actions: Float[Tensor, "*batch 52"] | None = None
) -> Float[Tensor, "*batch 55 3"]:
    """Rest-pose joints, regressed from the shaped vertices as smplx does."""
    joints = body.joint_template + _offsets(body.joint_shapedirs, betas)
    return joints if actions is None else joints + _offsets(body.joint_exprdirs, actions)


def posed_vertices(
    body: Body, betas: Float[Tensor, "*batch K"], pose: Float[Tensor, "*batch 55 3"], transl: Float[Tensor, "*batch 3"],
    actions: Float[Tensor, "*batch 52"] | None = None,
) -> Float[Tensor, "*batch V 3"]:  # fmt: skip
    """The body mesh in the world, as smplx poses it (to 1e-5 m; a test holds it there)."""
    points = rest_vertices(body, betas, actions)
    if body.posedirs is not None:
        turn = rotation_matrices(pose[..., 1:, :]) - torch.eye(3, device=pose.device, dtype=pose.dtype)
        points = points + torch.einsum("...p,pvi->...vi", turn.flatten(-3), body.posedirs)
    transforms = bone_transforms(pose, rest_joints(body, betas, actions), body.parents)
    return linear_blend_skinning(points, body.skin_weights, transforms) + transl[..., None, :]


