"""Samples in streams, and a person's own photos."""

from lca_mini.data.photos import Photos, prepare, read_photos
from lca_mini.data.stream import SampleStream

__all__ = ["Photos", "SampleStream", "prepare", "read_photos"]
