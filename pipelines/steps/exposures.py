"""Exposures of the past: computed once, and again on the days whose duty changed.

Late data make a vehicle's duty anew; days whose duty came out the same to the last bit keep their stored rows. Laws
that count cycles over the whole life (`models.laws.base.Law.day_by_day` false) pass over it again, which is cheap; of
them too only rows that changed are written. Each batch of vehicles commits, so that a broken backfill goes on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import polars as pl

from models.domain import Duty, FloatArray, Pack, Vehicle
from models.exposure_days import day_keys, days_of_duty, update_days
from models.laws.base import Law
from models.packs import pack_of
from pipelines.settings import Settings
from pipelines.steps.history import load_duty
from warehouse.store import Warehouse

AS_DRIVEN = "as_driven"
WHERE = "vehicle_id = ? AND law_id = ? AND policy_id = ?"
SUBJECT = "exposures"
_BATCH = 50


@dataclass(frozen=True)
class Computed:
    """Vehicles whose exposures were looked at again, and on how many days those of day-by-day laws were computed."""

    vehicles: int
    days: int


@dataclass(frozen=True, eq=False)
class _Todo:
    vehicle: Vehicle
    pack: Pack
    version: str
    laws: list[Law]


@dataclass(frozen=True, eq=False)
class _Found:
    """Rows of one vehicle and law: all of them, which differ from the stored ones, how many were computed."""

    exposures: FloatArray
    changed: list[int]
    gone: list[int]
    computed: set[int]
    outside_frac: float


def update_exposures(
    wh: Warehouse, settings: Settings, vehicles: Mapping[str, Vehicle], laws: Mapping[str, Sequence[Law]]
) -> Computed:
    """Bring ``core_exposure_day`` and ``core_exposure_life`` up to date with the duty and the laws.

    Raises
    ------
    ValueError
        A law gives exposures that are not finite.
    """
    todo = _todo(wh, settings, vehicles, laws)
    days = 0
    for start in range(0, len(todo), _BATCH):
        batch = todo[start : start + _BATCH]
        duties = [load_duty(wh, t.vehicle, t.pack) for t in batch]
        keys = [day_keys(duty, t.pack) for duty, t in zip(duties, batch, strict=True)]
        known = [_stored(wh, t) for t in batch]
        jobs = [(t, d, k, s, law) for t, d, k, s in zip(batch, duties, keys, known, strict=True) for law in t.laws]
        with ThreadPoolExecutor(settings.workers) as pool:
            found = list(pool.map(lambda j: _compute(*j), jobs))
        touched: dict[str, set[int]] = {}
        state = {"vehicle_id": [t.vehicle.vehicle_id for t in batch], "version": [t.version for t in batch]}
        with wh.transaction():
            for (t, duty, key, _, law), result in zip(jobs, found, strict=True):
                _write(wh, t, law, duty, key, result)
                touched.setdefault(t.vehicle.vehicle_id, set()).update(result.computed)
            wh.write(
                "meta_state",
                pl.DataFrame(state).with_columns(subject=pl.lit(SUBJECT)),
                "subject = ? AND vehicle_id IN (SELECT unnest(?))",
                [SUBJECT, state["vehicle_id"]],
            )
        days += sum(len(x) for x in touched.values())
    return Computed(len(todo), days)


def _todo(
    wh: Warehouse, settings: Settings, vehicles: Mapping[str, Vehicle], laws: Mapping[str, Sequence[Law]]
) -> list[_Todo]:
    """What has to be looked at: law or duty are not those of the stored life, or rows of it are missing."""
    versions, done = (
        dict(wh.rows("SELECT vehicle_id, version FROM meta_state WHERE subject = ? ORDER BY vehicle_id", [subject]))
        for subject in ("history", SUBJECT)
    )
    lives = {
        (v, law_id): rest
        for v, law_id, *rest in wh.rows(
            "SELECT vehicle_id, law_id, law_version, days::BIGINT FROM core_exposure_life"
            " WHERE policy_id = ? ORDER BY ALL",
            [AS_DRIVEN],
        )
    }
    held = {
        (v, law_id): n
        for v, law_id, n in wh.rows(
            "SELECT vehicle_id, law_id, count(*) FROM core_exposure_day WHERE policy_id = ? GROUP BY ALL ORDER BY ALL",
            [AS_DRIVEN],
        )
    }
    out: list[_Todo] = []
    wanted: set[tuple[str, str]] = set()
    for vehicle_id, vehicle in vehicles.items():
        pack = pack_of(vehicle, settings.home)
        version = _version(versions.get(vehicle_id, ""), pack)
        dirty: list[Law] = []
        for law in laws[vehicle.cohort_id]:
            key = (vehicle_id, law.law_id)
            wanted.add(key)
            if done.get(vehicle_id) != version or lives.get(key) != [law.version, held.get(key, 0)]:
                dirty.append(law)
        if dirty:
            out.append(_Todo(vehicle, pack, version, dirty))
    with wh.transaction():
        for vehicle_id, law_id in sorted({*lives, *held} - wanted):
            for table in ("core_exposure_day", "core_exposure_life"):
                wh.con.execute(f"DELETE FROM {table} WHERE {WHERE}", [vehicle_id, law_id, AS_DRIVEN])  # noqa: S608
        for vehicle_id in sorted(set(done) - set(vehicles)):
            wh.con.execute("DELETE FROM meta_state WHERE subject = ? AND vehicle_id = ?", [SUBJECT, vehicle_id])
    return out


def _version(history_version: str, pack: Pack) -> str:
    h = hashlib.sha256(history_version.encode())
    scalars = {n: getattr(pack, n) for n in Pack.__dataclass_fields__ if n != "ocv"}
    h.update(repr(sorted(scalars.items())).encode())
    h.update(pack.ocv.ocv_v.tobytes())
    return h.hexdigest()[:16]


_Rows = dict[int, tuple[str, list[float]]]


def _stored(wh: Warehouse, t: _Todo) -> dict[str, _Rows]:
    """Law -> day since 1970 -> key and exposures, of the rows that the law's present version made."""
    out: dict[str, _Rows] = {law.law_id: {} for law in t.laws}
    version = {law.law_id: law.version for law in t.laws}
    for law_id, law_version, day, key, exposures in wh.rows(
        "SELECT law_id, law_version, epoch(day)::BIGINT // 86400, duty_version, exposures FROM core_exposure_day"
        " WHERE vehicle_id = ? AND policy_id = ? ORDER BY law_id, day",
        [t.vehicle.vehicle_id, AS_DRIVEN],
    ):
        if version.get(law_id) == law_version:
            out[law_id][day] = (key, exposures)
    return out


def _compute(t: _Todo, duty: Duty, keys: list[str], stored: dict[str, _Rows], law: Law) -> _Found:
    known = stored[law.law_id]
    exposures, computed = update_days(law, duty, t.pack, keys, known)
    if not np.isfinite(exposures).all():
        raise ValueError(f"Law {law.law_id} gives exposures that are not finite for vehicle {t.vehicle.vehicle_id}.")
    days = days_of_duty(duty)
    same = [known.get(day) == (key, row) for day, key, row in zip(days, keys, exposures.tolist(), strict=True)]
    return _Found(
        exposures,
        [i for i, stays in enumerate(same) if not stays],
        sorted(set(known) - set(days)),
        {days[i] for i in computed} if law.day_by_day else set(),
        law.range_check(duty, t.pack).outside_frac,
    )


def _write(wh: Warehouse, t: _Todo, law: Law, duty: Duty, keys: list[str], found: _Found) -> None:
    key = [t.vehicle.vehicle_id, law.law_id, AS_DRIVEN]
    days = days_of_duty(duty)
    names = {
        "vehicle_id": pl.lit(t.vehicle.vehicle_id),
        "law_id": pl.lit(law.law_id),
        "policy_id": pl.lit(AS_DRIVEN),
        "law_version": pl.lit(law.version),
    }
    rows = pl.DataFrame(
        {
            "day": pl.Series([days[i] for i in found.changed], dtype=pl.Int32).cast(pl.Date),
            "duty_version": pl.Series([keys[i] for i in found.changed], dtype=pl.String),
            "exposures": pl.Series(found.exposures[found.changed].tolist(), dtype=pl.List(pl.Float64)),
        }
    ).with_columns(**names)
    # Rows of another version of the law go too: their days are not among the known ones.
    old = [*found.gone, *(days[i] for i in found.changed)]
    where = f"{WHERE} AND (law_version <> ? OR epoch(day)::BIGINT // 86400 IN (SELECT unnest(?)))"
    wh.write("core_exposure_day", rows, where, [*key, law.version, old])
    whole = hashlib.sha256("".join([*keys, repr(duty.capacity_ah)]).encode()).hexdigest()[:16]
    life = pl.DataFrame(
        {"duty_version": [whole], "days": [float(len(days))], "outside_frac": [found.outside_frac]}
    ).with_columns(**names)
    wh.write("core_exposure_life", life, WHERE, key)
