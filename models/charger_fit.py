"""What a charger loses, found from sessions whose energy is known at the meter and at the battery.

    charging:  meter = battery / efficiency + standby x hours
    export:    meter = battery x efficiency - standby x hours

The ratio of the sums (standby included, at the sessions' own mix of powers) is always known; efficiency and standby
apart only where sessions of different power tell them apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from models.domain import Estimate, FloatArray

LEAST_SESSIONS = 10
LEVEL = 0.8
_Z80 = 1.2815515594
# Sessions outside are misreadings (a meter that saw another car), not losses.
_RATIO_LOW, _RATIO_HIGH = 0.4, 1.02
_TOLERANCE_KWH = 0.1
_STANDBY_SIGMA_KW = 0.1


@dataclass(frozen=True)
class ChargerFit:
    """Losses in one direction.

    Parameters
    ----------
    sessions
        How many were used.
    overall
        Energy out over energy in, standby included. [1]
    efficiency, standby
        Apart, None where the sessions do not tell them apart. [1], [kW]
    """

    sessions: int
    overall: Estimate
    efficiency: Estimate | None
    standby: Estimate | None


def fit_charger(battery_kwh: FloatArray, meter_kwh: FloatArray, hours: FloatArray, export: bool) -> ChargerFit | None:
    """Losses of a charger in one direction, None where fewer than ten sessions can be used.

    Parameters
    ----------
    battery_kwh, meter_kwh, hours
        Of each session, shape (n,); NaN where not known. [kWh], [kWh], [h]
    export
        Whether energy flowed out of the battery.

    References
    ----------
    Form: Schram et al. 2020 (round trip 87.0 %, 79.1 to 87.8 %, worse at low current); standby of some hundred watts as
    Nichicon and DENSO warn of.

    Limits
    ------
    One efficiency for all powers; the car's own consumption while plugged in counts as standby. The error of the car's
    current sensor is not in the interval: it scales both directions the other way and cancels in the round trip.
    """
    out, into = (meter_kwh, battery_kwh) if export else (battery_kwh, meter_kwh)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = out / into
    good = (into > 0.3) & (hours > 0.05) & (ratio > _RATIO_LOW) & (ratio < _RATIO_HIGH)
    n = int(good.sum())
    if n < LEAST_SESSIONS:
        return None
    o, i, h = out[good], into[good], hours[good]
    basis = f"{n} sessions with energy at meter and battery"
    overall = _ratio(o, i, basis)
    apart = _apart(o, i, h, export)
    if apart is None:
        return ChargerFit(n, overall, None, None)
    (value, standby), sigma = apart
    efficiency = Estimate(value, value - _Z80 * sigma[0], value + _Z80 * sigma[0], LEVEL, basis)
    return ChargerFit(
        n, overall, efficiency, Estimate(standby, standby - _Z80 * sigma[1], standby + _Z80 * sigma[1], LEVEL, basis)
    )


def _ratio(out: FloatArray, into: FloatArray, basis: str) -> Estimate:
    """Ratio of the sums with its jackknife error."""
    n, total_out, total_in = out.shape[0], float(out.sum()), float(into.sum())
    value = total_out / total_in
    without = (total_out - out) / (total_in - into)
    sigma = float(np.sqrt((n - 1) / n * np.sum((without - without.mean()) ** 2)))
    return Estimate(value, value - _Z80 * sigma, value + _Z80 * sigma, LEVEL, basis)


def _apart(
    out: FloatArray, into: FloatArray, hours: FloatArray, export: bool
) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Efficiency and standby with their standard deviations, None where they cannot be told apart."""

    def error(p: FloatArray) -> FloatArray:
        lost = p[1] * hours
        return (p[0] * into - lost - out) if export else (out / p[0] + lost - into)

    start = np.array([0.92, 0.1])
    found = least_squares(error, start, bounds=([0.5, 0.0], [1.0, 2.0]), loss="soft_l1", f_scale=_TOLERANCE_KWH)
    curvature = found.jac.T @ found.jac
    if np.linalg.cond(curvature) > 1e12:
        return None
    variance = 2.0 * found.cost / max(out.shape[0] - 2, 1)
    sigma = np.sqrt(np.diag(np.linalg.inv(curvature)) * variance)
    if sigma[1] > _STANDBY_SIGMA_KW:
        return None
    return (float(found.x[0]), float(found.x[1])), (float(sigma[0]), float(sigma[1]))


def round_trip(charge: ChargerFit | None, export: ChargerFit | None) -> Estimate | None:
    """Energy given back at the meter over energy taken there, both directions with their standby. [1]"""
    if charge is None or export is None:
        return None
    a, b = charge.overall, export.overall
    value = a.value * b.value
    relative = float(np.hypot((a.high - a.low) / 2 / a.value, (b.high - b.low) / 2 / b.value))
    basis = f"{charge.sessions} charges and {export.sessions} exports"
    return Estimate(value, value * (1 - relative), value * (1 + relative), LEVEL, basis)
