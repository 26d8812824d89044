"""Captures of real people: each layout's reader makes a `Take`, and `sample_of` a `Sample` of that."""

from lca_mini.data.real.easymocap import hand_components, read_easymocap
from lca_mini.data.real.goliath import read_goliath
from lca_mini.data.real.neuman import read_neuman
from lca_mini.data.real.plain import read_plain
from lca_mini.data.real.take import Take, sample_of

READERS = {"plain": read_plain, "easymocap": read_easymocap, "neuman": read_neuman, "goliath": read_goliath}
"""Every layout that the library reads; each has a data card."""

__all__ = ["READERS", "Take", "hand_components", "read_easymocap", "read_goliath", "read_neuman", "read_plain", "sample_of"]
