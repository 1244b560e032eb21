"""Read files of ageing tests in the exchange format; every fault is one sentence naming file, row and column."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from models.ageing import Rows
from models.domain import BoolArray, FloatArray, IntArray
from pipelines.errors import UserError
from pipelines.steps.evidence_faults import FIRST_SLACK, Faults
from pipelines.steps.evidence_table import EMPTY, read_table

REQUIRED = ("test_id", "kind", "capacity_frac")
NUMERIC = (
    "temperature_c",
    "soc_mean_frac",
    "dod_frac",
    "charge_c_rate",
    "discharge_c_rate",
    "day",
    "efc",
    "capacity_frac",
)
_SHOWN = 40
_TEXT = ("test_id", "cell", "chemistry", "kind", "day_is_estimated", "protocol_type", "protocol_name")


@dataclass(frozen=True, eq=False)
class TestFile:
    """One file as read.

    Parameters
    ----------
    rows
        Rows that can be predicted; those with an unreadable capacity stay, they are predicted and not scored.
    place
        Row of the file, 0-based, shape (n,).
    first_frac
        Capacity of the test's first check-up as the file states it, shape (n,). [1]
    protocol
        Name of the protocol or '', shape (n,).
    problems
        One sentence each.
    """

    path: Path
    rows: Rows
    place: IntArray
    first_frac: FloatArray
    protocol: np.ndarray
    problems: tuple[str, ...]


def read_file(path: Path, known_features: Collection[str] = ()) -> TestFile:
    """Read and check one file (CSV or Parquet).

    Parameters
    ----------
    known_features
        Columns beyond the format that some law reads: they hold numbers, whatever most of a file's rows state.

    Raises
    ------
    UserError
        The file cannot be read as a table, lacks a column that nothing can stand in for, or holds no test that can be
        predicted.
    """
    frame, ragged = read_table(path, NUMERIC)
    frame = _as_format(frame)
    missing = [c for c in REQUIRED if c not in frame.columns]
    if "day" not in frame.columns and "efc" not in frame.columns:
        missing.append("day (or efc)")
    if missing:
        seen = f"it begins with '{frame.columns[0][:_SHOWN]}'" if frame.width else "it is empty"
        raise UserError(
            f"{path.name}: the header ({seen}) has no column {', '.join(missing)}; add it.",
            exit_code=1,
        )
    faults = Faults(path.name, frame.height)
    good = faults.whole(ragged)
    text = {c: _text(frame, c) for c in _TEXT}
    numbers = {c: faults.numbers(frame, c, good) for c in NUMERIC}
    numbers["temperature_c"] = faults.fahrenheit(numbers["temperature_c"])
    usable = good.copy()
    for column, values in numbers.items():
        bad = faults.beyond(column, values)
        numbers[column] = np.where(bad, np.nan, values)
        faults.unreadable[column] |= bad
        if column != "capacity_frac":
            usable &= ~faults.unreadable[column]
    known_test = good & faults.kinds(text["kind"], good) & faults.named(text, good)
    known = faults.placed(text, numbers, good) & known_test
    usable &= known
    features = {
        c: faults.numbers(frame, c, good, "taken as unknown")
        for c in frame.columns
        if c not in _TEXT and c not in NUMERIC and (c in known_features or _is_feature(frame, c))
    }
    faults.impossible(text, numbers, usable)
    faults.doubtful(text, numbers, usable)
    moment = np.where(text["kind"] == "calendar", numbers["day"], numbers["efc"])
    found = known & np.isfinite(moment)
    first, start = _first_rows(text, numbers, found, known_test & ~found, faults)
    keep = usable & (start >= 0) & ~faults.rootless(text, numbers, usable, start)
    if not (keep & ~first).any():
        why = faults.heaviest() or "It has no rows."
        raise UserError(f"{path.name}: holds no test that can be predicted. {why}", exit_code=1)
    origin = np.where(keep, start, 0)
    rows = Rows(
        test_id=text["test_id"],
        cell=text["cell"],
        chemistry=text["chemistry"],
        kind=text["kind"],
        temp_c=numbers["temperature_c"],
        soc_frac=numbers["soc_mean_frac"],
        depth_frac=numbers["dod_frac"],
        charge_per_h=numbers["charge_c_rate"],
        discharge_per_h=numbers["discharge_c_rate"],
        day=numbers["day"] - numbers["day"][origin],
        cycles=numbers["efc"] - numbers["efc"][origin],
        capacity_frac=numbers["capacity_frac"] / numbers["capacity_frac"][origin],
        first=first,
        features=features,
    )
    place = np.flatnonzero(keep)
    return TestFile(
        path=path,
        rows=rows.take(keep),
        place=place.astype(np.int64),
        first_frac=numbers["capacity_frac"][origin][keep],
        protocol=text["protocol_name"][keep],
        problems=tuple(faults.sentences()),
    )


def _as_format(frame: pl.DataFrame) -> pl.DataFrame:
    """Columns of the format under their own names where the header writes them in another case."""
    named: dict[str, list[str]] = {}
    for c in frame.columns:
        named.setdefault(c.strip().lower(), []).append(c)
    return frame.rename(
        {
            named[c][0]: c
            for c in dict.fromkeys((*REQUIRED, *NUMERIC, *_TEXT))
            if c not in frame.columns and len(named.get(c, [])) == 1
        }
    )


def _text(frame: pl.DataFrame, column: str) -> np.ndarray:
    if column not in frame.columns or frame[column].dtype.is_nested():
        return np.full(frame.height, "", dtype=object)
    values = frame[column].cast(pl.String, strict=False).fill_null("").str.strip_chars()
    return np.array(["" if v.lower() in EMPTY else v for v in values.to_list()], dtype=object)


def _is_feature(frame: pl.DataFrame, column: str) -> bool:
    """Whether most of what a column states are numbers; a wrong one among them is a fault of its row."""
    if frame[column].dtype.is_nested() or frame[column].dtype.is_temporal():
        return False
    values = frame[column].cast(pl.String, strict=False).fill_null("").str.strip_chars()
    known = values.filter(~values.str.to_lowercase().is_in(list(EMPTY)))
    return bool(known.len()) and float(known.cast(pl.Float64, strict=False).is_not_null().sum()) > 0.5 * known.len()


def _first_rows(
    text: dict[str, np.ndarray], numbers: dict[str, FloatArray], placed: BoolArray, unplaced: BoolArray, faults: Faults
) -> tuple[BoolArray, IntArray]:
    """Which rows are first check-ups, and each row's first check-up as a place (-1: its test has none).

    First by time in storage and by throughput in cycling; of several at the same moment the one nearest capacity 1. Of
    a first check-up only its moment and capacity count: a fault of its conditions does not make the next one first.
    Where a row without a moment is nearer capacity 1 than those with one, it was the first: such a test is left out.
    """
    test_id, capacity = text["test_id"], numbers["capacity_frac"]
    first, start = np.zeros(test_id.size, dtype=bool), np.full(test_id.size, -1, dtype=np.int64)
    stored = text["kind"] == "calendar"
    main = np.where(stored, numbers["day"], numbers["efc"])
    second = np.nan_to_num(np.where(stored, numbers["efc"], numbers["day"]))
    off = np.abs(capacity - 1.0)
    members: dict[str, list[int]] = {}
    lost: dict[str, list[int]] = {}
    for of_test, rows in ((members, placed), (lost, unplaced)):
        for i in np.flatnonzero(rows):
            of_test.setdefault(str(test_id[i]), []).append(int(i))
    for name, found in members.items():
        places = np.array(found)
        if places.size == 1:
            faults.say(places, "test_id", f"test {name} has one check-up, nothing is left to predict; it is left out")
            continue
        best = places[np.lexsort((places, off[places], second[places], main[places]))[0]]
        if np.isnan(off[best]):
            faults.say([int(best)], "capacity_frac", f"test {name} has no first check-up to start from; it is left out")
            continue
        begun = [i for i in lost.get(name, []) if off[i] < min(off[best], FIRST_SLACK)]
        if begun:
            what = f"none that can be used at the first check-up, from which the others of test {name} count: it is"
            column = "day" if stored[begun[0]] else "efc"
            faults.say(begun, column, f"{what} left out; give it, 0 where they count from there")
            continue
        first[best], start[places] = True, best
    faults.starts(test_id, first, capacity)
    return first, start
