"""Evaluation: baselines by hand, and the same numbers every time."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from model_tiny import tiny_body, tiny_model
from training_fakes import fake_cast, fake_film

from lca_mini import load_body
from lca_mini.training import baseline, metrics, regions
from lca_mini.training.evaluate import evaluate, reenact, summary
from lca_mini.training.shown import chosen_images, fewer_images


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
        assert again[name] == (pytest.approx(value, abs=1e-3) if isinstance(value, (float, list)) else value), name
    for name in ("psnr", "ssim", "l1", "lpips"):
        assert result[f"{name}_95"][0] <= result[name] <= result[f"{name}_95"][1]
    assert len(result["people_psnr"]) == 3
    assert sum(result["people_psnr"]) / 3 == pytest.approx(result["psnr"], abs=1e-3)
    assert {"face_psnr", "hands_psnr_95", "people_with_face", "psnr", "ssim", "l1", "lpips", "lpips_kind", "baseline_psnr", "baseline_parts_psnr", "people", "views",
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
    seen_by = lambda who: regions.template_seen(body, who.betas, who, who.cameras)  # noqa: E731
    parts = baseline.part_map(body, seen_by(still))
    assert parts.shape == (1, 2, 32, 32) and parts.min() == -1 and parts.max() < len(baseline.PARTS)
    away = replace(still, transl=still.transl + torch.tensor([9.0, 0.0, 0.0]))
    assert (parts >= 0).any() and (seen_by(away) == -1).all()


def test_face_and_hands_are_where_the_template_has_them():
    body = load_body()
    triangles, centres = regions.region_triangles(body), body.template[body.faces].mean(1)
    face, hands = centres[triangles["face"]], centres[triangles["hands"]]
    assert len(face) > 500 and len(hands) > 500 and not (triangles["face"] & triangles["hands"]).any()
    assert face[:, 1].min() > 0.45 and face[:, 2].min() > 0.1 and face[:, 0].abs().max() < 0.1
    left = body.joint_template[20, 0]
    assert hands[:, 0].abs().min() > 0.8 * left and hands[:, 0].abs().max() > left
    back = int((~triangles["face"] & ~triangles["hands"]).nonzero()[0])
    seen = torch.tensor([[[[-1, back], [int(triangles["hands"].nonzero()[0]), int(triangles["face"].nonzero()[0])]]]])
    masks = regions.region_masks(body, seen)
    assert masks["hands"].flatten().tolist() == [False, False, True, False]
    assert masks["face"].flatten().tolist() == [False, False, False, True]


def test_who_shows_no_hand_is_left_out_and_nobody_at_all_is_no_number():
    nan = float("nan")
    some = {name: torch.tensor([1.0, 3.0]).double() for name in ("psnr", "face_psnr")}
    made = summary(some | {"hands_psnr": torch.tensor([nan, 2.0]).double()})
    assert (made["hands_psnr"], made["people_with_hands"], made["psnr"]) == (2.0, 1, 2.0)
    made = summary(some | {"hands_psnr": torch.tensor([nan, nan]).double()})
    assert (made["hands_psnr"], made["hands_psnr_95"], made["people_with_hands"]) == (None, None, 0)
    assert metrics.interval(torch.tensor([nan, 2.0])) == (2.0, 2.0)


def test_few_pictures_are_those_that_show_most_of_the_face():
    sample = fake_film(torch.tensor([5, 6]), "wild")
    surface = torch.zeros_like(sample.surface)
    surface[:, :, 1], surface[:, :, 2] = 0.7, 0.2
    for picture, cells in enumerate((1, 5, 0, 3)):
        surface[:, picture, 3].flatten(1)[:, :cells] = 1
    surface[1, 1, 2] = -0.2  # the back of a head
    sample = replace(sample, surface=surface)
    assert chosen_images(sample, 2).tolist() == [[1, 3], [0, 3]]
    fewer = fewer_images(sample, 1)
    assert torch.equal(fewer.images[:, 0], torch.stack([sample.images[0, 1], sample.images[1, 3]]))
    assert fewer.face_images.shape[1] == fewer.surface.shape[1] == 1 and torch.equal(fewer.targets, sample.targets)
    assert fewer_images(sample, 4) is sample
    assert chosen_images(replace(sample, surface=None), 2).tolist() == [[0, 1], [0, 1]]


@pytest.mark.parametrize("wrong", [{"split": "train"}, {"driven_by": "magic"}, {"people": 0}, {"images": 17}])
def test_impossible_requests_are_refused(wrong):
    with pytest.raises(ValueError):
        measure(tiny_model(), **wrong)
