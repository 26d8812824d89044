"""Measurements of driving at their smallest: instruments first, then that all of it runs and is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lca_mini.body import ACTIONS, JOINTS, posed_vertices
from lca_mini.capture import project, random_frames
from lca_mini.cli import main
from lca_mini.driving import driving_signal, hand_cameras
from lca_mini.measure import measure_driving
from lca_mini.measure.driving import NAMES, Sizes
from lca_mini.measure.fingers import TIPS, centroids, dots, dyed, resting, tip_vertices
from lca_mini.measure.gaze import GazeReader, apart, looking_about, soften, teach
from lca_mini.measure.linear import Ridge
from lca_mini.measure.probe import ActionProbe, Codes, read_back
from lca_mini.measure.reenact import facs_peaks, filmed_like, finger_peaks, sweep_cameras
from lca_mini.measure.stage import driven, eye_cameras, placed, portrait_cameras, region, region_masks, spread_over
from lca_mini.model import save_checkpoint
from lca_mini.people.splits import seeds_of

BETAS = torch.zeros(1, 64)


def test_peaks_of_the_sweeps_show_one_thing_at_a_time():
    own = [i for i, name in enumerate(ACTIONS) if not name.startswith("eyeLook")]  # both eyes look together
    assert torch.allclose(facs_peaks().actions[:, own], torch.eye(52)[:, own], atol=0.02)
    hands = finger_peaks().pose[:, 25:].unflatten(1, (2, 5, 3)).norm(dim=-1).sum(-1)  # [14 sides fingers]
    curled = [JOINTS[25 + 3 * f][5:-1] for f in hands[:4, 0].argmax(-1).tolist()]
    assert curled == ["index", "middle", "ring", "pinky"]
    assert (hands[:4, 0].amax(-1) > hands[:4, 1].amax(-1) + 1).all() and (hands[7:11, 1].amax(-1) > 2.5).all()


def test_cameras_see_the_head_the_eyes_and_the_moving_hand(nano):
    motion = random_frames(seeds_of("val", 0, 1), 5, "studio")
    joints = placed(nano.body, BETAS, motion)[0]
    seen = posed_vertices(nano.body, BETAS[:, None].expand(1, 5, -1), motion.pose, motion.transl, motion.actions)
    angles = torch.zeros(1, 5, 2, 2)
    angles[:, :, 1, 0] = 0.6
    cameras = portrait_cameras(nano.body, BETAS, motion, 100, angles)
    eyes = project(joints[:, :, None, 23:25].expand(1, 5, 2, 2, 3), cameras.viewmats, cameras.Ks)
    assert (eyes[:, :, 0].mean(2) - 50).abs().max() < 12 and (eyes[:, :, 0, 0, 0] > eyes[:, :, 0, 1, 0]).all()
    near = (eyes[..., 0, :] - eyes[..., 1, :]).norm(dim=-1)
    assert (near[:, :, 0] > 1.1 * near[:, :, 1]).all(), "from the side, the eyes are closer together"
    close = eye_cameras(nano.body, BETAS, motion, 100)
    both = project(joints[:, :, 23:25], close.viewmats[:, :, 0], close.Ks[:, :, 0])
    assert (both.mean(2) - 50).abs().max() < 1 and 40 < (both[:, :, 0] - both[:, :, 1]).norm(dim=-1).min() < 90
    fingers = spread_over(finger_peaks(), 1)
    hands = sweep_cameras(nano, BETAS, fingers, "fingers")
    places = project(placed(nano.body, BETAS, fingers)[0], hands.viewmats[:, :, 0], hands.Ks[:, :, 0])[0]
    assert (places[:7, 28:31].mean(1) - 64).abs().max() < 45 and (places[7:, 43:46].mean(1) - 64).abs().max() < 45
    assert seen.shape[2] == len(nano.body.template)


def test_masks_cover_their_region(nano):
    motion = spread_over(facs_peaks()[torch.tensor([ACTIONS.index("jawOpen")])], 1)
    cameras = sweep_cameras(nano, BETAS, motion, "facs")
    face, eyes = (region_masks(nano.body, BETAS, motion, cameras, name)[0, 0, 0] for name in ("face", "eyes"))
    assert 0.1 < face.mean() < 0.5 and 0 < eyes.mean() < 0.03 and bool((face >= eyes).all())
    assert not region_masks(nano.body, BETAS, motion, cameras, "hands").any()
    assert region(nano.body, "hands").sum() > 1000


def test_driven_with_nothing_left_out_is_drive_and_parts_change_their_own(nano, avatar):
    motion = spread_over(finger_peaks()[:2], 1)
    motion = replace(motion, actions=torch.rand_like(motion.actions), gaze=torch.full_like(motion.gaze, 0.3))
    signal, corrected = driving_signal(nano, motion), nano.correction_branch.out
    kept = corrected.weight.clone()
    torch.nn.init.normal_(corrected.weight, std=0.1)
    try:
        whole = nano.drive(avatar, signal).means
        assert torch.equal(driven(nano, avatar, signal).means, whole)
        for part in ("expression", "gaze", "hands"):
            assert not torch.allclose(driven(nano, avatar, signal, part).means, whole, atol=1e-5), part
        neutral = replace(signal, expression=torch.zeros_like(signal.expression))
        assert torch.equal(driven(nano, avatar, signal, "expression").means, nano.drive(avatar, neutral).means)
        without = driven(nano, avatar, signal, "hands").means
    finally:
        corrected.weight.copy_(kept)
    bent, flat = nano.drive(avatar, signal).means, nano.drive(avatar, replace(signal, pose=0 * signal.pose)).means
    assert (bent - flat).abs().max() > 0.1 and (without - bent).abs().max() < 0.2, "the skeleton moves all the same"
    with pytest.raises(ValueError, match="choose one of expression"):
        driven(nano, avatar, signal, "jaw")


def test_somebody_else_makes_the_same_face(nano):
    motion = random_frames(seeds_of("val", 0, 1), 1, "studio")
    crops = [filmed_like(nano, seeds_of("val", i, 1), motion) for i in (1, 1, 2)]
    assert crops[0].shape == (1, 1, 3, 64, 64) and torch.equal(crops[0], crops[1])
    assert (crops[0] - crops[2]).abs().mean() > 0.02
    other = filmed_like(nano, seeds_of("val", 1, 1), replace(motion, actions=1 - motion.actions))
    assert 0.001 < (crops[0] - other).abs().mean() < (crops[0] - crops[2]).abs().mean()


def test_a_gaze_reader_learns_where_a_spot_is():
    torch.manual_seed(0)
    degrees = 40 * torch.rand(256, 2) - 20
    x, y = torch.arange(96) - 47.5, torch.arange(32) - 15.5
    spots = ((x - degrees[:, :1]) ** 2)[:, None, :] + ((y - 0.5 * degrees[:, 1:]) ** 2)[:, :, None] < 25
    crops = 1 - spots[:, None].float().expand(-1, 3, -1, -1)
    reader = teach(crops, degrees, 60)
    assert apart(reader(crops), degrees).mean() < 0.6 * apart(0 * degrees, degrees).mean()
    once, again = (teach(crops, degrees, 2)(crops[:4]) for _ in range(2))
    assert torch.equal(once, again), "the same seed, the same reader"
    with torch.no_grad():
        assert GazeReader()(crops).shape == (256, 2)


def test_angles_between_looks_and_blur():
    a = torch.tensor([[0.0, 0.0], [90.0, 0.0], [10.0, 20.0]])
    assert torch.allclose(apart(a, torch.tensor([[0.0, 30.0], [0.0, 0.0], [10.0, 20.0]])).float(),
                          torch.tensor([30.0, 90.0, 0.0]), atol=1e-4)  # fmt: skip
    picture = torch.zeros(1, 3, 21, 21)
    picture[..., 10, 10] = 1
    soft = soften(picture, 1.5)
    assert soft.sum() == pytest.approx(3, rel=1e-4) and 0.05 < soft.max() < 0.1
    motion, degrees = looking_about(seeds_of("val", 0, 2), 3)
    assert torch.allclose(torch.rad2deg(motion.gaze[..., :2]), degrees, atol=1e-4) and motion.pose.shape == (2, 3, 55, 3)


def test_finger_ends_are_ends_and_distances_are_those_of_what_shows(nano):
    ends = tip_vertices(nano.body)
    for tip, ids in zip(TIPS, ends):
        finger = nano.body.template[ids].mean(0) - nano.body.joint_template[JOINTS.index(tip)]
        assert 0.008 < finger.norm() < 0.05, tip
    motion = spread_over(finger_peaks()[:2], 1)
    joints = placed(nano.body, BETAS, motion)[0]
    vertices = posed_vertices(nano.body, BETAS[:, None].expand(1, 2, -1), motion.pose, motion.transl)[0]
    rest, tips = resting(nano.body, BETAS, ends)
    camera = hand_cameras(joints, torch.zeros(1), 128, "left")[0]
    body, dye = dots(vertices, nano.body), dyed(rest, tips)[:, :5]
    place, amount = centroids(body, dye, camera, "cpu")
    at = project(torch.stack([vertices[:, ids].mean(1) for ids in ends[:5]], 1), camera.viewmats[:, 0], camera.Ks[:, 0])
    shows = amount > 0.5 * amount.amax(0)
    assert shows.sum() >= 8 and (place - at).norm(dim=-1)[shows].max() < 4, "within 8 mm: the dye reaches down the finger"
    aside = replace(body, means=body.means + torch.tensor([0.01, 0.0, 0.0]))
    moved = (centroids(aside, dye, camera, "cpu")[0] - place)[shows]
    assert (moved[:, 0] - 0.01 * camera.Ks[0, 0, 0, 0] / 1.2).abs().max() < 0.6 and moved[:, 1].abs().max() < 0.3
    faint = replace(body, opacities=body.opacities * torch.where(dye.amax(1) > 0.01, 0.02, 1.0))
    assert (centroids(faint, dye, camera, "cpu")[1] < 0.25 * amount)[shows].all(), "fingers that nobody sees are missing"


def test_what_a_probe_reads_back_is_told_an_action_at_a_time():
    actions = torch.rand(4, 5, 52)
    actions[..., 0] = 0
    codes = torch.cat([actions, torch.zeros(4, 5, 76)], -1)
    perfect = ActionProbe(Ridge(torch.eye(128, 52), torch.zeros(128), torch.zeros(52)), 1.0)
    found = read_back(perfect, Codes(codes, actions, torch.zeros(4, 5, 4)))
    assert found["r2_mean"] == 1 and found["actions_that_vary"] == 51 and ACTIONS[0] not in found["r2"]


@pytest.fixture(scope="module")
def weights(nano, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "nano.safetensors"
    save_checkpoint(nano, path, {"commit": "test"})
    return path


def test_everything_runs_and_one_part_can_be_measured_again(weights: Path, tmp_path: Path):
    first = measure_driving(str(weights), tmp_path, "tiny", quiet=True)
    file = tmp_path / "driving_nano.json"
    assert json.loads(file.read_text()) == first and set(NAMES) < set(first) and len(list(tmp_path.iterdir())) == 1
    assert set(first["codes"]["worlds"]) == {"test-studio", "test-wild"}
    assert {"self", "cross", "actions", "neutral"} == set(first["reenactment"]["psnr"])
    assert [row["removed"] for row in first["parts"]["parts"]] == ["expression", "gaze", "hands", "gaze", "hands"]
    assert all(abs(row["with"] - row["without"] - row["cost"]) < 0.01 for row in first["parts"]["parts"])
    assert ["cost_if_exact" in row for row in first["parts"]["parts"]] == [True, False, False, False, False]
    again = measure_driving(str(weights), tmp_path, "tiny", ("fingers",), quiet=True)
    assert again["gaze"] == first["gaze"] and set(again) == set(first)
    for shape in ("true_shape", "predicted_shape"):
        assert again["fingers"][shape] == first["fingers"][shape], "the same numbers every time"


def test_it_needs_neither_a_command_line_nor_what_a_gpu_machine_may_lack():

    code = ("import sys\nfor name in ('numba', 'timm', 'accelerate', 'datasets', 'tyro', 'PIL', 'imageio_ffmpeg', 'lpips'):\n"
            "    sys.modules[name] = None\nfrom lca_mini.measure import measure_driving, SIZES\nprint(sorted(SIZES))")  # fmt: skip
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert done.returncode == 0 and "cuda" in done.stdout, done.stderr


def test_bad_words_and_sizes(weights: Path, tmp_path: Path, capsys):
    for argv, words in ((["--only", "noses"], "no measurement noses"), (["--weights", "none"], "no checkpoint"),
                        (["--out", str(weights / "below")], "cannot write into")):  # fmt: skip
        assert main(["measure", "driving", "--weights", str(weights), "--out", str(tmp_path / "out"), *argv]) == 2
        said = capsys.readouterr().err.splitlines()
        assert len(said) == 1 and words in said[0], said
    with pytest.raises(ValueError, match="probe_frames is 2"):
        Sizes(probe_frames=2)
    assert main(["measure", "--help"]) == 0 and "ridge" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()
