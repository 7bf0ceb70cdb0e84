"""Figures of all runs: curves.png, accuracy.png.

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


TITLES = {"digits": "handwritten digits, 8 x 8", "shapes": "generated shapes, 16 x 16"}


def plot_curves(runs: list[Run], datasets: list[str]) -> None:
    """Training loss, and error rate on validation images, over the epochs."""
    figure, axes = plt.subplots(2, len(datasets), figsize=(7.0, 5.2), sharex="col", squeeze=False)
    for column, dataset in zip(axes.T, datasets):
        for axis, name in zip(column, ("train_loss", "validation_accuracy")):
            for index, (label, _, curves) in enumerate(runs):
                seeds = curves[dataset]
                values = np.array([seed[name] for seed in seeds])
                mean, error = mean_and_error(100 * (1 - values) if name == "validation_accuracy" else values)
                axis.plot(seeds[0]["epoch"], mean, linewidth=1.1, markersize=3.2, label=label, **style(index))
                axis.fill_between(seeds[0]["epoch"], mean - error, mean + error, color=style(index)["color"], alpha=0.2,
                                  linewidth=0)
        column[0].set(title=TITLES.get(dataset, dataset))
        column[1].set(xlabel="epoch")
        column[1].xaxis.set_major_locator(MaxNLocator(6, integer=True))
        column[1].set_ylim(bottom=0)
    axes[0][0].set_ylabel("training loss (nats)")
    axes[1][0].set_ylabel("validation errors (%)")
    legend_below(figure, axes[0][0], "mean of %d seeds, band ± 1 standard error" % len(seeds))
    save(figure, "curves.png")


def plot_accuracy(runs: list[Run], datasets: list[str]) -> None:
    """Test accuracy of every run and seed, a panel per dataset."""
    figure, axes = plt.subplots(1, len(datasets), figsize=(7.2, 1.1 + 0.36 * max(3, len(runs))), squeeze=False,
                                sharey=True)
    for axis, dataset in zip(axes[0], datasets):
        for index, (_, info, _) in enumerate(runs):
            seeds = 100 * np.array(info[dataset]["final_info_dict"]["test_accuracy"])
            mean, error = mean_and_error(seeds)
            axis.errorbar(mean, index, xerr=error, linestyle="none", capsize=2.5, markersize=5, **style(index))
            axis.scatter(seeds, np.full(len(seeds), index + 0.22), s=6, color=style(index)["color"], alpha=0.5, linewidths=0)
        axis.set(title=TITLES.get(dataset, dataset), xlabel="test accuracy (%)")
        axis.xaxis.set_major_locator(MaxNLocator(5))
        axis.grid(axis="y", visible=False)
    sizes = [sorted({int(info[dataset]["means"]["parameters"]) for dataset in datasets}) for _, info, _ in runs]
    names = ["%s\n%s parameters" % (label, " and ".join(map(str, size))) for (label, _, _), size in zip(runs, sizes)]
    axes[0][0].set_yticks(np.arange(len(runs)), names, fontsize=7)
    axes[0][0].set_ylim(len(runs) - 0.5, -0.5)
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    figure.text(0.5, 0.01, "mean of %d seeds ± 1 standard error; small dots: seeds" % len(seeds), ha="center", fontsize=7.5)
    save(figure, "accuracy.png")


def main() -> None:
    runs = load_runs()
    if not runs:
        raise SystemExit("no run_* folder with results: run experiment.py --out_dir=run_0 first")
    datasets = sorted(set.intersection(*(set(info) for _, info, _ in runs)))
    plot_curves(runs, datasets)
    plot_accuracy(runs, datasets)


if __name__ == "__main__":
    main()
