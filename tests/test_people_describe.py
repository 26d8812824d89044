"""What a person is like in numbers: named axes, plausible rates, and nobody twice."""

from __future__ import annotations

import pytest
import torch

from lca_mini.people.describe import NAMES, describe, nearest_twins, parameters
from lca_mini.people.looks import looks_of
from lca_mini.people.shape import traits_of

SKIN = [[0.51161, 0.28152, 0.17310], [0.62592, 0.36008, 0.22995], [0.72275, 0.45035, 0.30532],
        [0.53115, 0.26991, 0.16427]]  # fmt: skip


@pytest.fixture(scope="module")
def axes():
    return describe(torch.arange(4000))


def test_axes_stay_in_their_ranges(axes):
    for name, values in axes.items():
        assert values.shape == (4000,) and bool(values.isfinite().all()), name
        if name in NAMES:
            assert set(values.unique().tolist()) <= set(range(len(NAMES[name]))), name
    assert 21 < float(axes["age_years"].min()) and float(axes["age_years"].max()) < 100
    assert 1.40 < float(axes["height_m"].min()) and float(axes["height_m"].max()) < 2.05
    assert float(axes["skin_lightness"].max() - axes["skin_lightness"].min()) > 50


def test_every_category_is_met_and_rates_are_plausible(axes):
    never = {"pattern_bottom": {"letters", "emblem"}}
    for name, labels in NAMES.items():
        seen = {labels[i] for i in axes[name].unique().tolist()}
        assert seen | never.get(name, set()) == set(labels), name
    share = lambda mask: float(mask.float().mean())  # noqa: E731
    women = axes["gender"] == 1
    assert 0.16 < share(axes["glasses"] > 0) < 0.24
    assert 0.07 < share((axes["headwear"] > 0) & (axes["headwear"] < 4)) < 0.12
    assert 0.02 < share(axes["headwear"] == 4) < 0.05
    assert not bool(((axes["headwear"] == 4) & ~women).any())
    assert 0.12 < share(axes["lower"][women] == 2) < 0.21
    assert 0.12 < share((axes["layer"] > 0) & (axes["layer"] < 4)) < 0.22
    assert not bool(((axes["layer"] > 0) & (axes["lower"] == 2)).any())


def test_a_description_belongs_to_the_seed(axes):
    alone = describe(torch.tensor([1234]))
    for name, values in alone.items():
        torch.testing.assert_close(values[0], axes[name][1234], msg=name)


def test_bodies_and_colours_are_those_that_weights_were_trained_on():
    looks = looks_of(torch.arange(4), traits_of(torch.arange(4)))
    expected = torch.tensor(SKIN)
    torch.testing.assert_close(looks.skin, expected, atol=1e-4, rtol=0)


def test_nobody_comes_twice():
    found = nearest_twins(0, 3000, at_once=1024)
    assert found["people"] == 3000 and found["duplicates"] == 0 and found["nearest"] > 3
    rows = parameters(torch.tensor(found["closest_pair"])).double()
    assert abs(float((rows[0] - rows[1]).norm()) - found["nearest"]) < 1e-4
    everybody = torch.cdist(*[parameters(torch.arange(3000))] * 2).fill_diagonal_(torch.inf)
    assert abs(float(everybody.min()) - found["nearest"]) < 0.02


def test_a_duplicate_would_be_found(monkeypatch):
    import lca_mini.people.describe as module

    real = module.parameters
    monkeypatch.setattr(module, "parameters", lambda seeds: real(torch.where(seeds == 77, 5, seeds)))
    found = module.nearest_twins(0, 100, at_once=32)
    assert found["duplicates"] == 2 and found["closest_pair"] == [5, 77] and found["nearest"] == 0


def test_too_few_people_are_refused():
    with pytest.raises(ValueError, match="at least 2"):
        nearest_twins(0, 1)
