"""What each table trains and measures.

Enters: a table's name and a `Budget`. Leaves: a `Plan`: rows, the runs behind them, and the claims that they are to
show. Part of the paper: its tables 1, 2, 3 and S1, figure 6 and S.1. What differs from the paper: all rows of a table see
equally many people (samples, counted with repetition), in training from first to last; of a million different people to
2,737 in the studio, the ratio stays and the numbers are smaller. Pretraining that another stage follows keeps its rate to
the end: the rate falls once in each row.

Runs are shared: whoever asks for the same settings gets the same folder, whichever table trained it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lca_mini.config import check_ranges
from lca_mini.training.losses import LossWeights
from lca_mini.training.settings import TrainSettings

SPLITS = ("test-studio", "test-wild")
PEOPLE_SEEN = {"nano": 24_000, "mini": 100_000, "paper": 1_000_000}  # of each row, unless told otherwise
WILD_PEOPLE = 100_000  # different ones, at most
STUDIO_RATIO = 2_737 / 1_000_000  # people in the studio for each one in the wild, in the paper
FEWEST_IN_STUDIO = 8
POST_SHARE = 0.25  # of what "pre then post" sees, the studio's part
CROWDS = (100, 1_000, 10_000, 100_000)  # people in pretraining, table 3
RATES = {("nano", "cpu"): 2.0, ("mini", "cpu"): 0.2, ("mini", "cuda"): 150.0, ("nano", "cuda"): 300.0, ("paper", "cuda"): 10.0}
"""People a second in training, to guess minutes from: results/bench_train_*.json and train_mini_*.json; the last two are
guesses."""
PICTURES = {"cpu": 2.0, "cuda": 60.0}  # filmed, drawn and measured a second, nano on a CPU and mini on a GPU


@dataclass(frozen=True)
class Budget:
    """What an experiment may cost. people_seen: of each row, 0 for the preset's own. scale: multiplies it. test_people,
    views: of each test split, 0 for the protocol's. peer_seconds, peer_steps: of optimising a person (`Effort`). batch,
    echo: as in `TrainSettings`, 0 for the preset's own. learning: changes of `TrainSettings` that all runs share, such as
    lr or batch. weights: that "peers" measures, as `load` takes them."""

    preset: str = "mini"
    people_seen: int = 0
    scale: float = 1.0
    seeds: int = 2
    device: str = "auto"
    test_people: int = 0
    views: int = 0
    peer_seconds: float = 120.0
    peer_steps: int = 0
    lpips: str = "auto"
    batch: int = 0
    echo: int = 0
    learning: tuple[tuple[str, Any], ...] = ()
    weights: str = "mini"

    def __post_init__(self) -> None:
        """Raises: ValueError, one sentence, for what cannot be run."""
        if self.preset not in PEOPLE_SEEN:
            raise ValueError(f"no preset {self.preset!r}; choose one of {', '.join(PEOPLE_SEEN)}")
        check_ranges(self, {"people_seen": (0, 1e9), "scale": (1e-9, 1e3), "seeds": (1, 100), "test_people": (0, 1e6),
                            "views": (0, 64), "peer_seconds": (0, 1e6), "peer_steps": (0, 1e9), "batch": (0, 1e6),
                            "echo": (0, 64)})  # fmt: skip

    @property
    def total(self) -> int:
        """People that each row sees in training."""
        return max(1, round((self.people_seen or PEOPLE_SEEN[self.preset]) * self.scale))

    @property
    def studio_people(self) -> int:
        """Different people in the studio: in the paper's ratio to those whom a row of this budget meets in the wild."""
        return max(FEWEST_IN_STUDIO, round(STUDIO_RATIO * self.total / self.plain.get("echo", 1)))

    @property
    def plain(self) -> dict[str, Any]:
        """Settings that all runs share."""
        by_preset = {"nano": {"batch": 32, "echo": 2, "lr": 2e-3, "ema": 0.99, "weights": LossWeights(perceptual=0.0)},
                     "mini": {"batch": 32, "echo": 3, "lr": 1e-3, "ema": 0.995},
                     "paper": {"batch": 8, "lr": 3e-4, "checkpointing": True}}
        asked = {name: value for name, value in (("batch", self.batch), ("echo", self.echo)) if value}
        return by_preset[self.preset] | {"preset": self.preset, "device": self.device, "perceptual": self.lpips,
                                         "preview_every": 0, "save_every": 500} | asked | dict(self.learning)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One stage of training. `out` and `init` of its settings are left open: folders follow from what is trained."""

    settings: TrainSettings
    after: "Run | None" = None

    @property
    def name(self) -> str:
        """Says what it is, and ends in a digest of all that it depends on."""
        s, loose = self.settings, ("out", "init", "resume", "device", "at_once", "log_every", "save_every", "preview_every")
        facts = {key: value for key, value in s.to_dict().items() if key not in loose}
        words = json.dumps([facts, self.after.name if self.after else None], sort_keys=True)
        return f"{s.preset}-{s.stage}-{s.kind}-seed{s.seed}-{hashlib.sha256(words.encode()).hexdigest()[:10]}"

    @property
    def chain(self) -> tuple["Run", ...]:
        """This run and those before it, first to last."""
        return (*(self.after.chain if self.after else ()), self)

    @property
    def people(self) -> int:
        """People seen, repetitions counted."""
        return self.settings.steps * self.settings.batch

    @property
    def met(self) -> int:
        """Different people among them."""
        s = self.settings
        return min(-(-s.steps // s.echo) * s.batch, s.studio_people if s.kind == "studio" else s.people)

    def in_folder(self, runs: Path) -> TrainSettings:
        """Settings with the folders filled in."""
        init = str(runs / self.after.name) if self.after else None
        return replace(self.settings, out=str(runs / self.name), init=init)


@dataclass(frozen=True)
class Row:
    """A line of a table: who re-enacts people, after which runs (one a seed; none for peers that learn from nobody, and for
    "weights", trained elsewhere)."""

    name: str
    runs: tuple[Run, ...] = ()
    images: int = 8
    method: str = "model"


@dataclass(frozen=True)
class Claim:
    """That one row is ahead of another, on these splits."""

    ahead: str
    of: str
    splits: tuple[str, ...] = SPLITS


@dataclass(frozen=True)
class Plan:
    """An experiment. title: of its table."""

    name: str
    title: str
    rows: tuple[Row, ...]
    claims: tuple[Claim, ...]

    @property
    def runs(self) -> tuple[Run, ...]:
        """Every run once, in an order in which they can be trained: all of one seed before the next seed's."""
        finals = [run for row in self.rows for run in row.runs]
        return tuple(dict.fromkeys(run for final in sorted(finals, key=lambda run: run.settings.seed) for run in final.chain))


class Recipes:
    """The kinds of runs that tables are made of, for one budget."""

    def __init__(self, budget: Budget) -> None:
        self.budget, self.seeds = budget, range(budget.seeds)

    def run(self, stage: str, share: float, seed: int, after: Run | None = None, **changes: Any) -> Run:
        """A stage that sees a share of the row's people."""
        plain = {"people": WILD_PEOPLE, "studio_people": self.budget.studio_people} | self.budget.plain | changes
        steps = max(1, round(self.budget.total * share / plain["batch"]))
        return Run(TrainSettings(stage=stage, steps=steps, seed=seed, init="open" if after else None, **plain), after)

    def alone(self, data: str, **changes: Any) -> tuple[Run, ...]:
        """From random weights on one diet: "wild", "studio" or "mixed"."""
        return tuple(self.run("pretrain", 1.0, seed, data=data, **changes) for seed in self.seeds)

    def both(self, post: dict[str, Any] | None = None, **changes: Any) -> tuple[Run, ...]:
        """Pretraining, then post-training. post: changes of the second stage alone."""
        made = []
        for seed in self.seeds:
            first = self.run("pretrain", 1 - POST_SHARE, seed, schedule="constant", **changes)
            rest = {key: value for key, value in changes.items() if key != "people"}  # the studio's stay
            made.append(self.run("posttrain", POST_SHARE, seed, first, **rest | (post or {})))
        return tuple(made)


def table1(recipes: Recipes) -> Plan:
    """Two stages against one, and against both sources mixed."""
    rows = (Row("pre only", recipes.alone("wild")), Row("post only", recipes.alone("studio")),
            Row("mixed", recipes.alone("mixed")), Row("pre then post", recipes.both()))  # fmt: skip
    claims = tuple(Claim("pre then post", row.name) for row in rows[:-1])
    return Plan("table1", "Table 1: two stages against one", rows, claims)


def table2(recipes: Recipes) -> Plan:
    """Ours against peers, from 8 pictures and from 1."""
    lhm = recipes.both(fusion="cross", dual_branch=False, finder=False, face_crops=False)
    learned = (Row("ours", recipes.both()), Row("cross-attention, one branch, no faces", lhm))
    return beside_peers("table2", "Table 2: peers", learned)


def peers(recipes: Recipes) -> Plan:
    """The peers of table 2 that learn from nobody beside weights that have been trained: nothing is to be trained."""
    return beside_peers("peers", f"Table 2 with trained weights: {recipes.budget.weights}", (Row("ours", method="weights"),))


def beside_peers(name: str, title: str, learned: tuple[Row, ...]) -> Plan:
    """These rows, and peers that learn from nobody, from 8 pictures and from 1; the first row is to be ahead."""
    rows, claims = [], []
    for images in (8, 1):
        here = [*learned, Row("optimised for each person", method="optimised"),
                Row("template, projected texture", method="projected")]  # fmt: skip
        here = [replace(row, name=f"{row.name}, {images} image{'s' * (images > 1)}", images=images) for row in here]
        rows += here
        claims += [Claim(here[0].name, peer.name) for peer in here[1:]]
    return Plan(name, title, tuple(rows), tuple(claims))


def table3(recipes: Recipes) -> Plan:
    """More and more people in pretraining, each row seeing equally many pictures; the last one as many as it can
    meet."""
    ours = recipes.both()
    most = ours[0].chain[0].met
    fewer = (Row(f"{count:,} people", recipes.both(people=count)) for count in CROWDS if count < most)
    rows = (*fewer, Row(f"{most:,} people", ours))
    claims = tuple(Claim(more.name, fewer.name, ("test-wild",)) for fewer, more in zip(rows, rows[1:]))
    return Plan("table3", "Table 3: people in pretraining", rows, claims)


def s1(recipes: Recipes) -> Plan:
    """Dual against single branch; layer-wise learning-rate decay."""
    rows = (Row("dual branch, gamma 0.65", recipes.both()), Row("single branch, gamma 0.65", recipes.both(dual_branch=False)),
            Row("gamma 1.0: one rate for all layers", recipes.both(post={"gamma": 1.0})),
            Row("gamma 0.0: only the heads learn", recipes.both(post={"gamma": 0.0})))  # fmt: skip
    return Plan("s1", "Table S1: branches, and gamma", rows, tuple(Claim(rows[0].name, row.name) for row in rows[1:]))


def tokens(recipes: Recipes) -> Plan:
    """Geometry tokens and attention, before and after post-training."""
    after = recipes.both()[:1]
    rows = (Row("before post-training", tuple(run.after for run in after if run.after)), Row("after post-training", after))
    return Plan("tokens", "Figure 6 and S.1: tokens and attention", rows, ())


EXPERIMENTS = {"table1": table1, "table2": table2, "peers": peers, "table3": table3, "s1": s1, "tokens": tokens}


def plan_of(name: str, budget: Budget) -> Plan:
    """A plan by name. Raises: ValueError for another name."""
    if name not in EXPERIMENTS:
        raise ValueError(f"no experiment {name!r}; choose one of {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name](Recipes(budget))


def as_words(budget: Budget) -> dict[str, Any]:
    """The budget in plain values, for JSON."""
    return asdict(budget) | {"people_seen": budget.total, "learning": {k: str(v) for k, v in budget.learning}}
