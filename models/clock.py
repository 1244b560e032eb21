"""Sessions whose clock is one hour off: moved back where that is certain, flagged where it is not.

A session in its right place has no other samples between its own, and its state of charge and odometer go on from
those before and after it. A named session that lacks this is tried one hour earlier and later.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from models.domain import BoolArray, IntArray
from models.sessions import US_PER_HOUR, Finding, Rules, Samples, finding

MOVES = (-US_PER_HOUR, US_PER_HOUR)
# Neighbours further away than this say nothing about continuity.
NEAR_HOURS = 6
REACH_HOURS = 30
SPEED_KM_PER_H = 150.0


@dataclass(frozen=True)
class Fit:
    """How a session lies among other samples: how many lie inside, what cannot be at its ends, what stays open."""

    inside: int
    soc_jump: float
    km_jump: float
    open_hours: float

    def clean(self, soc: float, km: float) -> bool:
        """Whether nothing speaks against this place."""
        return self.inside == 0 and self.soc_jump <= soc and self.km_jump <= km


@dataclass(frozen=True, eq=False)
class _Named:
    """Samples of each named session: rows[start[g] : start[g] + count[g]], first and last of them."""

    rows: IntArray
    start: IntArray
    count: IntArray
    first: IntArray
    last: IntArray

    def of(self, g: int) -> IntArray:
        return self.rows[self.start[g] : self.start[g] + self.count[g]]


def _named(samples: Samples) -> _Named:
    named = np.flatnonzero(samples.ref >= 0)
    rows = named[np.argsort(samples.ref[named], kind="stable")]
    _, start, count = np.unique(samples.ref[rows], return_index=True, return_counts=True)
    return _Named(rows, start, count, rows[start], rows[start + count - 1])


def _apart(a: float, b: float) -> float:
    return abs(a - b) if np.isfinite(a) and np.isfinite(b) else 0.0


def _impossible_km(forward_km: float, gap_us: int) -> float:
    """Distance that cannot be: all that goes back, and what is faster than a car. [km]"""
    if not np.isfinite(forward_km):
        return 0.0
    return max(-forward_km, forward_km - SPEED_KM_PER_H * gap_us / US_PER_HOUR, 0.0)


def fit_at(others: Samples, group: Samples, move_us: int, limit: float) -> Fit:
    """How a session moved by some time lies among the other samples."""
    t0, t1 = int(group.time_us[0]) + move_us, int(group.time_us[-1]) + move_us
    lo = int(np.searchsorted(others.time_us, t0))
    hi = int(np.searchsorted(others.time_us, t1, side="right"))
    soc = km = 0.0
    open_us = 0
    near = NEAR_HOURS * US_PER_HOUR
    for mine, beside, gap in (
        (0, lo - 1, t0 - int(others.time_us[lo - 1]) if lo > 0 else near),
        (-1, hi, int(others.time_us[hi]) - t1 if hi < others.size else near),
    ):
        open_us = max(open_us, gap)
        if gap < near:
            soc = max(soc, _apart(float(group.soc_frac[mine]), float(others.soc_frac[beside])))
            ahead = float(group.odometer_km[mine]) - float(others.odometer_km[beside])
            km = max(km, _impossible_km(ahead if mine == 0 else -ahead, gap))
    return Fit(_strangers(others, group, lo, hi, move_us, limit), soc, km, open_us / US_PER_HOUR)


def _strangers(others: Samples, group: Samples, lo: int, hi: int, move_us: int, limit: float) -> int:
    """Samples of others inside a session that cannot be its own: of another name, or with another SOC."""
    if hi <= lo:
        return 0
    named = others.ref[lo:hi] >= 0
    known = np.isfinite(group.soc_frac)
    if not known.any():
        return hi - lo
    at = (others.time_us[lo:hi] - move_us - group.time_us[0]) * 1e-6
    expected = np.interp(at, (group.time_us[known] - group.time_us[0]) * 1e-6, group.soc_frac[known])
    differs = ~(np.abs(others.soc_frac[lo:hi] - expected) <= 2 * limit)
    return int((named | differs).sum())


def _suspects(samples: Samples, named: _Named, soc: float, km: float) -> IntArray:
    """Sessions with samples of others between their own, or a jump at an end (odometers only backwards)."""
    bad = named.last - named.first + 1 - named.count > 0
    for edge, beside, sign in ((named.first, named.first - 1, 1.0), (named.last, named.last + 1, -1.0)):
        at = np.clip(beside, 0, samples.size - 1)
        near = (beside == at) & (np.abs(samples.time_us[at] - samples.time_us[edge]) < NEAR_HOURS * US_PER_HOUR)
        jump = np.nan_to_num(np.abs(samples.soc_frac[edge] - samples.soc_frac[at]))
        back = np.nan_to_num(sign * (samples.odometer_km[at] - samples.odometer_km[edge]))
        bad |= near & ((jump > 2 * soc) | (back > km))
    return np.flatnonzero(bad)


def _around(samples: Samples, rows: IntArray, without: IntArray) -> Samples:
    lo = int(np.searchsorted(samples.time_us, samples.time_us[rows[0]] - REACH_HOURS * US_PER_HOUR))
    hi = int(np.searchsorted(samples.time_us, samples.time_us[rows[-1]] + REACH_HOURS * US_PER_HOUR))
    # Of a long life only what is near is copied.
    near = np.arange(lo, hi)
    return samples.take(near[~np.isin(near, without)])


def _certain_move(samples: Samples, rows: IntArray, soc: float, km: float) -> int | None:
    """Move that puts a session right, 0 where it lies well, None where nothing is certain."""
    group, others = samples.take(rows), _around(samples, rows, rows)
    here = fit_at(others, group, 0, soc)
    if here.clean(2 * soc, km):
        return 0
    good = [m for m in MOVES if fit_at(others, group, m, soc).clean(soc, km)]
    if len(good) != 1:
        return None
    # A place that leaves far more time open beside it than the present one is no better.
    there = fit_at(others, group, good[0], soc)
    return good[0] if there.open_hours <= max(here.open_hours, 2.0) + 0.25 else None


def _moved(samples: Samples, rows: IntArray, move_us: int) -> IntArray:
    time = samples.time_us.copy()
    time[rows] += move_us
    return time


def _resolves(samples: Samples, named: _Named, g: int, move: int, rivals: list[int], soc: float, km: float) -> bool:
    """Whether moving one session leaves each of its rivals in a good place without moving it."""
    mine = named.of(g)
    time = _moved(samples, mine, move)
    order = np.argsort(time, kind="stable")
    after = replace(samples, time_us=time).take(order)
    place = np.empty(samples.size, dtype=np.int64)
    place[order] = np.arange(samples.size)
    for h in rivals:
        rows = np.sort(place[named.of(h)])
        if not fit_at(_around(after, rows, rows), after.take(rows), 0, soc).clean(2 * soc, km):
            return False
    return True


def _mixed_in(samples: Samples, time: IntArray, named: _Named, g: int) -> BoolArray:
    """Samples of longer sessions that lie between those of a session in doubt, shape (n,)."""
    rows = named.of(g)
    inside = (time >= time[rows[0]]) & (time <= time[rows[-1]]) & (samples.ref >= 0)
    inside[rows] = False
    refs = samples.ref[named.first]
    longer = refs[named.count > named.count[g]]
    return inside & np.isin(samples.ref, longer)


def mend_clock(samples: Samples, rule: Rules) -> tuple[Samples, list[Finding]]:
    """Move sessions whose clock is one hour off.

    A session is moved when one direction resolves all that speaks against its place, the other does not, and no
    session it conflicts with would resolve the conflict by moving instead. Where two sessions stay mixed, the samples
    of the longer one that lie inside the shorter one are left out.

    Returns
    -------
    Samples
        In time order.
    list of Finding
        ``clock_one_hour`` counts the samples moved, ``clock_suspect`` those left out.
    """
    if not (samples.ref >= 0).any():
        return samples, []
    soc, km = rule("defects", "clock_soc_frac"), rule("defects", "clock_km")
    named = _named(samples)
    moves: dict[int, int] = {}
    doubt: list[int] = []
    for g in _suspects(samples, named, soc, km).tolist():
        move = _certain_move(samples, named.of(g), soc, km)
        if move:
            moves[g] = move
        elif move is None:
            doubt.append(g)
    time = samples.time_us.copy()
    moved = np.zeros(samples.size, dtype=bool)
    for g, move in moves.items():
        t0, t1 = samples.time_us[named.first[g]], samples.time_us[named.last[g]]
        rivals = [
            h
            for h in moves
            if h != g and samples.time_us[named.first[h]] <= t1 and samples.time_us[named.last[h]] >= t0
        ]
        if rivals:
            mine = _resolves(samples, named, g, move, rivals, soc, km)
            others = any(_resolves(samples, named, h, moves[h], [g], soc, km) for h in rivals)
            if not mine or others:
                doubt.append(g)
                continue
        time[named.of(g)] += move
        moved[named.of(g)] = True
    found = finding("clock_one_hour", samples, moved)
    left = np.zeros(samples.size, dtype=bool)
    for g in doubt:
        left |= _mixed_in(samples, time, named, g)
    found += finding("clock_suspect", samples, left)
    if left.any():
        unknown = {n: np.where(left, np.nan, getattr(samples, n)) for n in ("voltage_v", "current_a", "soc_frac")}
        samples = replace(samples, **unknown)
    if moved.any():
        samples = replace(samples, time_us=time).take(np.argsort(time, kind="stable"))
    return samples, found
