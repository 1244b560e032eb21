"""The flag of plating: where it rises, and the same driving force as PyBaMM's plating submodel."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from models.cell_reference import PLATED, Kind, Reference
from models.laws.esoh import window
from models.laws.plating import plating_exposure, plating_steps
from models.laws.sei import SeiLaw
from models.laws.sei_kernel import FARADAY
from models.laws.sei_steps import Steps
from models.parameters import entry
from models.v2h_year import v2h_duty, v2h_pack

CELL = "nmc811_lgm50"


def _charge(c_rate: float, temp_c: float) -> Steps:
    """A charge from 20 to 80 % at constant current."""
    n = int(12.0 / c_rate) + 1
    soc = np.linspace(0.2, 0.8, n + 1)
    hours = np.full(n, 0.6 / c_rate / n)
    return Steps(hours, np.full(n, c_rate), np.full(n, temp_c), soc[:-1], soc[1:], np.zeros(n))


def test_colder_and_faster_charging_stands_longer_below_zero() -> None:
    pack = v2h_pack(CELL)
    mild = v2h_duty(pack)
    cold = dataclasses.replace(mild, temp_c=mild.temp_c - 25.0)
    fast = dataclasses.replace(cold, current_a=2.0 * cold.current_a)
    found = [plating_exposure(d, pack) for d in (mild, cold, fast)]
    assert all(f is not None for f in found)
    hours = [f.hours_per_year for f in found if f]
    assert hours[0] == 0.0  # a home charger in a mild climate plates nothing
    assert 10.0 < hours[1] < hours[2]
    for f in found:
        assert f is not None and f.days_per_year <= 366 and (f.lowest_v < 0) == (f.hours_per_year > 0)


def test_only_charging_is_counted() -> None:
    pack = v2h_pack(CELL)
    duty = v2h_duty(pack)
    parked = dataclasses.replace(duty, current_a=np.minimum(duty.current_a, 0.0), temp_c=duty.temp_c - 40.0)
    found = plating_exposure(parked, pack)
    assert found is not None and found.hours_per_year == 0.0


def test_constants_have_a_source_and_are_not_called_seen() -> None:
    law = entry("plating", "plating")
    assert all(p.standing != "seen" for p in law.parameters.values())
    assert "10.1039/D2CP00417H" in law["kinetic_m_per_s"].source


@pytest.mark.slow
@pytest.mark.parametrize(("c_rate", "temp_c", "within"), [(0.1, -10.0, 2e-3), (0.3, 0.0, 1e-2), (1.0, 0.0, 3e-2)])
def test_plates_what_pybamm_plates(c_rate: float, temp_c: float, within: float) -> None:
    """A cold charge with PyBaMM's irreversible plating at a thousandth of the stock speed.

    At the stock speed plating takes so much of the current (up to 9 % of the lithium in one charge) that it slows
    itself; here the driving force is compared, not that feedback.
    """
    speed = 1e-12
    steps, law = _charge(c_rate, temp_c), SeiLaw(CELL, "sei_ec")
    t = law.tables
    kind = Kind(plating="irreversible", plating_m_per_s=speed)
    reference = Reference(CELL, "sei_ec", steps, steps.c_rate, t, kind, outputs=(PLATED,))
    solved = reference.solve(0, steps.hours.size, t.new_state)
    theirs = float(solved.values[PLATED].ravel()[-1]) * FARADAY / 3600.0 / t.constants.lithium_ah
    w = window(t.esoh, 0.0)
    _, mine = plating_steps(
        steps.hours,
        steps.c_rate,
        steps.temp_c,
        0.5 * (steps.soc_start + steps.soc_end),
        w.anode_0,
        w.anode_100,
        1.0,
        t.constants,
        FARADAY * speed * 1000.0,
        entry("plating", "plating").number("transfer_coefficient"),
        t.esoh.anode_ocp_v,
        t.entropic_v_per_k,
        t.exchange_a_m2,
    )
    assert mine.sum() == pytest.approx(theirs, rel=within)
