"""The transformer that is probed: its shape, and how its weights are read.

prepare.py trains it; experiment.py only looks into it and adds to what flows through.
"""

from __future__ import annotations

import math
import os
from typing import Callable

import numpy as np
import torch
import torch.nn.functional as F

from evaluate import CHARACTERS, LENGTH

Tensor = torch.Tensor
Change = Callable[[int, Tensor], Tensor]  # layer and stream (batch x length x width) to a changed stream

LAYERS, WIDTH, HEADS = 3, 64, 4
WEIGHTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "models.npz")


class Block(torch.nn.Module):
    """Causal self-attention and a feed-forward layer, each on a normalised residual stream."""

    def __init__(self) -> None:
        super().__init__()
        self.before_attention, self.before_layer = torch.nn.LayerNorm(WIDTH), torch.nn.LayerNorm(WIDTH)
        self.query_key_value, self.mix = torch.nn.Linear(WIDTH, 3 * WIDTH), torch.nn.Linear(WIDTH, WIDTH)
        self.widen, self.narrow = torch.nn.Linear(WIDTH, 2 * WIDTH), torch.nn.Linear(2 * WIDTH, WIDTH)
        self.register_buffer("future", torch.ones(LENGTH, LENGTH).triu(1).bool(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        parts = self.query_key_value(self.before_attention(x)).view(batch, length, 3, HEADS, WIDTH // HEADS)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        score = query @ key.transpose(-1, -2) / math.sqrt(WIDTH // HEADS)
        mixed = score.masked_fill(self.future[:length, :length], -math.inf).softmax(dim=-1) @ value
        x = x + self.mix(mixed.transpose(1, 2).reshape(batch, length, WIDTH))
        return x + self.narrow(F.gelu(self.widen(self.before_layer(x))))


class Transformer(torch.nn.Module):
    """Embeddings of characters and places, blocks, and a read-out."""

    def __init__(self) -> None:
        super().__init__()
        self.characters, self.places = torch.nn.Embedding(CHARACTERS, WIDTH), torch.nn.Embedding(LENGTH, WIDTH)
        self.blocks = torch.nn.ModuleList(Block() for _ in range(LAYERS))
        self.last_norm, self.read_out = torch.nn.LayerNorm(WIDTH), torch.nn.Linear(WIDTH, CHARACTERS)

    def forward(self, text: Tensor, change: Change | None = None) -> tuple[Tensor, list[Tensor]]:
        """Logits of the next characters, and the stream after the embedding (layer 0) and after every block.

        change, if given, acts on the stream of each layer before the next block reads it.
        """
        x = self.characters(text) + self.places.weight[:text.shape[1]]
        streams = []
        for layer in range(LAYERS + 1):
            x = self.blocks[layer - 1](x) if layer else x
            x = x if change is None else change(layer, x)
            streams.append(x)
        return self.read_out(self.last_norm(x)), streams


def count() -> int:
    """How many trained models there are."""
    with np.load(WEIGHTS) as stored:
        return len({name.split("/")[0] for name in stored.files})


def load(index: int) -> Transformer:
    """A trained model; prepare.py stores weights with half precision."""
    if not os.path.exists(WEIGHTS):
        raise SystemExit("data/models.npz is missing: run prepare.py once; it takes some minutes")
    model = Transformer()
    with np.load(WEIGHTS) as stored:
        weights = {name: torch.from_numpy(stored["%d/%s" % (index, name)].astype(np.float32))
                   for name, _ in model.named_parameters()}
    model.load_state_dict(weights)
    return model.eval()
