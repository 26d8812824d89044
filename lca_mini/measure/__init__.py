"""Measurements of a trained model that answer a question of the paper, a module each; plain functions, no command line."""

from lca_mini.measure.driving import SIZES, Sizes, measure_driving
from lca_mini.measure.probe import ActionProbe, fit_probe

__all__ = ["ActionProbe", "SIZES", "Sizes", "fit_probe", "measure_driving"]
