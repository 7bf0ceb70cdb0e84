"""Random-feature regression across the interpolation threshold.

For every seed and width p: draw a random layer, train the read-out on n points,
measure the error. Around p = n the test error of the minimum-norm solution
peaks and falls again: double descent.

`features` and `fit` are the two places where a method changes. Data, metrics
and results are in evaluate.py, which stays as it is.
"""

import argparse
import os
import time

import numpy as np

import evaluate

# NULLIUS_SIZE picks one of these; the command line stays the same.
SIZES = {
    "smoke": {"n": 100, "seeds": 3, "widths": [5, 20, 50, 100, 200, 1000]},
    "lite": {
        "n": 100,
        "seeds": 10,
        "widths": [5, 10, 20, 35, 50, 70, 85, 100, 115, 140, 180, 250, 400, 650, 1000],
    },
    "full": {
        "n": 400,
        "seeds": 20,
        "widths": [10, 20, 40, 80, 140, 200, 260, 320, 360, 400,
                   440, 500, 600, 800, 1100, 1600, 2400, 3600, 5400, 8000],
    },
}


def random_layer(seed, width, member=0):
    """Weights of the random layer; another member is another independent draw."""
    stream = np.random.RandomState([seed, 2, width, member])
    return stream.standard_normal((evaluate.DIM, width)) / np.sqrt(evaluate.DIM)


def features(x, layer):
    """Map inputs (points x dimensions) to features (points x width)."""
    return np.maximum(x @ layer, 0.0) / np.sqrt(layer.shape[1])


def fit(x, y, seed, width):
    """Train on x and y (one column per noise level); return a function that predicts.

    One singular value decomposition serves all noise levels. This is the
    minimum-norm least-squares solution: directions with a negligible singular
    value are left out, all others are inverted exactly.
    """
    layer = random_layer(seed, width)
    left, sigma, right = np.linalg.svd(features(x, layer), full_matrices=False)
    keep = sigma > 1e-10 * sigma[0]
    inverse = np.zeros_like(sigma)
    inverse[keep] = 1.0 / sigma[keep]
    weights = right.T @ (inverse[:, None] * (left.T @ y))
    return lambda inputs: features(inputs, layer) @ weights


def sweep(n, seeds, widths):
    """Errors of every seed, width and noise level on the three splits."""
    splits = ("train", "validation", "test")
    shape = (seeds, len(widths), len(evaluate.NOISE_LEVELS))
    curves = {split: np.zeros(shape) for split in splits}
    for seed in range(seeds):
        parts = evaluate.load(seed, n)
        for i, width in enumerate(widths):
            predict = fit(*parts[0], seed, width)
            for split, (x, y) in zip(splits, parts):
                curves[split][seed, i] = evaluate.mean_squared_error(predict(x), y)
    return curves


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out_dir", default="run_0", help="folder for the results")
    args = parser.parse_args()

    size = SIZES[os.environ.get("NULLIUS_SIZE", "lite")]
    start = time.perf_counter()
    curves = sweep(**size)
    seconds = time.perf_counter() - start
    info = evaluate.write(args.out_dir, size["widths"], size["n"], curves, seconds)

    for dataset in sorted(info):
        means = info[dataset]["means"]
        print(dataset, " ".join("%s=%g" % (name, means[name]) for name in sorted(means)))


if __name__ == "__main__":
    main()
