"""`make badges`: "Open in Colab" in the first cell of each notebook, from the one address in pyproject.toml.

Add to pyproject.toml, once the repository has a public address on GitHub, and run this again:

    [project.urls]
    Repository = "https://github.com/OWNER/NAME"

Without an address the badges are taken away.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- colab: made by tests/badges.py -->", "<!-- end of colab -->"


def address(pyproject: str) -> str | None:
    """The repository's public address in the text of pyproject.toml; None where there is none yet.

    Raises: ValueError where it is not on GitHub, from where alone Colab opens notebooks.
    """
    found = re.search(r'^\[project\.urls\]\n(?:.+\n)*?Repository *= *"([^"]*)"', pyproject, re.MULTILINE)
    if found is None:
        return None
    if not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", found[1]):
        raise ValueError(f"Colab opens notebooks from https://github.com/OWNER/NAME, and Repository is {found[1]!r}")
    return found[1]


def badge(repository: str, notebook: str) -> str:
    """Markdown: the badge, and what to run there first."""
    opens = repository.replace("https://github.com/", "https://colab.research.google.com/github/")
    return (
        f"{BEGIN}\n[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
        f"({opens}/blob/main/notebooks/{notebook}) There, run this first, in a cell of its own; "
        f"it installs what is missing:\n\n"
        f"```\n!git clone --depth 1 -q {repository} lca_mini\n%cd lca_mini/notebooks\n"
        f'%pip install -q "..[data,train]" anywidget\n```\n{END}\n\n'
    )


def with_badge(cell: str, made: str) -> str:
    """A first cell's text with the badge below its title, in place of an older one; `made` may be empty."""
    bare = re.sub(rf"{re.escape(BEGIN)}.*?{re.escape(END)}\n\n", "", cell, flags=re.DOTALL)
    title, rest = bare.split("\n\n", 1)
    return f"{title}\n\n{made}{rest}"


def main() -> None:
    """Rewrite the first cell of every notebook; outputs stay as they are."""
    repository = address((ROOT / "pyproject.toml").read_text())
    for file in sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebook = json.loads(file.read_text())
        first = notebook["cells"][0]
        text = with_badge("".join(first["source"]), badge(repository, file.name) if repository else "")
        first["source"] = text.splitlines(keepends=True)
        file.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
    print("badges of", repository) if repository else print("no address in pyproject.toml: no badges")


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        sys.exit(f"badges: {error}")
