"""A format fitted to one file: names its header really has, values read from the file's name.

`fitted` turns a format with alternatives into a plain one, so that no reader has to know of them.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

from warehouse.formatkeys import OtherName
from warehouse.readers.lines import RefusedFile

if TYPE_CHECKING:
    from warehouse.formatspec import ColumnSpec, ElapsedSpec, FormatSpec


def needs_preparing(spec: FormatSpec) -> bool:
    """Whether a format uses keys of `warehouse.formatkeys`, so that it is read in prepared batches."""
    if spec.blank or spec.marks or spec.meter or spec.lines.model_dump(exclude_defaults=True):
        return True
    if spec.time.epoch is not None or spec.time.format == "epoch" or spec.file.type == "auto":
        return True
    if spec.elapsed is not None and (spec.elapsed.group is None or spec.elapsed.base_from_name is not None):
        return True
    return any(_column_needs(column) for column in spec.columns.values())


def is_composed(column: ColumnSpec) -> bool:
    """Whether a column's value is made of several cells, or some of its contents mean "not known"."""
    made = column.plus or column.times or column.mean_with or column.join or column.unknown
    return bool(made) or column.unknown_below is not None or column.unknown_above is not None


def _column_needs(column: ColumnSpec) -> bool:
    return bool(is_composed(column) or column.or_from or column.optional or column.file_name)


def fitted(spec: FormatSpec, names: list[str], file_name: str, parquet: bool = False) -> FormatSpec:
    """A format without alternatives for a file with these columns.

    Parameters
    ----------
    spec
        The format.
    names
        Names of the file's columns.
    file_name
        Name of the file (no folder).
    parquet
        Whether the file's first bytes say Parquet.

    Raises
    ------
    RefusedFile
        A value or date is to be read from the file's name, and is not in it.
    """
    there = frozenset(names)
    columns = {name: _fit_column(column, there, file_name, spec.name) for name, column in spec.columns.items()}
    kept = {name: column for name, column in columns.items() if column is not None}
    elapsed, flags = _fit_elapsed(spec, there, file_name, timed="time_utc" in kept)
    if elapsed is not None:
        kept.pop("time_utc", None)
    time = {"epoch": spec.time.epoch if spec.time.epoch in there else None}
    if spec.time.format == "epoch":
        clock = kept.get("time_utc")
        time = {"epoch": None if clock is None else clock.from_, "format": "iso"}
    changes: dict[str, Any] = {"columns": kept, "elapsed": elapsed, "flags": flags}
    changes["time"] = spec.time.model_copy(update=time)
    if spec.file.type == "auto":
        changes["file"] = spec.file.model_copy(update={"type": "parquet" if parquet else "csv"})
    return spec.model_copy(update=changes)


def _fit_column(column: ColumnSpec, there: frozenset[str], file_name: str, format_name: str) -> ColumnSpec | None:
    if column.from_ is None:
        if column.file_name is None:
            return column
        value = _in_name(column.file_name, file_name, format_name)
        return column.model_copy(update={"value": value, "file_name": None})
    present = {key: tuple(n for n in getattr(column, key) if n in there) for key in ("mean_with",)}
    column = column.model_copy(update=present)
    if column.from_ in there:
        return column.model_copy(update={"or_from": ()})
    for other in column.or_from:
        name = other.from_ if isinstance(other, OtherName) else other
        if name not in there:
            continue
        changes: dict[str, Any] = {"from_": name, "or_from": ()}
        if isinstance(other, OtherName):
            units = {"scale": other.scale, "offset": other.offset}
            changes |= {key: value for key, value in units.items() if value is not None}
        return column.model_copy(update=changes)
    if column.mean_with:
        return column.model_copy(update={"from_": column.mean_with[0], "mean_with": column.mean_with[1:]})
    if column.file_name is not None:
        value = _in_name(column.file_name, file_name, format_name)
        return column.model_copy(update={"from_": None, "value": value, "file_name": None})
    return None if column.optional else column


def _fit_elapsed(
    spec: FormatSpec, there: frozenset[str], file_name: str, timed: bool
) -> tuple[ElapsedSpec | None, tuple[str, ...]]:
    elapsed = spec.elapsed
    if elapsed is None or timed:
        return None, spec.flags
    column = next((n for n in (elapsed.column, *elapsed.or_column) if n in there), elapsed.column)
    changes: dict[str, Any] = {"column": column, "or_column": ()}
    if elapsed.base_from_name is not None:
        named = elapsed.base_from_name
        try:
            text = _in_name(named.pattern, file_name, spec.name)
            changes["base"] = datetime.strptime(text, named.format).replace(tzinfo=None)
        except RefusedFile:
            if elapsed.base is None:
                raise
        except ValueError:
            raise RefusedFile(
                f"The file's name holds no date as format {spec.name} expects it ({named.format}); name the file so."
            ) from None
    flags = spec.flags if elapsed.flag is None or elapsed.flag in spec.flags else (*spec.flags, elapsed.flag)
    return elapsed.model_copy(update=changes), flags


def _in_name(pattern: str, file_name: str, format_name: str) -> str:
    found = re.search(pattern, file_name)
    if found is None or not found.group(1):
        raise RefusedFile(f"The file's name does not hold what format {format_name} reads from it; see its notes.")
    return found.group(1)
