"""The whole loop against its readable twin, `render(model.drive(avatar, signal), cameras)`."""

from __future__ import annotations

import pytest
import torch

from lca_mini.live import Live
from lca_mini.render import render
from lca_mini.types import Cameras
from model_tiny import tiny_images, tiny_model, tiny_signal
from render_scenes import BACKGROUND, cameras_around

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"))]


def cameras_for(*leading: int, views: int = 2, distance: float = 2.0) -> Cameras:
    flat = cameras_around(people=torch.Size(leading).numel(), views=views, distance=distance).map(lambda t: t.float())
    return flat.map(lambda t: t.unflatten(0, leading))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("leading", [(2,), (2, 3)], ids=["one frame", "frames"])
@torch.no_grad()
def test_live_draws_what_drive_and_render_draw(device: str, leading: tuple[int, ...]) -> None:
    model = tiny_model().to(device)
    avatar = model.encode(*(t.to(device) for t in tiny_images()))
    assert avatar.light.any()
    cameras, elsewhere = cameras_for(*leading).to(device), cameras_for(*leading, distance=1.5).to(device)
    frames = None if len(leading) == 1 else leading[1]
    live = Live(model, avatar, cameras, frames, precision="float32", background=BACKGROUND)
    for seed, view in enumerate((cameras, cameras, elsewhere)):
        signal = tiny_signal(*leading, seed=seed).to(device)
        live.look(view)
        wanted = render(model.drive(avatar, signal), view, background=BACKGROUND).colors
        got = live(signal)
        assert got.shape == wanted.shape and (wanted != wanted[0, 0, 0, 0]).any()
        assert (got - wanted).abs().mean() < 1e-4  # one Gaussian at the edge of a tile may fall to either side
        assert ((got - wanted).abs() < 1 / 255).float().mean() > 0.999


@torch.no_grad()
def test_an_unfit_camera_is_one_sentence() -> None:
    model = tiny_model()
    avatar = model.encode(*tiny_images())
    with pytest.raises(ValueError, match="do not fit"):
        Live(model, avatar, cameras_for(3))
    with pytest.raises(ValueError, match="do not fit"):
        Live(model, avatar, cameras_for(2), frames=2)
