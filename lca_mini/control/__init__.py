"""Moving an avatar by hand: a session that holds what was set, a viewport that shows it, a panel of sliders.

Enters: a model and an avatar. Leaves: pictures, and files for whoever asks. No part of the paper; its project page shows
what this lets one try. `Session` needs no browser and no widgets; `open_panel` needs the `notebooks` extra.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lca_mini.control.session import Session

if TYPE_CHECKING:
    from lca_mini.control.panel import Panel
    from lca_mini.model import LCA
    from lca_mini.types import Avatar

__all__ = ["Session", "open_panel"]


def open_panel(model: LCA, avatar: Avatar, size: int = 256, folder: str = "out") -> Panel:
    """The viewport with its sliders and buttons, a widget that notebooks display.

    Args:
        avatar: one person (B = 1).
        size: side of the picture, pixels.
        folder: where snapshots, videos and .ply files go; made when the first is written.
    Raises: ImportError, one sentence, where ipywidgets or anywidget are missing; ValueError as `Session`.
    """
    try:
        import anywidget  # noqa: F401
        import ipywidgets  # noqa: F401
    except ImportError as error:
        raise ImportError(f"the panel needs {error.name}: pip install 'lca-mini[notebooks]'") from error
    from lca_mini.control.panel import Panel

    return Panel(Session(model, avatar, size), folder)
