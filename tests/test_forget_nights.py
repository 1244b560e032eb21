"""A home with several nights behind it forgets a vehicle: every byte and every table of it is looked at."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from pipelines.nightly import run_plain
from pipelines.settings import Settings
from pipelines.steps.forget import forget
from pipelines.steps.intake import ingest, propose_fleet
from warehouse.checks import run_checks
from warehouse.keys import hash_id, write_demo_marker
from warehouse.store import DATABASE, open_warehouse

NAME, OTHER = "car-0002", "car-0001"


def _dump(path: Path) -> dict[str, str]:
    """Every table of a database, or the one of a Parquet file, as text."""
    with duckdb.connect(
        str(path) if path.suffix == ".duckdb" else ":memory:", read_only=path.suffix == ".duckdb"
    ) as con:
        if path.suffix == ".parquet":
            return {
                path.name: str(
                    con.execute("SELECT list(CAST(t AS VARCHAR)) FROM read_parquet(?) t", [str(path)]).fetchall()
                )
            }
        names = [row[0] for row in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        return {n: str(con.execute(f'SELECT list(CAST(t AS VARCHAR)) FROM "{n}" t').fetchall()) for n in names}


@pytest.mark.slow
def test_nothing_of_a_vehicle_is_left_after_many_nights(tiny_home: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(tiny_home, home)
    settings = Settings(home=home, draws=50, conformance_samples=0)
    log = home / "logs" / "samples_001.csv"
    propose_fleet(settings, log, "fadecast_samples")  # a fleet file with names, in the home
    head, *rows = log.read_text().splitlines()
    odd = tmp_path / f"{NAME}_may.csv"
    odd.write_text("\n".join([head, f"{NAME},not a time,,rest,1,2,3,,,,", *(r for r in rows if r.startswith(OTHER))]))
    wrong = tmp_path / f"{NAME}_wrong.csv"
    wrong.write_text("no,such,header\n1,2,3\n")
    write_demo_marker(home, settings.seed, [])
    (home / "demo.json").unlink()  # a demo home takes no file but its own
    assert [r.status for r in ingest(settings, [odd, wrong], "fadecast_samples")] == ["loaded", "refused"]
    with open_warehouse(home) as wh:
        last = wh.as_of()
    published = [run_plain(settings, last - timedelta(days=d)).published for d in (3, 0)]
    assert all(published) and len(list((home / "published").iterdir())) == 2
    (home / "published" / ".killed.part").mkdir()
    one, two = hash_id(home, NAME), hash_id(home, OTHER)
    (home / "published" / ".killed.part" / f"{one}.html").write_text(one)
    with open_warehouse(home) as wh:
        sessions = [r[0] for r in wh.rows("SELECT session_id FROM core_session WHERE vehicle_id = ?", [one])]
        (house,) = wh.rows("SELECT home_id FROM core_vehicle WHERE vehicle_id = ?", [one])[0]
        mine, others = wh.samples(one), wh.samples(two).rows()
        wh.con.execute("SET checkpoint_threshold = '1GB'; PRAGMA disable_checkpoint_on_shutdown")
        wh.con.execute("UPDATE meta_state SET version = version || ' ' WHERE vehicle_id = ?", [one])
    assert sessions and (home / f"{DATABASE}.wal").exists()

    with pytest.raises(Exception, match=r"still in logs/fleet\.csv"):  # not a demo home: these files are the user's
        forget(settings, NAME)
    write_demo_marker(home, settings.seed, [])
    done = forget(settings, NAME)
    assert {"logs/samples_001.csv", "logs/sessions.csv"} <= {*done.copies}

    wanted = [NAME, one, house, *sessions]
    for path in (p for p in sorted(home.rglob("*")) if p.is_file() and not p.is_symlink()):
        body = path.read_bytes()
        assert not [w for w in wanted if w in path.name or w.encode() in body], path
        if path.suffix in (".duckdb", ".parquet"):
            for table, text in _dump(path).items():
                assert not [w for w in wanted if w in text], (path, table)
    key = ["time_utc", "voltage_v", "current_a", "soc_frac", "odometer_km"]
    measured = mine.filter(pl.col("voltage_v").is_not_null()).select(key)
    for part in (home / "raw" / "samples").glob("*.parquet"):
        assert pl.read_parquet(part).select(key).join(measured, on=key, how="semi").height == 0
    with open_warehouse(home) as wh:
        assert wh.samples(two).rows() == others
        assert [c.name for c in run_checks(wh) if not c.passed] == []
        assert wh.rows("SELECT path FROM meta_file WHERE status = 'refused'") == [("***_wrong.csv",)]
    said = run_plain(settings)
    assert said.published and not list((home / "pages" / "driver").glob(f"{one}*"))
