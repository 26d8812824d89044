"""`lca-mini experiment`: the tables from a terminal.

Enters: a command line, through `lca_mini.cli`. Leaves: what `run_experiment` does. No part of the paper.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import tyro

from lca_mini.experiments.plans import Budget
from lca_mini.experiments.run import describe, run_experiment


def experiment(
    name: Annotated[Literal["table1", "table2", "peers", "table3", "s1", "tokens"], tyro.conf.Positional],
    preset: Literal["nano", "mini", "paper"] = "mini",
    people_seen: int = 0,
    scale: float = 1.0,
    seeds: int = 2,
    test_people: int = 0,
    views: int = 0,
    peer_seconds: float = 120.0,
    peer_steps: int = 0,
    lpips: str = "auto",
    batch: int = 0,
    echo: int = 0,
    weights: str = "mini",
    device: Literal["auto", "cpu", "cuda"] = "auto",
    minutes_at_once: float = 0.0,
    runs: Path = Path("runs/experiments"),
    out: Path = Path("results"),
    plan: bool = False,
) -> None:
    """Train and measure one of the paper's tables in miniature; the same command goes on where it stopped.

    `lca-mini experiment table1 --preset nano --people-seen 400 --batch 4 --test-people 4` takes minutes on a laptop and
    shows that all works, not who is right. Writes OUT/<name>_<preset>.json and .md. The last line is JSON. Start the same
    command several times at once, on one GPU or each on its own (CUDA_VISIBLE_DEVICES): they share the work.

    Args:
        name: table1: one stage or two. table2: peers. peers: those that learn from nobody, beside trained weights.
            table3: more and more people. s1: branches and gamma. tokens: what geometry tokens know, and where they look.
        preset: Size of the models.
        people_seen: In training, by each row; left out: the preset's own, 100,000 for mini, 24,000 for nano.
        scale: Multiplies people_seen.
        seeds: Runs of each row.
        test_people: People of each test world; left out: the protocol's.
        views: Targets of each; left out: the protocol's.
        peer_seconds: For optimising one person (table2, peers); 0 for no limit, then give --peer-steps.
        peer_steps: The same in steps.
        lpips: Perceptual distance of training and measuring, as in eval.
        batch: People a step; 0 for the preset's own.
        echo: How many steps see the same people; 0 for the preset's own.
        weights: That peers measures: a name, a .safetensors file or a folder.
        device: Where to compute.
        minutes_at_once: About how long this call may take; 0 for as long as it needs.
        runs: Folder for trained models and scores, which all experiments share.
        out: Folder for results.
        plan: Say what would be done, how many people and minutes, and do nothing.
    """
    budget = Budget(preset, people_seen, scale, seeds, device, test_people, views, peer_seconds, peer_steps, lpips, batch, echo,
                    weights=weights)
    if plan:
        print(describe(name, budget))
        return
    result = run_experiment(name, budget, runs, out, minutes_at_once)
    print(json.dumps({key: value for key, value in result.items() if key != "rows"}), flush=True)
