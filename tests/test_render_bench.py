"""The render benchmark: its line of JSON, and that its figure fills the frame."""

from __future__ import annotations

import json

import pytest
import torch

from lca_mini.bench import bench_render, front_camera, human_figure, report_render
from lca_mini.render import render


def test_last_line_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    report_render("cpu", gaussians=300, size=48, repeats=2, batch=2)
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["backend"] == "cpu" and result["device"].endswith("threads") and result["batch"] == 2
    assert 0 < result["ms_median"] <= result["ms_p95"] and 0 < result["ms_with_backward_median"]
    assert result["fps"] == pytest.approx(2000 / result["ms_median"], rel=1e-2)


def test_figure_fills_the_frame() -> None:
    alphas = render(human_figure(4000), front_camera(96)).alphas[0, ..., 0]
    rows, columns = (alphas > 0.5).any(1).nonzero()[:, 0], (alphas > 0.5).any(0).nonzero()[:, 0]
    assert rows[-1] - rows[0] > 80 and columns[0] > 0 and columns[-1] < 95
    assert (alphas[45, 40:56] > 0.9).all() and 0.1 < alphas.mean() < 0.4


def test_refusals() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        bench_render("cpu", repeats=0)
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="needs a CUDA device"):
            bench_render("gsplat")
