"""What must hold for any policy, window, load, price and limit."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.dispatch import YEAR_SCALE, Dispatched, dispatch
from models.domain import Charger, Limits, Policy, RepresentativeYear
from models.policies import tariff

TARIFFS = ("us_ev2a_like", "uk_go_like", "uk_cosy_like", "de_fixed", "nl_dynamic")
EXPORTS = ("none", "outage", "peak", "solar", "arbitrage")
DAY = 96

limits = st.builds(
    Limits,
    soc_floor_frac=st.floats(0.0, 0.7),
    soc_ceiling_frac=st.floats(0.71, 1.0),
    export_kw=st.none() | st.floats(0.4, 6.0),
    export_kwh_per_day=st.none() | st.floats(0.5, 8.0),
    export_hours_per_day=st.none() | st.floats(0.25, 5.0),
    export_kwh_per_year=st.none() | st.floats(5.0, 300.0),
    driving_reserve_kwh=st.floats(0.0, 15.0),
)
chargers = st.builds(
    Charger,
    charger_id=st.just("any"),
    charge_kw=st.floats(2.0, 11.0),
    export_kw=st.floats(0.0, 11.0),
    min_export_kw=st.floats(0.0, 0.8),
    charge_efficiency_frac=st.floats(0.8, 1.0),
    export_efficiency_frac=st.floats(0.8, 1.0),
    standby_kw=st.floats(0.0, 0.3),
)


def check(done: Dispatched, year: RepresentativeYear, policy: Policy, charger: Charger, usable_kwh: float) -> None:
    lim, dt = policy.limits, 0.25
    # energy is conserved, step by step and in all
    gained = -done.drive_kwh + done.away_charge_kwh + done.charge_kwh - done.export_kwh
    assert np.abs(np.diff(done.energy_kwh) - gained).max() < 1e-9
    assert done.energy_kwh[-1] - done.energy_kwh[0] == pytest.approx(gained.sum(), abs=1e-8)
    assert done.energy_kwh.min() > -1e-9 and done.energy_kwh.max() < usable_kwh + 1e-9
    # what was asked for was driven, or counted
    served = done.drive_kwh.sum() + done.unserved_drive_kwh
    assert served == pytest.approx(year.drive_kwh.sum(), abs=1e-8)
    assert np.all(done.away_charge_kwh <= year.away_charge_kwh + 1e-12)
    # at home only, never both at once, never from a dead grid
    assert np.all(done.charge_kwh >= 0) and np.all(done.export_kwh >= 0)
    assert not np.any((done.charge_kwh > 0) & (~year.plugged | year.outage))
    assert not np.any((done.export_kwh > 0) & ~year.plugged)
    assert not np.any((done.export_kwh > 0) & (done.charge_kwh > 0))
    # meter against battery
    on, out = done.charge_kwh > 0, done.export_kwh > 0
    standby = charger.standby_kw * dt
    assert done.meter_in_kwh[on] == pytest.approx(done.charge_kwh[on] / charger.charge_efficiency_frac + standby)
    assert done.meter_out_kwh[out] == pytest.approx(done.export_kwh[out] * charger.export_efficiency_frac - standby)
    assert not done.meter_in_kwh[~on].any() and not done.meter_out_kwh[~out].any()
    assert np.all(done.meter_in_kwh <= charger.charge_kw * dt + 1e-9)
    # only what the house takes, within the charger and the caps
    resid = np.where(year.outage, year.load_kw, np.maximum(year.load_kw - year.pv_kw, 0)) * dt
    assert np.all(done.meter_out_kwh <= resid + 1e-9)
    most = min(charger.export_kw, lim.export_kw or np.inf)
    assert np.all(done.meter_out_kwh <= most * dt + 1e-9)
    assert np.all(done.meter_out_kwh[out & ~year.outage] >= charger.min_export_kw * dt - 1e-9)
    days = done.export_kwh.reshape(-1, DAY)
    assert np.all(days.sum(axis=1) <= (lim.export_kwh_per_day or np.inf) + 1e-9)
    assert np.all((days > 0).sum(axis=1) * dt <= (lim.export_hours_per_day or np.inf) + 1e-9)
    assert done.export_kwh.sum() <= (lim.export_kwh_per_year or np.inf) / YEAR_SCALE + 1e-9
    # rules
    if policy.export == "none":
        assert not out.any()
    if policy.export == "outage":
        assert not np.any(out & ~year.outage)
    if policy.export == "peak":
        assert not np.any(out & ~year.outage & ~year.peak)
    assert 0 <= done.outage_bridged_hours <= done.outage_hours + 1e-9
    assert np.all((done.soc_frac >= 0) & (done.soc_frac <= 1))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    tariff_id=st.sampled_from(TARIFFS),
    charging=st.sampled_from(("immediate", "smart")),
    export=st.sampled_from(EXPORTS),
    lim=limits,
    charger=chargers,
    capacity=st.sampled_from((1.0, 0.9, 0.8, 0.7)),
    vehicle_type=st.sampled_from(("demo_nmc_60", "demo_lfp_60")),
)
def test_any_dispatch_conserves_energy_and_keeps_its_limits(
    made_years: ModuleType,
    seed: int,
    tariff_id: str,
    charging: str,
    export: str,
    lim: Limits,
    charger: Charger,
    capacity: float,
    vehicle_type: str,
) -> None:
    prices = tariff(tariff_id)
    year = made_years.year(seed, days=21, prices=prices)
    policy = Policy("p", "P", charging, export, lim)
    pack = made_years.pack(vehicle_type)
    done = dispatch(year, policy, charger, prices, pack, capacity)
    check(done, year, policy, charger, pack.usable_kwh * capacity)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    tariff_id=st.sampled_from(TARIFFS),
    export=st.sampled_from(EXPORTS[1:]),
    lim=limits,
    charge_kw=st.floats(2.0, 11.0),
)
def test_export_never_costs_a_trip(
    made_years: ModuleType, seed: int, tariff_id: str, export: str, lim: Limits, charge_kw: float
) -> None:
    prices = tariff(tariff_id)
    year = made_years.year(seed, days=21, prices=prices)
    charger = replace(made_years.CHARGER, charge_kw=charge_kw)
    pack = made_years.pack()
    without = dispatch(year, Policy("n", "N", "smart", "none", lim), charger, prices, pack)
    done = dispatch(year, Policy("p", "P", "smart", export, lim), charger, prices, pack)
    assert done.unserved_drive_kwh <= without.unserved_drive_kwh + 1e-6


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), floor=st.floats(0.05, 0.7), export=st.sampled_from(("peak", "solar", "arbitrage")))
def test_export_stops_at_the_floor(made_years: ModuleType, seed: int, floor: float, export: str) -> None:
    prices = tariff("us_ev2a_like")
    year = made_years.year(seed, days=14, prices=prices)
    done = dispatch(
        year, made_years.policy("smart", export, soc_floor_frac=floor), made_years.CHARGER, prices, made_years.pack()
    )
    assert np.all(done.soc_frac[1:][done.export_kwh > 0] >= floor - 1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), capacity=st.sampled_from((1.0, 0.85, 0.7)))
def test_the_recorded_past_conserves_energy(made_years: ModuleType, seed: int, capacity: float) -> None:
    prices = tariff("de_fixed")
    year = made_years.year(seed, days=21, prices=prices, recorded=True)
    pack = made_years.pack()
    policy = Policy("as_driven", "", "as_driven", "as_driven", Limits())
    done = dispatch(year, policy, made_years.CHARGER, prices, pack, capacity)
    gained = -done.drive_kwh + done.away_charge_kwh + done.charge_kwh - done.export_kwh
    assert np.abs(np.diff(done.energy_kwh) - gained).max() < 1e-9
    assert done.energy_kwh.min() > -1e-9 and done.energy_kwh.max() < pack.usable_kwh * capacity + 1e-9
    # at home only when it did, and no more than recorded or than the charger can
    most = np.where(year.recorded_charge_kwh > 0, np.maximum(year.recorded_charge_kwh, 9.9 * 0.94 / 4), 0.0)
    assert np.all(done.charge_kwh <= most + 1e-12)
    assert np.all(done.export_kwh <= year.recorded_export_kwh + 1e-12)
    missing = abs(year.recorded_charge_kwh.sum() - done.charge_kwh.sum())
    assert missing <= done.unserved_drive_kwh + done.clipped_kwh + 1e-6


def test_same_inputs_same_numbers(made_years: ModuleType) -> None:
    prices = tariff("nl_dynamic")
    one, two = (
        dispatch(
            made_years.year(5, prices=prices), made_years.policy("smart", "arbitrage"), made_years.CHARGER, prices,
            made_years.pack(),
        )
        for _ in range(2)
    )  # fmt: skip
    assert one.energy_kwh.tobytes() == two.energy_kwh.tobytes()
    assert one.meter_in_kwh.tobytes() == two.meter_in_kwh.tobytes()


def test_wrong_inputs_are_refused_in_a_sentence(made_years: ModuleType) -> None:
    year, pack = made_years.year(days=7), made_years.pack()
    with pytest.raises(ValueError, match=r"capacity_frac must lie within 0\.2 and 1\.2"):
        dispatch(year, made_years.policy(), made_years.CHARGER, tariff("us_ev2a_like"), pack, 0.1)
    with pytest.raises(ValueError, match="is in EUR, the year's prices in USD"):
        dispatch(year, made_years.policy(), made_years.CHARGER, tariff("de_fixed"), pack)
    with pytest.raises(ValueError, match="no rule 'smart' or 'sideways'"):
        dispatch(year, made_years.policy("smart", "sideways"), made_years.CHARGER, tariff("us_ev2a_like"), pack)


def test_a_car_never_at_home_only_drives(made_years: ModuleType) -> None:
    year = made_years.year(3, days=14)
    away = replace(year, plugged=np.zeros_like(year.plugged))
    done = dispatch(away, made_years.policy(), made_years.CHARGER, tariff("us_ev2a_like"), made_years.pack())
    assert not done.charge_kwh.any() and not done.export_kwh.any()
    assert done.unserved_drive_kwh > 0
