"""The hierarchical fit finds what was put in, shrinks where it should, and is the prior where nothing was read."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import least_squares

from models.domain import DAYS_PER_MONTH, History, Readings
from models.fleet import CohortFit, fleet_prior, prior_fit
from models.fleet_fit import fit_cohort
from models.fleet_predict import OWN, SHAPE_LOSS_FRAC, pack_capacity_frac, predict
from models.laws.power import power_law

PRIOR = fleet_prior()
LAW = power_law("nmc_sanyo_2014")
MONTH = np.array([4.6e-3 / 12, 1.06e-3 / 12, DAYS_PER_MONTH, 6.0])
NONE = Readings(np.empty(0), np.empty(0), np.empty(0), np.empty(0), np.empty(0, dtype=bool))


def simulated(
    vehicles: int, months: int, seed: int, sigma: float = 0.01, bms: bool = False, shared: float = 0.0
) -> tuple[list, np.ndarray]:
    """Vehicles whose truth is the law with known multipliers, offsets and noise; returns histories and theta.

    ``sigma`` is the noise of each reading, ``shared`` the error that all readings of a vehicle have in common.
    """
    rng = np.random.default_rng(seed)
    theta = np.array([0.35, -0.25, 0.0, 0.0])
    out = []
    for v in range(vehicles):
        own = np.array([0.15, 0.015, 0.04]) * rng.standard_normal(3)
        own = np.append(own, np.random.default_rng([seed, v]).standard_normal())
        use = np.exp(0.4 * rng.standard_normal())
        exposures = np.tile(MONTH, (months, 1)) * np.array([1.0, use, 1.0, use])
        empty = History(f"v{v}", "c", np.full(months, DAYS_PER_MONTH), {LAW.law_id: exposures}, NONE, 0.0)
        days = (np.arange(months) + 1.0) * DAYS_PER_MONTH
        flags = np.full(months, bms)
        common = np.full(months, shared)
        blank = Readings(days, days, days, common, flags)
        at = History(f"v{v}", "c", empty.period_days, empty.exposures, blank, 0.0)
        truth = predict(at, LAW, theta, own, PRIOR.spread_factor).soh_frac
        soh = truth + sigma * rng.standard_normal(months)
        readings = Readings(days, soh, np.hypot(np.full(months, sigma), common), common, flags)
        out.append(History(f"v{v}", "c", empty.period_days, empty.exposures, readings, 0.0))
    return out, theta


def test_recovers_the_cohorts_rates() -> None:
    histories, theta = simulated(40, 36, 1)
    fit = fit_cohort("c", histories, LAW, PRIOR)
    assert fit.shrinkage[0] < 0.5  # the exponent of the curve takes its share
    assert np.all(np.abs(fit.mean - theta) < 3.0 * np.sqrt(np.diag(fit.covariance)))
    straight = fit_cohort("c", histories, LAW, replace(PRIOR, shape_log_sigma=1e-4))
    assert abs(straight.mean[0] - theta[0]) < 0.1


def test_one_car_of_a_weak_batch_does_not_drag_its_cohort() -> None:
    histories, _ = simulated(12, 36, 7)
    h = histories[0]
    fast = replace(h, readings=replace(h.readings, soh_frac=1 - 2.4 * (1 - h.readings.soh_frac)))
    plain = fit_cohort("c", histories, LAW, PRIOR)
    robust = fit_cohort("c", [fast, *histories[1:]], LAW, PRIOR)
    normal = fit_cohort("c", [fast, *histories[1:]], LAW, replace(PRIOR, vehicle_dof=1e9))
    assert abs(robust.mean[0] - plain.mean[0]) < abs(normal.mean[0] - plain.mean[0])
    assert robust.vehicle("v0").mean[0] > normal.vehicle("v0").mean[0]


@pytest.mark.parametrize("shared", [0.0, 0.03])
def test_agrees_with_scipy(shared: float) -> None:
    histories, _ = simulated(3, 12, 5, sigma=0.004, shared=shared)
    # So many degrees are a normal prior; so many stated vehicles and readings leave its scales as stated.
    stated = replace(PRIOR, vehicle_dof=1e9, vehicle_sigma_weight=1e9, noise_weight=1e9)
    fit = fit_cohort("c", histories, LAW, stated)
    n, k = len(fit.mean), len(OWN)

    def residuals(x: np.ndarray) -> np.ndarray:
        parts = [x[:n] / fit.prior_sigma, x[n:] / np.tile(PRIOR.own_sigma, 3)]
        for i, h in enumerate(histories):
            p = predict(h, LAW, x[:n], x[n + k * i : n + k * i + k], PRIOR.spread_factor).soh_frac
            parts.append((p - h.readings.soh_frac) / np.hypot(0.004, PRIOR.reading_floor_sigma))
        return np.concatenate(parts)

    reference = least_squares(residuals, np.zeros(n + k * 3), xtol=1e-12, ftol=1e-12)
    assert fit.mean == pytest.approx(reference.x[:n], abs=1e-3)
    covariance = np.linalg.inv(reference.jac.T @ reference.jac)
    assert np.sqrt(np.diag(fit.covariance)) == pytest.approx(np.sqrt(np.diag(covariance))[:n], rel=1e-2)


def test_the_interval_covers() -> None:
    """Held-out months of simulated fleets lie in the 80 % interval about as often as said."""
    inside = []
    for seed in range(6):
        histories, _ = simulated(8, 30, 10 + seed)
        masks = [np.arange(30) < 12 for _ in histories]
        fit = fit_cohort("c", histories, LAW, PRIOR, masks)
        for h in histories:
            d = fit.draw(LAW, h.vehicle_id, 400, 1)
            cell = LAW.project(h.exposures[LAW.law_id][None], np.array([1.0]), d.log_multipliers).capacity_frac[:, -1]
            pack = d.capacity_scale * pack_capacity_frac(cell, d.spread_factor, d.shape)
            pack = pack + 0.01 * np.random.default_rng(seed).standard_normal(400)
            low, high = np.quantile(pack, [0.1, 0.9])
            inside.append(low <= h.readings.soh_frac[-1] <= high)
    assert 0.6 <= np.mean(inside) <= 0.97


def test_what_all_readings_share_is_neither_noise_nor_capacity() -> None:
    """Readings of one car that are 5 pp too high: believed of the readings (stated so), not of the car."""
    histories, _ = simulated(8, 24, 15, sigma=0.006, shared=0.03)
    h = histories[0]
    assert h.readings.fresh_sigma_frac == pytest.approx(np.full(24, 0.006))
    high = replace(h, readings=replace(h.readings, soh_frac=h.readings.soh_frac + 0.05))
    whole = replace(PRIOR, anchored_scale=1.0)
    before, after = fit_cohort("c", histories, LAW, whole), fit_cohort("c", [high, *histories[1:]], LAW, whole)
    moved = after.vehicle("v0").mean - before.vehicle("v0").mean
    assert 0.03 * moved[3] > 0.6 * 0.05
    assert (
        after.draw(LAW, "v0", 400, 1).capacity_scale.mean() - before.draw(LAW, "v0", 400, 1).capacity_scale.mean()
        < 0.02
    )
    # Twenty-four readings with one common error do not tell the capacity better than that error allows.
    known = np.sqrt(after.vehicle("v0").covariance[1, 1])
    alone = 1.0 / np.hypot(1.0 / PRIOR.capacity_scale_sigma, 1.0 / 0.03)
    assert alone * 0.95 < known <= PRIOR.capacity_scale_sigma


@pytest.mark.parametrize("shared", [0.0, 0.05])
def test_a_single_reading_keeps_the_vehicle_near_its_prior(shared: float) -> None:
    histories, _ = simulated(3, 1, 16, sigma=0.006, shared=shared)
    fit = fit_cohort("c", histories, LAW, PRIOR)
    v = fit.vehicle("v0")
    assert np.all(np.isfinite(v.mean)) and np.all(np.linalg.eigvalsh(v.covariance) > 0)
    assert np.all(np.abs(v.mean) < 3 * PRIOR.own_sigma)
    assert fit.vehicle_shrinkage("v0") > 0.85  # 0.894 without any reading: the curvature of Student's t at its middle


def test_nothing_read_leaves_the_prior() -> None:
    histories, _ = simulated(2, 6, 3)
    empty = [History(h.vehicle_id, "c", h.period_days, h.exposures, NONE, 0.0) for h in histories]
    fit = fit_cohort("c", empty, LAW, PRIOR)
    assert np.array_equal(fit.covariance, prior_fit("c", LAW, PRIOR).covariance)
    assert np.array_equal(fit.shrinkage, np.ones(4))
    assert fit.vehicle_shrinkage("v0") == pytest.approx(1.0)


def test_bms_readings_teach_less_than_anchored_ones() -> None:
    measured, _ = simulated(6, 24, 7)
    reported, _ = simulated(6, 24, 7, bms=True)
    a, b = fit_cohort("c", measured, LAW, PRIOR), fit_cohort("c", reported, LAW, PRIOR)
    assert a.vehicle("v0").covariance[1, 1] < b.vehicle("v0").covariance[1, 1]
    assert b.vehicles["v0"].readings == 0 and b.vehicles["v0"].readings_bms == 24


def test_the_cohort_is_shared_and_vehicles_are_not() -> None:
    histories, _ = simulated(4, 12, 9)
    fit = fit_cohort("c", histories, LAW, PRIOR)
    first, again, other = fit.draw(LAW, "v0", 500, 1), fit.draw(LAW, "v0", 500, 1), fit.draw(LAW, "v1", 500, 1)
    assert np.array_equal(first.log_multipliers, again.log_multipliers)
    assert np.array_equal(first.spread_factor, other.spread_factor)
    assert np.array_equal(first.shape, other.shape)
    assert not np.array_equal(first.log_multipliers, other.log_multipliers)


def test_a_car_without_readings_keeps_the_tails_of_its_prior() -> None:
    fit = fit_cohort("c", simulated(4, 12, 9)[0], LAW, PRIOR)
    a, b = fit.draw(LAW, "new a", 8000, 1), fit.draw(LAW, "new b", 8000, 1)
    # The cohort's part is the same in both, its bend included.
    drawn = a.shape * (a.log_multipliers[:, 0] - b.log_multipliers[:, 0]) / np.sqrt(2.0)
    reference = fit.prior.vehicle_sigma * stats.t(PRIOR.vehicle_dof).rvs((8000, 2), random_state=1)
    wanted = np.diff(reference, axis=1)[:, 0] / np.sqrt(2.0)
    assert np.quantile(np.abs(drawn), [0.5, 0.8, 0.98]) == pytest.approx(
        np.quantile(np.abs(wanted), [0.5, 0.8, 0.98]), rel=0.08
    )


def test_draws_of_a_known_car_agree_with_its_posterior() -> None:
    fit = fit_cohort("c", simulated(10, 30, 9)[0], LAW, PRIOR)
    v = fit.vehicle("v3")
    total = v.covariance + v.slope @ fit.covariance @ v.slope.T
    drawn = fit.draw(LAW, "v3", 8000, 1)
    scale = drawn.capacity_scale - 1.0
    assert scale.mean() == pytest.approx(v.mean[1], abs=0.1 * np.sqrt(total[1, 1]))
    assert np.std(scale) == pytest.approx(np.sqrt(total[1, 1]), rel=0.1)
    offset = drawn.log_multipliers[:, 0] - fit.draw(LAW, "v0", 8000, 1).log_multipliers[:, 0]
    assert abs(offset.mean() - (v.mean[0] - fit.vehicle("v0").mean[0])) < 0.2 * np.sqrt(total[0, 0])


def test_the_spread_between_vehicles_is_estimated() -> None:
    """Drawn with a scale of 0.15: found from many cars, two leave the stated one."""
    many, _ = simulated(60, 36, 31, sigma=0.004)
    fit = fit_cohort("c", many, LAW, replace(PRIOR, vehicle_sigma=0.4))
    assert fit.prior.vehicle_sigma == pytest.approx(0.15, rel=0.35)
    few = fit_cohort("c", many[:2], LAW, replace(PRIOR, vehicle_sigma=0.4))
    assert few.prior.vehicle_sigma > 0.25


def test_a_course_in_time_that_the_law_has_not_is_learned() -> None:
    histories, theta = simulated(30, 48, 33, sigma=0.004)
    bent = []
    for h in histories:
        loss = 1 - h.readings.soh_frac
        soh = 1 - np.where(loss > 0, SHAPE_LOSS_FRAC * (np.maximum(loss, 0) / SHAPE_LOSS_FRAC) ** 1.4, loss)
        bent.append(replace(h, readings=replace(h.readings, soh_frac=soh)))
    straight, curved = fit_cohort("c", histories, LAW, PRIOR), fit_cohort("c", bent, LAW, PRIOR)
    assert curved.mean[-1] - straight.mean[-1] > 0.15
    assert curved.shrinkage[-1] < 0.7 and theta[-1] == 0.0


def test_more_vehicles_shrink_more() -> None:
    few = fit_cohort("c", simulated(3, 24, 2)[0], LAW, PRIOR)
    many = fit_cohort("c", simulated(24, 24, 2)[0], LAW, PRIOR)
    assert many.shrinkage[0] < few.shrinkage[0] < 1.0
    assert isinstance(many, CohortFit)


def test_forty_vehicles_with_sixty_readings_are_quick() -> None:
    histories, _ = simulated(40, 60, 4)
    began = time.process_time()
    fit_cohort("c", histories, LAW, PRIOR)
    assert time.process_time() - began < 3.0


def test_an_outlier_moves_little() -> None:
    histories, _ = simulated(8, 24, 11, sigma=0.005)
    clean = fit_cohort("c", histories, LAW, PRIOR)
    r = histories[0].readings
    soh = r.soh_frac.copy()
    soh[5] -= 0.3
    bad = History(
        "v0",
        "c",
        histories[0].period_days,
        histories[0].exposures,
        replace(r, soh_frac=soh),
        0.0,
    )
    spoilt = fit_cohort("c", [bad, *histories[1:]], LAW, PRIOR)
    assert abs(spoilt.mean[0] - clean.mean[0]) < 0.1
