"""The people room: a synthetic population, always clothed, each person fixed by an integer seed."""

from lca_mini.people.crowd import Crowd, grow, posed
from lca_mini.people.splits import SPLITS, seeds_of

__all__ = ["Crowd", "SPLITS", "grow", "posed", "seeds_of"]
