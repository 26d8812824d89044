"""The tables of README.md, made from results/*.json: `python tests/readme_table.py` writes them, a test compares."""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- results: made by tests/readme_table.py -->", "<!-- end of results -->"


def read_results() -> list[dict]:
    """Every result, in the order of file names."""
    return [json.loads(file.read_text()) for file in sorted((ROOT / "results").glob("*.json"))]


def tables() -> str:
    """Markdown of what the results say; a sentence where there are none."""
    results = read_results()
    quality = [r for r in results if "split" in r and "baseline_psnr" in r]
    speed = [r for r in results if r.get("bench") == "render"]
    lines = []
    if quality:
        lines += ["| people | PSNR, dB | SSIM | L1 | perceptual (which) | painted template, dB |", "|---|---|---|---|---|---|"]
        lines += [
            f"| {r['split']}: {r['people']} people, {r['images']} pictures each | **{r['psnr']:.2f}** | {r['ssim']:.3f} | "
            f"{r['l1']:.4f} | {r['lpips']:.3f} ({r['lpips_kind']}) | {r['baseline_psnr']:.2f} |"
            for r in quality
        ]
    if quality and speed:
        lines.append("")
    if speed:
        lines += ["| rendering | Gaussians | size | ms, median | ms, 95th percentile | frames a second |", "|---|---|---|---|---|---|"]
        lines += [
            f"| {r['backend']} on {r['device']} | {r['gaussians']:,} | {r['size']} | {r['ms_median']:.1f} | "
            f"{r['ms_p95']:.1f} | {r['fps']:.0f} |"
            for r in speed
        ]
    return "\n".join(lines) if lines else "No result has been measured yet."


def with_tables(readme: str) -> str:
    """README's text with the tables between its markers replaced."""
    head, rest = readme.split(BEGIN)
    return f"{head}{BEGIN}\n{tables()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    file = ROOT / "README.md"
    file.write_text(with_tables(file.read_text()))
