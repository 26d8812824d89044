"""Film: masks are exact, samples are what they say, the same seed gives the same picture."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lca_mini.capture import stage as stage_module
from lca_mini.capture.film import film, sample_people
from lca_mini.capture.motion import random_frames
from lca_mini.capture.patches import rasterize_patches
from lca_mini.capture.rigs import crop_camera, frame_person, project, wild_cameras
from lca_mini.capture.shading import gather_plate, random_lights
from lca_mini.capture.stage import surface_cells
from lca_mini.capture.styles import STYLES
from lca_mini.people import grow, posed
from lca_mini.people.wardrobe import wardrobe
from lca_mini.types import Cameras


@pytest.fixture(scope="module")
def sample():
    return sample_people(torch.tensor([5, 6]), "wild", references=2, targets=2, image_size=64, face_size=32)


def test_masks_match_the_projected_mesh():
    seeds = torch.tensor([7])
    crowd, frames = grow(seeds, "cpu"), random_frames(seeds, 1, "studio")
    vertices = posed(crowd, frames.pose, frames.transl, frames.gaze, frames.actions)
    viewmats, Ks = wild_cameras(seeds, vertices.mean(2))
    Ks = crop_camera(Ks, frame_person(vertices, viewmats, Ks), 128)
    images, masks = film(
        crowd, frames, Cameras(viewmats[:, :, None], Ks[:, :, None], 128, 128), random_lights(seeds, "studio")
    )
    shown = wardrobe().faces[crowd.visible[0]]
    centres = project(vertices[0, 0][shown].mean(1), viewmats[0, 0], Ks[0, 0])
    mask = masks[0, 0, 0, 0]
    column, row = centres.floor().long().clamp(0, 127).unbind(1)
    close = torch.nn.functional.max_pool2d(mask[None, None], 3, 1, 1)[0, 0]
    assert float((close[row, column] > 0).float().mean()) > 0.999
    seen = torch.zeros(128, 128)
    seen[row, column] = 1
    near = torch.nn.functional.max_pool2d(seen[None, None], 7, 1, 3)[0, 0]
    assert float(((mask > 0) & (near == 0)).float().sum()) == 0
    empty = (mask == 0)[None].expand(3, -1, -1)
    torch.testing.assert_close(images[0, 0, 0][empty], torch.ones(int(empty.sum())))


def test_sample_has_the_shapes_and_ranges_it_promises(sample):
    assert sample.images.shape == (2, 2, 3, 64, 64) and sample.face_images.shape == (2, 2, 3, 32, 32)
    assert sample.targets.shape == (2, 2, 3, 64, 64) and sample.target_masks.shape == (2, 2, 1, 64, 64)
    assert sample.cameras.viewmats.shape == (2, 2, 1, 4, 4) and sample.cameras.width == 64
    for pictures in (sample.images, sample.face_images, sample.targets, sample.target_faces, sample.target_masks):
        assert float(pictures.min()) >= 0 and float(pictures.max()) <= 1 and bool(torch.isfinite(pictures).all())
    cover = sample.target_masks.mean((2, 3, 4))
    assert float(cover.min()) > 0.04 and float(cover.max()) < 0.98
    assert float(sample.face_boxes[..., 2].max()) < 0.6 and float(sample.face_boxes[..., 2].min()) > 0.05


def test_faces_lie_where_the_boxes_say(sample):
    for image, face, box in zip(
        sample.images.flatten(0, 1), sample.face_images.flatten(0, 1), sample.face_boxes.flatten(0, 1)
    ):
        theta = torch.tensor([[box[2], 0, 2 * box[0] - 1], [0, box[2], 2 * box[1] - 1]])[None]
        grid = torch.nn.functional.affine_grid(theta, [1, 3, 32, 32], align_corners=False)
        cropped = torch.nn.functional.grid_sample(image[None], grid, padding_mode="border", align_corners=False)[0]
        blur = lambda x: torch.nn.functional.avg_pool2d(x[None], 8)[0]  # noqa: E731
        assert float((blur(cropped) - blur(face)).abs().mean()) < 0.08


def test_the_same_seed_gives_the_same_pictures_alone_or_in_company(sample):
    alone = sample_people(torch.tensor([6]), "wild", references=2, targets=2, image_size=64, face_size=32)
    assert float((alone.images[0] - sample.images[1]).abs().mean()) < 1e-4
    assert float((alone.targets[0] - sample.targets[1]).abs().mean()) < 1e-4
    assert float((sample.images[0] - sample.images[1]).abs().mean()) > 0.01


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_films_what_a_cpu_films(sample):
    given = dict(references=2, targets=2, image_size=64, face_size=32, device="cuda")
    found = sample_people(torch.tensor([5, 6]), "wild", **given).to("cpu")
    again = sample_people(torch.tensor([5, 6]), "wild", **given).to("cpu")
    for name in ("images", "face_images", "targets", "target_masks", "target_faces"):
        assert float((getattr(found, name) - getattr(sample, name)).abs().mean()) < 1e-3, name
        assert float((getattr(found, name) - getattr(again, name)).abs().mean()) < 1e-5, name


@pytest.mark.parametrize("kind", ["wild", "studio"])
def test_cameras_and_poses_of_references_are_those_that_the_references_were_filmed_with(kind):
    seeds, sizes = torch.tensor([5]), {"references": 3, "targets": 2, "image_size": 64, "face_size": 32}
    plain, own = (sample_people(seeds, kind, **sizes, of_references=which) for which in (False, True))
    assert torch.equal(plain.images, own.images) and torch.equal(plain.face_images, own.face_images)
    assert own.targets.shape[1] == own.cameras.viewmats.shape[1] == own.pose.shape[1] == 3 and plain.pose.shape[1] == 2
    crowd, light = grow(seeds, "cpu"), random_lights(seeds, kind)
    frames = random_frames(seeds, 5, kind)[:, :3]
    assert torch.equal(own.pose[:, :, 1:], frames.pose[:, :, 1:]) and not torch.equal(own.pose[:, :2], plain.pose)
    if kind == "studio":
        assert torch.equal(own.pose, frames.pose)
    frames = replace(frames, pose=own.pose, transl=own.transl)  # in the wild, the world as the phone sees it
    near = Cameras(own.face_viewmats, own.face_Ks, 32, 32)
    for cameras, pictures, worst in ((own.cameras, own.images, 0.05), (near, own.face_images, 0.05)):
        masks = film(crowd, frames, cameras, light, shadows=False)[1][:, :, 0]
        person = (pictures < 0.98).any(2, keepdim=True).float()
        assert float((person - masks).abs().mean()) < worst  # an occluder and a soft matte in the wild


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="no capture"):
        sample_people(torch.tensor([1]), "street")


def test_surface_cells_average_what_is_covered() -> None:
    at = torch.tensor([[1.0, 0, 0], [3.0, 0, 0], [5.0, 1, 2]])
    pixel = torch.tensor([0, 5, 31])  # image 0: (0, 0) and (1, 1); image 1: (3, 3)
    plate = gather_plate(torch.zeros(3, 3), at, torch.tensor([1.0, 1, 1]), pixel, (2, 4, 4))
    cells = surface_cells(plate, 2)
    assert cells.shape == (2, 4, 2, 2)
    assert torch.equal(cells[0, :, 0, 0], torch.tensor([2.0, 0, 0, 0.5]))
    assert torch.equal(cells[1, :, 1, 1], torch.tensor([5.0, 1, 2, 0.25]))
    assert cells.abs().sum() == 2.5 + 8.25
    assert surface_cells(plate, 3).shape == (2, 4, 2, 2)


def test_shading_a_pixel_once_looks_like_shading_every_sample(sample, monkeypatch) -> None:
    def apart(*args):
        return rasterize_patches(*args[:7], torch.full_like(args[7], -1), *args[8:])

    monkeypatch.setattr(stage_module, "rasterize_patches", apart)
    exact = sample_people(torch.tensor([5, 6]), "wild", references=2, targets=2, image_size=64, face_size=32)
    torch.testing.assert_close(exact.target_masks, sample.target_masks)
    inside = (exact.target_masks > 0).expand(-1, -1, 3, -1, -1)
    error = (exact.targets - sample.targets)[inside].square().mean()
    assert 1e-7 < float(error) < 10**-3.3  # 33 dB at this coarse size


def test_samples_know_the_surface_they_show() -> None:
    sample = sample_people(torch.tensor([3]), "studio", references=2, targets=1, image_size=64, face_size=32)
    assert sample.surface.shape == (1, 2, 4, 16, 16) and sample.face_surface.shape == (1, 2, 4, 8, 8)
    white = (sample.images == 1).all(2)  # [1 2 64 64]
    empty = white.unflatten(-1, (16, 4)).unflatten(-3, (16, 4)).all(-1).all(-2)
    assert bool((sample.surface[:, :, 3][empty] == 0).all()) and float(sample.surface[:, :, 3].max()) > 0.5
    head = sample.face_surface.movedim(2, -1)[sample.face_surface[:, :, 3] > 0.9]
    assert float(head[:, 1].median()) > 0.4  # metres: faces are at the top of the template


def test_stylised_people_have_the_same_shapes_in_other_materials() -> None:
    sizes = dict(references=1, targets=1, image_size=48, face_size=16)
    seeds = torch.arange(4)
    natural, made = sample_people(seeds, "studio", **sizes), sample_people(seeds, "stylised", **sizes)
    assert torch.equal(made.target_masks, natural.target_masks) and torch.equal(made.pose, natural.pose)
    inside = natural.target_masks[:, 0] == 1
    error = (made.targets - natural.targets)[:, 0].abs().mean(1)
    assert min(float(e[m[0]].mean()) for e, m in zip(error, inside)) > 0.02
    chroma = (made.targets.amax(2) - made.targets.amin(2))[:, 0]
    statue = chroma[STYLES.index("statue")][inside[STYLES.index("statue"), 0]]
    assert float(statue.mean()) < 0.08 < float(chroma[2][inside[2, 0]].mean())  # marble is grey, clay is not
