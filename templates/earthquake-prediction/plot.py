"""Figures of all runs: precision_recall.png, calibration.png, maps.png.

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
    """Return a list of (label, final_info, curves), in order of the run's number."""
    labels = read_json("labels.json") if os.path.exists("labels.json") else {}
    names = [name for name in os.listdir(".") if re.fullmatch(r"run_\d+", name)]
    runs = []
    for name in sorted(names, key=lambda name: int(name[4:])):
        paths = [os.path.join(name, part) for part in ("final_info.json", "curves.json")]
        if not all(map(os.path.exists, paths)) or (labels and name not in labels):
            continue
        default = "run 0 (baseline)" if name == "run_0" else "run " + name[4:]
        runs.append((short(labels.get(name, default)), *map(read_json, paths)))
    return runs


def title(dataset: str) -> str:
    return "branching ratio %s" % dataset.split("_")[-1]


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


def mean_and_error(seeds: list[dict], name: str) -> tuple[np.ndarray, np.ndarray]:
    rows = np.array([seed[name] for seed in seeds])
    return rows.mean(axis=0), rows.std(axis=0, ddof=1) / np.sqrt(len(rows))


def plot_precision_recall(runs: list[Run], datasets: list[str]) -> None:
    """Precision by recall on the test days, with the best that is possible."""
    figure, axes = plt.subplots(1, len(datasets), figsize=(6.8, 3.9), sharey=True, squeeze=False)
    for axis, dataset in zip(axes[0], datasets):
        first = runs[0][2]["datasets"][dataset]
        axis.plot(first[0]["recall"], mean_and_error(first, "precision_true")[0], color="#777777", linestyle="--",
                  linewidth=1, label="true chances")
        for index, (label, _, curves) in enumerate(runs):
            seeds = curves["datasets"][dataset]
            mean, error = mean_and_error(seeds, "precision")
            style = {"color": COLOURS[index % len(COLOURS)]}
            axis.plot(seeds[0]["recall"], mean, label=label, linewidth=1.1, marker=MARKERS[index % len(MARKERS)],
                      markevery=(index % 5, 7), markersize=3.2, **style)
            axis.fill_between(seeds[0]["recall"], mean - error, mean + error, alpha=0.2, linewidth=0, **style)
        axis.set(title=title(dataset), xlabel="recall", yscale="log")
    axes[0][0].set_ylabel("precision")
    legend_below(figure, axes[0][0], "mean of %d catalogues, band ± 1 standard error" % len(first))
    save(figure, "precision_recall.png")


def plot_calibration(runs: list[Run], datasets: list[str]) -> None:
    """Observed share of events by predicted chance, in twelve bins of equal size."""
    figure, axes = plt.subplots(1, len(datasets), figsize=(6.8, 3.9), sharey=True, sharex=True, squeeze=False)
    for axis, dataset in zip(axes[0], datasets):
        for index, (label, _, curves) in enumerate(runs):
            seeds = curves["datasets"][dataset]
            predicted, _ = mean_and_error(seeds, "predicted")
            observed, error = mean_and_error(seeds, "observed")
            axis.errorbar(predicted, observed, yerr=np.minimum(error, 0.95 * observed), label=label, linewidth=0.8,
                          markersize=3.5, capsize=2, color=COLOURS[index % len(COLOURS)],
                          marker=MARKERS[index % len(MARKERS)])
        axis.axline((1e-3, 1e-3), (1e-2, 1e-2), color="#777777", linestyle="--", linewidth=0.8)
        axis.set(title=title(dataset), xlabel="predicted chance of an event", xscale="log", yscale="log")
    axes[0][0].set_ylabel("observed share with an event")
    seeds = len(runs[0][2]["datasets"][datasets[0]])
    legend_below(figure, axes[0][0], "twelve bins; mean of %d catalogues ± 1 standard error; dashed: perfect" % seeds)
    save(figure, "calibration.png")


def plot_maps(runs: list[Run], datasets: list[str]) -> None:
    """Mean chance over the test days in each cell of the first catalogue: forecasts and truth."""
    columns = [("true chances", runs[0][2], "map_true")] + [(label, curves, "map") for label, _, curves in runs]
    figure, axes = plt.subplots(len(datasets), len(columns), squeeze=False, constrained_layout=True,
                                figsize=(2.1 + 1.4 * len(columns), 0.6 + 1.5 * len(datasets)))
    for row, dataset in enumerate(datasets):
        maps = [np.array(curves["datasets"][dataset][0][name]) for _, curves, name in columns]
        low, high = min(m.min() for m in maps), max(m.max() for m in maps)
        for column, (values, (label, _, _)) in enumerate(zip(maps, columns)):
            axis = axes[row][column]
            image = axis.imshow(values, norm=matplotlib.colors.LogNorm(low, high), cmap="viridis")
            axis.set(xticks=[], yticks=[], title=textwrap.fill(label, 18) if row == 0 else "")
            axis.grid(False)
        axes[row][0].set_ylabel(textwrap.fill(title(dataset), 12))
        figure.colorbar(image, ax=list(axes[row]), label="mean chance a day", fraction=0.05)
    save(figure, "maps.png")


def main() -> None:
    runs = load_runs()
    if not runs:
        raise SystemExit("no run_* folder with results: run experiment.py --out_dir=run_0 first")
    datasets = sorted(set.intersection(*(set(info) for _, info, _ in runs)))
    plot_precision_recall(runs, datasets)
    plot_calibration(runs, datasets)
    plot_maps(runs, datasets)


if __name__ == "__main__":
    main()
