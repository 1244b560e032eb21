"""One table as CSV or Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from warehouse.store import Warehouse, WarehouseError, open_warehouse

if TYPE_CHECKING:
    from collections.abc import Callable

# A spreadsheet takes cells that begin so as formulas.
_FORMULA = r"^[=+\-@\t\r]"


def export_table(home: Path, table: str, file: Path) -> int:
    """Write a table of a home, rows sorted by all columns; returns how many.

    In CSV, lists are joined by spaces, and text that a spreadsheet would run as a formula gets a leading quote.

    Raises
    ------
    WarehouseError
        No such home or table, a suffix other than .csv and .parquet, or the file cannot be written.
    """
    if file.suffix not in (".csv", ".parquet"):
        raise WarehouseError(f"The suffix of {file.name} must be .csv or .parquet.")
    with open_warehouse(home, create=False) as wh:
        return export_from(wh, table, file)


def export_from(wh: Warehouse, table: str, file: Path) -> int:
    """The same from an open warehouse."""
    if table not in wh.registry.tables:
        raise WarehouseError(f"There is no table '{table}'; there are: {', '.join(sorted(wh.registry.tables))}.")
    columns = ", ".join(wh.registry.tables[table])
    frame = wh.read(f"SELECT {columns} FROM {table} ORDER BY ALL")  # noqa: S608 - names of the registry
    write_table(frame, file)
    return frame.height


def write_table(frame: pl.DataFrame, file: Path) -> None:
    """Write a frame to a .csv or .parquet file, replaced as a whole. Raises `WarehouseError`."""
    temporary = file.with_name(f".{file.name}.tmp")
    write: Callable[[Path], None] = frame.write_parquet if file.suffix == ".parquet" else harmless_text(frame).write_csv
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        temporary.replace(file)
    except OSError as error:
        raise WarehouseError(f"{file} cannot be written ({error.strerror or error}).") from None


def harmless_text(frame: pl.DataFrame) -> pl.DataFrame:
    """Lists as text, and text that would run as a formula in a spreadsheet with a leading quote.

    Examples
    --------
    >>> harmless_text(pl.DataFrame({"a": ["=1+1", "b"], "c": [["x", "y"], []]})).rows()
    [("'=1+1", 'x y'), ('b', '')]
    """
    columns: list[pl.Series] = []
    for series in frame.iter_columns():
        text = series
        if isinstance(series.dtype, pl.List):
            text = series.cast(pl.List(pl.String)).list.join(" ")
        if text.dtype == pl.String:
            risky = text.str.contains(_FORMULA).fill_null(value=False)
            text = text.zip_with(~risky, "'" + text)
        columns.append(text.alias(series.name))
    return pl.DataFrame(columns)
