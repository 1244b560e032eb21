"""Sessions and samples to duty: state of charge, cell temperature and current by use, hour by hour.

Measured charge and energy stay what the trapezoid sums say. What a gap hides is never put among them: it shows in
``soc_residual_ah`` and is filled only in the `Duty` that the laws of ageing read, marked as filled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.domain import BoolArray, Duty, FloatArray, IntArray, Pack, Use
from models.integral import IN, OUT, Integral
from models.knots import interp_known
from models.sessions import US_PER_DAY, US_PER_HOUR, Rules, Samples, Session
from models.thermal import fill_temperature

MEASURED, INTERPOLATED, MODELLED = 0, 1, 2
# A step whose samples cover less than this is filled.
COVERED_FRAC = 0.9
# A change of SOC that the measured current leaves open is put into a filled step above this share of the capacity.
FILL_FRAC = 0.005
WEEK_HOURS = 7 * 24
WEEKS_TO_LOOK = 8
TEMP_GAP_HOURS = 6


@dataclass(frozen=True, eq=False)
class Steps:
    """Rows of ``core_duty_step`` of one vehicle.

    Parameters
    ----------
    first_us, step_minutes
        Beginning of the first step, length of a step.
    cell_soc_frac
        At the step boundaries, shape (n + 1,). [1]
    temp_c, temp_modelled
        Shape (n,). [°C]
    ah, kwh
        Measured, by step, `Use` and direction (into, out of the battery), shape (n, 4, 2). [A.h], [kWh]
    soc_residual_ah
        Change of SOC times capacity minus the integral of current, shape (n,). [A.h]
    capacity_ah
        Present capacity the SOC refers to. [A.h]
    filled
        0 measured, 1 interpolated, 2 modelled, shape (n,).
    flow_a
        Current while it flows (see `models.domain.Duty`), NaN where none did, shape (n,). [A]
    """

    first_us: int
    step_minutes: int
    cell_soc_frac: FloatArray
    temp_c: FloatArray
    temp_modelled: BoolArray
    ah: FloatArray
    kwh: FloatArray
    soc_residual_ah: FloatArray
    capacity_ah: float
    filled: NDArray[np.uint8]
    flow_a: FloatArray

    @property
    def size(self) -> int:
        """Number of steps."""
        return int(self.filled.shape[0])


@njit(cache=True, nogil=True)
def _line_means(time_us, value, longest_us, first_us, step_us, total, covered):  # pragma: no cover
    n = time_us.shape[0]
    step, begin, end = -1, 0, 0  # the step the last line lay in
    left = 0
    while left < n and not np.isfinite(value[left]):
        left += 1
    for right in range(left + 1, n):
        if not np.isfinite(value[right]):
            continue
        t0, t1, v0, v1 = time_us[left], time_us[right], value[left], value[right]
        left = right
        if t1 <= t0 or t1 - t0 > longest_us:
            continue
        slope = (v1 - v0) / (t1 - t0) if v1 != v0 else 0.0
        if t0 >= begin and t1 <= end:
            total[step] += (v0 + slope * (0.5 * (t1 - t0))) * (t1 - t0)
            covered[step] += t1 - t0
            continue
        for k in range(max((t0 - first_us) // step_us, 0), min((t1 - first_us) // step_us, total.shape[0] - 1) + 1):
            step, begin, end = k, first_us + k * step_us, first_us + (k + 1) * step_us
            lo, hi = max(t0, begin), min(t1, end)
            if hi > lo:
                mid = v0 + slope * (0.5 * (lo - t0) + 0.5 * (hi - t0))
                total[k] += mid * (hi - lo)
                covered[k] += hi - lo


def step_means(
    time_us: IntArray, value: FloatArray, first_us: int, steps: int, step_minutes: int, longest_hours: float
) -> FloatArray:
    """Time-weighted mean of a logged value in each step; NaN where less than half of it is covered, shape (n,)."""
    total, covered = np.zeros(steps), np.zeros(steps)
    step_us = step_minutes * 60_000_000
    _line_means(time_us, value, int(longest_hours * US_PER_HOUR), first_us, step_us, total, covered)
    enough = covered >= 0.5 * step_us
    return np.where(enough, total / np.where(enough, covered, 1.0), np.nan)


def grid(first_us: int, last_us: int, step_minutes: int) -> tuple[int, int]:
    """Beginning and number of steps of the whole UTC days that hold a stretch of time."""
    start = first_us // US_PER_DAY * US_PER_DAY
    days = (max(last_us - 1, first_us) - start) // US_PER_DAY + 1
    return start, int(days * 24 * 60 // step_minutes)


def week_source(filled: NDArray[np.uint8], steps_per_week: int) -> IntArray:
    """For each modelled step the measured one at the same hour of the nearest other week, -1 where none, shape (n,)."""
    n = filled.shape[0]
    out = np.full(n, -1, dtype=np.int64)
    want = np.flatnonzero(filled == MODELLED)
    for week in range(1, WEEKS_TO_LOOK + 1):
        for shift in (-week * steps_per_week, week * steps_per_week):
            at = want + shift
            ok = (out[want] < 0) & (at >= 0) & (at < n)
            ok[ok] = filled[at[ok]] == MEASURED
            out[want[ok]] = at[ok]
    return out


def fill_marks(
    integral: Integral, samples: Samples, first_us: int, step_minutes: int, rule: Rules
) -> NDArray[np.uint8]:
    """Which steps are measured, interpolated (in gaps up to a day) or modelled (in longer ones), shape (n,)."""
    n, step_us = integral.covered_s.shape[0], step_minutes * 60_000_000
    out = np.zeros(n, dtype=np.uint8)
    open_steps = np.flatnonzero(integral.covered_s < COVERED_FRAC * step_us * 1e-6)
    if open_steps.shape[0] == 0:
        return out
    time_us = samples.time_us[samples.accepted]
    middle = first_us + open_steps * step_us + step_us // 2
    right = np.searchsorted(time_us, middle)
    far = np.iinfo(np.int64).max // 4
    before = np.where(right > 0, time_us[np.maximum(right - 1, 0)], middle - far)
    after = np.where(right < time_us.shape[0], time_us[np.minimum(right, time_us.shape[0] - 1)], middle + far)
    edge = (right == 0) | (right == time_us.shape[0])
    limit = rule("cut", "short_gap_hours") * US_PER_HOUR
    out[open_steps] = np.where(edge | (after - before <= limit), INTERPOLATED, MODELLED)
    return out


def flow_current(net_ah: FloatArray, flow_s: FloatArray) -> FloatArray:
    """Size of the current while it flows: each use's charge over its time, weighted by charge; NaN where none. [A]

    Parameters
    ----------
    net_ah, flow_s
        Charge moved [A.h] and time in which current flowed [s] by step and `Use`, shape (n, 4).
    """
    size = np.where(flow_s > 0.0, np.abs(net_ah), 0.0)
    moved = size.sum(axis=1)
    weighted = (size**2 / np.where(flow_s > 0.0, flow_s / 3600.0, 1.0)).sum(axis=1)
    return np.where(moved > 0.0, weighted / np.where(moved > 0.0, moved, 1.0), np.nan)


def _finish(steps: Steps, pack: Pack, measured_c: FloatArray, air_c: FloatArray, heat_w: FloatArray) -> Steps:
    known = measured_c[np.isfinite(measured_c)]
    start_c = float(known[0]) if known.shape[0] else float(air_c[:24].mean())
    temp_c = fill_temperature(measured_c, air_c, heat_w, pack, steps.step_minutes, start_c)
    net_ah = steps.ah[:, :, IN].sum(axis=1) - steps.ah[:, :, OUT].sum(axis=1)
    residual = np.diff(steps.cell_soc_frac) * steps.capacity_ah - net_ah
    return Steps(
        steps.first_us, steps.step_minutes, steps.cell_soc_frac, temp_c, np.isnan(measured_c), steps.ah, steps.kwh,
        residual, steps.capacity_ah, steps.filled, steps.flow_a,
    )  # fmt: skip


def steps_of_samples(
    samples: Samples,
    integral: Integral,
    first_us: int,
    step_minutes: int,
    pack: Pack,
    capacity_ah: float,
    air_c: FloatArray,
    rule: Rules,
) -> Steps:
    """Steps of a vehicle whose samples are logged.

    Parameters
    ----------
    integral
        On the grid of the steps.
    capacity_ah
        Present capacity. [A.h]
    air_c
        Air temperature of each step, used where the log has none, shape (n,). [°C]
    """
    n, step_us = integral.covered_s.shape[0], step_minutes * 60_000_000
    edges = first_us + np.arange(n + 1, dtype=np.int64) * step_us
    soc = pack.cell_soc(interp_known(edges, samples.time_us, samples.soc_frac))
    filled = fill_marks(integral, samples, first_us, step_minutes, rule)
    source = week_source(filled, WEEK_HOURS * 60 // step_minutes)
    take = np.flatnonzero(source >= 0)
    inside = take[(take > 0) & (filled[np.maximum(take - 1, 0)] == MODELLED)]
    soc[inside] = soc[source[inside]]
    logged_air = step_means(samples.time_us, samples.ambient_c, first_us, n, step_minutes, TEMP_GAP_HOURS)
    logged_c = step_means(samples.time_us, samples.battery_temp_c, first_us, n, step_minutes, TEMP_GAP_HOURS)
    air = np.where(np.isnan(logged_air), air_c, logged_air)
    heat = integral.square_a2s / (step_us * 1e-6) * pack.resistance_ohm
    bare = Steps(
        first_us, step_minutes, soc, logged_c, np.isnan(logged_c), integral.step_ah, integral.step_kwh,
        np.zeros(n), capacity_ah, filled, flow_current(integral.step_ah[:, :, IN] - integral.step_ah[:, :, OUT],
        integral.flow_s),
    )  # fmt: skip
    return _finish(bare, pack, logged_c, air, heat)


def session_path(sessions: list[Session], pack: Pack, at_us: IntArray) -> FloatArray:
    """Cell SOC at given times from the SOC at the ends of sessions, shape (n,)."""
    knots = sorted(
        [(s.start_us, k, s.soc_start_frac) for k, s in enumerate(sessions)]
        + [(s.end_us, k, s.soc_end_frac) for k, s in enumerate(sessions)]
    )
    time = np.array([k[0] for k in knots], dtype=np.int64)
    return pack.cell_soc(interp_known(at_us, time, np.array([k[2] for k in knots])))


def session_ah(
    sessions: list[Session], pack: Pack, capacity_ah: float, first_us: int, n: int, step_minutes: int
) -> FloatArray:
    """Charge moved in each step by use as the ends of sessions say, positive charging, shape (n, 4). [A.h]"""
    return _session_flows(sessions, pack, capacity_ah, first_us, n, step_minutes)[0]


def _session_flows(
    sessions: list[Session], pack: Pack, capacity_ah: float, first_us: int, n: int, step_minutes: int
) -> tuple[FloatArray, FloatArray]:
    """`session_ah` and the time it took, shape (n, 4) each. [A.h], [s]"""
    out, flow_s = np.zeros((n, len(Use))), np.zeros((n, len(Use)))
    window_ah = (pack.window_high_frac - pack.window_low_frac) * capacity_ah
    uses = {"drive": Use.DRIVE, "charge": Use.CHARGE, "export": Use.EXPORT, "rest": Use.REST}
    step_us = step_minutes * 60_000_000
    for s in sessions:
        change = (s.soc_end_frac - s.soc_start_frac) * window_ah
        if not np.isfinite(change) or change == 0.0:
            continue
        k0 = min(max((s.start_us - first_us) // step_us, 0), n - 1)
        if s.end_us <= s.start_us:
            out[k0, uses[s.kind]] += change
            continue
        k1 = min(max((s.end_us - 1 - first_us) // step_us, 0), n - 1)
        edges = first_us + np.arange(k0, k1 + 2, dtype=np.int64) * step_us
        inside = np.clip(np.diff(np.clip(edges, s.start_us, s.end_us)), 0, None)
        out[k0 : k1 + 1, uses[s.kind]] += change * inside / (s.end_us - s.start_us)
        flow_s[k0 : k1 + 1, uses[s.kind]] += inside * 1e-6
    return out, flow_s


def steps_of_sessions(
    sessions: list[Session], first_us: int, n: int, step_minutes: int, pack: Pack, capacity_ah: float, air_c: FloatArray
) -> Steps:
    """Steps of a vehicle without samples: all modelled, nothing among the measured sums."""
    step_us = step_minutes * 60_000_000
    edges = first_us + np.arange(n + 1, dtype=np.int64) * step_us
    soc = session_path(sessions, pack, edges)
    moved, flow_s = _session_flows(sessions, pack, capacity_ah, first_us, n, step_minutes)
    current = moved / (step_minutes / 60.0)
    heat = (np.abs(current).sum(axis=1)) ** 2 * pack.resistance_ohm
    none = np.full(n, np.nan)
    bare = Steps(
        first_us, step_minutes, soc, none, np.ones(n, dtype=bool), np.zeros((n, len(Use), 2)),
        np.zeros((n, len(Use), 2)), np.zeros(n), capacity_ah, np.full(n, MODELLED, dtype=np.uint8),
        flow_current(moved, flow_s),
    )  # fmt: skip
    return _finish(bare, pack, none, air_c, heat)


def build_duty(steps: Steps, modelled_ah: FloatArray | None = None) -> Duty:
    """Duty of whole UTC days for the laws of ageing: measured where it was, filled and marked elsewhere.

    In short gaps the charge that SOC asks for and no sample shows goes to driving (out) or charging (in); in long ones
    the currents of the same hours of the nearest measured week are taken.

    Parameters
    ----------
    steps
        From `steps_of_samples`, `steps_of_sessions` or the warehouse.
    modelled_ah
        Charge by step and use of a vehicle without samples (`session_ah`), shape (n, 4). [A.h]
    """
    hours = steps.step_minutes / 60.0
    flow_a = steps.flow_a.copy()
    ah = steps.ah[:, :, IN] - steps.ah[:, :, OUT]
    if modelled_ah is not None:
        ah = ah + modelled_ah
    else:
        source = week_source(steps.filled, WEEK_HOURS * 60 // steps.step_minutes)
        taken = source >= 0
        ah[taken], flow_a[taken] = ah[source[taken]], flow_a[source[taken]]
        missing = np.where((steps.filled != MEASURED) & ~taken, steps.soc_residual_ah, 0.0)
        missing[np.abs(missing) < FILL_FRAC * steps.capacity_ah] = 0.0
        flow_a[missing != 0.0] = np.nan  # how long that took nobody knows
        ah[:, Use.CHARGE] += np.maximum(missing, 0.0)
        ah[:, Use.DRIVE] += np.minimum(missing, 0.0)
    return Duty(
        start_utc=np.datetime64(steps.first_us, "us"),
        step_minutes=steps.step_minutes,
        cell_soc_frac=np.clip(steps.cell_soc_frac, 0.0, 1.0),
        temp_c=steps.temp_c,
        current_a=ah / hours,
        capacity_ah=steps.capacity_ah,
        filled=steps.filled,
        flow_a=flow_a,
    )
