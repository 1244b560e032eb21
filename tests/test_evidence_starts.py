"""Ageing tests whose first check-up or whose unit cannot be: said in one sentence, never guessed in silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from evidence_rows import Row, made_test, several, write

from pipelines.errors import UserError
from pipelines.settings import Settings
from pipelines.steps import evidence


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def scored(settings: Settings, folder: Path, rows: list[Row]) -> evidence.Scored:
    return evidence.score(settings, [write(folder / "a.csv", rows)])


@pytest.mark.parametrize("value", [None, "x", -3])
@pytest.mark.parametrize(("kind", "column"), [("calendar", "day"), ("cycle", "efc")])
def test_a_test_whose_first_check_up_has_no_moment_does_not_start_at_the_second(
    settings: Settings, tmp_path: Path, kind: str, column: str, value: object
) -> None:
    torn = made_test("torn", kind, depth=0.8, rate=1.0, cycles=3000.0)
    torn[0][column] = value
    done = scored(settings, tmp_path, [*torn, *made_test("whole")])
    assert [t["test_id"] for t in done.tests] == ["whole"]
    (told,) = [p for p in done.datasets[0]["problems"] if "torn" in p]
    assert told.startswith(f"a.csv: row 0, column {column}: ") and "give it, 0 where they count from there" in told


def test_a_later_check_up_without_its_day_costs_only_itself(settings: Settings, tmp_path: Path) -> None:
    rows = made_test("a")
    rows[2]["day"] = None
    assert scored(settings, tmp_path, rows).tests[0]["n"] == 3


def test_days_without_a_start_are_unknown_and_said_whatever_they_are(settings: Settings, tmp_path: Path) -> None:
    """Days in cycling tests: those of a first check-up without one count from nobody knows where."""
    cycled = made_test("cycled", "cycle", depth=0.8, rate=1.0, cycles=3000.0, days=900.0)
    cycled[0]["day"] = None
    done = scored(settings, tmp_path, cycled)
    (told,) = done.datasets[0]["problems"]
    assert told.startswith("a.csv: row 0, column day: the first check-up has none") and "taken as unknown" in told
    for days in ([None] * 5, [None, *(r["day"] + 18_000 for r in cycled[1:])]):
        moved = [r | {"day": d} for r, d in zip(cycled, days, strict=True)]
        assert scored(settings, tmp_path, moved).predictions.equals(done.predictions)
    known = scored(settings, tmp_path, [cycled[0] | {"day": 0.0}, *cycled[1:]])
    assert known.datasets[0]["problems"] == []
    assert not known.predictions.equals(done.predictions)


def test_cycles_after_a_storage_check_up_that_counts_none_are_left_out(settings: Settings, tmp_path: Path) -> None:
    mixed = made_test("m", "cycle", depth=0.8, rate=1.0, cycles=3000.0)
    mixed[0] |= {"kind": "calendar", "efc": None}
    mixed[1]["kind"] = "calendar"
    done = scored(settings, tmp_path, [*mixed, *made_test("whole")])
    assert {t["test_id"]: t["n"] for t in done.tests} == {"m": 1, "whole": 4}
    assert any(p.startswith("a.csv: rows 2, 3, 4, column kind: ") for p in done.datasets[0]["problems"])
    assert np.isfinite(done.predictions.select("low", "high").to_numpy()).all()


def in_fahrenheit(rows: list[Row]) -> list[Row]:
    return [r | {"temperature_c": 1.8 * r["temperature_c"] + 32.0} for r in rows]


@pytest.mark.parametrize("temps", [(25.0,), (23.0, 45.0), (0.0, 25.0, 55.0), (20.0, 35.0, 60.0)])
def test_a_file_in_fahrenheit_is_refused_in_one_sentence(
    settings: Settings, tmp_path: Path, temps: tuple[float, ...]
) -> None:
    rows = [r for t in temps for r in made_test(f"at {t}", temp=t)]
    with pytest.raises(UserError, match=r"rows 0.*column temperature_c: .*looks like Fahrenheit") as told:
        scored(settings, tmp_path, in_fahrenheit(rows))
    assert told.value.exit_code == 1 and "\n" not in str(told.value) and "more such" not in str(told.value)
    assert scored(settings, tmp_path, rows).datasets[0]["problems"] == []


def test_rows_without_a_temperature_stay_beside_those_in_fahrenheit(settings: Settings, tmp_path: Path) -> None:
    bare = made_test("bare", temp=None)
    done = scored(settings, tmp_path, [*in_fahrenheit(made_test("f", temp=25.0)), *bare])
    assert [t["test_id"] for t in done.tests] == ["bare"]


def test_hot_celsius_stays_and_a_file_of_nothing_but_heat_is_said(settings: Settings, tmp_path: Path) -> None:
    for temps in ((0.0, 40.0, 60.0), (25.0, 70.0), (45.0, 77.0), (10.0, 85.0)):
        rows = [r for t in temps for r in made_test(f"at {t}", temp=t)]
        assert scored(settings, tmp_path, rows).datasets[0]["problems"] == []
    done = scored(settings, tmp_path, [r | {"temperature_c": 76.0 + i} for i, r in enumerate(made_test("a"))])
    (told,) = done.datasets[0]["problems"]
    assert "76 to 80 in the whole file" in told and "if that is Fahrenheit" in told
    assert done.predictions.height == 4


def test_predictions_beside_a_test_without_a_start_stay_as_they_are(settings: Settings, tmp_path: Path) -> None:
    rows, torn = several(), made_test("torn")
    torn[0]["day"] = None
    alone, beside = (scored(settings, tmp_path, r).predictions for r in (rows, [*rows, *torn]))
    assert beside.equals(alone) and set(beside["test_id"]) == {"stored", "cycled", "spectrum"}
