"""A file of ageing tests as a table of texts: CSV in any usual dress (gzip too), or Parquet."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from pipelines.errors import UserError

_DELIMITERS = ",;\t|"
# What spreadsheets and statistics packages write into an empty field.
EMPTY = frozenset({"", "na", "n/a", "nan", "null", "none", "nil", "-", "--", "."})
_SHOWN = 40
_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
_POINT = re.compile(r"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?")


def read_table(path: Path, numeric: Sequence[str] = ()) -> tuple[pl.DataFrame, list[int]]:
    """Read a file as texts.

    Parameters
    ----------
    numeric
        Columns that hold numbers: they decide whether a comma is a decimal one.

    Returns
    -------
    tuple
        The table, '' for an empty field; and rows (0-based) that had too few or too many fields: these are blank.

    Raises
    ------
    UserError
        No such file, or no table.
    """
    if path.is_dir():
        raise UserError(f"{path}: is a folder; name the files of ageing tests in it, such as {path / '*.csv'}.")
    if not path.is_file():
        raise UserError(f"{path}: no such file; give ageing tests in the exchange format (CSV or Parquet).")
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return pl.read_parquet(path).with_columns(pl.col(pl.Binary).cast(pl.String)), []
        raw = path.read_bytes()
        return _csv(path.name, gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw, numeric)
    except (pl.exceptions.PolarsError, OSError, EOFError, zlib.error, csv.Error) as e:
        first = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise UserError(f"{path.name}: not a readable table ({first}); save it as CSV in UTF-8.", exit_code=1) from None


def _csv(name: str, raw: bytes, numeric: Sequence[str]) -> tuple[pl.DataFrame, list[int]]:
    try:
        text = raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    foreign = "binary" if "\x00" in text or raw[:2] == b"PK" else "JSON" if text.lstrip()[:1] in ("[", "{") else ""
    if foreign:
        raise UserError(f"{name}: not a readable table ({foreign}); save it as CSV in UTF-8.", exit_code=1)
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
        shown = ", ".join(f"'{c[:_SHOWN]}'" for c in twice[:3]) + (" and others" if len(twice) > 3 else "")
        raise UserError(f"{name}: the header names column {shown} more than once or not at all; mend it.", exit_code=1)
    body, ragged = [], []
    for i, row in enumerate(rows[1:]):
        cut = row[: len(header)]
        if len(cut) < len(header) or any(x.strip() for x in row[len(header) :]):
            ragged.append(i)
            cut = [""] * len(header)
        body.append([x.strip() for x in cut])
    columns = {c: [r[j] for r in body] for j, c in enumerate(header)}
    if _decimal_comma(columns, numeric):
        columns = {c: [_point(v) for v in values] for c, values in columns.items()}
    return pl.DataFrame(columns, schema=dict.fromkeys(header, pl.String)), ragged


def _decimal_comma(columns: dict[str, list[str]], numeric: Sequence[str]) -> bool:
    """Whether numbers are written 0,95: some are, and none with a point.

    What a row may be predicted from decides; capacities do so only where nothing else has decimals, so that later
    capacities written anew change no prediction. 1,286 may be thousands: it decides nothing.
    """
    own = {c: c.lower() for c in columns}
    for names in ({c for c in numeric if c != "capacity_frac"}, {"capacity_frac"}):
        values = [v for c, name in own.items() if name in names for v in columns[c]]
        if any(_POINT.fullmatch(v) for v in values):
            return False
        if any(_COMMA.fullmatch(v) and not _THOUSANDS.fullmatch(v) for v in values):
            return True
    return False


def _point(value: str) -> str:
    """A number with a decimal comma, with a point; any other text as it is.

    Examples
    --------
    >>> [_point(v) for v in ("0,95", "6,1e-05", "1,286,5", "40 °C, dry")]
    ['0.95', '6.1e-05', '1,286,5', '40 °C, dry']
    """
    return value.replace(",", ".") if _COMMA.fullmatch(value) else value
