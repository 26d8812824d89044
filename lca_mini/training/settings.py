"""What one run of training is asked to do, checked before any work.

Enters: numbers and names. Leaves: a frozen `TrainSettings`. Part of the paper: two stages, "pretrain" on wild people
from random weights, "posttrain" on studio people from the pretrained ones with layer-wise learning-rate decay,
gamma = 0.65. What differs from the paper: sizes.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from lca_mini.config import MOST_IMAGES, Config, check_ranges, preset
from lca_mini.data.stream import KINDS
from lca_mini.people.splits import SPAN
from lca_mini.model.transformer import FUSIONS
from lca_mini.training.losses import LossWeights
from lca_mini.training.perceptual import NAMES

STAGES = {"pretrain": "wild", "posttrain": "studio"}  # and the people that each learns from
SCHEDULES = ("cosine", "constant")


@dataclass(frozen=True)
class TrainSettings:
    """One run.

    stage: "pretrain" or "posttrain". init: weights to begin with (a name or path, as `load` takes it); posttrain needs
    them. anew: modules of the model that begin with random weights in spite of init. still: modules that learn nothing,
    such as those that were taught alone. data: "wild", "studio", "mixed",
    "stage" for the stage's own, or a folder of samples. people: how many different people there are to learn from; 0
    for as many as the split has. studio_people: the same of those in the studio; 0 for as many as in the wild. steps, minutes: whichever is reached first ends the run, and the learning rate follows
    whichever is further on; 0 for no limit (one of them is needed). warmup: fraction of the run. lr: of AdamW. muon:
    rate of the matrices of attention and MLPs, whose optimiser Muon is, over lr; 0 for AdamW alone. gamma: learning rate
    of a layer over that of the next; 1 for one rate, 0 for the heads alone; None for the stage's own (1 and 0.65).
    references: most reference images a person. given_betas: fraction of steps that hand the true body shape to the
    model instead of its own prediction. ema: of the averaged weights, 0 for none. batch: people a step and process.
    echo: how many steps see the same people, where filming is slower than learning. tracker: errors of wild people's
    poses, shapes and cameras, in units of `Tracker`'s; at 1, wild training stood still at 14 dB; stored samples have
    none. routines: share of studio moments out of scripted routines (`capture.takes`); stored samples have the share that
    they were made with. dual_branch, fusion, finder, face_crops: without correction branch, with "cross" attention, without
    `SurfaceFinder`, with white face crops: what a model lacks for comparison. out: folder for weights, log and previews.
    resume: go on from the state in `out`. at_once: minutes after which a call stops and saves, to be resumed; unlike
    `minutes` it leaves the schedule alone; 0 for none. tensorboard: log for TensorBoard too, in `out`/tensorboard.
    deterministic: the same weights each time on a GPU too, bit by bit: people are drawn by the readable reference
    renderer and attention is not fused, so that a step takes several times as long; a CPU is so anyway.
    first: how many people of the split to pass over, since another run has seen them. shard: several processes hold a part
    each of weights, gradients and the optimiser's state, instead of a copy each of all.
    """

    stage: str = "pretrain"
    preset: str = "mini"
    out: str = "runs/mini"
    init: str | None = None
    anew: tuple[str, ...] = ()
    still: tuple[str, ...] = ()
    resume: bool = False
    data: str = "stage"
    people: int = 0
    studio_people: int = 0
    first: int = 0
    batch: int = 16
    references: int = 8
    targets: int = 4
    echo: int = 1
    tracker: float = 0.25
    routines: float = 0.3
    steps: int = 0
    minutes: float = 0.0
    lr: float = 1e-3
    muon: float = 1.5
    schedule: str = "cosine"
    warmup: float = 0.03
    gamma: float | None = None
    weight_decay: float = 0.01
    clip: float = 1.0
    ema: float = 0.998
    given_betas: float = 0.9
    perceptual: str = "auto"
    weights: LossWeights = field(default_factory=LossWeights)
    dual_branch: bool = True
    fusion: str = "joint"
    finder: bool = True
    face_crops: bool = True
    image_encoder: str = "patch"
    compile: bool = False
    checkpointing: bool = False
    shard: bool = False
    device: str = "auto"
    backend: str = "auto"
    seed: int = 0
    log_every: int = 20
    preview_every: int = 500
    save_every: int = 1000
    most_bad_steps: int = 20
    shard_megabytes: float = 0.0
    at_once: float = 0.0
    tensorboard: bool = False
    deterministic: bool = False

    def __post_init__(self) -> None:
        """Raises: ValueError, one sentence, for settings that cannot be run."""
        choices = {"stage": tuple(STAGES), "schedule": SCHEDULES, "perceptual": ("auto", *NAMES),
                   "device": ("auto", "cpu", "cuda"), "fusion": FUSIONS}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"no {name} {getattr(self, name)!r}; choose one of {', '.join(allowed)}")
        if self.folder is not None and not Path(self.folder).is_dir():
            raise ValueError(f"no data {self.data!r}; choose stage, {', '.join(KINDS)}, or a folder that lca-mini data make "
                             "has filled")
        preset(self.preset)
        check_ranges(self, {
            "batch": (1, math.inf), "references": (1, MOST_IMAGES), "targets": (1, 64), "echo": (1, 64), "tracker": (0, 4), "routines": (0, 1),
            "steps": (0, math.inf), "minutes": (0, 1e6), "lr": (0, 1), "muon": (0, 100), "warmup": (0, 1),
            "weight_decay": (0, 10), "ema": (0, 0.99999), "given_betas": (0, 1), "people": (0, math.inf),
            "studio_people": (0, math.inf), "first": (0, SPAN - 1), "at_once": (0, 1e6),
            "log_every": (1, math.inf), "preview_every": (0, math.inf), "save_every": (0, math.inf),
            "most_bad_steps": (0, math.inf), "shard_megabytes": (0, math.inf), "clip": (1e-6, math.inf),
            "seed": (0, 2**31),
        })  # fmt: skip
        if self.gamma is not None and not 0 <= self.gamma <= 1:
            raise ValueError(f"gamma is {self.gamma}; it must lie between 0 (heads alone) and 1 (one rate for all)")
        if not self.steps and not self.minutes:
            raise ValueError("a run needs an end: give steps, minutes, or both")
        if self.deterministic and self.backend == "gsplat":
            raise ValueError("deterministic does not go with gsplat, whose backward pass adds up in another order each time; "
                             "leave backend at auto")
        if self.shard and (self.compile or self.gamma == 0):
            raise ValueError("shard goes neither with compile nor with gamma = 0, where heads alone learn; leave one of "
                             "them out")
        if self.stage == "posttrain" and self.init is None:
            raise ValueError("posttrain starts from pretrained weights: name them with init")

    @property
    def folder(self) -> str | None:
        """The folder of samples to learn from, None where people are filmed."""
        return None if self.data in ("stage", *KINDS) else self.data

    @property
    def kind(self) -> str:
        """The people of this run: "wild", "studio" or "mixed"."""
        return STAGES[self.stage] if self.data == "stage" else self.data

    @property
    def decay(self) -> float:
        """gamma, or the stage's own."""
        return self.gamma if self.gamma is not None else {"pretrain": 1.0, "posttrain": 0.65}[self.stage]

    @property
    def config(self) -> Config:
        """The model to make where no weights are given."""
        plain = preset(self.preset)
        return replace(plain, dual_branch=self.dual_branch, image_encoder=self.image_encoder, fusion=self.fusion,
                       finder_channels=plain.finder_channels if self.finder else 0)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def notebook_settings(out: str, minutes: float = 0.5, steps: int = 60) -> TrainSettings:
    """Nano on a CPU: two people, two small pictures of each, and a loss that falls within seconds; a busy machine takes
    fewer steps, not longer."""
    return TrainSettings(
        preset="nano", out=out, minutes=minutes, steps=steps, batch=2, references=2, targets=1, lr=4e-3, people=2, ema=0.98,
        weights=LossWeights(perceptual=0.0), log_every=5, preview_every=0, save_every=0, warmup=0.05, device="cpu",
    )  # fmt: skip
