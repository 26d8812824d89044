"""A person's light: none before training, fixed in the world, bounded, and learnt."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lca_mini.model.light import LightHead, light_basis, posed_normals, shade_factor
from lca_mini.types import Avatar
from model_tiny import tiny_images, tiny_model, tiny_signal


def directions(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.nn.functional.normalize(torch.randn(*shape, 3, generator=generator), dim=-1)


def lit_along_x(avatar: Avatar) -> Avatar:
    light = torch.zeros_like(avatar.light)
    light[:, 0] = 0.5
    return replace(avatar, light=light)


def test_no_light_changes_no_colour() -> None:
    head = LightHead(16)
    light = head(torch.randn(2, 16))
    assert light.shape == (2, 8, 3) and not light.any()
    assert torch.equal(shade_factor(light, directions(2, 5)), torch.ones(2, 5, 3))
    assert torch.equal(shade_factor(light[:, None], directions(2, 4, 5)), torch.ones(2, 4, 5, 3))


def test_the_basis_is_of_zero_mean_over_the_sphere_and_its_terms_are_independent() -> None:
    basis = light_basis(directions(100_000))
    assert basis.mean(0).abs().max() < 0.01  # the constant is left to the colours
    products = basis.T @ basis / len(basis)
    assert (products - products.diag().diag()).abs().max() < 0.01 and products.diag().min() > 0.05


def test_factors_are_bounded_however_strong_the_light() -> None:
    generator = torch.Generator().manual_seed(1)
    light = 2 * torch.randn(50, 8, 3, generator=generator)
    factors = shade_factor(light, directions(50, 200))
    assert 0.2 - 1e-6 < factors.min() < 0.21 and 1.79 < factors.max() < 1.8 + 1e-6
    gentle = shade_factor(1e-3 * light, directions(50, 200))  # a weak light counts as it is
    torch.testing.assert_close(gentle - 1, 1e-3 * light_basis(directions(50, 200)) @ light, atol=1e-5, rtol=0)


def test_normals_turn_with_their_anchors() -> None:
    quarter = torch.tensor([[0.0, 0.0, 1.0, 7.0], [0.0, 1.0, 0.0, 7.0], [-1.0, 0.0, 0.0, 7.0]])  # about y: z goes to x
    normals = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    turned = posed_normals(normals, 0.7 * quarter.expand(2, 3, 3, 4))  # blends of rotations shrink
    torch.testing.assert_close(turned, torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]).expand(2, 3, 3))


@pytest.mark.parametrize("frames", [(), (3,)])
@torch.no_grad()
def test_a_body_turns_under_a_light_that_stays(frames: tuple[int, ...]) -> None:
    """Light from +x: at rest the side facing +x is bright; after a quarter turn about y, which takes z to x, the front."""
    model = tiny_model(corrected=False).eval()
    avatar = lit_along_x(model.encode(*tiny_images()))
    still = tiny_signal(2, *frames, scale=0.0)
    pose = still.pose.clone()
    pose[..., 0, 1] = torch.pi / 2
    own = avatar.canonical.colors if not frames else avatar.canonical.colors[:, None]
    for signal, axis in ((still, 0), (replace(still, pose=pose), 2)):
        facing = model.anchors.normals[:, axis].repeat_interleave(model.config.gaussians_per_anchor)
        wanted = own * (1 + 0.8 * torch.tanh(0.5 * facing / 0.8))[:, None]
        assert (facing > 0.3).any() and (facing < -0.3).any() and wanted.max() > 0.5
        for posed in (model.drive(avatar, signal), model.canonical_posed(avatar, signal)):
            torch.testing.assert_close(posed.colors, wanted.clamp(max=1).expand_as(posed.colors), atol=1e-5, rtol=0)
            assert (posed.colors > own)[..., facing > 0.3, :].all()
            assert (posed.colors < own)[..., facing < -0.3, :].all()


@torch.no_grad()
def test_forward_shades_as_drive_does_and_colours_end_at_one() -> None:
    model = tiny_model().eval()
    model.light_head.head[-1].bias.add_(2.0)
    model.canonical_branch.head[-1].bias.view(-1, 14)[:, :3] = 1.0  # colours above 0.7, and factors up to 1.8
    signal = tiny_signal(2, 3)
    made = model(*tiny_images(), None, None, signal)
    assert made.avatar.light.abs().max() > 1
    for got, wanted in ((made.posed, model.drive(made.avatar, signal)),
                        (made.canonical_posed, model.canonical_posed(made.avatar, signal))):
        assert torch.equal(got.colors, wanted.colors)
        assert 0 <= got.colors.min() < 0.5 and got.colors.max() == 1
    unlit = replace(made.avatar, light=torch.zeros_like(made.avatar.light))
    plain = model.drive(unlit, signal)
    assert (plain.colors - made.posed.colors).abs().max() > 0.1
    assert torch.equal(plain.means, made.posed.means)


def test_gradients_flow_to_the_light_head() -> None:
    for corrected in (False, True):  # from the first step on, then all the way
        model = tiny_model(corrected=corrected)
        model(*tiny_images(), None, None, tiny_signal(2)).posed.colors.square().sum().backward()
        assert model.light_head.head[-1].weight.grad.abs().max() > 0
        assert bool(model.light_head.head[0].weight.grad.any()) == corrected
    assert {depth for name, depth in model.parameter_depths().items() if name.startswith("light_head.")} == {3}
