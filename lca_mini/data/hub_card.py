"""The dataset card that lies beside generated shards, as the Hugging Face hub reads it.

Enters: a manifest. Leaves: the text of `README.md`, YAML metadata first. No part of the paper.
"""

from __future__ import annotations

from lca_mini.data.manifest import Manifest, Plan

SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"))

TEXT = """---
license: apache-2.0
pretty_name: "lca_mini people, {kind}, {split}"
size_categories: ["{size}"]
task_categories: [image-to-3d]
tags: [synthetic, human-avatars, smpl-x]
configs:
- config_name: default
  data_files:
  - split: {hub_split}
    path: data/*.parquet
---

# Synthetic people, {kind}: {people} of split {split}

Made by lca_mini {version} (generator {digest}). Nobody here exists: each person follows from an integer, and the
integers {first} to {last} are the whole recipe. `manifest.json` lists every file with its size and SHA-256.

| | |
|---|---|
| people | {people}, one a row, in {shards} files of {shard} at most, {megabytes:.1f} MB |
| split | {split}; splits are disjoint ranges of seeds, so that no person is in two |
| filmed | "{kind}": {how} |
| a row | {references} reference images and {targets} target views of {image_size} x {image_size} pixels, face crops of {face_size} x {face_size} |

## Columns

| name | what |
|---|---|
| `images`, `face_images` | references and their face crops, sRGB, the person over white |
| `image_mask` | false where a reference is padding |
| `face_boxes` | the face in its reference: centre and side, as fractions of the reference's side |
| `targets`, `target_masks`, `target_faces` | views to reproduce, exact coverage, face crops |
| `viewmats`, `Ks` | world to camera (OpenCV axes: x right, y down, z forward; metres), intrinsics (pixels), of each target |
| `face_viewmats`, `face_Ks` | where present: the cameras of `target_faces` |
| `pose`, `transl`, `gaze`, `betas` | SMPL-X axis-angle of 55 joints (radians), metres with y up, (yaw, pitch) of both eyes, shape |
| `actions` | 52 facial actions, 0 to 1 |
| `surface`, `face_surface` | where present: mean point of the canonical body in each cell of 4 x 4 pixels (metres), and coverage |
| `seeds` | who it is |

```python
from datasets import load_dataset            # rows, as anybody reads them
rows = load_dataset("parquet", data_files="data/*.parquet", streaming=True)

from lca_mini.data import open_stream         # batches, as training takes them
stream = open_stream(".", batch=16)
```

## Use

For learning, teaching and testing how avatars from pictures work; free to use, as is the code that made them. Not for
measuring how well a method serves real people of any group, and not for identifying anyone. What the people look like,
and what is missing among them, is in the library's own card of the synthetic population.
"""

HOW = {
    "wild": "one hand-held camera a person, everyday light with shadows, mild faces",
    "studio": "a dome of calibrated cameras, even light, extreme faces and large gestures",
    "stylised": "a dome of calibrated cameras, even light, people of toon, marble, clay or paint",
}


def how(plan: Plan) -> str:
    """How people are filmed, in words."""
    words = HOW.get(plan.kind, plan.kind)
    if plan.kind == "wild":
        return words
    lights = {"single": "one lamp of the dome alone, with shadows", "environment": "everyday light, with shadows"}
    words = words.replace("even light", lights.get(plan.light, "even light")).replace("a dome of", f"a dome of {plan.cameras}")
    return words + (f", {plan.routines:.0%} of moments out of scripted routines" if plan.routines else "") + (
        f", {plan.views} pictures of each moment" if plan.views > 1 else "")


def hub_card(manifest: Manifest) -> str:
    """The card of a finished folder."""
    plan, about = manifest.plan, manifest.to_dict()
    size = next((name for most, name in SIZES if plan.people < most), "n>1M")
    return TEXT.format(
        kind=plan.kind, split=plan.split, hub_split=plan.split.replace("-", "_"), people=plan.people, size=size,
        version=manifest.generator["version"], digest=manifest.generator["digest"], first=about["seeds"][0],
        last=about["seeds"][1], shards=len(plan.shards), shard=plan.shard, how=how(plan),
        megabytes=sum(size for size, _ in manifest.done.values()) / 1e6, references=plan.references,
        targets=plan.targets, image_size=plan.image_size, face_size=plan.face_size,
    )  # fmt: skip
