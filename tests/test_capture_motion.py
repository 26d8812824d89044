"""Movement: limits, sides, gaze, clips that close, and rotations that interpolate as rotations."""

from __future__ import annotations

import math

import pytest
import torch

from lca_mini.body import ACTIONS, JOINTS, bone_transforms, load_body, rotation_matrices
from lca_mini.capture import MOTION_KINDS, Motion, blend, performance, random_frames, turntable, walk
from lca_mini.capture.gestures import ARMS, FACES, HANDS, LEGS, actions_of, table
from lca_mini.capture.motion import Posture, assemble, axis_angle, euler_quaternions, quaternions, slerp


def joints_of(motion: Motion) -> torch.Tensor:
    body = load_body()
    transforms = bone_transforms(motion.pose, body.joint_template, body.parents)
    at = (transforms[..., :3, :3] @ body.joint_template[..., None])[..., 0] + transforms[..., :3, 3]
    return at + motion.transl[..., None, :]


def posture(arms: str = "hang", hands: str = "relaxed", legs: str = "straight") -> Posture:
    zero = torch.zeros
    return Posture(table(ARMS, (arms, arms)), table(HANDS, (hands, hands)), table(LEGS, (legs, legs)), zero(3), zero(3),
                   zero(()), zero(2), zero(()), zero(52))  # fmt: skip


def at(joints: torch.Tensor, name: str) -> torch.Tensor:
    return joints[..., JOINTS.index(name), :]


def test_limbs_bend_the_right_way():
    hang, offer, wave = (joints_of(assemble(posture(a))) for a in ("hang", "offer", "wave"))
    for side, sign in (("left", 1.0), ("right", -1.0)):
        assert at(hang, f"{side}_wrist")[1] < at(hang, f"{side}_shoulder")[1] - 0.35
        assert sign * at(hang, f"{side}_wrist")[0] > 0.2
        assert at(offer, f"{side}_wrist")[2] > at(offer, f"{side}_elbow")[2] + 0.12
        assert at(wave, f"{side}_wrist")[1] > at(wave, f"{side}_elbow")[1] + 0.15
        sit, lift = joints_of(assemble(posture(legs="sit"))), joints_of(assemble(posture(legs="raise")))
        assert at(sit, f"{side}_knee")[2] > at(sit, f"{side}_hip")[2] + 0.2
        assert at(lift, f"{side}_ankle")[2] < at(lift, f"{side}_knee")[2]
        fist, flat = joints_of(assemble(posture("wide", "fist"))), joints_of(assemble(posture("wide", "flat")))
        # into the palm, which looks down
        assert at(fist, f"{side}_middle2")[1] < at(flat, f"{side}_middle2")[1] - 0.015
    mirrored = hang[[JOINTS.index(n.replace("left", "right")) for n in JOINTS if n.startswith("left")]]
    left = hang[[i for i, n in enumerate(JOINTS) if n.startswith("left")]]
    torch.testing.assert_close(left * torch.tensor([-1.0, 1, 1]), mirrored, atol=4e-3, rtol=0)


@pytest.mark.parametrize("kind", MOTION_KINDS)
def test_random_frames(kind):
    motion = random_frames(torch.arange(30), 12, kind)
    assert motion.pose.shape == (30, 12, 55, 3) and motion.gaze.shape == (30, 12, 4)
    assert motion.actions.shape == (30, 12, 52)
    again = random_frames(torch.tensor([3, 17]), 12, kind)
    torch.testing.assert_close(again.pose, motion.pose[[3, 17]])
    for t in (motion.pose, motion.transl, motion.gaze, motion.actions):
        assert t.isfinite().all()
    assert motion.actions.min() >= 0 and motion.actions.max() <= 1
    yaw, pitch = motion.gaze[..., 0].abs().max(), motion.gaze[..., 1].abs().max()
    assert yaw <= math.radians(25.1) and pitch <= math.radians(18.1)
    assert (motion.pose[..., 23:25, :] == 0).all()
    assert motion.transl[..., 1].max() < 0.02 and motion.transl[..., 1].min() > -0.6
    heading = torch.atan2(*(rotation_matrices(motion.pose[..., 0, :])[..., [0, 2], 2]).unbind(-1))
    if kind == "wild":
        eight = heading[:, :8].sort(dim=1).values
        gaps = torch.cat([eight.diff(dim=1), eight[:, :1] + 2 * math.pi - eight[:, -1:]], 1)
        assert gaps.max() < math.radians(130)  # any eight frames show all sides
        assert motion.actions.amax(-1).mean() < 0.75
    else:
        assert heading.abs().max() < math.radians(30) and motion.actions.amax(-1).mean() > 0.6


def test_hands_stay_out_of_the_trunk():
    for kind in MOTION_KINDS:
        motion = random_frames(torch.arange(60), 6, kind)
        motion.pose[..., 0, :] = 0
        joints = joints_of(motion)
        hands = joints[..., [20, 21, *range(25, 55)], :]
        low, high = at(joints, "pelvis")[..., None, :], at(joints, "spine3")[..., None, :]
        axis = high - low
        along = ((hands - low) * axis).sum(-1, keepdim=True) / axis.square().sum(-1, keepdim=True)
        offset = hands - (low + along * axis) - torch.tensor([0.0, 0, 0.06])
        beside = (along > 0.1) & (along < 1)
        inside = beside[..., 0] & (offset * torch.tensor([1.0, 0, 1.3])).norm(dim=-1).lt(0.11)
        assert inside.any(-1).float().mean() < 0.01


def test_eye_actions_follow_the_gaze():
    motion = random_frames(torch.arange(20), 10, "studio")
    yaw, pitch = motion.gaze[..., 0], motion.gaze[..., 1]
    pick = lambda name: motion.actions[..., ACTIONS.index(name)]  # noqa: E731
    assert (pick("eyeLookOutLeft") > 0).eq(yaw > 0).all()
    assert torch.equal(pick("eyeLookOutLeft"), pick("eyeLookInRight"))
    assert (pick("eyeLookDownLeft") > 0).eq(pitch < 0).all() and (pick("eyeLookUpRight") > 0).eq(pitch > 0).all()


def test_faces_name_known_actions():
    for name, parts in FACES.items():
        assert (actions_of(name) > 0).sum() >= sum(v > 0 for v in parts.values()), name
    with pytest.raises(ValueError, match="choose one of wild, studio"):
        random_frames(torch.arange(1), 1, "dance")


@pytest.mark.parametrize("clip", [lambda n: walk(n, n / 4), lambda n: performance(n, n / 12), turntable])
def test_clips_are_smooth_and_close(clip):
    def steps(frames: int) -> tuple[torch.Tensor, torch.Tensor]:
        motion = clip(frames)
        assert motion.pose.shape == (frames, 55, 3)
        turns = torch.cat([rotation_matrices(motion.pose).flatten(1), motion.transl * 5], 1)
        velocity = turns.roll(-1, 0) - turns
        return velocity.abs().amax(), (velocity.roll(-1, 0) - velocity).abs().amax()

    (v1, a1), (v2, a2) = steps(1200), steps(2400)
    assert v2 < 0.6 * v1  # continuous, the seam of the loop included
    assert a2 < 0.35 * a1  # and so is its velocity: accelerations stay bounded
    motion = clip(240)
    assert motion.actions.min() >= 0 and motion.actions.max() <= 1


def test_performance_does_what_it_says():
    motion = performance(240, 20)
    joints = joints_of(motion)
    assert at(joints, "right_wrist")[:60, 1].max() > at(joints, "neck")[0, 1]  # a wave
    assert motion.actions[60:112, ACTIONS.index("jawOpen")].max() > 0.3  # talk
    assert motion.gaze[:, 0].max() > 0.3 and motion.gaze[:, 0].min() < -0.3  # a look to either side
    assert at(joints, "left_ankle")[192:, 1].max() > at(joints, "left_ankle")[0, 1] + 0.1  # a walk


def test_rotations_interpolate():
    g = torch.Generator().manual_seed(0)
    a, b = torch.rand(2, 50, 3, generator=g) * 3 - 1.5
    torch.testing.assert_close(axis_angle(quaternions(a)), a, atol=1e-5, rtol=1e-5)
    qa, qb = quaternions(a), quaternions(b)
    torch.testing.assert_close(slerp(qa, qb, torch.zeros(50)), qa, atol=1e-6, rtol=0)
    half = slerp(qa, qb, torch.full((50,), 0.5))
    ends = torch.stack([(half * qa).sum(1).abs(), (half * qb).sum(1).abs()])
    torch.testing.assert_close(ends[0], ends[1], atol=1e-5, rtol=0)
    angles = torch.tensor([0.3, -0.7, 1.1])
    x, y, z = (rotation_matrices(angles[i] * torch.eye(3)[i]) for i in range(3))
    torch.testing.assert_close(rotation_matrices(axis_angle(euler_quaternions(angles))), z @ y @ x, atol=1e-6, rtol=0)
    first, last = walk(10, 10), turntable(10)
    middle = blend(first, last, torch.linspace(0, 1, 10))
    torch.testing.assert_close(middle.pose[0], first.pose[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(rotation_matrices(middle.pose[9]), rotation_matrices(last.pose[9]), atol=1e-5, rtol=0)
