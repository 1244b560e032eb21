"""A file to immutable raw Parquet and a ledger row, by content hash; refused rows are kept with a reason.

Part first (written to a temporary name, synced, renamed), then ledger, part row, refused rows and core rows in one
transaction: a kill in between leaves an orphan part, which the next ingest sweeps. rows_read is counted on the
file's bytes and never summed from the others; ``sql/checks`` proves read = loaded + rejected + duplicate.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from warehouse.dedupe import sort_out
from warehouse.keys import MASK, KeyFileError, clean_text, demo_files, hash_ids, mask_vins
from warehouse.raw import KIND_RULES, series_rows
from warehouse.readers.choose import read_any
from warehouse.readers.source import EmptyFile, RefusedFile, read_raw, unpack
from warehouse.readers.table import TableResult

if TYPE_CHECKING:
    from pathlib import Path

    from warehouse.formatspec import FormatSpec
    from warehouse.store import Warehouse

LOADED, KNOWN, REFUSED = "loaded", "known", "refused"
RAW_FOLDER = "raw"
# Fixed, so that the same rows give the same bytes.
_PARQUET = {"compression": "zstd", "compression_level": 3, "statistics": True, "row_group_size": 131_072}
_MIN_ID = 3
DEMO_REFUSAL = "This home is a demo and takes only its own files; give another --home for your logs."


@dataclass(frozen=True)
class FileResult:
    """What became of one file. ``status`` is loaded, known (taken in before, nothing changed) or refused."""

    path: str
    sha256: str
    status: str
    rows_read: int = 0
    rows_loaded: int = 0
    rows_rejected: int = 0
    rows_duplicate: int = 0
    error: str | None = None
    note: str = ""


@dataclass(frozen=True)
class _Taken:
    """Rows of a file, ready to be written."""

    fresh: pl.DataFrame
    rejects: pl.DataFrame
    duplicates: int
    name: str


def take_in(wh: Warehouse, path: Path, spec: FormatSpec) -> FileResult:
    """Take one file in.

    Returns
    -------
    FileResult
        Also for files that are refused: those are in the ledger with the reason, in one sentence.
    """
    try:
        sha256, data = read_raw(path)
    except RefusedFile as error:
        return FileResult(str(path), "", REFUSED, error=clean_text(str(error)))
    known = known_file(wh, path, sha256, spec.name)
    if known is not None:
        return _same_version(wh, known, spec)
    try:
        demo = demo_files(wh.home)
        if demo is not None and sha256 not in demo:
            raise RefusedFile(DEMO_REFUSAL)
        table = read_any(unpack(data), spec, path.name)
        taken = _door(wh, path, spec, table)
    except (RefusedFile, KeyFileError) as error:
        return refuse(wh, path, sha256, spec.name, spec.kind, said(error, path))
    except (pl.exceptions.PolarsError, pa.ArrowException):
        return refuse(
            wh,
            path,
            sha256,
            spec.name,
            spec.kind,
            f"The file cannot be understood as format {spec.name}; look into it.",
        )
    return _store(wh, path, sha256, spec, table, taken)


def refuse(wh: Warehouse, path: Path, sha256: str, format_name: str, kind: str, error: str) -> FileResult:
    """Put a refused file into the ledger (a file refused before is written anew)."""
    result = FileResult(str(path), sha256, REFUSED, error=clean_text(error))
    with wh.transaction():
        wh.con.execute("DELETE FROM raw_reject WHERE sha256 = ? AND format = ?", [sha256, format_name])
        write_ledger(wh, result, path.name, format_name, kind)
    return result


def said(error: Exception, path: Path) -> str:
    """Sentence of a refusal; that of an empty file names the file."""
    return f"The file {clean_text(path.name)} is empty." if isinstance(error, EmptyFile) else str(error)


def if_all_rejected(result: FileResult, name: str, rejects: pl.DataFrame) -> FileResult:
    """A result as it is, unless not one record was of use: then the file is refused, its rejected rows kept."""
    if not rejects.height or rejects.height != result.rows_read:
        return result
    line, detail = rejects.select("line", "detail").sort("line").row(0)
    first = clean_text(f"{name}: all {rejects.height} records were rejected, first because {detail} (line {line})")
    return replace(result, status=REFUSED, error=f"{first}; check the format.")


def write_ledger(wh: Warehouse, result: FileResult, name: str, format_name: str, kind: str) -> None:
    """Ledger row of a file; replaces that of an earlier refusal. Only inside a transaction."""
    row = {
        "sha256": result.sha256,
        "path": clean_text(name),
        "format": format_name,
        "kind": kind,
        "status": result.status,
        "rows_read": result.rows_read,
        "rows_loaded": result.rows_loaded,
        "rows_rejected": result.rows_rejected,
        "rows_duplicate": result.rows_duplicate,
        "error": result.error,
    }
    where = "sha256 = ? AND format = ?"
    wh.write("meta_file", pl.DataFrame([row], infer_schema_length=1), where, [result.sha256, format_name])


def known_file(wh: Warehouse, path: Path, sha256: str, format_name: str) -> FileResult | None:
    """Result of a file that was taken in before in this format, `None` when it was not (or was refused)."""
    found = wh.rows(
        "SELECT rows_read, rows_loaded, rows_rejected, rows_duplicate FROM meta_file"
        " WHERE sha256 = ? AND format = ? AND status = 'loaded'",
        [sha256, format_name],
    )
    return FileResult(str(path), sha256, KNOWN, *found[0]) if found else None


def _same_version(wh: Warehouse, known: FileResult, spec: FormatSpec) -> FileResult:
    """A known file, unless its format has changed since: then that is said."""
    part = _part_id(spec, known.sha256)
    others = wh.scalar(
        "SELECT count(*) FROM meta_part WHERE kind = ? AND sha256 = ? AND part_id <> ? AND part_id LIKE ?",
        [spec.kind, known.sha256, part, f"{spec.name}-%"],
    )
    if not others:
        return known
    said = f"The file was taken in with another version of format {spec.name}; take it in anew in another --home."
    return replace(known, status=REFUSED, error=said)


def _part_id(spec: FormatSpec, sha256: str) -> str:
    version = hashlib.sha256(spec.model_dump_json(exclude={"proposal", "notes", "title", "source"}).encode())
    return f"{spec.name}-{sha256[:16]}-{version.hexdigest()[:8]}"


def _door(wh: Warehouse, path: Path, spec: FormatSpec, table: TableResult) -> _Taken:
    """Hash vehicles, remove personal fields, tell new rows from known ones."""
    rows, rejects = table.rows, table.rejects
    owner = KIND_RULES[spec.kind].owner
    ids: dict[str, str] = {}
    if owner == "vehicle_id":
        ids = hash_ids(wh.home, rows[owner].unique().sort().to_list())
        rows = _hide_ids(rows, ids)
    sorted_rows = sort_out(wh, spec.kind, rows)
    lines = sorted_rows.conflict_lines
    if lines.len():
        named = " and ".join(name for name in KIND_RULES[spec.kind].key if name != "logger")
        conflicts = table.texts(lines).with_columns(
            pl.lit("conflict").alias("reason"),
            pl.lit(f"the same {named} is there with other values").alias("detail"),
        )
        rejects = pl.concat([rejects, conflicts.select(rejects.columns)]).sort("line")
    name = path.name
    if rejects.height or ids:
        secrets = sorted((text for text in ids if len(text) >= _MIN_ID), key=lambda text: (-len(text), text))
        rejects = rejects.with_columns(pl.Series("raw_text", [hide(t, secrets) for t in rejects["raw_text"]]))
        rejects = rejects.with_columns(pl.col("raw_text").cast(pl.String))
        name = hide(name, secrets) or name
    return _Taken(sorted_rows.fresh, rejects, sorted_rows.duplicate_lines.len(), clean_text(name))


def hide(text: str | None, secrets: list[str]) -> str | None:
    """Text without the given names of vehicles and without anything like a VIN."""
    if text is None:
        return None
    for secret in secrets:
        text = text.replace(secret, MASK)
    return mask_vins(text)


def _hide_ids(rows: pl.DataFrame, ids: dict[str, str]) -> pl.DataFrame:
    """Vehicles by their ids, also inside the log's own names of sessions."""
    if rows.height == 0:
        return rows
    pairs = rows.select("vehicle_id", "session_ref").unique().drop_nulls()
    hidden = {
        (vehicle, ref): mask_vins(ref.replace(vehicle, ids[vehicle]) if len(vehicle) >= _MIN_ID else ref)
        for vehicle, ref in pairs.iter_rows()
    }
    changed = [(v, r, new) for (v, r), new in hidden.items() if new != r]
    if changed:
        table = pl.DataFrame(changed, schema=["vehicle_id", "session_ref", "_new"], orient="row")
        rows = rows.join(table, on=["vehicle_id", "session_ref"], how="left", maintain_order="left")
        rows = rows.with_columns(pl.coalesce("_new", "session_ref").alias("session_ref")).drop("_new")
    return rows.with_columns(pl.col("vehicle_id").replace_strict(ids, return_dtype=pl.String))


def _store(wh: Warehouse, path: Path, sha256: str, spec: FormatSpec, table: TableResult, taken: _Taken) -> FileResult:
    rule = KIND_RULES[spec.kind]
    fresh = taken.fresh.sort(*rule.key, "line", maintain_order=True)
    part_id = _part_id(spec, sha256)
    result = FileResult(
        path=str(path),
        sha256=sha256,
        status=LOADED,
        rows_read=table.rows_read,
        rows_loaded=fresh["line"].n_unique() + table.silent,
        rows_rejected=taken.rejects.height,
        rows_duplicate=taken.duplicates,
    )
    result = if_all_rejected(result, taken.name, taken.rejects)
    part = write_part(wh, spec.kind, part_id, fresh) if fresh.height else None
    rejects = taken.rejects.with_columns(
        pl.lit(sha256).alias("sha256"), pl.lit(taken.name).alias("path"), pl.lit(spec.name).alias("format")
    )
    with wh.transaction():
        write_ledger(wh, result, taken.name, spec.name, spec.kind)
        wh.write("raw_reject", rejects, "sha256 = ? AND format = ?", [sha256, spec.name])
        if part is not None:
            record_part(wh, spec.kind, part_id, sha256, part, fresh, spec.flags)
            if rule.core_table is not None:
                wh.append(rule.core_table, series_rows(spec.kind, fresh))
        if spec.kind == "air":
            from warehouse.fleetfile import refresh_cohorts

            refresh_cohorts(wh)
    return result


def write_part(wh: Warehouse, kind: str, part_id: str, rows: pl.DataFrame) -> str:
    """Write an immutable part: temporary name, synced, renamed. Returns its path below the home."""
    relative = f"{RAW_FOLDER}/{kind}/{part_id}.parquet"
    target = wh.home / relative
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(".tmp")
    rows.write_parquet(temporary, **_PARQUET)
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(target)
    return relative


def record_part(
    wh: Warehouse, kind: str, part_id: str, sha256: str, part: str, rows: pl.DataFrame, flags: tuple[str, ...] = ()
) -> None:
    """Ledger of a part and of the vehicles in it. Only inside a transaction."""
    if kind == "fleet":
        span = pl.lit(None, pl.Datetime("us"))
        first, last = span.alias("first_utc"), span.alias("last_utc")
    else:
        time = KIND_RULES[kind].time
        first = pl.col(time).min().alias("first_utc")
        latest = pl.max_horizontal("start_utc", "end_utc") if kind == "sessions" else pl.col(time)
        last = latest.max().alias("last_utc")
    identity = [pl.lit(part_id).alias("part_id"), pl.lit(kind).alias("kind")]
    whole = rows.select(first, last, pl.len().alias("rows")).with_columns(
        *identity,
        pl.lit(sha256).alias("sha256"),
        pl.lit(part).alias("part_path"),
        pl.Series("flags", [list(flags)], dtype=pl.List(pl.String)),
    )
    wh.append("meta_part", whole)
    if kind in ("samples", "sessions"):
        each = rows.group_by("vehicle_id").agg(first, last, pl.len().alias("rows")).sort("vehicle_id")
        wh.append("meta_part_vehicle", each.with_columns(*identity))


def sweep(wh: Warehouse) -> list[str]:
    """Remove parts that no ledger row names (a run was killed between part and transaction); returns their names."""
    folder = wh.home / RAW_FOLDER
    if not folder.exists():
        return []
    named = {row[0] for row in wh.rows("SELECT part_path FROM meta_part")}
    swept: list[str] = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.relative_to(wh.home).as_posix() not in named:
            path.unlink()
            swept.append(path.name)
    return swept
