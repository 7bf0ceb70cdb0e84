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

METRICS = ("infected_peak", "infected_peak_day", "total_infected", "extinction_share")


def dataset_name(r0: float) -> str:
    return "r0_%.1f" % r0


def measure(infectious: np.ndarray, infected_ever: int, people: int) -> dict[str, float] | None:
    """Metrics of one simulated epidemic that took off; None for one that died out by chance.

    infectious: people in I at the end of each day; infected_ever: all who were
    ever infected, first cases included.
    """
    if infected_ever - INITIAL_INFECTIOUS < TAKE_OFF:
        return None
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

    infectious: seeds x days; infected_ever: one number a seed. Sizes and days of
    the peak are taken over the epidemics that took off, so their lists may be
    shorter than that of `extinction_share`.
    """
    measured = [measure(curve, ever, people) for curve, ever in zip(infectious, infected_ever)]
    lists = {m: [one[m] for one in measured if one] for m in METRICS[:3]}
    lists["extinction_share"] = [0.0 if one else 1.0 for one in measured]
    known = {m: v for m, v in lists.items() if v}
    errors = {m: standard_error(v) for m, v in known.items()}
    return {
        "means": {m: significant(np.mean(v)) for m, v in known.items()},
        "stderrs": {m: significant(e) for m, e in errors.items() if np.isfinite(e)},
        "final_info_dict": {m: [significant(x) for x in v] for m, v in known.items()},
        "timing": {"seconds": significant(seconds)},
    }


def write(out_dir: str, results: dict[float, tuple[np.ndarray, list[int], float]], people: int) -> dict:
    """Write final_info.json and curves.json.

    results: {R0: (infectious, infected_ever, seconds)} as `summarise` takes them.
    """
    info, curves = {}, {"people": people, "datasets": {}}
    for r0, (infectious, infected_ever, seconds) in results.items():
        info[dataset_name(r0)] = summarise(infectious, infected_ever, people, seconds)
        took_off = infectious[np.asarray(infected_ever) - INITIAL_INFECTIOUS >= TAKE_OFF]
        if len(took_off):
            bands = np.quantile(took_off / people, (0.05, 0.25, 0.5, 0.75, 0.95), axis=0)
            curves["datasets"][dataset_name(r0)] = [[significant(x) for x in band] for band in bands]
    os.makedirs(out_dir, exist_ok=True)
    for name, content in (("final_info.json", info), ("curves.json", curves)):
        with open(os.path.join(out_dir, name), "w", encoding="utf-8") as out:
            json.dump(content, out, indent=1, sort_keys=True)
            out.write("\n")
    return info
