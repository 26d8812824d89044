"""The model: pictures to an avatar, avatar and driving signal to Gaussians."""

from lca_mini.model.checkpoint import load, read_metadata, save_checkpoint
from lca_mini.model.checks import check_signal
from lca_mini.model.encoders import ENCODERS, ImageEncoder, make_encoder
from lca_mini.model.face_finder import face_finder_loss
from lca_mini.model.lca import LCA, Reconstruction, build

__all__ = [
    "ENCODERS", "ImageEncoder", "LCA", "Reconstruction", "build", "check_signal", "face_finder_loss", "load",
    "make_encoder", "read_metadata", "save_checkpoint",
]
