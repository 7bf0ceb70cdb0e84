"""Figures of all runs: rendered.png, curves.png, quality.png.

Reads every run_* folder that holds results. `labels.json`, if there, maps folder
names to legend labels and limits the figures to the runs it names.
"""

from __future__ import annotations

import json
import os
import re
import textwrap

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Run = tuple[str, dict, dict]  # label, final_info.json, curves.json

# Colours that stay apart for colour-blind readers; markers carry the same information.
COLOURS = ["#222222", "#0072B2", "#009E73", "#D55E00", "#CC79A7", "#E69F00", "#56B4E9", "#7F3C8D"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "*"]

plt.rcParams.update({
    "font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9, "legend.fontsize": 8,
    "xtick.labelsize": 8, "ytick.labelsize": 8, "axes.spines.top": False,
    "axes.spines.right": False, "axes.grid": True, "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6, "axes.axisbelow": True, "legend.frameon": False,
})


def read_json(path: str) -> dict:
    with open(path, encoding="utf-8") as source:
        return json.load(source)


def short(label: str) -> str:
    """At most two lines: a label must fit beside an axis and below a figure."""
    return "\n".join(textwrap.wrap(label, 32, max_lines=2, placeholder=" …"))


def load_runs() -> list[Run]:
    """All runs with results, in order of the run's number."""
    labels = read_json("labels.json") if os.path.exists("labels.json") else {}
    names = [name for name in os.listdir(".") if re.fullmatch(r"run_\d+", name)]
    runs = []
    for name in sorted(names, key=lambda name: int(name[4:])):
        paths = [os.path.join(name, part) for part in ("final_info.json", "curves.json")]
        if not all(map(os.path.exists, paths)) or (labels and name not in labels):
            continue
        default = "run 0 (baseline)" if name == "run_0" else "run " + name[4:]
        runs.append((short(labels.get(name, default)), read_json(paths[0]), read_json(paths[1])))
    return runs


def style(index: int) -> dict:
    return {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}


def mean_and_error(rows: list | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error over the first axis, the seeds."""
    values = np.asarray(rows, dtype=float)
    if len(values) < 2:
        return values.mean(axis=0), np.zeros(values.shape[1:])
    return values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))


def save(figure: Figure, path: str) -> None:
    figure.savefig(path, dpi=200, metadata={"Software": None})
    plt.close(figure)


def legend_below(figure: Figure, axis: Axes, statistic: str) -> None:
    """Put one legend under all panels, in as many columns as fit; the figure grows with it."""
    handles, labels = axis.get_legend_handles_labels()
    width, height = figure.get_size_inches()
    longest = max(len(line) for label in labels for line in label.split("\n"))
    columns = max(1, min(3, len(labels), int(width / (0.45 + 0.065 * longest))))
    lines = -(-len(labels) // columns) * max(label.count("\n") + 1 for label in labels)
    height += 0.17 * (lines - 1)
    figure.set_size_inches(width, height)
    figure.tight_layout(rect=(0, (0.33 + 0.17 * lines) / height, 1, 1))
    figure.legend(handles, labels, loc="lower center", ncol=columns, title=statistic, title_fontsize=7.5)


TITLES = {"few": "scene of 3 spheres", "many": "scene of 12 spheres"}


def picture(values: list) -> np.ndarray:
    """A square image from its flat list of colours."""
    side = int(round((len(values) / 3) ** 0.5))
    return np.clip(np.reshape(values, (side, side, 3)), 0, 1)


def plot_rendered(runs: list[Run], scenes: list[str]) -> None:
    """The first test view of the first seed: the truth, and every run with its error below."""
    columns = 1 + len(runs)
    figure, axes = plt.subplots(2 * len(scenes), columns, figsize=(1.0 + 1.35 * columns, 0.4 + 2.8 * len(scenes)),
                                squeeze=False, constrained_layout=True)
    for row, scene in enumerate(scenes):
        truth = picture(runs[0][2][scene]["shown"]["truth"])
        upper, lower = axes[2 * row], axes[2 * row + 1]
        upper[0].imshow(truth)
        upper[0].set(title="truth" if row == 0 else "", ylabel=TITLES.get(scene, scene).replace("of ", "of\n"))
        lower[0].set_facecolor("none")  # kept: an invisible one would leave the labels above it no room
        for column, (label, _, curves) in enumerate(runs, start=1):
            image = picture(curves[scene]["shown"]["image"])
            upper[column].imshow(image)
            upper[column].set_title(textwrap.fill(label, 18) if row == 0 else "")
            shown = lower[column].imshow(np.abs(image - truth).mean(axis=2), vmin=0, vmax=0.2, cmap="magma")
        lower[1].set_ylabel("absolute error\nof a colour (0 to 1)")
        figure.colorbar(shown, ax=list(lower), fraction=0.03, extend="max")
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.grid(False)
        for spine in axis.spines.values():
            spine.set_visible(False)
    save(figure, "rendered.png")


def plot_curves(runs: list[Run], scenes: list[str]) -> None:
    """PSNR over the steps of fitting, on training rays and validation views."""
    figure, axes = plt.subplots(1, len(scenes), figsize=(6.8, 3.8), sharey=True, squeeze=False)
    for axis, scene in zip(axes[0], scenes):
        for index, (label, _, curves) in enumerate(runs):
            seeds = curves[scene]["curves"]
            for name, line in (("train_psnr", ":"), ("validation_psnr", "-")):
                mean, error = mean_and_error([seed[name] for seed in seeds])
                axis.plot(seeds[0]["step"], mean, linestyle=line, linewidth=1.1, markersize=3.2,
                          label=label if line == "-" else None, **style(index))
                axis.fill_between(seeds[0]["step"], mean - error, mean + error, color=style(index)["color"], alpha=0.2,
                                  linewidth=0)
        axis.set(title=TITLES.get(scene, scene), xlabel="step")
    axes[0][0].set_ylabel("PSNR (dB)")
    legend_below(figure, axes[0][0], "solid: validation views, dotted: training rays; mean of %d seeds, band ± 1 "
                 "standard error" % len(seeds))
    save(figure, "curves.png")


def plot_quality(runs: list[Run], scenes: list[str]) -> None:
    """PSNR and structural similarity on the test views, a row per run."""
    figure, axes = plt.subplots(1, 2, figsize=(7.0, 1.2 + 0.34 * max(3, len(runs))), sharey=True)
    rows = np.arange(len(runs))
    for axis, metric, name in ((axes[0], "psnr", "PSNR (dB)"), (axes[1], "ssim", "structural similarity")):
        for index, scene in enumerate(scenes):
            shift = 0.24 * (index - (len(scenes) - 1) / 2)
            axis.errorbar([info[scene]["means"][metric] for _, info, _ in runs], rows + shift,
                          xerr=[info[scene]["stderrs"][metric] for _, info, _ in runs], linestyle="none", capsize=2.5,
                          markersize=4.5, label=TITLES.get(scene, scene), **style(index + 1))
        axis.set_xlabel(name + " on test views")
        axis.grid(axis="y", visible=False)
    axes[0].set_yticks(rows, [label for label, _, _ in runs])
    axes[0].set_ylim(len(runs) - 0.5, -0.5)
    seeds = len(runs[0][1][scenes[0]]["final_info_dict"]["psnr"])
    legend_below(figure, axes[0], "mean of %d seeds ± 1 standard error" % seeds)
    save(figure, "quality.png")


def main() -> None:
    runs = load_runs()
    if not runs:
        raise SystemExit("no run_* folder with results: run experiment.py --out_dir=run_0 first")
    datasets = sorted(set.intersection(*(set(info) for _, info, _ in runs)))
    plot_rendered(runs, datasets)
    plot_curves(runs, datasets)
    plot_quality(runs, datasets)


if __name__ == "__main__":
    main()
