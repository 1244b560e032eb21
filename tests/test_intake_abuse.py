"""Intake under abuse: runs that are killed, files that are damaged. The long forms are in ``benchmarks``."""

from __future__ import annotations

import errno
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.settings import Settings
from pipelines.steps.intake import ingest
from warehouse import intake, store
from warehouse.checks import run_checks
from warehouse.formatspec import load_format
from warehouse.readers import table
from warehouse.readers.ocpp import read_bytes
from warehouse.store import WarehouseError, open_warehouse

HEAD = "vehicle,time_utc,session,state,voltage_v,current_a,soc_pct,battery_temp_c,ambient_c,power_kw,odometer_km"
ROW = "CAR1,2024-05-01T10:00:00Z,s1,drive,350,-20,55.0,21,15,,1000"
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def mutate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutate_ingest", BENCHMARKS / "mutate_ingest.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_good_samples_of_every_format_are_taken_in(mutate: ModuleType, tmp_path: Path) -> None:
    """Otherwise the damaged ones would show little."""
    trial = mutate.Trial(tmp_path)
    for name, found in mutate.samples().items():
        assert all(trial.take(name, file, data, "as it is") for file, data in found), trial.failures
    trial.close()
    assert trial.failures == []
    assert set(trial.statuses) == {"loaded"}
    assert trial.records["loaded"] > 0.9 * (trial.rows - trial.records["duplicate"])


@pytest.mark.slow
def test_damaged_files_of_every_format_never_end_in_a_traceback(mutate: ModuleType) -> None:
    """200 of the 10,000 of ``benchmarks/mutate_ingest.py``, with another seed."""
    body = mutate.run(200, 77)
    assert body["failures"] == []
    assert (body["files"], body["formats"]) == (200, 18)
    assert min(body["loaded"], body["refused"], body["records_rejected"], body["records_duplicate"]) > 20


def _kill_ingest(*options: str) -> dict[str, Any]:
    """What ``benchmarks/kill_ingest.py`` says at the end."""
    command = [sys.executable, BENCHMARKS / "kill_ingest.py", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_runs_killed_at_random_points_end_as_an_undisturbed_one() -> None:
    """Some of the 200 of ``benchmarks/kill_ingest.py``; a process of its own forks, as this one has threads."""
    body = _kill_ingest("--kills", "12", "--seed", "5")
    assert body["kills"] >= 12
    assert body["differ"] == 0


@pytest.mark.slow
def test_disks_that_are_full_at_any_stage_are_one_sentence_and_the_next_run_is_whole() -> None:
    """Writes fail for true (a limit on the length of files): database, its log, parts; see ``kill_ingest.py``."""
    body = _kill_ingest("--full", "3", "--seed", "2")
    assert body["refused"] >= 1
    assert body["differ"] == 0


@pytest.mark.slow
@pytest.mark.usefixtures("locked")  # it needs such mounts
def test_a_file_system_that_is_full_in_an_ingest_or_a_night_is_one_sentence_and_the_next_run_is_whole() -> None:
    """ENOSPC for true, on a small tmpfs; two of the trials of ``benchmarks/full_disk.py``."""
    command = [sys.executable, BENCHMARKS / "full_disk.py", "--trials", "2", "--seed", "4"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    body = json.loads(done.stdout.splitlines()[-1])
    assert sum(n for name, n in body["failed"].items() if name != "nothing") >= 1 and body["differ"] == 0


@pytest.mark.parametrize("when", ["the ledger is written", "the commit"])
def test_a_disk_that_is_full_inside_duckdb_leaves_nothing_half_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"{HEAD}\n{ROW}\n")
    home = Settings(home=tmp_path / "home")
    with open_warehouse(home.home):
        pass

    def full(*_: object, **__: object) -> None:
        raise duckdb.IOException('IO Error: Could not write file "warehouse.duckdb.wal": No space left on device')

    with monkeypatch.context() as patch:
        patch.setattr(intake, "write_ledger" if when == "the ledger is written" else "record_part", full)
        with pytest.raises(WarehouseError, match=r"No space left on device.*nothing of a\.csv was taken in") as said:
            ingest(home, [path], "fadecast_samples")
    assert "\n" not in str(said.value)
    with open_warehouse(home.home) as wh:
        assert wh.scalar("SELECT count(*) FROM meta_file") == 0
    assert ingest(home, [path], "fadecast_samples")[0].rows_loaded == 1
    with open_warehouse(home.home) as wh:
        assert [c.name for c in run_checks(wh) if not c.passed] == []


def test_a_home_that_cannot_be_written_and_one_in_use_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"{HEAD}\n{ROW}\n")
    (tmp_path / "file").write_text("")
    for home in (tmp_path / "file", tmp_path / "file" / "home"):
        with pytest.raises(WarehouseError, match=r"cannot be written \("):
            ingest(Settings(home=home), [path], "fadecast_samples")

    def locked_folder(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", locked_folder)
        with pytest.raises(WarehouseError, match="Read-only file system"):
            ingest(Settings(home=tmp_path / "home"), [path], "fadecast_samples")
    with (
        locked_home(tmp_path / "home"),
        pytest.raises(WarehouseError, match="Another process is writing"),
        open_warehouse(tmp_path / "home", patience_s=0.1),
    ):
        pass
    assert ingest(Settings(home=tmp_path / "home"), [path], "fadecast_samples")[0].rows_loaded == 1


@contextmanager
def locked_home(home: Path) -> Iterator[None]:
    home.mkdir()
    with store.locked(home):
        yield


VIN, TOKEN, PLACE = "WBY1Z21040V307900", "04E1C2AA5566F0", "48.137154"


@given(
    volts=st.text(st.characters(codec="ascii", exclude_characters=',\r\n"'), max_size=8),
    more=st.integers(0, 3),
    data=st.data(),
)
@settings(max_examples=25, deadline=None)
def test_refused_rows_of_leaf_spy_and_ocpp_carry_no_vin_place_or_token(
    volts: str, more: int, data: st.DataObject
) -> None:
    """Whatever is wrong with a record: a bad cell, too many fields, a cut, a key that no schema knows."""
    spec = load_format("leaf_spy")
    sample = (BENCHMARKS.parent / "tests" / "data" / "leaf_spy_152.csv").read_text().splitlines()
    names, cells = sample[0].split(","), sample[2].split(",")
    for name, secret in (("VIN", VIN), ("Lat", PLACE), ("Long", PLACE)):
        cells[names.index(name)] = secret
    cells[names.index("Pack Volts")] = f"?{volts}"
    cut = data.draw(st.integers(0, len(cells)))
    rows = [cells, cells + ["x"] * more, cells[: max(cut, 1)]]
    text = "\n".join([sample[0], *(",".join(row) for row in rows)])
    refused = table.read_table(text.encode(), spec).rejects
    assert refused.height >= 1
    said = " ".join(str(v) for row in refused.select("detail", "raw_text").rows() for v in row)
    assert not [secret for secret in (VIN, PLACE) if secret in said]
    event = {"eventType": "Started", "timestamp": "x" + volts, "idToken": {"idToken": TOKEN, "type": "Central"}}
    event |= {"vendor": VIN, "evse": {"id": 1}, "transactionInfo": {"transactionId": "t"}}
    message = json.dumps([2, "u", "TransactionEvent", event]).encode()
    for batch in read_bytes(message, load_format("ocpp_201"), "CP1_log.jsonl"):
        said = " ".join(str(v) for row in batch.rejects.select("detail", "raw_text").rows() for v in row)
        assert batch.rejects.height == 1
        assert not [secret for secret in (VIN, TOKEN) if secret in said]


def test_a_parquet_file_whose_foot_promises_other_rows_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by mutation: one damaged byte of the foot hid the row groups, and 60 records were not accounted for."""
    path = tmp_path / "a.parquet"
    pl.DataFrame({"utc": [datetime(2024, 5, 1, h) for h in range(6)], "eur_mwh": [50.0] * 6}).write_parquet(path)
    batches = pq.ParquetFile.iter_batches
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", lambda *a, **k: list(batches(*a, **k))[1:])
    done = ingest(Settings(home=tmp_path / "home"), [path], "day_ahead")[0]
    assert done.status == "refused"
    assert done.error == "The Parquet file is cut off or damaged; copy it again."
