"""Four policies on a bandit whose arms are hard to tell apart.

Ten arms pay 0 or 1; one pays with probability 0.6, the others with 0.5. A policy
sees how often each arm was pulled and won, and picks the next one. The question
is which policy loses least against always pulling the best arm.

Policies and the world are here; regret and results are in evaluate.py, which
stays as it is.
"""

import argparse
import math
import os
import time

import evaluate

ARMS = 10
BASE, GAP = 0.5, 0.1  # what an arm pays on average; how much more the best one pays
EPSILON = 0.1  # share of steps at which epsilon-greedy explores
UCB_CONSTANT = 2.0  # weight of the exploration bonus
MEANS = [BASE + GAP] + [BASE] * (ARMS - 1)  # the first arm is the best

# NULLIUS_SIZE picks one of these; the command line stays the same.
SIZES = {
    "smoke": {"horizon": 200, "seeds": 3},
    "lite": {"horizon": 2000, "seeds": 8},
    "full": {"horizon": 20000, "seeds": 8},
}


def means_at(step):
    """What each arm pays on average at a step. The policies do not see this."""
    return MEANS


def choose_random(step, pulls, wins, chance):
    return chance.randrange(ARMS)


def choose_epsilon_greedy(step, pulls, wins, chance):
    """Mostly the arm with the best average; an arm never pulled counts as 1."""
    if chance.random() < EPSILON:
        return chance.randrange(ARMS)
    averages = [w / n if n else 1.0 for w, n in zip(wins, pulls)]
    return averages.index(max(averages))


def choose_ucb1(step, pulls, wins, chance):
    """The arm with the best upper confidence bound, after each was pulled once."""
    if step < ARMS:
        return step
    bonus = UCB_CONSTANT * math.log(step + 1)
    bounds = [w / n + math.sqrt(bonus / n) for w, n in zip(wins, pulls)]
    return bounds.index(max(bounds))


def choose_thompson(step, pulls, wins, chance):
    """The arm that is best in one draw from the posterior, uniform at first."""
    draws = [chance.betavariate(1 + w, 1 + n - w) for w, n in zip(wins, pulls)]
    return draws.index(max(draws))


POLICIES = {
    "random": choose_random,
    "epsilon_greedy": choose_epsilon_greedy,
    "ucb1": choose_ucb1,
    "thompson": choose_thompson,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out_dir", default="run_0", help="folder for the results")
    args = parser.parse_args()

    size = SIZES[os.environ.get("NULLIUS_SIZE", "lite")]
    regrets, curves, seconds = {}, {}, {}
    for name, policy in POLICIES.items():
        start = time.perf_counter()
        played = [
            evaluate.play(policy, means_at, seed, size["horizon"], ARMS)
            for seed in range(size["seeds"])
        ]
        regrets[name] = [regret for regret, _ in played]
        curves[name] = [curve for _, curve in played]
        seconds[name] = time.perf_counter() - start
    info = evaluate.write(args.out_dir, regrets, curves, seconds)

    for name in info:
        print("%s regret %g +- %g" % (name, info[name]["means"]["regret"], info[name]["stderrs"]["regret"]))


if __name__ == "__main__":
    main()
