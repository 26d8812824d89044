"""The fast drive path against its readable twin, `LCA.drive`: on this CPU, in Triton's interpreter, and on a GPU."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lca_mini.model.drive_plan import chains, make_plan, pack, unpack
from lca_mini.model.driver import Driver
from lca_mini.model.light import LIGHT_REACH
from lca_mini.types import Avatar, DrivingSignal, Gaussians
from interpreter import CUDA, INTERPRETED, outside, run_interpreted
from model_tiny import tiny_images, tiny_model, tiny_signal

LEADING = {"one frame": (2,), "frames": (2, 3), "one person": (1, 4)}


def avatar_of(model, people: int) -> Avatar:
    """Of all colours, each person in another light, which takes some of them beyond one."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        avatar = model.encode(*tiny_images(people))
    colors = torch.rand(avatar.canonical.colors.shape, generator=generator)
    light = torch.randn(people, 8, 3, generator=generator)
    return replace(avatar, canonical=replace(avatar.canonical, colors=colors), light=light)


def assert_twins(got: Gaussians, wanted: Gaussians, tolerance: float = 5e-6) -> None:
    for field, value in vars(wanted).items():
        assert getattr(got, field).shape == value.shape, field
        error = (getattr(got, field) - value).abs().max()
        allowed = tolerance * (1 + LIGHT_REACH) if field == "colors" else tolerance  # the light magnifies errors too
        assert error < allowed, f"{field} differ by {error:.1e}"


def frames_of(leading: tuple[int, ...]) -> int | None:
    return None if len(leading) == 1 else leading[1]


@pytest.mark.parametrize("scale", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("leading", LEADING.values(), ids=LEADING)
def test_numba_drives_as_the_readable_path_does(leading: tuple[int, ...], scale: float) -> None:
    model = tiny_model()
    avatar, signal = avatar_of(model, leading[0]), tiny_signal(*leading, scale=scale)
    driver = Driver(model, avatar, frames_of(leading))
    assert (driver.kernels, driver.precision) == ("numba", "float32")
    assert_twins(driver(signal), model.drive(avatar, signal))


def test_buffers_stay_and_are_overwritten() -> None:
    model = tiny_model()
    avatar = avatar_of(model, 1)
    driver, signals = Driver(model, avatar), [tiny_signal(1, seed=seed) for seed in range(3)]
    first = driver(signals[0])
    kept = first.map(torch.clone)
    for signal in signals[1:]:
        again = driver(signal)
        assert again.means.data_ptr() == first.means.data_ptr()
        assert_twins(again, model.drive(avatar, signal))
    assert_twins(kept, model.drive(avatar, signals[0]))


def test_torch_kernels_are_the_readable_path() -> None:
    for model in (tiny_model(), tiny_model(dual_branch=False)):
        avatar, signal = avatar_of(model, 2), tiny_signal(2, 3)
        assert_twins(Driver(model, avatar, 3, "torch")(signal), model.drive(avatar, signal), 1e-7)
    assert Driver(model, avatar).kernels == "torch"  # no correction branch


def test_threads_change_nothing() -> None:
    model, signal, before = tiny_model(), tiny_signal(2), torch.get_num_threads()
    avatar, made = avatar_of(model, 2), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            made.append(Driver(model, avatar)(signal).map(torch.clone))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(made[0].quats, other.quats) for other in made)


def test_packed_rows_are_the_signal() -> None:
    signal = tiny_signal(2, 3)
    again = unpack(torch.cat(pack(signal), dim=-1))
    assert all(torch.equal(value, getattr(again, part)) for part, value in vars(signal).items())


def test_chains_lead_to_the_root() -> None:
    assert chains([-1, 0, 1, 0]).tolist() == [[0, -1, -1], [1, 0, -1], [2, 1, 0], [3, 0, -1]]


def test_refusals() -> None:
    model = tiny_model()
    avatar = avatar_of(model, 1)
    for arguments, words in (
        ({"kernels": "opengl"}, "no kernels 'opengl'; choose auto or one of numba, triton, torch"),
        ({"kernels": "triton"}, 'kernels "triton" do not run on CPU tensors'),
        ({"precision": "int4"}, "no precision 'int4'"), ({"precision": "float16"}, "compute in float32 alone"),
        ({"frames": 0}, "at least one frame"),
    ):
        with pytest.raises(ValueError, match=words):
            Driver(model, avatar, **arguments)
    with pytest.raises(ValueError, match='drive it with kernels="torch"'):
        Driver(tiny_model(dual_branch=False), avatar, kernels="numba")
    driver = Driver(model, avatar)
    with pytest.raises(ValueError, match="does not fit a driver"):
        driver(tiny_signal(2))
    with pytest.raises(ValueError, match="expression code of 3 numbers"):
        driver(replace(tiny_signal(1), expression=torch.zeros(1, 3)))


def interpreted(model, avatar: Avatar, signal: DrivingSignal, precision: str) -> Gaussians:
    from lca_mini.model.drive_triton import TritonKernels

    kernels = TritonKernels(make_plan(model, avatar, frames_of(signal.pose.shape[:-2])), precision)
    kernels.packed.copy_(torch.cat(pack(signal), dim=-1))
    kernels.run()
    return kernels.gaussians


@pytest.mark.skipif(not INTERPRETED, reason="another test runs this one in a process of its own, interpreted")
@pytest.mark.parametrize("leading", LEADING.values(), ids=LEADING)
@pytest.mark.parametrize("precision, tolerance", [("float32", 5e-6), ("float16", 2e-4)])
@torch.no_grad()
def test_triton_kernels_interpreted(leading: tuple[int, ...], precision: str, tolerance: float) -> None:
    # one layer alone rounds the signal itself, and errs the more the larger that is: at 0.3 as much as the bound allows
    for changes, scale in (({}, 0.3), ({"correction_layers": 1}, 0.3 if precision == "float32" else 0.1)):
        model = tiny_model(**changes)
        avatar, signal = avatar_of(model, leading[0]), tiny_signal(*leading, scale=scale)
        assert_twins(interpreted(model, avatar, signal, precision), model.drive(avatar, signal), tolerance)


@outside
def test_triton_in_the_interpreter() -> None:
    run_interpreted(__file__, 6)


@pytest.mark.skipif(not CUDA, reason="needs a CUDA device")
@pytest.mark.parametrize("leading", LEADING.values(), ids=LEADING)
@pytest.mark.parametrize("kernels, precision, tolerance", [
    ("torch", "float32", 1e-5), ("triton", "float32", 1e-5), ("triton", "float16", 2e-4), ("triton", "bfloat16", 2e-3),
])  # fmt: skip
@torch.no_grad()
def test_cuda_drives_as_the_readable_path_does(
    leading: tuple[int, ...], kernels: str, precision: str, tolerance: float
) -> None:
    """In metres, and in units of colour; `lca-mini bench drive` measures the same of real sizes."""
    model = tiny_model()
    avatar = avatar_of(model, leading[0])
    wanted = [model.drive(avatar, tiny_signal(*leading, seed=seed)) for seed in range(3)]
    driver = Driver(model.to("cuda"), avatar.to("cuda"), frames_of(leading), kernels, precision)
    for seed in range(3):
        signal = tiny_signal(*leading, seed=seed)
        for given in (signal, signal.to("cuda")):  # from the CPU it is copied
            assert_twins(driver(given).map(lambda t: t.cpu()), wanted[seed], tolerance)
