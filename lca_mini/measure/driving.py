"""All measurements of expression and driving, into one file.

Enters: weights and sizes. Leaves: `driving_<preset>.json`, its figures, command, config, commit and device. Part of the
paper: its claims about epsilon, cross-reenactment, gaze and hands. A plain function, so that a machine with torch alone
can call it: `python -c "from lca_mini.measure import measure_driving; measure_driving(out='results')"`.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Callable

from lca_mini.device import choose_device, commit, device_name
from lca_mini.measure.fingers import measure_fingers
from lca_mini.measure.gaze import measure_gaze
from lca_mini.measure.probe import measure_codes
from lca_mini.measure.reenact import measure_parts, measure_reenactment
from lca_mini.model import load, read_metadata
from lca_mini.model.checkpoint import find_files
from lca_mini.render import choose_backend

NAMES = ("codes", "reenactment", "parts", "gaze", "fingers")


@dataclass(frozen=True)
class Sizes:
    """How many people and moments. probe_people: of each world, to fit on; test_people: of each, to test on."""

    probe_people: int = 48
    test_people: int = 50
    probe_frames: int = 12
    reenact_people: int = 12
    reenact_frames: int = 8
    parts_people: int = 6
    parts_every: int = 1
    gaze_train_people: int = 64
    gaze_people: int = 12
    gaze_frames: int = 10
    gaze_steps: int = 1200
    finger_people: int = 8

    def __post_init__(self) -> None:
        """Raises: ValueError for sizes that measure nothing."""
        for field in fields(self):
            least = {"probe_people": 2, "test_people": 2, "probe_frames": 3, "reenact_people": 2}.get(field.name, 1)
            if getattr(self, field.name) < least:
                raise ValueError(f"{field.name} is {getattr(self, field.name)}; it must be at least {least}")


SIZES = {
    "cpu": Sizes(),
    "cuda": Sizes(probe_people=256, reenact_people=24, parts_people=12, gaze_train_people=256, gaze_people=32,
                  gaze_steps=2400, finger_people=32),
    "tiny": Sizes(probe_people=2, test_people=2, probe_frames=3, reenact_people=2, reenact_frames=1, parts_people=1,
                  parts_every=26, gaze_train_people=2, gaze_people=1, gaze_frames=2, gaze_steps=4, finger_people=1),
}  # fmt: skip
"""By device: a quarter of an hour on two CPU cores, two minutes on a GPU; and "tiny", which only shows that all runs."""


def measure_driving(
    weights: str = "mini", out: str | Path | None = None, size: str | Sizes = "auto", only: tuple[str, ...] = (),
    device: str = "auto", backend: str = "auto", quiet: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Measure everything, or those of `NAMES` in `only`.

    Args:
        weights: as `lca_mini.load` takes them.
        out: folder for the file; a file that is there keeps what is not measured again. None for none.
        size: a name in `SIZES`, "auto" for the device's, or sizes.
        quiet: no progress bar.
    Returns: what the file holds.
    Raises: ValueError, one sentence and before any work, for another name, or a folder that cannot be written.
    """
    device = choose_device(device)
    sizes = size if isinstance(size, Sizes) else SIZES.get(device if size == "auto" else size)
    if sizes is None:
        raise ValueError(f"no size {size!r}; choose auto or one of {', '.join(SIZES)}")
    if set(only) - set(NAMES):
        raise ValueError(f"no measurement {', '.join(sorted(set(only) - set(NAMES)))}; choose from {', '.join(NAMES)}")
    model = load(weights, device)
    file = None if out is None else place(Path(out), f"driving_{model.config.preset}.json")
    backend = choose_backend(model.anchors.points.device) if backend == "auto" else backend
    jobs: dict[str, tuple[int, Callable[..., dict[str, Any]], tuple[Any, ...]]] = {
        "codes": (2 * (sizes.probe_people + sizes.test_people), measure_codes,
                  (sizes.probe_people, sizes.test_people, sizes.probe_frames)),
        "reenactment": (sizes.reenact_people, measure_reenactment, (sizes.reenact_people, sizes.reenact_frames, backend)),
        "parts": (sizes.parts_people, measure_parts, (sizes.parts_people, backend, sizes.parts_every)),
        "gaze": (sizes.gaze_train_people + 2 * sizes.gaze_people, measure_gaze,
                 (sizes.gaze_train_people, sizes.gaze_people, sizes.gaze_frames, sizes.gaze_steps, backend)),
        "fingers": (sizes.finger_people, measure_fingers, (sizes.finger_people, backend)),
    }  # fmt: skip
    jobs = {name: job for name, job in jobs.items() if not only or name in only}
    about = read_metadata(find_files(weights)[0])
    result: dict[str, Any] = {
        "measure": "driving", "command": command(weights, size, only), "commit": commit(), "weights": str(weights),
        "weights_commit": about.get("commit", "unknown"), "device": device_name(device), "backend": backend,
        "sizes": asdict(sizes), "config": model.config.to_dict(),
    }  # fmt: skip
    kept = json.loads(file.read_text()) if file is not None and only and file.is_file() else {}
    result |= {name: kept[name] for name in NAMES if name in kept}
    for name, (people, job, arguments) in jobs.items():
        started = time.perf_counter()
        with progress(name, people, quiet) as bar:
            found = job(model, *arguments, tick=bar.update)
        result[name] = found | {"seconds": round(time.perf_counter() - started, 1)} | {
            key: result[key] for key in ("command", "commit", "device")}  # others may be kept from another call
        if file is not None:
            write(file, result)
    return result


def command(weights: str, size: str | Sizes, only: tuple[str, ...]) -> str:
    """What to type, or to call, for the same file."""
    if Path(sys.argv[0]).name.startswith("lca-mini"):
        return "lca-mini " + " ".join(sys.argv[1:])
    return f"lca_mini.measure.measure_driving(weights={str(weights)!r}, size={size!r}, only={only!r})"


def place(folder: Path, name: str) -> Path:
    """A file in a folder that can be written. Raises: ValueError where it cannot."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f".{name}.tried").touch()
        (folder / f".{name}.tried").unlink()
    except OSError as error:
        raise ValueError(f"cannot write into {str(folder)!r}: {error.strerror}; choose another folder with --out") from None
    return folder / name


def write(file: Path, result: dict[str, Any]) -> None:
    """Whole or not at all."""
    beside = file.with_name(f".{file.name}.partial")
    beside.write_text(json.dumps(result, indent=1) + "\n")
    beside.replace(file)


def progress(name: str, people: int, quiet: bool) -> Any:
    """A bar that counts people."""
    from tqdm.auto import tqdm

    return tqdm(total=people, desc=name, unit="person", disable=quiet)
