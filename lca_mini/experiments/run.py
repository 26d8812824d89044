"""Train what a table needs, measure it, write it down; in pieces, going on where the last piece stopped.

Enters: a table's name, a `Budget`, and how many minutes this call may take. Leaves: folders of runs and scores, and
`<name>_<preset>.json` with its table `<name>_<preset>.md`, after every row that is measured. Processes that share the
folder of runs share the work: what one has in hand, locked, another passes over and waits for. No part of the paper.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from lca_mini.config import preset
from lca_mini.data.stream import Cast, Film
from lca_mini.device import choose_device, commit, device_name
from lca_mini.experiments.peers import Peer
from lca_mini.experiments.plans import PICTURES, RATES, SPLITS, Budget, Plan, Row, Run, as_words, plan_of
from lca_mini.experiments.optimised import Effort
from lca_mini.experiments.tables import markdown, verdicts
from lca_mini.experiments.tokens import compare_tokens
from lca_mini.export import save_png, whole_file
from lca_mini.model import load
from lca_mini.model.checkpoint import find_files
from lca_mini.training import evaluate, train
from lca_mini.training.evaluate import PROTOCOL, measure
from lca_mini.training.folder import made_folder

RESERVE = 0.3  # minutes of a piece that are left for saving
PAUSE = 1.0  # seconds until a process asks again whether others are done


class OutOfTime(Exception):
    """This call's minutes are used up, or somebody asked it to stop."""


class Busy(Exception):
    """Another process has this in hand."""


@contextmanager
def held(file: Path) -> Iterator[None]:
    """Only here, of all processes; a lock ends with its process. Raises: Busy where another holds it."""
    from filelock import FileLock, Timeout

    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(file, timeout=0):
            yield
    except Timeout:
        raise Busy from None


class Clock:
    """The minutes of one call; 0 for no end. The first job of a call is begun however little time there is."""

    def __init__(self, minutes: float) -> None:
        self.minutes, self.begun, self.jobs = minutes, time.monotonic(), 0

    def left(self) -> float:
        """Minutes; infinity without an end."""
        return self.minutes - RESERVE - (time.monotonic() - self.begun) / 60 if self.minutes else math.inf

    def begin(self, minutes: float = 0.0) -> None:
        """Ask for the time that a job takes. Raises: OutOfTime."""
        if self.jobs and self.left() < max(minutes, 0.1):
            raise OutOfTime
        self.jobs += 1

    def wait(self) -> None:
        """For other processes. Raises: OutOfTime."""
        if self.left() < 0.1:
            raise OutOfTime
        time.sleep(PAUSE)


def run_experiment(
    name: str, budget: Budget = Budget(), runs: str | Path = "runs/experiments", out: str | Path = "results",
    minutes_at_once: float = 0.0, command: str | None = None, film: Film | None = None, cast: Cast | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Run an experiment, or go on with it: call it again, with the same arguments, until "complete" is True.

    Args:
        runs: folder for trained models and scores; they are found again there, also by other experiments.
        out: folder for the result.
        minutes_at_once: about how long this call may take; 0 for as long as it needs.
        command: to write down; left out: that of this process.
        film, cast: other people than the library's synthetic ones, as in `SampleStream`.
    Returns: what was written.
    Raises: ValueError, one sentence, for what cannot be run, before any work.
    """
    plan, runs, out = plan_of(name, budget), Path(runs), Path(out)
    if any(row.method == "weights" for row in plan.rows):
        load(budget.weights, expect_preset=budget.preset)
    device = choose_device(budget.device)
    made_folder(runs), made_folder(out)
    about = {"experiment": name, "title": plan.title, "command": command or " ".join(["lca-mini", *sys.argv[1:]]),
             "commit": commit(), "device": device_name(device), "budget": as_words(budget)}  # fmt: skip
    clock, why = Clock(minutes_at_once), "complete"
    jobs = [(seed, row) for seed in range(budget.seeds) for row in plan.rows if seed < max(1, len(row.runs))]
    found: dict[tuple[int, str], dict[str, Any]] = {}
    left = list(enumerate(jobs))
    try:
        while left:
            busy = []
            for number, (seed, row) in left:
                try:
                    for run in row.runs[seed].chain if row.runs else ():
                        learn(run, runs, clock, f"{name}, row {number + 1} of {len(jobs)} ({row.name})", film, cast)
                    for split in SPLITS if name != "tokens" else ():
                        found[number, split] = score(row, seed, split, budget, device, runs, clock, film, cast)
                        write(about | {"complete": False}, plan, in_order(found), out)
                except Busy:
                    busy.append((number, (seed, row)))
            if len(busy) == len(left):
                clock.wait()
            left = busy
        if name == "tokens":
            clock.begin()
            models = {row.name: load(runs / row.runs[0].name, device) for row in plan.rows}
            made, sheet = compare_tokens(models, budget.test_people or 16, film, cast)
            save_png(sheet, out / f"{name}_{budget.preset}.png")
            about |= made
    except OutOfTime:
        why = "out of time: the same command goes on"
    result = write(about | {"complete": why == "complete"}, plan, in_order(found), out)
    print(f"{name}: {why}", flush=True)
    return result


def in_order(found: dict[tuple[int, str], dict[str, Any]]) -> list[dict[str, Any]]:
    """Scores by row, then by split, whoever measured them when."""
    return [found[number, split] for number, split in sorted(found, key=lambda key: (key[0], SPLITS.index(key[1])))]


def learn(run: Run, runs: Path, clock: Clock, words: str, film: Film | None, cast: Cast | None) -> None:
    """Train a run to its end, unless it has been. Raises: OutOfTime where it was stopped before; Busy."""
    if finished(run, runs):
        return
    with held(runs / "locks" / run.name):
        if not finished(run, runs):
            learn_alone(run, runs, clock, words, film, cast)


def finished(run: Run, runs: Path) -> bool:
    """Whether it has been trained to its end."""
    summary = runs / run.name / "summary.json"
    return summary.exists() and json.loads(summary.read_text())["stopped"] == "finished"


def learn_alone(run: Run, runs: Path, clock: Clock, words: str, film: Film | None, cast: Cast | None) -> None:
    """`learn`, with the run in hand."""
    settings = run.in_folder(runs)
    folder = Path(settings.out)
    state = folder / "state" / "state.safetensors"
    clock.begin()
    if not state.exists():
        shutil.rmtree(folder, ignore_errors=True)  # killed before anything was saved
    print(f"{words}: {'goes on with' if state.exists() else 'begins'} {run.name}, {run.people:,} people", flush=True)
    at_once = 0.0 if math.isinf(clock.left()) else max(clock.left(), 0.02)
    made = train(replace(settings, resume=state.exists(), at_once=at_once), film, cast)
    if made["stopped"] != "finished":
        raise OutOfTime
    shutil.rmtree(folder / "state")  # ten times the weights, and of no use any more


def score(
    row: Row, seed: int, split: str, budget: Budget, device: str, runs: Path, clock: Clock, film: Film | None,
    cast: Cast | None,
) -> dict[str, Any]:  # fmt: skip
    """Measure one row on one split, or read what was measured before. Raises: OutOfTime, Busy."""
    people, views = budget.test_people or PROTOCOL[split][0], budget.views or PROTOCOL[split][1]
    run = row.runs[seed] if row.runs else None
    facts = {"method": row.method, "run": run.name if run else budget.preset, "split": split, "images": row.images,
             "people": people, "views": views, "lpips": budget.lpips}  # fmt: skip
    effort = Effort(budget.peer_steps, budget.peer_seconds)
    if row.method == "optimised":
        facts |= asdict(effort)
    if row.method == "weights":
        facts["weights"] = [hashlib.sha256(part.read_bytes()).hexdigest() for part in find_files(budget.weights)]
    key = f"{row.method}-{hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]}"
    file = runs / "scores" / f"{key}.json"
    words = {"people": people, "views": views, "images": row.images, "lpips": budget.lpips, "film": film, "cast": cast,
             "batch": 16 if device == "cuda" else 4}  # fmt: skip
    with held(runs / "locks" / key):
        if not file.exists():
            if row.method in ("model", "weights"):
                clock.begin(minutes_of_scores(budget, device, people * views))
                model = load(runs / run.name if run else budget.weights, device)
                made, _ = evaluate(model, split, face_crops=run.settings.face_crops if run else True, **words)
            else:
                peer = Peer(row.method, preset(budget.preset), device, split, row.images, views, effort, runs / "peers" / key,
                            film)
                peer.prepare(people, clock.begin, cast)
                clock.begin(minutes_of_scores(budget, device, people * views))
                made, _ = measure(peer, peer.body, peer.config, split, **words)
            with whole_file(file) as partial:
                partial.write_text(json.dumps(made | {"commit": commit()}) + "\n")
    facts = {"row": row.name, "seed": seed, "method": row.method, "run": run.name if run else None}
    return facts | {"people_seen": sum(r.people for r in run.chain) if run else 0} | json.loads(file.read_text())


def minutes_of_scores(budget: Budget, device: str, pictures: int) -> float:
    """About how long so many pictures take to film, draw and measure."""
    return pictures / PICTURES[device] / 60


def write(about: dict[str, Any], plan: Plan, scores: list[dict[str, Any]], out: Path) -> dict[str, Any]:
    """Write what is known so far, as JSON and as a table."""
    result = about | {"rows": scores, "claims": verdicts(plan.claims, scores)}
    stem = f"{plan.name}_{about['budget']['preset']}"
    for ending, text in (("json", json.dumps(result, indent=1)), ("md", markdown(result))):
        with whole_file(out / f"{stem}.{ending}") as partial:
            partial.write_text(text + "\n")
    return result


def describe(name: str, budget: Budget) -> str:
    """What an experiment would do, without doing it: runs, people, about how many minutes."""
    plan, device = plan_of(name, budget), choose_device(budget.device)
    rate = RATES.get((budget.preset, device))
    lines, total = [f"{plan.title}: preset {budget.preset} on {device_name(device)}, {budget.seeds} seeds"], 0.0
    for run in plan.runs:
        minutes = run.people / rate / 60 if rate else math.nan
        total += minutes
        lines.append(f"  {run.name}: {run.people:,} people seen, {run.met:,} different ones, {minutes:.1f} min")
    for row in plan.rows if name != "tokens" else ():
        for split in SPLITS:
            people, views = budget.test_people or PROTOCOL[split][0], budget.views or PROTOCOL[split][1]
            repeats = max(1, len(row.runs))
            total += repeats * minutes_of_scores(budget, device, people * views)
            total += people * budget.peer_seconds / 60 if row.method == "optimised" else 0
    lines += [f"  row {row.name!r}: {row.method}, {row.images} images, after {row.runs[0].name if row.runs else 'nothing'}"
              for row in plan.rows]  # fmt: skip
    return "\n".join([*lines, f"in all about {total:.0f} minutes with measuring (none of it done yet)"])
