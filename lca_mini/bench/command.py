"""`lca-mini bench`: measurements from a terminal.

Enters: a command line, through `lca_mini.cli`. Leaves: a JSON line, and files of a suite. No part of the paper.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import tyro


def bench(
    what: Annotated[Literal["render", "drive", "encode", "train", "data", "scaling", "suite"], tyro.conf.Positional],
    preset: Literal["nano", "mini", "paper"] = "mini",
    size: int = 512,
    batch: int = 1,
    people: int | None = None,
    gaussians: int = 65536,
    repeats: int | None = None,
    backend: Literal["auto", "cpu", "gsplat", "reference"] = "auto",
    kernels: Literal["auto", "numba", "triton", "torch"] = "auto",
    precision: Literal["auto", "float32", "float16", "bfloat16"] = "auto",
    lists: Literal["auto", "fixed", "gsplat"] = "auto",
    against_reference: bool = False,
    device: Literal["cpu", "cuda"] | None = None,
    only: tuple[str, ...] = (),
    out: Path | None = None,
    kind: Literal["wild", "studio"] = "wild",
) -> None:
    """Time a part of the library: `lca-mini bench drive --device cpu`. The last line is JSON.

    Args:
        what: render: splatting alone, forward, and with backward. drive: an animated frame, signal in, pixels out.
            encode: pictures to an avatar. train: a training step. data: filming people to learn from. scaling:
            training on all GPUs against one. suite: all of these, a file each (--out).
        preset: Size of the model (drive, encode, train, scaling); weights that ship, or random ones.
        size: Side of the picture, pixels (render, drive).
        batch: Frames of an avatar in a call (drive); figures (render) or people (encode, train, scaling).
        people: Avatars in a call (drive), one if left out; people filmed together (data), up to 128 on a GPU, 4 on a CPU.
        gaussians: Of the figure (render).
        repeats: Timed calls; left out: 30, and 5 of filming; windows of ten steps (scaling), 5.
        backend: What renders.
        kernels: What drives (drive); auto takes numba on a CPU, Triton on a GPU.
        precision: Of the correction branch's matrix products (drive).
        lists: Of tiles, on a GPU (drive): with fixed room, all in CUDA graphs, or gsplat's own.
        against_reference: Also time the readable reference, some seconds (render).
        device: Left out: the one that the backend asks for.
        only: Which measurements (suite); left out: all.
        out: Folder for the results (suite).
        kind: How people are filmed (data).
    """
    from lca_mini import bench as benches

    repeats = (5 if what in ("data", "scaling") else 30) if repeats is None else repeats
    if what == "suite":
        if out is None:
            raise ValueError("bench suite needs a folder for its results: --out results")
        result = benches.bench_suite(out, device, only)
    elif what == "data":
        print(f"filming {kind} people, {repeats} times")
        result = benches.bench_data(kind, people, repeats=repeats, device=device)
    elif what == "scaling":
        result = benches.bench_scaling(preset, batch, repeats, device=device)
    elif what == "drive":
        people = 1 if people is None else people
        print(f"driving {people} x {batch} frames, preset {preset}, at {size} x {size}, {repeats} times")
        result = benches.bench_drive(preset, size, batch, people, repeats, backend, kernels, precision, device, lists)
    elif what == "encode":
        print(f"encoding {batch} people from 8 pictures each, preset {preset}, {repeats} times")
        result = benches.bench_encode(preset, 8, batch, repeats, device)
    elif what == "train":
        print(f"training on {batch} people a step, preset {preset}, {repeats} times")
        result = benches.bench_train(preset, batch, repeats=repeats, backend=backend, device=device)
    else:
        print(f"rendering {batch} x {gaussians} Gaussians at {size} x {size}, {repeats} times forward, {repeats} both ways")
        result = benches.bench_render(backend, gaussians, size, repeats, batch, device, against_reference)
    print(json.dumps(result), flush=True)
