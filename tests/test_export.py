"""Files that leave the library: what is in them, and that none is left half-written."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import pytest
import torch

from lca_mini.export import PLY_FIELDS, VideoWriter, contact_sheet, load_ply, save_ply, save_png, save_video
from lca_mini.types import Gaussians


def some_gaussians(count: int = 7) -> Gaussians:
    g = torch.Generator().manual_seed(0)
    return Gaussians(
        means=torch.randn(count, 3, generator=g),
        quats=torch.nn.functional.normalize(torch.randn(count, 4, generator=g), dim=-1),
        scales=0.01 + torch.rand(count, 3, generator=g), opacities=0.05 + 0.9 * torch.rand(count, generator=g),
        colors=torch.rand(count, 3, generator=g),
    )


def test_ply_round_trip(tmp_path: Path) -> None:
    wanted = some_gaussians()
    save_ply(wanted, tmp_path / "new" / "avatar.ply")
    got = load_ply(tmp_path / "new" / "avatar.ply")
    for field in ("means", "quats", "scales", "opacities", "colors"):
        torch.testing.assert_close(getattr(got, field), getattr(wanted, field))
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["avatar.ply"]


def test_ply_is_what_viewers_expect(tmp_path: Path) -> None:
    g = Gaussians(
        means=torch.tensor([[1.0, 2.0, 3.0]]), quats=torch.tensor([[0.0, 1.0, 0.0, 0.0]]),
        scales=torch.tensor([[1.0, math.e, 0.0]]), opacities=torch.tensor([1.0]),
        colors=torch.tensor([[0.5, 1.0, 0.0]]),
    )
    save_ply(g, tmp_path / "one.ply")
    head, _, body = (tmp_path / "one.ply").read_bytes().partition(b"end_header\n")
    lines = head.decode().splitlines()
    assert lines[:3] == ["ply", "format binary_little_endian 1.0", "element vertex 1"]
    assert lines[3:] == [f"property float {name}" for name in PLY_FIELDS]
    values = dict(zip(PLY_FIELDS, struct.unpack("<17f", body)))
    assert (values["x"], values["y"], values["z"], values["nx"]) == (1, 2, 3, 0)
    assert values["f_dc_0"] == 0 and values["f_dc_1"] == pytest.approx(0.5 / 0.28209479177387814)
    assert values["scale_1"] == pytest.approx(1) and math.isfinite(values["scale_2"])
    assert 10 < values["opacity"] < 20 and values["rot_1"] == 1


def test_ply_refusals(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one set of Gaussians"):
        save_ply(some_gaussians()[None], tmp_path / "a.ply")
    save_ply(some_gaussians(), tmp_path / "a.ply")
    (tmp_path / "cut.ply").write_bytes((tmp_path / "a.ply").read_bytes()[:-5])
    (tmp_path / "text.ply").write_text("hello")
    for name, message in (("cut", "is cut off: 7 Gaussians"), ("text", "is not a binary"), ("none", "cannot read")):
        with pytest.raises(ValueError, match=message):
            load_ply(tmp_path / f"{name}.ply")


def test_unwritable_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match="cannot write") as caught:
        save_ply(some_gaussians(), tmp_path / "file" / "a.ply")
    assert "\n" not in str(caught.value)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ValueError, match="cannot write"):
        save_png(torch.zeros(4, 4, 3), tmp_path / "folder.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.png"]


def test_png_keeps_its_pixels(tmp_path: Path) -> None:
    import numpy as np
    from PIL import Image

    picture = torch.linspace(-0.1, 1.1, 5 * 7 * 3).reshape(5, 7, 3)
    save_png(picture, tmp_path / "a.png")
    got = torch.from_numpy(np.array(Image.open(tmp_path / "a.png")))
    assert torch.equal(got, (picture.clamp(0, 1) * 255).round().to(torch.uint8))


def test_video_plays_and_keeps_its_colours(tmp_path: Path) -> None:
    import imageio_ffmpeg

    ramp = torch.linspace(0.1, 0.9, 6)
    frames = (torch.full((33, 49, 3), float(value)) for value in ramp)
    assert save_video(frames, tmp_path / "ramp.mp4", fps=12) == 6
    reader = imageio_ffmpeg.read_frames(str(tmp_path / "ramp.mp4"), pix_fmt="rgb24")
    meta = next(reader)
    assert meta["codec"] == "h264" and meta["pix_fmt"].startswith("yuv420p") and meta["size"] == (50, 34)
    assert meta["fps"] == pytest.approx(12)
    levels = [torch.frombuffer(bytearray(frame), dtype=torch.uint8).float().mean().item() / 255 for frame in reader]
    torch.testing.assert_close(torch.tensor(levels), ramp, atol=0.03, rtol=0)
    assert [p.name for p in tmp_path.iterdir()] == ["ramp.mp4"]


def test_a_video_that_fails_leaves_nothing(tmp_path: Path) -> None:
    picture = torch.zeros(8, 8, 3, dtype=torch.uint8)
    with pytest.raises(ValueError, match="frame of shape"):
        save_video([picture, torch.zeros(8, 10, 3)], tmp_path / "a.mp4")
    with pytest.raises(ValueError, match="no frames"):
        save_video([], tmp_path / "a.mp4")
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "a.mp4") as video:
        video.add(picture)
        raise KeyboardInterrupt
    with pytest.raises(ValueError, match="must end in .mp4"):
        VideoWriter(tmp_path / "a.gif")
    assert not list(tmp_path.iterdir())


def test_contact_sheet_lays_out_in_rows() -> None:
    sheet = contact_sheet([torch.full((2, 3, 3), float(i) / 10) for i in range(5)], columns=3, gap=1)
    assert sheet.shape == (5, 11, 3)
    assert (sheet[3:5, 4:7] == round(0.4 * 255)).all() and (sheet[:2, 8:11] == 51).all()
    assert (sheet[2] == 255).all() and (sheet[3:, 8:] == 255).all()
    with pytest.raises(ValueError, match="one size"):
        contact_sheet([torch.zeros(2, 2, 3), torch.zeros(2, 3, 3)], 2)
    with pytest.raises(ValueError, match="at least one column"):
        contact_sheet([], 2)
