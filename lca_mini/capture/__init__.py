"""The capture room: cameras, light and movement that film the synthetic people, on a CPU and on CUDA alike."""

from lca_mini.capture.clips import performance, turntable, walk
from lca_mini.capture.motion import MOTION_KINDS, Motion, blend, random_frames
from lca_mini.capture.patches import Patches, rasterize_patches
from lca_mini.capture.pendulum import swung
from lca_mini.capture.rasterizer import Fragments, interpolate, rasterize, visible_points
from lca_mini.capture.rigs import (
    NOMINAL, crop_camera, dome_cameras, frame_person, look_at, orbit_cameras, project, relative_box, studio_cameras,
    upper_body, wild_cameras,
)  # fmt: skip
from lca_mini.capture.routines import ROUTINES
from lca_mini.capture.shading import (
    LIGHT_KINDS, Light, Plate, dome_light, gather_plate, linear_to_srgb, random_lights, resolve, shade, srgb_to_linear,
    vertex_normals,
)  # fmt: skip
from lca_mini.capture.shadows import ShadowMap, shadow_map, sun_visibility

__all__ = [
    "Fragments", "LIGHT_KINDS", "Light", "MOTION_KINDS", "Motion", "NOMINAL", "Patches", "Plate", "ROUTINES",
    "ShadowMap", "blend", "crop_camera", "dome_cameras", "dome_light", "frame_person", "gather_plate", "interpolate",
    "linear_to_srgb", "look_at", "orbit_cameras", "performance", "project", "random_frames", "random_lights",
    "rasterize", "rasterize_patches", "relative_box", "resolve", "shade", "shadow_map", "srgb_to_linear",
    "studio_cameras", "sun_visibility", "swung", "turntable", "upper_body", "vertex_normals", "visible_points", "walk",
    "wild_cameras",
]  # fmt: skip
