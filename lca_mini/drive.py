"""`lca-mini drive`: an avatar performs a motion file, a recorded face, or somebody else's pictures.

Enters: an avatar (pictures, or a file of `save_avatar`), a motion, a face. Leaves: an MP4, and a JSON beside it that says
what ran; both or neither. Part of the paper: driving by theta, epsilon and psi. What differs from the paper: epsilon
may come from 52 named actions.

Who says what: the motion moves body and hands, and face, jaw and eyes where no face is given. A face brings its actions
or codes, and its gaze where it has one; the motion's jaw joint then rests. The film is as long as the shorter of the two.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from lca_mini.capture import turntable
from lca_mini.config import check_ranges
from lca_mini.data import Photos, prepare, read_photos
from lca_mini.demo import EXAMPLE, staged, versions
from lca_mini.device import choose_device, device_name
from lca_mini.driving import body_cameras, face_cameras, steady
from lca_mini.export import VideoWriter
from lca_mini.model import LCA, load, read_metadata
from lca_mini.model.avatar_file import load_avatar, save_avatar
from lca_mini.model.checkpoint import find_files
from lca_mini.render import BACKENDS, choose_backend
from lca_mini.studio import CHUNK, Stages, Studio
from lca_mini.tracks import Track, combine, read_face, read_motion, resample, retarget
from lca_mini.tracks.track import JAW, even_times
from lca_mini.transfer import FRAMINGS, FilmedFace, filmed_face, is_pictures, picture_files
from lca_mini.types import Avatar

VIEWS = ("both", "body", "face")


@dataclass(frozen=True)
class DriveSettings:
    """What to make of what. seconds: longest, 0 for all. The rest as `lca-mini drive --help` says."""

    motion: Path | None = None
    face: Path | None = None
    weights: str = "mini"
    up: str = "auto"
    gaze: str = "actions"
    face_fps: float | None = None
    framing: str = "find"
    view: str = "both"
    size: int = 512
    fps: int = 30
    seconds: float = 0.0
    save: Path | None = None
    device: str = "auto"
    backend: str = "auto"

    def __post_init__(self) -> None:
        """Raises: ValueError, one sentence, for settings that make no film."""
        check_ranges(self, {"size": (64, 2048), "fps": (1, 120), "seconds": (0, 3600)})
        if self.motion is None and self.face is None:
            raise ValueError("nothing to perform: give --motion, --face or both")
        if self.face_fps is not None and not 0 < self.face_fps <= 1000:
            raise ValueError(f"face_fps is {self.face_fps}; it must lie above 0 and at most 1000")
        for name, value, known in (("view", self.view, VIEWS), ("framing", self.framing, FRAMINGS),
                                   ("render backend", self.backend, ("auto", *BACKENDS))):  # fmt: skip
            if value not in known:
                raise ValueError(f"no {name} {value!r}; choose one of {', '.join(known)}")
        if self.save is not None and self.save.suffix != ".safetensors":
            raise ValueError(f"an avatar's name must end in .safetensors, unlike {str(self.save)!r}")
        choose_device(self.device)


def run_drive(avatar: Path | None, out: Path, settings: DriveSettings, quiet: bool = False) -> dict[str, Any]:
    """Make the film.

    Args:
        avatar: a folder as `lca_mini.data.read_photos` takes it, or a file of `save_avatar`; None for the packaged example.
        out: the video, .mp4; the JSON gets its name.
        quiet: no progress bar.
    Returns: what the JSON holds.
    Raises: ValueError, one sentence, for anything that cannot be used; then nothing is written.
    """
    out = Path(out)
    if out.suffix != ".mp4":
        raise ValueError(f"the video's name must end in .mp4, unlike {str(out)!r}")
    device = choose_device(settings.device)
    backend = choose_backend(device) if settings.backend == "auto" else settings.backend
    with staged(out.parent) as work, torch.no_grad():
        body = read_motion(settings.motion, settings.up) if settings.motion else None
        recorded = read_recorded(settings)
        photos = None
        if avatar is None or not Path(avatar).is_file():
            photos = read_photos(EXAMPLE if avatar is None else avatar)
        elif Path(avatar).suffix != ".safetensors":
            raise ValueError(f"avatar {str(avatar)!r} is neither a folder of pictures nor a .safetensors file")
        with Stages(40, quiet) as stages:
            with stages.stage("loading weights", 12):
                model = load(settings.weights, device)
                about = read_metadata(find_files(settings.weights)[0])
            with stages.stage("encoding", 12):
                person = encoded(model, photos, device) if photos else load_avatar(model, Path(avatar))
                if settings.save is not None:
                    save_avatar(model, person, work / settings.save.name, {"commit": about.get("commit", "unknown")})
            filmed = None
            with stages.stage("reading the face", 16):
                if settings.face is not None and recorded is None:
                    filmed = filmed_face(model, settings.face, settings.face_fps, settings.framing)
            track, codes = timeline(body, recorded, filmed, settings)
            if body is not None:
                track = retarget(track, model.body, person.betas[0])
            frames = len(track.seconds)
            stages.bar.total += frames
            with stages.stage("filming", frames):
                film(Studio(model, person, backend, settings.size, settings.fps, stages), track, codes, work / out.name,
                     settings.view)
        report = {
            "avatar": "the packaged example" if avatar is None else str(avatar),
            "motion": str(settings.motion) if settings.motion else "standing still",
            "face": str(settings.face) if settings.face else "the motion's own",
            "expression": "read off pictures" if filmed else "facial actions",
            "notes": [*track.notes, *(filmed.notes if filmed else ())],
            "weights": {"name": settings.weights, "preset": model.config.preset, "commit": about.get("commit", "unknown")},
            "body": model.body.name, "device": device_name(device), "backend": backend, "view": settings.view,
            "gaussians": person.canonical.means.shape[1], "size": settings.size, "fps": settings.fps, "frames": frames,
            "ms": stages.ms, "ms_per_frame": round(stages.ms["filming"] / frames, 1), "versions": versions(),
        }  # fmt: skip
        (work / f"{out.stem}.json").write_text(json.dumps(report, indent=2) + "\n")
        if settings.save is not None:
            move(work / settings.save.name, settings.save)
    return report


def read_recorded(settings: DriveSettings) -> Track | None:
    """The face where it is a recording of actions; of pictures and videos only that they are there."""
    if settings.face is None:
        return None
    if is_pictures(settings.face):
        picture_files(Path(settings.face))
        return None
    return read_face(settings.face, settings.face_fps, settings.gaze)


def move(file: Path, place: Path) -> None:
    """A finished file to another folder. Raises: ValueError where that cannot be written."""
    from lca_mini.export import whole_file

    with whole_file(place) as temporary:
        temporary.write_bytes(file.read_bytes())
    file.unlink()


def encoded(model: LCA, photos: Photos, device: str) -> Avatar:
    """The avatar of a folder of pictures."""
    config = model.config
    return model.encode(*prepare(photos, config.image_size, config.face_size, model.find_faces, device))


def timeline(
    body: Track | None, recorded: Track | None, filmed: FilmedFace | None, settings: DriveSettings
) -> tuple[Track, Float[Tensor, "F E"] | None]:
    """Everything at the film's frame rate: one track, and the codes of pictures where these drive."""
    longest = settings.seconds or float("inf")
    if body is None:
        length = float((filmed or recorded).seconds[-1])  # type: ignore[union-attr]
        if filmed is not None and len(filmed.seconds) > 1:
            length += float(filmed.seconds[-1] - filmed.seconds[-2])  # the last picture is shown, too
        frames = max(1, int(min(length, longest) * settings.fps + 1e-6) + 1)
        motion = turntable(1)[torch.zeros(frames, dtype=torch.long)]
        body = Track(motion, even_times(frames, settings.fps), frozenset({"pose", "transl"}))
    track = body if recorded is None else combine(body, recorded, settings.fps)
    if filmed is not None and len(filmed.seconds) > 1:
        longest = min(longest, float(2 * filmed.seconds[-1] - filmed.seconds[-2]))
    track = resample(track, settings.fps, longest)
    if filmed is None:
        return track, None
    pose = track.motion.pose.clone()
    pose[:, JAW] = 0  # the codes open the mouth
    return replace(track, motion=replace(track.motion, pose=pose)), filmed.at(track.seconds)


def film(studio: Studio, track: Track, codes: Float[Tensor, "F E"] | None, path: Path, view: str) -> None:
    """Write the video: the body, the face, or both beside each other."""
    signal, joints = studio.joints(track.motion)
    if codes is not None:
        signal = replace(signal, expression=codes.to(joints.device)[None])
    ahead = torch.zeros(1, device=joints.device)
    views = {"body": body_cameras(steady(joints, 1 + 2 * studio.fps), ahead, studio.size),
             "face": face_cameras(steady(joints, 9), ahead, studio.size)}  # fmt: skip
    cameras = [camera for name, camera in views.items() if view in (name, "both")]
    with VideoWriter(path, studio.fps) as video:
        for first in range(0, len(track.seconds), CHUNK):
            part = (slice(None), slice(first, first + CHUNK))
            for shot in studio.shoot(signal[part], [camera[part] for camera in cameras]).unbind(1):
                video.add(torch.cat(tuple(shot), dim=1))
                studio.stages.tick()
