"""Resale: curve, elasticity, wear a kWh, the rule for the recommended setting."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import resale
from models.resale import Option

WORLDS = resale.resale_worlds(4000, 1)
TERMS = resale.recommendation_terms()
EXPECTED_5Y = 1 - 5 * WORLDS.soh_loss_per_year_frac


def test_value_after_five_years_is_that_of_iseecars():
    """iSeeCars, March 2025: -58.8 % after five years (2023: -49.1 %, 2019: -67.1 %)."""
    frac = resale.curve_frac(WORLDS, 5.0, 5 * WORLDS.km_per_year)
    assert np.median(frac) == pytest.approx(1 - 0.588, abs=0.005)
    assert frac.min() >= 1 - 0.671
    assert frac.max() <= 1 - 0.491


def test_elasticity_is_half_a_percent_a_percent():
    """Autovista/TWAICE: +1 % SOH is about +0.5 % of the value; carried as 0 to 1.5."""
    at = resale.value_money(40_000, WORLDS, 5.0, 65_000.0, EXPECTED_5Y)
    better = resale.value_money(40_000, WORLDS, 5.0, 65_000.0, EXPECTED_5Y + 0.01)
    gain = better / at - 1
    assert np.median(gain) == pytest.approx(0.005, abs=3e-4)
    assert gain.min() >= 0
    assert gain.max() <= 0.015 + 1e-9


@given(age=st.floats(0, 15), km=st.floats(0, 4e5), soh=st.floats(0.3, 1.02), worse=st.floats(0, 0.3))
def test_value_falls_with_fade_and_never_below_zero(age, km, soh, worse):
    high = resale.value_money(40_000, WORLDS, age, km, np.full(4000, soh))
    low = resale.value_money(40_000, WORLDS, age, km, np.full(4000, soh - worse))
    assert np.all(low <= high + 1e-9)
    assert np.all(low >= 0)


def test_wear_a_kwh_is_paired():
    base = resale.value_money(40_000, WORLDS, 10.0, 130_000.0, np.full(4000, 0.80))
    own = resale.value_money(40_000, WORLDS, 10.0, 130_000.0, np.full(4000, 0.78))
    wear = resale.wear_money_per_kwh(own, base, 20_000.0)
    assert wear is not None
    assert 0 < wear.low < wear.value < wear.high < 0.03
    assert resale.wear_money_per_kwh(own, base, 0.0) is None


def option(name: str, saved: float, **more: float | bool) -> Option:
    base = Option(name, name.capitalize(), True, False, saved, -100.0, -300.0, 0.001, 0.2, 1.0, 0.0)
    return replace(base, **more)


def pick(*options: Option, can_export: bool = True) -> tuple[str, str]:
    return resale.recommend(options, "no_export_smart", can_export, 10.0, TERMS, "EUR")


def test_without_an_exporting_charger_the_baseline():
    policy, why = pick(option("evening", 500.0), can_export=False)
    assert policy == "no_export_smart"
    assert "cannot export" in why


def test_the_largest_gain_wins_unless_a_limit_bars_it():
    assert pick(option("evening", 300.0), option("arbitrage", 500.0))[0] == "arbitrage"
    assert pick(option("evening", 300.0), option("arbitrage", 500.0, breach_increase_frac=0.05))[0] == "evening"
    assert pick(option("evening", 300.0), option("arbitrage", 500.0, fade_increase_high_pp=8.0))[0] == "evening"
    assert pick(option("evening", 300.0), option("arbitrage", 500.0, unserved_drive_frac=0.2))[0] == "evening"


def test_of_equals_the_simpler():
    policy, why = pick(option("floor", 310.0, capped=True), option("evening", 300.0))
    assert policy == "evening"
    assert "about as much" in why
    assert "no clear difference" in pick(option("evening", 300.0, fade_increase_low_pp=-0.1))[1]


def test_small_or_uncertain_gains_are_no_reason():
    assert pick(option("evening", 20.0))[0] == "no_export_smart"
    assert pick(option("evening", 40.0, value_diff_low_money=-2000.0))[0] == "no_export_smart"
    policy, why = pick(option("evening", 300.0, breach_increase_frac=0.5))
    assert policy == "no_export_smart"
    assert "would pay but" in why


def test_split_triangular_refuses_a_wrong_order():
    with pytest.raises(ValueError, match="low <= middle <= high"):
        resale.split_triangular(np.array([0.5]), 1.0, 0.5, 2.0)
