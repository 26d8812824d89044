"""Takes of a studio: what people are asked to do there, how many cameras see it, and by which light.

Enters: seeds and a `Studio`. Leaves: movement and light for `film.sample_people`. It stands in for the paper's
studio captures, scripted recordings of 2,737 people in a dome. What differs from the paper: a sample takes single moments
out of the script, as its pictures need no clip.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache

import torch
from jaxtyping import Int
from torch import Tensor

from lca_mini.capture.chance import uniforms
from lca_mini.capture.clips import walk
from lca_mini.capture.motion import Motion, random_frames
from lca_mini.capture.pendulum import swung
from lca_mini.capture.routines import ROUTINES
from lca_mini.capture.shading import Light, dome_light, random_lights
from lca_mini.types import join

STUDIO_LIGHTS = ("even", "single", "environment")
OFTEN = {"facs_sweep": 3, "finger_sweep": 2}  # how often, where another routine comes once
LENGTH = 208  # moments of each routine: four of each of the 52 facial actions, one of them at its peak
SECONDS = 6.0  # that a routine takes, for what swings
LAMPS = 40


@dataclass(frozen=True)
class Studio:
    """How a studio films a person.

    routines: share of moments that come from the routines (face action by action, finger by finger, gaze, speech, sitting,
    reaching, turning, walking); the others are postures drawn at random. cameras: of the dome. views: so many pictures in
    a row, each by another camera, show one moment. light: "even"; "single", one of the dome's 40 lamps alone, another for
    each person; "environment", everyday light from around. The last two cast shadows.
    """

    routines: float = 0.0
    cameras: int = 40
    views: int = 1
    light: str = "even"

    def __post_init__(self) -> None:
        """Raises: ValueError, one sentence, for a studio that cannot be."""
        if not 0 <= self.routines <= 1:
            raise ValueError(f"routines is {self.routines}; it is a share, between 0 and 1")
        if self.cameras < 1 or self.views < 1:
            raise ValueError(f"a dome of {self.cameras} cameras and {self.views} views a moment; at least one of each")
        if self.light not in STUDIO_LIGHTS:
            raise ValueError(f"no studio light {self.light!r}; choose one of {', '.join(STUDIO_LIGHTS)}")


def studio_moments(seeds: Int[Tensor, " B"], count: int, studio: Studio) -> Motion:
    """What each of `count` pictures of B people shows: [B count ...]."""
    moments = -(-count // studio.views)
    motion = random_frames(seeds, moments, "studio")
    if studio.routines:
        script = _script(str(seeds.device))
        u = uniforms(seeds, 43, 2 * moments).unflatten(1, (moments, 2))
        scripted = script[(u[..., 1] * len(script.pose)).long()]
        keep = u[..., 0] >= studio.routines
        mix = {f.name: _where(keep, getattr(motion, f.name), getattr(scripted, f.name)) for f in fields(Motion)}
        motion = Motion(**mix)
    return motion[:, torch.arange(count, device=seeds.device) // studio.views]


def studio_light(seeds: Int[Tensor, " B"], studio: Studio) -> Light:
    """The light of each person."""
    if studio.light == "environment":
        return random_lights(seeds, "wild", 0.5)
    if studio.light == "single":
        which = lamp_of(seeds).tolist()
        return join([dome_light(1, lamp, LAMPS, seeds.device) for lamp in which])
    return random_lights(seeds, "studio")


def lamp_of(seeds: Int[Tensor, " B"]) -> Int[Tensor, " B"]:
    """Which of the dome's lamps lights a person in "single" light (`shading.dome_light`)."""
    return (uniforms(seeds, 14, 1)[:, 0] * LAMPS).long()


@lru_cache(maxsize=8)
def _script(device: str) -> Motion:
    """Every moment of every routine, one after the other."""
    clips = [clip for name, routine in ROUTINES.items() for clip in [routine(LENGTH)] * OFTEN.get(name, 1)]
    clips.append(walk(LENGTH, LENGTH / SECONDS))
    return join([swung(clip, LENGTH / SECONDS, looped=True) for clip in clips]).to(device)


def _where(keep: Tensor, one: Tensor, other: Tensor) -> Tensor:
    return torch.where(keep.view(*keep.shape, *[1] * (one.dim() - keep.dim())), one, other)
