"""Bracket texts, splits, metrics and results of the probing experiment.

This file is protected: what the models read and how probes and steering are judged
stays the same in every run, so that runs can be compared. `experiment.py` decides how
a probe is fitted and how a model is steered.

Texts are nested brackets of three kinds, closed in the right order. At every place the
stack of open brackets is known: how deep it is, and which kind is on top.
"""

from __future__ import annotations

import json
import os

import numpy as np
import torch

Tensor = torch.Tensor

KINDS = ("()", "[]", "{}")
OPEN, CLOSE = (0, 1, 2), (3, 4, 5)  # characters; kind k opens with k and closes with k + 3
START = 6  # the first character of every text
CHARACTERS, DEEPEST, LENGTH = 7, 6, 48
COUNTS = {"train": 200, "validation": 80, "test": 200}  # texts

METRICS = ("depth_r2", "top_accuracy", "steering_success", "unsteered_success", "model_accuracy")


def texts(seed: int, index: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Characters (count x LENGTH), depth of the stack and kind on its top after each (-1: none open)."""
    stream = np.random.RandomState([seed, index])
    draws, kinds = stream.uniform(size=(count, LENGTH)), stream.randint(len(KINDS), size=(count, LENGTH))
    characters, depths, tops = (np.zeros((count, LENGTH), dtype=np.int64) for _ in range(3))
    for row in range(count):
        stack: list[int] = []
        for place in range(LENGTH):
            if place == 0:
                characters[row, 0] = START
            elif not stack or (len(stack) < DEEPEST and draws[row, place] < 0.55):
                stack.append(int(kinds[row, place]))
                characters[row, place] = stack[-1]
            else:
                characters[row, place] = CLOSE[stack.pop()]
            depths[row, place], tops[row, place] = len(stack), stack[-1] if stack else -1
    return torch.from_numpy(characters), torch.from_numpy(depths), torch.from_numpy(tops)


def load(seed: int, limit: int) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """Splits `train`, `validation` and `test`, each of at most `limit` texts; models were trained on others."""
    return {
        split: texts(1000 + seed, index, min(count, limit)) for index, (split, count) in enumerate(COUNTS.items())
    }


def closing(logits: Tensor) -> Tensor:
    """Which kind a model would close next (...), from logits over characters (... x CHARACTERS)."""
    return logits[..., list(CLOSE)].argmax(dim=-1)


def model_accuracy(logits: Tensor, tops: Tensor) -> float:
    """Share of places with an open bracket at which the likeliest closing character is the right one."""
    return float((closing(logits) == tops)[tops >= 0].double().mean())


def r2(predicted: Tensor, true: Tensor) -> float:
    """Share of the variance that a prediction explains; 0 is predicting the mean."""
    true = true.double()
    return float(1 - ((predicted - true) ** 2).mean() / true.var(unbiased=False))


def targets(tops: Tensor, seed: int) -> Tensor:
    """For every place another kind than the one on top, which steering should make the model close."""
    stream = np.random.RandomState([seed, 77])
    shift = torch.from_numpy(stream.randint(1, len(KINDS), size=tuple(tops.shape)))
    return torch.where(tops >= 0, (tops + shift) % len(KINDS), tops)


def success(logits: Tensor, wanted: Tensor) -> float:
    """Share of places with an open bracket at which the model would close the wanted kind."""
    return float((closing(logits) == wanted)[wanted >= 0].double().mean())


def significant(value: float) -> float:
    """Six significant digits: more would differ between machines."""
    return float("%.6g" % value)


def summary(measured: list[dict], names: tuple[str, ...]) -> dict:
    """Means, standard errors and per-seed lists of metrics."""
    lists = {m: np.array([one[m] for one in measured]) for m in names}
    return {
        "means": {m: significant(v.mean()) for m, v in lists.items()},
        "stderrs": {m: significant(v.std(ddof=1) / np.sqrt(len(v))) for m, v in lists.items()},
        "final_info_dict": {m: [significant(x) for x in v] for m, v in lists.items()},
    }


def write(out_dir: str, layers: dict[str, list[dict]], curves: dict, seconds: float) -> dict:
    """Write final_info.json and curves.json.

    layers: {layer: one dictionary of METRICS a seed}; the dataset `chosen` has, for
    every seed, the layer that is best on validation. curves: lists by seed of
    whatever the figures show.
    """
    info = {layer: {**summary(measured, METRICS), "timing": {"seconds": significant(seconds)}}
            for layer, measured in layers.items()}
    os.makedirs(out_dir, exist_ok=True)
    for name, content in (("final_info.json", info), ("curves.json", curves)):
        with open(os.path.join(out_dir, name), "w", encoding="utf-8") as out:
            json.dump(content, out, indent=1, sort_keys=True)
            out.write("\n")
    return info
