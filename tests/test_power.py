"""Power laws: the published equations, exact under varying conditions, resumable, range checked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.domain import Duty, OcvCurve, Pack
from models.laws.power import PowerLaw, half_cycles, power_law
from models.laws.power_rates import graphite_potential_v
from models.laws.registry import get, laws_for
from models.parameters import ParameterError, load

LAWS = [power_law(law_id) for law_id in sorted(load("laws_power"))]
CURVE = OcvCurve(np.array([0.0, 0.1, 0.5, 1.0]), np.array([3.3, 3.5, 3.68, 4.2]), "test")
PACK = Pack("t", "c", "nmc", 96, 160.0, 60.0, 57.0, 57.0, 0.03, 0.97, 0.1, CURVE, 4e5, 10.0)
ONE = np.array([1.0])
STORED = ((0.5, 25.0, 365), (0.9, 40.0, 730), (0.2, 15.0, 1000))
CYCLED = ((0.1, 0.9, 4, 25.0, 100), (0.0, 1.0, 5, 15.0, 50))
# Loss by storage and by cycling, measured with BLAST-Lite 1.1.1 (one call of update_battery_state from new, a minute a
# step when cycling): hours a half cycle, no rest, so that its mean C-rate and max - min depth are ours.
GOLDEN = {
    "lfp_250ah_2023": ([0.011016424, 0.058602891, 0.0047831312], [0.0052366431, 0.0047368119]),
    "nmc811_lgmj1_2020": ([0.098458304, 0.20834338, 0.17448985], [0.014087208, 0.014853432]),
    "nmc811_lgm50_2021": ([0.040955361, 0.12858602, 0.038647661], [0.035476012, 0.027441901]),
    "nmc111_kokam_2017": ([0.010128839, 0.17529116, 0.00047597638], [0.0045491001, 0.0038342199]),
    "nca_panasonic_2018": ([0.038125334, 0.14187069, 0.030604877], [0.0061379133, 0.0055096407]),
    "nmc_b1_2023": ([0.026877266, 0.13313354, 0.015661398], [0.016276608, 0.015298567]),
    "nmc622_denso_2021": ([0.026107051, 0.061794655, 0.01936243], [0.00072552554]),
}
DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "ageing"


def duty(soc: np.ndarray, temp_c: float | np.ndarray = 25.0, step_minutes: int = 60) -> Duty:
    n = soc.shape[0] - 1
    current = np.zeros((n, 4))
    current[:, 1] = np.diff(soc) * PACK.capacity_ah * 60.0 / step_minutes
    temps = np.broadcast_to(np.asarray(temp_c, dtype=float), (n,)).copy()
    return Duty(np.datetime64("2024-01-01"), step_minutes, soc, temps, current, PACK.capacity_ah, np.zeros(n, np.uint8))


def daily_cycles(days: int, low: float, high: float) -> np.ndarray:
    hours = np.arange(24 * days + 1) % 24
    return np.interp(hours, [0, 6, 12, 18, 24], [low, low, high, high, low])


def test_schmalstieg_storage_golden() -> None:
    """alpha_cap(4.2 V, 50 degC) t^0.75, from the coefficients of 10.1016/j.jpowsour.2014.02.012 by hand."""
    law = power_law("nmc_sanyo_2014")
    stored = duty(np.full(24 * 100 + 1, 1.0), 50.0)
    loss = 1 - law.project(law.exposures(stored, PACK)[None], ONE, np.zeros((1, 2))).capacity_frac[0, -1]
    assert loss == pytest.approx((7.543 * 4.2 - 23.75) * 1e6 * np.exp(-6976 / 323.15) * 100**0.75, rel=1e-9)


def test_schmalstieg_cycling_golden() -> None:
    """beta_cap sqrt(Q): 80 % depth at 3.667 V mean, Q = 2 x 2.05 A.h a full cycle."""
    law = power_law("nmc_sanyo_2014")
    flat = replace(PACK, ocv=OcvCurve(np.array([0.0, 1.0]), np.array([3.667, 3.667]), "flat"))
    cycled = duty(daily_cycles(50, 0.1, 0.9))
    z = law.exposures(cycled, flat)
    loss = np.sqrt(z[:, 1].sum())
    assert z[:, 3].sum() == pytest.approx(50 * 0.8, rel=1e-12)
    assert loss == pytest.approx((7.6e-4 + 4.081e-3 * 0.8) * np.sqrt(2 * 2.05 * 40.0), rel=1e-9)


@pytest.mark.parametrize("law_id", sorted(GOLDEN))
def test_published_laws_match_the_peer(law_id: str) -> None:
    """Constant conditions, where the peer's shortcuts (mean C-rate, max - min depth) say the same as rainflow."""
    law = power_law(law_id)
    stored, cycled = GOLDEN[law_id]
    for (soc, temp, days), loss in zip(STORED, stored, strict=True):
        e = law.exposures(duty(np.full(24 * days + 1, soc), temp), PACK)
        said = law.project(e[None], ONE, np.zeros((1, 2))).components["calendar"][0, -1]
        assert said == pytest.approx(loss, rel=1e-5)
    # The peer cuts DENSO's loss off above 1 % in one step: a shorter test for it.
    conditions = ((0.4, 0.6, 4, 20.0, 3),) if law_id == "nmc622_denso_2021" else CYCLED
    for (low, high, hours, temp, cycles), loss in zip(conditions, cycled, strict=True):
        n = 2 * hours * cycles
        soc = np.interp(np.arange(n + 1) % (2 * hours), [0, hours, 2 * hours], [low, high, low])
        e = law.exposures(duty(soc, temp), PACK)
        said = law.project(e[None], ONE, np.zeros((1, 2))).components["cycling"][0, -1]
        assert said == pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.law_id)
@given(low=st.floats(-2, 2), more=st.floats(0.01, 2), which=st.integers(0, 1))
@settings(max_examples=10, deadline=None)
def test_a_larger_multiplier_never_gives_more_capacity(law, low: float, more: float, which: int) -> None:
    e = law.exposures(duty(daily_cycles(10, 0.3, 0.8)), PACK)[None]
    logs = np.full((2, 2), low)
    logs[1, which] += more
    capacity = law.project(e, ONE, logs).capacity_frac
    assert np.all(capacity[1] <= capacity[0])
    assert capacity[1, -1] < capacity[0, -1]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.law_id)
def test_rates_are_finite_and_never_negative(law) -> None:
    """Over all that a car can meet: -20 to 60 degC, any state of charge, depth and rate up to 3C."""
    soc, temp = (x.ravel() for x in np.meshgrid(np.linspace(0, 1, 41), np.linspace(253.15, 333.15, 41)))
    k = law.calendar(temp, soc, PACK.ocv.voltage_v(soc))
    assert np.isfinite(k).all()
    assert np.all(k >= 0)
    for rate in (0.0, 0.05, 0.3, 3.0):
        for mean in (0.1, 0.5, 0.95):
            c = law.cycling(soc, np.full(soc.shape, 3.7), np.full(soc.shape, rate), temp, np.full(soc.shape, mean))
            assert np.isfinite(c).all()
            assert np.all(c >= 0)


def test_graphite_potential_golden() -> None:
    """Safari and Delacourt 2011 (10.1149/1.3567007): plateaus near 0.12 and 0.085 V."""
    assert graphite_potential_v(np.array([0.5, 1.0])) == pytest.approx([0.1231, 0.0867], abs=2e-3)


def test_pouch_cell_b1_golden() -> None:
    """At 35 degC, the source's reference temperature, nothing but the anode's potential and the depth is left."""
    law = power_law("nmc_b1_2023")
    hot, half = np.array([308.15]), np.array([0.5])
    stored = 36.2 * 1e4**-0.708 * np.exp(-4.4 * np.cbrt(graphite_potential_v(half) / 0.123))
    assert law.calendar(hot, half, half) == pytest.approx(stored, rel=1e-12)
    assert law.cycling(half, half, np.ones(1), hot, half) == pytest.approx(0.844 * 1e5**-0.467 * 0.25**0.458, rel=1e-12)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.law_id)
def test_varying_conditions_match_inversion(law) -> None:
    """z is exact: stepping y through its own inverse with the day's k gives the same loss."""
    temps = np.repeat(15.0 + 15.0 * np.sin(np.arange(60)), 24)
    d = duty(np.full(24 * 60 + 1, 0.7), temps)
    z = law.exposures(d, PACK)[:, 0]
    p = law.exponents[0]
    y = 0.0
    for rate in z:  # k = rate^p for one day
        k = rate**p
        y = k * ((y / k) ** (1 / p) + 1.0) ** p
    capacity = law.project(law.exposures(d, PACK)[None], ONE, np.zeros((1, 2))).components["calendar"][0, -1]
    assert capacity == pytest.approx(y, abs=1e-12)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.law_id)
@given(seed=st.integers(0, 10_000), cut=st.integers(1, 23))
@settings(max_examples=15, deadline=None)
def test_resume_is_one_shot(law, seed: int, cut: int) -> None:
    rng = np.random.default_rng(seed)
    levels = np.array([1.0, 0.9, 0.8, 0.7])
    e = rng.random((4, 24, 4)) * np.array([5e-3, 5e-3, 1.0, 1.0])
    logs = rng.normal(0, 0.5, (5, 2))
    whole = law.project(e, levels, logs)
    first = law.project(e[:, :cut], levels, logs)
    second = law.project(e[:, cut:], levels, logs, first.state)
    joined = np.concatenate([first.capacity_frac, second.capacity_frac], axis=1)
    assert np.max(np.abs(joined - whole.capacity_frac)) <= 1e-12
    assert np.all(np.diff(whole.capacity_frac, axis=1) <= 1e-15)
    assert np.array_equal(second.state, whole.state)


@given(st.lists(st.floats(0.05, 0.95), min_size=2, max_size=40), st.integers(1, 9))
@settings(max_examples=50, deadline=None)
def test_time_and_full_cycles_are_conserved(points: list[float], hours: int) -> None:
    soc = np.interp(np.arange(hours * (len(points) - 1) + 1) / hours, np.arange(len(points)), points)
    e = LAWS[0].exposures(duty(soc), PACK)
    assert e[:, 2].sum() == pytest.approx((soc.shape[0] - 1) / 24.0, abs=1e-9)
    assert e[:, 3].sum() == pytest.approx(np.abs(np.diff(soc)).sum() / 2.0, abs=1e-9)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.law_id)
def test_rounding_of_a_parked_car_makes_no_condition(law: PowerLaw) -> None:
    """A trip of the last bit of SOC, in a frost that cancels the sum of the warmth before: found on real logs."""
    soc = np.full(24 * 28 + 1, 0.5)
    for at in (3, 20, 40, 60, 80):  # their throughput hides the last bits of what follows, their warmth does not
        soc[at : at + 10] = 0.8
    soc[100:300] = 0.8
    soc[100:300:7] += 1.2e-16
    temp = np.where(np.arange(soc.size - 1) < 100, 1e-9, -18.0)
    noisy = duty(soc, temp)
    assert np.any((np.diff(soc) != 0) & (np.abs(np.diff(soc)) < 1e-12))
    half = half_cycles(noisy, PACK)
    assert half.temp_k.min() > 273.15 - 18.1 and half.temp_k.max() < 273.15 + 0.1
    assert half.c_rate.min() >= 0 and half.c_rate.max() < 0.5
    assert np.isfinite(law.exposures(noisy, PACK)).all()


def test_a_multiplier_scales_the_loss() -> None:
    law = LAWS[0]
    e = law.exposures(duty(daily_cycles(30, 0.3, 0.8)), PACK)[None]
    p = law.project(e, ONE, np.array([[0.0, 0.0], [np.log(2.0), 0.0]]))
    assert p.components["calendar"][1] == pytest.approx(2 * p.components["calendar"][0], rel=1e-12)
    assert p.components["cycling"][1] == pytest.approx(p.components["cycling"][0], rel=1e-12)


def test_levels_are_interpolated() -> None:
    law = LAWS[0]
    month = np.array([1e-4, 1e-4, 30.0, 5.0])
    e = np.tile(month, (2, 24, 1)) * np.array([1.0, 2.0])[:, None, None]
    levels = np.array([1.0, 0.5])
    both = law.project(e, levels, np.zeros((1, 2))).capacity_frac[0]
    low = law.project(e[:1], ONE, np.zeros((1, 2))).capacity_frac[0]
    high = law.project(e[1:], ONE, np.zeros((1, 2))).capacity_frac[0]
    assert np.all(both[1:] < low[1:])
    assert np.all(both > high)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="two multipliers"):
        LAWS[0].project(np.zeros((1, 3, 4)), ONE, np.zeros((1, 3)))
    with pytest.raises(ValueError, match="must decrease"):
        LAWS[0].project(np.zeros((2, 3, 4)), np.array([0.9, 1.0]), np.zeros((1, 2)))


def test_extrapolation_is_counted() -> None:
    law = power_law("nmc_b1_2023")
    deep = law.range_check(duty(daily_cycles(20, 0.05, 0.95)), PACK)
    shallow = law.range_check(duty(daily_cycles(20, 0.5, 0.7)), PACK)
    assert deep.outside_frac == 0.0
    assert shallow.by_variable["depth_frac"] == 1.0
    assert 0.0 < shallow.outside_frac < 1.0
    cold = law.range_check(duty(daily_cycles(20, 0.05, 0.95), -10.0), PACK)
    assert cold.outside_frac == 1.0


def test_steps_of_a_quarter_hour_agree_with_hours() -> None:
    law = power_law("nmc_sanyo_2014")
    soc = daily_cycles(10, 0.3, 0.8)
    fine = np.interp(np.arange((soc.shape[0] - 1) * 4 + 1) / 4.0, np.arange(soc.shape[0]), soc)
    a, b = law.exposures(duty(soc), PACK), law.exposures(duty(fine, step_minutes=15), PACK)
    assert a.sum(axis=0) == pytest.approx(b.sum(axis=0), rel=5e-3)


def test_registry_orders_members() -> None:
    laws = laws_for("nmc811_lgm50")
    assert [x.law_id for x in laws][:2] == ["sei_ec", "sei_interstitial"]
    assert len({x.law_id for x in laws}) == 6
    assert [x.law_id for x in laws_for("lfp_prada2013")][2:] == ["lfp_sony_own", "lfp_250ah_2023"]
    assert "nca_panasonic_2018" in {x.law_id for x in laws_for("nca_2170")}
    assert get("nmc_b1_2023", "nmc811_lgm50").chemistry == "nmc"
    with pytest.raises(ParameterError, match="has no law"):
        get("nmc_b1_2023", "lfp_prada2013")


def test_every_cell_has_an_ensemble() -> None:
    """Two films and at least two tested laws a cell of a car: three chemistries, eight laws in all.

    A cell of another chemistry (LCO of Ai2020) is there for conformance to PyBaMM alone; no vehicle type has it.
    """
    of_cars = {e.text("cell_id") for e in load("vehicles").values()}
    assert "lco_ai2020" not in of_cars
    members = {cell: [x.law_id for x in laws_for(cell)] for cell in load("cells") if cell != "lco_ai2020"}
    assert all(len(ids) >= 4 and ids[:2] == ["sei_ec", "sei_interstitial"] for ids in members.values())
    assert {e.text("chemistry") for e in load("cells").values()} >= {"nmc", "lfp", "nca"}
    assert len({law_id for ids in members.values() for law_id in ids}) >= 9


@pytest.mark.data
def test_own_lfp_law_reproduces_the_storage_tests() -> None:
    """The stored coefficients give the error printed by benchmarks/fit_lfp_law.py."""
    if not DATA.is_dir():
        pytest.skip("../shared/data is not there: the ageing tests of Naumann are not in the repository")
    law = power_law("lfp_sony_own")
    cal = pl.read_csv(DATA / "naumann_lfp_calendar.csv", infer_schema_length=None)
    volt = np.full(cal.height, 3.3)
    k = law.calendar(cal["temperature_c"].to_numpy() + 273.15, cal["soc_mean_frac"].to_numpy(), volt)
    error = k * cal["day"].to_numpy() ** law.exponents[0] - (1 - cal["capacity_frac"].to_numpy())
    assert 100 * np.sqrt(np.mean(error**2)) == pytest.approx(0.797, abs=0.002)


def test_draws_side_by_side_are_the_plain_recursion() -> None:
    """Between levels exposures are linear in one over the capacity, beyond them the nearest holds."""
    rng, law, levels = np.random.default_rng(2), power_law("nmc_sanyo_2014"), np.array([1.0, 0.9, 0.7])
    e = rng.random((3, 12, 4)) * np.array([4e-3, 1e-3, 1.0, 1.0]) * np.array([1.0, 1.2, 1.7])[:, None, None]
    order, logs = rng.integers(0, 12, 40), rng.normal(0.0, 0.5, (300, 2))
    together = law.project(e, levels, logs, order=order)
    assert together.capacity_frac[:, -1].min() < 0.6 and together.capacity_frac[:, -1].max() > 0.8
    for d in (0, 15, 16, 255, 256, 299):
        z, q, gain = np.zeros(2), 1.0, np.exp(logs[d] / law.exponents)
        for p, row in enumerate(order):
            z += gain * [np.interp(1.0 / max(q, 1e-9), 1.0 / levels, e[:, row, k]) for k in range(2)]
            q = 1.0 - float(np.sum(z ** np.array(law.exponents)))
            assert together.capacity_frac[d, p] == pytest.approx(max(q, 0.0), abs=1e-13)
        alone = law.project(e, levels, logs[d : d + 1], order=order)
        assert alone.capacity_frac[0] == pytest.approx(together.capacity_frac[d], abs=1e-13)
        assert alone.state[0] == pytest.approx(together.state[d], rel=1e-12)
