"""Clocks that are ahead: records from the future are refused by name, the rest of the file is taken in."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from warehouse.checks import run_checks
from warehouse.formatspec import load_format
from warehouse.intake import take_in
from warehouse.store import open_warehouse

HEAD = "vehicle,time_utc,session,state,voltage_v,current_a,soc_pct,battery_temp_c,ambient_c,power_kw,odometer_km"


def _row(when: datetime) -> str:
    return f"CAR1,{when:%Y-%m-%dT%H:%M:%SZ},s1,drive,350,-20,55.0,21,15,,1000"


def test_samples_from_the_future_are_refused_and_the_rest_stays(tmp_path: Path):
    """lbbrhzn/ocpp#1767: absurd session times. A clock a few hours ahead (a zone mistaken) is still taken."""
    now = datetime.now(UTC)
    times = [now - timedelta(days=3), now + timedelta(hours=11), now + timedelta(days=2), now + timedelta(days=900)]
    log = tmp_path / "log.csv"
    log.write_text("\n".join([HEAD, *map(_row, times)]) + "\n", encoding="utf-8")
    with open_warehouse(tmp_path / "home") as wh:
        done = take_in(wh, log, load_format("fadecast_samples"))
        assert (done.rows_read, done.rows_loaded, done.rows_rejected, done.rows_duplicate) == (4, 2, 2, 0)
        assert wh.rows("SELECT line, reason FROM raw_reject ORDER BY line") == [(4, "future_time"), (5, "future_time")]
        assert "later than the day after" in wh.rows("SELECT detail FROM raw_reject")[0][0]
        assert "CAR1" not in str(wh.rows("SELECT raw_text FROM raw_reject"))
        assert wh.as_of() <= (now + timedelta(days=1)).date()
        assert not [c.name for c in run_checks(wh) if not c.passed]


def _taken(tmp_path: Path, times: list[datetime], name: str) -> tuple[int, list[tuple[int, str]]]:
    """Rows loaded, and line and reason of the refused ones."""
    log = tmp_path / f"{name}.csv"
    log.write_text("\n".join([HEAD, *map(_row, times)]) + "\n", encoding="utf-8")
    with open_warehouse(tmp_path / f"home_{name}") as wh:
        done = take_in(wh, log, load_format("fadecast_samples"))
        return done.rows_loaded, wh.rows("SELECT line, reason FROM raw_reject ORDER BY line")


def test_in_a_tiny_file_only_the_impossible_row_is_refused(tmp_path: Path):
    """One of two or two of three times in 2091 are the median: they had put the true ones in the wrong."""
    good, ahead = datetime(2025, 3, 1, 12, tzinfo=UTC), datetime(2091, 3, 1, tzinfo=UTC)
    assert _taken(tmp_path, [good, ahead], "two") == (1, [(3, "impossible_time")])
    assert _taken(tmp_path, [ahead, good], "first") == (1, [(2, "impossible_time")])
    more = [ahead, good, ahead + timedelta(days=1)]
    assert _taken(tmp_path, more, "most") == (1, [(2, "impossible_time"), (4, "impossible_time")])
    # A file that is wrong as a whole stays refused as a whole.
    assert _taken(tmp_path, [ahead, ahead + timedelta(hours=1)], "all") == (0, [(2, "future_time"), (3, "future_time")])


def test_in_a_tiny_ocpp_log_only_the_impossible_message_is_refused(tmp_path: Path):
    def message(when: datetime, soc: int) -> str:
        reading = [
            {"timestamp": f"{when:%Y-%m-%dT%H:%M:%SZ}", "sampledValue": [{"value": str(soc), "measurand": "SoC"}]}
        ]
        return json.dumps([2, f"id{soc}", "MeterValues", {"connectorId": 1, "meterValue": reading}])

    good, ahead = datetime(2025, 3, 1, 12, tzinfo=UTC), datetime(2091, 3, 1, tzinfo=UTC)
    log = tmp_path / "CP1.jsonl"
    log.write_text("\n".join([message(good, 40), message(ahead, 41), message(ahead, 42)]) + "\n", encoding="utf-8")
    with open_warehouse(tmp_path / "home") as wh:
        done = take_in(wh, log, load_format("ocpp_16"))
        assert (done.rows_loaded, done.rows_rejected) == (1, 2)
        assert {row[0] for row in wh.rows("SELECT reason FROM raw_reject")} == {"impossible_time"}
