"""State of health as the BMS shows it: one reading a month, marked as reported, never a measurement of ours."""

from __future__ import annotations

import numpy as np

from models.domain import Pack
from models.sessions import Rules, Samples
from models.soh import Reading


def displayed_readings(samples: Samples, pack: Pack, rule: Rules) -> list[Reading]:
    """One reading a calendar month (UTC): the median of the displayed states of health.

    Its error is the scatter between BMSs, all of it shared by the car's readings; a display of whole percents adds its
    rounding. What a maker shows may be capped, delayed or seasonal (flobz/psa_car_controller#854).
    """
    known = np.flatnonzero(np.isfinite(samples.soh_frac))
    if known.shape[0] == 0:
        return []
    time, soh = samples.time_us[known], samples.soh_frac[known]
    month = (time // 1_000_000).astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)
    shared = rule("capacity", "bms_scatter_frac")
    out: list[Reading] = []
    for m in np.unique(month):
        rows = np.flatnonzero(month == m)
        value = float(np.median(soh[rows]))
        temps = samples.battery_temp_c[known[rows]]
        temp = float(temps[np.isfinite(temps)].mean()) if np.isfinite(temps).any() else float("nan")
        middle = int(time[rows[rows.shape[0] // 2]])
        sigma = float(np.hypot(shared, 0.01 / np.sqrt(12.0)))
        out.append(
            Reading(middle, "bms_soh", value, sigma, shared, value * pack.capacity_ah, 1.0, temp, True, rows.shape[0])
        )
    return out
