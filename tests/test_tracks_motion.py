"""Motion files: conventions, frame rates, and feet on the floor of another body."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from lca_mini.body import ACTIONS, JOINTS, gaze_pose, load_body, posed_vertices, rest_joints, rest_vertices, rotation_matrices
from lca_mini.capture import performance, walk
from lca_mini.capture.motion import axis_angle, euler_quaternions, quaternions
from lca_mini.tracks import combine, read_motion, resample, retarget, write_motion_json
from lca_mini.tracks.motion_json import FORMAT
from lca_mini.tracks.retarget import hip_height, lowest
from lca_mini.tracks.track import PARTS, Track, at_times, even_times

ROOT_BACK = torch.tensor([math.cos(math.pi / 4), math.sin(math.pi / 4), 0.0, 0.0])  # y up to z up


def z_up(pose: torch.Tensor, pelvis: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """What AMASS writes of a y-up pose and of the pelvis' place over the floor."""
    from lca_mini.body.lbs import quaternion_product

    root = axis_angle(quaternion_product(ROOT_BACK.expand(len(pose), 4), quaternions(pose[:, 0])))
    turned = torch.cat([root[:, None], pose[:, 1:]], 1)
    return turned.flatten(1).numpy(), torch.stack([pelvis[:, 0], -pelvis[:, 2], pelvis[:, 1]], 1).numpy()


def test_our_own_npz_comes_back_as_it_was(tmp_path: Path):
    clip = performance(9, 3)
    np.savez(tmp_path / "clip.npz", poses=clip.pose.flatten(1), trans=clip.transl, actions=clip.actions)
    read = read_motion(tmp_path / "clip.npz", fps=3)
    assert torch.equal(read.motion.pose, clip.pose) and torch.equal(read.motion.transl, clip.transl)
    assert torch.equal(read.motion.actions, clip.actions) and read.fps == pytest.approx(3) and "y is up" in read.notes[0]
    np.savez(tmp_path / "parts.npz", body_pose=clip.pose[:, 1:22], leye_pose=gaze_pose(clip.gaze)[:, 0])
    parts = read_motion(tmp_path / "parts.npz").motion
    assert torch.equal(parts.pose[:, 1:22], clip.pose[:, 1:22]) and not parts.pose[:, 25:].any()
    assert torch.allclose(parts.gaze[:, :2], clip.gaze[:, :2], atol=1e-5)


@pytest.mark.parametrize("layout", ["smplx", "smplh"])
def test_amass_is_turned_upright(layout: str, tmp_path: Path):
    clip = performance(24, 8)
    pelvis = clip.transl + torch.tensor([0.5, 0.93, -0.2])
    poses, trans = z_up(clip.pose, pelvis)
    if layout == "smplh":
        arrays = {"poses": np.delete(poses, np.s_[66:75], 1), "mocap_framerate": 120.0, "dmpls": np.zeros((24, 8))}
    else:
        arrays = {"poses": poses, "mocap_frame_rate": np.array(120), "surface_model_type": "smplx"}
    np.savez(tmp_path / "amass.npz", trans=trans, betas=np.zeros(16), gender="neutral", **arrays)
    track = read_motion(tmp_path / "amass.npz")
    assert track.notes[0] == "z is up, as AMASS has it" and track.grounded and track.fps == pytest.approx(120)
    assert torch.allclose(track.motion.transl, pelvis, atol=1e-6)
    same = [j for j, name in enumerate(JOINTS) if layout == "smplx" or name not in ("jaw", "left_eye", "right_eye")]
    turned, true = (rotation_matrices(pose[:, same]) for pose in (track.motion.pose, clip.pose))
    assert torch.allclose(turned, true, atol=1e-5)
    asked = read_motion(tmp_path / "amass.npz", up="z")
    assert torch.equal(asked.motion.pose, track.motion.pose) and "as was asked for" in asked.notes[0]


def test_a_world_that_is_not_what_the_file_says_is_refused(tmp_path: Path):
    clip = walk(8, 8)
    np.savez(tmp_path / "lies.npz", poses=clip.pose.flatten(1), trans=clip.transl, mocap_framerate=8)
    with pytest.raises(ValueError, match="taken to have z up.*say which is up: y"):
        read_motion(tmp_path / "lies.npz")
    assert read_motion(tmp_path / "lies.npz", up="y").notes[0].startswith("y is up")
    with pytest.raises(ValueError, match="choose one of auto, y, z"):
        read_motion(tmp_path / "lies.npz", up="x")


def test_resampling_turns_evenly_the_short_way():
    angles = torch.tensor([0.0, 100.0, 200.0, 260.0])  # steps of 100, 100 and 60 degrees, past the half turn
    pose = torch.zeros(4, 55, 3)
    pose[:, 16] = axis_angle(euler_quaternions(torch.deg2rad(angles)[:, None] * torch.tensor([0.0, 0.0, 1.0])))
    motion = performance(4, 1)
    track = Track(type(motion)(pose, motion.transl, motion.gaze, motion.actions), even_times(4, 30), frozenset(PARTS))
    fine = resample(track, 60)
    assert len(fine.seconds) == 7 and fine.fps == pytest.approx(60)
    expected = torch.deg2rad(torch.tensor([0.0, 50, 100, 150, 200, 230, 260]))
    x_axis = rotation_matrices(fine.motion.pose[:, 16])[:, :2, 0]
    assert torch.allclose(x_axis, torch.stack([expected.cos(), expected.sin()], 1), atol=1e-5)
    assert torch.allclose(fine.motion.transl[1], motion.transl[:2].mean(0), atol=1e-6)
    back = resample(fine, 30)
    assert torch.allclose(rotation_matrices(back.motion.pose), rotation_matrices(pose), atol=1e-5)
    assert resample(track, 30) is track


def test_uneven_times_and_ends_that_hold():
    motion = performance(3, 1)
    track = Track(motion, torch.tensor([0.0, 1.0, 4.0], dtype=torch.float64), frozenset(PARTS))
    there = at_times(track, torch.tensor([0.0, 2.5, 9.0])).motion
    assert torch.allclose(there.actions[1], motion.actions[1:].mean(0), atol=1e-6)
    assert torch.allclose(there.actions[2], motion.actions[2])
    with pytest.raises(ValueError, match="at most"):
        resample(track, 1e6)


def test_a_face_on_a_body_opens_the_mouth_once():
    body, face = performance(20, 10), performance(40, 10)
    body.pose[:, JOINTS.index("jaw"), 0] = 0.3
    tracks = [Track(m, even_times(len(m.pose), 10), frozenset(parts)) for m, parts in ((body, PARTS), (face, ["actions"]))]
    both = combine(*tracks, fps=10)
    assert len(both.seconds) == 20 and not both.motion.pose[:, JOINTS.index("jaw")].any()
    assert torch.allclose(both.motion.actions, face.actions[:20], atol=1e-6)
    assert torch.allclose(both.motion.gaze, body.gaze, atol=1e-6), "a face without gaze leaves the body's"


def walker(betas: torch.Tensor, frames: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """A pose and pelvis path, over a floor at 0, of a body whose soles never leave the floor."""
    body, clip = load_body(), walk(frames, 20)
    clip.pose[:, 4:6, 0] += 0.2  # bent knees, so that a wrong scale shows
    path = torch.stack([torch.zeros(frames), torch.zeros(frames), torch.linspace(0, 1.5, frames)], 1)
    path[:, 1] = -lowest(body, betas, clip.pose, path)
    return clip.pose, path + rest_joints(body, betas)[0]


@pytest.mark.parametrize("shape", [-2.0, 2.0])
def test_feet_stay_on_the_floor_of_another_body(shape: float, tmp_path: Path):
    body, small, tall = load_body(), torch.zeros(64), torch.zeros(64)
    small[0], tall[0] = -shape, shape
    pose, pelvis = walker(small)
    poses, trans = z_up(pose, pelvis)
    np.savez(tmp_path / "walk.npz", poses=poses, trans=trans, mocap_frame_rate=20)
    moved = retarget(read_motion(tmp_path / "walk.npz"), body, tall)
    ratio = hip_height(body, tall) / hip_height(body, small)
    assert abs(ratio - 1) > 0.1
    assert f"times {ratio:.2f}"[:-1] in moved.notes[-1]
    floor = rest_vertices(body, tall)[:, 1].min()
    off = lowest(body, tall, moved.motion.pose, moved.motion.transl) - floor
    assert off.abs().max() < 0.02, "soles leave the floor"
    unscaled = retarget(Track(moved.motion, moved.seconds, moved.parts, hip_height(body, tall)), body, tall)
    assert torch.allclose(unscaled.motion.transl, moved.motion.transl, atol=1e-5), "retargeting twice changes nothing"
    travelled = moved.motion.transl[-1, 2] - moved.motion.transl[0, 2]
    assert float(travelled) == pytest.approx(1.5 * ratio, rel=0.05)


def test_leaps_stay_leaps():
    body, betas = load_body(), torch.zeros(64)
    clip = walk(40, 20)
    clip.transl[20:28, 1] += 0.4
    moved = retarget(Track(clip, even_times(40, 20), frozenset(PARTS)), body, betas).motion
    heights = lowest(body, betas, moved.pose, moved.transl) - rest_vertices(body, betas)[:, 1].min()
    assert heights[20:28].min() > 0.35 and heights[:20].max() < 0.02


def test_lowest_is_the_lowest_vertex():
    body, clip = load_body(), walk(6, 6)
    true = posed_vertices(body, torch.zeros(6, 64), clip.pose, clip.transl)[..., 1].amin(-1)
    assert torch.allclose(lowest(body, torch.zeros(64), clip.pose, clip.transl), true, atol=2e-3)


def test_json_round_trip_and_quaternions(tmp_path: Path):
    clip = performance(12, 6)
    track = Track(clip, even_times(12, 6), frozenset(PARTS), 0.9)
    write_motion_json(track, tmp_path / "clip.json")
    back = read_motion(tmp_path / "clip.json")
    for part in PARTS:
        assert torch.allclose(getattr(back.motion, part), getattr(clip, part), atol=1e-5), part
    assert back.hip_height == 0.9 and back.fps == pytest.approx(6)
    quats = quaternions(clip.pose[:, 16:17])
    for kind, values in (("quaternion_wxyz", quats), ("quaternion_xyzw", quats.roll(-1, -1))):
        data = {"format": FORMAT, "fps": 6, "rotations": kind, "joints": ["left_shoulder"], "poses": values.tolist()}
        (tmp_path / "q.json").write_text(json.dumps(data))
        read = read_motion(tmp_path / "q.json").motion.pose
        assert torch.allclose(read[:, 16], clip.pose[:, 16], atol=1e-5) and not read[:, 17:].any()


GOOD = {"format": FORMAT, "fps": 30, "joints": ["head"], "poses": [[[0, 0, 0]], [[0, 0.1, 0]]],
        "actions": {"jawOpen": [0, 0.5]}}  # fmt: skip
WRONG = {
    "format": ("motion 9", "must begin with"), "fps": ("fast", "fps"), "up": ("x", '"y" or "z"'),
    "joints": (["heads"], "lca_mini.JOINTS"), "rotations": ("euler", "choose one of"),
    "poses": ([[[0, 0]], [[0, 0]]], "not [2 1 3]"), "transl": ([[0, 0, 0]], "same number of frames"),
    "gaze": ([[1, 2, 3]] * 2, "not [2 2] or [2 4]"), "actions": ({"smile": [0, 0]}, "smile"), "speed": (3, "unknown parts"),
    "hip_height": (90, "metres high"),
}  # fmt: skip


@pytest.mark.parametrize("key", WRONG)
def test_json_says_what_is_wrong(key: str, tmp_path: Path):
    value, words = WRONG[key]
    file = tmp_path / "clip.json"
    file.write_text(json.dumps(GOOD))
    assert read_motion(file).motion.actions[1, ACTIONS.index("jawOpen")] == 0.5
    file.write_text(json.dumps(GOOD | {key: value}))
    with pytest.raises(ValueError, match=re.escape(words)):
        read_motion(file)


def test_json_of_nan_and_of_ragged_lists(tmp_path: Path):
    for text, words in (('{"format": "%s", "fps": 30, "transl": [[NaN, 0, 0]]}' % FORMAT, "not finite"),
                        ('{"format": "%s", "fps": 30, "transl": [[0, 0], [0]]}' % FORMAT, "lists of one length"),
                        ("{", "no JSON")):  # fmt: skip
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(ValueError, match=words):
            read_motion(tmp_path / "bad.json")
    with pytest.raises(ValueError, match="kind that is not read"):
        read_motion(tmp_path / "clip.bvh")
