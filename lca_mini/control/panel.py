"""The whole of it: the viewport, the sliders beside it, and the buttons below.

Enters: a `Session`. Leaves: one widget that a notebook displays (JupyterLab, Notebook, VS Code, Colab). No part of the
paper.
"""

from __future__ import annotations

import html
from contextlib import contextmanager
from typing import Any, Callable, Iterator

import ipywidgets as widgets

from lca_mini.control.files import record, save_avatar, snapshot
from lca_mini.control.session import CLIPS, VIEWS, Session
from lca_mini.control.sliders import Sliders
from lca_mini.control.somebody import somebody
from lca_mini.control.viewport import Viewport

SIZES = (128, 192, 256, 384, 512, 768)
NO_CLIP = "(none)"
LABELS = {False: ("Play", "play"), True: ("Pause", "pause")}
LONG, SHORT = {"description_width": "82px"}, {"description_width": "48px"}


class Panel(widgets.HBox):
    """`session`, `viewport` and `sliders`, and every other control by its name in `controls`."""

    def __init__(self, session: Session, folder: str = "out") -> None:
        self.session, self.folder, self.person = session, folder, 0
        self.viewport, self.sliders = Viewport(session), Sliders(session)
        self.following = False
        self.controls = c = self._controls()
        self.progress = widgets.FloatProgress(min=0, max=1, layout={"width": "auto", "visibility": "hidden"})
        self.status = widgets.HTML("")
        rows = [[c["play"], c["clip"]], [c["view"], c["size"]], [c["background"], c["follow"]],
                [c["random"], c["reset"]], [c["snapshot"], c["record"], c["ply"]]]  # fmt: skip
        left = widgets.VBox([self.viewport, *(widgets.HBox(row) for row in rows), self.status, self.progress],
                            layout={"width": f"{self.viewport.width + 4}px", "max_width": "100%", "flex": "0 0 auto"})  # fmt: skip
        right = widgets.VBox([self.sliders.tabs], layout={"flex": "1 1 300px", "max_width": "560px"})
        super().__init__([left, right], layout={"flex_flow": "row wrap"})
        self.add_class("lca-panel")  # viewport.css
        session.watchers.append(self.follow)

    def __repr__(self) -> str:
        return f"Panel({self.session.size} x {self.session.size} pixels, {len(self.sliders.of)} sliders)"

    def follow(self) -> None:
        """Show what the session holds: after a reset, or when a cell changed it."""
        self.following = True
        try:
            self.controls["play"].value = playing = self.session.playing
            self.controls["play"].description, self.controls["play"].icon = LABELS[playing]
            self.controls["clip"].value = self.session.clip_name or NO_CLIP
            self.controls["background"].value = hexadecimal(self.session.background)
            if self.session.size in SIZES:
                self.controls["size"].value = self.session.size
        finally:
            self.following = False

    def _controls(self) -> dict[str, widgets.Widget]:
        """All but the sliders, each tied to what it does."""
        s, shared = self.session, {"flex": "1 1 30%", "width": "auto", "min_width": "0"}  # a row, evenly
        size = s.size if s.size in SIZES else min(SIZES, key=lambda n: abs(n - s.size))
        c: dict[str, widgets.Widget] = {
            "play": widgets.ToggleButton(description="Play", icon="play", tooltip="Play or pause the motion", layout=shared),
            "clip": widgets.Dropdown(options=[NO_CLIP, *CLIPS], description="motion", style=SHORT, layout=shared),
            "view": widgets.Dropdown(options=["whole body", *VIEWS], description="view", style=SHORT, layout=shared),
            "size": widgets.Dropdown(options=SIZES, value=size, description="pixels", style=SHORT, layout=shared),
            "background": widgets.ColorPicker(value=hexadecimal(s.background), description="background", style=LONG,
                                              layout=shared),
            "follow": widgets.Checkbox(description="gaze follows the pointer", indent=False, layout=shared),
        }  # fmt: skip
        c["play"].observe(self._when(lambda v: self._play(v)), "value")
        c["clip"].observe(self._when(lambda v: s.load_clip("" if v == NO_CLIP else v)), "value")
        c["view"].observe(self._when(s.show), "value")
        c["size"].observe(self._when(s.resize), "value")
        c["background"].observe(self._when(lambda v: s.paint(from_hexadecimal(v))), "value")
        c["follow"].observe(self._when(lambda v: setattr(self.viewport, "follow", v)), "value")
        for name, label, icon, tip, do in (
            ("random", "Random person", "user-plus", "Film and encode somebody new; takes some seconds", self._random),
            ("reset", "Reset", "undo", "Pose, face, gaze, camera and background as at first", self._reset),
            ("snapshot", "Snapshot", "camera", "Save the picture as PNG", lambda: snapshot(s, self.folder)),
            ("record", "Record MP4", "video-camera", "Save the motion, or a turn of the camera", self._record),
            ("ply", "Save PLY", "download", "Save the Gaussians", lambda: save_avatar(s, self.folder)),
        ):
            c[name] = widgets.Button(description=label, icon=icon, tooltip=tip, layout=shared)
            c[name].on_click(self._clicked(do))
        return c

    # ---- what the controls do

    def _when(self, do: Callable[[Any], None]) -> Callable[[dict], None]:
        def changed(change: dict) -> None:
            if not self.following:
                with self._told():
                    do(change["new"])

        return changed

    def _clicked(self, do: Callable[[], Any]) -> Callable[[Any], None]:
        def clicked(_: Any) -> None:
            with self._told():
                done = do()
                self.say(f"wrote {done}" if done is not None else self.words)

        return clicked

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What cannot be done is said below the picture, in the sentence of the error."""
        self.words = ""
        try:
            yield
        except ValueError as error:
            self.say(str(error))
        finally:
            self.progress.layout.visibility = "hidden"

    def say(self, text: str) -> None:
        """A line below the picture."""
        self.words = text
        self.status.value = html.escape(text)

    def tick(self, share: float) -> None:
        """Move the progress bar."""
        self.progress.layout.visibility = "visible"
        self.progress.value = share

    def _play(self, playing: bool) -> None:
        if playing and self.session.clip is None:
            self.session.load_clip("performance")
        self.session.play(playing)

    def _reset(self) -> None:
        self.session.reset()
        self.controls["view"].value = "whole body"
        self.controls["follow"].value = False

    def _random(self) -> None:
        def tick(words: str, share: float) -> None:
            self.say(f"{words} …" if share < 1 else f"{words} of the split demo, whom the model has never met")
            self.tick(share)

        number = self.person + 1
        avatar, _ = somebody(self.session.model, number, tick)
        self.person = number
        self.session.replace_avatar(avatar)

    def _record(self) -> Any:
        self.say("recording …")
        return record(self.session, self.folder, self.tick)


def hexadecimal(colour: tuple[float, float, float]) -> str:
    """#rrggbb of RGB [0, 1]."""
    return "#" + "".join(f"{round(255 * value):02x}" for value in colour)


def from_hexadecimal(text: str) -> tuple[float, float, float]:
    """The inverse. Raises: ValueError for anything but #rrggbb."""
    try:
        if len(text) != 7 or text[0] != "#":
            raise ValueError
        red, green, blue = (int(text[i : i + 2], 16) / 255 for i in (1, 3, 5))
    except ValueError:
        raise ValueError(f"no colour {text!r}; write it as #rrggbb, as #f6f6f7") from None
    return red, green, blue
