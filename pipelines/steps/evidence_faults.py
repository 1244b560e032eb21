"""What is wrong with rows of ageing tests: each fault one sentence with file, row (0-based) and column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from models.domain import BoolArray, FloatArray, IntArray
from pipelines.steps.evidence_table import EMPTY

_LIMITS = {
    "temperature_c": (-60.0, 120.0),
    "soc_mean_frac": (0.0, 1.0),
    "dod_frac": (0.0, 1.0),
    "charge_c_rate": (0.0, 20.0),
    "discharge_c_rate": (0.0, 20.0),
    "day": (0.0, 36_525.0),
    "efc": (0.0, 1e6),
    "capacity_frac": (0.01, 1.5),
}
_SHOWN = 5
_SWING_SLACK = 0.05
_TEXT_SHOWN = 40
_PERCENT_FROM = 20.0
FIRST_SLACK = 0.005
# Temperatures at which cells are aged are multiples of 5 degC, or a room's; in Fahrenheit most of these are no such.
_USUAL_C = (*range(-40, 101, 5), 20, 21, 22, 23)
_USUAL_F = np.array(sorted(1.8 * c + 32.0 for c in _USUAL_C))
_HOT_C = 65.0


class Faults:
    """Collects faults by column, and says each kind in one sentence.

    Parameters
    ----------
    name
        Of the file.
    height
        Number of its rows.
    """

    def __init__(self, name: str, height: int) -> None:
        self.name = name
        self.height = height
        self.unreadable: dict[str, BoolArray] = {}
        self._found: list[str] = []
        self._rows: list[int] = []

    def sentences(self) -> list[str]:
        """All that was found."""
        return self._found

    def heaviest(self) -> str:
        """The fault of the most rows, and how many others there are; '' without any."""
        if not self._found:
            return ""
        others = len(self._found) - 1
        more = f" ({others} more such sentence{'s' if others > 1 else ''} left out)" if others else ""
        return self._found[int(np.argmax(self._rows))].rstrip(".") + more + "."

    def say(self, rows: Sequence[int] | IntArray, column: str, what: str) -> None:
        """Note a fault of rows (0-based) in a column."""
        if len(rows):
            shown = ", ".join(str(int(r)) for r in rows[:_SHOWN])
            more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
            word = "row" if len(rows) == 1 else "rows"
            self._rows.append(len(rows))
            # A text of the file may hold line breaks; a sentence doesn't.
            self._found.append(" ".join(f"{self.name}: {word} {shown}{more}, column {column}: {what}.".split()))

    def whole(self, ragged: Sequence[int]) -> BoolArray:
        """Rows with as many fields as the header, shape (n,)."""
        good = np.ones(self.height, dtype=bool)
        good[list(ragged)] = False
        self.say(ragged, "(all)", "not as many fields as the header names; the row is left out")
        return good

    def numbers(
        self, frame: pl.DataFrame, column: str, good: BoolArray, outcome: str = "the row is left out"
    ) -> FloatArray:
        """A column as floats; empty (also NA, nan, null) is NaN, what is no number is noted."""
        self.unreadable[column] = np.zeros(self.height, dtype=bool)
        if column not in frame.columns:
            return np.full(self.height, np.nan)
        if frame[column].dtype.is_nested():
            self.unreadable[column] = good.copy()
            self.say(np.flatnonzero(good), column, f"holds lists, not numbers; {outcome}")
            return np.full(self.height, np.nan)
        text = frame[column].cast(pl.String, strict=False).fill_null("").str.strip_chars()
        values = text.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy().astype(np.float64, copy=True)
        if np.isfinite(values).all():
            return values
        empty = text.str.to_lowercase().is_in(list(EMPTY)).to_numpy()
        wrong = ~empty & ~np.isfinite(values)
        if column == "capacity_frac":
            wrong |= empty
        wrong &= good
        places = np.flatnonzero(wrong)
        if places.size:
            worst = str(text[int(places[0])])[:_TEXT_SHOWN]
            what = f"is no number ('{worst}')" if worst else "is empty"
            self.say(places, column, f"{what}; {'the row is not scored' if column == 'capacity_frac' else outcome}")
        values[wrong | ~np.isfinite(values)] = np.nan
        self.unreadable[column] = wrong
        return values

    def beyond(self, column: str, values: FloatArray) -> BoolArray:
        """Note values that no cell can have; guess the mistake of unit."""
        low, high = _LIMITS[column]
        with np.errstate(invalid="ignore"):
            bad = (values < low) | (values > high)
        for hint in dict.fromkeys(_hint(column, float(v), low, high) for v in values[bad]):
            at = np.flatnonzero(bad)
            at = at[[_hint(column, float(values[i]), low, high) == hint for i in at]]
            outcome = "not scored" if column == "capacity_frac" else "left out"
            self.say(at, column, f"{values[at[0]]:g} {hint}; the row is {outcome}")
        return bad

    def fahrenheit(self, values: FloatArray) -> FloatArray:
        """Temperatures with those unknown that are Fahrenheit, which the file as a whole tells, not one row.

        Every one is a usual temperature in Fahrenheit, and a hot one is none in Celsius: left out. All are hot: said.
        """
        known = np.unique(values[np.isfinite(values) & (values < 200.0)])
        if not known.size or known[-1] < _HOT_C:
            return values
        here = np.flatnonzero(np.isin(values, known))
        usual = np.abs(known[:, None] - _USUAL_F).min(axis=1) < 0.06
        odd = (known >= _HOT_C) & (np.abs(known - 5.0 * np.round(known / 5.0)) > 0.06)
        span = f"{known[0]:g}" + (f" to {known[-1]:g}" if known.size > 1 else "")
        if usual.all() and odd.any():
            self.say(here, "temperature_c", f"{span} looks like Fahrenheit, give degrees Celsius; the row is left out")
            self.unreadable["temperature_c"][here] = True
            return np.where(self.unreadable["temperature_c"], np.nan, values)
        if known[0] >= _HOT_C:
            what = "in the whole file, hotter than cells are aged: if that is Fahrenheit, give degrees Celsius"
            self.say(here, "temperature_c", f"{span} {what}; predicted as it stands")
        return values

    def rootless(
        self, text: dict[str, np.ndarray], numbers: dict[str, FloatArray], usable: BoolArray, start: IntArray
    ) -> BoolArray:
        """Rows that cannot be counted from their first check-up; days that cannot are said, and unknown then."""
        later = usable & (start >= 0)
        out = np.zeros(self.height, dtype=bool)
        for column, kind in (("day", "calendar"), ("efc", "cycle")):
            counted = later & np.isfinite(numbers[column]) & np.isnan(numbers[column][start])
            out |= counted & (text["kind"] == kind)
            if column == "day":
                of = np.unique(start[counted & (text["kind"] != kind)])
                what = "the first check-up has none, so the days of its test have no start and are taken as unknown"
                self.say(of, column, f"{what}; give it, 0 where they count from there")
        what = "the first check-up of its test, of another kind, doesn't say from where it counts; the row is left out"
        self.say(np.flatnonzero(out), "kind", what)
        return out

    def kinds(self, kind: np.ndarray, good: BoolArray) -> BoolArray:
        """Whether the kind is one of the two there are."""
        known = (kind == "calendar") | (kind == "cycle")
        wrong = good & ~known
        for name in dict.fromkeys(kind[wrong]):
            at = np.flatnonzero(wrong & (kind == name))
            self.say(at, "kind", f"must be calendar or cycle, got '{name[:_TEXT_SHOWN]}'; the row is left out")
        return known

    def named(self, text: dict[str, np.ndarray], good: BoolArray) -> BoolArray:
        """Whether the row says which test it belongs to."""
        known = text["test_id"] != ""
        self.say(np.flatnonzero(good & ~known), "test_id", "is empty; the row is left out")
        return np.asarray(known, dtype=bool)

    def placed(self, text: dict[str, np.ndarray], numbers: dict[str, FloatArray], good: BoolArray) -> BoolArray:
        """Whether a row has what its prediction stands on: the day of a storage test, the cycles of a cycling test."""
        stored, cycled = text["kind"] == "calendar", text["kind"] == "cycle"
        no_day = stored & np.isnan(numbers["day"]) & ~self.unreadable["day"]
        no_cycles = cycled & np.isnan(numbers["efc"]) & ~self.unreadable["efc"]
        self.say(np.flatnonzero(good & no_day), "day", "is empty, a storage test needs it; the row is left out")
        self.say(np.flatnonzero(good & no_cycles), "efc", "is empty, a cycling test needs it; the row is left out")
        return ~(no_day | no_cycles)

    def impossible(self, text: dict[str, np.ndarray], numbers: dict[str, FloatArray], usable: BoolArray) -> None:
        """Note cycles of no depth or no current, and take these fields as unknown (in place)."""
        for column, what in (("dod_frac", "depth"), ("charge_c_rate", "current"), ("discharge_c_rate", "current")):
            none = (text["kind"] == "cycle") & (numbers["efc"] > 0.0) & (numbers[column] == 0.0)
            self.say(np.flatnonzero(usable & none), column, f"0, cycles of no {what} are none; taken as unknown")
            numbers[column] = np.where(none, np.nan, numbers[column])

    def starts(self, name: np.ndarray, first: BoolArray, capacity_frac: FloatArray) -> None:
        """Note first check-ups whose capacity is not 1: perhaps days or cycles run backwards."""
        odd = np.flatnonzero(first & (np.abs(capacity_frac - 1.0) > FIRST_SLACK))
        if odd.size:
            told = f"{capacity_frac[odd[0]]:g} at the first check-up of test {str(name[odd[0]])[:_TEXT_SHOWN]}, where"
            what = "the format has 1 (do day or efc run backwards?); predictions start there as it stands"
            self.say(odd, "capacity_frac", f"{told} {what}")

    def doubtful(self, text: dict[str, np.ndarray], numbers: dict[str, FloatArray], usable: BoolArray) -> None:
        """Note what contradicts itself; such rows are predicted as they stand."""
        with np.errstate(invalid="ignore"):
            reach = np.abs(numbers["soc_mean_frac"] - 0.5) + 0.5 * numbers["dod_frac"]
            wide = usable & (text["kind"] == "cycle") & (reach > 0.5 + _SWING_SLACK)
        self.say(
            np.flatnonzero(wide),
            "dod_frac",
            "a cycle of this depth around this mean SOC leaves 0 to 1; predicted as it stands",
        )
        back, twice = [], []
        members: dict[str, list[int]] = {}
        for i in np.flatnonzero(usable):
            members.setdefault(str(text["test_id"][i]), []).append(int(i))
        columns = np.column_stack([np.nan_to_num(numbers[c], nan=-1.0) for c in ("day", "efc", "capacity_frac")])
        for found in members.values():
            places = np.array(found)
            order = places[np.lexsort((columns[places, 1], columns[places, 0]))]
            known = order[(columns[order, 0] >= 0) & (columns[order, 1] >= 0)]
            fell = np.flatnonzero(np.diff(columns[known, 1]) < -1e-6 * np.maximum(columns[known[1:], 1], 1.0))
            back += [int(i) for i in known[fell + 1]]
            seen: set[tuple[float, ...]] = set()
            for i in found:
                key = tuple(columns[i])
                twice += [i] if key in seen else []
                seen.add(key)
        self.say(sorted(back), "efc", "full cycles fall while days grow; predicted as it stands")
        mixed = [found[0] for found in members.values() if len({str(text["kind"][i]) for i in found}) > 1]
        self.say(mixed, "kind", "calendar and cycle in one test; each row is predicted as it stands")
        self.say(sorted(twice), "day", "the same check-up of the same test stands twice; predicted as it stands")


def _hint(column: str, value: float, low: float, high: float) -> str:
    if column == "temperature_c" and 200 < value < 400:
        return "looks like kelvin, give degrees Celsius"
    if column == "capacity_frac" and high < value < _PERCENT_FROM:
        return "looks like ampere-hours, give the share of the first check-up"
    if column.endswith("_frac") and high < value <= 150:
        return "looks like percent, give a fraction"
    return f"must lie within {low:g} and {high:g}"
