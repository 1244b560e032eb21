"""Cells of a batch put right before they are read column by column (pure; keeps the meters' last readings).

Order: garbage emptied, marks, meters to differences, columns composed, sentinels and known defects emptied, times.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from warehouse.formatheader import is_composed
from warehouse.raw import RAW_SCHEMAS
from warehouse.readers.cells import Refusals, as_number, as_text, parse_times
from warehouse.readers.localtime import to_utc

if TYPE_CHECKING:
    from warehouse.formatspec import ColumnSpec, FormatSpec

EMPTIED = "defect_emptied"
METER_GAP = "meter_gap"
NO_EPOCH = "epoch_no_time"
_EPOCH_YEARS = (946_684_800.0, 4_102_444_800.0)  # 2000 to 2100, seconds since 1970
_ONE_GROUP = "the whole file"  # made column that says: all rows belong together
_US = pl.Datetime("us")


@dataclass(frozen=True)
class Prepared:
    """Cells with the made columns, the plain format that reads them, and flags (or null) a row."""

    cells: pl.DataFrame
    spec: FormatSpec
    marks: list[pl.Series]


@dataclass
class _Meter:
    time: int | None = None  # of the last reading [us since 1970]
    value: float | None = None


@dataclass
class Preparer:
    """Prepares the batches of one file, in its order.

    Parameters
    ----------
    spec
        A format fitted to the file (`warehouse.formatheader.fitted`).
    """

    spec: FormatSpec
    meters: dict[str, _Meter] = field(default_factory=dict)

    def prepare(self, cells: pl.DataFrame, refusals: Refusals) -> Prepared:
        """Cells ready to be read; rows that cannot be used are refused in ``refusals``."""
        spec, marks = self.spec, []
        cells = self._blank(cells, marks)
        for mark in spec.marks:
            if mark.column in cells.columns:
                found = cells[mark.column].cast(pl.String).str.contains(mark.contains)
                marks.append(_flagged(mark.flag, found))
        cells = self._differences(cells, refusals, marks)
        columns = dict(spec.columns)
        for name, column in spec.columns.items():
            if column.from_ is not None and is_composed(column):
                made = f"{column.from_} for {name}"
                value, mark = _composed(cells, name, column, spec, refusals)
                marks += [] if mark is None else [mark]
                cells = cells.with_columns(value.alias(made))
                columns[name] = column.model_copy(update={"from_": made})
        changes: dict[str, Any] = {"columns": columns}
        if spec.elapsed is not None and spec.elapsed.group is None:
            cells = cells.with_columns(pl.lit("1").alias(_ONE_GROUP))
            changes["elapsed"] = spec.elapsed.model_copy(update={"group": _ONE_GROUP})
        if spec.time.epoch is not None:
            cells, changes["time"] = self._epoch(cells, marks)
            columns["time_utc"] = columns["time_utc"].model_copy(update={"from_": f"{spec.time.epoch} for time_utc"})
        return Prepared(cells, spec.model_copy(update=changes), marks)

    def _blank(self, cells: pl.DataFrame, marks: list[pl.Series]) -> pl.DataFrame:
        for rule in self.spec.blank:
            if not set(rule.equal_abs) <= set(cells.columns):
                continue
            one, two = (_lenient(cells[name], self.spec).abs() for name in rule.equal_abs)
            same = (one == two).fill_null(value=False)
            if not same.any():
                continue
            names = [n for n in dict.fromkeys((*rule.equal_abs, *rule.also)) if n in cells.columns]
            cells = cells.with_columns(cells[n].set(same, None) for n in names)
            marks.append(_flagged(rule.flag, same))
        return cells

    def _differences(self, cells: pl.DataFrame, refusals: Refusals, marks: list[pl.Series]) -> pl.DataFrame:
        meter = self.spec.meter
        if meter is None:
            return cells
        time = self._utc(cells)
        step = timedelta(hours=meter.step_hours)
        vital = {n for c in self.spec.columns.values() if c.required for n in (c.from_, *c.plus, *c.times) if n}
        if "load_kwh" in self.spec.columns:
            load = self.spec.columns["load_kwh"]
            vital |= {n for n in (load.from_, *load.plus, *load.times) if n}
        new: list[pl.Series] = []
        gap = pl.Series([False]).new_from_index(0, cells.height)
        for name in meter.columns:
            if name not in cells.columns:
                continue
            value = as_number(cells[name], self.spec.file, refusals, name)
            last = self.meters.setdefault(name, _Meter())
            before = value.shift(1)
            before_time = time.shift(1)
            if cells.height:
                before = before.scatter(0, last.value)
                before_time = before_time.scatter(0, pl.Series([last.time], dtype=pl.Int64).cast(_US))
                last.value, last.time = value[-1], time.cast(pl.Int64)[-1]
            follows = ((time - before_time) == step).fill_null(value=False) & before.is_not_null()
            risen = value - before
            fell = follows & (risen < -meter.noise).fill_null(value=False)
            refusals.add(fell, "meter_reset", f"the meter '{name}' fell: it was reset, changed or misread")
            lost = value.is_not_null() & ~follows
            if name in vital:
                said = f"no reading of the meter '{name}' one step ({meter.step_hours:g} h) before"
                refusals.add(lost, METER_GAP, said)
            else:
                gap = gap | lost
            new.append(risen.set(~follows | fell, None).alias(name))
        marks.append(_flagged(METER_GAP, gap))
        return cells.with_columns(new)

    def _utc(self, cells: pl.DataFrame) -> pl.Series:
        column = self.spec.columns["time_utc"].from_ or ""
        naive, aware = parse_times(cells[column], self.spec.time.format, self.spec.file)
        return naive.zip_with(aware, to_utc(naive, self.spec.time)[0])

    def _epoch(self, cells: pl.DataFrame, marks: list[pl.Series]) -> tuple[pl.DataFrame, Any]:
        """Epoch seconds as ISO text with Z; where empty or no time (flagged), the clock as ISO text without."""
        time = self.spec.time
        name = time.epoch or ""
        seconds = _lenient(cells[name], self.spec) * time.epoch_unit_seconds
        good = seconds.is_between(*_EPOCH_YEARS).fill_null(value=False)
        micros = (seconds.set(~good, None) * 1e6).round(0).cast(pl.Int64).cast(_US)
        text = micros.dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
        clock = self.spec.columns["time_utc"].from_ or name
        if clock != name:
            naive, aware = parse_times(cells[clock], time.format, self.spec.file)
            local = naive.dt.strftime("%Y-%m-%dT%H:%M:%S%.6f")
            local = local.zip_with(~aware, local + "Z")
            # A clock that cannot be read stays as it is, so that the row is refused with its reason.
            text = text.zip_with(good, local.fill_null(cells[clock].cast(pl.String)))
            filled = as_text(cells[name].cast(pl.String), self.spec.file).is_not_null()
            if (wrong := filled & ~good).any():
                marks.append(_flagged(NO_EPOCH, wrong))
        else:
            text = text.zip_with(good, cells[clock].cast(pl.String))
        plain = time.model_copy(update={"format": "iso", "epoch": None})
        return cells.with_columns(text.alias(f"{name} for time_utc")), plain


def _composed(
    cells: pl.DataFrame, name: str, column: ColumnSpec, spec: FormatSpec, refusals: Refusals
) -> tuple[pl.Series, pl.Series | None]:
    source = column.from_ or ""
    if RAW_SCHEMAS[spec.kind][name] != pl.Float64():
        text = as_text(cells[source].cast(pl.String), spec.file)
        for other in column.join:
            text = text + " " + as_text(cells[other].cast(pl.String), spec.file)
        return text.set(text.is_in([str(u) for u in column.unknown]), None), None
    value = _known(cells[source], source, column, spec, refusals)
    if column.mean_with:
        all_of = [value, *(_known(cells[n], n, column, spec, refusals) for n in column.mean_with)]
        value = pl.DataFrame([s.alias(f"m{i}") for i, s in enumerate(all_of)]).mean_horizontal()
    for other in column.plus:
        value = value + as_number(cells[other], spec.file, refusals, other)
    for other in column.times:
        value = value * as_number(cells[other], spec.file, refusals, other)
    scale = -column.scale if column.sign == "charging_negative" else column.scale
    canonical = value * scale + column.offset
    low = column.unknown_below if column.unknown_below is not None else float("-inf")
    high = column.unknown_above if column.unknown_above is not None else float("inf")
    beyond = ~canonical.is_between(low, high)
    if not beyond.any():
        return value, None
    return value.set(beyond, None), _flagged(EMPTIED, beyond)


def _known(cells: pl.Series, where: str, column: ColumnSpec, spec: FormatSpec, refusals: Refusals) -> pl.Series:
    """Numbers of cells, the contents that mean "not known" empty."""
    words = [str(u) for u in column.unknown]
    numbers = [float(u) for u in column.unknown if isinstance(u, int | float)]
    if cells.dtype == pl.String and words:
        text = cells.str.strip_chars()
        cells = text.set(text.is_in(words), None)
    value = as_number(cells, spec.file, refusals, where)
    return value.set(value.is_in(numbers), None) if numbers else value


def _lenient(cells: pl.Series, spec: FormatSpec) -> pl.Series:
    """Numbers of cells, anything else empty (the column itself refuses it later)."""
    return as_number(cells, spec.file, Refusals(cells.len()), "")


def _flagged(flag: str, where: pl.Series) -> pl.Series:
    series = pl.Series([flag], dtype=pl.String).new_from_index(0, where.len())
    return series.set(~where.fill_null(value=False), None)
