"""Weights on disk: they come back as they were, or one sentence says why not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lca_mini.model import checkpoint
from lca_mini.model.checkpoint import find_files, load, read_metadata, save_checkpoint
from lca_mini.model.lca import LCA
from model_tiny import tiny_body, tiny_images, tiny_model, tiny_signal


def outputs(model: LCA) -> torch.Tensor:
    with torch.no_grad():
        return model.eval().drive(model.encode(*tiny_images()), tiny_signal(2)).means


@pytest.mark.parametrize("shard_bytes", [None, 200_000])
def test_round_trip(tmp_path: Path, shard_bytes: int | None) -> None:
    model = tiny_model()
    written = save_checkpoint(model, tmp_path / "w.safetensors", {"commit": "abc", "step": 7}, None, shard_bytes)
    assert (len(written) > 1) == (shard_bytes is not None)
    assert sorted(tmp_path.iterdir()) == sorted(written), "nothing else is left behind"
    again = load(tmp_path, body=tiny_body(), expect_preset="nano")
    assert torch.equal(outputs(again), outputs(model))
    assert not again.training and not any(p.requires_grad for p in again.parameters())
    assert all(p.requires_grad for p in load(written[0], body=tiny_body(), trainable=True).parameters())
    about = read_metadata(written[-1])
    assert about["commit"] == "abc" and about["step"] == 7 and about["body"] == "tiny-0"
    assert about["config"] == model.config.to_dict()


def test_half_precision_on_disk_is_float32_in_memory(tmp_path: Path) -> None:
    model = tiny_model()
    full, = save_checkpoint(model, tmp_path / "full.safetensors", {}, None)
    half, = save_checkpoint(model, tmp_path / "half.safetensors", {})
    assert half.stat().st_size < 0.6 * full.stat().st_size
    again = load(half, body=tiny_body())
    assert {p.dtype for p in again.parameters()} == {torch.float32}
    torch.testing.assert_close(outputs(again), outputs(model), atol=5e-3, rtol=0)


def refuse(words: str, *arguments: object, **options: object) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        load(*arguments, **{"body": tiny_body(), **options})
    assert "\n" not in str(caught.value)


def test_bad_files_are_refused(tmp_path: Path) -> None:
    file, = save_checkpoint(tiny_model(), tmp_path / "good.safetensors", {})
    refuse("does not exist", tmp_path / "none.safetensors")
    for keep in (0, 5, 300, file.stat().st_size - 100):
        cut = tmp_path / "cut" / "cut.safetensors"
        cut.parent.mkdir(exist_ok=True)
        cut.write_bytes(file.read_bytes()[:keep])
        refuse("cut off", cut)
    refuse("preset 'nano', not 'mini'", file, expect_preset="mini")
    refuse("trained on body 'tiny-0'", file, body=replace(tiny_body(), name="other"))
    few = replace(tiny_body(), faces=tiny_body().faces[:2], uv_faces=tiny_body().uv_faces[:2])
    refuse("anchors lie outside", file, body=few)
    empty = tmp_path / "empty"
    empty.mkdir()
    refuse("holds no .safetensors", empty)
    save_checkpoint(tiny_model(), tmp_path / "second.safetensors", {})
    refuse("holds 2 checkpoints", tmp_path)


def test_a_checkpoint_must_fit_its_own_config(tmp_path: Path) -> None:
    model = tiny_model()
    model.config = replace(model.config, correction_hidden=32)
    file, = save_checkpoint(model, tmp_path / "w.safetensors", {})
    refuse("does not fit its preset 'nano': correction_branch", file)
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, file, metadata={"format": "pt"})
    refuse("cut off or no safetensors file of ours", file)
    save_file({"x": torch.zeros(1)}, file)
    refuse("format None", file)


def test_an_incomplete_set_of_shards_is_refused(tmp_path: Path) -> None:
    written = save_checkpoint(tiny_model(), tmp_path / "w.safetensors", {}, None, 200_000)
    written[1].unlink()
    refuse(f"lacks {written[1].name}", tmp_path)
    refuse(f"lacks {written[1].name}", written[0])


def test_shipped_weights_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "ASSETS", tmp_path)
    refuse("no weights of preset 'mini' ship", "mini")
    written = save_checkpoint(tiny_model(), tmp_path / "mini" / "mini.safetensors", {})
    assert find_files("mini") == written


def test_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "w.safetensors"
    save_checkpoint(tiny_model(), target, {})
    before = target.read_bytes()

    def full_disk(tensors, path, metadata):
        Path(path).write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full_disk)
    with pytest.raises(ValueError, match="no space left"):
        save_checkpoint(tiny_model(1), target, {})
    assert target.read_bytes() == before and list(tmp_path.iterdir()) == [target]
    with pytest.raises(ValueError, match="end in .safetensors"):
        save_checkpoint(tiny_model(), tmp_path / "w.pt", {})
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="could not be written"):
        save_checkpoint(tiny_model(), tmp_path / "file" / "w.safetensors", {})


def test_frozen_encoders_that_can_be_had_again_are_not_stored(tmp_path: Path) -> None:
    script = tmp_path / "encoder.pt"
    torch.jit.save(torch.jit.trace(torch.nn.Conv2d(3, 5, 8, stride=8), torch.zeros(1, 3, 16, 16)), str(script))
    model = tiny_model(image_encoder=f"sapiens:{script}?16x16")
    file, = save_checkpoint(model, tmp_path / "w.safetensors", {}, None)
    from safetensors.torch import load_file

    assert not any(name.startswith("image_encoder") for name in load_file(file))
    again = load(file, body=tiny_body())
    assert all(torch.equal(t, model.state_dict()[name]) for name, t in again.state_dict().items())
    torch.testing.assert_close(outputs(again), outputs(model), atol=1e-6, rtol=0)  # where memory lies decides a last digit
