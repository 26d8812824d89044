"""The checks of notebook 11 let right answers pass, and name the mistakes of wrong ones."""

from __future__ import annotations

import json
import math

import pytest
import torch

from lca_mini.exercises import EXERCISES, check
from lca_mini.render.reference import rotation_matrices


def worst_person(file):
    result = json.loads(file.read_text())
    return result["seeds"][0] + min(range(9), key=lambda i: result["people_psnr"][i])


def masked_psnr(render, target, mask):
    return -10 * (render - target)[:, mask[0] > 0.5].square().mean().log10()


def recolour(image, coverage, colour):
    return image - (1 - coverage) + (1 - coverage) * colour[:, None, None]


def layer_rates(last, lr, gamma):
    return [lr * gamma ** (last - depth) for depth in range(last + 1)]


def round_gaussians(scales):
    return (scales.amax(-1) / scales.amin(-1) / 6).log().clamp(min=0).mean()


def skin_point(point, weights, transforms):
    return (torch.einsum("j,jab->ab", weights, transforms) @ torch.cat([point, torch.ones(1)]))[:3]


def project_gaussian(mean, quat, scales, focal, centre):
    x, y, z = mean.tolist()
    half = torch.tensor([[focal / z, 0, -focal * x / z**2], [0, focal / z, -focal * y / z**2]]) @ rotation_matrices(quat)
    return focal * mean[:2] / z + centre, (half * scales**2) @ half.T + 0.1 * torch.eye(2)


RIGHT = (worst_person, masked_psnr, recolour, layer_rates, round_gaussians, skin_point, project_gaussian)


def named(function, name):
    def answer(*arguments):
        return function(*arguments)

    answer.__name__ = name
    return answer


@pytest.mark.parametrize("answer", RIGHT, ids=lambda answer: answer.__name__)
def test_right_answers_pass(answer):
    assert check(answer) == "right, 3 times out of 3"


def test_every_exercise_has_a_right_answer_here():
    assert [answer.__name__ for answer in RIGHT] == list(EXERCISES)


@pytest.mark.parametrize("name", EXERCISES)
def test_each_mistake_is_told_by_its_own_sentence(name):
    for mistake, words in EXERCISES[name].mistakes:
        assert check(named(mistake, name)) == f"no: {words}"


@pytest.mark.parametrize("name", EXERCISES)
def test_what_is_no_answer_is_refused(name):
    assert check(named(lambda *_: None, name)).startswith("not tried yet")
    assert check(named(lambda *_: 1 / 0, name)) == "no: it stopped with ZeroDivisionError: division by zero"
    for nonsense in ("words", math.nan, torch.zeros(2, 9), [1, 2, 3]):
        assert check(named(lambda *_, value=nonsense: value, name)).startswith("no: it gives ")


def test_answers_cannot_be_learned_by_heart():
    first, second = ([EXERCISES["skin_point"].inputs(g)[0] for g in [torch.Generator()] if g.seed()][0] for _ in range(2))
    assert not torch.equal(first, second)


def test_a_loss_must_have_a_gradient():
    assert "no gradient" in check(named(lambda scales: round_gaussians(scales.detach()), "round_gaussians"))


def test_inputs_belong_to_the_check():
    def spoils(point, weights, transforms):
        answer = skin_point(point, weights, transforms)
        transforms.zero_()
        return answer

    assert check(named(spoils, "skin_point")).startswith("right")


def test_unknown_exercise():
    with pytest.raises(ValueError, match="no exercise 'RIGHT'; there are worst_person"):
        check(named(skin_point, "RIGHT"))
