"""gsplat against the reference and the CPU rasteriser, in value and gradient. Runs where there is a GPU."""

from __future__ import annotations

import pytest
import torch

from render_scenes import BACKGROUND, assert_same, cameras_around, gaussian_cloud, gradients, with_opacities
from lca_mini.bench.scenes import posed_avatar
from lca_mini.render import choose_backend, render
from lca_mini.render.gsplat_stages import bin_tiles, blend, project

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="gsplat needs a CUDA device")


SCENES = {
    "random": (gaussian_cloud(), cameras_around()),
    "dense": (gaussian_cloud(1500, size=0.03), cameras_around()),
    "near_plane": (gaussian_cloud(spread=0.3, size=0.02), cameras_around(distance=0.2)),
    "wide_angle": (gaussian_cloud(spread=3.0), cameras_around(distance=1.0)),
    "huge": (gaussian_cloud(60, size=2.0, opacity=-2.0), cameras_around()),
    "tiny": (gaussian_cloud(size=1e-5), cameras_around()),
    "opacity_0_and_1": (with_opacities(gaussian_cloud()), cameras_around()),
    "behind": (gaussian_cloud(spread=0.1), cameras_around(distance=-2.0)),
    "views": (gaussian_cloud(), cameras_around(views=3)),
    "one_pixel": (gaussian_cloud(), cameras_around(width=1, height=1)),
    "faint": (gaussian_cloud(opacity=-6.0), cameras_around()),
    "batch": (gaussian_cloud(people=3), cameras_around(people=3, views=2)),
}


# Values within 2e-3, gradients within 1e-2 of their norm. A Gaussian that a pixel barely sees (alpha about 1/255) is
# drawn by one backend and not by the other: that is 1/255 of a colour at most, once, and is what the 2e-3 allow for.
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


@pytest.mark.parametrize("seed", range(11, 16))
def test_fresh_random_scenes(seed: int) -> None:
    """Scenes that nobody has tuned: sizes, distances and opacities are drawn too."""
    g = torch.Generator().manual_seed(seed)
    spread, size, opacity, distance = (torch.rand(4, generator=g) * torch.tensor([1.0, 0.15, 4.0, 3.0])).tolist()
    gaussians = gaussian_cloud(400, 2, 0.1 + spread, 0.01 + size, opacity - 2, seed).map(lambda t: t.float())
    cameras = cameras_around(2, 2, 61, 43, 0.5 + distance, seed).map(lambda t: t.float())
    got = gradients(gaussians.to("cuda"), lambda g: render(g, cameras.to("cuda"), "gsplat", BACKGROUND))
    assert_same(got, gradients(gaussians, lambda g: render(g, cameras, "cpu", BACKGROUND)), values=4e-3, slopes=2e-2)


@pytest.mark.parametrize("name", SCENES)
@torch.no_grad()
def test_stages_are_gsplats_own_call(name: str) -> None:
    """What `lca_mini.live` puts together draws what `gsplat.rasterization` draws, to the last bit but its order."""
    gaussians, cameras = (scene.map(lambda t: t.float().cuda()) for scene in SCENES[name])
    colour = torch.tensor(BACKGROUND, device="cuda").expand(*cameras.viewmats.shape[:-2], 3).contiguous()
    projected, size = project(gaussians, cameras), (cameras.width, cameras.height)
    picture = blend(gaussians, projected, bin_tiles(projected, *size), *size, colour)
    torch.testing.assert_close(picture, render(gaussians, cameras, background=BACKGROUND).colors, atol=1e-6, rtol=0)


@torch.no_grad()
def test_the_shipped_avatar_looks_the_same_from_both_backends() -> None:
    """Waving, at 512 x 512: less than 1/255 apart at 99.9% of the pixels."""
    scene = posed_avatar("mini", 512, "cpu", frames=4)
    gaussians = scene.model.drive(scene.avatar, scene.signal)
    ours = render(gaussians, scene.cameras, "cpu")
    theirs = render(gaussians.to("cuda"), scene.cameras.to("cuda"), "gsplat")
    apart = (ours.colors - theirs.colors.cpu()).abs().amax(-1)
    assert (ours.alphas > 0.5).float().mean() > 0.1  # somebody is there
    assert (apart < 1 / 255).float().mean() > 0.999
