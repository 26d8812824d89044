"""The body room: agreement with smplx, invariants of skinning, anchors, and bad SMPL-X folders."""

import numpy as np
import pytest
import torch

from lca_mini.body import (
    ACTIONS, JOINTS, MIRRORED, PARENTS, bone_transforms, gaze_pose, linear_blend_skinning, load_body, posed_vertices, rest_joints,
    rest_vertices, rotation_matrices, sample_anchors, skin_gaussians,
)  # fmt: skip
from lca_mini.body.lbs import matrix_to_quaternion, quaternion_product
from lca_mini.body.template import PACKAGED, create_smplx
from lca_mini.types import Gaussians


@pytest.fixture(scope="module")
def body():
    return load_body()


def some_gaussians(count: int) -> Gaussians:
    quats = torch.nn.functional.normalize(torch.randn(count, 4), dim=-1)
    return Gaussians(torch.randn(count, 3), quats, torch.rand(count, 3), torch.rand(count), torch.rand(count, 3))


def test_sizes_are_smplx(body):
    assert body.template.shape == (13718, 3) and body.skin_weights.shape == (13718, 55)
    assert len(JOINTS) == 55 and body.parents == PARENTS and len(ACTIONS) == 52
    assert PACKAGED.stat().st_size < 40e6
    assert torch.allclose(body.skin_weights.sum(1), torch.ones(13718), atol=1e-5)
    assert 1.5 < np.ptp(body.template[:, 1].numpy()) < 1.9


def test_a_mirrored_action_moves_the_other_side_the_other_way(body):
    rest = rest_vertices(body, torch.zeros(64), torch.zeros(52))
    moved = rest_vertices(body, torch.zeros(64).expand(52, -1), torch.eye(52)) - rest
    far = moved.norm(dim=-1)
    where, along = (x.sum(1) / far.sum(1) for x in (far * rest[:, 0], moved[..., 0]))
    mirrored = torch.tensor(MIRRORED)
    torch.testing.assert_close(where[mirrored], -where, atol=1e-3, rtol=0)
    torch.testing.assert_close(along[mirrored], -along, atol=0.1, rtol=0)  # mouthRollLower is a little one-sided itself
    sided = torch.tensor([name.endswith(("Left", "Right")) for name in ACTIONS])
    assert ((mirrored != torch.arange(52)) == sided).all() and where[sided].abs().min() > 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_posed_vertices_agree_with_smplx(body, seed):
    torch.manual_seed(seed)
    layer = create_smplx()
    betas, actions = torch.randn(2, 64), torch.rand(2, 52)
    pose, transl = 0.5 * torch.randn(2, 55, 3), torch.randn(2, 3)
    with torch.no_grad():
        theirs = layer(
            betas=betas, expression=actions, transl=transl, global_orient=pose[:, 0], body_pose=pose[:, 1:22].flatten(1),
            jaw_pose=pose[:, 22], leye_pose=pose[:, 23], reye_pose=pose[:, 24], left_hand_pose=pose[:, 25:40].flatten(1),
            right_hand_pose=pose[:, 40:].flatten(1),
        ).vertices  # fmt: skip
    assert (theirs - posed_vertices(body, betas, pose, transl, actions)).abs().max() < 1e-5


def test_skinned_anchors_agree_with_smplx_on_the_surface(body):
    """Gaussians that sit on anchors at vertices move as smplx moves those vertices."""
    torch.manual_seed(0)
    betas, pose = torch.randn(1, 64), 0.4 * torch.randn(1, 55, 3)
    ids = torch.arange(0, 13718, 37)
    transforms = bone_transforms(pose, rest_joints(body, betas), body.parents)
    gaussians = some_gaussians(len(ids))
    gaussians = Gaussians(rest_vertices(body, betas)[:, ids], *(t[None] for t in list(vars(gaussians).values())[1:]))
    moved = skin_gaussians(gaussians, body.skin_weights[ids], transforms, torch.zeros(1, 3))
    assert (moved.means - posed_vertices(body, betas, pose, torch.zeros(1, 3))[:, ids]).abs().max() < 1e-5


def test_identity_pose_is_the_identity(body):
    transforms = bone_transforms(torch.zeros(55, 3), body.joint_template, body.parents)
    assert (linear_blend_skinning(body.template, body.skin_weights, transforms) - body.template).abs().max() < 1e-6


def test_a_rigid_motion_moves_gaussians_rigidly(body):
    torch.manual_seed(1)
    pose = torch.zeros(55, 3)
    pose[0] = torch.tensor([0.3, -1.1, 0.4])
    gaussians, weights = some_gaussians(20), body.skin_weights[::1300][:10]
    moved = skin_gaussians(gaussians, weights, bone_transforms(pose, body.joint_template, body.parents), torch.tensor([1.0, 2, 3]))
    turn, root = rotation_matrices(pose[0]), body.joint_template[0]
    expected = (gaussians.means - root) @ turn.T + root + torch.tensor([1.0, 2, 3])
    assert torch.allclose(moved.means, expected, atol=1e-5)
    quats = quaternion_product(matrix_to_quaternion(turn), gaussians.quats)
    assert ((moved.quats * quats).sum(-1).abs() > 1 - 1e-5).all()


def test_quaternions_of_rotations_turn_as_their_matrices():
    torch.manual_seed(2)
    axis = torch.nn.functional.normalize(torch.randn(64, 3), dim=1) * torch.linspace(0, 3.14, 64)[:, None]
    q = matrix_to_quaternion(rotation_matrices(axis))
    v = torch.cat([torch.zeros(64, 1), torch.randn(64, 3)], 1)
    turned = quaternion_product(quaternion_product(q, v), q * torch.tensor([1.0, -1, -1, -1]))
    assert torch.allclose(turned[:, 1:], (rotation_matrices(axis) @ v[:, 1:, None])[..., 0], atol=1e-5)


def test_rotations_have_gradients_at_zero():
    x = (1e-3 * torch.randn(5, 3, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(rotation_matrices, (x,))
    zero = torch.zeros(1, 3, requires_grad=True)
    rotation_matrices(zero).sum().backward()
    assert torch.isfinite(zero.grad).all()


def test_gaze_turns_the_eyes_where_it_says():
    forward = rotation_matrices(gaze_pose(torch.tensor([0.4, 0.3, -0.2, -0.1]))) @ torch.tensor([0.0, 0, 1])
    assert torch.allclose(torch.atan2(forward[:, 0], forward[:, 2]), torch.tensor([0.4, -0.2]), atol=1e-5)
    assert torch.allclose(torch.asin(forward[:, 1]), torch.tensor([0.3, -0.1]), atol=1e-5)


def test_shapes_and_actions_do_what_they_say(body):
    closed = rest_vertices(body, torch.zeros(64), torch.eye(52)[ACTIONS.index("jawOpen")])
    assert 0.01 < (closed - body.template).norm(dim=1).max() < 0.1
    heights = torch.tensor([np.ptp(rest_vertices(body, b * torch.eye(64)[0])[:, 1].numpy()) for b in (-1.0, 1.0)])
    assert 0.05 < (heights[1] - heights[0]).abs() < 0.4


def test_anchors_lie_on_the_body_and_are_repeatable(body):
    a, b = sample_anchors(body, 512), sample_anchors(body, 512)
    assert torch.equal(a.points, b.points) and a.shapedirs.shape == (512, 3, 64)
    assert torch.allclose(a.skin_weights.sum(1), torch.ones(512), atol=1e-5)
    assert torch.cdist(a.points, body.template).amin(1).max() < 0.03
    assert torch.cdist(body.template, a.points).amin(1).max() < 0.15
    head = a.skin_weights[:, [15, 22, 23, 24]].sum(1) > 0.5
    assert 0.15 < head.float().mean() < 0.5


def test_a_folder_without_smplx_is_one_sentence(tmp_path):
    with pytest.raises(ValueError, match="no SMPLX_NEUTRAL.npz"):
        load_body(tmp_path)
    np.savez(tmp_path / "SMPLX_NEUTRAL.npz", v_template=np.zeros((3, 3)))
    with pytest.raises(ValueError, match="is not a SMPL-X model"):
        load_body(tmp_path)


def test_a_users_smplx_file_is_never_unpickled(tmp_path):
    with np.load(PACKAGED) as file:
        arrays = {k: file[k] for k in file.files}
    np.savez(tmp_path / "SMPLX_NEUTRAL.npz", **arrays, part2num=np.array({"a": 1}, dtype=object))
    assert load_body(tmp_path).name.startswith("smplx-")
    arrays["v_template"] = np.array([{}], dtype=object)
    np.savez(tmp_path / "SMPLX_NEUTRAL.npz", **arrays)
    with pytest.raises(ValueError, match="is not a SMPL-X model"):
        create_smplx(tmp_path)
