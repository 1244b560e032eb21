"""Vehicles and homes from a fleet file (CSV, Parquet), through the same ledger as logs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time
from typing import TYPE_CHECKING, Any

import polars as pl

from warehouse.door import hide
from warehouse.fleetrow import COLUMNS, PART_SCHEMA, REQUIRED, BadRow, Known, complete, is_reading, parse_row
from warehouse.formatspec import FileSpec
from warehouse.intake import (
    DEMO_REFUSAL,
    LOADED,
    REFUSED,
    FileResult,
    if_all_rejected,
    known_file,
    refuse,
    said,
    write_ledger,
)
from warehouse.keys import MASK, KeyFileError, clean_text, demo_files
from warehouse.parts import record_part, spans, write_part
from warehouse.readers import lines as text
from warehouse.readers.lines import LineCounter, RefusedFile
from warehouse.readers.source import BytesSource, Source, whole

if TYPE_CHECKING:
    from pathlib import Path

    from warehouse.store import Warehouse

FORMAT = "fleet"
COLD_BELOW_C, HOT_ABOVE_C = 8.0, 16.0
_MAX_RAW_TEXT = 500


@dataclass(frozen=True)
class FleetResult(FileResult):
    """What became of a fleet file, with the vehicles and homes that are registered now."""

    vehicles: int = 0
    homes: int = 0


def climate_of(mean_air_temp_c: float | None) -> str:
    """Climate of a mean air temperature: cold below 8, hot above 16 degC, mild between; unknown without one.

    Examples
    --------
    >>> [climate_of(t) for t in (5.0, 8.0, 16.0, 16.1, None)]
    ['cold', 'mild', 'mild', 'hot', 'unknown']
    """
    if mean_air_temp_c is None:
        return "unknown"
    if mean_air_temp_c < COLD_BELOW_C:
        return "cold"
    return "hot" if mean_air_temp_c > HOT_ABOVE_C else "mild"


def mean_air_temp_c(wh: Warehouse) -> dict[str, float]:
    """Mean of every air temperature series [degC], summed as integers so that the order does not matter."""
    found = wh.rows(
        "SELECT air_series_id, CAST(sum(CAST(round(air_temp_c * 1000) AS BIGINT)) AS BIGINT), count(air_temp_c)"
        " FROM core_air_hour GROUP BY air_series_id ORDER BY air_series_id"
    )
    return {name: total / 1000.0 / count for name, total, count in found if count}


def register(wh: Warehouse, path: Path) -> FleetResult:
    """Register the vehicles and homes of a file; rows that cannot be used are refused, each with a sentence.

    A row that names only vehicle, odometer_km and odometer_date adds a reading. A changed row updates its vehicle.
    """
    try:
        file = Source(path, LineCounter(header=True))
        sha256 = file.sha256
    except RefusedFile as error:
        return FleetResult(str(path), "", REFUSED, error=str(error))
    known = known_file(wh, path, sha256, FORMAT)
    if known is not None:
        return FleetResult(**vars(known))
    try:
        demo = demo_files(wh.home)
        if demo is not None and sha256 not in demo:
            raise RefusedFile(DEMO_REFUSAL)
        cells, names, broken, read = _read(whole(file))
        return _register(wh, path, sha256, cells, names, broken, read)
    except (RefusedFile, KeyFileError) as error:
        return FleetResult(**vars(refuse(wh, path, sha256, FORMAT, FORMAT, said(error, path))))


def _read(data: bytes) -> tuple[pl.DataFrame, list[str], list[tuple[int, str, str, str]], int]:
    """Text cells with their lines, names, broken lines, and the independent count of rows."""
    if data.startswith(b"PAR1"):
        parquet = BytesSource(data, LineCounter(header=False)).parquet()
        frame = pl.DataFrame(pl.from_arrow(parquet.read()))
        _need(frame.columns)
        texts = frame.select(pl.all().cast(pl.String)).with_columns(pl.int_range(1, frame.height + 1).alias("line"))
        return texts, frame.columns, [], parquet.metadata.num_rows
    source = BytesSource(data, LineCounter(header=True))
    first = data.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0]
    spec = FileSpec(delimiter=";" if first.count(b";") > first.count(b",") else ",")
    frame = pl.concat([text.NO_LINES, *(text.text_frame(block, spec.encoding) for block in source.lines())])
    if frame.height == 0:
        raise text.EmptyFile
    names, lines = text.header_names(frame.item(0, "text"), spec.delimiter), frame.slice(1)
    _need(names)
    rows: list[dict[str, Any]] = []
    broken: list[tuple[int, str, str, str]] = []
    for line, record in lines.rows():
        fields = text.split_quoted(record, spec.delimiter)
        if fields is None or len(fields) != len(names) or text.REPLACEMENT in record or "\x00" in record:
            why = f"the line has not the {len(names)} fields of the header in UTF-8 text"
            broken.append((line, "wrong_field_count", why, MASK))
        else:
            rows.append({"line": line} | dict(zip(names, fields, strict=True)))
    schema = {"line": pl.Int64()} | {name: pl.String() for name in names}
    return pl.DataFrame(rows, schema=schema), names, broken, source.records


def _need(names: list[str]) -> None:
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise RefusedFile(f"A fleet file needs the column '{missing[0]}'; required are: {', '.join(REQUIRED)}.")
    unknown = [name for name in names if name not in COLUMNS]
    if unknown:
        shown = unknown[0] if text.shown_names(names) and text.shown_names(unknown[:1]) else MASK
        raise RefusedFile(f"A fleet file has no column '{shown}'; known are: {', '.join(COLUMNS)}.")


def _register(
    wh: Warehouse,
    path: Path,
    sha256: str,
    cells: pl.DataFrame,
    names: list[str],
    broken: list[tuple[int, str, str, str]],
    read: int,
) -> FleetResult:
    parameters = Known.load(wh.home)
    registered = {row[0] for row in wh.rows("SELECT vehicle_id FROM core_vehicle")}
    before = {r["vehicle_id"]: r for r in _fleet_rows(wh) if not is_reading(r) and r["vehicle_id"] in registered}
    aliases: dict[str, str] = dict(wh.rows("SELECT alias_id, vehicle_id FROM core_alias ORDER BY 1"))
    readings = {(r["vehicle_id"], r["odometer_date"], r["odometer_km"]) for r in _fleet_rows(wh) if is_reading(r)}
    rows: list[dict[str, Any]] = []
    rejects = list(broken)
    duplicates = 0
    here: dict[str, dict[str, Any]] = {}
    for record in cells.iter_rows(named=True):
        line = record["line"]
        try:
            row = parse_row({name: record[name] for name in names}, line, parameters)
            vehicle_id = row["vehicle_id"]
            if is_reading(row):
                key = (vehicle_id, row["odometer_date"], row["odometer_km"])
                if vehicle_id not in before and vehicle_id not in here:
                    raise BadRow("unknown_vehicle", "an odometer reading of a vehicle that is not registered above")
                known = key in readings
                readings.add(key)
            elif vehicle_id in here:
                if not _same(here[vehicle_id], row):
                    raise BadRow("conflict", "the same vehicle stands above with other values")
                known = True
            else:
                _check_aliases(row, aliases, here)
                here[vehicle_id] = row
                known = vehicle_id in before and _same(before[vehicle_id], row)
            if known:
                duplicates += 1
            else:
                rows.append(row)
        except BadRow as error:
            rejects.append((line, error.reason, error.detail, _raw_text(record, names)))
    part = pl.DataFrame(rows, schema=PART_SCHEMA)
    name = clean_text(path.name)
    result = FleetResult(str(path), sha256, LOADED, read, part.height, len(rejects), duplicates, note=_note(wh, part))
    part_id = f"{FORMAT}-{sha256[:16]}"
    written = write_part(wh, FORMAT, part_id, part) if part.height else None
    reject_schema = {"line": pl.Int64(), "reason": pl.String(), "detail": pl.String(), "raw_text": pl.String()}
    refused = pl.DataFrame(sorted(rejects), schema=reject_schema, orient="row").with_columns(
        pl.lit(sha256).alias("sha256"),
        pl.lit(name).alias("path"),
        pl.lit(FORMAT).alias("format"),
        pl.lit(None, pl.String).alias("vehicle_id"),
    )
    result = if_all_rejected(result, name, refused.select("line", "detail").row(0) if refused.height else None)
    with wh.transaction():
        write_ledger(wh, result, name, FORMAT, FORMAT, part.height)
        wh.write("raw_reject", refused, "sha256 = ? AND format = ?", [sha256, FORMAT])
        if written is not None:
            record_part(wh, FORMAT, part_id, sha256, written, spans(FORMAT, part))
            _apply(wh, part, name, parameters)
        refresh_cohorts(wh)
    counts = {name: wh.scalar(f"SELECT count(*) FROM core_{name}") for name in ("vehicle", "home")}  # noqa: S608
    return FleetResult(**{**vars(result), "vehicles": counts["vehicle"], "homes": counts["home"]})


def _raw_text(record: dict[str, Any], names: list[str]) -> str:
    shown = [MASK if name in ("vehicle", "alias", "home") else str(record[name] or "") for name in names]
    return (hide(",".join(shown), [str(record["vehicle"] or "").strip()]) or "")[:_MAX_RAW_TEXT]


def _check_aliases(row: dict[str, Any], aliases: dict[str, str], here: dict[str, Any]) -> None:
    """Refuse a row whose names are another vehicle's; `aliases` (alias to vehicle) is brought up to date."""
    if row["vehicle_id"] in aliases:
        raise BadRow(
            "conflict", "the vehicle is another one's alias; take it out of column 'alias' there, or leave out this row"
        )
    for alias in row["alias_ids"]:
        if alias in here:
            raise BadRow("conflict", "column 'alias' names a vehicle that has a row of its own above; keep one of them")
        if aliases.get(alias, row["vehicle_id"]) != row["vehicle_id"]:
            raise BadRow(
                "conflict",
                "column 'alias' names an alias of another vehicle; take it out there first, or, where two cars share a"
                ' charger, take its log in with a format of owner = "token" and give each car its card as alias',
            )
    for alias in [a for a, vehicle in aliases.items() if vehicle == row["vehicle_id"]]:
        del aliases[alias]
    aliases.update(dict.fromkeys(row["alias_ids"], row["vehicle_id"]))


def _same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return all(a[name] == b[name] for name in PART_SCHEMA if name != "line")


def _fleet_rows(wh: Warehouse) -> list[dict[str, Any]]:
    return [row for path in wh.parts(FORMAT) for row in _read_part(path).iter_rows(named=True)]


def _read_part(path: Path) -> pl.DataFrame:
    """Rows of a fleet part; one of an earlier release knows no aliases."""
    frame = pl.read_parquet(path)
    none = pl.lit([], PART_SCHEMA["alias_ids"]).alias("alias_ids")
    return (frame if "alias_ids" in frame.columns else frame.with_columns(none)).select(PART_SCHEMA.keys())


def _note(wh: Warehouse, part: pl.DataFrame) -> str:
    """Which series the file names that nobody has taken in yet, in a sentence."""
    missing: list[str] = []
    for column, table in (
        ("load_series_id", "core_home_hour"),
        ("price_series_id", "core_price_hour"),
        ("air_series_id", "core_air_hour"),
    ):
        have = {row[0] for row in wh.rows(f"SELECT DISTINCT {column} FROM {table}")}  # noqa: S608 - our own names
        missing += [name for name in part[column].drop_nulls().unique().sort() if name not in have]
    return f"Not taken in yet: series {', '.join(missing)}." if missing else ""


def _apply(wh: Warehouse, part: pl.DataFrame, source_name: str, known: Known) -> None:
    """Write the vehicles, homes and odometer readings of a fleet part. Only inside a transaction."""
    vehicles: list[dict[str, Any]] = []
    homes: dict[str, dict[str, Any]] = {}
    readings: list[dict[str, Any]] = []
    aliases: dict[str, list[str]] = {}
    for row in part.iter_rows(named=True):
        if row["odometer_km"] is not None:
            at = datetime.combine(row["odometer_date"], time())
            km = row["odometer_km"]
            readings.append(
                {"vehicle_id": row["vehicle_id"], "time_utc": at, "odometer_km": km, "modelled": False}
                | {"odometer_low_km": km, "odometer_high_km": km}
            )
        if not is_reading(row):
            vehicle, home = complete(row, known, source_name, "unknown")
            vehicles.append(vehicle)
            aliases[row["vehicle_id"]] = row["alias_ids"]
            homes[home["home_id"]] = home
    _replace(wh, "core_vehicle", "vehicle_id", vehicles)
    _replace(wh, "core_home", "home_id", list(homes.values()))
    _replace_aliases(wh, aliases)
    for reading in readings:
        where = "vehicle_id = ? AND time_utc = ? AND NOT modelled"
        wh.write("core_odometer", pl.DataFrame([reading]), where, [reading["vehicle_id"], reading["time_utc"]])


def _replace(wh: Warehouse, table: str, key: str, rows: list[dict[str, Any]]) -> None:
    if rows:
        frame = pl.DataFrame(rows, schema=wh.registry.schema(table))
        wh.write(table, frame, f"{key} IN (SELECT unnest(?))", [frame[key].to_list()])


def _replace_aliases(wh: Warehouse, aliases: dict[str, list[str]]) -> None:
    """Write the aliases of vehicles; what was registered under one before (a charger by itself) is no vehicle now."""
    if not aliases:
        return
    wh.con.execute("DELETE FROM core_alias WHERE vehicle_id IN (SELECT unnest(?))", [list(aliases)])
    rows = sorted((alias, vehicle_id) for vehicle_id, names in aliases.items() for alias in names)
    if rows:
        wh.append("core_alias", pl.DataFrame(rows, schema=wh.registry.schema("core_alias"), orient="row"))
        wh.con.execute("DELETE FROM core_vehicle WHERE vehicle_id IN (SELECT alias_id FROM core_alias)")
        wh.con.execute("DELETE FROM core_home WHERE home_id NOT IN (SELECT home_id FROM core_vehicle)")


def odometer_readings(wh: Warehouse) -> pl.DataFrame:
    """Dated readings of the fleet files: vehicle_id, time_utc, odometer_km, sorted; the newest file wins."""
    schema = {"vehicle_id": pl.String, "time_utc": pl.Datetime("us"), "odometer_km": pl.Float64}
    found = [
        (row["vehicle_id"], datetime.combine(row["odometer_date"], time()), row["odometer_km"])
        for row in _fleet_rows(wh)
        if row["odometer_km"] is not None
    ]
    frame = pl.DataFrame(found, schema=schema, orient="row")
    return frame.unique(subset=["vehicle_id", "time_utc"], keep="last", maintain_order=True).sort(
        "vehicle_id", "time_utc"
    )


def restore_fleet(wh: Warehouse) -> None:
    """Write core_vehicle and core_home again from the fleet parts, in the order they were taken in."""
    parameters = Known.load(wh.home)
    for sha256, part_path in wh.rows("SELECT sha256, part_path FROM meta_part WHERE kind = 'fleet' ORDER BY rowid"):
        name = wh.scalar("SELECT path FROM meta_file WHERE sha256 = ? AND format = 'fleet'", [sha256])
        _apply(wh, _read_part(wh.home / part_path), name, parameters)
    refresh_cohorts(wh)


def refresh_cohorts(wh: Warehouse) -> None:
    """Cohorts of all vehicles by cell and the climate of their home's air series, as it is taken in now."""
    means = mean_air_temp_c(wh)
    frame = wh.read("SELECT * FROM core_vehicle ORDER BY vehicle_id")
    series = dict(wh.rows("SELECT home_id, air_series_id FROM core_home"))
    cohorts = [
        f"{cell}.{climate_of(means.get(series.get(home, '')))}"
        for cell, home in frame.select("cell_id", "home_id").iter_rows()
    ]
    if cohorts != frame["cohort_id"].to_list():
        wh.write("core_vehicle", frame.with_columns(pl.Series("cohort_id", cohorts, dtype=pl.String)))
