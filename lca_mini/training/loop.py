"""The loop: pretrain and posttrain, one and the same, on Accelerate.

Enters: `TrainSettings`. Leaves: in their folder `model.safetensors` (averaged weights, bfloat16, ready for `load`),
`state/` (everything a resume needs), `log.jsonl`, previews and `summary.json`. Part of the paper: the two stages. What
differs from the paper: people are filmed on the fly; a run may be bounded by minutes, and the schedule follows
whichever of steps and minutes is further on; a call may stop after some minutes of its own, to be resumed (`at_once`).
Several processes meet people of their own each and hold the model whole (DDP) or in parts (`shard`). A killed and
resumed run bounded by steps equals an uninterrupted one. A step whose gradient is not finite changes nothing and is
counted; too many of them end the run. On a GPU sums come in another order each time, so that resumed and uninterrupted
runs drift apart; `deterministic` holds them together, at a price.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from lca_mini.body import load_body
from lca_mini.config import Config
from lca_mini.device import choose_device, commit, device_name, repeatable
from lca_mini.data.stream import Cast, Film
from lca_mini.export import save_png
from lca_mini.model import LCA, build, load
from lca_mini.render import choose_backend
from lca_mini.training.folder import check_folder, log_line, open_board, save_weights, write_summary
from lca_mini.training.optim import Average, make_optimizer, rate_factor, set_rate, share_done, skip_where
from lca_mini.training.perceptual import perceptual
from lca_mini.training.settings import TrainSettings
from lca_mini.training.shard import check_processes, clip_parts, plugin_for, spread
from lca_mini.training.sheet import sheet_of
from lca_mini.training.shown import without_faces
from lca_mini.training.source import people_of
from lca_mini.training.state import load_state, save_state
from lca_mini.training.step import Learner, Outcome, draw, objective
from lca_mini.training.window import Window
from lca_mini.types import Sample

CLOCK_EVERY = 10  # steps between two agreements of several processes on clock and signals: each makes them wait for the device


def train(settings: TrainSettings, film: Film | None = None, cast: Cast | None = None) -> dict[str, Any]:
    """Run one stage.

    Args:
        film, cast: other people than the library's synthetic ones; as in `SampleStream`.
    Returns: what ran and how it went, as in `summary.json`.
    Raises: ValueError before any work for settings or weights that cannot be used; RuntimeError, naming the seeds,
        where gradients keep being not finite.
    """
    with repeatable(settings.deterministic):
        return run_stage(settings, film, cast)


def run_stage(settings: TrainSettings, film: Film | None, cast: Cast | None) -> dict[str, Any]:
    """`train`, whose arguments it has, with torch set up."""
    from accelerate import Accelerator
    from tqdm.auto import tqdm

    if settings.shard:
        check_processes()
    on_cpu = choose_device(settings.device) == "cpu"
    half = not on_cpu
    model = make_model(settings)
    plugin = plugin_for(model) if settings.shard and not on_cpu else None
    accelerator = Accelerator(mixed_precision="bf16" if half else "no", cpu=on_cpu, fsdp_plugin=plugin)
    device, rank, ranks = accelerator.device, accelerator.process_index, accelerator.num_processes
    main, model = accelerator.is_main_process, model.to(device)
    model.transformer.checkpointing = settings.checkpointing
    config, weights = model.config, settings.weights
    net = perceptual(settings.perceptual, device, bfloat16=half) if weights.perceptual > 0 else None
    out = check_folder(settings)
    board = open_board(settings, out) if main else None
    optimizer = make_optimizer(model, settings.lr, settings.decay, settings.weight_decay, settings.muon)
    if settings.compile:
        model.transformer.compile()
    both = Learner(model), optimizer
    learner, wrapped = spread(accelerator, *both) if settings.shard else accelerator.prepare(*both)
    average = Average(model, settings.ema) if settings.ema > 0 else None
    start = load_state(out, model, average, optimizer) if settings.resume else {}
    stream = people_of(settings, config, device, rank, ranks, start.get("stream", 0), film, cast)
    backend = settings.backend
    if backend == "auto":
        backend = "reference" if settings.deterministic and not on_cpu else choose_backend(device)

    step, before, bad = start.get("step", 0), start.get("seconds", 0.0), start.get("bad_steps", 0)
    begun, first_step, stopped, last = time.monotonic(), step, "finished", dict(start.get("last", {}))
    window = Window(settings.most_bad_steps, bad)
    sample: Sample | None = None
    outcome: Outcome | None = None

    def about() -> dict[str, Any]:
        return {"step": step, "stream": stream.position, "seconds": before + time.monotonic() - begun,
                "bad_steps": window.bad, "last": last, "settings": settings.to_dict()}

    def log() -> dict[str, Any]:
        return log_line(out, window, step, optimizer, progress, about()["seconds"], ranks * settings.batch, main, board)

    def paused() -> bool:
        return 0 < settings.at_once * 60 <= time.monotonic() - begun

    bar = tqdm(total=settings.steps or None, initial=step, desc=settings.stage, disable=not main)
    with flag_of_signal() as asked_to_stop, bar:
        while True:
            if ranks == 1 or (step - first_step) % CLOCK_EVERY == 0:
                here = before + time.monotonic() - begun
                seconds, ended = agree(here, asked_to_stop.is_set() or paused(), ranks, device)
            progress = share_done((step, settings.steps), (seconds / 60, settings.minutes))
            if progress >= 1:
                break
            if ended and step > first_step:
                stopped = "signal" if asked_to_stop.is_set() else "paused"
                last = log() if window.rows else last
                break
            set_rate(optimizer, rate_factor(progress, settings.warmup, settings.schedule))
            sample = next(stream) if settings.face_crops else without_faces(next(stream))
            chance = draw(settings.seed, step, rank, progress, settings.references, settings.targets,
                          settings.given_betas)
            with accelerator.autocast():
                learned = learner(sample, chance)
            outcome = objective(learned, sample, chance, weights, net, backend)
            wrapped.zero_grad()
            accelerator.backward(outcome.loss)
            if settings.shard:
                norm = clip_parts(model, settings.clip)
            else:
                norm = torch.as_tensor(accelerator.clip_grad_norm_(model.parameters(), settings.clip))
            skip_where(optimizer, ~torch.isfinite(norm))
            wrapped.step()
            if average is not None:
                average.update(step)
            window.add(outcome, norm, sample.seeds)
            step += 1
            bar.update()
            if step % settings.log_every == 0 or step == first_step + 1:
                last = log()
                bar.set_postfix_str(words(last, settings, progress))
            if main and settings.preview_every and step % settings.preview_every == 0:
                sheet = sheet_of(sample, outcome.renders)
                save_png(sheet, out / f"preview_{step:06d}.png")
                if board is not None:
                    board.add_image("preview", sheet, step, dataformats="HWC")
            if (main or settings.shard) and settings.save_every and step % settings.save_every == 0:
                save_state(out, model, average, optimizer, about(), write=main)
    summary = {"stage": settings.stage, "stopped": stopped, "step": step, "seconds": round(about()["seconds"], 2),
               "people": (step - first_step) * settings.batch * ranks, "bad_steps": window.bad, **last,
               "perceptual": net.name if net else None, "backend": backend, "device": device_name(device),
               "torch": torch.__version__, "body": model.body.name, "config": config.to_dict(), "commit": commit(),
               "parameters": sum(p.numel() for p in model.parameters()), "settings": settings.to_dict()}
    if step > first_step:
        save_state(out, model, average, optimizer, about(), write=main)
    summary["weights"] = save_weights(settings, model, average, out, summary, write=main)
    if main:
        if step > first_step:
            save_png(sheet_of(sample, outcome.renders), out / f"preview_{step:06d}.png")
        write_summary(out, summary)
    accelerator.wait_for_everyone()
    return summary


def make_model(settings: TrainSettings) -> LCA:
    """Random weights that follow from the seed, or exactly those of `init`, less what begins `anew`; what is to be `still`
    asks for no gradients."""
    if settings.init is None:
        model = random_model(settings.config, settings.seed)
    else:
        model = load(settings.init, expect_preset=settings.preset, trainable=True)
    modules = dict(model.named_children())
    if unknown := {*settings.anew, *settings.still} - modules.keys():
        raise ValueError(f"the model has no module {', '.join(sorted(unknown))} to begin anew or to leave still; it has "
                         f"{', '.join(modules)}")
    if settings.init is not None and settings.anew:
        new = random_model(model.config, settings.seed)
        for name in settings.anew:
            modules[name].load_state_dict(getattr(new, name).state_dict())
    for name in settings.still:
        modules[name].requires_grad_(False)
    return model.train()


def random_model(config: Config, seed: int) -> LCA:
    """On the library's own body; whoever draws random numbers afterwards draws the same ones as before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(config, load_body(num_betas=config.num_betas))


def agree(here: float, asked: bool, ranks: int, device: torch.device) -> tuple[float, bool]:
    """The number that the first process has here, and whether any was asked to stop, so that all end together."""
    if ranks == 1:
        return here, asked
    from accelerate.utils import gather

    everyone = gather(torch.tensor([[here, float(asked)]], device=device, dtype=torch.float64))
    return float(everyone[0, 0]), bool(everyone[:, 1].any())


@contextmanager
def flag_of_signal() -> Iterator[threading.Event]:
    """An event that SIGTERM and Ctrl-C set, instead of ending the process; in other threads nobody sets it."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    kept = {which: signal.signal(which, lambda *_: asked.set()) for which in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield asked
    finally:
        for which, handler in kept.items():
            signal.signal(which, handler)


def words(line: dict[str, Any], settings: TrainSettings, progress: float) -> str:
    """The progress bar's right end."""
    left = f", {settings.minutes * (1 - progress):.1f} min left" if settings.minutes else ""
    return f"loss {line['loss']}, {line['psnr']} dB, {line['people_per_s']} people/s{left}"
