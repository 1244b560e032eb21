"""Lithium plating on cold charges: how long the anode stands below 0 V against lithium, and what that might plate.

The anode's potential is that of the kernel's quasi-steady particle (`models.laws.sei_kernel.anode_potential`), the
driving force PyBaMM's plating submodel has in a single-particle model. Irreversible plating by Butler-Volmer:

    rate = F k c_e exp(-alpha F phi / RT)                                            [A/m2]

(O'Kane et al. 2022, 10.1039/D2CP00417H; constants and standing in ``parameters/plating.toml``.)

Limits
------
A flag, not a member of any ensemble: the stock speed is not calibrated (it plates 18 % of the lithium in days, most of
it above 0 V, where nothing plates), so lithium is counted below 0 V only and never weighed or added to fade. One
potential for the whole anode: near the separator it is lower at high currents; no stripping; no other cells' spread.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numba import njit

from models.domain import DAYS_PER_YEAR, Duty, FloatArray, Pack
from models.laws import sei
from models.laws.esoh import window
from models.laws.sei_kernel import FARADAY, KELVIN, SeiConstants, anode_potential, step_terms, substeps
from models.parameters import entry


@dataclass(frozen=True)
class PlatingExposure:
    """A duty's exposure to plating.

    Parameters
    ----------
    hours_per_year
        With the anode below 0 V against lithium. [h/a]
    days_per_year
        With at least one such hour's part. [d/a]
    lithium_frac_per_year
        Plated below 0 V at the stock, uncalibrated speed, over the cyclable lithium: not a forecast. [1/a]
    lowest_v
        Lowest potential of the anode. [V]
    """

    hours_per_year: float
    days_per_year: float
    lithium_frac_per_year: float
    lowest_v: float


@njit(cache=True, nogil=True)
def plating_steps(
    hours: FloatArray,
    c_rate: FloatArray,
    temp_c: FloatArray,
    soc: FloatArray,
    x_0: float,
    x_100: float,
    surface: float,
    k: SeiConstants,
    speed: float,
    transfer: float,
    ocp: FloatArray,
    entropic: FloatArray,
    exchange: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Anode potential [V] and plated share of the cyclable lithium [1] of each step, shape (m,) each.

    Parameters
    ----------
    hours, c_rate, temp_c, soc
        Steps of constant current (over capacity as new, positive charging), state of charge in their middle.
    x_0, x_100, surface
        Anode's stoichiometry at empty and full; its surface over that as new.
    speed, transfer
        F k c_e [A/m2] and the transfer coefficient.
    """
    potential, plated = np.empty(hours.size), np.empty(hours.size)
    for i in range(hours.size):
        terms = step_terms(c_rate[i], temp_c[i] + KELVIN, surface, k)
        phi = anode_potential(x_0 + soc[i] * (x_100 - x_0), terms, ocp, entropic, exchange)
        potential[i] = phi
        amps = speed * math.exp(-transfer * terms[0] * phi) * k.surface_m2 * surface
        plated[i] = amps * hours[i] / k.lithium_ah
    return potential, plated


def plating_exposure(duty: Duty, pack: Pack, home: Path | None = None) -> PlatingExposure | None:
    """Exposure of a duty to plating, scaled to a year; None where the cell has no SEI member to take tables from.

    Parameters
    ----------
    duty, pack
        Currents below a thousandth of the capacity an hour count as rest, where a charged anode stands above 0 V.

    Raises
    ------
    ParameterError
        The pack's cell is not known.
    """
    members = sei.members(pack.cell_id, home)
    if not members or not duty.steps:
        return None
    t = members[0].tables
    k = t.constants
    law = entry("plating", "plating", home)
    state = t.new_state
    present = min(duty.capacity_ah / pack.capacity_ah, 1.0)
    w = window(t.esoh, 0.0)
    soc = np.clip(duty.cell_soc_frac, 0.0, 1.0)
    hours, rate, temp, soc_0, soc_1, step = substeps(
        soc,
        duty.temp_c,
        duty.current_a / pack.capacity_ah,
        duty.step_hours,
        np.empty(0) if duty.flow_a is None else duty.flow_a / pack.capacity_ah,
    )
    charging = rate > 1e-3
    hours, rate, temp = hours[charging], rate[charging], temp[charging]
    years = duty.steps * duty.step_hours / 24.0 / DAYS_PER_YEAR
    if not hours.size:
        return PlatingExposure(0.0, 0.0, 0.0, math.nan)
    potential, plated = plating_steps(
        hours,
        rate,
        temp,
        0.5 * (soc_0 + soc_1)[charging],
        w.anode_0,
        w.anode_100,
        1.0 - state[1],
        k,
        FARADAY * law.number("kinetic_m_per_s") * law.number("salt_mol_per_m3"),
        law.number("transfer_coefficient"),
        t.esoh.anode_ocp_v,
        t.entropic_v_per_k,
        t.exchange_a_m2,
    )
    below = potential < 0.0
    day = np.floor_divide(step[charging], 24 * 60 // duty.step_minutes)
    return PlatingExposure(
        hours_per_year=float(hours[below].sum()) / years,
        days_per_year=np.unique(day[below]).size / years,
        lithium_frac_per_year=float(plated[below].sum()) / present / years,
        lowest_v=float(potential.min()),
    )
