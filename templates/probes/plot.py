"""Figures of all runs: layers.png, strength.png.

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


PANELS = (("depth_r2", "depth: $R^2$"), ("top_accuracy", "top of stack: accuracy"), ("steering_success", "steering: success"))


def plot_layers(runs: list[Run], layers: list[str]) -> None:
    """What can be read and steered at each layer, on test texts."""
    figure, axes = plt.subplots(1, len(PANELS), figsize=(8.0, 3.7))
    at = np.arange(len(layers))
    for axis, (metric, name) in zip(axes, PANELS):
        for index, (label, info, _) in enumerate(runs):
            mean = np.array([info[layer]["means"][metric] for layer in layers])
            error = np.array([info[layer]["stderrs"][metric] for layer in layers])
            axis.plot(at, mean, linewidth=1.1, markersize=4, label=label, **style(index))
            axis.fill_between(at, mean - error, mean + error, color=style(index)["color"], alpha=0.2, linewidth=0)
        if metric == "top_accuracy":
            axis.axhline(1 / 3, color="#777777", linestyle="--", linewidth=0.8)
        if metric == "steering_success":
            axis.axhline(runs[0][1][layers[0]]["means"]["unsteered_success"], color="#777777", linestyle="--", linewidth=0.8)
        axis.set(xlabel="layer (0: embedding)", ylabel=name)
        axis.set_xticks(at, [layer.split("_")[-1] for layer in layers])
    models = len(runs[0][1][layers[0]]["final_info_dict"]["depth_r2"])
    legend_below(figure, axes[0], "mean of %d models, band ± 1 standard error; dashed: chance, and success without steering"
                 % models)
    save(figure, "layers.png")


def plot_strength(runs: list[Run], layers: list[str]) -> None:
    """Success of steering by its strength on validation texts, a panel per layer."""
    figure, axes = plt.subplots(1, len(layers), figsize=(8.0, 3.4), sharey=True, squeeze=False)
    for number, (axis, layer) in enumerate(zip(axes[0], layers)):
        for index, (label, _, curves) in enumerate(runs):
            mean, error = mean_and_error([seed["by_strength"][number] for seed in curves["seeds"]])
            axis.plot(curves["strengths"], mean, linewidth=1.1, markersize=3.5, label=label, **style(index))
            axis.fill_between(curves["strengths"], mean - error, mean + error, color=style(index)["color"], alpha=0.2,
                              linewidth=0)
        axis.set(title=layer.replace("_", " "), xlabel="strength", xscale="log")
        ticks = curves["strengths"][::max(1, -(-len(curves["strengths"]) // 4))]
        axis.set_xticks(ticks, ["%g" % tick for tick in ticks])
        axis.minorticks_off()
    axes[0][0].set_ylabel("share closing the wanted kind")
    legend_below(figure, axes[0][0], "mean of %d models, band ± 1 standard error; validation texts" % len(curves["seeds"]))
    save(figure, "strength.png")


def main() -> None:
    runs = load_runs()
    if not runs:
        raise SystemExit("no run_* folder with results: run experiment.py --out_dir=run_0 first")
    datasets = sorted(set.intersection(*(set(info) for _, info, _ in runs)))
    layers = [dataset for dataset in datasets if dataset != "chosen"]
    plot_layers(runs, layers)
    plot_strength(runs, layers)


if __name__ == "__main__":
    main()
