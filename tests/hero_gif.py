"""README's moving picture: `python tests/hero_gif.py` writes results/demo.gif, 20 seconds in under 5 MB, from `run_demo`."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from lca_mini.data import read_photos
from lca_mini.demo import EXAMPLE, DemoSettings, run_demo
from lca_mini.figures import strip, thumbnails

OUT = Path(__file__).parents[1] / "results" / "demo.gif"
SIZE, FPS, SECONDS, MOST = 264, 12, 20, 5e6
LAYOUT = (  # the eight pictures above, body and face below; one palette for the whole film
    f"[1:v]scale={2 * SIZE}:-1[top];[top][0:v]vstack=shortest=1,split[a][b];[a]palettegen=max_colors=96:stats_mode=diff[p];"
    "[b][p]paletteuse=dither=none:diff_mode=rectangle"
)


def main() -> None:
    """Film the example, then let ffmpeg make a GIF of it. Raises: RuntimeError where it gets too large."""
    from imageio_ffmpeg import get_ffmpeg_exe

    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        run_demo(None, work, DemoSettings(size=SIZE, fps=FPS, frames=SECONDS * FPS, turn_frames=8))
        strip(thumbnails(read_photos(EXAMPLE)), size=96).save(work / "pictures.png")
        subprocess.run(
            [get_ffmpeg_exe(), "-loglevel", "error", "-y", "-i", work / "performance.mp4", "-loop", "1", "-i",
             work / "pictures.png", "-filter_complex", LAYOUT, "-r", str(FPS), work / "demo.gif"], check=True,
        )  # fmt: skip
        made = (work / "demo.gif").read_bytes()
    if len(made) > MOST:
        raise RuntimeError(f"the GIF has {len(made) / 1e6:.1f} MB, more than {MOST / 1e6:.0f}; make SIZE or FPS smaller")
    OUT.write_bytes(made)
    print(f"{OUT.name}: {SECONDS} s, {len(made) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
