"""Texts, splits, metrics and results of the language-model experiment.

This file is protected: what is read and how a model is judged stays the same in every
run, so that runs can be compared. `experiment.py` decides how a model is built and
trained.
"""

from __future__ import annotations

import json
import math
import os
from typing import Callable

import numpy as np
import torch

Tensor = torch.Tensor

STATES, WORDS = 6, 40  # of the generated language
LENGTHS = {"train": 300_000, "validation": 20_256, "test": 20_256}  # of generated text; FIRST and 20,000 to be judged
SHARES = {"train": 0.9, "validation": 0.05, "test": 0.05}  # of a written text, in this order
PROSE = "persuasion.txt"
FIRST = 256  # characters of a split that only serve as context: all models are judged on the rest
MAX_CONTEXT = 2 * FIRST

METRICS = ("test_loss", "validation_loss", "train_loss", "excess")


class Language:
    """A hidden Markov model that emits made-up words. Tables are fixed, so its entropy is a constant."""

    def __init__(self) -> None:
        stream = np.random.RandomState([0, 0])
        self.words: list[str] = []
        while len(self.words) < WORDS:
            syllables = stream.randint(1, 4)
            word = "".join(stream.choice(list("bdfgklmnprstvz")) + stream.choice(list("aeiou")) for _ in range(syllables))
            if word not in self.words:
                self.words.append(word)
        self.moves = stream.dirichlet(np.full(STATES, 0.2), STATES)  # state to state
        self.emits = stream.dirichlet(np.full(WORDS, 0.1), STATES)  # state to word

    def write(self, stream: np.random.RandomState, length: int) -> list[int]:
        """Words, as numbers, until the text with a space after each has the given length."""
        moves, emits = np.cumsum(self.moves, axis=1), np.cumsum(self.emits, axis=1)
        state, total, words = 0, 0, []
        while total < length:
            state = min(int(np.searchsorted(moves[state], stream.uniform())), STATES - 1)
            words.append(min(int(np.searchsorted(emits[state], stream.uniform())), WORDS - 1))
            total += len(self.words[words[-1]]) + 1
        return words

    def text(self, words: list[int]) -> str:
        return "".join(self.words[word] + " " for word in words)

    def entropy(self, words: list[int]) -> float:
        """Exact negative log likelihood of the words in nats per character, by the forward algorithm.

        Spaces end words, so words and characters say the same; no model can be expected
        to do better. The first FIRST characters only serve as context, as for models.
        """
        belief, total, place, judged = np.eye(STATES)[0], 0.0, 0, 0
        for word in words:
            joint = (belief @ self.moves) * self.emits[:, word]
            belief = joint / joint.sum()
            length = len(self.words[word]) + 1
            if place >= FIRST:
                total, judged = total - math.log(joint.sum()), judged + length
            place += length
        return total / judged


def load(dataset: str) -> tuple[dict[str, Tensor], list[str], float | None]:
    """Splits as tensors of character numbers, the characters, and the loss of a perfect model if known.

    `words` is generated text; `prose` is Jane Austen's Persuasion, cut in this order
    into training, validation and test.
    """
    floor = None
    if dataset == "words":
        language, parts = Language(), {}
        for index, (split, length) in enumerate(LENGTHS.items()):
            words = language.write(np.random.RandomState([1, index]), length)
            parts[split] = language.text(words)
            floor = language.entropy(words)  # of the last split, the test
    else:
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), PROSE), encoding="utf-8") as source:
            text = source.read()
        ends = [round(len(text) * share) for share in np.cumsum(list(SHARES.values()))]
        parts = {split: text[start:end] for split, start, end in zip(SHARES, [0] + ends, ends)}
    characters = sorted(set("".join(parts.values())))
    number = {character: index for index, character in enumerate(characters)}
    return {split: torch.tensor([number[c] for c in part]) for split, part in parts.items()}, characters, floor


@torch.no_grad()
def loss(model: Callable[[Tensor], Tensor], text: Tensor, context: int, limit: int) -> float:
    """Mean negative log likelihood of a text in nats per character.

    model: characters (batch x at most `context`) to logits (batch x length x
    characters). Every character is predicted once, from at least half a context; the
    same ones whatever the context, at most `limit` of them.
    """
    if not 2 <= context <= MAX_CONTEXT:
        raise ValueError("the context is %d characters; it must lie between 2 and %d" % (context, MAX_CONTEXT))
    half = context // 2
    last = min(len(text), FIRST + limit)
    starts = range(FIRST - (context - half), last - context, half)
    total, count = 0.0, 0
    for first in range(0, len(starts), 32):
        windows = torch.stack([text[s:s + context + 1] for s in starts[first:first + 32]])
        logits = model(windows[:, :-1])[:, -half:].double()
        nats = torch.nn.functional.cross_entropy(logits.flatten(0, 1), windows[:, -half:].flatten(), reduction="sum")
        total, count = total + float(nats), count + windows.shape[0] * half
    return total / count


def significant(value: float) -> float:
    """Six significant digits: more would differ between machines."""
    return float("%.6g" % value)


def write(out_dir: str, results: dict[str, tuple[list[dict], list[dict], str, float | None, float]]) -> dict:
    """Write final_info.json and curves.json.

    results: {dataset: (metrics, curves, a sample of text, loss of a perfect model or
    None, seconds)}, lists with one entry a seed. `excess` over the perfect model is
    measured where that is known.
    """
    info: dict = {}
    lines: dict = {}
    for dataset, (measured, curves, sample, floor, seconds) in results.items():
        lists = {m: np.array([one[m] for one in measured]) for m in METRICS if m != "excess"}
        if floor is not None:
            lists["excess"] = lists["test_loss"] - floor
        info[dataset] = {
            "means": {m: significant(v.mean()) for m, v in lists.items()},
            "stderrs": {m: significant(v.std(ddof=1) / np.sqrt(len(v))) for m, v in lists.items()},
            "final_info_dict": {m: [significant(x) for x in v] for m, v in lists.items()},
            "timing": {"seconds": significant(seconds)},
        }
        lines[dataset] = {
            "floor": None if floor is None else significant(floor),
            "sample": sample,
            "curves": [{name: [significant(x) for x in values] for name, values in one.items()} for one in curves],
        }
    os.makedirs(out_dir, exist_ok=True)
    for name, content in (("final_info.json", info), ("curves.json", lines)):
        with open(os.path.join(out_dir, name), "w", encoding="utf-8") as out:
            json.dump(content, out, indent=1, sort_keys=True)
            out.write("\n")
    return info
