"""Setting, metrics and results of the epidemic experiment.

This file is protected: which epidemics are simulated and what is measured stays
the same in every run, so that runs can be compared. `experiment.py` decides how
people meet and how infection spreads.
"""

from __future__ import annotations

import json
import os

import numpy as np

REPRODUCTION_NUMBERS = (2.0, 2.8, 4.0)  # R0, one dataset each
LATENT_DAYS, INFECTIOUS_DAYS = 5.0, 7.0  # mean stay in E and in I
INITIAL_INFECTIOUS = 5  # people
TAKE_OFF = 50  # infections beyond the first cases; fewer is chance extinction

METRICS = ("infected_peak", "infected_peak_day", "total_infected", "total_infected_all", "extinction_share")


def dataset_name(r0: float) -> str:
    return "r0_%.1f" % r0


def took_off(infected_ever: int) -> bool:
    """Whether an outbreak became an epidemic; infected_ever: all who were ever infected, first cases included."""
    return infected_ever - INITIAL_INFECTIOUS >= TAKE_OFF


def measure(infectious: np.ndarray, infected_ever: int, people: int) -> dict[str, float]:
    """Metrics of one simulated outbreak; infectious: people in I at the end of each day."""
    return {
        "infected_peak": infectious.max() / people,
        "infected_peak_day": float(infectious.argmax()),
        "total_infected": infected_ever / people,
    }


def significant(value: float) -> float:
    """Six significant digits: more would differ between machines."""
    return float("%.6g" % value)


def standard_error(values: list[float]) -> float:
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def summarise(infectious: np.ndarray, infected_ever: list[int], people: int, seconds: float) -> dict:
    """One dataset's entry of final_info.json.

    infectious: seeds x days; infected_ever: one number a seed. Peak, day and final
    size are taken over the epidemics that took off, so their lists may be shorter
    than the others; where none did, over all outbreaks. What makes outbreaks die
    out changes which ones these are: `total_infected_all` counts every outbreak.
    """
    measured = [measure(curve, ever, people) for curve, ever in zip(infectious, infected_ever)]
    epidemics = [one for one, ever in zip(measured, infected_ever) if took_off(ever)] or measured
    lists = {m: [one[m] for one in epidemics] for m in METRICS[:3]}
    lists["total_infected_all"] = [one["total_infected"] for one in measured]
    lists["extinction_share"] = [0.0 if took_off(ever) else 1.0 for ever in infected_ever]
    errors = {m: standard_error(v) for m, v in lists.items()}
    return {
        "means": {m: significant(np.mean(v)) for m, v in lists.items()},
        "stderrs": {m: significant(e) for m, e in errors.items() if np.isfinite(e)},
        "final_info_dict": {m: [significant(x) for x in v] for m, v in lists.items()},
        "timing": {"seconds": significant(seconds)},
    }


def write(out_dir: str, results: dict[float, tuple[np.ndarray, list[int], float]], people: int) -> dict:
    """Write final_info.json and curves.json.

    results: {R0: (infectious, infected_ever, seconds)} as `summarise` takes them.
    """
    info, curves = {}, {"people": people, "datasets": {}}
    for r0, (infectious, infected_ever, seconds) in results.items():
        info[dataset_name(r0)] = summarise(infectious, infected_ever, people, seconds)
        shown = infectious[[took_off(ever) for ever in infected_ever]]
        bands = np.quantile((shown if len(shown) else infectious) / people, (0.05, 0.25, 0.5, 0.75, 0.95), axis=0)
        curves["datasets"][dataset_name(r0)] = [[significant(x) for x in band] for band in bands]
    os.makedirs(out_dir, exist_ok=True)
    for name, content in (("final_info.json", info), ("curves.json", curves)):
        with open(os.path.join(out_dir, name), "w", encoding="utf-8") as out:
            json.dump(content, out, indent=1, sort_keys=True)
            out.write("\n")
    return info
