"""Noise: periodic, smooth, and really random."""

from __future__ import annotations

import torch

from lca_mini.people.noise import noise, smoothstep


def test_period_and_spread():
    points = torch.rand(4000, 3, generator=torch.Generator().manual_seed(1))
    values = noise(points)
    torch.testing.assert_close(values, noise(points + torch.tensor([1.0, -2.0, 3.0])), atol=2e-4, rtol=0)
    assert bool(((values.std(0) > 0.15) & (values.std(0) < 0.7)).all())
    assert float((torch.corrcoef(values.T) - torch.eye(4)).abs().max()) < 0.1


def test_it_is_continuous_across_the_seam():
    edge = torch.tensor([[0.99999, 0.3, 0.7], [0.00001, 0.3, 0.7]])
    a, b = noise(edge)
    torch.testing.assert_close(a, b, atol=5e-3, rtol=0)


def test_smoothstep_rises_or_falls():
    x = torch.tensor([0.0, 0.5, 1.0])
    assert smoothstep(0.0, 1.0, x).tolist() == [0.0, 0.5, 1.0]
    assert smoothstep(1.0, 0.0, x).tolist() == [1.0, 0.5, 0.0]
