"""Light: energy, shadow, two sides, exposure, and the way to sRGB."""

from __future__ import annotations


import pytest
import torch
import torch.nn.functional as F

from lca_mini.capture.patches import rasterize_patches
from lca_mini.capture.rasterizer import rasterize
from lca_mini.capture.rigs import intrinsics, look_at
from lca_mini.capture.shading import (
    Light, dome_light, gather_plate, linear_to_srgb, random_lights, resolve, shade, soft_clip, srgb_to_linear,
    vertex_normals,
)  # fmt: skip
from lca_mini.capture.shadows import ShadowMap, shadow_map, sun_visibility
from lca_mini.capture.stage import light_patches
from lca_mini.people.skin import Surface
from interpreter import CUDA, INTERPRETED, outside, run_interpreted



def quad(side: float, height: float) -> torch.Tensor:
    return torch.tensor([[-side, height, -side], [side, height, -side], [side, height, side], [-side, height, side]])


def lit(normals, albedo, light, specular=0.0, sunlight=1.0, wrap=0.0):
    p = len(normals)
    full = lambda value: torch.full((p,), value)  # noqa: E731
    viewer = F.normalize(normals + 0.3, dim=1)
    image = torch.zeros(p).long()
    return shade(normals, viewer, albedo, full(specular), full(0.5), full(wrap), full(sunlight), light, image)


def test_srgb_is_inverted():
    x = torch.linspace(0, 1, 101)
    torch.testing.assert_close(srgb_to_linear(linear_to_srgb(x)), x, atol=1e-5, rtol=0)
    assert linear_to_srgb(torch.tensor(0.2140)) == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(("kind", "environment"), [("wild", 0.0), ("wild", 0.5), ("studio", 0.5)])
def test_white_never_clips(kind, environment):
    lights = random_lights(torch.arange(300), kind, environment)
    normals = F.normalize(torch.randn(300, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    facing = torch.cat([normals, lights.direction])
    image = torch.arange(300).repeat(2)
    one, none = torch.ones(600), torch.zeros(600)
    out = shade(facing, facing, torch.full((600, 3), 0.95), none, one, none, one, lights, image)
    assert out.max() < 0.96 and out.min() > 0.03
    assert out[300:].amax(1).min() > 0.7  # and white in full sun is bright
    again = random_lights(torch.tensor([7]), kind, environment)
    torch.testing.assert_close(again.direction[0], lights.direction[7])


def test_unknown_light():
    with pytest.raises(ValueError, match="choose one of wild, studio"):
        random_lights(torch.arange(2), "disco")


def test_dome_lights_come_one_at_a_time_from_all_around():
    lights = [dome_light(2, i, 12) for i in range(12)]
    directions = torch.stack([light.direction[0] for light in lights])
    torch.testing.assert_close(directions.norm(dim=1), torch.ones(12))
    assert float((directions @ directions.T - 2 * torch.eye(12)).max()) < 0.87  # 30 degrees apart or more
    assert float(directions[:, 1].min()) < -0.4 and float(directions[:, 1].max()) > 0.9
    grey, up = torch.full((1, 3), 0.5), torch.tensor([[0.0, 1, 0]])
    high = max(range(12), key=lambda i: float(directions[i, 1]))
    assert lit(up, grey, lights[high]).max() > 0.3 and lit(-up, grey, lights[high]).max() == 0
    with pytest.raises(ValueError, match="no light 12"):
        dome_light(1, 12, 12)


def test_lambert_and_two_sides():
    light = Light(torch.tensor([[0.0, 1, 0]]), torch.full((1, 3), 0.8), torch.zeros(1, 3), torch.zeros(1, 3))
    grey = torch.full((1, 3), 0.5)
    up = torch.tensor([[0.0, 1, 0]])
    torch.testing.assert_close(lit(up, grey, light), torch.full((1, 3), 0.4))
    slanted = F.normalize(torch.tensor([[3.0**0.5, 1, 0]]), dim=1)
    torch.testing.assert_close(lit(slanted, grey, light), torch.full((1, 3), 0.2))
    assert lit(slanted, grey, light, sunlight=0.0).abs().max() == 0
    assert lit(up, grey, light, specular=1.0).min() > 0.4
    away = lit(-up, grey, light)
    assert away.max() == 0
    creeping = lit(torch.tensor([[1.0, -0.1, 0.0]]), grey, light, wrap=0.3)[0]
    assert creeping[0] > creeping[2] >= 0 and creeping[0] > 0
    none, viewer = torch.zeros(1), up
    flipped = shade(-up, viewer, grey, none, none + 1, none, none + 1, light, torch.zeros(1).long())
    torch.testing.assert_close(flipped, torch.full((1, 3), 0.4))


def test_shadow_falls_below_and_not_on_itself():
    vertices = torch.cat([quad(1.0, 0.0), quad(0.4, 0.5)])[None]
    faces = torch.tensor([[0, 2, 1], [0, 3, 2], [4, 6, 5], [4, 7, 6]])
    shadows = shadow_map(vertices, faces, torch.tensor([[0.0, 1, 0]]), 64)
    points = torch.tensor([[0.0, 0, 0], [0.8, 0, 0.8], [0.0, 0.5, 0], [0.3, 0, -0.3], [-0.6, 0, 0]])
    up = torch.tensor([[0.0, 1, 0]]).expand(5, 3)
    got = sun_visibility(shadows, points, up, torch.zeros(5).long())
    torch.testing.assert_close(got, torch.tensor([0.0, 1, 1, 0, 1]))
    edge = torch.stack([torch.linspace(0.3, 0.5, 50), torch.zeros(50), torch.zeros(50)], 1)
    soft = sun_visibility(shadows, edge, up[:1].expand(50, 3), torch.zeros(50).long())
    assert ((soft > 0.05) & (soft < 0.95)).any() and (soft.diff() >= -1e-6).all()


def test_vertex_normals_of_a_sphere():
    g = torch.Generator().manual_seed(0)
    a, b = torch.meshgrid(torch.linspace(0.2, 2.9, 24), torch.linspace(0, 6.2832, 49)[:-1], indexing="ij")
    sphere = torch.stack([a.sin() * b.cos(), a.cos(), a.sin() * b.sin()], -1).reshape(1, -1, 3)
    i = (torch.arange(23)[:, None] * 48 + torch.arange(48)).flatten()
    j = (torch.arange(23)[:, None] * 48 + (torch.arange(48) + 1) % 48).flatten()
    faces = torch.cat([torch.stack([i, j, i + 48], 1), torch.stack([j, j + 48, i + 48], 1)])
    faces = faces[torch.randperm(len(faces), generator=g)]
    normals = vertex_normals(sphere, faces)[0, 48:-48]
    assert (normals * sphere[0, 48:-48]).sum(1).abs().min() > 0.99
    assert (normals * sphere[0, 48:-48]).sum(1).min() > 0.99


def test_resolve_composites_in_linear_light():
    triangle = torch.tensor([[[-1.0, -1, 0], [1, -1, 0], [-1, 1, 0]]])
    view = look_at(torch.tensor([[0.0, 0, 3]]), torch.zeros(1, 3), torch.tensor([0.0, 1, 0]))
    faces, Ks = torch.tensor([[0, 1, 2]]), intrinsics(torch.tensor([0.8]), 16)
    seen = rasterize_patches(triangle, faces, view, Ks, 16, 16, None, torch.tensor([0]))
    black = torch.zeros(len(seen.pixel), 3)
    images, coverage = resolve(gather_plate(black, black, seen.share, seen.pixel, (1, 16, 16)))
    assert images.shape == (1, 3, 16, 16) and coverage.shape == (1, 1, 16, 16)
    fragments = rasterize(triangle, faces, view, intrinsics(torch.tensor([0.8]), 32), 32, 32)
    torch.testing.assert_close(coverage[0, 0], (fragments.face[0] >= 0).float().view(16, 2, 16, 2).mean((1, 3)))
    torch.testing.assert_close(srgb_to_linear(images), (1 - coverage).expand(1, 3, 16, 16), atol=1e-5, rtol=0)
    assert ((coverage > 0) & (coverage < 1)).any()


def test_soft_clip_is_smooth_and_bounded():
    x = torch.linspace(0, 20, 20001)
    y = soft_clip(x)
    assert y.max() <= 1 and (y.diff() >= 0).all()
    assert torch.equal(y[x <= 0.8], x[x <= 0.8]) and (y.diff().diff().abs().max() < 1e-4)


def patches_in_the_light(seed: int, environment: float, shadowed: bool):
    """Arguments of `light_patches`: seen from both sides, in and out of shadows and of the shadow maps."""
    g = torch.Generator().manual_seed(seed)
    r = lambda *shape: torch.rand(*shape, generator=g)  # noqa: E731
    count = 700
    surface = Surface(r(count, 3), 2 * r(count), r(count), 0.3 * r(count), r(count, 3) - 0.5)
    project = (r(6, 3, 4) - 0.2) * torch.tensor([9.0, 9, 0.3])[:, None]
    shadows = ShadowMap(r(6, 16, 16), project, 0.02 + 0.01 * r(6), 1 + r(6)) if shadowed else None
    who, moment = (torch.randint(0, n, (count,), generator=g) for n in (3, 6))
    lining = torch.where(r(count) < 0.5, 0.35, 1.0)
    light = random_lights(torch.arange(3) + seed, "wild", environment)
    return 2 * r(count, 3) - 1, r(count, 3) - 0.5, 4 * r(count, 3) - 2, surface, lining, light, who, shadows, moment


CASES = [(0, 0.0, False), (1, 0.5, True), (2, 0.0, True), (3, 0.5, False)]


@pytest.mark.skipif(not INTERPRETED, reason="another test runs this one in a process of its own, interpreted")
@pytest.mark.parametrize("case", CASES)
def test_triton_light_interpreted(case):
    from lca_mini.capture.shading_triton import lit

    given = patches_in_the_light(*case)
    torch.testing.assert_close(lit(*given), light_patches(*given), atol=2e-5, rtol=2e-4)


@outside
def test_triton_in_the_interpreter():
    run_interpreted(__file__, 4)


@pytest.mark.skipif(not CUDA, reason="needs a CUDA device")
@pytest.mark.parametrize("case", CASES)
def test_cuda_lights_as_the_readable_path_does(case):
    given = patches_in_the_light(*case)
    cuda = [t.to("cuda") if t is not None else t for t in given]
    found, wanted = light_patches(*cuda).cpu(), light_patches(*given)
    # a point on the edge of a shadow may fall to either side
    off = ((found - wanted).abs() > 2e-5 + 2e-4 * wanted.abs()).any(1)
    assert float(off.float().mean()) < 0.005
