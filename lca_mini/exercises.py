"""Checks of the exercises in notebook 11: a student's function against the library's.

Enters: a function, whose name says which exercise it answers. Leaves: one sentence, which begins with "right", "no" or
"not tried yet". Each check draws fresh inputs, so that nothing can be learned by heart, and knows the mistakes that are
made most. No part of the paper.
"""

from __future__ import annotations

import json
import math
import tempfile
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Callable

import torch
from torch import Tensor

from lca_mini.body import linear_blend_skinning, load_body
from lca_mini.config import preset
from lca_mini.model import LCA, build
from lca_mini.render import reference
from lca_mini.training.losses import asap_loss, recolour
from lca_mini.training.metrics import psnr
from lca_mini.training.optim import make_optimizer

ROUNDS = 3


@dataclass(frozen=True)
class Exercise:
    """inputs: draws arguments. right: the library's answer to them. mistakes: wrong answers, each with what to say.
    learns: the answer is a loss, whose gradient must reach the first argument."""

    inputs: Callable[[torch.Generator], tuple[Any, ...]]
    right: Callable[..., Any]
    mistakes: tuple[tuple[Callable[..., Any], str], ...]
    learns: bool = False


def check(answer: Callable[..., Any]) -> str:
    """Try a function that is named like one of `EXERCISES` on `ROUNDS` fresh inputs.

    Returns: one sentence; whatever the answer does, nothing is raised.
    Raises: ValueError where no exercise has that name.
    """
    if answer.__name__ not in EXERCISES:
        raise ValueError(f"no exercise {answer.__name__!r}; there are {', '.join(EXERCISES)}")
    exercise = EXERCISES[answer.__name__]
    generator = torch.Generator()
    generator.seed()
    for _ in range(ROUNDS):
        given = exercise.inputs(generator)
        mine = [t.clone().requires_grad_(exercise.learns and not i) if isinstance(t, Tensor) else t
                for i, t in enumerate(given)]  # fmt: skip
        try:
            found = answer(*mine)
        except Exception as error:  # a student's code may do anything
            return f"no: it stopped with {type(error).__name__}: {error}"
        if found is None:
            return "not tried yet: the function returns None"
        expected = exercise.right(*given)
        if not same(found, expected):
            for mistake, words in exercise.mistakes:
                if same(found, mistake(*given)):
                    return f"no: {words}"
            return f"no: it gives {shown(found)}, and the library {shown(expected)}"
        if exercise.learns and not (isinstance(found, Tensor) and found.requires_grad):
            return "no: the value is right, but no gradient comes back; keep to torch, without .item() or .detach()"
    return f"right, {ROUNDS} times out of {ROUNDS}"


def tensors(value: Any) -> list[Tensor]:
    """A number, a tensor, or several, as tensors."""
    parts = value if isinstance(value, (tuple, list)) else (value,)
    return [torch.as_tensor(part).detach().double() for part in parts]


def same(found: Any, expected: Any) -> bool:
    """Equal but for rounding, whole numbers exactly; False for what is no number."""
    try:
        pairs = list(zip(tensors(found), tensors(expected), strict=True))
    except (TypeError, ValueError, RuntimeError):
        return False
    near = 0.0 if isinstance(expected, int) else 1e-4
    return all(a.shape == b.shape and torch.allclose(a, b, rtol=near, atol=0.1 * near) for a, b in pairs)


def shown(value: Any) -> str:
    """A value in a sentence: itself if short, else its shape."""
    try:
        parts = tensors(value)
    except (TypeError, ValueError, RuntimeError):
        return repr(value)[:60]
    few = all(part.numel() <= 4 for part in parts)
    return " and ".join(
        str([round(n, 4) for n in part.flatten().tolist()]) if few else f"shape {list(part.shape)}" for part in parts
    )


def _result_file(generator: torch.Generator) -> tuple[Path]:
    people = (15 + 10 * torch.rand(9, generator=generator)).round(decimals=3).tolist()
    file = Path(_folder().name) / "test-wild.json"
    file.write_text(json.dumps({"split": "test-wild", "seeds": [300_000_000, 300_000_008], "people_psnr": people}))
    return (file,)


@lru_cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()  # goes when the process ends


def _worst(file: Path) -> tuple[int, int, list[float]]:
    result = json.loads(Path(file).read_text())
    people = result["people_psnr"]
    return result["seeds"][0], people.index(min(people)), people


def _pictures(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    render, target = torch.rand(2, 3, 12, 10, generator=generator)
    return render, target, (torch.rand(1, 12, 10, generator=generator) > 0.7).float()


def _on_white(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    person, coverage = torch.rand(3, 8, 8, generator=generator), torch.rand(1, 8, 8, generator=generator)
    return coverage * person + 1 - coverage, coverage, torch.rand(3, generator=generator)


def _joints(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    turns = reference.rotation_matrices(torch.randn(5, 4, generator=generator))
    transforms = torch.eye(4).repeat(5, 1, 1)
    transforms[:, :3, :3], transforms[:, :3, 3] = turns, torch.randn(5, 3, generator=generator)
    return torch.randn(3, generator=generator), torch.randn(5, generator=generator).softmax(0), transforms


def _gaussian(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, float, Tensor]:
    x, y, z, *sizes = torch.rand(6, generator=generator)
    mean = torch.stack([0.6 * x - 0.3, 0.6 * y - 0.3, 1.5 + z])
    return mean, torch.randn(4, generator=generator), 0.02 + 0.1 * torch.stack(sizes), 200.0, torch.tensor([64.0, 60.0])


def _project(mean: Tensor, quat: Tensor, scales: Tensor, focal: float, centre: Tensor) -> tuple[Tensor, Tensor]:
    K = torch.tensor([[focal, 0.0, float(centre[0])], [0.0, focal, float(centre[1])], [0.0, 0.0, 1.0]])
    pixel, spread, _ = reference.project(mean[None], quat[None], scales[None], torch.eye(4), K, 128, 120)
    return pixel[0], spread[0]


def _by_hand(column: float = -1.0, blur: float = reference.BLUR, power: int = 2, middle: float = 1.0) -> Callable[..., Any]:
    """A projection with mistakes: what stands before the Jacobian's third column, the blur, the power of the scales, and
    how much of the centre is added."""

    def projected(mean: Tensor, quat: Tensor, scales: Tensor, focal: float, centre: Tensor) -> tuple[Tensor, Tensor]:
        x, y, z = mean.tolist()
        turn = reference.rotation_matrices(quat)
        jacobian = torch.tensor([[1, 0, column * x / z], [0, 1, column * y / z]]) * focal / z
        spread = jacobian @ turn @ scales.pow(power).diag() @ turn.T @ jacobian.T + blur * torch.eye(2)
        return mean[:2] / z * focal + middle * centre, spread

    return projected


@lru_cache
def _model(layers: int) -> LCA:
    return build(replace(preset("nano"), layers=layers), load_body())


def _layers(generator: torch.Generator) -> tuple[int, float, float]:
    lr, gamma = (torch.rand(2, generator=generator) * 0.5 + 0.3).tolist()
    return int(torch.randint(2, 5, (1,), generator=generator)) + 1, lr, gamma


def _rates(last: int, lr: float, gamma: float) -> list[float]:
    model = _model(last - 1)
    depths = model.parameter_depths()
    of = {id(p): depths[name] for name, p in model.named_parameters()}
    groups = make_optimizer(model, lr, gamma, weight_decay=0.0, muon=0.0).param_groups
    rates = {of[id(group["params"][0])]: group["base_lr"] for group in groups}
    return [rates[depth] for depth in range(last + 1)]


def _discs(generator: torch.Generator) -> tuple[Tensor]:
    return ((2 * torch.randn(20, 3, generator=generator)).exp() / 100,)


def _stretch(scales: Tensor) -> Tensor:
    return scales.amax(-1) / scales.amin(-1)


WORST_PERSON = Exercise(
    _result_file, lambda file: _worst(file)[0] + _worst(file)[1],
    (
        (lambda file: _worst(file)[1],
         "that is a place in the list; people are named by seeds, and the first one's is in the file"),
        (lambda file: _worst(file)[0] + _worst(file)[2].index(max(_worst(file)[2])),
         "that is the best person; low PSNR is bad"),
        (lambda file: min(_worst(file)[2]), "that is a PSNR; the question is whose it is"),
    ),
)  # fmt: skip

MASKED_PSNR = Exercise(
    _pictures, psnr,
    (
        (lambda r, t, m: psnr(r, t, torch.ones_like(m)), "the whole picture was counted; only pixels on the person count"),
        (lambda r, t, m: psnr(r * m, t * m, torch.ones_like(m)),
         "the error was masked, but the mean is still over all pixels"),
        (lambda r, t, m: psnr(r, t, m) - 10 * math.log10(3),
         "a pixel has three channels: divide by three times their number"),
        (lambda r, t, m: -psnr(r, t, m), "more must be better: a minus is missing"),
        (lambda r, t, m: psnr(r, t, m) * 2, "ten times the logarithm of a squared error, not twenty"),
        (lambda r, t, m: psnr(r, t, m) * math.log(10), "that is the natural logarithm; decibels want base ten"),
    ),
)  # fmt: skip

RECOLOUR = Exercise(
    _on_white, lambda image, coverage, colour: recolour(image, coverage, colour[:, None, None]),
    (
        (lambda i, c, b: c * i + (1 - c) * b[:, None, None],
         "a light fringe is left: at the edge, `image` holds (1 - coverage) of white already, which must go"),
        (lambda i, c, b: torch.where(c > 0.5, i, b[:, None, None]), "edges are hard: coverage is a share, not a yes or no"),
        (lambda i, c, b: i + (1 - c) * b[:, None, None], "the new colour was added, but the white has not been taken away"),
    ),
)  # fmt: skip

LAYER_RATES = Exercise(
    _layers, _rates,
    (
        (lambda last, lr, gamma: _rates(last, lr, gamma)[::-1], "upside down: heads, the last depth, learn at lr itself"),
        (lambda last, lr, gamma: _rates(last, lr, gamma)[:-1], "one is missing: depths 0 to `last`, both counted"),
        (lambda last, lr, gamma: _rates(last, lr * gamma, gamma), "one step off: heads learn at lr, not at gamma times lr"),
        (lambda last, lr, gamma: _rates(last, 1.0, gamma), "those are the factors; multiply them with lr"),
    ),
)  # fmt: skip

ROUND_GAUSSIANS = Exercise(
    _discs, asap_loss,
    (
        (lambda s: (_stretch(s).log() - math.log(6)).mean(),
         "Gaussians rounder than the ratio must cost nothing, and must not earn"),
        (lambda s: torch.relu(_stretch(s) - 6).mean(), "take logarithms: one needle must not outweigh everybody"),
        (lambda s: _stretch(s).log().mean(), "up to a ratio of six nothing is to be paid"),
        (lambda s: asap_loss(s) * len(s), "a mean over Gaussians, not a sum: the loss must not grow with their number"),
    ),
    learns=True,
)  # fmt: skip

SKIN_POINT = Exercise(
    _joints, lambda point, weights, transforms: linear_blend_skinning(point[None], weights[None], transforms)[0],
    (
        (lambda p, w, t: t[w.argmax(), :3, :3] @ p + t[w.argmax(), :3, 3],
         "only the strongest joint moves it: blend all of them"),
        (lambda p, w, t: torch.einsum("j,jab,b->a", w, t[:, :3, :3], p),
         "it turns but is not moved: the fourth column is missing"),
        (lambda p, w, t: torch.einsum("j,jba,b->a", w, t[:, :3, :3], p) + w @ t[:, :3, 3],
         "rotations are transposed: these matrices take column vectors, matrix times point"),
        (lambda p, w, t: (t[:, :3, :3] @ p + t[:, :3, 3]).mean(0), "all joints count alike: weigh them"),
    ),
)  # fmt: skip

PROJECT_GAUSSIAN = Exercise(
    _gaussian, _project,
    (
        (_by_hand(middle=0.0), "pixels are counted from the top left corner: add the centre"),
        (_by_hand(column=0.0), "the Jacobian's third column is missing: x / z changes with z too"),
        (_by_hand(column=1.0),
         "the Jacobian's third column has the wrong sign: what goes away from the camera moves to the middle"),
        (_by_hand(blur=0.0), f"add {reference.BLUR} to the diagonal: a splat is never narrower than a pixel"),
        (_by_hand(power=1), "scales are standard deviations: a covariance has their squares"),
    ),
)  # fmt: skip

EXERCISES = {
    "worst_person": WORST_PERSON, "masked_psnr": MASKED_PSNR, "recolour": RECOLOUR, "layer_rates": LAYER_RATES,
    "round_gaussians": ROUND_GAUSSIANS, "skin_point": SKIN_POINT, "project_gaussian": PROJECT_GAUSSIAN,
}  # fmt: skip
