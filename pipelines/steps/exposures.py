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

from models.domain import Duty, FloatArray, IntArray, Pack, Vehicle
from models.exposure_days import NOTHING, Known, day_keys, days_of_duty, known_rows, update_days
from models.laws.base import Law
from models.packs import fingerprint, pack_of
from pipelines.settings import Settings
from pipelines.steps.history import load_duty
from warehouse.store import Warehouse

AS_DRIVEN = "as_driven"
WHERE = "vehicle_id = ? AND law_id = ? AND policy_id = ?"
SUBJECT = "exposures"
_BATCH = 20


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
    """One vehicle and law: exposures of all days, which rows are new, which days are gone, how many were computed."""

    exposures: FloatArray
    new: IntArray
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
        with ThreadPoolExecutor(settings.workers) as pool:
            found = [f for some in pool.map(_compute, batch, duties, keys, known) for f in some]
        jobs = [(t, d, k, law) for t, d, k in zip(batch, duties, keys, strict=True) for law in t.laws]
        touched: dict[str, set[int]] = {}
        for (t, *_), result in zip(jobs, found, strict=True):
            touched.setdefault(t.vehicle.vehicle_id, set()).update(result.computed)
        _write(wh, jobs, found)
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
    return hashlib.sha256(history_version.encode() + fingerprint(pack)).hexdigest()[:16]


_Job = tuple[_Todo, Duty, list[str], Law]


def _stored(wh: Warehouse, t: _Todo) -> dict[str, Known]:
    """Law -> rows that its present version made."""
    version = {law.law_id: law.version for law in t.laws}
    frame = wh.read(
        "SELECT law_id, law_version, epoch(day)::BIGINT // 86400 AS day, duty_version, exposures FROM core_exposure_day"
        " WHERE vehicle_id = ? AND policy_id = ? ORDER BY law_id, day",
        [t.vehicle.vehicle_id, AS_DRIVEN],
    )
    out = dict.fromkeys(version, NOTHING)
    for law_id, law_version in version.items():
        mine = frame.filter((pl.col("law_id") == law_id) & (pl.col("law_version") == law_version))
        if mine.height:
            values = mine["exposures"].explode().to_numpy().reshape(mine.height, -1)
            out[law_id] = known_rows(mine["day"].to_list(), mine["duty_version"].to_list(), values)
    return out


def _compute(t: _Todo, duty: Duty, keys: list[str], stored: dict[str, Known]) -> list[_Found]:
    """One vehicle under its laws, in their order."""
    updated = update_days(t.laws, duty, t.pack, keys, stored)
    days = days_of_duty(duty)
    out: list[_Found] = []
    for law in t.laws:
        u = updated[law.law_id]
        if not np.isfinite(u.exposures).all():
            name = t.vehicle.vehicle_id
            raise ValueError(f"Law {law.law_id} gives exposures that are not finite for vehicle {name}.")
        computed = {days[i] for i in u.computed} if law.day_by_day else set[int]()
        gone = sorted(set(stored[law.law_id].keys) - set(days))
        out.append(_Found(u.exposures, u.new, gone, computed, law.range_check(duty, t.pack).outside_frac))
    return out


def _write(wh: Warehouse, jobs: list[_Job], found: list[_Found]) -> None:
    """Rows of a batch, what belongs to lives, and the versions it was made of, in one transaction."""
    rows, lives, old = [], [], []
    for (t, duty, keys, law), result in zip(jobs, found, strict=True):
        days = days_of_duty(duty)
        at = {"vehicle_id": t.vehicle.vehicle_id, "law_id": law.law_id, "policy_id": AS_DRIVEN}
        named = [pl.lit(value).alias(name) for name, value in (at | {"law_version": law.version}).items()]
        day = pl.Series("day", [days[i] for i in result.new], dtype=pl.Int32)
        key = pl.Series("duty_version", [keys[i] for i in result.new], dtype=pl.String)
        values = pl.Series("exposures", result.exposures[result.new]).arr.to_list()
        rows.append(pl.DataFrame([day.cast(pl.Date), key, values]).with_columns(named))
        gone = pl.Series("day", [*result.gone, *day], dtype=pl.Int32).cast(pl.Date)
        old.append(pl.DataFrame([gone]).with_columns(named))
        whole = hashlib.sha256("".join([*keys, repr(duty.capacity_ah)]).encode()).hexdigest()[:16]
        life = {"law_version": law.version, "duty_version": whole, "days": float(len(days))}
        lives.append(at | life | {"outside_frac": result.outside_frac})
    of_law = "d.vehicle_id = l.vehicle_id AND d.law_id = l.law_id AND d.policy_id = l.policy_id"
    states = {t.vehicle.vehicle_id: t.version for t, *_ in jobs}
    versions = pl.DataFrame({"vehicle_id": list(states), "subject": SUBJECT, "version": list(states.values())})
    with wh.transaction():
        _delete(wh, "core_exposure_day", pl.DataFrame(lives), f"{of_law} AND d.law_version <> l.law_version")
        _delete(wh, "core_exposure_day", pl.concat(old), f"{of_law} AND d.day = l.day")
        wh.append("core_exposure_day", pl.concat(rows))
        _delete(wh, "core_exposure_life", pl.DataFrame(lives), of_law)
        wh.append("core_exposure_life", pl.DataFrame(lives))
        _delete(wh, "meta_state", versions, "d.vehicle_id = l.vehicle_id AND d.subject = l.subject")
        wh.append("meta_state", versions)


def _delete(wh: Warehouse, table: str, frame: pl.DataFrame, where: str) -> None:
    wh.con.register("_old", frame)
    try:
        wh.con.execute(f"DELETE FROM {table} d USING _old l WHERE {where}")  # noqa: S608 - our names
    finally:
        wh.con.unregister("_old")
