"""The body room: template mesh and skeleton, skinning, anchors. Knows nothing of models or pictures."""

from lca_mini.body.anchors import Anchors, anchors_at, sample_anchors
from lca_mini.body.lbs import (
    bone_transforms, eye_gaze, gaze_pose, linear_blend_skinning, rotation_matrices, skin_gaussians, with_gaze,
)  # fmt: skip
from lca_mini.body.names import ACTIONS, JOINTS, MIRRORED, PARENTS
from lca_mini.body.template import ASSETS, Body, load_body, posed_vertices, rest_joints, rest_vertices

__all__ = [
    "ACTIONS", "ASSETS", "Anchors", "Body", "JOINTS", "MIRRORED", "PARENTS", "anchors_at", "bone_transforms", "eye_gaze",
    "gaze_pose", "linear_blend_skinning", "load_body", "posed_vertices", "rest_joints", "rest_vertices",
    "rotation_matrices", "sample_anchors", "skin_gaussians", "with_gaze",
]  # fmt: skip
