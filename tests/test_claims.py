"""Claims: sums within a draw, expected values, intervals, reserve."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.claims import (
    NEVER,
    ClaimTotals,
    claim_terms,
    fates,
    over_forecast,
    pack_price_draws,
    split_triangular_mean,
    summarise,
    vehicle_claims,
)
from models.resale import split_triangular

DRAWS, QUARTERS, TESTS = 2000, 41, 8
TERMS = claim_terms()
WEIGHT = np.full(DRAWS, 1 / DRAWS)
PRICE = pack_price_draws(TERMS, DRAWS, 1)
TEST_QUARTER = np.arange(4, 4 * TESTS + 1, 4)


def found_with(p: float, shared: bool) -> np.ndarray:
    """Probability by test; `shared`: all the risk in a tenth of the worlds."""
    out = np.full((DRAWS, TESTS), p / TESTS)
    if shared:
        out[:] = 0
        out[: DRAWS // 10] = min(10 * p, 1.0) / TESTS
    return out


def totals_of(vehicles: int, p: float, shared: bool = False, seed: int = 1) -> ClaimTotals:
    totals = ClaimTotals.empty(QUARTERS, DRAWS)
    for v in range(vehicles):
        luck = fates(DRAWS, seed, f"v{v}")
        one = vehicle_claims(found_with(p, shared), TEST_QUARTER, QUARTERS, WEIGHT, luck.find)
        totals.add(one, luck, 60.0, PRICE, TERMS)
    return totals


def test_sampled_fates_have_the_expected_frequency():
    luck = fates(DRAWS, 1, "v")
    one = vehicle_claims(found_with(0.3, False), TEST_QUARTER, QUARTERS, WEIGHT, luck.find)
    assert one.expected.sum() == pytest.approx(0.3)
    assert (one.quarter != NEVER).mean() == pytest.approx(0.3, abs=0.04)
    assert set(one.quarter[one.quarter != NEVER].tolist()) <= set(TEST_QUARTER.tolist())


def test_claims_are_additive():
    """Two cohorts together are the sum of both, in every draw."""
    a, b, both = ClaimTotals.empty(QUARTERS, DRAWS), ClaimTotals.empty(QUARTERS, DRAWS), totals_of(6, 0.2)
    for v in range(6):
        luck = fates(DRAWS, 1, f"v{v}")
        one = vehicle_claims(found_with(0.2, False), TEST_QUARTER, QUARTERS, WEIGHT, luck.find)
        (a if v < 2 else b).add(one, luck, 60.0, PRICE, TERMS)
    assert np.array_equal(a.breaches + b.breaches, both.breaches)
    assert np.array_equal(a.claims + b.claims, both.claims)
    assert np.allclose(a.cost + b.cost, both.cost, rtol=1e-5)
    assert a.expected + b.expected == pytest.approx(both.expected)


@given(p=st.floats(0, 1), vehicles=st.integers(1, 12), shared=st.booleans())
@settings(max_examples=15, deadline=None)
def test_reserve_is_never_below_the_expected_cost(p, vehicles, shared):
    rows = summarise(totals_of(vehicles, p, shared), WEIGHT, TERMS)
    to_date = 0.0
    before = 0.0
    for row in rows:
        to_date += row.cost_money[0]
        assert row.reserve_money >= to_date - 1e-6
        assert row.reserve_money >= before - 1e-6
        before = row.reserve_money
        for value, low, high in (row.breaches, row.claims, row.cost_money):
            assert low <= value <= high


def test_all_quarters_together_are_the_sum_of_each_in_its_world():
    """Expected values add up; a range of sums is narrower than the sum of ranges, and as wide as the sampled sums."""
    totals = totals_of(40, 0.3)
    rows, whole = summarise(totals, WEIGHT, TERMS), over_forecast(totals, WEIGHT, TERMS)
    for name, sampled in (("breaches", totals.breaches), ("claims", totals.claims), ("cost_money", totals.cost)):
        parts, (value, low, high) = [getattr(r, name) for r in rows], getattr(whole, name)
        assert value == pytest.approx(sum(p[0] for p in parts))
        assert low < value < high
        inside = (sampled.sum(axis=0) >= low - 1e-3) & (sampled.sum(axis=0) <= high + 1e-3)
        assert inside.mean() >= 0.8 - 1e-9
        assert inside.mean() < 0.93
    assert whole.reserve_money == rows[-1].reserve_money


def test_claims_of_a_cohort_move_together():
    """The same expected breaches need a larger reserve when all cars are bad in the same worlds."""
    alone = summarise(totals_of(30, 0.05), WEIGHT, TERMS)[-1]
    together = summarise(totals_of(30, 0.05, shared=True), WEIGHT, TERMS)[-1]
    assert together.reserve_money > 1.5 * alone.reserve_money


def test_costs_are_paid_with_a_lag():
    totals = totals_of(5, 0.5)
    rows = summarise(totals, WEIGHT, TERMS)
    first = int(np.flatnonzero(totals.expected)[0])
    assert rows[first].cost_money[0] == 0
    assert rows[first + TERMS.payment_lag_quarters].cost_money[0] > 0


def test_expected_cost_agrees_with_the_sampled_one():
    totals = totals_of(40, 0.3)
    rows = summarise(totals, WEIGHT, TERMS)
    expected = sum(r.cost_money[0] for r in rows)
    assert expected == pytest.approx(float(totals.cost.sum(axis=0).mean()), rel=0.03)
    claims = sum(r.claims[0] for r in rows)
    assert claims == pytest.approx(float(totals.claims.sum(axis=0).mean()), rel=0.03)


def test_fates_and_prices_depend_on_seed_and_name_alone():
    assert np.array_equal(fates(10, 1, "a").find, fates(10, 1, "a").find)
    assert not np.array_equal(fates(10, 1, "a").find, fates(10, 1, "b").find)
    assert not np.array_equal(pack_price_draws(TERMS, 10, 1), pack_price_draws(TERMS, 10, 2))


def test_mean_of_the_split_triangle():
    u = (np.arange(100_000) + 0.5) / 100_000
    assert split_triangular(u, 0.0, 0.5, 1.5).mean() == pytest.approx(split_triangular_mean(0.0, 0.5, 1.5), abs=1e-4)


def test_no_tests_no_claims():
    one = vehicle_claims(np.zeros((DRAWS, 0)), np.zeros(0, dtype=int), QUARTERS, WEIGHT, np.zeros(DRAWS))
    assert one.expected.sum() == 0
    assert np.all(one.quarter == NEVER)


def test_weights_must_belong_to_the_draws():
    with pytest.raises(ValueError, match="one weight a draw"):
        summarise(ClaimTotals.empty(4, 10), WEIGHT, TERMS)
