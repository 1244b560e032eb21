"""Self-heating of a cell in the kernel: one lump that warms by reaction and ohmic losses and cools to the air.

Heat of a step of constant current I is |I| (eta_anode + eta_cathode) + I^2 R(T): Butler-Volmer overpotentials at the
mean surface stoichiometries (2 RT/F asinh(j / 2 j0)) and the ohmic and diffusive resistance of electrolyte and solids
for a reaction spread evenly over the electrodes. The lump's equation has an exact solution for constant heat, so steps
of an hour are as good as short ones. PyBaMM's "lumped" thermal model is what this stands in for.

Limits
------
No entropic (reversible) heat: it changes sign between charging and discharging and all but cancels over a day; no
heat of mixing, no heat of the film's resistance. A car's duty carries its cells' own temperature (measured, or
`models.thermal` with the pack's cooling): there this is not used.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from models.domain import FloatArray
from models.laws.esoh import anode_window, table_at
from models.laws.sei_kernel import FARADAY, GAS, KELVIN, SeiConstants


class HeatConstants(NamedTuple):
    """What warms and cools one cell, in SI units, read by `models.cell.heat_tables`."""

    heat_capacity_j_k: float
    cooling_w_k: float
    cathode_surface_m2: float
    cathode_exchange_activation_j: float
    cathode_shift: float  # surface less mean stoichiometry of the cathode per ampere, at the reference temperature
    cathode_shift_activation_j: float
    first_k: float  # resistances below are given at first_k, first_k + step_k, ...
    step_k: float


@njit(cache=True, nogil=True)
def warm_steps(
    hours: FloatArray,
    c_rate: FloatArray,
    air_c: FloatArray,
    soc: FloatArray,
    state: FloatArray,
    k: SeiConstants,
    heat: HeatConstants,
    resistance_ohm: FloatArray,
    exchange_n: FloatArray,
    exchange_p: FloatArray,
    ocp_n: FloatArray,
    ocp_p: FloatArray,
) -> FloatArray:
    """Mean cell temperature of each step, shape (m,). [°C]

    Parameters
    ----------
    hours, c_rate, air_c, soc
        Steps of constant current (over capacity as new, positive charging), air around the cell, state of charge in
        the middle of the step, shape (m,). [h], [1/h], [°C], [1]
    state
        Film, anode loss, trapped lithium, shape (3,): says where the electrodes stand.
    resistance_ohm
        Of electrolyte and solids over temperature, see `HeatConstants`.
    exchange_n, exchange_p
        Exchange-current densities of anode and cathode at the reference temperature, over stoichiometry. [A/m2]
    """
    film, wear, trapped = state[0], state[1], state[2]
    lithium = k.lithium_ah * (1.0 - (film - k.film_start_frac) - trapped)
    anode, cathode = k.anode_ah * (1.0 - wear), k.cathode_ah * (1.0 - k.cathode_wear_ratio * wear)
    x_0, x_100 = anode_window(lithium, anode, cathode, k.voltage_min_v, k.voltage_max_v, ocp_n, ocp_p)
    tau_h = heat.heat_capacity_j_k / heat.cooling_w_k / 3600.0
    out = np.empty(hours.size)
    temp = air_c[0]
    for i in range(hours.size):
        amps = c_rate[i] * k.capacity_ah
        watts = 0.0
        if amps != 0.0:
            kelvin = temp + KELVIN
            inverse = 1.0 / k.reference_k - 1.0 / kelvin
            x = x_0 + soc[i] * (x_100 - x_0)
            y = (lithium - x * anode) / cathode
            j_n = amps / (k.surface_m2 * (1.0 - wear))
            j_p = amps / (heat.cathode_surface_m2 * (1.0 - k.cathode_wear_ratio * wear))
            diffusivity = k.diffusivity_m2_s * math.exp(k.diffusivity_activation_j / GAS * inverse)
            x_s = x + j_n * k.radius_m / (5.0 * diffusivity * FARADAY * k.c_max_mol_m3)
            y_s = y - amps * heat.cathode_shift * math.exp(-heat.cathode_shift_activation_j / GAS * inverse)
            i_n = table_at(exchange_n, x_s) * math.exp(k.exchange_activation_j / GAS * inverse)
            i_p = table_at(exchange_p, y_s) * math.exp(heat.cathode_exchange_activation_j / GAS * inverse)
            lift = math.asinh(abs(0.5 * j_n / i_n)) + math.asinh(abs(0.5 * j_p / i_p))
            at = (kelvin - heat.first_k) / heat.step_k
            at = min(max(at, 0.0), resistance_ohm.size - 1.000001)
            n = int(at)
            ohm = resistance_ohm[n] + (resistance_ohm[n + 1] - resistance_ohm[n]) * (at - n)
            watts = abs(amps) * 2.0 * GAS * kelvin / FARADAY * lift + amps * amps * ohm
        goal = air_c[i] + watts / heat.cooling_w_k
        decay = math.exp(-hours[i] / tau_h)
        out[i] = goal + (temp - goal) * (1.0 - decay) * tau_h / hours[i]
        temp = goal + (temp - goal) * decay
    return out
