"""Capacity readings of simulated cars of known capacity: error, coverage by swing, and what must not be read."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.domain import Pack
from models.integral import integrate
from models.life import prepare
from models.rested import CellCurve, rested_points
from models.sessions import US_PER_DAY, Samples, rules
from models.soh import Anchors, Pairs, Reading, capacity_readings, fit_capacity, present_capacity_ah

RULES = rules()
Z80 = 1.2816


def _read(samples: Samples, pack: Pack, curve_v: float, known: bool = True) -> list[Reading]:
    samples, runs, _ = prepare(samples, pack, RULES)
    first_us = int(samples.time_us[0] // US_PER_DAY * US_PER_DAY)
    steps = int((samples.time_us[-1] - first_us) // US_PER_DAY + 1) * 24
    got = integrate(samples, runs, first_us, steps, 60)
    return capacity_readings(samples, runs, got, pack, CellCurve(known, curve_v), RULES)


@pytest.mark.parametrize(
    ("cell", "low", "high", "curve_v", "rmse_pp"),
    # Swing of 70, 40 and 15 % of an NMC cell at 8 mV of curve error; an LFP cell between its two steep ends.
    [
        ("nmc", 0.2, 0.9, 0.008, 2.6),
        ("nmc", 0.4, 0.8, 0.008, 3.9),
        ("nmc", 0.65, 0.8, 0.008, 6.0),
        ("lfp", 0.1, 0.985, 0.005, 0.9),
    ],
)
def test_known_capacity_is_found_within_the_stated_error(
    history_sim: ModuleType, cell: str, low: float, high: float, curve_v: float, rmse_pp: float
) -> None:
    pack = history_sim.nmc_pack() if cell == "nmc" else history_sim.lfp_pack()
    error, sigma = [], []
    for seed in range(40):
        truth = float(np.random.default_rng(1000 + seed).uniform(0.75, 1.02))
        errors = history_sim.Errors(curve_v=curve_v)
        samples = history_sim.simulate(pack, truth * pack.capacity_ah, seed, 16, low, high, errors)
        found = [r for r in _read(samples, pack, curve_v) if not r.bms_reported]
        error += [r.soh_frac - truth for r in found]
        sigma += [r.sigma_frac for r in found]
    assert len(error) >= 30
    rmse = 100 * float(np.sqrt(np.mean(np.square(error))))
    inside = float(np.mean(np.abs(error) < Z80 * np.array(sigma)))
    assert rmse < rmse_pp
    assert 0.65 < inside <= 0.95  # 0.8 stated; 40 cars leave +/- 0.13 (two standard deviations)
    assert abs(float(np.mean(error))) < 2.5 * float(np.std(error)) / np.sqrt(40) + 0.005


def test_without_errors_the_capacity_is_exact(history_sim: ModuleType) -> None:
    pack = history_sim.nmc_pack()
    samples = history_sim.simulate(pack, 1.013 * pack.capacity_ah, 3, 12, 0.3, 0.9)
    found = [r for r in _read(samples, pack, 0.001) if not r.bms_reported]
    # Drives are logged point by point, their current runs straight: what is left is the interpolation of the OCV table.
    assert [r.soh_frac for r in found] == pytest.approx([1.013] * len(found), abs=2e-4)
    assert found[0].soh_frac > 1.0
    assert all(RULES("capacity", "current_gain_sigma_frac") <= r.shared_sigma_frac < r.sigma_frac for r in found)


def test_a_larger_swing_tells_more(history_sim: ModuleType) -> None:
    pack = history_sim.nmc_pack()
    sigma = []
    for low in (0.2, 0.4, 0.6):
        found = _read(history_sim.simulate(pack, pack.capacity_ah, 1, 12, low, 0.8), pack, 0.008)
        sigma.append(next(r.sigma_frac for r in found if not r.bms_reported))
    assert sigma[0] < sigma[1] < sigma[2]


def test_flat_lfp_anchors_are_left_out(history_sim: ModuleType) -> None:
    pack = history_sim.lfp_pack()
    samples = history_sim.simulate(pack, pack.capacity_ah, 1, 12, 0.4, 0.8)
    assert not [r for r in _read(samples, pack, 0.005) if not r.bms_reported]
    wide, runs, _ = prepare(history_sim.simulate(pack, pack.capacity_ah, 1, 12, 0.1, 0.985), pack, RULES)
    anchors = rested_points(wide, runs, pack, CellCurve(True, 0.005), RULES)
    assert anchors.size > 3
    assert np.all((anchors.cell_soc_frac > 0.97) | (anchors.cell_soc_frac < 0.15))


def test_an_unknown_curve_leaves_only_what_the_bms_reports(history_sim: ModuleType) -> None:
    pack = history_sim.nmc_pack()
    samples = history_sim.simulate(pack, 0.9 * pack.capacity_ah, 1, 12, 0.3, 0.8)
    found = _read(samples, pack, 0.0, known=False)
    assert found and all(r.bms_reported and r.method == "bms_soc" for r in found)
    # The simulated BMS knows its true capacity, so the reading is right; sigma says what BMSs are like.
    assert found[0].soh_frac == pytest.approx(0.9, abs=0.01)
    assert all(r.sigma_frac >= RULES("capacity", "bms_scatter_frac") for r in found)
    # The scatter between BMSs is the same every month: of its own a month has only rounding, drift and temperature.
    assert all(RULES("capacity", "bms_scatter_frac") <= r.shared_sigma_frac < r.sigma_frac for r in found)
    assert all(r.sigma_frac**2 - r.shared_sigma_frac**2 < 0.02**2 for r in found)


def test_a_bms_constant_is_returned_whatever_the_capacity(history_sim: ModuleType) -> None:
    pack = history_sim.nmc_pack()
    samples = history_sim.simulate(pack, 0.8 * pack.capacity_ah, 1, 12, 0.3, 0.8)
    believed = replace(samples, soc_frac=0.5 + (samples.soc_frac - 0.5) * 0.8)  # a BMS that still counts on 100 %
    found = [r for r in _read(believed, pack, 0.008) if r.bms_reported]
    assert [r.soh_frac for r in found] == pytest.approx([1.0] * len(found), abs=0.01)


def test_no_soc_no_bms_reading_and_a_gap_breaks_a_pair(history_sim: ModuleType) -> None:
    pack = history_sim.nmc_pack()
    samples = history_sim.simulate(pack, pack.capacity_ah, 1, 3, 0.3, 0.8)
    blind = replace(samples, soc_frac=np.full(samples.size, np.nan))
    assert all(not r.bms_reported for r in _read(blind, pack, 0.008))
    charging = samples.state == 1
    holed = samples.take(~charging & (samples.state != 2))
    assert not [r for r in _read(holed, pack, 0.008) if not r.bms_reported]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), truth=st.floats(80.0, 200.0), n=st.integers(3, 30))
def test_total_least_squares_recovers_exact_pairs(history_sim: ModuleType, seed: int, truth: float, n: int) -> None:
    rng = np.random.default_rng(seed)
    z = np.where(np.arange(n) % 2 == 0, rng.uniform(0.1, 0.4, n), rng.uniform(0.6, 0.9, n))
    noise = np.full(n, 0.005)
    anchors = Anchors(np.arange(n), np.arange(n), np.full(n, 25.0), z, noise, noise)
    pairs = Pairs(np.arange(n - 1), truth * np.diff(z), np.full(n - 1, 0.01), np.full(n - 1, 5.0))
    fit = fit_capacity(anchors, pairs, history_sim.nmc_pack(), RULES)
    assert fit.capacity_ah == pytest.approx(truth, rel=1e-6)
    assert 0 < fit.shared_sigma_ah < fit.sigma_ah


def test_shared_anchors_count_once(history_sim: ModuleType) -> None:
    """A ladder of anchors with exact charge between them is a straight line through eleven noisy points."""
    pack = history_sim.nmc_pack()
    n = 11
    z = np.linspace(0.2, 0.8, n)
    noise, none = np.full(n, 0.01), np.zeros(n)
    anchors = Anchors(np.arange(n), np.arange(n), np.full(n, 25.0), z, noise, none)
    chain = Pairs(np.arange(n - 1), 170.0 * np.diff(z), np.full(n - 1, 1e-4), np.zeros(n - 1))
    quiet = replace(
        RULES, values={**RULES.values, "capacity": {**RULES.values["capacity"], "current_gain_sigma_frac": 0.0}}
    )
    got = fit_capacity(anchors, chain, pack, quiet).sigma_ah
    assert got == pytest.approx(170.0 * 0.01 / np.sqrt(np.sum((z - z.mean()) ** 2)), rel=0.02)


def test_pairs_are_needed(history_sim: ModuleType) -> None:
    none = np.zeros(0)
    empty = Anchors(np.zeros(0, int), np.zeros(0, int), none, none, none, none)
    with pytest.raises(ValueError, match="at least one pair"):
        fit_capacity(empty, Pairs(np.zeros(0, int), none, none, none), history_sim.nmc_pack(), RULES)


def test_present_capacity_weighs_anchored_readings_only(history_sim: ModuleType) -> None:
    pack = history_sim.nmc_pack()
    one = Reading(0, "ocv_anchored", 0.9, 0.01, 0.005, 100.0, 1.0, 25.0, False, 3)
    two = replace(one, sigma_frac=0.02, capacity_ah=110.0)
    bms = replace(one, method="bms_soc", bms_reported=True, capacity_ah=10.0)
    assert present_capacity_ah([one, two, bms], pack) == pytest.approx((4 * 100.0 + 110.0) / 5)
    assert present_capacity_ah([bms], pack) == pack.capacity_ah
