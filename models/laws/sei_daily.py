"""Numba core of `models.laws.sei.SeiLaw.exposures`: what a day would grow at every window and film thickness.

Written for speed; the plain form of the same sums is `models.laws.sei_kernel.step_terms` and ``growth_terms``
(tests/test_sei_daily.py holds both together). What carries it:

- Both members follow from one exponential a window: with k = exp(-F phi / RT), growth over interstitials goes with k,
  the kinetic slowness of "ec reaction limited" with k^(-1/2).
- At rest every exponent is linear in 1/T. A parked car's temperature moves while its state of charge stands still: a
  rest is told by the moments of its changes of 1/T. Growth over interstitials is a series in them, that in series
  with diffusion two temperatures that have the first four moments (Gauss's quadrature).
- With Butler-Volmer's z = j / (2 j0), exp(F eta / RT) is (z + sqrt(1 + z^2))^2: no asinh.
- Loops over windows have no branch and no call, and divisions raise nothing (``error_model="numpy"``): they compile
  to vector instructions.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from models.domain import FloatArray, IntArray
from models.laws.esoh import EDGE
from models.laws.sei_kernel import FARADAY, GAS, KELVIN, SeiConstants, step_terms, substeps

REACH_PER_K = 4e-5  # change of 1/T up to which a rest is one series: 3 K
POTENTIAL_SLOPE = FARADAY / GAS  # [K/V]
_VECTOR = {"cache": True, "nogil": True, "error_model": "numpy"}


class Grid(NamedTuple):
    """What a member's growth is wanted at: ``fine`` windows at the middle node, then ``coarse`` ones at all nodes.

    Windows are places among those handed to `daily_growth`, nodes film thicknesses in film units; the coarse windows
    have trapped lithium too. A member that is not wanted has no windows.
    """

    fine: IntArray
    coarse: IntArray
    nodes: FloatArray
    middle: int


NO_GRID = Grid(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), 0)


def anode_rows(ocp: FloatArray, exchange: FloatArray) -> FloatArray:
    """Potential and exchange current with their steps to the next point, side by side, shape (n - 1, 4)."""
    if ocp.shape != exchange.shape:
        raise ValueError(f"Tables of the anode need one grid, got {ocp.shape} and {exchange.shape}.")
    return np.ascontiguousarray(np.stack([ocp[:-1], np.diff(ocp), exchange[:-1], np.diff(exchange)], axis=1))


@njit(**_VECTOR)
def _exp(z: FloatArray) -> None:
    """z <- exp(z): (series of z / 1024)^1024, to 1e-8 for abs(z) < 90."""
    for i in range(z.size):
        y = z[i] * (1.0 / 1024.0)
        y = 1.0 + y * (1.0 + y * (1 / 2 + y * (1 / 6 + y * (1 / 24 + y * (1 / 120 + y * (1 / 720))))))
        y = y * y
        y = y * y
        y = y * y
        y = y * y
        y = y * y
        y = y * y
        y = y * y
        y = y * y
        y = y * y
        z[i] = y * y


@njit(**_VECTOR)
def _series(z: float) -> float:
    """exp(z) for abs(z) below 1/2."""
    return 1.0 + z * (1.0 + z * (1 / 2 + z * (1 / 6 + z * (1 / 24 + z * (1 / 120 + z * (1 / 720))))))


@njit(**_VECTOR)
def _look_up(
    rows: FloatArray,
    first: FloatArray,
    wide: FloatArray,
    soc: float,
    shift: float,
    ocp: FloatArray,
    exchange: FloatArray,
) -> None:
    """Potential and exchange current of every window at a state of charge."""
    top = rows.shape[0] - 1e-6
    for w in range(first.size):
        u = min(max(first[w] + soc * wide[w] + shift, 0.0), top)
        j = int(u)
        u -= j
        ocp[w] = rows[j, 0] + rows[j, 1] * u
        exchange[w] = rows[j, 2] + rows[j, 3] * u


@njit(**_VECTOR)
def _look_up_one(
    table: FloatArray, first: FloatArray, wide: FloatArray, soc: float, shift: float, out: FloatArray
) -> None:
    """A table at every window; left alone where it has one entry."""
    if table.size > 1:
        top = table.size - 1.000001
        for w in range(first.size):
            u = min(max(first[w] + soc * wide[w] + shift, 0.0), top)
            j = int(u)
            out[w] = table[j] + (table[j + 1] - table[j]) * (u - j)


@njit(**_VECTOR)
def _add_slow(row: FloatArray, hours: float, kinetic: FloatArray, by: float, grid: Grid, slow: FloatArray) -> None:
    """Growth in series with diffusion: row += hours / (kinetic + by film), at every window and node."""
    n, n_t, film = grid.fine.size, grid.nodes.size, by * grid.nodes[grid.middle]
    for w in range(n):
        slow[w] = kinetic[grid.fine[w]] + film
    for c in range(grid.coarse.size):
        own, at = kinetic[grid.coarse[c]], n + c * n_t
        for t in range(n_t):
            slow[at + t] = own + by * grid.nodes[t]
    for i in range(slow.size):
        row[i] += hours / slow[i]


@njit(**_VECTOR)
def _add_film(row: FloatArray, growth: FloatArray, share: FloatArray, grid: Grid) -> None:
    """Growth over interstitials: row += growth of the window times the share of the node."""
    n, n_t, middle = grid.fine.size, grid.nodes.size, share[grid.middle]
    for w in range(n):
        row[w] += growth[grid.fine[w]] * middle
    for c in range(grid.coarse.size):
        own, at = growth[grid.coarse[c]], n + c * n_t
        for t in range(n_t):
            row[at + t] += own * share[t]


@njit(**_VECTOR)
def _two_temperatures(moments: FloatArray) -> tuple[float, float, float, float]:
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


@njit(**_VECTOR)
def _add_rest(
    ec_row: FloatArray,
    inter_row: FloatArray,
    moments: FloatArray,
    speed_0: float,
    speed_slope: float,
    slope: FloatArray,
    anchor: FloatArray,
    ec_slope: FloatArray,
    ec_anchor: FloatArray,
    b_rest: float,
    interstitial_mol_m_s: float,
    ec: Grid,
    inter: Grid,
    power: FloatArray,
    slow: FloatArray,
    rest: FloatArray,
    share: FloatArray,
) -> None:
    """Growth of both members in a rest that has ended, from its moments, which are cleared."""
    if slow.size > 0:
        one, other, first_h, other_h = _two_temperatures(moments)
        for part in range(2):
            c, h = (one, first_h) if part == 0 else (other, other_h)
            if h > 0.0:
                for w in range(power.size):
                    power[w] = ec_anchor[w] * _series(ec_slope[w] * c)
                _add_slow(ec_row, h * speed_0 * _series(speed_slope * c), power, b_rest, ec, slow)
    if share.size > 0:
        m_0, m_1, m_2, m_3 = moments[0], moments[1], moments[2], moments[3]
        m_4, m_5, m_6 = moments[4], moments[5], moments[6]
        for w in range(rest.size):
            s = slope[w] + speed_slope
            rest[w] = anchor[w] * (m_0 + s * (m_1 + s * (m_2 + s * (m_3 + s * (m_4 + s * (m_5 + s * m_6))))))
        for t in range(share.size):
            share[t] = speed_0 * interstitial_mol_m_s / inter.nodes[t]
        _add_film(inter_row, rest, share, inter)
    moments[:] = 0.0


@njit(**_VECTOR)
def daily_growth(
    cell_soc: FloatArray,
    temp_c: FloatArray,
    current_c: FloatArray,
    flow_c: FloatArray,
    step_hours: float,
    steps_per_day: int,
    windows: FloatArray,
    ec: Grid,
    ec_k: SeiConstants,
    inter: Grid,
    inter_k: SeiConstants,
    rows: FloatArray,
    entropic: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Daily exposures of both members: growth at windows and nodes, full cycles, lithium trapped per unit of wear.

    No day leans on another: a day's row follows from its own steps and one on either side.

    Parameters
    ----------
    windows
        Anode and cathode stoichiometry at empty and full of each level, shape (w, 4): x_0, x_100, y_0, y_100.
    ec, inter
        What is wanted of "ec reaction limited" and of "interstitial-diffusion limited".
    ec_k, inter_k
        Their constants; those of the cell are the same in both.
    rows
        From `anode_rows`.
    entropic
        Change of the anode's potential with temperature on the grid of the tables, or one zero. [V/K]

    Returns
    -------
    tuple of ndarray
        Shape (days, entries + 1 + coarse) each.
    """
    hours, rate, temp, soc_0, soc_1, step = substeps(cell_soc, temp_c, current_c, step_hours, flow_c)
    days = (temp_c.size + steps_per_day - 1) // steps_per_day
    n_w = windows.shape[0]
    n_ec = ec.fine.size + ec.coarse.size * ec.nodes.size
    n_inter = inter.fine.size + inter.coarse.size * inter.nodes.size
    ec_out = np.zeros((days, n_ec + 1 + ec.coarse.size))
    inter_out = np.zeros((days, n_inter + 1 + inter.coarse.size))
    k = inter_k if n_inter > 0 else ec_k
    a_first = 1.0 / (ec_k.solvent_mol_m3 * ec_k.kinetic_m_s * ec_k.film_unit_m)
    b_rest = 1.0 / (ec_k.solvent_mol_m3 * ec_k.film_diffusivity_m2_s)
    scale = rows.shape[0] / (1.0 - 2.0 * EDGE)
    first, wide = (windows[:, 0] - EDGE) * scale, (windows[:, 1] - windows[:, 0]) * scale
    cycles = np.zeros((days, 2))
    slope, anchor, ec_slope, ec_anchor = np.empty(n_w), np.empty(n_w), np.empty(n_w), np.empty(n_w)
    power, lift, warm, slow, rest = np.empty(n_w), np.empty(n_w), np.zeros(n_w), np.empty(n_ec), np.zeros(n_w)
    share = np.empty(inter.nodes.size)
    speed_slope, half = -k.film_activation_j / GAS, 0.5 * POTENTIAL_SLOPE
    last, last_day, inverse_0, speed_0 = -1.0, 0, 0.0, 0.0
    moments = np.zeros(7)
    for i in range(hours.size):
        day, soc = int(step[i]) // steps_per_day, 0.5 * (soc_0[i] + soc_1[i])
        still, inverse = abs(rate[i]) <= 1e-5, 1.0 / (temp[i] + KELVIN)
        if still and (soc != last or day != last_day or abs(inverse - inverse_0) > REACH_PER_K):
            if moments[0] > 0.0:
                _add_rest(
                    ec_out[last_day], inter_out[last_day], moments, speed_0, speed_slope, slope, anchor, ec_slope,
                    ec_anchor, b_rest, inter_k.interstitial_mol_m_s, ec, inter, power, slow, rest, share,
                )  # fmt: skip
            last, last_day, inverse_0 = soc, day, inverse
            speed_0 = k.speed * math.exp(speed_slope * (inverse - 1.0 / k.reference_k))
            _look_up(rows, first, wide, soc, 0.0, power, lift)
            _look_up_one(entropic, first, wide, soc, 0.0, warm)
            for w in range(n_w):
                slope[w] = -POTENTIAL_SLOPE * (power[w] - warm[w] * k.reference_k)
                anchor[w] = slope[w] * inverse - POTENTIAL_SLOPE * warm[w]
            _exp(anchor)
            if n_ec > 0:
                by = a_first * math.exp(-half * ec_k.film_potential_v * inverse)
                for w in range(n_w):
                    ec_slope[w] = -0.5 * slope[w] - half * ec_k.film_potential_v
                    ec_anchor[w] = by / math.sqrt(anchor[w])
        if still:
            change, moment = inverse - inverse_0, hours[i]
            for m in range(7):
                moments[m] += moment
                moment *= change / (m + 1)
            if rate[i] == 0.0:
                continue
        else:
            h, terms = hours[i], step_terms(rate[i], temp[i] + KELVIN, 1.0, k)
            _look_up(rows, first, wide, soc, terms[1] * scale, power, lift)
            _look_up_one(entropic, first, wide, soc, terms[1] * scale, warm)
            for w in range(n_w):
                power[w] = -terms[0] * (power[w] + terms[6] * warm[w])
                z = terms[2] / lift[w]
                lift[w] = math.sqrt(1.0 + z * z) - z
            _exp(power)
            for w in range(n_w):
                power[w] *= lift[w] * lift[w]
            if n_inter > 0:
                for t in range(share.size):
                    share[t] = -terms[5] * inter.nodes[t]
                _exp(share)
                for t in range(share.size):
                    share[t] *= h / (inter.nodes[t] * terms[3])
                _add_film(inter_out[day], power, share, inter)
            if n_ec > 0:
                speed = k.speed * math.exp(speed_slope * (inverse - 1.0 / k.reference_k))
                by = a_first * math.exp(-half * ec_k.film_potential_v * inverse)
                for w in range(n_w):
                    lift[w] = by / math.sqrt(power[w])
                _add_slow(ec_out[day], h * speed, lift, b_rest, ec, slow)
        moved = 0.5 * abs(rate[i]) * hours[i]
        cycles[day, 0] += moved
        cycles[day, 1] += moved * soc
    if moments[0] > 0.0:
        _add_rest(
            ec_out[last_day], inter_out[last_day], moments, speed_0, speed_slope, slope, anchor, ec_slope,
            ec_anchor, b_rest, inter_k.interstitial_mol_m_s, ec, inter, power, slow, rest, share,
        )  # fmt: skip
    _put_cycles(ec_out, n_ec, ec.coarse, cycles, windows, ec_k)
    _put_cycles(inter_out, n_inter, inter.coarse, cycles, windows, inter_k)
    return ec_out, inter_out


@njit(**_VECTOR)
def _put_cycles(
    out: FloatArray, at: int, coarse: IntArray, cycles: FloatArray, windows: FloatArray, k: SeiConstants
) -> None:
    """Full cycles, and the lithium that wear by them would trap at each coarse window: linear in state of charge."""
    anode, cathode = k.anode_ah / k.lithium_ah, k.cathode_wear_ratio * k.cathode_ah / k.lithium_ah
    for day in range(out.shape[0]):
        out[day, at] = cycles[day, 0]
        for c in range(coarse.size):
            x_0, x_100, y_0, y_100 = (
                windows[coarse[c], 0],
                windows[coarse[c], 1],
                windows[coarse[c], 2],
                windows[coarse[c], 3],
            )
            empty, full = anode * x_0 + cathode * y_0, anode * x_100 + cathode * y_100
            out[day, at + 1 + c] = empty * cycles[day, 0] + (full - empty) * cycles[day, 1]
