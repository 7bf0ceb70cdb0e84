"""Tiny convolutional networks, and which of their blocks pay.

A block widens its input, filters every channel by itself, may weigh channels by what
the whole image shows (squeeze and excite), and narrows again. At this size each part
has to earn its parameters.

`BLOCKS`, `Block`, `activation` and `train` are the places where a method changes.
Images and metrics are in evaluate.py, which stays as it is.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from typing import NamedTuple

import torch
import torch.nn.functional as F

import evaluate
from evaluate import Split, Tensor

# NULLIUS_SIZE picks one of these; the command line stays the same.
SIZES = {
    "smoke": {"seeds": 3, "epochs": {"digits": 1, "shapes": 1}, "images": 60},
    "lite": {"seeds": 3, "epochs": {"digits": 12, "shapes": 8}, "images": 2_000},
    "full": {"seeds": 10, "epochs": {"digits": 60, "shapes": 60}, "images": 2_000},
}


class Shape(NamedTuple):
    """What a block is made of."""

    kernel: int  # side of the filter
    wide: int  # channels inside
    out: int  # channels it hands on
    stride: int
    squeeze: bool  # weigh channels


STEM = 16  # channels of the first convolution
BLOCKS = (Shape(3, 32, 16, 1, False), Shape(3, 48, 24, 2, True), Shape(3, 72, 24, 1, True), Shape(3, 72, 32, 2, True))
SQUEEZE_RATIO = 4  # channels inside, to one of the squeeze
HEAD = 64  # units before the read-out
BATCH, RATE, DECAY, SMOOTHING = 50, 4e-3, 1e-2, 0.05


def activation(x: Tensor) -> Tensor:
    """The non-linearity of blocks: hard-swish, x times a clipped line in place of a sigmoid."""
    return F.hardswish(x)


class SqueezeExcite(torch.nn.Module):
    """Weigh every channel by what the mean over the image shows."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // SQUEEZE_RATIO)
        self.down, self.up = torch.nn.Linear(channels, inner), torch.nn.Linear(inner, channels)

    def forward(self, x: Tensor) -> Tensor:
        weight = F.hardsigmoid(self.up(F.relu(self.down(x.mean(dim=(2, 3))))))
        return x * weight[:, :, None, None]


class Block(torch.nn.Module):
    """An inverted residual: widen, filter each channel, weigh, narrow."""

    def __init__(self, channels: int, shape: Shape) -> None:
        super().__init__()
        self.widen = torch.nn.Conv2d(channels, shape.wide, 1, bias=False)
        self.filter = torch.nn.Conv2d(shape.wide, shape.wide, shape.kernel, shape.stride, shape.kernel // 2,
                                      groups=shape.wide, bias=False)
        self.narrow = torch.nn.Conv2d(shape.wide, shape.out, 1, bias=False)
        self.norms = torch.nn.ModuleList(torch.nn.BatchNorm2d(c) for c in (shape.wide, shape.wide, shape.out))
        self.weigh = SqueezeExcite(shape.wide) if shape.squeeze else torch.nn.Identity()
        self.residual = shape.stride == 1 and channels == shape.out

    def forward(self, x: Tensor) -> Tensor:
        inner = activation(self.norms[0](self.widen(x)))
        inner = self.weigh(activation(self.norms[1](self.filter(inner))))
        inner = self.norms[2](self.narrow(inner))
        return x + inner if self.residual else inner


class Network(torch.nn.Module):
    """A convolution, blocks, the mean over the image, and two layers."""

    def __init__(self, channels: int, classes: int, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.stem = torch.nn.Conv2d(channels, STEM, 3, padding=1, bias=False)
        self.norm = torch.nn.BatchNorm2d(STEM)
        inputs = (STEM,) + tuple(shape.out for shape in BLOCKS)
        self.blocks = torch.nn.Sequential(*(Block(c, shape) for c, shape in zip(inputs, BLOCKS)))
        self.hidden, self.read_out = torch.nn.Linear(inputs[-1], HEAD), torch.nn.Linear(HEAD, classes)

    def forward(self, images: Tensor) -> Tensor:
        x = self.blocks(activation(self.norm(self.stem(images))))
        return self.read_out(activation(self.hidden(x.mean(dim=(2, 3)))))


def shifted(images: Tensor, generator: torch.Generator) -> Tensor:
    """Move the images of a batch together by up to one pixel each way."""
    right, down = (torch.randint(-1, 2, (2,), generator=generator)).tolist()
    return torch.roll(images, (down, right), dims=(2, 3))


def train(splits: dict[str, Split], classes: int, seed: int, epochs: int) -> tuple[Network, dict]:
    """Train by AdamW with a cosine rate; returns the network and its curve."""
    images, labels = splits["train"]
    network = Network(images.shape[1], classes, seed).to(images.device)
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    generator = torch.Generator().manual_seed(seed)
    steps, step = epochs * -(-len(labels) // BATCH), 0
    curve: dict = {"epoch": [], "train_loss": [], "validation_accuracy": [], "validation_log_loss": []}
    for epoch in range(1, epochs + 1):
        network.train()
        total = 0.0
        for batch in torch.randperm(len(labels), generator=generator).split(BATCH):
            optimiser.param_groups[0]["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * step / steps))
            logits = network(shifted(images[batch], generator))
            loss = F.cross_entropy(logits, labels[batch], label_smoothing=SMOOTHING)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            step, total = step + 1, total + float(loss) * len(batch)
        accuracy, log_loss = evaluate.judge(network, splits["validation"])
        for name, value in zip(curve, (epoch, total / len(labels), accuracy, log_loss)):
            curve[name].append(value)
    return network, curve


def run(dataset: str, seeds: int, epochs: dict[str, int], images: int) -> tuple[list, list, float]:
    """Train and judge a network for every seed: (metrics, curves, seconds)."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    start = time.perf_counter()
    measured, curves = [], []
    for seed in range(seeds):
        splits = {
            split: (pictures.to(device), labels.to(device))
            for split, (pictures, labels) in evaluate.load(dataset, seed, images).items()
        }
        network, curve = train(splits, evaluate.CLASSES[dataset], seed, epochs[dataset])
        measured.append(evaluate.measure(network, splits))
        curves.append(curve)
    return measured, curves, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out_dir", default="run_0", help="folder for the results")
    args = parser.parse_args()

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    torch.set_flush_denormal(True)
    torch.backends.cudnn.deterministic = True
    size = SIZES[os.environ.get("NULLIUS_SIZE", "lite")]
    info = evaluate.write(args.out_dir, {dataset: run(dataset, **size) for dataset in evaluate.DATASETS})
    for dataset in sorted(info):
        means = info[dataset]["means"]
        print(dataset, " ".join("%s=%g" % (name, means[name]) for name in sorted(means)))


if __name__ == "__main__":
    main()
