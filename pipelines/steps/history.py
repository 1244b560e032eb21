"""Logs to sessions, duty, capacity readings and odometer: the step that reads raw parts.

Vehicles are read one after the other (one process owns the warehouse), computed in threads and written in batches,
one transaction each. A vehicle is made anew only when what it depends on changed: its parts, its registration, the
air series it needs, the rules.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.domain import FloatArray, Home, IntArray, Pack, Vehicle
from models.life import Life, life_of
from models.odometer import Odometer, odometer_of
from models.packs import fingerprint, pack_of
from models.parameters import entry
from models.rested import CellCurve
from models.sessions import STATES, UNKNOWN, Finding, RawSession, Rules, Samples, merged, rules
from models.thermal import air_at_steps
from pipelines.settings import Settings
from pipelines.steps.fleet import load_homes, load_vehicles
from pipelines.steps.history_logged import SENTINELS, logged_findings
from pipelines.steps.history_rows import TABLES, load_duty, load_readings, load_sessions, load_steps, rows_of
from warehouse.fleetfile import odometer_readings
from warehouse.logbook import Logged, logbook
from warehouse.store import Warehouse

SUBJECT = "history"
# Raise when code changes what a vehicle's history is.
HISTORY_VERSION = 14
STEP_MINUTES = 60
# Samples of the vehicles that are held in memory at the same time (about 300 bytes each); one vehicle may have more.
BATCH_SAMPLES = 3_000_000
DAY_TOLERANCE = timedelta(hours=1)


@dataclass(frozen=True)
class HistoryResult:
    """What the step did, and one sentence about it."""

    vehicles: tuple[str, ...]
    unregistered: tuple[str, ...]
    sessions: int
    readings: int
    findings: int

    @property
    def sentence(self) -> str:
        """For the log of a night."""
        if not self.vehicles:
            text = "no vehicle has new data."
        else:
            text = (
                f"{len(self.vehicles)} vehicles, {self.sessions} sessions, {self.readings} capacity readings, "
                f"{self.findings} rows touched by quality rules."
            )
        if self.unregistered:
            text += f" {len(self.unregistered)} vehicles in the logs are not registered (`fadecast fleet`)."
        return text


@dataclass(frozen=True, eq=False)
class _Job:
    vehicle: Vehicle
    pack: Pack
    curve: CellCurve
    samples: Samples
    logged: list[RawSession]
    air_hour: FloatArray
    air_c: FloatArray
    typical_year: bool
    known_km: list[Odometer]
    flags: tuple[str, ...]
    logged_findings: tuple[Finding, ...]
    source: str
    version: str


@dataclass(frozen=True, eq=False)
class _Inputs:
    wh: Warehouse
    settings: Settings
    homes: dict[str, Home]
    rule: Rules
    km: dict[str, list[Odometer]]
    end: date | None
    logged: dict[str, Logged]
    spans: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)

    def air_span(self, series: str) -> list[tuple[Any, ...]]:
        """Hours of an air series, the first and the last."""
        if series not in self.spans:
            asked = "SELECT count(*), min(time_utc), max(time_utc) FROM core_air_hour WHERE air_series_id = ?"
            self.spans[series] = self.wh.rows(asked, [series])
        return self.spans[series]

    def air_series(self, vehicle: Vehicle) -> str:
        home = self.homes.get(vehicle.home_id)
        return home.air_series_id if home is not None else ""


def build_history(wh: Warehouse, settings: Settings) -> HistoryResult:
    """Make sessions, duty steps, capacity readings and odometer rows of the vehicles whose inputs changed.

    Returns
    -------
    HistoryResult
        Vehicles touched, and vehicles with logs that nobody registered.
    """
    rule = rules(settings.home)
    vehicles = load_vehicles(wh)
    logged = logbook(wh)
    inputs = _Inputs(wh, settings, load_homes(wh), rule, _fleet_km(wh), cut_after(wh), logged)
    versions = {v: _version(inputs, vehicles[v]) for v in logged if v in vehicles}
    known = dict(wh.rows("SELECT vehicle_id, version FROM meta_state WHERE subject = ? ORDER BY 1", [SUBJECT]))
    dirty = [v for v in logged if v in versions and known.get(v) != versions[v]]
    gone = sorted(set(known) - set(versions))
    if gone:
        with wh.transaction():
            _forget(wh, gone)
    counts = np.zeros(3, dtype=np.int64)
    with ThreadPoolExecutor(settings.workers) as pool:
        for batch in _batches(logged, dirty, settings.batch_vehicles):
            # While one is computed the next is read.
            futures = [pool.submit(_made, _job(inputs, vehicles[v], versions[v]), rule) for v in batch]
            counts += _write(wh, [future.result() for future in futures])
    unregistered = tuple(v for v in logged if v not in vehicles)
    return HistoryResult(tuple(dirty), unregistered, int(counts[0]), int(counts[1]), int(counts[2]))


def _batches(logged: dict[str, Logged], ids: list[str], vehicles: int) -> list[list[str]]:
    """Vehicles in turn, so many at once that their samples fit into memory."""
    batches: list[list[str]] = []
    held = 0
    for vehicle_id in ids:
        n = logged[vehicle_id].rows
        if not batches or len(batches[-1]) >= vehicles or held + n > BATCH_SAMPLES:
            batches.append([])
            held = 0
        batches[-1].append(vehicle_id)
        held += n
    return batches


def curve_of(vehicle: Vehicle, settings: Settings) -> CellCurve:
    """Whether the OCV of a vehicle's cell is known, and how well."""
    cell = entry("cells", vehicle.cell_id, settings.home)
    return CellCurve(bool(cell["ocv_known"].value), cell.number("ocv_sigma_v"))


def cut_after(wh: Warehouse) -> date | None:
    """End of the as-of day where that lies before the end of the data, else None."""
    last = wh.scalar("SELECT max(last_utc) FROM meta_part WHERE kind IN ('samples', 'sessions')")
    if last is None:
        return None
    as_of = wh.as_of()
    if as_of >= (last + DAY_TOLERANCE).date() - timedelta(days=1):
        return None
    return as_of + timedelta(days=1)


def _version(inputs: _Inputs, vehicle: Vehicle) -> str:
    parts = inputs.logged[vehicle.vehicle_id].parts
    series = inputs.air_series(vehicle)
    air = inputs.air_span(series)
    pack = pack_of(vehicle, inputs.settings.home)
    curve = curve_of(vehicle, inputs.settings)
    known = inputs.km.get(vehicle.vehicle_id)
    h = hashlib.sha256(f"{HISTORY_VERSION}|{inputs.rule.version}|{parts}|{vehicle}|{series}|{air}".encode())
    h.update(f"{inputs.end}|{curve.known}|{curve.sigma_v}|{known}".encode())
    h.update(fingerprint(pack))
    return h.hexdigest()[:16]


def _fleet_km(wh: Warehouse) -> dict[str, list[Odometer]]:
    """Dated readings of the fleet files by vehicle."""
    out: dict[str, list[Odometer]] = {}
    frame = odometer_readings(wh).select("vehicle_id", pl.col("time_utc").cast(pl.Int64), "odometer_km")
    for vehicle_id, time_us, km in frame.iter_rows():
        out.setdefault(vehicle_id, []).append(Odometer(time_us, km, km, km, False))
    return out


def samples_of(frame: pl.DataFrame) -> Samples:
    """Raw samples of one vehicle (columns of the raw parts, in time order) as arrays."""
    ref = _runs(frame, "session_ref")
    names = ref.texts.set(ref.texts.is_in(SENTINELS), None)
    refs = tuple(sorted(names.drop_nulls().unique().to_list()))
    code = {name: i for i, name in enumerate(refs)}
    state, logger = _runs(frame, "state"), _runs(frame, "logger")
    number = state.texts.replace_strict(STATES, default=UNKNOWN, return_dtype=pl.Int8).fill_null(UNKNOWN)
    return Samples(
        time_us=frame.get_column("time_utc").cast(pl.Int64).to_numpy(),
        state=state.of(number),
        charger=logger.of((logger.texts == "charger").fill_null(value=False)),
        ref=ref.of(names.replace_strict(code, default=-1, return_dtype=pl.Int64).fill_null(-1)),
        refs=refs,
        meter=frame.get_column("meter").to_numpy() if "meter" in frame.columns else np.zeros(frame.height, np.int64),
        **{n: frame.get_column(n).fill_null(float("nan")).to_numpy() for n in Samples.CHANNELS},
    )


@dataclass(frozen=True)
class _Runs:
    """Texts of a column that says the same in many rows after one another."""

    texts: pl.Series
    lengths: IntArray

    def of(self, values: pl.Series) -> NDArray[Any]:
        """What each run has, row by row."""
        return np.repeat(values.to_numpy(), self.lengths)


def _runs(frame: pl.DataFrame, name: str) -> _Runs:
    runs = frame.get_column(name).rle().struct.unnest()
    return _Runs(runs.get_column("value"), runs.get_column("len").cast(pl.Int64).to_numpy())


def logged_of(frame: pl.DataFrame) -> list[RawSession]:
    """Raw sessions of one vehicle as objects."""
    names = ("session_ref", "kind", "energy_in_meter_kwh", "energy_out_meter_kwh", "soc_start_frac", "soc_end_frac")
    times = [frame.get_column(n).cast(pl.Int64).to_list() for n in ("start_utc", "end_utc")]
    columns = [frame.get_column(n).to_list() for n in (*names, "shared", "flags", "logger")]
    out: list[RawSession] = []
    for start, end, ref, kind, e_in, e_out, s0, s1, shared, flags, logger in zip(*times, *columns, strict=True):
        name = "" if ref is None or ref in SENTINELS else ref
        marks = tuple(flags or ())
        out.append(RawSession(name, kind, start, end, e_in, e_out, s0, s1, bool(shared), marks, logger or "car"))
    return out


def _job(inputs: _Inputs, vehicle: Vehicle, version: str) -> _Job:
    wh, settings = inputs.wh, inputs.settings
    log = inputs.logged[vehicle.vehicle_id]
    samples, late = wh.samples_and_late(vehicle.vehicle_id, log)
    logged = wh.sessions(vehicle.vehicle_id, log)
    if inputs.end is not None:
        end = pl.lit(inputs.end).cast(pl.Datetime("us"))
        samples, logged = samples.filter(pl.col("time_utc") <= end), logged.filter(pl.col("start_utc") < end)
    air = wh.read(
        "SELECT epoch_us(time_utc) // 3600000000 AS hour, air_temp_c, typical_year FROM core_air_hour"
        " WHERE air_series_id = ? ORDER BY hour",
        [inputs.air_series(vehicle)],
    )
    return _Job(
        vehicle=vehicle,
        pack=pack_of(vehicle, settings.home),
        curve=curve_of(vehicle, settings),
        samples=samples_of(samples),
        logged=logged_of(logged),
        air_hour=air.get_column("hour").cast(pl.Float64).to_numpy(),
        air_c=air.get_column("air_temp_c").cast(pl.Float64).fill_null(float("nan")).to_numpy(),
        typical_year=bool(air.height and air.get_column("typical_year")[0]),
        known_km=inputs.km.get(vehicle.vehicle_id, []),
        flags=log.flags,
        logged_findings=logged_findings(samples, logged, late),
        source=" + ".join(log.formats),
        version=version,
    )


def _live(job: _Job, rule: Rules) -> tuple[Life, list[Odometer]]:
    def air(first_us: int, steps: int) -> FloatArray:
        hour = first_us // 3_600_000_000 + np.arange(steps) * STEP_MINUTES // 60
        default = rule("cut", "default_air_c")
        return air_at_steps(job.air_hour, job.air_c, hour.astype(np.float64), job.typical_year, default)

    life = life_of(
        job.samples,
        job.logged,
        job.pack,
        job.curve,
        rule,
        air,
        job.vehicle.consumption_wh_per_km,
        STEP_MINUTES,
        dated="date_assumed" not in job.flags,
    )
    in_service = int(np.datetime64(job.vehicle.in_service_date, "us").astype(np.int64))
    return life, odometer_of(life, job.known_km, in_service, rule)


def _forget(wh: Warehouse, ids: list[str]) -> None:
    """Remove all rows of the step for some vehicles."""
    marks = ", ".join("?" * len(ids))
    for table, extra in TABLES.items():
        wh.con.execute(f"DELETE FROM {table} WHERE vehicle_id IN ({marks}){extra}", ids)  # noqa: S608
    wh.con.execute(f"DELETE FROM meta_state WHERE subject = '{SUBJECT}' AND vehicle_id IN ({marks})", ids)  # noqa: S608


@dataclass(frozen=True, eq=False)
class _Made:
    vehicle_id: str
    version: str
    frames: dict[str, pl.DataFrame]
    counts: tuple[int, int, int]


def _made(job: _Job, rule: Rules) -> _Made:
    """Rows of a vehicle; its samples are needed no longer."""
    life, km = _live(job, rule)
    counts = len(life.sessions), len(life.readings), sum(f.rows for f in life.findings)
    life = replace(life, findings=merged([*life.findings, *job.logged_findings]))
    frames = rows_of(job.vehicle, life, km, job.flags, bool(job.air_hour.shape[0]), job.source)
    return _Made(job.vehicle.vehicle_id, job.version, frames, counts)


def _write(wh: Warehouse, made: list[_Made]) -> IntArray:
    ids = [one.vehicle_id for one in made]
    with wh.transaction():
        _forget(wh, ids)
        for table in TABLES:
            wh.append(table, pl.concat([one.frames[table] for one in made]))
        state = {"vehicle_id": ids, "subject": [SUBJECT] * len(ids), "version": [one.version for one in made]}
        wh.append("meta_state", pl.DataFrame(state))
    return np.array([one.counts for one in made], dtype=np.int64).sum(axis=0)


__all__ = [
    "HistoryResult",
    "build_history",
    "load_duty",
    "load_homes",
    "load_readings",
    "load_sessions",
    "load_steps",
    "load_vehicles",
    "logged_of",
    "samples_of",
]
