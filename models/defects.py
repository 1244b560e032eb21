"""Defects of a sequence of samples: found, repaired only where the repair is certain, else left out or flagged.

Every rule returns the samples it leaves and a `Finding`; nothing is changed without one. The defects are those that
loggers of chargers and cars are known for: counter resets, values stuck after a stop, clocks one hour off, duplicates,
spikes (see README, "Data quality").
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from models import defect_screen
from models.cars import drop_other_cars
from models.clock import mend_clock
from models.counters import drop_soh_jumps, drop_stuck_registers, mend_registers
from models.defect_screen import screen
from models.domain import BoolArray, FloatArray, IntArray, Pack, Use
from models.loggers import join_meters, merge_loggers
from models.scales import mend_soc_scale
from models.sessions import US_PER_HOUR, Finding, Rules, Samples, finding, merged, runs_of, stamp
from models.signs import mend_signs


def drop_duplicates(samples: Samples) -> tuple[Samples, list[Finding]]:
    """Of samples at one time the first stays."""
    again = np.zeros(samples.size, dtype=bool)
    again[1:] = samples.time_us[1:] == samples.time_us[:-1]
    found = finding("duplicate_time", samples, again)
    return (samples.take(~again) if found else samples), found


def drop_impossible(samples: Samples, pack: Pack, rule: Rules) -> tuple[Samples, list[Finding]]:
    """Values that no battery has become unknown."""
    cell = samples.voltage_v / pack.n_series
    bad = {
        "voltage_v": (cell < rule("defects", "cell_voltage_low_v")) | (cell > rule("defects", "cell_voltage_high_v")),
        "current_a": np.abs(samples.current_a) > rule("defects", "current_c_rate") * pack.capacity_ah,
        "soc_frac": (samples.soc_frac < -0.02) | (samples.soc_frac > 1.05),
        "odometer_km": (samples.odometer_km < 0) | (samples.odometer_km > 3e6),
    }
    for name in ("battery_temp_c", "ambient_c"):
        value = getattr(samples, name)
        bad[name] = (value < rule("defects", "temp_low_c")) | (value > rule("defects", "temp_high_c"))
    found: list[Finding] = []
    cleaned: dict[str, FloatArray] = {}
    for name, hit in bad.items():
        found += finding(f"impossible_{name}", samples, hit)
        if hit.any():
            cleaned[name] = np.where(hit, np.nan, getattr(samples, name))
    return (replace(samples, **cleaned) if cleaned else samples), found


def drop_spikes(samples: Samples, rule: Rules) -> tuple[Samples, list[Finding]]:
    """One value that differs from both neighbours while these agree becomes unknown."""
    found: list[Finding] = []
    cleaned: dict[str, FloatArray] = {}
    for name, limit, relative in (
        ("soc_frac", rule("defects", "spike_soc_frac"), False),
        ("voltage_v", rule("defects", "spike_voltage_frac"), True),
    ):
        value = getattr(samples, name)
        known = np.flatnonzero(np.isfinite(value))
        if known.shape[0] < 3:
            continue
        v = value[known]
        step = np.abs(np.diff(v))
        # Most lives have no jump at all.
        if not (step > limit * (float(np.abs(v).min()) if relative else 1.0)).any():
            continue
        scale = np.abs(v[:-2]) if relative else np.ones(v.shape[0] - 2)
        agree = np.abs(v[2:] - v[:-2]) < 0.25 * limit * scale
        apart = np.minimum(step[:-1], step[1:]) > limit * scale
        near = samples.time_us[known[2:]] - samples.time_us[known[:-2]] < 4 * US_PER_HOUR
        hit = np.zeros(samples.size, dtype=bool)
        hit[known[1:-1][agree & apart & near]] = True
        found += finding(f"jump_{name}", samples, hit)
        if hit.any():
            cleaned[name] = np.where(hit, np.nan, value)
    return (replace(samples, **cleaned) if cleaned else samples), found


def drop_stuck(samples: Samples, pack: Pack, rule: Rules) -> tuple[Samples, list[Finding]]:
    """Values frozen while current flows.

    A whole record (voltage, current, SOC) repeated bit for bit keeps its first sample only; an SOC that stands still
    while ampere-hours flow becomes unknown, its first value apart.
    """
    least = int(rule("defects", "stuck_samples"))
    small = rule("cut", "rest_c_rate") * pack.capacity_ah
    found: list[Finding] = []
    hit = _stuck_records(samples, least, small, rule("defects", "stuck_seconds"))
    found += finding("stuck_record", samples, hit)
    if hit.any():
        unknown = {n: np.where(hit, np.nan, getattr(samples, n)) for n in ("voltage_v", "current_a", "soc_frac")}
        samples = replace(samples, **unknown)
    known = np.flatnonzero(np.isfinite(samples.soc_frac) & np.isfinite(samples.current_a))
    if known.shape[0] > 1:
        time, soc, amps = samples.time_us[known], samples.soc_frac[known], samples.current_a[known]
        hours = np.diff(time) / US_PER_HOUR
        near = hours < rule("cut", "gap_rest_hours")
        # What flowed for certain: between a sample with current and one without nothing is known.
        sure = np.where(amps[1:] * amps[:-1] > 0.0, np.sign(amps[1:]) * np.minimum(*np.abs((amps[1:], amps[:-1]))), 0.0)
        flow = np.concatenate(([0.0], np.cumsum(np.where(near, sure * hours, 0.0))))
        run = runs_of(soc, np.concatenate(([0], np.cumsum(~near))))
        start = np.flatnonzero(np.concatenate(([True], run[1:] != run[:-1])))
        end = np.concatenate((start[1:] - 1, [known.shape[0] - 1]))
        moved = np.abs(flow[end] - flow[start]) > rule("defects", "stuck_soc_frac") * pack.capacity_ah
        long = (end - start + 1 >= least) & moved
        hit = np.zeros(samples.size, dtype=bool)
        later = np.arange(known.shape[0]) > start[run]
        hit[known[long[run] & later]] = True
        found += finding("stuck_soc", samples, hit)
        if hit.any():
            samples = replace(samples, soc_frac=np.where(hit, np.nan, samples.soc_frac))
    return samples, found


def _stuck_records(samples: Samples, least: int, small: float, seconds: float) -> BoolArray:
    """Samples that repeat the whole record before them while current flows, shape (n,)."""
    current, n = np.nan_to_num(samples.current_a), samples.size
    columns = np.nan_to_num(samples.voltage_v), current, np.nan_to_num(samples.soc_frac)
    again = np.abs(current[1:]) > small
    for column in columns:
        again &= column[1:] == column[:-1]
    other = np.flatnonzero(np.concatenate(([True], ~again, [True])))
    if n < 2 or int(np.diff(other).max()) < least:
        return np.zeros(n, dtype=bool)
    run = runs_of(*columns)
    length = np.bincount(run)[run]
    first = np.ones(n, dtype=bool)
    first[1:] = run[1:] != run[:-1]
    lasting = _run_seconds(samples.time_us, run) >= seconds
    return (length >= least) & lasting & ~first & (np.abs(current) > small) & np.isfinite(samples.voltage_v)


def _run_seconds(time_us: IntArray, run: IntArray) -> FloatArray:
    """How long the run of each sample lasts, shape (n,). [s]"""
    if run.shape[0] == 0:
        return np.zeros(0)
    start = np.flatnonzero(np.concatenate(([True], run[1:] != run[:-1])))
    end = np.concatenate((start[1:] - 1, [run.shape[0] - 1]))
    return np.asarray((time_us[end] - time_us[start]) * 1e-6, dtype=np.float64)[run]


def mend_odometer(samples: Samples, rule: Rules) -> tuple[Samples, list[Finding]]:
    """Odometers only rise. One that falls and stays low was reset: what it showed before is added.

    One that is back within two days was not: values above any later one become unknown.
    """
    known = np.flatnonzero(np.isfinite(samples.odometer_km))
    if known.shape[0] < 2:
        return samples, []
    value, time = samples.odometer_km[known], samples.time_us[known]
    step = rule("defects", "odometer_step_km")
    resets: list[int] = []
    for i in np.flatnonzero(value[1:] < value[:-1] - step) + 1:
        soon = int(np.searchsorted(time, time[i] + 48 * US_PER_HOUR, side="right"))
        spike = i > 1 and value[i] >= value[i - 2] - step
        if not spike and value[i - 1] - value[i] > 20 * step and float(value[i:soon].max()) < value[i - 1] - step:
            resets.append(int(i))
    hit = np.zeros(samples.size, dtype=bool)
    hit[known[resets]] = True
    found = finding("odometer_reset", samples, hit)
    add = np.zeros(value.shape[0])
    high = np.zeros(value.shape[0], dtype=bool)
    edges = [0, *resets, value.shape[0]]
    for a, b in pairwise(edges):
        later = np.minimum.accumulate(value[a:b][::-1])[::-1]
        high[a:b] = value[a:b] > later + step
        if b < value.shape[0]:
            add[b:] += float(later[-1]) - float(value[b])
    above = np.zeros(samples.size, dtype=bool)
    above[known[high]] = True
    found += finding("jump_odometer_km", samples, above)
    mended = np.full(samples.size, np.nan)
    mended[known[~high]] = np.maximum.accumulate((value + add)[~high])
    return (replace(samples, odometer_km=mended) if found else samples), found


def clean(samples: Samples, pack: Pack, rule: Rules) -> tuple[Samples, list[Finding]]:
    """All rules in order: several chargers, other cars, two loggers, duplicates, impossible values, scales,
    clocks, spikes, stuck values, signs, counters. Those that can find nothing are passed over.

    Returns
    -------
    Samples
        In time order; unknown values are NaN.
    list of Finding
        One for each rule that touched something.
    """
    found: list[Finding] = []
    may = screen(samples, pack, rule)
    for number, step in (
        (defect_screen.METERS, lambda s: join_meters(s, pack, rule)),
        (defect_screen.LOGGERS, lambda s: drop_other_cars(s, pack, rule)),
        (defect_screen.LOGGERS, lambda s: merge_loggers(s, rule)),
        (defect_screen.DOUBLED, drop_duplicates),
        (defect_screen.IMPOSSIBLE, lambda s: drop_impossible(s, pack, rule)),
        (defect_screen.SCALE, lambda s: mend_soc_scale(s, pack, rule)),
        (defect_screen.CLOCK, lambda s: mend_clock(s, rule)),
        (defect_screen.DOUBLED, drop_duplicates),
        (defect_screen.SPIKES, lambda s: drop_spikes(s, rule)),
        (defect_screen.STUCK, lambda s: drop_stuck(s, pack, rule)),
        (defect_screen.ODOMETER, lambda s: mend_odometer(s, rule)),
        (defect_screen.HEALTH, lambda s: drop_soh_jumps(s, rule)),
        (defect_screen.SIGNS, lambda s: mend_signs(s, pack, rule)),
        (defect_screen.REGISTERS, lambda s: drop_stuck_registers(s, pack, rule)),
        (defect_screen.REGISTERS, lambda s: mend_registers(s, rule)),
    ):
        if not may[number]:
            continue
        before = samples
        samples, more = step(samples)
        found += more
        if samples is not before:
            may = screen(samples, pack, rule)
    return samples, merged(found)


def count_gaps(samples: Samples, joined: BoolArray, index: IntArray, state: NDArray[np.int8]) -> list[Finding]:
    """Gaps between accepted samples: how many, where the first while current flowed."""
    gap = np.flatnonzero(~joined)
    if gap.shape[0] == 0:
        return []
    active = gap[(state[index[gap]] != Use.REST) | (state[index[gap + 1]] != Use.REST)]
    at = int(active[0]) if active.shape[0] else int(gap[0])
    return [Finding("gap", int(gap.shape[0]), stamp(int(samples.time_us[index[at]])))]
