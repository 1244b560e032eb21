"""A file to immutable raw Parquet and a ledger row, by content hash; refused rows are kept with a reason.

A file streams through: hash, then batches of its reader (`warehouse.readers`) into parts (`warehouse.taking`). Parts
first (written to a temporary name, synced, renamed), then ledger, part rows, refused rows and core rows in one
transaction: a kill in between leaves orphan parts, which the next ingest sweeps. rows_read is counted on the file's
bytes and never summed from the others; ``sql/checks`` proves read = loaded + rejected + duplicate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import duckdb
import polars as pl
import pyarrow as pa

from warehouse.again import Older, make_room, older_parts, part_base
from warehouse.disk import reason_of
from warehouse.keys import KeyFileError, clean_text, demo_files, utf8_text
from warehouse.parts import record_part, scratch_folder, sweep
from warehouse.raw import KIND_RULES, read_part, series_rows
from warehouse.readers.lines import EmptyFile, RefusedFile
from warehouse.readers.registry import open_source
from warehouse.store import WarehouseError
from warehouse.taking import Taking, ahead

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from warehouse.formatspec import FormatSpec
    from warehouse.readers.batch import Batch
    from warehouse.store import Warehouse

LOADED, KNOWN, REFUSED = "loaded", "known", "refused"
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
    rows_forgotten: int = 0


def take_in(wh: Warehouse, path: Path, spec: FormatSpec) -> FileResult:
    """Take one file in.

    Returns
    -------
    FileResult
        Also for files that are refused: those are in the ledger with the reason, in one sentence.

    Raises
    ------
    WarehouseError
        The home cannot be written (disk full, read-only): nothing of the file was taken in.
    """
    try:
        reader, source = open_source(path, spec, scratch_folder(wh.home))
    except RefusedFile as error:
        return FileResult(str(path), "", REFUSED, error=clean_text(str(error)))
    known = known_file(wh, path, source.sha256, spec.name)
    older = older_parts(wh, spec, source.sha256, known is not None)
    if known is not None and older is None:
        source.close()
        return _same_version(wh, path, known, spec)
    taking: Taking | None = None
    try:
        demo = demo_files(wh.home)
        if demo is not None and source.sha256 not in demo:
            raise RefusedFile(DEMO_REFUSAL)
        taking = Taking(wh, part_base(spec, source.sha256), older or Older())
        for batch in ahead(_understood(reader.read(source, spec), spec)):
            taking.add(batch)
        taking.finish()
        read = source.records
        source.unchanged()
        if taking.counts.total != read:
            raise RefusedFile(
                f"The reader of format {spec.name} accounts for {taking.counts.total} of {read} records, which is a"
                " defect of Fadecast; nothing was taken in."
            )
        return _store(wh, path, source.sha256, spec, taking, read)
    except (RefusedFile, KeyFileError) as error:
        why = said(error, path)
    except (duckdb.Error, pl.exceptions.PolarsError) as error:
        # Whether a commit that failed holds is for the next run to see, which sweeps parts that nobody names.
        if (reason := reason_of(error)) is None:
            raise
        raise _unwritten(wh, path, reason) from None
    except OSError as error:
        if taking is not None:
            taking.undo()
        raise _unwritten(wh, path, reason_of(error) or error.strerror or str(error)) from None
    finally:
        source.close()
        if taking is not None:
            taking.close()
    if taking is not None:
        taking.undo()
    if known is not None:  # what was taken in of it before stays
        return replace(known, status=REFUSED, error=clean_text(why))
    return refuse(wh, path, source.sha256, spec.name, spec.kind, why)


def _unwritten(wh: Warehouse, path: Path, reason: str) -> WarehouseError:
    return WarehouseError(
        f"The home {wh.home} cannot be written ({reason}); nothing of {clean_text(path.name)} was taken in. Make room"
        " or give another --home, and run the command again."
    )


def _understood(batches: Iterator[Batch], spec: FormatSpec) -> Iterator[Batch]:
    """Batches of a reader; a file that its libraries cannot make sense of is refused."""
    try:
        yield from batches
    except (pl.exceptions.PolarsError, pa.ArrowException):
        raise RefusedFile(f"The file cannot be understood as format {spec.name}; look into it.") from None


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


def if_all_rejected(result: FileResult, name: str, first_reject: tuple[int, str] | None) -> FileResult:
    """A result as it is, unless not one record was of use: then the file is refused, its rejected rows kept."""
    if first_reject is None or result.rows_rejected != result.rows_read:
        return result
    line, detail = first_reject
    first = clean_text(f"{name}: all {result.rows_read} records were rejected, first because {detail} (line {line})")
    return replace(result, status=REFUSED, error=f"{first}; check the format.")


def write_ledger(
    wh: Warehouse, result: FileResult, name: str, format_name: str, kind: str, rows_parts: int = 0
) -> None:
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
        "rows_parts": rows_parts,
        "rows_forgotten": result.rows_forgotten,
    }
    where = "sha256 = ? AND format = ?"
    wh.write("meta_file", pl.DataFrame([row], infer_schema_length=1), where, [result.sha256, format_name])


def known_file(wh: Warehouse, path: Path, sha256: str, format_name: str) -> FileResult | None:
    """Result of a file that was taken in before in this format, `None` when it was not (or was refused)."""
    found = wh.rows(
        "SELECT rows_read, rows_loaded, rows_rejected, rows_duplicate, rows_forgotten FROM meta_file"
        " WHERE sha256 = ? AND format = ? AND status = 'loaded'",
        [sha256, format_name],
    )
    if not found:
        return None
    *counts, forgotten = found[0]
    return FileResult(str(path), sha256, KNOWN, *counts, rows_forgotten=forgotten)


def _same_version(wh: Warehouse, path: Path, known: FileResult, spec: FormatSpec) -> FileResult:
    """A known file, unless its format has changed since: then that is said."""
    others = wh.scalar(
        "SELECT count(*) FROM meta_part WHERE sha256 = ? AND starts_with(part_id, ?) AND NOT starts_with(part_id, ?)",
        [known.sha256, f"{spec.name}-{known.sha256[:16]}-", f"{part_base(spec, known.sha256)}-"],
    )
    if not others:
        return replace(known, note=_kept_out(known, clean_text(path.name)))
    said = f"The file was taken in with another version of format {spec.name}; take it in anew in another --home."
    return replace(known, status=REFUSED, error=said)


def _kept_out(result: FileResult, name: str) -> str:
    """What became of records of vehicles that were to be forgotten; '' without any."""
    if not result.rows_forgotten:
        return ""
    of = f"{result.rows_forgotten} of its {result.rows_read} records"
    if result.status == KNOWN:
        return f"{name}: {of} are no longer there: `fadecast forget` erased their vehicle, and they stay out."
    return f"{name}: {of} belong to a vehicle that `fadecast forget` erased; they stay out."


def _store(wh: Warehouse, path: Path, sha256: str, spec: FormatSpec, taking: Taking, read: int) -> FileResult:
    """Ledger, parts, refused rows and core rows of a file, all or nothing."""
    named = utf8_text(path.name)
    counts, name = taking.counts, clean_text(taking.door.hide(named) or named)
    result = FileResult(
        str(path),
        sha256,
        LOADED,
        read,
        counts.loaded,
        counts.rejected,
        counts.duplicate,
        rows_forgotten=counts.forgotten,
    )
    result = if_all_rejected(result, name, taking.first_reject)
    again = taking.older.mine
    if again and result.status == REFUSED:
        raise RefusedFile(result.error or "")
    with wh.transaction():
        make_room(wh, again)
        write_ledger(wh, result, name, spec.name, spec.kind, sum(part.rows for part in taking.parts))
        wh.con.execute("DELETE FROM raw_reject WHERE sha256 = ? AND format = ?", [sha256, spec.name])
        for rejects in taking.rejects():
            file = [pl.lit(sha256).alias("sha256"), pl.lit(name).alias("path"), pl.lit(spec.name).alias("format")]
            wh.append("raw_reject", rejects.with_columns(file))
        for part in taking.parts:
            record_part(wh, part.kind, part.part_id, sha256, part.path, part.span, spec.flags)
            table = KIND_RULES[part.kind].core_table
            if table is not None:
                wh.append(table, series_rows(part.kind, read_part(wh.home / part.path, part.kind)))
        if any(part.kind == "air" for part in taking.parts):
            from warehouse.fleetfile import refresh_cohorts

            refresh_cohorts(wh)
    if again:
        sweep(wh)
        result = replace(result, note=f"{name} was read again: an older release had taken it in.")
    return replace(result, note=" ".join(filter(None, (result.note, _kept_out(result, name)))))
