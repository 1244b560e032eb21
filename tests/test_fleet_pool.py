"""Cohorts of one kind of cell teach each other; what a cohort scatters is estimated; weak cars bend nobody's fade."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.contrast import cohort_contrast
from models.domain import DAYS_PER_MONTH, History, Readings
from models.evidence import fit_fleet
from models.fleet import CohortFit, fleet_prior, prior_fit
from models.fleet_fit import fit_cohort
from models.fleet_pool import held_sigma, own_prior, pooled_priors, released
from models.fleet_predict import offset_powers, own_log_multipliers, pack_capacity_frac
from models.laws.power import power_law
from models.laws.registry import get

PRIOR = fleet_prior()
LAW = power_law("nmc_b1_2023")
MONTHS = 24


def car(v: int, cohort: str, rate: float, age_months: int, rng: np.random.Generator, **more: float) -> History:
    """A car whose loss is that of the law times a rate, read monthly for two years with an error of its own."""
    life = np.tile([3.0e-4 * more.get("speed", 1.0), 2.0e-5, DAYS_PER_MONTH, 6.0], (age_months, 1))
    cell = LAW.project(life[None], np.ones(1), np.zeros((1, 2))).capacity_frac[0]
    month = np.arange(age_months - MONTHS, age_months)
    bms = bool(more.get("bms", 0.0))
    truth = pack_capacity_frac(1.0 - rate * (1.0 - cell[month]), PRIOR.spread_factor)
    soh = truth + more.get("offset", 0.0) + more.get("noise", 0.004) * rng.standard_normal(MONTHS)
    stated, flags = np.full(MONTHS, more.get("stated", 0.004)), np.full(MONTHS, bms)
    readings = Readings((month + 1.0) * DAYS_PER_MONTH, soh, stated, np.zeros(MONTHS), flags)
    return History(f"{cohort}{v}", cohort, np.full(age_months, DAYS_PER_MONTH), {LAW.law_id: life}, readings, 0.0)


def cohort(name: str, cars: int, seed: int, weak_oldest: int = 0, **more: float) -> list[History]:
    rng = np.random.default_rng(seed)
    ages = np.linspace(26, 72, cars).astype(int)
    rates = np.exp(0.1 * rng.standard_normal(cars))
    if weak_oldest:
        rates[-weak_oldest:] *= 2.4
    return [car(v, name, float(rates[v]), int(ages[v]), rng, **more) for v in range(cars)]


def test_cars_of_a_weak_batch_do_not_bend_the_fade_of_all() -> None:
    """The oldest two of ten fade 2.4 times as fast: theirs is an offset, not the cohort's course in time."""
    sound, weak = fit_cohort("c", cohort("c", 10, 3), LAW, PRIOR), fit_cohort("c", cohort("c", 10, 3, 2), LAW, PRIOR)
    assert abs(weak.mean[-1] - sound.mean[-1]) < 0.25
    offsets = np.array([weak.vehicle(f"c{v}").mean[0] for v in range(10)])
    assert offsets[-2:].min() > 0.4 > offsets[:-2].max()


def test_an_offset_multiplies_the_loss_whatever_the_bend() -> None:
    """Exactly for a power law and for a film under mixed control, bent or not."""
    life = np.tile([3.0e-4, 2.0e-5, DAYS_PER_MONTH, 6.0], (60, 1))
    for bend in (0.0, 0.4):
        theta = np.array([0.1, -0.2, 0.0, bend])
        said = []
        for offset in (0.0, 0.7):
            logs = own_log_multipliers(LAW, theta, offset)[None]
            cell = LAW.project(life[None], np.ones(1), logs).capacity_frac[0]
            said.append(1.0 - pack_capacity_frac(cell, 1.0, np.exp(bend)))
        assert said[1] == pytest.approx(np.exp(0.7) * said[0], rel=1e-9)
    assert offset_powers(get("sei_ec", "nmc811_lgm50")).tolist() == [1.0, 2.0, 1.0]


def test_the_scatter_of_readings_is_estimated_and_calibrates_held_out_ranges() -> None:
    """Stated 3 %, scattered 1 %: the fit says so, and 80 % ranges of readings not seen hold about as many."""
    cars = {h.vehicle_id: h for h in cohort("c", 16, 5, noise=0.010, stated=0.03)}
    fleet = fit_fleet(cars, {"c": [LAW]})
    fit = fleet.fits["c", LAW.law_id]
    assert fit.prior.noise_anchored == pytest.approx(0.36, abs=0.08)
    assert 0.7 < (fit.heldout_inside_80_frac or 0.0) < 0.92
    true = fit_cohort("c", cohort("c", 16, 5, noise=0.010, stated=0.010), LAW, PRIOR)
    assert true.prior.noise_anchored == pytest.approx(1.0, abs=0.12)
    # A single wild reading does not speak for all.
    first = next(iter(cars.values()))
    wild = replace(first, readings=replace(first.readings, soh_frac=first.readings.soh_frac - 0.3 * np.eye(MONTHS)[3]))
    spoilt = fit_cohort("c", [wild, *list(cars.values())[1:]], LAW, PRIOR)
    assert spoilt.prior.noise_anchored == pytest.approx(fit.prior.noise_anchored, rel=0.1)


def test_the_offsets_of_bms_are_learned_where_there_are_anchored_readings_too() -> None:
    rng = np.random.default_rng(8)
    both = cohort("c", 12, 8)
    both += [car(90 + k, "c", 1.0, 40, rng, bms=1.0, offset=0.03) for k in range(12)]
    fit = fit_cohort("c", both, LAW, PRIOR)
    assert 0.012 < fit.prior.bms_offset_mean < 0.035
    alone = fit_cohort("c", both[12:], LAW, PRIOR)
    assert alone.prior.bms_offset_mean == PRIOR.bms_offset_mean


def test_cohorts_of_one_kind_of_cell_teach_each_other() -> None:
    """A cohort of two cars follows twenty of another climate; twenty cars of its own hardly move."""
    many, few = cohort("many", 20, 11, speed=2.2), cohort("few", 2, 12, speed=2.2, noise=0.02, stated=0.02)
    cars = {h.vehicle_id: h for h in many + few}
    together = fit_fleet(cars, {"many": [LAW], "few": [LAW]}).fits
    a, b = (together[c, LAW.law_id] for c in ("many", "few"))
    alone = fit_fleet({h.vehicle_id: h for h in few}, {"few": [LAW]}).fits["few", LAW.law_id]
    crowd = fit_fleet({h.vehicle_id: h for h in many}, {"many": [LAW]}).fits["many", LAW.law_id]
    assert b.shrinkage[-1] < 0.8 * alone.shrinkage[-1]
    assert np.all(np.abs(crowd.mean - a.mean) < 0.5 * np.sqrt(np.diag(a.covariance)))


def test_a_cohort_without_readings_learns_from_its_mates() -> None:
    none = Readings(np.empty(0), np.empty(0), np.empty(0), np.empty(0), np.empty(0, dtype=bool))
    empty = replace(cohort("new", 1, 1)[0], readings=none)
    many = cohort("many", 20, 11)
    fits = fit_fleet({h.vehicle_id: h for h in [*many, empty]}, {"many": [LAW], "new": [LAW]}).fits
    new, old = fits["new", LAW.law_id], fits["many", LAW.law_id]
    assert new.readings == 0
    assert old.shrinkage[-1] < new.shrinkage[-1] < 0.8
    assert new.mean[-1] == pytest.approx(old.mean[-1], abs=0.1)


def test_pooled_priors_are_those_of_the_joint_normal_model() -> None:
    """Against the covariance of all cohorts' parameters written out; nothing in common gives the own prior."""
    rng = np.random.default_rng(4)
    start = prior_fit("c", LAW, PRIOR)
    c, fits, data = start.mean.shape[0], [], []
    for k in range(3):
        root = rng.standard_normal((c, c))
        information, linear = root @ root.T, rng.standard_normal(c)
        both = information + np.diag(1.0 / start.prior_sigma**2)
        mean = np.linalg.solve(both, linear)
        fits.append(CohortFit(f"c{k}", LAW.law_id, start.names, start.prior_sigma, mean, np.linalg.inv(both), PRIOR))
        data.append((information, linear))
    p = np.diag(start.prior_sigma**2)
    joint = np.kron(np.full((3, 3), 0.8), p) + np.kron(0.2 * np.eye(3), p)
    information = np.zeros((3 * c, 3 * c))
    for k in (1, 2):
        information[k * c : (k + 1) * c, k * c : (k + 1) * c] = data[k][0]
    linear = np.concatenate([np.zeros(c), data[1][1], data[2][1]])
    posterior = np.linalg.inv(np.linalg.inv(joint) + information)
    found = pooled_priors(fits, 0.8)[0]
    assert found.mean == pytest.approx((posterior @ linear)[:c], rel=1e-8)
    assert np.linalg.inv(found.precision) == pytest.approx(posterior[:c, :c], rel=1e-8)
    apart = pooled_priors(fits, 0.0)[0]
    assert apart.precision == pytest.approx(own_prior(start.prior_sigma).precision, rel=1e-6)


def test_readings_without_contrast_in_throughput_do_not_move_the_cost_of_a_cycle() -> None:
    """All cars driven alike and a fade that is straighter than the law's: held at its prior, and as unsure as that."""
    alike = cohort("c", 12, 21)
    assert cohort_contrast(alike, [LAW], PRIOR, 2.6e-5) < 0.05
    k = LAW.multiplier_names.index("cycling")
    held = fit_fleet({h.vehicle_id: h for h in alike}, {"c": [LAW]}).fits["c", LAW.law_id]
    assert abs(held.mean[k]) < 0.1 * held.prior_sigma[k]
    assert held.shrinkage[k] == pytest.approx(1.0)
    # Forty cars, half of them driven ten times as much: seen, hence learned.
    rng = np.random.default_rng(22)
    apart = []
    for v, h in enumerate([car(v, "c", 1.0, 60, rng) for v in range(40)]):
        life = h.exposures[LAW.law_id] * np.array([1.0, 1.0, 1.0, 1.0 if v % 2 else 10.0])
        apart.append(replace(h, exposures={LAW.law_id: life}))
    assert cohort_contrast(apart, [LAW], PRIOR, 2.6e-5) > 1.0
    learned = fit_fleet({h.vehicle_id: h for h in apart}, {"c": [LAW]}).fits["c", LAW.law_id]
    assert learned.shrinkage[k] < 0.9


def test_a_released_cost_takes_along_what_it_is_bound_to() -> None:
    """Releasing gives the marginal of the prior and keeps what the readings say given the cost of a cycle."""
    start = prior_fit("c", LAW, PRIOR)
    fit = fit_cohort("c", cohort("c", 12, 21), LAW, PRIOR, about=own_prior(held_sigma(start)))
    free, k = released(fit), start.names.index("cycling")
    rest = [i for i in range(len(start.names)) if i != k]
    assert free.covariance[k, k] == pytest.approx(start.prior_sigma[k] ** 2)
    assert free.covariance[rest, k] / free.covariance[k, k] == pytest.approx(
        fit.covariance[rest, k] / fit.covariance[k, k]
    )

    def given(c: np.ndarray) -> np.ndarray:
        return c[np.ix_(rest, rest)] - np.outer(c[rest, k], c[rest, k]) / c[k, k]

    assert given(free.covariance) == pytest.approx(given(fit.covariance), rel=1e-8)
    assert np.linalg.eigvalsh(free.covariance).min() > 0
