"""Kill `lca-mini train` at random, ten times, and compare what is left at the end with an uninterrupted run.

    python tests/train_ten_kills.py [--out results/train_ten_kills.json] [--device cuda [--deterministic] [--kills 4]]

Real people, real processes; half of the kills are SIGKILL, the others SIGTERM, which saves first. The last line is JSON;
on a CPU, and on a GPU with --deterministic, exit code 1 where a weight differs in one bit. Otherwise a GPU adds up in
another order each time: there a second uninterrupted run says how far two of them drift apart, beside how far the killed
one is. Not collected by pytest: `test_training_loop.py` holds a shorter one.
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

from lca_mini.device import commit, device_name

KILLS = 10
TRAIN = ("pretrain --preset nano --steps 60 --batch 1 --people 4 --references 2 --targets 1 --save-every 3 "
         "--preview-every 0 --perceptual lpips-random-alex")  # fmt: skip
FILES = ("state/state.safetensors", "model.safetensors")


def begin(out: Path, options: list[str]) -> subprocess.Popen:
    """Start training, or go on with it, in a process of its own."""
    resume = ["--resume"] if (out / FILES[0]).exists() else []
    with said_by(out).open("w") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "lca_mini", "train", *TRAIN.split(), *options, "--out", str(out), *resume],
            stdout=subprocess.DEVNULL, stderr=errors,
        )  # fmt: skip


def said_by(out: Path) -> Path:
    """Where the latest process that trains into `out` writes its errors."""
    return out.with_name(f"{out.name}_errors.txt")


def step_of(out: Path) -> int:
    """Which step the saved state is of; 0 where there is none."""
    from lca_mini.training.state import read_about

    return read_about(out)["step"] if (out / FILES[0]).exists() else 0


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each tensor that training leaves: weights, their averages, moments of the optimiser."""
    from safetensors.torch import load_file

    return {f"{file}:{name}": hashlib.sha256(tensor.view(-1).numpy().tobytes() if tensor.dtype.itemsize > 2
                                             else tensor.float().numpy().tobytes()).hexdigest()
            for file in FILES for name, tensor in load_file(folder / file).items()}  # fmt: skip


def apart(one: Path, other: Path) -> float:
    """Length of the difference of all weights, as training holds them, over their own length."""
    from safetensors.torch import load_file

    a, b = (load_file(folder / FILES[0]) for folder in (one, other))
    names = [name for name in a if name.startswith("model.")]
    return (sum(float((a[n].double() - b[n].double()).square().sum()) for n in names)
            / sum(float(a[n].double().square().sum()) for n in names)) ** 0.5  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--deterministic", action="store_true", help="as of lca-mini train")
    parser.add_argument("--kills", type=int, default=KILLS)
    asked = parser.parse_args()
    options = ["--device", asked.device, *["--deterministic"] * asked.deterministic]
    drifts = asked.device == "cuda" and not asked.deterministic
    dice = random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as scratch:
        whole, killed = Path(scratch) / "whole", Path(scratch) / "killed"
        started = time.monotonic()
        assert begin(whole, options).wait() == 0, "the uninterrupted run failed"
        seconds, kills = time.monotonic() - started, []
        while len(kills) < asked.kills:
            child, begun, there = begin(killed, options), time.monotonic(), step_of(killed)
            more = dice.choice((0, 0, 3, 3, 6))  # steps to be saved before it dies; 0: while it starts, or later
            while step_of(killed) < there + more and child.poll() is None:
                time.sleep(0.02)
            time.sleep(dice.uniform(0, 1.5) if more else dice.uniform(0.2, 0.3 * seconds))
            how = dice.choice((signal.SIGKILL, signal.SIGTERM))
            child.send_signal(how)
            code = child.wait()
            if (killed / "summary.json").exists() and json.loads((killed / "summary.json").read_text())["stopped"] == "finished":
                break  # it had ended by itself
            kills.append({"after_s": round(time.monotonic() - begun, 2), "signal": how.name, "exit_code": code,
                          "saved_step": step_of(killed)})  # fmt: skip
            print(kills[-1], flush=True)
        resumed = begin(killed, options).wait()
        if resumed:
            print(said_by(killed).read_text()[-2000:], flush=True)
        one, other = digests(whole), digests(killed)
        result = {"command": f"python tests/train_ten_kills.py {' '.join(options)} --kills {asked.kills}",
                  "commit": commit(), "device": device_name(asked.device), "train": TRAIN, "seed": asked.seed,
                  "uninterrupted_s": round(seconds, 1), "kills": kills, "resumed_exit_code": resumed, "tensors": len(one),
                  "identical": one == other, "relative_difference": apart(whole, killed)}  # fmt: skip
        if drifts:
            assert begin(Path(scratch) / "again", options).wait() == 0, "the second uninterrupted run failed"
            result["relative_difference_of_two_uninterrupted"] = apart(whole, Path(scratch) / "again")
    if asked.out:
        asked.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))
    return 0 if (result["identical"] or drifts) and len(kills) == asked.kills else 1


if __name__ == "__main__":
    sys.exit(main())
