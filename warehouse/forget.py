"""Forget a vehicle: its rows leave raw parts, tables, refused texts and the database's freed blocks, and stay out.

Every step can be done again: a mark (`meta_forgotten`, a keyed hash from which the id does not follow) is set first and
is "done" last, so that a run that was killed is finished by the next. The mark keeps the vehicle out of later files.
A file's ledger says how many of its loaded and rejected records were erased (``rows_forgotten``); the sum still holds.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb
import polars as pl

from warehouse.coded import PART
from warehouse.door import FORGOTTEN
from warehouse.forget_copies import is_id, mask_texts, needles, pattern
from warehouse.keys import MASK, hash_id, tombstone
from warehouse.parts import RAW_FOLDER, sweep, write_part
from warehouse.raw import KIND_RULES
from warehouse.store import DATABASE, Warehouse, WarehouseError, locked

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

BEGUN, DONE = "begun", "done"
_BLOCK = 1 << 22
_KEPT_TABLES = ("meta_forgotten", "meta_migration", "meta_file", "raw_reject", "meta_part", "meta_part_vehicle")


@dataclass(frozen=True)
class Forgotten:
    """What went: rows by table, parts written anew, records of files; copies of logs changed; what a search read."""

    vehicle_id: str
    rows: dict[str, int]
    parts: int
    records: int
    files_searched: int = 0
    tables_searched: int = 0
    copies: tuple[str, ...] = ()


def vehicle_of(wh: Warehouse, name: str) -> str:
    """Id of a vehicle given by its id, by its name as in the logs, or by an alias (its charger's name)."""
    given = name if is_id(name) else hash_id(wh.home, name)
    return wh.scalar("SELECT min(vehicle_id) FROM core_alias WHERE alias_id = ?", [given]) or given


def is_known(wh: Warehouse, vehicle_id: str) -> bool:
    """Whether any table or mark knows the vehicle."""
    marks = "SELECT count(*) FROM meta_forgotten WHERE tombstone = ?"
    if wh.scalar(marks, [tombstone(wh.home, vehicle_id)]):
        return True
    asked = " UNION ALL ".join(f"SELECT count(*) AS n FROM {t} WHERE vehicle_id = ?" for t in _tables(wh))  # noqa: S608
    return bool(wh.scalar(f"SELECT sum(n) FROM ({asked})", [vehicle_id] * len(_tables(wh))))  # noqa: S608 - our tables


def erase(wh: Warehouse, vehicle_id: str, known_as: Iterable[str] = ()) -> Forgotten:
    """Erase a vehicle and its aliases from raw parts and tables, ids and names from the ledger's texts.

    `warehouse.forget_copies.erase_copies`, `rewrite` and `search` have to follow.
    """
    names = wh.names_of(vehicle_id)
    with wh.transaction():
        mask_texts(wh, needles(names, known_as))
        # All marks before anything goes: a run that is killed knows the aliases no more.
        for mark in [tombstone(wh.home, name) for name in names]:
            wh.con.execute("DELETE FROM meta_forgotten WHERE tombstone = ?", [mark])
            wh.con.execute("INSERT INTO meta_forgotten VALUES (?, ?)", [mark, BEGUN])
    done = [_erase(wh, name) for name in names]
    rows: dict[str, int] = {}
    for table, count in (item for one in done for item in one.rows.items()):
        rows[table] = rows.get(table, 0) + count
    return Forgotten(vehicle_id, rows, sum(one.parts for one in done), sum(one.records for one in done))


def _erase(wh: Warehouse, vehicle_id: str) -> Forgotten:
    parts, records = _parts(wh, vehicle_id)
    rows: dict[str, int] = {}
    with wh.transaction():
        records += _rejects(wh, vehicle_id)
        homes = wh.rows("SELECT home_id FROM core_vehicle WHERE vehicle_id = ?", [vehicle_id])
        for table, columns in wh.registry.tables.items():
            if table in _KEPT_TABLES:
                continue
            texts = [c for c in columns if wh.registry.schema(table)[c] in (pl.String(), pl.List(pl.String()))]
            # The id may stand in other columns too (an example of a quality rule).
            where = " OR ".join(f"contains(CAST({c} AS VARCHAR), ?)" for c in texts)
            if where:
                gone = wh.scalar(f"SELECT count(*) FROM {table} WHERE {where}", [vehicle_id] * len(texts))  # noqa: S608
                if gone:
                    wh.con.execute(f"DELETE FROM {table} WHERE {where}", [vehicle_id] * len(texts))  # noqa: S608
                    rows[table] = int(gone)
        for (home_id,) in homes:
            if not wh.scalar("SELECT count(*) FROM core_vehicle WHERE home_id = ?", [home_id]):
                wh.con.execute("DELETE FROM core_home WHERE home_id = ?", [home_id])
                rows["core_home"] = rows.get("core_home", 0) + 1
    return Forgotten(vehicle_id, rows, parts, records)


def begun(wh: Warehouse) -> set[str]:
    """Marks of vehicles that a killed run began to forget."""
    return {row[0] for row in wh.rows("SELECT tombstone FROM meta_forgotten WHERE state = ?", [BEGUN])}


def unfinished(wh: Warehouse) -> bool:
    """Whether a vehicle was begun to be forgotten by a run that was killed."""
    return bool(begun(wh))


def resume(wh: Warehouse) -> list[str]:
    """Erase what a killed run left of vehicles that were to be forgotten; returns their ids."""
    marks = begun(wh)
    asked = " UNION ".join(f"SELECT vehicle_id FROM {table}" for table in _tables(wh))  # noqa: S608 - our tables
    ids = [row[0] for row in wh.rows(f"SELECT vehicle_id FROM ({asked}) WHERE vehicle_id IS NOT NULL ORDER BY 1")]  # noqa: S608
    left = [vehicle_id for vehicle_id in ids if tombstone(wh.home, vehicle_id) in marks]
    for vehicle_id in left:
        erase(wh, vehicle_id)
    if marks:
        sweep(wh)  # a run that was killed may have left a part of which no table knows any more
    return left


def finish(wh: Warehouse) -> None:
    """Mark all vehicles as forgotten everywhere."""
    wh.con.execute("UPDATE meta_forgotten SET state = ?", [DONE])


def _tables(wh: Warehouse) -> list[str]:
    return [table for table, columns in wh.registry.tables.items() if "vehicle_id" in columns]


def _parts(wh: Warehouse, vehicle_id: str) -> tuple[int, int]:
    """Write the raw parts that hold the vehicle anew without it; returns parts and records that went."""
    found = wh.rows(
        "SELECT DISTINCT p.kind, p.part_path FROM meta_part p WHERE p.kind = 'fleet' OR p.part_id IN"
        " (SELECT part_id FROM meta_part_vehicle WHERE vehicle_id = ?) ORDER BY 1, 2",
        [vehicle_id],
    )
    parts = records = 0
    for kind, part_path in found:
        frame = pl.read_parquet(wh.home / part_path)
        gone = frame.filter(pl.col("vehicle_id") == vehicle_id)
        if gone.height == 0:
            continue
        rest = frame.filter(pl.col("vehicle_id").ne_missing(vehicle_id))
        renewed = re.sub(r"(~\d+)?\.parquet$", "", part_path.rsplit("/", 1)[1]) + f"~{_next(part_path)}"
        path = write_part(wh, kind, renewed, rest) if rest.height else part_path
        with wh.transaction():
            there = wh.rows("SELECT part_id, sha256 FROM meta_part WHERE kind = ? AND part_path = ?", [kind, part_path])
            wh.con.execute(
                "UPDATE meta_part SET part_path = ? WHERE kind = ? AND part_path = ?", [path, kind, part_path]
            )
            for part_id, sha256 in there:
                lost, kept = (f.filter(pl.col(PART) == part_id) if PART in f.columns else f for f in (gone, rest))
                if lost.height:
                    _lose(wh, vehicle_id, kind, part_id, sha256, lost, kept)
                    parts, records = parts + 1, records + lost["line"].n_unique()
    sweep(wh)
    return parts, records


def _lose(
    wh: Warehouse, vehicle_id: str, kind: str, part_id: str, sha256: str, lost: pl.DataFrame, kept: pl.DataFrame
) -> None:
    """Ledger of a part that a vehicle's rows left."""
    wh.con.execute("DELETE FROM meta_part_vehicle WHERE part_id = ? AND vehicle_id = ?", [part_id, vehicle_id])
    if kept.height == 0:
        wh.con.execute("DELETE FROM meta_part WHERE part_id = ?", [part_id])
    else:
        _renew(wh, part_id, kind, kept)
    wh.con.execute(
        "UPDATE meta_file SET rows_forgotten = rows_forgotten + ?, rows_parts = rows_parts - ?"
        " WHERE sha256 = ? AND starts_with(?, format || '-')",
        [lost["line"].n_unique(), lost.height, sha256, part_id],
    )
    # What the vehicle's lines looked like where they could not be read: nobody can tell whose they were.
    wh.con.execute("UPDATE raw_reject SET raw_text = ? WHERE sha256 = ? AND vehicle_id IS NULL", [MASK, sha256])


def _next(part_path: str) -> int:
    found = re.search(r"~(\d+)\.parquet$", part_path)
    return 1 + (int(found.group(1)) if found else 0)


def _renew(wh: Warehouse, part_id: str, kind: str, rest: pl.DataFrame) -> None:
    wh.con.execute("UPDATE meta_part SET rows = ? WHERE part_id = ?", [rest.height, part_id])
    if kind != "fleet":
        start = KIND_RULES[kind].time
        latest = pl.max_horizontal("start_utc", "end_utc") if kind == "sessions" else pl.col(start)
        first, last = rest.select(pl.col(start).min().alias("first"), latest.max().alias("last")).row(0)
        wh.con.execute("UPDATE meta_part SET first_utc = ?, last_utc = ? WHERE part_id = ?", [first, last, part_id])


def _rejects(wh: Warehouse, vehicle_id: str) -> int:
    """Refused records of the vehicle: that they were refused stays, what they said goes."""
    found = wh.rows(
        "SELECT sha256, format, count(*) FROM raw_reject WHERE vehicle_id = ? GROUP BY ALL ORDER BY ALL", [vehicle_id]
    )
    for sha256, name, n in found:
        wh.con.execute(
            "UPDATE meta_file SET rows_forgotten = rows_forgotten + ? WHERE sha256 = ? AND format = ?",
            [n, sha256, name],
        )
    wh.con.execute(
        "UPDATE raw_reject SET reason = 'forgotten', detail = ?, raw_text = ?, vehicle_id = NULL WHERE vehicle_id = ?",
        [FORGOTTEN, MASK, vehicle_id],
    )
    return sum(n for _, _, n in found)


def rewrite(home: Path) -> None:
    """Write the database file anew, so that nothing deleted is left in its freed blocks. It must not be open."""
    database = home / DATABASE
    new = home / f"{DATABASE}.new.tmp"
    with locked(home):
        new.unlink(missing_ok=True)
        try:
            with duckdb.connect() as con:
                con.execute(f"ATTACH '{_quoted(database)}' AS old (READ_ONLY)")
                con.execute(f"ATTACH '{_quoted(new)}' AS new")
                con.execute("COPY FROM DATABASE old TO new")
                con.execute("CHECKPOINT new")
                con.execute("DETACH new")
            with new.open("rb") as file:
                os.fsync(file.fileno())
            new.replace(database)
            (home / f"{DATABASE}.wal").unlink(missing_ok=True)
        except (OSError, duckdb.Error) as error:
            new.unlink(missing_ok=True)
            raise WarehouseError(
                f"The database could not be written anew ({str(error).splitlines()[0]}); run the command again."
            ) from None


def search(home: Path, *texts: str) -> tuple[int, int, list[str]]:
    """Look for ids and names in the bytes of all files of a home, in all its databases and in all raw parts.

    Returns
    -------
    tuple
        Files read, tables searched, and where one was found (nothing, when the vehicle was forgotten).
    """
    wanted, longest = pattern(texts), max(len(text.encode()) for text in texts)
    files = tables = 0
    found: list[str] = []
    for path in sorted(p for p in home.rglob("*") if p.is_file() and not p.is_symlink()):
        files += 1
        name = path.relative_to(home).as_posix()
        if wanted.search(path.name.encode()) or _holds(path, wanted, longest):
            found.append(name)
        if path.suffix == ".parquet" and path.is_relative_to(home / RAW_FOLDER):
            tables += 1
            rows = _rows_with(path, wanted)
            found += [f"{name}: {rows} rows"] if rows else []
        if path.suffix == ".duckdb":
            searched, hits = _search_database(path, wanted)
            tables += searched
            found += [f"{name}: table {table}" for table in hits]
    return files, tables, found


def _holds(path: Path, wanted: re.Pattern[bytes], longest: int) -> bool:
    before = b""
    with path.open("rb") as file:
        first = True
        while block := file.read(_BLOCK):
            text = before + block
            last = len(block) < _BLOCK
            for hit in wanted.finditer(text):  # whole, with its neighbours, in this block or the next
                if (hit.start() > 0 or first) and (hit.end() < len(text) or last):
                    return True
            before, first = text[-longest - 1 :], False
    return False


def _rows_with(path: Path, wanted: re.Pattern[bytes]) -> int:
    frame = pl.read_parquet(path)
    hits = pl.Series([False]).new_from_index(0, frame.height)
    for series in frame.select(pl.col(pl.String)).iter_columns():
        texts = [text for text in series.unique().drop_nulls().to_list() if wanted.search(text.encode())]
        hits = hits | series.is_in(texts).fill_null(value=False) if texts else hits
    return int(hits.sum())


def _search_database(path: Path, wanted: re.Pattern[bytes]) -> tuple[int, list[str]]:
    with duckdb.connect(str(path), read_only=True) as con:
        columns = con.execute(
            "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal AND data_type IN"
            " ('VARCHAR', 'VARCHAR[]') ORDER BY table_name, column_name"
        ).fetchall()
        hits: set[str] = set()
        for table, name in columns:
            sql = f'SELECT DISTINCT CAST("{name}" AS VARCHAR) FROM "{table}"'  # noqa: S608 - names of the catalogue
            if any(text and wanted.search(text.encode()) for (text,) in con.execute(sql).fetchall()):
                hits.add(table)
    return len({table for table, _ in columns}), sorted(hits)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
