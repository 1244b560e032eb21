"""What is of another car or battery than the registered one is left out or said, never mixed in silently."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from models.cars import drop_other_cars, several_cars
from models.defects import clean
from models.domain import FloatArray
from models.life import Life, life_of
from models.parameters import load
from models.rested import CellCurve
from models.sessions import Samples, rules

RULES = rules()


def _life(sim: ModuleType, samples: Samples) -> Life:
    curve = CellCurve(True, 0.008)
    return life_of(samples, [], sim.nmc_pack(), curve, RULES, lambda _, n: np.full(n, 10.0), 165.0)


def _stays(sim: ModuleType, stays: list[tuple[float, float, float, float]]) -> Samples:
    """A DC charger's log: stays of (begin, hours, SOC at begin, SOC at end), a sample every five minutes."""
    pack = sim.nmc_pack()
    rows, soc, ref = [], [], []
    for number, (begin, hours, low, high) in enumerate(stays):
        n = int(hours * 12) + 1
        amps = (high - low) * pack.capacity_ah * (pack.window_high_frac - pack.window_low_frac) / hours
        rows += [(begin + k / 12, "charge", amps) for k in range(n)]
        soc += np.linspace(low, high, n).tolist()
        ref += [number] * n
    volts = 350.0 + 0.01 * (np.arange(len(rows)) % 97)
    got = sim.table(rows, soc_frac=np.array(soc), voltage_v=volts)
    power = got.voltage_v * got.current_a / 930.0
    names = tuple(f"P{k}" for k in range(len(stays)))
    return replace(got, power_kw=power, charger=np.ones(got.size, bool), ref=np.array(ref), refs=names)


def test_two_cars_that_take_turns_at_a_charger_are_told_and_yield_no_reading(history_sim: ModuleType) -> None:
    turns = []
    for day in range(30):
        turns += [(24.0 * day + 17.0, 2.0, 0.6, 0.8), (24.0 * day + 19.2, 3.0, 0.25, 0.7)]
    life = _life(history_sim, _stays(history_sim, turns))
    (found,) = [f for f in life.findings if f.rule == "several_cars"]
    assert (found.rows, found.sessions) == (30, 30)
    assert life.readings == [] and life.resistance == []
    assert life.sessions and all("several_cars" in s.flags for s in life.sessions)
    assert load("log_rules")["several_cars"].text("treatment") == "flagged"
    alone = _life(history_sim, _stays(history_sim, turns[::2]))
    assert alone.readings and not any("several_cars" in s.flags for s in alone.sessions)


def test_one_car_however_it_is_driven_and_charged_is_one_car(history_sim: ModuleType) -> None:
    pack = history_sim.nmc_pack()
    rng = np.random.default_rng(5)
    stays, at, level = [], 0.0, 0.6
    for _ in range(60):  # up to 50 kW on the road, half of the time a fast charger on the way
        hours = float(rng.uniform(0.2, 8.0))
        level = max(level - rng.uniform(0.0, 50.0) * min(hours, 1.0) / pack.usable_kwh, 0.03)
        if rng.random() < 0.5 and hours > 1.0:
            level = max(level, float(rng.uniform(0.5, 0.9)))
        at += hours
        high = min(level + float(rng.uniform(0.02, 0.3)), 1.0)
        stays.append((at, 2.0, level, high))
        at, level = at + 2.0, high
    log = _stays(history_sim, stays)
    assert several_cars(log, pack, RULES) == []
    first = np.flatnonzero(np.concatenate(([True], np.diff(log.ref) > 0)))
    soc = log.soc_frac.copy()
    soc[first] = 0.0  # the charger does not know it yet
    assert several_cars(replace(log, soc_frac=soc), pack, RULES) == []


def _both(sim: ModuleType, other_kw: float, sampled: bool = True) -> tuple[Samples, FloatArray]:
    """A car that rests for three hours, then charges for two; its charger gives another car 7 kW in the first ones."""
    n = 72
    charging = np.arange(n) >= 40
    rows = [(k / 12, "charge" if c else "rest", 20.0 if c else 0.0) for k, c in enumerate(charging)]
    soc = 0.4 + np.cumsum(np.where(charging, 20.0 / 12, 0.0)) / sim.nmc_pack().capacity_ah
    volts = 350.0 + 0.01 * np.arange(n)
    car = sim.table(rows, soc_frac=soc, voltage_v=volts if sampled else np.nan)
    car = car if sampled else replace(car, current_a=np.full(n, np.nan))
    k = np.arange(n)
    power = np.where((k >= 6) & (k < 30), other_kw, np.where(charging, 7.5, 0.0))
    register = 100.0 + np.concatenate(([0.0], np.cumsum(np.abs(power[:-1]) / 12)))
    meter = sim.table(
        [(r[0], "", 0.0) for r in rows], voltage_v=np.nan, power_kw=power, energy_in_register_kwh=register
    )
    ref = np.where((k >= 6) & (k < 30), 0, np.where(charging, 1, -1))
    meter = replace(meter, current_a=np.full(n, np.nan), charger=np.ones(n, bool), ref=ref, refs=("A", "B"))
    meter = replace(meter, time_us=meter.time_us + 30_000_000)
    order = np.argsort(np.concatenate((car.time_us, meter.time_us)), kind="stable")
    names = ("time_us", "state", "ref", "charger", "meter", *Samples.CHANNELS)
    both = {c: np.concatenate((getattr(car, c), getattr(meter, c)))[order] for c in names}
    return Samples(refs=("A", "B"), **both), register


@pytest.mark.parametrize("sampled", [True, False])
def test_what_the_charger_gives_while_the_car_takes_nothing_is_another_cars(
    history_sim: ModuleType, sampled: bool
) -> None:
    pack = history_sim.nmc_pack()
    mixed, _ = _both(history_sim, 7.0, sampled)
    got, found = drop_other_cars(mixed, pack, RULES)
    assert [(f.rule, f.rows, f.sessions) for f in found] == [("other_car", 24, 1)]
    assert got.size == mixed.size - 24
    same, none = drop_other_cars(_both(history_sim, 0.0, sampled)[0], pack, RULES)
    assert none == [] and same.size == mixed.size
    register = got.energy_in_register_kwh[np.isfinite(got.energy_in_register_kwh)]
    assert register[-1] - register[0] == pytest.approx(31 * 7.5 / 12)
    if sampled:
        rest, charge = _life(history_sim, mixed).sessions[:2]
        assert (rest.kind, charge.kind) == ("rest", "charge")
        assert np.nan_to_num(rest.energy_in_meter_kwh) == pytest.approx(0.0, abs=0.4)
        assert charge.energy_in_meter_kwh == pytest.approx(31 * 7.5 / 12, rel=0.05)
        assert "other_car" in {f.rule for f in clean(mixed, pack, RULES)[1]}


@pytest.mark.parametrize(("capacity_ah", "kept"), [(55.0, False), (150.0, True), (230.0, False)])
def test_readings_of_another_battery_than_the_registered_one_are_left_out(
    history_sim: ModuleType, capacity_ah: float, kept: bool
) -> None:
    """A wrong vehicle type in the fleet file: its readings failed the data check and stopped the night of the fleet."""
    log = history_sim.simulate(history_sim.nmc_pack(), capacity_ah, seed=1, days=25, low=0.3, high=0.9)
    life = _life(history_sim, log)
    odd = [f.rows for f in life.findings if f.rule == "implausible_reading"]
    assert (bool(life.readings), bool(odd)) == (kept, not kept)
    assert all(0.4 <= r.soh_frac <= 1.3 for r in life.readings) and life.steps is not None
