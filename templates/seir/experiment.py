"""Stochastic SEIR epidemics in a closed population, day by day.

Susceptible people become exposed, then infectious, then recovered. Each day the
numbers who move are binomial draws (a chain binomial), so small outbreaks can
die out by chance and two epidemics with the same parameters differ.

`contact_factor` and `new_infections` are the two places where an idea changes
how people meet and infect each other. Parameters, metrics and results are in
evaluate.py, which stays as it is.
"""

from __future__ import annotations

import argparse
import os
import time

import numpy as np

import evaluate

# NULLIUS_SIZE picks one of these; the command line stays the same.
SIZES = {
    "smoke": {"people": 2_000, "days": 200, "seeds": 10, "groups": "one"},
    "lite": {"people": 2_000, "days": 200, "seeds": 100, "groups": "one"},
    "full": {"people": 1_000_000, "days": 365, "seeds": 100, "groups": "ages"},
}

# Shares of the population and relative contacts between groups (row: who is
# infected, column: by whom). The ages are a coarse, illustrative mixing pattern
# (0 to 19, 20 to 64, 65 and over), not a fit to a survey.
GROUPS = {
    "one": (np.array([1.0]), np.array([[1.0]])),
    "ages": (
        np.array([0.22, 0.58, 0.20]),
        np.array([[2.4, 0.9, 0.3], [0.9, 1.2, 0.5], [0.3, 0.5, 0.7]]),
    ),
}


def mixing_matrix(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Group shares and a contact matrix scaled so that R0 is its spectral radius times beta / gamma."""
    shares, contacts = GROUPS[name]
    rates = contacts * shares[None, :]
    return shares, rates / np.abs(np.linalg.eigvals(rates)).max()


def contact_factor(day: int, infectious: int, people: int) -> float:
    """Today's contacts relative to normal life; 1 is no intervention.

    day counts from 0; infectious and people are the numbers in the whole population.
    """
    return 1.0


def new_infections(stream: np.random.RandomState, susceptible: np.ndarray, pressure: np.ndarray) -> np.ndarray:
    """Draw how many of each group are infected today, given the daily force of infection."""
    return stream.binomial(susceptible, 1.0 - np.exp(-pressure))


def simulate(seed: int, r0: float, people: int, days: int, groups: str) -> tuple[np.ndarray, int]:
    """One epidemic: infectious people at the end of each day, and all ever infected."""
    stream = np.random.RandomState([seed, int(round(10 * r0))])
    shares, mixing = mixing_matrix(groups)
    size = np.floor(people * shares).astype(np.int64)
    size[0] += people - size.sum()
    infectious = np.zeros_like(size)
    infectious[np.argmax(size)] = evaluate.INITIAL_INFECTIOUS
    susceptible, exposed = size - infectious, np.zeros_like(size)
    # Leaving with the chance 1/d a day makes the stay in a state geometric with mean d days.
    leave_latent, recover = 1.0 / evaluate.LATENT_DAYS, 1.0 / evaluate.INFECTIOUS_DAYS
    beta = r0 / evaluate.INFECTIOUS_DAYS
    curve = np.zeros(days, dtype=np.int64)
    for day in range(days):
        factor = contact_factor(day, infectious.sum(), people)
        pressure = factor * beta * (mixing @ (infectious / size))
        infected = new_infections(stream, susceptible, pressure)
        onset = stream.binomial(exposed, leave_latent)
        recovered = stream.binomial(infectious, recover)
        susceptible = susceptible - infected
        exposed = exposed + infected - onset
        infectious = infectious + onset - recovered
        curve[day] = infectious.sum()
    return curve, people - int(susceptible.sum())


def sweep(people: int, days: int, seeds: int, groups: str) -> dict[float, tuple[np.ndarray, list[int], float]]:
    """Epidemics of every R0 and seed: {R0: (seeds x days, one number a seed, seconds)}."""
    results = {}
    for r0 in evaluate.REPRODUCTION_NUMBERS:
        start = time.perf_counter()
        runs = [simulate(seed, r0, people, days, groups) for seed in range(seeds)]
        curves, ever = zip(*runs)
        results[r0] = (np.array(curves), list(ever), time.perf_counter() - start)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out_dir", default="run_0", help="folder for the results")
    args = parser.parse_args()

    size = SIZES[os.environ.get("NULLIUS_SIZE", "lite")]
    info = evaluate.write(args.out_dir, sweep(**size), size["people"])
    for dataset in sorted(info):
        means = info[dataset]["means"]
        print(dataset, " ".join("%s=%g" % (name, means[name]) for name in sorted(means)))


if __name__ == "__main__":
    main()
