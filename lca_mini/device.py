"""What to call the processor in results. Enters: a torch device. Leaves: a name. No part of the paper."""

from __future__ import annotations

import platform
from pathlib import Path

import torch


def device_name(device: torch.device | str) -> str:
    """The processor's model and threads, or the GPU's name."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{(models or [platform.processor() or platform.machine()])[0]}, {torch.get_num_threads()} threads"
