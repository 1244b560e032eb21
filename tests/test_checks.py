"""The SQL checks: each passes on an empty warehouse and finds the row that breaks its rule."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.settings import Settings
from pipelines.steps.check import all_checks, rules_lines
from pipelines.steps.intake import ingest
from warehouse.checks import check_names, parts_present, run_check, run_checks
from warehouse.keys import write_demo_marker
from warehouse.store import Warehouse, open_warehouse

NOON = datetime(2024, 5, 1, 12)
GOOD_FORECAST = {f"soh_p{p}": 0.8 + p / 1000 for p in (10, 25, 50, 75, 90)} | {
    f"diff_p{p}_pp": 0.0 for p in (10, 50, 90)
}
FILE = {
    "sha256": "a",
    "path": "f",
    "format": "x",
    "kind": "samples",
    "status": "loaded",
    "rows_read": 3,
    "rows_loaded": 2,
}
CLAIM = {"claims": 1.0, "cost_money": 0.0, "breaches_low": 0.0, "claims_low": 0.0, "cost_low_money": 0.0}
# Check -> table and a row that breaks it.
BROKEN: dict[str, tuple[str, dict[str, Any]]] = {
    "rows_conserved": ("meta_file", FILE | {"rows_rejected": 0, "rows_duplicate": 0}),
    "rejects_kept": ("meta_file", FILE | {"rows_rejected": 1, "rows_duplicate": 0}),
    "parts_match_ledger": ("meta_file", FILE | {"rows_rejected": 0, "rows_duplicate": 1}),
    "parts_present": ("meta_part", {"part_id": "p", "part_path": "raw/gone.parquet"}),
    "refusals_explained": ("meta_file", {"sha256": "a", "format": "x", "status": "refused", "rows_loaded": 0}),
    "inferred_soc_no_reading": ("core_capacity_reading", {"vehicle_id": "v", "soc_inferred": True}),
    "readings_plausible": (
        "core_capacity_reading",
        {"soh_frac": 2.0, "sigma_frac": 0.1, "method": "bms_soc", "bms_reported": True},
    ),
    "sessions_plausible": (
        "core_session",
        {"session_id": "s", "kind": "drive", "start_utc": NOON, "distance_km": -1.0},
    ),
    "duty_plausible": ("core_duty_step", {"vehicle_id": "v", "drive_in_ah": -1.0}),
    "quantiles_ordered": ("out_forecast", GOOD_FORECAST | {"soh_p10": 0.95}),
    "probabilities": ("out_warranty", {"vehicle_id": "v", "breach_frac": 1.5}),
    "claims_plausible": ("out_claims", CLAIM | {"breaches": 0.5}),
    "energies_not_negative": ("out_policy", {"vehicle_id": "v", "export_kwh_per_year": -1.0, "recommended": True}),
    "caps_not_idle": (
        "out_policy",
        {"vehicle_id": "v", "policy_id": "p", "cap": "3 kW", "cap_changed_days_frac": 0.0, "recommended": True},
    ),
    "baseline_is_zero": ("out_forecast", GOOD_FORECAST | {"policy_id": "no_export_smart", "diff_p90_pp": 0.5}),
    "baseline_exports_nothing": (
        "out_policy",
        {"vehicle_id": "v", "policy_id": "no_export_smart", "export_kwh_per_year": 5.0, "recommended": True},
    ),
    "one_recommendation": ("out_policy", {"vehicle_id": "v", "recommended": False}),
    "homes_known": ("core_vehicle", {"vehicle_id": "v0123456789ab", "home_id": "h"}),
    "no_personal_text": ("raw_reject", {"raw_text": "1;WVWZZZE1ZMP012345;2"}),
}


@pytest.fixture(scope="module")
def wh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    home = tmp_path_factory.mktemp("checks")
    write_demo_marker(home, 1, [])
    with open_warehouse(home) as warehouse:
        yield warehouse


def append(wh: Warehouse, table: str, row: dict[str, Any], times: int = 1) -> None:
    schema = wh.registry.schema(table)
    frame = pl.DataFrame([dict.fromkeys(schema) | row] * times, schema=schema)
    wh.append(table, frame)


def test_an_empty_warehouse_passes_and_every_check_says_why(wh: Warehouse) -> None:
    results = run_checks(wh)
    assert [r.name for r in results if not r.passed] == []
    assert {r.name for r in results} == {*check_names(), "parts_present"}
    assert all(r.why.endswith(".") and len(r.why) > 20 for r in results)
    assert set(BROKEN) | {"keys_unique", "ledger_unique"} == {r.name for r in results}, "every check is tried below"


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_check_finds_the_row_that_breaks_it(wh: Warehouse, name: str) -> None:
    table, row = BROKEN[name]
    wh.con.execute("BEGIN")
    _append_raw(wh, table, row)
    found = parts_present(wh) if name == "parts_present" else run_check(wh, name)
    wh.con.execute("ROLLBACK")
    assert not found.passed and found.example


def _append_raw(wh: Warehouse, table: str, row: dict[str, Any]) -> None:
    names = ", ".join(row)
    wh.con.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(row))})", list(row.values()))


@pytest.mark.parametrize(
    "table", ["core_vehicle", "core_session", "core_duty_step", "out_policy", "core_air_hour", "meta_part"]
)
def test_doubled_keys_are_found(wh: Warehouse, table: str) -> None:
    wh.con.execute("BEGIN")
    column = wh.registry.tables[table][0]
    for _ in range(2):
        _append_raw(wh, table, {column: "x"})
    found = [run_check(wh, name) for name in ("keys_unique", "ledger_unique")]
    wh.con.execute("ROLLBACK")
    assert [c.rows for c in found if not c.passed] == [1]


def test_idle_caps_are_no_fault_outside_the_demo(tmp_path: Path) -> None:
    with open_warehouse(tmp_path) as plain:
        append(plain, *BROKEN["caps_not_idle"])
        assert run_check(plain, "caps_not_idle").passed


def test_what_the_intake_flagged_is_shown_before_any_night_and_for_cars_that_nobody_registered(tmp_path: Path) -> None:
    """Hours of the end of summer time in a log of local time (UtilitechAS/amsreader-firmware#1038)."""
    text = (Path(str(files("warehouse") / "formats")) / "fadecast_samples.toml").read_text(encoding="utf-8")
    text = re.sub(r"^name = .*", 'name = "mine"', text, flags=re.MULTILINE)
    text = re.sub(r"^format = .*", 'format = "%Y-%m-%d %H:%M:%S"', text, flags=re.MULTILINE)
    (tmp_path / "mine.toml").write_text(text.replace('zone = "UTC"', 'zone = "Europe/Berlin"'), encoding="utf-8")
    head = "vehicle,time_utc,session,state,voltage_v,current_a,soc_pct,battery_temp_c,ambient_c,power_kw,odometer_km"
    clocks = ("01:30", "02:10", "02:50", "02:10", "02:50", "03:10")
    rows = [f"CARD,2024-10-27 {c}:00,s1,rest,350,0,55,21,15,,1" for c in clocks]
    (tmp_path / "dst.csv").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    settings = Settings(home=tmp_path / "h")
    assert [r.status for r in ingest(settings, [tmp_path / "dst.csv"], tmp_path / "mine.toml")] == ["loaded"]
    _, rules = all_checks(settings)
    (row,) = rules
    assert (row.source, row.rule, row.rows, row.sessions, row.vehicles) == ("mine", "local_time_ambiguous", 4, 1, 1)
    assert [p.text for p in row.places] == [f"2024-10-27T{c}:00Z" for c in ("00:10", "00:50", "01:10", "01:50")]
    said = rules_lines(rules, settings.home)
    assert said[0].startswith("rule local_time_ambiguous (mine): flagged 4 rows, 1 session, e.g. v")
    assert "nightly" in said[-1]  # there is no page yet that could be named


def test_refused_rows_of_a_log_of_sessions_are_counted_as_sessions(tmp_path: Path) -> None:
    head = "vehicle,session,kind,plug_in_utc,plug_out_utc,energy_in_kwh,energy_out_kwh,soc_start_pct,soc_end_pct"
    rows = [f"CARD,s{day},plugin,2024-05-0{day}T18:00:00Z,2024-05-0{day}T20:00:00Z,5,,," for day in (1, 2, 3)]
    # lbbrhzn/ocpp#45: a session that ends before it begins.
    rows.append("CARD,s4,plugin,2024-05-04T18:00:00Z,2024-05-04T16:00:00Z,5,,,")
    (tmp_path / "s.csv").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    settings = Settings(home=tmp_path / "h")
    ingest(settings, [tmp_path / "s.csv"], "fadecast_sessions")
    _, rules = all_checks(settings)
    (row,) = rules
    assert (row.rule, row.rows, row.sessions) == ("negative_duration", 1, 1)
    assert "rejected 1 row, 1 session, e.g. s.csv, line 5" in rules_lines((row,), settings.home)[0]
