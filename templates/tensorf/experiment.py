"""Fit a factorised radiance field to images of a scene, and look from new sides.

Density and colour of a scene are grids too large to learn cell by cell. Each is a
sum of products of a plane and a line, one for every axis and rank. How many ranks,
where, and what keeps them smooth is the question.

`Field` and `penalty` are the two places where a method changes. Scenes, views and
metrics are in evaluate.py, which stays as it is.
"""

from __future__ import annotations

import argparse
import os
import time

import torch
import torch.nn.functional as F

import evaluate
from evaluate import Tensor

# NULLIUS_SIZE picks one of these; the command line stays the same.
SIZES = {
    "smoke": {"seeds": 3, "views": 6, "pixels": 12, "resolution": 10, "samples": 16, "steps": 10, "rays": 128},
    "lite": {"seeds": 3, "views": 20, "pixels": 32, "resolution": 32, "samples": 32, "steps": 200, "rays": 384},
    "full": {"seeds": 3, "views": 60, "pixels": 128, "resolution": 128, "samples": 160, "steps": 5000, "rays": 4096},
}

DENSITY_RANK, COLOUR_RANK = 4, 8  # for each of the three axes
RATE, LAST_RATE = 0.05, 0.005  # of Adam, falling geometrically
SHIFT = -4.0  # before the softplus, so that space starts nearly empty
PLANES = ((0, 1), (0, 2), (1, 2))  # the axes of each plane; the third axis has the line
LINES = (2, 1, 0)


class Field(torch.nn.Module):
    """Vector-matrix factors of density and colour on a grid over the cube."""

    def __init__(self, resolution: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)

        def grid(rank: int, *shape: int) -> torch.nn.Parameter:
            return torch.nn.Parameter(0.3 * torch.randn(3, rank, *shape, generator=generator))

        self.density_planes = grid(DENSITY_RANK, resolution, resolution)
        self.density_lines = grid(DENSITY_RANK, resolution, 1)
        self.colour_planes = grid(COLOUR_RANK, resolution, resolution)
        self.colour_lines = grid(COLOUR_RANK, resolution, 1)
        self.basis = torch.nn.Parameter(0.3 * torch.randn(3 * COLOUR_RANK, 3, generator=generator))

    def products(self, planes: Tensor, lines: Tensor, points: Tensor) -> Tensor:
        """Each plane's value times its line's at the points: points x (3 x rank)."""
        flat = torch.stack([points[:, list(axes)] for axes in PLANES])[:, :, None]  # 3 x points x 1 x 2
        along = torch.stack([points[:, axis] for axis in LINES])[:, :, None]
        along = torch.stack([torch.zeros_like(along), along], dim=-1)
        plane = F.grid_sample(planes, flat, align_corners=True)
        line = F.grid_sample(lines, along, align_corners=True)
        return (plane * line)[..., 0].flatten(0, 1).T

    def forward(self, points: Tensor) -> tuple[Tensor, Tensor]:
        inside = (points.abs() < 1).all(dim=1)
        density = F.softplus(10 * self.products(self.density_planes, self.density_lines, points).sum(dim=1) + SHIFT)
        colour = torch.sigmoid(self.products(self.colour_planes, self.colour_lines, points) @ self.basis)
        return density * inside, colour


def penalty(field: Field) -> Tensor:
    """What is added to the image error: a small price on the size of density factors."""
    return 1e-4 * (field.density_planes.abs().mean() + field.density_lines.abs().mean())


def fit(data: dict, seed: int, resolution: int, samples: int, steps: int, rays: int) -> tuple[Field, dict]:
    """Fit a field to the training views; returns it and the curve of its errors."""
    origins, directions = (torch.cat(parts) for parts in zip(*(view[0] for view in data["train"])))
    colours = torch.cat([truth for _, truth in data["train"]])
    field = Field(resolution, seed)
    optimiser = torch.optim.Adam(field.parameters(), lr=RATE, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimiser, (LAST_RATE / RATE) ** (1 / steps))
    generator = torch.Generator().manual_seed(1000 + seed)
    curve: dict = {"step": [], "train_psnr": [], "validation_psnr": []}
    recent: list[float] = []
    for step in range(1, steps + 1):
        batch = torch.randint(len(colours), (rays,), generator=generator)
        image = evaluate.render(field, (origins[batch], directions[batch]), samples, generator)
        error = ((image - colours[batch]) ** 2).mean()
        optimiser.zero_grad()
        (error + penalty(field)).backward()
        optimiser.step()
        schedule.step()
        recent.append(float(error))
        if step % max(1, steps // 10) == 0:
            curve["step"].append(step)
            curve["train_psnr"].append(evaluate.psnr(torch.tensor(recent).sqrt(), torch.zeros(len(recent))))
            curve["validation_psnr"].append(validation_psnr(field, data, samples))
            recent = []
    return field, curve


@torch.no_grad()
def validation_psnr(field: Field, data: dict, samples: int) -> float:
    """Mean PSNR of the validation views, as evaluate.py measures it at the end."""
    views = [evaluate.psnr(evaluate.render(field, rays, samples).clamp(0, 1), truth) for rays, truth in data["validation"]]
    return sum(views) / len(views)


def run(scene: str, seeds: int, views: int, pixels: int, samples: int, **fitting: int) -> tuple[list, list, list, float]:
    """Fit and judge a field for every seed: (metrics, shown, curves, seconds)."""
    start = time.perf_counter()
    measured, shown, curves = [], [], []
    for seed in range(seeds):
        data = evaluate.load(scene, seed, views, pixels)
        field, curve = fit(data, seed, samples=samples, **fitting)
        metrics, images = evaluate.measure(field, data, samples)
        measured.append(metrics)
        shown.append(images)
        curves.append(curve)
    return measured, shown, curves, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out_dir", default="run_0", help="folder for the results")
    args = parser.parse_args()

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    torch.set_flush_denormal(True)
    size = SIZES[os.environ.get("NULLIUS_SIZE", "lite")]
    info = evaluate.write(args.out_dir, {scene: run(scene, **size) for scene in evaluate.SCENES})
    for dataset in sorted(info):
        means = info[dataset]["means"]
        print(dataset, " ".join("%s=%g" % (name, means[name]) for name in sorted(means)))


if __name__ == "__main__":
    main()
