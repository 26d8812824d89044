"""What a folder of samples says of itself: `manifest.json`.

Enters: the plan of a folder. Leaves: the same as JSON, with every shard's size and SHA-256; and checks that a folder is
what it says. No part of the paper. Whoever writes a file here does so beside its place and renames it when whole.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from lca_mini.capture.takes import Studio
from lca_mini.config import MOST_IMAGES, check_ranges
from lca_mini.people.splits import SPLITS, seeds_of, split_of

FILE, FORMAT = "manifest.json", "lca_mini samples, version 1"
MAKERS = ("people", "capture", "body", "assets/wardrobe.npz", "assets/smplx")
PARTIAL = ".partial"


@dataclass(frozen=True)
class Plan:
    """Whom a folder holds and how they are filmed. people: how many, from the `start`-th of the split. shard: people a
    file. device: "cpu" or "cuda", whose pictures differ by rounding. routines, cameras, views, light: of
    `capture.takes.Studio`; wild people have none of these."""

    kind: str
    split: str
    people: int
    start: int = 0
    references: int = 8
    targets: int = 4
    image_size: int = 256
    face_size: int = 128
    shard: int = 64
    device: str = "cpu"
    routines: float = 0.0
    cameras: int = 40
    views: int = 1
    light: str = "even"

    def __post_init__(self) -> None:
        """Raises: ValueError, one sentence, for a plan that cannot be."""
        check_ranges(self, {"people": (1, 10**8), "references": (1, MOST_IMAGES), "targets": (1, 64), "image_size": (16, 2048),
                  "face_size": (16, 1024), "shard": (1, 10**5)})
        for name in ("image_size", "face_size"):
            if getattr(self, name) % 8:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be a multiple of 8")
        seeds_of(self.split, self.start, self.people)
        if self.kind == "wild" and self.studio != Studio():
            raise ValueError("routines, cameras, views and light are a studio's; people of kind wild have none of these")

    @property
    def studio(self) -> Studio:
        """How a studio films them. Raises: ValueError for one that cannot be."""
        return Studio(self.routines, self.cameras, self.views, self.light)

    @property
    def shards(self) -> list[tuple[str, int, int]]:
        """File, first seed and number of people of each shard."""
        first, count = SPLITS[self.split] + self.start, -(-self.people // self.shard)
        names = (f"data/{self.split}-{i:05d}-of-{count:05d}.parquet" for i in range(count))
        return [(name, first + i * self.shard, min(self.shard, self.people - i * self.shard))
                for i, name in enumerate(names)]


@dataclass(frozen=True)
class Manifest:
    """A plan, what made it, and what of it is there: file to (bytes, SHA-256)."""

    plan: Plan
    generator: dict[str, str]
    done: dict[str, tuple[int, str]]

    @property
    def complete(self) -> bool:
        """Whether every shard is there."""
        return all(name in self.done for name, _, _ in self.plan.shards)

    def with_shard(self, name: str, path: Path) -> Manifest:
        """The same with one more shard."""
        return replace(self, done=self.done | {name: (path.stat().st_size, sha256(path))})

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        shards = [{"file": name, "seeds": [first, first + count - 1], "bytes": self.done[name][0],
                   "sha256": self.done[name][1]} for name, first, count in self.plan.shards if name in self.done]
        last = self.plan.shards[-1]
        return {"format": FORMAT, "generator": self.generator, "plan": asdict(self.plan),
                "seeds": [self.plan.shards[0][1], last[1] + last[2] - 1], "complete": self.complete, "shards": shards}

    def save(self, folder: Path) -> None:
        """Write it, whole or not at all."""
        write_whole(folder / FILE, (json.dumps(self.to_dict(), indent=1) + "\n").encode())


def read_manifest(folder: Path) -> Manifest:
    """What a folder says of itself.

    Raises: ValueError, one sentence, where there is no manifest, or it is damaged or of another format.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        raise ValueError(f"{str(folder)!r} is no folder of samples: it has no {FILE}; make one with lca-mini data make")
    try:
        said = json.loads(path.read_text())
        if said["format"] != FORMAT:
            raise ValueError(f"its format is {said['format']!r}")
        manifest = Manifest(Plan(**said["plan"]), dict(said["generator"]),
                            {s["file"]: (int(s["bytes"]), str(s["sha256"])) for s in said["shards"]})
        said["plan"] = asdict(manifest.plan)  # older ones lack what came later
        if said != manifest.to_dict():
            raise ValueError("its seeds or shards do not follow from its plan")
    except (ValueError, KeyError, TypeError, OSError, AttributeError) as error:
        raise ValueError(f"{str(path)!r} is no manifest that this version reads ({error})") from None
    return manifest


def find_fault(folder: Path, manifest: Manifest, name: str, quick: bool = False) -> str | None:
    """What is wrong with a shard, as words, or None. quick: look at its size alone."""
    path = Path(folder) / name
    if name not in manifest.done:
        return "was never finished"
    if not path.is_file():
        return "is missing"
    size, digest = manifest.done[name]
    if path.stat().st_size != size:
        return f"is damaged: it has {path.stat().st_size} bytes instead of {size}"
    if not quick and sha256(path) != digest:
        return "is damaged: its SHA-256 is not the one in the manifest"
    return None


def check_seeds(seeds: list[int], split: str, first: int, count: int, where: str) -> None:
    """Raises: ValueError where people are not those of a shard, or not of its split."""
    strays = [seed for seed in seeds if not 0 <= seed - SPLITS[split] < 10**8]
    if strays:
        raise ValueError(f"{where} is declared {split!r} but holds person {strays[0]}, who is of {named(strays[0])}")
    if seeds != list(range(first, first + count)):
        raise ValueError(f"{where} should hold the people {first} to {first + count - 1}, in their order, and does not")


def named(seed: int) -> str:
    """The split of a seed in words."""
    try:
        return repr(split_of(seed))
    except ValueError:
        return "no split"


@lru_cache(maxsize=1)
def generator() -> dict[str, str]:
    """Which program makes samples here: its version, and a digest of the code and assets that decide on pixels."""
    from lca_mini import __version__

    root = Path(__file__).parents[1]
    files = [f for part in MAKERS for f in ([root / part] if (root / part).is_file() else (root / part).rglob("*"))]
    digest = hashlib.sha256()
    for file in sorted(f for f in files if f.suffix in (".py", ".npz")):
        digest.update(file.relative_to(root).as_posix().encode() + file.read_bytes())
    return {"name": "lca_mini", "version": __version__, "digest": digest.hexdigest()[:16]}


def sha256(path: Path) -> str:
    """Of a file, in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside its place, then rename it; an interruption leaves a `.partial`, which the next one replaces."""
    beside = path.with_name(path.name + PARTIAL)
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
