"""Dispatched years as duty: currents, temperature and state of charge that the laws of ageing take."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from models.domain import Duty, FloatArray, Pack, RepresentativeYear, Use
from models.packs import energy_curve
from models.thermal import cell_temperature

if TYPE_CHECKING:
    from models.dispatch import Dispatched

DRIVE_KW = 7.4
"""Least mean power of a drive at the battery: 46.5 km/h (WLTC class 3b, UN GTR 15) at 160 Wh/km; steps of 15 minutes
hold less where a drive fills them in part. [kW]"""
DUTY_START = np.datetime64("2001-01-01T00:00:00", "us")  # a Monday: step 0 of a representative year, local time


@lru_cache(maxsize=64)
def _window_energy(pack: Pack) -> tuple[FloatArray, FloatArray]:
    """Displayed SOC and share of the usable energy below it, both increasing from 0 to 1."""
    inside = (pack.ocv.cell_soc_frac > pack.window_low_frac) & (pack.ocv.cell_soc_frac < pack.window_high_frac)
    soc = np.concatenate([[pack.window_low_frac], pack.ocv.cell_soc_frac[inside], [pack.window_high_frac]])
    share = np.interp(soc, pack.ocv.cell_soc_frac, energy_curve(pack.ocv))
    return (soc - soc[0]) / (soc[-1] - soc[0]), (share - share[0]) / (share[-1] - share[0])


def energy_of_soc(pack: Pack, soc_frac: FloatArray | float) -> FloatArray:
    """Share of the usable energy below displayed states of charge. [1]"""
    soc, share = _window_energy(pack)
    return np.asarray(np.interp(soc_frac, soc, share))


def soc_of_energy(pack: Pack, share_frac: FloatArray) -> FloatArray:
    """Displayed state of charge at shares of the usable energy (clipped to 0..1). [1]"""
    soc, share = _window_energy(pack)
    return np.interp(share_frac, share, soc)


def window_energy(pack: Pack) -> tuple[FloatArray, FloatArray]:
    """Displayed state of charge and share of the usable energy below it, both increasing from 0 to 1, shape (n,)."""
    return _window_energy(pack)


def duty_of(dispatched: Dispatched, year: RepresentativeYear, pack: Pack, step_minutes: int = 60) -> Duty:
    """What the battery goes through in a dispatched year.

    Currents are energies over the step's mean open-circuit voltage, so that they add up to the change of the cell's
    state of charge exactly; heat is the resistance times the mean square current of the fine steps; the temperature
    is `thermal.cell_temperature`, started in the middle of the year's first day. The current while it flows is that of
    the fine steps, of drives at least that of `DRIVE_KW`.

    Parameters
    ----------
    step_minutes
        A multiple of the dispatch's step that divides a day. [min]

    Returns
    -------
    Duty
        364 whole local days from Monday, 2001-01-01 in standard time; ``filled`` is 2 (modelled) throughout.

    Raises
    ------
    ValueError
        The steps don't fit into each other.
    """
    fine = dispatched.step_minutes
    if step_minutes % fine or (24 * 60) % step_minutes:
        raise ValueError(f"step_minutes must be a multiple of {fine} that divides a day, got {step_minutes}.")
    per = step_minutes // fine
    capacity_ah = pack.capacity_ah * dispatched.capacity_frac
    steps = dispatched.drive_kwh.size // per
    cell_soc, amps, square, flow_a = np.empty(steps + 1), np.zeros((steps, len(Use))), np.empty(steps), np.empty(steps)
    ambient_c = np.empty(steps)
    _currents(
        dispatched.energy_kwh, dispatched.soc_frac, pack.window_low_frac, pack.window_high_frac - pack.window_low_frac,
        pack.ocv.cell_soc_frac, pack.ocv.ocv_v, float(pack.n_series), dispatched.drive_kwh, dispatched.charge_kwh,
        dispatched.away_charge_kwh, dispatched.export_kwh, year.ambient_c, capacity_ah, fine / 60, per, cell_soc, amps,
        square, flow_a, ambient_c,
    )  # fmt: skip
    day = 24 * 60 // step_minutes
    return Duty(
        start_utc=DUTY_START - np.timedelta64(round(year.utc_offset_hours * 60), "m"),
        step_minutes=step_minutes,
        cell_soc_frac=cell_soc,
        temp_c=cell_temperature(
            ambient_c, square * pack.resistance_ohm, pack, step_minutes, float(ambient_c[:day].mean())
        ),
        current_a=amps,
        capacity_ah=capacity_ah,
        filled=np.full(ambient_c.size, 2, np.uint8),
        flow_a=flow_a,
    )


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _place(x, xs, near):  # pragma: no cover
    """Interval of an increasing grid that holds x, searched from `near`; the outermost ones beyond it."""
    while near > 0 and x < xs[near]:
        near -= 1
    while near < xs.shape[0] - 2 and x >= xs[near + 1]:
        near += 1
    return near


@njit(cache=True, nogil=True, error_model="numpy")
def _currents(
    energy, soc, low, wide, curve_soc, curve_v, series, drive, charge, away, export, air_c, capacity_ah, hours, per,
    cell_soc, amps, square, flow_a, ambient_c,
):  # fmt: skip  # pragma: no cover
    """Fine steps to those of a duty; fills the last row of arguments. Steps without any current cost nothing."""
    last, at = curve_soc.shape[0] - 1, 0
    for k in range(flow_a.shape[0]):
        cell_soc[k] = low + soc[k * per] * wide
        heat, flow, moved, air = 0.0, 0.0, 0.0, 0.0
        for t in range(k * per, (k + 1) * per):
            air += air_c[t]
            if drive[t] == 0.0 and charge[t] == 0.0 and away[t] == 0.0 and export[t] == 0.0:
                continue
            start, end = low + soc[t] * wide, low + soc[t + 1] * wide
            middle = min(max((end + start) / 2, curve_soc[0]), curve_soc[last])
            at = _place(middle, curve_soc, at)
            slope = (curve_v[at + 1] - curve_v[at]) / (curve_soc[at + 1] - curve_soc[at])
            mid_v = series * (slope * (middle - curve_soc[at]) + curve_v[at])
            net = energy[t + 1] - energy[t]
            per_kwh = 1000.0 / mid_v
            if abs(net) > 1e-6:
                per_kwh = (end - start) * capacity_ah / net
            scale = per_kwh / hours
            d, c, x = -drive[t] * scale, (charge[t] + away[t]) * scale, -export[t] * scale
            amps[k, 0] += d / per
            amps[k, 1] += c / per
            amps[k, 2] += x / per
            total = d + c + x
            heat += total * total / per
            flow += abs(d) * max(abs(d), 1000.0 * DRIVE_KW / mid_v) + c * c + x * x
            moved += abs(d) + abs(c) + abs(x)
        square[k], ambient_c[k] = heat, air / per
        flow_a[k] = flow / moved if moved > 0.0 else flow
    cell_soc[flow_a.shape[0]] = low + soc[flow_a.shape[0] * per] * wide


@njit(cache=True, nogil=True, error_model="numpy")
def at_meter(
    energy, usable, shares, socs, charge, export, charge_efficiency, export_efficiency, standby_kwh, soc, meter_in,
    meter_out,
):  # fmt: skip  # pragma: no cover
    """Displayed state of charge, and what the meter sees of charge and export; fills the last three arguments."""
    last, at = shares.shape[0] - 1, 0
    before = np.nan
    for t in range(energy.shape[0]):
        if t > 0 and energy[t] == before:
            soc[t] = soc[t - 1]
            continue
        before = energy[t]
        x = before / usable
        if x <= shares[0]:
            soc[t] = socs[0]
        elif x >= shares[last]:
            soc[t] = socs[last]
        else:
            at = _place(x, shares, at)
            soc[t] = (socs[at + 1] - socs[at]) / (shares[at + 1] - shares[at]) * (x - shares[at]) + socs[at]
    for t in range(charge.shape[0]):
        meter_in[t] = charge[t] / charge_efficiency + standby_kwh if charge[t] > 0.0 else 0.0
        meter_out[t] = max(export[t] * export_efficiency - standby_kwh, 0.0) if export[t] > 0.0 else 0.0
