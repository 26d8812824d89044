"""The paper's tables in miniature: `run_experiment("table1")`, or `python -m lca_mini.experiments table1`.

Needs what training needs (accelerate, lpips), not tyro or datasets.
"""

from lca_mini.experiments.plans import EXPERIMENTS, Budget
from lca_mini.experiments.run import describe, run_experiment
from lca_mini.experiments.tables import all_tables, table_of

__all__ = ["Budget", "EXPERIMENTS", "all_tables", "describe", "run_experiment", "table_of"]
