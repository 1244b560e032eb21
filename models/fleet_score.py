"""What a forecast of a trial fleet was worth: errors beside those of plain rivals, coverage, sign of the difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.departure import DepartureTerms, departure
from models.domain import DAYS_PER_MONTH, FloatArray, History
from models.evidence import FleetFit, predict_joint
from models.fleet_trial import MONTHS, YEARS, Forecasts, Trial, calendar
from models.learned.rivals import boosted, fit_curve, forecast_curve
from models.seeds import generator

LITERATURE_PP_10_YEARS = 1.6
"""Median effect of export over ten years in 18 published models, for everyone. [pp]"""
WATCHED_MONTHS = 18
FAULTY_SHARE = 0.1
FAULT_PP_PER_MONTH = (0.15, 0.5)
NOISE_FRAC = 0.010
DEVIATION_PP = 3.0
FLOOR_FRAC = 0.8


def rmse_pp(error_frac: FloatArray) -> FloatArray:
    """Root mean square along the vehicles, in percentage points."""
    return 100.0 * np.sqrt(np.mean(error_frac**2, axis=0))


def rivals(trial: Trial) -> dict[str, FloatArray]:
    """Errors of the plain forecasts `YEARS` ahead, shape (years,) each. [pp]"""
    world, truth = trial.world, trial.as_driven_frac
    readings = [h.readings for h in trial.histories.values()]
    days = [DAYS_PER_MONTH * (age + MONTHS * np.array(YEARS, dtype=float)) for age in world.age_months]
    out = {}
    for name, power in (("root_of_time", 0.5), ("straight_line", 1.0)):
        curve = fit_curve(readings, power)
        said = np.array([forecast_curve(curve, r, d) for r, d in zip(readings, days, strict=True)])
        out[name] = rmse_pp(said - truth)
        if power == 0.5:
            mean = np.array([forecast_curve(curve, r, d, own=False) for r, d in zip(readings, days, strict=True)])
            out["cohort_mean"] = rmse_pp(mean - truth)
    driven = world.features[np.arange(world.vehicles), trial.exporter.astype(int)]
    out["gradient_boosting"] = rmse_pp(np.array(boosted(readings, driven, days)) - truth)
    return out


def score_trial(trial: Trial, said: Forecasts) -> dict[str, Any]:
    """One trial's row: errors, coverage and rivals of the level; error, sign and coverage of the difference."""
    truth, diff = trial.as_driven_frac, trial.extra_fade_pp
    literature = LITERATURE_PP_10_YEARS * np.array(YEARS) / 10.0
    inside = (said.low <= truth) & (truth <= said.high)
    known = (said.diff_low_pp <= diff) & (diff <= said.diff_high_pp)
    clear = (said.diff_low_pp > 0) | (said.diff_high_pp < 0)
    right = np.sign(said.diff_pp) == np.sign(diff)
    return {
        "generator": trial.generator_id,
        "seed": trial.world.seed,
        "exporters": "confounded" if trial.confounded else "random",
        "years": list(YEARS),
        "rmse_pp": rmse_pp(said.median - truth).tolist(),
        "bias_pp": (100.0 * np.mean(said.median - truth, axis=0)).tolist(),
        "inside_80_frac": inside.mean(axis=0).tolist(),
        "width_80_pp": (100.0 * np.mean(said.high - said.low, axis=0)).tolist(),
        "rivals_rmse_pp": {name: value.tolist() for name, value in rivals(trial).items()},
        "diff_truth_pp": diff.mean(axis=0).tolist(),
        "diff_rmse_pp": rmse_pp((said.diff_pp - diff) / 100.0).tolist(),
        "diff_literature_rmse_pp": rmse_pp((literature - diff) / 100.0).tolist(),
        "diff_inside_80_frac": known.mean(axis=0).tolist(),
        "diff_sign_right_frac": right.mean(axis=0).tolist(),
        "diff_clear_frac": clear.mean(axis=0).tolist(),
        "diff_clear_wrong_frac": (clear & ~right).mean(axis=0).tolist(),
    }


def verdict(rows: Sequence[dict[str, Any]], year: int) -> str:
    """Whether the difference of two policies was learned, in a sentence; it must beat one number for everyone."""
    at = YEARS.index(year)
    own = float(np.mean([r["diff_rmse_pp"][at] for r in rows]))
    plain = float(np.mean([r["diff_literature_rmse_pp"][at] for r in rows]))
    what = (
        f"difference {year} years ahead: error {own:.2f} pp, with the literature's median for everyone {plain:.2f} pp"
    )
    return f"learned: {what}." if own < plain else f"nothing was learned: {what}."


@dataclass(frozen=True)
class Watch:
    """How departures were found in one trial: months watched without a fault, false alarms, faults, months of lead."""

    sound_months: int
    false_alarms: int
    faults: int
    found_before_3_pp: int
    lead_months_to_3_pp: tuple[float, ...]
    lead_months_to_floor: tuple[float, ...]


def watch_trial(trial: Trial, fit: FleetFit, terms: DepartureTerms) -> Watch:
    """Watch the time after a forecast, month by month; some cars develop a fault that no law knows.

    A fault begins in one of the first six months and adds 0.15 to 0.5 pp of loss a month.
    Lead is the time from the flag to a deviation of 3 pp, and to a capacity of 80 %; negative = flagged afterwards.
    """
    world = trial.world
    rng = generator(world.seed, "watch", trial.generator_id, str(trial.confounded))
    faulty, begins = rng.random(world.vehicles) < FAULTY_SHARE, rng.integers(0, 6, world.vehicles)
    speed = rng.uniform(*FAULT_PP_PER_MONTH, world.vehicles) / 100.0
    months = np.arange(1, WATCHED_MONTHS + 1)
    sound = alarms = faults = found = 0
    to_deviation, to_floor = [], []
    grid = MONTHS * np.array([0.0, YEARS[0], YEARS[1]])
    for v, (vehicle_id, h) in enumerate(trial.histories.items()):
        noise = rng.normal(0.0, NOISE_FRAC, WATCHED_MONTHS)
        if h.readings.bms_reported.any() or not h.readings.days.size:
            continue
        points = np.append(trial.soh_frac[v][-1], trial.as_driven_frac[v, :2])
        extra = speed[v] * np.maximum(months - begins[v], 0.0) * faulty[v]
        true = np.interp(months, grid, points) - extra
        days = DAYS_PER_MONTH * (world.age_months[v] + months.astype(float))
        mean, covariance = forecast_readings(trial, v, vehicle_id, fit, days, terms)
        result = departure(days, true * (1.0 + world.nature.gain[v]) + noise, mean, covariance, terms)
        if result is None:
            continue
        # Whoever watches month by month has been alarmed, whatever later readings took back.
        flagged = result.alarmed_days
        at = WATCHED_MONTHS if flagged is None else round(flagged / DAYS_PER_MONTH) - int(world.age_months[v])
        if not faulty[v]:
            sound += at
            alarms += int(flagged is not None)
            continue
        faults += 1
        until = begins[v] + DEVIATION_PP / 100.0 / speed[v]
        if flagged is not None:
            found += int(at <= until)
            to_deviation.append(float(until - at))
            slope = (points[2] - points[0]) / grid[2] - speed[v]
            to_floor.append(float(months[-1] + (FLOOR_FRAC - true[-1]) / slope - at))
    return Watch(sound, alarms, faults, found, tuple(to_deviation), tuple(to_floor))


def forecast_readings(
    trial: Trial, v: int, vehicle_id: str, fit: FleetFit, days: FloatArray, terms: DepartureTerms
) -> tuple[FloatArray, FloatArray]:
    """Mean and covariance of monthly readings ahead, shapes (n,) and (n, n); weighted mixture of laws."""
    h, laws = trial.histories[vehicle_id], trial.world.laws
    age, e = int(trial.world.age_months[v]), int(trial.habits[v].exporter)
    month = calendar(age, age + WATCHED_MONTHS)
    exposures = {k: np.ascontiguousarray(x[v, e][month]) for k, x in trial.world.exposures.items()}
    ahead = History(vehicle_id, h.cohort_id, np.full(age + WATCHED_MONTHS, DAYS_PER_MONTH), exposures, h.readings, 0.0)
    fresh = np.full(days.shape, float(np.mean(h.readings.fresh_sigma_frac)))
    return predict_joint(fit, ahead, laws, days, fresh, float(h.period_days.sum()), terms.own_rate_sigma)
