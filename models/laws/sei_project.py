"""Numba core of `models.laws.sei.SeiLaw.project`: thousands of draws along periods of stored growth.

Within a period 1/G is piecewise linear in thickness, so that growth through a period of any length is exact: between
two nodes ``∫ H dL`` is a quadratic. What moves slowly (the anode's window, its surface, the duty's level) is taken at
the middle of the period: predicted from the period before, in proportion to how fast each would grow, or by a first
sweep where there is none.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from models.domain import FloatArray, IntArray
from models.laws.esoh import anode_window, table_at

GRID_LITHIUM = 0.0005
GRID_ANODE = 0.005
LITHIUM_MAX = 0.70
ANODE_MAX = 0.40
STATES = ("film", "anode_loss", "trapped", "taken")
"""Of a draw: thickness of the film, active material and lithium lost [1]; "taken" is the lithium that the last period
took times 1/G in its middle window (over interstitials also times the film's mean thickness), NaN where there was none:
the next one's middle is predicted from it."""
KINK_STOICHIOMETRY = 0.7
"""Of the full anode: capacity kinks where a step of a measured anode curve meets the upper voltage limit. [1]"""


@njit(cache=True, nogil=True, error_model="numpy")
def kink_slope(
    lithium_ah: float,
    anode_ah: float,
    cathode_ah: float,
    cathode_ratio: float,
    v_max: float,
    ocp_n: FloatArray,
    ocp_p: FloatArray,
) -> float:
    """Lithium loss per anode loss along which the full anode keeps `KINK_STOICHIOMETRY`: where kinks of capacity run.

    With the full cell's stoichiometries x and y fixed, lithium = x anode + y cathode is linear in the anode's loss.
    """
    goal = v_max + table_at(ocp_n, KINK_STOICHIOMETRY)
    low, high = 0.0, 1.0
    for _ in range(40):
        y = 0.5 * (low + high)
        if table_at(ocp_p, y) > goal:
            low = y
        else:
            high = y
    return (KINK_STOICHIOMETRY * anode_ah + cathode_ratio * 0.5 * (low + high) * cathode_ah) / lithium_ah


@njit(cache=True, nogil=True, error_model="numpy")
def balance_grid(
    lithium_ah: float,
    anode_ah: float,
    cathode_ah: float,
    cathode_ratio: float,
    v_min: float,
    v_max: float,
    ocp_n: FloatArray,
    ocp_p: FloatArray,
) -> tuple[FloatArray, float]:
    """Capacity [A.h] and full anode's stoichiometry over lithium loss and anode loss.

    Lithium is counted less `kink_slope` times the anode's loss: the kinks that measured anode curves bring then run
    along the grid's lines instead of across them.

    Returns
    -------
    tuple of ndarray and float
        Shape (lithium, anode, 2) on grids of `GRID_LITHIUM` and `GRID_ANODE`, and the slope.
    """
    slope = kink_slope(lithium_ah, anode_ah, cathode_ah, cathode_ratio, v_max, ocp_n, ocp_p)
    n_q = int((LITHIUM_MAX + slope * ANODE_MAX) / GRID_LITHIUM + 0.5) + 1
    n_a = int(ANODE_MAX / GRID_ANODE + 0.5) + 1
    out = np.empty((n_q, n_a, 2))
    for i in range(n_q):
        for j in range(n_a):
            loss = j * GRID_ANODE
            lithium = lithium_ah * (1.0 - i * GRID_LITHIUM - slope * (loss - ANODE_MAX))
            anode = anode_ah * (1.0 - loss)
            cathode = cathode_ah * max(1.0 - cathode_ratio * loss, 0.01)
            x_0, x_100 = anode_window(lithium, anode, cathode, v_min, v_max, ocp_n, ocp_p)
            out[i, j, 0] = anode * (x_100 - x_0)
            out[i, j, 1] = x_100
    return out, slope


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def balance_at(grid: FloatArray, slope: float, lithium: float, anode: float) -> tuple[float, float]:
    """Capacity [A.h] and full anode's stoichiometry between the points of a `balance_grid`, clipped to it."""
    v = min(max(anode / GRID_ANODE, 0.0), grid.shape[1] - 1.000001)
    u = (lithium + slope * (ANODE_MAX - min(max(anode, 0.0), ANODE_MAX))) / GRID_LITHIUM
    u = min(max(u, 0.0), grid.shape[0] - 1.000001)
    i, j = int(u), int(v)
    u, v = u - i, v - j
    a, b, c, d = (1 - u) * (1 - v), (1 - u) * v, u * (1 - v), u * v
    return (
        a * grid[i, j, 0] + b * grid[i, j + 1, 0] + c * grid[i + 1, j, 0] + d * grid[i + 1, j + 1, 0],
        a * grid[i, j, 1] + b * grid[i, j + 1, 1] + c * grid[i + 1, j, 1] + d * grid[i + 1, j + 1, 1],
    )


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _place(values: FloatArray, x: float, near: int) -> tuple[int, float]:
    """Interval of an increasing grid and the share of the way through it, clipped to the grid; searched from `near`."""
    n = values.size
    if n == 1 or x <= values[0]:
        return 0, 0.0
    i = min(near, n - 2)
    while i > 0 and values[i] > x:
        i -= 1
    while i < n - 2 and values[i + 1] <= x:
        i += 1
    return i, min((x - values[i]) / (values[i + 1] - values[i]), 1.0)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _between(block: FloatArray, w: int, fw: float, v: int, fv: float) -> float:
    """Value between two windows and two capacity levels; block has shape (levels, windows)."""
    h = block[v, w] + fw * (block[v, w + 1] - block[v, w])
    if fv > 0.0:
        other = block[v + 1, w] + fw * (block[v + 1, w + 1] - block[v + 1, w])
        h += fv * (other - h)
    return h


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _node(rest: FloatArray, t: int, w: int, fw: float, v: int, fv: float) -> float:
    """As `_between`, at node t of a block of shape (nodes, levels, coarse windows)."""
    h = rest[t, v, w] + fw * (rest[t, v, w + 1] - rest[t, v, w])
    if fv > 0.0:
        other = rest[t, v + 1, w] + fw * (rest[t, v + 1, w + 1] - rest[t, v + 1, w])
        h += fv * (other - h)
    return h


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _march(
    fine: float,
    rest: FloatArray,
    product: bool,
    nodes: FloatArray,
    w: int,
    fw: float,
    v: int,
    fv: float,
    start: float,
    duration: float,
) -> float:
    """Thickness after ``∫ H dL = duration`` from a start; straight on beyond the last node.

    H at a node is `fine` times, or plus, what `rest` (nodes, levels, coarse windows) says between its windows.
    """
    last = nodes.size - 2
    t = 0
    while t < last and nodes[t + 1] <= start:
        t += 1
    at = start
    h_0 = _node(rest, t, w, fw, v, fv)
    h_1 = _node(rest, t + 1, w, fw, v, fv)
    h_0 = fine * h_0 if product else fine + h_0
    h_1 = fine * h_1 if product else fine + h_1
    slope = (h_1 - h_0) / (nodes[t + 1] - nodes[t])
    h = h_0 + slope * (at - nodes[t])
    if h < 1e-3 * h_0:  # thinner than the first node by far: never faster than that
        h = 1e-3 * h_0
    left = duration
    while True:
        if t < last:
            area = 0.5 * (h + h_1) * (nodes[t + 1] - at)
            if area < left:
                left -= area
                at = nodes[t + 1]
                t += 1
                h = h_1
                h_1 = _node(rest, t + 1, w, fw, v, fv)
                h_1 = fine * h_1 if product else fine + h_1
                slope = (h_1 - h) / (nodes[t + 1] - nodes[t])
                continue
        return at + 2.0 * left / (h + math.sqrt(max(h * h + 2.0 * slope * left, 1e-12 * h * h)))


@njit(cache=True, nogil=True, error_model="numpy")
def project_draws(
    order: IntArray,
    fine: FloatArray,
    rest: FloatArray,
    product: bool,
    cycles: FloatArray,
    trapping: FloatArray,
    inverse_levels: FloatArray,
    full_levels: FloatArray,
    coarse_levels: FloatArray,
    nodes: FloatArray,
    kinetic: FloatArray,
    diffusion: FloatArray,
    wear_per_cycle: FloatArray,
    grid: FloatArray,
    grid_slope: float,
    capacity_new_ah: float,
    film_start: float,
    state: FloatArray,
    capacity: FloatArray,
    lithium_out: FloatArray,
    anode_out: FloatArray,
) -> None:
    """Advance every draw through all periods; `state`, `capacity`, `lithium_out` and `anode_out` are written in place.

    Parameters
    ----------
    order
        Row of ``fine``, ``rest``, ``cycles`` and ``trapping`` that each period takes, shape (periods,).
    fine
        1/G at the middle node, shape (rows, levels, windows); infinite time where nothing happened.
    rest
        What makes of it 1/G at every node, shape (rows, nodes, levels, coarse windows): factors or summands.
    product
        Whether `rest` are factors.
    cycles, trapping
        Equivalent full cycles, shape (rows, levels); lithium trapped per unit of wear, (rows, levels, coarse).
    inverse_levels, full_levels, coarse_levels
        One over the capacities of the levels (swings of a given energy are linear in it), full anode's stoichiometries
        of windows and coarse windows, all increasing.
    kinetic, diffusion, wear_per_cycle
        Multipliers and wear of each draw, shape (draws,).
    grid, grid_slope
        From `balance_grid`.
    state
        Film thickness on the fresh surface, anode loss, trapped lithium, and what the last period took (see `STATES`),
        shape (draws, 4).
    capacity, lithium_out, anode_out
        Of each period, shape (draws, periods).
    """
    draws = state.shape[0]
    film, wear, trapped, last = state[:, 0].copy(), state[:, 1].copy(), state[:, 2].copy(), state[:, 3].copy()
    unknown = draws > 0 and math.isnan(last[0])
    now, full_now, full = np.empty(draws), np.empty(draws), np.empty(draws)
    worn, surface, thick, middle_h, end = (
        np.empty(draws), np.empty(draws), np.empty(draws), np.empty(draws), np.empty(draws),
    )  # fmt: skip
    grown, caught, fv, fc = np.empty(draws), np.empty(draws), np.empty(draws), np.empty(draws)
    v, w, c = np.zeros(draws, np.int64), np.zeros(draws, np.int64), np.zeros(draws, np.int64)
    for d in range(draws):
        now[d], full_now[d] = balance_at(grid, grid_slope, film[d] - film_start + trapped[d], wear[d])
    # Draws know nothing of each other: in short loops over them the processor works on several at once.
    for p in range(order.size):
        r = order[p]
        fine_p, rest_p, cycles_p, trapping_p = fine[r], rest[r], cycles[r], trapping[r]
        slowness, sweeps = fine_p[0, full_levels.size // 2], 2 if p == 0 and unknown else 1
        for d in range(draws):
            v[d], fv[d] = _place(inverse_levels, capacity_new_ah / now[d], v[d])
            cyc = cycles_p[v[d]]
            if fv[d] > 0.0:
                cyc += fv[d] * (cycles_p[v[d] + 1] - cyc)
            worn[d] = wear_per_cycle[d] * cyc
            surface[d] = 1.0 - min(wear[d] + 0.5 * worn[d], 0.95)
            thick[d] = film[d] / surface[d] * (kinetic[d] / diffusion[d])
            full[d] = full_now[d]
            if sweeps == 1:  # the middle of the period, predicted from the one before
                taken = last[d] / slowness
                if product:  # 1/G goes with the thickness, which so grows with the root of time
                    taken = math.sqrt(film[d] * film[d] + 2.0 * taken) - film[d]
                middle = film[d] - film_start + trapped[d] + 0.5 * taken
                _, full[d] = balance_at(grid, grid_slope, middle, wear[d] + 0.5 * worn[d])
        for sweep in range(sweeps):
            for d in range(draws):
                w[d], fw = _place(full_levels, full[d], w[d])
                c[d], fc[d] = _place(coarse_levels, full[d], c[d])
                middle_h[d] = _between(fine_p, w[d], fw, v[d], fv[d])
            for d in range(draws):
                hours = kinetic[d] * kinetic[d] / diffusion[d]
                end[d] = _march(middle_h[d], rest_p, product, nodes, c[d], fc[d], v[d], fv[d], thick[d], hours)
            for d in range(draws):
                grown[d] = (end[d] - thick[d]) * surface[d] / (kinetic[d] / diffusion[d])
                caught[d] = _between(trapping_p, c[d], fc[d], v[d], fv[d]) * wear_per_cycle[d]
                if sweep + 1 < sweeps:
                    middle = film[d] - film_start + trapped[d] + 0.5 * (grown[d] + caught[d])
                    _, full[d] = balance_at(grid, grid_slope, middle, wear[d] + 0.5 * worn[d])
        for d in range(draws):
            film[d] += grown[d]
            wear[d] = min(wear[d] + worn[d], 0.95)
            trapped[d] += caught[d]
            last[d] = (grown[d] + caught[d]) * slowness
            if product:
                last[d] *= film[d] - 0.5 * grown[d]
            lithium = film[d] - film_start + trapped[d]
            now[d], full_now[d] = balance_at(grid, grid_slope, lithium, wear[d])
            capacity[d, p] = now[d] / capacity_new_ah
            lithium_out[d, p] = lithium
            anode_out[d, p] = wear[d]
    state[:, 0], state[:, 1], state[:, 2], state[:, 3] = film, wear, trapped, last
