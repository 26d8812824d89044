"""Where work is done, and what a result says of it. Enters: names of devices. Leaves: a device, its name, the commit. No
part of the paper."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


def choose_device(name: str) -> str:
    """What "auto" means here: "cuda" where there is one, else "cpu".

    Raises: ValueError for another name, or a GPU that is not there.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise ValueError(f"no device {name!r}; choose auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device 'cuda' was asked for but there is no CUDA device; use --device cpu")
    return name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def repeatable(asked: bool = True) -> Iterator[None]:
    """Within, a GPU adds up in the same order each time: torch's deterministic algorithms, attention in plain products of
    matrices (fused attention's backward pass is not repeatable). To be entered before the first product on the GPU; slower.
    """
    if not asked:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.use_deterministic_algorithms(before)


def device_name(device: torch.device | str) -> str:
    """The processor's model and threads, or the GPU's name."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{(models or [platform.processor() or platform.machine()])[0]}, {torch.get_num_threads()} threads"


def commit() -> str:
    """The commit of this checkout, or "unknown"."""
    try:
        asked = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return asked.stdout.strip() if asked.returncode == 0 else "unknown"
