"""The CPU rasteriser against the readable reference, in value and gradient, and what both owe to geometry."""

from __future__ import annotations

from dataclasses import replace
from typing import Iterator

import jaxtyping
import pytest
import torch

from render_scenes import BACKGROUND, FIELDS, assert_same, cameras_around, gaussian_cloud, gradients, with_opacities
from lca_mini.render import render
from lca_mini.render.reference import splat
from lca_mini.types import Cameras, Gaussians

SCENES = {
    "random": (gaussian_cloud(), cameras_around()),
    "dense": (gaussian_cloud(1500, size=0.03), cameras_around()),
    "one": (gaussian_cloud(1), cameras_around()),
    "near_plane": (gaussian_cloud(spread=0.3, size=0.02), cameras_around(distance=0.2)),
    "wide_angle": (gaussian_cloud(spread=3.0), cameras_around(distance=1.0)),
    "huge": (gaussian_cloud(60, size=2.0, opacity=-2.0), cameras_around()),
    "tiny": (gaussian_cloud(size=1e-5), cameras_around()),
    "needles": (replace(gaussian_cloud(60), scales=torch.tensor([0.5, 1e-4, 1e-3]).double().expand(1, 60, 3)),
                cameras_around()),
    "faint": (gaussian_cloud(opacity=-6.0), cameras_around()),
    "opacity_0_and_1": (with_opacities(gaussian_cloud()), cameras_around()),
    "opaque": (gaussian_cloud(opacity=7.0), cameras_around()),
    "saturated": (gaussian_cloud(3000, opacity=1.0), cameras_around()),
    "behind": (gaussian_cloud(spread=0.1), cameras_around(distance=-2.0)),
    "views": (gaussian_cloud(), cameras_around(views=3)),
    "batch": (gaussian_cloud(people=3), cameras_around(people=3, views=2)),
    "one_tile": (gaussian_cloud(), cameras_around(width=16, height=16)),
    "one_pixel": (gaussian_cloud(), cameras_around(width=1, height=1)),
}


@pytest.mark.parametrize("name", SCENES)
def test_cpu_agrees_with_reference(name: str) -> None:
    gaussians, cameras = SCENES[name]
    rounded = gaussians.map(lambda t: t.float().double())
    single = cameras.map(lambda t: t.float())
    wanted = gradients(rounded, lambda g: render(g, single, "reference", BACKGROUND))
    got = gradients(gaussians.map(lambda t: t.float()), lambda g: render(g, single, "cpu", BACKGROUND))
    assert_same(got, wanted, *((2e-4, 2e-2) if name == "needles" else ()))


def test_reference_gradients_are_those_of_its_values() -> None:
    cloud, cameras = gaussian_cloud(4, size=0.3)[0], cameras_around(width=5, height=4)
    view, K = cameras.viewmats[0, 0], cameras.Ks[0, 0] / 8
    leaves = [getattr(cloud, field).clone().requires_grad_() for field in FIELDS]
    background = torch.tensor(BACKGROUND, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda *g: splat(*g, view, K, 5, 4, background), leaves, atol=1e-6)


def test_reference_blends_by_hand() -> None:
    """Two splats centred on one pixel: red at 1 m over blue at 2 m, opacities a half."""
    gaussians = Gaussians(
        means=torch.tensor([[0.0, 0, 2], [0.0, 0, 1]]), quats=torch.tensor([[1.0, 0, 0, 0]] * 2),
        scales=torch.tensor([[0.04, 0.04, 1e-6]]).expand(2, 3), opacities=torch.tensor([0.5, 0.5]),
        colors=torch.tensor([[0.0, 0, 1], [1.0, 0, 0]]),
    )
    cameras = Cameras(torch.eye(4)[None], torch.tensor([[[10.0, 0, 1.5], [0, 10, 1.5], [0, 0, 1]]]), 3, 3)
    for backend in ("reference", "cpu"):
        image = render(gaussians, cameras, backend)
        torch.testing.assert_close(image.colors[0, 1, 1], torch.tensor([0.5, 0, 0.25]) + 0.25)
        torch.testing.assert_close(image.alphas[0, 1, 1], torch.tensor([0.75]))
        torch.testing.assert_close(image.depths[0, 1, 1], torch.tensor([(0.5 * 1 + 0.25 * 2) / 0.75]))
        beside = 0.5 * torch.exp(-0.5 / (0.1 + torch.tensor([0.4, 0.2]) ** 2))  # a pixel away; 0.1 of it is blur
        torch.testing.assert_close(image.alphas[0, 1, 2], 1 - (1 - beside).prod()[None])


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_order_of_gaussians_does_not_matter(backend: str) -> None:
    gaussians, cameras = gaussian_cloud().map(lambda t: t.float()), cameras_around()
    turned = gaussians.map(lambda t: t.flip(1))
    a, b = render(gaussians, cameras, backend), render(turned, cameras, backend)
    torch.testing.assert_close(a.colors, b.colors, atol=1e-6, rtol=0)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_camera_projects_and_unprojects_to_the_same_point(backend: str) -> None:
    """The centroid of a splat, at its rendered depth, leads back to its mean."""
    cameras = cameras_around(views=5, width=64, height=64, distance=3.0).map(lambda t: t.float())
    cloud = replace(gaussian_cloud(1, spread=0.1), scales=torch.full((1, 1, 3), 0.03).double())
    gaussians = cloud.map(lambda t: t.float())
    image = render(gaussians, cameras, backend)
    centres = torch.arange(64) + 0.5
    mass = image.alphas[0, ..., 0] / image.alphas[0, ..., 0].sum((1, 2), keepdim=True)
    pixels = torch.stack([(mass.sum(1) * centres).sum(1), (mass.sum(2) * centres).sum(1), torch.ones(5)], dim=-1)
    depth = image.depths[0].amax((1, 2))
    rays = torch.linalg.solve(cameras.Ks[0], pixels[..., None]) * depth[..., None]
    R, t = cameras.viewmats[0, :, :3, :3], cameras.viewmats[0, :, :3, 3:]
    points = (R.mT @ (rays - t))[..., 0]
    torch.testing.assert_close(points, gaussians.means[0].expand(5, 3), atol=3e-3, rtol=0)


def test_an_empty_view_is_the_background() -> None:
    gaussians, cameras = gaussian_cloud(spread=0.1), cameras_around(distance=-2.0)
    image = render(gaussians, cameras, "cpu", BACKGROUND)
    assert (image.colors == torch.tensor(BACKGROUND)).all()
    assert (image.alphas == 0).all() and (image.depths == 0).all()


def test_no_gaussians_at_all() -> None:
    image = render(gaussian_cloud(0), cameras_around(), "cpu", BACKGROUND)
    assert (image.colors == torch.tensor(BACKGROUND)).all()


def test_absurd_values_stay_inside_their_arrays() -> None:
    """Zero quaternions mean no rotation; Gaussians as large as float32 goes are drawn or culled, not a crash."""
    gaussians, cameras = gaussian_cloud(50).map(lambda t: t.float()), cameras_around()
    zero, unit = torch.zeros(1, 50, 4), torch.tensor([1.0, 0, 0, 0]).expand(1, 50, 4)
    a, b = (render(replace(gaussians, quats=q), cameras, "cpu") for q in (zero, unit))
    assert torch.equal(a.colors, b.colors)
    for changes in ({"means": gaussians.means * 1e37}, {"scales": gaussians.scales * 1e37}, {"quats": unit * 1e38}):
        gradients(replace(gaussians, **changes), lambda g: render(g, cameras, "cpu"))


def test_threads_change_nothing() -> None:
    gaussians, before = gaussian_cloud(800).map(lambda t: t.float()), torch.get_num_threads()
    cameras, results = cameras_around(width=130, height=70), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(gradients(gaussians, lambda g: render(g, cameras, "cpu")))
    finally:
        torch.set_num_threads(before)
    for image, grads in results[1:]:
        assert torch.equal(image.colors, results[0][0].colors)
        assert all(torch.equal(grads[field], results[0][1][field]) for field in FIELDS)


def test_leading_dims_and_half_precision() -> None:
    gaussians = gaussian_cloud(50, people=6).map(lambda t: t.bfloat16())
    cameras = cameras_around(people=6, views=2)
    flat = render(gaussians, cameras)
    grid = render(gaussians.map(lambda t: t.unflatten(0, (2, 3))), cameras.map(lambda t: t.unflatten(0, (2, 3))))
    assert grid.colors.shape == (2, 3, 2, 37, 50, 3) and grid.colors.dtype == torch.float32
    assert torch.equal(grid.depths.flatten(0, 1), flat.depths)


def test_gradients_reach_only_what_asks_for_them() -> None:
    gaussians = gaussian_cloud(20).map(lambda t: t.float())
    colors = gaussians.colors.clone().requires_grad_()
    render(replace(gaussians, colors=colors), cameras_around()).colors.sum().backward()
    assert colors.grad is not None and gaussians.means.grad is None


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Shapes as a user may get them wrong: without the checks that tests put on signatures."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def wrong(**changes) -> tuple[Gaussians, Cameras]:
    gaussians, cameras = gaussian_cloud(10), cameras_around()
    own = {k: v for k, v in changes.items() if k in FIELDS}
    return replace(gaussians, **own), replace(cameras, **{k: v for k, v in changes.items() if k not in FIELDS})


@pytest.mark.parametrize("changes, message", [
    ({"quats": torch.zeros(1, 10, 3)}, "quats have shape"),
    ({"opacities": torch.zeros(1, 10, 1)}, "opacities have shape"),
    ({"colors": torch.zeros(1, 9, 3)}, "colors have shape"),
    ({"means": torch.zeros(3)}, "means must have shape"),
    ({"means": torch.full((1, 10, 3), float("nan"))}, "means hold values that are not finite"),
    ({"scales": torch.full((1, 10, 3), float("inf"))}, "scales hold values that are not finite"),
    ({"viewmats": torch.eye(4)}, "viewmats have shape"),
    ({"Ks": torch.eye(3).expand(1, 2, 3, 3)}, "Ks have shape"),
    ({"Ks": torch.zeros(1, 1, 3, 3)}, "focal length that is not positive"),
    ({"width": 0}, "both must be positive"),
    ({"colors": torch.zeros(1, 10, 3, device="meta")}, "colors are on meta"),
])
@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_one_sentence(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        render(*wrong(**changes))
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("unchecked")
def test_bad_backends_are_one_sentence() -> None:
    gaussians, cameras = wrong()
    with pytest.raises(ValueError, match="no render backend 'opengl'; choose auto or one of gsplat, cpu, reference"):
        render(gaussians, cameras, "opengl")
    with pytest.raises(ValueError, match="the gsplat backend draws CUDA tensors, these are on cpu"):
        render(gaussians, cameras, "gsplat")
    with pytest.raises(ValueError, match="background must be three numbers"):
        render(gaussians, cameras, background=(1.0, 1.0))
    with pytest.raises(ValueError, match="no render backend runs on meta tensors"):
        render(gaussians.to("meta"), cameras.to("meta"))


def test_kernels_compile_where_no_cache_can_be_written() -> None:
    """numba refuses to decorate a function without a place for its cache; ours compiles it all the same."""
    from lca_mini.compiled import jit

    scope: dict = {}
    exec("def add(a, b):\n    return a + b", scope)
    assert jit(scope["add"])(2, 3) == 5
