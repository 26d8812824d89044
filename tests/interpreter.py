"""Triton kernels without a GPU: a test file runs again in a process of its own, where Triton interprets them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
CUDA = torch.cuda.is_available()
outside = pytest.mark.skipif(CUDA or INTERPRETED, reason="a GPU runs the kernels themselves")
"""For the one test of a file that calls `run_interpreted`."""


def run_interpreted(file: str, passed: int, which: str = "interpreted") -> None:
    """Run the tests of `file` whose names hold `which`, and see that so many passed."""
    pytest.importorskip("triton")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", file, "-k", which]
    env = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 0 and f"{passed} passed" in done.stdout, done.stdout[-3000:]
