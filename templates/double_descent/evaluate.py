"""Data, splits, metrics and results of the double descent experiment.

This file is protected: what is measured, and on which data, stays the same in
every run, so that runs can be compared. `experiment.py` decides how a model is
built and trained.

Everything is drawn from numpy.random.RandomState, whose stream is frozen, so
all runs and all machines see the same numbers for the same seed.
"""

import json
import os

import numpy as np

DIM = 20  # input dimensions
VALIDATION, TEST = 300, 1000  # points; validation is noisy, test is noise-free
NOISE_LEVELS = (0.0, 0.3, 1.0)  # standard deviation of the label noise

METRICS = ("log10_mse_threshold", "mse_widest", "mse_narrow", "narrow_minus_widest")


def dataset_name(noise):
    return "noise_%.1f" % noise


def load(seed, n_train):
    """Return train, validation and test as (x, y); y has one column per noise level."""
    stream = np.random.RandomState([seed, 0])
    direction = stream.standard_normal(DIM)
    direction /= np.linalg.norm(direction)
    x = stream.standard_normal((n_train + VALIDATION + TEST, DIM))
    # sin(z) of a standard normal z has variance (1 - exp(-2)) / 2.
    clean = np.sin(x @ direction) / np.sqrt((1.0 - np.exp(-2.0)) / 2.0)
    y = np.repeat(clean[:, None], len(NOISE_LEVELS), axis=1)
    noisy = n_train + VALIDATION
    for k, noise in enumerate(NOISE_LEVELS):
        y[:noisy, k] += noise * np.random.RandomState([seed, 1, k]).standard_normal(noisy)
    train = slice(0, n_train)
    validation = slice(n_train, noisy)
    test = slice(noisy, None)
    return tuple((x[part], y[part]) for part in (train, validation, test))


def mean_squared_error(predicted, y):
    """One number per noise level."""
    return np.mean((predicted - y) ** 2, axis=0)


def measure(widths, n_train, validation, test):
    """Metrics of one seed and noise level, from the two error curves over the widths.

    The narrow model is chosen on the validation error among widths below the
    number of training points; its test error is then looked up, never used to
    choose.
    """
    widths = np.asarray(widths)
    narrow = np.flatnonzero(widths < n_train)
    chosen = narrow[np.argmin(validation[narrow])]
    return {
        "log10_mse_threshold": np.log10(test[int(np.flatnonzero(widths == n_train)[0])]),
        "mse_widest": test[np.argmax(widths)],
        "mse_narrow": test[chosen],
        "narrow_minus_widest": test[chosen] - test[np.argmax(widths)],
    }


def significant(value):
    """Six significant digits: more would differ between machines."""
    return float("%.6g" % value)


def write(out_dir, widths, n_train, curves, seconds):
    """Write final_info.json and curves.json.

    curves: {"train" | "validation" | "test": array of seeds x widths x noise levels}.
    """
    info, lines = {}, {"widths": list(widths), "n_train": n_train, "datasets": {}}
    for k, noise in enumerate(NOISE_LEVELS):
        per_seed = [
            measure(widths, n_train, validation[:, k], test[:, k])
            for validation, test in zip(curves["validation"], curves["test"])
        ]
        lists = {m: np.array([float(seed[m]) for seed in per_seed]) for m in METRICS}
        info[dataset_name(noise)] = {
            "means": {m: significant(v.mean()) for m, v in lists.items()},
            "stderrs": {m: significant(v.std(ddof=1) / np.sqrt(len(v))) for m, v in lists.items()},
            "final_info_dict": {m: [significant(x) for x in v] for m, v in lists.items()},
            "timing": {"seconds_all_datasets": significant(seconds)},
        }
        lines["datasets"][dataset_name(noise)] = {
            split: [[significant(x) for x in row] for row in values[:, :, k]]
            for split, values in curves.items()
        }
    os.makedirs(out_dir, exist_ok=True)
    for name, content in (("final_info.json", info), ("curves.json", lines)):
        with open(os.path.join(out_dir, name), "w", encoding="utf-8") as out:
            json.dump(content, out, indent=1, sort_keys=True)
            out.write("\n")
    return info
