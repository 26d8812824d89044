"""The repository holds together: dependencies, walls between rooms, README, data cards, notebooks."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import badges
import pytest
from readme_table import ROOT, with_tables

import lca_mini

PACKAGE = ROOT / "lca_mini"
MODULES = sorted(PACKAGE.rglob("*.py"))
NAMES_ON_PYPI = {"PIL": "pillow", "imageio_ffmpeg": "imageio-ffmpeg", "yaml": "pyyaml", "triton": "torch",
                 "traitlets": "ipywidgets"}  # fmt: skip
HEAVY = {
    "numba", "smplx", "gsplat", "matplotlib", "timm", "anny", "datasets", "accelerate", "ipywidgets", "plotly", "tyro",
    "anywidget", "lpips", "torchvision", "imageio", "imageio_ffmpeg", "PIL", "safetensors", "scipy", "tqdm",
    "triton",
}  # fmt: skip
ENVIRONMENT_EXTRAS = ("notebooks", "data", "train", "encoders", "test")
BELOW = {  # room: rooms that it may import; types and config are everybody's
    "body": set(), "render": set(), "model": {"body"}, "people": {"body", "capture"},
    "capture": {"body", "people"}, "tracks": {"body", "capture"}, "data": {"body", "people", "capture"},
    "training": {"body", "render", "model", "people", "capture", "data"},
}  # fmt: skip


def project() -> dict:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def bare(requirement: str) -> str:
    return re.match(r"[A-Za-z0-9_.-]+", requirement)[0].lower()


def imports_of(file: Path) -> list[str]:
    """Every module that a file imports, at its top or inside its functions."""
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} has a relative import"
            found.append(node.module)
    return found


def test_environment_lists_what_pyproject_lists():
    extras = project()["optional-dependencies"]
    wanted = project()["dependencies"] + [line for extra in ENVIRONMENT_EXTRAS for line in extras[extra]] + ["-e ."]
    text = (ROOT / "environment.yml").read_text()
    assert re.findall(r"^      - (.+)$", text.split("- pip:\n")[1], flags=re.MULTILINE) == wanted


def test_every_dependency_is_pinned_once_a_python():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    assert all(re.fullmatch(r'[a-z-]+==[\d.]+(; python_version (>=|<) "3\.11")?', line) for line in lines)
    everything = project()["dependencies"] + [r for extra in project()["optional-dependencies"].values() for r in extra]
    assert sorted({bare(line) for line in lines}) == sorted({bare(r) for r in everything})


def test_what_is_imported_is_declared():
    everything = project()["dependencies"] + [r for extra in project()["optional-dependencies"].values() for r in extra]
    declared = {bare(r) for r in everything}
    for file in MODULES:
        for name in {module.split(".")[0] for module in imports_of(file)} - sys.stdlib_module_names - {"lca_mini"}:
            assert NAMES_ON_PYPI.get(name, name).lower() in declared, f"{file.name} imports {name}, which nobody declares"


def test_walls_between_rooms():
    for file in MODULES:
        room = file.relative_to(PACKAGE).parts[0]
        for module in imports_of(file):
            parts = module.split(".")
            if parts[0] != "lca_mini" or len(parts) < 2:
                continue
            assert parts[1] != "control" or room == "control", f"{file} imports control"
            if room in BELOW and (PACKAGE / parts[1]).is_dir():
                assert parts[1] == room or parts[1] in BELOW[room], f"{file.relative_to(ROOT)} imports {module}"


def test_import_is_light():
    code = (
        "import time, torch, sys; t = time.perf_counter(); import lca_mini; print(time.perf_counter() - t);"
        f"print(*sorted({HEAVY!r} & set(sys.modules)))"
    )
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", "import lca_mini"], env=env, check=True)  # writes byte code
    out = subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True).stdout
    seconds, heavy = out.splitlines()[0], out.splitlines()[1]
    before = subprocess.run(
        [sys.executable, "-c", f"import torch, sys; print(*sorted({HEAVY!r} & set(sys.modules)))"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    assert float(seconds) < 1.0
    assert heavy.strip() == before


def test_public_names_are_all_there():
    assert lca_mini.__all__ == sorted(lca_mini.__all__, key=str)
    assert all(getattr(lca_mini, name) is not None for name in lca_mini.__all__)


def test_one_version():
    citation = (ROOT / "CITATION.cff").read_text()
    assert project()["version"] == lca_mini.__version__ == re.search(r"^version: (.+)$", citation, re.MULTILINE)[1]


def test_ci_calls_make_test():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK) and "\nmake test\n" in script.read_text()
    assert re.search(r"^test:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_files_stay_small_enough_for_every_clone():
    for file in (PACKAGE / "assets").rglob("*"):
        assert not file.is_file() or file.stat().st_size < 40e6, f"{file} is too large"


def test_modules_are_short_and_say_what_they_do():
    for file in MODULES:
        text = file.read_text()
        assert text.count("\n") <= 310, f"{file.name} has more than 310 lines"
        if text.strip():
            assert ast.get_docstring(ast.parse(text)), f"{file.name} does not say what it is"


def test_readme_tables_are_the_results():
    readme = (ROOT / "README.md").read_text()
    assert readme == with_tables(readme), "run python tests/readme_table.py"


def test_readme_points_at_files_that_exist():
    readme = (ROOT / "README.md").read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", readme) + re.findall(r'src="([^"]+)"', readme):
        assert target.startswith("http") or (ROOT / target).exists(), f"README points at {target}"


def test_moving_picture_is_a_small_gif():
    from hero_gif import MOST, OUT

    assert OUT.read_bytes()[:6] == b"GIF89a" and OUT.stat().st_size < MOST


def test_data_cards_follow_the_template_and_have_a_reader():
    def headings(file: Path) -> list[str]:
        return re.findall(r"^## (.+)$", file.read_text(), re.MULTILINE)

    template = ROOT / "data_cards" / "TEMPLATE.md"
    cards = [card for card in (ROOT / "data_cards").glob("*.md") if card != template]
    assert cards and len(headings(template)) > 5
    for card in cards:
        assert headings(card) == headings(template), f"{card.name} differs from the template in its headings"
        module, name = re.search(r"^Reader: `(.+)\.(\w+)`$", card.read_text(), re.MULTILINE).groups()
        assert callable(getattr(import_module(module), name))


@pytest.mark.parametrize("file", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda file: file.stem)
def test_notebooks_read_well_on_the_web(file: Path):
    assert file.stat().st_size < 2e6
    cells = json.loads(file.read_text())["cells"]
    assert cells[0]["cell_type"] == "markdown" and "two CPU cores" in "".join(cells[0]["source"])
    code = [(i, cell) for i, cell in enumerate(cells) if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for _, cell in code] == list(range(1, len(code) + 1)), "not from one clean run"
    assert any("assert" in "".join(cell["source"]) for _, cell in code)
    for i, cell in code:
        assert cells[i - 1]["cell_type"] == "markdown", f"no words before cell {i}"
        assert len("".join(cell["source"]).splitlines()) <= 15
        assert not [o for o in cell["outputs"] if o["output_type"] == "error"]


def test_badges_come_from_one_address_and_go_without_it():
    urls = '[project]\nname = "x"\n[project.urls]\nHomepage = "https://x.org"\nRepository = "{}"\n'
    assert badges.address('[project]\nname = "x"\n') is None
    assert badges.address(urls.format("https://github.com/a/b")) == "https://github.com/a/b"
    with pytest.raises(ValueError, match="https://github.com/OWNER/NAME, and Repository is 'https://git.org/a'"):
        badges.address(urls.format("https://git.org/a"))
    bare = "# A title\n\n**Question.** Why?\n\n**Time.** Short."
    made = badges.badge("https://github.com/a/b", "00_tour.ipynb")
    once = badges.with_badge(bare, made)
    assert "colab.research.google.com/github/a/b/blob/main/notebooks/00_tour.ipynb" in once
    assert badges.with_badge(once, made) == once and badges.with_badge(once, "") == bare


def test_notebooks_carry_the_badge_of_the_address():
    repository = badges.address((ROOT / "pyproject.toml").read_text())
    for file in (ROOT / "notebooks").glob("*.ipynb"):
        first = "".join(json.loads(file.read_text())["cells"][0]["source"])
        wanted = badges.badge(repository, file.name) if repository else ""
        assert first == badges.with_badge(first, wanted), "run make badges"


def test_first_cells_say_what_has_been_timed():
    for file in (ROOT / "notebooks").glob("*.ipynb"):
        first = "".join(json.loads(file.read_text())["cells"][0]["source"])
        assert "T4" in first and "A100" in first, f"{file.name} does not say what is known of its time on a GPU"
