"""Notebook 08 in a real browser, where playwright and Chromium are there; `browser_viewport.py` says what it does."""

from __future__ import annotations

import pytest
from browser_viewport import chromium, measure

pytest.importorskip("playwright.sync_api")
pytest.importorskip("jupyterlab")


@pytest.mark.skipif(chromium() is None, reason="no Chromium")
def test_the_picture_answers_slider_mouse_and_keys():
    result = measure(seconds=3.0, steps=8)
    assert all(result["moved"].values()), result["moved"]
    assert not result["stderr_cells"]
    assert not result["sent_back"], "the browser set sliders that nobody had touched"
    assert result["orbit_fps"] > 3 and result["slider_ms_median"] < 1000  # the stored result holds the goals
