"""The rasteriser against brute force; closed seams, both sides, occlusion, chunks that change nothing."""

from __future__ import annotations


import pytest
import torch

from lca_mini.capture.patches import rasterize_patches
from lca_mini.capture.rasterizer import interpolate, orthographic_depth, rasterize, visibility, visible_points
from lca_mini.capture.rigs import intrinsics, look_at
from interpreter import CUDA, INTERPRETED, outside, run_interpreted



def scene(images: int = 2, triangles: int = 40, size: int = 24, seed: int = 0):
    g = torch.Generator().manual_seed(seed)
    vertices = torch.rand(images, triangles * 2, 3, generator=g) * 2 - 1
    faces = torch.randint(0, triangles * 2, (triangles, 3), generator=g)
    faces = faces[(faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 0] != faces[:, 2])]
    eye = torch.tensor([[0.3, 0.2, 3.0]]).repeat(images, 1)
    viewmats = look_at(eye, torch.zeros_like(eye), torch.tensor([0.0, 1, 0]))
    Ks = intrinsics(torch.full((images,), 0.7), size)
    return vertices, faces, viewmats, Ks, size


def brute_force(vertices, faces, viewmats, Ks, size):
    """Every ray against every triangle in camera space (Moeller and Trumbore), float64."""
    camera = vertices.double() @ viewmats[:, :3, :3].double().mT + viewmats[:, None, :3, 3].double()
    at = torch.arange(size, dtype=torch.float64) + 0.5
    y, x = torch.meshgrid(at, at, indexing="ij")
    rays = torch.stack([x, y, torch.ones_like(x)], -1) @ torch.linalg.inv(Ks[0].double()).T
    face = torch.full((len(vertices), size, size), -1)
    depth = torch.full((len(vertices), size, size), torch.inf, dtype=torch.float64)
    bary = torch.zeros(len(vertices), size, size, 3, dtype=torch.float64)
    for n in range(len(vertices)):
        for f, (a, b, c) in enumerate(camera[n][faces]):
            m = torch.stack([a, b, c], 1)
            if torch.linalg.det(m).abs() < 1e-12:
                continue
            w = rays @ torch.linalg.inv(m).T  # ray = w0 a + w1 b + w2 c, up to its length
            z = 1 / w.sum(-1)
            hit = (w >= 0).all(-1) & (z > 0) & (z < depth[n])
            depth[n] = torch.where(hit, z, depth[n])
            face[n] = torch.where(hit, f, face[n])
            bary[n] = torch.where(hit[..., None], w * z[..., None], bary[n])
    return face, bary, torch.where(face >= 0, depth, 0.0)


@pytest.mark.parametrize("seed", [0, 1])
def test_rasterize_is_brute_force(seed):
    args = scene(seed=seed)
    found = rasterize(*args[:4], args[4], args[4])
    face, bary, depth = brute_force(*args)
    assert (face >= 0).float().mean() > 0.2
    same = found.face == face
    assert same.float().mean() > 0.998  # a centre on an edge may fall to either side
    torch.testing.assert_close(found.bary[same], bary[same].float(), atol=2e-4, rtol=0)
    torch.testing.assert_close(found.depth[same], depth[same].float(), atol=1e-4, rtol=0)


def test_chunks_change_nothing():
    args = scene(images=3, seed=2)
    whole = rasterize(*args[:4], args[4], args[4])
    for most in (1, 50, 700, 5000):
        parts = rasterize(*args[:4], args[4], args[4], max_candidates=most)
        assert torch.equal(whole.face, parts.face) and torch.equal(whole.depth, parts.depth)


def test_no_pixel_falls_between_triangles():
    """A jittered grid covers its square completely, and each interior point once from either side."""
    n, size = 33, 96
    g = torch.Generator().manual_seed(3)
    at = torch.linspace(-1.2, 1.2, n)
    y, x = torch.meshgrid(at, at, indexing="ij")
    grid = torch.stack([x, y, torch.zeros_like(x)], -1)
    grid[1:-1, 1:-1] += (torch.rand(n - 2, n - 2, 3, generator=g) - 0.5) * 0.05
    i = (torch.arange(n - 1)[:, None] * n + torch.arange(n - 1)).flatten()
    faces = torch.cat([torch.stack([i, i + 1, i + n], 1), torch.stack([i + n + 1, i + 1, i + n], 1)])
    eye = torch.tensor([[0.0, 0, 3], [0.0, 0, -3]])
    viewmats = look_at(eye, torch.zeros(2, 3), torch.tensor([0.0, 1, 0]))
    Ks = intrinsics(torch.full((2,), 0.6), size)
    fragments = rasterize(grid.reshape(1, -1, 3).expand(2, -1, -1), faces, viewmats, Ks, size, size)
    assert (fragments.face >= 0).all()


def test_hidden_faces_and_near_plane():
    near = torch.tensor([[-1.0, -1, 1], [1, -1, 1], [0, 1, 1]])
    far = near * torch.tensor([3.0, 3, 2])
    vertices = torch.cat([near, far])[None]
    faces = torch.tensor([[0, 1, 2], [3, 4, 5]])
    K = intrinsics(torch.tensor([1.0]), 16)
    world = torch.eye(4)[None]
    assert set(rasterize(vertices, faces, world, K, 16, 16).face.unique().tolist()) >= {0}
    both = rasterize(vertices, faces, world, K, 16, 16)
    assert both.face[0, 8, 8] == 0 and both.depth[0, 8, 8] == pytest.approx(1.0)
    hidden = rasterize(vertices, faces, world, K, 16, 16, face_visible=torch.tensor([[False, True]]))
    assert hidden.face[0, 8, 8] == 1 and hidden.depth[0, 8, 8] == pytest.approx(2.0)
    behind = world.clone()
    behind[0, 2, 3] = -1.5
    assert rasterize(vertices, faces, behind, K, 16, 16).face[0, 8, 8] == 1
    with pytest.raises(ValueError, match="1 meshes but 2 viewmats"):
        rasterize(vertices, faces, world.repeat(2, 1, 1), K, 16, 16)


def test_interpolation_is_perspective_correct():
    vertices, faces, viewmats, Ks, size = scene(images=2, seed=4)
    fragments = rasterize(vertices, faces, viewmats, Ks, size, size)
    points = visible_points(fragments)
    at = interpolate(vertices, faces, fragments, points)
    camera = (viewmats[points[0], :3, :3] @ at[..., None])[..., 0] + viewmats[points[0], :3, 3]
    pixel = (Ks[points[0]] @ (camera / camera[:, 2:])[..., None])[..., 0]
    torch.testing.assert_close(pixel[:, :2], torch.stack([points[2], points[1]], 1) + 0.5, atol=2e-3, rtol=0)
    torch.testing.assert_close(camera[:, 2], fragments.depth[points], atol=1e-5, rtol=1e-5)


def fine(Ks):
    return torch.cat([Ks[:, :2] * 2, Ks[:, 2:]], 1)


def test_patches_that_never_merge_are_the_samples():
    vertices, faces, viewmats, Ks, size = scene(images=2, seed=5)
    apart = torch.full((len(faces),), -1)
    patches = rasterize_patches(vertices, faces, viewmats, Ks, size, size, None, apart)
    fragments = rasterize(vertices, faces, viewmats, fine(Ks), 2 * size, 2 * size)
    image, y, x = points = visible_points(fragments)
    pixel = (image * size + y // 2) * size + x // 2
    a = (patches.pixel * len(faces) + patches.face).argsort(stable=True)
    b = (pixel * len(faces) + fragments.face[points]).argsort(stable=True)
    assert torch.equal(patches.pixel[a], pixel[b]) and torch.equal(patches.face[a], fragments.face[points][b])
    assert (patches.share == 0.25).all()
    torch.testing.assert_close(patches.bary.T[a], fragments.bary[points][b], atol=1e-3, rtol=0)


def test_patches_keep_the_coverage_and_lie_in_their_pixel():
    vertices, faces, viewmats, Ks, size = scene(images=2, seed=6)
    patches = rasterize_patches(vertices, faces, viewmats, Ks, size, size, None, torch.zeros(len(faces)).long())
    covered = rasterize(vertices, faces, viewmats, fine(Ks), 2 * size, 2 * size).face >= 0
    share = torch.zeros(2 * size * size).index_add_(0, patches.pixel, patches.share).view(2, size, size)
    torch.testing.assert_close(share, covered.float().view(2, size, 2, size, 2).mean((2, 4)))
    assert len(patches.pixel) < 0.7 * int(covered.sum())
    image = patches.pixel // size**2
    at = (vertices[image[:, None], faces[patches.face]] * patches.bary.T[..., None]).sum(1)
    camera = (viewmats[image, :3, :3] @ at[..., None])[..., 0] + viewmats[image, :3, 3]
    projected = (Ks[image] @ (camera / camera[:, 2:])[..., None])[:, :2, 0]
    centre = torch.stack([patches.pixel % size, patches.pixel // size % size], 1) + 0.5
    assert float((projected - centre).abs().max()) <= 0.5
    with pytest.raises(ValueError, match="2 meshes but 1 viewmats"):
        rasterize_patches(vertices, faces, viewmats[:1], Ks, size, size, None, torch.zeros(len(faces)).long())


def test_orthographic_depth():
    corners = torch.tensor([[[0.0, 0, 0.25], [8, 0, 0.25], [0, 8, 0.75], [8, 8, 0.75]]])
    depth = orthographic_depth(corners, torch.tensor([[0, 1, 2], [1, 2, 3]]), 12)
    expected = 0.25 + 0.5 * (torch.arange(8) + 0.5) / 8
    torch.testing.assert_close(depth[0, :8, :8], expected[:, None].expand(8, 8), atol=1e-6, rtol=0)
    assert (depth[0, 8:] == 1).all() and (depth[0, :, 8:] == 1).all()


def on_screen(seed: int):
    """Small and large triangles, some off the screen, some with a corner behind the camera, some hidden."""
    g = torch.Generator().manual_seed(seed)
    middle, size = torch.rand(2, 60, 1, 2, generator=g) * 50 - 5, torch.rand(2, 60, 1, 1, generator=g).square() * 40
    corners = (middle + size * (torch.rand(2, 60, 3, 2, generator=g) - 0.5)).flatten(1, 2)
    nearness = 0.2 + torch.rand(2, 180, 1, generator=g)
    nearness[:, ::31] = 0
    faces = torch.arange(180).view(60, 3)
    faces = torch.cat([faces, faces[:, [0, 2, 1]]])  # each once more from the other side
    return torch.cat([corners, nearness], -1), faces, torch.rand(2, 120, generator=g) < 0.8


def assert_keys_agree(got, wanted):
    """The same triangles, at the same depth within rounding."""
    empty = torch.iinfo(torch.int64).max
    assert 0.3 < float((wanted != empty).float().mean()) < 0.99
    assert torch.equal(got == empty, wanted == empty)
    # a triangle and its other side are equally near
    same = (got & 0xFFFFFFFF) % 60 == (wanted & 0xFFFFFFFF) % 60
    assert float(same.float().mean()) > 0.99
    nearness = [(0x7FFFFFFF - (key >> 32)).to(torch.int32).view(torch.float32)[wanted != empty] for key in (got, wanted)]
    torch.testing.assert_close(*nearness, atol=1e-5, rtol=1e-4)


@pytest.mark.skipif(not INTERPRETED, reason="another test runs this one in a process of its own, interpreted")
@pytest.mark.parametrize("hidden", [False, True])
def test_triton_kernels_interpreted(hidden):
    from lca_mini.capture.rasterizer_triton import nearest

    screen, faces, shown = on_screen(8)
    shown = shown if hidden else None
    assert_keys_agree(nearest(screen, faces, shown, 32, 40), visibility(screen, faces, shown, 32, 40, 1 << 20))


@outside
def test_triton_in_the_interpreter():
    run_interpreted(__file__, 2)


@pytest.mark.skipif(not CUDA, reason="needs a CUDA device")
def test_cuda_sees_what_the_readable_path_sees():
    for seed in (0, 2, 4, 5, 6):  # scenes that fill a third of the picture
        screen, faces, shown = on_screen(seed)
        for mask in (None, shown):
            wanted = visibility(screen, faces, mask, 32, 40, 1 << 20)
            cuda = [t if t is None else t.cuda() for t in (screen, faces, mask)]
            got = visibility(*cuda, 32, 40, 1 << 20)
            assert_keys_agree(got.cpu(), wanted)
            assert torch.equal(got, visibility(*cuda, 32, 40, 1 << 20))
