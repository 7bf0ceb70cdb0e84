"""Figures of all runs: epidemic_curves.png, peaks.png.

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

# Colours that stay apart for colour-blind readers; markers and dashes carry the same information.
COLOURS = ["#222222", "#0072B2", "#009E73", "#D55E00", "#CC79A7", "#E69F00", "#56B4E9", "#7F3C8D"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "*"]
DASHES = ["-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)), (0, (3, 1, 1, 1)), (0, (7, 2))]

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
    return "R$_0$ = %s" % dataset.split("_")[-1]


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


def plot_curves(runs: list[Run], datasets: list[str]) -> None:
    """Share of people infectious by day, a panel per R0."""
    figure, axes = plt.subplots(1, len(datasets), figsize=(7.6, 3.6), sharey=True, squeeze=False)
    wide = len(runs) <= 2  # more bands hide each other
    for axis, dataset in zip(axes[0], datasets):
        for index, (label, _, curves) in enumerate(runs):
            if dataset not in curves["datasets"]:
                continue
            low, lower, middle, upper, high = (100 * np.array(band) for band in curves["datasets"][dataset])
            days, colour = np.arange(len(middle)), COLOURS[index % len(COLOURS)]
            if wide:
                axis.fill_between(days, low, high, color=colour, alpha=0.12, linewidth=0)
            axis.fill_between(days, lower, upper, color=colour, alpha=0.25, linewidth=0)
            axis.plot(days, middle, color=colour, linestyle=DASHES[index % len(DASHES)], linewidth=1.2, label=label)
        axis.set(title=title(dataset), xlabel="time (days)")
    axes[0][0].set_ylim(bottom=0)  # after the last curve: the panels share the axis
    axes[0][0].set_ylabel("infectious people (% of population)")
    legend_below(figure, axes[0][0], "median over the epidemics that took off; "
                 + ("bands: middle 50 % and 90 %" if wide else "band: middle 50 %"))
    save(figure, "epidemic_curves.png")


def plot_peaks(runs: list[Run], datasets: list[str]) -> None:
    """Peak, its day and the final size, a panel per metric."""
    panels = (("infected_peak", "peak infectious (% of population)", 100),
              ("infected_peak_day", "day of the peak", 1),
              ("total_infected", "ever infected (% of population)", 100))
    figure, axes = plt.subplots(1, len(panels), figsize=(7.6, 3.4))
    for axis, (metric, name, scale) in zip(axes, panels):
        for index, (label, info, _) in enumerate(runs):
            shift = (index - (len(runs) - 1) / 2) * 0.11
            known = [(i, info[d]) for i, d in enumerate(datasets) if metric in info[d]["means"]]
            axis.errorbar([i + shift for i, _ in known], [scale * e["means"][metric] for _, e in known],
                          yerr=[scale * e.get("stderrs", {}).get(metric, 0) for _, e in known], label=label,
                          linestyle="none", capsize=2.5, markersize=4.5,
                          color=COLOURS[index % len(COLOURS)], marker=MARKERS[index % len(MARKERS)])
        axis.set_xticks(range(len(datasets)), [title(d) for d in datasets])
        axis.set(ylabel=name, xlim=(-0.6, len(datasets) - 0.4), ylim=(0, 1.05 * axis.get_ylim()[1]))
        axis.grid(axis="x", visible=False)
    legend_below(figure, axes[0], "mean over the epidemics that took off ± 1 standard error")
    save(figure, "peaks.png")


def main() -> None:
    runs = load_runs()
    if not runs:
        raise SystemExit("no run_* folder with results: run experiment.py --out_dir=run_0 first")
    datasets = sorted(set.intersection(*(set(info) for _, info, _ in runs)))
    plot_curves(runs, datasets)
    plot_peaks(runs, datasets)


if __name__ == "__main__":
    main()
