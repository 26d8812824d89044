"""The viewport: an anywidget that shows a session and sends back what mouse, touch and keys do to it.

Enters: a `Session`. Leaves: JPEG frames to the browser, moves to the session. No part of the paper. Newest frame wins:
the browser holds one token, which it returns after it has drawn; a frame spends it. What happens meanwhile is merged,
on both sides, into the next frame, so that nothing queues however slow either side is.
"""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from lca_mini.control.session import Session

QUALITY = 88  # of JPEG
LONGEST_STEP = 0.25  # seconds that a clip moves on at most between two frames, however long they took


class Viewport(anywidget.AnyWidget):
    """Drag orbits, shift-drag or two fingers pan, wheel or pinch zooms; arrow keys orbit, + and - zoom, Home resets.

    `frames_per_second` is what the browser measured while frames followed one another, `drawn` how many it drew.
    """

    _esm = Path(__file__).with_name("viewport.js")
    _css = Path(__file__).with_name("viewport.css")
    width = traitlets.Int(384, help="of the picture on the page, CSS pixels").tag(sync=True)
    poster = traitlets.Bytes(b"", help="what is shown until the first frame: a JPEG").tag(sync=True)
    follow = traitlets.Bool(False, help="eyes follow the pointer").tag(sync=True)
    frames_per_second = traitlets.Float(0.0).tag(sync=True)
    drawn = traitlets.Int(0).tag(sync=True)

    def __init__(self, session: Session, **traits: Any) -> None:
        """traits: `width`, `follow`."""
        super().__init__(poster=jpeg(session), **traits)
        self.session, self.token, self.stale = session, False, True
        self.sent, self.last = 0, time.perf_counter()
        session.watchers.append(self.refresh)
        self.on_msg(self._receive)

    def refresh(self) -> None:
        """Show the session as it is now: at once where the browser waits, else as soon as it has drawn."""
        self.stale = True
        self._push()

    def _receive(self, _: Any, content: dict[str, Any], buffers: Any) -> None:
        """A message of viewport.js: {kind: "hello" | "drawn" | "moved" | "reset", turn, pan, zoom, pointer}."""
        kind = content.get("kind")
        if kind in ("hello", "drawn"):
            self.token = True
            self.stale |= kind == "hello"
        try:
            if kind == "reset":
                self.session.show("whole body")
            elif {"turn", "pan", "zoom", "pointer"} & content.keys():
                pointer = content.get("pointer") if self.follow else None
                self.session.move(
                    tuple(content.get("turn", (0, 0))), tuple(content.get("pan", (0, 0))), content.get("zoom", 0),
                    None if pointer is None else tuple(pointer),
                )  # fmt: skip
            self._push()
        except (ValueError, TypeError) as error:
            self.send({"kind": "problem", "text": str(error)})

    def _push(self) -> None:
        """Send a frame if the browser holds its token out and there is something new."""
        now = time.perf_counter()
        if not self.token or not (self.stale or self.session.playing):
            return
        self.token = self.stale = False
        self.session.advance(min(now - self.last, LONGEST_STEP))
        self.last = now
        picture = jpeg(self.session)
        self.sent += 1
        about = {"kind": "frame", "serial": self.sent, "changes": self.session.changes}
        self.send(about, [picture])


def jpeg(session: Session) -> bytes:
    """A session's picture as it goes to the browser."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(session.frame().numpy()).save(out, "JPEG", quality=QUALITY)
    return out.getvalue()
