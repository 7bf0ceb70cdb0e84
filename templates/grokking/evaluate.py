"""Data, metrics and results of the grokking experiment.

This file is protected: which pairs are trained on and what is measured stays the
same in every run, so that runs can be compared. `experiment.py` decides how a
model is built and trained.
"""

from __future__ import annotations

import json
import os

import numpy as np

Split = tuple[np.ndarray, np.ndarray]  # pairs and labels
Curve = dict[str, list]  # by name, one value an evaluation

THRESHOLD = 0.99  # accuracy at which a split counts as learned

METRICS = ("steps_train", "steps_validation", "gap", "grokked", "train_loss", "validation_loss", "validation_accuracy")

OPERATIONS = {
    "add": lambda a, b, p: (a + b) % p,
    "subtract": lambda a, b, p: (a - b) % p,
    "multiply": lambda a, b, p: (a * b) % p,
    "squares": lambda a, b, p: (a * a + b * b) % p,
    "mixed": lambda a, b, p: (a * a + a * b + b) % p,
}


def load(operation: str, modulus: int, seed: int, train_share: float) -> tuple[Split, Split]:
    """All pairs of residues, split at random: (pairs, labels) to train on and to validate on.

    pairs: points x 2 integers; labels: points integers below the modulus.
    """
    a, b = np.divmod(np.arange(modulus * modulus), modulus)
    labels = OPERATIONS[operation](a, b, modulus)
    order = np.random.RandomState([seed, 0]).permutation(modulus * modulus)
    cut = int(round(train_share * modulus * modulus))
    pairs = np.stack([a, b], axis=1)
    return (pairs[order[:cut]], labels[order[:cut]]), (pairs[order[cut:]], labels[order[cut:]])


def first_step(steps: list[int], accuracies: list[float], limit: int) -> float:
    """The first evaluated step at which the accuracy reached THRESHOLD; limit if none did."""
    reached = np.flatnonzero(np.asarray(accuracies) >= THRESHOLD)
    return float(steps[reached[0]]) if len(reached) else float(limit)


def measure(curve: Curve, limit: int) -> dict[str, float]:
    """Metrics of one training run.

    curve: lists `step`, `train_accuracy`, `validation_accuracy`, `train_loss` and
    `validation_loss`. A run that did not generalise within the limit counts with
    the limit, so means of steps are lower bounds unless `grokked` is 1.
    """
    train = first_step(curve["step"], curve["train_accuracy"], limit)
    validation = first_step(curve["step"], curve["validation_accuracy"], limit)
    return {
        "steps_train": train,
        "steps_validation": validation,
        "gap": validation - train,
        "grokked": float(max(curve["validation_accuracy"]) >= THRESHOLD),
        "train_loss": curve["train_loss"][-1],
        "validation_loss": curve["validation_loss"][-1],
        "validation_accuracy": curve["validation_accuracy"][-1],
    }


def significant(value: float) -> float:
    """Six significant digits: more would differ between machines."""
    return float("%.6g" % value)


def write(out_dir: str, results: dict[str, tuple[list[Curve], float]], limit: int) -> dict:
    """Write final_info.json and curves.json; results: {operation: (curves, one a seed; seconds)}."""
    info, lines = {}, {"limit": limit, "threshold": THRESHOLD, "datasets": {}}
    for operation, (curves, seconds) in results.items():
        measured = [measure(curve, limit) for curve in curves]
        lists = {m: np.array([one[m] for one in measured]) for m in METRICS}
        info[operation] = {
            "means": {m: significant(v.mean()) for m, v in lists.items()},
            "stderrs": {m: significant(v.std(ddof=1) / np.sqrt(len(v))) for m, v in lists.items()},
            "final_info_dict": {m: [significant(x) for x in v] for m, v in lists.items()},
            "timing": {"seconds": significant(seconds)},
        }
        lines["datasets"][operation] = [
            {name: [significant(x) for x in values] for name, values in curve.items()} for curve in curves
        ]
    os.makedirs(out_dir, exist_ok=True)
    for name, content in (("final_info.json", info), ("curves.json", lines)):
        with open(os.path.join(out_dir, name), "w", encoding="utf-8") as out:
            json.dump(content, out, indent=1, sort_keys=True)
            out.write("\n")
    return info
