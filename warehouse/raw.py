"""Raw canonical kinds: the columns of the immutable Parquet parts, and the core tables made from them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from pathlib import Path

    from warehouse.store import Warehouse

_T, _F, _S, _B, _L, _I = pl.Datetime("us"), pl.Float64(), pl.String(), pl.Boolean(), pl.List(pl.String()), pl.Int64()

# Columns of the parts, exactly these. Current and power are positive when charging the battery; registers are lifetime
# counters of the charger's meter as it showed them; `logger` says who logged (LOGGERS), `flag` names the rules of
# models/parameters/log_rules.toml that touched the row, separated by spaces.
RAW_SCHEMAS: dict[str, dict[str, pl.DataType]] = {
    "samples": {
        "vehicle_id": _S,
        "time_utc": _T,
        "session_ref": _S,
        "state": _S,
        "voltage_v": _F,
        "current_a": _F,
        "soc_frac": _F,
        "battery_temp_c": _F,
        "ambient_c": _F,
        "power_kw": _F,
        "odometer_km": _F,
        "soh_frac": _F,
        "energy_in_register_kwh": _F,
        "energy_out_register_kwh": _F,
        "logger": _S,
        "flag": _S,
        "line": _I,
    },
    "sessions": {
        "vehicle_id": _S,
        "logger": _S,
        "session_ref": _S,
        "kind": _S,
        "start_utc": _T,
        "end_utc": _T,
        "energy_in_meter_kwh": _F,
        "energy_out_meter_kwh": _F,
        "soc_start_frac": _F,
        "soc_end_frac": _F,
        "shared": _B,
        "flags": _L,
        "line": _I,
    },
    "home": {"load_series_id": _S, "time_utc": _T, "load_kwh": _F, "pv_kwh": _F, "flag": _S, "line": _I},
    "price": {"price_series_id": _S, "time_utc": _T, "price_money_per_kwh": _F, "currency": _S, "line": _I},
    "air": {"air_series_id": _S, "time_utc": _T, "air_temp_c": _F, "typical_year": _B, "line": _I},
}


@dataclass(frozen=True)
class Kind:
    """How rows of a kind are told apart: owner (vehicle or series), key, and time column."""

    owner: str
    key: tuple[str, ...]
    time: str
    core_table: str | None  # table written in the transaction of the ingest


KIND_RULES: dict[str, Kind] = {
    "samples": Kind("vehicle_id", ("vehicle_id", "time_utc", "logger"), "time_utc", None),
    "sessions": Kind("vehicle_id", ("vehicle_id", "start_utc", "kind", "logger"), "start_utc", None),
    "home": Kind("load_series_id", ("load_series_id", "time_utc"), "time_utc", "core_home_hour"),
    "price": Kind("price_series_id", ("price_series_id", "time_utc"), "time_utc", "core_price_hour"),
    "air": Kind("air_series_id", ("air_series_id", "time_utc"), "time_utc", "core_air_hour"),
}
# Values outside are impossible, whatever the vehicle: the row is refused (a format may state narrower limits).
LIMITS: dict[str, tuple[float, float, str]] = {
    "voltage_v": (1.0, 1500.0, "V"),
    "current_a": (-2000.0, 2000.0, "A"),
    "soc_frac": (0.0, 1.0, "as a fraction"),
    "battery_temp_c": (-50.0, 90.0, "degC"),
    "ambient_c": (-60.0, 65.0, "degC"),
    "power_kw": (-500.0, 500.0, "kW"),
    "odometer_km": (0.0, 3_000_000.0, "km"),
    "soh_frac": (0.0, 1.1, "as a fraction"),
    "energy_in_register_kwh": (0.0, 1e9, "kWh"),
    "energy_out_register_kwh": (0.0, 1e9, "kWh"),
    "energy_in_meter_kwh": (0.0, 1000.0, "kWh"),
    "energy_out_meter_kwh": (0.0, 1000.0, "kWh"),
    "soc_start_frac": (0.0, 1.0, "as a fraction"),
    "soc_end_frac": (0.0, 1.0, "as a fraction"),
    "load_kwh": (0.0, 1000.0, "kWh"),
    "pv_kwh": (0.0, 1000.0, "kWh"),
    "price_money_per_kwh": (-100.0, 100.0, "per kWh"),
    "air_temp_c": (-70.0, 65.0, "degC"),
}
FIRST_YEAR, LAST_YEAR = 2000, 2099
# A sample or session farther than this from the median of its file has a clock that was never set (or a century on).
MAX_YEARS_FROM_MEDIAN = 10
STATES = ("drive", "charge", "export", "rest")
LOGGERS = ("car", "charger")
SESSION_KINDS = ("plugin", "charge", "export", "drive")


def latest_time() -> datetime:
    """Samples and sessions from later than this have a clock that is ahead: a day after now (UTC)."""
    return datetime.now(UTC).replace(tzinfo=None) + timedelta(days=1)


def plain_rows(frame: pl.DataFrame, kind: str) -> pl.DataFrame:
    """Rows with the columns and types of their kind, whatever way a reader held them (numbered texts)."""
    return frame.select(pl.col(name).cast(dtype) for name, dtype in RAW_SCHEMAS[kind].items())


def read_part(path: Path, kind: str) -> pl.DataFrame:
    """Rows of a part; columns that it was written without (an earlier release) are empty, the logger a car."""
    frame = pl.read_parquet(path)
    schema = RAW_SCHEMAS[kind]
    new = [pl.lit("car" if n == "logger" else None, t).alias(n) for n, t in schema.items() if n not in frame.columns]
    return frame.with_columns(new).select(schema.keys()) if new else frame


def scan_part(path: Path, kind: str, more: tuple[str, ...] = ()) -> pl.LazyFrame:
    """Rows of a part, lazily, as `read_part` gives them, with more columns of text (null where there are none)."""
    frame = pl.scan_parquet(path)
    schema = RAW_SCHEMAS[kind] | dict.fromkeys(more, _S)
    there = frame.collect_schema().names()
    new = [pl.lit("car" if n == "logger" else None, t).alias(n) for n, t in schema.items() if n not in there]
    return frame.with_columns(new).select(schema.keys())


def series_rows(kind: str, raw: pl.DataFrame) -> pl.DataFrame:
    """Rows of a home, price or air part as the core table holds them."""
    return raw.drop("line")


def rebuild_core(wh: Warehouse, tables: tuple[str, ...]) -> None:
    """Fill core tables that are written at intake again from the raw parts.

    ``core_session`` and the others are made by the night itself.
    """
    with wh.transaction():
        for kind, rule in KIND_RULES.items():
            if rule.core_table not in tables or rule.core_table is None:
                continue
            for path in wh.parts(kind):
                wh.append(rule.core_table, series_rows(kind, pl.read_parquet(path)))
        if {"core_vehicle", "core_home", "core_alias"} & set(tables):
            from warehouse.fleetfile import restore_fleet

            restore_fleet(wh)
