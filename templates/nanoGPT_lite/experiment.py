"""A small transformer that reads text character by character.

It learns to tell the next character from those before. For the generated text the
loss of a perfect model is known, so the distance to it can be measured; for prose it
is not.

`GPT`, `learning_rate` and `decayed` are the places where a method changes; sizes are
in settings.py. Texts and metrics are in evaluate.py, which stays as it is.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import time

import numpy as np
import torch
import torch.nn.functional as F

import evaluate
from settings import SIZES, Size

Tensor = torch.Tensor


class Block(torch.nn.Module):
    """Causal self-attention and a feed-forward layer, each on a normalised residual stream."""

    def __init__(self, width: int, heads: int, context: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_layer = torch.nn.LayerNorm(width), torch.nn.LayerNorm(width)
        self.query_key_value = torch.nn.Linear(width, 3 * width)
        self.mix = torch.nn.Linear(width, width)
        self.widen, self.narrow = torch.nn.Linear(width, 4 * width), torch.nn.Linear(4 * width, width)
        self.register_buffer("future", torch.ones(context, context).triu(1).bool(), persistent=False)

    def attend(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        parts = self.query_key_value(x).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        if hasattr(F, "scaled_dot_product_attention") and x.is_cuda:
            mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        else:
            score = query @ key.transpose(-1, -2) / math.sqrt(width // self.heads)
            mixed = score.masked_fill(self.future[:length, :length], -math.inf).softmax(dim=-1) @ value
        return self.mix(mixed.transpose(1, 2).reshape(batch, length, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attend(self.before_attention(x))
        return x + self.narrow(F.gelu(self.widen(self.before_layer(x))))


class GPT(torch.nn.Module):
    """Embeddings of characters and places, blocks, and a read-out of its own weights."""

    def __init__(self, characters: int, size: Size, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.characters = torch.nn.Embedding(characters, size.width)
        self.places = torch.nn.Embedding(size.context, size.width)
        self.blocks = torch.nn.ModuleList(Block(size.width, size.heads, size.context) for _ in range(size.layers))
        self.last_norm = torch.nn.LayerNorm(size.width)
        self.read_out = torch.nn.Linear(size.width, characters, bias=False)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:  # matrices that write into the residual stream start smaller
                inner = name.endswith(("mix.weight", "narrow.weight"))
                torch.nn.init.normal_(weight, std=0.02 / math.sqrt(2 * size.layers) if inner else 0.02)
            elif name.endswith("bias"):
                torch.nn.init.zeros_(weight)

    def forward(self, text: Tensor) -> Tensor:
        """Characters (batch x length) to logits of the next ones (batch x length x characters)."""
        x = self.characters(text) + self.places.weight[:text.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.read_out(self.last_norm(x))


def learning_rate(step: int, size: Size) -> float:
    """A linear warm-up, then half a cosine down to a tenth."""
    if step < size.warm_up:
        return size.rate * (step + 1) / size.warm_up
    share = (step - size.warm_up) / max(1, size.steps - size.warm_up)
    return size.rate * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * share)))


def decayed(name: str, weight: Tensor) -> bool:
    """Whether weight decay acts on a parameter: on matrices and embeddings, not on biases and norms."""
    return weight.dim() == 2


def optimiser_for(model: GPT, size: Size) -> torch.optim.Optimizer:
    groups: dict[bool, list[Tensor]] = {True: [], False: []}
    for name, weight in model.named_parameters():
        groups[decayed(name, weight)].append(weight)
    return torch.optim.AdamW(
        [{"params": groups[True], "weight_decay": size.decay}, {"params": groups[False], "weight_decay": 0.0}],
        lr=size.rate, betas=(0.9, 0.99))


def train(splits: dict[str, Tensor], characters: int, size: Size, seed: int) -> tuple[GPT, dict]:
    """Train by AdamW on random windows; returns the model and its curve of losses."""
    device = splits["train"].device
    model = GPT(characters, size, seed).to(device)
    optimiser = optimiser_for(model, size)
    generator = torch.Generator().manual_seed(seed)
    reach = torch.arange(size.context + 1)
    curve: dict = {"step": [], "train_loss": [], "validation_loss": []}
    recent: list[float] = []
    for step in range(size.steps):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, size)
        starts = torch.randint(len(splits["train"]) - size.context, (size.batch,), generator=generator)
        windows = splits["train"][(starts[:, None] + reach).to(device)]
        half = torch.autocast("cuda", dtype=torch.bfloat16) if device.type == "cuda" else contextlib.nullcontext()
        with half:
            loss = F.cross_entropy(model(windows[:, :-1]).flatten(0, 1).float(), windows[:, 1:].flatten())
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        recent.append(loss.item())
        if (step + 1) % max(1, size.steps // 10) == 0:
            curve["step"].append(step + 1)
            curve["train_loss"].append(float(np.mean(recent)))
            curve["validation_loss"].append(evaluate.loss(model, splits["validation"], size.context, size.quick))
            recent = []
    return model, curve


@torch.no_grad()
def sample(model: GPT, start: Tensor, length: int, context: int) -> list[int]:
    """Continue a text (1 x length) with characters drawn as the model expects them."""
    generator = torch.Generator().manual_seed(0)
    text = start
    for _ in range(length):
        chances = model(text[:, -context:])[0, -1].float().softmax(dim=0).cpu()
        text = torch.cat([text, torch.multinomial(chances, 1, generator=generator)[None].to(text.device)], dim=1)
    return text[0, start.shape[1]:].tolist()


def run(dataset: str, size: Size) -> tuple[list, list, str, float | None, float]:
    """Train and judge a model for every seed: (metrics, curves, sample of the first, floor, seconds)."""
    start = time.perf_counter()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    splits, characters, floor = evaluate.load(dataset)
    splits = {split: text.to(device) for split, text in splits.items()}
    measured, curves, written = [], [], ""
    for seed in range(size.seeds):
        model, curve = train(splits, len(characters), size, seed)
        measured.append({
            split + "_loss": evaluate.loss(model, text, size.context, size.judged) for split, text in splits.items()
        })
        curves.append(curve)
        if seed == 0:
            numbers = sample(model, splits["test"][None, :size.context // 2], size.written, size.context)
            written = "".join(characters[number] for number in numbers)
    return measured, curves, written, floor, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out_dir", default="run_0", help="folder for the results")
    args = parser.parse_args()

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    torch.set_flush_denormal(True)
    size = SIZES[os.environ.get("NULLIUS_SIZE", "lite")]
    info = evaluate.write(args.out_dir, {dataset: run(dataset, size) for dataset in size.datasets})
    for dataset in sorted(info):
        means = info[dataset]["means"]
        print(dataset, " ".join("%s=%g" % (name, means[name]) for name in sorted(means)))


if __name__ == "__main__":
    main()
