"""Sizes of the language models; all that differs between nanoGPT and nanoGPT_lite."""

from __future__ import annotations

from typing import NamedTuple


class Size(NamedTuple):
    """What one of smoke, lite and full means."""

    datasets: tuple[str, ...]
    seeds: int
    layers: int
    width: int  # of the residual stream
    heads: int
    context: int  # characters that a model sees at once
    batch: int
    steps: int
    warm_up: int  # steps
    rate: float  # at its highest
    decay: float
    quick: int  # characters judged while training
    judged: int  # characters judged of each split after training
    written: int  # characters of sample text


SIZES = {  # NULLIUS_SIZE picks one of these; the command line stays the same.
    "smoke": Size(("words",), 3, 1, 16, 2, 16, 4, 4, 1, 3e-3, 0.1, 200, 400, 20),
    "lite": Size(("words",), 3, 1, 64, 4, 64, 16, 600, 50, 3e-3, 0.1, 4_000, 20_000, 160),
    "full": Size(("words",), 3, 2, 64, 4, 64, 16, 1_200, 50, 3e-3, 0.1, 4_000, 20_000, 160),
}
