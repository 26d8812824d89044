"""Bake the freely licensed body, once: Anny (CC0 MakeHuman data) rewritten in SMPL-X's own npz layout.

Enters: the `anny` package (an optional extra). Leaves: `assets/smplx/SMPLX_NEUTRAL.npz`, which `smplx.create` loads as
it loads the licensed body, and `assets/wardrobe.npz` with what SMPL-X has no room for: garment proxies, hair, teeth,
lashes, masks in UV space, and the way from phenotypes to betas. Not part of the paper, whose body is not public.

    python -m lca_mini.body.bake

Adults only. Everything here is linear: Anny's rest pose is turned into SMPL-X's T-pose by one rotation a bone, the same
for all people, so that blend shapes stay blend shapes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lca_mini.body.names import ACTIONS, JOINTS, PARENTS

ASSETS = Path(__file__).parents[1] / "assets"
NUM_BETAS = 64
SAMPLES = 1500
PIECES = {  # name of a proxy mesh -> its groups in MakeHuman's base mesh
    "tights": ["helper-tights"], "skirt": ["helper-skirt"], "hair": ["helper-hair"],
    "teeth_upper": ["helper-upper-teeth"], "teeth_lower": ["helper-lower-teeth"],
    "lashes": [f"helper-{s}-eyelashes-{i}" for s in "lr" for i in (1, 2)],
}  # fmt: skip
UV_MASKS = ("lips", "face", "eyelids", "ears", "fingernails", "toenails", "inside-mouth")
FACE_CHANGES = ("head-", "forehead", "l-cheek", "r-cheek", "chin", "nose", "mouth", "l-ear", "r-ear", "l-eye", "r-eye",
                "eyebrows", "neck", "stomach", "hip", "torso", "buttocks")  # fmt: skip
_LIMB = {
    "upperleg": "hip", "lowerleg": "knee", "foot": "ankle", "toe": "foot", "clavicle": "collar", "shoulder": "collar",
    "upperarm": "shoulder", "lowerarm": "elbow", "wrist": "wrist", "metacarpal": "wrist", "eye": "eye",
}  # fmt: skip
_FINGER = {"1": "thumb", "2": "index", "3": "middle", "4": "ring", "5": "pinky"}


def smplx_joint_of(bone: str, parents: dict[str, str]) -> int:
    """The SMPL-X joint that takes over a bone of Anny's rig."""
    name, _, side = bone.partition(".")
    s = {"L": "left_", "R": "right_", "": ""}[side]
    chain = [bone]
    while chain[-1] in parents:
        chain.append(parents[chain[-1]])
    if name.startswith("finger"):
        return JOINTS.index(f"{s}{_FINGER[name[6]]}{name[8]}")
    if side and name.rstrip("0123456789-") in _LIMB:
        return JOINTS.index(s + _LIMB[name.rstrip("0123456789-")])
    if name in ("root", "pelvis", "spine05", "spine04"):
        return 0
    if name.startswith("spine") or name == "breast":
        return JOINTS.index({"spine03": "spine1", "spine02": "spine2"}.get(name, "spine3"))
    if name.startswith("neck"):
        return JOINTS.index("neck")
    return JOINTS.index("jaw" if "jaw" in chain else "head")


def rotation_between(a: Tensor, b: Tensor) -> Tensor:
    """The smallest rotation that turns direction `a` into direction `b`."""
    a, b = a / a.norm(), b / b.norm()
    v, c = torch.linalg.cross(a, b), a @ b
    k = torch.tensor([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]], dtype=a.dtype)
    return torch.eye(3, dtype=a.dtype) + k + k @ k / (1 + c)


def frame(x: Tensor, toward_z: Tensor) -> Tensor:
    """Orthonormal axes as columns: x, the part of `toward_z` across it as z, and y."""
    x = x / x.norm()
    z = toward_z - (toward_z @ x) * x
    z = z / z.norm()
    return torch.stack([x, torch.linalg.cross(z, x), z], 1)


def tpose_rotations(labels: list[str], parent_of: list[int], heads: Tensor) -> Tensor:
    """World rotation of each bone from Anny's rest pose to SMPL-X's T-pose (y up, facing +z). Shape [bones 3 3]."""
    at = {name: heads[i] for i, name in enumerate(labels)}
    out: dict[str, Tensor] = {}
    for i, name in enumerate(labels):
        base, _, side = name.partition(".")
        parent = out[labels[parent_of[i]]] if parent_of[i] >= 0 else torch.eye(3, dtype=heads.dtype)
        x = torch.tensor([1.0 if side == "L" else -1.0, 0, 0], dtype=heads.dtype)
        down = torch.tensor([0.04 * float(x[0]), -1, 0.0], dtype=heads.dtype)
        z = torch.tensor([0, 0, 1.0], dtype=heads.dtype)

        def between(start: str, end: str) -> Tensor:
            return at[f"{end}.{side}"] - at[f"{start}.{side}"]

        if base == "upperarm01":
            r = rotation_between(between("upperarm01", "lowerarm01"), x)
        elif base == "lowerarm01":
            r = rotation_between(parent @ between("lowerarm01", "wrist"), x) @ parent
        elif base in ("lowerarm02", "wrist"):
            hand = frame(x, z) @ frame(between("wrist", "finger3-1"), between("finger5-1", "finger2-1")).T
            u, _, vh = torch.linalg.svd(parent + hand)
            r = hand if base == "wrist" else u @ vh
        elif base.startswith("finger") and base[6] != "1" and base[8] in "12":
            along = x + {"2": 0.10, "3": 0.02, "4": -0.06, "5": -0.14}[base[6]] * z
            r = rotation_between(parent @ between(base, f"{base[:8]}{int(base[8]) + 1}"), along) @ parent
        elif base == "upperleg01":
            r = rotation_between(between("upperleg01", "lowerleg01"), down)
        elif base == "lowerleg01":
            r = rotation_between(parent @ between("lowerleg01", "foot"), down) @ parent
        elif base == "foot":
            flat = between("foot", "toe2-1") * torch.tensor([1.0, 0, 1.0], dtype=heads.dtype)
            r = rotation_between(flat, z + 0.08 * x)
        else:
            r = parent
        out[name] = r
    return torch.stack([out[name] for name in labels])


def to_tpose(points: Tensor, heads: Tensor, rotations: Tensor, parents: list[int], weights: Tensor) -> tuple[Tensor, Tensor]:
    """Re-pose points [S V 3] and bone heads [S B 3] by constant bone rotations; linear in both."""
    moved: list[Tensor] = []
    for b, p in enumerate(parents):
        moved.append(heads[:, b] if p < 0 else moved[p] + (heads[:, b] - heads[:, p]) @ rotations[p].T)
    new_heads = torch.stack(moved, 1)
    shift = new_heads - torch.einsum("bij,sbj->sbi", rotations, heads)
    blended = torch.einsum("vb,bij->vij", weights, rotations)
    return torch.einsum("vij,svj->svi", blended, points) + torch.einsum("vb,sbi->svi", weights, shift), new_heads


def sample_coefficients(count: int, data, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Blend shape coefficients of random adults, [count, all shapes], and the phenotypes they were drawn from."""
    from anny.models.model_data import PHENOTYPE_LABELS
    from anny.models.phenotype import make_phenotype_anchors, phenotype_blendshape_weights

    def normal(mean: float, std: float) -> Tensor:
        return (mean + std * torch.randn(count, generator=generator, dtype=torch.float64)).clamp(0, 1)

    chance = torch.rand(4, count, generator=generator, dtype=torch.float64)
    gender = torch.where(chance[0] < 0.5, 0.12 * chance[1], 1 - 0.12 * chance[2])
    squares = torch.randn(count, 3, generator=generator, dtype=torch.float64).square()
    race = squares / squares.sum(1, keepdim=True)  # Dirichlet(1/2, 1/2, 1/2)
    values = {
        "gender": gender, "age": 2 / 3 + chance[3] / 3, "muscle": normal(0.5, 0.18), "weight": normal(0.52, 0.2),
        "height": normal(0.33, 0.06), "proportions": normal(0.6, 0.2), "cupsize": normal(0.45, 0.2),
        "firmness": normal(0.5, 0.2), "african": race[:, 0], "asian": race[:, 1], "caucasian": race[:, 2],
    }  # fmt: skip
    phenotypes = torch.stack([values[k] for k in PHENOTYPE_LABELS], 1)
    anchors, mask = make_phenotype_anchors(torch.float64), data.stacked_phenotype_blend_shapes_mask.double()
    weights = phenotype_blendshape_weights(phenotypes, PHENOTYPE_LABELS, anchors, mask, extrapolate=False)
    labels = [label for label in data.metadata.blendshape_labels if not label.startswith("facial_action")]
    locals_ = torch.zeros(count, len(labels) - weights.shape[1], dtype=torch.float64)
    column = {label: i for i, label in enumerate(labels[weights.shape[1] :])}
    for label in data.metadata.local_change_labels:
        if not label.startswith(FACE_CHANGES) or label.startswith("r-") or "trans-in" in label or "trans-out" in label:
            continue
        value = (0.28 * torch.randn(count, generator=generator, dtype=torch.float64)).clamp(-0.8, 0.8)
        for name in {label, "r-" + label[2:] if label.startswith("l-") else label}:
            i = column[f"local_change:{name}"]
            locals_[:, i], locals_[:, i + 1] = value.clamp(min=0), (-value).clamp(min=0)
    return torch.cat([weights, locals_], 1), phenotypes


def joint_regressor(vertices: Tensor, joints: Tensor, still: Tensor) -> Tensor:
    """Affine weights over nearby vertices that reproduce joints over all sampled shapes. [55 V], rows sum to one."""
    mean, rows = vertices.mean(0), []
    for j in range(joints.shape[1]):
        distance = (mean - joints[:, j].mean(0)).norm(dim=1)
        near = torch.where(still, distance, torch.inf).topk(320, largest=False).indices
        a = (vertices[:, near] - joints[:, j : j + 1]).permute(0, 2, 1).reshape(-1, len(near))
        gram = a.T @ a + 4e-6 * len(a) * torch.eye(len(near), dtype=a.dtype)
        w = torch.linalg.solve(gram, torch.ones(len(near), dtype=a.dtype))
        rows.append(torch.zeros(len(mean), dtype=a.dtype).scatter(0, near, w / w.sum()))
    return torch.stack(rows)


def triangles(groups: list[dict], key: str) -> Tensor:
    """Quads of MakeHuman groups as triangles."""
    quads = torch.cat([g[key] for g in groups])
    return torch.cat([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def reindex(faces: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The indices in use, and faces that index them compactly."""
    used = torch.unique(faces)
    lookup = torch.full((count,), -1).scatter(0, used, torch.arange(len(used)))
    return used, lookup[faces]


def bake(out: Path = ASSETS) -> None:
    """Write both files under `out` (about 10 MB) and print the errors of what was approximated."""
    import anny.paths
    import anny.utils.obj_utils
    from anny.models import build_model_data
    from anny.models.model_data import RigConfig, TopologyConfig
    from PIL import Image

    data = build_model_data(
        rig=RigConfig(base_rig="makehuman", bone_orientation="blender", root_identity_orientation=False),
        topology=TopologyConfig("makehuman", remove_unattached_vertices=False),
        local_changes="all", facial_actions="all",
    )  # fmt: skip
    labels, parents = data.metadata.bone_labels, list(data.metadata.bone_parents)
    parent_name = {labels[i]: labels[p] for i, p in enumerate(parents) if p >= 0}
    up = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]], dtype=torch.float64)  # z up, facing -y -> y up, facing +z
    template, heads = data.template_vertices.double() @ up.T, data.template_bone_heads.double() @ up.T
    shapes, head_shapes = data.blendshapes.double() @ up.T, data.bone_heads_blendshapes.double() @ up.T
    is_action = torch.tensor([label.startswith("facial_action") for label in data.metadata.blendshape_labels])

    generator = torch.Generator().manual_seed(0)
    coefficients, phenotypes = sample_coefficients(SAMPLES, data, generator)
    average = coefficients.mean(0)
    mean_heads = heads + torch.einsum("k,kbi->bi", average, head_shapes[~is_action])
    rotations = tpose_rotations(labels, parents, mean_heads)

    dense = torch.zeros(len(template), len(labels), dtype=torch.float64)
    dense.scatter_add_(1, data.vertex_bone_indices, data.vertex_bone_weights.double())
    template, heads = (x[0] for x in to_tpose(template[None], heads[None], rotations, parents, dense))
    shapes, head_shapes = to_tpose(shapes, head_shapes, rotations, parents, dense)
    # the root joint is everybody's origin
    template, heads = template - heads[:1], heads - heads[:1]
    shapes, head_shapes = shapes - head_shapes[:, :1], head_shapes - head_shapes[:, :1]
    actions, shapes, head_shapes = shapes[is_action], shapes[~is_action], head_shapes[~is_action]
    action_names = [x.split(":")[1] for x in data.metadata.blendshape_labels if x.startswith("facial_action")]
    assert action_names == list(ACTIONS)
    eyeballs = slice(14598, 14742)  # they turn by the eye joints instead
    actions[:, eyeballs] = 0

    target = torch.tensor([smplx_joint_of(b, parent_name) for b in labels])
    skin = torch.zeros(len(template), 55, dtype=torch.float64).index_add_(1, target, dense)
    first = [parents[i] < 0 or target[parents[i]] != target[i] for i in range(len(labels))]
    bones_of_joint = [[i for i in range(len(labels)) if target[i] == j and first[i]] for j in range(55)]

    used, faces = reindex(data.faces, len(template))
    uv_used, uv_faces = reindex(data.face_texture_coordinate_indices, len(data.texture_coordinates))
    weight = torch.where(skin[used][:, 15] + skin[used][:, 22:25].sum(1) > 0.5, 2.5, 1.0)[:, None]
    v = template[used] + torch.einsum("sk,kvi->svi", coefficients, shapes[:, used])
    v_mean = v.mean(0)
    centred = ((v - v_mean) * weight).flatten(1)
    _, s, vh = torch.linalg.svd(centred.float(), full_matrices=False)
    scale, axes = s[:NUM_BETAS].double() / SAMPLES**0.5, vh[:NUM_BETAS].double()
    project = axes.T / scale  # weighted displacements -> betas
    betas = centred @ project
    dirs = (axes * scale[:, None]).reshape(NUM_BETAS, -1, 3) / weight
    residual = (v - v_mean - torch.einsum("sk,kvi->svi", betas, dirs)).norm(dim=-1)
    print(f"{len(used)} vertices; {NUM_BETAS} betas leave {residual.mean() * 1e3:.2f} mm mean, "
          f"{residual.mean(1).max() * 1e3:.2f} mm in the worst person; first {s[:5].tolist()}")  # fmt: skip

    bone_heads = heads[None] + torch.einsum("sk,kbi->sbi", coefficients, head_shapes)
    joints = torch.stack([bone_heads[:, bones].mean(1) for bones in bones_of_joint], 1)
    still = actions[:, used].norm(dim=-1).amax(0) < 4e-4
    fit = v_mean + torch.einsum("sk,kvi->svi", betas[:600], dirs)
    regressor = joint_regressor(fit, joints[:600], still)
    miss = (torch.einsum("jv,svi->sji", regressor, fit) - joints[:600]).norm(dim=-1)
    print(f"joints from vertices: {miss.mean() * 1e3:.2f} mm mean, {miss.max() * 1e3:.2f} mm at worst")

    shapedirs = torch.zeros(len(used), 3, 400)
    shapedirs[:, :, :NUM_BETAS] = dirs.permute(1, 2, 0)
    shapedirs[:, :, 300:352] = actions[:, used].permute(1, 2, 0)
    (out / "smplx").mkdir(parents=True, exist_ok=True)
    f32, f16 = np.float32, np.float16
    np.savez_compressed(
        out / "smplx" / "SMPLX_NEUTRAL.npz",
        v_template=v_mean.numpy().astype(f32), shapedirs=shapedirs.numpy().astype(f16),
        posedirs=np.zeros((len(used), 3, 486), np.int8), J_regressor=regressor.numpy().astype(f32),
        kintree_table=np.array([[p % 2**32 for p in PARENTS], list(range(55))], dtype=np.int64),
        weights=skin[used].numpy().astype(f32), f=faces.numpy().astype(np.uint32),
        vt=data.texture_coordinates[uv_used].numpy().astype(f32), ft=uv_faces.numpy().astype(np.uint32),
        hands_componentsl=np.eye(45, dtype=f32), hands_componentsr=np.eye(45, dtype=f32),
        hands_meanl=np.zeros(45, f32), hands_meanr=np.zeros(45, f32),
        lmk_faces_idx=np.zeros(0, np.int64), lmk_bary_coords=np.zeros((0, 3), f32),
        source=np.array("Anny 0.6.2 (MakeHuman CC0 data), baked by lca_mini"), num_betas=np.array(NUM_BETAS),
    )  # fmt: skip

    root = anny.paths.get_anny_root_dir()
    _, _, groups = anny.utils.obj_utils.load_obj_file(f"{root}/data/mpfb2/3dobjs/base.obj", dtype=torch.float64)
    wardrobe: dict[str, np.ndarray] = {}
    solve = torch.linalg.lstsq(betas, torch.eye(SAMPLES, dtype=torch.float64)).solution
    for name, members in PIECES.items():
        parts = [groups[m] for m in members]
        ids, tri = reindex(triangles(parts, "face_vertex_indices"), len(template))
        uv_ids, uv_tri = reindex(triangles(parts, "face_texture_coordinate_indices"), len(data.texture_coordinates))
        moved = torch.einsum("sk,kvi->svi", coefficients, shapes[:, ids])
        centre = template[ids] + moved.mean(0)
        piece_dirs = torch.einsum("ks,svi->vik", solve, moved - moved.mean(0))
        wardrobe |= {
            f"{name}.template": centre.numpy().astype(f32), f"{name}.shapedirs": piece_dirs.numpy().astype(f16),
            f"{name}.exprdirs": actions[:, ids].permute(1, 2, 0).numpy().astype(f16),
            f"{name}.weights": skin[ids].numpy().astype(f32), f"{name}.faces": tri.numpy().astype(np.int32),
            f"{name}.uvs": data.texture_coordinates[uv_ids].numpy().astype(f32),
            f"{name}.uv_faces": uv_tri.numpy().astype(np.int32),
        }  # fmt: skip
    flat = (shapes[:, used] * weight).flatten(1) @ project
    offset = ((template[used] - v_mean) * weight).flatten() @ project
    wardrobe |= {
        "phenotype.to_betas": flat.numpy().astype(f32), "phenotype.offset": offset.numpy().astype(f32),
        "phenotype.mask": data.stacked_phenotype_blend_shapes_mask.numpy().astype(np.int8),
        "phenotype.coefficient_labels": np.array([x for x in data.metadata.blendshape_labels if "facial" not in x]),
        "vertex_ids": used.numpy().astype(np.int32), "sample.betas": betas.numpy().astype(f16),
        "sample.phenotypes": phenotypes.numpy().astype(f16),
    }  # fmt: skip
    for mask in UV_MASKS:
        image = Image.open(f"{root}/data/mpfb2/textures/mpfb_{mask}.jpg").convert("L").resize((1024, 1024), Image.LANCZOS)
        wardrobe[f"uvmask.{mask}"] = np.asarray(image)
    np.savez_compressed(out / "wardrobe.npz", **wardrobe)


if __name__ == "__main__":
    bake()
