"""Densities, samples, metrics and results of the diffusion experiment.

This file is protected: what is learnt and how samples are judged stays the same in
every run, so that runs can be compared. `experiment.py` decides how a model sees a
noisy point, how noise is scheduled and how points are drawn.
"""

from __future__ import annotations

import json
import os

import numpy as np
from scipy.spatial import cKDTree

NEIGHBOURS = 5  # of all nearest-neighbour estimates
SPREAD = 0.08  # of points about the curve or centre they belong to
COUNTS = {"train": 4000, "validation": 1000, "test": 2000, "second": 2000}

METRICS = ("kl", "coverage", "precision", "test_loss", "validation_loss", "kl_real", "coverage_real", "precision_real")


def rings(stream: np.random.RandomState, count: int) -> np.ndarray:
    """Three circles about the middle."""
    angle, radius = stream.uniform(0, 2 * np.pi, count), np.array([0.5, 1.0, 1.5])[stream.randint(3, size=count)]
    return radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def grid(stream: np.random.RandomState, count: int) -> np.ndarray:
    """Nine spots, three by three."""
    return 1.2 * (stream.randint(3, size=(count, 2)) - 1.0)


def spiral(stream: np.random.RandomState, count: int) -> np.ndarray:
    """One arm, two and a half turns, equally dense along its length."""
    angle = 5 * np.pi * np.sqrt(stream.uniform(0.02, 1, count))
    return 1.6 * (angle / (5 * np.pi))[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def lissajous(stream: np.random.RandomState, count: int) -> np.ndarray:
    """A closed curve that crosses itself seven times."""
    angle = stream.uniform(0, 2 * np.pi, count)
    return 1.4 * np.stack([np.sin(3 * angle), np.sin(2 * angle)], axis=1)


def moons(stream: np.random.RandomState, count: int) -> np.ndarray:
    """Two half circles that face each other."""
    angle, upper = stream.uniform(0, np.pi, count), stream.randint(2, size=count)
    arc = np.stack([np.cos(angle) - 0.5, np.sin(angle) - 0.25], axis=1)
    return 1.2 * np.where(upper[:, None] == 1, arc, -arc)


def checkerboard(stream: np.random.RandomState, count: int) -> np.ndarray:
    """Eight of the sixteen fields of a board."""
    column, row = stream.randint(4, size=count), stream.randint(2, size=count)
    corner = np.stack([column, 2 * row + column % 2], axis=1)
    return 0.8 * (corner + stream.uniform(size=(count, 2)) - 2)


def star(stream: np.random.RandomState, count: int) -> np.ndarray:
    """Five spikes."""
    angle = 2 * np.pi * (stream.randint(5, size=count) + 0.25) / 5
    return stream.uniform(0.2, 1.6, count)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def eight(stream: np.random.RandomState, count: int) -> np.ndarray:
    """A figure of eight."""
    angle = stream.uniform(0, 2 * np.pi, count)
    return 1.5 * np.stack([np.sin(angle), np.sin(angle) * np.cos(angle)], axis=1)


def square(stream: np.random.RandomState, count: int) -> np.ndarray:
    """The outline of a square."""
    along, side = stream.uniform(-1.2, 1.2, count), stream.randint(4, size=count)
    fixed = np.where(side % 2 == 0, 1.2, -1.2)
    return np.where((side < 2)[:, None], np.stack([along, fixed], axis=1), np.stack([fixed, along], axis=1))


def waves(stream: np.random.RandomState, count: int) -> np.ndarray:
    """Three lines of waves, one above the other."""
    along = stream.uniform(-1.6, 1.6, count)
    return np.stack([along, 0.3 * np.sin(5 * along) + 0.9 * (stream.randint(3, size=count) - 1)], axis=1)


DENSITIES = {
    "rings": rings, "grid": grid, "spiral": spiral, "lissajous": lissajous, "moons": moons,
    "checkerboard": checkerboard, "star": star, "eight": eight, "square": square, "waves": waves,
}


def load(density: str, seed: int) -> dict[str, np.ndarray]:
    """Samples `train`, `validation`, `test` and `second` (points x 2); the last is what perfect samples look like."""
    samples = {}
    for index, (split, count) in enumerate(COUNTS.items()):
        stream = np.random.RandomState([seed, index])
        clean = DENSITIES[density](stream, count)
        samples[split] = clean + SPREAD * stream.standard_normal((count, 2))
    return samples


def kl(real: np.ndarray, drawn: np.ndarray) -> float:
    """Nearest-neighbour estimate of the divergence of drawn points from real ones, in nats.

    The mean over real points of 2 log(distance to drawn / distance to other real),
    with a term for the numbers of points (Wang, Kulkarni and Verdú, 2009). It is
    noisy and may be slightly negative.
    """
    own = cKDTree(real).query(real, NEIGHBOURS + 1)[0][:, -1]  # the point itself comes first
    other = cKDTree(drawn).query(real, NEIGHBOURS)[0][:, -1]
    ratio = np.log(np.maximum(other, 1e-9) / np.maximum(own, 1e-9))
    return float(2 * ratio.mean() + np.log(len(drawn) / (len(real) - 1)))


def coverage(real: np.ndarray, drawn: np.ndarray) -> float:
    """Share of real points with a drawn one nearer than their fifth real neighbour."""
    own = cKDTree(real).query(real, NEIGHBOURS + 1)[0][:, -1]
    return float((cKDTree(drawn).query(real)[0] <= own).mean())


def precision(real: np.ndarray, drawn: np.ndarray) -> float:
    """Share of drawn points nearer to their nearest real point than that point's fifth real neighbour."""
    tree = cKDTree(real)
    own = tree.query(real, NEIGHBOURS + 1)[0][:, -1]
    distance, nearest = tree.query(drawn)
    return float((distance <= own[nearest]).mean())


def measure(samples: dict[str, np.ndarray], drawn: np.ndarray, losses: dict[str, float]) -> dict[str, float]:
    """Metrics of one trained model from points it drew (as many as in `test`) and its noise-prediction losses."""
    drawn = np.nan_to_num(drawn, nan=1e3, posinf=1e3, neginf=-1e3).clip(-1e3, 1e3)
    values = {"test_loss": losses["test"], "validation_loss": losses["validation"]}
    for suffix, points in (("", drawn), ("_real", samples["second"])):
        values["kl" + suffix] = kl(samples["test"], points)
        values["coverage" + suffix] = coverage(samples["test"], points)
        values["precision" + suffix] = precision(samples["test"], points)
    return values


def significant(value: float) -> float:
    """Six significant digits: more would differ between machines."""
    return float("%.6g" % value)


def write(out_dir: str, results: dict[str, tuple[list[dict], list[dict], list[np.ndarray], float]]) -> dict:
    """Write final_info.json and curves.json.

    results: {density: (metrics, curves, drawn points, seconds)}, lists with one entry
    a seed. Points are kept of the first seed only, 1,000 with three decimals.
    """
    info: dict = {}
    lines: dict = {}
    for density, (measured, curves, drawn, seconds) in results.items():
        lists = {m: np.array([one[m] for one in measured]) for m in METRICS}
        info[density] = {
            "means": {m: significant(v.mean()) for m, v in lists.items()},
            "stderrs": {m: significant(v.std(ddof=1) / np.sqrt(len(v))) for m, v in lists.items()},
            "final_info_dict": {m: [significant(x) for x in v] for m, v in lists.items()},
            "timing": {"seconds": significant(seconds)},
        }
        real = load(density, 0)["test"]
        lines[density] = {
            "curves": [{name: [significant(x) for x in values] for name, values in one.items()} for one in curves],
            "drawn": np.round(drawn[0][:1000], 3).tolist(),
            "real": np.round(real[:1000], 3).tolist(),
        }
    os.makedirs(out_dir, exist_ok=True)
    for name, content in (("final_info.json", info), ("curves.json", lines)):
        with open(os.path.join(out_dir, name), "w", encoding="utf-8") as out:
            json.dump(content, out, indent=1 if name == "final_info.json" else None, sort_keys=True)
            out.write("\n")
    return info
