"""Numba core of the SEI laws: growth rate of the film, an exact run along a duty, daily exposures.

The anode of a single-particle model with a quasi-steady parabolic particle; signs and equations are PyBaMM's
(``sei_growth.py`` of 26.10: Marquis 2020, thesis, section 5.6.4; Yang et al. 2017, 10.1016/j.jpowsour.2017.05.110),
except that currents are positive when they charge. Film growth has one form for both members:

    dL/dt = exp(-g L) / (a + b L)

"ec reaction limited": a = 1/K, b = 1/D, g = 0 (kinetics in series with diffusion through the film);
"interstitial-diffusion limited": a = 0, 1/b = V D c exp(-F phi/RT) / z, g the film's ohmic part F j R_film / RT.

Thickness is counted in units of `SeiConstants.film_unit_m`, the film that would hold all cyclable lithium on the fresh
surface: growth then *is* the lithium lost. Losses of active material shrink the surface that carries the film.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from models.domain import FloatArray
from models.laws.esoh import anode_window, table_at

FARADAY = 96485.33212
GAS = 8.314462618
KELVIN = 273.15
SUBSTEP_SOC = 0.06  # a step of the duty is cut so that SOC moves less than this
MOST_PARTS = 2 * (1 + int(1.0 / SUBSTEP_SOC)) + 2  # of one step: two halves over the whole range, a rest on either side
LEAST_REST = 0.1  # a shorter rest within a step is not told apart from its current
REST_C_RATE = 2e-3  # a step whose smaller current is below counts as one of a single sign
SWING_DOUBT = 1e-4  # squared change of SOC against which a day's charge tells how far SOC swings: 1 % is no evidence
STILL_C_RATE = 1e-5  # smaller currents are rest [1/h]


class SeiConstants(NamedTuple):
    """Constants of one cell and member in SI units; order and names are the kernel's contract with `models.cell`."""

    interstitial: bool
    surface_m2: float  # anode particles' surface when new
    radius_m: float
    c_max_mol_m3: float
    reference_k: float
    diffusivity_m2_s: float  # in the particle, at reference_k
    diffusivity_activation_j: float
    exchange_activation_j: float
    film_resistivity_ohm_m: float
    film_potential_v: float
    film_volume_m3_mol: float
    lithium_per_film_mol: float
    solvent_mol_m3: float
    kinetic_m_s: float
    film_diffusivity_m2_s: float
    interstitial_mol_m_s: float  # diffusivity times concentration
    film_activation_j: float
    film_unit_m: float
    speed: float  # film units squared that one mol/m/s grows in an hour
    film_start_frac: float  # thickness when new, in units of film_unit_m
    anode_ah: float
    cathode_ah: float
    lithium_ah: float
    capacity_ah: float
    voltage_min_v: float
    voltage_max_v: float
    wear_per_cycle_frac: float  # active material of the anode lost per equivalent full cycle
    cathode_wear_ratio: float


@njit(cache=True, nogil=True)
def step_terms(
    c_rate: float, temp_k: float, surface: float, k: SeiConstants
) -> tuple[float, float, float, float, float, float, float]:
    """What growth in a step needs that does not depend on the anode's stoichiometry.

    Parameters
    ----------
    c_rate
        Current over capacity as new, positive charging. [1/h]
    temp_k
        Temperature. [K]
    surface
        Anode surface over the surface as new. [1]

    Returns
    -------
    tuple of float
        F/RT; surface less mean stoichiometry; j/2 over the Arrhenius factor of the exchange current; slowness b of the
        film (but for the interstitials' potential); factor of a; ohmic part g; temperature less reference.
    """
    f = FARADAY / (GAS * temp_k)
    inverse = 1.0 / k.reference_k - 1.0 / temp_k
    speed = k.speed * math.exp(k.film_activation_j / GAS * inverse)
    shift, half_j, film = 0.0, 0.0, 0.0
    if c_rate != 0.0:
        j = -c_rate * k.capacity_ah / (k.surface_m2 * surface)  # PyBaMM's sign: positive when discharging
        diffusivity = k.diffusivity_m2_s * math.exp(k.diffusivity_activation_j / GAS * inverse)
        shift = -j * k.radius_m / (5.0 * diffusivity * FARADAY * k.c_max_mol_m3)
        half_j = 0.5 * j * math.exp(-k.exchange_activation_j / GAS * inverse)
    if k.interstitial:
        if half_j != 0.0:
            film = -f * c_rate * k.capacity_ah / (k.surface_m2 * surface) * k.film_resistivity_ohm_m * k.film_unit_m
        return f, shift, half_j, 1.0 / (speed * k.interstitial_mol_m_s), 0.0, film, temp_k - k.reference_k
    speed *= k.solvent_mol_m3
    b = 1.0 / (speed * k.film_diffusivity_m2_s)
    return f, shift, half_j, b, 1.0 / (speed * k.kinetic_m_s * k.film_unit_m), film, temp_k - k.reference_k


@njit(cache=True, nogil=True)
def _asinh(z: float) -> float:
    """asinh, by its series where that errs below 1e-9."""
    if abs(z) > 0.25:
        return math.asinh(z)
    q = z * z
    return z * (1.0 - q * (1 / 6 - q * (3 / 40 - q * (15 / 336 - q * (105 / 3456 - q * (945 / 42240))))))


@njit(cache=True, nogil=True)
def anode_potential(
    x: float,
    step: tuple[float, float, float, float, float, float, float],
    ocp: FloatArray,
    entropic: FloatArray,
    exchange: FloatArray,
) -> float:
    """Potential of the anode against the electrolyte at a mean stoichiometry, without the film's ohmic part. [V]"""
    at = x + step[1]
    potential = table_at(ocp, at) + step[6] * table_at(entropic, at)
    if step[2] != 0.0:
        potential += 2.0 / step[0] * _asinh(step[2] / table_at(exchange, at))
    return potential


@njit(cache=True, nogil=True)
def growth_terms(
    potential: float, step: tuple[float, float, float, float, float, float, float], film_potential_v: float
) -> tuple[float, float]:
    """Terms (a, b) of dL/dt = exp(-g L) / (a + b L), L in film units, time in hours, at an anode's potential."""
    if step[4] == 0.0:
        return 0.0, step[3] * math.exp(step[0] * potential)
    return step[4] * math.exp(0.5 * step[0] * (potential - film_potential_v)), step[3]


@njit(cache=True, nogil=True, forceinline=True)
def rest_before(cell_soc: FloatArray, i: int) -> float:
    """Share of a step's rest that precedes its current: it joins a neighbour that moves too, else lies halfway. [1]"""
    before = i > 0 and cell_soc[i] != cell_soc[i - 1]
    after = i + 2 < cell_soc.size and cell_soc[i + 2] != cell_soc[i + 1]
    if before == after:
        return 0.5
    return 0.0 if before else 1.0


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def flows_of(current: FloatArray, i: int) -> tuple[float, float]:
    """Currents of a step that charge, and those that discharge (not positive), summed over the uses."""
    up, down = 0.0, 0.0
    for u in range(current.shape[1]):
        c = current[i, u]
        up += c if c > 0.0 else 0.0
        down += c if c < 0.0 else 0.0
    return up, down


@njit(cache=True, nogil=True, error_model="numpy")
def swing_of(
    cell_soc: FloatArray, current: FloatArray, per_capacity: float, step_hours: float, first: int, end: int
) -> float:
    """Change of SOC by a charge over the capacity as new in some steps: an aged cell swings further; 1/2 to 2. [1]

    Taken from the day itself, not from the capacity its duty states: no day's growth may depend on a later reading.
    """
    moved, square = SWING_DOUBT, SWING_DOUBT
    for i in range(first, min(end, current.shape[0])):
        up, down = flows_of(current, i)
        charge = (up + down) * per_capacity * step_hours
        moved += charge * (cell_soc[i + 1] - cell_soc[i])
        square += charge * charge
    return min(max(moved / square, 0.5), 2.0)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def cut_step(
    start: float,
    end: float,
    up: float,
    down: float,
    flow: float,
    lead: float,
    swing: float,
    step_hours: float,
    out: FloatArray,
) -> int:
    """Cut one step of a duty as `substeps` says; its parts' hours, C-rate and SOC at start and end go to ``out``.

    Numbers, not arrays, come in: each array handed over in a loop would be counted by locked instructions.

    Parameters
    ----------
    start, end
        SOC. [1]
    up, down
        From `flows_of`, over the capacity as new. [1/h]
    flow
        Size of the current while it flows over the capacity as new, 0 where it is not known. [1/h]
    lead
        From `rest_before`. [1]
    swing
        From `swing_of`: how far SOC moves by a charge over the capacity as new. [1]
    step_hours
        Length of the step. [h]
    out
        Shape (4, `MOST_PARTS`) or more columns.

    Returns
    -------
    int
        Number of parts.
    """
    both = min(up, -down) > REST_C_RATE
    rest, m = 0.0, 0
    if not both and flow > 0.0 and start != end:
        rest = 1.0 - min(abs(up + down) / flow, 1.0)
        if rest < LEAST_REST or abs(up + down) < REST_C_RATE:
            rest = 0.0
    if rest > 0.0 and lead > 0.0:
        out[0, m], out[1, m], out[2, m], out[3, m] = lead * rest * step_hours, 0.0, start, start
        m += 1
    halves = 2 if both else 1
    middle = start
    if both:
        middle = start + 0.5 * (end - start + (down - up) * swing * step_hours)
        middle = min(max(middle, 0.0), 1.0)
    for h in range(halves):
        s_0 = start if h == 0 else middle
        s_1 = middle if both and h == 0 else end
        rate = 2.0 * (down if h == 0 else up) if both else (up + down) / (1.0 - rest)
        parts = 1 + int(min(abs(s_1 - s_0), 1.0) / SUBSTEP_SOC)
        hours, change = step_hours * (1.0 - rest) / (halves * parts), (s_1 - s_0) / parts
        for p in range(parts):
            out[0, m], out[1, m] = hours, rate
            out[2, m], out[3, m] = s_0 + change * p, s_0 + change * (p + 1)
            m += 1
    if rest > 0.0 and lead < 1.0:
        out[0, m], out[1, m], out[2, m], out[3, m] = (1.0 - lead) * rest * step_hours, 0.0, end, end
        m += 1
    return m


@njit(cache=True, nogil=True)
def substeps(
    cell_soc: FloatArray, temp_c: FloatArray, current_c: FloatArray, step_hours: float, flow_c: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Cut a duty's steps where discharge and charge share one, and where SOC moves far.

    A step with both signs becomes two halves, discharge first, at twice the mean currents, so that throughput is kept.

    Parameters
    ----------
    cell_soc, temp_c, current_c
        As in `models.domain.Duty`; current over capacity as new by use, shape (n, uses). [1], [°C], [1/h]
    step_hours
        Length of a step. [h]
    flow_c
        Size of the current while it flows over capacity as new, shape (n,), or of no entry. A step in which it flows
        for a part only becomes rest at the first SOC, the current, rest at the last (see `rest_before`). [1/h]

    Returns
    -------
    tuple of ndarray
        hours, c_rate (positive charging), temp_c, soc_start, soc_end, step (index of the duty's step), shape (m,) each.
    """
    n, per_day = temp_c.size, max(round(24.0 / step_hours), 1)
    part = np.empty((4, MOST_PARTS))
    out = np.empty((6, 0))
    for filling in (False, True):  # counted first
        m, swing = 0, 1.0
        for i in range(n):
            if i % per_day == 0:
                swing = swing_of(cell_soc, current_c, 1.0, step_hours, i, i + per_day)
            up, down = flows_of(current_c, i)
            flow = flow_c[i] if flow_c.size > 0 else 0.0
            lead = rest_before(cell_soc, i)
            parts = cut_step(cell_soc[i], cell_soc[i + 1], up, down, flow, lead, swing, step_hours, part)
            if filling:
                for p in range(parts):
                    out[0, m + p], out[1, m + p], out[2, m + p] = part[0, p], part[1, p], temp_c[i]
                    out[3, m + p], out[4, m + p], out[5, m + p] = part[2, p], part[3, p], i
            m += parts
        if not filling:
            out = np.empty((6, m))
    return out[0], out[1], out[2], out[3], out[4], out[5]


@njit(cache=True, nogil=True)
def run_segment(
    hours: FloatArray,
    c_rate: FloatArray,
    temp_c: FloatArray,
    soc: float,
    state: FloatArray,
    k: SeiConstants,
    ocp: FloatArray,
    entropic: FloatArray,
    exchange: FloatArray,
    ocp_p: FloatArray,
) -> FloatArray:
    """Run the kernel from an anchored SOC along constant currents; concentrations follow the current (open loop).

    Parameters
    ----------
    hours, c_rate, temp_c
        Steps of constant current (over capacity as new, positive charging), shape (m,). [h], [1/h], [°C]
    soc
        State of charge of the cell at the start. [1]
    state
        Film thickness in film units on the fresh surface, anode loss, lithium trapped in lost material, shape (3,). [1]

    Returns
    -------
    ndarray
        State at the end, shape (3,).
    """
    film, wear, trapped = state[0], state[1], state[2]
    lithium = k.lithium_ah * (1.0 - (film - k.film_start_frac) - trapped)
    anode = k.anode_ah * (1.0 - wear)
    cathode = k.cathode_ah * (1.0 - k.cathode_wear_ratio * wear)
    x_0, x_100 = anode_window(lithium, anode, cathode, k.voltage_min_v, k.voltage_max_v, ocp, ocp_p)
    x = x_0 + soc * (x_100 - x_0)
    y = (lithium - x * anode) / cathode
    for i in range(hours.size):
        h = hours[i]
        surface = 1.0 - wear
        charge = c_rate[i] * k.capacity_ah * h
        x_mid = x + 0.5 * charge / (k.anode_ah * surface)
        y_mid = y - 0.5 * charge / (k.cathode_ah * (1.0 - k.cathode_wear_ratio * wear))
        terms = step_terms(c_rate[i], temp_c[i] + KELVIN, surface, k)
        a, b = growth_terms(anode_potential(x_mid, terms, ocp, entropic, exchange), terms, k.film_potential_v)
        g = terms[5]
        thick = film / surface
        guess = math.exp(-g * thick) / (a + b * thick)
        if b * guess * h > 0.02 * (a + b * thick):  # young film: exact growth of the step, ohmic part at its start
            e = math.exp(-g * thick)
            grown = 2.0 * e * h / (a + b * thick + math.sqrt((a + b * thick) ** 2 + 2.0 * b * e * h))
        else:
            half = thick + 0.5 * h * guess
            grown = h * math.exp(-g * half) / (a + b * half)
        film += grown * surface
        x += charge / (k.anode_ah * surface) - grown * k.lithium_ah / k.anode_ah
        y -= charge / (k.cathode_ah * (1.0 - k.cathode_wear_ratio * wear))
        lost = k.wear_per_cycle_frac * 0.5 * abs(c_rate[i]) * h
        trapped += lost * (k.anode_ah * x_mid + k.cathode_wear_ratio * k.cathode_ah * y_mid) / k.lithium_ah
        wear += lost
    out = np.empty(3)
    out[0], out[1], out[2] = film, wear, trapped
    return out
