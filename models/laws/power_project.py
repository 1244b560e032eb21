"""Numba core of `models.laws.power.PowerLaw.project`."""

from __future__ import annotations

import numpy as np
from numba import njit

from models.domain import FloatArray, IntArray
from models.laws.vector_math import VECTOR, blocks, power_into

_MANY = 8  # draws from which on their powers are taken together


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _at_level(exposures: FloatArray, r: int, levels: FloatArray, q: float) -> tuple[float, float]:
    """Exposures of a period at a present capacity."""
    last = levels.shape[0] - 1
    if last == 0 or q >= levels[0]:
        return exposures[0, r, 0], exposures[0, r, 1]
    if q <= levels[last]:
        return exposures[last, r, 0], exposures[last, r, 1]
    i = 0
    while levels[i + 1] > q:
        i += 1
    w = (1.0 / q - 1.0 / levels[i]) / (1.0 / levels[i + 1] - 1.0 / levels[i])  # energy over capacity
    e0 = (1.0 - w) * exposures[i, r, 0] + w * exposures[i + 1, r, 0]
    return e0, (1.0 - w) * exposures[i, r, 1] + w * exposures[i + 1, r, 1]


@njit(**VECTOR)
def _add_level(
    inverse: FloatArray, start: float, end: float, more: FloatArray, grown: FloatArray, grown_too: FloatArray
) -> None:
    """Add what both exposures gain from one level to the next, for each draw as far as it has come between them."""
    per, first, second = 1.0 / (end - start), more[0], more[1]
    for d in range(inverse.size):
        w = (inverse[d] - start) * per
        w = w if w > 0.0 else 0.0
        w = w if w < 1.0 else 1.0
        grown[d] += w * first
        grown_too[d] += w * second


@njit(**VECTOR)
def _side_by_side(
    exposures: FloatArray,
    order: IntArray,
    levels: FloatArray,
    gain: FloatArray,
    exponents: FloatArray,
    state: FloatArray,
    calendar: FloatArray,
    cycling: FloatArray,
    capacity: FloatArray,
) -> None:
    """`recursion` of many draws: they know nothing of each other, so each period is vector loops without a branch."""
    draws, last = gain.shape[0], levels.size - 1
    room = blocks(draws)  # whole vector blocks: what they leave over would run one number at a time
    z0, z1, g0, g1 = np.zeros(room), np.zeros(room), np.zeros(room), np.zeros(room)
    y0, y1, e0, e1 = np.zeros(room), np.zeros(room), np.zeros(room), np.zeros(room)
    inverse, more = np.ones(room), np.empty(2)
    z0[:draws], z1[:draws] = state[:, 0], state[:, 1]
    g0[:draws], g1[:draws] = gain[:, 0], gain[:, 1]
    power_into(z0, exponents[0], y0)
    power_into(z1, exponents[1], y1)
    for p in range(order.size):
        r = order[p]
        e0[:], e1[:] = exposures[0, r, 0], exposures[0, r, 1]
        if last > 0:
            for d in range(room):
                q = 1.0 - y0[d] - y1[d]
                inverse[d] = 1.0 / (q if q > levels[last] else levels[last])
        for i in range(last):
            more[0] = exposures[i + 1, r, 0] - exposures[i, r, 0]
            more[1] = exposures[i + 1, r, 1] - exposures[i, r, 1]
            _add_level(inverse, 1.0 / levels[i], 1.0 / levels[i + 1], more, e0, e1)
        for d in range(room):
            z0[d] += g0[d] * e0[d]
            z1[d] += g1[d] * e1[d]
        power_into(z0, exponents[0], y0)
        power_into(z1, exponents[1], y1)
        for d in range(draws):
            calendar[d, p], cycling[d, p] = y0[d], y1[d]
            capacity[d, p] = max(1.0 - y0[d] - y1[d], 0.0)
    state[:, 0], state[:, 1] = z0[:draws], z1[:draws]


@njit(cache=True, nogil=True, error_model="numpy")
def recursion(
    exposures: FloatArray,
    order: IntArray,
    levels: FloatArray,
    gain: FloatArray,
    exponents: FloatArray,
    state: FloatArray,
    calendar: FloatArray,
    cycling: FloatArray,
    capacity: FloatArray,
) -> None:
    """Advance every draw through all periods; ``state``, ``calendar``, ``cycling`` and ``capacity`` are written."""
    draws = gain.shape[0]
    if draws < _MANY:
        for d in range(draws):
            z_0, z_1 = state[d, 0], state[d, 1]
            now = 1.0 - z_0 ** exponents[0] - z_1 ** exponents[1]
            for p in range(order.shape[0]):
                e0, e1 = _at_level(exposures, order[p], levels, now)
                z_0 += gain[d, 0] * e0
                z_1 += gain[d, 1] * e1
                calendar[d, p], cycling[d, p] = z_0 ** exponents[0], z_1 ** exponents[1]
                now = 1.0 - calendar[d, p] - cycling[d, p]
                capacity[d, p] = max(now, 0.0)
            state[d, 0], state[d, 1] = z_0, z_1
        return
    _side_by_side(exposures, order, levels, gain, exponents, state, calendar, cycling, capacity)
