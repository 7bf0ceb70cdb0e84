"""Forecast in which cell and on which day the next earthquake strikes.

A forecast gives every cell of a grid, every day, the chance of at least one event,
from the days before. Training, validation and test are consecutive stretches of
time. The baseline is a rate map: how often each cell was active so far.

`features` and `fit` are the two places where a method changes. Catalogues, splits
and metrics are in evaluate.py, which stays as it is.
"""

from __future__ import annotations

import argparse
import os
import time
from typing import Callable

import numpy as np
from sklearn.linear_model import LogisticRegression

import evaluate

# NULLIUS_SIZE picks one of these; the command line stays the same.
SIZES = {
    "smoke": {"side": 8, "days": 600, "events_per_day": 1.2, "seeds": 3},
    "lite": {"side": 16, "days": 6000, "events_per_day": 1.15, "seeds": 3},
    "full": {"side": 32, "days": 20000, "events_per_day": 2.0, "seeds": 5},
}


def smooth(rate: np.ndarray, width: float = 0.7) -> np.ndarray:
    """Spread a map (side x side) over neighbouring cells; width in cells."""
    at = np.arange(len(rate))
    kernel = np.exp(-0.5 * ((at[:, None] - at[None, :]) / width) ** 2)
    kernel /= kernel.sum(axis=1, keepdims=True)
    return kernel @ rate @ kernel.T


def features(counts: np.ndarray, energy: np.ndarray, training: slice) -> np.ndarray:
    """Features of every day and cell, days x side x side x number of features.

    A day's features may use that day's past only: counts[:day] and energy[:day].
    training is the slice of days from which long-term rates may be taken.
    """
    rate = smooth(counts[training].mean(axis=0))
    log_rate = np.log(rate + 1e-6)
    return np.broadcast_to(log_rate, counts.shape)[..., None]


def fit(inputs: np.ndarray, happened: np.ndarray, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """Train on inputs (points x features) and outcomes; return a function that gives chances.

    Features are scaled to mean 0 and deviation 1 on the training points.
    """
    mean, deviation = inputs.mean(axis=0), inputs.std(axis=0) + 1e-12
    model = LogisticRegression(C=1.0, max_iter=200, random_state=seed)
    model.fit((inputs - mean) / deviation, happened)
    return lambda x: model.predict_proba((x - mean) / deviation)[:, 1]


def forecast(counts: np.ndarray, energy: np.ndarray, training: slice, seed: int) -> Callable[[slice], np.ndarray]:
    """Chances of every day and cell; only training days are learnt from."""
    inputs = features(counts, energy, training)
    points = inputs[training].reshape(-1, inputs.shape[-1])
    predict = fit(points, counts[training].ravel() > 0, seed)
    return lambda days: predict(inputs[days].reshape(-1, inputs.shape[-1])).reshape(counts[days].shape)


def run(branching: float, side: int, days: int, events_per_day: float,
        seeds: int) -> tuple[list[dict], list[dict], float]:
    """Judge one forecast per seed on its test days: (metrics, curves, seconds)."""
    start, measured, drawn = time.perf_counter(), [], []
    training, validation, test = evaluate.split(days)
    for seed in range(seeds):
        counts, energy, chance = evaluate.catalogue(seed, branching, side, days, events_per_day)
        predict = forecast(counts, energy, training, seed)
        predicted, happened = predict(test), counts[test] > 0
        gap = evaluate.information_gap(predict(validation), chance[validation], counts[validation] > 0)
        measured.append({**evaluate.measure(predicted, chance[test], happened), "validation_information_gap": gap})
        drawn.append(evaluate.curves(predicted, chance[test], happened))
    return measured, drawn, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out_dir", default="run_0", help="folder for the results")
    args = parser.parse_args()

    size = SIZES[os.environ.get("NULLIUS_SIZE", "lite")]
    info = evaluate.write(args.out_dir, {branching: run(branching, **size) for branching in evaluate.BRANCHING})
    for dataset in sorted(info):
        means = info[dataset]["means"]
        print(dataset, " ".join("%s=%g" % (name, means[name]) for name in sorted(means)))


if __name__ == "__main__":
    main()
