"""Images, splits, metrics and results of the tiny-network experiment.

This file is protected: which images are learnt and how a network is judged stays the
same in every run, so that runs can be compared. `experiment.py` decides what a
network is made of and how it is trained.
"""

from __future__ import annotations

import importlib.util
import json
import os

import numpy as np
import torch

Tensor = torch.Tensor
Split = tuple[Tensor, Tensor]  # images (count x channels x side x side) and labels

DATASETS = ("digits", "shapes")
CLASSES = {"digits": 10, "shapes": 8}
SIDE = 16  # pixels of a shape
SHAPES = {"train": 2000, "validation": 500, "test": 1000}  # images
DIGITS = {"train": 1000, "validation": 297, "test": 500}

METRICS = ("test_accuracy", "test_log_loss", "validation_accuracy", "parameters")


def draw(kind: int, stream: np.random.RandomState) -> np.ndarray:
    """One noisy coloured shape on a coloured ground (3 x SIDE x SIDE).

    Kinds: disc, ring, square, frame, cross, triangle, horizontal and vertical stripes.
    Place, size and both colours are random, so colour tells nothing.
    """
    x, y = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    x, y = x - stream.uniform(6, 9), y - stream.uniform(6, 9)
    size = stream.uniform(3.5, 6)
    far, box = np.hypot(x, y), np.maximum(np.abs(x), np.abs(y))
    inside = (
        far < size,
        (far < size) & (far > 0.6 * size),
        box < 0.85 * size,
        (box < 0.85 * size) & (box > 0.5 * size),
        (box < size) & (np.minimum(np.abs(x), np.abs(y)) < 0.3 * size),
        (y < 0.7 * size) & (y > 2 * np.abs(x) - size),
        (box < size) & (np.floor(y / 1.6) % 2 == 0),
        (box < size) & (np.floor(x / 1.6) % 2 == 0),
    )[kind]
    while True:
        shape, ground = stream.uniform(0, 1, (2, 3))
        if np.abs(shape - ground).sum() > 0.6:
            break
    image = np.where(inside, shape[:, None, None], ground[:, None, None])
    return image + 0.12 * stream.standard_normal(image.shape)


def shapes(seed: int, limit: int) -> dict[str, Split]:
    """Generated images of eight shapes."""
    splits = {}
    for index, (split, count) in enumerate(SHAPES.items()):
        stream = np.random.RandomState([seed, index])
        labels = stream.randint(CLASSES["shapes"], size=count)[:limit]
        images = np.array([draw(kind, stream) for kind in labels], dtype=np.float32)
        splits[split] = (torch.from_numpy(images) - 0.5, torch.from_numpy(labels.astype(np.int64)))
    return splits


def digit_table() -> np.ndarray:
    """Scikit-learn's handwritten digits: 64 grey values from 0 to 16 and the digit, a row each.

    Read from the package's folder, since importing the package takes longer than a smoke run may.
    """
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise SystemExit("the digits come with scikit-learn: apt-get install python3-sklearn")
    path = os.path.join(os.path.dirname(package.origin), "datasets", "data", "digits.csv.gz")
    if os.path.exists(path):
        return np.loadtxt(path, delimiter=",")
    from sklearn.datasets import load_digits  # a version that keeps them elsewhere

    images, labels = load_digits(return_X_y=True)
    return np.column_stack([images, labels])


def digits(seed: int, limit: int) -> dict[str, Split]:
    """Handwritten digits of 8 x 8 pixels, split at random."""
    table = digit_table()
    table = table[np.random.RandomState([seed, 9]).permutation(len(table))]
    images = torch.from_numpy((table[:, :64] / 16 - 0.5).astype(np.float32)).view(-1, 1, 8, 8)
    labels = torch.from_numpy(table[:, 64].astype(np.int64))
    splits, start = {}, 0
    for split, count in DIGITS.items():
        end = start + min(count, limit)
        splits[split] = (images[start:end], labels[start:end])
        start += count
    return splits


def load(dataset: str, seed: int, limit: int) -> dict[str, Split]:
    """Splits `train`, `validation` and `test` of a dataset, each of at most `limit` images; all change with the seed."""
    return {"digits": digits, "shapes": shapes}[dataset](seed, limit)


@torch.no_grad()
def judge(network: torch.nn.Module, split: Split) -> tuple[float, float]:
    """Accuracy and log loss (nats) of a network's logits; it is put into evaluation mode."""
    network.eval()
    images, labels = split
    logits = torch.cat([network(part) for part in images.split(500)]).double()
    loss = torch.nn.functional.cross_entropy(logits, labels)
    return float((logits.argmax(dim=1) == labels).double().mean()), float(loss)


def measure(network: torch.nn.Module, splits: dict[str, Split]) -> dict[str, float]:
    """Metrics of one trained network."""
    accuracy, loss = judge(network, splits["test"])
    return {
        "test_accuracy": accuracy,
        "test_log_loss": loss,
        "validation_accuracy": judge(network, splits["validation"])[0],
        "parameters": float(sum(weight.numel() for weight in network.parameters())),
    }


def significant(value: float) -> float:
    """Six significant digits: more would differ between machines."""
    return float("%.6g" % value)


def write(out_dir: str, results: dict[str, tuple[list[dict], list[dict], float]]) -> dict:
    """Write final_info.json and curves.json.

    results: {dataset: (metrics, curves, seconds)}, lists with one entry a seed.
    """
    info: dict = {}
    lines: dict = {}
    for dataset, (measured, curves, seconds) in results.items():
        lists = {m: np.array([one[m] for one in measured]) for m in METRICS}
        info[dataset] = {
            "means": {m: significant(v.mean()) for m, v in lists.items()},
            "stderrs": {m: significant(v.std(ddof=1) / np.sqrt(len(v))) for m, v in lists.items()},
            "final_info_dict": {m: [significant(x) for x in v] for m, v in lists.items()},
            "timing": {"seconds": significant(seconds)},
        }
        lines[dataset] = [{name: [significant(x) for x in v] for name, v in one.items()} for one in curves]
    os.makedirs(out_dir, exist_ok=True)
    for name, content in (("final_info.json", info), ("curves.json", lines)):
        with open(os.path.join(out_dir, name), "w", encoding="utf-8") as out:
            json.dump(content, out, indent=1, sort_keys=True)
            out.write("\n")
    return info
