"""The main job: from a folder of pictures to a person who turns, talks and moves.

Enters: a folder of pictures (or the eight of a held-out person that ship with the package), weights, perhaps a motion
file. Leaves: `turntable.mp4`, `performance.mp4`, `contact_sheet.png`, `avatar.ply` and `report.json`, all of them or
none. Part of the paper: its data flow from end to end. What differs from the paper: sizes.
"""

from __future__ import annotations

import json
import platform
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator

import torch

from lca_mini.config import check_ranges
from lca_mini.device import choose_device, device_name
from lca_mini.body import rotation_matrices
from lca_mini.capture import performance, turntable
from lca_mini.capture.film import sample_people
from lca_mini.capture.wild import CLEAN
from lca_mini.data import prepare, read_photos
from lca_mini.export import save_ply, save_png, whole_file
from lca_mini.model import load, read_metadata
from lca_mini.model.checkpoint import find_files
from lca_mini.people.splits import seeds_of
from lca_mini.render import BACKENDS, choose_backend
from lca_mini.studio import MOMENTS, Stages, Studio, draw_sheet
from lca_mini.tracks import read_motion, resample, retarget

EXAMPLE = Path(__file__).parent / "assets" / "demo"
EXAMPLE_PERSON = 2
"""Who that is, of the "demo" split."""
EVENLY = tuple(i / 8 for i in range(8))


@dataclass(frozen=True)
class DemoSettings:
    """What to make. size: side of a picture, pixels. motion: a file that `lca_mini.tracks.read_motion` takes,
    instead of the built-in performance. expect: the preset that the weights must have, or None for any."""

    weights: str = "mini"
    expect: str | None = None
    motion: Path | None = None
    device: str = "auto"
    backend: str = "auto"
    size: int = 512
    fps: int = 24
    turn_frames: int = 96
    frames: int = 288

    def __post_init__(self) -> None:
        """Raises: ValueError, one sentence, for settings that make no film."""
        check_ranges(self, {"size": (64, 2048), "fps": (1, 120), "turn_frames": (8, 2000), "frames": (8, 20000)})
        if self.backend not in ("auto", *BACKENDS):
            raise ValueError(f"no render backend {self.backend!r}; choose auto or one of {', '.join(BACKENDS)}")
        choose_device(self.device)


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A temporary folder whose files move into `out` when the block ends, and vanish where it raises.

    Raises: ValueError, before the block begins, where nothing can be written to `out`.
    """
    problem = "cannot write into {!r}: {}; choose another folder with --out"
    try:
        home = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
        temporary = Path(tempfile.mkdtemp(prefix=".lca-mini-", dir=home))
    except OSError as error:
        raise ValueError(problem.format(str(out), error.strerror)) from None
    try:
        yield temporary
        try:
            out.mkdir(parents=True, exist_ok=True)
            for file in sorted(temporary.iterdir()):
                file.replace(out / file.name)
        except OSError as error:
            raise ValueError(problem.format(str(out), error.strerror)) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def run_demo(
    images: Path | None, out: Path, settings: DemoSettings = DemoSettings(), quiet: bool = False
) -> dict[str, Any]:
    """Make everything that the module's first lines name.

    Args:
        images: a folder as `lca_mini.data.read_photos` takes it; None for the packaged example.
        out: folder, made where it is missing.
        quiet: no progress bar.
    Returns: what `report.json` holds.
    Raises: ValueError, one sentence, for bad pictures, weights, motion or output folder; then nothing is written.
    """
    device = choose_device(settings.device)
    backend = choose_backend(device) if settings.backend == "auto" else settings.backend
    with staged(Path(out)) as work, torch.no_grad():
        photos = read_photos(EXAMPLE if images is None else images)
        track = None
        if settings.motion:
            track = resample(read_motion(settings.motion, fps=settings.fps), settings.fps)
        motion = performance(settings.frames, settings.fps) if track is None else track.motion
        frames = len(motion.pose)
        with Stages(12 + 12 + settings.turn_frames + frames + 12 + 2, quiet) as stages:
            with stages.stage("loading weights", 12):
                model = load(settings.weights, device, expect_preset=settings.expect)
                about = read_metadata(find_files(settings.weights)[0])
            with stages.stage("encoding", 12):
                config = model.config
                pictures, faces = prepare(photos, config.image_size, config.face_size, model.find_faces, device)
                avatar = model.encode(pictures, faces)
                if track is not None:
                    motion = retarget(track, model.body, avatar.betas[0]).motion
            studio = Studio(model, avatar, backend, settings.size, settings.fps, stages)
            with stages.stage("filming the turntable", settings.turn_frames):
                turn = studio.film(turntable(settings.turn_frames), work / "turntable.mp4", EVENLY, close_up=False)
            with stages.stage("filming the performance", frames):
                moments = EVENLY if settings.motion else MOMENTS
                play = studio.film(motion, work / "performance.mp4", moments, close_up=True)
            with stages.stage("drawing the sheet", 12):
                save_png(draw_sheet(photos, studio, turn, play), work / "contact_sheet.png")
            with stages.stage("writing the avatar", 2):
                save_ply(avatar.canonical[0], work / "avatar.ply")
        report = {
            "pictures": list(photos.names),
            "weights": {"name": settings.weights, "preset": config.preset, "commit": about.get("commit", "unknown")},
            "body": model.body.name, "device": device_name(device), "backend": backend,
            "gaussians": avatar.canonical.means.shape[1], "size": settings.size, "fps": settings.fps,
            "frames": {"turntable": settings.turn_frames, "performance": frames}, "ms": stages.ms,
            "ms_per_frame": {
                "turntable": round(stages.ms["filming the turntable"] / settings.turn_frames, 1),
                "performance": round(stages.ms["filming the performance"] / frames, 1),
            },
            "versions": versions(),
        }  # fmt: skip
        (work / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    return report


def versions() -> dict[str, str]:
    """Of Python and of the packages that shape the result."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for package in ("lca-mini", "torch", "numpy", "numba", "smplx", "gsplat"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def film_example(folder: Path, person: int = EXAMPLE_PERSON, size: int = 512) -> None:
    """How the packaged pictures were made: somebody of the "demo" split, filmed in the wild, as PNGs with alpha: the
    first five pictures of the whole body that show the face, and the first three that do not."""
    from PIL import Image

    sample = sample_people(seeds_of("demo", person), "wild", 1, 40, size, 128, "cpu", wild=CLEAN)
    heading = sample.cameras.viewmats[0, :, 0, :3, :3] @ rotation_matrices(sample.pose[0, :, 0])
    cut_outs = zip(sample.targets[0], sample.target_masks[0], (heading[:, 2, 2] < -0.5).tolist())
    whole = [c for c in cut_outs if not torch.cat([c[1][0, [0, -1]].flatten(), c[1][0, :, [0, -1]].flatten()]).any()]
    chosen = [c for c in whole if c[2]][:5] + [c for c in whole if not c[2]][:3]
    for i, (picture, mask, _) in enumerate(chosen):
        person_alone = (picture - (1 - mask)) / mask.clamp(min=1 / 255)
        pixels = torch.cat([person_alone, mask]).clamp(0, 1).mul(255).round().byte().movedim(0, -1)
        with whole_file(folder / f"{i + 1}.png") as temporary:
            Image.fromarray(pixels.numpy(), "RGBA").save(temporary, optimize=True)
