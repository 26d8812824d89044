"""Blending in parts of a tile against the readable reference, and on a GPU against gsplat's kernel.

On a CPU the kernels run in Triton's interpreter, in a process of their own."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lca_mini.recorded import room_for
from lca_mini.render import reference
from lca_mini.render.gsplat_stages import TILE, Binned, Projected
from lca_mini.types import Cameras, Gaussians
from interpreter import CUDA, INTERPRETED, outside, run_interpreted
from render_scenes import BACKGROUND, cameras_around, gaussian_cloud, with_opacities

DEVICE = "cpu" if INTERPRETED or not CUDA else "cuda"
interpreted_or_cuda = pytest.mark.skipif(not (INTERPRETED or CUDA), reason="another test runs this one, interpreted")
on_cuda = pytest.mark.skipif(not CUDA or INTERPRETED, reason="needs a CUDA device")


def walls(count: int = 40) -> Gaussians:
    """Opaque ones behind each other and close up: pixels stop before the list ends."""
    cloud = gaussian_cloud(count, size=0.5, opacity=6.0)
    return replace(cloud, means=cloud.means * 0.3)


def needles() -> Gaussians:
    """Long and thin, turned any way: most tiles of their rectangles they do not reach."""
    cloud = gaussian_cloud(40, opacity=2.0)
    return replace(cloud, scales=cloud.scales * torch.tensor([2.4, 0.1, 0.1], dtype=torch.float64))


SCENES = {
    "random": (gaussian_cloud(80), cameras_around()),
    "walls": (walls(), cameras_around(width=50, height=10)),
    "needles": (needles(), cameras_around()),
    "huge": (gaussian_cloud(30, size=2.0, opacity=-2.0), cameras_around(width=20, height=18)),
    "opacity 0 and 1": (with_opacities(gaussian_cloud(60)), cameras_around()),
    "one pixel": (gaussian_cloud(), cameras_around(width=1, height=1)),
    "empty": (gaussian_cloud(20), cameras_around(distance=2.0, width=16, height=16)),
    "people and views": (gaussian_cloud(25, people=2), cameras_around(people=2, views=2, width=20, height=10)),
}
SCENES["empty"][0].means[..., 0] += 1e4


def projected(gaussians: Gaussians, cameras: Cameras) -> Projected:
    """By the readable reference, with radii as gsplat has them: where alpha falls under 1/255."""
    parts = []
    for person, viewmats, Ks in zip(range(len(gaussians.means)), cameras.viewmats, cameras.Ks):
        one = gaussians[person]
        for viewmat, K in zip(viewmats, Ks):
            means, covariances, depths = reference.project(
                one.means, one.quats, one.scales, viewmat, K, cameras.width, cameras.height
            )
            reach = (2 * torch.log(255 * one.opacities).clamp(min=0)).sqrt()
            radii = (reach[:, None] * covariances.diagonal(dim1=1, dim2=2).sqrt()).ceil().int()
            radii[depths < reference.NEAR] = 0
            conics = torch.linalg.inv(covariances)[:, [0, 0, 1], [0, 1, 1]]
            parts.append((radii, means.float(), depths.float(), conics.float()))
    grid = cameras.viewmats.shape[:2]
    return Projected(*(torch.stack(field).unflatten(0, grid) for field in zip(*parts)))


def listed(splats: Projected, opacities: torch.Tensor, width: int, height: int) -> tuple[Binned, int]:
    """Lists with parts, and for how many pairs. Interpreted, each slot takes time: a few are spare, not thousands."""
    from lca_mini.render.tile_lists import LANES, list_tiles, rank

    ranked = rank(splats, width, height)
    total = int(ranked.total)
    room = (total // LANES + 1) * LANES if INTERPRETED else room_for(total)
    return list_tiles(splats, ranked, room, width, height, opacities), total


def drawn(gaussians: Gaussians, splats: Projected, cameras: Cameras) -> torch.Tensor:
    """By the kernels."""
    from lca_mini.render.tile_blend import blend_parts

    size = cameras.width, cameras.height
    binned, _ = listed(splats, gaussians.opacities, *size)
    colour = torch.tensor(BACKGROUND, device=DEVICE).expand(*splats.depths.shape[:-1], 3).contiguous()
    return blend_parts(gaussians, splats, binned, *size, colour)


@interpreted_or_cuda
@pytest.mark.parametrize("name", SCENES)
def test_interpreted_parts_are_the_reference(name: str) -> None:
    gaussians, cameras = SCENES[name]
    colour = torch.tensor(BACKGROUND, dtype=torch.float64)
    wanted = reference.draw(gaussians, cameras, colour).colors
    single = gaussians.map(lambda t: t.float().to(DEVICE).contiguous())
    got = drawn(single, projected(gaussians, cameras).to(DEVICE), cameras).cpu().double()
    assert got.shape == wanted.shape and (got - wanted).abs().max() < 2e-5
    assert ((wanted - colour).abs().max() < 1e-6) == (name == "empty")


@interpreted_or_cuda
@pytest.mark.parametrize("wide, high", [(8, 8), (16, 4), (4, 8)])
def test_interpreted_parts_may_have_other_sizes(wide: int, high: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from lca_mini.render import tile_blend, tile_lists

    for module in (tile_lists, tile_blend):
        monkeypatch.setattr(module, "WIDE", wide), monkeypatch.setattr(module, "HIGH", high)
    monkeypatch.setattr(tile_blend, "AT_ONCE", 3)
    test_interpreted_parts_are_the_reference("people and views")


@interpreted_or_cuda
def test_interpreted_bits_are_the_parts_with_a_visible_pixel() -> None:
    """None is missing; some more may be there, as a part is taken for the rectangle that its pixels' centres span."""
    from lca_mini.render.tile_lists import HIGH, WIDE

    gaussians, cameras = SCENES["needles"]
    splats = projected(gaussians, cameras).map(lambda t: t[0, 0][None, None])
    binned, total = listed(splats.to(DEVICE), gaussians.opacities.float().to(DEVICE), 50, 37)
    words, offsets = binned.ids[:total].cpu(), binned.offsets.flatten()[:13].tolist()
    pixels = torch.stack(torch.meshgrid(torch.arange(64), torch.arange(48), indexing="xy"), dim=-1) + 0.5
    d = pixels - splats.means2d[0, 0, :, None, None]
    a, b, c = splats.conics[0, 0, :, :, None, None].unbind(1)
    sigma = 0.5 * (a * d[..., 0] ** 2 + c * d[..., 1] ** 2) + b * d[..., 0] * d[..., 1]
    seen = gaussians.opacities[0, :, None, None] * torch.exp(-sigma) >= 1 / 255
    across = TILE // WIDE
    had = spare = 0
    for tile in range(12):
        left, top = tile % 4 * TILE, tile // 4 * TILE
        for word in words[offsets[tile] : offsets[tile + 1]].tolist():
            for part in range(TILE * TILE // (WIDE * HIGH)):
                x, y = left + part % across * WIDE, top + part // across * HIGH
                there, bit = seen[word & (2**24 - 1), y : y + HIGH, x : x + WIDE].any(), word >> (24 + part) & 1
                assert bit or not there
                had, spare = had + bit, spare + (bit and not there)
    assert spare < 0.15 * had and had < 0.7 * 8 * total


@outside
def test_triton_in_the_interpreter() -> None:
    run_interpreted(__file__, len(SCENES) + 4, "interpreted_")


@on_cuda
@pytest.mark.parametrize("name", SCENES)
@torch.no_grad()
def test_parts_are_gsplats_pictures(name: str) -> None:
    from lca_mini.render.gsplat_stages import bin_tiles, blend, project

    gaussians, cameras = (scene.map(lambda t: t.float().cuda().contiguous()) for scene in SCENES[name])
    colour = torch.tensor(BACKGROUND, device="cuda").expand(*cameras.viewmats.shape[:-2], 3).contiguous()
    splats, size = project(gaussians, cameras), (cameras.width, cameras.height)
    wanted = blend(gaussians, splats, bin_tiles(splats, *size), *size, colour)
    assert (drawn(gaussians, splats, cameras) - wanted).abs().max() < 2e-5
