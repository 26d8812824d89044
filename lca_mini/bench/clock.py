"""How everything here is timed, and against what: a clock, and the ceilings of a device.

Enters: functions to call, bytes and operations that somebody counted. Leaves: milliseconds, and how far they are from
what the device could do (a roofline: no less time than its memory needs for the bytes, nor than its arithmetic needs
for the operations). No part of the paper.
"""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass
from typing import Any, Callable

import torch

WARM_UP = 5


def check_numbers(**numbers: int) -> None:
    """Raises: ValueError, naming them all, where one is not positive."""
    if min(numbers.values()) < 1:
        names = list(numbers)
        raise ValueError(f"{', '.join(names[:-1])} and {names[-1]} must all be at least 1")


def choose(device: str | None, backend: str = "auto") -> str:
    """The device that was asked for, or else the one that the backend needs, or else a GPU where there is one.

    Raises: ValueError where there is no such device.
    """
    if device is None:
        device = {"gsplat": "cuda", "cpu": "cpu"}.get(backend, "cuda" if torch.cuda.is_available() else "cpu")
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"backend {backend!r} needs a CUDA device and there is none; use --backend cpu --device cpu")
    return device


class Clock:
    """Times calls on a device: with CUDA events and a wait for the device after each call, or on the host's clock."""

    def __init__(self, device: str) -> None:
        self.cuda = torch.device(device).type == "cuda"

    def wait(self) -> None:
        """Until the device has done everything."""
        if self.cuda:
            torch.cuda.synchronize()

    def stages(self, parts: list[Callable[[], Any]], repeats: int, warm_up: int = WARM_UP) -> list[list[float]]:
        """Milliseconds of each part, called one after another `repeats` times, the device idle before the first."""
        times: list[list[float]] = [[] for _ in parts]
        for i in range(warm_up + repeats):
            self.wait()
            marks = [self.mark()]
            for part in parts:
                part()
                marks.append(self.mark())
            self.wait()
            if i >= warm_up:
                for column, a, b in zip(times, marks, marks[1:]):
                    column.append(a.elapsed_time(b) if self.cuda else 1000 * (b - a))
        return times

    def mark(self) -> Any:
        """A moment: an event in the stream, or the host's time."""
        if not self.cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def each(self, call: Callable[[], Any], repeats: int) -> list[float]:
        """Milliseconds of each of `repeats` calls, the device idle before each: latency."""
        return self.stages([call], repeats)[0]

    def streamed(self, call: Callable[[], Any], repeats: int) -> float:
        """Milliseconds a call when nobody waits between calls: throughput. The median of five runs of `repeats`."""
        def run() -> None:
            for _ in range(repeats):
                call()

        return statistics.median(self.stages([run], 5)[0]) / repeats


def summary(ms: list[float], pictures: int) -> dict[str, float]:
    """Median, 95th percentile and pictures a second of calls that make so many pictures each."""
    middle = statistics.median(ms)
    return {"ms_median": rounded(middle), "ms_p95": rounded(quantile(ms, 0.95)), "fps": rounded(1000 * pictures / middle)}


def quantile(values: list[float], q: float) -> float:
    """The smallest value that at least a fraction q of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(q * len(ordered)) - 1)]


def rounded(value: float) -> float:
    """To four digits."""
    return float(f"{value:.4g}")


@dataclass(frozen=True)
class Ceilings:
    """What a device reaches here and now. copy: bytes read and written a second. matmul: operations a second, of
    large matrix products in `dtype`."""

    copy: float
    matmul: float
    dtype: str

    def report(self) -> dict[str, Any]:
        """For JSON, in GB/s and TFLOP/s."""
        return {"copy_gb_s": rounded(self.copy / 1e9), "matmul_tflop_s": rounded(self.matmul / 1e12), "dtype": self.dtype}

    def least_ms(self, bytes_moved: float, operations: float) -> float:
        """The roofline: no call that moves and computes so much takes less."""
        return 1000 * max(bytes_moved / self.copy, operations / self.matmul)

    def compare(self, ms: float, bytes_moved: float, operations: float) -> dict[str, float]:
        """For JSON: what was counted, the least time, and how many times longer it took."""
        least = self.least_ms(bytes_moved, operations)
        return {"bytes": int(bytes_moved), "operations": int(operations), "least_ms": rounded(least),
                "gap": rounded(ms / least)}  # fmt: skip


def measure_ceilings(device: str) -> Ceilings:
    """Copy a buffer larger than any cache, multiply large matrices; the best of several."""
    clock = Clock(device)
    numbers, side, dtype = (2**28, 8192, torch.bfloat16) if clock.cuda else (2**24, 1024, torch.float32)
    source = torch.zeros(numbers, device=device)
    target = torch.empty_like(source)
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    product = torch.empty_like(a)
    copy = min(clock.each(lambda: target.copy_(source), 10)) / 1000
    matmul = min(clock.each(lambda: torch.mm(a, b, out=product), 10)) / 1000
    return Ceilings(8 * numbers / copy, 2 * side**3 / matmul, str(dtype).removeprefix("torch."))
