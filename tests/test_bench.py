"""The benchmarks: what they print, that their scenes fill the frame, and that a failure costs one file alone."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import torch

from lca_mini.bench import bench_drive, bench_encode, bench_render, bench_suite, bench_train
from lca_mini.bench import scaling, suite
from lca_mini.bench.clock import Ceilings, Clock, measure_ceilings, quantile, summary
from lca_mini.bench.scenes import front_camera, human_figure, posed_avatar
from lca_mini.cli import main
from lca_mini.render import render

COMMON = {"ms_median", "ms_p95", "fps", "device", "torch", "repeats"}


def test_render() -> None:
    result = bench_render("cpu", gaussians=300, size=48, repeats=2, batch=2, against_reference=True)
    assert COMMON <= result.keys() and result["device"].endswith("threads")
    assert 0 < result["ms_median"] <= result["ms_p95"] and 0 < result["ms_with_backward_median"]
    assert result["fps"] == pytest.approx(2000 / result["ms_median"], rel=1e-2)
    assert result["stages"].keys() == result["roofline"].keys() == {"project", "bin", "blend"}
    assert result["times_faster_than_reference"] > 1


def test_drive_on_a_cpu() -> None:
    result = bench_drive("mini", size=64, repeats=2)
    assert COMMON | {"stages", "roofline", "errors", "ms_readable"} <= result.keys()
    assert result["gaussians"] == 16384 and result["kernels"] == "numba" and result["weights"] == "mini"
    assert {"signal", "drive", "render", "project", "bin", "blend"} == result["stages"].keys()
    assert result["errors"]["float32"]["mm_max"] < 0.01 and result["errors"]["float32"]["colour_max"] < 0.01
    assert all(counted["least_ms"] > 0 for counted in result["roofline"].values())


def test_batches_and_people() -> None:
    result = bench_drive("nano", size=48, batch=2, people=2, repeats=2)
    assert result["weights"] == "random" and result["fps"] == pytest.approx(4000 / result["ms_median"], rel=1e-2)
    assert result["errors"]["float32"]["mm_max"] < 0.01


def test_encode_and_train() -> None:
    assert COMMON | {"roofline", "parameters"} <= bench_encode("nano", images=2, repeats=2).keys()
    result = bench_train("nano", batch=1, references=1, targets=1, repeats=1)
    assert COMMON <= result.keys() and result["stages"].keys() == {"film", "forward", "backward", "optimizer"}


def test_scenes_fill_the_frame() -> None:
    alphas = render(human_figure(4000), front_camera(96)).alphas[0, ..., 0]
    scene = posed_avatar("mini", 96, "cpu")
    with torch.no_grad():
        avatar = render(scene.model.drive(scene.avatar, scene.signal), scene.cameras).alphas[0, 0, 0, ..., 0]
    for coverage in (alphas, avatar):
        rows, columns = (coverage > 0.5).any(1).nonzero()[:, 0], (coverage > 0.5).any(0).nonzero()[:, 0]
        assert rows[-1] - rows[0] > 75 and columns[0] > 0 and columns[-1] < 95
        assert 0.1 < coverage.mean() < 0.4


def test_clock_and_ceilings() -> None:
    clock, calls = Clock("cpu"), []
    first, second = clock.stages([lambda: calls.append(1), lambda: calls.append(2)], 4)
    assert len(first) == len(second) == 4 and calls[:2] == [1, 2] and min(first) >= 0
    assert summary([1.0, 2.0, 4.0], 8) == {"ms_median": 2.0, "ms_p95": 4.0, "fps": 4000.0}
    assert quantile(list(range(100)), 0.95) == 94
    made = Ceilings(copy=1e9, matmul=1e12, dtype="float32")
    assert made.least_ms(1e6, 1e6) == pytest.approx(1.0) and made.least_ms(1.0, 1e9) == pytest.approx(1.0)
    assert made.compare(3.0, 1e6, 0)["gap"] == pytest.approx(3.0)
    measured = measure_ceilings("cpu")
    assert 1e8 < measured.copy < 1e13 and 1e8 < measured.matmul < 1e15


def test_refusals(tmp_path: Path) -> None:
    for call, words in (
        (lambda: bench_render("cpu", repeats=0), "at least 1"), (lambda: bench_drive(batch=0), "at least 1"),
        (lambda: bench_drive("huge"), "no preset 'huge'"),
        (lambda: bench_suite(tmp_path, "cpu", ("dance",)), "no measurement dance; choose from render"),
    ):
        with pytest.raises(ValueError, match=words):
            call()
    if not torch.cuda.is_available():
        for call in (lambda: bench_render("gsplat"), lambda: bench_drive(device="cuda")):
            with pytest.raises(ValueError, match="needs a CUDA device"):
                call()


def test_suite_survives_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks() -> dict:
        raise RuntimeError("no\nluck")

    def drives(kernels: str = "auto", lists: str = "auto", device: str = "cpu") -> dict:
        if kernels == "auto" or device == "cuda" and lists == "auto":
            raise RuntimeError(f"does not compile: {kernels}, {lists}")
        return {"ms_median": 1.0, "fps": 1000.0, "kernels": kernels, "lists": lists}

    monkeypatch.setattr(suite, "bench_drive", drives)
    monkeypatch.setattr(suite, "jobs", lambda device: [
        ("broken", breaks, {}), ("drive", drives, {}), ("graphs", drives, {"device": "cuda"}),
    ])  # fmt: skip
    result = bench_suite(tmp_path, "cpu")
    assert result["failed"] == {"broken": "RuntimeError: no luck"}
    assert result["written"] == ["bench_drive_cpu.json", "bench_graphs_cpu.json"]
    stored, graphs = (json.loads((tmp_path / name).read_text()) for name in result["written"])
    assert (stored["kernels"], stored["lists"]) == ("torch", "auto") and "lists_that_failed" not in stored
    assert stored["kernels_that_failed"] == "RuntimeError: does not compile: auto, auto"
    assert (graphs["kernels"], graphs["lists"]) == ("torch", "gsplat")
    assert graphs["lists_that_failed"].endswith("auto, auto") and graphs["kernels_that_failed"].endswith("auto, gsplat")
    assert stored["command"].startswith("lca-mini bench suite")


def test_command_line_prints_json_last(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "drive", "--preset", "nano", "--size", "48", "--repeats", "2", "--device", "cpu"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["bench"] == "drive"
    assert main(["bench", "suite"]) == 2
    assert "needs a folder" in capsys.readouterr().err


def test_charts_of_stored_and_of_gsplat_results() -> None:
    pytest.importorskip("matplotlib")
    import matplotlib

    matplotlib.use("Agg")
    from lca_mini.bench.charts import label, parts_of, rate_bars, roofline_bars, stage_bars, stored

    assert stored("drive", "no-such-device") == []
    here = stored("drive", "cpu")
    assert here and all(result["bench"] == "drive" for result in here)
    one = next(result for result in here if result["batch"] == 1)
    stages, parts = one["stages"], parts_of(one)
    assert sum(parts.values()) == pytest.approx(stages["signal"] + stages["drive"] + stages["render"], rel=1e-6)
    on_gpu = one | {"stages": {"signal": 0.01, "drive_and_project": 0.05, "bin": 0.1, "blend": 0.1}, "batch": 16,
                    "people": 2}  # fmt: skip
    assert sum(parts_of(on_gpu).values()) == pytest.approx(0.26 / 32) and "32 a call" in label(on_gpu)
    for figure in (stage_bars([one, on_gpu], "a"), rate_bars([one, on_gpu], "b"), roofline_bars(one, "c")):
        assert figure.axes[0].get_yticks().size >= 2


def test_scaling_compares_windows_that_count_and_says_what_failed(monkeypatch):
    speeds = {"1": [9, 9, 100, 104, 96], "2": [9, 9, 190, 210, 190]}

    def pretend(command, **options):
        processes, asked = command[4].removeprefix("--nproc-per-node="), json.loads(command[-1])
        if asked["shard"]:
            return subprocess.CompletedProcess(command, 1, stderr="no room\nfor this")
        lines = [{"step": 10 * (i + 1), "people_per_s": speed} for i, speed in enumerate(speeds[processes])]
        Path(asked["out"], "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        Path(asked["out"], "memory.json").write_text("1.5")
        return subprocess.CompletedProcess(command, 0, stderr="")

    monkeypatch.setattr(scaling.subprocess, "run", pretend)
    made = scaling.bench_scaling("nano", 4, 3, device="cpu", processes=2)
    assert made["people_per_s"] == {"one": 100, "all": 190} and made["times"] == 1.9
    assert made["people_per_s_p95"]["one"] == 96 and made["failed"] == {"all_sharded": "no room for this"}
    with pytest.raises(ValueError, match="two or more"):
        scaling.bench_scaling("nano", 4, 3, device="cpu")
