"""A person's light: found in the pictures, fixed in the world, bounded, and learnt."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lca_mini.model.light import (
    LightHead, LightSeen, camera_normals, light_basis, light_seen, no_light, patches_of, posed_normals, shade_factor,
)
from lca_mini.render.reference import rotation_matrices
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
    for seen in (no_light(2, torch.device("cpu")), LightSeen(torch.randn(2, 8, 3), torch.zeros(2))):  # not seen; not believed
        for light in head(torch.randn(2, 16), seen):
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


def test_before_training_the_light_is_the_one_that_was_seen_as_far_as_it_is_believed() -> None:
    seen = LightSeen(torch.randn(2, 8, 3), torch.tensor([1.0, 0.25]))
    for light in LightHead(16)(torch.randn(2, 16), seen):
        torch.testing.assert_close(light, seen.belief[:, None, None] * seen.light)


def test_what_one_stage_teaches_the_other_does_not_unlearn() -> None:
    """The answer where a light is believed gets no gradient from people whose light is not, and the other way round."""
    head = LightHead(16)
    for belief, taught, spared in ((1.0, slice(48), slice(48, 96)), (0.0, slice(48, 96), slice(48))):
        head.zero_grad()
        sum(light.sum() for light in head(torch.randn(2, 16), LightSeen(torch.randn(2, 8, 3), torch.full((2,), belief)))).backward()
        assert head.head[-1].bias.grad[taught].all() and not head.head[-1].bias.grad[spared].any()
        assert bool(head.trust.bias.grad.all()) == (belief == 1)


def turning_people(lit: bool, stays: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Colours, camera normals, weights and the true light of a person in eight pictures. stays: the light stays before the
    camera, else before the person, round whom the camera goes."""
    generator = torch.Generator().manual_seed(2)
    points = directions(512)
    turns = rotation_matrices(torch.nn.functional.normalize(torch.randn(8, 4, generator=generator), dim=-1))
    normals = torch.einsum("rij,mj->rmi", turns, points)
    light = 0.15 * torch.randn(8, 3, generator=generator) * lit
    patch = patches_of(points).argmax(0)
    own = 0.2 + 0.3 * torch.rand(int(patch.max()) + 1, 3, generator=generator)[patch]
    colors = own * (light_basis(normals if stays else points[None]) @ light).exp() * (1 + 0.02 * torch.randn(8, 512, 3, generator=generator))
    weight = (normals[..., 2] > 0.1).float()  # as much as the camera sees
    odd = torch.rand(8, 512, generator=generator) < 0.1  # a pattern, or a wrong place
    colors = torch.where(odd[..., None], torch.rand(8, 512, 3, generator=generator), colors).clamp(0.01, 1)
    return colors[None], normals[None], weight[None], light


def test_the_light_that_stays_is_found_and_believed_and_another_is_not() -> None:
    patches = patches_of(directions(512))
    assert torch.equal(patches.sum(0), torch.ones(512)) and patches.sum(1).min() >= 1
    colors, normals, weight, true = turning_people(lit=True, stays=True)
    seen = light_seen(colors, normals, weight, patches)
    towards = directions(4000)
    basis = light_basis(towards[towards[:, 2] > 0.1])  # what faces the camera; of the rest pictures say nothing
    spread = lambda light: (basis @ light).std(0).norm()  # noqa: E731
    assert spread(seen.light[0] - true) < 0.25 * spread(true) and seen.belief > 0.99
    worse = light_seen(colors, normals.flip(1), weight, patches)  # normals of other pictures
    assert spread(worse.light[0] - true) > 0.5 * spread(true)
    for lit, stays in ((False, True), (True, False)):
        assert light_seen(*turning_people(lit, stays)[:3], patches).belief < 0.1
    nothing = light_seen(colors, normals, 0 * weight, patches)
    assert not nothing.light.any() and nothing.belief < 0.1


def test_an_affine_camera_tells_which_way_normals_point() -> None:
    """A camera that looks along -z of the canonical axes, then one from +x, then one that shears a little."""
    ahead = torch.tensor([[1.0, 0], [0, -1], [0, 0], [0.5, 0.5]])
    normals = directions(20)
    torch.testing.assert_close(camera_normals(0.4 * ahead, normals), normals)
    aside = torch.tensor([[0.0, 0], [0, -1], [-1, 0], [0.5, 0.5]])
    torch.testing.assert_close(camera_normals(aside, normals), torch.stack([-normals[:, 2], normals[:, 1], normals[:, 0]], -1))
    sheared = camera_normals(ahead + torch.tensor([[0.0, 0.05], [0.05, 0], [0, 0], [0, 0]]), normals)
    assert (sheared - normals).norm(dim=-1).max() < 0.1 and torch.allclose(sheared.norm(dim=-1), torch.ones(20))


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
        assert model.light_head.trust.bias.grad[0].abs() > 0
        assert bool(model.light_head.head[0].weight.grad.any()) == corrected
    assert {depth for name, depth in model.parameter_depths().items() if name.startswith("light_head.")} == {3}
