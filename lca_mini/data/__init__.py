"""Samples in streams and on disk, and a person's own photos."""

from lca_mini.data.folder import SampleFolder, open_stream
from lca_mini.data.manifest import Plan
from lca_mini.data.photos import Photos, prepare, read_photos
from lca_mini.data.stream import SampleStream

__all__ = ["Photos", "Plan", "SampleFolder", "SampleStream", "open_stream", "prepare", "read_photos"]
