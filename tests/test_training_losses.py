"""Losses and metrics: values by hand, and gradients that point the right way."""

from __future__ import annotations

import math

import pytest
import torch

from lca_mini.body import load_body
from lca_mini.capture import project
from lca_mini.capture.film import sample_people
from lca_mini.training import losses, metrics
from lca_mini.training.losses import LossWeights
from lca_mini.training.perceptual import backbone_file, perceptual, ssim_map
from lca_mini.training.step import face_spots


def pictures(count=2, side=32, seed=0):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def test_recolouring_shows_the_new_background_only_where_nobody_stands():
    masks = torch.tensor([0.0, 0.5, 1.0]).view(1, 1, 1, 3)
    person = torch.tensor([0.2, 0.4, 0.6]).view(1, 3, 1, 1)
    over_white = masks * person + (1 - masks)
    blue = torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1)
    assert torch.allclose(losses.recolour(over_white, masks, blue), masks * person + (1 - masks) * blue)


@pytest.mark.parametrize("name", ["none", "lpips-random-alex"])
def test_image_losses_are_zero_for_equals_and_fall_along_their_gradient(name):
    net = None if name == "none" else perceptual(name)
    targets, images = pictures(side=64), pictures(side=64, seed=1).requires_grad_()
    weights = LossWeights()
    targets, images = targets[None], images[None]
    same = losses.image_loss(targets, targets, net, weights)
    assert all(abs(float(term)) < 1e-5 for term in same.values())
    terms = losses.image_loss(images, targets, net, weights)
    assert ("perceptual" in terms) == (net is not None)
    for term in terms.values():
        (gradient,) = torch.autograd.grad(term, images, retain_graph=True)
        assert torch.isfinite(gradient).all() and gradient.abs().sum() > 0
        index = list(terms.values()).index(term)
        step = 1e-2 * float(term.detach()) / gradient.square().sum()
        lower = list(losses.image_loss(images.detach() - step * gradient, targets, net, weights).values())[index]
        assert lower < term


def test_costly_terms_can_be_taken_on_some_targets():
    targets, images = pictures(side=64)[None], pictures(side=64, seed=1)[None]
    some = losses.image_loss(images, targets, None, LossWeights(), slice(0, None, 2))
    first = losses.image_loss(images[:, :1], targets[:, :1], None, LossWeights())
    everything = losses.image_loss(images, targets, None, LossWeights())
    assert some["l1"] == everything["l1"] and some["ssim"] == first["ssim"] != everything["ssim"]
    assert losses.image_loss(images[:, :1], targets[:, :1], None, LossWeights(), slice(1, None, 2)) == first


def test_regularisers_are_hinges():
    offsets = torch.tensor([[0.0, 0.05, 0.0], [0.0, 0.0, 0.16]], requires_grad=True)
    loss = losses.acap_loss(offsets, reach=0.06)
    assert loss.item() == pytest.approx(0.1**2 / 2 / 0.06)
    (gradient,) = torch.autograd.grad(loss, offsets)
    assert torch.all(gradient[0] == 0) and gradient[1, 2] > 0
    scales = torch.tensor([[0.01, 0.01, 0.02], [0.001, 0.01, 0.024]], requires_grad=True)
    loss = losses.asap_loss(scales, ratio=6.0)
    assert loss.item() == pytest.approx(math.log(4) / 2, rel=1e-5)
    (gradient,) = torch.autograd.grad(loss, scales)
    assert torch.all(gradient[0] == 0) and gradient[1, 0] < 0 < gradient[1, 2]


def test_reading_weighs_small_and_large_actions_alike_and_leaves_out_who_has_none():
    true = torch.rand(64, 4, 2) * torch.tensor([3.0, 1.0])
    everybody = torch.ones(64, 1, 1)
    mean = true.mean((0, 1)).expand_as(true)
    assert losses.reading_loss(mean, true, everybody).item() == pytest.approx(0.97, abs=0.02)
    assert losses.reading_loss(true, true, everybody) == 0 == losses.reading_loss(mean, true, 0 * everybody)
    large, small = (losses.reading_loss(true + step, true, everybody) for step in torch.eye(2) * true.std((0, 1)))
    assert large.item() == pytest.approx(small.item(), rel=0.1)


def test_motion_is_the_share_that_corrections_leave_unexplained():
    true = torch.tensor([0.01, 0.0, 0.0]).expand(2, 3, 4, 3)
    counts = torch.ones(2, 1, 4, 1)
    assert losses.motion_loss(0 * true, true, counts).item() == pytest.approx(1.0, rel=0.05)
    assert losses.motion_loss(true, true, counts) == 0
    wrong = true.clone()
    wrong[:, :, 1] += 1.0
    counts[:, :, 1] = 0
    assert losses.motion_loss(wrong, true, counts) == 0


def test_the_total_weighs_every_term_once():
    terms = {"l1": torch.tensor(2.0), "cano_l1": torch.tensor(3.0), "betas": torch.tensor(5.0)}
    weights = LossWeights(l1=0.5, canonical=0.1, betas=2.0)
    assert losses.total(terms, weights).item() == pytest.approx(0.5 * 2 + 0.5 * 0.1 * 3 + 2 * 5)
    with pytest.raises(ValueError, match="betas"):
        LossWeights(betas=-1.0)


def test_random_perceptual_is_the_same_every_time_and_says_that_it_is_random(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    images, targets = pictures(side=64), pictures(side=64, seed=1)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first, second = perceptual("lpips-random-alex"), perceptual("auto")
    assert torch.equal(torch.get_rng_state(), before)
    assert second.name == "lpips-random-alex" and "lpips-random-alex" in capsys.readouterr().out
    assert torch.equal(first(images, targets), second(images, targets))
    assert not any(p.requires_grad for p in first.parameters())
    small, large = (images + s * (targets - images) for s in (0.1, 0.5))
    assert torch.all(first(small, images) < first(large, images))


def test_a_published_backbone_that_cannot_be_had_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def offline(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(ValueError, match="lpips-random-alex") as error:
        perceptual("lpips-alex")
    assert backbone_file("alex").name in str(error.value)
    with pytest.raises(ValueError, match="choose"):
        perceptual("vgg")


def test_ssim_by_hand():
    flat = torch.full((1, 1, 20, 20), 0.5)
    c1 = 0.01**2
    assert torch.allclose(ssim_map(flat, flat + 0.2), torch.tensor((2 * 0.35 + c1) / (0.25 + 0.49 + c1)), atol=1e-4)
    images = pictures()
    assert torch.allclose(ssim_map(images, images), torch.ones(()), atol=1e-4)
    assert ssim_map(images, 1 - images).mean() < 0
    with pytest.raises(ValueError):
        ssim_map(images[..., :4], images[..., :4])


def test_metrics_look_at_the_foreground_alone():
    targets, masks = torch.full((2, 3, 32, 32), 0.5), torch.zeros(2, 1, 32, 32)
    masks[..., 8:16, 8:16] = 1
    renders = targets + 0.1 * masks + 0.5 * (1 - masks)
    renders[1] = targets[1] + 0.3 * (1 - masks[1])
    assert metrics.psnr(renders, targets, masks).tolist() == pytest.approx([20.0, 100.0], abs=1e-3)
    assert metrics.l1(renders, targets, masks).tolist() == pytest.approx([0.1, 0.0], abs=1e-6)
    assert metrics.ssim(renders, renders, masks).tolist() == pytest.approx([1.0, 1.0], abs=1e-4)
    assert metrics.psnr(renders[:, None], targets[:, None], masks[:, None]).shape == (2, 1)


def test_lpips_looks_at_the_square_round_the_person():
    net = perceptual("lpips-random-alex")
    targets, masks = pictures(2, 128), torch.zeros(2, 1, 128, 128)
    masks[..., 10:80, 40:60] = 1
    rows, columns = metrics.square_round(masks[0])
    assert (rows, columns) == (slice(10, 80), slice(15, 85))
    outside, inside = targets.clone(), targets.clone()
    outside[..., 90:] = 0
    inside[..., 40:60] = 0
    assert torch.all(metrics.lpips(net, outside, targets, masks) == 0)
    assert torch.all(metrics.lpips(net, inside, targets, masks) > 0)
    corner = torch.zeros(1, 128, 128)
    corner[:, :5, 120:] = 1
    assert metrics.square_round(corner) == (slice(0, 64), slice(64, 128))


def test_errors_are_psnr_over_minus_ten():
    images, masks = pictures(), torch.zeros(2, 1, 32, 32)
    masks[..., 8:24, 8:24] = 1
    targets = images + 0.1
    assert float(losses.error_loss(images, targets, masks)) == pytest.approx(-2, abs=0.01)
    changed = torch.where(masks > 0, images, images + 0.5)  # what lies outside does not count
    assert torch.equal(losses.error_loss(changed, targets, masks), losses.error_loss(images, targets, masks))


def test_intervals_hold_the_mean_and_narrow_with_people():
    few, many = (torch.randn(count, generator=torch.Generator().manual_seed(1)) for count in (10, 1000))
    (low, high), (lower, higher) = metrics.interval(few), metrics.interval(many)
    assert low < float(few.mean()) < high and higher - lower < 0.2 * (high - low)
    assert metrics.interval(torch.full((5,), 3.0)) == (3.0, 3.0)


def test_spots_are_looked_at_where_they_are() -> None:
    Ks = torch.tensor([[200.0, 0, 32], [0, 200, 32], [0, 0, 1]])[None, None, None]
    eyes, viewmats = torch.tensor([[[[-0.03, 0.0, 1.0], [0.03, 0.0, 1.0]]]]), torch.eye(4)[None, None, None]
    images = torch.zeros(1, 1, 3, 64, 64)
    there, elsewhere = images.clone(), images.clone()
    there[..., 29:35, 23:29] = 1.0
    elsewhere[..., 55:61, 23:29] = 1.0
    assert losses.spots_loss(images, images, eyes, viewmats, Ks, 0.015) == 0
    at_eye, below = (losses.spots_loss(images, wrong, eyes, viewmats, Ks, 0.015) for wrong in (there, elsewhere))
    assert at_eye > 0.2 > 0.001 > below


def test_eyes_and_mouths_of_a_film_lie_within_its_close_ups() -> None:
    sample = sample_people(torch.tensor([5]), "studio", 1, 4, 32, 32)
    places = face_spots(load_body(), sample)
    at = project(places, sample.face_viewmats[:, :, 0], sample.face_Ks[:, :, 0])
    assert ((at > 4) & (at < 28)).all() and (at[..., 0, :] - at[..., 1, :]).norm(dim=-1).max() < 16
