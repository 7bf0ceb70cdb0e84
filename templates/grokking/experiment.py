"""Delayed generalisation on modular arithmetic.

A small network learns the table of an operation modulo a number from part of its
entries. It soon fits those; whether, and how much later, it gets the others right
is the question. Gradients are written out by hand in numpy.

`Model`, `AdamW` and `SETTINGS` are where methods change. Data, metrics and results
are in evaluate.py, which stays as it is.
"""

from __future__ import annotations

import argparse
import os
import time

import numpy as np

import evaluate

Weights = dict[str, np.ndarray]

# NULLIUS_SIZE picks one of these; the command line stays the same.
SIZES = {
    "smoke": {"operations": ["add", "subtract", "multiply"], "modulus": 11, "seeds": 3, "limit": 200},
    "lite": {"operations": ["add", "subtract", "multiply"], "modulus": 47, "seeds": 3, "limit": 6000},
    "full": {"operations": list(evaluate.OPERATIONS), "modulus": 113, "seeds": 5, "limit": 20000},
}

SETTINGS = {
    "train_share": 0.5,  # of all pairs
    "embedding": 32,  # numbers per operand
    "hidden": 128,  # units of the one hidden layer
    "rate": 5e-3,  # after a linear warm-up
    "warm_up": 10,  # steps
    "decay": 1.0,  # decoupled weight decay
    "betas": (0.9, 0.98),
    "every": 50,  # steps between evaluations
}

TINY = 1e-30  # moments below are set to zero: subnormal numbers slow a run down several times


class Model:
    """Two embeddings, a hidden ReLU layer and a linear read-out."""

    def __init__(self, modulus: int, seed: int, settings: dict) -> None:
        stream = np.random.RandomState([seed, 1])
        width, hidden = settings["embedding"], settings["hidden"]

        def uniform(fan_in: int, *shape: int) -> np.ndarray:
            bound = 1.0 / np.sqrt(fan_in)
            return stream.uniform(-bound, bound, shape).astype(np.float32)

        self.weights = {
            "left": (0.3 * stream.standard_normal((modulus, width))).astype(np.float32),
            "right": (0.3 * stream.standard_normal((modulus, width))).astype(np.float32),
            "hidden": uniform(2 * width, 2 * width, hidden),
            "hidden_bias": uniform(2 * width, hidden),
            "out": uniform(hidden, hidden, modulus),
            "out_bias": uniform(hidden, modulus),
        }

    def forward(self, pairs: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """Logits (points x modulus), and what the backward pass needs."""
        w = self.weights
        x = np.concatenate([w["left"][pairs[:, 0]], w["right"][pairs[:, 1]]], axis=1)
        h = np.maximum(x @ w["hidden"] + w["hidden_bias"], 0)
        return h @ w["out"] + w["out_bias"], (x, h)

    def gradients(self, pairs: np.ndarray, labels: np.ndarray) -> tuple[float, float, Weights]:
        """Mean cross-entropy, accuracy and its gradients."""
        w = self.weights
        logits, (x, h) = self.forward(pairs)
        loss, accuracy, probabilities = cross_entropy(logits, labels)
        d_logits = probabilities
        d_logits[np.arange(len(labels)), labels] -= 1
        d_logits /= len(labels)
        d_h = (d_logits @ w["out"].T) * (h > 0)
        d_x = d_h @ w["hidden"].T
        width = w["left"].shape[1]
        return loss, accuracy, {
            "left": gather(pairs[:, 0], d_x[:, :width], len(w["left"])),
            "right": gather(pairs[:, 1], d_x[:, width:], len(w["right"])),
            "hidden": x.T @ d_h,
            "hidden_bias": d_h.sum(axis=0),
            "out": h.T @ d_logits,
            "out_bias": d_logits.sum(axis=0),
        }


class AdamW:
    """Adam with decoupled weight decay."""

    def __init__(self, weights: Weights, settings: dict) -> None:
        self.settings, self.step = settings, 0
        self.first = {name: np.zeros_like(w) for name, w in weights.items()}
        self.second = {name: np.zeros_like(w) for name, w in weights.items()}

    def update(self, weights: Weights, gradients: Weights) -> None:
        self.step += 1
        s, (b1, b2) = self.settings, self.settings["betas"]
        rate = s["rate"] * min(1.0, self.step / max(1, s["warm_up"]))
        for name, w in weights.items():
            first, second, g = self.first[name], self.second[name], gradients[name]
            first *= b1
            first += (1 - b1) * g
            second *= b2
            second += (1 - b2) * g * g
            first[np.abs(first) < TINY] = 0
            second[second < TINY] = 0
            w *= 1 - rate * s["decay"]
            w -= rate * (first / (1 - b1 ** self.step)) / (np.sqrt(second / (1 - b2 ** self.step)) + 1e-8)


def gather(index: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """Sum the rows of each index: the gradient of a table look-up."""
    order = np.argsort(index, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(index[order]) > 0])
    total = np.zeros((count, rows.shape[1]), rows.dtype)
    total[index[order][starts]] = np.add.reduceat(rows[order], starts, axis=0)
    return total


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float, np.ndarray]:
    """Mean loss, accuracy and the softmax of the logits."""
    shifted = np.maximum(logits - logits.max(axis=1, keepdims=True), -60)
    exponent = np.exp(shifted)
    total = exponent.sum(axis=1, keepdims=True)
    loss = float(np.mean(np.log(total[:, 0]) - shifted[np.arange(len(labels)), labels]))
    return loss, float(np.mean(logits.argmax(axis=1) == labels)), exponent / total


def train(operation: str, modulus: int, seed: int, limit: int, settings: dict) -> evaluate.Curve:
    """Train until the other pairs are right as well, or to the limit; return the curve."""
    train_set, validation_set = evaluate.load(operation, modulus, seed, settings["train_share"])
    model = Model(modulus, seed, settings)
    optimiser = AdamW(model.weights, settings)
    curve = {name: [] for name in ("step", "train_accuracy", "validation_accuracy", "train_loss",
                                   "validation_loss", "weight_norm")}
    for step in range(limit + 1):
        loss, accuracy, gradients = model.gradients(*train_set)
        if step % settings["every"] == 0:
            unseen_loss, unseen_accuracy, _ = cross_entropy(model.forward(validation_set[0])[0], validation_set[1])
            norm = float(np.sqrt(sum(np.sum(np.square(w, dtype=np.float64)) for w in model.weights.values())))
            for name, value in zip(curve, (step, accuracy, unseen_accuracy, loss, unseen_loss, norm)):
                curve[name].append(value)
            if unseen_accuracy >= evaluate.THRESHOLD and accuracy >= evaluate.THRESHOLD:
                break
        optimiser.update(model.weights, gradients)
    return curve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out_dir", default="run_0", help="folder for the results")
    args = parser.parse_args()

    size = SIZES[os.environ.get("NULLIUS_SIZE", "lite")]
    results = {}
    for operation in size["operations"]:
        start = time.perf_counter()
        curves = [train(operation, size["modulus"], seed, size["limit"], SETTINGS) for seed in range(size["seeds"])]
        results[operation] = (curves, time.perf_counter() - start)
    info = evaluate.write(args.out_dir, results, size["limit"])
    for dataset in sorted(info):
        means = info[dataset]["means"]
        print(dataset, " ".join("%s=%g" % (name, means[name]) for name in sorted(means)))


if __name__ == "__main__":
    main()
