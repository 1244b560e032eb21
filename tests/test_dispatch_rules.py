"""What each rule does, on days small enough to follow by hand; duty, bill and twins of a dispatched year."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.bill import bill_money_per_year, yearly_bill
from models.dispatch import YEAR_SCALE, changed_days_frac, dispatch, duty_of, energy_of_soc, soc_of_energy
from models.domain import Charger, FloatArray, Limits, Policy, RepresentativeYear, Tariff, Use
from models.policies import charger, policies, tariff
from models.representative import no_export_twin

DAY = 96
PLAIN = Charger("plain", 8.0, 8.0, 0.0, 1.0, 1.0, 0.0)  # lossless: 2 kWh a step
PRICES = Tariff("two", "EUR", (0.1,) * 6 + (0.3,) * 18, 0.05, (17, 18, 19), (0, 1, 2, 3, 4, 5), False)
KONSTANZ = Path(__file__).resolve().parents[2] / "shared" / "data" / "home" / "konstanz_house_2016_hourly.csv.gz"


def simple(days: int = 364, load_kw: float = 1.0, pv_kw: FloatArray | None = None, drive_kwh: float = 8.0):
    """Away 07:00 to 17:00 every day, the same trip, the same load."""
    n = days * DAY
    step = np.arange(n) % DAY
    hour = step // 4
    away = (hour >= 7) & (hour < 17)
    drive = np.where(step == 7 * 4, drive_kwh, 0.0)
    return RepresentativeYear(
        step_minutes=15,
        utc_offset_hours=1.0,
        plugged=~away,
        drive_kwh=drive,
        away_charge_kwh=np.zeros(n),
        recorded_charge_kwh=np.zeros(n),
        recorded_export_kwh=np.zeros(n),
        load_kw=np.full(n, load_kw),
        pv_kw=np.zeros(n) if pv_kw is None else np.tile(pv_kw, days),
        import_money_per_kwh=np.asarray(PRICES.import_money_per_kwh)[hour],
        feed_in_money_per_kwh=PRICES.feed_in_money_per_kwh,
        peak=np.isin(hour, PRICES.peak_hours),
        cheap=np.isin(hour, PRICES.cheap_hours),
        outage=np.zeros(n, dtype=bool),
        ambient_c=np.full(n, 15.0),
        currency="EUR",
        km_per_year=15_000.0,
    )


def test_smart_charging_is_late_and_cheap_immediate_is_at_once(made_years: ModuleType) -> None:
    year, pack = simple(), made_years.pack()
    smart = dispatch(year, made_years.policy("smart", "none"), PLAIN, PRICES, pack)
    now = dispatch(year, made_years.policy("immediate", "none"), PLAIN, PRICES, pack)
    for done in (smart, now):
        assert done.charge_kwh.reshape(-1, DAY).sum(axis=1) == pytest.approx(8.0)
        assert done.soc_frac[7 * 4 :: DAY] == pytest.approx(0.8)
    # the last cheap hour: 05:00 to 06:00; at once: 17:00 to 18:00
    assert np.unique(np.flatnonzero(smart.charge_kwh) % DAY // 4).tolist() == [5]
    assert np.unique(np.flatnonzero(now.charge_kwh) % DAY // 4).tolist() == [17]
    assert now.mean_soc_frac > smart.mean_soc_frac
    assert smart.throughput_kwh_per_year == pytest.approx(8.0 * 365.25)


def test_the_evening_peak_takes_the_load_of_three_hours(made_years: ModuleType) -> None:
    year, pack = simple(load_kw=1.2), made_years.pack()
    done = dispatch(year, made_years.policy("smart", "peak"), PLAIN, PRICES, pack)
    assert done.export_kwh.reshape(-1, DAY).sum(axis=1) == pytest.approx(3 * 1.2)
    assert done.export_hours_per_year == pytest.approx(3 * 365.25)
    assert done.charge_kwh.reshape(-1, DAY).sum(axis=1) == pytest.approx(8.0 + 3.6)
    saved = bill_money_per_year(dispatch(year, made_years.policy("smart", "none"), PLAIN, PRICES, pack), year)
    assert saved - bill_money_per_year(done, year) == pytest.approx(3.6 * (0.3 - 0.1) * 365.25)


def test_losses_and_standby_are_paid_at_the_meter(made_years: ModuleType) -> None:
    year, pack = simple(load_kw=1.2), made_years.pack()
    lossy = Charger("lossy", 8.0, 8.0, 0.3, 0.9, 0.8, 0.2)
    done = dispatch(year, made_years.policy("smart", "peak"), lossy, PRICES, pack)
    at = done.export_kwh > 0
    assert done.meter_out_kwh[at] == pytest.approx(0.3)
    assert done.export_kwh[at] == pytest.approx((1.2 + 0.2) / 0.8 / 4)
    full = done.charge_kwh > done.charge_kwh.max() - 1e-9
    assert done.meter_in_kwh[full] == pytest.approx(2.0)
    assert done.charge_kwh.max() == pytest.approx((8.0 - 0.2) * 0.9 / 4)


def test_no_export_below_the_power_the_charger_can_hold(made_years: ModuleType) -> None:
    quiet = simple(load_kw=0.25)
    weak = replace(PLAIN, min_export_kw=0.3)
    assert not dispatch(quiet, made_years.policy(), weak, PRICES, made_years.pack()).export_kwh.any()


@pytest.mark.parametrize(
    ("limit", "value", "kwh_per_day"),
    [
        ("export_kw", 0.5, 1.5),
        ("export_kwh_per_day", 2.0, 2.0),
        ("export_hours_per_day", 1.5, 1.8),
        ("soc_floor_frac", 0.65, None),
    ],
)
def test_each_cap_cuts_what_it_says(
    made_years: ModuleType, limit: str, value: float, kwh_per_day: float | None
) -> None:
    year, pack = simple(load_kw=1.2), made_years.pack()
    free = dispatch(year, made_years.policy("smart", "peak"), PLAIN, PRICES, pack)
    capped = dispatch(year, made_years.policy("smart", "peak", **{limit: value}), PLAIN, PRICES, pack)
    days = capped.export_kwh.reshape(-1, DAY).sum(axis=1)
    if kwh_per_day is None:
        assert days.max() < 3.6
        assert capped.soc_frac.min() == pytest.approx(value)
    else:
        assert days == pytest.approx(kwh_per_day)
    assert changed_days_frac(capped, free) == 1.0
    assert changed_days_frac(free, free) == 0.0


def test_a_year_cap_ends_export_when_it_is_used_up(made_years: ModuleType) -> None:
    year, pack = simple(load_kw=1.2), made_years.pack()
    done = dispatch(
        year, made_years.policy("smart", "peak", export_kwh_per_year=36.0 * YEAR_SCALE), PLAIN, PRICES, pack
    )
    days = done.export_kwh.reshape(-1, DAY).sum(axis=1)
    assert days[:10] == pytest.approx(3.6)
    assert not days[10:].any()


def test_a_long_trip_is_charged_beyond_the_ceiling(made_years: ModuleType) -> None:
    year, pack = simple(drive_kwh=0.0), made_years.pack()
    drive = year.drive_kwh.copy()
    drive[10 * DAY + 7 * 4] = 50.0
    far = replace(year, drive_kwh=drive)
    for export in ("none", "peak", "arbitrage"):
        done = dispatch(far, made_years.policy("smart", export, driving_reserve_kwh=5.0), PLAIN, PRICES, pack)
        assert done.unserved_drive_kwh == 0.0
        assert done.energy_kwh[10 * DAY + 7 * 4] == pytest.approx(55.0, abs=1e-6)
        assert done.energy_kwh[5 * DAY + 7 * 4] == pytest.approx(energy_of_soc(pack, 0.8) * 58.0)


def test_an_outage_is_bridged_by_those_who_export_and_by_nobody_else(made_years: ModuleType) -> None:
    year, pack = simple(load_kw=1.0), made_years.pack()
    outage = year.outage.copy()
    outage[8 * DAY + 80 : 8 * DAY + 88] = True  # 20:00 to 22:00
    dark = replace(year, outage=outage)
    for export, hours in (("none", 0.0), ("outage", 2.0), ("peak", 2.0), ("arbitrage", 2.0)):
        done = dispatch(dark, made_years.policy("smart", export), PLAIN, PRICES, pack)
        assert (done.outage_hours, done.outage_bridged_hours) == (2.0, pytest.approx(hours))
    backup = dispatch(dark, made_years.policy("smart", "outage"), PLAIN, PRICES, pack)
    assert backup.export_kwh.sum() == pytest.approx(2.0)
    weak = dispatch(dark, made_years.policy("smart", "outage", export_kw=0.25), PLAIN, PRICES, pack)
    assert weak.outage_bridged_hours == pytest.approx(0.5)  # a quarter of the load


def test_sun_is_stored_and_given_back_without_buying_more(made_years: ModuleType) -> None:
    pv = np.where((np.arange(DAY) // 4 >= 9) & (np.arange(DAY) // 4 < 16), 4.0, 0.0)
    year = replace(simple(load_kw=1.0, pv_kw=pv, drive_kwh=0.0), plugged=np.ones(364 * DAY, dtype=bool))
    pack = made_years.pack()
    none = dispatch(year, made_years.policy("smart", "none"), PLAIN, PRICES, pack)
    sun = dispatch(year, made_years.policy("smart", "solar"), PLAIN, PRICES, pack)
    days = slice(3 * DAY, 25 * DAY)
    # 17 h of load without sun come from the car, 21 kWh of surplus could fill it
    assert sun.export_kwh[days].reshape(-1, DAY).sum(axis=1) == pytest.approx(17.0)
    surplus = np.maximum(year.pv_kw - year.load_kw, 0) / 4
    assert np.all(sun.meter_in_kwh[days] <= surplus[days] + 1e-9)
    assert bill_money_per_year(sun, year) < bill_money_per_year(none, year)


def test_without_sun_there_is_no_own_sun_to_use(made_years: ModuleType) -> None:
    year = simple(load_kw=1.0)
    away = year.away_charge_kwh.copy()
    away[7 * 4 + 20 :: DAY] = 30.0  # comes home fuller than the ceiling
    full = replace(year, away_charge_kwh=away)
    assert not dispatch(full, made_years.policy("smart", "solar"), PLAIN, PRICES, made_years.pack()).export_kwh.any()


def test_arbitrage_needs_a_spread_that_pays_for_the_losses(made_years: ModuleType) -> None:
    pack = made_years.pack()
    lossy = Charger("lossy", 8.0, 8.0, 0.3, 0.9, 0.9, 0.1)
    year = simple()
    flat = replace(year, import_money_per_kwh=np.full(year.steps, 0.3))
    assert not dispatch(flat, made_years.policy("smart", "arbitrage"), lossy, PRICES, pack).export_kwh.any()
    none = dispatch(year, made_years.policy("smart", "none"), lossy, PRICES, pack)
    done = dispatch(year, made_years.policy("smart", "arbitrage"), lossy, PRICES, pack)
    assert done.export_kwh.any()
    assert not np.any((done.export_kwh > 0) & year.cheap)
    assert bill_money_per_year(done, year) < bill_money_per_year(none, year)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 5000))
def test_arbitrage_never_raises_the_bill(made_years: ModuleType, seed: int) -> None:
    prices = tariff("nl_dynamic")
    year = made_years.year(seed, days=21, prices=prices, outages=0, pv_kwp=0.0)
    none = dispatch(year, made_years.policy("smart", "none"), made_years.CHARGER, prices, made_years.pack())
    done = dispatch(year, made_years.policy("smart", "arbitrage"), made_years.CHARGER, prices, made_years.pack())
    end = energy_cost(done.energy_kwh[0] - done.energy_kwh[-1]) - energy_cost(none.energy_kwh[0] - none.energy_kwh[-1])
    assert bill_money_per_year(done, year) <= bill_money_per_year(none, year) + abs(end) + 1e-6


def energy_cost(kwh: float) -> float:
    return kwh / 0.94 * 0.4 * YEAR_SCALE


def test_a_bill_nets_house_sun_and_car_in_each_step(made_years: ModuleType) -> None:
    pv = np.where(np.arange(DAY) // 4 == 12, 3.0, 0.0)
    year, pack = simple(load_kw=1.0, pv_kw=pv, drive_kwh=0.0), made_years.pack()
    bill = yearly_bill(dispatch(year, made_years.policy("smart", "none"), PLAIN, PRICES, pack), year)
    days = 365.25
    assert bill.import_kwh == pytest.approx(23 * days)
    assert bill.feed_in_kwh == pytest.approx(2 * days)
    assert bill.net_money == pytest.approx((6 * 0.1 + 17 * 0.3 - 2 * 0.05) * days)
    with pytest.raises(ValueError, match="the year 34944 of 15 min"):
        yearly_bill(dispatch(simple(days=21), made_years.policy(), PLAIN, PRICES, pack), year)


@pytest.mark.parametrize("vehicle_type", ["demo_nmc_60", "demo_lfp_60"])
@pytest.mark.parametrize("capacity", [1.0, 0.7])
def test_duty_carries_the_energies_of_the_dispatch(made_years: ModuleType, vehicle_type: str, capacity: float) -> None:
    year, pack = made_years.year(7, days=364), made_years.pack(vehicle_type)
    done = dispatch(
        year, made_years.policy("smart", "peak"), made_years.CHARGER, tariff("us_ev2a_like"), pack, capacity
    )
    duty = duty_of(done, year, pack)
    assert (duty.steps, duty.step_minutes) == (364 * 24, 60)
    assert duty.capacity_ah == pytest.approx(pack.capacity_ah * capacity)
    assert str(duty.start_utc) == "2000-12-31T23:00:00.000000"
    # charge adds up to the change of the cell's state of charge, hour by hour
    net_ah = duty.current_a.sum(axis=1) * duty.step_hours
    assert net_ah == pytest.approx(np.diff(duty.cell_soc_frac) * duty.capacity_ah, abs=1e-6)
    # and times voltage to the energies
    volts = pack.ocv_pack_v((duty.cell_soc_frac[1:] + duty.cell_soc_frac[:-1]) / 2)
    exported = float((-duty.current_a[:, Use.EXPORT] * volts).sum()) / 1000
    assert exported == pytest.approx(done.export_kwh.sum(), rel=5e-3)
    assert np.all(duty.current_a[:, Use.CHARGE] >= 0) and np.all(duty.current_a[:, Use.EXPORT] <= 0)
    assert not duty.current_a[:, Use.REST].any()
    assert year.ambient_c.min() - 1 < duty.temp_c.min() and duty.temp_c.max() < year.ambient_c.max() + 15
    with pytest.raises(ValueError, match="multiple of 15"):
        duty_of(done, year, pack, 20)


def test_displayed_charge_and_energy_turn_into_each_other(made_years: ModuleType) -> None:
    for pack in (made_years.pack(), made_years.pack("demo_lfp_60")):
        soc = np.linspace(0, 1, 50)
        share = np.array([energy_of_soc(pack, float(s)) for s in soc])
        assert (share[0], share[-1]) == (0.0, 1.0)
        assert soc_of_energy(pack, share) == pytest.approx(soc, abs=1e-3)
        cell = pack.cell_soc(soc)
        kwh = pack.capacity_ah * np.diff(cell) * pack.ocv_pack_v((cell[1:] + cell[:-1]) / 2) / 1000
        assert kwh.sum() == pytest.approx(pack.usable_kwh, rel=2e-3)


def test_a_twin_without_export_drives_the_same_and_stands_fuller(made_years: ModuleType) -> None:
    year = made_years.year(11, days=364, prices=tariff("de_fixed"), recorded=True)
    twin = no_export_twin(year)
    assert not twin.recorded_export_kwh.any()
    assert np.all(twin.recorded_charge_kwh <= year.recorded_charge_kwh)
    assert np.all(twin.away_charge_kwh <= year.away_charge_kwh)
    assert twin.drive_kwh is year.drive_kwh

    def level(y: RepresentativeYear) -> FloatArray:
        return np.cumsum(y.recorded_charge_kwh + y.away_charge_kwh - y.drive_kwh - y.recorded_export_kwh)

    ahead = level(twin) - level(year)
    assert ahead.min() > -1e-9
    assert ahead.max() <= year.recorded_export_kwh.sum()
    good = np.flatnonzero(year.recorded_charge_kwh > 0)
    assert np.abs(ahead[good]).min() < 1e-9  # made good again and again
    untouched = no_export_twin(replace(year, recorded_export_kwh=np.zeros(year.steps)))
    assert np.array_equal(untouched.recorded_charge_kwh, year.recorded_charge_kwh)


def test_the_recorded_past_is_replayed(made_years: ModuleType) -> None:
    n = 364 * DAY
    charge, export = np.zeros(n), np.zeros(n)
    charge[80::DAY], export[70::DAY] = 1.5, 1.0
    drive = np.zeros(n)
    drive[30::DAY] = 0.5
    year = replace(
        simple(), drive_kwh=drive, recorded_charge_kwh=charge, recorded_export_kwh=export, recorded_start_soc_frac=0.9
    )
    pack = made_years.pack()
    policy = Policy("as_driven", "", "as_driven", "as_driven", Limits())
    done = dispatch(year, policy, PLAIN, PRICES, pack)
    assert np.array_equal(done.charge_kwh, charge) and np.array_equal(done.export_kwh, export)
    assert done.soc_frac[0] == pytest.approx(0.9, abs=1e-3)
    assert (done.unserved_drive_kwh, done.clipped_kwh) == (0.0, 0.0)
    # with less capacity: to the same highest charge, deeper below it
    old = dispatch(year, policy, PLAIN, PRICES, pack, 0.7)
    assert old.soc_frac.max() == pytest.approx(done.soc_frac.max(), abs=1e-3)
    assert old.soc_frac.min() < done.soc_frac.min()


@pytest.mark.data
@pytest.mark.skipif(not KONSTANZ.is_file(), reason="needs the real data beside the checkout (../shared/data)")
@pytest.mark.parametrize("annual_kwh", [3000.0, 5000.0, 10_000.0])
def test_every_cap_changes_some_days_of_a_real_house(made_years: ModuleType, annual_kwh: float) -> None:
    with gzip.open(KONSTANZ, "rt") as f:
        column = f.readline().strip().split(",").index("load_kwh")
        cells = [line.split(",")[column] for line in f]
    hourly = np.array([max(float(c), 0.0) if c else np.nan for c in cells])
    hourly[np.isnan(hourly)] = np.nanmean(hourly)
    load_kw = np.repeat(np.resize(hourly[72:], 364 * 24) * annual_kwh / hourly.sum(), 4)
    year = made_years.year(3, days=364, prices=tariff("de_fixed"), load_kw=load_kw)
    known, wallbox = policies(), charger("v2h_10kw")
    done = {
        p.policy_id: dispatch(year, p, wallbox, tariff("de_fixed"), made_years.pack())
        for p in known
        if p.caps or p.policy_id == "evening_peak"
    }
    for p in known:
        if p.caps:
            assert 0.01 < changed_days_frac(done[p.policy_id], done[p.uncapped_policy_id]) <= 1.0, p.policy_id
            assert done[p.policy_id].export_kwh.sum() < done[p.uncapped_policy_id].export_kwh.sum()
