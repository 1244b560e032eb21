"""The DuckDB warehouse of a home: open, lock, migrate, transactions, raw parts.

One process writes at a time, under a lock file of our own with bounded retry; readers elsewhere use the published
copy. Plain SQL without primary keys, sequences or indexes, so that DuckLake can serve the tables later. ``raw_`` and
``meta_`` tables come from ``sql/NNN_*.sql``, ``core_`` and ``out_`` from the registry: where a new version of
Fadecast has other columns these are dropped, made anew and filled again from the raw parts.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl

from warehouse.disk import make_database, make_home, reason_of, writing
from warehouse.registry import Registry, RegistryError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from warehouse.logbook import Logged

DATABASE = "warehouse.duckdb"
LOCK = "warehouse.lock"
LOCK_PATIENCE_S = 20.0
KINDS = ("samples", "sessions", "home", "price", "air", "fleet")
# Data that reach to within an hour of midnight make a complete day.
DAY_TOLERANCE = timedelta(hours=1)
# Subject in meta_state that says which registry and parts the core tables were made from.
SCHEMA_SUBJECT = "schema"


class WarehouseError(Exception):
    """The warehouse cannot do what was asked; one sentence with the way out."""


class Warehouse:
    """An open warehouse; made by `open_warehouse`.

    Parameters
    ----------
    home
        Folder of everything generated.
    con
        DuckDB connection, session time zone UTC.
    """

    def __init__(self, home: Path, con: duckdb.DuckDBPyConnection) -> None:
        self.home = home
        self.con = con
        self.registry = Registry.load()
        self._depth = 0
        self._as_of: date | None = None
        self.dropped: tuple[str, ...] = ()

    # ------------------------------------------------------------------ reading
    def read(self, sql: str, params: Sequence[Any] = ()) -> pl.DataFrame:
        """Result of a query as a Polars frame. Order it in the query: nothing else promises an order."""
        return self.con.execute(sql, list(params)).pl()

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Result of a query as tuples."""
        return self.con.execute(sql, list(params)).fetchall()

    def scalar(self, sql: str, params: Sequence[Any] = ()) -> Any:
        """First value of the first row, `None` where there is no row."""
        row = self.con.execute(sql, list(params)).fetchone()
        return None if row is None else row[0]

    # ------------------------------------------------------------------ writing
    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; a transaction inside another one joins it."""
        if self._depth:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
            return
        self.con.execute("BEGIN TRANSACTION")
        self._depth = 1
        try:
            yield
        except BaseException:
            self._depth = 0
            with suppress(duckdb.Error):  # a connection that a full disk ended has rolled back already
                self.con.execute("ROLLBACK")
            raise
        self._depth = 0
        self.con.execute("COMMIT")

    def write(self, table: str, frame: pl.DataFrame, where: str | None = None, params: Sequence[Any] = ()) -> int:
        """Replace rows of a table: those matching ``where`` (all without it) give way to ``frame``.

        Columns are checked, cast and ordered by the registry; NaN becomes null. Joins the current transaction.

        Returns
        -------
        int
            Rows written.

        Raises
        ------
        WarehouseError
            A column is missing, unknown, or of a type that does not fit.
        """
        ready = self._fit(table, frame)
        with self.transaction():
            delete = f"DELETE FROM {table}"  # noqa: S608 - the table is one of the registry's
            self.con.execute(f"{delete} WHERE {where}" if where else delete, list(params))
            self._insert(table, ready)
        return ready.height

    def append(self, table: str, frame: pl.DataFrame) -> int:
        """Add rows to a table, checked as in `write`; returns how many."""
        ready = self._fit(table, frame)
        with self.transaction():
            self._insert(table, ready)
        return ready.height

    def _fit(self, table: str, frame: pl.DataFrame) -> pl.DataFrame:
        try:
            schema = self.registry.schema(table)
        except RegistryError as error:
            raise WarehouseError(str(error)) from None
        missing = [c for c in schema if c not in frame.columns]
        unknown = [c for c in frame.columns if c not in schema]
        if missing or unknown:
            said = [f"lacks {', '.join(missing)}"] * bool(missing)
            said += [f"has {', '.join(unknown)}, which columns.toml does not list"] * bool(unknown)
            raise WarehouseError(f"A frame for table {table} {' and '.join(said)}.")
        columns: list[pl.Series] = []
        for name, dtype in schema.items():
            series = frame.get_column(name)
            try:
                if series.dtype != dtype:
                    series = series.cast(dtype)
                if dtype == pl.Float64():
                    series = series.fill_nan(None)
            except pl.exceptions.PolarsError:
                raise WarehouseError(
                    f"Column {name} of a frame for table {table} is {series.dtype} and does not fit {dtype}."
                ) from None
            columns.append(series)
        return pl.DataFrame(columns)

    def _insert(self, table: str, frame: pl.DataFrame) -> None:
        if frame.height == 0:
            return
        self.con.register("_frame", frame)
        try:
            names = ", ".join(frame.columns)
            # The table and its columns are the registry's.
            self.con.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM _frame")  # noqa: S608
        finally:
            self.con.unregister("_frame")

    # ------------------------------------------------------------------ raw parts
    def parts(self, kind: str, vehicle_id: str | None = None) -> list[Path]:
        """Files of the raw parts of a kind (of one vehicle), in the order they were taken in.

        Raises
        ------
        WarehouseError
            A part of the ledger is gone from the disk.
        """
        asked, given = "FROM meta_part p WHERE p.kind = ?", list[Any]([kind])
        if vehicle_id is not None:
            asked = "FROM meta_part p JOIN meta_part_vehicle v USING (part_id, kind) WHERE p.kind = ?"
            asked += " AND v.vehicle_id IN (SELECT unnest(?))"
            given.append(self.names_of(vehicle_id))
        # A file may hold several parts (`warehouse.packs`).
        found = self.rows(f"SELECT p.part_path, min(p.rowid) {asked} GROUP BY 1 ORDER BY 2", given)
        return there([self.home / row[0] for row in found])

    def names_of(self, vehicle_id: str) -> list[str]:
        """Ids under which a vehicle stands in the logs: its own, and its aliases of the fleet file."""
        found = self.rows("SELECT alias_id FROM core_alias WHERE vehicle_id = ? ORDER BY 1", [vehicle_id])
        return [vehicle_id, *(row[0] for row in found)]

    def vehicles_with(self, kind: str) -> list[str]:
        """Vehicles that have rows of a kind (samples, sessions), each under its one id, sorted."""
        sql = (
            "SELECT DISTINCT coalesce(a.vehicle_id, v.vehicle_id) FROM meta_part_vehicle v"
            " LEFT JOIN core_alias a ON a.alias_id = v.vehicle_id WHERE v.kind = ? ORDER BY 1"
        )
        return [row[0] for row in self.rows(sql, [kind])]

    def samples(self, vehicle_id: str) -> pl.DataFrame:
        """Accepted samples of a vehicle in time order, one a time and logger (columns as in raw parts; maybe empty)."""
        return self.samples_and_late(vehicle_id)[0]

    def samples_and_late(self, vehicle_id: str, log: Logged | None = None) -> tuple[pl.DataFrame, pl.Series]:
        """As `samples`, and the times of those that stand in their file behind one of a later time, sorted."""
        from warehouse.lifelog import late_times, rows_of, samples_of

        rows = rows_of(self, vehicle_id, "samples", log)
        return samples_of(rows), late_times(rows)

    def sessions(self, vehicle_id: str, log: Logged | None = None) -> pl.DataFrame:
        """Logged sessions of a vehicle by start and kind; a session logged open and later closed appears closed."""
        from warehouse.lifelog import rows_of, sessions_of

        return sessions_of(rows_of(self, vehicle_id, "sessions", log))

    def pin_as_of(self, day: date | None) -> None:
        """Look at the data as of this day (``nightly --as-of``); None goes back to the data's own last day."""
        self._as_of = day

    def as_of(self) -> date:
        """Day pinned for this night, else the last complete UTC day of samples and sessions.

        Raises
        ------
        WarehouseError
            Nothing has been taken in yet.
        """
        if self._as_of is not None:
            return self._as_of
        last = self.scalar("SELECT max(last_utc) FROM meta_part WHERE kind IN ('samples', 'sessions')")
        if last is None:
            raise WarehouseError("There are no samples or sessions yet; take logs in with `fadecast ingest`.")
        return (last + DAY_TOLERANCE).date() - timedelta(days=1)


def there(paths: list[Path]) -> list[Path]:
    """The same files of raw parts.

    Raises
    ------
    WarehouseError
        One of them is gone from the disk.
    """
    for path in paths:
        if not path.exists():
            raise WarehouseError(
                f"Raw part {path.name} is in the ledger but not on the disk; restore {path.parent} from a copy."
            )
    return paths


@contextmanager
def open_warehouse(home: Path, create: bool = True, patience_s: float = LOCK_PATIENCE_S) -> Iterator[Warehouse]:
    """Open the warehouse of a home, alone.

    Parameters
    ----------
    home
        Folder of everything generated.
    create
        Make it where there is none; otherwise that is an error.
    patience_s
        How long to wait for another process. [s]

    Raises
    ------
    WarehouseError
        No home, one that cannot be written, locked by another process for too long, or not a database.
    """
    database = home / DATABASE
    if not create and not database.exists():
        raise WarehouseError(f"There is no warehouse in {home}; take logs in with `fadecast ingest` first.")
    make_home(home)
    with writing(home), locked(home, patience_s):
        con = _connect(database, patience_s)
        try:
            con.execute("SET TimeZone = 'UTC'; SET autoinstall_known_extensions = false")
            warehouse = Warehouse(home, con)
            _migrate(warehouse)
            _make_tables(warehouse)
            yield warehouse
        finally:
            con.close()


@contextmanager
def locked(home: Path, patience_s: float = LOCK_PATIENCE_S) -> Iterator[None]:
    """Hold the lock of a home."""
    handle = os.open(home / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        deadline = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise WarehouseError(
                        f"Another process is writing the warehouse in {home};"
                        " try again when it is done (`fadecast status`)."
                    ) from None
                time.sleep(0.05)
        yield
    finally:
        os.close(handle)


def _connect(database: Path, patience_s: float) -> duckdb.DuckDBPyConnection:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            make_database(database)
            return duckdb.connect(str(database))
        except duckdb.IOException as error:
            if reason_of(error) is not None:
                raise
            if "lock" not in str(error).lower():
                raise WarehouseError(
                    f"{database} cannot be opened as a DuckDB database; move it away and take the files in again."
                ) from None
            if time.monotonic() >= deadline:
                raise WarehouseError(
                    f"Another program has {database} open; close it, or read the published copy serving.duckdb."
                ) from None
            time.sleep(0.1)


def _migrate(wh: Warehouse) -> None:
    """Run the numbered migrations that this warehouse has not seen, each in one transaction."""
    wh.con.execute("CREATE TABLE IF NOT EXISTS meta_migration (number INTEGER, name VARCHAR)")
    done = {row[0] for row in wh.rows("SELECT number FROM meta_migration")}
    scripts = sorted(f.name for f in (files("warehouse") / "sql").iterdir() if f.name[:3].isdigit())
    newest = max((int(name[:3]) for name in scripts), default=0)
    if done and max(done) > newest:
        raise WarehouseError(
            f"The warehouse in {wh.home} was written by a newer Fadecast (migration {max(done)}); update Fadecast."
        )
    for name in scripts:
        number = int(name[:3])
        if number in done:
            continue
        with wh.transaction():
            wh.con.execute((files("warehouse") / "sql" / name).read_text(encoding="utf-8"))
            wh.con.execute("INSERT INTO meta_migration VALUES (?, ?)", [number, name])


def _columns_found(wh: Warehouse, wanted: Mapping[str, list[tuple[str, str]]]) -> dict[str, list[tuple[str, str]]]:
    """Names and types of the columns of those of the wanted tables that are there."""
    # Listing columns costs DuckDB as much as opening the file (it binds its own views first); texts of tables do not.
    texts = dict(
        wh.rows(
            "SELECT table_name, replace(sql, '\"', '') FROM duckdb_tables() WHERE NOT internal AND schema_name = 'main'"
        )
    )
    found = {t: columns for t, columns in wanted.items() if texts.get(t) == _text_of(t, columns)}
    if any(t in texts and t not in found for t in wanted):
        found = {}
        for table, column, kind in wh.rows(
            "SELECT table_name, column_name, data_type FROM duckdb_columns()"
            " WHERE NOT internal AND schema_name = 'main' ORDER BY table_name, column_index"
        ):
            if table in wanted:
                found.setdefault(table, []).append((column, kind))
    return found


def _text_of(table: str, columns: list[tuple[str, str]]) -> str:
    """How DuckDB tells a table of these columns, quotes apart; one told otherwise is looked at column by column."""
    return f"CREATE TABLE {table}({', '.join(f'{name} {kind}' for name, kind in columns)});"


def _make_tables(wh: Warehouse) -> None:
    """Make ``core_`` and ``out_`` tables; drop those whose columns are no longer those of the registry."""
    wanted_of = {t: [(c.name, c.type) for c in wh.registry.table(t)] for t in wh.registry.made_tables()}
    found = _columns_found(wh, wanted_of)
    if found == wanted_of:
        return
    dropped: list[str] = []
    with wh.transaction():
        for table, wanted in wanted_of.items():
            if table in found and found[table] != wanted:
                wh.con.execute(f"DROP TABLE {table}")
                dropped.append(table)
            if found.get(table) != wanted:
                wh.con.execute(wh.registry.ddl(table))
        if dropped:
            # Versions by content no longer hold: everything made from raw is made again.
            wh.con.execute("DELETE FROM meta_state")
    wh.dropped = tuple(dropped)
    if dropped:
        from warehouse.raw import rebuild_core

        rebuild_core(wh, tuple(dropped))
