"""The filming benchmark: one JSON line, and bad input refused."""

from __future__ import annotations

import json

import pytest
import torch

from lca_mini.bench import bench_data
from lca_mini.cli import main


def test_figures_agree():
    result = bench_data("studio", 1, references=1, targets=1, image_size=16, face_size=16, repeats=1, device="cpu")
    assert result["kind"] == "studio" and result["images_per_s"] == pytest.approx(4 * result["people_per_s"], rel=1e-2)
    assert result["people_per_s"] == pytest.approx(1000 / result["ms_median"], rel=1e-2)
    json.dumps(result)


@pytest.mark.parametrize("arguments", [["--people", "0"], ["--kind", "street"], ["--repeats", "0"]])
def test_bad_input_is_refused(arguments, capsys):
    assert main(["bench", "data", "--device", "cpu", *arguments]) == 2
    assert capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_refused(capsys):
    assert main(["bench", "data", "--device", "cuda"]) == 2
    assert "no CUDA device" in capsys.readouterr().err
