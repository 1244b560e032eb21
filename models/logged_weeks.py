"""A vehicle's own log on the representative calendar: plug-in windows and energies, step by step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.dispatch_duty import energy_of_soc
from models.domain import REPRESENTATIVE_WEEKS, BoolArray, Duty, FloatArray, IntArray, Pack, Use
from models.weeks import choose_weeks, iso_week, stand_ins

STEP_MINUTES = 15
STEP_US = STEP_MINUTES * 60_000_000
DAY_STEPS = 24 * 60 // STEP_MINUTES
WEEK_STEPS = 7 * DAY_STEPS
MONDAY_STEPS = 4 * DAY_STEPS  # 1970-01-05 was a Monday
LONGEST_GAP_STEPS = DAY_STEPS
EDGE_STEPS = DAY_STEPS // 2  # a week may lack so much at an end of the log: the next day there stands in
WEEKS_TO_LOOK = 8
MOST_STRETCH = 3.0
DRIVE, CHARGE, EXPORT, REST = 0, 1, 2, 3


@dataclass(frozen=True, eq=False)
class Stays:
    """Sessions of a vehicle in time order: begin, end [µs since 1970 UTC], `Use` and whether plugged in at home."""

    start_us: IntArray
    end_us: IntArray
    use: IntArray
    plugged: BoolArray


@dataclass(frozen=True, eq=False)
class LoggedYear:
    """Plug-in windows and energies at the battery of 52 weeks, shape (34944,) each; see `RepresentativeYear`."""

    plugged: BoolArray
    drive_kwh: FloatArray
    away_charge_kwh: FloatArray
    charge_kwh: FloatArray
    export_kwh: FloatArray
    start_soc_frac: float
    logged_weeks: int
    first_day: np.datetime64
    last_day: np.datetime64
    closure_kwh: float
    repeated_days: bool


def overlap(start_us: IntArray, end_us: IntArray, first_us: int, steps: int) -> FloatArray:
    """Share of each step that lies inside intervals (which may overlap: clipped to 1), shape (steps,). [1]"""
    edges = np.zeros(steps + 2)
    low = np.clip((start_us - first_us) / STEP_US, 0, steps)
    high = np.clip((end_us - first_us) / STEP_US, 0, steps)
    ok = high > low
    for at, sign in ((low[ok], 1.0), (high[ok], -1.0)):
        whole = np.floor(at).astype(np.int64)
        # a ramp that begins at `at`: the rest of its own step, then all later ones
        np.add.at(edges, whole, sign * (1 - (at - whole)))
        np.add.at(edges, whole + 1, sign * (at - whole))
    return np.clip(np.cumsum(edges)[:steps], 0.0, 1.0)


def spread(hourly: FloatArray, *weights: FloatArray) -> FloatArray:
    """Share sums of duty steps among the fine steps in them: by the first of the weights that is not all zero there.

    Parameters
    ----------
    hourly
        Shape (n,).
    weights
        Not negative, shape (n * per,) each, best first; where all are zero the share is even.
    """
    n = hourly.shape[0]
    per = weights[0].shape[0] // n
    use = np.full((n, per), 1.0 / per)
    for w in reversed(weights):
        table = w.reshape(n, per)
        total = table.sum(axis=1)
        some = total > 1e-9
        use[some] = table[some] / total[some, None]
    return (hourly[:, None] * use).ravel()


def plugged_steps(stays: Stays, first_us: int, steps: int) -> BoolArray:
    """Steps mostly plugged in at home; what no session covers is guessed.

    A gap of up to a day is plugged in when both its neighbours are; a longer one takes the same hours of the nearest
    week that is known, else it counts as away.
    """
    home = overlap(stays.start_us[stays.plugged], stays.end_us[stays.plugged], first_us, steps)
    known = overlap(stays.start_us, stays.end_us, first_us, steps) >= 0.5
    out = home >= 0.5
    gap = np.concatenate([[False], ~known, [False]]).astype(np.int8)
    edges = np.diff(gap)
    begins, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    for a, b in zip(begins, ends, strict=True):
        if b - a <= LONGEST_GAP_STEPS:
            out[a:b] = (a == 0 or out[a - 1]) and (b == steps or out[b])
            continue
        at = np.arange(a, b)
        open_steps = np.ones(b - a, dtype=bool)
        for week in range(1, WEEKS_TO_LOOK + 1):
            for shift in (-week * WEEK_STEPS, week * WEEK_STEPS):
                source = at + shift
                ok = open_steps & (source >= 0) & (source < steps)
                ok[ok] = known[source[ok]]
                out[at[ok]] = home[source[ok]] >= 0.5
                open_steps &= ~ok
    return out


def logged_year(duty: Duty, stays: Stays, pack: Pack, utc_offset_hours: float) -> LoggedYear:
    """52 weeks of the vehicle's own log: the latest whole week of each ISO week, else the nearest week there is.

    Energies are charge times open-circuit voltage. The recorded home charge of each day is stretched or shrunk
    (between 0 and 3 times) so that the next day begins with the energy its state of charge says, what remains goes to
    the days after: weeks of different years then follow each other, and gaps in the log pass, without drift.

    Parameters
    ----------
    duty
        Whole days, filled; steps of a multiple of 15 minutes.
    stays
        Sessions that say when the car was plugged in, drove, charged.

    Raises
    ------
    ValueError
        The duty is empty or its steps are not a multiple of 15 minutes.
    """
    if duty.step_minutes % STEP_MINUTES or not duty.steps:
        raise ValueError(f"A log needs steps of a multiple of {STEP_MINUTES} minutes, got {duty.step_minutes}.")
    first_us = int(duty.start_utc.astype("datetime64[us]").astype(np.int64))
    fine = _fine_energies(duty, stays, pack, first_us)
    plugged = plugged_steps(stays, first_us, fine["drive"].shape[0])
    first_local = first_us // STEP_US + round(utc_offset_hours * 60 / STEP_MINUTES) - MONDAY_STEPS
    begin, source, weeks, repeated = _week_sources(first_local, plugged.shape[0])
    take = {name: values[source].ravel() for name, values in fine.items()}
    per = duty.step_minutes // STEP_MINUTES
    midnight = np.clip(begin[:, None] + np.arange(7) * DAY_STEPS, 0, plugged.shape[0]).ravel() / per
    soc = np.clip(pack.displayed_soc(np.interp(midnight, np.arange(duty.steps + 1), duty.cell_soc_frac)), 0, 1)
    usable = pack.usable_kwh * duty.capacity_ah / pack.capacity_ah
    closure = close_days(take, energy_of_soc(pack, soc) * usable)
    start_day = duty.start_utc.astype("datetime64[D]")
    return LoggedYear(
        plugged=plugged[source].ravel(),
        drive_kwh=take["drive"],
        away_charge_kwh=take["away"],
        charge_kwh=take["charge"],
        export_kwh=take["export"],
        start_soc_frac=float(soc[0]),
        logged_weeks=weeks,
        first_day=start_day,
        last_day=start_day + np.timedelta64(max(duty.steps * duty.step_minutes // (24 * 60) - 1, 0), "D"),
        closure_kwh=closure,
        repeated_days=repeated,
    )


def close_days(take: dict[str, FloatArray], start_kwh: FloatArray) -> float:
    """Stretch the home charge of each day (in place) so that the next begins where its log says; gives what moved."""
    e = float(start_kwh[0])
    moved = 0.0
    days = start_kwh.shape[0]
    for day in range(days):
        part = slice(day * DAY_STEPS, (day + 1) * DAY_STEPS)
        charged = float(take["charge"][part].sum())
        e += charged + float(take["away"][part].sum() - take["drive"][part].sum() - take["export"][part].sum())
        want = float(start_kwh[(day + 1) % days]) - e
        if charged > 1e-6:
            factor = min(max(1 + want / charged, 0.0), MOST_STRETCH)
            take["charge"][part] *= factor
            moved += abs(factor - 1) * charged
            e += (factor - 1) * charged
    return moved


def _fine_energies(duty: Duty, stays: Stays, pack: Pack, first_us: int) -> dict[str, FloatArray]:
    mid_v = pack.ocv_pack_v((duty.cell_soc_frac[1:] + duty.cell_soc_frac[:-1]) / 2)
    kwh = duty.current_a * duty.step_hours * mid_v[:, None] / 1000
    steps = duty.steps * (duty.step_minutes // STEP_MINUTES)

    def share(mask: BoolArray) -> FloatArray:
        return overlap(stays.start_us[mask], stays.end_us[mask], first_us, steps)

    home = share(stays.plugged)
    charging = stays.use == CHARGE
    at_home, elsewhere = share(charging & stays.plugged), share(charging & ~stays.plugged)
    out_of = kwh[:, Use.DRIVE] + kwh[:, Use.REST] + np.minimum(kwh[:, Use.CHARGE], 0.0)
    into = np.maximum(kwh[:, Use.CHARGE], 0.0) + np.maximum(kwh[:, Use.EXPORT], 0.0)
    charge = spread(into, at_home + elsewhere, home)
    # where no charge session tells: at home when the hour saw the plug
    per = duty.step_minutes // STEP_MINUTES
    silent = np.repeat((at_home + elsewhere).reshape(-1, per).sum(axis=1) <= 1e-9, per)
    plug_hour = np.repeat(home.reshape(-1, per).sum(axis=1) > 1e-9, per)
    both = np.maximum(at_home + elsewhere, 1e-12)
    home_share = np.where(silent, plug_hour.astype(float), at_home / both)
    return {
        "drive": -spread(out_of, share(stays.use == DRIVE), 1 - home),
        "charge": charge * home_share,
        "away": charge * (1 - home_share),
        "export": spread(np.maximum(-kwh[:, Use.EXPORT], 0.0), share((stays.use == EXPORT) & stays.plugged), home),
    }


def _week_sources(first_local: int, steps: int) -> tuple[IntArray, IntArray, int, bool]:
    """Begin of each of the 52 weeks in the log, fine steps that stand for it (52, 672); weeks logged; days repeated."""
    first_week = -(-(first_local - EDGE_STEPS) // WEEK_STEPS)
    count = (first_local + steps + EDGE_STEPS) // WEEK_STEPS - first_week
    if count > 0:
        year, week = iso_week(first_week + np.arange(count))
        chosen = choose_weeks(year, week, np.ones(count))
        if np.any(chosen >= 0):
            have = np.flatnonzero(chosen >= 0)
            chosen = chosen[stand_ins(have)]
            begin = (first_week + chosen) * WEEK_STEPS - first_local
            source = begin[:, None] + np.arange(WEEK_STEPS)
            source += DAY_STEPS * ((source < 0).astype(np.int64) - (source >= steps))
            return np.clip(begin, 0, steps), source, int(have.size), False
    # shorter than a week: each weekday takes the latest day of its kind, else the nearest day there is
    days = max(steps // DAY_STEPS - (1 if first_local % DAY_STEPS else 0), 1)
    offset = -first_local % DAY_STEPS if steps >= DAY_STEPS * (days + 1) else 0
    weekday = ((first_local + offset) // DAY_STEPS + np.arange(days)) % 7
    picked = []
    for d in range(7):
        same = np.flatnonzero(weekday == d)
        behind = (weekday - d) % 7
        picked.append(int(same[-1]) if same.size else int(np.argmin(np.minimum(behind, 7 - behind))))
    one = offset + np.array(picked)[:, None] * DAY_STEPS + np.arange(DAY_STEPS)
    source = np.tile(one.reshape(1, -1), (REPRESENTATIVE_WEEKS, 1))
    return source[:, 0], source, 1, True
