"""Measurements: one dictionary each, one JSON line on the terminal (`lca-mini bench`)."""

from lca_mini.bench.data import bench_data
from lca_mini.bench.drive import bench_drive
from lca_mini.bench.learn import bench_encode, bench_train
from lca_mini.bench.render import bench_render
from lca_mini.bench.scaling import bench_scaling
from lca_mini.bench.suite import bench_suite

__all__ = ["bench_data", "bench_drive", "bench_encode", "bench_render", "bench_scaling", "bench_suite", "bench_train"]
