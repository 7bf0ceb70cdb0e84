"""Drawings, splits, metrics and results of the sketch experiment.

This file is protected: what is drawn and how a model is judged stays the same in
every run, so that runs can be compared. `experiment.py` decides how a model is built,
trained and sampled.

A drawing is a list of pen moves: (right, up) from the last point, and a pen state
after the move: 0 draws on, 1 lifts the pen for the next move, 2 ends the drawing.
"""

from __future__ import annotations

import json
import os

import numpy as np
import torch

Tensor = torch.Tensor

DATASETS = ("face", "house")
COUNTS = {"train": 1000, "validation": 100, "test": 200}  # drawings
POINTS = 32  # of a drawing resampled for comparison
RATIO = 1.5  # the other kind must be so much further off for a drawing to count as recognisable
END = 2  # pen state

METRICS = ("test_loss", "validation_loss", "diversity", "recognisable", "diversity_real", "recognisable_real")


def arc(stream: np.random.RandomState, centre: tuple[float, float], size: tuple[float, float], start: float,
        turn: float, points: int) -> np.ndarray:
    """Points of a stroke along an ellipse, by a slightly unsteady hand."""
    angle = start + turn * np.linspace(0, 1, points)
    stroke = np.array(centre) + np.array(size) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return stroke + 0.015 * stream.standard_normal(stroke.shape)


def lines(stream: np.random.RandomState, corners: list[tuple[float, float]], between: int) -> np.ndarray:
    """Points of a stroke through corners, with some between two of them."""
    ends = np.array(corners)
    share = np.linspace(0, 1, between, endpoint=False)[:, None]
    parts = [a + share * (b - a) for a, b in zip(ends[:-1], ends[1:])]
    stroke = np.concatenate(parts + [ends[-1:]])
    return stroke + 0.015 * stream.standard_normal(stroke.shape)


def face(stream: np.random.RandomState) -> list[np.ndarray]:
    """A head, two eyes and a mouth that smiles or not."""
    wide, high = stream.uniform(0.8, 1.1), stream.uniform(0.8, 1.2)
    strokes = [arc(stream, (0, 0), (wide, high), np.pi / 2, 2 * np.pi, 13)]
    apart, eye = stream.uniform(0.3, 0.45), stream.uniform(0.08, 0.16)
    for side in (-1, 1):
        strokes.append(arc(stream, (side * apart * wide, 0.3 * high), (eye, eye), 0, 2 * np.pi, 6))
    mouth, sad = stream.uniform(0.3, 0.5) * wide, stream.uniform() < 0.3
    place, start = (-0.55, 0.85 * np.pi) if sad else (-0.25, 1.15 * np.pi)
    turn = -0.7 * np.pi if sad else 0.7 * np.pi
    return strokes + [arc(stream, (0, place * high), (mouth, 0.3 * high), start, turn, 6)]


def house(stream: np.random.RandomState) -> list[np.ndarray]:
    """Walls, a roof, a door and one or two windows."""
    wide, high, roof = stream.uniform(0.7, 1.1), stream.uniform(0.5, 0.8), stream.uniform(0.5, 0.9)
    strokes = [lines(stream, [(-wide, -high), (-wide, high), (wide, high), (wide, -high), (-wide, -high)], 2)]
    strokes.append(lines(stream, [(-wide, high), (0, high + roof), (wide, high)], 2))
    left = stream.uniform(-0.2, 0.1) * wide
    strokes.append(lines(stream, [(left, -high), (left, 0), (left + 0.35, 0), (left + 0.35, -high)], 2))
    places = [-0.65] if stream.uniform() < 0.5 else [-0.65, 0.65]
    for place in places:
        x, y, r = place * wide, 0.35 * high, 0.17
        strokes.append(lines(stream, [(x - r, y - r), (x - r, y + r), (x + r, y + r), (x + r, y - r), (x - r, y - r)], 1))
    return strokes


def moves(strokes: list[np.ndarray]) -> np.ndarray:
    """Pen moves (count x 3: right, up, state) of a drawing; the pen starts at the middle, lifted."""
    points = np.concatenate([np.zeros((1, 2))] + strokes)
    states = np.zeros(len(points) - 1)
    states[np.cumsum([len(stroke) for stroke in strokes]) - 1] = 1
    states[-1] = END
    return np.column_stack([np.diff(points, axis=0), states])


def load(dataset: str, seed: int, limit: int) -> dict[str, list[np.ndarray]]:
    """Splits `train`, `validation` and `test`, and `second`, as large as `test`; each of at most `limit` drawings."""
    draw = {"face": face, "house": house}[dataset]
    counts = {**COUNTS, "second": COUNTS["test"]}
    return {
        split: [moves(draw(np.random.RandomState([seed, index, k]))) for k in range(min(count, limit))]
        for index, (split, count) in enumerate(counts.items())
    }


def strokes(drawing: np.ndarray) -> list[np.ndarray]:
    """Strokes, as points, of a list of pen moves."""
    points = np.cumsum(drawing[:, :2], axis=0)
    ends = np.flatnonzero(drawing[:, 2] >= 1) + 1
    return [part for part in np.split(points, ends) if len(part)]


def resampled(drawing: np.ndarray) -> np.ndarray:
    """POINTS points equally spaced along the drawn lines, moved to the middle and scaled to size 1."""
    parts = strokes(drawing)
    points = np.concatenate(parts)
    step = np.concatenate([np.r_[0.0, np.linalg.norm(np.diff(part, axis=0), axis=1)] for part in parts])
    length = np.cumsum(step)
    at = np.linspace(0, length[-1], POINTS)
    even = np.stack([np.interp(at, length, points[:, axis]) for axis in (0, 1)], axis=1)
    even = even - even.mean(axis=0)
    return even / max(1e-6, float(np.sqrt((even ** 2).mean())))


def distances(a: list[np.ndarray], b: list[np.ndarray]) -> np.ndarray:
    """Mean distance from each point of one drawing to the nearest of the other, both ways: len(a) x len(b)."""
    left, right = (np.array([resampled(drawing) for drawing in side]) for side in (a, b))
    table = np.empty((len(left), len(right)))
    for row, one in enumerate(left):
        gaps = np.linalg.norm(one[None, :, None] - right[:, None], axis=-1)
        table[row] = 0.5 * (gaps.min(axis=1).mean(axis=1) + gaps.min(axis=2).mean(axis=1))
    return table


def diversity(drawings: list[np.ndarray]) -> float:
    """Mean distance between different drawings."""
    table = distances(drawings, drawings)
    return float(table.sum() / (len(table) * (len(table) - 1)))


def recognisable(drawings: list[np.ndarray], own: list[np.ndarray], other: list[np.ndarray]) -> float:
    """Share of drawings whose nearest real neighbour is of their own kind, by a clear margin."""
    return float((distances(drawings, other).min(axis=1) > RATIO * distances(drawings, own).min(axis=1)).mean())


def measure(losses: dict[str, float], drawn: list[np.ndarray], data: dict[str, list[np.ndarray]],
            other: list[np.ndarray]) -> dict[str, float]:
    """Metrics of one trained model.

    losses: negative log likelihood in nats per move on `validation` and `test`;
    other: test drawings of the other kind. Metrics ending in _real are those of
    real drawings that were not trained on.
    """
    real = data["second"][:len(drawn)]
    return {
        "test_loss": losses["test"],
        "validation_loss": losses["validation"],
        "diversity": diversity(drawn),
        "recognisable": recognisable(drawn, data["test"], other),
        "diversity_real": diversity(real),
        "recognisable_real": recognisable(real, data["test"], other),
    }


def significant(value: float) -> float:
    """Six significant digits: more would differ between machines."""
    return float("%.6g" % value)


def write(out_dir: str, results: dict[str, tuple[list[dict], list[dict], list[np.ndarray], list[np.ndarray], float]]) -> dict:
    """Write final_info.json and curves.json.

    results: {dataset: (metrics, curves, drawn, real, seconds)}; the first two with one
    entry a seed, the drawings those of the first seed, of which a few are kept.
    """
    info: dict = {}
    kept: dict = {}
    for dataset, (measured, curves, drawn, real, seconds) in results.items():
        lists = {m: np.array([one[m] for one in measured]) for m in METRICS}
        info[dataset] = {
            "means": {m: significant(v.mean()) for m, v in lists.items()},
            "stderrs": {m: significant(v.std(ddof=1) / np.sqrt(len(v))) for m, v in lists.items()},
            "final_info_dict": {m: [significant(x) for x in v] for m, v in lists.items()},
            "timing": {"seconds": significant(seconds)},
        }
        kept[dataset] = {
            "curves": [{name: [significant(x) for x in v] for name, v in one.items()} for one in curves],
            "drawn": [[np.round(stroke, 3).tolist() for stroke in strokes(one)] for one in drawn[:6]],
            "real": [[np.round(stroke, 3).tolist() for stroke in strokes(one)] for one in real[:6]],
        }
    os.makedirs(out_dir, exist_ok=True)
    for name, content in (("final_info.json", info), ("curves.json", kept)):
        with open(os.path.join(out_dir, name), "w", encoding="utf-8") as out:
            json.dump(content, out, indent=1 if name == "final_info.json" else None, sort_keys=True)
            out.write("\n")
    return info
