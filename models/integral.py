"""The trapezoid integral of current and power, exactly split at steps, at sign changes and between sessions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from models.domain import BoolArray, FloatArray, IntArray, Use
from models.sessions import Runs, Samples

IN, OUT = 0, 1


@dataclass(frozen=True, eq=False)
class Integral:
    """Charge and energy by step and by run; positive numbers, [.., 0] into and [.., 1] out of the battery (or the car).

    Parameters
    ----------
    step_ah, step_kwh
        By step and `Use`, shape (n, 4, 2). [A.h], [kWh]
    run_ah, run_kwh, run_meter_kwh
        By run, shape (r, 2). [A.h], [kWh], [kWh]
    covered_s
        Time integrated in each step, shape (n,). [s]
    square_a2s
        Integral of the squared current over each step, shape (n,). [A².s]
    flow_s
        Time in which current flows, by step and `Use`, shape (n, 4). [s]
    interval_ah
        Charge between each accepted sample and the next, positive charging, NaN across a gap, shape (m - 1,). [A.h]
    run_start_us, run_end_us
        Where a run begins and ends, shape (r,).
    """

    step_ah: FloatArray
    step_kwh: FloatArray
    run_ah: FloatArray
    run_kwh: FloatArray
    run_meter_kwh: FloatArray
    covered_s: FloatArray
    square_a2s: FloatArray
    flow_s: FloatArray
    interval_ah: FloatArray
    run_start_us: IntArray
    run_end_us: IntArray


@njit(cache=True, nogil=True)
def _part(u0, u1, length, y0, y1, t0, first_us, step_us, use, run, by_step, by_run, flow_s):  # pragma: no cover
    """Add the trapezoid between u0 and u1 seconds of an interval whose ends have y0 and y1 (no sign change inside)."""
    n = by_step.shape[0]
    k = (t0 + np.int64(u0 * 1e6) - first_us) // step_us
    a = u0
    while a < u1:
        b = ((first_us + (k + 1) * step_us) - t0) * 1e-6
        if b <= a:
            k += 1
            continue
        b = min(b, u1)
        ya = y0 + (y1 - y0) * (a / length)
        yb = y0 + (y1 - y0) * (b / length)
        area = 0.5 * (ya + yb) * (b - a) / 3600.0
        side = 0 if area >= 0 else 1
        size = abs(area)
        if by_step.shape[1] > 0 and 0 <= k < n:
            by_step[k, use, side] += size
            if flow_s.shape[0] > 0:
                flow_s[k, use] += b - a
        by_run[run, side] += size
        a = b
        k += 1


@njit(cache=True, nogil=True)
def _interval(y0, y1, length, t0, first_us, step_us, use, run, whole, by_step, by_run, flow_s):  # pragma: no cover
    """One interval: split at a sign change, each part for its own end's run; else all for the run of end `whole`."""
    if y0 * y1 < 0:
        u = length * (y0 / (y0 - y1))
        _part(0.0, u, length, y0, y1, t0, first_us, step_us, use[0], run[0], by_step, by_run, flow_s)
        _part(u, length, length, y0, y1, t0, first_us, step_us, use[1], run[1], by_step, by_run, flow_s)
    elif y0 != 0 or y1 != 0:
        _part(0.0, length, length, y0, y1, t0, first_us, step_us, use[whole], run[whole], by_step, by_run, flow_s)


@njit(cache=True, nogil=True)
def _whole(y0, y1, length, step, use, run, by_step, by_run):  # pragma: no cover
    """As `_interval` where the interval lies in one step and its ends do not differ in sign."""
    area = 0.5 * (y0 + (y0 + (y1 - y0))) * length / 3600.0
    side = 0 if area >= 0 else 1
    size = abs(area)
    by_step[step, use, side] += size
    by_run[run, side] += size


@njit(cache=True, nogil=True)
def _integrate(
    index, time_us, volt, amps, meter_kw, run, run_use, joined, first_us, step_us, step_ah, step_wh, run_ah, run_wh,
    run_meter, covered_s, square_a2s, flow_s, interval_ah, start_us, end_us,
):  # fmt: skip  # pragma: no cover
    none, untimed = np.empty((0, 0, 2)), np.empty((0, 0))
    use = np.empty(2, np.int64)
    owner = np.empty(2, np.int64)
    steps = covered_s.shape[0]
    step, end = -1, first_us  # the step of the last interval's begin, and the end of that step
    j1 = index[0]
    t1, i1, p1, m1 = time_us[j1], amps[j1], volt[j1] * amps[j1], meter_kw[j1]
    for i in range(index.shape[0] - 1):
        t0, i0, p0, m0 = t1, i1, p1, m1
        j1 = index[i + 1]
        t1, i1, p1, m1 = time_us[j1], amps[j1], volt[j1] * amps[j1], meter_kw[j1]
        r0, r1 = run[i], run[i + 1]
        if not joined[i]:
            interval_ah[i] = np.nan
            end_us[r0], start_us[r1] = t0, t1
            continue
        length = (t1 - t0) * 1e-6
        if length <= 0:
            continue
        whole = 1 if abs(i1) > abs(i0) else 0
        if t0 >= end or t0 < end - step_us:
            step = (t0 - first_us) // step_us
            end = first_us + (step + 1) * step_us
        one = t1 <= end and 0 <= step < steps
        r = r1 if whole == 1 else r0
        owner[0], owner[1] = r0, r1
        use[0], use[1] = run_use[r0], run_use[r1]
        if i0 == 0 and i1 == 0:
            interval_ah[i] = 0.0
        else:
            interval_ah[i] = 0.5 * (i0 + i1) * length / 3600.0
            if one and not i0 * i1 < 0:
                _whole(i0, i1, length, step, use[whole], r, step_ah, run_ah)
                flow_s[step, use[whole]] += length
            else:
                _interval(i0, i1, length, t0, first_us, step_us, use, owner, whole, step_ah, run_ah, flow_s)
        if one and not p0 * p1 < 0:
            if p0 != 0 or p1 != 0:
                _whole(p0, p1, length, step, use[whole], r, step_wh, run_wh)
        else:
            _interval(p0, p1, length, t0, first_us, step_us, use, owner, whole, step_wh, run_wh, untimed)
        if not (np.isnan(m0) or np.isnan(m1)):
            _interval(m0, m1, length, t0, first_us, step_us, use, owner, whole, none, run_meter, untimed)
        if r0 != r1:
            edge = t0 if whole == 1 else t1
            if i0 * i1 < 0:
                edge = t0 + np.int64(length * (i0 / (i0 - i1)) * 1e6)
            end_us[r0], start_us[r1] = edge, edge
        square = (i0 * i0 + i0 * i1 + i1 * i1) / 3.0
        if one:
            covered_s[step] += length
            square_a2s[step] += square * (t1 - t0) * 1e-6
            continue
        k0, k1 = (t0 - first_us) // step_us, (t1 - first_us) // step_us
        for k in range(max(k0, 0), min(k1, steps - 1) + 1):
            lo = max(t0, first_us + k * step_us)
            hi = min(t1, first_us + (k + 1) * step_us)
            covered_s[k] += (hi - lo) * 1e-6
            square_a2s[k] += square * (hi - lo) * 1e-6


def integrate(samples: Samples, runs: Runs, first_us: int, steps: int, step_minutes: int) -> Integral:
    """Integrate the accepted samples of one vehicle.

    Between two accepted samples current and power (voltage times current) run straight; intervals that `runs` marks
    as gaps add nothing. Sums over steps equal the plain trapezoid sums (see `check_sums`).

    Parameters
    ----------
    first_us, steps, step_minutes
        Grid of the duty: its beginning, number of steps, and their length. [us], [1], [min]
    """
    index = runs.index
    m, r, step_us = index.shape[0], runs.use.shape[0], step_minutes * 60_000_000
    out = Integral(
        np.zeros((steps, len(Use), 2)), np.zeros((steps, len(Use), 2)), np.zeros((r, 2)), np.zeros((r, 2)),
        np.zeros((r, 2)), np.zeros(steps), np.zeros(steps), np.zeros((steps, len(Use))), np.zeros(max(m - 1, 0)),
        np.zeros(r, np.int64), np.zeros(r, np.int64),
    )  # fmt: skip
    if m:
        out.run_start_us[0], out.run_end_us[-1] = samples.time_us[index[[0, -1]]]
        _integrate(
            index, samples.time_us, samples.voltage_v, samples.current_a, samples.power_kw, runs.run,
            runs.use.astype(np.int64), runs.joined, first_us, step_us, out.step_ah, out.step_kwh, out.run_ah,
            out.run_kwh, out.run_meter_kwh, out.covered_s, out.square_a2s,
            out.flow_s, out.interval_ah, out.run_start_us, out.run_end_us,
        )  # fmt: skip
        np.multiply(out.step_kwh, 1e-3, out=out.step_kwh)
        np.multiply(out.run_kwh, 1e-3, out=out.run_kwh)
    return out


def plain_sums(samples: Samples, runs: Runs) -> tuple[FloatArray, FloatArray]:
    """Trapezoid sums of the accepted samples without steps: into and out of the battery, shape (2,) each. [A.h], [kWh]

    Computed another way than `integrate` (vectorised, no grid), so that the one checks the other.
    """
    index = runs.index
    hours = np.diff(samples.time_us[index]) * 1e-6 / 3600.0
    current = samples.current_a[index]
    return _signed(current, hours, runs.joined), _signed(samples.voltage_v[index] * current * 1e-3, hours, runs.joined)


def _signed(y: FloatArray, hours: FloatArray, joined: BoolArray) -> FloatArray:
    y0, y1, h = y[:-1][joined], y[1:][joined], hours[joined]
    parts = 0.5 * (y0 + y1) * h
    # Where the sign changes within an interval each part counts for itself.
    cross = np.flatnonzero(y0 * y1 < 0)
    a, b, hours_of = y0[cross], y1[cross], h[cross]
    share = np.abs(a) / np.abs(a - b)
    parts[cross] = 0.5 * a * share * hours_of
    second = 0.5 * b * (1.0 - share) * hours_of
    into = np.maximum(parts, 0.0).sum() + np.maximum(second, 0.0).sum()
    out = np.minimum(parts, 0.0).sum() + np.minimum(second, 0.0).sum()
    return np.array([into, -out])


def check_sums(integral: Integral, samples: Samples, runs: Runs) -> float:
    """Largest relative difference between the sums over steps and the plain trapezoid sums (charge and energy). [1]"""
    worst = 0.0
    for by_step, plain in zip((integral.step_ah, integral.step_kwh), plain_sums(samples, runs), strict=True):
        total = by_step.sum(axis=(0, 1))
        size = max(float(plain.sum()), 1e-12)
        worst = max(worst, float(np.abs(total - plain).max()) / size)
    return worst
