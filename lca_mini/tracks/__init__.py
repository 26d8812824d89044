"""Recordings that drive an avatar: motion files, face tracks, their frame rates and whose body they fit.

Enters: SMPL-X and SMPL-H .npz, ARKit and MediaPipe recordings, our own JSON. Leaves: a `Track`, which holds a `Motion`.
"""

from lca_mini.tracks.face_files import read_face
from lca_mini.tracks.files import read_motion
from lca_mini.tracks.motion_json import FORMAT, read_motion_json, write_motion_json
from lca_mini.tracks.retarget import retarget
from lca_mini.tracks.track import Track, combine, resample

__all__ = ["FORMAT", "Track", "combine", "read_face", "read_motion", "read_motion_json", "resample", "retarget",
           "write_motion_json"]  # fmt: skip
