"""A person's own pictures: what is read, how it is cropped, and one clear sentence for everything else."""

from __future__ import annotations

import json
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from lca_mini.data.photos import MARGIN, prepare, read_photos

WHERE = (slice(30, 90), slice(40, 70))  # rows and columns of the person in `cut_out`


def cut_out(height=120, width=100, colour=(200, 40, 40)):
    pixels = np.zeros((height, width, 4), np.uint8)
    pixels[..., :3] = 10
    pixels[WHERE] = (*colour, 255)
    return Image.fromarray(pixels)


def middle(images):
    return torch.tensor([[0.5, 0.5, 0.25]]).expand(len(images), 3)


def refused(folder, *words):
    with pytest.raises(ValueError) as error:
        read_photos(folder)
    message = str(error.value)
    assert "\n" not in message and all(word in message for word in words), message


def test_alpha_and_mask_files_give_the_same_person_over_white(tmp_path):
    for name in ("alpha", "beside", "inside"):
        (tmp_path / name).mkdir()
    picture = cut_out()
    picture.save(tmp_path / "alpha" / "a.png")
    for name, mask in (("beside", "a_mask.png"), ("inside", "masks/a.png")):
        picture.convert("RGB").save(tmp_path / name / "a.png")
        (tmp_path / name / "masks").mkdir()
        picture.getchannel("A").save(tmp_path / name / mask)
    photos = [read_photos(tmp_path / name) for name in ("alpha", "beside", "inside")]
    for other in photos:
        assert torch.equal(other.images[0], photos[0].images[0]) and torch.equal(other.masks[0], photos[0].masks[0])
    image = photos[0].images[0]
    assert torch.all(image[:, :30] == 1)
    assert torch.allclose(image[:, 50, 50], torch.tensor([200, 40, 40]) / 255)


def test_prepare_puts_the_person_in_the_middle_with_a_margin(tmp_path):
    cut_out().save(tmp_path / "a.png")
    images, faces = prepare(read_photos(tmp_path), 116, 32, middle)
    assert images.shape == (1, 1, 3, 116, 116) and faces.shape == (1, 1, 3, 32, 32)
    rows = (images[0, 0, 1] < 0.5).any(1).nonzero()[:, 0]
    free = 116 * MARGIN / (1 + 2 * MARGIN)
    assert abs(rows[0] - free) <= 2 and abs(115 - rows[-1] - free) <= 2
    columns = (images[0, 0, 1] < 0.5).any(0).nonzero()[:, 0]
    assert abs((columns[0] + columns[-1]) / 2 - 57.5) <= 1


def test_faces_are_cut_from_the_original_by_finder_box_or_file(tmp_path):
    picture = cut_out()
    picture.paste((0, 0, 255, 255), (50, 55, 60, 65))
    for name in ("found.png", "boxed.png", "given.png"):
        picture.save(tmp_path / name)
    (tmp_path / "faces.json").write_text(json.dumps({"boxed.png": [55, 60, 8]}))
    (tmp_path / "faces").mkdir()
    Image.new("RGB", (70, 90), (0, 255, 0)).save(tmp_path / "faces" / "given.png")
    asked = []

    def find(images):
        asked.append(len(images))
        return torch.tensor([[0.5, 0.5, 0.1]])

    faces = prepare(read_photos(tmp_path), 64, 16, find)[1][0]
    assert asked == [1]
    blue, green = torch.tensor([0.0, 0, 1]), torch.tensor([0.0, 1, 0])
    for face, colour in zip(faces, (blue, blue, green)):  # boxed, found, given: by name
        assert torch.allclose(face[:, 4:12, 4:12], (green if colour is green else blue)[:, None, None], atol=0.02)


def test_exif_orientation_turns_picture_before_its_mask_is_compared(tmp_path):
    picture = cut_out()
    turned = picture.convert("RGB").transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    turned.save(tmp_path / "a.jpg", quality=95, exif=exif)
    picture.getchannel("A").save(tmp_path / "a_mask.png")
    image = read_photos(tmp_path).images[0]
    assert image.shape == (3, 120, 100)
    assert torch.allclose(image[:, 60, 55], torch.tensor([200, 40, 40]) / 255, atol=0.05)


def test_missing_and_empty_folders(tmp_path):
    refused(tmp_path / "nowhere", "nowhere")
    refused(tmp_path, "holds no picture")


def test_text_named_png(tmp_path):
    (tmp_path / "a.png").write_text("not a picture")
    refused(tmp_path, "a.png", "not a picture")


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
def test_truncated_pictures(tmp_path, ending):
    noise = np.random.default_rng(0).integers(0, 255, (120, 100, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / f"a.{ending}")
    data = (tmp_path / f"a.{ending}").read_bytes()
    (tmp_path / f"a.{ending}").write_bytes(data[: len(data) // 2])
    cut_out().getchannel("A").save(tmp_path / "a_mask.png")
    refused(tmp_path, f"a.{ending}", "damaged")


def test_tiny_pictures(tmp_path):
    Image.new("RGBA", (8, 8), (1, 2, 3, 0)).save(tmp_path / "a.png")
    refused(tmp_path, "a.png", "8 x 8", "64")


def test_masks_of_another_size(tmp_path):
    cut_out().convert("RGB").save(tmp_path / "a.png")
    Image.new("L", (100, 100), 255).save(tmp_path / "a_mask.png")
    refused(tmp_path, "a_mask.png", "100 x 100", "100 x 120")


def test_empty_masks(tmp_path):
    cut_out().convert("RGB").save(tmp_path / "a.png")
    Image.new("L", (100, 120), 0).save(tmp_path / "a_mask.png")
    refused(tmp_path, "a_mask.png", "empty")
    (tmp_path / "a_mask.png").unlink()
    Image.new("RGBA", (100, 120), (1, 2, 3, 0)).save(tmp_path / "a.png")
    refused(tmp_path, "a.png", "empty")


def test_no_mask_at_all(tmp_path):
    cut_out().convert("RGB").save(tmp_path / "a.jpg")
    refused(tmp_path, "a.jpg", "neither", "a_mask.png")
    (tmp_path / "a.jpg").unlink()
    Image.new("RGBA", (100, 120), (1, 2, 3, 255)).save(tmp_path / "a.png")
    refused(tmp_path, "a.png", "opaque everywhere")


def test_seventeen_pictures(tmp_path):
    for i in range(17):
        cut_out().save(tmp_path / f"{i:02d}.png")
    refused(tmp_path, "17 pictures", "16")


def test_pictures_that_would_not_fit_into_memory_are_never_decoded(tmp_path):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    for side in (9_000, 30_000):  # beyond our bound; beyond Pillow's own
        head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
        refused(tmp_path, "a.png", "64 million")


def test_kinds_that_cannot_be_read_and_names_that_clash(tmp_path):
    cut_out().save(tmp_path / "a.png")
    (tmp_path / "b.heic").write_bytes(b"")
    refused(tmp_path, "b.heic")
    (tmp_path / "b.heic").unlink()
    cut_out().convert("RGB").save(tmp_path / "a.jpg")
    refused(tmp_path, "a.png", "a.jpg")
    (tmp_path / "a.jpg").unlink()
    (tmp_path / "faces.json").write_text('{"a.png": [1, 2]}')
    refused(tmp_path, "faces.json")
