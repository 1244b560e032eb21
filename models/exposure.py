"""Duty to daily exposures of every law, days to periods, dispatched years to the periods of a forecast."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
from numba import njit

from models.domain import DAYS_PER_MONTH, DAYS_PER_YEAR, REPRESENTATIVE_WEEKS, Duty, FloatArray, Pack
from models.laws import sei
from models.laws.base import Law
from models.laws.power import PowerLaw, exposures_of
from models.laws.sei import SeiLaw
from models.laws.vector_math import BRIEF

LEVELS = (1.0, 0.9, 0.7)
"""Present capacities at which a policy is dispatched: fade feeds back on duty. [1]

Between them exposures are linear in one over the capacity: within 0.01 pp of dispatching anew twice a month for ten
years (benchmarks/bench_speed.py).
"""
MONTHS = 12


def daily_exposures(duty: Duty, pack: Pack, laws: Sequence[Law]) -> dict[str, FloatArray]:
    """Exposures of every law, day by day.

    Returns
    -------
    dict[str, FloatArray]
        law_id -> shape (days, k) with the k of the law.
    """
    return _of_each((duty,), pack, laws)[0]


def _of_each(duties: Sequence[Duty], pack: Pack, laws: Sequence[Law]) -> list[dict[str, FloatArray]]:
    """`daily_exposures` of several duties: laws of a kind and duties of a pack share much of their work."""
    found: list[dict[str, FloatArray]] = [{} for _ in duties]
    of_cell: dict[tuple[str, object], list[SeiLaw]] = {}
    power: list[PowerLaw] = []
    for law in laws:
        if isinstance(law, SeiLaw):
            of_cell.setdefault((law.cell_id, law.home), []).append(law)
        elif isinstance(law, PowerLaw):
            power.append(law)
        else:
            for one, duty in zip(found, duties, strict=True):
                one[law.law_id] = law.exposures(duty, pack)
    for members in of_cell.values():
        for one, daily in zip(found, sei.exposures_of(members, duties, pack), strict=True):
            one |= daily
    if power:
        for one, daily in zip(found, exposures_of(power, duties, pack), strict=True):
            one |= daily
    return [{law.law_id: one[law.law_id] for law in laws} for one in found]


def months_between(days: float) -> int:
    """Number of whole or begun months of 365.25/12 days in a span of days."""
    return max(int(np.ceil(days / DAYS_PER_MONTH - 1e-9)), 0)


def month_of_day(first_day: int, days: int) -> np.ndarray:
    """Month in service of each of a run of days, shape (days,); whole days belong to the month they begin in.

    Parameters
    ----------
    first_day
        Days from the in-service day to the first one. [d]
    days
        How many.
    """
    return _month(first_day + np.arange(days)).astype(np.int64)


@njit(**BRIEF)
def _month(day):  # pragma: no cover
    return np.floor(day / DAYS_PER_MONTH + 1e-9)


def monthly(daily: FloatArray, first_day: int) -> tuple[FloatArray, FloatArray]:
    """Sum days to months counted from the in-service day.

    Parameters
    ----------
    daily
        Shape (days, k), one row a day.
    first_day
        Days from the in-service day to the first row. [d]

    Returns
    -------
    tuple[FloatArray, FloatArray]
        Sums of shape (months, k) and days in each month, shape (months,), from the first month in service on. Sums run
        in time order.

    Raises
    ------
    ValueError
        The first row lies before the in-service day.

    Examples
    --------
    >>> sums, days = monthly(np.ones((60, 1)), 0)
    >>> sums[:, 0].tolist(), days.tolist()
    ([31.0, 29.0], [31.0, 29.0])
    """
    if first_day < 0:
        raise ValueError(f"months are counted from the in-service day: first_day must be 0 or more, got {first_day}.")
    n = int(month_of_day(first_day + daily.shape[0] - 1, 1)[0]) + 1 if daily.shape[0] else 0
    out, days = np.zeros((n, daily.shape[1])), np.zeros(n)
    _sum_months(np.ascontiguousarray(daily, dtype=float), first_day, out, days)
    return out, days


@njit(**BRIEF)
def _sum_months(daily, first_day, out, days):  # pragma: no cover
    """Add each day to the month it begins in."""
    i, n = 0, daily.shape[0]
    while i < n:
        m = int(_month(first_day + i))
        end = min(max(int((m + 1) * DAYS_PER_MONTH) - first_day - 1, i + 1), n)  # surely of this month
        while end < n and _month(first_day + end) == m:
            end += 1
        days[m] = end - i
        for d in range(i, end):
            for k in range(daily.shape[1]):
                out[m, k] += daily[d, k]
        i = end


def year_exposures(duty: Duty, pack: Pack, laws: Sequence[Law]) -> dict[str, FloatArray]:
    """Exposures of a representative year of 52 weeks as 12 periods of a month each.

    The 364 days are cut into 12 equal spans (days that straddle are shared by time) and scaled to 365.25 days a year.

    Returns
    -------
    dict[str, FloatArray]
        law_id -> shape (12, k).

    Raises
    ------
    ValueError
        The duty does not last 364 days.
    """
    return {law_id: levels[0] for law_id, levels in level_exposures((duty,), pack, laws).items()}


def level_exposures(duties: Sequence[Duty], pack: Pack, laws: Sequence[Law]) -> dict[str, FloatArray]:
    """`year_exposures` of one policy's years at several present capacities.

    Returns
    -------
    dict[str, FloatArray]
        law_id -> shape (duties, 12, k).

    Raises
    ------
    ValueError
        A duty does not last 364 days.
    """
    daily = _of_each(duties, pack, laws)
    return {law.law_id: np.stack([twelve_periods(one[law.law_id]) for one in daily]) for law in laws}


def twelve_periods(daily: FloatArray) -> FloatArray:
    """Daily rows of a representative year, shape (364, k), to 12 periods of 30.4375 days, shape (12, k)."""
    days = REPRESENTATIVE_WEEKS * 7
    if daily.shape[0] != days:
        raise ValueError(f"A representative year has {days} days, got {daily.shape[0]}.")
    out = np.zeros((MONTHS, daily.shape[1]))
    _share_days(np.ascontiguousarray(daily, dtype=float), days / MONTHS, DAYS_PER_YEAR / days, out)
    return out


@njit(**BRIEF)
def _share_days(daily, length, scale, out):  # pragma: no cover
    """Add each day to the period it begins in, and what lies beyond that one's end to the next."""
    for day in range(daily.shape[0]):
        period = min(int(day / length), out.shape[0] - 1)
        own = min((period + 1) * length - day, 1.0)
        for k in range(daily.shape[1]):
            out[period, k] += own * scale * daily[day, k]
        if own < 1.0 and period + 1 < out.shape[0]:
            for k in range(daily.shape[1]):
                out[period + 1, k] += (1.0 - own) * scale * daily[day, k]


def fill_days(days: np.ndarray, values: FloatArray, life_days: int, in_service: date) -> tuple[FloatArray, float]:
    """Exposures of every day of a life: logged days as they are, others by the mean of their calendar month.

    A calendar month without a logged day is interpolated between its neighbours around the year.

    Parameters
    ----------
    days
        Logged days since the in-service day, increasing, shape (n,). [d]
    values
        Their exposures, shape (n, k).
    life_days
        Days from the in-service day to the as-of day, both included. [d]
    in_service
        The in-service day.

    Returns
    -------
    tuple[FloatArray, float]
        Shape (life_days, k), and the share of days that was filled. [1]

    Limits
    ------
    Driving and climate of the time before the logs are taken to be those of the logs.
    """
    out = np.zeros((life_days, values.shape[1]))
    if days.shape[0] == 0:
        return out, 1.0
    start = np.datetime64(in_service, "D")
    every = start + np.arange(life_days)
    month = every.astype("datetime64[M]").astype(np.int64) % MONTHS
    seen = month[days]
    known = np.unique(seen)
    means = np.stack([values[seen == m].mean(axis=0) for m in known])
    around = np.concatenate([known - MONTHS, known, known + MONTHS])
    means = np.concatenate([means, means, means])
    by_month = np.stack([np.interp(np.arange(MONTHS), around, means[:, k]) for k in range(values.shape[1])], axis=1)
    out[:] = by_month[month]
    out[days] = values
    return out, 1.0 - days.shape[0] / life_days
