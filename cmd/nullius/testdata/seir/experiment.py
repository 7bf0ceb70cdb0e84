import argparse
import json
import os

import numpy as np
from scipy.integrate import odeint

# Susceptible, exposed, infectious, recovered, as shares of the people.
PARAMS = {"beta": 0.9, "sigma": 0.25, "gamma": 0.2, "N": 1.0}
DAYS = 160


def rates(state, day, beta, sigma, gamma, N):
    S, E, I, R = state
    new = beta * S * I / N
    return [-new, new - sigma * E, sigma * E - gamma * I, gamma * I]


def simulate(beta, sigma, gamma, N):
    days = np.linspace(0, DAYS, DAYS + 1)
    start = [N - 0.001, 0.0, 0.001, 0.0]
    return days, odeint(rates, start, days, args=(beta, sigma, gamma, N))


def summary(days, solution):
    I, R = solution[:, 2], solution[:, 3]
    at = int(np.argmax(I))
    return {
        "infected_peak": float(I[at]),
        "infected_peak_day": float(days[at]),
        "total_infected": float(R[-1]),
        "spread": {"width_above_5_percent": float(np.sum(I > 0.05)), "solver": "odeint"},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="SEIR model")
    parser.add_argument("--out_dir", type=str, default="run_0", help="Output directory")
    args = parser.parse_args()
    out_dir = args.out_dir
    os.makedirs(out_dir, exist_ok=True)

    days, solution = simulate(**PARAMS)
    final_info = {
        "SEIR": {
            "means": summary(days, solution),
            "params": PARAMS,
            "solution": solution.tolist(),
            "reproduction": {"basic": PARAMS["beta"] / PARAMS["gamma"], "after": float("nan")},
        }
    }
    with open(os.path.join(out_dir, "final_info.json"), "w") as f:
        json.dump(final_info, f)
    np.save(os.path.join(out_dir, "solution.npy"), solution)
    print("peak", final_info["SEIR"]["means"]["infected_peak"])
