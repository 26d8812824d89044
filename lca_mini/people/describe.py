"""What a seed's person is like, as numbers with names; and the proof that no two people are the same.

Enters: seeds. Leaves: axes for histograms and tests, and the parameters that everything is made from. Not part of the
paper.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lca_mini.body import load_body
from lca_mini.people import cuts
from lca_mini.people.extras import EARRINGS, GLASSES, HEADWEAR, LAYERS, MORPHS
from lca_mini.people.looks import HAIRDOS, PATTERNS, Looks, looks_of
from lca_mini.people.shape import Traits, traits_of

NAMES: dict[str, tuple[str, ...]] = {
    "gender": ("man", "woman"), "hairdo": HAIRDOS, "neckline": cuts.NECKLINES, "layer": LAYERS,
    "lower": ("trousers", "skirt", "dress"), "pattern_top": PATTERNS, "pattern_bottom": PATTERNS,
    "glasses": GLASSES, "headwear": HEADWEAR, "earrings": EARRINGS, "sunglasses": ("no", "yes"), "watch": ("no", "yes"),
    "bag": ("no", "yes"), "belt": ("no", "yes"), "tucked": ("no", "yes"),
}  # fmt: skip
"""Axes that are categories, and what their values mean; all other axes are amounts."""


def describe(seeds: Int[Tensor, " B"]) -> dict[str, Float[Tensor, " B"] | Int[Tensor, " B"]]:
    """Axes of each person, on the CPU: categories (indices into `NAMES`), heights and lengths in metres, age in years,
    CIE lightness of colours (0 to 100), hues in degrees, everything else an amount in [0, 1]. Lengths of garments are
    0 where they are not worn."""
    traits = traits_of(seeds)
    looks = looks_of(seeds, traits)
    sleeve, hem, waist, leg, skirt, shoe = looks.cuts.unbind(1)
    out = {
        "gender": traits.female.long(), "age_years": traits.age, "height_m": heights(traits.betas),
        "african": traits.ancestry[:, 0], "asian": traits.ancestry[:, 1], "european": traits.ancestry[:, 2],
        "skin_lightness": lightness(looks.skin), "hair_lightness": lightness(looks.hair), "hair_hue": hue(looks.hair),
        "iris_lightness": lightness(looks.iris), "iris_hue": hue(looks.iris), "lips_lightness": lightness(looks.lips),
        "blush": looks.blush, "freckles": looks.freckles, "moles": looks.moles, "wrinkles": looks.age,
        "stubble": looks.beard[:, 0], "beard": looks.beard[:, 1], "hairdo": looks.hairdo, "curl": looks.curl,
        "wave": looks.morphs[:, MORPHS.index("wave")], "receding": looks.recede.clamp(min=0),
        "fringe": (-looks.recede).clamp(min=0), "neckline": looks.neckline, "layer": looks.layer,
        "lower": looks.skirted.long() + looks.dress.long(), "sleeve_m": sleeve,
        "leg_m": torch.where(looks.skirted, torch.zeros_like(leg), -leg),
        "skirt_m": torch.where(looks.skirted, -skirt.clamp(min=-0.75), torch.zeros_like(skirt)),
        "flare": looks.morphs[:, MORPHS.index("flare")] * looks.skirted, "loose_top": looks.loose[:, 0],
        "loose_legs": looks.loose[:, 1], "tucked": looks.tucked.long(), "belt": looks.belt.long(),
        "pattern_top": looks.pattern[:, 0],
        "pattern_bottom": torch.where(looks.skirted, looks.pattern[:, 2], looks.pattern[:, 1]),
        "top_lightness": lightness(looks.colors[:, 0, 0]), "top_hue": hue(looks.colors[:, 0, 0]),
        "glasses": looks.glasses, "sunglasses": looks.sunglasses.long(), "headwear": looks.headwear,
        "earrings": looks.earrings, "watch": looks.watch.long(), "bag": looks.bag.long(),
    }  # fmt: skip
    return out


def heights(betas: Float[Tensor, "B K"]) -> Float[Tensor, " B"]:
    """Metres, barefoot, from the lowest to the highest point of the body's template."""
    body = load_body()
    ends = body.template[:, 1].argmax(), body.template[:, 1].argmin()
    high, low = (body.template[i, 1] + betas @ body.shapedirs[i, 1] for i in ends)
    return high - low


def lightness(linear: Float[Tensor, "B 3"]) -> Float[Tensor, " B"]:
    """CIE L* of linear colours."""
    luminance = linear @ torch.tensor([0.2126, 0.7152, 0.0722])
    return torch.where(luminance > 0.008856, 116 * luminance.clamp(min=1e-6).pow(1 / 3) - 16, 903.3 * luminance)


def hue(linear: Float[Tensor, "B 3"]) -> Float[Tensor, " B"]:
    """Hue angle, degrees in [0, 360)."""
    red, green, blue = linear.unbind(1)
    return torch.rad2deg(torch.atan2(3**0.5 * (green - blue), 2 * red - green - blue + 1e-9)) % 360


def parameters(seeds: Int[Tensor, " B"]) -> Float[Tensor, "B D"]:
    """Everything a person is made from, in one row: betas, then all of `Looks` but the shift of the noise, each number
    divided by its spread where it is not a category."""
    traits: Traits = traits_of(seeds)
    looks: Looks = looks_of(seeds, traits)
    spread = {"skin": 0.15, "lips": 0.12, "iris": 0.08, "hair": 0.12, "whiskers": 0.12, "hair_depth": 0.01,
              "cuts": 0.1, "colors": 0.25, "trims": 0.25, "brows": 0.2, "letters": 5.0}  # fmt: skip
    rows = [traits.betas]
    for name, values in vars(looks).items():
        if name != "phase":
            rows.append(values.float().flatten(1) / spread.get(name, 1.0) if values.dim() > 1 else
                        values.float()[:, None] / spread.get(name, 1.0))  # fmt: skip
    return torch.cat(rows, 1)


@torch.no_grad()
def nearest_twins(first: int = 0, people: int = 100_000, at_once: int = 4096) -> dict[str, float | int | list[int]]:
    """How near each of `people` consecutive seeds is to the person most like it.

    Returns: distances between rows of `parameters` (smallest, 1 % quantile, median), the closest pair of seeds, and how
    many people have a duplicate (within 0.001 in every number). 100,000 people take about a minute on two CPU cores.
    Raises: ValueError for fewer than two people.
    """
    if people < 2:
        raise ValueError(f"nobody can be told apart among {people} people; take at least 2")
    seeds = first + torch.arange(people)
    rows = torch.cat([parameters(part) for part in seeds.split(20_000)])
    centred = rows - rows.mean(0)
    norms, one = centred.square().sum(1, keepdim=True), torch.ones(people, 1)
    left, right = torch.cat([-2 * centred, norms, one], 1), torch.cat([centred, one, norms], 1)
    squares = torch.full((people,), torch.inf)
    for i in range(0, people, at_once):
        a = slice(i, i + at_once)
        for j in range(i, people, at_once):
            b = slice(j, j + at_once)
            apart = left[a] @ right[b].T
            if i == j:
                apart.fill_diagonal_(torch.inf)
            squares[a] = torch.minimum(squares[a], apart.amin(1))
            squares[b] = torch.minimum(squares[b], apart.amin(0))
    some = torch.cat([squares.topk(min(64, people), largest=False).indices, (squares < 1).nonzero()[:, 0]]).unique()
    apart = torch.cdist(rows[some], rows, compute_mode="donot_use_mm_for_euclid_dist")
    exact, twin = apart.scatter(1, some[:, None], torch.inf).min(1)
    same = (rows[some] - rows[twin]).abs().amax(1) < 1e-3
    closest, distances = int(exact.argmin()), squares.clamp(min=0).sqrt()
    return {
        "first": first, "people": people, "numbers": rows.shape[1], "nearest": float(exact.min()),
        "nearest_1_percent": float(distances.quantile(0.01)), "nearest_median": float(distances.median()),
        "closest_pair": sorted([first + int(some[closest]), first + int(twin[closest])]), "duplicates": int(same.sum()),
    }  # fmt: skip
