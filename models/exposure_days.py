"""Exposures of the days whose duty changed: all others are those computed before.

A key is a hash of what a law that works day by day reads for a day. Where key and version of the law are those of a
stored row, the row is what a computation from new would give, to the last bit (tests/test_exposure_days.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.domain import BoolArray, Duty, FloatArray, IntArray, Pack
from models.exposure import daily_exposures
from models.laws.base import Law
from models.packs import fingerprint


def day_keys(duty: Duty, pack: Pack) -> list[str]:
    """Hash of each day's duty as laws that work day by day read it: the day, one step on either side, the pack.

    The capacity that the duty's SOC refers to is left out: such laws do not read it, and it moves with every reading.
    """
    per_day = _per_day(duty)
    head = hashlib.sha256(f"{duty.step_minutes}|{duty.flow_a is None}|".encode() + fingerprint(pack))
    soc, temp, current = (np.ascontiguousarray(x) for x in (duty.cell_soc_frac, duty.temp_c, duty.current_a))
    flow = np.empty(0) if duty.flow_a is None else np.ascontiguousarray(duty.flow_a)
    out: list[str] = []
    for first in range(0, duty.steps, per_day):
        last = min(first + per_day, duty.steps)
        h = head.copy()
        h.update(f"{first == 0}|{last == duty.steps}|".encode())
        h.update(soc[max(first - 1, 0) : last + 2].tobytes() + temp[first:last].tobytes())
        h.update(current[first:last].tobytes() + flow[first:last].tobytes())
        out.append(h.hexdigest()[:16])
    return out


def days_of_duty(duty: Duty) -> list[int]:
    """Days since 1970-01-01 of a duty's rows of exposures."""
    first = int(duty.start_utc.astype("datetime64[D]").astype(np.int64))
    return list(range(first, first + -(-duty.steps // _per_day(duty))))


@dataclass(frozen=True, eq=False)
class Known:
    """Rows computed before by the same version of a law: days since 1970-01-01 and their keys, and exposures (n, k)."""

    keys: Mapping[int, str]
    place: Mapping[int, int]
    exposures: FloatArray


NOTHING = Known({}, {}, np.empty((0, 0)))


def known_rows(days: Sequence[int], keys: Sequence[str], exposures: FloatArray) -> Known:
    """Rows as `Known`."""
    places = dict(zip(days, range(len(days)), strict=True))
    return Known(dict(zip(days, keys, strict=True)), places, exposures)


@dataclass(frozen=True, eq=False)
class Updated:
    """Daily exposures of a law, shape (days, k); places of days that were computed, and of those with another row."""

    exposures: FloatArray
    computed: IntArray
    new: IntArray


def update_days(
    laws: Sequence[Law], duty: Duty, pack: Pack, keys: Sequence[str], known: Mapping[str, Known]
) -> dict[str, Updated]:
    """Exposures of all days of a duty, computed where no known row has the day's key.

    Parameters
    ----------
    keys
        From `day_keys`.
    known
        law_id -> known rows (none where it is missing).

    Returns
    -------
    dict[str, Updated]
        law_id -> exposures. For a law that does not work day by day all days are computed.
    """
    days = days_of_duty(duty)
    whole: list[Law] = []
    some: dict[bytes, list[Law]] = {}
    stays: dict[str, BoolArray] = {}
    for law in laws:
        there = known.get(law.law_id, NOTHING).keys
        same = np.array([there.get(day) == key for day, key in zip(days, keys, strict=True)], dtype=bool)
        stays[law.law_id] = same
        if law.day_by_day and same.any():
            some.setdefault(same.tobytes(), []).append(law)
        else:
            whole.append(law)
    out: dict[str, Updated] = {}
    for law_id, exposures in daily_exposures(duty, pack, whole).items():
        same, rows = stays[law_id], known.get(law_id, NOTHING)
        if same.any():
            here = np.flatnonzero(same)
            same[here] = (exposures[here] == rows.exposures[[rows.place[days[i]] for i in here]]).all(axis=1)
        out[law_id] = Updated(exposures, np.arange(len(days)), np.flatnonzero(~same))
    for group in some.values():
        out |= _some_days(group, duty, pack, stays[group[0].law_id], known, days)
    return out


def _some_days(
    laws: Sequence[Law], duty: Duty, pack: Pack, stays: BoolArray, known: Mapping[str, Known], days: Sequence[int]
) -> dict[str, Updated]:
    """Day-by-day laws of which the same days stay: the others in runs, each with the day before and the step after."""
    here, again = np.flatnonzero(stays), np.flatnonzero(~stays)
    found = {law.law_id: np.empty((len(days), len(law.exposure_names))) for law in laws}
    for law_id, rows in found.items():
        old = known[law_id]
        rows[here] = old.exposures[[old.place[days[i]] for i in here]]
    for run in np.split(again, np.flatnonzero(np.diff(again) > 1) + 1):
        if run.shape[0]:
            lead = min(int(run[0]), 1)
            part = daily_exposures(_cut(duty, int(run[0]) - lead, int(run[-1]) + 1), pack, laws)
            for law_id, rows in part.items():
                found[law_id][run] = rows[lead : lead + run.shape[0]]
    return {law_id: Updated(rows, again, again) for law_id, rows in found.items()}


def _per_day(duty: Duty) -> int:
    return 24 * 60 // duty.step_minutes


def _cut(duty: Duty, first_day: int, end_day: int) -> Duty:
    """Days of a duty and the one step after them."""
    per_day = _per_day(duty)
    return duty.part(first_day * per_day, min(end_day * per_day + 1, duty.steps))
