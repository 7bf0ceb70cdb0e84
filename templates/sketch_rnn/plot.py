"""Figures of all runs: drawings.png, losses.png, quality.png.

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


def plot_drawings(runs: list[Run], datasets: list[str]) -> None:
    """Real drawings of the first seed, and those each run drew."""
    rows = 1 + len(runs)
    shown = 4
    figure, axes = plt.subplots(rows, shown * len(datasets), figsize=(8.2, 0.4 + 1.05 * rows), squeeze=False,
                                constrained_layout=True)
    for line, row in enumerate(axes):
        for column, axis in enumerate(row):
            dataset = datasets[column // shown]
            drawings = runs[max(0, line - 1)][2][dataset]["real" if line == 0 else "drawn"]
            if column % shown < len(drawings):
                for stroke in drawings[column % shown]:
                    x, y = np.transpose(stroke)
                    axis.plot(x, y, linewidth=1, color="#888888" if line == 0 else COLOURS[(line - 1) % len(COLOURS)],
                              solid_capstyle="round", marker="." if len(stroke) == 1 else None, markersize=2)
            axis.set(xticks=[], yticks=[], aspect="equal")
            axis.margins(0.08)
            axis.grid(False)
            for spine in axis.spines.values():
                spine.set_visible(False)
            if line == 0 and column % shown == 0:
                axis.set_title(dataset, loc="left")
        label = "real" if line == 0 else runs[line - 1][0]
        row[0].set_ylabel(textwrap.fill(label, 16), rotation=0, ha="right", va="center", fontsize=7)
    save(figure, "drawings.png")


def plot_losses(runs: list[Run], datasets: list[str]) -> None:
    """Negative log likelihood over training."""
    figure, axes = plt.subplots(1, len(datasets), figsize=(6.8, 3.8), squeeze=False)
    for axis, dataset in zip(axes[0], datasets):
        for index, (label, _, curves) in enumerate(runs):
            seeds = curves[dataset]["curves"]
            for name, line in (("train_loss", ":"), ("validation_loss", "-")):
                mean, error = mean_and_error([seed[name] for seed in seeds])
                axis.plot(seeds[0]["step"], mean, linestyle=line, linewidth=1.1, markersize=3.2,
                          label=label if line == "-" else None, **style(index))
                axis.fill_between(seeds[0]["step"], mean - error, mean + error, color=style(index)["color"], alpha=0.2,
                                  linewidth=0)
        axis.set(title=dataset, xlabel="step")
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes[0][0].set_ylabel("negative log likelihood\n(nats per move)")
    legend_below(figure, axes[0][0], "solid: validation, dotted: training; mean of %d seeds, band ± 1 standard error"
                 % len(seeds))
    save(figure, "losses.png")


def plot_quality(runs: list[Run], datasets: list[str]) -> None:
    """Test loss, diversity and recognisability by run; the dashed lines are real drawings."""
    panels = (("test_loss", "test loss (nats per move)"), ("diversity", "diversity"), ("recognisable", "recognisable share"))
    figure, axes = plt.subplots(1, len(panels), figsize=(8.2, 1.2 + 0.36 * max(3, len(runs))), sharey=True)
    rows = np.arange(len(runs))
    for axis, (metric, name) in zip(axes, panels):
        for index, dataset in enumerate(datasets):
            shift = 0.24 * (index - (len(datasets) - 1) / 2)
            axis.errorbar([info[dataset]["means"][metric] for _, info, _ in runs], rows + shift,
                          xerr=[info[dataset]["stderrs"][metric] for _, info, _ in runs], linestyle="none", capsize=2.5,
                          markersize=4.5, label=dataset, **style(index + 1))
            real = runs[0][1][dataset]["means"].get(metric + "_real")
            if real is not None:
                axis.axvline(real, color=style(index + 1)["color"], linestyle=("--", ":")[index % 2], linewidth=1.1)
        axis.set_xlabel(name)
        axis.grid(axis="y", visible=False)
        axis.xaxis.set_major_locator(MaxNLocator(4))
    axes[0].set_yticks(rows, [label for label, _, _ in runs])
    axes[0].set_ylim(len(runs) - 0.5, -0.5)
    seeds = len(runs[0][1][datasets[0]]["final_info_dict"]["test_loss"])
    legend_below(figure, axes[0], "mean of %d seeds ± 1 standard error; lines: real drawings (dashed %s, dotted %s)" % (seeds, *datasets[:2]))
    save(figure, "quality.png")


def main() -> None:
    runs = load_runs()
    if not runs:
        raise SystemExit("no run_* folder with results: run experiment.py --out_dir=run_0 first")
    datasets = sorted(set.intersection(*(set(info) for _, info, _ in runs)))
    plot_drawings(runs, datasets)
    plot_losses(runs, datasets)
    plot_quality(runs, datasets)


if __name__ == "__main__":
    main()
