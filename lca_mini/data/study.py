"""What a population looks like from outside: does a split show in the pixels, and how colours and shapes are spread.

Enters: two splits and a way to film them. Leaves: figures for JSON. Part of the paper: its train and test people differ;
ours must differ as people do, and in nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from lca_mini.data.stream import Film
from lca_mini.people.splits import seeds_of

SIDE = 32  # pixels of what the classifier sees
AT_ONCE = 64
FOLDS = 5
TEST_OF = {"wild": "test-wild", "studio": "test-studio"}


def look_at_split(
    film: Film, kind: str, split: str, people: int, tell: Callable[[int], object] = lambda done: None
) -> tuple[Float[Tensor, "people 3 32 32"], Float[Tensor, "people 3"]]:
    """The first reference of each of the first people, small; and the mean colour on the person in the first target."""
    small, colours = [], []
    for start in range(0, people, AT_ONCE):
        seeds = seeds_of(split, start, min(AT_ONCE, people - start))
        sample = film(seeds, kind)
        small.append(F.interpolate(sample.images[:, 0], (SIDE, SIDE), mode="bilinear", antialias=True))
        mask = sample.target_masks[:, 0]
        colours.append((sample.targets[:, 0] * mask).sum((2, 3)) / mask.sum((2, 3)).clamp(min=1))
        tell(len(seeds))
    return torch.cat(small).cpu(), torch.cat(colours).cpu()


def leak(train: Float[Tensor, "N ..."], test: Float[Tensor, "N ..."], ridge: float = 1.0) -> dict[str, float | bool]:
    """Can a linear classifier tell two groups of people apart by their pixels?

    Ridge regression on standardised pixels towards +1 and -1, in `FOLDS` folds; every person is judged once, by a
    classifier that has not seen them.

    Args:
        ridge: weight of the penalty, as a share of the mean squared length of a picture.
    Returns: accuracy, the 99 % interval of guessing with as many people, and whether the accuracy lies above it.
    Raises: ValueError where the groups differ in number, or are too small to say anything.
    """
    if len(train) != len(test) or len(train) < 2 * FOLDS:
        raise ValueError(f"{len(train)} and {len(test)} people cannot be told apart fairly; take as many of both, "
                         f"{2 * FOLDS} at least")
    pixels = torch.cat([train, test]).flatten(1).double()
    sign = torch.cat([torch.ones(len(train)), -torch.ones(len(test))]).double()
    fold = torch.arange(len(train)).repeat(2) % FOLDS
    right = 0
    for held in range(FOLDS):
        known, asked = fold != held, fold == held
        mean, spread = pixels[known].mean(0), pixels[known].std(0) + 1e-3
        x, y = (pixels[known] - mean) / spread, (pixels[asked] - mean) / spread
        products = x @ x.T
        share = ridge * products.diagonal().mean()
        weights = torch.linalg.solve(products + share * torch.eye(len(x)).double(), sign[known])
        right += int((((y @ x.T) @ weights).sign() == sign[asked]).sum())
    count = len(pixels)
    chance = 0.5 + 2.576 * math.sqrt(0.25 / count)
    return {"accuracy": round(right / count, 4), "guessing_99": [round(1 - chance, 4), round(chance, 4)],
            "people": count, "leak": right / count > chance}


def colour_axes(colours: Float[Tensor, "N 3"]) -> dict[str, Float[Tensor, " N"]]:
    """Axes of mean sRGB colours: each channel, and the hue in degrees."""
    red, green, blue = colours.unbind(1)
    hue = torch.rad2deg(torch.atan2(math.sqrt(3) * (green - blue), 2 * red - green - blue)) % 360
    return {"mean_red": red, "mean_green": green, "mean_blue": blue, "mean_hue": hue}


def described(people: int, split: str = "train") -> tuple[dict[str, Tensor], dict[str, tuple[str, ...]]]:
    """Every axis of the first people of a split, and the names of those that are categories."""
    try:
        from lca_mini.people.describe import NAMES, describe
    except ImportError:
        raise ValueError("this version of the population does not describe its people") from None
    return describe(seeds_of(split, 0, people)), NAMES


def study(
    film: Film, people: int, axes: dict[str, Tensor], names: dict[str, tuple[str, ...]], quiet: bool = False
) -> dict[str, dict]:
    """The whole of it: for wild and studio, the leak test between train and test, and how mean colours vary; then every
    axis of the population.

    Args:
        film: one reference and one target a person suffice. people: of each split.
    Returns: for JSON; "axes" and "colours" are as `charts.counts` makes them.
    """
    from tqdm.auto import tqdm

    from lca_mini.data.charts import counts

    leaks, colours, spread = {}, {}, {}
    with tqdm(total=2 * len(TEST_OF) * people, desc="study", unit="person", disable=quiet) as bar:
        for kind, test in TEST_OF.items():
            seen = [look_at_split(film, kind, split, people, bar.update) for split in ("train", test)]
            leaks[f"train against {test}"] = leak(seen[0][0], seen[1][0])
            both = torch.cat([seen[0][1], seen[1][1]])
            spread[kind] = {"variance": [round(v, 5) for v in both.var(0).tolist()]}
            colours |= {f"{kind}_{axis}": values for axis, values in colour_axes(both).items()}
    return {"leaks": leaks, "masked_mean_colour": spread, "colours": counts(colours), "axes": counts(axes, names)}
