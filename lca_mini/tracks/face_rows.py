"""Rows of numbers by name, and when they were: what the recordings of `face_files` have in common.

Enters: the text of a CSV or a JSON file. Leaves: a dictionary a frame, names without case and underscores; times in
seconds where the file has them; its frame rate where it says one. No part of the paper.
"""

from __future__ import annotations

import csv
import json
import re
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

TIMES = {"timestampms": 1e-3, "timestamp": 1.0, "time": 1.0, "seconds": 1.0}
NESTED = ("faceBlendshapes", "face_blendshapes", "blendshapes", "categories")
LIVE_LINK_FPS = 60

Rows = list[dict[str, float]]


def plain(name: str) -> str:
    """A column's name without case, underscores and spaces."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def csv_rows(text: str, name: str) -> tuple[Rows, Tensor | None, float | None]:
    """Rows by plain column names, their times where there are any, and no rate."""
    lines = [line for line in csv.reader(text.splitlines()) if any(cell.strip() for cell in line)]
    if len(lines) < 2:
        raise ValueError(f"{name} has no rows below its header")
    header, codes, rows = [plain(cell) for cell in lines[0]], [], []
    if len(set(header)) < len(header):
        raise ValueError(f"{name} names a column twice")
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(header):
            raise ValueError(f"line {number} of {name} has {len(line)} cells where the header has {len(header)}")
        row = dict(zip(header, line))
        codes.append(row.pop("timecode", None))
        try:
            rows.append({key: float(cell) for key, cell in row.items() if key not in ("displayname", "subject")})
        except ValueError as error:
            raise ValueError(f"line {number} of {name} holds a cell that is no number ({error})") from None
    if codes[0] is not None:
        return rows, timecodes(codes, name), None
    return rows, times_of(rows), None


def json_rows(text: str, name: str) -> tuple[Rows, Tensor | None, float | None]:
    """The same of MediaPipe's JSON; the rate is "fps" where the file has it."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{name} is no JSON ({error})") from None
    fps = data.get("fps") if isinstance(data, dict) else None
    frames = data.get("frames") if isinstance(data, dict) else data
    if not isinstance(frames, list) or not frames:
        raise ValueError(f'{name} must be a list of frames, or {{"fps": 30, "frames": [...]}}')
    rows = [frame_row(frame, f"frame {i} of {name}") for i, frame in enumerate(frames)]
    return rows, times_of(rows), float(fps) if isinstance(fps, (int, float)) else None


def frame_row(frame: Any, name: str) -> dict[str, float]:
    """One frame, in whichever of the nestings."""
    row: dict[str, float] = {}
    if isinstance(frame, dict):
        row = {plain(key): float(value) for key, value in frame.items() if isinstance(value, (int, float))}
        inner = next((frame[key] for key in NESTED if key in frame), None)
        if inner is None:
            return row
        frame = inner
    if isinstance(frame, list) and len(frame) == 1 and not named(frame[0]):  # one list a face
        frame = frame[0]
    if isinstance(frame, dict):
        return row | frame_row(frame, name)
    if not isinstance(frame, list) or not all(map(named, frame)):
        raise ValueError(f"{name} is no list of categories with a name and a score, or holds no face or several")
    return row | {plain(category.get("categoryName") or category["category_name"]): float(category["score"])
                  for category in frame}  # fmt: skip


def named(category: Any) -> bool:
    """Whether that is a category with its score."""
    return isinstance(category, dict) and "score" in category and bool({"categoryName", "category_name"} & category.keys())


def times_of(rows: Rows) -> Float[Tensor, " F"] | None:
    """Seconds, where every row has a time."""
    for key, unit in TIMES.items():
        if all(key in row for row in rows):
            return unit * torch.tensor([row[key] for row in rows], dtype=torch.float64)
    return None


def timecodes(codes: list[str | None], name: str) -> Float[Tensor, " F"]:
    """Seconds of Live Link Face's timecodes; a recording may pass midnight once."""
    fields = []
    for code in codes:
        match = re.fullmatch(r"\s*(\d+):(\d+):(\d+)[:;](\d+(?:\.\d+)?)\s*", code or "")
        if not match:
            raise ValueError(f"{name} has the timecode {code!r}, which is not hours:minutes:seconds:frames")
        fields.append([float(field) for field in match.groups()])
    hours, minutes, whole, frames = torch.tensor(fields, dtype=torch.float64).unbind(1)
    clock = 3600 * hours + 60 * minutes + whole
    counts = torch.unique_consecutive(clock, return_counts=True)[1]
    rate = float(counts[1:-1].median()) if len(counts) > 2 else LIVE_LINK_FPS
    rate = max(rate, float(frames.max().floor()) + 1)
    seconds = clock + frames / rate
    return torch.where(seconds < seconds[0], seconds + 86400, seconds)
