"""Rows of the tables of the history step, and the way back from the tables to the models' types."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from models.domain import Duty, Pack, Readings, Use, Vehicle
from models.duty import MEASURED, Steps, build_duty, session_ah
from models.life import Life
from models.odometer import Odometer
from models.resistance_growth import ResistanceHistory
from models.sessions import KINDS, US_PER_DAY, Finding, Session, session_ids
from warehouse.store import Warehouse

# Tables of the step, and what of them it may delete.
TABLES = {
    "core_session": "",
    "core_duty_step": "",
    "core_capacity_reading": "",
    "core_resistance_reading": "",
    "core_odometer": "",
    "out_quality": "",
}
AMOUNTS = [f"{kind}_{side}" for kind in KINDS for side in ("in", "out")]


def _times(values: Any) -> pl.Series:
    return pl.Series(np.asarray(values, dtype=np.int64)).cast(pl.Datetime("us"))


def rows_of(
    vehicle: Vehicle, life: Life, km: list[Odometer], flags: tuple[str, ...], has_air: bool, source: str
) -> dict[str, pl.DataFrame]:
    """A frame for each of `TABLES` of one vehicle; ``flags`` hold for all its sessions, ``source`` names its logs."""
    vid = vehicle.vehicle_id
    findings = [*life.findings]
    if life.steps is not None and not has_air and bool(life.steps.temp_modelled.any()):
        findings.append(Finding("air_temperature_assumed", int(life.steps.temp_modelled.sum()), "no air series"))
    return {
        "core_session": _session_rows(vid, life.sessions, flags),
        "core_duty_step": _step_rows(vid, life.steps),
        "core_capacity_reading": _reading_rows(vehicle, life),
        "core_resistance_reading": _resistance_rows(vehicle, life),
        "core_odometer": _odometer_rows(vid, km),
        "out_quality": pl.DataFrame(
            {
                "source": pl.Series([source] * len(findings), dtype=pl.String),
                "rule": pl.Series([f.rule for f in findings], dtype=pl.String),
                "vehicle_id": pl.Series([vid] * len(findings), dtype=pl.String),
                "rows_touched": pl.Series([f.rows for f in findings], dtype=pl.Int64),
                "sessions_touched": pl.Series([f.sessions for f in findings], dtype=pl.Int64),
                "example": pl.Series([f.example for f in findings], dtype=pl.String),
                "examples": pl.Series([list(f.examples or (f.example,)) for f in findings], dtype=pl.List(pl.String)),
            }
        ),
    }


def _resistance_rows(vehicle: Vehicle, life: Life) -> pl.DataFrame:
    start = int(np.datetime64(vehicle.in_service_date, "us").astype(np.int64))
    found = life.resistance
    return pl.DataFrame(
        {
            "vehicle_id": pl.Series([vehicle.vehicle_id] * len(found), dtype=pl.String),
            "time_utc": _times([r.time_us for r in found]),
            "days_in_service": pl.Series([(r.time_us - start) / US_PER_DAY for r in found], dtype=pl.Float64),
            "resistance_ohm": pl.Series([r.resistance_ohm for r in found], dtype=pl.Float64),
            "sigma_ohm": pl.Series([r.sigma_ohm for r in found], dtype=pl.Float64),
            "shared_sigma_frac": pl.Series([r.shared_sigma_frac for r in found], dtype=pl.Float64),
            "temp_c": pl.Series([r.temp_c for r in found], dtype=pl.Float64),
            "step_s": pl.Series([r.step_s for r in found], dtype=pl.Float64),
            "steps": pl.Series([r.steps for r in found], dtype=pl.Int64),
        }
    )


def _odometer_rows(vid: str, km: list[Odometer]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "vehicle_id": pl.Series([vid] * len(km), dtype=pl.String),
            "time_utc": _times([o.time_us for o in km]),
            "odometer_km": pl.Series([o.km for o in km], dtype=pl.Float64),
            "odometer_low_km": pl.Series([o.low_km for o in km], dtype=pl.Float64),
            "odometer_high_km": pl.Series([o.high_km for o in km], dtype=pl.Float64),
            "modelled": pl.Series([o.modelled for o in km], dtype=pl.Boolean),
        }
    )


_NUMBERS = (
    "energy_in_battery_kwh",
    "energy_out_battery_kwh",
    "energy_in_meter_kwh",
    "energy_out_meter_kwh",
    "soc_start_frac",
    "soc_end_frac",
    "temp_mean_c",
    "distance_km",
)


def _lists(joined: list[str]) -> pl.Series:
    """Texts joined by bars as lists, empty texts as empty lists (far quicker than a series of Python lists)."""
    text = pl.Series("flags", joined, dtype=pl.String)
    empty = pl.lit([], dtype=pl.List(pl.String))
    return pl.DataFrame(text).select(
        pl.when(pl.col("flags") == "").then(empty).otherwise(pl.col("flags").str.split("|")).alias("flags")
    )["flags"]


def _session_rows(vid: str, sessions: list[Session], flags: tuple[str, ...]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "vehicle_id": pl.Series([vid] * len(sessions), dtype=pl.String),
            "session_id": pl.Series(session_ids(sessions, vid), dtype=pl.String),
            "session_ref": pl.Series([s.session_ref or None for s in sessions], dtype=pl.String),
            "kind": pl.Series([s.kind for s in sessions], dtype=pl.String),
            "start_utc": _times([s.start_us for s in sessions]),
            "end_utc": _times([s.end_us for s in sessions]),
            **{n: pl.Series([getattr(s, n) for s in sessions], dtype=pl.Float64) for n in _NUMBERS},
            "soc_inferred": pl.Series([s.soc_inferred for s in sessions], dtype=pl.Boolean),
            "plugged": pl.Series([s.plugged for s in sessions], dtype=pl.Boolean),
            "samples": pl.Series([s.samples for s in sessions], dtype=pl.Int64),
            "flags": _lists(["|".join(sorted({*s.flags, *flags})) for s in sessions]),
        }
    )


def _step_rows(vid: str, steps: Steps | None) -> pl.DataFrame:
    n = 0 if steps is None else steps.size
    if steps is None:
        amounts = dict.fromkeys([f"{a}_{u}" for u in ("ah", "kwh") for a in AMOUNTS], np.zeros(0))
        step_us, soc0, soc1, temp, residual, flow, filled, modelled, minutes, capacity = (
            *(np.zeros(0),) * 6, np.zeros(0, np.uint8), np.zeros(0, bool), 60, 0.0,
        )  # fmt: skip
    else:
        flat = {"ah": steps.ah.reshape(n, -1), "kwh": steps.kwh.reshape(n, -1)}
        amounts = {f"{a}_{u}": flat[u][:, k] for u in ("ah", "kwh") for k, a in enumerate(AMOUNTS)}
        step_us = steps.first_us + np.arange(n, dtype=np.int64) * steps.step_minutes * 60_000_000
        soc0, soc1, temp = steps.cell_soc_frac[:-1], steps.cell_soc_frac[1:], steps.temp_c
        residual, filled, modelled = steps.soc_residual_ah, steps.filled, steps.temp_modelled
        minutes, capacity, flow = steps.step_minutes, steps.capacity_ah, steps.flow_a
    return pl.DataFrame(
        {
            "vehicle_id": pl.Series([vid] * n, dtype=pl.String),
            "step_utc": _times(step_us),
            "step_minutes": pl.Series(np.full(n, minutes, dtype=np.int32)),
            "cell_soc_start_frac": soc0,
            "cell_soc_end_frac": soc1,
            "temp_c": temp,
            **amounts,
            "soc_residual_ah": residual,
            "capacity_ah": np.full(n, capacity),
            "filled": filled,
            "temp_modelled": modelled,
            "flow_a": flow,
        }
    )


def _reading_rows(vehicle: Vehicle, life: Life) -> pl.DataFrame:
    found = life.readings
    in_service = int(np.datetime64(vehicle.in_service_date, "us").astype(np.int64))
    numbers = ("soh_frac", "sigma_frac", "shared_sigma_frac", "capacity_ah", "swing_frac", "temp_c")
    return pl.DataFrame(
        {
            "vehicle_id": pl.Series([vehicle.vehicle_id] * len(found), dtype=pl.String),
            "time_utc": _times([r.time_us for r in found]),
            "days_in_service": pl.Series([(r.time_us - in_service) / US_PER_DAY for r in found], dtype=pl.Float64),
            "method": pl.Series([r.method for r in found], dtype=pl.String),
            **{n: pl.Series([getattr(r, n) for r in found], dtype=pl.Float64) for n in numbers},
            "bms_reported": pl.Series([r.bms_reported for r in found], dtype=pl.Boolean),
            "soc_inferred": pl.Series([False] * len(found), dtype=pl.Boolean),
            "pairs": pl.Series([r.pairs for r in found], dtype=pl.Int64),
        }
    )


# ---------------------------------------------------------------------- reading back
def load_sessions(wh: Warehouse, vehicle_id: str) -> list[Session]:
    """Sessions of a vehicle in time order."""
    names = list(Session.__dataclass_fields__)
    columns = [n.replace("_us", "_utc") for n in names]
    picked = [f"epoch_us({c})" if c in ("start_utc", "end_utc") else c for c in columns]
    rows = wh.rows(
        f"SELECT {', '.join(picked)} FROM core_session WHERE vehicle_id = ? ORDER BY start_utc, end_utc, kind",  # noqa: S608
        [vehicle_id],
    )
    floats = {*_NUMBERS}
    out: list[Session] = []
    for row in rows:
        values = dict(zip(names, row, strict=True))
        values |= {n: float("nan") for n in floats if values[n] is None}
        values["session_ref"] = values["session_ref"] or ""
        values["flags"] = tuple(values["flags"] or ())
        out.append(Session(**values))
    return out


def load_steps(wh: Warehouse, vehicle_id: str) -> Steps | None:
    """Duty steps of a vehicle as stored, None where there are none."""
    frame = wh.read("SELECT * FROM core_duty_step WHERE vehicle_id = ? ORDER BY step_utc", [vehicle_id])
    if frame.height == 0:
        return None
    n = frame.height

    def column(name: str) -> np.ndarray:
        return frame.get_column(name).to_numpy()

    soc = np.concatenate((column("cell_soc_start_frac"), column("cell_soc_end_frac")[-1:]))
    amounts = [
        np.ascontiguousarray(np.stack([column(f"{a}_{u}") for a in AMOUNTS], axis=1)).reshape(n, len(Use), 2)
        for u in ("ah", "kwh")
    ]
    return Steps(
        first_us=int(frame.get_column("step_utc").cast(pl.Int64)[0]),
        step_minutes=int(frame.get_column("step_minutes")[0]),
        cell_soc_frac=soc,
        temp_c=column("temp_c"),
        temp_modelled=column("temp_modelled"),
        ah=amounts[0],
        kwh=amounts[1],
        soc_residual_ah=column("soc_residual_ah"),
        capacity_ah=float(frame.get_column("capacity_ah")[0]),
        filled=column("filled"),
        flow_a=column("flow_a"),
    )


def load_duty(wh: Warehouse, vehicle: Vehicle, pack: Pack) -> Duty:
    """Duty of a vehicle for the laws of ageing: whole UTC days of hours, gaps filled and marked.

    Raises
    ------
    LookupError
        The vehicle has no history yet.
    """
    steps = load_steps(wh, vehicle.vehicle_id)
    if steps is None:
        raise LookupError(f"Vehicle {vehicle.vehicle_id} has no duty; take its logs in and run a night.")
    modelled = None
    if not bool((steps.filled == MEASURED).any()) and not bool(steps.ah.any()):
        sessions = load_sessions(wh, vehicle.vehicle_id)
        modelled = session_ah(sessions, pack, steps.capacity_ah, steps.first_us, steps.size, steps.step_minutes)
    return build_duty(steps, modelled)


def load_readings(wh: Warehouse, vehicle: Vehicle) -> Readings:
    """Capacity readings of a vehicle in time order."""
    frame = wh.read(
        "SELECT days_in_service, soh_frac, sigma_frac, shared_sigma_frac, bms_reported FROM core_capacity_reading"
        " WHERE vehicle_id = ? AND NOT soc_inferred ORDER BY time_utc, method",
        [vehicle.vehicle_id],
    )
    names = ("days_in_service", "soh_frac", "sigma_frac", "shared_sigma_frac", "bms_reported")
    return Readings(*(frame.get_column(n).to_numpy() for n in names))


def load_resistance(wh: Warehouse, vehicle_id: str, days: float) -> ResistanceHistory:
    """Readings of resistance of a vehicle up to an age in days, in time order; empty where its log gives none."""
    frame = wh.read(
        "SELECT days_in_service / 365.25 AS years, resistance_ohm, sigma_ohm FROM core_resistance_reading"
        " WHERE vehicle_id = ? AND days_in_service BETWEEN 0 AND ? ORDER BY time_utc",
        [vehicle_id, days],
    )
    return ResistanceHistory(*(frame.get_column(n).to_numpy() for n in ("years", "resistance_ohm", "sigma_ohm")))
