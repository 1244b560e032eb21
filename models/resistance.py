"""Readings of the pack's resistance: change of voltage over change of current, at matched charge and temperature.

Two neighbouring samples between which the current jumps: R = (dV - dOCV) / dI. Only steps of one length count (the
shortest the log has), at middle states of charge, so that months are alike; what temperature does to a resistance,
log R = a_month + b (1/T - 1/298.15 K), is learned from the vehicle's own steps beside a stated prior. A reading is
exp(a_month): a month at 25 degC, with the error of the scatter about that line.

Limits
------
The resistance is that of the log's own step: with one-second samples the ohmic part, with five minutes much of the
diffusion too. So it is compared with itself only, never with a maker's figure. The change of OCV within a step is taken
from the new cell's curve.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numba import njit

from models.domain import FloatArray, IntArray, Pack
from models.parameters import entry
from models.sessions import US_PER_HOUR, Runs, Samples

REFERENCE_K = 298.15
_KELVIN = 273.15


@dataclass(frozen=True)
class ResistanceReading:
    """A month of one vehicle: resistance of the pack at 25 °C, its standard deviation, and what it rests on.

    ``shared_sigma_frac`` is the relative error all readings of a vehicle have in common (gain of the current sensor);
    ``step_s`` the length of the steps, ``steps`` how many.
    """

    time_us: int
    resistance_ohm: float
    sigma_ohm: float
    shared_sigma_frac: float
    temp_c: float
    step_s: float
    steps: int


@dataclass(frozen=True, eq=False)
class Steps:
    """Jumps of current; arrays of shape (n,), ``voltage_v`` without the change of OCV."""

    time_us: IntArray
    voltage_v: FloatArray
    current_a: FloatArray
    temp_c: FloatArray
    seconds: FloatArray


@njit(cache=True, nogil=True)
def _jumps(index, time_us, current, joined, least_a, longest_s, out):  # pragma: no cover
    """Places of accepted samples from which the current jumps to the next; returns how many."""
    found = 0
    for k in range(index.shape[0] - 1):
        i, j = index[k], index[k + 1]
        if joined[k] and abs(current[j] - current[i]) >= least_a:
            seconds = (time_us[j] - time_us[i]) * 1e-6
            if 0.0 < seconds <= longest_s:
                out[found] = k
                found += 1
    return found


def current_steps(samples: Samples, runs: Runs, pack: Pack, home: Path | None = None) -> Steps:
    """Jumps of current between neighbouring samples, of one length and at middle states of charge.

    Parameters
    ----------
    samples, runs
        Cleaned and cut.
    pack
        Whose curve tells the change of OCV within a step.

    Returns
    -------
    Steps
        Empty where the log has no state of charge or no battery temperature.
    """
    e = entry("resistance", "readings", home)
    index = runs.index
    near = np.empty(max(index.shape[0] - 1, 0), np.int64)
    found = _jumps(
        index, samples.time_us, samples.current_a, runs.joined, e.number("least_c_rate") * pack.capacity_ah,
        e.number("longest_s"), near,
    )  # fmt: skip
    near = near[:found]
    i, j = index[near], index[near + 1]
    span = pack.window_high_frac - pack.window_low_frac
    soc, soc1 = (pack.window_low_frac + samples.soc_frac[k] * span for k in (i, j))
    low, high = e["cell_soc_frac"].value
    cold, hot = e["temp_c"].value
    middle = 0.5 * (soc1 + soc)
    mean_c = 0.5 * (samples.battery_temp_c[j] + samples.battery_temp_c[i])
    good = (middle > low) & (middle < high) & (mean_c > cold) & (mean_c < hot)
    i, j, middle, mean_c = i[good], j[good], middle[good], mean_c[good]
    seconds = (samples.time_us[j] - samples.time_us[i]) * 1e-6
    if seconds.size:
        short = seconds <= 1.5 * np.quantile(seconds, 0.1)
        i, j, middle, mean_c, seconds = i[short], j[short], middle[short], mean_c[short], seconds[short]
    amps, amps1 = samples.current_a[i], samples.current_a[j]
    moved = 0.5 * (amps + amps1) * seconds * 1e6 / US_PER_HOUR / pack.capacity_ah
    ocv = pack.ocv.voltage_v(middle + 0.5 * moved) - pack.ocv.voltage_v(middle - 0.5 * moved)
    volt = samples.voltage_v[j] - samples.voltage_v[i] - pack.n_series * ocv
    return Steps(samples.time_us[i], volt, amps1 - amps, mean_c, np.asarray(seconds, np.float64))


def resistance_readings(samples: Samples, runs: Runs, pack: Pack, home: Path | None = None) -> list[ResistanceReading]:
    """A vehicle's readings in time order, one a month with enough steps.

    Returns
    -------
    list[ResistanceReading]
        Empty where steps are too few or say nothing.
    """
    e = entry("resistance", "readings", home)
    s = current_steps(samples, runs, pack, home)
    least = int(e.number("least_steps"))
    if s.time_us.size < least:
        return []
    month = s.time_us.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)
    width = e.number("temp_bin_k")
    cell = month * 1000 + np.floor(s.temp_c / width).astype(np.int64)
    names, group = np.unique(cell, return_inverse=True)
    n = np.bincount(group)
    power = np.bincount(group, s.current_a**2)
    ohm = np.bincount(group, s.voltage_v * s.current_a) / power
    left = np.bincount(group, (s.voltage_v - ohm[group] * s.current_a) ** 2)
    keep = (n >= max(least // 4, 3)) & (ohm > 0)
    if not keep.any():
        return []
    sigma = np.sqrt(left[keep] / np.maximum(n[keep] - 1, 1) / power[keep]) / ohm[keep]
    kelvin = np.bincount(group, s.temp_c)[keep] / n[keep] + _KELVIN
    floor = e.number("bin_sigma_frac")
    of_month, months = np.unique(names[keep] // 1000, return_inverse=True)
    weight = 1.0 / (sigma**2 + floor**2)
    x = 1.0 / kelvin - 1.0 / REFERENCE_K
    # Normal equations of log R = a_month + b x, with the prior of b.
    m = of_month.shape[0]
    prior, prior_sigma = e.number("activation_k"), e.number("activation_sigma_k")
    design = np.zeros((keep.sum(), m + 1))
    design[np.arange(keep.sum()), months] = 1.0
    design[:, m] = x
    matrix = design.T @ (design * weight[:, None])
    right = design.T @ (weight * np.log(ohm[keep]))
    matrix[m, m] += prior_sigma**-2.0
    right[m] += prior * prior_sigma**-2.0
    covariance = np.linalg.inv(matrix)
    fitted = covariance @ right
    excess = np.sum(weight * (np.log(ohm[keep]) - design @ fitted) ** 2) / max(keep.sum() - m - 1, 1)
    error = np.sqrt(np.diag(covariance)[:m] * max(float(excess), 1.0))
    out = []
    for k in range(m):
        mine = month == of_month[k]
        if int(mine.sum()) < least:
            continue
        r = float(np.exp(fitted[k]))
        out.append(
            ResistanceReading(
                int(np.mean(s.time_us[mine].astype(np.float64))),
                r,
                r * float(error[k]),
                e.number("shared_sigma_frac"),
                float(np.mean(s.temp_c[mine])),
                float(np.median(s.seconds[mine])),
                int(mine.sum()),
            )
        )
    return out
