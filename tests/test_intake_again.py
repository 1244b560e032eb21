"""Files that an older reader took in are named, and read again when they come again: nothing lost, nothing twice."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.settings import Settings
from pipelines.steps.check import all_checks, rules_lines
from pipelines.steps.forget import forget
from pipelines.steps.intake import ingest
from tests.ocpp_messages import answer16, meter16, sampled16, start16, stop16
from warehouse import packs
from warehouse.formatspec import FormatSpec
from warehouse.intake import FileResult
from warehouse.readers import ocpp
from warehouse.readers.batch import Batch
from warehouse.readers.lines import RefusedFile
from warehouse.readers.source import Source
from warehouse.store import open_warehouse


def _old_read(source: Source, spec: FormatSpec) -> Iterator[Batch]:
    """Batches as the first version gave them: the register stands still, the session has no energy."""
    for batch in ocpp.read(source, spec):
        rows = dict(batch.rows)
        rows["samples"] = rows["samples"].with_columns(pl.lit(235.8).alias("energy_in_register_kwh"))
        if "sessions" in rows:
            rows["sessions"] = rows["sessions"].with_columns(pl.lit(0.0).alias("energy_in_meter_kwh"))
        yield replace(batch, rows=rows)


def _broken_read(source: Source, spec: FormatSpec) -> Iterator[Batch]:
    yield next(iter(ocpp.read(source, spec)))
    raise RefusedFile("The file changed while it was read; take it in again.")


OLD = replace(ocpp.READER, read=_old_read, version=1)


def _log(path: Path, first: int, last: int) -> Path:
    messages: list[Any] = [start16(0, 235_800), answer16()] if first == 0 else []
    messages += [
        meter16(k + 1, 7, [sampled16(235_800 + 400 * k, context="Sample.Periodic")]) for k in range(first, last)
    ]
    messages += [stop16(30, 241_000)] if last == 12 else []
    path.write_text("\n".join(map(json.dumps, messages)) + "\n", encoding="utf-8")
    return path


def _take(home: Settings, *paths: Path) -> list[FileResult]:
    results = ingest(home, paths, "ocpp_16")
    checks, _ = all_checks(home)
    assert not [c for c in checks if not c.passed]
    return results


def _registers(home: Settings) -> list[float]:
    with open_warehouse(home.home) as wh:
        (vehicle,) = wh.vehicles_with("samples")
        return wh.samples(vehicle)["energy_in_register_kwh"].to_list()


def _named(home: Settings) -> list[str]:
    _, rules = all_checks(home)
    return [p.text for r in rules if r.rule == "older_reader" for p in r.places]


RIGHT = pytest.approx([235.8 + 0.4 * k for k in range(12)])


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The reader of the release before, until undone."""
    monkeypatch.setattr(ocpp, "READER", OLD)
    yield monkeypatch
    monkeypatch.undo()


@pytest.fixture(scope="module")
def by_the_old(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[FileResult]]]:
    """Homes that the release before has filled, with their logs beside them, and what it said; copy before a change."""
    folder = tmp_path_factory.mktemp("old")
    said: dict[str, list[FileResult]] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ocpp, "READER", OLD)
        for name, spans in {"one": {"CP1": (0, 12)}, "two": {"CP1_a": (0, 8), "CP1_b": (4, 12)}}.items():
            (folder / name).mkdir()
            logs = [_log(folder / name / f"{log}.jsonl", *span) for log, span in spans.items()]
            said[name] = _take(Settings(home=folder / name / "home"), *logs)
    return folder, said


def test_an_old_file_is_named_and_read_again(
    tmp_path: Path, by_the_old: tuple[Path, dict[str, list[FileResult]]]
) -> None:
    shutil.copytree(by_the_old[0] / "one", tmp_path, dirs_exist_ok=True)
    home, log = Settings(home=tmp_path / "home"), tmp_path / "CP1.jsonl"
    assert [r.status for r in by_the_old[1]["one"]] == ["loaded"]
    assert _registers(home) == [235.8] * 12
    # The file is called by the charger's name, which is hidden.
    assert _named(home) == ["***.jsonl: ingest it again with --format ocpp_16"]
    assert any("older_reader (ocpp_16): flagged" in line for line in rules_lines(all_checks(home)[1], home.home))
    (again,) = _take(home, log)
    assert again.status == "loaded" and "was read again" in again.note
    assert again.rows_read == again.rows_loaded and (again.rows_rejected, again.rows_duplicate) == (0, 0)
    assert _registers(home) == RIGHT
    with open_warehouse(home.home) as wh:
        (vehicle,) = wh.vehicles_with("sessions")
        assert wh.sessions(vehicle)["energy_in_meter_kwh"].to_list() == [pytest.approx(5.2)]
        ledger = {row[0] for row in wh.rows("SELECT part_path FROM meta_part")}
    assert {p.relative_to(home.home).as_posix() for p in (home.home / "raw").rglob("*.parquet")} == ledger
    assert _named(home) == []
    assert _take(home, log)[0].status == "known"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("packed", [True, False])
def test_overlapping_files_are_read_again_in_any_order(
    tmp_path: Path, by_the_old: tuple[Path, dict[str, list[FileResult]]], order: tuple[int, int], packed: bool
) -> None:
    shutil.copytree(by_the_old[0] / "two", tmp_path, dirs_exist_ok=True)
    home, logs = Settings(home=tmp_path / "home"), [tmp_path / "CP1_a.jsonl", tmp_path / "CP1_b.jsonl"]
    first = by_the_old[1]["two"]
    if packed:
        with open_warehouse(home.home) as wh, pytest.MonkeyPatch.context() as patch:
            patch.setattr(packs, "JOIN_AT", 2)
            assert packs.compact(wh).packs == 2
    assert len(_named(home)) == 2
    again = [_take(home, logs[i])[0] for i in order]
    assert [r.status for r in again] == ["loaded", "loaded"]
    counts = [(r.rows_loaded, r.rows_rejected, r.rows_duplicate) for r in sorted(again, key=lambda r: r.path)]
    assert counts == [(r.rows_loaded, r.rows_rejected, r.rows_duplicate) for r in first]
    assert _registers(home) == RIGHT
    assert _named(home) == []


def test_what_was_forgotten_stays_out_when_a_file_is_read_again(tmp_path: Path, old: pytest.MonkeyPatch) -> None:
    home = Settings(home=tmp_path / "home")
    log, other = _log(tmp_path / "CP1.jsonl", 0, 12), _log(tmp_path / "CP2.jsonl", 0, 11)
    _take(home, log, other)
    forget(home, "CP1")
    old.undo()
    assert _take(home, log, other)[1].status == "loaded"
    with open_warehouse(home.home) as wh:
        assert len(wh.vehicles_with("samples")) == 1


def test_a_file_that_cannot_be_read_again_leaves_what_was_there(
    tmp_path: Path, by_the_old: tuple[Path, dict[str, list[FileResult]]]
) -> None:
    shutil.copytree(by_the_old[0] / "one", tmp_path, dirs_exist_ok=True)
    home, log = Settings(home=tmp_path / "home"), tmp_path / "CP1.jsonl"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ocpp, "READER", replace(ocpp.READER, read=_broken_read))
        (again,) = _take(home, log)
    assert again.status == "refused" and "changed while" in (again.error or "")
    assert _registers(home) == [235.8] * 12
    assert len(_named(home)) == 1
