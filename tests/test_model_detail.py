"""Detail: colours come from where the pictures show a place, and from nowhere else."""

from __future__ import annotations

import torch

from lca_mini.model.detail import HEIGHTS, NEAR, Detail, anchor_facts, gaussian_facts, sample
from lca_mini.model.light import no_light
from lca_mini.model.projection import Seen

PLACES = torch.tensor([[[0.10, 0.19, 0.0], [0.13, 0.21, 0.0]], [[0.2, 0.05, 0.0], [0.21, 0.07, 0.0]]])
NORMALS = torch.tensor([[0.0, 0.0, -1.0], [0.0, 0.0, -1.0]])


def flat_world(size: int = 32) -> tuple[torch.Tensor, torch.Tensor, Seen]:
    """A picture [1 1 3 size size] of a plane whose colours tell where they are, its map, and how its anchors are seen:
    x and y are metres, 1 cm a pixel; the camera looks along z."""
    along = (torch.arange(size) + 0.5) / 100
    y, x = torch.meshgrid(along, along, indexing="ij")
    picture = torch.stack([x * 3, y * 3, torch.full_like(x, 0.5)])
    cells = (torch.arange(size // 4) + 0.5) * 0.04
    v, u = torch.meshgrid(cells, cells, indexing="ij")
    affine = torch.tensor([[1.0, 0], [0, 1], [0, 0], [0, 0]]) * 100 / size
    seen = Seen(affine.expand(1, 1, 2, 4, 2), torch.full((1, 1, 2), 50.0))
    return picture[None, None], torch.stack([u, v, 0 * u, 0 * u + 1, 0 * u + 0.01])[None, None], seen


def test_places_between_pixels_have_the_colours_between() -> None:
    picture, maps, seen = flat_world()
    colors, distance, cover = gaussian_facts(picture, maps, seen, PLACES[None])
    assert (colors[0, 0, ..., :2] - 3 * PLACES[..., :2]).abs().max() < 1e-4
    assert distance.max() < 1e-4 and torch.allclose(cover, torch.ones(()))
    _, facts, distance, cover, weight, turned = anchor_facts(picture, maps, seen, PLACES, NORMALS, 0.0)
    assert torch.allclose(turned, torch.tensor([0.0, 0.0, 1.0]))  # towards the camera
    assert torch.allclose(facts[..., 3], torch.ones(())) and distance.max() < 1e-4  # seen head on
    assert cover.shape[-1] == len(HEIGHTS) and 0.8 < weight.min() <= weight.max() < 1


def test_beyond_the_picture_nothing_is_seen_and_nothing_is_empty() -> None:
    picture, maps, seen = flat_world()
    outside = PLACES + torch.tensor([1.0, 0, 0])
    _, _, distance, cover, *_ = anchor_facts(picture, 0 * maps, seen, outside, NORMALS, 0.0)
    assert distance.min() > 10 * NEAR and cover.min() == 1
    assert not gaussian_facts(picture, maps, seen, outside[None])[2].any()


def test_pictures_that_do_not_show_a_place_do_not_count() -> None:
    torch.manual_seed(0)
    detail, tokens, unlit = Detail(16, 2, PLACES.mean(1)), torch.zeros(1, 2, 16), no_light(1, torch.device("cpu")).light
    picture, maps, seen = flat_world()
    behind = maps.clone()
    behind[:, :, 2] += 1.0  # a metre behind: something else is in front
    both = (torch.cat([picture, 1 - picture], dim=1), torch.cat([maps, behind], dim=1), seen.map(lambda t: t.repeat(1, 2, *[1] * (t.dim() - 2))))

    def painted(kind: tuple, mask: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        more, gathered = detail((kind,), PLACES, NORMALS, mask)
        assert not more.any()  # nothing is added before training
        return detail.paint((kind,), PLACES[None], gathered, tokens, unlit)

    alone, share = painted((picture, maps, seen))
    assert torch.allclose(painted(both)[0], alone, atol=1e-3) and (share - torch.sigmoid(torch.tensor(-2.0))).abs().max() < 1e-3
    assert torch.allclose(painted(both, torch.tensor([[True, False]]))[0], alone, atol=1e-6)
    nowhere, share = painted((picture, behind, seen))
    assert share.max() < 1e-6 and torch.isfinite(nowhere).all()
    from_behind, share = detail.paint(((picture, maps, seen),), PLACES[None], detail(
        ((picture, maps, seen),), PLACES, -NORMALS, None)[1], tokens, unlit)
    assert share.max() < 0.01


def test_painted_colours_lose_the_light_of_their_picture() -> None:
    picture, maps, seen = flat_world()
    detail, tokens = Detail(16, 2, PLACES.mean(1)), torch.zeros(1, 2, 16)
    _, gathered = detail(((picture, maps, seen),), PLACES, NORMALS, None)
    light = torch.zeros(1, 8, 3)
    light[:, 2, 0] = 0.3  # from the camera, red
    plain, lit = (detail.paint(((picture, maps, seen),), PLACES[None], gathered, tokens, each)[0] for each in (0 * light, light))
    factor = 1 + 0.8 * torch.tanh(torch.tensor(0.3 / 0.8))
    torch.testing.assert_close(lit * torch.tensor([float(factor), 1, 1]), plain)


def test_silhouettes_reach_the_tokens() -> None:
    torch.manual_seed(0)
    detail = Detail(16, 2, PLACES.mean(1))
    torch.nn.init.normal_(detail.inform.weight)
    picture, maps, seen = flat_world()
    normals = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])  # the plane's x: heights are seen from the side
    cut = maps.clone()
    cut[..., 3, :, 5:] = 0  # nothing beyond 20 cm
    changed = [detail(((picture, m, seen),), PLACES, normals, None)[0] for m in (maps, cut)]
    assert ((changed[0] - changed[1]).abs().amax(-1) > 1e-3).all()


def test_sampling_is_bilinear() -> None:
    picture = torch.arange(8.0).view(1, 1, 1, 2, 4)
    at = torch.tensor([[0.25, 0.5], [0.375, 0.25]]).view(1, 1, 1, 2, 2)
    assert torch.allclose(sample(picture, at).flatten(), torch.tensor([2.5, 1.0]))
