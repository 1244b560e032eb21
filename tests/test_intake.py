"""Intake: conservation of records, idempotence, conflicts, privacy, orphans, refused files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.errors import UserError
from pipelines.settings import Settings
from pipelines.steps.intake import FileResult, ingest, propose_fleet, register_fleet
from warehouse import intake
from warehouse.checks import run_checks
from warehouse.formatspec import load_format
from warehouse.keys import KEY_FILE, KeyFileError, hash_id, id_key, write_demo_key, write_demo_marker
from warehouse.logbook import logbook
from warehouse.readers.source import file_sha256
from warehouse.store import Warehouse, WarehouseError, open_warehouse

SAMPLES = "vehicle,time_utc,session,state,voltage_v,current_a,soc_pct,battery_temp_c,ambient_c,power_kw,odometer_km"
SESSIONS = "vehicle,session,kind,plug_in_utc,plug_out_utc,energy_in_kwh,energy_out_kwh,soc_start_pct,soc_end_pct"
VIN = "WVWZZZE1ZMP012345"
DATA = Path(__file__).parent.parent.parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.exists(), reason="the real data (../shared/data) are not beside the checkout")


def sample(vehicle: str = "CAR1", minute: int = 0, volts: str = "350", session: str = "s1") -> str:
    return f"{vehicle},2024-05-01T10:{minute:02d}:00Z,{session},drive,{volts},-20,55.0,21,15,,1000"


def write(path: Path, *rows: str, head: str = SAMPLES) -> Path:
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return path


def take(wh: Warehouse, path: Path, name: str = "fadecast_samples") -> FileResult:
    return intake.take_in(wh, path, load_format(name))


def counts(result: FileResult) -> tuple[str, int, int, int, int]:
    return result.status, result.rows_read, result.rows_loaded, result.rows_rejected, result.rows_duplicate


def failed(wh: Warehouse) -> list[str]:
    return [check.name for check in run_checks(wh) if not check.passed]


_FIELD = st.sampled_from(
    ["", "350", "12,5", "x", "nan", "-inf", "1e9", '"', '"a,b"', "2024-05-01T10:00:00Z", "CAR2", "é"]
)
_LINE = st.one_of(
    st.builds(
        sample, st.sampled_from(["CAR1", "CAR2", ""]), st.integers(0, 2), st.sampled_from(["350", "351", "9999", "?"])
    ),
    st.lists(_FIELD, max_size=13).map(",".join),
    st.text(alphabet="a1,;\"'\t .\x00\x0b�", max_size=20),
    st.just(""),
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(files=st.lists(st.lists(_LINE, max_size=12), min_size=1, max_size=3), end=st.sampled_from(["\n", "\r\n"]))
def test_every_record_is_loaded_rejected_or_duplicate(shared: Warehouse, files: list[list[str]], end: str) -> None:
    """Random damage, several files into one warehouse: read = loaded + rejected + duplicate, proved by the checks."""
    with tempfile.TemporaryDirectory() as folder, rolled_back(shared):
        for number, lines in enumerate(files):
            path = Path(folder) / f"f{number}.csv"
            path.write_text(end.join([SAMPLES, *lines]), encoding="utf-8", newline="")
            take(shared, path)
        assert failed(shared) == []
        for vehicle in shared.vehicles_with("samples"):
            assert shared.samples(vehicle)["time_utc"].is_unique().all()


@contextmanager
def rolled_back(wh: Warehouse) -> Iterator[None]:
    """What an example wrote is undone, so that the next one begins with an empty warehouse."""

    class UndoError(Exception):
        pass

    with suppress(UndoError), wh.transaction():
        yield
        raise UndoError


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with open_warehouse(tmp_path_factory.mktemp("shared")) as wh:
        yield wh


def test_the_same_file_twice_changes_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", sample(), sample(minute=1), sample(minute=1), sample(volts="none"))
    home = Settings(home=tmp_path / "home")
    first = ingest(home, [path], "fadecast_samples")[0]
    assert counts(first) == ("loaded", 4, 2, 1, 1)
    parts = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in (home.home / "raw").rglob("*.parquet")}
    (tmp_path / "copy.csv").write_bytes(path.read_bytes())
    for name in ("a.csv", "copy.csv"):
        again = ingest(home, [tmp_path / name], "fadecast_samples")[0]
        assert counts(again) == ("known", 4, 2, 1, 1)
    assert {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in (home.home / "raw").rglob("*.parquet")} == parts
    with open_warehouse(home.home) as wh:
        assert wh.scalar("SELECT count(*) FROM meta_file") == 1
        assert failed(wh) == []


def test_overlapping_files_and_contradictions(tmp_path: Path) -> None:
    with open_warehouse(tmp_path / "home") as wh:
        take(wh, write(tmp_path / "a.csv", *(sample(minute=m) for m in range(5))))
        second = take(
            wh, write(tmp_path / "b.csv", *(sample(minute=m) for m in range(3, 8)), sample(minute=0, volts="349"))
        )
        assert counts(second) == ("loaded", 6, 3, 1, 2)
        reject = wh.rows("SELECT line, reason, detail FROM raw_reject")
        assert reject == [(7, "conflict", "the same vehicle_id and time_utc is there with other values")]
        assert wh.samples(wh.vehicles_with("samples")[0]).height == 8
        assert failed(wh) == []


def test_a_session_logged_open_may_be_closed_later(tmp_path: Path) -> None:
    start, end = "2024-05-01T10:00:00Z", "2024-05-01T12:00:00Z"
    open_row, closed = f"A,7,plugin,{start},,3,,,", f"A,7,plugin,{start},{end},5,,,"
    with open_warehouse(tmp_path / "home") as wh:
        one = take(
            wh,
            write(tmp_path / "a.csv", open_row, f"A,8,plugin,{start},{start},0.01,,,", head=SESSIONS),
            "fadecast_sessions",
        )
        two = take(wh, write(tmp_path / "b.csv", closed, open_row, head=SESSIONS), "fadecast_sessions")
        other = take(
            wh,
            write(
                tmp_path / "c.csv", f"A,7,plugin,{start},{end},6,,,", f"A,9,plugin,{start},{end},5,,,", head=SESSIONS
            ),
            "fadecast_sessions",
        )
        assert counts(one) == ("loaded", 2, 2, 0, 0), "two sessions may begin in the same minute"
        assert counts(two) == ("loaded", 2, 1, 0, 1)
        assert counts(other) == ("loaded", 2, 0, 1, 1), "other values are refused, another name alone is a duplicate"
        sessions = wh.sessions(wh.vehicles_with("sessions")[0])
        assert sessions.select("session_ref", "end_utc").rows() == [
            ("7", datetime(2024, 5, 1, 12)),
            ("8", datetime(2024, 5, 1, 10)),
        ]
        assert failed(wh) == []


def test_ids_are_hashed_at_the_door_and_nothing_personal_is_kept(tmp_path: Path) -> None:
    rows = [
        sample(VIN, session=f"{VIN}-1"),
        sample(VIN, volts="bad"),
        sample(VIN, minute=1, session=VIN).replace("drive", VIN),
        f"{VIN},too,short",
        sample("jane.doe@example.org", volts="bad"),
        sample("jane.doe@example.org", minute=3),
    ]
    home = tmp_path / "home"
    with open_warehouse(home) as wh:
        assert take(wh, write(tmp_path / f"log_{VIN}.csv", *rows)).rows_rejected == 4
        assert set(wh.vehicles_with("samples")) == {hash_id(home, VIN), hash_id(home, "jane.doe@example.org")}
        assert hash_id(home, VIN) == hash_id(home, f" {VIN.lower()} ")
        assert failed(wh) == []
        kept = [str(wh.rows(f"SELECT * FROM {table}")) for table in ("raw_reject", "meta_file", "meta_part_vehicle")]
        kept += [str(pl.read_parquet(p).rows()) for p in wh.parts("samples")]
    everything = b"".join(p.read_bytes() for p in home.rglob("*") if p.is_file())
    for secret in (VIN, "jane.doe"):
        assert all(secret not in text for text in kept)
        assert secret.encode() not in everything
    assert (home / KEY_FILE).stat().st_mode & 0o777 == 0o600


def test_columns_the_format_does_not_read_are_masked(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", sample(volts="?") + ",59.9139,Jane", head=SAMPLES + ",lat,driver")
    with open_warehouse(tmp_path / "home") as wh:
        take(wh, path)
        text = wh.scalar("SELECT raw_text FROM raw_reject")
    assert text.startswith("***,2024-05-01T10:00:00Z,s1,drive,?,") and text.endswith(",***,***")


def test_keys_differ_between_homes_and_demo_keys_do_not(tmp_path: Path) -> None:
    homes = [tmp_path / name for name in "abcd"]
    for home, seed in ((homes[2], 1), (homes[3], 1)):
        write_demo_key(home, seed)
    homes[0].mkdir()
    homes[1].mkdir()
    ids = [hash_id(home, "CAR1") for home in homes]
    assert ids[0] != ids[1] and ids[2] == ids[3] and all(len(i) == 13 and i[0] == "v" for i in ids)
    (homes[0] / KEY_FILE).write_text("not a key")
    with pytest.raises(KeyFileError, match="damaged"):
        id_key(homes[0])


def test_a_demo_home_takes_only_its_own_files(tmp_path: Path) -> None:
    home = Settings(home=tmp_path / "home")
    own, other = write(tmp_path / "own.csv", sample()), write(tmp_path / "other.csv", sample(minute=1))
    write_demo_key(home.home, 1)
    write_demo_marker(home.home, 1, [file_sha256(own)])
    results = ingest(home, [own, other], "fadecast_samples")
    assert [r.status for r in results] == ["loaded", "refused"]
    assert results[1].error is not None and "demo" in results[1].error
    with open_warehouse(home.home) as wh:
        assert wh.rows("SELECT status, rows_read FROM meta_file ORDER BY path") == [("refused", 0), ("loaded", 1)]


def test_refused_files_stand_in_the_ledger_and_may_come_again(tmp_path: Path) -> None:
    path = tmp_path / "broken.csv"
    path.write_bytes(b"")
    with open_warehouse(tmp_path / "home") as wh:
        assert counts(take(wh, path)) == ("refused", 0, 0, 0, 0)
        assert counts(take(wh, path)) == ("refused", 0, 0, 0, 0)
        assert wh.rows("SELECT path, error FROM meta_file") == [("broken.csv", "The file broken.csv is empty.")]
        missing = take(wh, tmp_path / "nowhere.csv")
        assert missing.error == "The file cannot be read (No such file or directory); check its path."
        assert take(wh, tmp_path).status == "refused"
        assert failed(wh) == []


def test_a_record_in_place_of_the_header_is_not_repeated(tmp_path: Path) -> None:
    record = f"Jane Doe,{VIN},jane.doe@example.org,2024-05-01T10:00:00Z,\x1b[2J"
    path = write(tmp_path / f"{VIN}_jane.doe@example.org.csv", record, head=record)
    with open_warehouse(tmp_path / "home") as wh:
        result = take(wh, path)
        assert result.error is not None and result.error.endswith("its first record does not look like a header.")
        kept = str(wh.rows("SELECT error, path FROM meta_file"))
        assert all(secret not in kept for secret in (VIN, "Jane", "jane", "\\x1b"))
        assert failed(wh) == []
        header = take(wh, write(tmp_path / "b.csv", head="time,Temp [°C],<b>," + ",".join(f"c{i}" for i in range(20))))
        assert header.error is not None and "it has: time, Temp [°C], c0" in header.error
        assert "<b>" not in header.error and "c15" not in header.error
        for column, text in (("error", "of jane@example.org"), ("path", "a@example.org.csv"), ("error", f"has {VIN}")):
            old = wh.rows(f"SELECT sha256, {column} FROM meta_file ORDER BY sha256 LIMIT 1")[0]
            wh.con.execute(f"UPDATE meta_file SET {column} = ? WHERE sha256 = ?", [text, old[0]])
            assert failed(wh) == ["no_personal_text"]
            wh.con.execute(f"UPDATE meta_file SET {column} = ? WHERE sha256 = ?", [old[1], old[0]])


def test_a_file_without_one_good_record_is_refused_and_its_rows_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", sample(volts="?"), sample(minute=1, volts="?"))
    with open_warehouse(tmp_path / "home") as wh:
        for _ in range(2):
            result = take(wh, path)
            assert counts(result) == ("refused", 2, 0, 2, 0)
            assert result.error is not None and result.error.endswith("; check the format.")
            assert result.error.startswith("a.csv: all 2 records were rejected, first because column 'voltage_v' holds")
            assert wh.scalar("SELECT count(*) FROM raw_reject") == 2
            assert failed(wh) == []
        assert counts(take(wh, write(tmp_path / "none.csv"))) == ("loaded", 0, 0, 0, 0)


def test_a_folder_without_files_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    with pytest.raises(WarehouseError, match=r"No files found in .*logs; check the path"):
        ingest(Settings(home=tmp_path / "home"), [tmp_path / "logs"], "fadecast_samples")


def test_names_with_quotes_and_sql_are_only_names(tmp_path: Path) -> None:
    name = "a'; DROP TABLE meta_file; --\".csv"
    with open_warehouse(tmp_path / "home") as wh:
        take(wh, write(tmp_path / name, sample("x'); DROP TABLE meta_part; --")))
        assert wh.scalar("SELECT path FROM meta_file") == name
        assert wh.scalar("SELECT count(*) FROM meta_part") == 1


def test_folders_are_walked_and_unknown_formats_refused(tmp_path: Path) -> None:
    logs = tmp_path / "logs" / "deep"
    logs.mkdir(parents=True)
    write(logs / "b.csv", sample(minute=1))
    write(logs.parent / "a.csv", sample())
    write(logs / ".hidden", sample(minute=2))
    home = Settings(home=tmp_path / "home")
    results = ingest(home, [tmp_path / "logs"], "fadecast_samples")
    assert [Path(r.path).name for r in results] == ["a.csv", "b.csv"]
    assert results[0].note == "a.csv: 1 vehicle is not registered yet; `fadecast fleet` registers it (--propose helps)."
    with pytest.raises(UserError, match="There is no format 'nope'"):
        ingest(home, [logs], "nope")


def test_a_changed_format_is_not_silently_ignored(tmp_path: Path) -> None:
    toml = (Path(intake.__file__).parent / "formats" / "fadecast_samples.toml").read_text()
    own = tmp_path / "own.toml"
    own.write_text(toml)
    path, home = write(tmp_path / "a.csv", sample()), Settings(home=tmp_path / "home")
    assert ingest(home, [path], own)[0].status == "loaded"
    own.write_text(toml.replace('sign = "charging_positive"', 'sign = "charging_negative"', 1))
    again = ingest(home, [path], own)[0]
    assert again.status == "refused" and again.error is not None and "another version of format" in again.error


def test_parts_are_the_same_bytes_in_every_home(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", *(sample(f"CAR{i % 3}", minute=i) for i in range(50)))
    contents = []
    for name in ("one", "two"):
        write_demo_key(tmp_path / name, 7)
        ingest(Settings(home=tmp_path / name), [path], "fadecast_samples")
        contents.append([(p.name, p.read_bytes()) for p in sorted((tmp_path / name / "raw").rglob("*.parquet"))])
    assert contents[0] == contents[1]


def test_orphans_are_swept_and_a_lost_part_is_reported(tmp_path: Path) -> None:
    home = Settings(home=tmp_path / "home")
    path = write(tmp_path / "a.csv", sample())
    ingest(home, [path], "fadecast_samples")
    orphan = home.home / "raw" / "samples" / "orphan.parquet"
    orphan.write_bytes(b"x")
    (home.home / "raw" / "samples" / "half.tmp").write_bytes(b"x")
    ingest(home, [path], "fadecast_samples")
    left = sorted(p.name for p in (home.home / "raw").rglob("*") if p.is_file())
    assert len(left) == 1 and left[0].startswith("fadecast_samples-")
    (home.home / "raw" / "samples" / left[0]).unlink()
    with open_warehouse(home.home) as wh:
        assert failed(wh) == ["parts_present"]
        with pytest.raises(WarehouseError, match="not on the disk"):
            wh.samples(wh.vehicles_with("samples")[0])


@pytest.mark.slow
def test_killed_in_the_middle_and_done_again(tmp_path: Path) -> None:
    """kill -9 between the part and its transaction: the ledger knows nothing of it, and the next ingest is complete."""
    logs = tmp_path / "logs"
    logs.mkdir()
    for number in range(4):
        write(logs / f"{number}.csv", *(sample(f"CAR{number}", minute=m) for m in range(30)))
    script = textwrap.dedent("""
        import os, signal, sys
        from pathlib import Path
        from pipelines.settings import Settings
        from pipelines.steps.intake import ingest
        from warehouse import taking
        written = taking.write_part
        def write_part(wh, kind, part_id, rows):
            part = written(wh, kind, part_id, rows)
            write_part.calls += 1
            if write_part.calls == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return part
        write_part.calls = 0
        taking.write_part = write_part
        ingest(Settings(home=Path(sys.argv[1])), [Path(sys.argv[2])], "fadecast_samples")
    """)
    home = Settings(home=tmp_path / "home")
    command = [sys.executable, "-c", script, str(home.home), str(logs)]
    root = Path(intake.__file__).parent.parent
    killed = subprocess.run(command, cwd=root, env=os.environ | {"PYTHONPATH": str(root)}, check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    with open_warehouse(home.home) as wh:
        assert wh.scalar("SELECT count(*) FROM meta_file") == 2 == len(wh.parts("samples"))
        assert failed(wh) == []
    assert len(list((home.home / "raw").rglob("*.parquet"))) == 3
    again = ingest(home, [logs], "fadecast_samples")
    assert [r.status for r in again] == ["known", "known", "loaded", "loaded"]
    with open_warehouse(home.home) as wh:
        assert failed(wh) == []
        assert [wh.samples(v).height for v in wh.vehicles_with("samples")] == [30] * 4


@pytest.mark.data
@needs_data
def test_real_files_are_taken_in_whole(tmp_path: Path) -> None:
    """The public logs: figures counted by hand from the files (README of the data: 79 empty hours, one row undated)."""
    home = Settings(home=tmp_path)
    wanted = {
        "air_temperature": ("home/us_tmy_ambient_100_metros.parquet", 8760, 8760, 0, 0),
        "norway_home_charging": ("logs/norway_home_charging.csv", 6135, 6135, 0, 0),
        "bmw_i3_1hz": ("logs/bmw_i3_trips_1hz.parquet", 53712, 53712, 0, 0),
        "konstanz_hourly": ("home/konstanz_house_2016_hourly.csv.gz", 8784, 8705, 79, 0),
        "day_ahead": ("home/nl_day_ahead_2015_2024.parquet", 87839, 87838, 1, 0),
    }
    for name, (path, *numbers) in wanted.items():
        assert counts(ingest(home, [DATA / path], name)[0]) == ("loaded", *numbers), name
    fleet = propose_fleet(home, DATA / wanted["norway_home_charging"][0], "norway_home_charging")
    assert fleet.air_series_id == "726060 PORTLAND INTL JETPORT ME", "mean 7.35 degC, nearest to 5.5"
    done = register_fleet(home, fleet.path)
    assert (done.status, done.vehicles, done.rows_rejected, done.note) == ("loaded", fleet.vehicles, 0, "")
    with open_warehouse(home.home) as wh:
        assert failed(wh) == []
        assert wh.scalar("SELECT count(DISTINCT cohort_id) FROM core_vehicle WHERE cohort_id LIKE '%.cold'") == 1
        sessions = pl.concat([wh.sessions(v) for v in wh.vehicles_with("sessions")])
        flags = dict(sessions["flags"].explode(empty_as_null=True).drop_nulls().value_counts().rows())
        # The clock was UTC until 2019-06-22: with that, every logged length agrees with its start and end.
        assert flags == {"clock_was_utc": 1372, "open": 32}
        assert logbook(wh)[hash_id(home.home, "bmw_i3_60ah_steinstraeter")].flags == ("date_assumed",)
        assert wh.scalar("SELECT count(*) FROM core_home_hour WHERE flag LIKE '%negative_clipped%'") == 15
        assert wh.scalar("SELECT min(load_kwh) FROM core_home_hour") == 0.0
