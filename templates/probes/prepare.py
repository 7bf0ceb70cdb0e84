"""Train the transformers that experiment.py probes, and store them in data/models.npz.

Three models with different first weights and texts learn to continue nested brackets.
The stored file comes with the template, so this is only needed to make it anew.
"""

from __future__ import annotations

import argparse
import math
import os

import numpy as np
import torch
import torch.nn.functional as F

import evaluate
import model as models

SEEDS, STEPS, BATCH, RATE = 3, 700, 32, 3e-3
TEXTS = 8000  # for training, new for every model


def train(seed: int, steps: int) -> models.Transformer:
    """Train by AdamW with a warm-up and a cosine rate on the next character."""
    torch.manual_seed(seed)
    network = models.Transformer()
    for weight in network.parameters():
        if weight.dim() == 2:
            torch.nn.init.normal_(weight, std=0.05)
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.05, betas=(0.9, 0.98))
    characters = evaluate.texts(seed, 0, TEXTS)[0]
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = RATE * min((step + 1) / 100, 0.5 * (1 + math.cos(math.pi * step / steps)))
        batch = characters[torch.randint(TEXTS, (BATCH,), generator=generator)]
        logits, _ = network(batch[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        if (step + 1) % 250 == 0:
            print("model %d step %d loss %.4f" % (seed, step + 1, float(loss)), flush=True)
    return network.eval()


@torch.no_grad()
def accuracy(network: models.Transformer, seed: int) -> float:
    characters, _, tops = evaluate.texts(seed, 1, 200)
    return evaluate.model_accuracy(network(characters)[0], tops)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=STEPS, help="of training, for each model")
    args = parser.parse_args()

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    torch.set_flush_denormal(True)
    stored = {}
    for seed in range(SEEDS):
        network = train(seed, args.steps)
        print("model %d closes rightly at %.4f of places" % (seed, accuracy(network, seed)), flush=True)
        for name, weight in network.named_parameters():
            stored["%d/%s" % (seed, name)] = weight.detach().numpy().astype(np.float16)
    os.makedirs(os.path.dirname(models.WEIGHTS), exist_ok=True)
    np.savez_compressed(models.WEIGHTS, **stored)


if __name__ == "__main__":
    main()
