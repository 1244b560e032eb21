"""Rested points: where a terminal voltage tells the state of charge without the BMS."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from models.domain import FloatArray, IntArray, OcvCurve, Pack
from models.sessions import US_PER_HOUR, Rules, Runs, Samples


@dataclass(frozen=True, eq=False)
class CellCurve:
    """What is known of a cell's OCV: whether at all, and how well (``parameters/cells.toml``). [V]"""

    known: bool
    sigma_v: float


@dataclass(frozen=True, eq=False)
class Anchors:
    """Rested points of one vehicle, in time order.

    Parameters
    ----------
    position
        Place among the accepted samples, shape (n,).
    time_us, temp_c
        Shape (n,).
    cell_soc_frac
        By the inverse of the OCV curve, shape (n,). [1]
    sigma_frac
        From voltage noise, each anchor anew, shape (n,). [1]
    curve_sigma_frac
        From the curve's error, shared by anchors at like SOC, shape (n,). [1]
    """

    position: IntArray
    time_us: IntArray
    temp_c: FloatArray
    cell_soc_frac: FloatArray
    sigma_frac: FloatArray
    curve_sigma_frac: FloatArray

    @property
    def size(self) -> int:
        """Number of anchors."""
        return int(self.time_us.shape[0])


@njit(cache=True, nogil=True)
def _rests(index, time_us, current, joined, small, least_us, first, last):  # pragma: no cover
    """First and last sample of every stretch at rest long enough; returns how many."""
    found, begin, n = 0, -1, index.shape[0]
    for i in range(n):
        quiet = abs(current[index[i]]) < small
        if quiet and begin < 0:
            begin = i
        ends = begin >= 0 and (not quiet or i == n - 1 or not joined[i])
        if ends:
            stop = i if quiet else i - 1
            if time_us[index[stop]] - time_us[index[begin]] >= least_us:
                first[found], last[found] = begin, stop
                found += 1
            begin = -1
    return found


@njit(cache=True, nogil=True)
def _cell_voltages(index, volt, current, ohm, n_series, out):  # pragma: no cover
    """Open-circuit voltage of a cell at each accepted sample, were it at rest."""
    for i in range(index.shape[0]):
        j = index[i]
        out[i] = (volt[j] - current[j] * ohm) / n_series


@njit(cache=True, nogil=True)
def _sums(value, mean, first, last, out):  # pragma: no cover
    """Sum of value - mean from first to last of each stretch, as a difference of one sum that goes on."""
    total, at = 0.0, 0
    for k in range(first.shape[0]):
        while at < first[k]:
            total += value[at] - mean
            at += 1
        begin = total
        while at <= last[k]:
            total += value[at] - mean
            at += 1
        out[k] = total - begin


def rested_points(samples: Samples, runs: Runs, pack: Pack, curve: CellCurve, rule: Rules) -> Anchors:
    """Anchors: the end of every rest of two hours and more, as open-circuit voltage per cell.

    The voltages since the rest was long enough are averaged (corrected by I·R) and put through the inverse OCV curve;
    sigma is voltage noise over slope. Anchors known worse than ``anchor_sigma_frac`` are left out; of LFP cells only
    those near full and near empty stay.
    """
    index = runs.index
    none = np.zeros(0)
    if not curve.known or index.shape[0] < 2:
        return Anchors(np.zeros(0, np.int64), np.zeros(0, np.int64), none, none, none, none)
    first, last = np.empty(index.shape[0], np.int64), np.empty(index.shape[0], np.int64)
    least_us = int(rule("capacity", "rest_hours") * US_PER_HOUR)
    small = rule("cut", "rest_c_rate") * pack.capacity_ah
    found = _rests(index, samples.time_us, samples.current_a, runs.joined, small, least_us, first, last)
    first, last = first[:found], last[:found]
    time = runs.of(samples.time_us)
    ready = np.searchsorted(time, time[first] + least_us)
    cell_v, moved_v = np.empty(index.shape[0]), np.empty(found)
    _cell_voltages(index, samples.voltage_v, samples.current_a, pack.resistance_ohm, pack.n_series, cell_v)
    mean_v = cell_v.mean()
    _sums(cell_v, mean_v, ready, last, moved_v)
    count = last - ready + 1
    ocv = moved_v / count + mean_v
    soc = pack.ocv.soc(ocv)
    slope = np.maximum(slope_of(pack.ocv, soc), 1e-6)
    # Half of the noise is the sensor's own and does not average out within a rest.
    noise = rule("capacity", "voltage_sigma_v") * np.sqrt(0.5 + 0.5 / count)
    sigma, curve_sigma = noise / slope, curve.sigma_v / slope
    # Beyond the ends of the curve a voltage says nothing.
    inside = (ocv > pack.ocv.ocv_v[0]) & (ocv < pack.ocv.ocv_v[-1])
    good = inside & (np.hypot(sigma, curve_sigma) < rule("capacity", "anchor_sigma_frac"))
    if pack.chemistry == "lfp":
        good &= (soc > rule("capacity", "lfp_high_soc_frac")) | (soc < rule("capacity", "lfp_low_soc_frac"))
    temp = samples.battery_temp_c[index[last[good]]]
    return Anchors(last[good], time[last[good]], temp, soc[good], sigma[good], curve_sigma[good])


def slope_of(ocv: OcvCurve, soc: FloatArray) -> FloatArray:
    """dOCV/dSOC smoothed over 4 % of SOC, so that a step of the table is not taken for knowledge. [V]"""
    hi, lo = np.minimum(soc + 0.02, 1.0), np.maximum(soc - 0.02, 0.0)
    return (ocv.voltage_v(hi) - ocv.voltage_v(lo)) / (hi - lo)
