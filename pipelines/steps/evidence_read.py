"""Read files of ageing tests in the exchange format; every fault is one sentence naming file, row and column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from models.ageing import Rows
from models.domain import BoolArray, FloatArray, IntArray
from pipelines.errors import UserError

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
_TEXT = ("test_id", "cell", "chemistry", "kind", "day_is_estimated", "protocol_type", "protocol_name")
_LIMITS = {
    "temperature_c": (-60.0, 120.0),
    "soc_mean_frac": (0.0, 1.0),
    "dod_frac": (0.0, 1.0),
    "charge_c_rate": (0.0, 20.0),
    "discharge_c_rate": (0.0, 20.0),
    "day": (0.0, 36_525.0),
    "efc": (0.0, 1e6),
    "capacity_frac": (0.0, 1.5),
}
_SHOWN = 5


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


def read_file(path: Path) -> TestFile:
    """Read and check one file (CSV or Parquet).

    Raises
    ------
    UserError
        The file cannot be read as a table or lacks a column that nothing can stand in for.
    """
    frame = _table(path)
    missing = [c for c in REQUIRED if c not in frame.columns]
    if "day" not in frame.columns and "efc" not in frame.columns:
        missing.append("day (or efc)")
    if missing:
        raise UserError(
            f"{path.name}: the header has no column {', '.join(missing)}; add it.",
            exit_code=1,
        )
    faults = _Faults(path.name)
    text = {c: _text(frame, c) for c in _TEXT}
    numbers = {c: faults.numbers(frame, c) for c in NUMERIC}
    good = np.ones(frame.height, dtype=bool)
    for column, values in numbers.items():
        bad = faults.beyond(column, values)
        if column == "capacity_frac":
            numbers[column] = np.where(bad, np.nan, values)
        else:
            good &= ~(bad | faults.unreadable[column])
    good &= faults.kinds(text["kind"]) & faults.placed(text, numbers) & faults.named(text["test_id"])
    features = {
        c: faults.numbers(frame, c)
        for c in frame.columns
        if c not in _TEXT and c not in NUMERIC and _is_feature(frame, c)
    }
    first, start = _first_rows(text["test_id"], numbers, good, faults)
    keep = good & (start >= 0)
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
        day=numbers["day"] - np.nan_to_num(numbers["day"][origin]),
        cycles=numbers["efc"] - np.nan_to_num(numbers["efc"][origin]),
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


def _table(path: Path) -> pl.DataFrame:
    if not path.is_file():
        raise UserError(f"{path}: no such file; give ageing tests in the exchange format (CSV or Parquet).")
    try:
        if path.suffix.lower() == ".parquet":
            return pl.read_parquet(path)
        return pl.read_csv(path, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as e:
        first = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise UserError(f"{path.name}: not a readable table ({first}); save it as CSV in UTF-8.", exit_code=1) from None


def _text(frame: pl.DataFrame, column: str) -> np.ndarray:
    if column not in frame.columns:
        return np.full(frame.height, "", dtype=object)
    values = frame[column].cast(pl.String).fill_null("").str.strip_chars()
    return np.array(values.to_list(), dtype=object)


def _is_feature(frame: pl.DataFrame, column: str) -> bool:
    values = frame[column].cast(pl.String).str.strip_chars()
    known = values.filter(values.is_not_null() & (values != ""))
    return bool(known.len()) and bool(known.cast(pl.Float64, strict=False).is_not_null().mean() == 1.0)


class _Faults:
    """Collects faults by column, and says each kind in one sentence."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.unreadable: dict[str, BoolArray] = {}
        self._found: list[str] = []

    def say(self, rows: Sequence[int] | IntArray, column: str, what: str) -> None:
        """Note a fault of rows (0-based) in a column."""
        if len(rows):
            shown = ", ".join(str(int(r)) for r in rows[:_SHOWN]) + (
                f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
            )
            word = "row" if len(rows) == 1 else "rows"
            self._found.append(f"{self.name}: {word} {shown}, column {column}: {what}.")

    def numbers(self, frame: pl.DataFrame, column: str) -> FloatArray:
        """A column as floats; empty is NaN, what is no number is noted."""
        self.unreadable[column] = np.zeros(frame.height, dtype=bool)
        if column not in frame.columns:
            return np.full(frame.height, np.nan)
        text = frame[column].cast(pl.String).fill_null("").str.strip_chars()
        values = text.cast(pl.Float64, strict=False).to_numpy().astype(np.float64, copy=True)
        wrong = (text != "").to_numpy() & ~np.isfinite(values)
        if column == "capacity_frac":
            wrong |= (text == "").to_numpy()
        places = np.flatnonzero(wrong)
        if places.size:
            what = "is empty" if text[int(places[0])] == "" else f"is no number ({text[int(places[0])]})"
            self.say(places, column, f"{what}; the row is {'not scored' if column == 'capacity_frac' else 'left out'}")
        values[wrong] = np.nan
        self.unreadable[column] = wrong
        return values

    def beyond(self, column: str, values: FloatArray) -> BoolArray:
        """Note values that no cell can have; guess the mistake of unit."""
        low, high = _LIMITS[column]
        with np.errstate(invalid="ignore"):
            bad = (values < low) | (values > high) | ((column == "capacity_frac") & (values <= 0))
        places = np.flatnonzero(bad)
        if places.size:
            worst = float(values[places[0]])
            hint = f"must lie within {low:g} and {high:g}"
            if column == "temperature_c" and 200 < worst < 400:
                hint = "looks like kelvin, give degrees Celsius"
            elif column.endswith("_frac") and high < worst <= 150:
                hint = "looks like percent, give a fraction"
            outcome = "not scored" if column == "capacity_frac" else "left out"
            self.say(places, column, f"{worst:g} {hint}; the row is {outcome}")
        return bad

    def kinds(self, kind: np.ndarray) -> BoolArray:
        """Whether the kind is one of the two there are."""
        good = (kind == "calendar") | (kind == "cycle")
        places = np.flatnonzero(~good)
        if places.size:
            self.say(places, "kind", f"must be calendar or cycle, got '{kind[places[0]]}'; the row is left out")
        return good

    def named(self, test_id: np.ndarray) -> BoolArray:
        """Whether the row says which test it belongs to."""
        good = test_id != ""
        self.say(np.flatnonzero(~good), "test_id", "is empty; the row is left out")
        return np.asarray(good, dtype=bool)

    def placed(self, text: dict[str, np.ndarray], numbers: dict[str, FloatArray]) -> BoolArray:
        """Whether a row has what its prediction stands on: the day of a storage test, the cycles of a cycling test."""
        stored, cycled = text["kind"] == "calendar", text["kind"] == "cycle"
        no_day = stored & np.isnan(numbers["day"]) & ~self.unreadable["day"]
        no_cycles = cycled & np.isnan(numbers["efc"]) & ~self.unreadable["efc"]
        self.say(np.flatnonzero(no_day), "day", "is empty, a storage test needs it; the row is left out")
        self.say(np.flatnonzero(no_cycles), "efc", "is empty, a cycling test needs it; the row is left out")
        return ~(no_day | no_cycles)

    def sentences(self) -> list[str]:
        """All that was found."""
        return self._found


def _first_rows(
    test_id: np.ndarray, numbers: dict[str, FloatArray], good: BoolArray, faults: _Faults
) -> tuple[BoolArray, IntArray]:
    """Which rows are first check-ups, and each row's first check-up as a place (-1: its test has none)."""
    first, start = np.zeros(test_id.size, dtype=bool), np.full(test_id.size, -1, dtype=np.int64)
    efc, day = np.nan_to_num(numbers["efc"]), np.nan_to_num(numbers["day"])
    off = np.abs(numbers["capacity_frac"] - 1.0)
    for name in dict.fromkeys(test_id):
        places = np.flatnonzero((test_id == name) & good)
        if name == "" or not places.size:
            continue
        if places.size == 1:
            faults.say(places, "test_id", f"test {name} has one check-up, nothing is left to predict; it is left out")
            continue
        best = places[np.lexsort((places, off[places], efc[places], day[places]))[0]]
        if np.isnan(off[best]):
            faults.say([int(best)], "capacity_frac", f"test {name} has no first check-up to start from; it is left out")
            continue
        first[best], start[places] = True, best
    return first, start
