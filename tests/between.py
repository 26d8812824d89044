"""Weights between two, measured on validation people: `python tests/between.py BEFORE AFTER FOLDER`.

Training on moves weights to where its own people are best; part of the way there is often better for all (model soups,
arXiv 2203.05482). Writes the best one's model.safetensors, and results/between_mini.json. The expression encoder is AFTER's:
averages of batch norms are no batch norm's.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
import tyro

from lca_mini.device import choose_device, commit, device_name
from lca_mini.model import LCA, load, save_checkpoint
from lca_mini.training.evaluate import REFERENCES, evaluate

LOOKS = {"studio": ("studio", REFERENCES), "wild": ("wild", REFERENCES), "stylised": ("stylised", REFERENCES),
         "studio_1": ("studio", 1), "wild_1": ("wild", 1)}  # fmt: skip
NUMBERS = ("psnr", "lpips", "face_psnr")
WHOLE = "expression_encoder."
OUT = Path(__file__).parents[1] / "results" / "between_mini.json"


def between(before: LCA, after: LCA, share: float) -> LCA:
    """`after`, changed in place: `share` of it, and the rest of `before`; its encoder whole."""
    old = before.state_dict()
    mixed = {name: new if name.startswith(WHOLE) or not new.is_floating_point() else old[name].lerp(new, share)
             for name, new in after.state_dict().items()}  # fmt: skip
    after.load_state_dict(mixed)
    return after


def main(
    before: str, after: str, out: Path, /, shares: tuple[float, ...] = (0.0, 0.5, 0.75, 1.0), people: int = 48, views: int = 4
) -> None:
    """Args: before, after: weights, as `load` takes them. shares: of `after`. people, views: of each validation world."""
    device, rows = choose_device("auto"), []
    make = lambda share: between(load(before), load(after), share)  # noqa: E731
    for share in shares:
        model, row = make(share).to(device), {"share": share}
        for name, (kind, images) in LOOKS.items():
            found = evaluate(model, "val", people, views, images, batch=16, kind=kind)[0]
            row[name] = {number: round(found[number], 4) for number in NUMBERS}
        row["mean"] = round(sum(row[name]["psnr"] for name in LOOKS) / len(LOOKS), 4)
        rows.append(row)
        print(json.dumps(row), flush=True)
    kept = max(rows, key=lambda row: row["mean"])["share"]
    about = {"before": before, "after": after, "share": kept}
    save_checkpoint(make(kept), out / "model.safetensors", about, dtype=torch.bfloat16)
    result = {"measure": "between", "command": f"python tests/between.py {before} {after} {out}", "commit": commit(),
              "device": device_name(device), "people": people, "views": views, "rows": rows, "kept": kept}  # fmt: skip
    OUT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    tyro.cli(main)
