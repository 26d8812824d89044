"""Sliders for every dial, grouped as one would look for them; they follow the session, and the session follows them.

Enters: a `Session`. Leaves: ipywidgets (7.7 and 8 alike). No part of the paper.
"""

from __future__ import annotations

import math
import re

import ipywidgets as widgets
import traitlets

from lca_mini.control.dials import DIALS, PARTS, PRESETS, REGIONS, Dial
from lca_mini.control.session import Session

CHOOSE = "(preset)"
GROUPS: dict[str, tuple[str, ...]] = {
    "Body": ("body", "spine", "head", "left_arm", "right_arm", "left_leg", "right_leg"),
    "Fingers": ("left_hand", "right_hand"), "Face": ("face",), "Gaze": ("gaze",),
}  # fmt: skip
"""Tabs, and the parts of a person on each."""
HANDS = ("left_hand", "right_hand")
LABELS = {False: {"description_width": "90px"}, True: {"description_width": "166px"}}
"""Room for the words of the face, which are longer, and of all else."""


def words(name: str) -> str:
    """An action or an axis as one reads it: mouthSmileLeft, thumb_across."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ").lower()


class Slider(widgets.FloatSlider):
    """A slider whose values a browser can hold. A browser rounds what it is told to the slider's steps, in its own floats,
    and sends back to be set whatever came out otherwise (10 as 9.999999999999996): after "Run all", values that a later
    cell had long replaced. So the browser is told what it would make of a value, and what it says is rounded here.
    """

    value = traitlets.CFloat(0.0).tag(
        sync=True, to_json=lambda value, slider: slider.in_browser(value), from_json=lambda value, _: round(value, 2)
    )

    def in_browser(self, value: float) -> float:
        """What noUiSlider, the slider of ipywidgets 7.7 and 8, makes of a value: to percent, to steps, and back."""
        wide = self.max - self.min
        step = 100 * self.step / wide
        percent = math.floor(100 * (value - self.min) / wide / step + 0.5) * step
        return self.max if value >= self.max or percent >= 100 else percent * wide / 100 + self.min


class Sliders:
    """`tabs` to show; `of` a dial's slider by its name; `presets` the dropdowns by kind."""

    def __init__(self, session: Session) -> None:
        self.session, self.following = session, False
        self.of: dict[str, Slider] = {name: self._slider(dial) for name, dial in DIALS.items()}
        self.presets: dict[str, widgets.Dropdown] = {kind: self._preset(kind) for kind in PRESETS}
        pages = {"Body": self._body(), "Fingers": self._fingers(), "Face": self._face(),
                 "Gaze": widgets.VBox([self.of[f"gaze.{axis}"] for axis in PARTS["gaze"]])}  # fmt: skip
        self.tabs = titled(widgets.Tab, pages)
        session.watchers.append(self.follow)

    def follow(self) -> None:
        """Show what the session holds."""
        self.following = True
        try:
            for name, value in self.session.setting.items():
                if self.of[name].value != value:
                    self.of[name].value = value
            for kind, dropdown in self.presets.items():
                name = dropdown.value
                if name != CHOOSE and any(self.session.setting[dial] != value for dial, value in PRESETS[kind][name].items()):
                    dropdown.value = CHOOSE
        finally:
            self.following = False

    def _slider(self, dial: Dial) -> Slider:
        slider = Slider(
            value=self.session.setting[dial.name], min=dial.low, max=dial.high, step=1 if dial.in_degrees else 0.01,
            description=words(dial.name.replace("spine.", "spine_").split(".")[-1]),
            readout_format=".0f" if dial.in_degrees else ".2f",
            layout={"width": "97%"}, style=LABELS[dial.part == "face"],
        )  # fmt: skip
        what = f"{words(dial.name.replace('.', '_'))}, {dial.low:g} to {dial.high:g}{' degrees' * dial.in_degrees}"
        slider.set_trait("tooltip" if slider.has_trait("tooltip") else "description_tooltip", what)  # ipywidgets 8, 7

        def turned(change: dict) -> None:
            if not self.following:
                self.session.apply({dial.name: change["new"]})

        slider.observe(turned, "value")
        return slider

    def _preset(self, kind: str) -> widgets.Dropdown:
        dropdown = widgets.Dropdown(options=[CHOOSE, *PRESETS[kind]], value=CHOOSE, description=words(kind),
                                    layout={"width": "97%"}, style=LABELS[kind == "face"])  # fmt: skip

        def chosen(change: dict) -> None:
            if not self.following and change["new"] != CHOOSE:
                self.session.preset(kind, change["new"])

        dropdown.observe(chosen, "value")
        return dropdown

    def _part(self, part: str) -> widgets.VBox:
        return widgets.VBox([self.of[f"{part}.{axis}"] for axis in PARTS[part]])

    def _body(self) -> widgets.VBox:
        parts = {words(part).capitalize(): self._part(part) for part in GROUPS["Body"][2:]}
        first = [self.presets["body"], self.of["body.heading"], *self._part("spine").children]
        return widgets.VBox([*first, titled(widgets.Accordion, parts)])

    def _fingers(self) -> widgets.VBox:
        return titled(widgets.Accordion, {
            words(part).capitalize(): widgets.VBox([self.presets[part], *self._part(part).children]) for part in HANDS
        }, 0)  # fmt: skip

    def _face(self) -> widgets.VBox:
        regions = {region.capitalize(): widgets.VBox([
            self.of[name] for name, dial in DIALS.items() if name.startswith(f"face.{region}")
        ]) for region in REGIONS}  # fmt: skip
        return widgets.VBox([self.presets["face"], titled(widgets.Accordion, regions)])


def titled(kind: type, pages: dict[str, widgets.Widget], selected: int | None = None) -> widgets.Widget:
    """A Tab or Accordion with its titles set in the way that ipywidgets 7 and 8 share."""
    box = kind(children=list(pages.values()))
    for i, title in enumerate(pages):
        box.set_title(i, title)
    if selected is not None or kind is widgets.Accordion:
        box.selected_index = selected
    return box
