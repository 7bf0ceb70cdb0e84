"""Diffusion models of densities in the plane.

Noise is added to points in many small steps; a network learns to tell the noise in a
noisy point; new points are drawn by removing noise step by step. With two coordinates
everything can be seen and measured.

`waves`, `encode`, `noise_schedule` and `Denoiser` are the places where a method changes.
Densities, samples and metrics are in evaluate.py, which stays as it is.
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
from evaluate import DENSITIES

Tensor = torch.Tensor

# NULLIUS_SIZE picks one of these; the command line stays the same.
FOUR = ("rings", "grid", "spiral", "lissajous")
SIZES = {
    "smoke": {"densities": FOUR, "seeds": 3, "levels": 10, "steps": 4, "width": 32},
    "lite": {"densities": FOUR, "seeds": 3, "levels": 100, "steps": 2000, "width": 128},
    "full": {"densities": tuple(DENSITIES), "seeds": 5, "levels": 1000, "steps": 50000, "width": 256},
}

WAVES, SCALE = 64, 6.0  # plane waves that encode a point, and the deviation of their frequencies
FREQUENCIES = 5  # of the encoding of the noise level
BATCH, RATE = 256, 5e-3


def waves(seed: int) -> Tensor:
    """Random frequencies of plane waves (2 x WAVES); rings and lines in any direction are sums of such waves."""
    return SCALE * torch.randn(2, WAVES, generator=torch.Generator().manual_seed(seed))


def encode(value: Tensor, frequencies: Tensor) -> Tensor:
    """Sines and cosines (batch x 2 waves) of values (batch x dimensions) at frequencies (dimensions x waves)."""
    angles = value @ frequencies
    return torch.cat([torch.sin(angles), torch.cos(angles)], dim=1)


def noise_schedule(levels: int) -> Tensor:
    """Variance of the noise that each level adds; by the last, hardly anything is left of a point."""
    return torch.linspace(1e-4, 0.02, levels) * (1000 / levels)


class Denoiser(torch.nn.Module):
    """A residual network that tells the noise from a noisy point and its level."""

    def __init__(self, width: int, levels: int, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.levels = levels
        self.register_buffer("waves", waves(seed))
        self.register_buffer("level_waves", 0.5 * 2.0 ** torch.arange(FREQUENCIES)[None])
        self.first = torch.nn.Linear(2 + 2 * WAVES + 2 * FREQUENCIES, width)
        self.hidden = torch.nn.ModuleList(torch.nn.Linear(width, width) for _ in range(2))
        self.last = torch.nn.Linear(width, 2)

    def forward(self, points: Tensor, level: Tensor) -> Tensor:
        share = level.to(points.dtype)[:, None] / self.levels
        features = [points, encode(points, self.waves), encode(share, self.level_waves)]
        hidden = F.silu(self.first(torch.cat(features, dim=1)))
        for layer in self.hidden:
            hidden = hidden + F.silu(layer(hidden))
        return self.last(hidden)


class Diffusion:
    """A denoiser with its schedule: how noise comes in and goes out."""

    def __init__(self, model: Denoiser, levels: int, device: torch.device) -> None:
        self.model, self.device = model.to(device), device
        self.variance = noise_schedule(levels).clamp(max=0.999).to(device)
        self.kept = torch.cumprod(1 - self.variance, dim=0)  # share of a point's variance after each level

    def loss(self, points: Tensor, generator: torch.Generator) -> Tensor:
        """Mean squared error of the predicted noise at random levels; without noise guessed it is 1."""
        level = torch.randint(len(self.kept), (len(points),), generator=generator).to(self.device)
        noise = torch.randn(points.shape, generator=generator).to(self.device)
        kept = self.kept[level][:, None]
        return F.mse_loss(self.model(kept.sqrt() * points + (1 - kept).sqrt() * noise, level), noise)

    @torch.no_grad()
    def held_out_loss(self, points: Tensor) -> float:
        """The loss with eight fixed draws of level and noise for every point."""
        generator = torch.Generator().manual_seed(0)
        return float(np.mean([float(self.loss(points, generator)) for _ in range(8)]))

    @torch.no_grad()
    def draw(self, count: int, generator: torch.Generator) -> np.ndarray:
        """New points, from pure noise level by level (count x 2)."""
        points = torch.randn(count, 2, generator=generator).to(self.device)
        for level in reversed(range(len(self.kept))):
            variance, kept = self.variance[level], self.kept[level]
            noise = self.model(points, torch.full((count,), level, device=self.device))
            points = (points - variance / (1 - kept).sqrt() * noise) / (1 - variance).sqrt()
            if level > 0:
                points = points + variance.sqrt() * torch.randn(count, 2, generator=generator).to(self.device)
        return points.cpu().double().numpy()


def train(samples: dict[str, Tensor], seed: int, levels: int, steps: int, width: int) -> tuple[Diffusion, dict]:
    """Train by Adam with a cosine rate; returns the model and its curve of losses."""
    device = samples["train"].device
    diffusion = Diffusion(Denoiser(width, levels, seed), levels, device)
    optimiser = torch.optim.Adam(diffusion.model.parameters(), lr=RATE)
    generator = torch.Generator().manual_seed(seed)
    curve: dict = {"step": [], "train_loss": [], "validation_loss": []}
    recent: list[float] = []
    for step in range(1, steps + 1):
        optimiser.param_groups[0]["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * step / steps))
        batch = torch.randint(len(samples["train"]), (BATCH,), generator=generator)
        loss = diffusion.loss(samples["train"][batch.to(device)], generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        recent.append(loss.item())
        if step % max(1, steps // 15) == 0:
            curve["step"].append(step)
            curve["train_loss"].append(float(np.mean(recent)))
            curve["validation_loss"].append(diffusion.held_out_loss(samples["validation"]))
            recent = []
    return diffusion, curve


def run(density: str, seeds: int, levels: int, steps: int, width: int) -> tuple[list, list, list, float]:
    """Train and judge a model for every seed: (metrics, curves, drawn points, seconds)."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    start = time.perf_counter()
    measured, curves, drawings = [], [], []
    for seed in range(seeds):
        data = evaluate.load(density, seed)
        samples = {split: torch.tensor(points, dtype=torch.float32, device=device) for split, points in data.items()}
        diffusion, curve = train(samples, seed, levels, steps, width)
        losses = {split: diffusion.held_out_loss(samples[split]) for split in ("validation", "test")}
        drawn = diffusion.draw(len(data["test"]), torch.Generator().manual_seed(1000 + seed))
        measured.append(evaluate.measure(data, drawn, losses))
        curves.append(curve)
        drawings.append(drawn)
    return measured, curves, drawings, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out_dir", default="run_0", help="folder for the results")
    args = parser.parse_args()

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    torch.set_flush_denormal(True)
    size = dict(SIZES[os.environ.get("NULLIUS_SIZE", "lite")])
    densities = size.pop("densities")
    info = evaluate.write(args.out_dir, {density: run(density, **size) for density in densities})
    for dataset in sorted(info):
        means = info[dataset]["means"]
        print(dataset, " ".join("%s=%g" % (name, means[name]) for name in sorted(means)))


if __name__ == "__main__":
    main()
