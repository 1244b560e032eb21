"""Intake under abuse: runs that are killed, files that are damaged. The long forms are in ``benchmarks``."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from types import ModuleType

import polars as pl
import pyarrow.parquet as pq
import pytest

from pipelines.settings import Settings
from pipelines.steps.intake import ingest

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


@pytest.mark.slow
def test_runs_killed_at_random_points_end_as_an_undisturbed_one() -> None:
    """Some of the 200 of ``benchmarks/kill_ingest.py``; a process of its own forks, as this one has threads."""
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "kill_ingest.py", "--kills", "12", "--seed", "5"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    body = json.loads(done.stdout.splitlines()[-1])
    assert body["kills"] >= 12
    assert body["differ"] == 0


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
