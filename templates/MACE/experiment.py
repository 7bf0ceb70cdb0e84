"""Learn the forces in a small cluster of atoms, and let it move by them.

A force field gives every atom an energy from what lies around it; forces follow as
derivatives. The baseline sees distances only. The true potential has an angular
term, so the question is what features of several bodies gain, and what they cost.

`features` and `train` are the two places where a method changes. The true potential,
configurations and metrics are in evaluate.py, which stays as it is.
"""

from __future__ import annotations

import argparse
import os
import time

import torch

import evaluate
from evaluate import Tensor

# NULLIUS_SIZE picks one of these; the command line stays the same.
SIZES = {
    "smoke": {"counts": (5, 10, 20), "seeds": 3, "sampling": 20, "steps": 6, "dynamics": 10},
    "lite": {"counts": (10, 40, 160), "seeds": 3, "sampling": 400, "steps": 500, "dynamics": 400},
    "full": {"counts": (40, 160, 640), "seeds": 5, "sampling": 2000, "steps": 6000, "dynamics": 4000},
}

DATASETS = ("small", "medium", "large")  # training sets, by the number of configurations
RADIAL = 12  # Gaussians over the distance
BATCH, RATE, ENERGY_WEIGHT = 20, 1e-2, 0.01


def features(positions: Tensor) -> Tensor:
    """What the network sees of each atom: batch x atoms x features.

    Invariant to translation, rotation and the order of the other atoms.
    """
    _, distance = evaluate.neighbours(positions)
    centres = torch.linspace(0.7, evaluate.CUTOFF, RADIAL, dtype=positions.dtype)
    width = float(centres[1] - centres[0])
    bumps = torch.exp(-0.5 * ((distance[..., None] - centres) / width) ** 2)
    return (bumps * evaluate.fade(distance)[..., None]).sum(dim=2)


class AtomicEnergies(torch.nn.Module):
    """One small network for all atoms; the energy of a cluster is the sum over its atoms."""

    def __init__(self, training: Tensor, seed: int, hidden: int = 32) -> None:
        """Inputs are scaled to mean 0 and deviation 1 over the atoms of the training positions."""
        super().__init__()
        torch.manual_seed(seed)
        seen = features(training).flatten(0, 1)
        self.mean, self.deviation = seen.mean(dim=0), seen.std(dim=0) + 1e-3
        inputs = seen.shape[1]
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(inputs, hidden), torch.nn.SiLU(),
            torch.nn.Linear(hidden, hidden), torch.nn.SiLU(),
            torch.nn.Linear(hidden, 1),
        ).double()

    def forward(self, positions: Tensor) -> Tensor:
        return self.layers((features(positions) - self.mean) / self.deviation).sum(dim=(1, 2))


def train(data: evaluate.Split, seed: int, steps: int) -> AtomicEnergies:
    """Match forces, and with a small weight energies, by Adam with a cosine rate."""
    positions, energies, force = data
    model = AtomicEnergies(positions, seed)
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    generator = torch.Generator().manual_seed(seed)
    offset = energies.mean()
    for _ in range(steps):
        batch = torch.randperm(len(positions), generator=generator)[:BATCH]
        value, predicted = evaluate.forces(model, positions[batch], create_graph=True)
        loss = ((predicted - force[batch]) ** 2).mean()
        loss = loss + ENERGY_WEIGHT * ((value - (energies[batch] - offset)) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return model


def run(counts: tuple[int, ...], seeds: int, sampling: int, steps: int, dynamics: int) -> dict:
    """Train and judge a model for every seed and number of configurations.

    Returns {dataset: (metrics, what the figures show, seconds)}, lists with one entry a seed.
    """
    results: dict = {dataset: ([], [], 0.0) for dataset in DATASETS}
    for seed in range(seeds):
        splits = evaluate.load(seed, max(counts), sampling)
        for dataset, count in zip(DATASETS, counts):
            start = time.perf_counter()
            training = tuple(part[:count] for part in splits["train"])
            metrics, shown = evaluate.measure(train(training, seed, steps), splits, seed, dynamics)
            measured, curves, seconds = results[dataset]
            results[dataset] = (measured + [metrics], curves + [shown], seconds + time.perf_counter() - start)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out_dir", default="run_0", help="folder for the results")
    args = parser.parse_args()

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    torch.set_flush_denormal(True)
    size = SIZES[os.environ.get("NULLIUS_SIZE", "lite")]
    info = evaluate.write(args.out_dir, run(**size), dict(zip(DATASETS, size["counts"])))
    for dataset in sorted(info):
        means = info[dataset]["means"]
        print(dataset, " ".join("%s=%g" % (name, means[name]) for name in sorted(means)))


if __name__ == "__main__":
    main()
