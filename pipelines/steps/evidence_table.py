"""A file of ageing tests as a table of texts: CSV in any usual dress, or Parquet."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import polars as pl

from pipelines.errors import UserError

_DELIMITERS = ",;\t|"
# What spreadsheets and statistics packages write into an empty field.
EMPTY = frozenset({"", "na", "n/a", "nan", "null", "none", "nil", "-", "--", "."})


def read_table(path: Path) -> tuple[pl.DataFrame, list[int]]:
    """Read a file as texts.

    Returns
    -------
    tuple
        The table, '' for an empty field; and rows (0-based) that had too few or too many fields: these are blank.

    Raises
    ------
    UserError
        No such file, or no table.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; give ageing tests in the exchange format (CSV or Parquet).")
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return pl.read_parquet(path), []
        return _csv(path.name, path.read_bytes())
    except (pl.exceptions.PolarsError, OSError, csv.Error) as e:
        first = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise UserError(f"{path.name}: not a readable table ({first}); save it as CSV in UTF-8.", exit_code=1) from None


def _csv(name: str, raw: bytes) -> tuple[pl.DataFrame, list[int]]:
    try:
        text = raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    if "\x00" in text:
        raise UserError(f"{name}: not a readable table (binary); save it as CSV in UTF-8.", exit_code=1)
    lines = io.StringIO(text, newline="")
    head = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(_DELIMITERS, key=lambda d: (head.count(d), -_DELIMITERS.index(d)))
    rows = [r for r in csv.reader(lines, delimiter=delimiter, skipinitialspace=True) if any(x.strip() for x in r)]
    if not rows:
        raise UserError(f"{name}: is empty; give ageing tests in the exchange format.", exit_code=1)
    header = [c.strip() for c in rows[0]]
    while header and not header[-1]:
        header.pop()
    twice = sorted({c for c in header if header.count(c) > 1 or not c})
    if twice:
        shown = ", ".join(f"'{c}'" for c in twice)
        raise UserError(f"{name}: the header names column {shown} more than once or not at all; mend it.", exit_code=1)
    body, ragged = [], []
    for i, row in enumerate(rows[1:]):
        cut = row[: len(header)]
        if len(cut) < len(header) or any(x.strip() for x in row[len(header) :]):
            ragged.append(i)
            cut = [""] * len(header)
        body.append([x.strip() for x in cut])
    columns = {c: [r[j] for r in body] for j, c in enumerate(header)}
    if delimiter == ";" and "." not in "".join(columns.get("capacity_frac", [])):
        columns = {c: [_point(v) for v in values] for c, values in columns.items()}
    return pl.DataFrame(columns, schema=dict.fromkeys(header, pl.String)), ragged


def _point(value: str) -> str:
    """A number with a decimal comma, with a point; any other text as it is."""
    digits = value.replace(",", "", 1).lstrip("+-")
    return value.replace(",", ".", 1) if value.count(",") == 1 and digits.isdigit() else value
