"""Notebook 08 in a real browser: headless Chromium opens JupyterLab, runs all cells, and drags a slider and the picture.

    python tests/browser_viewport.py [--in notebook] [--out results/browser_viewport_cpu.json] [--pictures folder]

Needs JupyterLab (or Notebook 7), playwright, and a Chromium on the path (or CHROMIUM=...). All times are the
browser's own clock, from the pointer's event to the moment the new picture is on the canvas. The last line is JSON; exit
code 1 where something does not move. `test_control_browser.py` runs it where playwright and Chromium are there.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Iterator

from lca_mini.device import commit, device_name

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = "08_interactive_control.ipynb"
CANVAS = ".lca-viewport canvas"
WATCH = """() => {
  const canvas = document.querySelector('.lca-viewport canvas');
  window.lca = { drawn: [], moved: [] };
  new MutationObserver(() => lca.drawn.push([performance.now(), Number(canvas.dataset.changes)]))
    .observe(canvas, { attributeFilter: ['data-serial'] });
  document.addEventListener('pointermove', () => lca.moved.push(performance.now()), true);
}"""
PLACES = {"jupyterlab": "lab/tree", "notebook": "notebooks"}
"""Modules that serve the notebook, and where each shows it."""
PIXELS = "() => document.querySelector('.lca-viewport canvas').toDataURL()"


def chromium() -> str | None:
    """Where the browser is."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def served(folder: Path, where: str = "jupyterlab") -> Iterator[str]:
    """A server of its own on a free port, with a copy of the notebook; gives its address. where: of `PLACES`."""
    shutil.copy(ROOT / "notebooks" / NOTEBOOK, folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home = folder / "home"
    quiet = home / "@jupyterlab" / "apputils-extension"
    quiet.mkdir(parents=True)
    (quiet / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
                        "JUPYTER_CONFIG_DIR": str(home), "JUPYTERLAB_SETTINGS_DIR": str(home),
                        "JUPYTERLAB_WORKSPACES_DIR": str(home)}  # fmt: skip
    command = [sys.executable, "-m", where, "--allow-root", "--no-browser", f"--port={port}", "--port-retries=0",
               "--IdentityProvider.token=", f"--ServerApp.root_dir={folder}"]  # fmt: skip
    with open(folder / "server.log", "w") as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=2).close()
                break
            except OSError:
                time.sleep(0.5)
        else:
            raise RuntimeError((folder / "server.log").read_text()[-2000:])
        yield f"http://127.0.0.1:{port}/{PLACES[where]}/{NOTEBOOK}"
    finally:
        server.terminate()
        server.wait(20)


def run_all(page: Any, address: str) -> float:
    """Open the notebook and run every cell; seconds that took."""
    page.goto(address)
    stored = json.loads((ROOT / "notebooks" / NOTEBOOK).read_text())
    cells = sum(cell["cell_type"] == "code" for cell in stored["cells"])
    shown = f"document.querySelectorAll('.jp-CodeCell').length >= {cells}"  # the kernel is connected after that
    idle = "document.querySelector('.jp-Notebook-ExecutionIndicator[data-status=idle]')"
    page.wait_for_function(f"() => {shown} && {idle}", timeout=60_000)
    started = time.perf_counter()
    page.click("text=Run >> nth=0")
    page.click("text=Run All Cells")
    queued = "[...document.querySelectorAll('.jp-InputPrompt')].some((prompt) => prompt.textContent.includes('*'))"
    page.wait_for_function(f"() => {queued}", timeout=60_000)
    page.wait_for_function(f"() => !{queued}", timeout=240_000)
    seconds = time.perf_counter() - started
    page.wait_for_selector(f"{CANVAS}[data-serial]", timeout=30_000, state="attached")
    return seconds


def centre(page: Any, selector: str) -> tuple[float, float]:
    """Of an element, in the window."""
    box = page.locator(selector).first.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def orbit(page: Any, seconds: float) -> float:
    """Drag round without pause; frames a second that were drawn meanwhile."""
    x, y = centre(page, CANVAS)
    page.mouse.move(x, y)
    page.mouse.down()
    page.evaluate("() => { lca.drawn.length = 0; }")
    started, step = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        step += 1
        page.mouse.move(x + 100 * (1 - 2 * abs(step / 60 % 2 - 1)), y + step % 3)
        page.wait_for_timeout(8)
    page.mouse.up()
    times = [at for at, _ in page.evaluate("() => lca.drawn")]
    return 1000 * (len(times) - 1) / (times[-1] - times[0])


def slide(page: Any, steps: int) -> list[float]:
    """Drag the first slider by steps, each when the last has been drawn; ms from its event to the new picture."""
    x, y = centre(page, ".widget-slider .noUi-handle")
    page.mouse.move(x, y)
    page.mouse.down()
    spans = []
    for step in range(steps):
        page.wait_for_timeout(150)
        changes = page.evaluate("() => { lca.drawn.length = lca.moved.length = 0;"
                                f" return Number(document.querySelector('{CANVAS}').dataset.changes); }}")  # fmt: skip
        page.mouse.move(x + 4 * (step + 1), y)
        page.wait_for_function(f"() => lca.drawn.some(([_, n]) => n > {changes})", timeout=10_000)
        spans.append(page.evaluate(f"() => lca.drawn.find(([_, n]) => n > {changes})[0] - lca.moved[0]"))
    page.mouse.up()
    return spans


def touch(page: Any, *ways: tuple[tuple[float, float], tuple[float, float]]) -> None:
    """Fingers on the picture, each from one place to another (CSS pixels from the middle), lifted at the end."""
    x, y = centre(page, CANVAS)
    glass = page.context.new_cdp_session(page)

    def put(kind: str, share: float = 0.0) -> None:
        points = [{"x": x + a + share * (c - a), "y": y + b + share * (d - b), "id": i}
                  for i, ((a, b), (c, d)) in enumerate(ways)]  # fmt: skip
        glass.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [] if kind == "touchEnd" else points})

    put("touchStart")
    for step in range(1, 9):
        put("touchMove", step / 8)
        page.wait_for_timeout(30)
    put("touchEnd")


def sent_back(page: Any) -> list[str]:
    """A list that fills with the values of widgets that the browser sends to the kernel."""
    values: list[str] = []

    def heard(message: str | bytes) -> None:
        text = message if isinstance(message, str) else message.decode(errors="replace")
        values.extend(re.findall(r'"method": ?"update", ?"state": ?{"value": ?([^,}]*)', text))

    page.on("websocket", lambda socket: socket.on("framesent", heard))
    return values


def measure(
    pictures: Path | None = None, seconds: float = 6.0, steps: int = 20, where: str = "jupyterlab"
) -> dict[str, Any]:
    """Everything; plain values for a line of JSON. pictures: a folder for screenshots."""
    from playwright.sync_api import sync_playwright

    def shoot(page: Any, name: str) -> None:
        if pictures:
            pictures.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=pictures / f"{name}.png")

    with tempfile.TemporaryDirectory() as folder, served(Path(folder), where) as address, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        values, load = sent_back(page), os.getloadavg()[0]
        notebook_seconds = run_all(page, address)
        failed = page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']").all_inner_texts()
        page.locator(CANVAS).scroll_into_view_if_needed()
        page.wait_for_timeout(1500)
        untouched = list(values)
        page.evaluate(WATCH)
        seen, names = [page.evaluate(PIXELS)], []

        def look(name: str, wait: int = 1000) -> None:
            page.wait_for_timeout(wait)
            seen.append(page.evaluate(PIXELS))
            names.append(name)
            shoot(page, name)

        shoot(page, "ran")
        rate = orbit(page, seconds)
        look("drag")
        spans = sorted(slide(page, steps))
        look("slider")
        page.locator(".widget-slider .noUi-handle").first.focus()
        page.keyboard.press("ArrowLeft")
        look("slider key")
        page.locator(CANVAS).focus()
        for key in ("ArrowRight", "ArrowUp", "Home"):
            page.keyboard.press(key)
            look(key)
        page.mouse.move(*centre(page, CANVAS))
        page.mouse.wheel(0, -400)
        look("wheel")
        touch(page, ((-60, 0), (60, 20)))
        look("finger")
        touch(page, ((-80, 0), (-30, 0)), ((80, 0), (30, 0)))
        look("pinch")
        page.click(".widget-tab .lm-TabBar-tab:has-text('Face')")
        page.select_option(".widget-tab .widget-dropdown:visible select", "laugh")
        page.click("button:has-text('Play')")
        look("play", 3000)
        playing = float(page.evaluate(f"() => document.querySelector('{CANVAS}').dataset.rate"))
        side = page.evaluate(f"() => document.querySelector('{CANVAS}').width")
        about = browser.version
        browser.close()
    moved = dict(zip(names, (a != b for a, b in zip(seen, seen[1:]))))
    return {
        "bench": "viewport", "preset": "mini", "size": side, "device": device_name("cpu"), "load_before": round(load, 2),
        "chromium": about,
        where: version(where), "ipywidgets": version("ipywidgets"), "anywidget": version("anywidget"),
        "notebook_s": round(notebook_seconds, 1), "moved": moved, "stderr_cells": failed, "sent_back": untouched,
        "orbit_fps": round(rate, 1), "orbit_s": seconds, "play_fps": round(playing, 1), "slider_steps": steps,
        "slider_ms_median": round(statistics.median(spans), 1),
        "slider_ms_p95": round(spans[max(0, round(0.95 * steps) - 1)], 1), "slider_ms_max": round(spans[-1], 1),
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--in", dest="where", choices=PLACES, default="jupyterlab")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--pictures", type=Path)
    arguments = parser.parse_args()
    about = {"command": "python " + " ".join(["tests/browser_viewport.py", *sys.argv[1:]]), "commit": commit()}
    result = about | measure(arguments.pictures, where=arguments.where)
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result))
    return 0 if all(result["moved"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
