"""`python -m lca_mini.experiments table1 --preset nano`: as `lca-mini experiment`, on a machine without tyro.

Enters: a command line. Leaves: what `run_experiment` does; the last line is JSON. No part of the paper.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import fields

from lca_mini.experiments.plans import EXPERIMENTS, Budget
from lca_mini.experiments.run import describe, run_experiment


def main(argv: list[str] | None = None) -> int:
    """Run a command line; the exit code is 2, with one sentence, where it cannot be run."""
    parser = argparse.ArgumentParser(prog="python -m lca_mini.experiments", description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=sorted(EXPERIMENTS))
    plain = Budget()
    for field in fields(Budget):
        value = getattr(plain, field.name)
        if field.name != "learning":
            parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(value), default=value)
    parser.add_argument("--runs", default="runs/experiments")
    parser.add_argument("--out", default="results")
    parser.add_argument("--minutes-at-once", type=float, default=0.0)
    parser.add_argument("--plan", action="store_true", help="say what would be done, and do nothing")
    asked = vars(parser.parse_args(argv))
    name, runs, out, minutes, plan = (asked.pop(key) for key in ("name", "runs", "out", "minutes_at_once", "plan"))
    try:
        budget = Budget(**asked)
        if plan:
            print(describe(name, budget))
            return 0
        command = " ".join(["python -m lca_mini.experiments", *(sys.argv[1:] if argv is None else argv)])
        result = run_experiment(name, budget, runs, out, minutes, command)
    except ValueError as error:
        print("lca_mini.experiments:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    print(json.dumps({key: value for key, value in result.items() if key != "rows"}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
