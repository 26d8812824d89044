"""Weights between two, measured on validation people: `python tests/between.py whole|encoder BEFORE AFTER FOLDER`.

Training on moves weights to where its own people are best; part of the way there is often better for all (robust
fine-tuning, arXiv 2109.01903). `whole` mixes all but the expression encoder, which is AFTER's, and looks at pictures, and
at close-ups of faces that pictures drive (half way there, whole people can be best and faces 0.5 dB worse); `encoder` mixes
that alone, batch norms and all, and asks what it reads and whether it tells who it is. Both write the best one's
model.safetensors, and their figures as between.json beside it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable

import torch
import tyro
from tqdm import tqdm

from lca_mini.device import choose_device, commit, device_name
from lca_mini.measure.driving import SIZES
from lca_mini.measure.gaze import read_gaze, reader_of
from lca_mini.measure.probe import encoded, film_faces, guess_who, probe_of, read_back
from lca_mini.measure.reenact import measure_reenactment
from lca_mini.model import LCA, load, save_checkpoint
from lca_mini.training.alone import WORLDS
from lca_mini.training.evaluate import REFERENCES, evaluate

LOOKS = {"studio": ("studio", REFERENCES), "wild": ("wild", REFERENCES), "stylised": ("stylised", REFERENCES),
         "studio_1": ("studio", 1), "wild_1": ("wild", 1)}  # fmt: skip
NUMBERS = ("psnr", "lpips", "face_psnr")
ENCODER = "expression_encoder."


def between(before: str, after: str, share: float, encoder: bool) -> LCA:
    """AFTER with `share` of its encoder, or of all else, and the rest of BEFORE."""
    old, model = load(before).state_dict(), load(after)
    mixed = {name: old[name].lerp(new, share) if name.startswith(ENCODER) == encoder else new
             for name, new in model.state_dict().items()}  # fmt: skip
    model.load_state_dict(mixed)
    return model


def whole(
    before: str, after: str, out: Path, /, shares: tuple[float, ...] = (0.0, 0.5, 0.75, 1.0), people: int = 48,
    views: int = 4, faces: int = 16, frames: int = 8, gaze: int = 24,
) -> None:  # fmt: skip
    """Mix all but the encoder; the best is best in PSNR, mean over both worlds, stylised people, one picture, and faces.

    Args:
        before: Weights, as `load` takes them.
        after: Others, of the same model.
        out: Folder for the best.
        shares: Of `after`, 0 to 1.
        people: Of each validation world.
        views: Pictures of each to reproduce.
        faces: People of the studio whose faces drive themselves.
        frames: Moments of each.
        gaze: People of the studio whose gaze is read back; it is told, and does not choose.
    """

    size = SIZES["cuda"]
    reader = reader_of(load(after).to(choose_device("auto")), size.gaze_train_people, size.gaze_frames, size.gaze_steps)

    def look(model: LCA) -> dict[str, Any]:
        found = {name: evaluate(model, "val", people, views, images, batch=16, kind=kind)[0]
                 for name, (kind, images) in LOOKS.items()}  # fmt: skip
        row = {name: {number: round(values[number], 4) for number in NUMBERS} for name, values in found.items()}
        driven = measure_reenactment(model, faces, frames, "auto", split="val")["psnr"]
        looking = read_gaze(model, reader, "val", gaze, size.gaze_frames, "auto")
        row["faces"] = {"psnr": driven["self"], "by_actions": driven["actions"], "gaze_degrees": looking["renders_degrees"]}
        return row | {"mean": round(sum(values["psnr"] for values in row.values()) / len(row), 4)}

    sizes = {"people": people, "views": views, "faces": faces, "frames": frames, "gaze": gaze}
    keep_best("whole", before, after, out, shares, look, sizes)


def encoder(
    before: str, after: str, out: Path, /, shares: tuple[float, ...] = (0.0, 0.5, 0.75, 1.0),
    train_people: int = 160, train_frames: int = 8, people: int = 50, frames: int = 12,
) -> None:  # fmt: skip
    """Mix the encoder alone; the best is best in R2 of facial actions, mean over both worlds.

    Args:
        before: Weights, as `load` takes them.
        after: Others, of the same model.
        out: Folder for the best.
        shares: Of `after`, 0 to 1.
        train_people: Of each world, whom the ridge regression learns from.
        train_frames: Moments of each.
        people: Of each validation world, whom it is tried on.
        frames: Moments of each.
    """
    model, sizes = load(after).to(choose_device("auto")), {"train": (train_people, train_frames), "val": (people, frames)}
    with tqdm(total=2 * (train_people + people), desc="film") as bar:
        films = {(split, world): list(film_faces(model, split, 0, *size, world, bar.update))
                 for split, size in sizes.items() for world in WORLDS}  # fmt: skip

    def look(model: LCA) -> dict[str, Any]:
        codes = {which: encoded(model, film) for which, film in films.items()}
        probe = probe_of([codes["train", world] for world in WORLDS])
        row = {world: {"r2": read_back(probe, codes["val", world])["r2_mean"],
                       "identity": round(guess_who(codes["val", world].codes), 4)} for world in WORLDS}  # fmt: skip
        return row | {"mean": round(sum(values["r2"] for values in row.values()) / len(row), 4)}

    keep_best("encoder", before, after, out, shares, look, {"train_people": train_people, "train_frames": train_frames,
                                                             "people": people, "frames": frames})  # fmt: skip


@torch.no_grad()
def keep_best(
    which: str, before: str, after: str, out: Path, shares: tuple[float, ...], look: Callable[[LCA], dict[str, Any]],
    sizes: dict[str, int],
) -> None:  # fmt: skip
    """Measure each share, write the figures, and the weights with the highest "mean"."""
    device, rows = choose_device("auto"), []
    for share in shares:
        rows.append({"share": share} | look(between(before, after, share, which == "encoder").to(device)))
        print(json.dumps(rows[-1]), flush=True)
    kept = max(rows, key=lambda row: row["mean"])["share"]
    about = {"before": before, "after": after, "share": kept}
    save_checkpoint(between(before, after, kept, which == "encoder"), out / "model.safetensors", about, dtype=torch.bfloat16)
    result = {"measure": "between", "command": f"python tests/between.py {which} {before} {after} {out}", "commit": commit(),
              "device": device_name(device)} | sizes | {"rows": rows, "kept": kept}  # fmt: skip
    (out / "between.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"whole": whole, "encoder": encoder})
