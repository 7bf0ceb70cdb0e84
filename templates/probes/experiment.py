"""Probe what a transformer knows about its brackets, and steer it by that.

Models trained on nested brackets (data/models.npz) are frozen. Linear probes read the
depth of the stack and the kind of bracket on its top from the stream of each layer;
steering adds the difference of two directions to the stream, so that the model should
close another kind. What can be read need not be what the model uses.

`fit_depth`, `fit_kinds` and `steering` are the places where a method changes. Texts,
splits and metrics are in evaluate.py, which stays as it is.
"""

from __future__ import annotations

import argparse
import os
import time
from typing import Callable

import torch

import evaluate
import model as models
from evaluate import KINDS, Tensor

# NULLIUS_SIZE picks one of these; the command line stays the same.
SIZES = {
    "smoke": {"limit": 12, "strengths": (1.0, 4.0)},
    "lite": {"limit": 200, "strengths": (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)},
    "full": {"limit": 200, "strengths": (0.125, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 16.0)},
}

Probe = Callable[[Tensor], Tensor]  # a stream (places x width) to what it reads at each place

RIDGE = 1e-3  # of the least squares of probes, on standardised streams
LAYERS = models.LAYERS + 1  # the stream after the embedding counts as layer 0


def least_squares(stream: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Ridge regression of `wanted` (places x outputs) on a stream (places x width): mean, weights, constant."""
    stream, wanted = stream.double(), wanted.double()
    mean, constant = stream.mean(dim=0), wanted.mean(dim=0)
    centred = stream - mean
    price = RIDGE * len(stream) * centred.var(dim=0).mean() * torch.eye(stream.shape[1], dtype=torch.float64)
    return mean, torch.linalg.solve(centred.T @ centred + price, centred.T @ (wanted - constant)), constant


def fit_depth(stream: Tensor, depths: Tensor) -> Probe:
    """A probe that tells the depth of the stack from a stream (places x width)."""
    mean, weights, constant = least_squares(stream, depths[:, None])
    return lambda other: ((other.double() - mean) @ weights + constant)[:, 0]


def fit_kinds(stream: Tensor, tops: Tensor) -> Probe:
    """A probe that tells the kind on top of the stack at places where there is one."""
    wanted = torch.nn.functional.one_hot(tops, len(KINDS))
    mean, weights, constant = least_squares(stream, wanted)
    return lambda other: ((other.double() - mean) @ weights + constant).argmax(dim=1)


def steering(stream: Tensor, tops: Tensor) -> Tensor:
    """A direction (kinds x width) for each kind: the mean stream at places with it on top."""
    return torch.stack([stream[tops == kind].mean(dim=0) for kind in range(len(KINDS))])


@torch.no_grad()
def steered(model: models.Transformer, split: tuple[Tensor, Tensor, Tensor], layer: int, directions: Tensor,
            strength: float, seed: int) -> float:
    """Share of places at which the model closes the wanted kind, with the stream of one layer changed at all places at once.

    Adds the direction of the wanted kind less that of the true one, times the
    strength; places with no open bracket are left alone.
    """
    characters, _, tops = split
    wanted = evaluate.targets(tops, seed)
    push = strength * (directions[wanted] - directions[tops]) * (tops >= 0)[..., None]
    logits, _ = model(characters, lambda at, x: x + push if at == layer else x)
    return evaluate.success(logits, wanted)


def places(streams: list[Tensor], layer: int, keep: Tensor) -> Tensor:
    """The stream of a layer at places to keep (texts x length): places x width."""
    return streams[layer][keep]


@torch.no_grad()
def study(model: models.Transformer, seed: int, limit: int, strengths: tuple[float, ...]) -> tuple[list[dict], dict]:
    """Probe and steer every layer of a model; strengths are chosen on validation.

    Returns for each layer its metrics on test, beside validation scores by which to
    choose a layer, and the success by strength for the figures.
    """
    splits = evaluate.load(seed, limit)
    seen = {split: model(data[0]) for split, data in splits.items()}
    logits, accuracy = seen["test"][0], evaluate.model_accuracy(seen["test"][0], splits["test"][2])
    measured, by_strength = [], []
    for layer in range(LAYERS):
        scores = {}
        every, opened = (torch.ones_like(splits["train"][1], dtype=torch.bool), splits["train"][2] >= 0)
        depth = fit_depth(places(seen["train"][1], layer, every), splits["train"][1][every])
        kinds = fit_kinds(places(seen["train"][1], layer, opened), splits["train"][2][opened])
        directions = steering(places(seen["train"][1], layer, opened), splits["train"][2][opened])
        for split in ("validation", "test"):
            _, depths, tops = splits[split]
            stream, keep = seen[split][1][layer], tops >= 0
            scores[split] = {
                "depth_r2": evaluate.r2(depth(stream.flatten(0, 1)), depths.flatten()),
                "top_accuracy": float((kinds(stream[keep]) == tops[keep]).double().mean()),
            }
        curve = [steered(model, splits["validation"], layer, directions, strength, seed) for strength in strengths]
        best = strengths[curve.index(max(curve))]
        measured.append({
            **scores["test"],
            "steering_success": steered(model, splits["test"], layer, directions, best, seed),
            "unsteered_success": evaluate.success(logits, evaluate.targets(splits["test"][2], seed)),
            "model_accuracy": accuracy,
            "validation": {**scores["validation"], "steering_success": max(curve)},
            "strength": best,
        })
        by_strength.append(curve)
    return measured, {"by_strength": by_strength, "strength": [one["strength"] for one in measured]}


def chosen(measured: list[dict]) -> dict:
    """For each metric the test value of the layer that is best on validation."""
    best = dict(measured[0])
    for metric in ("depth_r2", "top_accuracy", "steering_success"):
        layer = max(range(len(measured)), key=lambda at: measured[at]["validation"][metric])
        best[metric] = measured[layer][metric]
    return best


def run(limit: int, strengths: tuple[float, ...]) -> tuple[dict[str, list[dict]], dict]:
    """Study every stored model: metrics by layer, one entry a model, and what the figures show."""
    layers: dict[str, list[dict]] = {"layer_%d" % layer: [] for layer in range(LAYERS)}
    layers["chosen"] = []
    curves: dict = {"strengths": list(strengths), "seeds": []}
    for seed in range(models.count()):
        measured, shown = study(models.load(seed), seed, limit, strengths)
        for layer, one in enumerate(measured):
            layers["layer_%d" % layer].append(one)
        layers["chosen"].append(chosen(measured))
        curves["seeds"].append({
            "by_strength": [[evaluate.significant(x) for x in curve] for curve in shown["by_strength"]],
            "strength": shown["strength"],
        })
    return layers, curves


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out_dir", default="run_0", help="folder for the results")
    args = parser.parse_args()

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    torch.set_flush_denormal(True)
    size = SIZES[os.environ.get("NULLIUS_SIZE", "lite")]
    start = time.perf_counter()
    layers, curves = run(**size)
    info = evaluate.write(args.out_dir, layers, curves, time.perf_counter() - start)
    for dataset in sorted(info):
        means = info[dataset]["means"]
        print(dataset, " ".join("%s=%g" % (name, means[name]) for name in sorted(means)))


if __name__ == "__main__":
    main()
