"""Figures of all runs: losses.png, test_loss.png.

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
from matplotlib.ticker import MaxNLocator, NullLocator

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


TITLES = {"words": "generated words", "prose": "prose (Persuasion)"}


def plot_losses(runs: list[Run], datasets: list[str]) -> None:
    """Losses over training, with that of a perfect model where it is known."""
    figure, axes = plt.subplots(1, len(datasets), figsize=(3.4 + 2.9 * (len(datasets) - 1) + 0.6, 3.8), squeeze=False)
    for axis, dataset in zip(axes[0], datasets):
        for index, (label, _, curves) in enumerate(runs):
            seeds = curves[dataset]["curves"]
            for name, line in (("train_loss", ":"), ("validation_loss", "-")):
                mean, error = mean_and_error([seed[name] for seed in seeds])
                axis.plot(seeds[0]["step"], mean, linestyle=line, linewidth=1.1, markersize=3.2,
                          label=label if line == "-" else None, **style(index))
                axis.fill_between(seeds[0]["step"], mean - error, mean + error, color=style(index)["color"], alpha=0.2,
                                  linewidth=0)
        floor = runs[0][2][dataset]["floor"]
        if floor is not None:
            axis.axhline(floor, color="#777777", linestyle="--", linewidth=0.9)
            axis.annotate("perfect model: %.3f" % floor, (0.02, floor), xycoords=("axes fraction", "data"), xytext=(0, 3),
                          textcoords="offset points", fontsize=7, color="#555555")
        axis.set(title=TITLES.get(dataset, dataset), xlabel="step", yscale="log")
        axis.yaxis.set_major_locator(MaxNLocator(6))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_locator(NullLocator())
    axes[0][0].set_ylabel("loss (nats per character)")
    legend_below(figure, axes[0][0], "solid: validation, dotted: training\nmean of %d seeds, band ± 1 standard error"
                 % len(seeds))
    save(figure, "losses.png")


def plot_test_loss(runs: list[Run], datasets: list[str]) -> None:
    """Test loss of every run and seed, with that of a perfect model where it is known."""
    figure, axes = plt.subplots(1, len(datasets), figsize=(4.2 + 2.6 * (len(datasets) - 1), 1.0 + 0.36 * max(3, len(runs))),
                                squeeze=False, sharey=True)
    rows = np.arange(len(runs))
    for axis, dataset in zip(axes[0], datasets):
        for index, (_, info, _) in enumerate(runs):
            seeds = info[dataset]["final_info_dict"]["test_loss"]
            axis.errorbar(info[dataset]["means"]["test_loss"], index, xerr=info[dataset]["stderrs"]["test_loss"],
                          linestyle="none", capsize=2.5, markersize=5, **style(index))
            axis.scatter(seeds, np.full(len(seeds), index + 0.22), s=6, color=style(index)["color"], alpha=0.5, linewidths=0)
        floor = runs[0][2][dataset]["floor"]
        if floor is not None:
            axis.axvline(floor, color="#777777", linestyle="--", linewidth=0.9)
        axis.set(title=TITLES.get(dataset, dataset), xlabel="test loss (nats per character)")
        axis.xaxis.set_major_locator(MaxNLocator(5))
        axis.grid(axis="y", visible=False)
    axes[0][0].set_yticks(rows, [label for label, _, _ in runs])
    axes[0][0].set_ylim(len(runs) - 0.5, -0.5)
    figure.tight_layout(rect=(0, 0.07, 1, 1))
    note = "mean of %d seeds ± 1 standard error; small dots: seeds; dashed: perfect model" % len(seeds)
    figure.text(0.5, 0.01, note, ha="center", fontsize=7.5)
    save(figure, "test_loss.png")


def main() -> None:
    runs = load_runs()
    if not runs:
        raise SystemExit("no run_* folder with results: run experiment.py --out_dir=run_0 first")
    datasets = sorted(set.intersection(*(set(info) for _, info, _ in runs)))
    plot_losses(runs, datasets)
    plot_test_loss(runs, datasets)


if __name__ == "__main__":
    main()
