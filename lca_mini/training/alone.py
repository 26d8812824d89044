"""One part of the model by itself: what `reading`, `finding` and `correcting` share.

Enters: what the part learns from (`Lesson`), and how long. Leaves: the model with that part trained, all else as it was. No
part of the paper, where everything learns together, for far longer: a step of the whole model shows the part few pictures
of a person; here it sees many times as many in the same time, in both worlds, each more than once, altered. Steps draw from
all that was filmed lately, half in each world. (From one film after the other nothing was learned: in 768 faces of 64
people, who it is tells more of the actions than the face does. From one world after the other, batch norms learned with the
statistics of one and were used with those of both, and the encoder read the wild worse for it.)
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Callable, Literal, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from lca_mini.config import check_ranges, preset
from lca_mini.data.people import cast_of
from lca_mini.device import choose_device, commit, device_name
from lca_mini.model import LCA, load, save_checkpoint
from lca_mini.training.folder import made_folder, write_summary
from lca_mini.training.loop import agree, flag_of_signal, random_model
from lca_mini.training.optim import MuonAdamW, rate_factor, set_rate, share_done

WORLDS = ("studio", "wild")


@dataclass(frozen=True)
class AloneSettings:
    """One run; `lca-mini train-reader`, `train-finder` and `train-corrections` take these as options."""

    out: str
    """Folder for weights, log and summary."""
    init: str | None = None
    """Weights to begin with: a name, a .safetensors file or a folder; left out: random ones."""
    preset: Literal["nano", "mini", "paper"] = "mini"
    """Size of the model, where there is no --init."""
    minutes: float = 0.0
    """Time to take; 0 for no limit (then give --films)."""
    films: int = 0
    """How often to film; 0 for no limit (then give --minutes)."""
    people: int = 64
    """Filmed together, in the studio and in the wild by turns."""
    echo: int = 3
    """How often a picture is met on average, each time altered differently."""
    pool: int = 16_000
    """Pictures of each world and process that steps draw from; 0.3 MB each at 320 pixels."""
    first: int = 0
    """How many people to pass over, since another run has seen them."""
    lr: float = 1e-3
    """Peak learning rate."""
    muon: float = 0.0
    """Rate of Muon's matrices, the convolutions, over that of AdamW; 0 for AdamW alone."""
    compile: bool = False
    """With torch.compile, which takes half a minute first."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute."""
    seed: int = 0
    """Of weights and alterations."""
    shard_megabytes: float = 0.0
    """Size of the files that weights are split into; 0 for one file."""

    def __post_init__(self) -> None:
        """Raises: ValueError, one sentence, for settings that cannot be run."""
        check_ranges(self, {"minutes": (0, 1e6), "films": (0, math.inf), "people": (1, 4096), "echo": (1, 1000),
                            "pool": (1, 1e7), "lr": (0, 1), "muon": (0, 100), "seed": (0, 2**31), "shard_megabytes": (0, math.inf)})  # fmt: skip
        preset(self.preset)
        if not self.minutes and not self.films:
            raise ValueError("a run needs an end: give films, minutes, or both")


class Lesson(Protocol):
    """What a part learns from. stage: its name. batch: pictures, or people, a step. matrices: whose weights Muon turns."""

    stage: str
    batch: int
    matrices: tuple[type[nn.Module], ...]

    def part(self, model: LCA) -> nn.Module:
        """What learns."""

    def film(self, seeds: Int[Tensor, "B"], world: str) -> int:
        """Film people and keep what is needed of it. Returns: how many pictures, or people."""

    def loss(self, part: nn.Module, generator: torch.Generator) -> dict[str, Float[Tensor, ""]]:
        """Of one step, in each world that was filmed."""


def train_alone(settings: AloneSettings, lesson_of: Callable[[LCA], Lesson]) -> dict[str, Any]:
    """Train one part, and write `model.safetensors`, `log.jsonl` and `summary.json`.

    Returns: the summary. loss: of each world, mean over the last films.
    Raises: ValueError before any work for weights that cannot be had, or a folder that cannot be written to.
    """
    from accelerate import Accelerator
    from tqdm.auto import tqdm

    on_cpu = choose_device(settings.device) == "cpu"
    accelerator = Accelerator(mixed_precision="no" if on_cpu else "bf16", cpu=on_cpu)
    device, rank, ranks = accelerator.device, accelerator.process_index, accelerator.num_processes
    out, init = new_folder(settings.out), settings.init
    model = load(init, trainable=True) if init else random_model(preset(settings.preset), settings.seed)
    model = model.train().to(device)
    lesson = lesson_of(model)
    part = lesson.part(model)
    matrices = {module.weight for module in part.modules() if settings.muon and isinstance(module, lesson.matrices)}
    optimizer = MuonAdamW([
        {"params": [p for p in part.parameters() if (p in matrices) == muon], "base_lr": settings.lr * rate, "muon": muon}
        for muon, rate in ((False, 1.0), (True, settings.muon)) if matrices or not muon
    ], weight_decay=0.01, fused=True)  # fmt: skip
    if settings.compile:
        part.compile(dynamic=False)
    learner, wrapped = accelerator.prepare(part.train(), optimizer)
    cast = cast_of("train", first=settings.first)
    generator = torch.Generator(device).manual_seed(settings.seed + rank)
    begun, films, pictures, stopped, lines = time.monotonic(), 0, 0, "finished", []
    losses: dict[str, list[Tensor]] = {world: [] for world in WORLDS}
    last: dict[str, float] = {}
    bar = tqdm(total=settings.films or None, desc=lesson.stage, disable=not accelerator.is_main_process)
    with flag_of_signal() as asked, bar:
        while True:
            here = share_done((films, settings.films), ((time.monotonic() - begun) / 60, settings.minutes))
            progress, ended = agree(here, asked.is_set(), ranks, device)
            if progress >= 1 or ended:
                stopped = "signal" if ended else stopped
                break
            world = WORLDS[films % 2]
            filmed = lesson.film(cast((films * ranks + rank) * settings.people + torch.arange(settings.people)), world)
            pictures += filmed * ranks
            steps = max(1, settings.echo * filmed // lesson.batch)
            for step in range(steps):
                within = step / steps / settings.films if settings.films else 0.0
                set_rate(wrapped, rate_factor(progress + within, 0.03, "cosine"))
                found = lesson.loss(learner, generator)
                wrapped.zero_grad()
                accelerator.backward(torch.stack(list(found.values())).mean())
                accelerator.clip_grad_norm_(part.parameters(), 1.0)
                wrapped.step()
                for where, loss in found.items():
                    losses[where].append(loss.detach())
            films += 1
            bar.update()
            if films % 20 == 0 or films == settings.films:
                last = means(losses)
                lines.append({"films": films, "seconds": round(time.monotonic() - begun, 2)} | last)
                bar.set_postfix(last)
    summary = {"stage": lesson.stage, "stopped": stopped, "seconds": round(time.monotonic() - begun, 2), "films": films,
               "pictures": pictures, "loss": last or means(losses), "commit": commit(), "device": device_name(device.type),
               "processes": ranks, "settings": asdict(settings)}  # fmt: skip
    part.eval()
    if accelerator.is_main_process:
        (out / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        most = int(settings.shard_megabytes * 1e6) or None
        summary["weights"] = [str(f) for f in save_checkpoint(model, out / "model.safetensors", summary, shard_bytes=most)]
        write_summary(out, summary)
    accelerator.wait_for_everyone()
    return summary


def new_folder(name: str) -> Path:
    """Made where it is not there. Raises: ValueError where it cannot be, or holds a run."""
    out = made_folder(name)
    if (out / "summary.json").exists():
        raise ValueError(f"the folder {name!r} holds a run already; choose another one")
    return out


class Latest:
    """The latest samples of one world, where they were made; each is a row of several tensors."""

    def __init__(self, most: int) -> None:
        self.most, self.seen = most, 0
        self.kept: list[Tensor] = []

    def add(self, *samples: Tensor) -> None:
        """Over the oldest where there is no room."""
        self.kept = self.kept or [t.new_empty(self.most, *t.shape[1:]) for t in samples]
        at = (self.seen + torch.arange(len(samples[0]), device=samples[0].device)) % self.most
        for kept, new in zip(self.kept, samples):
            kept[at] = new
        self.seen += len(samples[0])

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """`count` of them at random, fewer where there are fewer."""
        there = min(self.seen, self.most)
        some = torch.randint(there, (min(count, there),), generator=generator, device=generator.device)
        return tuple(kept[some] for kept in self.kept)


class Pool(Latest):
    """Pictures, 8 bits a channel, each with what is known of it."""

    def add(self, pictures: Float[Tensor, "n 3 h w"], known: Float[Tensor, "n *k"]) -> None:  # type: ignore[override]
        """As there."""
        super().add((255 * pictures).round().byte(), known)

    def draw(self, count: int, generator: torch.Generator) -> tuple[Float[Tensor, "n 3 h w"], Float[Tensor, "n *k"]]:
        """As there."""
        pictures, known = super().draw(count, generator)
        return pictures.float() / 255, known

    def spread(self) -> Float[Tensor, "*k"]:
        """The variance of what is known, over all pictures that are there."""
        return self.kept[1][: min(self.seen, self.most)].var(0, unbiased=False)


def from_each(pools: dict[str, Any], count: int, generator: torch.Generator) -> tuple[Any, ...]:
    """A batch, half out of each world's pool (one alone fills its half): its tensors, and at last which rows are of which
    world."""
    drawn = {world: pool.draw(count // len(pools), generator) for world, pool in pools.items() if pool.seen}
    where, first = {}, 0
    for world, some in drawn.items():
        where[world] = slice(first, first + len(some[0]))
        first += len(some[0])
    return *(torch.cat(some) for some in zip(*drawn.values())), where


def means(losses: dict[str, list[Tensor]]) -> dict[str, float]:
    """Of each world, and forgotten."""
    found = {world: round(float(torch.stack(values).mean()), 4) for world, values in losses.items() if values}
    for values in losses.values():
        values.clear()
    return found


def turned(
    values: Float[Tensor, "n k h w"], by: Float[Tensor, "n 4"], beyond: str = "zeros"
) -> Float[Tensor, "n k h w"]:
    """Pictures, or maps of any size, turned by up to 8 degrees, scaled by up to 10 percent and shifted by up to 4 of their
    sides.

    Args:
        by: how much of each, -1 to 1. beyond: what comes in from outside, as `grid_sample` names it.
    """
    angle, scale = math.radians(8) * by[:, 0], 1 + 0.1 * by[:, 1]
    cos, sin = scale * angle.cos(), scale * angle.sin()
    affine = torch.stack([cos, -sin, 0.08 * by[:, 2], sin, cos, 0.08 * by[:, 3]], 1).unflatten(1, (2, 3))
    grid = F.affine_grid(affine, list(values.shape), align_corners=False)
    return F.grid_sample(values, grid, padding_mode=beyond, align_corners=False)
