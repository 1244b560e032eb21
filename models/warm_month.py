"""A month of V2H duty in a steady climate: the kernel, with and without self-heating, against PyBaMM's DFN.

The reference is the Doyle-Fuller-Newman model with a lumped thermal model; both get the temperature of the air. What is
compared is capacity between the voltage limits after every ten days.
"""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from functools import lru_cache
from time import process_time

import numpy as np

from models.cell import HeatTables, heat_tables
from models.cell_reference import Kind, Reference
from models.conformance import cut_days
from models.domain import FloatArray
from models.laws.sei import SeiLaw, SeiTables, kernel_run
from models.laws.sei_heat import warm_steps
from models.laws.sei_steps import Steps, balanced_current, steps_of
from models.v2h_year import v2h_duty, v2h_pack

DAYS, PART_DAYS = 30, 10
FIRST_DAY = 21  # of the made year: winter's longest drives, deepest evenings
DAY_SWING_K = 4.0


@dataclass(frozen=True)
class WarmMonth:
    """Losses after each ten days [pp] and errors of the kernel over them, without and with self-heating. [1]"""

    air_c: float
    lost_pp: FloatArray
    cold_error_frac: FloatArray
    error_frac: FloatArray
    warming_k: float
    cpu_s: float


def air_steps(cell_id: str, air_c: float, days: int = DAYS) -> Steps:
    """Steps of a month of evening export; their temperature is the air's: `air_c` with a daily swing."""
    pack = v2h_pack(cell_id)
    duty = cut_days(v2h_duty(pack), FIRST_DAY, days)
    hour = np.arange(duty.steps) % 24 + 0.5
    air = air_c - DAY_SWING_K * np.cos(2 * np.pi * (hour - 3.0) / 24)
    return steps_of(dataclasses.replace(duty, temp_c=air), pack)


@lru_cache(maxsize=32)
def _heat(cell_id: str) -> HeatTables:
    return heat_tables(cell_id)  # a second of PyBaMM's evaluations; packaged parameters do not change


def warmed(cell_id: str, tables: SeiTables, steps: Steps, c_rate: FloatArray, state: FloatArray) -> Steps:
    """Steps at the cell's own temperature, from steps at the air's.

    Raises
    ------
    ParameterError
        The cell's set has no thermal parameters.
    """
    heat = _heat(cell_id)
    temp_c = warm_steps(
        steps.hours,
        c_rate,
        steps.temp_c,
        0.5 * (steps.soc_start + steps.soc_end),
        state,
        tables.constants,
        heat.constants,
        heat.resistance_ohm,
        tables.exchange_a_m2,
        heat.cathode_exchange_a_m2,
        tables.esoh.anode_ocp_v,
        tables.esoh.cathode_ocp_v,
    )
    return dataclasses.replace(steps, temp_c=temp_c)


def warm_month(cell_id: str, law_id: str, air_c: float, days: int = DAYS, model: str = "DFN") -> WarmMonth:
    """Run DFN and kernel through a month at an air temperature.

    Raises
    ------
    ReferenceUnsolved
        PyBaMM's solver gave up.
    """
    begun = process_time()
    law = SeiLaw(cell_id, law_id)
    t, start = law.tables, law.tables.aged_state(0.02)
    steps = air_steps(cell_id, air_c, days)
    charge = balanced_current(steps, t.capacity_frac(start))
    marks = np.searchsorted(steps.day, np.append(np.arange(0, days, PART_DAYS), days))
    kind = Kind(model, lumped_heat=True)
    reference = Reference(cell_id, law_id, steps, charge, t, kind, home=law.home)
    truth, now = [], start
    for a, b in itertools.pairwise(marks):
        now = reference.solve(int(a), int(b), now).state
        truth.append(100.0 * (t.capacity_frac(start) - t.capacity_frac(now)))
    cpu_s = process_time() - begun
    hot = warmed(cell_id, t, steps, charge, start)
    losses = [
        [100.0 * (t.capacity_frac(start) - t.capacity_frac(s)) for s in kernel_run(at, charge, marks, start, t)]
        for at in (steps, hot)
    ]
    lost = np.array(truth)
    cold, own = (np.array(x) / lost - 1.0 for x in losses)
    return WarmMonth(air_c, lost, cold, own, float(np.mean(hot.temp_c - steps.temp_c)), cpu_s)
