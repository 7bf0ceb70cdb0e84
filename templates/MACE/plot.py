"""Figures of all runs: parity.png, errors.png, drift.png.

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


def title(runs: list[Run], dataset: str) -> str:
    return "%d training configurations" % runs[0][2]["counts"][dataset]


def plot_parity(runs: list[Run], dataset: str) -> None:
    """Predicted by true force components of the first seed, a panel per run."""
    columns = min(3, len(runs))
    rows = -(-len(runs) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(0.8 + 2.3 * columns, 0.6 + 2.5 * rows), sharex=True,
                                sharey=True, squeeze=False, constrained_layout=True)
    for axis in axes.flat[len(runs):]:
        axis.set_visible(False)
    for index, (axis, (label, info, curves)) in enumerate(zip(axes.flat, runs)):
        seed = curves["datasets"][dataset][0]
        axis.scatter(seed["true"], seed["predicted"], s=4, alpha=0.4, linewidths=0, color=COLOURS[index % len(COLOURS)])
        axis.axline((0, 0), (1, 1), color="#777777", linestyle="--", linewidth=0.8)
        error = info[dataset]["final_info_dict"]["force_rmse"][0]
        axis.set(title="%s\nRMSE %.3g" % (textwrap.fill(label, 26), error), aspect="equal")
        if index + columns >= len(runs):
            axis.set_xlabel("true force component\n(well depth / bond)")
            axis.tick_params(labelbottom=True)
    for axis in axes[:, 0]:
        axis.set_ylabel("predicted\n(well depth / bond)")
    figure.suptitle("%s\ntest set of the first seed" % title(runs, dataset), fontsize=8)
    save(figure, "parity.png")


def plot_errors(runs: list[Run], datasets: list[str]) -> None:
    """Error of forces and energies by the number of training configurations."""
    figure, axes = plt.subplots(1, 2, figsize=(6.8, 3.8))
    counts = [runs[0][2]["counts"][dataset] for dataset in datasets]
    panels = (("force_rmse", "force RMSE (well depth / bond)"), ("energy_rmse", "energy RMSE (well depth)"))
    for axis, (metric, name) in zip(axes, panels):
        for index, (label, info, _) in enumerate(runs):
            axis.errorbar(counts, [info[d]["means"][metric] for d in datasets],
                          yerr=[info[d]["stderrs"][metric] for d in datasets], label=label, capsize=2.5, markersize=4,
                          linewidth=1, **style(index))
        axis.set(xscale="log", xlabel="training configurations", ylabel=name)
        axis.set_xticks(counts, [str(c) for c in counts])
        axis.minorticks_off()
        axis.set_ylim(bottom=0)
    seeds = len(runs[0][1][datasets[0]]["final_info_dict"]["force_rmse"])
    legend_below(figure, axes[0], "mean of %d seeds ± 1 standard error" % seeds)
    save(figure, "errors.png")


def plot_drift(runs: list[Run], datasets: list[str]) -> None:
    """Trajectories that a trained model drives: drift of the total energy, and how many stay sound."""
    figure, axes = plt.subplots(2, len(datasets), figsize=(7.6, 4.9), sharex=True, sharey="row", squeeze=False)
    for column, dataset in zip(axes.T, datasets):
        for axis, name in zip(column, ("drift", "sound")):
            for index, (label, _, curves) in enumerate(runs):
                seeds = curves["datasets"][dataset]
                mean, error = mean_and_error([seed[name] for seed in seeds])
                axis.plot(seeds[0]["time"], mean, linewidth=1, markersize=3, markevery=(index % 5, 6), label=label,
                          **style(index))
                axis.fill_between(seeds[0]["time"], mean - error, mean + error, color=style(index)["color"], alpha=0.2,
                                  linewidth=0)
        column[0].set_title(title(runs, dataset))
        column[1].set_xlabel("time (units of the model)")
    axes[0][0].set_ylabel("median drift of the\ntotal energy (well depth)")
    axes[1][0].set_ylabel("share of sound\ntrajectories")
    legend_below(figure, axes[0][0], "mean of %d seeds, band ± 1 standard error" % len(seeds))
    save(figure, "drift.png")


def main() -> None:
    runs = load_runs()
    if not runs:
        raise SystemExit("no run_* folder with results: run experiment.py --out_dir=run_0 first")
    datasets = sorted(set.intersection(*(set(info) for _, info, _ in runs)))
    datasets.sort(key=lambda dataset: runs[0][2]["counts"][dataset])
    plot_parity(runs, datasets[-1])
    plot_errors(runs, datasets)
    plot_drift(runs, datasets)


if __name__ == "__main__":
    main()
