"""What the registers of a charger's meter tell of a charge: where it was and how much it took; their steps."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from models.counters import drop_stuck_registers, register_step_kwh
from models.defects import clean
from models.domain import FloatArray
from models.life import Life, life_of
from models.rested import CellCurve
from models.sessions import Samples, rules

RULES = rules()
DAY = 96  # samples, one each quarter of an hour


def _log(sim: ModuleType, hours: list[float], elsewhere: frozenset[int] = frozenset()) -> tuple[Samples, FloatArray]:
    """Days of a drive in the morning and a charge of so many hours in the evening; and the register at home."""
    rows, gain, soc = [], [], []
    level = 0.7
    for day, length in enumerate(hours):
        charging = int(length * 4)
        for k in range(DAY):
            if 32 <= k < 40:
                state, amps = "drive", -10.0 * length
            elif 76 <= k < 76 + charging:
                state, amps = "charge", 20.0 + 0.5 * np.sin(day * DAY + k)  # the mains are never quite the same
            else:
                state, amps = "rest", 0.0
            rows.append((24.0 * day + k / 4, state, amps))
            soc.append(level)
            level += amps / 4 / sim.nmc_pack().capacity_ah
            gain.append(1.11 * 0.36 * amps / 4 if amps > 0 and day not in elsewhere else 0.0)
    register = 500.0 + np.concatenate(([0.0], np.cumsum(gain)[:-1]))
    got = sim.table(rows, soc_frac=np.array(soc), voltage_v=360.0 + 0.01 * (np.arange(len(rows)) % 50))
    evening = np.where(np.arange(len(rows)) % DAY >= 72, np.arange(len(rows)) // DAY, -1)
    return replace(got, ref=evening.astype(np.int64), refs=tuple(f"P{day}" for day in range(len(hours)))), register


def _life(sim: ModuleType, samples: Samples, register: FloatArray) -> Life:
    samples = replace(samples, energy_in_register_kwh=register)
    pack, curve = sim.nmc_pack(), CellCurve(True, 0.008)
    return life_of(samples, [], pack, curve, RULES, lambda _, n: np.full(n, 10.0), 165.0)


@pytest.mark.parametrize("shown", [np.nan, 0.0])
def test_a_charge_whose_register_dropped_out_is_at_home_where_the_register_rose_across_it(
    history_sim: ModuleType, shown: float
) -> None:
    """lbbrhzn/ocpp#374: registers drop out; here for the evenings of days 2, 4 and 6, on 4 the car is elsewhere."""
    samples, register = _log(history_sim, [2.0] * 8, elsewhere=frozenset({4}))
    for day in (2, 4, 6):
        register[day * DAY + 70 : day * DAY + 94] = shown
    charges = [s for s in _life(history_sim, samples, register).sessions if s.kind == "charge"]
    assert [s.plugged for s in charges] == [day != 4 for day in range(8)]
    assert ["away_charge" in s.flags for s in charges] == [day == 4 for day in range(8)]
    energies = [s.energy_in_meter_kwh for day, s in enumerate(charges) if day != 4]
    assert energies == pytest.approx([2.0 * 20 * 0.36 * 1.11] * 7, rel=0.1)
    assert np.isnan(charges[4].energy_in_meter_kwh)


def test_charges_of_one_drop_out_are_all_at_home_but_share_their_energy(history_sim: ModuleType) -> None:
    samples, register = _log(history_sim, [2.0] * 8)
    register[2 * DAY + 70 : 4 * DAY + 10] = np.nan
    charges = [s for s in _life(history_sim, samples, register).sessions if s.kind == "charge"]
    assert all(s.plugged and "away_charge" not in s.flags for s in charges)
    assert [bool(np.isnan(s.energy_in_meter_kwh)) for s in charges] == [day in (2, 3) for day in range(8)]


@pytest.mark.parametrize("step", [0.001, 0.1, 1.0, 2.5, 5.0])
def test_a_register_that_moves_in_steps_of_its_own_is_not_stuck(history_sim: ModuleType, step: float) -> None:
    samples, register = _log(history_sim, [2.0, 1.5, 0.5, 2.0, 0.25, 1.0, 2.0, 1.5])
    shown = np.floor(register / step) * step
    assert register_step_kwh(shown) == pytest.approx(step) or step < 1.0
    life = _life(history_sim, samples, shown)
    assert "stuck_register" not in {f.rule for f in life.findings}
    charges = [s for s in life.sessions if s.kind == "charge"]
    assert not [s for s in charges if "away_charge" in s.flags] and all(s.plugged for s in charges)
    known = np.array([s.energy_in_meter_kwh for s in charges])
    true = np.array([s.energy_in_battery_kwh for s in charges]) * 1.11
    told = np.isfinite(known)
    assert np.all(np.abs(known - true)[told] <= max(step, 0.1))
    assert told.all() if step <= 1.0 else set(known[told]) <= {k * step for k in range(2, 9)} and told.sum() >= 3


def test_a_register_that_tells_each_charge_when_it_is_over_stays_stuck(history_sim: ModuleType) -> None:
    """lbbrhzn/ocpp#1707: no step of its own, however many charges."""
    samples, register = _log(history_sim, [2.0, 1.5, 1.0, 1.75, 1.25, 1.0, 2.0, 1.5])
    late = np.repeat(register[::DAY], DAY)
    got, found = drop_stuck_registers(
        replace(samples, energy_in_register_kwh=late),
        history_sim.nmc_pack(),
        RULES,
    )
    assert [f.rule for f in found] == ["stuck_register"] and np.isnan(got.energy_in_register_kwh).any()


def test_a_charge_that_ends_just_after_its_last_sample_leaves_nothing_stuck(history_sim: ModuleType) -> None:
    """Rests are logged every 24 minutes: from the last sample with current to the first without nothing is known."""
    rows, soc, register = [], [], []
    for k in range(12):
        rows.append((k / 6, "charge", 20.0))
        soc.append(0.3 + k / 6 * 20.0 / history_sim.nmc_pack().capacity_ah)
        register.append(500.0 + k / 6 * 8.0)
    rows += [(11 / 6 + 0.4 * (k + 1), "rest", 0.0) for k in range(8)]
    soc += [soc[-1]] * 8
    register += [register[-1]] * 8
    power = np.where(np.arange(20) < 12, 8.0, 0.0)
    volts = 360.0 + 0.1 * np.arange(20)
    log = history_sim.table(
        rows, soc_frac=np.array(soc), power_kw=power, energy_in_register_kwh=np.array(register), voltage_v=volts
    )
    strong = replace(log, current_a=log.current_a * 3.0)  # 12 A.h in the twenty minutes, were it to go on
    strong = replace(strong, soc_frac=0.3 + 3.0 * (log.soc_frac - 0.3), ref=np.zeros(20, np.int64), refs=("P",))
    got, found = clean(strong, history_sim.nmc_pack(), RULES)
    assert found == [] and np.isfinite(got.soc_frac).all() and np.isfinite(got.energy_in_register_kwh).all()
