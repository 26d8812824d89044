"""Differentiable Gaussian splatting: one function, and a registry of backends."""

from lca_mini.render.api import BACKENDS, choose_backend, render

__all__ = ["BACKENDS", "choose_backend", "render"]
