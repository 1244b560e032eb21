"""Capacity from losses: electrode state of health between the BMS's voltage limits.

Lithium loss is not capacity: which electrode limits the cell at its voltage limits decides. With ``x`` the anode's and
``y`` the cathode's stoichiometry, lithium ``n = x C_n + y C_p`` and the limits ``U_p(y) - U_n(x) = V`` at full and at
empty, the capacity is ``C_n (x_100 - x_0)`` (Mohtat et al. 2019, 10.1016/j.jpowsour.2019.03.104; the equations that
PyBaMM's ``ElectrodeSOHSolver`` solves). The tables come from `models.cell`; everything here is NumPy and Numba.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numba import njit

from models.domain import FloatArray, OcvCurve
from models.parameters import entry

EDGE = 1e-6  # stoichiometries of the tables run from EDGE to 1 - EDGE
_BISECTIONS = 48


@dataclass(frozen=True, eq=False)
class EsohTables:
    """What the balance of a cell's electrodes needs, when new.

    Parameters
    ----------
    anode_ocp_v, cathode_ocp_v
        Open-circuit potentials at the reference temperature on a uniform grid of stoichiometry, `EDGE` to
        1 - `EDGE`, shape (n,), decreasing. [V]
    anode_ah, cathode_ah
        Charge that the whole stoichiometry range of an electrode holds. [A.h]
    lithium_ah
        Cyclable lithium in both electrodes. [A.h]
    voltage_min_v, voltage_max_v
        The BMS's limits. [V]
    """

    anode_ocp_v: FloatArray
    cathode_ocp_v: FloatArray
    anode_ah: float
    cathode_ah: float
    lithium_ah: float
    voltage_min_v: float
    voltage_max_v: float

    @property
    def capacity_new_ah(self) -> float:
        """Capacity between the limits without any loss. [A.h]"""
        return window(self, 0.0, 0.0, 0.0).capacity_ah


@dataclass(frozen=True)
class Window:
    """Stoichiometries at empty (0) and full (100) and the capacity between [A.h]."""

    anode_0: float
    anode_100: float
    cathode_0: float
    cathode_100: float
    capacity_ah: float


@njit(cache=True, nogil=True)
def table_at(table: FloatArray, x: float) -> float:
    """Linear interpolation in a table over stoichiometry, clipped at its ends."""
    last = table.size - 1
    u = (x - EDGE) / (1.0 - 2.0 * EDGE) * last
    if u <= 0.0:
        return table[0]
    if u >= last:
        return table[last]
    k = int(u)
    return table[k] + (table[k + 1] - table[k]) * (u - k)


@njit(cache=True, nogil=True)
def anode_stoichiometry(
    voltage_v: float, lithium: float, anode: float, cathode: float, ocp_n: FloatArray, ocp_p: FloatArray
) -> float:
    """Anode stoichiometry at an open-circuit voltage, by bisection (the voltage rises with it)."""
    low = max(EDGE, (lithium - (1.0 - EDGE) * cathode) / anode)
    high = min(1.0 - EDGE, (lithium - EDGE * cathode) / anode)
    for _ in range(_BISECTIONS):
        x = 0.5 * (low + high)
        if table_at(ocp_p, (lithium - x * anode) / cathode) - table_at(ocp_n, x) < voltage_v:
            low = x
        else:
            high = x
    return 0.5 * (low + high)


@njit(cache=True, nogil=True)
def anode_window(
    lithium: float, anode: float, cathode: float, v_min: float, v_max: float, ocp_n: FloatArray, ocp_p: FloatArray
) -> tuple[float, float]:
    """Anode stoichiometry at the lower and at the upper voltage limit; equal where nothing can be cycled."""
    if lithium <= 0.0 or anode <= 0.0 or cathode <= 0.0:
        return 0.0, 0.0
    full = anode_stoichiometry(v_max, lithium, anode, cathode, ocp_n, ocp_p)
    empty = anode_stoichiometry(v_min, lithium, anode, cathode, ocp_n, ocp_p)
    return min(empty, full), full


@njit(cache=True, nogil=True)
def _capacities(
    lithium_loss: FloatArray,
    anode_loss: FloatArray,
    cathode_loss: FloatArray,
    sizes: tuple[float, float, float, float, float],
    ocp_n: FloatArray,
    ocp_p: FloatArray,
) -> FloatArray:
    n_li, c_n, c_p, v_min, v_max = sizes
    out = np.empty(lithium_loss.size)
    for i in range(lithium_loss.size):
        anode = c_n * (1.0 - anode_loss[i])
        x_0, x_100 = anode_window(
            n_li * (1.0 - lithium_loss[i]), anode, c_p * (1.0 - cathode_loss[i]), v_min, v_max, ocp_n, ocp_p
        )
        out[i] = anode * (x_100 - x_0)
    return out


def _sizes(tables: EsohTables) -> tuple[float, float, float, float, float]:
    return tables.lithium_ah, tables.anode_ah, tables.cathode_ah, tables.voltage_min_v, tables.voltage_max_v


def window(
    tables: EsohTables, lithium_loss_frac: float, anode_loss_frac: float = 0.0, cathode_loss_frac: float = 0.0
) -> Window:
    """Stoichiometry window and capacity of a cell after losses.

    Parameters
    ----------
    lithium_loss_frac
        Share of the cyclable lithium that is gone, to the SEI or trapped in lost material. [1]
    anode_loss_frac, cathode_loss_frac
        Share of the active material that is gone. [1]

    Returns
    -------
    Window
        At the reference temperature of the parameter set.
    """
    lithium = tables.lithium_ah * (1.0 - lithium_loss_frac)
    anode = tables.anode_ah * (1.0 - anode_loss_frac)
    cathode = tables.cathode_ah * (1.0 - cathode_loss_frac)
    x_0, x_100 = anode_window(
        lithium,
        anode,
        cathode,
        tables.voltage_min_v,
        tables.voltage_max_v,
        tables.anode_ocp_v,
        tables.cathode_ocp_v,
    )
    return Window(
        x_0, x_100, (lithium - x_0 * anode) / cathode, (lithium - x_100 * anode) / cathode, anode * (x_100 - x_0)
    )


def capacity_frac(
    lithium_loss_frac: FloatArray | float,
    anode_loss_frac: FloatArray | float,
    cathode_loss_frac: FloatArray | float,
    tables: EsohTables,
) -> FloatArray:
    """Capacity over capacity as new after losses, between the voltage limits.

    Parameters
    ----------
    lithium_loss_frac, anode_loss_frac, cathode_loss_frac
        Broadcast against each other. [1]

    Returns
    -------
    ndarray
        Of the broadcast shape. [1]
    """
    a, b, c = np.broadcast_arrays(
        np.asarray(lithium_loss_frac, dtype=float),
        np.asarray(anode_loss_frac, dtype=float),
        np.asarray(cathode_loss_frac, dtype=float),
    )
    flat = _capacities(a.ravel(), b.ravel(), c.ravel(), _sizes(tables), tables.anode_ocp_v, tables.cathode_ocp_v)
    return flat.reshape(a.shape) / tables.capacity_new_ah


def lithium_loss_for(tables: EsohTables, capacity_target_frac: float) -> float:
    """Lithium loss alone that leaves a given capacity, by bisection. [1]"""
    low, high = 0.0, 0.95
    for _ in range(_BISECTIONS):
        mid = 0.5 * (low + high)
        if float(capacity_frac(mid, 0.0, 0.0, tables)) > capacity_target_frac:
            low = mid
        else:
            high = mid
    return 0.5 * (low + high)


def ocv_table(tables: EsohTables, points: int = 101) -> tuple[FloatArray, FloatArray]:
    """State of charge between the voltage limits and open-circuit voltage [V] of the new cell, shape (points,) each."""
    w = window(tables, 0.0)
    soc = np.linspace(0.0, 1.0, points)
    x = w.anode_0 + soc * (w.anode_100 - w.anode_0)
    y = w.cathode_0 + soc * (w.cathode_100 - w.cathode_0)
    grid = np.linspace(EDGE, 1.0 - EDGE, tables.anode_ocp_v.size)
    ocv = np.interp(y, grid, tables.cathode_ocp_v) - np.interp(x, grid, tables.anode_ocp_v)
    return soc, np.maximum.accumulate(ocv)


def ocv_curve(cell_id: str, home: Path | None = None) -> OcvCurve:
    """Open-circuit voltage of a cell from ``parameters/cells.toml`` (made from PyBaMM's sets; a test compares them).

    Raises
    ------
    ParameterError
        There is no such cell.
    """
    cell = entry("cells", cell_id, home)
    return OcvCurve(
        cell_soc_frac=np.asarray(cell["ocv_soc"].value, dtype=float),
        ocv_v=np.asarray(cell["ocv_v"].value, dtype=float),
        source=cell["ocv_v"].source,
    )


def windows_at(esoh: EsohTables, fullness: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Windows in which the full anode's stoichiometry is a given share of that of the new cell.

    Parameters
    ----------
    fullness
        Shares, shape (w,): below 1 lithium was lost, above 1 anode material. [1]

    Returns
    -------
    tuple[FloatArray, FloatArray]
        Stoichiometries x_0, x_100, y_0, y_100, shape (w, 4), and x_100 alone, shape (w,).
    """
    new = window(esoh, 0.0)
    wanted = np.minimum(fullness * new.anode_100, 1.0 - 1e-3)
    rows: list[tuple[float, float, float, float]] = []
    for target in wanted:
        low, high = (0.0, 0.9) if target <= new.anode_100 else (0.0, 0.5)
        for _ in range(50):
            mid = 0.5 * (low + high)
            w = window(esoh, mid) if target <= new.anode_100 else window(esoh, 0.0, mid, 0.0)
            above = w.anode_100 > target
            low, high = (mid, high) if above == (target <= new.anode_100) else (low, mid)
        w = window(esoh, low) if target <= new.anode_100 else window(esoh, 0.0, low, 0.0)
        rows.append((w.anode_0, w.anode_100, w.cathode_0, w.cathode_100))
    windows = np.array(rows)
    return windows, windows[:, 1].copy()
