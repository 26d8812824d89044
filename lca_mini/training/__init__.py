"""The training room: losses, metrics, the two stages, and the loop that runs them."""

from lca_mini.training.correcting import CorrectingSettings, train_correcting
from lca_mini.training.evaluate import evaluate
from lca_mini.training.finding import FindingSettings, train_finding
from lca_mini.training.loop import train
from lca_mini.training.losses import LossWeights
from lca_mini.training.reading import ReadingSettings, train_reading
from lca_mini.training.settings import TrainSettings, notebook_settings

__all__ = ["CorrectingSettings", "FindingSettings", "LossWeights", "ReadingSettings", "TrainSettings", "evaluate",
           "notebook_settings", "train", "train_correcting", "train_finding", "train_reading"]
