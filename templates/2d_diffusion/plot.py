"""Figures of all runs: samples.png, losses.png, quality.png.

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
from matplotlib.ticker import MaxNLocator

Run = tuple[str, dict, dict]  # label, final_info.json, curves.json

# Colours that stay apart for colour-blind readers; markers carry the same information.
COLOURS = ["#222222", "#0072B2", "#009E73", "#D55E00", "#CC79A7", "#E69F00", "#56B4E9", "#7F3C8D"]
HATCHES = ["", "////", "\\\\\\\\", "....", "xxxx", "----", "||||", "oooo"]  # of bars, for prints without colour
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


def plot_samples(runs: list[Run], datasets: list[str]) -> None:
    """Points of the first seed: real ones, and those each run drew."""
    columns = 1 + len(runs)
    figure, axes = plt.subplots(len(datasets), columns, figsize=(0.5 + 1.5 * columns, 0.4 + 1.5 * len(datasets)),
                                squeeze=False, constrained_layout=True)
    for line, (row, dataset) in enumerate(zip(axes, datasets)):
        panels = [("real points", runs[0][2][dataset]["real"])]
        panels += [(label, curves[dataset]["drawn"]) for label, _, curves in runs]
        for index, (axis, (label, points)) in enumerate(zip(row, panels)):
            x, y = np.transpose(points)
            colour = "#888888" if index == 0 else COLOURS[(index - 1) % len(COLOURS)]
            axis.scatter(x, y, s=1.2, linewidths=0, alpha=0.6, color=colour)
            lost = np.sum((np.abs(x) > 2.1) | (np.abs(y) > 2.1))
            if lost:
                axis.annotate("%d outside" % lost, (0.03, 0.02), xycoords="axes fraction", fontsize=6)
            axis.set(xlim=(-2.1, 2.1), ylim=(-2.1, 2.1), xticks=[], yticks=[], aspect="equal")
            axis.grid(False)
            if line == 0:
                axis.set_title(textwrap.fill(label, 18), fontsize=8)
        row[0].set_ylabel(dataset)
    save(figure, "samples.png")


def plot_losses(runs: list[Run], datasets: list[str]) -> None:
    """Noise-prediction loss over training, on training batches and validation points."""
    columns = min(4, len(datasets))
    rows = -(-len(datasets) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(8.0, 1.3 + 2.1 * rows), squeeze=False)
    for axis in axes.flat[len(datasets):]:
        axis.set_visible(False)
    for axis, dataset in zip(axes.flat, datasets):
        for index, (label, _, curves) in enumerate(runs):
            seeds = curves[dataset]["curves"]
            for name, line in (("train_loss", ":"), ("validation_loss", "-")):
                mean, error = mean_and_error([seed[name] for seed in seeds])
                axis.plot(seeds[0]["step"], mean, linestyle=line, linewidth=1, markersize=2.8, markevery=(index % 3, 4),
                          label=label if line == "-" else None, **style(index))
                axis.fill_between(seeds[0]["step"], mean - error, mean + error, color=style(index)["color"], alpha=0.2,
                                  linewidth=0)
        axis.set(title=dataset, xlabel="step")
        axis.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    for row in axes:
        row[0].set_ylabel("mean squared error\nof the noise")
    legend_below(figure, axes[0][0], "solid: validation, dotted: training; mean of %d seeds, band ± 1 standard error"
                 % len(seeds))
    save(figure, "losses.png")


def plot_quality(runs: list[Run], datasets: list[str]) -> None:
    """Divergence, coverage and precision of drawn points; the dashed line is a second real sample."""
    panels = (("kl", "divergence (nats)"), ("coverage", "coverage"), ("precision", "precision"))
    figure, axes = plt.subplots(len(panels), 1, figsize=(max(6.4, 1.5 * len(datasets)), 5.6), sharex=True)
    at, width = np.arange(len(datasets)), 0.8 / len(runs)
    for axis, (metric, name) in zip(axes, panels):
        for index, (label, info, _) in enumerate(runs):
            axis.bar(at + width * (index - (len(runs) - 1) / 2), [info[d]["means"][metric] for d in datasets],
                     0.9 * width, yerr=[info[d]["stderrs"][metric] for d in datasets], label=label, capsize=2,
                     color=style(index)["color"], hatch=HATCHES[index % len(HATCHES)], edgecolor="white", linewidth=0,
                     error_kw={"linewidth": 0.8, "ecolor": "#888888"})
        for x, dataset in zip(at, datasets):
            axis.hlines(runs[0][1][dataset]["means"][metric + "_real"], x - 0.45, x + 0.45, color="#555555",
                        linestyle="--", linewidth=0.9)
        axis.set_ylabel(name)
        axis.grid(axis="x", visible=False)
    axes[-1].set_xticks(at, datasets)
    seeds = len(runs[0][1][datasets[0]]["final_info_dict"]["kl"])
    legend_below(figure, axes[0], "mean of %d seeds ± 1 standard error; dashed: a second real sample" % seeds)
    save(figure, "quality.png")


def main() -> None:
    runs = load_runs()
    if not runs:
        raise SystemExit("no run_* folder with results: run experiment.py --out_dir=run_0 first")
    datasets = sorted(set.intersection(*(set(info) for _, info, _ in runs)))
    plot_samples(runs, datasets)
    plot_losses(runs, datasets)
    plot_quality(runs, datasets)


if __name__ == "__main__":
    main()
