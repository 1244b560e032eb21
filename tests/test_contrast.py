"""Weights on the difference stay equal unless throughput really differs and the gain is clear on unseen vehicles."""

from __future__ import annotations

import numpy as np
import pytest

from models.contrast import cohort_difference_weights, contrast_terms, difference_weights, throughput_contrast
from models.domain import History, Readings
from models.evidence import fit_fleet
from models.fleet import fleet_prior, prior_fit
from models.forecast import Fan, difference_quantiles
from models.laws.power import power_law

TERMS = contrast_terms()
WEAR = (0.0, 2.6e-5, 9.0e-5)  # what three laws say a full cycle costs
NOISE = 0.018  # vehicle's offset, pack scatter and readings together


def cohort(seed: int, vehicles: int, spread: float, truth: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Errors of three laws that differ in wear alone, on cars of four years."""
    rng = np.random.default_rng(seed)
    cycles = np.maximum(rng.normal(60.0, spread, vehicles), 0.0) * 4.0
    scatter = rng.normal(0.0, NOISE, vehicles)
    error = np.column_stack([scatter - (truth - w) * cycles for w in WEAR])
    years = np.full(vehicles, 4.0)
    contrast = throughput_contrast(cycles, years, np.full(vehicles, NOISE), TERMS.wear_per_cycle_frac)
    return error, np.full(error.shape, NOISE), contrast


def test_a_cohort_used_alike_never_sets_the_weights() -> None:
    for seed in range(300):
        for truth in WEAR:
            assert difference_weights(*cohort(seed, 60, 15.0, truth), TERMS) is None


def test_with_contrast_but_laws_that_agree_weights_stay_equal() -> None:
    """Three copies of one law: nothing can be gained, whatever the contrast."""
    for seed in range(100):
        error, sigma, contrast = cohort(seed, 200, 120.0, WEAR[1])
        assert contrast > TERMS.contrast_from
        assert difference_weights(np.repeat(error[:, 1:2], 3, axis=1), sigma, contrast, TERMS) is None


def test_clear_contrast_hardly_ever_favours_the_wrong_law() -> None:
    """Where the check passes, the law nearest the truth has the most weight: at least 19 times in 20."""
    for truth in (0, 2):
        found = [difference_weights(*cohort(seed, 200, 120.0, WEAR[truth]), TERMS) for seed in range(100)]
        passed = [w for w in found if w is not None]
        assert len(passed) >= 20
        right = sum(int(np.argmax(w)) == truth for w in passed)
        assert right >= 0.95 * len(passed)
        assert all(w.min() >= TERMS.weight_floor - 1e-12 and w.sum() == pytest.approx(1.0) for w in passed)


def test_few_vehicles_say_nothing() -> None:
    error, sigma, _ = cohort(1, 7, 200.0, WEAR[2])
    assert difference_weights(error, sigma, 99.0, TERMS) is None


def history(name: str, cycles_per_year: float, laws: tuple, soh: float) -> History:
    months = 48
    e = np.zeros((months, 4))
    e[:, 0], e[:, 1] = 4.6e-3 / 12, 1e-6 * cycles_per_year / 12
    e[:, 2], e[:, 3] = 30.4375, cycles_per_year / 12
    days = np.array([700.0, 1100.0, 1400.0])
    sigma = np.full(3, 0.01)
    readings = Readings(days, np.full(3, soh), sigma, np.zeros(3), np.zeros(3, dtype=bool))
    return History(name, "c", np.full(months, 30.4375), {law.law_id: e.copy() for law in laws}, readings, 0.0)


def test_a_cohort_of_alike_cars_is_told_equal_weights() -> None:
    laws = (power_law("nmc_b1_2023"), power_law("nmc111_kokam_2017"))
    cars = [history(f"v{i}", 50.0 + i, laws, 0.93) for i in range(10)]
    assert cohort_difference_weights(cars, laws, [prior_fit("c", law, fleet_prior()) for law in laws]) is None
    fleet = fit_fleet({c.vehicle_id: c for c in cars[:3]}, {"c": laws})
    assert all(f.difference_weight is None for f in fleet.fits.values())


def test_quantiles_of_the_difference_follow_the_weights() -> None:
    base, export = np.full((4, 2), 0.9), np.array([[0.9, 0.89], [0.9, 0.88], [0.9, 0.87], [0.9, 0.80]])
    fan = Fan(("no_export_smart", "x"), np.stack([base, export]).astype(np.float32), np.ones(4))
    equal = difference_quantiles(fan, "x", [1])[0]
    assert equal[1] == pytest.approx(2.5, abs=1e-4)
    told = difference_quantiles(fan, "x", [1], weight=np.array([0.9, 0.04, 0.03, 0.03]))[0]
    assert told[1] < 1.5
