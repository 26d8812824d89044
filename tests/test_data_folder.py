"""Samples on disk: what is written comes back, interruptions change no byte, damage is named."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_fakes import FACE, REFERENCES, SIDE, TARGETS, fake_film

from lca_mini.capture.takes import Studio
from lca_mini.cli import main
from lca_mini.data import Plan, SampleFolder, SampleStream, open_stream
from lca_mini.data.make import check_folder, make_folder
from lca_mini.data.manifest import generator, read_manifest
from lca_mini.data.people import cast_of, film_with
from lca_mini.data.shards import HALVES, PICTURES

PLAN = Plan("wild", "train", 11, 5, REFERENCES, TARGETS, SIDE, FACE, 3)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven people of noise in four shards, made without interruption."""
    folder = tmp_path_factory.mktemp("shards") / "whole"
    make_folder(PLAN, folder, fake_film, quiet=True)
    return folder


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """The same, to be spoiled."""
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def assert_same_people(stored, filmed) -> None:
    """Equal but for 8 bits a channel, and 16-bit floats of the surface."""
    for name, value in vars(filmed).items():
        if name == "cameras":
            assert torch.equal(stored.cameras.viewmats, value.viewmats) and torch.equal(stored.cameras.Ks, value.Ks)
            assert (stored.cameras.width, stored.cameras.height) == (value.width, value.height)
            continue
        other = getattr(stored, name)
        if value is None or other is None:
            assert value is other, name
            continue
        assert other.shape == value.shape and other.dtype == value.dtype, name
        if name in (*PICTURES, *HALVES):
            assert (other - value).abs().max() <= 0.5 / 255 + 1e-6, name
        else:
            assert torch.equal(other, value), name


def test_what_is_written_comes_back(whole: Path):
    seeds = torch.tensor([5, 15, 9, 10])  # of three shards, out of order
    assert_same_people(SampleFolder(whole).film(seeds, "wild"), fake_film(seeds, "wild"))


def test_people_whose_surface_is_unknown(tmp_path: Path):
    def film(seeds, kind):
        return replace(fake_film(seeds, kind), surface=None, face_surface=None, face_viewmats=None, face_Ks=None)

    make_folder(replace(PLAN, people=2), tmp_path / "out", film, quiet=True)
    stored = next(open_stream(tmp_path / "out", 2))
    assert stored.surface is None and stored.face_surface is None and stored.face_Ks is None
    assert_same_people(stored, film(torch.tensor([5, 6]), "wild"))


def test_a_folder_streams_as_the_camera_would(tmp_path: Path):
    plan = Plan("studio", "val", 4, 0, 2, 1, 64, 32, 2)
    make_folder(plan, tmp_path / "out", quiet=True)
    filmed = SampleStream(film_with(2, 1, 64, 32, "cpu"), cast_of("val", 4), "studio", 2)
    stored = open_stream(tmp_path / "out", 2, split="val")
    for _ in range(3):  # the third batch is the first people again
        assert_same_people(next(stored), next(filmed))


def test_a_studio_is_asked_for_on_the_command_line(tmp_path: Path, capsys):
    small = "--references 1 --targets 1 --image-size 32 --face-size 16 --device cpu".split()
    folder = tmp_path / "out"
    main(["data", "make", "--kind", "studio", "--people", "1", "--out", str(folder), "--light", "single", "--views", "2",
          "--cameras", "5", *small])  # fmt: skip
    plan = read_manifest(folder).plan
    assert plan.studio == Studio(routines=0.3, cameras=5, views=2, light="single")
    said = (folder / "README.md").read_text()
    assert "a dome of 5 calibrated cameras, one lamp" in said and "30% of moments" in said and "2 pictures of each" in said
    asked = film_with(1, 1, 32, 16, "cpu", studio=plan.studio)(torch.tensor([0]), "studio")
    assert_same_people(next(open_stream(folder, 1)), asked)
    wrong = ["data", "make", "--kind", "wild", "--people", "1", "--out", str(folder), "--light", "single", *small]
    assert main(wrong) == 2 and "people of kind wild have none of these" in capsys.readouterr().err


def test_manifests_from_before_studios_had_options_are_read(copy: Path):
    said = json.loads((copy / "manifest.json").read_text())
    for name in ("routines", "cameras", "views", "light"):
        del said["plan"][name]
    (copy / "manifest.json").write_text(json.dumps(said))
    assert read_manifest(copy).plan == PLAN


@pytest.mark.parametrize("workers", [0, 2])
def test_ranks_workers_and_resume_change_nothing(whole: Path, workers: int):
    def images(**options):
        stream = open_stream(whole, **options)
        return stream, [next(stream) for _ in range(5)]

    alone, seen = images(batch=6)
    for rank in range(3):
        stream, part = images(batch=2, rank=rank, ranks=3, workers=workers)
        assert stream.state == alone.state == {"position": 5}
        for mine, all_ in zip(part, seen):
            assert torch.equal(mine.images, all_.images[2 * rank : 2 * rank + 2])
            assert torch.equal(mine.seeds, all_.seeds[2 * rank : 2 * rank + 2])
    resumed = open_stream(whole, batch=6, position=3, workers=workers)
    assert [next(resumed).seeds.tolist() for _ in range(2)] == [s.seeds.tolist() for s in seen[3:]]
    echoing = open_stream(whole, batch=6, echo=3, position=7, workers=workers)
    again = open_stream(whole, batch=6, echo=3)
    assert [next(again).seeds.tolist() for _ in range(12)][7:] == [next(echoing).seeds.tolist() for _ in range(5)]


def test_anybody_reads_the_shards_with_datasets(whole: Path):
    import datasets

    rows = datasets.load_dataset(str(whole), streaming=True)["train"]
    first = next(iter(rows))
    assert first["seeds"] == 5 and first["images"][0].size == (SIDE, SIDE) and len(first["targets"]) == TARGETS
    card = (whole / "README.md").read_text()
    assert card.startswith("---\n") and "n<1K" in card and generator()["digest"] in card


@pytest.mark.parametrize("fails_at", range(6))
def test_a_crash_anywhere_changes_no_byte(whole: Path, tmp_path: Path, fails_at: int, monkeypatch):
    """Every rename is a place to die: before and after shards, and in between them and the manifest."""
    renamed, rename = [], Path.replace

    def dying(self, target):
        if len(renamed) == fails_at:
            raise KeyboardInterrupt
        renamed.append(target)
        return rename(self, target)

    folder = tmp_path / "out"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "replace", dying)
        make_folder(PLAN, folder, fake_film, quiet=True)
    assert len(renamed) == fails_at
    make_folder(PLAN, folder, fake_film, quiet=True)
    assert contents(folder) == contents(whole)


SLOW = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from training_fakes import fake_film
from test_data_folder import PLAN
from lca_mini.data.make import make_folder

def film(seeds, kind):
    time.sleep(0.1)
    return fake_film(seeds, kind)

print("ready", flush=True)
make_folder(PLAN, Path(sys.argv[1]), film, quiet=True)
"""


def test_killed_and_resumed_is_uninterrupted(whole: Path, tmp_path: Path):
    folder, kills = tmp_path / "out", 0
    for delay in (0.15, 0.35):
        child = subprocess.Popen([sys.executable, "-c", SLOW, str(folder), str(Path(__file__).parent)],
                                 stdout=subprocess.PIPE, text=True)  # fmt: skip
        assert child.stdout.readline() == "ready\n"
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
        kills += child.wait() == -signal.SIGKILL
    assert kills == 2
    make_folder(PLAN, folder, fake_film, quiet=True)
    assert contents(folder) == contents(whole)


def remove_a_shard(folder: Path) -> str:
    (folder / "data/train-00002-of-00004.parquet").unlink()
    return "train-00002-of-00004.parquet' is missing"


def cut_a_shard(folder: Path) -> str:
    file = folder / "data/train-00001-of-00004.parquet"
    file.write_bytes(file.read_bytes()[:-10])
    return "train-00001-of-00004.parquet' is damaged: it has"


def spoil_the_manifest(folder: Path) -> str:
    (folder / "manifest.json").write_text("{}")
    return "no manifest that this version reads"


def take_the_manifest(folder: Path) -> str:
    (folder / "manifest.json").unlink()
    return "is no folder of samples"


def move_to_another_split(folder: Path) -> str:
    said = json.loads((folder / "manifest.json").read_text())
    said["plan"]["split"] = "test-wild"
    (folder / "manifest.json").write_text(json.dumps(said))
    return "do not follow from its plan"


@pytest.mark.parametrize("spoil", [remove_a_shard, cut_a_shard, spoil_the_manifest, take_the_manifest,
                                   move_to_another_split], ids=lambda f: f.__name__)  # fmt: skip
def test_damage_is_named_in_one_sentence(spoil, copy: Path, capsys):
    words = spoil(copy)
    for command in ("check", "show"):
        assert main(["data", command, str(copy)]) == 2
        said = capsys.readouterr().err.split("\r")[-1].strip().splitlines()
        assert len(said) == 1 and words in said[0], said
    with pytest.raises(ValueError, match="manifest|missing|damaged|folder"):
        open_stream(copy, 2)


def test_one_changed_bit_is_found_and_the_shard_filmed_again(whole: Path, copy: Path):
    file = copy / "data/train-00003-of-00004.parquet"
    spoiled = bytearray(file.read_bytes())
    spoiled[len(spoiled) // 2] ^= 1
    file.write_bytes(spoiled)
    with pytest.raises(ValueError, match="train-00003-of-00004.parquet' is damaged: its SHA-256"):
        check_folder(copy, quiet=True)
    stream = open_stream(copy, 4)  # sizes are right, and the first people are in other shards
    assert next(stream).seeds.tolist() == [5, 6, 7, 8]
    with pytest.raises(ValueError, match="train-00003-of-00004.parquet' is damaged"):
        [next(stream) for _ in range(2)]
    make_folder(PLAN, copy, fake_film, quiet=True)
    assert contents(copy) == contents(whole) and check_folder(copy, quiet=True).complete


def test_people_of_another_split_are_refused(copy: Path, tmp_path: Path):
    def strangers(seeds, kind):
        return fake_film(seeds + 3 * 10**8, kind)

    with pytest.raises(ValueError, match="declared 'train' but holds person 300000005, who is of 'test-wild'"):
        make_folder(PLAN, tmp_path / "new", strangers, quiet=True)
    assert not list((tmp_path / "new").rglob("*.parquet"))
    # a shard of test people slipped in under the name, and with the checksum, of a training shard
    make_folder(replace(PLAN, split="test-wild"), tmp_path / "test", fake_film, quiet=True)
    name = "data/train-00000-of-00004.parquet"
    shutil.copy(tmp_path / "test/data/test-wild-00000-of-00004.parquet", copy / name)
    read_manifest(copy).with_shard(name, copy / name).save(copy)
    with pytest.raises(ValueError, match="who is of 'test-wild'"):
        check_folder(copy, quiet=True)
    with pytest.raises(ValueError, match="who is of 'test-wild'"):
        next(open_stream(copy, 1))
    with pytest.raises(ValueError, match="not 'val'"):
        open_stream(copy, 1, split="val")


def test_what_cannot_go_on_is_refused_before_work(copy: Path, tmp_path: Path):
    before = contents(copy)
    with pytest.raises(ValueError, match="begun with people = 11"):
        make_folder(replace(PLAN, people=12), copy, fake_film, quiet=True)
    read_manifest(copy)
    with pytest.raises(ValueError, match="split"):
        replace(PLAN, start=10**8 - 3)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/letter.txt").write_text("dear")
    with pytest.raises(ValueError, match="holds other things"):
        make_folder(PLAN, tmp_path / "full", fake_film, quiet=True)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match="cannot write into"):
        make_folder(PLAN, tmp_path / "file/below", fake_film, quiet=True)
    said = json.loads((copy / "manifest.json").read_text())
    said["generator"]["digest"] = "another"
    (copy / "manifest.json").write_text(json.dumps(said))
    with pytest.raises(ValueError, match="another version of the program"):
        make_folder(PLAN, copy, fake_film, quiet=True)
    assert {k: v for k, v in contents(copy).items() if k != "manifest.json"} == {
        k: v for k, v in before.items() if k != "manifest.json"}  # fmt: skip


def test_from_the_command_line(tmp_path: Path, capsys):
    out = tmp_path / "out"
    asked = ["data", "make", "--kind", "wild", "--people", "1", "--out", str(out), "--references", "1", "--targets", "1",
             "--image-size", "32", "--face-size", "16", "--device", "cpu"]  # fmt: skip
    assert main(asked) == 0 and main(asked) == 0
    assert main(["data", "check", str(out)]) == 0 and "is whole" in capsys.readouterr().out
    assert main(["data", "show", str(out)]) == 0 and "1 wild people of split train" in capsys.readouterr().out
    assert (out / "contact_sheet.png").stat().st_size > 100
    assert main(["data", "make", "--kind", "dream", "--people", "1", "--out", str(tmp_path / "no")]) == 2
    assert "no kind 'dream'" in capsys.readouterr().err and not (tmp_path / "no").exists()
    assert main(["data", "make", "--kind", "wild", "--people", "0", "--out", str(tmp_path / "no")]) == 2
