"""Figures of all runs: accuracy.png, delay.png.

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


def save(figure: Figure, path: str) -> None:
    figure.savefig(path, dpi=200, metadata={"Software": None})
    plt.close(figure)


def mean_curve(seeds: list[dict], name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps, mean and standard error over seeds; a run that stopped early keeps its last value."""
    steps = max((seed["step"] for seed in seeds), key=len)
    rows = np.array([seed[name] + [seed[name][-1]] * (len(steps) - len(seed[name])) for seed in seeds])
    error = rows.std(axis=0, ddof=1) / np.sqrt(len(rows)) if len(rows) > 1 else np.zeros(len(steps))
    return np.array(steps), rows.mean(axis=0), error


def plot_accuracy(runs: list[Run], datasets: list[str]) -> None:
    """Training and validation accuracy over the steps, a panel per operation."""
    figure, axes = plt.subplots(1, len(datasets), figsize=(7.6, 3.7), sharey=True, squeeze=False)
    for axis, dataset in zip(axes[0], datasets):
        for index, (label, _, curves) in enumerate(runs):
            colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
            for split, line in (("train", ":"), ("validation", "-")):
                steps, mean, error = mean_curve(curves["datasets"][dataset], split + "_accuracy")
                late = steps > 0  # a logarithmic axis has no zero
                mean, error = 100 * mean[late], 100 * error[late]
                # As many marks on each line, at other places for each run: lines may lie on each other.
                every = (index * 0.03, 0.15)
                axis.plot(steps[late], mean, color=colour, linestyle=line, linewidth=1.1, marker=marker, markersize=3.2,
                          markevery=every, label=label if split == "validation" else None)
                axis.fill_between(steps[late], mean - error, mean + error, color=colour, alpha=0.2, linewidth=0)
        axis.set(xscale="log", title=dataset, xlabel="training step")
    axes[0][0].set(ylabel="accuracy (%)", ylim=(-2, 103))
    seeds = len(runs[0][2]["datasets"][datasets[0]])
    legend_below(figure, axes[0][0], "solid: validation, dotted: training; mean of %d seeds, band ± 1 standard error"
                 % seeds)
    save(figure, "accuracy.png")


def plot_delay(runs: list[Run], datasets: list[str]) -> None:
    """Step at which training and validation accuracy reach the threshold."""
    figure, axis = plt.subplots(figsize=(6.4, 3.7))
    for index, (label, info, _) in enumerate(runs):
        at = np.arange(len(datasets)) + (index - (len(runs) - 1) / 2) * 0.13
        colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
        for x, dataset in zip(at, datasets):
            seeds = info[dataset]["final_info_dict"]
            fitted, general = (np.array(seeds[m]) for m in ("steps_train", "steps_validation"))
            grokked = np.array(seeds["grokked"]) > 0
            axis.plot([x, x], [np.mean(fitted), np.mean(general)], color=colour, linewidth=1, alpha=0.6)
            axis.plot(x, np.mean(fitted), marker="_", color=colour, markersize=9, linestyle="none")
            axis.plot(np.full(grokked.sum(), x), general[grokked], marker=marker, color=colour, markersize=4.5,
                      linestyle="none")
            axis.plot(np.full((~grokked).sum(), x), general[~grokked], marker=marker, color=colour, markersize=4.5,
                      fillstyle="none", linestyle="none")
        axis.plot([], [], marker=marker, color=colour, linestyle="none", markersize=4.5, label=label)
    axis.axhline(runs[0][2]["limit"], color="#555555", linestyle="--", linewidth=0.8)
    axis.annotate("end of training", (1, runs[0][2]["limit"]), xycoords=("axes fraction", "data"), xytext=(0, 3),
                  textcoords="offset points", ha="right", fontsize=7, color="#555555")
    axis.set_xticks(np.arange(len(datasets)), datasets)
    axis.set(yscale="log", ylabel="step that reaches %d %%" % round(100 * runs[0][2]["threshold"]),
             xlim=(-0.6, len(datasets) - 0.4))
    axis.grid(axis="x", visible=False)
    legend_below(figure, axis, "bar: training (mean); filled: validation, a mark per seed; hollow: not reached")
    save(figure, "delay.png")


def main() -> None:
    runs = load_runs()
    if not runs:
        raise SystemExit("no run_* folder with results: run experiment.py --out_dir=run_0 first")
    datasets = sorted(set.intersection(*(set(info) for _, info, _ in runs)))
    plot_accuracy(runs, datasets)
    plot_delay(runs, datasets)


if __name__ == "__main__":
    main()
