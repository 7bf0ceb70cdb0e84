"""The bandit's reward, the regret and the writing of results.

This file is protected: it stays the same in every run, so that runs can be
compared. Only the standard library is used; sums go through math.fsum, so the
results are the same bytes on every machine.
"""

import json
import math
import os
import random

CHECKPOINTS = 40  # points of the regret curve that are kept


def streams(seed):
    """Two independent sources of chance: one for the policy, one for the rewards.

    All policies of a seed see the same two streams.
    """
    return random.Random(2 * seed), random.Random(2 * seed + 1)


def play(policy, means_at, seed, horizon, arms):
    """Let a policy play; return the regret after each step, summed so far.

    The regret of a step is what the best arm pays on average minus what the
    chosen arm pays on average: the distance to the known optimum, without the
    luck of single rewards.
    """
    chance, rewards = streams(seed)
    pulls, wins, lost, curve = [0] * arms, [0] * arms, [], []
    every = max(1, horizon // CHECKPOINTS)
    for step in range(horizon):
        means = means_at(step)
        arm = policy(step, pulls, wins, chance)
        pulls[arm] += 1
        wins[arm] += rewards.random() < means[arm]
        lost.append(max(means) - means[arm])
        if (step + 1) % every == 0:
            curve.append((step + 1, math.fsum(lost)))
    return math.fsum(lost), curve


def significant(value):
    return float("%.6g" % value)


def summary(values):
    """Mean and standard error of one number per seed."""
    n = len(values)
    mean = math.fsum(values) / n
    spread = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    return significant(mean), significant(spread / math.sqrt(n))


def write(out_dir, regrets, curves, seconds):
    """Write final_info.json and curves.json; a policy is a dataset.

    regrets: {policy: [total regret per seed]}; curves: {policy: [[(step, regret)]]}.
    """
    info = {}
    for name, values in regrets.items():
        lists = {"regret": values}
        if name != "random" and "random" in regrets:
            lists["gap_to_random"] = [r - v for r, v in zip(regrets["random"], values)]
        pairs = {metric: summary(v) for metric, v in lists.items()}
        info[name] = {
            "means": {metric: pair[0] for metric, pair in pairs.items()},
            "stderrs": {metric: pair[1] for metric, pair in pairs.items()},
            "final_info_dict": {m: [significant(x) for x in v] for m, v in lists.items()},
            "timing": {"seconds": significant(seconds[name])},
        }
    kept = {
        name: {
            "steps": [step for step, _ in seeds[0]],
            "regret": [[significant(regret) for _, regret in curve] for curve in seeds],
        }
        for name, seeds in curves.items()
    }
    os.makedirs(out_dir, exist_ok=True)
    for name, content in (("final_info.json", info), ("curves.json", kept)):
        with open(os.path.join(out_dir, name), "w", encoding="utf-8") as out:
            json.dump(content, out, indent=1, sort_keys=True)
            out.write("\n")
    return info
