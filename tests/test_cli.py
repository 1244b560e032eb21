"""The command's errors: one sentence, the right exit code, no traceback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from evidence_rows import made_test, write

from pipelines.cli import main
from pipelines.errors import UserError
from pipelines.nightly import run_plain, run_prefect
from pipelines.settings import Settings
from pipelines.steps import intake
from warehouse.store import WarehouseError, open_warehouse

ROOT = Path(__file__).resolve().parent.parent
FORMATS, POLICIES = ROOT / "warehouse" / "formats", ROOT / "models" / "parameters" / "policies.toml"
FADECAST = str(Path(sys.executable).parent / "fadecast")


Done = subprocess.CompletedProcess[str]


def process(*args: str, **env: str) -> Done:
    """The command for true, in a process of its own: a second of imports each, so a few tests alone do it."""
    return subprocess.run([FADECAST, *args], capture_output=True, text=True, env=os.environ | env, check=False)


@pytest.fixture
def fadecast(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """The command's entry point in this process; an error that it lets through fails the test."""

    def run(*args: str) -> Done:
        monkeypatch.setattr("sys.argv", ["fadecast", *args])
        with pytest.raises(SystemExit) as ended:
            main()
        assert isinstance(ended.value.code, int)
        return Done(args, ended.value.code, *capsys.readouterr())

    return run


def one_sentence(done: Done) -> str:
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


def test_no_arguments_show_help() -> None:
    done = process()
    assert "nightly" in done.stdout + done.stderr


@pytest.mark.parametrize(
    "args", [["nonsense"], ["ingest"], ["fleet"], ["nightly", "--as-of", "yesterday", "--no-prefect"]]
)
def test_wrong_usage_ends_with_2(fadecast: Callable[..., Done], tmp_path: Path, args: list[str]) -> None:
    done = fadecast("--home", str(tmp_path), *args)
    assert done.returncode == 2
    assert one_sentence(done)


def test_wrong_setting_names_the_variable(
    fadecast: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FADECAST_DRAWS", "many")
    done = fadecast("--home", str(tmp_path), "status")
    assert done.returncode == 2
    assert "FADECAST_DRAWS" in one_sentence(done)


def test_a_night_without_logs_says_what_to_do(tmp_path: Path) -> None:
    done = process("--home", str(tmp_path / "h"), "nightly", "--no-prefect", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 2
    imported = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    said = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert said[0].startswith("fadecast: There are no logs in") and "fadecast ingest" in said[0]
    assert "pipelines.errors" in imported
    assert not imported & {"pipelines.nightly", "numba", "pybamm", "prefect"}, "it says so before they are loaded"


def test_policies_without_a_publication_say_what_to_do(fadecast: Callable[..., Done], tmp_path: Path) -> None:
    done = fadecast("--home", str(tmp_path / "h"), "policies", "--json")
    assert done.returncode == 2
    assert "fadecast nightly" in one_sentence(done)
    assert done.stdout == ""


def test_a_wrong_format_file_names_its_key(fadecast: Callable[..., Done], tmp_path: Path) -> None:
    toml = tmp_path / "mine.toml"
    toml.write_text(
        (FORMATS / "fadecast_sessions.toml").read_text(encoding="utf-8").replace("delimiter", "delimeter"),
        encoding="utf-8",
    )
    log = tmp_path / "log.csv"
    log.write_text("a;b\n1;2\n", encoding="utf-8")
    done = fadecast("--home", str(tmp_path / "h"), "ingest", str(log), "--format", str(toml))
    assert done.returncode in (1, 2)
    assert "mine.toml" in one_sentence(done)
    assert "delimeter" in one_sentence(done)


def test_a_missing_file_is_refused_and_named(fadecast: Callable[..., Done], tmp_path: Path) -> None:
    done = fadecast(
        "--home", str(tmp_path / "h"), "ingest", str(tmp_path / "nothing.csv"), "--format", "fadecast_samples", "--json"
    )
    assert done.returncode in (1, 2)
    if done.stdout:
        assert json.loads(done.stdout)["files"][0]["status"] == "refused"
    assert "nothing.csv" in done.stdout + done.stderr
    assert not (tmp_path / "h").exists()


def _commands(log: Path, tests: Path) -> list[list[str]]:
    return [
        ["status"],
        ["digest", "--json"],
        ["policies"],
        ["policies", "--add", str(POLICIES)],
        ["ingest", str(log), "--format", "fadecast_samples"],
        ["fleet", str(log)],
        ["nightly", "--no-prefect"],
        ["evidence", "fit", str(tests)],
        ["demo", "--vehicles", "1", "--days", "14", "--no-prefect"],
        ["serve"],
    ]


@pytest.mark.parametrize("kind", ["a file", "below a file", "a link to nothing", "a name too long"])
def test_a_home_that_is_none_is_one_sentence_whatever_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    (tmp_path / "file").write_text("x\n", encoding="utf-8")
    (tmp_path / "link").symlink_to(tmp_path / "gone" / "too")
    name = {"a file": "file", "below a file": "file/home", "a link to nothing": "link", "a name too long": "n" * 300}
    home = tmp_path / name[kind]
    for command in _commands(tmp_path / "log.csv", tmp_path / "tests.csv"):
        monkeypatch.setattr("sys.argv", ["fadecast", "--home", str(home), *command])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert ended.value.code == 2 and said.out == ""
        assert said.err.startswith("fadecast: ") and str(home) in said.err and said.err.count("\n") == 1
    assert (tmp_path / "file").read_text(encoding="utf-8") == "x\n" and not (tmp_path / "gone").exists()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_a_home_that_cannot_be_made_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log.csv"
    log.write_text("vehicle\nme\n", encoding="utf-8")
    tests = write(tmp_path / "tests.csv", [r for soc in (0.1, 0.5, 0.9) for r in made_test(f"at {soc}", soc=soc)])
    for command in _commands(log, tests):
        monkeypatch.setattr("sys.argv", ["fadecast", "--home", "/proc/x", *command])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr().err
        assert said.count("/proc/x") == (0 if command == ["status"] else 1), said
        assert ended.value.code == (1 if command == ["status"] else 2)  # none has run there yet


@pytest.mark.slow
def test_a_home_on_a_locked_disk_is_one_sentence(tmp_path: Path, locked: Callable[[Path], list[str]]) -> None:
    """For true: a disk mounted for reading only."""
    home = tmp_path / "h"
    with open_warehouse(home):
        pass
    (home / "serving.duckdb").write_text("no database", encoding="utf-8")
    log = tmp_path / "log.csv"
    log.write_text("vehicle\nme\n", encoding="utf-8")
    tests = write(tmp_path / "tests.csv", [r for soc in (0.1, 0.5, 0.9) for r in made_test(f"at {soc}", soc=soc)])
    for command in _commands(log, tests):
        inside = [*locked(home), FADECAST, "--home", str(home), *command]
        done = subprocess.run(inside, capture_output=True, text=True, check=False)
        assert done.returncode == 2 and done.stdout == "", (command, done.stderr)
        assert str(home) in done.stderr.splitlines()[-1], (command, done.stderr)
        reason = {"status": "it is no DuckDB database", "policies": "it is no DuckDB", "demo": "not a demo's"}
        reason["policies"] = reason["policies"] if command == ["policies"] else "Read-only file system"
        assert reason.get(command[0], "Read-only file system") in one_sentence(done), command


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_below_the_answer_is_one_sentence(tmp_path: Path) -> None:
    """For true: every write to /dev/full ends with ENOSPC."""
    with open_warehouse(tmp_path / "h"):
        pass
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [FADECAST, "--home", str(tmp_path / "h"), "digest"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.startswith("fadecast: A file cannot be written or read (No space left on device)")
    assert done.stderr.count("\n") == 1


def test_a_night_on_a_home_without_room_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(home=tmp_path / "h")
    with open_warehouse(settings.home):
        pass
    (settings.home / "night.lock").symlink_to("/dev/null/lock")
    with pytest.raises(WarehouseError, match=r"home .*h cannot be written \(Not a directory\)"):
        run_plain(settings)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3 << 20))
    for name in ("PREFECT_HOME", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match=r"has 3 MB free and should have 64.*--no-prefect"):
        run_prefect(settings)


def test_what_finds_nothing_makes_no_home(tmp_path: Path) -> None:
    missing, settings = tmp_path / "no.csv", Settings(home=tmp_path / "h")
    refused = [*intake.ingest(settings, [missing, tmp_path], "ocpp_16"), intake.register_fleet(settings, missing)]
    assert {(r.status, r.error) for r in refused} == {
        ("refused", "The file cannot be read (No such file or directory); check its path.")
    }
    with pytest.raises(WarehouseError, match=r"no\.csv: The file cannot be read"):
        intake.propose_fleet(settings, missing, "ocpp_16")
    for night in (run_plain, run_prefect):
        with pytest.raises(UserError, match=r"no logs in .*h yet"):
            night(settings)
    assert not settings.home.exists()


def test_odd_file_names_are_taken_in_and_shown_on_one_line(fadecast: Callable[..., Done], tmp_path: Path) -> None:
    """A line end, quotes, an escape sequence, bytes that are no UTF-8, and a link in a circle."""
    head = "vehicle,time_utc,session,state,voltage_v,current_a,soc_pct,battery_temp_c,ambient_c,power_kw,odometer_km\n"
    logs = tmp_path / "logs"
    (logs / "sub").mkdir(parents=True)
    (logs / "sub" / "loop").symlink_to("..")
    for n, name in enumerate([b"a\nb.csv", b"c'd\";--.csv", b"e\x1b[31mf.csv", b"g\xffh.csv"]):
        row = f"CAR{n},2025-03-01T10:00:00Z,s1,drive,350,-20,55.0,21,15,,1000\n"
        (logs / os.fsdecode(name)).write_text(head + row, encoding="utf-8")
    home = ["--home", str(tmp_path / "home")]
    done = process(*home, "ingest", str(logs), "--format", "fadecast_samples")
    assert done.returncode == 0 and "Traceback" not in done.stderr
    shown = [line for line in done.stderr.splitlines() if "1 rows read = 1 loaded + 0 rejected + 0 duplicate" in line]
    assert [line.split(":")[0].removeprefix(f"{logs}/") for line in shown] == [
        "a?b.csv",
        "c'd\";--.csv",
        "e?[31mf.csv",
        "g\\udcffh.csv",
    ]
    again = json.loads(fadecast(*home, "ingest", str(logs), "--format", "fadecast_samples", "--json").stdout)
    assert [file["status"] for file in again["files"]] == ["known"] * 4
    with open_warehouse(tmp_path / "home") as wh:
        assert [row[0] for row in wh.rows("SELECT path FROM meta_file ORDER BY path")] == [
            "a b.csv",
            "c'd\";--.csv",
            "e [31mf.csv",
            "g?h.csv",
        ]


def test_several_logs_are_proposed_and_several_fleet_files_registered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    head = "vehicle,session,kind,plug_in_utc,plug_out_utc,energy_in_kwh,energy_out_kwh,soc_start_pct,soc_end_pct\n"
    folder = tmp_path / "logs"
    folder.mkdir()
    for name in "AB":
        (folder / f"{name}.csv").write_text(f"{head}{name},1,plugin,2024-03-05T10:00:00Z,,1,,,\n", encoding="utf-8")
    logs, out = [str(folder / "A.csv"), str(folder / "B.csv")], str(tmp_path / "fleet.csv")
    base = ["fadecast", "--home", str(tmp_path / "h")]

    def run(*args: str) -> str:
        monkeypatch.setattr("sys.argv", [*base, *args])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
        return " ".join(capsys.readouterr().err.split())

    for args in (["--propose", *logs], ["--propose", logs[0], "--propose", logs[1]], ["--propose", str(folder)]):
        assert "Proposed 2 vehicles" in run("fleet", *args, "--format", "fadecast_sessions", "--out", out)
    run("fleet", "--propose", logs[0], "--format", "fadecast_sessions", "--out", str(tmp_path / "one.csv"))
    assert run("fleet", out, str(tmp_path / "one.csv")).count("loaded;") == 2
    taken = run("ingest", *logs, "--format", "fadecast_sessions")
    assert "nothing is loaded again" not in taken
    again = run("ingest", *logs, "--format", "fadecast_sessions")
    assert again.count("A.csv: known, nothing is loaded again; it was 1 rows read = 1 loaded") == 1
