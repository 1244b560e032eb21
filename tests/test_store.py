"""The warehouse: lock, transactions, columns checked, tables made again when their columns change."""

from __future__ import annotations

import fcntl
import os
from datetime import date, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest

from warehouse.export import export_table
from warehouse.registry import Registry, RegistryError
from warehouse.store import DATABASE, LOCK, WarehouseError, open_warehouse


def _odometer(vehicle: str = "v1", km: float = 1.0) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "vehicle_id": [vehicle],
            "time_utc": [datetime(2024, 1, 1)],
            "odometer_km": [km],
            "odometer_low_km": [float("nan")],
            "odometer_high_km": [None],
            "modelled": [False],
        }
    )


def test_registry_matches_migrations(tmp_path: Path) -> None:
    registry = Registry.load()
    with open_warehouse(tmp_path) as wh:
        found: dict[str, list[tuple[str, str]]] = {}
        for table, column, kind in wh.rows(
            "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal"
            " ORDER BY table_name, column_index"
        ):
            found.setdefault(table, []).append((column, kind))
    for table in registry.tables:
        assert found[table] == [(c.name, c.type) for c in registry.table(table)], table


def test_dictionary_has_every_column() -> None:
    registry = Registry.load()
    frame = registry.dictionary()
    assert frame.height == sum(len(columns) for columns in registry.tables.values())
    assert set(registry.columns) == set(frame["column"])
    with pytest.raises(RegistryError, match="no table 'nope'"):
        registry.table("nope")


def test_write_replaces_matching_rows_and_casts(tmp_path: Path) -> None:
    with open_warehouse(tmp_path) as wh:
        assert wh.write("core_odometer", _odometer("v1")) == 1
        wh.append("core_odometer", _odometer("v2"))
        wh.write("core_odometer", _odometer("v2", 5.0), "vehicle_id = ?", ["v2"])
        rows = wh.rows("SELECT vehicle_id, odometer_km, odometer_low_km FROM core_odometer ORDER BY 1")
        assert rows == [("v1", 1.0, None), ("v2", 5.0, None)]
        assert wh.scalar("SELECT 1 WHERE false") is None


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (_odometer().drop("modelled"), "lacks modelled"),
        (_odometer().with_columns(extra=1), "has extra"),
        (_odometer().with_columns(odometer_km=pl.lit("far")), "Column odometer_km"),
    ],
)
def test_write_refuses_frames_that_do_not_fit(tmp_path: Path, frame: pl.DataFrame, said: str) -> None:
    with open_warehouse(tmp_path) as wh:
        with pytest.raises(WarehouseError, match=said):
            wh.write("core_odometer", frame)
        with pytest.raises(WarehouseError, match="no table 'core_nothing'"):
            wh.append("core_nothing", frame)


def test_transaction_rolls_back_inner_ones_too(tmp_path: Path) -> None:
    with open_warehouse(tmp_path) as wh:
        with pytest.raises(RuntimeError), wh.transaction():
            wh.append("core_odometer", _odometer())
            with wh.transaction():
                wh.append("core_odometer", _odometer())
            raise RuntimeError
        assert wh.scalar("SELECT count(*) FROM core_odometer") == 0
        wh.append("core_odometer", _odometer())
    with open_warehouse(tmp_path) as wh:
        assert wh.scalar("SELECT count(*) FROM core_odometer") == 1


def test_locked_home_says_so_in_one_sentence(tmp_path: Path) -> None:
    with open_warehouse(tmp_path):
        pass
    handle = os.open(tmp_path / LOCK, os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        with (
            pytest.raises(WarehouseError, match="Another process is writing"),
            open_warehouse(tmp_path, patience_s=0.1),
        ):
            pass
    finally:
        os.close(handle)
    with open_warehouse(tmp_path, patience_s=0.1):
        pass


def test_no_home_and_no_database(tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="There is no warehouse"), open_warehouse(tmp_path, create=False):
        pass
    (tmp_path / DATABASE).write_bytes(b"this is no database, only some bytes" * 200)
    with pytest.raises(WarehouseError, match="cannot be opened"), open_warehouse(tmp_path):
        pass


def test_newer_warehouse_is_refused(tmp_path: Path) -> None:
    with open_warehouse(tmp_path) as wh:
        wh.con.execute("INSERT INTO meta_migration VALUES (999, '999_future.sql')")
    with pytest.raises(WarehouseError, match="newer Fadecast"), open_warehouse(tmp_path):
        pass


def test_changed_columns_drop_and_remake_the_table(tmp_path: Path) -> None:
    with open_warehouse(tmp_path) as wh:
        wh.append("core_odometer", _odometer())
        wh.append("meta_state", pl.DataFrame({"vehicle_id": ["v1"], "subject": ["history"], "version": ["1"]}))
    with duckdb.connect(str(tmp_path / DATABASE)) as con:
        con.execute("ALTER TABLE core_odometer ADD COLUMN old_column INTEGER")
    with open_warehouse(tmp_path) as wh:
        assert wh.dropped == ("core_odometer",)
        assert wh.scalar("SELECT count(*) FROM core_odometer") == 0
        assert wh.scalar("SELECT count(*) FROM meta_state") == 0, "everything made from raw is made again"


def test_as_of_is_the_last_complete_day_or_the_nights_own(tmp_path: Path) -> None:
    part = {"part_id": "p", "sha256": "s", "kind": "samples", "part_path": "raw/p", "rows": 1, "flags": [[]]}
    with open_warehouse(tmp_path) as wh:
        with pytest.raises(WarehouseError, match="no samples or sessions"):
            wh.as_of()
        for last, day in (
            (datetime(2024, 5, 3, 22, 0), date(2024, 5, 2)),
            (datetime(2024, 5, 3, 23, 30), date(2024, 5, 3)),
        ):
            frame = pl.DataFrame(part | {"first_utc": datetime(2024, 5, 1), "last_utc": last})
            wh.write("meta_part", frame)
            assert wh.as_of() == day
        wh.pin_as_of(date(2024, 4, 1))
        assert wh.as_of() == date(2024, 4, 1)


def test_export_writes_csv_without_formulas_and_parquet(tmp_path: Path) -> None:
    row = dict.fromkeys(Registry.load().tables["core_session"])
    row |= {"vehicle_id": "v1", "session_id": "s", "session_ref": "=cmd()", "kind": "drive", "flags": ["open", "x"]}
    with open_warehouse(tmp_path) as wh:
        wh.append("core_session", pl.DataFrame([row], schema=wh.registry.schema("core_session")))
    assert export_table(tmp_path, "core_session", tmp_path / "out" / "a.csv") == 1
    text = (tmp_path / "out" / "a.csv").read_text()
    assert "'=cmd()" in text and "open x" in text
    export_table(tmp_path, "core_session", tmp_path / "a.parquet")
    assert pl.read_parquet(tmp_path / "a.parquet")["flags"].to_list() == [["open", "x"]]
    for table, file, said in (("nope", "a.csv", "no table"), ("core_session", "a.xls", "suffix")):
        with pytest.raises(WarehouseError, match=said):
            export_table(tmp_path, table, tmp_path / file)
