"""The whole model: its invariants (DESIGN.md), its shapes, and what it refuses."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch

from lca_mini.body import bone_transforms, gaze_pose, load_body, rest_joints, skin_gaussians
from lca_mini.config import PRESETS, preset
from lca_mini.model.decoder import apply_offsets, frames_of_normals, rotate
from lca_mini.model.checks import check_signal
from lca_mini.model.lca import LCA, build
from lca_mini.types import Avatar, DrivingSignal, Gaussians
from model_tiny import tiny_anchors, tiny_body, tiny_config, tiny_images, tiny_model, tiny_signal

PARTS = ("means", "quats", "scales", "opacities", "colors")


def assert_same(a: Gaussians, b: Gaussians, atol: float = 1e-5) -> None:
    for part in PARTS:
        torch.testing.assert_close(getattr(a, part), getattr(b, part), atol=atol, rtol=0)


def unlit(avatar: Avatar) -> Avatar:
    return replace(avatar, light=torch.zeros_like(avatar.light))


@pytest.mark.parametrize("name", PRESETS)
def test_presets_encode_and_drive(name: str) -> None:
    config = replace(preset(name), num_betas=5)
    if name == "paper":  # its own depth and switches, at a size that a CPU can hold
        config = replace(config, width=64, heads=4, image_size=64, face_size=64, correction_hidden=32)
    config = replace(config, anchors=64)
    body = tiny_body()
    model = LCA(config, body, tiny_anchors(body, 64)).eval()
    images = torch.rand(1, 2, 3, config.image_size, config.image_size)
    signal = replace(tiny_signal(1, 2), expression=torch.zeros(1, 2, 128))
    with torch.no_grad():
        avatar = model.encode(images, torch.rand(1, 2, 3, config.face_size, config.face_size))
        posed = model.drive(avatar, signal)
    assert avatar.fused_tokens.shape == (1, 64, config.width)
    assert avatar.token_features.shape == (1, 64, config.correction_hidden)
    assert avatar.betas.shape == (1, 5)
    count = 64 * config.gaussians_per_anchor
    for part, last in zip(PARTS, ((3,), (4,), (3,), (), (3,))):
        assert getattr(avatar.canonical, part).shape == (1, count, *last)
        assert getattr(posed, part).shape == (1, 2, count, *last)
        assert getattr(posed, part).dtype == torch.float32
    assert (posed.scales > 0).all() and (posed.scales < 0.1 * 2.72).all()
    torch.testing.assert_close(posed.quats.norm(dim=-1), torch.ones(1, 2, count))


@pytest.mark.parametrize(
    ("name", "fewest", "most"), [("nano", 0.5e6, 1.2e6), ("mini", 15e6, 20e6), ("paper", 280e6, 340e6)]
)
def test_sizes_of_the_presets(name: str, fewest: float, most: float) -> None:
    config, body = replace(preset(name), num_betas=5, anchors=24), tiny_body()
    anchors = tiny_anchors(body, 24)
    with torch.device("meta"):
        model = LCA(config, body, anchors)
    assert fewest < sum(p.numel() for p in model.parameters()) < most


@pytest.mark.parametrize("fusion", ["joint", "cross"])
def test_order_and_padding_of_references_do_not_matter(fusion: str) -> None:
    model = tiny_model(fusion=fusion).eval()
    images, faces = tiny_images(pictures=3)
    with torch.no_grad():
        avatar = model.encode(images, faces)
        permuted = model.encode(images[:, [2, 0, 1]], faces[:, [2, 0, 1]])
        more_images, more_faces = torch.cat([images, images[:, :1]], 1), torch.cat([faces, faces[:, :1]], 1)
        mask = torch.tensor([[True, True, True, False]] * 2)
        padded = model.encode(more_images, more_faces, mask)
        unmasked = model.encode(more_images, more_faces)
        other = model.encode(images.flip(0), faces.flip(0))
    for same in (permuted, padded):
        torch.testing.assert_close(same.fused_tokens, avatar.fused_tokens, atol=2e-5, rtol=0)
        assert_same(same.canonical, avatar.canonical)
    for different in (unmasked, other):
        assert (different.fused_tokens - avatar.fused_tokens).abs().max() > 1e-3


@pytest.mark.parametrize("frames", [(), (4,)])
def test_without_correction_drive_is_skinning_of_the_canonical(frames: tuple[int, ...]) -> None:
    model = tiny_model(corrected=False).eval()
    signal = tiny_signal(2, *frames)
    with torch.no_grad():
        avatar = model.encode(*tiny_images(), betas=0.5 * torch.randn(2, 5))
        posed = model.drive(avatar, signal)
        pose = signal.pose.clone()
        pose[..., 23:25, :] = gaze_pose(signal.gaze)
        joints = rest_joints(model.body, avatar.betas)
        joints = joints[:, None].expand(2, 4, 55, 3) if frames else joints
        canonical = avatar.canonical.map(lambda t: t[:, None]) if frames else avatar.canonical
        by_hand = skin_gaussians(canonical, model.anchors.skin_weights,
                                 bone_transforms(pose, joints, model.body.parents), signal.transl)
    assert_same(posed, by_hand, 1e-6)
    assert_same(posed, model.canonical_posed(avatar, signal), 1e-6)


def test_identity_pose_is_identity_and_frames_are_independent() -> None:
    model = tiny_model().eval()
    with torch.no_grad():
        avatar = model.encode(*tiny_images())
        at_rest = model.canonical_posed(unlit(avatar), tiny_signal(2, scale=0.0))
        assert_same(at_rest, avatar.canonical)
        signal = tiny_signal(2, 3)
        assert_same(model.drive(avatar, signal)[:, 1], model.drive(avatar, signal[:, 1]), 1e-6)


def test_the_root_moves_everything_rigidly() -> None:
    model = tiny_model().eval()
    signal = tiny_signal(2, scale=0.0)
    half_turn = signal.pose.clone()
    half_turn[:, 0, 1] = torch.pi
    with torch.no_grad():
        avatar = unlit(model.encode(*tiny_images()))  # a light stays where it is
        turned = model.drive(avatar, replace(signal, pose=half_turn, transl=torch.ones(2, 3)))
        still = model.drive(avatar, signal)
    pelvis = rest_joints(model.body, avatar.betas)[:, :1]
    mirror = torch.tensor([-1.0, 1.0, -1.0])
    torch.testing.assert_close(turned.means, (still.means - pelvis) * mirror + pelvis + 1, atol=1e-5, rtol=0)
    torch.testing.assert_close(turned.colors, still.colors)


def test_each_part_of_the_signal_drives_and_opacity_stays() -> None:
    model = tiny_model().eval()
    signal = tiny_signal(2)
    with torch.no_grad():
        avatar = model.encode(*tiny_images())
        base = model.correct(avatar, signal)
        for part in ("pose", "expression", "gaze"):
            changed = model.correct(avatar, replace(signal, **{part: getattr(signal, part) + 0.1}))
            assert (changed.means - base.means).abs().max() > 1e-6, part
        root = signal.pose.clone()
        root[:, 0] += 1.0
        assert torch.equal(model.correct(avatar, replace(signal, pose=root)).means, base.means)
        assert torch.equal(model.drive(avatar, signal).opacities, avatar.canonical.opacities)
        assert torch.equal(apply_offsets(avatar.canonical, base).opacities, avatar.canonical.opacities)


def test_betas_are_predicted_where_none_are_given() -> None:
    model = tiny_model().eval()
    given = torch.randn(2, 5)
    with torch.no_grad():
        predicted = model.encode(*tiny_images()).betas
        taken = model.encode(*tiny_images(), betas=given)
        out = model(*tiny_images(), None, given, tiny_signal(2))
    assert predicted.abs().max() > 0 and torch.equal(taken.betas, given)
    torch.testing.assert_close(out.betas, predicted)
    torch.testing.assert_close(out.avatar.canonical.means, taken.canonical.means)
    assert not tiny_model(corrected=False).encode(*tiny_images()).betas.any()


@pytest.mark.parametrize("fusion", ["joint", "cross"])
def test_gradients_reach_every_parameter(fusion: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lca_mini.model.detail.NEAR", 2.0)  # an untrained finder finds nothing near
    model = tiny_model(fusion=fusion)
    images, faces = tiny_images()
    codes = model.expression_from_actions(torch.rand(2, 3, 52))
    codes = codes + model.expression_from_faces(torch.rand(2, 3, 3, 16, 16))
    signal = replace(tiny_signal(2, 3), expression=codes)
    out = model(images, faces, None, None, signal)
    posed = out.posed
    loss = sum((getattr(posed, part) * torch.randn_like(getattr(posed, part))).sum() for part in PARTS)
    assert out.found is not None
    (loss + model.find_faces(images).square().sum() + sum(found.sum() for found in out.found)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_checkpointing_changes_nothing_but_memory() -> None:
    grads = []
    for checkpointing in (False, True):
        model = tiny_model()
        model.transformer.checkpointing = checkpointing
        model(*tiny_images(), None, None, tiny_signal(2)).posed.means.square().sum().backward()
        grads.append(model.image_encoder.project.weight.grad)
    torch.testing.assert_close(*grads)


def test_offsets_and_single_branch() -> None:
    model = tiny_model(dual_branch=False)
    signal = tiny_signal(2)
    out = model(*tiny_images(), None, None, signal)
    homes = model.anchors_of(out.avatar.betas).repeat_interleave(3, dim=1)
    torch.testing.assert_close(out.offsets + homes, out.avatar.canonical.means)
    assert out.corrections is None and out.avatar.token_features.shape == (2, 24, 0)
    assert_same(out.posed, out.canonical_posed, 0)
    assert_same(model.drive(out.avatar, signal), out.posed, 0)
    assert not any("correction" in name for name, _ in model.named_parameters())


def test_heads_stay_in_float32_under_autocast() -> None:
    model = tiny_model().eval()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        out = model(*tiny_images(), None, None, tiny_signal(2))
    plain = model(*tiny_images(), None, None, tiny_signal(2))
    for gaussians in (out.posed, out.avatar.canonical):
        assert all(getattr(gaussians, part).dtype == torch.float32 for part in PARTS)
    assert (out.posed.means - plain.posed.means).abs().max() < 5e-3


def test_depths_rise_from_tokens_to_heads() -> None:
    model = tiny_model()
    depths = model.parameter_depths()
    assert set(depths) == {name for name, _ in model.named_parameters()}
    assert depths["image_tokens.types"] == 0 and depths["transformer.layers.1.fuse.norm.weight"] == 2
    assert depths["correction_branch.out.bias"] == depths["transformer.norm.weight"] == 3


def test_moving_the_model_moves_body_and_anchors() -> None:
    model = tiny_model().to(torch.float64)
    assert model.body.joint_template.dtype == model.anchors.points.dtype == torch.float64
    assert model.body.faces.dtype == torch.int64


def test_frames_turn_up_to_the_normal() -> None:
    normals = torch.nn.functional.normalize(torch.randn(50, 3, generator=torch.Generator().manual_seed(3)), dim=-1)
    normals = torch.cat([normals, torch.tensor([[0.0, -1.0, 0.0], [0.0, 1.0, 0.0]])])
    up = torch.tensor([0.0, 1.0, 0.0]).expand(52, 3)
    torch.testing.assert_close(rotate(frames_of_normals(normals), up), normals, atol=1e-5, rtol=0)


def test_a_new_model_is_a_closed_opaque_body() -> None:
    """Before training, Gaussians hug the surface and neighbours overlap."""
    body = load_body(num_betas=64)
    model = build(preset("nano"), body).eval()
    config = model.config
    with torch.no_grad():
        canonical = model.encode(torch.ones(1, 1, 3, config.image_size, config.image_size),
                                 torch.ones(1, 1, 3, config.face_size, config.face_size)).canonical
    assert canonical.opacities.min() > 0.8
    gaps = torch.cdist(canonical.means[0], canonical.means[0]).topk(3, largest=False).values[:, -1]
    assert (gaps < 2.5 * canonical.scales[0].amax(-1)).float().mean() > 0.95
    home = torch.cdist(canonical.means[0], body.template).min(dim=1).values
    assert home.max() < 0.08 and home.median() < 0.03


@pytest.mark.parametrize(("pictures", "words"), [(17, "17 images"), (0, "0 images")])
def test_refuses_other_numbers_of_images(pictures: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        tiny_model().encode(*tiny_images(pictures=pictures))


def test_refuses_bad_input() -> None:
    model = tiny_model()
    images, faces = tiny_images()
    bad = images.clone()
    bad[0, 0, 0, 0, 0] = torch.nan
    nobody = torch.tensor([[True] * 3, [False] * 3])
    for arguments, words in (
        ((bad, faces), "not finite"), ((images[..., :24], faces), "shape"), ((images, faces[:, :2]), "face crop"),
        ((images, faces, nobody), "without any image"), ((images, faces, nobody[:, :2]), "boolean"),
    ):
        with pytest.raises(ValueError, match=words) as caught:
            model.encode(*arguments)
        assert "\n" not in str(caught.value)
    check_signal(tiny_signal(2))
    with pytest.raises(ValueError, match="gaze"):
        check_signal(replace(tiny_signal(2), gaze=torch.full((2, 4), torch.nan)))
    with pytest.raises(ValueError, match="anchors"):
        LCA(tiny_config(), tiny_body(), tiny_anchors(tiny_body(), 7))
    with pytest.raises(ValueError, match="fit"):
        model.drive(model.encode(images, faces), tiny_signal(3))


def test_an_avatar_is_made_of_the_fields_that_types_promise() -> None:
    avatar = tiny_model().encode(*tiny_images())
    assert isinstance(avatar, Avatar) and isinstance(avatar[:1].canonical, Gaussians)
    assert avatar[:1].canonical.means.shape[0] == 1
    assert {f.name for f in fields(DrivingSignal)} == {"pose", "transl", "expression", "gaze"}
