"""Evaluation: baselines by hand, and the same numbers every time."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from model_tiny import tiny_body, tiny_model
from training_fakes import fake_cast, fake_film

from lca_mini.training import baseline
from lca_mini.training.evaluate import evaluate, reenact


def measure(model, **changes):
    asked = {"split": "test-wild", "people": 3, "views": 2, "images": 4, "batch": 2, "lpips": "lpips-random-alex",
             "progress": False, "film": fake_film, "cast": fake_cast, **changes}
    return evaluate(model, **asked)


def test_reports_are_complete_and_the_same_every_time():
    model = tiny_model().train()
    result, sheet = measure(model)
    again, other = measure(model, batch=3)
    assert result.keys() == again.keys() and model.training
    for name, value in result.items():
        assert again[name] == (pytest.approx(value, abs=1e-3) if isinstance(value, float) else value), name
    assert {"psnr", "ssim", "l1", "lpips", "lpips_kind", "baseline_psnr", "baseline_parts_psnr", "people", "views",
            "seeds", "backend", "device"} <= result.keys()
    assert result["seeds"] == [1000, 1002] and result["lpips_kind"] == "lpips-random-alex"
    assert sheet.dtype == torch.uint8 and sheet.shape[1] == other.shape[1] > 6 * 32


def test_no_pixel_of_a_target_enters_an_avatar_that_actions_drive():
    model, sample = tiny_model().eval(), fake_film(torch.tensor([5, 6]), "wild")
    blank = replace(sample, **{
        name: torch.zeros_like(getattr(sample, name)) for name in ("target_faces", "targets", "target_masks")
    })
    by_actions = [reenact(model, s, "actions", False, "cpu") for s in (sample, blank)]
    by_faces = [reenact(model, s, "faces", False, "cpu") for s in (sample, blank)]
    assert torch.equal(*by_actions) and not torch.equal(*by_faces)


def test_references_are_painted_in_the_colour_of_what_is_not_white():
    sample = fake_film(torch.tensor([5, 6]), "wild")
    images = torch.ones_like(sample.images)
    images[..., 4:8, 4:8] = torch.tensor([0.1, 0.5, 0.9])[:, None, None]
    padded = torch.ones_like(sample.image_mask)
    padded[:, 1] = False
    images[:, 1] = 0.3
    colours = baseline.reference_colour(replace(sample, images=images, image_mask=padded))
    assert torch.allclose(colours, torch.tensor([0.1, 0.5, 0.9]).expand(2, 3), atol=1e-6)


def test_each_part_is_painted_in_the_colour_that_its_targets_show():
    sample = fake_film(torch.tensor([5]), "wild")
    parts = torch.full((1, 2, 32, 32), -1)
    parts[:, :, 6:16, 8:24], parts[:, :, 16:26, 8:24] = 0, 3
    targets = torch.ones_like(sample.targets)
    targets[..., 6:16, 8:24], targets[..., 16:26, 8:24] = 0.2, 0.7
    painted = baseline.painted(parts, baseline.part_colours(parts, replace(sample, targets=targets)))
    assert torch.allclose(painted, targets)


def test_the_template_is_seen_where_it_stands():
    body = tiny_body()
    sample = fake_film(torch.tensor([5]), "wild")
    still = replace(sample, pose=torch.zeros_like(sample.pose), betas=torch.zeros_like(sample.betas),
                    actions=torch.zeros_like(sample.actions), transl=torch.zeros_like(sample.transl),
                    gaze=torch.zeros_like(sample.gaze))
    parts = baseline.part_map(body, still)
    assert parts.shape == (1, 2, 32, 32) and parts.min() == -1 and parts.max() < len(baseline.PARTS)
    away = replace(still, transl=still.transl + torch.tensor([9.0, 0.0, 0.0]))
    assert (parts >= 0).any() and (baseline.part_map(body, away) == -1).all()


@pytest.mark.parametrize("wrong", [{"split": "train"}, {"driven_by": "magic"}, {"people": 0}, {"images": 17}])
def test_impossible_requests_are_refused(wrong):
    with pytest.raises(ValueError):
        measure(tiny_model(), **wrong)
