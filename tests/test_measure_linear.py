"""Probes find what is there, and nothing where nothing is."""

from __future__ import annotations

import pytest
import torch

from lca_mini.measure.linear import fit_ridge, fit_ridge_held_out, guess_who, r2


def test_ridge_finds_a_linear_map_and_strength_shrinks_it():
    torch.manual_seed(0)
    x, true = torch.randn(200, 6) * 2 + 1, torch.randn(6, 3)
    y = x @ true + torch.tensor([1.0, -2.0, 0.5])
    assert torch.allclose(fit_ridge(x, y, 1e-9)(x), y, atol=1e-3)
    assert fit_ridge(x, y, 10.0).weights.norm() < 0.3 * true.norm()


def test_r2_is_one_for_truth_zero_for_the_mean_and_flags_what_does_not_vary():
    true = torch.randn(50, 3)
    true[:, 2] = 0.3
    values, varies = r2(true, true)
    assert torch.allclose(values[:2], torch.ones(2)) and varies.tolist() == [True, True, False]
    assert torch.allclose(r2(true.mean(0).expand_as(true), true)[0][:2], torch.zeros(2), atol=1e-5)


def test_the_strength_is_chosen_on_people_who_were_held_out():
    torch.manual_seed(1)
    noise, signal = torch.randn(12, 4, 40), torch.randn(12, 4, 2)
    x = torch.cat([signal + 0.5 * torch.randn(12, 4, 2), noise], -1)
    ridge, strength = fit_ridge_held_out(x, signal)
    assert strength > 1e-3, "with 48 rows and 42 columns the weakest overfits"
    assert (ridge(x) - signal).square().mean() < signal.var()
    with pytest.raises(ValueError, match="too few"):
        fit_ridge_held_out(x[:1], signal[:1])


def test_who_is_guessed_from_codes_that_tell_and_not_from_others():
    torch.manual_seed(2)
    faces = torch.randn(10, 12, 16)
    assert guess_who(faces) < 0.35
    assert guess_who(faces + 4 * torch.randn(10, 1, 16)) > 0.95
    with pytest.raises(ValueError, match="cannot be told apart"):
        guess_who(faces[:, :2])
