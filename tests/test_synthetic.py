"""The simulated fleet: conserved charge, honest logs, counted defects, a truth that behaves."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import synthetic_truth as truth_module
from models.domain import DAYS_PER_YEAR
from models.parameters import ParameterError, entry
from models.synthetic import SimulatedCar, fleet_of, simulate, small_fleet, specs_of, truth_record, without_defects
from models.synthetic_car import EXPORTING
from models.synthetic_habits import RULES, plan_car, plan_days
from models.synthetic_logs import DEFECTS, labels
from models.synthetic_score import as_json, compare, score
from models.synthetic_truth import ArchetypeSpec, formula_archetype, run_archetype
from models.synthetic_world import air_temperature, day_ahead_price, utc_hours

SEED = 3


def _trapezoid_ah(frame: pl.DataFrame) -> float:
    hours = frame["time_utc"].dt.epoch("us").to_numpy() / 3.6e9
    return float(np.trapezoid(frame["current_a"].to_numpy(), hours))


def test_same_seed_same_car_whatever_the_fleet() -> None:
    few, many = small_fleet(5, 2, 20), small_fleet(5, 3, 20)
    assert few[1].log.samples.equals(many[1].log.samples)
    assert few[1].log.sessions.equals(many[1].log.sessions)
    assert truth_record(few[1]) == truth_record(many[1])
    assert not few[1].log.samples.equals(small_fleet(6, 2, 20)[1].log.samples)


def test_charge_is_conserved_in_simulation(tiny_cars: list[SimulatedCar]) -> None:
    for sim in tiny_cars:
        run = sim.run
        flow = np.cumsum(0.5 * (run.current_a[1:] + run.current_a[:-1])) / 12.0
        ages = [sim.car.age_years(sim.car.first_day)]
        capacity = sim.pack.capacity_ah * float(sim.truth.soh(ages[0]))
        # Capacity falls by far less than a percent in 40 days.
        moved = (run.cell_soc_frac[1:] - run.cell_soc_frac[0]) * capacity
        assert np.abs(moved - flow).max() < 0.01 * np.abs(flow).max() + 0.01 * capacity


def test_logged_trapezoid_is_the_true_charge(tiny_cars: list[SimulatedCar]) -> None:
    for sim in tiny_cars:
        clean = without_defects(sim, SEED).log.samples
        gain, offset = sim.sensors.current_gain, sim.sensors.current_offset_a
        active = clean.filter(pl.col("current_a") != 0)
        true = float(np.sum(np.abs(sim.run.current_a))) / 12.0
        logged = _trapezoid_ah(clean.with_columns(pl.col("current_a").abs()))
        assert logged == pytest.approx(true, rel=abs(gain) + 0.01 + abs(offset))
        assert active.height > 100


def test_clean_log_is_in_order_and_rests_without_current(tiny_cars: list[SimulatedCar]) -> None:
    for sim in tiny_cars:
        clean = without_defects(sim, SEED).log.samples
        assert clean["time_utc"].is_sorted() and clean["time_utc"].n_unique() == clean.height
        assert clean.filter(pl.col("state") == "rest")["current_a"].abs().max() == 0.0
        assert clean["soc_pct"].is_between(0, 100).all()
        gaps = clean["time_utc"].diff().drop_nulls().dt.total_minutes()
        assert gaps.max() <= 120
        assert clean["time_utc"][0].date() == sim.car.first_day
        assert clean["time_utc"][-1].date() < date.fromisoformat(entry("synthetic", "fleet").text("log_end_day"))


def test_rested_voltage_tells_the_state_of_charge(tiny_cars: list[SimulatedCar]) -> None:
    sim = tiny_cars[0]
    run, pack = sim.run, sim.pack
    quiet = np.convolve(run.current_a != 0, np.ones(25), mode="full")[: run.current_a.size] == 0
    rested = np.flatnonzero(quiet & (np.arange(quiet.size) > 25))
    assert rested.size > 100
    error = run.voltage_v[rested] / pack.n_series - pack.ocv.voltage_v(run.cell_soc_frac[rested])
    known = sim.nature.ocv_error_v + sim.nature.ocv_tilt_v * (run.cell_soc_frac[rested] - 0.5)
    assert np.abs(error - known).max() < 5e-4


def test_export_stays_below_charger_and_policy() -> None:
    fleet = fleet_of(10, 30, SEED)
    archetypes = {spec: formula_archetype(spec) for spec in specs_of(fleet)}
    exporting: set[str] = set()
    for k in range(10):
        sim = simulate(fleet, k, archetypes)
        meter = sim.run.meter_kw
        assert meter.min() >= -sim.car.export_limit_kw - 1e-6
        out = sim.log.sessions["energy_out_kwh"].sum()
        assert out == pytest.approx(float(np.sum(np.maximum(-meter, 0))) / 12.0, abs=0.01 * sim.log.sessions.height)
        if sim.car.rule == "none":
            assert meter.min() == 0.0 and not (labels(sim.run) == EXPORTING).any()
        if out > 5:
            exporting.add(sim.car.rule)
    assert {"evening_peak", "solar", "arbitrage"} <= exporting <= set(RULES)


def test_defects_are_counted(tiny_cars: list[SimulatedCar]) -> None:
    for sim in tiny_cars:
        assert set(sim.log.defects) == set(DEFECTS)
        twice = sim.log.samples.height - sim.log.samples.unique().height
        assert twice == sim.log.defects["duplicates"]
        clean = without_defects(sim, SEED).log.samples
        lost = sim.log.defects["gap_samples"] - sim.log.defects["duplicates"]
        assert sim.log.samples.height == clean.height - lost
    assert sum(sum(s.log.defects.values()) for s in tiny_cars) > 0


def test_bms_shows_a_charge_of_its_own(tiny_cars: list[SimulatedCar]) -> None:
    for sim in tiny_cars:
        true = sim.pack.displayed_soc(sim.run.cell_soc_frac)
        gap = np.abs(sim.run.displayed_frac - np.clip(true, 0, 1))
        assert 0.0005 < gap.max() < 0.15


def test_truth_fades_and_export_costs(tiny_cars: list[SimulatedCar]) -> None:
    ages = np.linspace(0.5, 15, 30)
    for sim in tiny_cars:
        t = sim.truth
        assert (np.diff(t.soh(ages)) < 0).all()
        assert (t.soh(ages, 0.0) >= t.soh(ages)).all()
        stop = t.soh_without_further_export(ages, 5.0)
        assert (stop >= t.soh(ages) - 1e-12).all()
        assert stop[ages < 5.0] == pytest.approx(t.soh(ages)[ages < 5.0])
        record = truth_record(sim)
        assert record["soh_frac"] == pytest.approx(float(t.soh(sim.car.age_years(sim.car.end_day))), abs=1e-6)
        assert t.weakest > 1.0
        assert (t.share > 0) == sim.car.exports


@settings(max_examples=25, deadline=None)
@given(index=st.integers(0, 5000), seed=st.integers(0, 2**31), days=st.integers(1, 400))
def test_any_car_is_a_possible_one(index: int, seed: int, days: int) -> None:
    car = plan_car(index, days, seed)
    assert 0 <= car.days <= days and car.first_day >= car.in_service_date
    assert 0 < car.floor_frac < car.target_frac <= 1
    assert 0 < car.plug_share <= 1
    assert car.age_years(car.end_day) <= entry("synthetic", "fleet").number("age_high_years") + 0.01


def test_days_hold_trips_that_fit() -> None:
    days = plan_days(plan_car(0, 60, SEED), SEED)
    assert (days.km[days.mode != 1] == 0).all() and days.km.sum() > 500
    assert (days.drive_kw[days.mode == 1] > 0).all()
    assert days.mode[0] == 0 and days.mode[-1] == 0


def test_climates_are_what_their_names_say() -> None:
    hours = utc_hours(date(2025, 1, 1), date(2026, 1, 1))
    mean = {name: air_temperature(name, hours, SEED).mean() for name in ("cold", "mild", "hot")}
    assert mean["cold"] < 8 < mean["mild"] < 16 < mean["hot"]
    price = day_ahead_price("DE", hours, SEED)
    assert 0.03 < price.mean() < 0.15 and price.min() < 0.02


def test_a_fleet_needs_someone() -> None:
    with pytest.raises(ValueError, match="at least one vehicle"):
        fleet_of(0, 10, SEED)
    with pytest.raises(ValueError, match="no archetype"):
        simulate(fleet_of(1, 5, SEED), 0, {})
    with pytest.raises(ParameterError):
        truth_module._parameter_values(None, ArchetypeSpec("no_such_cell", "mild", True, 1), 1.0)


@pytest.mark.parametrize("export", [False, True])
def test_the_repeated_day_ends_where_it_began(export: bool) -> None:
    day = truth_module._day(export)
    assert sum(h for h, _ in day) == pytest.approx(24.0)
    assert sum(h * c for h, c in day) == pytest.approx(0.0, abs=1e-12)
    t, amps = truth_module._current(3, day, 5.0)
    assert (np.diff(t) > 0).all() and t.shape == amps.shape
    assert np.trapezoid(amps, t) == pytest.approx(0.0, abs=5.0 * 24 * 3600 * 1e-3)


@pytest.mark.slow
def test_archetypes_fade_plausibly_and_export_costs() -> None:
    quiet, busy = (run_archetype(ArchetypeSpec("nmc811_lgm50", "mild", on, 10)) for on in (False, True))
    assert quiet.age_years[-1] == pytest.approx(10, abs=28 / DAYS_PER_YEAR)
    assert 0.06 < quiet.loss(10.0) < 0.2
    assert 0.003 < busy.loss(10.0) - quiet.loss(10.0) < 0.06
    assert (np.diff(quiet.loss_frac) > 0).all()


def test_score_of_a_perfect_night(tiny_cars: list[SimulatedCar]) -> None:
    records = [{**truth_record(s), "vehicle_id": s.car.name} for s in tiny_cars]
    state = {
        r["vehicle_id"]: {
            "soh_frac": r["soh_frac"],
            "soh_low_frac": r["soh_frac"] - 0.01,
            "soh_high_frac": r["soh_frac"] + 0.01,
            "export_cost_pp": r["logged_export_cost_pp"],
            "export_cost_low_pp": r["logged_export_cost_pp"] * 0.5,
            "export_cost_high_pp": r["logged_export_cost_pp"] * 2,
        }
        for r in records
    }
    later = {}
    for r in records:
        for year, soh, cost in zip(r["years"], r["soh_as_driven_frac"], r["further_cost_pp"], strict=True):
            fan = {"soh_p50": soh, "soh_p10": soh - 0.02, "soh_p90": soh + 0.02}
            later[r["vehicle_id"], year] = fan | {
                "export_p50_pp": cost,
                "export_p10_pp": cost - 1,
                "export_p90_pp": cost + 1,
            }
    found = {f.name: f for f in score(records, state, later)}
    assert len(found) == 10
    assert all(f.rmse_pp == pytest.approx(0, abs=1e-9) and f.inside_80_frac == 1 for f in found.values())
    assert found["export so far"].sign_right_frac == 1
    assert found["export so far"].clear_wrong_frac == 0
    assert found["capacity now"].width_80_pp == pytest.approx(2.0)
    assert all(isinstance(v, (int, float, str)) for row in as_json(list(found.values())) for v in row.values())


def test_score_counts_a_wrong_sign_and_leaves_out_what_is_unknown() -> None:
    two = np.array([1.0, np.nan])
    found = compare("x", np.array([1.0, 1.0]), -two, -two - 0.5, -two + 0.5, signed=True)
    assert found is not None
    assert (found.n, found.sign_right_frac, found.clear_wrong_frac) == (1, 0.0, 1.0)
    assert (found.rmse_pp, found.bias_pp, found.inside_80_frac) == (2.0, -2.0, 0.0)
    nothing = np.array([np.nan])
    assert compare("x", nothing, nothing, nothing, nothing) is None
