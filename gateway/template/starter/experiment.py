"""Nearest neighbours on two noisy rings: how many neighbours should vote?

A starter experiment that needs nothing but Python's standard library. Replace
`predict` and `points` with what you want to study, and keep three habits: several
seeds, a test set that nothing was chosen on, and results as final_info.json.
"""

import argparse
import json
import math
import os
import random
import time

NEIGHBOURS = 1  # how many training points vote on a new one

# NULLIUS_SIZE picks one of these; the command line stays the same.
SIZES = {
    "smoke": {"train": 40, "test": 100, "seeds": 3},
    "lite": {"train": 150, "test": 400, "seeds": 5},
}
NOISE = {"clear": 0.25, "noisy": 0.6}  # datasets: spread of the rings


def points(count, noise, chance):
    """Points on an inner ring (label 0) or an outer one (label 1)."""
    made = []
    for _ in range(count):
        label = chance.randrange(2)
        angle, radius = chance.uniform(0, 2 * math.pi), 1 + label + chance.gauss(0, noise)
        made.append((radius * math.cos(angle), radius * math.sin(angle), label))
    return made


def predict(x, y, train):
    """The label that most of the nearest training points have."""
    nearest = sorted(train, key=lambda p: (p[0] - x) ** 2 + (p[1] - y) ** 2)[:NEIGHBOURS]
    return int(2 * sum(label for _, _, label in nearest) > len(nearest))


def error_rate(seed, noise, train, test):
    """Share of wrong labels on points that the vote never saw."""
    known = points(train, noise, random.Random("train-%d" % seed))
    fresh = points(test, noise, random.Random("test-%d" % seed))
    return sum(predict(x, y, known) != label for x, y, label in fresh) / test


def summary(values):
    n = len(values)
    mean = math.fsum(values) / n
    spread = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    return float("%.6g" % mean), float("%.6g" % (spread / math.sqrt(n)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out_dir", default="run_0", help="folder for the results")
    args = parser.parse_args()

    size = SIZES[os.environ.get("NULLIUS_SIZE", "lite")]
    info = {}
    for name, noise in NOISE.items():
        start = time.perf_counter()
        errors = [error_rate(seed, noise, size["train"], size["test"]) for seed in range(size["seeds"])]
        mean, stderr = summary(errors)
        info[name] = {
            "means": {"test_error": mean},
            "stderrs": {"test_error": stderr},
            "final_info_dict": {"test_error": errors},
            "timing": {"seconds": round(time.perf_counter() - start, 3)},
        }
        print("%s test_error %g +- %g" % (name, mean, stderr))
    os.makedirs(args.out_dir, exist_ok=True)
    with open(os.path.join(args.out_dir, "final_info.json"), "w", encoding="utf-8") as out:
        json.dump(info, out, indent=1, sort_keys=True)
        out.write("\n")


if __name__ == "__main__":
    main()
