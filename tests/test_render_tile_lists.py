"""Tile lists with fixed room against gsplat's rule written out, numba's lists, and on a GPU gsplat's own.

On a CPU the kernels run in Triton's interpreter, in a process of their own."""

from __future__ import annotations


import numpy as np
import pytest
import torch

from lca_mini.recorded import room_for
from lca_mini.render.gsplat_stages import TILE, Projected
from interpreter import CUDA, INTERPRETED, outside, run_interpreted
from render_scenes import BACKGROUND, cameras_around, gaussian_cloud, with_opacities

DEVICE = "cpu" if INTERPRETED or not CUDA else "cuda"
interpreted_or_cuda = pytest.mark.skipif(not (INTERPRETED or CUDA), reason="another test runs this one, interpreted")
on_cuda = pytest.mark.skipif(not CUDA or INTERPRETED, reason="needs a CUDA device")


def splats(*images: int, count: int = 60, width: int = 100, height: int = 70, reach: float = 12.0, seed: int = 0,
           out: float = 0.3) -> Projected:  # fmt: skip
    """Random splats [*images count .]: some beyond the picture by a share `out` of it, some culled (with garbage in
    their other fields, as gsplat leaves it), some at the same depth."""
    g = torch.Generator().manual_seed(seed)
    size = torch.tensor([width, height])
    means = (torch.rand(*images, count, 2, generator=g) * (1 + 2 * out) - out) * size
    radii = (torch.rand(*images, count, 2, generator=g) * reach).ceil().int()
    depths = torch.randint(1, 40, (*images, count), generator=g) / 8.0
    culled = torch.rand(*images, count, generator=g) < 0.2
    radii[culled] = 0
    means[culled], depths[culled] = torch.nan, -3.0
    return Projected(radii, means, depths, torch.ones(*images, count, 3))


def written_out(projected: Projected, width: int, height: int) -> tuple[list[list[int]], np.ndarray]:
    """Every tile's list, image after image, nearest first and of two at one depth the earlier; and each splat's tiles
    (x0, x1, y0, y1), flattened over images."""
    tiles_x, tiles_y = -(-width // TILE), -(-height // TILE)
    radii, means = projected.radii.reshape(-1, 2).float(), projected.means2d.reshape(-1, 2)
    depths, each = projected.depths.flatten().tolist(), projected.depths.shape[-1]
    low, high = ((means - radii) / TILE).floor(), ((means + radii) / TILE).ceil()
    lists: list[list[int]] = [[] for _ in range(len(depths) // each * tiles_x * tiles_y)]
    rects = np.zeros((len(depths), 4), np.int32)
    for n in sorted(range(len(depths)), key=lambda n: depths[n]):
        if (radii[n] <= 0).any():
            continue
        (x0, y0), (x1, y1) = low[n].tolist(), high[n].tolist()
        x0, x1 = (int(min(max(x, 0), tiles_x)) for x in (x0, x1))
        y0, y1 = (int(min(max(y, 0), tiles_y)) for y in (y0, y1))
        rects[n] = x0, x1, y0, y1
        for y in range(y0, y1):
            for x in range(x0, x1):
                lists[(n // each * tiles_y + y) * tiles_x + x].append(n)
    return lists, rects


def made(projected: Projected, width: int, height: int, room: int | None = None) -> tuple[list[list[int]], int, object]:
    """The same lists by the kernels, read as gsplat's blending reads them; how many pairs; the raw result."""
    from lca_mini.render.tile_lists import list_tiles, rank

    projected = projected.to(DEVICE)
    ranked = rank(projected, width, height)
    total = int(ranked.total)
    binned = list_tiles(projected, ranked, room or room_for(total), width, height)
    tiles_x, tiles_y = -(-width // TILE), -(-height // TILE)
    offsets, ids = binned.offsets.cpu(), binned.ids.tolist()
    assert offsets.shape == (*projected.depths.shape[:-1], tiles_y + 1, tiles_x) and len(ids) == (room or room_for(total))
    flat = [*offsets.flatten().tolist(), len(ids)]
    lists = []
    for at in range(offsets.numel()):
        image, within = divmod(at, (tiles_y + 1) * tiles_x)
        if within < tiles_y * tiles_x:
            lists.append(ids[flat[at] : flat[at + 1]])
        elif at + 1 < offsets.numel():
            assert flat[at] == flat[at + 1]  # the row below the picture is empty, but for what nobody reads
    return lists, total, binned


SCENES = {
    "one image": (splats(1, 1), 100, 70),
    "images": (splats(2, 3, 2, count=25), 100, 70),
    "whole tiles": (splats(1, 1, width=64, height=32, count=40), 64, 32),
    "one pixel": (splats(1, 1, width=1, height=1, count=20, reach=3.0, out=4.0), 1, 1),
    "huge": (splats(1, 1, count=30, reach=400.0), 100, 70),
    "outside": (splats(1, 1, count=30, reach=2.0, out=0.0).map(lambda t: t + 500 if t.dtype == torch.float32 else t), 100, 70),
    "one splat": (splats(1, 1, count=1, seed=6, out=0.0), 100, 70),
    "many": (splats(1, 2, count=400, reach=30.0), 100, 70),
}


@interpreted_or_cuda
@pytest.mark.parametrize("name", SCENES)
def test_interpreted_lists_are_the_rule_written_out(name: str) -> None:
    projected, width, height = SCENES[name]
    lists, total, _ = made(projected, width, height)
    wanted, _ = written_out(projected, width, height)
    assert lists == wanted and total == sum(map(len, wanted))
    assert (total == 0) == (name == "outside")


@interpreted_or_cuda
def test_interpreted_lists_are_numbas() -> None:
    """From the same rectangles; numba's sort is stable too."""
    pytest.importorskip("numba")
    from lca_mini.render.kernels import DEPTH, SPLAT, bin_tiles

    projected = splats(1, 1, count=300)
    _, rects = written_out(projected, 100, 70)
    rows = np.zeros((300, SPLAT), np.float32)
    rows[:, DEPTH] = projected.depths[0, 0].numpy()
    _, starts, ids = bin_tiles(rows, rects, rows.view(np.uint32), 7, 5)
    lists, _, _ = made(projected, 100, 70)
    assert lists == [ids[a:b].tolist() for a, b in zip(starts[:-1], starts[1:])]


@interpreted_or_cuda
def test_interpreted_too_little_room_keeps_the_nearest() -> None:
    """And is told by the number of pairs; nothing is written or read outside."""
    projected = splats(1, 2, count=200, reach=60.0)
    wanted, _ = written_out(projected, 100, 70)
    lists, total, binned = made(projected, 100, 70, room=512)
    assert total == sum(map(len, wanted)) > 512
    assert sum(map(len, lists)) == 512 and binned.offsets.max() == 512
    assert all(kept == whole[: len(kept)] for kept, whole in zip(lists, wanted))


@interpreted_or_cuda
def test_interpreted_keys_reach_the_last_tile() -> None:
    """As many tiles as 16 bits number: unused slots share the last one's key."""
    width = height = 256 * TILE
    projected = splats(1, 1, count=50, width=width, height=height, reach=40.0)
    projected.means2d[0, 0, :2], projected.radii[0, 0, :2] = width - 3.0, 2
    projected.depths[0, 0, :2] = torch.tensor([4.0, 1.0])
    lists, _, _ = made(projected, width, height)
    wanted, _ = written_out(projected, width, height)
    assert lists == wanted and wanted[-1][:2] == [1, 0]


@interpreted_or_cuda
def test_interpreted_more_tiles_take_longer_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    from lca_mini.render import tile_lists

    monkeypatch.setattr(tile_lists, "MOST_SHORT", 34)
    projected, width, height = SCENES["images"]
    assert made(projected, width, height)[0] == written_out(projected, width, height)[0]


@outside
def test_triton_in_the_interpreter() -> None:
    run_interpreted(__file__, len(SCENES) + 4, "interpreted_")


CLOUDS = {
    "random": (gaussian_cloud(), cameras_around()),
    "dense": (gaussian_cloud(3000, size=0.03), cameras_around(width=200, height=150)),
    "near_plane": (gaussian_cloud(spread=0.3, size=0.02), cameras_around(distance=0.2)),
    "huge": (gaussian_cloud(60, size=2.0, opacity=-2.0), cameras_around()),
    "opacity_0_and_1": (with_opacities(gaussian_cloud()), cameras_around()),
    "behind": (gaussian_cloud(spread=0.1), cameras_around(distance=-2.0)),
    "one_pixel": (gaussian_cloud(), cameras_around(width=1, height=1)),
    "batch": (gaussian_cloud(people=3), cameras_around(people=3, views=2)),
}


@on_cuda
@pytest.mark.parametrize("name", CLOUDS)
@torch.no_grad()
def test_lists_and_pictures_are_gsplats_own(name: str) -> None:
    """Id for id; so pictures agree to the last bit."""
    from lca_mini.render.gsplat_stages import bin_tiles, blend, project
    from lca_mini.render.tile_lists import list_tiles, rank

    gaussians, cameras = (scene.map(lambda t: t.float().cuda()) for scene in CLOUDS[name])
    colour = torch.tensor(BACKGROUND, device="cuda").expand(*cameras.viewmats.shape[:-2], 3).contiguous()
    projected, size = project(gaussians, cameras), (cameras.width, cameras.height)
    wanted, ranked = bin_tiles(projected, *size), rank(projected, *size)
    total = int(ranked.total)
    assert total == len(wanted.ids)
    binned = list_tiles(projected, ranked, room_for(total), *size)
    assert torch.equal(binned.ids[:total], wanted.ids)
    assert torch.equal(binned.offsets[..., :-1, :], wanted.offsets)
    pictures = [blend(gaussians, projected, lists, *size, colour) for lists in (binned, wanted)]
    assert torch.equal(*pictures)
