"""One draw is one world; weights follow the evidence but nobody dies; widening only lowers the lower tail."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.domain import FloatArray
from models.ensemble import Widening, Worlds, apply_widening, pack_capacity, stacking_weights, widening, worlds
from models.fleet import fleet_prior, prior_fit
from models.fleet_predict import pack_capacity_frac
from models.forecast import with_cycle_error
from models.laws.power import power_law
from models.parameters import entry
from models.quantiles import weighted_quantile

LAWS = (power_law("nmc_sanyo_2014"), power_law("nmc_b1_2023"))


def test_draws_take_turns_and_weights_sum_to_one() -> None:
    w = worlds({}, "c", "v", LAWS, 101, 1)
    assert w.member.tolist() == [i % 2 for i in range(101)]
    assert w.weight.sum() == pytest.approx(1.0)
    assert w.weight[w.member == 0].sum() == pytest.approx(0.5)
    assert [x.shape for x in w.log_multipliers] == [(51, 2), (50, 2)]
    assert 1.05 < np.median(w.spread_factor) < 1.2
    assert np.all(w.knee >= 0)


def test_vehicles_of_a_cohort_share_its_kinetics() -> None:
    a, b = worlds({}, "c", "v1", LAWS, 4000, 1), worlds({}, "c", "v2", LAWS, 4000, 1)
    other = worlds({}, "d", "v1", LAWS, 4000, 1)
    assert np.array_equal(a.spread_factor, b.spread_factor)
    assert np.array_equal(a.knee, b.knee)
    assert not np.array_equal(a.log_multipliers[0], b.log_multipliers[0])
    assert not np.array_equal(a.spread_factor, other.spread_factor)
    shared = np.corrcoef(a.log_multipliers[0][:, 0], b.log_multipliers[0][:, 0])[0, 1]
    prior = fleet_prior()
    kinetics = LAWS[0].multiplier_sigma[0] ** 2
    own = prior.vehicle_sigma**2 * prior.vehicle_dof / (prior.vehicle_dof - 2.0)  # variance of Student's t
    assert shared == pytest.approx(kinetics / (kinetics + own), abs=0.06)
    again = worlds({}, "c", "v1", LAWS, 4000, 1)
    assert np.array_equal(a.log_multipliers[0], again.log_multipliers[0])


def test_weights_of_the_fit_reach_the_draws() -> None:
    prior = fleet_prior()
    fits = {("c", law.law_id): prior_fit("c", law, prior) for law in LAWS}
    object.__setattr__(fits["c", LAWS[0].law_id], "weight", 0.9)
    object.__setattr__(fits["c", LAWS[1].law_id], "weight", 0.1)
    w = worlds(fits, "c", "v", LAWS, 1001, 1)
    assert w.weight[w.member == 0].sum() == pytest.approx(0.9)


def test_too_few_draws_are_refused() -> None:
    with pytest.raises(ValueError, match="one draw a member"):
        worlds({}, "c", "v", LAWS, 1, 1)


def test_stacking_prefers_the_better_law_and_keeps_the_worse() -> None:
    scores = np.tile([0.0, -20.0, -20.0], (50, 1))
    w = stacking_weights(scores, 0.05, 4.0)
    assert w.sum() == pytest.approx(1.0)
    assert w[0] > 0.85
    assert w.min() >= 0.05
    little = stacking_weights(scores[:1], 0.05, 4.0)
    assert little[0] < 0.6


def test_widening_keeps_the_median_and_only_lowers() -> None:
    by = Widening(0.2, 0.5, 0.2)
    knee = np.maximum(np.random.default_rng(1).standard_normal(2001), 0.0)
    capacity = np.linspace(0.95, 0.6, 40)[None].repeat(2001, axis=0)
    out = apply_widening(capacity, knee, 0.5, by, 0.96)
    assert np.all(out <= capacity)
    assert np.median(out, axis=0) == pytest.approx(capacity[0], abs=1e-3)
    assert np.quantile(out[:, -1], 0.05) < capacity[0, -1] - 0.05
    assert np.array_equal(apply_widening(capacity, knee, 0.0, by)[:, :10], capacity[:, :10])


def test_what_has_happened_is_not_widened() -> None:
    by = widening()
    capacity = np.full((3, 1), 0.7)
    assert np.array_equal(apply_widening(capacity, np.ones(3), 1.0, by, 0.7), capacity)


def test_pack_capacity_applies_spread_and_scale() -> None:
    w = worlds({}, "c", "v", LAWS, 10, 1)
    new = pack_capacity(np.ones((10, 2)), w, np.ones(10))
    assert new == pytest.approx(np.repeat(w.capacity_scale[:, None], 2, axis=1))
    faded = pack_capacity(np.full((10, 1), 0.9), w, np.full(10, 0.9))
    assert w.shape is not None and np.std(w.shape) > 0.1
    bent = 0.05 * (0.1 / 0.05) ** w.shape
    assert faded[:, 0] == pytest.approx(w.capacity_scale * (1 - bent * w.spread_factor))


def test_widening_never_narrows_the_cost_of_export() -> None:
    """On the difference of two policies: only more fade beyond the knee or outside the range adds, never less."""
    by = widening()
    rng = np.random.default_rng(3)
    knee = np.maximum(rng.standard_normal(4001), 0.0)
    base = np.linspace(0.95, 0.75, 30)[None] + rng.normal(0, 0.01, (4001, 1))
    export = base - np.linspace(0.0, 0.03, 30)
    for outside in (0.0, 1.0):
        wide = apply_widening(base, knee, outside, by, 0.95) - apply_widening(export, knee, outside, by, 0.95)
        plain = base - export
        assert np.all(wide >= plain - 1e-12)
        assert np.median(wide[:, -1]) == pytest.approx(np.median(plain[:, -1]), abs=5e-4)
        assert np.quantile(wide[:, -1], 0.9) > np.quantile(plain[:, -1], 0.9) + 1e-3


@pytest.mark.parametrize(
    ("exponent", "spread", "cost_pp"), [(0.75, 0.05, 1.4), (0.75, 0.10, 2.9), (0.5, 0.05, 0.95), (0.5, 0.10, 1.9)]
)
def test_the_weakest_of_96_cells_costs_what_the_prior_says(exponent: float, spread: float, cost_pp: float) -> None:
    """Cells in series whose rates scatter: what the weakest loses beyond the mean at 15 % fade, inside the prior."""
    rng, prior = np.random.default_rng(7), fleet_prior()
    law = replace(power_law("nmc_sanyo_2014"), exponents=(exponent, 0.5))
    e = np.zeros((1, 1, 4))
    e[0, 0, 0] = 0.15 ** (1.0 / exponent)
    logs = np.zeros((400 * 96, 2))
    logs[:, 0] = exponent * rng.normal(0.0, spread, 400 * 96)  # a rate m times as fast multiplies k by m^p
    loss = 1.0 - law.project(e, np.array([1.0]), logs).capacity_frac.reshape(400, 96)
    extra_pp = 100.0 * float(np.mean(loss.max(axis=1) - loss.mean(axis=1)))
    assert extra_pp == pytest.approx(cost_pp, abs=0.15)
    assert abs(np.log((1.0 + extra_pp / 15.0) / prior.spread_factor)) < 2.05 * prior.spread_log_sigma


@settings(deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=2, max_size=40), st.floats(0.01, 0.99))
def test_equal_weights_give_ordinary_quantiles(values: list[float], q: float) -> None:
    x = np.array(values)
    assert weighted_quantile(x, np.ones(x.shape), q) == pytest.approx(np.quantile(x, q, method="hazen"), abs=1e-9)


def test_a_weight_counts_like_copies() -> None:
    x, w = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]), np.array([1.0, 1.0, 8.0])
    median = weighted_quantile(x, w, 0.5)
    assert median.shape == (2,)
    assert median[0] > 2.7
    assert weighted_quantile(x, w, [0.1, 0.5]).shape == (2, 2)


def test_the_pace_widens_what_is_to_come_alone() -> None:
    w = replace(worlds({}, "c", "v", LAWS, 400, 1), knee=np.zeros(400), outside_frac=np.zeros(400))
    now, cell, years = np.full(400, 0.95), np.tile([0.95, 0.90, 0.85], (400, 1)), np.array([0.0, 3.0, 6.0])
    plain, paced = pack_capacity(cell, w, now), pack_capacity(cell, w, now, years)
    assert np.array_equal(paced[:, 0], plain[:, 0])
    assert w.pace is not None and np.all((paced - plain)[:, 1] * w.pace <= 0)
    assert abs(np.median(paced[:, 2] - plain[:, 2])) < 0.004
    assert np.std(paced[:, 2]) > np.std(plain[:, 2])


def test_the_error_of_a_cycle_is_of_either_sign_and_as_large_as_stated() -> None:
    e = entry("ensemble", "difference")
    w, other = (worlds({}, "c", v, LAWS, 200, 7) for v in ("v1", "v2"))
    assert w.cycle_error_frac is not None and other.cycle_error_frac is not None
    sigma = e.number("wear_error_ratio") * e.number("wear_per_cycle_frac")
    assert w.cycle_error_frac.std() == pytest.approx(sigma, rel=0.02)
    assert abs(np.median(w.cycle_error_frac)) < 0.01 * sigma
    assert np.array_equal(w.cycle_error_frac, other.cycle_error_frac)  # one world for a cohort


def plain_pack(cell: FloatArray, w: Worlds, now: FloatArray, years: FloatArray, cycles: FloatArray) -> FloatArray:
    """What `pack_capacity` and `with_cycle_error` compile, told with whole arrays."""
    assert w.shape is not None and w.pace is not None and w.cycle_error_frac is not None
    pack = pack_capacity_frac(cell, w.spread_factor[:, None], w.shape[:, None])
    today = pack_capacity_frac(now, w.spread_factor, w.shape)[:, None]
    pack = today + (pack - today) * np.exp(w.pace[:, None] * np.sqrt(years))
    lost, so_far = np.maximum(1.0 - pack, 0.0), np.maximum(1.0 - today, 0.0)
    extra = w.by.knee_sigma * np.maximum(lost - np.maximum(so_far, w.by.knee_from_frac), 0.0)
    extra = extra + w.by.outside_sigma * w.outside_frac[:, None] * np.maximum(lost - so_far, 0.0)
    pack = np.maximum(pack - w.knee[:, None] * extra, 0.0)
    pack = pack * w.capacity_scale[:, None] + w.residual_shift_frac[:, None]
    wear = np.outer(w.cycle_error_frac, cycles)
    return np.maximum(pack - np.maximum(wear, np.minimum(pack - pack[:, :1], 0.0)), 0.0)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), draws=st.integers(2, 60), periods=st.integers(1, 40))
def test_the_compiled_pack_is_the_plain_one(seed: int, draws: int, periods: int) -> None:
    rng = np.random.default_rng(seed)
    w = replace(worlds({}, "c", "v", LAWS, draws, seed), outside_frac=rng.random(draws))
    cell = 1.02 - np.sort(rng.random((draws, periods)), axis=1) * rng.random((draws, 1))
    years, cycles = np.arange(periods) / 12, np.cumsum(rng.normal(0.0, 20.0, periods))
    got = with_cycle_error(pack_capacity(cell, w, cell[:, 0].copy(), years), w, cycles)
    wanted = plain_pack(cell, w, cell[:, 0].copy(), years, cycles) if cycles.any() else got
    assert np.abs(got - wanted).max() < 1e-14


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), draws=st.integers(1, 50), coarse=st.booleans())
def test_compiled_quantiles_are_those_of_interp(seed: int, draws: int, coarse: bool) -> None:
    rng = np.random.default_rng(seed)
    x, w = rng.normal(size=(draws, 3)), rng.random(draws) * (rng.random(draws) < 0.8) + 1e-12
    x = np.round(x) if coarse else x
    q = np.array([0.0, 0.1, 0.5, rng.random(), 1.0])
    got = weighted_quantile(x, w, q.tolist())
    for c in range(3):
        order = np.argsort(x[:, c], kind="stable")
        middle = (np.cumsum(w[order]) - 0.5 * w[order]) / w[order].sum()
        assert got[:, c] == pytest.approx(np.interp(q, middle, x[order, c]), abs=1e-12)
