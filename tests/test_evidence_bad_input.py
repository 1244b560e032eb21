"""Bad ageing tests: one sentence with file, row and column, the rest scored, never a traceback."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from evidence_rows import FEATURES, csv_text, made_drive, made_test, several, with_drives, write

from pipelines.errors import UserError
from pipelines.settings import Settings
from pipelines.steps import evidence


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("temperature_c", 300, "looks like kelvin"),
        ("temperature_c", -100, "must lie within -60 and 120"),
        ("soc_mean_frac", 1.4, "looks like percent"),
        ("soc_mean_frac", 140, "looks like percent"),
        ("soc_mean_frac", -0.2, "must lie within 0 and 1"),
        ("dod_frac", 80, "looks like percent"),
        ("charge_c_rate", -1, "must lie within"),
        ("day", -3, "must lie within"),
        ("efc", -1e-3, "must lie within"),
        ("efc", "inf", "is no number"),
        ("temperature_c", "-inf", "is no number"),
        ("capacity_frac", 95, "looks like percent"),
        ("capacity_frac", 0, "must lie within"),
        ("capacity_frac", "", "is empty"),
        ("capacity_frac", "NaN", "is no number ('NaN')"),
        ("kind", "Calendar", "must be calendar or cycle"),
        ("test_id", "", "is empty"),
        ("efc", "", "a cycling test needs it"),
    ],
)
def test_one_bad_value_is_one_sentence_and_the_rest_is_scored(
    settings: Settings, tmp_path: Path, column: str, value: object, says: str
) -> None:
    rows = several()
    rows[8][column] = value
    done = evidence.score(settings, [write(tmp_path / "bad.csv", rows)])
    (problem,) = done.datasets[0]["problems"]
    assert problem.startswith(f"bad.csv: row 8, column {column}: ") and says in problem
    assert {t["test_id"]: t["n"] for t in done.tests} == {"cycled": 3, "spectrum": 4, "stored": 4}


def test_what_contradicts_itself_is_said_and_predicted_as_it_stands(settings: Settings, tmp_path: Path) -> None:
    rows = several()
    rows[8]["efc"] = rows[6]["efc"] / 2
    rows[12] = dict(rows[11])
    rows[7] |= {"soc_mean_frac": 0.9}
    done = evidence.score(settings, [write(tmp_path / "a.csv", rows)])
    problems = "\n".join(done.datasets[0]["problems"])
    assert "row 8, column efc: full cycles fall while days grow" in problems
    assert "row 12, column day: the same check-up of the same test stands twice" in problems
    assert "row 7, column dod_frac: a cycle of this depth around this mean SOC leaves 0 to 1" in problems
    assert done.predictions.height == 12


def test_a_whole_column_in_percent_or_kelvin_is_refused_in_one_sentence(settings: Settings, tmp_path: Path) -> None:
    for column, factor, offset, says in (
        ("capacity_frac", 100.0, 0.0, "percent"),
        ("temperature_c", 1.0, 273.15, "kelvin"),
        ("soc_mean_frac", 100.0, 0.0, "percent"),
    ):
        rows = [r | {column: r[column] * factor + offset} for r in several()]
        with pytest.raises(UserError, match=f"holds no test that can be predicted.*{column}.*{says}") as told:
            evidence.score(settings, [write(tmp_path / "a.csv", rows)])
        assert told.value.exit_code == 1 and "\n" not in str(told.value)


def test_rows_of_the_wrong_length_are_left_out(settings: Settings, tmp_path: Path) -> None:
    lines = csv_text(several()).splitlines()
    lines[8] += ",surplus"
    lines[3] = lines[3].rsplit(",", 4)[0]
    (tmp_path / "a.csv").write_text("\n".join([*lines, "", ""]), encoding="utf-8")
    done = evidence.score(settings, [tmp_path / "a.csv"])
    (problem,) = done.datasets[0]["problems"]
    assert problem == "a.csv: rows 2, 7, column (all): not as many fields as the header names; the row is left out."
    assert {t["test_id"]: t["n"] for t in done.tests} == {"cycled": 3, "spectrum": 4, "stored": 3}


def test_the_first_check_up_is_that_of_the_least_throughput_whatever_its_day_says(
    settings: Settings, tmp_path: Path
) -> None:
    rows = made_test("cycled", "cycle", depth=0.8, rate=1.0, cycles=8000.0)
    rows = [r | {"day": r["day"] + 5.0} for r in rows]
    rows[3]["day"] = None
    done = evidence.score(settings, [write(tmp_path / "a.csv", rows)])
    assert sorted(done.predictions["row"]) == [1, 2, 3, 4]


@pytest.mark.parametrize("value", ["1e308", "-1e308", "1e-320", "-5"])
def test_absurd_features_stay_numbers_and_leave_the_range(settings: Settings, tmp_path: Path, value: str) -> None:
    for name in FEATURES:
        rows = [r | {name: value} for r in made_drive("drive")]
        done = evidence.score(settings, [write(tmp_path / "a.csv", rows)])
        values = done.predictions.select("low", "capacity_frac", "high").to_numpy()
        assert np.isfinite(values).all() and ((values >= 0) & (values <= 1.05)).all()
        if value.endswith("308"):
            assert not done.tests[0]["in_range"]


_JUNK = [
    "",
    "NA",
    "nan",
    "inf",
    "-1",
    "1e308",
    "1e-320",
    "0",
    "50",
    "300",
    "x",
    "é",
    '"',
    "'",
    "\t",
    "1,5",
    "true",
    "∞",
    "  ",
    "=1+1",
]


def mutated(text: str, rng: np.random.Generator) -> bytes:
    """A file after a few random misfortunes."""
    lines = text.splitlines()
    for _ in range(int(rng.integers(1, 6))):
        i = int(rng.integers(0, len(lines)))
        cells = lines[i].split(",")
        j = int(rng.integers(0, len(cells)))
        move = int(rng.integers(0, 9))
        if move <= 3:
            cells[j] = _JUNK[int(rng.integers(0, len(_JUNK)))]
        elif move == 4:
            del cells[j]
        elif move == 5:
            lines.insert(i, lines[int(rng.integers(0, len(lines)))])
        elif move == 6 and len(lines) > 2:
            lines = lines[: int(rng.integers(1, len(lines)))]
            continue
        elif move == 7:
            column = _JUNK[int(rng.integers(0, len(_JUNK)))]
            lines = [lines[0], *(",".join([*x.split(",")[:j], column, *x.split(",")[j + 1 :]]) for x in lines[1:])]
            continue
        else:
            cells[j] = str(float(rng.normal()) * 10.0 ** int(rng.integers(-3, 6)))
        lines[i] = ",".join(cells)
    raw = bytearray("\n".join(lines).encode())
    if rng.random() < 0.15:
        raw[int(rng.integers(0, len(raw)))] = int(rng.integers(0, 256))
    if rng.random() < 0.05:
        raw = raw[: int(rng.integers(0, len(raw)))]
    return bytes(raw)


def survive(settings: Settings, folder: Path, seeds: range) -> int:
    """Score mutated files; how many were predicted. Every refusal is one sentence; every prediction is a number."""
    text, predicted = csv_text(with_drives()), 0
    for seed in seeds:
        path = folder / "m.csv"
        path.write_bytes(mutated(text, np.random.default_rng(seed)))
        try:
            done = evidence.score(settings, [path])
        except UserError as e:
            assert str(e).startswith("m.csv: ") and "\n" not in str(e) and e.exit_code == 1, (seed, str(e))
            continue
        predicted += 1
        frame = done.predictions
        values = frame.select("low", "capacity_frac", "high").to_numpy()
        assert np.isfinite(values).all() and (values >= 0).all(), seed
        assert (np.diff(values, axis=1) >= 0).all(), seed
        assert all(p.startswith("m.csv: row") and "\n" not in p for p in done.datasets[0]["problems"]), seed
    return predicted


def test_mutated_files_never_end_in_a_traceback(settings: Settings, tmp_path: Path) -> None:
    assert survive(settings, tmp_path, range(25)) > 8


@pytest.mark.slow
def test_hundreds_of_mutated_files_never_end_in_a_traceback(settings: Settings, tmp_path: Path) -> None:
    assert survive(settings, tmp_path, range(1000, 1600)) > 200
