"""Scenes, views, metrics and results of the radiance-field experiment.

This file is protected: what is looked at, from where, and how an image is judged
stays the same in every run, so that runs can be compared. `experiment.py` decides
how a scene is represented and fitted.

Scenes lie in the cube from -1 to 1, cameras on a sphere around it.
"""

from __future__ import annotations

import json
import math
import os
from typing import Callable

import numpy as np
import torch

Tensor = torch.Tensor
Field = Callable[[Tensor], "tuple[Tensor, Tensor]"]  # points x 3 to density and colour (points x 3)
Rays = tuple[Tensor, Tensor]  # origins and unit directions, rays x 3

DISTANCE, ANGLE = 3.0, 40.0  # of the camera from the middle, and its field of view in degrees
NEAR, FAR = 1.7, 4.3
SOLID, EDGE = 40.0, 0.03  # density inside a sphere, and how softly it ends
FINE = 128  # samples on a ray of a true image

METRICS = ("psnr", "ssim", "validation_psnr", "train_psnr")
VIEWS = {"validation": 4, "test": 6}

# Spheres: centre, radius, colour.
SCENES = {
    "few": [
        ((-0.35, 0.0, 0.1), 0.42, (0.85, 0.25, 0.2)),
        ((0.4, 0.25, -0.15), 0.33, (0.2, 0.45, 0.85)),
        ((0.1, -0.45, 0.3), 0.25, (0.95, 0.8, 0.25)),
    ],
    "many": [
        ((0.55 * math.cos(2.4 * k) * math.sqrt(1 - (k / 5.5 - 1) ** 2),
          0.55 * math.sin(2.4 * k) * math.sqrt(1 - (k / 5.5 - 1) ** 2), 0.55 * (k / 5.5 - 1)),
         0.14 + 0.02 * (k % 3), (0.5 + 0.45 * math.cos(k), 0.5 + 0.45 * math.cos(k + 2), 0.5 + 0.45 * math.cos(k + 4)))
        for k in range(12)
    ],
}


def true_field(scene: str) -> Field:
    """Density and colour of a scene; where spheres overlap their colours mix."""
    centres, radii, colours = (torch.tensor(part, dtype=torch.float32) for part in zip(*SCENES[scene]))

    def field(points: Tensor) -> tuple[Tensor, Tensor]:
        depth = radii - (points[:, None] - centres).norm(dim=-1)
        inside = torch.sigmoid(depth / EDGE)
        share = inside / inside.sum(dim=1, keepdim=True).clamp(min=1e-6)
        return SOLID * inside.amax(dim=1), share @ colours

    return field


def render(field: Field, rays: Rays, samples: int, generator: torch.Generator | None = None) -> Tensor:
    """Colours of rays (rays x 3) on white, by quadrature; with a generator the samples are jittered."""
    origins, directions = rays
    count, step = len(origins), (FAR - NEAR) / samples
    offset = torch.full((count, samples), 0.5)
    if generator is not None:
        offset = torch.rand(count, samples, generator=generator)
    distance = NEAR + step * (torch.arange(samples) + offset)
    points = origins[:, None] + directions[:, None] * distance[..., None]
    density, colour = field(points.reshape(-1, 3))
    absorbed = 1 - torch.exp(-density.reshape(count, samples) * step)
    left = torch.cumprod(1 - absorbed + 1e-10, dim=1)
    weight = absorbed * torch.cat([torch.ones(count, 1), left[:, :-1]], dim=1)
    return (weight[..., None] * colour.reshape(count, samples, 3)).sum(dim=1) + (1 - weight.sum(dim=1, keepdim=True))


def camera(position: Tensor, pixels: int) -> Rays:
    """Rays of a square image from a position, looking at the middle."""
    forward = -position / position.norm()
    right = torch.linalg.cross(forward, torch.tensor([0.0, 0.0, 1.0]))
    right = right / right.norm()
    up = torch.linalg.cross(right, forward)
    reach = math.tan(math.radians(ANGLE / 2))
    at = reach * (2 * (torch.arange(pixels) + 0.5) / pixels - 1)
    directions = forward + at[None, :, None] * right - at[:, None, None] * up
    directions = (directions / directions.norm(dim=-1, keepdim=True)).reshape(-1, 3)
    return position.expand_as(directions), directions


def view(scene: str, stream: np.random.RandomState, pixels: int) -> tuple[Rays, Tensor]:
    """A true image (pixels² x 3) from a random position, at most 60 degrees above or below the middle."""
    height, turn = stream.uniform(-0.866, 0.866), stream.uniform(0, 2 * math.pi)
    flat = math.sqrt(1 - height * height)
    position = DISTANCE * torch.tensor([flat * math.cos(turn), flat * math.sin(turn), height], dtype=torch.float32)
    rays = camera(position, pixels)
    return rays, render(true_field(scene), rays, FINE)


def load(scene: str, seed: int, views: int, pixels: int) -> dict[str, list[tuple[Rays, Tensor]]]:
    """Splits `train`, `validation` and `test`: lists of (rays, colours). All views change with the seed."""
    counts = {"train": views, **VIEWS}
    return {
        split: [view(scene, np.random.RandomState([seed, index, k]), pixels) for k in range(count)]
        for index, (split, count) in enumerate(counts.items())
    }


def psnr(image: Tensor, truth: Tensor) -> float:
    """Peak signal-to-noise ratio in dB, for values from 0 to 1."""
    return -10 * math.log10(max(float(((image - truth) ** 2).mean()), 1e-10))


def ssim(image: Tensor, truth: Tensor) -> float:
    """Mean structural similarity of two square images (pixels² x 3), Gaussian windows of 7 pixels."""
    side = math.isqrt(len(image))
    bell = torch.exp(-0.5 * ((torch.arange(7) - 3) / 1.5) ** 2)
    window = (bell[:, None] * bell / bell.sum() ** 2)[None, None]
    x, y = (part.T.reshape(3, 1, side, side) for part in (image, truth))
    mean_x, mean_y, xx, yy, xy = (torch.nn.functional.conv2d(p, window) for p in (x, y, x * x, y * y, x * y))
    xx, yy, xy = xx - mean_x ** 2, yy - mean_y ** 2, xy - mean_x * mean_y
    c1, c2 = 0.01 ** 2, 0.03 ** 2
    value = (2 * mean_x * mean_y + c1) * (2 * xy + c2) / ((mean_x ** 2 + mean_y ** 2 + c1) * (xx + yy + c2))
    return float(value.mean())


@torch.no_grad()
def measure(field: Field, data: dict[str, list[tuple[Rays, Tensor]]], samples: int) -> tuple[dict, dict]:
    """Metrics of one fitted field, and the first test view beside the truth."""
    images = {
        split: [(render(field, rays, samples).clamp(0, 1), truth) for rays, truth in views]
        for split, views in data.items()
    }
    metrics = {
        "psnr": float(np.mean([psnr(*pair) for pair in images["test"]])),
        "ssim": float(np.mean([ssim(*pair) for pair in images["test"]])),
        "validation_psnr": float(np.mean([psnr(*pair) for pair in images["validation"]])),
        "train_psnr": float(np.mean([psnr(*pair) for pair in images["train"]])),
    }
    image, truth = images["test"][0]
    return metrics, {"image": image.flatten().tolist(), "truth": truth.flatten().tolist()}


def significant(value: float) -> float:
    """Six significant digits: more would differ between machines."""
    return float("%.6g" % value)


def write(out_dir: str, results: dict[str, tuple[list[dict], list[dict], list[dict], float]]) -> dict:
    """Write final_info.json and curves.json.

    results: {scene: (metrics, shown, curves, seconds)}, lists with one entry a seed.
    Images are kept of the first seed only, with three decimals.
    """
    info: dict = {}
    lines: dict = {}
    for scene, (measured, shown, curves, seconds) in results.items():
        lists = {m: np.array([one[m] for one in measured]) for m in METRICS}
        info[scene] = {
            "means": {m: significant(v.mean()) for m, v in lists.items()},
            "stderrs": {m: significant(v.std(ddof=1) / np.sqrt(len(v))) for m, v in lists.items()},
            "final_info_dict": {m: [significant(x) for x in v] for m, v in lists.items()},
            "timing": {"seconds": significant(seconds)},
        }
        lines[scene] = {
            "curves": [{name: [significant(x) for x in values] for name, values in one.items()} for one in curves],
            "shown": {name: [round(x, 3) for x in values] for name, values in shown[0].items()},
        }
    os.makedirs(out_dir, exist_ok=True)
    for name, content in (("final_info.json", info), ("curves.json", lines)):
        with open(os.path.join(out_dir, name), "w", encoding="utf-8") as out:
            json.dump(content, out, indent=1 if name == "final_info.json" else None, sort_keys=True)
            out.write("\n")
    return info
