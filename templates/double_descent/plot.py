"""Figures of all runs: test_error.png, threshold.png, wide_narrow.png.

Reads every run_* folder that holds results. `labels.json`, if there, maps folder
names to legend labels and limits the figures to the runs it names.
"""

import json
import os
import re
import textwrap

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

# Colours that stay apart for colour-blind readers; markers carry the same information.
COLOURS = ["#222222", "#0072B2", "#009E73", "#D55E00", "#CC79A7", "#E69F00", "#56B4E9", "#7F3C8D"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "*"]

plt.rcParams.update({
    "font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9, "legend.fontsize": 8,
    "xtick.labelsize": 8, "ytick.labelsize": 8, "axes.spines.top": False,
    "axes.spines.right": False, "axes.grid": True, "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6, "axes.axisbelow": True, "legend.frameon": False,
})


def read_json(path):
    with open(path, encoding="utf-8") as source:
        return json.load(source)


def short(label):
    """At most two lines: a label must fit beside an axis and below a figure."""
    return "\n".join(textwrap.wrap(label, 32, max_lines=2, placeholder=" …"))


def load_runs():
    """Return a list of (label, final_info, curves), in order of the run's number."""
    labels = read_json("labels.json") if os.path.exists("labels.json") else {}
    names = [name for name in os.listdir(".") if re.fullmatch(r"run_\d+", name)]
    runs = []
    for name in sorted(names, key=lambda name: int(name[4:])):
        paths = [os.path.join(name, part) for part in ("final_info.json", "curves.json")]
        if not all(map(os.path.exists, paths)) or (labels and name not in labels):
            continue
        number = name[4:]
        default = "run 0 (baseline)" if number == "0" else "run " + number
        runs.append((short(labels.get(name, default)), *map(read_json, paths)))
    return runs


def style(index):
    return {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}


def noise_title(dataset):
    return "label noise σ = %s" % dataset.split("_")[-1]


def standard_error(values, axis=0):
    return np.std(values, axis=axis, ddof=1) / np.sqrt(np.shape(values)[axis])


def legend_below(figure, axis, statistic):
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


def save(figure, path):
    figure.savefig(path, dpi=200, metadata={"Software": None})
    plt.close(figure)


def plot_test_error(runs, datasets):
    """Test error against width, a panel per noise level."""
    figure, axes = plt.subplots(1, len(datasets), figsize=(7.6, 4.0), sharey=True)
    for axis, dataset in zip(np.atleast_1d(axes), datasets):
        for index, (label, _, curves) in enumerate(runs):
            # Errors spread over orders of magnitude near the threshold, so mean
            # and standard error are taken of the logarithm.
            logs = np.log10(np.array(curves["datasets"][dataset]["test"]))
            mean, error = logs.mean(axis=0), standard_error(logs)
            axis.plot(curves["widths"], 10 ** mean, label=label, markersize=2.4, linewidth=0.9, **style(index))
            axis.fill_between(curves["widths"], 10 ** (mean - error), 10 ** (mean + error),
                              color=style(index)["color"], alpha=0.3, linewidth=0)
        n = runs[0][2]["n_train"]
        axis.axvline(n, color="#555555", linestyle=":", linewidth=1)
        axis.annotate("p = n = %d" % n, (n, 0.98), xycoords=("data", "axes fraction"), xytext=(4, 0),
                      textcoords="offset points", va="top", fontsize=7, color="#555555")
        axis.set(xscale="log", yscale="log", title=noise_title(dataset), xlabel="width p (random features)")
    np.atleast_1d(axes)[0].set_ylabel("test MSE (target variance = 1)")
    legend_below(figure, np.atleast_1d(axes)[0], "geometric mean of %d seeds, band ± 1 standard error" % len(logs))
    save(figure, "test_error.png")


def plot_threshold(runs, datasets):
    """Height of the peak by run and noise level."""
    figure, axis = plt.subplots(figsize=(6.2, 3.8))
    spread = 0.11
    for index, (label, info, _) in enumerate(runs):
        shift = (index - (len(runs) - 1) / 2) * spread
        at = np.arange(len(datasets)) + shift
        means = [info[d]["means"]["log10_mse_threshold"] for d in datasets]
        errors = [info[d]["stderrs"]["log10_mse_threshold"] for d in datasets]
        axis.errorbar(at, means, yerr=errors, label=label, linestyle="none", capsize=2.5, markersize=5, **style(index))
        for x, dataset in zip(at, datasets):
            seeds = info[dataset]["final_info_dict"]["log10_mse_threshold"]
            axis.scatter(np.full(len(seeds), x), seeds, s=5, color=style(index)["color"], alpha=0.3, linewidths=0)
    axis.axhline(0, color="#555555", linewidth=0.8, linestyle="--")
    axis.annotate("predicting the mean", (1.0, 0), xycoords=("axes fraction", "data"), xytext=(0, 3),
                  textcoords="offset points", ha="right", fontsize=7, color="#555555")
    axis.set_xticks(np.arange(len(datasets)), [noise_title(d) for d in datasets])
    axis.set_xlim(-0.5, len(datasets) - 0.15)
    axis.grid(axis="x", visible=False)
    axis.set_ylabel("log$_{10}$ test MSE at p = n\n(target variance = 1)")
    legend_below(figure, axis, "large: mean of %d seeds ± 1 standard error; dots: single seeds" % len(seeds))
    save(figure, "threshold.png")


def plot_wide_narrow(runs, datasets):
    """Widest model against the best narrow one, a panel per noise level."""
    figure, axes = plt.subplots(1, len(datasets), figsize=(7.6, 0.9 + 0.34 * max(len(runs), 3)), sharey=True)
    rows = np.arange(len(runs))
    for axis, dataset in zip(np.atleast_1d(axes), datasets):
        for key, name, colour, marker, shift in (
            ("mse_narrow", "narrow (p < n, chosen on validation)", "#D55E00", "o", -0.13),
            ("mse_widest", "widest (p = %d)" % max(runs[0][2]["widths"]), "#0072B2", "s", 0.13),
        ):
            means = [info[dataset]["means"][key] for _, info, _ in runs]
            errors = [info[dataset]["stderrs"][key] for _, info, _ in runs]
            axis.errorbar(means, rows + shift, xerr=errors, label=name, color=colour, marker=marker,
                          linestyle="none", capsize=2.5, markersize=4.5)
        axis.set(title=noise_title(dataset), xlabel="test MSE (target var. = 1)")
        axis.set_xlim(left=0)
        axis.grid(axis="y", visible=False)
    first = np.atleast_1d(axes)[0]
    first.set_yticks(rows, [label for label, _, _ in runs])
    first.set_ylim(len(runs) - 0.5, -0.5)
    seeds = len(runs[0][1][datasets[0]]["final_info_dict"]["mse_widest"])
    legend_below(figure, first, "mean of %d seeds ± 1 standard error" % seeds)
    save(figure, "wide_narrow.png")


def main():
    runs = load_runs()
    if not runs:
        raise SystemExit("no run_* folder with results: run experiment.py --out_dir=run_0 first")
    datasets = sorted(set.intersection(*(set(info) for _, info, _ in runs)))
    plot_test_error(runs, datasets)
    plot_threshold(runs, datasets)
    plot_wide_narrow(runs, datasets)


if __name__ == "__main__":
    main()
