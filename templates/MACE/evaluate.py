"""Reference potential, configurations, metrics and results of the force-field experiment.

This file is protected: which atoms are learnt and how a force field is judged stays
the same in every run, so that runs can be compared. `experiment.py` decides what a
model sees of a configuration and how it is trained.

Lengths are in units of the pair distance at rest, energies in units of the depth of
the pair well, masses are 1.
"""

from __future__ import annotations

import json
import os
from typing import Callable

import numpy as np
import torch

Tensor = torch.Tensor
Split = tuple[Tensor, Tensor, Tensor]  # positions, energies, forces
Energy = Callable[[Tensor], Tensor]  # positions (batch x atoms x 3) to energies (batch)

ATOMS = 7
CUTOFF = 2.2  # pairs further apart do not interact
STIFFNESS = 4.0  # of the pair well
ANGULAR, COSINE = 0.6, 0.1  # strength and preferred cosine of the three-body term
TEMPERATURE, STEP = 0.1, 0.02  # of the sampling, and of all time steps

METRICS = ("force_rmse", "energy_rmse", "stable_share", "force_rms", "validation_force_rmse")


def fade(distance: Tensor) -> Tensor:
    """1 at no distance, 0 with vanishing slope from CUTOFF on."""
    inside = distance < CUTOFF
    return torch.where(inside, 0.5 * (1 + torch.cos(np.pi * distance / CUTOFF)), torch.zeros_like(distance))


def neighbours(positions: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors to and distances from the other atoms: batch x atoms x others (x 3)."""
    count = positions.shape[1]
    other = torch.tensor([[j for j in range(count) if j != i] for i in range(count)])
    vector = positions[:, other] - positions[:, :, None]
    return vector, vector.norm(dim=-1)


def reference_energy(positions: Tensor) -> Tensor:
    """Morse pairs, and a term that prefers one angle between the bonds of an atom."""
    vector, distance = neighbours(positions)
    well = (1 - torch.exp(-STIFFNESS * (distance - 1))) ** 2 - 1
    pairs = 0.5 * (well * fade(distance)).sum(dim=(1, 2))  # each pair is met twice
    unit, weight = vector / distance[..., None], fade(distance)
    cosine = unit @ unit.transpose(-1, -2)
    bend = (cosine - COSINE) ** 2 * weight[..., :, None] * weight[..., None, :]
    own = torch.diagonal(bend, dim1=-2, dim2=-1).sum(dim=(1, 2))
    return pairs + ANGULAR * 0.5 * (bend.sum(dim=(1, 2, 3)) - own)


def forces(energy: Energy, positions: Tensor, create_graph: bool = False) -> tuple[Tensor, Tensor]:
    """Energies and the forces that follow from them."""
    positions = positions.detach().requires_grad_(True)
    value = energy(positions)
    (gradient,) = torch.autograd.grad(value.sum(), positions, create_graph=create_graph)
    return value, -gradient


def sample(seed: int, count: int, steps: int) -> Tensor:
    """Ends of as many independent Langevin trajectories of the given length (count x atoms x 3)."""
    generator = torch.Generator().manual_seed(seed)
    # A pentagonal bipyramid with bonds near 1, shaken: compact, and not quite a minimum.
    angle = 2 * np.pi * torch.arange(5, dtype=torch.float64) / 5
    ring = torch.stack([0.85 * torch.cos(angle), 0.85 * torch.sin(angle), torch.zeros(5, dtype=torch.float64)], dim=1)
    start = torch.cat([ring, torch.tensor([[0, 0, 0.53], [0, 0, -0.53]], dtype=torch.float64)])
    positions = start + 0.05 * torch.randn(count, ATOMS, 3, generator=generator, dtype=torch.float64)
    velocities = torch.zeros_like(positions)
    keep = float(np.exp(-1.0 * STEP))  # friction 1
    for _ in range(steps):
        velocities = velocities + STEP * forces(reference_energy, positions)[1].clamp(-30, 30)
        noise = torch.randn(velocities.shape, generator=generator, dtype=torch.float64)
        velocities = keep * velocities + (TEMPERATURE * (1 - keep * keep)) ** 0.5 * noise
        positions = positions + STEP * velocities
    return positions.detach()


def load(seed: int, train: int, steps: int = 400) -> dict[str, Split]:
    """Splits `train`, `validation` and `test`: positions, energies, forces.

    A smaller training set is the beginning of a larger one of the same seed.
    """
    counts = {"train": train, "validation": 60, "test": 200}
    positions = sample(seed + 1, sum(counts.values()), steps)
    energy, force = forces(reference_energy, positions)
    whole = (positions, energy.detach(), force.detach())
    held_out = counts["validation"] + counts["test"]
    return {
        "test": tuple(part[:200] for part in whole),
        "validation": tuple(part[200:held_out] for part in whole),
        "train": tuple(part[held_out:] for part in whole),
    }


def dynamics(energy: Energy, start: Tensor, seed: int, steps: int) -> tuple[Tensor, Tensor]:
    """Follow trajectories without friction on the given energy.

    Returns, both steps x batch, which ones are sound up to then (no pair nearer than
    0.6, no atom lost, total energy within 0.5 of its start) and the drift of the
    total energy.
    """
    generator = torch.Generator().manual_seed(seed)
    velocities = TEMPERATURE ** 0.5 * torch.randn(start.shape, generator=generator, dtype=torch.float64)
    positions, (value, force) = start, forces(energy, start)
    first = value.detach() + 0.5 * (velocities ** 2).sum(dim=(1, 2))
    sound, drift = [torch.ones(len(start), dtype=torch.bool)], []
    for _ in range(steps):
        velocities = velocities + 0.5 * STEP * force
        positions = positions + STEP * velocities
        value, force = forces(energy, positions)
        force = force.nan_to_num().clamp(-100, 100)
        velocities = velocities + 0.5 * STEP * force
        total = value.detach() + 0.5 * (velocities ** 2).sum(dim=(1, 2))
        drift.append(total - first)
        nearest = neighbours(positions)[1].amin(dim=2)  # batch x atoms
        whole = (nearest.amin(dim=1) > 0.6) & (nearest.amax(dim=1) < CUTOFF) & (drift[-1].abs() < 0.5)
        sound.append(sound[-1] & whole)
    return torch.stack(sound[1:]), torch.stack(drift)


def measure(energy: Energy, splits: dict[str, Split], seed: int, steps: int) -> tuple[dict, dict]:
    """Metrics of one trained model, on the test split unless named otherwise, and what the figures show of it."""
    positions, true_energy, true_force = splits["test"]
    others, _, other_force = splits["validation"]
    value, force = forces(energy, positions)
    value = value.detach()
    shift = (value - true_energy).mean()  # an energy is known up to a constant
    sound, drift = dynamics(energy, positions[:40], seed, steps)
    metrics = {
        "force_rmse": float(((force - true_force) ** 2).mean().sqrt()),
        "energy_rmse": float(((value - shift - true_energy) ** 2).mean().sqrt()),
        "stable_share": float(sound[-1].double().mean()),
        "force_rms": float((true_force ** 2).mean().sqrt()),
        "validation_force_rmse": float(((forces(energy, others)[1] - other_force) ** 2).mean().sqrt()),
    }
    every = max(1, steps // 40)
    shown = {
        "true": true_force.flatten()[:600].tolist(),
        "predicted": force.flatten()[:600].tolist(),
        "time": (STEP * (torch.arange(steps)[::every] + 1)).tolist(),
        "drift": drift.nan_to_num(9).abs().clamp(max=9).median(dim=1).values[::every].tolist(),
        "sound": sound.double().mean(dim=1)[::every].tolist(),
    }
    return metrics, shown


def significant(value: float) -> float:
    """Six significant digits: more would differ between machines."""
    return float("%.6g" % value)


def write(out_dir: str, results: dict[str, tuple[list[dict], list[dict], float]], counts: dict[str, int]) -> dict:
    """Write final_info.json and curves.json.

    results: {dataset: (metrics, shown, seconds)}, lists with one entry a seed;
    counts: {dataset: number of training configurations}.
    """
    info: dict = {}
    lines: dict = {"counts": counts, "datasets": {}}
    for dataset, (measured, shown, seconds) in results.items():
        lists = {m: np.array([one[m] for one in measured]) for m in METRICS}
        info[dataset] = {
            "means": {m: significant(v.mean()) for m, v in lists.items()},
            "stderrs": {m: significant(v.std(ddof=1) / np.sqrt(len(v))) for m, v in lists.items()},
            "final_info_dict": {m: [significant(x) for x in v] for m, v in lists.items()},
            "timing": {"seconds": significant(seconds)},
        }
        lines["datasets"][dataset] = [
            {name: [significant(x) for x in values] for name, values in one.items()} for one in shown
        ]
    os.makedirs(out_dir, exist_ok=True)
    for name, content in (("final_info.json", info), ("curves.json", lines)):
        with open(os.path.join(out_dir, name), "w", encoding="utf-8") as out:
            json.dump(content, out, indent=1 if name == "final_info.json" else None, sort_keys=True)
            out.write("\n")
    return info
