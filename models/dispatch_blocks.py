"""Plug-in windows of a representative year, cut into blocks and sorted by price: what does not depend on the policy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from models.domain import BoolArray, Charger, FloatArray, IntArray, RepresentativeYear
from models.kept import kept
from models.representative import no_export_twin

USUAL_TOP = 0.98  # the car is below what its driver fills up to for this share of the time


@dataclass(frozen=True, eq=False)
class Blocks:
    """What a dispatch needs of a year and a charger, whatever the policy.

    Parameters
    ----------
    blocks
        Begin, end, window and whether the car leaves at the end, shape (b, 4).
    holds
        Whether a block has steps with driving or charge elsewhere, surplus sun, an outage, the tariff's peak, (b, 4).
    need_kwh
        What a window must hand to the driving after it, shape (windows,). [kWh]
    sun_after_kwh, grid_after_kwh
        What surplus sun, and what full power, can bring from a block's end to its window's end, shape (b,). [kWh]
    cheap, dear
        Steps sorted within each block: cheapest first, the latest of equals; dearest first, the earliest of equals.
    resid_kw
        House load that sun does not cover (all of it in an outage), shape (n,). [kW]
    sun_kwh, full_kwh
        What surplus sun, and what full power, can bring into the battery in a step, shape (n,). [kWh]
    """

    blocks: IntArray
    holds: BoolArray
    need_kwh: FloatArray
    sun_after_kwh: FloatArray
    grid_after_kwh: FloatArray
    cheap: IntArray
    dear: IntArray
    resid_kw: FloatArray
    sun_kwh: FloatArray
    full_kwh: FloatArray


@njit(cache=True, nogil=True)
def find_windows(plugged):  # pragma: no cover
    """Begin and end of each run of plugged steps, shape (windows, 2)."""
    n = plugged.shape[0]
    out = np.empty((n // 2 + 1, 2), np.int64)
    k = 0
    t = 0
    while t < n:
        if plugged[t]:
            out[k, 0] = t
            while t < n and plugged[t]:
                t += 1
            out[k, 1] = t
            k += 1
        else:
            t += 1
    return out[:k].copy()


@njit(cache=True, nogil=True)
def trip_needs(windows, net_drive_kwh, charge_step_kwh, n):  # pragma: no cover
    """Energy a window must hand to the driving after it, with what short stops at home cannot give. [kWh]"""
    count = windows.shape[0]
    need = np.zeros(count)
    for w in range(count - 1, -1, -1):
        end = windows[w + 1, 0] if w + 1 < count else n
        total = 0.0
        peak = 0.0
        for t in range(windows[w, 1], end):
            total += net_drive_kwh[t]
            peak = max(peak, total)
        if w + 1 < count:
            given = 0.0
            for t in range(windows[w + 1, 0], windows[w + 1, 1]):
                given += charge_step_kwh[t] - net_drive_kwh[t]
            peak = max(peak, total + max(need[w + 1] - given, 0.0))
        need[w] = peak
    return need


@njit(cache=True, nogil=True)
def cut_blocks(windows, steps_per_day, n):  # pragma: no cover
    """Cut windows at local noon into blocks: begin, end, window, whether the car leaves at the end."""
    half = steps_per_day // 2
    rows = windows.shape[0] + n // steps_per_day + 2
    out = np.empty((rows, 4), np.int64)
    k = 0
    for w in range(windows.shape[0]):
        t = windows[w, 0]
        while t < windows[w, 1]:
            noon = ((t + half) // steps_per_day + 1) * steps_per_day - half
            end = min(noon, windows[w, 1])
            out[k, 0] = t
            out[k, 1] = end
            out[k, 2] = w
            out[k, 3] = 1 if end == windows[w, 1] and end < n else 0
            k += 1
            t = end
    return out[:k].copy()


@njit(cache=True, nogil=True)
def what_holds(blocks, drive_kwh, away_kwh, sun_kwh, outage, peak):  # pragma: no cover
    """Whether each block has steps with driving or charge elsewhere, surplus sun, an outage, the peak, shape (b, 4)."""
    out = np.zeros((blocks.shape[0], 4), np.bool_)
    for b in range(blocks.shape[0]):
        for t in range(blocks[b, 0], blocks[b, 1]):
            out[b, 0] |= (drive_kwh[t] != 0.0) | (away_kwh[t] != 0.0)
            out[b, 1] |= sun_kwh[t] > 0.0
            out[b, 2] |= outage[t]
            out[b, 3] |= peak[t]
    return out


@njit(cache=True, nogil=True)
def sort_steps(blocks, price):  # pragma: no cover
    """Steps of each block, cheapest first (the latest of equals) and dearest first (the earliest of equals)."""
    dear = np.arange(price.shape[0])
    cheap = np.arange(price.shape[0])
    for b in range(blocks.shape[0]):
        begin, end = blocks[b, 0], blocks[b, 1]
        for t in range(begin + 1, end):  # by insertion: prices come in few runs
            k = t
            while k > begin and price[dear[k - 1]] < price[t]:
                dear[k] = dear[k - 1]
                k -= 1
            dear[k] = t
        for k in range(end - begin):
            cheap[begin + k] = dear[end - 1 - k]
    return cheap, dear


def full_step_kwh(charger: Charger, dt: float) -> float:
    """What a step at full power brings into the battery, standby taken off. [kWh]"""
    return max(charger.charge_kw - charger.standby_kw, 0.0) * charger.charge_efficiency_frac * dt


@kept
def prepare(year: RepresentativeYear, charger: Charger) -> Blocks:
    """What does not depend on the policy."""
    dt = year.step_minutes / 60
    n, spd = year.steps, 24 * 60 // year.step_minutes
    may = year.plugged & ~year.outage
    full = np.where(may, full_step_kwh(charger, dt), 0.0)
    surplus_kw = np.minimum(np.maximum(year.pv_kw - year.load_kw, 0.0), charger.charge_kw)
    sun = np.maximum(surplus_kw - charger.standby_kw, 0.0) * charger.charge_efficiency_frac * dt
    sun = np.where(may, np.minimum(sun, full), 0.0)
    resid = np.where(year.outage, year.load_kw, np.maximum(year.load_kw - year.pv_kw, 0.0))
    windows = find_windows(year.plugged)
    blocks = cut_blocks(windows, spd, n)
    sun_after, grid_after = (_after(kwh, windows, blocks) for kwh in (sun, full))
    cheap, dear = sort_steps(blocks, year.import_money_per_kwh)
    return Blocks(
        blocks=blocks,
        holds=what_holds(blocks, year.drive_kwh, year.away_charge_kwh, sun, year.outage, year.peak),
        need_kwh=trip_needs(windows, year.drive_kwh - year.away_charge_kwh, full, n),
        sun_after_kwh=sun_after,
        grid_after_kwh=grid_after,
        cheap=cheap,
        dear=dear,
        resid_kw=resid,
        sun_kwh=sun,
        full_kwh=full,
    )


def _after(kwh: FloatArray, windows: IntArray, blocks: IntArray) -> FloatArray:
    sums = np.concatenate([[0.0], np.cumsum(kwh)])
    return sums[windows[blocks[:, 2], 1]] - sums[blocks[:, 1]]


@kept
def recorded_top_kwh(year: RepresentativeYear) -> float:
    """What the driver fills up to over the energy at the year's beginning. [kWh]"""
    net = year.away_charge_kwh - year.drive_kwh + year.recorded_charge_kwh - year.recorded_export_kwh
    rank = int(USUAL_TOP * (year.steps - 1))
    return float(np.partition(np.cumsum(net), rank)[rank])


@kept
def outages_of(year: RepresentativeYear) -> tuple[IntArray, FloatArray]:
    """Steps of the year's outages and the house's load in them. [kWh]"""
    steps = np.flatnonzero(year.outage)
    return steps, year.load_kw[steps] * (year.step_minutes / 60)


twin_of = kept(no_export_twin)  # dispatched at several capacities
