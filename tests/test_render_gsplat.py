"""gsplat against the reference and the CPU rasteriser, in value and gradient. Runs where there is a GPU."""

from __future__ import annotations

import pytest
import torch

from render_scenes import BACKGROUND, assert_same, cameras_around, gaussian_cloud, gradients
from lca_mini.render import choose_backend, render

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="gsplat needs a CUDA device")

SCENES = {
    "random": (gaussian_cloud(), cameras_around()),
    "dense": (gaussian_cloud(1500, size=0.03), cameras_around()),
    "near_plane": (gaussian_cloud(spread=0.3, size=0.02), cameras_around(distance=0.2)),
    "wide_angle": (gaussian_cloud(spread=3.0), cameras_around(distance=1.0)),
    "tiny": (gaussian_cloud(size=1e-5), cameras_around()),
    "faint": (gaussian_cloud(opacity=-6.0), cameras_around()),
    "batch": (gaussian_cloud(people=3), cameras_around(people=3, views=2)),
}


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("name", SCENES)
def test_gsplat_agrees(name: str, backend: str) -> None:
    gaussians, cameras = (scene.map(lambda t: t.float()) for scene in SCENES[name])
    got = gradients(gaussians.to("cuda"), lambda g: render(g, cameras.to("cuda"), "gsplat", BACKGROUND))
    rounded = gaussians.map(lambda t: t.double()) if backend == "reference" else gaussians
    wanted = gradients(rounded, lambda g: render(g, cameras, backend, BACKGROUND))
    assert_same(got, wanted, values=2e-3, slopes=1e-2)


def test_empty_view_has_no_depth_and_auto_is_gsplat() -> None:
    gaussians, cameras = gaussian_cloud(spread=0.1).to("cuda"), cameras_around(distance=-2.0).to("cuda")
    assert choose_backend(gaussians.means.device) == "gsplat"
    image = render(gaussians, cameras, background=BACKGROUND)
    assert (image.depths == 0).all() and (image.alphas == 0).all()
    torch.testing.assert_close(image.colors[0, 0, 0, 0].cpu(), torch.tensor(BACKGROUND))


def test_cpu_backend_refuses_gpu_tensors() -> None:
    with pytest.raises(ValueError, match="the cpu backend draws CPU tensors"):
        render(gaussian_cloud(5).to("cuda"), cameras_around().to("cuda"), "cpu")
