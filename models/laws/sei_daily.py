"""Numba core of `models.laws.sei.SeiLaw.exposures`: what a day would grow at every window and film thickness.

Written for speed; the plain form of the same sums is `models.laws.sei_kernel.step_terms` and ``growth_terms``
(tests/test_sei_daily.py holds both together). Three exact rearrangements carry it:

- At rest every exponent is linear in 1/T. A parked car's temperature moves while its state of charge stands still, so
  the exponentials of a rest are taken once and carried on by a short series in the change of 1/T.
- With Butler-Volmer's z = j / (2 j0), exp(F eta / RT) is (z + sqrt(1 + z^2))^2: no asinh.
- Growth over interstitials at rest is inverse to the thickness: one sum a window serves all thicknesses; and the
  series of a whole rest is one series in the moments of its changes of 1/T.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from models.domain import FloatArray, IntArray
from models.laws.esoh import EDGE, table_at
from models.laws.sei_kernel import FARADAY, GAS, KELVIN, SeiConstants, step_terms, substeps

SERIES_REACH = 0.25  # change of an exponent up to which the series errs below 1e-8


@njit(cache=True, nogil=True)
def _series(z: float) -> float:
    """exp(z) for abs(z) up to `SERIES_REACH`."""
    return 1.0 + z * (1.0 + z * (1 / 2 + z * (1 / 6 + z * (1 / 24 + z * (1 / 120 + z * (1 / 720))))))


@njit(cache=True, nogil=True)
def _add_slow(row: FloatArray, base: int, nodes: FloatArray, hours: float, a: float, b: float) -> None:
    """row[base + t] += hours / (a + b nodes[t]); four quotients share one division."""
    n = nodes.size
    t = 0
    while t + 4 <= n:
        s_0, s_1 = a + b * nodes[t], a + b * nodes[t + 1]
        s_2, s_3 = a + b * nodes[t + 2], a + b * nodes[t + 3]
        first, second = s_0 * s_1, s_2 * s_3
        all_four = hours / (first * second)
        first, second = all_four * second, all_four * first
        row[base + t] += first * s_1
        row[base + t + 1] += first * s_0
        row[base + t + 2] += second * s_3
        row[base + t + 3] += second * s_2
        t += 4
    while t < n:
        row[base + t] += hours / (a + b * nodes[t])
        t += 1


@njit(cache=True, nogil=True)
def _add_windows(row: FloatArray, hours: float, kinetic: FloatArray, film: float) -> None:
    """row[w] += hours / (kinetic[w] + film); four quotients share one division."""
    n = kinetic.size
    w = 0
    while w + 4 <= n:
        s_0, s_1, s_2, s_3 = kinetic[w] + film, kinetic[w + 1] + film, kinetic[w + 2] + film, kinetic[w + 3] + film
        first, second = s_0 * s_1, s_2 * s_3
        all_four = hours / (first * second)
        first, second = all_four * second, all_four * first
        row[w] += first * s_1
        row[w + 1] += first * s_0
        row[w + 2] += second * s_3
        row[w + 3] += second * s_2
        w += 4
    while w < n:
        row[w] += hours / (kinetic[w] + film)
        w += 1


@njit(cache=True, nogil=True)
def _flush(parked: FloatArray, anchor: FloatArray, slope: FloatArray, moments: FloatArray) -> None:
    """parked[w] += anchor[w] sum_i h_i exp(slope[w] c_i), from a rest's moments sum_i h_i c_i^k / k!, then cleared."""
    if moments[0] > 0.0:
        for w in range(anchor.size):
            s = slope[w]
            total = moments[6]
            for k in range(5, -1, -1):
                total = moments[k] + s * total
            parked[w] += anchor[w] * total
        moments[:] = 0.0


@njit(cache=True, nogil=True)
def daily_growth(
    cell_soc: FloatArray,
    temp_c: FloatArray,
    current_c: FloatArray,
    flow_c: FloatArray,
    step_hours: float,
    steps_per_day: int,
    windows: FloatArray,
    coarse: IntArray,
    nodes: FloatArray,
    middle: int,
    k: SeiConstants,
    ocp: FloatArray,
    entropic: FloatArray,
    exchange: FloatArray,
) -> FloatArray:
    """Daily exposures: growth at windows and nodes, equivalent full cycles, lithium trapped per unit of wear.

    Every window has growth at the middle node; a coarse choice of them has all nodes, and the trapped lithium.

    Parameters
    ----------
    windows
        Anode and cathode stoichiometry at empty and full of each level, shape (w, 4): x_0, x_100, y_0, y_100.
    coarse
        Indices of the windows that have all nodes, increasing, shape (c,).
    nodes, middle
        Film thicknesses in film units, shape (t,), and the index of the one that all windows have.

    Returns
    -------
    ndarray
        Shape (days, w + c * t + 1 + c).
    """
    hours, rate, temp, soc_0, soc_1, step = substeps(cell_soc, temp_c, current_c, step_hours, flow_c)
    days = (temp_c.size + steps_per_day - 1) // steps_per_day
    n_w, n_t, n_c = windows.shape[0], nodes.size, coarse.size
    cycles_at = n_w + n_c * n_t
    out = np.zeros((days, cycles_at + 1 + n_c))
    parked = np.zeros((days, n_w))  # interstitials at rest: growth times thickness
    anode_share = k.anode_ah / k.lithium_ah
    cathode_share = k.cathode_wear_ratio * k.cathode_ah / k.lithium_ah
    sign = -1.0 if k.interstitial else 0.5
    zero_v = 0.0 if k.interstitial else k.film_potential_v
    a_first = 1.0 if k.interstitial else 1.0 / (k.solvent_mol_m3 * k.kinetic_m_s * k.film_unit_m)
    b_rest = 0.0 if k.interstitial else 1.0 / (k.solvent_mol_m3 * k.film_diffusivity_m2_s)
    # At rest: exponent of window w = fixed[w] + slope[w] / T; of the film's speed = speed_fixed + speed_slope / T.
    slope, anchor = np.empty(n_w), np.empty(n_w)
    speed_slope = -k.film_activation_j / GAS
    last, inverse_0, speed_0, steepest, last_day = -1.0, 0.0, 0.0, 0.0, 0
    moments = np.zeros(7)
    power, kinetic, share = np.empty(n_w), np.empty(n_w), np.empty(n_t)
    thick = nodes[middle]
    ocp_scale, exchange_scale = (ocp.size - 1) / (1.0 - 2.0 * EDGE), (exchange.size - 1) / (1.0 - 2.0 * EDGE)
    for i in range(hours.size):
        day = int(step[i]) // steps_per_day
        row = out[day]
        soc, h = 0.5 * (soc_0[i] + soc_1[i]), hours[i]
        if abs(rate[i]) <= 1e-5:
            inverse = 1.0 / (temp[i] + KELVIN)
            change = inverse - inverse_0
            if soc != last or day != last_day or abs(change) * steepest > SERIES_REACH:  # no day leans on another
                if k.interstitial:
                    _flush(parked[last_day], anchor, slope, moments)
                last, last_day, inverse_0, change = soc, day, inverse, 0.0
                speed_0 = k.speed * math.exp(speed_slope * (inverse - 1.0 / k.reference_k))
                steepest = abs(speed_slope)
                for w in range(n_w):
                    x = windows[w, 0] + soc * (windows[w, 1] - windows[w, 0])
                    warm = sign * FARADAY / GAS * table_at(entropic, x)
                    slope[w] = sign * FARADAY / GAS * (table_at(ocp, x) - zero_v) - warm * k.reference_k
                    anchor[w] = math.exp(slope[w] * inverse + warm)
                    if k.interstitial:  # the film's speed rides on the same series
                        slope[w] += speed_slope
                        anchor[w] *= speed_0 * k.interstitial_mol_m_s
                    steepest = max(steepest, abs(slope[w]))
            if k.interstitial:
                moment = h
                for m in range(7):
                    moments[m] += moment
                    moment *= change / (m + 1)
            else:
                fast = h * speed_0 * _series(speed_slope * change)
                for w in range(n_w):
                    kinetic[w] = a_first * anchor[w] * _series(slope[w] * change)
                _add_windows(row, fast, kinetic, b_rest * thick)
                for c in range(n_c):
                    _add_slow(row, n_w + c * n_t, nodes, fast, float(kinetic[coarse[c]]), b_rest)
        else:
            terms = step_terms(rate[i], temp[i] + KELVIN, 1.0, k)
            f = sign * terms[0]
            for w in range(n_w):
                x = windows[w, 0] + soc * (windows[w, 1] - windows[w, 0]) + terms[1]
                u = min(max((x - EDGE) * ocp_scale, 0.0), ocp.size - 1.000001)
                j = int(u)
                power[w] = ocp[j] + (ocp[j + 1] - ocp[j]) * (u - j) - zero_v
                u = min(max((x - EDGE) * exchange_scale, 0.0), exchange.size - 1.000001)
                j = int(u)
                z = terms[2] / (exchange[j] + (exchange[j + 1] - exchange[j]) * (u - j))
                lift = z + math.sqrt(1.0 + z * z)
                kinetic[w] = 1.0 / (lift * lift) if k.interstitial else lift
                power[w] += terms[6] * (table_at(entropic, x) if entropic.size > 1 else entropic[0])
            if k.interstitial:
                for t in range(n_t):
                    share[t] = h * math.exp(-terms[5] * nodes[t]) / (nodes[t] * terms[3])
                for w in range(n_w):
                    kinetic[w] *= math.exp(f * power[w])
                    row[w] += share[middle] * kinetic[w]
                for c in range(n_c):
                    for t in range(n_t):
                        row[n_w + c * n_t + t] += share[t] * kinetic[coarse[c]]
            else:
                for w in range(n_w):
                    kinetic[w] *= terms[4] * math.exp(f * power[w])
                _add_windows(row, h, kinetic, terms[3] * thick)
                for c in range(n_c):
                    _add_slow(row, n_w + c * n_t, nodes, h, float(kinetic[coarse[c]]), terms[3])
        cycles = 0.5 * abs(rate[i]) * h
        if cycles > 0.0:
            row[cycles_at] += cycles
            for c in range(n_c):
                w = coarse[c]
                x = windows[w, 0] + soc * (windows[w, 1] - windows[w, 0])
                y = windows[w, 2] + soc * (windows[w, 3] - windows[w, 2])
                row[cycles_at + 1 + c] += cycles * (anode_share * x + cathode_share * y)
    if k.interstitial:
        _flush(parked[last_day], anchor, slope, moments)
        for day in range(days):
            for w in range(n_w):
                out[day, w] += parked[day, w] / thick
            for c in range(n_c):
                for t in range(n_t):
                    out[day, n_w + c * n_t + t] += parked[day, coarse[c]] / nodes[t]
    return out
