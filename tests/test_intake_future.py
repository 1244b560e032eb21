"""Clocks that are ahead: records from the future are refused by name, the rest of the file is taken in."""

from __future__ import annotations

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
