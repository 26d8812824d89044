"""The expression encoder by itself, on close-ups alone: before the stages, in which it goes on learning.

Enters: weights or a preset, and how long. Leaves: the model with an encoder that reads facial actions. No part of the
paper, whose encoder learns beside everything else, for far longer. A step of the whole model shows the encoder four faces
a person; here it sees thirty times as many in the same time, in both worlds, each more than once: turned, shifted, dimmed.
Steps draw from all that was filmed lately. (From one film after the other nothing was learned: in 768 faces of 64 people,
who it is tells more of the actions than the face does.)
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from lca_mini.capture.takes import Studio
from lca_mini.config import check_ranges, preset
from lca_mini.data.people import cast_of, film_with
from lca_mini.device import choose_device, commit, device_name
from lca_mini.model import load, save_checkpoint
from lca_mini.training.folder import made_folder, write_summary
from lca_mini.training.losses import reading_loss
from lca_mini.training.loop import agree, flag_of_signal, random_model
from lca_mini.training.optim import rate_factor, share_done

SMALL = 16  # pixels of the pictures that come along and are not looked at
FACES = 256  # a step
WORLDS = ("studio", "wild")


@dataclass(frozen=True)
class ReadingSettings:
    """out: folder. init: weights to begin with; None for random ones of `preset`. people, close_ups: filmed together, and of
    each. echo: how often a close-up is met on average, altered differently. pool: close-ups of each world and process that
    steps draw from, 0.05 MB each at 128 pixels. first: people of the training split to pass over."""

    out: str
    init: str | None = None
    preset: str = "mini"
    minutes: float = 0.0
    films: int = 0
    people: int = 64
    close_ups: int = 12
    echo: int = 3
    pool: int = 40_000
    first: int = 0
    lr: float = 1e-3
    device: str = "auto"
    seed: int = 0
    shard_megabytes: float = 0.0

    def __post_init__(self) -> None:
        """Raises: ValueError, one sentence, for settings that cannot be run."""
        check_ranges(self, {"minutes": (0, 1e6), "films": (0, math.inf), "people": (1, 4096), "close_ups": (1, 64),
                            "echo": (1, 1000), "pool": (1, 1e7), "lr": (0, 1), "seed": (0, 2**31), "shard_megabytes": (0, math.inf)})  # fmt: skip
        preset(self.preset)
        if not self.minutes and not self.films:
            raise ValueError("a run needs an end: give films, minutes, or both")


def train_reading(settings: ReadingSettings) -> dict[str, Any]:
    """Train, and write `model.safetensors`, `log.jsonl` and `summary.json`.

    Returns: the summary. loss: the unexplained share of an action's variance, mean over actions and the last films.
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
    encoder, face_size = model.expression_encoder, model.config.face_size
    optimizer = torch.optim.AdamW(encoder.parameters(), settings.lr, weight_decay=0.01)
    reader, wrapped = accelerator.prepare(encoder.train(), optimizer)
    film = film_with(1, settings.close_ups, SMALL, face_size, device, studio=Studio(routines=0.3))
    cast = cast_of("train", first=settings.first)
    generator = torch.Generator(device).manual_seed(settings.seed + rank)
    pools = {world: Pool(settings.pool) for world in WORLDS}
    begun, films, stopped, lines = time.monotonic(), 0, "finished", []
    losses: dict[str, list[Tensor]] = {world: [] for world in WORLDS}
    last: dict[str, float] = {}
    bar = tqdm(total=settings.films or None, desc="reading", disable=not accelerator.is_main_process)
    with flag_of_signal() as asked, bar:
        while True:
            here = share_done((films, settings.films), ((time.monotonic() - begun) / 60, settings.minutes))
            progress, ended = agree(here, asked.is_set(), ranks, device)
            if progress >= 1 or ended:
                stopped = "signal" if ended else stopped
                break
            world = WORLDS[films % 2]
            sample = film(cast((films * ranks + rank) * settings.people + torch.arange(settings.people)), world)
            pools[world].add(sample.target_faces.flatten(0, 1), sample.actions.flatten(0, 1))
            steps = max(1, settings.echo * settings.people * settings.close_ups // FACES)
            for step in range(steps):
                within = step / steps / settings.films if settings.films else 0.0
                for group in wrapped.param_groups:
                    group["lr"] = settings.lr * rate_factor(progress + within, 0.03, "cosine")
                faces, actions = pools[world].draw(FACES, generator)
                read = reader(altered(faces, generator))
                loss = reading_loss(read[:, None], actions[:, None], read.new_ones(len(read), 1, 1))
                wrapped.zero_grad()
                accelerator.backward(loss)
                accelerator.clip_grad_norm_(encoder.parameters(), 1.0)
                wrapped.step()
                losses[world].append(loss.detach())
            films += 1
            bar.update()
            if films % 20 == 0 or films == settings.films:
                last = means(losses)
                lines.append({"films": films, "seconds": round(time.monotonic() - begun, 2)} | last)
                bar.set_postfix(last)
    summary = {"stage": "reading", "stopped": stopped, "seconds": round(time.monotonic() - begun, 2), "films": films,
               "close_ups": films * ranks * settings.people * settings.close_ups, "loss": last or means(losses),
               "commit": commit(), "device": device_name(device.type), "processes": ranks, "settings": asdict(settings)}  # fmt: skip
    encoder.eval()
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


class Pool:
    """The latest close-ups of one world, 8 bits a channel, where they were filmed."""

    def __init__(self, most: int) -> None:
        self.most, self.seen = most, 0
        self.faces: Tensor | None = None
        self.actions: Tensor | None = None

    def add(self, faces: Float[Tensor, "n 3 h w"], actions: Float[Tensor, "n A"]) -> None:
        """Over the oldest where there is no room."""
        faces = (255 * faces).round().byte()
        if self.faces is None or self.actions is None:
            self.faces, self.actions = (t.new_empty(self.most, *t.shape[1:]) for t in (faces, actions))
        at = (self.seen + torch.arange(len(faces), device=faces.device)) % self.most
        self.faces[at], self.actions[at] = faces, actions
        self.seen += len(faces)

    def draw(self, count: int, generator: torch.Generator) -> tuple[Float[Tensor, "n 3 h w"], Float[Tensor, "n A"]]:
        """`count` of them at random, fewer where there are fewer."""
        there = min(self.seen, self.most)
        some = torch.randint(there, (min(count, there),), generator=generator, device=generator.device)
        return self.faces[some].float() / 255, self.actions[some]


def means(losses: dict[str, list[Tensor]]) -> dict[str, float]:
    """Of each world, and forgotten."""
    found = {world: round(float(torch.stack(values).mean()), 4) for world, values in losses.items() if values}
    for values in losses.values():
        values.clear()
    return found


def altered(faces: Float[Tensor, "n 3 h w"], generator: torch.Generator) -> Float[Tensor, "n 3 h w"]:
    """Each face turned by up to 8 degrees, shifted and scaled by some percent, dimmed or tinted."""
    u = 2 * torch.rand(len(faces), 8, device=faces.device, generator=generator) - 1
    angle, scale = math.radians(8) * u[:, 0], 1 + 0.1 * u[:, 1]
    cos, sin = scale * angle.cos(), scale * angle.sin()
    affine = torch.stack([cos, -sin, 0.08 * u[:, 2], sin, cos, 0.08 * u[:, 3]], 1).unflatten(1, (2, 3))
    grid = F.affine_grid(affine, list(faces.shape), align_corners=False)
    turned = F.grid_sample(faces, grid, padding_mode="border", align_corners=False)
    gain = 1 + 0.2 * u[:, 4:5] + 0.06 * u[:, 5:8]
    return (turned * gain[:, :, None, None]).clamp(0, 1)
