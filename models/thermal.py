"""Cell temperature where no log has it: one lump of heat capacity that warms by its losses and cools to the air.

``C dT/dt = heat + cooling (T_air - T)``; with heat and air constant in a step the solution is an exponential, so a
step of any length is exact and cannot become unstable.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from models.domain import FloatArray, Pack


@njit(cache=True, nogil=True)
def lump_step(t_c, ambient_c, heat_w, cooling_w_per_k, decay, share):  # pragma: no cover
    """Mean temperature of a step and that at its end; `decay` and `share` are those of `lump_rates`."""
    goal = ambient_c + heat_w / cooling_w_per_k
    return goal + (t_c - goal) * share, goal + (t_c - goal) * decay


@njit(cache=True, nogil=True)
def _lump(ambient_c, heat_w, measured_c, cooling_w_per_k, decay, share, start_c, mean_c):  # pragma: no cover
    t = start_c
    for k in range(ambient_c.shape[0]):
        if np.isnan(measured_c[k]):
            mean_c[k], t = lump_step(t, ambient_c[k], heat_w[k], cooling_w_per_k, decay, share)
        else:
            t = measured_c[k]
            mean_c[k] = t


def lump_rates(pack: Pack, step_minutes: int) -> tuple[float, float]:
    """How much of a distance to the goal is left after a step, and on average within it. [1]

    Raises
    ------
    ValueError
        The pack has no positive heat capacity or cooling.
    """
    if pack.cooling_w_per_k <= 0 or pack.heat_capacity_j_per_k <= 0:
        raise ValueError(f"Pack {pack.vehicle_type} needs a positive heat capacity and cooling for its temperature.")
    tau_s, step_s = pack.heat_capacity_j_per_k / pack.cooling_w_per_k, step_minutes * 60.0
    decay = math.exp(-step_s / tau_s)
    return decay, (1.0 - decay) * tau_s / step_s


def fill_temperature(
    measured_c: FloatArray, ambient_c: FloatArray, heat_w: FloatArray, pack: Pack, step_minutes: int, start_c: float
) -> FloatArray:
    """Mean cell temperature of each step: the measured one where there is one, else the lump going on from the last.

    Parameters
    ----------
    measured_c
        Logged mean of each step, NaN where none, shape (n,). [°C]
    ambient_c, heat_w
        Air temperature and heat lost in the battery, means of each step, shape (n,). [°C], [W]
    pack
        Gives heat capacity and cooling.
    step_minutes
        Length of a step. [min]
    start_c
        Temperature before the first step. [°C]

    Returns
    -------
    ndarray
        Shape (n,). [°C]

    Raises
    ------
    ValueError
        Arrays differ in shape, or the pack has no positive heat capacity or cooling.

    Limits
    ------
    One temperature for the whole pack; no active heating or cooling beyond the constant `Pack.cooling_w_per_k`.
    """
    if not ambient_c.shape == heat_w.shape == measured_c.shape or ambient_c.ndim != 1:
        raise ValueError(
            f"Temperatures and heat need one shape (n,), got {measured_c.shape}, {ambient_c.shape}, {heat_w.shape}."
        )
    decay, share = lump_rates(pack, step_minutes)
    mean_c = np.empty(ambient_c.shape[0])
    _lump(
        np.ascontiguousarray(ambient_c, dtype=np.float64),
        np.ascontiguousarray(heat_w, dtype=np.float64),
        np.ascontiguousarray(measured_c, dtype=np.float64),
        pack.cooling_w_per_k,
        decay,
        share,
        start_c,
        mean_c,
    )
    return mean_c


def cell_temperature(
    ambient_c: FloatArray, heat_w: FloatArray, pack: Pack, step_minutes: int, start_c: float | None = None
) -> FloatArray:
    """Mean cell temperature of each step by the lumped model.

    Parameters
    ----------
    ambient_c, heat_w
        Air temperature and heat lost in the battery (I²R), means of each step, shape (n,). [°C], [W]
    pack
        Gives heat capacity and cooling.
    step_minutes
        Length of a step. [min]
    start_c
        Temperature before the first step; the first air temperature where None. [°C]

    Returns
    -------
    ndarray
        Shape (n,). [°C]

    Examples
    --------
    A pack that starts at 30 °C in still air of 10 °C is at 10 °C after a long time:

    >>> import numpy as np
    >>> from models.domain import OcvCurve, Pack
    >>> ocv = OcvCurve(np.array([0.0, 1.0]), np.array([3.0, 4.2]), "example")
    >>> p = Pack("t", "c", "nmc", 96, 150.0, 55.0, 50.0, 50.0, 0.0, 1.0, 0.1, ocv, 4.0e5, 15.0)
    >>> float(cell_temperature(np.full(240, 10.0), np.zeros(240), p, 60, 30.0)[-1].round(6))
    10.0
    """
    if start_c is None:
        start_c = float(ambient_c[0]) if ambient_c.shape[0] else 0.0
    return fill_temperature(np.full(ambient_c.shape, np.nan), ambient_c, heat_w, pack, step_minutes, start_c)


def air_at_steps(
    air_hour: FloatArray, air_c: FloatArray, step_hour: FloatArray, typical_year: bool, default_c: float
) -> FloatArray:
    """Air temperature at the steps of a duty from an hourly series.

    Parameters
    ----------
    air_hour, step_hour
        Hours since 1970-01-01 UTC, whole numbers, of the series (increasing, shape (m,)) and of the steps (shape (n,)).
    air_c
        Shape (m,). [°C]
    typical_year
        The series is a typical year dated 2001: it is mapped by month, day and hour; 29 February takes the 28th.
    default_c
        Where the series has nothing. [°C]

    Returns
    -------
    ndarray
        Shape (n,). [°C]
    """
    if air_hour.shape[0] == 0:
        return np.full(step_hour.shape, default_c)
    hour = step_hour.astype(np.int64)
    if typical_year:
        stamp = hour.astype("datetime64[h]")
        month = stamp.astype("datetime64[M]")
        day = (stamp.astype("datetime64[D]") - month).astype(np.int64)
        month_of_year = month.astype(np.int64) % 12
        day = np.where((month_of_year == 1) & (day > 27), 27, day)
        first = np.datetime64("2001-01", "M").astype(np.int64)
        month_2001 = (month_of_year + first).astype("datetime64[M]")
        days_2001 = month_2001.astype("datetime64[D]").astype(np.int64) + day
        hour = days_2001 * 24 + hour % 24
    at = np.searchsorted(air_hour, hour)
    at_in = np.minimum(at, air_hour.shape[0] - 1)
    found = (air_hour[at_in] == hour) & np.isfinite(air_c[at_in])
    return np.where(found, air_c[at_in], default_c)
