"""The whole loop against its readable twin, `render(model.drive(avatar, signal), cameras)`."""

from __future__ import annotations

import pytest
import torch

from lca_mini import recorded
from lca_mini.live import Live
from lca_mini.live_options import choose_blending
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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("leading", [(1,), (2,), (2, 3)], ids=["one frame", "people", "frames"])
@pytest.mark.parametrize("blending", ["gsplat", "parts"])
@torch.no_grad()
def test_fixed_lists_draw_what_gsplats_draw(
    blending: str, leading: tuple[int, ...], views: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where cameras come so near that there is no room for all pairs, and when they have gone away again."""
    monkeypatch.setattr(recorded, "LEAST_ROOM", 2048)
    model = tiny_model().to("cuda")
    avatar = model.encode(*(t.to("cuda") for t in tiny_images(leading[0])))
    frames = None if len(leading) == 1 else leading[1]
    cameras = [large(cameras_for(*leading, views=views, distance=distance)).to("cuda") for distance in (40.0, 1.0, 40.0)]
    live = Live(model, avatar, cameras[0], frames, blending=blending)
    other = Live(model, avatar, cameras[0], frames, lists="gsplat")
    assert (live.lists, live.blending, other.lists, other.blending) == ("fixed", blending, "gsplat", "gsplat")
    pairs, rooms = [], []
    for seed, view in enumerate(c for c in cameras for _ in range(3)):
        signal = tiny_signal(*leading, seed=seed)
        live.look(view), other.look(view)
        got, wanted = live(signal if seed % 2 else signal.to("cuda")), other(signal.to("cuda"))
        assert got.shape == wanted.shape == (*leading, views, 512, 512, 3)
        assert ((got - wanted).abs() < 1 / 255).float().mean() > 0.999
        assert (got - wanted).abs().max() < 1e-5  # the same lists: as good as the same picture
        pairs.append(live.count()), rooms.append(live.drawn.room)
        assert pairs[-1] == len(other.bin().ids)
    assert pairs[3] > rooms[0] and rooms[3] >= pairs[3]  # it did run over
    assert rooms[-1] <= 2 * rooms[0] and len(live.drawn.ways) < 6


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@torch.no_grad()
def test_frames_in_a_row_need_not_be_waited_for() -> None:
    """Signals from the host and from the GPU, no synchronisation between calls, each kept by a clone in the stream."""
    model = tiny_model().to("cuda")
    avatar = model.encode(*(t.to("cuda") for t in tiny_images(1)))
    cameras = cameras_for(1).to("cuda")
    live, other = Live(model, avatar, cameras), Live(model, avatar, cameras, lists="gsplat")
    signals = [tiny_signal(1, seed=seed) for seed in range(24)]
    kept = [live(signal if i % 3 else signal.to("cuda")).clone() for i, signal in enumerate(signals)]
    for signal, got in zip(signals, kept):
        assert (got - other(signal.to("cuda"))).abs().max() < 1e-5


def large(cameras: Cameras) -> Cameras:
    """512 x 512 pixels, seen as before."""
    scale = torch.tensor([512 / cameras.width, 512 / cameras.height, 1.0])
    return Cameras(cameras.viewmats, scale[:, None] * cameras.Ks, 512, 512)


def test_lists_are_chosen_or_refused_in_one_sentence() -> None:
    model = tiny_model()
    avatar = model.encode(*tiny_images())
    assert Live(model, avatar, cameras_for(2)).lists is None
    for lists, words in (("sorted", "no lists 'sorted'; choose auto or one of fixed, gsplat"),
                         ("fixed", "gsplat backend")):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            Live(model, avatar, cameras_for(2), lists=lists)


def test_blending_is_chosen_or_refused_in_one_sentence() -> None:
    asked = ((None, 9), ("gsplat", 9), ("fixed", 9), ("fixed", 2**24 + 1))
    assert [choose_blending("auto", *given) for given in asked] == [None, "gsplat", "parts", "gsplat"]
    for given, words in ((("whole", "fixed", 9), "no blending 'whole'; choose auto or one of parts, gsplat"),
                         (("parts", None, 9), "for the gsplat backend"), (("parts", "gsplat", 9), "needs lists"),
                         (("parts", "fixed", 2**24 + 1), "here are 16777217")):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            choose_blending(*given)


@torch.no_grad()
def test_an_unfit_camera_is_one_sentence() -> None:
    model = tiny_model()
    avatar = model.encode(*tiny_images())
    with pytest.raises(ValueError, match="do not fit"):
        Live(model, avatar, cameras_for(3))
    with pytest.raises(ValueError, match="do not fit"):
        Live(model, avatar, cameras_for(2), frames=2)
