"""Real captures, from every layout: axes and units are proven by drawing the posed body into the pictures."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from real_fixtures import CAMERAS, FRAMES, WRITERS, overlap, scene

from lca_mini.body import load_body, posed_vertices
from lca_mini.data.real import read_easymocap, read_goliath, read_neuman, read_plain, sample_of
from lca_mini.data.real.easymocap import read_result
from lca_mini.body.lbs import axis_angle
from lca_mini.data.real.take import read_pair, undistort
from lca_mini.people.splits import split_of
from lca_mini.types import Sample

READERS = {"plain": lambda f: read_plain(f), "easymocap": lambda f: read_easymocap(f, load_body()),
           "neuman": lambda f: read_neuman(f, load_body()), "goliath": lambda f: read_goliath(f, load_body())}  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: write(tmp_path_factory.mktemp("real") / name) for name, write in WRITERS.items()}


@pytest.mark.parametrize("layout", WRITERS)
def test_the_posed_body_lies_on_the_person(layout: str, folders):
    take = READERS[layout](folders[layout])
    assert len(take.images) == FRAMES * (1 if layout == "neuman" else CAMERAS)
    sample = sample_of(take, load_body(), 1, len(take.images) - 1, 96, 48)
    right = overlap(sample)
    assert right.min() > 0.75, right
    assert (right > overlap(sample, moved=0.15) + 0.2).all() and (right > overlap(sample, wide=1.25) + 0.1).all()
    # y is up: the head lies above the feet in the world of every layout
    vertices = posed_vertices(load_body(), sample.betas[0].expand(len(sample.pose[0]), -1), sample.pose[0],
                              sample.transl[0])
    template = load_body().template[:, 1]
    assert (vertices[:, template.argmax(), 1] > vertices[:, template.argmin(), 1] + 0.8).all()


@pytest.mark.parametrize("layout", WRITERS)
def test_a_sample_is_as_from_synthetic_people(layout: str, folders):
    sample = sample_of(READERS[layout](folders[layout]), load_body(), 2, 1, 64, 32)
    assert isinstance(sample, Sample) and sample.images.shape == (1, 2, 3, 64, 64)
    assert sample.target_faces.shape == (1, 1, 3, 32, 32) and sample.betas.shape == (1, 64)
    assert sample.cameras.viewmats.shape == (1, 1, 1, 4, 4) and sample.surface is None
    assert not sample.actions.any() and 0 < sample.target_masks.mean() < 0.6
    background = sample.targets[sample.target_masks.expand_as(sample.targets) == 0]
    assert background.min() > 0.9  # white, but for the ringing of the resampling
    x, y, side = sample.face_boxes[0].unbind(-1)
    assert ((0.2 < x) & (x < 0.8) & (y < 0.5) & (0.05 < side) & (side < 0.5)).all()
    with pytest.raises(ValueError, match="no split"):
        split_of(int(sample.seeds))


def test_layouts_agree(folders):
    """The same moment through three doors: the vertices that a camera sees are the same, to the digits written."""
    body, found = load_body(), []
    for layout, read in READERS.items():
        take = read(folders[layout])
        index = 0 if layout == "neuman" else FRAMES  # the second camera's first frame
        points = posed_vertices(body, scene().betas, take.pose[index], take.transl[index])
        view = take.viewmats[index]
        found.append(points @ view[:3, :3].T + view[:3, 3])
        assert torch.allclose(take.Ks[index], scene().cameras.Ks[0, 0, 1], atol=1e-3)
    assert max(float((found[0] - other).abs().max()) for other in found[1:]) < 1e-4


def test_pictures_are_straightened():
    """A spot where the bent lens put it comes to lie where a pinhole puts it."""
    K, bend = torch.tensor([[80.0, 0, 50], [0, 84.0, 46], [0, 0, 1]]), torch.tensor([-0.25, 0.08, 0.004, -0.006, 0.01])
    ray = torch.tensor([0.42, -0.31])
    r2, (x, y) = ray.square().sum(), ray
    radial = 1 + bend[0] * r2 + bend[1] * r2**2 + bend[4] * r2**3
    bent = torch.stack([x * radial + 2 * bend[2] * x * y + bend[3] * (r2 + 2 * x * x),
                        y * radial + bend[2] * (r2 + 2 * y * y) + 2 * bend[3] * x * y])  # fmt: skip
    at, wanted = K[:2, :2] @ bent + K[:2, 2], K[:2, :2] @ ray + K[:2, 2]
    rows, columns = torch.meshgrid(torch.arange(92) + 0.5, torch.arange(100) + 0.5, indexing="ij")
    spot = torch.exp(-((columns - at[0]) ** 2 + (rows - at[1]) ** 2) / 8)[None]
    straight = undistort(spot, K, bend)[0]
    found = torch.stack([(straight * columns).sum(), (straight * rows).sum()]) / straight.sum()
    assert (at - wanted).norm() > 1 and (found - wanted).norm() < 0.3


def test_rotations_come_back():
    angles = torch.tensor([[0.0, 0, 0], [1e-5, 0, 0], [0.3, -2.0, 1.0], [3.1, 0, 0]])
    from lca_mini.body import rotation_matrices
    from lca_mini.body.lbs import matrix_to_quaternion

    assert torch.allclose(axis_angle(matrix_to_quaternion(rotation_matrices(angles))), angles, atol=2e-4)


def test_easymocaps_short_poses_unfold_hands(tmp_path: Path):
    components, means = torch.randn(2, 45, 45), torch.randn(2, 45)
    poses = torch.randn(87)
    poses[:3] = 0
    said = [{"id": 0, "Rh": [[0, 0, 0]], "Th": [[0, 0, 0]], "poses": [poses.tolist()], "shapes": [[0.0] * 10]}]
    file = tmp_path / "0.json"
    file.write_text(json.dumps(said))
    pose, _, _ = read_result(file, (components, means))
    assert torch.allclose(pose[1:22].flatten(), poses[3:66]) and torch.allclose(pose[22:25].flatten(), poses[78:])
    assert torch.allclose(pose[40:].flatten(), poses[72:78] @ components[1, :6] + means[1], atol=1e-5)
    with pytest.raises(ValueError, match="hand components"):
        read_result(file, None)


class Bomb:
    """An object whose unpickling leaves a trace."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return (Path.touch, (self.file,))


def test_nothing_is_unpickled(folders, tmp_path: Path):
    folder, trace = Path(shutil.copytree(folders["plain"], tmp_path / "plain")), tmp_path / "boom"
    np.savez(folder / "smplx.npz", poses=np.array([Bomb(trace)], dtype=object), trans=np.zeros((3, 3)), betas=np.zeros(9))
    with pytest.raises(ValueError, match="plain arrays"):
        read_plain(folder)
    zju = Path(shutil.copytree(folders["easymocap"], tmp_path / "zju"))
    shutil.rmtree(zju / "output")
    np.save(zju / "annots.npy", np.array([Bomb(trace)], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="annots.npy holds pickled SMPL parameters, which are not read"):
        read_easymocap(zju, load_body())
    assert not trace.exists()


SPOILT = [
    ("plain", "smplx.npz", lambda f: f.write_bytes(f.read_bytes()[:99]), "smplx.npz"),
    ("plain", "cameras.json", lambda f: f.write_text('{"cam0": {"K": [[1]]}}'), "cameras.json"),
    ("plain", "images/cam1/0001.png", lambda f: f.unlink(), "cam1"),
    ("plain", "masks/cam0/0000.png", lambda f: f.unlink(), "0000.png"),
    ("easymocap", "extri.yml", lambda f: f.write_text("nothing"), "extri.yml"),
    ("easymocap", "images/02/000001.jpg", lambda f: f.unlink(), "000001"),
    ("easymocap", "output/smplx/000001.json", lambda f: f.write_text("[]"), "000001.json"),
    ("neuman", "sparse/cameras.txt", lambda f: f.write_text("1 RADIAL 1 2 3 4 5 6\n"), "cameras.txt"),
    ("neuman", "smplx_optimized/smplx_params/1.json", lambda f: f.write_text('{"trans": [0, 0, 0]}'), "1.json"),
    ("neuman", "masks/00002.png", lambda f: f.write_text("no"), "00002.png"),
    ("goliath", "smplx.npz", lambda f: f.unlink(), "Goliath has no SMPL-X parameters"),
    ("goliath", "smplx.npz", lambda f: np.savez(f, frames=[1], poses=np.zeros((2, 165))), "must hold frames"),
    ("goliath", "camera_calibration.json", lambda f: f.write_text('{"KRT": [{"cameraId": "1"}]}'), "calibration"),
    ("goliath", "camera_calibration.json", lambda f: in_metres(f), "cameras of .* do not see the person"),
    ("goliath", "image/cam400870.zip", lambda f: f.write_bytes(f.read_bytes()[:-30]), "cam400870.zip"),
    ("goliath", "segmentation_parts/cam401645.zip", lambda f: f.unlink(), "nothing in .*segmentation_parts"),
]


def in_metres(file: Path) -> None:
    said = json.loads(file.read_text())
    for camera in said["KRT"]:
        camera["T"][3][:3] = [x / 1000 for x in camera["T"][3][:3]]
    file.write_text(json.dumps(said))


def test_goliath_unpacked_with_a_frame_dropped_and_fewer_cameras(folders, tmp_path: Path):
    whole = read_goliath(folders["goliath"], load_body())
    folder = Path(shutil.copytree(folders["goliath"], tmp_path / "goliath"))
    for file in sorted(folder.glob("*/cam*.zip")):
        shutil.unpack_archive(file, file.parent)
        file.unlink()
    (folder / "image/cam401645/000692.avif").unlink()
    take = read_goliath(folder, load_body())
    assert len(take.images) == 5 and torch.equal(take.pose, whole.pose[[0, 1, 2, 3, 5]])
    assert torch.equal(read_pair(take, 4)[0], read_pair(whole, 5)[0])
    assert len(read_goliath(folder, load_body(), cameras=1).images) == 3


@pytest.mark.parametrize("layout, name, spoil, words", SPOILT, ids=[f"{s[0]}-{s[1]}" for s in SPOILT])
def test_what_is_wrong_is_named_in_one_sentence(layout, name, spoil, words, folders, tmp_path: Path):
    folder = Path(shutil.copytree(folders[layout], tmp_path / layout))
    spoil(folder / name)
    with pytest.raises(ValueError, match=words) as caught:
        take = READERS[layout](folder)
        sample_of(take, load_body(), 1, len(take.images) - 1, 64, 32)
    assert "\n" not in str(caught.value)


def test_a_head_far_outside_its_picture_is_refused(folders):
    take = read_plain(folders["plain"])
    near = take.viewmats.clone()
    near[:, :3, 3] /= 1000  # as if metres were millimetres
    with pytest.raises(ValueError, match="the head lies far outside picture .* do not belong together"):
        sample_of(replace(take, viewmats=near), load_body(), 1, 5, 48, 24)


def test_too_few_pictures_and_bad_numbers_are_refused(folders):
    take = read_plain(folders["plain"])
    with pytest.raises(ValueError, match="has 6 pictures; 8 references and 4 targets need 12"):
        sample_of(take, load_body())
    with pytest.raises(ValueError, match="pose of capture 'plain' holds values that are not finite"):
        replace(take, pose=take.pose * float("nan"))
