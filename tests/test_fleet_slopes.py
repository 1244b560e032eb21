"""Slopes of predicted readings are those of their range, and the fit's optimum does not hang on where it began."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from models.calibration import typical_duty
from models.domain import DAYS_PER_MONTH, FloatArray, History, Readings
from models.exposure import year_exposures
from models.fleet import CohortFit, fleet_prior
from models.fleet_fit import fit_cohort, log_posterior
from models.fleet_pool import own_prior
from models.fleet_predict import OWN, CohortData, cohort_data, predict, predict_cohort
from models.laws.base import Law
from models.laws.registry import get
from tests.made_years import pack_of_cell

PRIOR = fleet_prior()
FACTOR = PRIOR.spread_factor
CELL = "nmc811_lgm50"
LAWS = ("sei_ec", "sei_interstitial", "nmc_b1_2023")
VEHICLES, MONTHS = 10, 72


@lru_cache(maxsize=1)
def year() -> dict[str, FloatArray]:
    """Exposures of each month of a typical year."""
    pack = pack_of_cell()
    return year_exposures(typical_duty(pack, 364, export_frac=0.1), pack, [get(x, CELL) for x in LAWS])


@lru_cache(maxsize=3)
def cohort(law_id: str) -> tuple[Law, tuple[History, ...]]:
    """Cars of one law, up to six years old, with 1 % of scatter; the last two years were read."""
    law, rng = get(law_id, CELL), np.random.default_rng(3)
    theta, out = np.zeros(len(law.multiplier_names) + 2), []
    for v in range(VEHICLES):
        months = int(rng.integers(MONTHS // 3, MONTHS + 1))
        own = PRIOR.own_sigma * rng.standard_normal(len(OWN))
        rows = {law_id: np.tile(year()[law_id], (6, 1))[:months]}
        days = np.asarray(DAYS_PER_MONTH * np.arange(months - 23.0, months + 1.0), dtype=np.float64)
        flat, none = np.full(24, 0.01), np.zeros(24)
        read = Readings(days, days, flat, none, np.zeros(24, dtype=bool))
        h = History(f"v{v}", "c", np.full(months, DAYS_PER_MONTH), rows, read, 0.0)
        soh = predict(h, law, theta, own, FACTOR).soh_frac + flat * rng.standard_normal(24)
        out.append(replace(h, readings=replace(read, soh_frac=soh)))
    return law, tuple(out)


def every_reading(law: Law, histories: tuple[History, ...]) -> CohortData:
    return cohort_data(histories, law, [np.ones(h.readings.days.shape, dtype=bool) for h in histories])


@pytest.mark.parametrize(("law_id", "limit"), [("sei_ec", 0.011), ("sei_interstitial", 0.011), ("nmc_b1_2023", 2e-4)])
def test_slopes_are_those_of_the_range(law_id: str, limit: float) -> None:
    """Against Richardson's of steps of 2 and 4 %; one cell in place of a pack has 0.013 to 0.016 on film laws."""
    law, histories = cohort(law_id)
    data, m = every_reading(law, histories), len(law.multiplier_names)
    own, wide = np.tile(PRIOR.own_mean, (VEHICLES, 1)), 0.04

    def apart(at: FloatArray, step: FloatArray) -> FloatArray:
        low, high = (
            predict_cohort(data, at + x * step[:-1], own + x * np.outer(np.ones(VEHICLES), [step[-1], 0, 0, 0]), FACTOR)
            for x in (-1.0, 1.0)
        )
        return (high.soh_frac - low.soh_frac) / (2.0 * step.sum())

    off, size = np.zeros(m + 3), np.zeros(m + 3)
    for level in (-0.2, 0.0, 0.2):
        at = np.concatenate([np.full(m, level), [0.02, 0.1]])
        found = predict_cohort(data, at, own, FACTOR)
        slopes = np.column_stack([found.by_cohort, found.by_own[:, 0]])
        for k, axis in enumerate(np.eye(m + 3)):
            reference = (4.0 * apart(at, 0.5 * wide * axis) - apart(at, wide * axis)) / 3.0
            off[k] += np.sum((slopes[:, k] - reference) ** 2)
            size[k] += np.sum(reference**2)
    assert np.sqrt(off / size).max() < limit


@pytest.mark.parametrize("law_id", LAWS)
def test_the_optimum_does_not_hang_on_the_start(law_id: str) -> None:
    """With one cell in place of a pack, fits of film laws ended up to 0.9 standard deviations apart.

    Along a flat ridge two ends lie further apart than their densities tell: of 16 made cohorts the furthest end was
    0.05 to 0.1 away in half, 0.43 in one.
    """
    law, histories = cohort(law_id)
    # Scales as stated, so that all starts seek the optimum of one density.
    stated = replace(PRIOR, vehicle_sigma_weight=1e9, noise_weight=1e9)
    first = fit_cohort("c", histories, law, stated)
    data, sigma = every_reading(law, histories), np.sqrt(np.diag(first.covariance))

    def density(fit: CohortFit) -> float:
        own = np.array([fit.vehicle(h.vehicle_id).mean for h in histories])
        return log_posterior(data, fit.mean, own, stated, own_prior(fit.prior_sigma))

    root, ends = np.linalg.cholesky(first.covariance), list[float]()
    for seed in range(6):
        rng = np.random.default_rng(seed)
        scattered = {
            name: replace(v, mean=v.mean + PRIOR.own_sigma * rng.standard_normal(len(OWN)))
            for name, v in first.vehicles.items()
        }
        away = replace(first, mean=first.mean + 3.0 * root @ rng.standard_normal(sigma.size), vehicles=scattered)
        again = fit_cohort("c", histories, law, stated, near=away)
        assert abs(density(again) - density(first)) < 0.15
        ends.append(float(np.abs((again.mean - first.mean) / sigma).max()))
    assert max(ends) < 0.5
