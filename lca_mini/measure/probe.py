"""The inverse of the action map: from epsilon to the 52 facial actions, and who leaks through.

Enters: a model; synthetic people, whose actions are known. Leaves: an `ActionProbe`, which reads an expression out of a
picture, and figures. Part of the paper: its claim that epsilon, learned without labels, is FACS-like and free of identity.
The probe learns from people of the training split in both worlds, and is tested on others, world by world.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Callable

import torch
from jaxtyping import Float
from torch import Tensor

from lca_mini.body import ACTIONS
from lca_mini.capture.film import sample_people
from lca_mini.measure.linear import Ridge, fit_ridge_held_out, guess_who, r2
from lca_mini.model import LCA
from lca_mini.people.splits import seeds_of
from lca_mini.types import Movable

SMALL = 16  # pixels of the pictures that come along and are not looked at
AT_ONCE = {"cpu": 4, "cuda": 16}
WORLDS = {"test-studio": "studio", "test-wild": "wild"}
Tick = Callable[[int], object]
Faces = tuple[Float[Tensor, "P f 3 h w"], Float[Tensor, "P f 52"], Float[Tensor, "P f 4"]]
"""Close-ups of f moments of P people, and the truth: facial actions, gaze."""


@dataclass(frozen=True)
class Codes(Movable):
    """Of f moments of P people: epsilon as the encoder sees it, and the truth."""

    codes: Float[Tensor, "P f E"]
    actions: Float[Tensor, "P f 52"]
    gaze: Float[Tensor, "P f 4"]


@dataclass(frozen=True)
class ActionProbe(Movable):
    """Reads expressions: `probe(model.expression_from_faces(crops))` are 52 actions in [0, 1]. strength: of its ridge."""

    ridge: Ridge
    strength: float

    def __call__(self, codes: Float[Tensor, "*batch E"]) -> Float[Tensor, "*batch 52"]:
        return self.ridge(codes).clamp(0, 1)


def film_faces(
    model: LCA, split: str, start: int, people: int, frames: int, kind: str, tick: Tick = lambda count: None
) -> Iterator[Faces]:
    """Film close-ups as training did ("wild" with a phone's faults), for this model and where it is, some people at a
    time. tick: told of people done."""
    device = model.anchors.points.device
    for seeds in seeds_of(split, start, people).split(AT_ONCE[device.type]):
        sample = sample_people(seeds, kind, 1, frames, SMALL, model.config.expression_size, device, len(seeds))
        yield sample.target_faces, sample.actions, sample.gaze
        tick(len(seeds))


@torch.no_grad()
def encoded(model: LCA, films: Iterable[Faces]) -> Codes:
    """What the encoder makes of `film_faces`."""
    parts = [(model.expression_from_faces(faces), actions, gaze) for faces, actions, gaze in films]
    return Codes(*(torch.cat(part) for part in zip(*parts)))


def film_codes(
    model: LCA, split: str, start: int, people: int, frames: int, kind: str, tick: Tick = lambda count: None
) -> Codes:
    """Film and encode; arguments as in `film_faces`."""
    return encoded(model, film_faces(model, split, start, people, frames, kind, tick))


def fit_probe(
    model: LCA, people: int, frames: int = 8, start: int = 0, tick: Tick = lambda count: None
) -> ActionProbe:
    """Learn the probe from `people` of the training split in each of both worlds (so many studio, so many wild ones)."""
    films = [film_codes(model, "train", start + i * people, people, frames, kind, tick)
             for i, kind in enumerate(("studio", "wild"))]  # fmt: skip
    return probe_of(films)


def probe_of(films: list[Codes]) -> ActionProbe:
    """Learn the probe from these people, in an order that is always the same."""
    codes, actions = (torch.cat([getattr(film, part) for film in films]) for part in ("codes", "actions"))
    order = torch.randperm(len(codes), generator=torch.Generator().manual_seed(0)).to(codes.device)
    return ActionProbe(*fit_ridge_held_out(codes[order], actions[order]))


def read_back(probe: ActionProbe, test: Codes) -> dict[str, Any]:
    """R2 of each action over test people, of those that vary, and their mean; "without_gaze" leaves the eight eyeLook
    actions out, which psi carries."""
    values, varies = r2(probe(test.codes).flatten(0, 1), test.actions.flatten(0, 1))
    looks = torch.tensor([name.startswith("eyeLook") for name in ACTIONS], device=varies.device)
    table = {name: round(float(value), 4) for name, value, there in zip(ACTIONS, values, varies) if there}
    return {
        "r2_mean": round(float(values[varies].mean()), 4),
        "r2_mean_without_gaze": round(float(values[varies & ~looks].mean()), 4),
        "actions_that_vary": int(varies.sum()), "r2": dict(sorted(table.items(), key=lambda item: item[1])),
    }  # fmt: skip


def measure_codes(
    model: LCA, train_people: int, test_people: int, frames: int, tick: Tick = lambda count: None
) -> dict[str, Any]:
    """Both claims on both worlds: actions can be read off epsilon (R2), and who it is cannot (accuracy; chance is one in
    `test_people`)."""
    probe = fit_probe(model, train_people, frames, tick=tick)
    worlds = {}
    for split, kind in WORLDS.items():
        test = film_codes(model, split, 0, test_people, frames, kind, tick)
        who = guess_who(test.codes)
        worlds[split] = read_back(probe, test) | {"identity_accuracy": round(who, 4)}
    return {"worlds": worlds, "identity_chance": round(1 / test_people, 4), "ridge_strength": probe.strength,
            "train_people": 2 * train_people, "test_people_of_each_world": test_people, "frames": frames}  # fmt: skip
