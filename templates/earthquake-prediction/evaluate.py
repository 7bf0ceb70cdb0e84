"""Catalogues, splits, metrics and results of the earthquake experiment.

This file is protected: which catalogues are forecast and how forecasts are judged
stays the same in every run, so that runs can be compared. `experiment.py` decides
which features a forecast uses and how they are combined.

The catalogues are generated, so the chance of an event in every cell and day is
known, and with it the best forecast that anybody could make.
"""

from __future__ import annotations

import json
import os

import numpy as np
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

BRANCHING = (0.4, 0.7)  # mean number of direct aftershocks of an event; one dataset each
SPLITS = (0.6, 0.8)  # shares of the days where training and validation end

MAGNITUDE_MIN, MAGNITUDE_MAX, B_VALUE = 3.0, 7.0, 1.0  # Gutenberg-Richter law, truncated
PRODUCTIVITY = 0.8  # aftershocks grow as 10 ** (PRODUCTIVITY * (magnitude - MAGNITUDE_MIN))
# Omori's law of aftershock decay with exponent 1.1, as a mixture of exponentials:
# time constants in days, and the share of aftershocks in each.
DECAY_DAYS = np.array([1.0, 4.0, 16.0, 64.0, 256.0])
DECAY_SHARES = DECAY_DAYS ** -0.1 / np.sum(DECAY_DAYS ** -0.1)
SPREAD = 0.7  # cells; standard deviation of the distance of aftershocks

METRICS = ("auc", "average_precision", "information_gap", "auc_true", "average_precision_true",
           "validation_information_gap")


def dataset_name(branching: float) -> str:
    return "branching_%.1f" % branching


def spread_matrix(side: int) -> np.ndarray:
    """Chance that an aftershock in one row falls in another; the outermost ones lose some to the outside."""
    at = np.arange(side)
    weight = np.exp(-0.5 * ((at[:, None] - at[None, :]) / SPREAD) ** 2)
    return weight / np.exp(-0.5 * (np.arange(-side, side + 1) / SPREAD) ** 2).sum()


def background(stream: np.random.RandomState, side: int, per_day: float) -> np.ndarray:
    """Events a day in each cell without aftershocks: three faults over a faint floor, summing to per_day."""
    rows, columns = np.meshgrid(np.arange(side) + 0.5, np.arange(side) + 0.5, indexing="ij")
    rate = np.full((side, side), 0.15)
    for _ in range(3):
        angle, offset = stream.uniform(0, np.pi), stream.uniform(-0.3, 0.3) * side
        distance = (rows - side / 2) * np.cos(angle) + (columns - side / 2) * np.sin(angle) - offset
        rate += stream.uniform(0.5, 1.5) * np.exp(-0.5 * (distance / 0.8) ** 2)
    return per_day * rate / rate.sum()


def magnitudes(stream: np.random.RandomState, count: int) -> np.ndarray:
    """Draws from the truncated Gutenberg-Richter law."""
    tail = 10 ** (-B_VALUE * (MAGNITUDE_MAX - MAGNITUDE_MIN))
    return MAGNITUDE_MIN - np.log10(1 - stream.uniform(0, 1, count) * (1 - tail)) / B_VALUE


def mean_productivity() -> float:
    """Mean of 10 ** (PRODUCTIVITY * (magnitude - MAGNITUDE_MIN)) under that law."""
    span, difference = MAGNITUDE_MAX - MAGNITUDE_MIN, PRODUCTIVITY - B_VALUE
    return B_VALUE * (10 ** (difference * span) - 1) / (difference * (1 - 10 ** (-B_VALUE * span)))


def catalogue(seed: int, branching: float, side: int, days: int,
              events_per_day: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Simulate day by day: (counts, energy, chance), each of days x side x side.

    counts: events; energy: sum of 10 ** magnitude over the day's events; chance: the
    true probability of at least one event, given all days before.
    """
    stream = np.random.RandomState([seed, int(round(10 * branching))])
    rate = background(stream, side, events_per_day * (1 - branching))
    spread, fade = spread_matrix(side), np.exp(-1.0 / DECAY_DAYS)
    # An aftershock comes k days later with chance proportional to fade ** k.
    first = DECAY_SHARES * (1 - fade)
    active = np.zeros((len(DECAY_DAYS), side, side))
    counts = np.zeros((days, side, side), dtype=np.int64)
    energy, expected = np.zeros((days, side, side)), np.zeros((days, side, side))
    for day in range(days):
        expected[day] = rate + np.tensordot(first, active, 1)
        counts[day] = stream.poisson(expected[day])
        active *= fade[:, None, None]
        if counts[day].any():
            offspring = np.zeros((side, side))
            for row, column in zip(*np.nonzero(counts[day])):
                size = magnitudes(stream, counts[day, row, column])
                energy[day, row, column] = np.sum(10 ** size)
                offspring[row, column] = np.sum(10 ** (PRODUCTIVITY * (size - MAGNITUDE_MIN)))
            active += branching / mean_productivity() * (spread.T @ offspring @ spread)
    return counts, energy, 1 - np.exp(-expected)


def split(days: int) -> tuple[slice, slice, slice]:
    """Slices of the days: training, validation, test."""
    first, second = (int(days * share) for share in SPLITS)
    return slice(0, first), slice(first, second), slice(second, days)


def log_loss(chance: np.ndarray, happened: np.ndarray) -> float:
    chance = np.clip(chance, 1e-9, 1 - 1e-9)
    return -np.sum(np.where(happened, np.log(chance), np.log1p(-chance)))


def information_gap(forecast: np.ndarray, chance: np.ndarray, happened: np.ndarray) -> float:
    """Extra log loss over the true chances, in nats per cell and day with an event; 0 is the best that is possible."""
    return (log_loss(forecast, happened) - log_loss(chance, happened)) / happened.sum()


def measure(forecast: np.ndarray, chance: np.ndarray, happened: np.ndarray) -> dict[str, float]:
    """Metrics of one forecast on the test days."""
    forecast, chance, happened = forecast.ravel(), chance.ravel(), happened.ravel()
    return {
        "auc": roc_auc_score(happened, forecast),
        "average_precision": average_precision_score(happened, forecast),
        "information_gap": information_gap(forecast, chance, happened),
        "auc_true": roc_auc_score(happened, chance),
        "average_precision_true": average_precision_score(happened, chance),
    }


def curves(forecast: np.ndarray, chance: np.ndarray, happened: np.ndarray) -> dict:
    """What the figures show of one forecast: precision by recall, calibration, maps of the mean chance."""
    recall = np.linspace(0.02, 1, 50)

    def precision_at(values: np.ndarray) -> np.ndarray:
        precision, reached, _ = precision_recall_curve(happened.ravel(), values.ravel())
        return np.interp(recall, reached[::-1], precision[::-1])

    order = np.argsort(forecast.ravel(), kind="stable")
    bins = np.array_split(order, 12)
    return {
        "recall": recall,
        "precision": precision_at(forecast),
        "precision_true": precision_at(chance),
        "predicted": [forecast.ravel()[part].mean() for part in bins],
        "observed": [happened.ravel()[part].mean() for part in bins],
        "map": forecast.mean(axis=0),
        "map_true": chance.mean(axis=0),
    }


def significant(value: float) -> float:
    """Six significant digits: more would differ between machines."""
    return float("%.6g" % value)


def rounded(values: np.ndarray | list | float) -> list | float:
    return [rounded(v) for v in values] if np.ndim(values) else significant(values)


def write(out_dir: str, results: dict[float, tuple[list[dict], list[dict], float]]) -> dict:
    """Write final_info.json and curves.json.

    results: {branching: (list of measure(...) one a seed, list of curves(...), seconds)}.
    """
    info, lines = {}, {"datasets": {}}
    for branching, (measured, drawn, seconds) in results.items():
        lists = {m: np.array([one[m] for one in measured]) for m in METRICS}
        info[dataset_name(branching)] = {
            "means": {m: significant(v.mean()) for m, v in lists.items()},
            "stderrs": {m: significant(v.std(ddof=1) / np.sqrt(len(v))) for m, v in lists.items()},
            "final_info_dict": {m: [significant(x) for x in v] for m, v in lists.items()},
            "timing": {"seconds": significant(seconds)},
        }
        lines["datasets"][dataset_name(branching)] = [
            {name: rounded(values) for name, values in one.items()} for one in drawn
        ]
    os.makedirs(out_dir, exist_ok=True)
    for name, content in (("final_info.json", info), ("curves.json", lines)):
        with open(os.path.join(out_dir, name), "w", encoding="utf-8") as out:
            json.dump(content, out, indent=1 if name == "final_info.json" else None, sort_keys=True)
            out.write("\n")
    return info
