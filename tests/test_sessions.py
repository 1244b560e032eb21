"""Samples cut into sessions, matched with logged ones, and their defects."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from models.clock import mend_clock
from models.defects import clean, drop_stuck, mend_odometer
from models.life import Life, life_of
from models.rested import CellCurve
from models.sessions import US_PER_HOUR, RawSession, Samples, rules, session_ids, typed_states

RULES = rules()
CURVE = CellCurve(True, 0.008)


def _life(sim: ModuleType, samples: Samples, logged: list[RawSession] | None = None, dated: bool = True) -> Life:
    return life_of(
        samples, logged or [], sim.nmc_pack(), CURVE, RULES, lambda _, n: np.full(n, 10.0), 165.0, dated=dated
    )


def _day(sim: ModuleType, **channels: object) -> Samples:
    """Rest, a drive of half an hour, a charge of two hours, rest."""
    rows = [(h / 2, "rest", 0.0) for h in range(0, 16)]
    rows += [(8.0 + k / 12, "drive", 0.0 if k in (0, 6) else -60.0) for k in range(7)]
    rows += [(8.5 + k / 6 + 1 / 60, "charge", 0.0 if k in (0, 12) else 20.0) for k in range(13)]
    rows += [(11.0 + h / 2, "rest", 0.0) for h in range(0, 20)]
    return sim.table(rows, **{"voltage_v": 360.0 + 0.01 * np.arange(len(rows))} | channels)


def _soc(samples: Samples, capacity_ah: float) -> np.ndarray:
    hours = np.diff(samples.time_us) / US_PER_HOUR
    ah = np.cumsum(0.5 * (samples.current_a[1:] + samples.current_a[:-1]) * hours)
    return 0.8 + np.concatenate(([0.0], ah)) / capacity_ah


def test_sessions_tile_the_log_and_their_energies_are_those_of_the_duty(history_sim: ModuleType) -> None:
    life = _life(history_sim, _day(history_sim, soc_frac=0.5))
    assert [s.kind for s in life.sessions] == ["rest", "drive", "charge", "rest"]
    assert all(a.end_us == b.start_us for a, b in zip(life.sessions, life.sessions[1:], strict=False))
    assert life.steps is not None
    into = sum(s.energy_in_battery_kwh for s in life.sessions)
    out = sum(s.energy_out_battery_kwh for s in life.sessions)
    assert [into, out] == pytest.approx(life.steps.kwh.sum(axis=(0, 1)), rel=1e-12)
    drive = life.sessions[1]
    assert drive.energy_out_battery_kwh == pytest.approx(60 * 5 / 12 * 0.36, rel=1e-3)
    assert drive.distance_km == pytest.approx(drive.energy_out_battery_kwh * 1000 / 165)
    assert "distance_modelled" in drive.flags
    # A stay with a charge is a plugged stay; the rest before the drive had none.
    assert [s.plugged for s in life.sessions] == [False, False, True, True]
    assert "plugged_inferred" in life.sessions[3].flags


def test_a_missing_state_is_inferred_and_a_wrong_sign_corrected(history_sim: ModuleType) -> None:
    rows = [(0.0, "", 0.0), (0.1, "", -40.0), (0.11, "", 15.0), (0.12, "", -30.0), (0.5, "", 20.0), (0.6, "", 20.0)]
    samples = history_sim.table(rows)
    power = np.array([np.nan, np.nan, np.nan, np.nan, 7.0, 7.0])
    state, found = typed_states(replace(samples, power_kw=power), 150.0, RULES)
    assert state.tolist() == [3, 0, 0, 0, 1, 1]
    assert [f.rule for f in found] == ["state_inferred"]
    wrong = history_sim.table([(0.0, "charge", 20.0), (0.1, "charge", -20.0), (0.2, "charge", -20.0)], power_kw=-5.0)
    state, found = typed_states(wrong, 150.0, RULES)
    assert state.tolist() == [1, 2, 2]
    assert [(f.rule, f.rows) for f in found] == [("sign_disagrees", 2)]


def test_a_gap_across_which_soc_fell_holds_a_drive_nobody_logged(history_sim: ModuleType) -> None:
    rows = [(0.0, "rest", 0.0), (1.0, "rest", 0.0), (9.0, "rest", 0.0), (10.0, "rest", 0.0)]
    samples = history_sim.table(rows, soc_frac=np.array([0.8, 0.8, 0.6, 0.6]))
    life = _life(history_sim, samples)
    gap = next(s for s in life.sessions if "gap" in s.flags)
    assert gap.kind == "drive" and gap.samples == 0
    assert gap.energy_out_battery_kwh == pytest.approx(0.2 * 58.0)
    assert not [s for s in _life(history_sim, samples, dated=False).sessions if "gap" in s.flags]


@pytest.mark.parametrize(("soc", "km"), [((0.85, 0.05), None), ((0.8, 0.75), (1000.0, 1900.0))])
def test_a_jump_in_a_gap_is_no_drive_faster_than_the_data_check_allows(
    history_sim: ModuleType, soc: tuple[float, float], km: tuple[float, float] | None
) -> None:
    """Another car at the charger, or a clock that leapt: one such log stopped the night of a whole fleet."""
    rows = [(k / 12, "charge", 20.0) for k in range(12)] + [(2.0 + k / 12, "charge", 20.0) for k in range(12)]
    level = np.repeat(soc, 12) + np.tile(np.arange(12) * 20.0 / 12 / history_sim.nmc_pack().capacity_ah, 2)
    more = {} if km is None else {"odometer_km": np.repeat(km, 12)}
    life = _life(history_sim, history_sim.table(rows, soc_frac=level, **more))
    (gap,) = [s for s in life.sessions if s.kind == "drive"]
    assert "drive_capped" in gap.flags and [f.rows for f in life.findings if f.rule == "drive_capped"] == [1]
    assert gap.distance_km / gap.hours < 150.0 and gap.energy_out_battery_kwh / gap.hours < 150.0
    assert gap.distance_km / gap.hours == pytest.approx(149.0)


def test_sessions_that_begin_together_bear_different_names(history_sim: ModuleType) -> None:
    """One sample of a drive before a gap that holds a drive: their equal names stopped the night of a whole fleet."""
    rows = [(0.0, "rest", 0.0), (0.2, "rest", 0.0), (1.0, "drive", -20.0), (2.0, "rest", 0.0), (2.2, "rest", 0.0)]
    life = _life(history_sim, history_sim.table(rows, soc_frac=np.array([0.8, 0.8, 0.8, 0.6, 0.6])))
    drives = [s for s in life.sessions if s.kind == "drive"]
    assert len(drives) == 2 and drives[0].start_us == drives[1].start_us
    names = session_ids(life.sessions, "v1")
    assert len(set(names)) == len(names) == len(life.sessions) and names == session_ids(life.sessions, "v1")
    assert names[0] == life.sessions[0].session_id("v1")


def test_logged_sessions_fill_in_the_meter_and_mark_the_plug(history_sim: ModuleType) -> None:
    samples = _day(history_sim, soc_frac=0.5)
    start = history_sim.START_US
    plug = RawSession("P1", "plugin", start + int(8.5 * US_PER_HOUR), start + 20 * US_PER_HOUR, 15.5)
    away = RawSession("P2", "plugin", start + 30 * US_PER_HOUR, None, 9.0)
    life = _life(history_sim, samples, [plug, away])
    charge = next(s for s in life.sessions if s.kind == "charge" and s.samples)
    assert charge.energy_in_meter_kwh == 15.5
    extra = next(s for s in life.sessions if "no_samples" in s.flags)
    assert extra.session_ref == "P2" and "open_session" in extra.flags and extra.soc_inferred
    assert {f.rule for f in life.findings} >= {"session_without_samples"}
    metered = replace(samples, power_kw=np.where(samples.state == 1, 7.0, 0.0))
    found = _life(history_sim, metered, [replace(plug, energy_in_meter_kwh=40.0)])
    assert "energy_disagrees" in {f.rule for f in found.findings}


def test_stuck_records_and_stuck_soc_are_left_out(history_sim: ModuleType) -> None:
    pack = history_sim.nmc_pack()
    rows = [(k / 12, "charge", 40.0 + k) for k in range(30)]
    samples = history_sim.table(rows, soc_frac=np.linspace(0.2, 0.6, 30))
    frozen = {n: getattr(samples, n).copy() for n in ("voltage_v", "current_a", "soc_frac")}
    for values in frozen.values():
        values[10:14] = values[10]
    got, found = drop_stuck(replace(samples, **frozen), pack, RULES)
    assert [(f.rule, f.rows) for f in found] == [("stuck_record", 3)]
    assert np.isnan(got.current_a[11:14]).all() and got.current_a[10] == 50.0
    soc = samples.soc_frac.copy()
    soc[5:25] = soc[5]
    got, found = drop_stuck(replace(samples, soc_frac=soc, voltage_v=350.0 + np.arange(30.0)), pack, RULES)
    assert [f.rule for f in found] == ["stuck_soc"]
    assert np.isfinite(got.soc_frac[5]) and np.isnan(got.soc_frac[6:25]).all()


def test_registers_fill_in_the_meter_and_disagreement_is_flagged(history_sim: ModuleType) -> None:
    rows = [(k / 12, "charge" if 12 <= k < 36 else "rest", 20.0 if 12 <= k < 36 else 0.0) for k in range(48)]
    true = 500.0 + np.clip(np.arange(48) - 12, 0, 24) * 0.65
    soc = 0.3 + np.clip(np.arange(48) - 12, 0, 24) * 20.0 / 12 / history_sim.nmc_pack().capacity_ah
    alone = _life(history_sim, history_sim.table(rows, soc_frac=soc, energy_in_register_kwh=true))
    (charge,) = [s for s in alone.sessions if s.kind == "charge"]
    assert charge.energy_in_meter_kwh == pytest.approx(15.6, abs=0.7) and np.isnan(charge.energy_out_meter_kwh)
    assert charge.energy_in_battery_kwh < charge.energy_in_meter_kwh
    power = np.where((np.arange(48) >= 12) & (np.arange(48) < 36), 7.2, 0.0)
    for factor, flagged in ((1.0, False), (1.3, True)):
        shown = 500.0 + factor * (true - 500.0)
        samples = history_sim.table(rows, soc_frac=soc, power_kw=power, energy_in_register_kwh=shown)
        both = _life(history_sim, samples)
        (charge,) = [s for s in both.sessions if s.kind == "charge"]
        assert charge.energy_in_meter_kwh == pytest.approx(14.1, abs=0.4)  # of the power
        assert ("energy_disagrees" in charge.flags) is flagged
        assert [f.sessions for f in both.findings if f.rule == "energy_disagrees"] == ([1] if flagged else [])


def test_a_charge_while_the_registers_stand_still_is_one_elsewhere(history_sim: ModuleType) -> None:
    """The charger at home goes on telling its register, hours without power of its own."""
    charges = ((12, 36), (60, 84), (132, 156))
    begin = [np.clip(np.arange(180) - a, 0, b - a) for a, b in charges]
    rows = [
        (k / 12, "charge", 20.0) if any(a <= k < b for a, b in charges) else (k / 12, "rest", 0.0) for k in range(180)
    ]
    rows[96:100] = [(k / 12, "drive", -30.0) for k in range(96, 100)]
    moved = sum(begin) * 20.0 / 12 - np.clip(np.arange(180) - 96, 0, 4) * 30.0 / 12
    soc = 0.2 + moved / history_sim.nmc_pack().capacity_ah
    register = 500.0 + (begin[0] + begin[1]) * 0.65
    life = _life(history_sim, history_sim.table(rows, soc_frac=soc, energy_in_register_kwh=register))
    home, again, away = [s for s in life.sessions if s.kind == "charge"]
    assert [home.plugged, again.plugged, away.plugged] == [True, True, False]
    assert "away_charge" in away.flags and np.isnan(away.energy_in_meter_kwh)
    assert again.energy_in_meter_kwh == pytest.approx(15.6, abs=0.7)


def test_odometers_only_rise(history_sim: ModuleType) -> None:
    km = np.concatenate((1000 + np.arange(50.0), np.arange(50.0) * 2))
    samples = history_sim.table([(3.0 * k, "rest", 0.0) for k in range(100)], odometer_km=km)
    got, found = mend_odometer(samples, RULES)
    assert [(f.rule, f.rows) for f in found] == [("odometer_reset", 1)]
    assert got.odometer_km[-1] == 1049 + 98
    km = 1000 + np.arange(100.0)
    km[40] = 9000.0
    got, found = mend_odometer(replace(samples, odometer_km=km), RULES)
    assert [(f.rule, f.rows) for f in found] == [("jump_odometer_km", 1)]
    assert np.isnan(got.odometer_km[40]) and np.all(np.diff(got.odometer_km[~np.isnan(got.odometer_km)]) >= 0)


def _named(sim: ModuleType) -> Samples:
    samples = _day(sim)
    samples = replace(samples, soc_frac=_soc(samples, 160.0), refs=("D1", "P1"))
    ref = np.full(samples.size, -1)
    ref[samples.state == 0], ref[samples.state == 1] = 0, 1
    return replace(samples, ref=ref)


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_session_one_hour_off_is_moved_back_where_that_is_certain(history_sim: ModuleType, hours: int) -> None:
    # UtilitechAS/amsreader-firmware#1038: clocks that miss summer time, or keep it.
    right = _named(history_sim)
    time = right.time_us.copy()
    time[right.ref == 0] += hours * US_PER_HOUR
    order = np.argsort(time, kind="stable")
    wrong = replace(right, time_us=time).take(order)
    got, found = mend_clock(wrong, RULES)
    rows = dict((f.rule, f.rows) for f in found)
    assert rows == {"clock_one_hour": 7}
    assert got.time_us.tolist() == right.time_us.tolist()
    untouched, none = mend_clock(right, RULES)
    assert none == [] and untouched.time_us.tolist() == right.time_us.tolist()


def test_a_clock_in_doubt_moves_nothing(history_sim: ModuleType) -> None:
    # Without SOC, odometer and samples beside, either the drive or the charge around it could be the wrong one.
    right = _named(history_sim)
    hour = (right.time_us - history_sim.START_US) / US_PER_HOUR
    right = right.take((hour < 10.6) | (hour > 11.6))
    time = right.time_us.copy()
    time[right.ref == 0] += US_PER_HOUR
    blind = replace(right, time_us=time, soc_frac=np.full(right.size, np.nan)).take(np.argsort(time, kind="stable"))
    got, found = mend_clock(blind, RULES)
    assert [f.rule for f in found] == ["clock_suspect"]
    assert got.time_us.tolist() == blind.time_us.tolist()
    assert np.isfinite(got.current_a[got.ref == 0]).all() and np.isnan(got.current_a[got.ref == 1]).any()


def test_clean_counts_every_rule_once(history_sim: ModuleType) -> None:
    samples = _named(history_sim)
    volts = samples.voltage_v.copy()
    volts[3], volts[5] = 9000.0, 200.0
    temp = np.full(samples.size, 20.0)
    temp[7] = 95.0
    twice = replace(samples, voltage_v=volts, battery_temp_c=temp).take(np.sort(np.append(np.arange(samples.size), 9)))
    got, found = clean(twice, history_sim.nmc_pack(), RULES)
    assert {f.rule: f.rows for f in found} == {
        "duplicate_time": 1, "impossible_voltage_v": 1, "jump_voltage_v": 1, "impossible_battery_temp_c": 1,
    }  # fmt: skip
    assert got.size == samples.size and got.accepted.sum() == samples.size - 2


def test_simulated_weeks_are_cut_as_they_were_driven(history_sim: ModuleType) -> None:
    pack = history_sim.nmc_pack()
    life = _life(history_sim, history_sim.simulate(pack, pack.capacity_ah, 5, 10, 0.4, 0.8))
    kinds = Counter(s.kind for s in life.sessions)
    assert kinds["drive"] == kinds["export"] == kinds["charge"] == 10
    exported = sum(s.energy_out_battery_kwh for s in life.sessions if s.kind == "export")
    assert life.steps is not None
    assert exported == pytest.approx(life.steps.kwh[:, 2, 1].sum(), rel=1e-9)
    again = _life(history_sim, history_sim.simulate(pack, pack.capacity_ah, 5, 10, 0.4, 0.8))
    assert [s.session_id("v1") for s in again.sessions] == [s.session_id("v1") for s in life.sessions]
    assert len({s.session_id("v1") for s in life.sessions}) == len(life.sessions)


def test_a_log_without_soc_counts_charge_and_says_so(history_sim: ModuleType) -> None:
    life = _life(history_sim, _day(history_sim))
    assert all(s.soc_inferred and "soc_inferred" in s.flags for s in life.sessions)
    assert not [r for r in life.readings if r.bms_reported]


def _meter(sim: ModuleType, hours: list[float], kw: list[float], **channels: object) -> Samples:
    """Samples of a charger that knows its meter alone."""
    table = sim.table([(h, "", 0.0) for h in hours], **{"voltage_v": np.nan, "power_kw": np.array(kw)} | channels)
    nothing = np.full(len(hours), np.nan)
    return replace(table, current_a=nothing, charger=np.ones(len(hours), dtype=bool))


def test_what_only_the_charger_logged_is_duty_but_never_a_reading(history_sim: ModuleType) -> None:
    hours = [k / 6 for k in range(61)]
    kw = [-5.0 if 1 <= h < 2 else 7.0 if 5 <= h < 8 else 0.03 for h in hours]
    energy = np.concatenate(([0.0], np.cumsum(kw)[:-1] / 6))
    life = _life(history_sim, _meter(history_sim, hours, kw, soc_frac=np.round(0.5 + energy * 0.9 / 60, 2)))
    assert {s.kind for s in life.sessions} == {"rest", "charge", "export"}
    assert all("current_from_meter" in s.flags for s in life.sessions)
    flows = [(s.energy_in_meter_kwh - s.energy_out_meter_kwh) for s in life.sessions]
    assert (min(flows), max(flows)) == pytest.approx((-5.0, 21.0), abs=0.6)
    at_battery = sum(s.energy_in_battery_kwh for s in life.sessions)
    assert at_battery == pytest.approx(max(flows) * RULES("balance", "charge_efficiency_frac"), rel=0.03)
    rest = max(s.energy_in_battery_kwh for s in life.sessions if s.kind == "rest")
    assert rest == pytest.approx(0, abs=1e-9), "what the charger needs for itself is no charge"
    assert life.steps is not None and life.steps.kwh.sum() > 20
    assert (life.readings, life.resistance) == ([], [])
    assert {f.rule: f.rows for f in life.findings}["current_from_meter"] == 61


def test_a_meter_without_any_state_of_charge_is_left_to_the_balance(history_sim: ModuleType) -> None:
    life = _life(history_sim, _meter(history_sim, [0.0, 0.5, 1.0], [7.0, 7.0, 7.0]))
    assert life.sessions == [] and life.steps is None
    assert "current_from_meter" not in {f.rule for f in life.findings}


def test_the_charger_fills_the_days_on_which_the_car_logged_nothing(history_sim: ModuleType) -> None:
    car = _day(history_sim, soc_frac=0.5)
    alone = _life(history_sim, car)
    late = _meter(history_sim, [24.0 + k / 6 for k in range(13)], [-5.0] * 13)
    channels = {c: np.concatenate((getattr(car, c), getattr(late, c))) for c in Samples.CHANNELS}
    both = Samples(
        np.concatenate((car.time_us, late.time_us)), np.concatenate((car.state, late.state)),
        np.concatenate((car.ref, late.ref)), (), charger=np.concatenate((car.charger, late.charger)), **channels,
    )  # fmt: skip
    life = _life(history_sim, both)
    export = [s for s in life.sessions if s.kind == "export"]
    assert [s.energy_out_meter_kwh for s in export] == pytest.approx([10.0])
    assert [r.soh_frac for r in life.readings] == [r.soh_frac for r in alone.readings]
    assert sum(s.samples > 0 and "current_from_meter" not in s.flags for s in life.sessions) == 4
