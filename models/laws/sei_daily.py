"""Numba core of `models.laws.sei.SeiLaw.exposures`: what a day would grow at every window and film thickness.

Written for speed; the plain form of the same sums is `models.laws.sei_kernel.step_terms` and ``growth_terms``
(tests/test_sei_daily.py holds both together). What carries it:

- Both members follow from one exponential a window: with k = exp(-F phi / RT), growth over interstitials goes with k,
  the kinetic slowness of "ec reaction limited" with k^(-1/2).
- At rest every exponent is linear in 1/T. A parked car's temperature moves while its state of charge stands still: a
  rest is told by the moments of its changes of 1/T. Growth over interstitials is a series in them, that in series
  with diffusion two temperatures that have the first four moments (Gauss's quadrature).
- With Butler-Volmer's z = j / (2 j0), exp(F eta / RT) is (z + sqrt(1 + z^2))^2: no asinh. All exponents are halved:
  what the kinetics want comes first, its square is what goes with k.
- Loops over windows compile to vector instructions (`models.laws.sei_vector`).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from models.domain import FloatArray
from models.laws.esoh import EDGE
from models.laws.sei_kernel import FARADAY, GAS, KELVIN, MOST_PARTS, SeiConstants, cut_step, is_parked
from models.laws.sei_vector import Grid, add_film, add_slow, add_slow_pair, exp_all, place, series_exp, take
from models.laws.vector_math import BLOCK, VECTOR, blocks, padded

REACH_PER_K = 4e-5  # change of 1/T up to which a rest is one series: 3 K
POTENTIAL_SLOPE = FARADAY / GAS  # [K/V]
_SPEED, _SLOW_PARTICLE, _SLOW_EXCHANGE, _FILM = range(4)
STILL_C_RATE = 1e-5  # [1/h]


@njit(forceinline=True, **VECTOR)
def _two_temperatures(
    moments: tuple[float, float, float, float, float, float, float],
) -> tuple[float, float, float, float]:
    """Two changes of 1/T and the hours at each that have a rest's first four moments (sum of h c^k / k!)."""
    hours = moments[0]
    mean = moments[1] / hours
    square = 2.0 * moments[2] / hours
    spread = square - mean * mean
    if spread <= 1e-18 + 1e-10 * square:
        return mean, mean, hours, 0.0
    lean = 0.5 * (6.0 * moments[3] / hours - mean * (3.0 * square - 2.0 * mean * mean)) / spread
    reach = math.sqrt(lean * lean + spread)
    share = 0.5 * (1.0 + lean / reach)
    return mean + lean - reach, mean + lean + reach, hours * share, hours * (1.0 - share)


@njit(**VECTOR)
def _heat_terms(k: SeiConstants, film_potential_v: float) -> tuple[FloatArray, FloatArray]:
    """Exponents of what depends on temperature alone, as slope x 1/T + offset; parts are `_SPEED` and so on."""
    slope, offset = np.zeros(BLOCK), np.zeros(BLOCK)
    for part, activation in (
        (_SPEED, -k.film_activation_j),
        (_SLOW_PARTICLE, k.diffusivity_activation_j),
        (_SLOW_EXCHANGE, k.exchange_activation_j),
    ):
        slope[part], offset[part] = activation / GAS, -activation / GAS / k.reference_k
    slope[_FILM] = -0.5 * POTENTIAL_SLOPE * film_potential_v
    return slope, offset


@njit(forceinline=True, **VECTOR)
def _heat_at(slope: FloatArray, offset: FloatArray, inverse: float, out: FloatArray) -> None:
    for i in range(BLOCK):
        out[i] = slope[i] * inverse + offset[i]
    exp_all(out)


@njit(forceinline=True, **VECTOR)
def _add_rest(
    ec_rows: FloatArray,
    still_row: FloatArray,
    moments: tuple[float, float, float, float, float, float, float],
    speed: float,
    speed_slope: float,
    slope: FloatArray,
    anchor: FloatArray,
    ec_slope: FloatArray,
    ec_anchor: FloatArray,
    film: FloatArray,
    one: FloatArray,
    other: FloatArray,
) -> None:
    """Growth of both members in a rest that has ended, from its moments.

    ``still_row`` is that over interstitials at a film of one unit, which it is inverse to.
    """
    if ec_slope.size > 0:
        c_1, c_2, h_1, h_2 = _two_temperatures(moments)
        for w in range(ec_slope.size):
            one[w] = ec_anchor[w] * series_exp(ec_slope[w] * c_1)
        h_1 *= speed * series_exp(speed_slope * c_1)
        if h_2 > 0.0:
            for w in range(ec_slope.size):
                other[w] = ec_anchor[w] * series_exp(ec_slope[w] * c_2)
            add_slow_pair(ec_rows, h_1, one, h_2 * speed * series_exp(speed_slope * c_2), other, film)
        else:
            add_slow(ec_rows, h_1, one, film)
    if still_row.size > 0:
        m_0, m_1, m_2, m_3, m_4, m_5, m_6 = moments
        for w in range(anchor.size):
            s = slope[w] + speed_slope
            grown = anchor[w] * (m_0 + s * (m_1 + s * (m_2 + s * (m_3 + s * (m_4 + s * (m_5 + s * m_6))))))
            still_row[w] += speed * grown


@njit(**VECTOR)
def daily_growth(
    cell_soc: FloatArray,
    temp_c: FloatArray,
    current: FloatArray,
    flow: FloatArray,
    per_capacity: float,
    step_hours: float,
    steps_per_day: int,
    windows: FloatArray,
    ec: Grid,
    ec_k: SeiConstants,
    inter: Grid,
    inter_k: SeiConstants,
    points: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Daily exposures of both members: growth at windows and nodes, full cycles, lithium trapped per unit of wear.

    No day leans on another: a day's row follows from its own steps and one on either side.

    Parameters
    ----------
    cell_soc, temp_c, current, flow
        As in `models.domain.Duty`; ``flow`` of no entry where the duty has none. [1], [°C], [A], [A]
    per_capacity
        One over the capacity as new. [1/A.h]
    windows
        Anode and cathode stoichiometry at empty and full of each level, shape (w, 4): x_0, x_100, y_0, y_100.
    ec, inter
        What is wanted of "ec reaction limited" and of "interstitial-diffusion limited".
    ec_k, inter_k
        Their constants; those of the cell are the same in both.
    points
        From `anode_points`.

    Returns
    -------
    tuple of ndarray
        Shape (days, entries + 1 + coarse) each.
    """
    days = (temp_c.size + steps_per_day - 1) // steps_per_day
    k = inter_k if inter.fine.size > 0 else ec_k
    b_rest = 1.0 / (ec_k.solvent_mol_m3 * ec_k.film_diffusivity_m2_s)
    a_first = 1.0 / (ec_k.solvent_mol_m3 * ec_k.kinetic_m_s * ec_k.film_unit_m)
    inter_first = 1.0 / (k.speed * inter_k.interstitial_mol_m_s)
    density = k.capacity_ah / k.surface_m2  # current over capacity to current density
    shift_first = density * k.radius_m / (5.0 * k.diffusivity_m2_s * FARADAY * k.c_max_mol_m3)
    ohmic = -density * k.film_resistivity_ohm_m * k.film_unit_m * POTENTIAL_SLOPE
    scale, flat = points.shape[0] / (1.0 - 2.0 * EDGE), points.ravel()
    first, wide = padded((windows[:, 0] - EDGE) * scale), padded((windows[:, 1] - windows[:, 0]) * scale)
    n_w, n_ec, n_inter = first.size, blocks(ec.fine.size), blocks(inter.fine.size)
    ec_rows, inter_rows = np.zeros((ec.nodes.size, n_ec)), np.zeros((inter.nodes.size, n_inter))
    still_row, film = np.zeros(n_inter), b_rest * ec.nodes
    ec_out, ec_trapped = _empty_days(days, ec, windows, ec_k)
    inter_out, inter_trapped = _empty_days(days, inter, windows, inter_k)
    slope, anchor, ec_slope, ec_anchor = np.empty(n_w), np.empty(n_w), np.empty(n_ec), np.empty(n_ec)
    power, lift, one, other = np.empty(n_w), np.empty(n_w), np.empty(n_ec), np.empty(n_ec)
    warm, moving_warm, at, way = np.zeros(n_w), np.zeros(n_w), np.empty(n_w, np.int32), np.empty(n_w)
    nodes = padded(inter.nodes)
    share = np.empty(nodes.size)
    heat_slope, heat_offset = _heat_terms(k, ec_k.film_potential_v)
    speed_slope, half_film, heat = heat_slope[_SPEED], -heat_slope[_FILM], np.empty(BLOCK)
    parts = np.empty((4, MOST_PARTS))
    last, inverse_0, speed, cycles, cycles_soc = -1.0, 0.0, 0.0, 0.0, 0.0
    m_0, m_1, m_2, m_3, m_4, m_5, m_6 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(temp_c.size):
        inverse = 1.0 / (temp_c[i] + KELVIN)
        moves = not is_parked(i, cell_soc, current)  # most steps are
        n_parts, h, rate, soc = 1, step_hours, 0.0, cell_soc[i]
        if moves:
            n_parts = cut_step(i, cell_soc, current, flow, per_capacity, step_hours, parts)
        for p in range(n_parts):
            if moves:
                h, rate, soc = parts[0, p], parts[1, p], 0.5 * (parts[2, p] + parts[3, p])
            if abs(rate) <= STILL_C_RATE:
                if m_0 == 0.0 or soc != last or abs(inverse - inverse_0) > REACH_PER_K:
                    if m_0 > 0.0:
                        _add_rest(
                            ec_rows, still_row, (m_0, m_1, m_2, m_3, m_4, m_5, m_6), speed, speed_slope, slope, anchor,
                            ec_slope, ec_anchor, film, one, other,
                        )  # fmt: skip
                        m_0, m_1, m_2, m_3, m_4, m_5, m_6 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
                    if soc != last:
                        place(first, wide, soc, 0.0, points, at, way)
                        take(flat, 0, at, way, power)
                        if points.shape[1] > 4:
                            take(flat, 4, at, way, warm)
                        for w in range(n_w):
                            slope[w] = -POTENTIAL_SLOPE * (power[w] - warm[w] * k.reference_k)
                    last, inverse_0 = soc, inverse
                    _heat_at(heat_slope, heat_offset, inverse, heat)
                    speed = k.speed * heat[_SPEED]
                    for w in range(n_w):
                        anchor[w] = 0.5 * (slope[w] * inverse - POTENTIAL_SLOPE * warm[w])
                    exp_all(anchor)
                    by = a_first * heat[_FILM]
                    for w in range(n_ec):
                        ec_slope[w] = -0.5 * slope[w] - half_film
                        ec_anchor[w] = by / anchor[w]
                    for w in range(n_w):
                        anchor[w] *= anchor[w]
                change = inverse - inverse_0
                m_0 += h
                moment = h * change
                m_1 += moment
                moment *= change * (1 / 2)
                m_2 += moment
                moment *= change * (1 / 3)
                m_3 += moment
                moment *= change * (1 / 4)
                m_4 += moment
                moment *= change * (1 / 5)
                m_5 += moment
                m_6 += moment * (change * (1 / 6))
            else:
                _heat_at(heat_slope, heat_offset, inverse, heat)
                shift = rate * shift_first * heat[_SLOW_PARTICLE]
                half_j = -0.5 * rate * density * heat[_SLOW_EXCHANGE]
                per_volt, warmer = POTENTIAL_SLOPE * inverse, temp_c[i] + KELVIN - k.reference_k
                place(first, wide, soc, shift * scale, points, at, way)
                take(flat, 0, at, way, power)
                take(flat, 2, at, way, lift)
                if points.shape[1] > 4:
                    take(flat, 4, at, way, moving_warm)
                for w in range(n_w):
                    power[w] = -0.5 * per_volt * (power[w] + warmer * moving_warm[w])
                    z = half_j / lift[w]
                    lift[w] = math.sqrt(1.0 + z * z) - z
                exp_all(power)
                for w in range(n_w):
                    power[w] *= lift[w]
                if n_ec > 0:
                    by = a_first * heat[_FILM]
                    for w in range(n_ec):
                        one[w] = by / power[w]
                    add_slow(ec_rows, h * k.speed * heat[_SPEED], one, film)
                if n_inter > 0:
                    ohm = ohmic * rate * inverse
                    for t in range(share.size):
                        share[t] = -ohm * nodes[t]
                    exp_all(share)
                    by = h * heat[_SPEED] / inter_first
                    for t in range(share.size):
                        share[t] *= by / nodes[t]
                    for w in range(n_w):
                        power[w] *= power[w]
                    add_film(inter_rows, power, share)
            if rate != 0.0:
                moved = 0.5 * abs(rate) * h
                cycles += moved
                cycles_soc += moved * soc
        if (i + 1) % steps_per_day == 0 or i + 1 == temp_c.size:
            if m_0 > 0.0:
                _add_rest(
                    ec_rows, still_row, (m_0, m_1, m_2, m_3, m_4, m_5, m_6), speed, speed_slope, slope, anchor,
                    ec_slope, ec_anchor, film, one, other,
                )  # fmt: skip
            m_0, m_1, m_2, m_3, m_4, m_5, m_6 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            for t in range(inter.nodes.size):
                by = inter_k.interstitial_mol_m_s / inter.nodes[t]
                for w in range(n_inter):
                    inter_rows[t, w] += still_row[w] * by
            day = i // steps_per_day
            _put_day(ec_out[day], ec_rows, ec, cycles, cycles_soc, ec_trapped)
            _put_day(inter_out[day], inter_rows, inter, cycles, cycles_soc, inter_trapped)
            ec_rows[:], inter_rows[:], still_row[:] = 0.0, 0.0, 0.0
            cycles, cycles_soc = 0.0, 0.0
    return ec_out, inter_out


@njit(**VECTOR)
def _empty_days(days: int, grid: Grid, windows: FloatArray, k: SeiConstants) -> tuple[FloatArray, FloatArray]:
    """Room for a member's days, and lithium that wear traps at each coarse window when empty and from there to full."""
    anode, cathode = k.anode_ah / k.lithium_ah, k.cathode_wear_ratio * k.cathode_ah / k.lithium_ah
    n_c = grid.coarse.size
    trapped = np.empty((n_c, 2))
    for c in range(n_c):
        w = windows[grid.coarse[c]]
        x_0, x_100, y_0, y_100 = w[0], w[1], w[2], w[3]
        trapped[c, 0] = anode * x_0 + cathode * y_0
        trapped[c, 1] = anode * (x_100 - x_0) + cathode * (y_100 - y_0)
    return np.empty((days, grid.fine.size + n_c * grid.nodes.size + 1 + n_c)), trapped


@njit(**VECTOR)
def _put_day(
    out: FloatArray, rows: FloatArray, grid: Grid, cycles: float, cycles_soc: float, trapped: FloatArray
) -> None:
    """A day's growth where it is wanted, its full cycles, and the lithium their wear would trap: linear in SOC."""
    n_w, n_t = grid.fine.size, grid.nodes.size
    for w in range(n_w):
        out[w] = rows[grid.middle, grid.fine[w]]
    at = n_w
    for c in range(grid.coarse.size):
        for t in range(n_t):
            out[at] = rows[t, grid.coarse[c]]
            at += 1
    out[at] = cycles
    for c in range(grid.coarse.size):
        out[at + 1 + c] = trapped[c, 0] * cycles + trapped[c, 1] * cycles_soc
