"""A whole night through the command, on a small simulated fleet: idempotence, resume, publication, exit codes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

FADECAST = [str(Path(sys.executable).parent / "fadecast")]
SMALL = {"FADECAST_DRAWS": "200", "FADECAST_CONFORMANCE_SAMPLES": "1", "FADECAST_CONFORMANCE_DAYS": "14"}
DEMO = ["demo", "--vehicles", "8", "--days", "60", "--seed", "3"]


def fadecast(home: Path, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*FADECAST, "--home", str(home), *args], capture_output=True, text=True, env=os.environ | SMALL, check=False
    )
    if check:
        assert done.returncode == 0, done.stderr[-3000:]
    return done


def digest(home: Path) -> dict[str, str]:
    return json.loads(fadecast(home, "digest", "--json").stdout)


def pages(home: Path) -> dict[str, bytes]:
    root = home / "pages"
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def demo_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("night") / "demo"
    fadecast(home, *DEMO, "--no-prefect")
    return home


@pytest.fixture
def copy_of_demo(demo_home: Path, tmp_path: Path) -> Path:
    home = tmp_path / "demo"
    shutil.copytree(demo_home, home, symlinks=True)
    return home


def test_a_second_night_changes_no_row_and_no_page(copy_of_demo: Path) -> None:
    before, bytes_before = digest(copy_of_demo), pages(copy_of_demo)
    said = json.loads(fadecast(copy_of_demo, "nightly", "--no-prefect", "--json").stdout)
    assert said["published"] is None
    assert digest(copy_of_demo) == before
    assert pages(copy_of_demo) == bytes_before


def test_a_deleted_page_comes_back_the_same(copy_of_demo: Path) -> None:
    before = pages(copy_of_demo)
    victim = next(n for n in before if n.startswith("driver/"))
    (copy_of_demo / "pages" / victim).unlink()
    fadecast(copy_of_demo, "nightly", "--no-prefect")
    assert pages(copy_of_demo) == before


def test_tables_computed_anew_are_the_same(copy_of_demo: Path) -> None:
    import duckdb

    before, bytes_before = digest(copy_of_demo), pages(copy_of_demo)
    con = duckdb.connect(str(copy_of_demo / "warehouse.duckdb"))
    tables = con.execute("SELECT table_name FROM information_schema.tables").fetchall()
    for (name,) in tables:
        if name.startswith("out_") and name not in ("out_forecast_vintage",):
            con.execute(f'DELETE FROM "{name}"')
    con.execute("DELETE FROM meta_state")
    con.execute("DELETE FROM core_exposure_day")
    con.close()
    fadecast(copy_of_demo, "nightly", "--no-prefect")
    assert digest(copy_of_demo) == before
    assert pages(copy_of_demo) == bytes_before


def test_the_same_seed_in_another_home_gives_the_same_digest(demo_home: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "demo"
    fadecast(other, *DEMO, "--no-prefect")
    assert digest(other) == digest(demo_home)


def test_prefect_runs_the_same_steps_to_the_same_digest(demo_home: Path, tmp_path: Path) -> None:
    other = tmp_path / "prefect" / "demo"
    fadecast(other, *DEMO)
    assert digest(other) == digest(demo_home)


@pytest.mark.parametrize("seconds", [3.0, 9.0])
def test_a_killed_night_is_finished_by_the_next(copy_of_demo: Path, seconds: float) -> None:
    want, want_pages = digest(copy_of_demo), pages(copy_of_demo)
    import duckdb

    con = duckdb.connect(str(copy_of_demo / "warehouse.duckdb"))
    con.execute("DELETE FROM meta_state")
    con.execute("DELETE FROM core_exposure_day")
    con.close()
    night = subprocess.Popen(
        [*FADECAST, "--home", str(copy_of_demo), "nightly", "--no-prefect"],
        env=os.environ | SMALL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(seconds)
    os.killpg(night.pid, signal.SIGKILL)
    night.wait()
    assert pages(copy_of_demo) == want_pages  # the last publication stays readable
    fadecast(copy_of_demo, "nightly", "--no-prefect")
    assert digest(copy_of_demo) == want
    assert pages(copy_of_demo) == want_pages
    assert fadecast(copy_of_demo, "status", check=False).returncode == 0


def test_policies_and_status_speak_json(demo_home: Path) -> None:
    body = json.loads(fadecast(demo_home, "policies", "--json").stdout)
    assert body["baseline"] == "no_export_smart"
    assert len(body["vehicles"]) == 8
    for vehicle in body["vehicles"]:
        names = {p["policy_id"] for p in vehicle["policies"]}
        assert {"as_driven", "no_export_smart", "no_export_immediate", "backup_only", "evening_peak"} <= names
        for p in vehicle["policies"]:
            assert p["diff_p10_pp"] <= p["diff_p50_pp"] <= p["diff_p90_pp"]
            if p["policy_id"] == "no_export_smart":
                assert p["diff_p50_pp"] == 0
    state = json.loads(fadecast(demo_home, "status", "--json").stdout)
    assert state["health"] == "good"


def test_checks_pass_and_tables_export(demo_home: Path, tmp_path: Path) -> None:
    assert fadecast(demo_home, "check").returncode == 0
    fadecast(demo_home, "export", "out_warranty", str(tmp_path / "w.csv"))
    assert (tmp_path / "w.csv").read_text(encoding="utf-8").startswith("vehicle_id,")
    fadecast(demo_home, "export", "core_session", str(tmp_path / "s.parquet"))


def test_a_demo_home_refuses_other_logs(copy_of_demo: Path, tmp_path: Path) -> None:
    log = tmp_path / "other.csv"
    log.write_text(
        "vehicle,session,kind,plug_in_utc,plug_out_utc,energy_in_kwh,energy_out_kwh,soc_start_pct,soc_end_pct\n"
        "car-1,1,plugin,2025-01-01T18:00:00Z,2025-01-02T06:00:00Z,10,0,40,60\n",
        encoding="utf-8",
    )
    done = fadecast(copy_of_demo, "ingest", str(log), "--format", "fadecast_sessions", "--json", check=False)
    assert done.returncode == 1
    refused = json.loads(done.stdout)["files"][0]
    assert refused["status"] == "refused"
    assert "demo" in refused["error"]


def test_two_nights_at_once_are_refused_in_one_sentence(copy_of_demo: Path) -> None:
    from pipelines.errors import UserError
    from pipelines.ledger import night_lock

    with night_lock(copy_of_demo):
        done = fadecast(copy_of_demo, "nightly", "--no-prefect", check=False)
        assert done.returncode == 1
        assert "Another night is at work" in done.stderr
        assert "Traceback" not in done.stderr
        with pytest.raises(UserError, match="Another night"), night_lock(copy_of_demo):
            pass


@pytest.mark.parametrize("day", ["1999-01-01", "2099-01-01"])
def test_an_as_of_day_without_logs_is_refused(demo_home: Path, day: str) -> None:
    done = fadecast(demo_home, "nightly", "--no-prefect", "--as-of", day, check=False)
    assert done.returncode == 2
    assert "the logs reach from" in done.stderr


def test_the_published_copy_says_that_its_night_is_done(demo_home: Path) -> None:
    import duckdb

    con = duckdb.connect(str((demo_home / "serving.duckdb").resolve()), read_only=True)
    runs = con.execute("SELECT status, ended_utc FROM meta_run").fetchall()
    con.close()
    assert runs
    assert all(status == "done" and ended is not None for status, ended in runs)
