"""`python -m lca_mini`: the same as `lca-mini`."""

from lca_mini.cli import run

run()
