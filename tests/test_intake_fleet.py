"""Fleet files: one row a vehicle with its home; defaults are listed as assumed, bad rows refused with a sentence."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest

from pipelines.settings import Settings
from pipelines.steps.intake import ingest, propose_fleet, register_fleet
from warehouse.checks import run_checks
from warehouse.fleetfile import odometer_readings
from warehouse.fleetrow import COLUMNS
from warehouse.intake import FileResult
from warehouse.keys import hash_id
from warehouse.store import WarehouseError, open_warehouse

BASE = {
    "vehicle": "CAR1",
    "home": "Elm Street 5",
    "vehicle_type": "demo_nmc_60",
    "in_service_date": "2023-02-10",
    "market": "DE",
    "contract_id": "common_oem_70",
    "tariff_id": "de_fixed",
    "charger_id": "v2h_7kw",
    "time_zone": "Europe/Berlin",
}


def fleet(path: Path, *rows: dict[str, str]) -> Path:
    names = [name for name in COLUMNS if any(name in row for row in rows)]
    lines = [",".join(names), *(",".join(f'"{row.get(name, "")}"' for name in names) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def failed(home: Path) -> list[str]:
    with open_warehouse(home) as wh:
        return [check.name for check in run_checks(wh) if not check.passed]


def test_a_row_is_completed_and_says_what_is_assumed(tmp_path: Path) -> None:
    home = Settings(home=tmp_path / "home")
    stated = BASE | {"usable_kwh": "55.5", "odometer_km": "12000", "odometer_date": "2024-03-01", "assumed": "market"}
    done = register_fleet(home, fleet(tmp_path / "f.csv", stated, BASE | {"vehicle": "CAR2"}))
    assert (done.status, done.rows_loaded, done.vehicles, done.homes) == ("loaded", 2, 2, 1)
    with open_warehouse(home.home) as wh:
        row = wh.read("SELECT * FROM core_vehicle WHERE vehicle_id = ?", [hash_id(home.home, "CAR1")]).row(
            0, named=True
        )
        house = wh.read("SELECT * FROM core_home").row(0, named=True)
        readings = odometer_readings(wh).rows()
        text = str(wh.rows("SELECT * FROM core_home"))
    assert (row["usable_kwh"], row["gross_kwh"], row["cohort_id"]) == (55.5, 62.0, "nmc811_lgm50.unknown")
    assert row["production_month"] == date(2023, 2, 1)
    assert {"market", "gross_kwh", "production_month", "bms_version"} <= set(row["assumed"])
    assert not {"usable_kwh", "in_service_date"} & set(row["assumed"])
    assert (house["outage_region"], house["annual_load_kwh"], house["pv_kwp"]) == ("de", 3500.0, 0.0)
    assert {"annual_load_kwh", "pv_kwp", "outage_region"} <= set(house["assumed"])
    assert "Elm" not in text
    assert readings == [(row["vehicle_id"], datetime(2024, 3, 1), 12000.0)]
    assert failed(home.home) == []


BAD = (
    ({"vehicle": ""}, "missing_value", "column 'vehicle' is empty"),
    ({"vehicle_type": "spaceship"}, "unknown_entry", "column 'vehicle_type': No vehicles entry named 'spaceship'"),
    ({"contract_id": "none"}, "unknown_entry", "column 'contract_id' names no entry; there are: "),
    ({"in_service_date": "10.02.2023"}, "bad_value", "column 'in_service_date' must be a date YYYY-MM-DD"),
    ({"time_zone": "Berlin"}, "bad_value", "column 'time_zone' must be an IANA name"),
    ({"market": "Germany"}, "bad_value", "column 'market' must be a country"),
    ({"gross_kwh": "nan"}, "bad_value", "column 'gross_kwh' must be a number from 1 to 1000"),
    ({"usable_kwh": "70"}, "bad_value", "column 'usable_kwh' exceeds the gross energy"),
    ({"odometer_km": "5"}, "missing_value", "columns 'odometer_km' and 'odometer_date' belong together"),
    ({"production_month": "2024-01"}, "bad_value", "column 'production_month' lies after the in-service date"),
    ({"tariff_id": ""}, "missing_value", "column 'tariff_id' is empty"),
    ({"assumed": "market colour"}, "bad_value", "column 'assumed' names 'colour'"),
)


def test_bad_rows_get_a_sentence(tmp_path: Path) -> None:
    home = Settings(home=tmp_path / "home")
    rows = [BASE | {"vehicle": f"CAR{i}"} | change for i, (change, _, _) in enumerate(BAD)]
    done = register_fleet(home, fleet(tmp_path / "f.csv", *rows, BASE | {"vehicle": "FINE"}))
    assert (done.rows_read, done.rows_loaded, done.rows_rejected) == (len(BAD) + 1, 1, len(BAD))
    with open_warehouse(home.home) as wh:
        found = wh.rows("SELECT line, reason, detail, raw_text FROM raw_reject ORDER BY line")
    for i, (_, reason, said) in enumerate(BAD):
        assert found[i][:2] == (i + 2, reason)
        assert found[i][2].startswith(said)
        assert f"CAR{i}" not in found[i][3] and "Elm" not in found[i][3]


def test_registering_again_updates_what_changed(tmp_path: Path) -> None:
    home = Settings(home=tmp_path / "home")
    path = fleet(tmp_path / "f.csv", BASE, BASE | {"vehicle": "CAR2"})
    register_fleet(home, path)
    assert register_fleet(home, path).status == "known"
    reading = {"vehicle": "CAR1", "odometer_km": "20000", "odometer_date": "2025-01-01"}
    rows = [BASE | {"contract_id": "vw_id_70"}, BASE | {"vehicle": "CAR2"}, reading, reading, BASE]
    done = register_fleet(
        home, fleet(tmp_path / "g.csv", *rows, {"vehicle": "CAR9"} | {k: reading[k] for k in list(reading)[1:]})
    )
    assert (done.rows_read, done.rows_loaded, done.rows_rejected, done.rows_duplicate) == (6, 2, 2, 2)
    with open_warehouse(home.home) as wh:
        contract = "SELECT contract_id FROM core_vehicle WHERE vehicle_id = ?"
        assert wh.scalar(contract, [hash_id(home.home, "CAR1")]) == "vw_id_70"
        assert wh.scalar("SELECT count(*) FROM core_vehicle") == 2
        assert odometer_readings(wh)["odometer_km"].to_list() == [20000.0]
        reasons = wh.rows("SELECT reason FROM raw_reject ORDER BY line")
    assert reasons == [("conflict",), ("unknown_vehicle",)]
    assert failed(home.home) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "The file f.csv is empty."),
        ("vehicle,colour\nA,red\n", "needs the column 'vehicle_type'"),
        (",".join([*BASE, "colour"]) + "\n", "has no column 'colour'; known are: vehicle, alias, home"),
    ],
)
def test_useless_fleet_files_are_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "f.csv"
    path.write_text(text)
    done = register_fleet(Settings(home=tmp_path / "home"), path)
    assert done.status == "refused" and done.error is not None and said in done.error
    with open_warehouse(tmp_path / "home") as wh:
        assert wh.rows("SELECT kind, status FROM meta_file") == [("fleet", "refused")]


def test_parquet_fleet_and_core_tables_restored_from_parts(tmp_path: Path) -> None:
    home = Settings(home=tmp_path / "home")
    frame = pl.DataFrame([BASE | {"in_service_date": date(2023, 2, 10), "pv_kwp": 4.5}])
    frame.write_parquet(tmp_path / "f.parquet")
    assert register_fleet(home, tmp_path / "f.parquet").rows_loaded == 1
    with open_warehouse(home.home) as wh:
        before = {t: wh.rows(f"SELECT * FROM {t}") for t in ("core_vehicle", "core_home")}
        wh.con.execute("ALTER TABLE core_vehicle ADD COLUMN old INTEGER")
        wh.con.execute("ALTER TABLE core_home ADD COLUMN old INTEGER")
    with open_warehouse(home.home) as wh:
        assert set(wh.dropped) == {"core_vehicle", "core_home"}
        assert {t: wh.rows(f"SELECT * FROM {t}") for t in before} == before


def test_climate_follows_the_air_series(tmp_path: Path) -> None:
    home = Settings(home=tmp_path / "home")
    done = register_fleet(home, fleet(tmp_path / "f.csv", BASE | {"air_series_id": "X"}))
    assert done.note == "Not taken in yet: series X."
    rows = "\n".join(f"X,2024-01-01T{h:02d}:00:00Z,{h - 10}" for h in range(24))
    (tmp_path / "air.csv").write_text(f"station,time_utc,air_temp_c\n{rows}\n")
    ingest(home, [tmp_path / "air.csv"], "air_temperature_long")
    with open_warehouse(home.home) as wh:
        assert wh.scalar("SELECT cohort_id FROM core_vehicle") == "nmc811_lgm50.cold"


def test_a_proposal_is_registered_as_it_is_and_says_that_all_is_assumed(tmp_path: Path) -> None:
    home = Settings(home=tmp_path / "home")
    log = tmp_path / "log.csv"
    log.write_text(
        "vehicle,session,kind,plug_in_utc,plug_out_utc,energy_in_kwh,energy_out_kwh,soc_start_pct,soc_end_pct\n"
        "A-1,1,plugin,2024-03-05T10:00:00Z,,1,,,\nA-1,2,plugin,2024-03-01T10:00:00Z,,1,,,\nB,3,plugin,bad,,1,,,\n"
    )
    proposal = propose_fleet(home, log, "fadecast_sessions", tmp_path / "p" / "fleet.csv")
    assert proposal.vehicles == 1
    done = register_fleet(home, proposal.path)
    assert (done.rows_loaded, done.rows_rejected) == (1, 0)
    with open_warehouse(home.home) as wh:
        row = wh.read("SELECT * FROM core_vehicle").row(0, named=True)
    assert row["in_service_date"] == date(2024, 3, 1)
    kept = {"vehicle_id", "cohort_id", "assumed", "source"}
    assert set(row) - kept <= {*row["assumed"], "home_id"}
    with pytest.raises(WarehouseError, match="holds no vehicles"):
        propose_fleet(home, log, "konstanz_hourly")


def test_a_proposal_from_several_logs_names_each_vehicle_once_from_its_first_day(tmp_path: Path) -> None:
    home, logs = Settings(home=tmp_path / "home"), tmp_path / "logs"
    logs.mkdir()
    head = "vehicle,session,kind,plug_in_utc,plug_out_utc,energy_in_kwh,energy_out_kwh,soc_start_pct,soc_end_pct\n"
    for name, rows in {
        "a.csv": "A,1,plugin,2024-03-05T10:00:00Z,,1,,,\nB,2,plugin,2024-03-01T10:00:00Z,,1,,,\n",
        "b.csv": "A,3,plugin,2024-02-05T10:00:00Z,,1,,,\nC,4,plugin,2024-03-03T10:00:00Z,,1,,,\n",
        "empty.csv": "D,5,plugin,bad,,1,,,\n",
    }.items():
        (logs / name).write_text(head + rows)
    out = tmp_path / "fleet.csv"
    expected = [("A", "2024-02-05"), ("B", "2024-03-01"), ("C", "2024-03-03")]
    for given in ([logs], [logs / "b.csv", logs / "empty.csv", logs / "a.csv"], [Path(f"{logs}/*.csv")]):
        proposal = propose_fleet(home, given, "fadecast_sessions", out)
        rows = pl.read_csv(out).select("vehicle", "in_service_date").rows()
        assert (proposal.vehicles, rows) == (3, expected)
    out.unlink()
    with pytest.raises(WarehouseError, match=r"gone\.csv"):
        propose_fleet(home, [logs, tmp_path / "gone.csv"], "fadecast_sessions", out)
    with pytest.raises(WarehouseError, match=r"empty\.csv names no vehicle"):
        propose_fleet(home, [logs / "empty.csv"], "fadecast_sessions", out)
    assert not out.exists()


def test_json_shape_of_a_result() -> None:
    assert json.loads(json.dumps(vars(FileResult("a", "b", "loaded", 1, 1, 0, 0)))) | {"error": None} == {
        "path": "a", "sha256": "b", "status": "loaded", "rows_read": 1, "rows_loaded": 1, "rows_rejected": 0,
        "rows_duplicate": 0, "error": None, "note": "", "rows_forgotten": 0,
    }  # fmt: skip
