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
    quality = [
        f"| {r['split']}: {r['people']} people, {r['images']} pictures each, {r['betas']} body shape | **{r['psnr']:.2f}**"
        + (" ({:.2f} to {:.2f})".format(*r["psnr_95"]) if "psnr_95" in r else "") + f" | "
        f"{r['ssim']:.3f} | {r['l1']:.4f} | {r['lpips']:.3f} ({r['lpips_kind']}) | {r['baseline_psnr']:.2f} |"
        for r in results if "split" in r and "baseline_psnr" in r
    ]
    avatars = [
        f"| {r['preset']}: {r['parameters'] / 1e6:.1f}M parameters, {r['gaussians']:,} Gaussians | {r['size']} | "
        f"{r['stages']['encode']:.1f} | {r['stages']['drive']:.1f} | {r['stages']['render']:.1f} | {r['memory_gib']:.2f} | "
        f"{r['device']}, at {r['commit'][:7]} |"
        for r in results if r.get("bench") == "avatar"
    ]
    loops = [
        f"| {r['preset']}: {r['gaussians']:,} Gaussians | {r['size']} | {r['batch'] * r['people']} | {r['kernels']}"
        + (", gsplat's lists" if r.get("lists") == "gsplat" else "") + " | "
        f"{r['ms_median'] / (r['batch'] * r['people']):.2f} | {r['fps']:,.0f} | {r['fps_streamed']:,.0f} | "
        + (f"{r['over_gsplat']:.2f}" if "over_gsplat" in r else "") + f" | {r['device']} |"
        for r in results if r.get("bench") == "drive"
    ]
    encoding = [
        f"| {r['preset']}: {r['parameters'] / 1e6:.1f}M parameters | {r['images']} of {r['image_size']} | {r['ms_median']:.1f} | "
        f"{r['device']} |"
        for r in results if r.get("bench") == "encode"
    ]
    rendering = [
        f"| {r['backend']} | {r['gaussians']:,} | {r['size']} | {r['ms_median']:.1f} | {r['ms_p95']:.1f} | {r['fps']:.0f} | "
        f"{r['device']} |"
        for r in results if r.get("bench") == "render"
    ]
    blocks = (
        ("people | PSNR, dB (95 % over people) | SSIM | L1 | perceptual (which) | painted template, dB", quality),
        ("preset | pixels | encode 8 pictures, ms | drive, ms | render, ms | memory, GiB | device", avatars),
        ("driven and drawn, signal in, pixels out | pixels | frames a call | kernels | ms a frame | frames a second | "
         "streamed | over gsplat's own call | device", loops),
        ("encode | pictures | ms a person | device", encoding),
        ("render backend | Gaussians | pixels | ms, median | ms, 95th percentile | frames a second | device", rendering),
    )
    made = [f"| {head} |\n|{'---|' * (head.count('|') + 1)}\n" + "\n".join(rows) for head, rows in blocks if rows]
    return "\n\n".join(made) if made else "No result has been measured yet."


def with_tables(readme: str) -> str:
    """README's text with the tables between its markers replaced."""
    head, rest = readme.split(BEGIN)
    return f"{head}{BEGIN}\n{tables()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    file = ROOT / "README.md"
    file.write_text(with_tables(file.read_text()))
