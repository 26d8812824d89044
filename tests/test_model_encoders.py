"""The registry of image encoders, and tokens."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from lca_mini.model.encoders import ENCODERS, PatchEncoder, make_encoder, patch_basis
from lca_mini.model.tokens import position_embedding, positional_encoding
from model_tiny import tiny_images, tiny_model


@pytest.fixture()
def script(tmp_path: Path) -> str:
    """A TorchScript file that halves the picture eight times over."""
    path = tmp_path / "encoder.pt"
    torch.jit.save(torch.jit.trace(nn.Conv2d(3, 5, 8, stride=8), torch.zeros(1, 3, 32, 24)), str(path))
    return str(path)


def names(script: str) -> dict[str, str]:
    return {"patch": "patch", "timm": "timm:vit_tiny_patch16_224?random", "sapiens": f"sapiens:{script}?32x24"}


@pytest.mark.parametrize("kind", ENCODERS)
def test_every_encoder_keeps_the_contract(kind: str, script: str) -> None:
    encoder = make_encoder(names(script)[kind], 16, 12).train()
    images = torch.rand(2, 3, 64, 32)
    features = encoder(images)
    rows, columns = encoder.grid(64, 32)
    assert features.shape == (2, rows * columns, encoder.out_channels)
    assert (features[0] - features[1]).abs().max() > 1e-4
    learns = any(p.requires_grad for p in encoder.parameters())
    assert learns == (not encoder.frozen) == features.requires_grad == encoder.training


@pytest.mark.parametrize("kind", ENCODERS)
def test_a_whole_model_on_every_encoder(kind: str, script: str) -> None:
    model = tiny_model(image_encoder=names(script)[kind])
    avatar = model.encode(*tiny_images())
    avatar.canonical.means.sum().backward()
    assert avatar.canonical.means.isfinite().all()
    assert model.image_tokens.project.weight.grad.any()


def test_patches_are_cut_row_by_row() -> None:
    encoder = PatchEncoder(2, 1)
    with torch.no_grad():
        encoder.project.weight.zero_()
        encoder.project.weight[0, 0] = 1.0  # mean brightness
        encoder.project.bias.zero_()
        image = torch.ones(1, 3, 4, 6)
        image[:, :, :2, 2:4] = 0.0
        assert encoder(image)[0, :, 0].tolist() == pytest.approx([0, -2.4, 0, 0, 0, 0])


def test_the_basis_of_patches_tells_colours_and_frequencies_apart() -> None:
    basis = patch_basis(8)
    assert torch.linalg.matrix_rank(basis) == 192  # nothing is lost
    red_minus_green = torch.zeros(3, 8, 8)
    red_minus_green[0], red_minus_green[1] = 1, -1
    stripes = torch.ones(3, 8, 8) * torch.cos(math.pi / 8 * 3 * (torch.arange(8) + 0.5))
    for pixels, where in ((torch.ones(3, 8, 8), 0), (red_minus_green, 64), (stripes, 3)):
        parts = (pixels.flatten() @ basis).abs()
        assert int(parts.argmax()) == where and float(parts.sort().values[-2]) < 0.1 * float(parts.max())


@pytest.mark.parametrize(("name", "words"), [
    ("resnet", "no image encoder"), ("timm:", "no image encoder"), ("patch:4", "no image encoder"),
    ("timm:no_such_vit?random", "could not be made"), ("timm:vit_tiny_patch16_224?fresh", "unknown option"),
    ("timm:resnet18?random", "timm:resnet18"), ("sapiens:/no/such/file.pt", "no Sapiens TorchScript file"),
    ("sapiens:/no/such/file.pt?big", "1024x768"),
])  # fmt: skip
def test_refuses_what_it_cannot_make_in_one_sentence(name: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        make_encoder(name, 16, 12)
    assert "\n" not in str(caught.value)


def test_missing_weights_are_an_error_not_random_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    def offline(*arguments: object, pretrained: bool, **options: object) -> None:
        assert pretrained
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(ValueError, match="no route to host"):
        make_encoder("timm:vit_tiny_patch16_224", 16, 12)


def test_a_file_that_is_no_torchscript_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pickle.pt"
    torch.save({"weights": torch.zeros(3)}, path)
    with pytest.raises(ValueError, match="no TorchScript image encoder"):
        make_encoder(f"sapiens:{path}?32x24", 16, 12)


def test_images_must_divide_into_patches() -> None:
    with pytest.raises(ValueError, match="60 x 64"):
        make_encoder("patch", 16, 12)(torch.rand(1, 3, 60, 64))


def test_positions_tell_patches_apart_and_scale_with_the_image() -> None:
    codes = position_embedding((16, 16), 48)
    assert codes.shape == (256, 48)
    assert (torch.cdist(codes, codes) + 10 * torch.eye(256)).min() > 0.5
    middle = position_embedding((3, 5), 48)[7]
    torch.testing.assert_close(middle, position_embedding((1, 1), 48)[0], atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match="multiple of 4"):
        position_embedding((2, 2), 30)


def test_positional_encoding_has_two_metres_for_its_longest_wave() -> None:
    points = torch.tensor([[0.25, 0.0, -0.5]])
    code = positional_encoding(points, 2)
    assert code.shape == (1, 15)
    half = 0.5**0.5
    expected = [0.25, 0, -0.5, half, 1, 0, 0, -1, 0, half, 0, 1, 1, 0, -1]
    torch.testing.assert_close(code[0], torch.tensor(expected), atol=1e-6, rtol=0)
