"""Defects of a sequence of samples: found, repaired only where the repair is certain, else left out or flagged.

Every rule returns the samples it leaves and a `Finding`; nothing is changed without one. The defects are those that
loggers of chargers and cars are known for: counter resets, values stuck after a stop, clocks one hour off, duplicates,
spikes (see README, "Data quality").
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models.domain import BoolArray, FloatArray, IntArray, Pack, Use
from models.sessions import US_PER_HOUR, Finding, Rules, Samples, runs_of, stamp


def _finding(rule: str, samples: Samples, hit: BoolArray) -> list[Finding]:
    if not hit.any():
        return []
    return [Finding(rule, int(hit.sum()), stamp(int(samples.time_us[int(np.argmax(hit))])))]


def drop_duplicates(samples: Samples) -> tuple[Samples, list[Finding]]:
    """Of samples at one time the first stays."""
    again = np.zeros(samples.size, dtype=bool)
    again[1:] = samples.time_us[1:] == samples.time_us[:-1]
    found = _finding("duplicate_time", samples, again)
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
        found += _finding(f"impossible_{name}", samples, hit)
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
        scale = np.abs(v[:-2]) if relative else np.ones(v.shape[0] - 2)
        agree = np.abs(v[2:] - v[:-2]) < 0.25 * limit * scale
        apart = np.minimum(np.abs(v[1:-1] - v[:-2]), np.abs(v[1:-1] - v[2:])) > limit * scale
        near = samples.time_us[known[2:]] - samples.time_us[known[:-2]] < 4 * US_PER_HOUR
        hit = np.zeros(samples.size, dtype=bool)
        hit[known[1:-1][agree & apart & near]] = True
        found += _finding(f"jump_{name}", samples, hit)
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
    current = np.nan_to_num(samples.current_a)
    run = runs_of(np.nan_to_num(samples.voltage_v), current, np.nan_to_num(samples.soc_frac))
    length = np.bincount(run)[run] if samples.size else run
    first = np.ones(samples.size, dtype=bool)
    first[1:] = run[1:] != run[:-1]
    lasting = _run_seconds(samples.time_us, run) >= rule("defects", "stuck_seconds")
    hit = (length >= least) & lasting & ~first & (np.abs(current) > small) & np.isfinite(samples.voltage_v)
    found += _finding("stuck_record", samples, hit)
    if hit.any():
        unknown = {n: np.where(hit, np.nan, getattr(samples, n)) for n in ("voltage_v", "current_a", "soc_frac")}
        samples = replace(samples, **unknown)
    known = np.flatnonzero(np.isfinite(samples.soc_frac) & np.isfinite(samples.current_a))
    if known.shape[0] > 1:
        time, soc, amps = samples.time_us[known], samples.soc_frac[known], samples.current_a[known]
        hours = np.diff(time) / US_PER_HOUR
        near = hours < rule("cut", "gap_rest_hours")
        flow = np.concatenate(([0.0], np.cumsum(np.where(near, 0.5 * (amps[1:] + amps[:-1]) * hours, 0.0))))
        run = runs_of(soc, np.concatenate(([0], np.cumsum(~near))))
        start = np.flatnonzero(np.concatenate(([True], run[1:] != run[:-1])))
        end = np.concatenate((start[1:] - 1, [known.shape[0] - 1]))
        moved = np.abs(flow[end] - flow[start]) > rule("defects", "stuck_soc_frac") * pack.capacity_ah
        long = (end - start + 1 >= least) & moved
        hit = np.zeros(samples.size, dtype=bool)
        later = np.arange(known.shape[0]) > start[run]
        hit[known[long[run] & later]] = True
        found += _finding("stuck_soc", samples, hit)
        if hit.any():
            samples = replace(samples, soc_frac=np.where(hit, np.nan, samples.soc_frac))
    return samples, found


def _run_seconds(time_us: IntArray, run: IntArray) -> FloatArray:
    """How long the run of each sample lasts, shape (n,). [s]"""
    if run.shape[0] == 0:
        return np.zeros(0)
    start = np.flatnonzero(np.concatenate(([True], run[1:] != run[:-1])))
    end = np.concatenate((start[1:] - 1, [run.shape[0] - 1]))
    return ((time_us[end] - time_us[start]) * 1e-6)[run]


def mend_odometer(samples: Samples, rule: Rules) -> tuple[Samples, list[Finding]]:
    """An odometer that goes back and stays there was reset (what it showed is added); one that returns was a spike."""
    known = np.flatnonzero(np.isfinite(samples.odometer_km))
    if known.shape[0] < 2:
        return samples, []
    value = samples.odometer_km[known].copy()
    step = rule("defects", "odometer_step_km")
    found: list[Finding] = []
    hit = np.zeros(samples.size, dtype=bool)
    # Spikes: lower than the one before, and the next is back.
    dip = np.zeros(value.shape[0], dtype=bool)
    dip[1:-1] = (value[1:-1] < value[:-2] - step) & (value[2:] >= value[:-2] - step)
    peak = np.zeros(value.shape[0], dtype=bool)
    peak[1:-1] = (value[1:-1] > value[2:] + step) & (value[2:] >= value[:-2] - step) & ~dip[:-2]
    spike = dip | peak
    hit[known[spike]] = True
    found += _finding("jump_odometer_km", samples, hit)
    keep = known[~spike]
    value = samples.odometer_km[keep].copy()
    fall = np.zeros(value.shape[0])
    fall[1:] = np.where(value[1:] < value[:-1] - step, value[:-1] - value[1:], 0.0)
    reset = np.zeros(samples.size, dtype=bool)
    reset[keep[fall > 0]] = True
    found += _finding("odometer_reset", samples, reset)
    mended = np.full(samples.size, np.nan)
    mended[keep] = np.maximum.accumulate(value + np.cumsum(fall))
    return (replace(samples, odometer_km=mended) if found else samples), found


def _jump(soc: FloatArray, left: int, right: int) -> float:
    if left < 0 or right >= soc.shape[0] or not (np.isfinite(soc[left]) and np.isfinite(soc[right])):
        return 0.0
    return abs(float(soc[left] - soc[right]))


def _misfit(others: Samples, group: Samples, shift_us: int) -> tuple[int, float, float]:
    """Samples of others inside a session moved by a shift, jump of SOC at its ends, and hours left open beside it."""
    t0, t1 = int(group.time_us[0]) + shift_us, int(group.time_us[-1]) + shift_us
    lo = int(np.searchsorted(others.time_us, t0))
    hi = int(np.searchsorted(others.time_us, t1, side="right"))
    ends = np.concatenate((group.soc_frac[:1], group.soc_frac[-1:]))
    jump = 0.0
    open_us = 0
    if lo > 0:
        jump = max(jump, _jump(np.array([others.soc_frac[lo - 1], ends[0]]), 0, 1))
        open_us = max(open_us, t0 - int(others.time_us[lo - 1]))
    if hi < others.size:
        jump = max(jump, _jump(np.array([ends[1], others.soc_frac[hi]]), 0, 1))
        open_us = max(open_us, int(others.time_us[hi]) - t1)
    return hi - lo, jump, open_us / US_PER_HOUR


def mend_clock(samples: Samples, rule: Rules) -> tuple[Samples, list[Finding]]:
    """Sessions whose clock is one hour off.

    A named session is suspect when other samples lie between its own or its SOC does not continue its neighbours'. It
    is moved by an hour when that resolves both, the other direction does not, and no session it conflicts with could
    be moved instead; otherwise it stays and is flagged.
    """
    named = np.flatnonzero(samples.ref >= 0)
    if named.shape[0] == 0:
        return samples, []
    order = named[np.argsort(samples.ref[named], kind="stable")]
    _, start, count = np.unique(samples.ref[order], return_index=True, return_counts=True)
    first, last = order[start], order[start + count - 1]
    within = last - first + 1 - count
    limit = rule("defects", "clock_soc_frac")
    suspect = within > 0
    for edge, beside in ((first, first - 1), (last, last + 1)):
        ok = (beside >= 0) & (beside < samples.size)
        near = samples.soc_frac[np.clip(beside, 0, samples.size - 1)]
        gap = np.abs(samples.time_us[np.clip(beside, 0, samples.size - 1)] - samples.time_us[edge])
        jump = np.where(ok & (gap < 6 * US_PER_HOUR), np.abs(samples.soc_frac[edge] - near), 0.0)
        suspect |= np.nan_to_num(jump) > 2 * limit
    shift: dict[int, int] = {}
    doubt: list[int] = []
    for g in np.flatnonzero(suspect):
        move = _certain_shift(samples, order[start[g] : start[g] + count[g]], limit)
        if move is None:
            if within[g] > 0:
                doubt.append(int(g))
        elif move:
            shift[int(g)] = move
    time = samples.time_us.copy()
    moved = np.zeros(samples.size, dtype=bool)
    for g, move in _unrivalled(shift, first, last, samples).items():
        rows = order[start[g] : start[g] + count[g]]
        time[rows] += move
        moved[rows] = True
    found = _finding("clock_one_hour", samples, moved)
    left = np.zeros(samples.size, dtype=bool)
    for g in doubt:
        rows = order[start[g] : start[g] + count[g]]
        left[rows] = not moved.any() or _still_mixed(time, rows)
    found += _finding("clock_suspect", samples, left)
    if moved.any():
        samples = replace(samples, time_us=time).take(np.argsort(time, kind="stable"))
    return samples, found


def _certain_shift(samples: Samples, rows: IntArray, limit: float) -> int | None:
    """Shift of a session in microseconds that mends it; 0 = nothing to mend, None = in doubt."""
    around = np.zeros(samples.size, dtype=bool)
    lo = np.searchsorted(samples.time_us, samples.time_us[rows[0]] - 30 * US_PER_HOUR)
    hi = np.searchsorted(samples.time_us, samples.time_us[rows[-1]] + 30 * US_PER_HOUR)
    around[lo:hi] = True
    around[rows] = False
    group, others = samples.take(rows), samples.take(around)
    inside, jump, open_hours = _misfit(others, group, 0)
    if inside == 0 and jump <= 2 * limit:
        return 0
    good: list[tuple[float, int]] = []
    for move in (-US_PER_HOUR, US_PER_HOUR):
        in_new, jump_new, open_new = _misfit(others, group, move)
        if in_new == 0 and jump_new <= limit and open_new <= max(open_hours, 0.75) + 0.01:
            good.append((open_new, move))
    if len(good) == 1 and (inside > 0 or jump > 2 * limit):
        return good[0][1]
    return None


def _unrivalled(shift: dict[int, int], first: IntArray, last: IntArray, samples: Samples) -> dict[int, int]:
    """Shifts of sessions that do not conflict with another session that could be moved instead."""
    out: dict[int, int] = {}
    for g, move in shift.items():
        a0, a1 = samples.time_us[first[g]], samples.time_us[last[g]]
        rival = any(h != g and samples.time_us[first[h]] <= a1 and samples.time_us[last[h]] >= a0 for h in shift)
        if not rival:
            out[g] = move
    return out


def _still_mixed(time: IntArray, rows: IntArray) -> bool:
    inside = (time >= time[rows[0]]) & (time <= time[rows[-1]])
    return int(inside.sum()) > rows.shape[0]


def clean(samples: Samples, pack: Pack, rule: Rules) -> tuple[Samples, list[Finding]]:
    """All rules in their order: duplicates, impossible values, clocks, spikes, stuck values, counters.

    Returns
    -------
    Samples
        In time order; unknown values are NaN.
    list of Finding
        One for each rule that touched something.
    """
    found: list[Finding] = []
    for step in (
        drop_duplicates,
        lambda s: drop_impossible(s, pack, rule),
        lambda s: mend_clock(s, rule),
        drop_duplicates,
        lambda s: drop_spikes(s, rule),
        lambda s: drop_stuck(s, pack, rule),
        lambda s: mend_odometer(s, rule),
    ):
        samples, more = step(samples)
        found += more
    return samples, merged(found)


def merged(found: list[Finding]) -> list[Finding]:
    """Findings with one entry a rule, in order of the rule."""
    out: dict[str, Finding] = {}
    for f in found:
        old = out.get(f.rule)
        out[f.rule] = f if old is None else Finding(f.rule, old.rows + f.rows, old.example)
    return [out[name] for name in sorted(out)]


def count_gaps(samples: Samples, joined: BoolArray, index: IntArray, state: NDArray[np.int8]) -> list[Finding]:
    """Gaps between accepted samples: how many, where the first while current flowed."""
    gap = np.flatnonzero(~joined)
    if gap.shape[0] == 0:
        return []
    active = gap[(state[index[gap]] != Use.REST) | (state[index[gap + 1]] != Use.REST)]
    at = int(active[0]) if active.shape[0] else int(gap[0])
    return [Finding("gap", int(gap.shape[0]), stamp(int(samples.time_us[index[at]])))]
