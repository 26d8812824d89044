"""Every dataset that the library makes or reads has a card, and every card names what makes or reads it."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from lca_mini.data.people import film_with
from lca_mini.data.real import READERS

CARDS = Path(__file__).parents[1] / "data_cards"
TEMPLATE = CARDS / "TEMPLATE.md"
FILES = sorted(card for card in CARDS.glob("*.md") if card != TEMPLATE)


def metadata(card: Path) -> dict:
    """The YAML before a card's text, as the hub reads it."""
    from huggingface_hub import DatasetCardData
    from huggingface_hub.repocard import RepoCard

    class Card(RepoCard):
        card_data_class = DatasetCardData

    return Card(card.read_text()).data.to_dict()


def reader(card: Path):
    module, name = re.search(r"^Reader: `(.+)\.(\w+)`$", card.read_text(), re.MULTILINE).groups()
    return getattr(import_module(module), name)


def test_cards_and_readers_are_pairs():
    named = [reader(card) for card in FILES]
    assert len(named) == len(set(named)) and set(named) == {film_with, *READERS.values()}


@pytest.mark.parametrize("card", FILES, ids=lambda card: card.stem)
def test_cards_say_everything(card: Path):
    parts = re.split(r"^## (.+)$", card.read_text(), flags=re.MULTILINE)
    wanted = re.findall(r"^## (.+)$", TEMPLATE.read_text(), re.MULTILINE)
    assert parts[1::2] == wanted and all(len(text.strip()) > 20 for text in parts[2::2])
    about = metadata(card)
    assert about.keys() >= metadata(TEMPLATE).keys() and about["task_categories"] == ["image-to-3d"]
    assert about["license"] != "other" or about["license_name"]


def test_figures_in_cards_exist_and_are_small():
    for card in FILES:
        for target in re.findall(r"\]\(([^)#]+)\)", card.read_text()):
            assert target.startswith("http") or (CARDS / target).is_file(), f"{card.name} points at {target}"
    for figure in [f for f in CARDS.rglob("*") if f.suffix in (".jpg", ".png")]:
        assert figure.stat().st_size < 600_000, f"{figure.name} is too large"
