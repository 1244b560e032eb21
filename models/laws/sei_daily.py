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
- Loops over windows compile to vector instructions (`models.laws.sei_vector`), in single precision: eight numbers at a
  time, and 1e-6 of a day's growth. Time, full cycles and trapped lithium are summed in double precision.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from models.domain import FloatArray
from models.laws.esoh import EDGE
from models.laws.sei_grid import Between, Grid
from models.laws.sei_kernel import (
    FARADAY,
    GAS,
    KELVIN,
    MOST_PARTS,
    STILL_C_RATE,
    SeiConstants,
    cut_step,
    flows_of,
    rest_before,
    swing_of,
)
from models.laws.sei_vector import (
    LANES,
    Singles,
    add_film,
    add_slow,
    add_slow_pair,
    at_all_nodes,
    exp_all,
    place,
    series_exp,
    take,
)
from models.laws.vector_math import VECTOR, blocks, padded

REACH_PER_K = 4e-5  # change of 1/T up to which a rest is one series: 3 K
POTENTIAL_SLOPE = FARADAY / GAS  # [K/V]
_SPEED, _SLOW_PARTICLE, _SLOW_EXCHANGE, _FILM = range(4)
_NONE, _HALF, _ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)


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
def _heat_terms(k: SeiConstants, film_potential_v: float) -> tuple[Singles, Singles]:
    """Exponents of what depends on temperature alone, linear in 1/T less that of the reference; parts as `_SPEED`."""
    slope, offset = np.zeros(LANES, np.float32), np.zeros(LANES, np.float32)
    slope[_SPEED] = -k.film_activation_j / GAS
    slope[_SLOW_PARTICLE], slope[_SLOW_EXCHANGE] = k.diffusivity_activation_j / GAS, k.exchange_activation_j / GAS
    slope[_FILM] = -0.5 * POTENTIAL_SLOPE * film_potential_v
    offset[_FILM] = -0.5 * POTENTIAL_SLOPE * film_potential_v / k.reference_k
    return slope, offset


@njit(forceinline=True, **VECTOR)
def _heat_at(slope: Singles, offset: Singles, warmer: np.float32, out: Singles) -> None:
    for i in range(slope.size):
        out[i] = slope[i] * warmer + offset[i]
    exp_all(out)


@njit(forceinline=True, **VECTOR)
def _slow_at(anchor: Singles, slope: Singles, change: np.float32, out: Singles) -> None:
    """Slowness of the kinetics at a changed 1/T."""
    for w in range(slope.size):
        out[w] = anchor[w] * series_exp(slope[w] * change)


@njit(forceinline=True, **VECTOR)
def _add_still(
    row: Singles,
    moments: tuple[float, float, float, float, float, float, float],
    speed: float,
    speed_slope: float,
    slope: Singles,
    anchor: Singles,
) -> None:
    """Growth over interstitials in a rest at a film of one unit, which it is inverse to."""
    m_0, m_1, m_2, m_3 = np.float32(moments[0]), np.float32(moments[1]), np.float32(moments[2]), np.float32(moments[3])
    m_4, m_5, m_6 = np.float32(moments[4]), np.float32(moments[5]), np.float32(moments[6])
    by, warmer = np.float32(speed), np.float32(speed_slope)
    for w in range(row.size):
        s = slope[w] + warmer
        grown = anchor[w] * (m_0 + s * (m_1 + s * (m_2 + s * (m_3 + s * (m_4 + s * (m_5 + s * m_6))))))
        row[w] += by * grown


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
    between: Between,
    ec: Grid,
    ec_k: SeiConstants,
    inter: Grid,
    inter_k: SeiConstants,
    points: Singles,
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
    between
        Which windows growth while current flows is computed at; at the others it follows between their neighbours.
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
    ec_first = k.speed * ec_k.solvent_mol_m3 * ec_k.film_diffusivity_m2_s  # film units squared an hour
    a_first = ec_k.film_diffusivity_m2_s / (ec_k.kinetic_m_s * ec_k.film_unit_m)
    inter_first = k.speed * inter_k.interstitial_mol_m_s
    density = k.capacity_ah / k.surface_m2  # current over capacity to current density
    shift_first = density * k.radius_m / (5.0 * k.diffusivity_m2_s * FARADAY * k.c_max_mol_m3)
    ohmic = -density * k.film_resistivity_ohm_m * k.film_unit_m * POTENTIAL_SLOPE
    scale, flat = points.shape[0] / (1.0 - 2.0 * EDGE), points.ravel()
    first, wide = padded((windows[:, 0] - EDGE) * scale), padded((windows[:, 1] - windows[:, 0]) * scale)
    n_w, n_ec, n_inter, n_moving = first.size, blocks(ec.fine.size), blocks(inter.fine.size), blocks(between.moving)
    moving_first, moving_wide = first[:n_moving].copy(), wide[:n_moving].copy()
    single = np.float32
    ec_rows = np.zeros((ec.nodes.size, at_all_nodes(ec)), single)
    inter_rows = np.zeros((inter.nodes.size, at_all_nodes(inter)), single)
    ec_fine, inter_fine, inter_middle = np.zeros(n_ec, single), np.zeros(n_inter, single), single(1.0)
    if n_inter > 0:
        inter_middle = single(1.0 / inter.nodes[inter.middle])
    still_row, film = np.zeros(n_inter, single), ec.nodes.astype(single)
    ec_out, ec_trapped = _empty_days(days, ec, windows, ec_k)
    inter_out, inter_trapped = _empty_days(days, inter, windows, inter_k)
    slope, anchor = np.empty(n_w, single), np.empty(n_w, single)
    ec_slope, ec_anchor = np.empty(n_ec, single), np.empty(n_ec, single)
    power, lift, moved_fine = np.empty(n_moving, single), np.empty(n_moving, single), np.zeros(n_moving, single)
    one, other = np.empty(n_ec, single), np.empty(n_ec, single)
    potential, warm, moving_warm = np.empty(n_w, single), np.zeros(n_w, single), np.zeros(n_moving, single)
    at, way = np.empty(n_w, np.int32), np.empty(n_w, single)
    moving_at, moving_way = np.empty(n_moving, np.int32), np.empty(n_moving, single)
    nodes = padded(inter.nodes).astype(single)
    share = np.empty(nodes.size, single)
    heat_slope, heat_offset = _heat_terms(k, ec_k.film_potential_v)
    speed_slope, half_film, heat = heat_slope[_SPEED], -heat_slope[_FILM], np.empty(LANES, single)
    inverse_new = 1.0 / k.reference_k
    per_kelvin, reference_k = single(POTENTIAL_SLOPE), single(k.reference_k)
    parts = np.empty((4, MOST_PARTS))
    day_end, swing = 0, 1.0
    last, inverse_0, ec_speed, inter_speed, cycles, cycles_soc = -1.0, 0.0, 0.0, 0.0, 0.0, 0.0
    m_0, m_1, m_2, m_3, m_4, m_5, m_6 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(temp_c.size):
        inverse = 1.0 / (temp_c[i] + KELVIN)
        n_parts, h, rate, soc = 1, step_hours, 0.0, cell_soc[i]
        up, down = flows_of(current, i)
        moves = up != 0.0 or down != 0.0 or cell_soc[i + 1] != soc  # most steps don't
        if moves:
            drawn = flow[i] * per_capacity if flow.size > 0 else 0.0
            if up > 0.0 and down < 0.0 and i >= day_end:  # what only such steps ask for
                day_end = i - i % steps_per_day + steps_per_day
                swing = swing_of(cell_soc, current, per_capacity, step_hours, day_end - steps_per_day, day_end)
            n_parts = cut_step(
                soc, cell_soc[i + 1], up * per_capacity, down * per_capacity, drawn, rest_before(cell_soc, i),
                swing, step_hours, parts,
            )  # fmt: skip
        ends = (i + 1) % steps_per_day == 0 or i + 1 == temp_c.size
        for p in range(n_parts + ends):  # at the end of a day a rest ends, too
            ending = p == n_parts
            if ending:
                rate = 0.0
            elif moves:
                h, rate, soc = parts[0, p], parts[1, p], 0.5 * (parts[2, p] + parts[3, p])
            if abs(rate) <= STILL_C_RATE:
                if ending or m_0 == 0.0 or soc != last or abs(inverse - inverse_0) > REACH_PER_K:
                    if m_0 > 0.0 and n_ec > 0:
                        c_1, c_2, h_1, h_2 = _two_temperatures((m_0, m_1, m_2, m_3, m_4, m_5, m_6))
                        hours = single(h_1 * ec_speed) * series_exp(single(speed_slope * c_1))
                        _slow_at(ec_anchor, ec_slope, single(c_1), one)
                        if h_2 > 0.0:
                            other_hours = single(h_2 * ec_speed) * series_exp(single(speed_slope * c_2))
                            _slow_at(ec_anchor, ec_slope, single(c_2), other)
                            add_slow_pair(ec_rows, ec_fine, hours, one, other_hours, other, film, ec.middle)
                        else:
                            add_slow(ec_rows, ec_fine, hours, one, film, ec.middle)
                    if m_0 > 0.0 and n_inter > 0:
                        _add_still(
                            still_row, (m_0, m_1, m_2, m_3, m_4, m_5, m_6), inter_speed, speed_slope, slope, anchor
                        )
                    m_0, m_1, m_2, m_3, m_4, m_5, m_6 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
                    if ending:
                        continue
                    if soc != last:
                        place(first, wide, soc, 0.0, points, at, way)
                        take(flat, 0, at, way, potential)
                        if points.shape[1] > 4:
                            take(flat, 4, at, way, warm)
                        for w in range(n_w):
                            slope[w] = -per_kelvin * (potential[w] - warm[w] * reference_k)
                    last, inverse_0 = soc, inverse
                    _heat_at(heat_slope, heat_offset, single(inverse - inverse_new), heat)
                    ec_speed, inter_speed = ec_first * heat[_SPEED], inter_first * heat[_SPEED]
                    cold = single(inverse)
                    for w in range(n_w):
                        anchor[w] = _HALF * (slope[w] * cold - per_kelvin * warm[w])
                    exp_all(anchor)
                    by = single(a_first) * heat[_FILM]
                    for w in range(n_ec):
                        ec_slope[w] = -_HALF * slope[w] - half_film
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
                _heat_at(heat_slope, heat_offset, single(inverse - inverse_new), heat)
                shift = rate * shift_first * heat[_SLOW_PARTICLE]
                half_j = single(-0.5 * rate * density * heat[_SLOW_EXCHANGE])
                per_volt = single(-0.5 * POTENTIAL_SLOPE * inverse)
                warmer = single(temp_c[i] + KELVIN - k.reference_k)
                place(moving_first, moving_wide, soc, shift * scale, points, moving_at, moving_way)
                take(flat, 0, moving_at, moving_way, power)
                take(flat, 2, moving_at, moving_way, lift)
                if points.shape[1] > 4:
                    take(flat, 4, moving_at, moving_way, moving_warm)
                for w in range(n_moving):
                    power[w] = per_volt * (power[w] + warmer * moving_warm[w])
                    z = half_j / lift[w]
                    size = np.sqrt(_ONE + z * z) + abs(z)
                    lift[w] = _ONE / size if z > _NONE else size  # sqrt(1 + z^2) - z without a difference
                exp_all(power)
                for w in range(n_moving):
                    power[w] *= lift[w]
                if n_ec > 0:
                    by = single(a_first) * heat[_FILM]
                    for w in range(n_ec):
                        one[w] = by / power[w]
                    add_slow(ec_rows, ec_fine, single(h * ec_first) * heat[_SPEED], one, film, ec.middle)
                if n_inter > 0:
                    ohm = single(-ohmic * rate * inverse)
                    for t in range(share.size):
                        share[t] = ohm * nodes[t]
                    exp_all(share)
                    by = single(h * inter_first) * heat[_SPEED]
                    for t in range(share.size):
                        share[t] *= by / nodes[t]
                    for w in range(n_moving):
                        power[w] *= power[w]
                    add_film(inter_rows, moved_fine, power, share, inter.middle)
            if rate != 0.0:
                moved = 0.5 * abs(rate) * h
                cycles += moved
                cycles_soc += moved * soc
        if ends:
            for t in range(inter.nodes.size):
                by = single(1.0 / inter.nodes[t])
                for w in range(inter_rows.shape[1]):
                    inter_rows[t, w] += still_row[w] * by
            if n_inter > 0:
                _fill(moved_fine, between, inter_fine)
                moved_fine[:] = _NONE
            for w in range(n_inter):
                inter_fine[w] += still_row[w] * inter_middle
            day = i // steps_per_day
            _put_day(ec_out[day], ec_fine, ec_rows, ec, cycles, cycles_soc, ec_trapped)
            _put_day(inter_out[day], inter_fine, inter_rows, inter, cycles, cycles_soc, inter_trapped)
            ec_rows[:], ec_fine[:], inter_rows[:], inter_fine[:], still_row[:] = _NONE, _NONE, _NONE, _NONE, _NONE
            cycles, cycles_soc = 0.0, 0.0
    return ec_out, inter_out


@njit(**VECTOR)
def _fill(moved: Singles, between: Between, fine: Singles) -> None:
    """Growth while current flowed at all windows: as in the projection its inverse is straight between windows."""
    for w in range(between.moving):
        fine[w] = moved[w]
    for i in range(between.way.size):
        way = between.way[i]
        fine[between.moving + i] = 1.0 / ((1.0 - way) / moved[between.below[i]] + way / moved[between.above[i]])


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
    out: FloatArray, fine: Singles, rows: Singles, grid: Grid, cycles: float, cycles_soc: float, trapped: FloatArray
) -> None:
    """A day's growth where it is wanted, its full cycles, and the lithium their wear would trap: linear in SOC."""
    n_w, n_t = grid.fine.size, grid.nodes.size
    for w in range(n_w):
        out[w] = fine[grid.fine[w]]
    at = n_w
    for c in range(grid.coarse.size):
        for t in range(n_t):
            out[at] = rows[t, grid.coarse[c]]
            at += 1
    out[at] = cycles
    for c in range(grid.coarse.size):
        out[at + 1 + c] = trapped[c, 0] * cycles + trapped[c, 1] * cycles_soc
