"""Draw doodles, one pen move after another.

A recurrent network reads the moves so far and tells the next as a mixture of normal
distributions, and whether the pen draws on, is lifted, or stops. New drawings come
from drawing moves at random. Likely drawings and varied ones are not the same thing.

`Model`, `move_loss`, `TEMPERATURE` and `train` are the places where a method changes.
Drawings and metrics are in evaluate.py, which stays as it is.
"""

from __future__ import annotations

import argparse
import math
import os
import time

import numpy as np
import torch
import torch.nn.functional as F

import evaluate
from evaluate import Tensor

# NULLIUS_SIZE picks one of these; the command line stays the same.
SIZES = {
    "smoke": {"seeds": 3, "drawings": 12, "hidden": 16, "steps": 4, "drawn": 6},
    "lite": {"seeds": 3, "drawings": 1_000, "hidden": 96, "steps": 700, "drawn": 100},
    "full": {"seeds": 5, "drawings": 1_000, "hidden": 512, "steps": 10_000, "drawn": 200},
}

MIXTURES = 5  # normal distributions of a move
PEN_WEIGHT = 1.0  # of the pen state's loss beside the move's, in training
TEMPERATURE = 0.7  # of drawing: below 1 is surer, above 1 is wilder
BATCH, RATE, LONGEST = 32, 5e-3, 60  # drawings, of Adam, moves of a new drawing


class Model(torch.nn.Module):
    """A gated recurrent network with a mixture-density read-out."""

    def __init__(self, hidden: int, scale: float, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.scale = scale  # moves are divided by it
        self.memory = torch.nn.GRU(5, hidden, batch_first=True)
        self.read_out = torch.nn.Linear(hidden, 6 * MIXTURES + 3)

    def forward(self, moves: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Scaled moves and one-hot pen states (batch x length x 5) to parameters of the next ones, and the memory."""
        seen, state = self.memory(moves, state)
        return self.read_out(seen), state


def mixture(output: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Log weights, means (... x 2), log deviations (... x 2), correlations, and pen logits of an output."""
    parts = output[..., :6 * MIXTURES].unflatten(-1, (MIXTURES, 6))
    log_weight = F.log_softmax(parts[..., 0], dim=-1)
    correlation = 0.95 * torch.tanh(parts[..., 5])
    return log_weight, parts[..., 1:3], parts[..., 3:5].clamp(-6, 3), correlation, output[..., 6 * MIXTURES:]


def move_loss(output: Tensor, moves: Tensor, pens: Tensor) -> tuple[Tensor, Tensor]:
    """Negative log density of scaled moves (... x 2), and of pen states (...), each of the shape of `pens`."""
    log_weight, mean, log_deviation, correlation, pen = mixture(output)
    x, y = ((moves.unsqueeze(-2) - mean) * torch.exp(-log_deviation)).unbind(dim=-1)
    left = 1 - correlation ** 2
    power = -0.5 * (x ** 2 + y ** 2 - 2 * correlation * x * y) / left
    density = power - log_deviation.sum(dim=-1) - 0.5 * torch.log(left) - math.log(2 * math.pi)
    states = F.cross_entropy(pen.flatten(0, -2), pens.flatten(), reduction="none").view(pens.shape)
    return -torch.logsumexp(log_weight + density, dim=-1), states


def padded(drawings: list[np.ndarray], scale: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Inputs (batch x length x 5), moves, pen states and which entries count, of drawings of any length."""
    length = max(map(len, drawings))
    table = np.zeros((len(drawings), length, 3), dtype=np.float32)
    mask = torch.zeros(len(drawings), length)
    for row, drawing in enumerate(drawings):
        table[row, :len(drawing)] = drawing
        mask[row, :len(drawing)] = 1
    moves, pens = torch.from_numpy(table[..., :2]) / scale, torch.from_numpy(table[..., 2]).long()
    seen = torch.cat([moves, F.one_hot(pens, 3).float()], dim=-1)
    start = torch.zeros(len(drawings), 1, 5)
    start[..., 3] = 1  # the pen is lifted before the first move
    return torch.cat([start, seen[:, :-1]], dim=1), moves, pens, mask


@torch.no_grad()
def loss(model: Model, drawings: list[np.ndarray]) -> float:
    """Negative log likelihood of unscaled moves and pen states in nats per move."""
    inputs, moves, pens, mask = padded(drawings, model.scale)
    move, pen = move_loss(model(inputs)[0], moves, pens)
    return float(((move + pen) * mask).sum() / mask.sum()) + 2 * math.log(model.scale)


def train(data: dict[str, list[np.ndarray]], seed: int, hidden: int, steps: int) -> tuple[Model, dict]:
    """Train by Adam with a cosine rate; returns the model and its curve of losses."""
    scale = float(np.concatenate(data["train"])[:, :2].std())
    model = Model(hidden, scale, seed)
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE)
    generator = torch.Generator().manual_seed(seed)
    inputs, moves, pens, mask = padded(data["train"], scale)
    curve: dict = {"step": [], "train_loss": [], "validation_loss": []}
    recent: list[float] = []
    for step in range(1, steps + 1):
        optimiser.param_groups[0]["lr"] = RATE * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))
        batch = torch.randint(len(inputs), (BATCH,), generator=generator)
        move, pen = move_loss(model(inputs[batch])[0], moves[batch], pens[batch])
        weight = mask[batch] / mask[batch].sum()
        optimiser.zero_grad()
        ((move + PEN_WEIGHT * pen) * weight).sum().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        recent.append(float(((move + pen) * weight).sum()) + 2 * math.log(scale))
        if step % max(1, steps // 14) == 0:
            curve["step"].append(step)
            curve["train_loss"].append(float(np.mean(recent)))
            curve["validation_loss"].append(loss(model, data["validation"]))
            recent = []
    return model, curve


@torch.no_grad()
def draw(model: Model, count: int, seed: int) -> list[np.ndarray]:
    """New drawings, all at once, each until its pen stops or LONGEST moves."""
    generator = torch.Generator().manual_seed(seed)
    seen, state = torch.zeros(count, 1, 5), None
    seen[..., 3] = 1
    rows = []
    for _ in range(LONGEST):
        output, state = model(seen, state)
        log_weight, mean, log_deviation, correlation, pen = (part[:, 0] for part in mixture(output))
        chosen = torch.multinomial((log_weight / TEMPERATURE).softmax(dim=-1), 1, generator=generator)
        each = torch.arange(count)
        mean, deviation = mean[each, chosen[:, 0]], log_deviation[each, chosen[:, 0]].exp() * math.sqrt(TEMPERATURE)
        tilt = correlation[each, chosen[:, 0]]
        noise = torch.randn(count, 2, generator=generator)
        second = tilt * noise[:, 0] + (1 - tilt ** 2).sqrt() * noise[:, 1]
        move = mean + deviation * torch.stack([noise[:, 0], second], dim=1)
        pens = torch.multinomial((pen / TEMPERATURE).softmax(dim=-1), 1, generator=generator)[:, 0]
        rows.append(torch.cat([move * model.scale, pens[:, None].float()], dim=1))
        seen = torch.cat([move, F.one_hot(pens, 3).float()], dim=1)[:, None]
    drawings = []
    for drawing in torch.stack(rows, dim=1).double().numpy():
        ends = np.flatnonzero(drawing[:, 2] == evaluate.END)
        drawings.append(drawing[:ends[0] + 1] if len(ends) else drawing)
    return drawings


def run(dataset: str, seeds: int, drawings: int, hidden: int, steps: int, drawn: int) -> tuple:
    """Train and judge a model for every seed: (metrics, curves, new and real drawings of the first, seconds)."""
    start = time.perf_counter()
    measured, curves, kept = [], [], []
    other_kind = next(name for name in evaluate.DATASETS if name != dataset)
    for seed in range(seeds):
        data = evaluate.load(dataset, seed, drawings)
        other = evaluate.load(other_kind, seed, drawings)["test"]
        model, curve = train(data, seed, hidden, steps)
        losses = {split: loss(model, data[split]) for split in ("validation", "test")}
        new = draw(model, drawn, 1000 + seed)
        measured.append(evaluate.measure(losses, new, data, other))
        curves.append(curve)
        kept.append((new, data["test"]))
    return measured, curves, *kept[0], time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out_dir", default="run_0", help="folder for the results")
    args = parser.parse_args()

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    torch.set_flush_denormal(True)
    size = SIZES[os.environ.get("NULLIUS_SIZE", "lite")]
    info = evaluate.write(args.out_dir, {dataset: run(dataset, **size) for dataset in evaluate.DATASETS})
    for dataset in sorted(info):
        means = info[dataset]["means"]
        print(dataset, " ".join("%s=%g" % (name, means[name]) for name in sorted(means)))


if __name__ == "__main__":
    main()
