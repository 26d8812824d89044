"""Tables and verdicts, made from what was measured.

Enters: scores of rows, or files in `results/`. Leaves: Markdown that notebooks and READMEs show; and of each claim whether
it holds. No part of the paper.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from lca_mini.experiments.plans import EXPERIMENTS, SPLITS, Claim
from lca_mini.training.metrics import interval

MEASURES = {"psnr": ("PSNR, dB", ".2f"), "face_psnr": ("face, dB", ".2f"), "hands_psnr": ("hands, dB", ".2f"),
            "ssim": ("SSIM", ".3f"), "l1": ("L1", ".4f"), "lpips": ("perceptual", ".3f")}  # fmt: skip


class Markdown(str):
    """Text that notebooks show as Markdown."""

    def _repr_markdown_(self) -> str:
        return str(self)


def people_of(scores: Iterable[dict[str, Any]], row: str, split: str) -> Float[Tensor, "seeds people"] | None:
    """PSNR of each test person, a line a seed; None where nothing was measured."""
    lists = [s["people_psnr"] for s in scores if s["row"] == row and s["split"] == split]
    return torch.tensor(lists, dtype=torch.float64) if lists else None


def verdicts(claims: Iterable[Claim], scores: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each claim and split that has been measured: the difference in dB over the same people, averaged over seeds, its
    95 % interval over people, each pair of seeds' difference, and a verdict: "holds" or "reversed" where the interval and
    every pair of seeds are on one side of zero, else "not shown". What other seeds would do, no interval says."""
    found = []
    for claim in claims:
        for split in claim.splits:
            ahead, of = people_of(scores, claim.ahead, split), people_of(scores, claim.of, split)
            if ahead is None or of is None:
                continue
            difference = ahead.mean(0) - of.mean(0)
            low, high = interval(difference) or (0.0, 0.0)
            seeds = [round(float((a - b).mean()), 3) for a, b in zip(ahead, of.expand(len(ahead), -1) if len(of) == 1 else of)]
            verdict = "not shown"
            if low > 0 and min(seeds) > 0:
                verdict = "holds"
            elif high < 0 and max(seeds) < 0:
                verdict = "reversed"
            found.append({"ahead": claim.ahead, "of": claim.of, "split": split, "difference": round(float(difference.mean()), 3),
                          "difference_95": [round(low, 3), round(high, 3)], "seeds": seeds, "verdict": verdict})  # fmt: skip
    return found


def markdown(result: dict[str, Any]) -> Markdown:
    """A result as a table and a list of verdicts. Where there are several seeds, cells are means over them."""
    scores, head = result["rows"], [words for words, _ in MEASURES.values()]
    kinds = sorted({str(s.get("lpips_kind")) for s in scores})
    people = sorted({f"{s['split']} {s['people']}" for s in scores})
    learned = f"{result['budget']['people_seen']:,} people seen a row, " if result["experiment"] != "peers" else ""
    lines = [f"**{result['title']}** ({result['budget']['preset']}, {learned}{result['device']}"
             f"{', ' + ' and '.join(kinds) if kinds else ''}; people: {', '.join(people) or 'none yet'})", ""]
    if result.get("note"):
        lines += [result["note"], ""]
    if not result["complete"]:
        lines += [f"Not complete yet: `{result['command']}`", ""]
    if scores:
        lines += [f"| split | row | {' | '.join(head)} | seeds |", "|---" * (len(head) + 3) + "|"]
    for split in SPLITS:
        for row in dict.fromkeys(s["row"] for s in scores):
            here = [s for s in scores if s["row"] == row and s["split"] == split]
            if here:
                cells = [cell([s.get(name) for s in here], style) for name, (_, style) in MEASURES.items()]
                people = people_of(scores, row, split)
                bounds = interval(people.mean(0)) if people is not None else None
                cells[0] += f" ({bounds[0]:.2f} to {bounds[1]:.2f})" if bounds else ""
                lines.append(f"| {split} | {row} | {' | '.join(cells)} | {len(here)} |")
    if result["claims"]:
        lines += ["", "| is ahead | of | on | by, dB | each seed | verdict |", "|---" * 6 + "|"]
    for c in result["claims"]:
        low, high = c["difference_95"]
        lines.append(f"| {c['ahead']} | {c['of']} | {c['split']} | {c['difference']:+.2f} ({low:+.2f} to {high:+.2f}) | "
                     f"{', '.join(f'{d:+.2f}' for d in c['seeds'])} | **{c['verdict']}** |")  # fmt: skip
    return Markdown("\n".join(lines + token_lines(result)))


def token_lines(result: dict[str, Any]) -> list[str]:
    """What the experiment "tokens" found, as a table."""
    stages = result.get("stages", {})
    if not stages:
        return []
    names = list(next(iter(stages.values())))
    rows = [f"| {stage} | {' | '.join(f'{found[name]:.3f}' for name in names)} |" for stage, found in stages.items()]
    return [f"| stage | {' | '.join(name.replace('_', ' ') for name in names)} |", "|---" * (len(names) + 1) + "|", *rows]


def cell(values: list[float | None], style: str) -> str:
    """The mean of what is there."""
    known = [value for value in values if value is not None]
    return format(sum(known) / len(known), style) if known else "-"


def table_of(name: str, results: str | Path = "results", preset: str = "") -> Markdown:
    """A stored experiment as a table; where there is none, a sentence that says which command makes it.

    Args:
        preset: left out: the largest that has been measured.
    Raises: ValueError for another name.
    """
    if name not in EXPERIMENTS:
        raise ValueError(f"no experiment {name!r}; choose one of {', '.join(EXPERIMENTS)}")
    there = [size for size in ("paper", "mini", "nano") if (Path(results) / f"{name}_{size}.json").exists()]
    preset = preset or (there[0] if there else "mini")
    file = Path(results) / f"{name}_{preset}.json"
    if not file.exists():
        return Markdown(f"**{name}** ({preset}): not measured yet; `lca-mini experiment {name} --preset {preset}` does it.")
    return markdown(json.loads(file.read_text()))


def all_tables(results: str | Path = "results", preset: str = "") -> Markdown:
    """Every experiment's table, measured or not."""
    return Markdown("\n\n".join(table_of(name, results, preset) for name in EXPERIMENTS))
