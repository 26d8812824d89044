"""The tables of README.md, made from results/*.json: `make results` writes them, a test compares."""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- results: made by tests/readme_table.py -->", "<!-- end of results -->"
CLAIMS_BEGIN, CLAIMS_END = "<!-- claims: made by tests/readme_table.py -->", "<!-- end of claims -->"
MISSING = "not measured yet"
EXPERIMENT_CLAIMS = (  # words, what the paper measured, experiment, row ahead, row of
    ("pretraining, then post-training, beats mixing", "+2.5 dB studio, +0.2 dB wild (table 1)", "table1", "pre then post",
     "mixed", "05_posttraining"),
    ("the same, trained longer", "as above", "table1_nano_133334_seen", "pre then post", "mixed", "05_posttraining"),
    ("beats an avatar optimised for each person", "+3.6 dB studio, 8 pictures (table 2)", "peers", "ours, 8 images",
     "optimised for each person, 8 images", "09_results"),
    ("so does a small one after minutes of training", "not measured", "table2", "ours, 8 images",
     "optimised for each person, 8 images", "09_results"),
    ("beats a regressor of LHM's kind, from one picture", "+5.0 dB studio, +9.4 dB wild (table 2)", "table2", "ours, 1 image",
     "cross-attention, one branch, no faces, 1 image", "09_results"),
    ("more people in pretraining help: from 100 to 1,000", "not measured", "table3", "1,000 people", "100 people",
     "04_pretraining"),
    ("from 1,000 to 10,000", "not measured", "table3", "10,000 people", "1,000 people", "04_pretraining"),
    ("and on to 100,000", "+0.5 dB wild, 10,000 to a million (table 3)", "table3", "100,000 people", "10,000 people",
     "04_pretraining"),
    ("two branches beat one", "+0.1 dB studio, +0.2 dB wild (table S1)", "s1", "dual branch, gamma 0.65",
     "single branch, gamma 0.65", "07_transformer_and_decoder"),
    ("gamma 0.65 beats one rate for all layers", "perhaps +3.1 dB studio (table S1, which can be read in two ways)", "s1",
     "dual branch, gamma 0.65", "gamma 1.0: one rate for all layers", "05_posttraining"),
)  # fmt: skip


def read_results() -> list[dict]:
    """Every result, in the order of file names."""
    return [json.loads(file.read_text()) for file in sorted((ROOT / "results").glob("*.json"))]


def claims() -> str:
    """What the paper claims, what it measured, what we did, and how to do it again."""
    files = {file.stem: json.loads(file.read_text()) for file in (ROOT / "results").glob("*.json")}

    def measured(name: str, words: str) -> str:
        return words.format(**files[name]) if name in files else MISSING

    psnr = {name: file["psnr"] for name, file in files.items() if name.startswith("test-")}
    eight = one = MISSING
    if {"test-studio", "test-wild"} <= set(psnr):
        eight = f"{psnr['test-studio']:.1f} dB studio, {psnr['test-wild']:.1f} dB wild, of synthetic people"
    if {"test-studio", "test-wild", "test-studio_1", "test-wild_1"} <= set(psnr):
        lost = [psnr[split + "_1"] - psnr[split] for split in ("test-studio", "test-wild")]
        one = f"{lost[0]:+.1f} dB studio, {lost[1]:+.1f} dB wild"
    rows = [
        ("eight pictures make an avatar", "27.5 dB studio, 27.8 dB wild (table 2)", eight, "09_results",
         "eval --split test-wild"),
        ("one picture costs little", "-0.6 dB studio, -0.1 dB wild (table 2)", one, "11_limits_and_exercises",
         "eval --split test-wild --images 1"),
    ]  # fmt: skip
    for words, paper, name, ahead, of, notebook in EXPERIMENT_CLAIMS:
        size = "mini" if f"{name}_mini" in files else "nano"
        file = name if name in files else f"{name}_{size}"
        found = [c for c in files.get(file, {}).get("claims", []) if (c["ahead"], c["of"]) == (ahead, of)]
        ours = ", ".join(f"{round(c['difference'], 1) + 0.0:+.1f} dB {c['split'][5:]} (**{c['verdict']}**)" for c in found) or MISSING
        command = f"experiment {name}"
        if found:
            stored = files[file]
            command = stored["command"].split(" (")[0].removeprefix("lca-mini ")
            how = f"{size}, {stored['budget']['people_seen']:,} people seen a row"
            if name == "peers":
                how = f"the shipped weights, {stored['rows'][0]['people']} people of each"
            ours += f"; {how}" + ", an earlier version" * ("note" in stored) + ", not all seeds yet" * (not stored["complete"])
        rows.append((words, paper, ours, notebook, command))
    rows += [
        ("stylised people come out too", "shown, without a figure",
         measured("test-stylised", "{psnr:.1f} dB on statues, clay and toons"), "11_limits_and_exercises",
         "eval --split test-stylised"),
        ("animates faster than a screen shows", "586 frames a second, A100",
         measured("bench_drive_paper_h200", "{fps:,.0f}, {device}, the paper's sizes, {weights} weights"),
         "10_fps_benchmark", "bench drive --preset paper --size 1024"),
        ("on a laptop too", "not claimed", measured("bench_drive_mini_cpu", "{fps:.0f}, {device}"), "10_fps_benchmark",
         "bench drive --device cpu"),
    ]  # fmt: skip
    lines = [f"| {words} | {paper} | {ours} | [{notebook[:2]}](notebooks/{notebook}.ipynb) | `lca-mini {command}` |"
             for words, paper, ours, notebook, command in rows]  # fmt: skip
    return "| claim | paper | ours | notebook | command |\n|---|---|---|---|---|\n" + "\n".join(lines)


def tables() -> str:
    """Markdown of what the results say; a sentence where there are none."""
    results = read_results()
    quality = [
        f"| {r['split']}: {r['people']} people, {r['images']} picture{'s' * (r['images'] > 1)} each, "
        f"{r['betas']} body shape"
        + (", driven by filmed faces" if r["driven_by"] == "faces" else "") + f" | **{r['psnr']:.2f}**"
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
        f"| {r['preset']}: {r['gaussians']:,} Gaussians"
        + (f", {r['people']} avatars" if r["people"] > 1 else "")
        + f" | {r['size']} | {r['batch'] * r['people']} | {r['kernels']}"
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
    driving = [row for r in results if r.get("measure") == "driving" for row in driving_rows(r)]
    scaling = [
        f"| {r['preset']}, {r['batch']} people a step and GPU | {r['people_per_s']['one']:,.1f} | {r['people_per_s']['all']:,.1f} | "
        f"**{r['times']:.2f}** | {r['people_per_s']['all_sharded']:,.1f} | {r['processes']} {r['device']} |"
        for r in results if r.get("bench") == "scaling"
    ]
    blocks = (
        ("people | PSNR, dB (95 % over people) | SSIM | L1 | perceptual (which) | painted template, dB", quality),
        ("driving, people never seen | studio | wild", driving),
        ("preset | pixels | encode 8 pictures, ms | drive, ms | render, ms | memory, GiB | device", avatars),
        ("driven and drawn, signal in, pixels out | pixels | frames a call | kernels | ms a frame | frames a second | "
         "streamed | over gsplat's own call | device", loops),
        ("encode | pictures | ms a person | device", encoding),
        ("trained, people a second | one GPU | two | times | two, the model in parts | device", scaling),
        ("render backend | Gaussians | pixels | ms, median | ms, 95th percentile | frames a second | device", rendering),
    )
    made = [f"| {head} |\n|{'---|' * (head.count('|') + 1)}\n" + "\n".join(rows) for head, rows in blocks if rows]
    return "\n\n".join(made) if made else "No result has been measured yet."


def driving_rows(r: dict) -> list[str]:
    """What `lca-mini measure driving` found, as far as it is there."""
    rows = []
    if "codes" in r:
        worlds = [r["codes"]["worlds"][f"test-{world}"] for world in ("studio", "wild")]
        for name, key, how in (("R2 of the facial actions that vary, read off a face's code", "r2_mean", "{:.3f}"),
                               ("people of 50 guessed from the code (chance: 2 %)", "identity_accuracy", "{:.1%}")):
            rows.append(f"| {name} | " + " | ".join(how.format(world[key]) for world in worlds) + " |")
    found = {}
    if "reenactment" in r:
        psnr = r["reenactment"]["psnr"]
        found["face driven by pictures of itself, of another, by true actions, neutral, dB"] = ", ".join(
            f"{psnr[who]:.2f}" for who in ("self", "cross", "actions", "neutral"))  # fmt: skip
    if "parts" in r:
        for part in r["parts"]["parts"]:
            if (part["removed"], part["sweep"]) in (("expression", "facs"), ("gaze", "gaze"), ("hands", "fingers")):
                found[f"corrections by {part['removed']} left out, {part['region']}, dB"] = f"{-part['cost']:+.2f}"
    if "gaze" in r:
        found["gaze read back from renders, from true pictures, degrees off"] = (
            f"{r['gaze']['renders_degrees']:.1f}, {r['gaze']['true_pictures_degrees']:.1f}")  # fmt: skip
    if "fingers" in r:
        tips = r["fingers"]["true_shape"]
        found["finger-tips off in a whole-body picture, in a close-up of the hand, pixels of 512"] = (
            f"{tips['pixels_whole_body']:.1f}, {tips['pixels_hand']:.1f}")  # fmt: skip
    return rows + [f"| {name} | {value} | |" for name, value in found.items()]


def with_tables(readme: str) -> str:
    """README's text with the tables between its markers replaced."""
    for begin, end, made in ((CLAIMS_BEGIN, CLAIMS_END, claims()), (BEGIN, END, tables())):
        head, rest = readme.split(begin)
        readme = f"{head}{begin}\n{made}\n{end}{rest.split(end)[1]}"
    return readme


if __name__ == "__main__":
    file = ROOT / "README.md"
    file.write_text(with_tables(file.read_text()))
    print("README.md: tables of", len(read_results()), "results")
