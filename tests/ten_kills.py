"""Kill `lca-mini data make` at random, ten times, and compare what is left at the end with an uninterrupted run.

    python tests/ten_kills.py [--out results/data_ten_kills.json]

Real people, real processes, SIGKILL; small pictures, so that it takes minutes. The last line is JSON; exit code 1 where
a byte differs. Not collected by pytest: `test_data_folder.py` holds a shorter one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lca_mini.bench import device_name
from lca_mini.device import commit

KILLS = 10
PLAN = ("--kind wild --people 32 --shard 2 --references 1 --targets 1 --image-size 32 --face-size 16 --device cpu")


def begin(out: Path) -> subprocess.Popen:
    """Start making the folder, in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "lca_mini", "data", "make", "--out", str(out), *PLAN.split()],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def shards(folder: Path) -> int:
    """How many are there."""
    return len(list(folder.glob("data/*.parquet")))


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file."""
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest()
            for f in sorted(folder.rglob("*")) if f.is_file()}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    dice = random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as scratch:
        whole, killed = Path(scratch) / "whole", Path(scratch) / "killed"
        started = time.monotonic()
        assert begin(whole).wait() == 0, "the uninterrupted run failed"
        seconds, shard_list = time.monotonic() - started, list(whole.glob("data/*.parquet"))
        kills = []
        while len(kills) < KILLS:
            child, begun, there = begin(killed), time.monotonic(), shards(killed)
            more = dice.choice((0, 0, 1, 1, 2))
            while shards(killed) < there + more and child.poll() is None:
                time.sleep(0.01)
            time.sleep(dice.uniform(0, seconds / len(shard_list)) if more else dice.uniform(0.2, 0.2 * seconds))
            child.send_signal(signal.SIGKILL)
            if child.wait() != -signal.SIGKILL:
                break  # it had ended by itself
            kills.append({"after_s": round(time.monotonic() - begun, 2), "shards": shards(killed),
                          "partial": len(list(killed.rglob("*.partial")))})  # fmt: skip
            print(kills[-1], flush=True)
        resumed = begin(killed).wait()
        result = {"command": "python tests/ten_kills.py", "commit": commit(), "device": device_name("cpu"), "make": PLAN,
                  "seed": asked.seed, "uninterrupted_s": round(seconds, 1), "kills": kills, "resumed_exit_code": resumed,
                  "files": len(digests(whole)), "identical": digests(whole) == digests(killed)}  # fmt: skip
    if asked.out:
        asked.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))
    return 0 if result["identical"] and len(kills) == KILLS else 1


if __name__ == "__main__":
    sys.exit(main())
