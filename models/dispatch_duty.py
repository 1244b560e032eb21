"""Dispatched years as duty: currents, temperature and state of charge that the laws of ageing take."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from models.domain import BoolArray, Duty, FloatArray, IntArray, Pack, RepresentativeYear, Use
from models.kept import kept
from models.packs import energy_curve
from models.thermal import lump_rates, lump_step

if TYPE_CHECKING:
    from models.dispatch import Dispatched

DRIVE_KW = 7.4
"""Least mean power of a drive at the battery: 46.5 km/h (WLTC class 3b, UN GTR 15) at 160 Wh/km; steps of 15 minutes
hold less where a drive fills them in part. [kW]"""
PLACES = 1024  # about as many as a curve has points: a step or two from the interval looked for
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


@lru_cache(maxsize=64)
def _slopes(pack: Pack) -> FloatArray:
    return np.asarray(np.diff(pack.ocv.ocv_v) / np.diff(pack.ocv.cell_soc_frac), dtype=float)


@lru_cache(maxsize=64)
def _soc_curve(pack: Pack) -> tuple[FloatArray, FloatArray, FloatArray, IntArray]:
    """Shares of the usable energy, displayed SOC, its slope, and the interval at each of `PLACES` equal steps."""
    soc, share = _window_energy(pack)
    places = np.searchsorted(share, np.linspace(0.0, 1.0, PLACES + 1), side="right") - 1
    return share, soc, np.diff(soc) / np.diff(share), np.clip(places, 0, share.size - 2)


def displayed_soc(pack: Pack, energy_kwh: FloatArray, usable_kwh: float) -> tuple[FloatArray, BoolArray]:
    """Displayed state of charge along a year's energy (`soc_of_energy` of its shares), and where the energy changes.

    Returns
    -------
    tuple of ndarray
        Shape (n + 1,) [1], and whether a step changes the energy, shape (n,).
    """
    soc, changes = np.empty(energy_kwh.size), np.empty(energy_kwh.size - 1, dtype=np.bool_)
    _displayed(energy_kwh, usable_kwh, *_soc_curve(pack), soc, changes)
    return soc, changes


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
    air_c, start_c = _air(year, step_minutes)
    decay, share = lump_rates(pack, step_minutes)
    cell_soc, amps, flow_a, temp_c = np.empty(steps + 1), np.empty((steps, len(Use))), np.empty(steps), np.empty(steps)
    _currents(
        dispatched.energy_kwh, dispatched.soc_frac, pack.window_low_frac, pack.window_high_frac - pack.window_low_frac,
        pack.ocv.cell_soc_frac, pack.ocv.ocv_v, _slopes(pack), float(pack.n_series), dispatched.busy,
        dispatched.drive_kwh, dispatched.charge_kwh, dispatched.away_charge_kwh, dispatched.export_kwh, capacity_ah,
        60 / fine, per, air_c, start_c, pack.resistance_ohm, pack.cooling_w_per_k, decay, share, cell_soc, amps, flow_a,
        temp_c,
    )  # fmt: skip
    return Duty(
        start_utc=DUTY_START - np.timedelta64(round(year.utc_offset_hours * 60), "m"),
        step_minutes=step_minutes,
        cell_soc_frac=cell_soc,
        temp_c=temp_c,
        current_a=amps,
        capacity_ah=capacity_ah,
        filled=np.full(steps, 2, np.uint8),
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
    energy, soc, low, wide, curve_soc, curve_v, slopes, series, busy, drive, charge, away, export, capacity_ah, rate,
    per, air_c, temp, resistance, cooling, decay, share, cell_soc, amps, flow_a, temp_c,
):  # fmt: skip  # pragma: no cover
    """Fine steps to those of a duty; fills the last four arguments. Steps without any current cost next to nothing.

    The voltage is looked up where it counts only: where energy hardly changes, and while driving.
    """
    last, at = curve_soc.shape[0] - 1, 0
    for k in range(flow_a.shape[0]):
        first = k * per
        cell_soc[k] = low + soc[first] * wide
        heat, flow, moved, driven, charged, exported = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for t in range(first, first + per):
            if not busy[t]:
                continue
            start, end = low + soc[t] * wide, low + soc[t + 1] * wide
            net = energy[t + 1] - energy[t]
            mid_v = 0.0
            if drive[t] != 0.0 or abs(net) <= 1e-6:
                middle = min(max((end + start) / 2, curve_soc[0]), curve_soc[last])
                at = _place(middle, curve_soc, at)
                mid_v = series * (slopes[at] * (middle - curve_soc[at]) + curve_v[at])
            per_kwh = (end - start) * capacity_ah / net if abs(net) > 1e-6 else 1000.0 / mid_v
            scale = per_kwh * rate
            d, c, x = -drive[t] * scale, (charge[t] + away[t]) * scale, -export[t] * scale
            driven += d
            charged += c
            exported += x
            total = d + c + x
            heat += total * total
            pulled = abs(d) * max(abs(d), 1000.0 * DRIVE_KW / mid_v) if d != 0.0 else 0.0
            flow += pulled + c * c + x * x
            moved += abs(d) + abs(c) + abs(x)
        amps[k, 0], amps[k, 1], amps[k, 2], amps[k, 3] = driven / per, charged / per, exported / per, 0.0
        flow_a[k] = flow / moved if moved > 0.0 else flow
        temp_c[k], temp = lump_step(temp, air_c[k], heat / per * resistance, cooling, decay, share)
    cell_soc[flow_a.shape[0]] = low + soc[flow_a.shape[0] * per] * wide


@kept
def _air(year: RepresentativeYear, step_minutes: int) -> tuple[FloatArray, float]:
    """Air temperature in steps of this length and its mean on the first day. [°C]"""
    per = step_minutes // year.step_minutes
    fine = year.ambient_c[: year.steps // per * per].reshape(-1, per)
    air_c = np.zeros(fine.shape[0])
    for column in fine.T:  # in order of time, as everything is summed
        air_c += column
    air_c /= per
    return air_c, float(air_c[: 24 * 60 // step_minutes].mean())


@njit(cache=True, nogil=True, error_model="numpy")
def _displayed(energy, usable, shares, socs, slopes, places, soc, changes):  # pragma: no cover
    """Displayed state of charge and where it changes; a step that changes nothing costs nothing."""
    last, cells = shares.shape[0] - 1, places.shape[0] - 1
    before = now = np.nan
    for t in range(energy.shape[0]):
        other = energy[t] != before
        if t > 0:
            changes[t - 1] = other
        if other:
            before = energy[t]
            x = before / usable
            if x <= shares[0]:
                now = socs[0]
            elif x >= shares[last]:
                now = socs[last]
            else:
                at = _place(x, shares, places[int(x * cells)])
                now = slopes[at] * (x - shares[at]) + socs[at]
        soc[t] = now
