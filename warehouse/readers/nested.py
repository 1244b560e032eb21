"""Reader of JSON telemetry by a format: each document is flattened to cells with dotted names (``data.soc``).

Keys that are missing are empty cells; values that stand in earlier documents only (the device of an answer to
``/devices``) are carried on. All else, signs, units, limits, is as for tables.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import polars as pl

from warehouse.formatheader import fitted
from warehouse.readers import jsondocs, table
from warehouse.readers.batch import REJECTS, Batch
from warehouse.readers.canonical import FileState, canonical_rows
from warehouse.readers.cells import Refusals
from warehouse.readers.lines import EmptyFile
from warehouse.readers.prepare import Preparer
from warehouse.readers.registry import Reader

if TYPE_CHECKING:
    from warehouse.formatspec import FormatSpec
    from warehouse.readers.source import Source

_BATCH = 1 << 15
_BAD_JSON = ("bad_json", "the record is no whole JSON value")
_NO_OBJECT = ("bad_json", "the record is no JSON object")


def read_nested(source: Source, spec: FormatSpec) -> Iterator[Batch]:
    """Batches of canonical rows of a JSON file. Raises `RefusedFile`."""
    file_name = source.name
    names = list(spec.used_columns())
    plain = fitted(spec, names, file_name)
    reader = _Documents(plain, names, file_name)
    preparer = Preparer(plain)
    number = 0
    for number, record in enumerate(jsondocs.records(source.stream(), source.head(jsondocs.PEEK)), start=1):
        reader.take(number, record)
        if len(reader.lines) + len(reader.broken) + len(reader.silent) >= _BATCH:
            yield reader.batch(preparer)
    if number == 0:
        raise EmptyFile
    yield reader.batch(preparer)


READER = Reader(read_nested, count=jsondocs.count_records)


class _Documents:
    """Cells of the documents of a batch, and what is carried on from one to the next."""

    def __init__(self, spec: FormatSpec, names: list[str], file_name: str) -> None:
        self.spec, self.names, self.state = spec, names, FileState()
        self.carried: dict[str, Any] = {}
        self.fallback: dict[str, str] = {}
        for column in spec.columns.values():
            if column.from_ is not None and column.file_name is not None:
                found = re.search(column.file_name, file_name)
                if found is not None:
                    self.fallback[column.from_] = found.group(1)
        self._clear()

    def _clear(self) -> None:
        self.lines: list[int] = []
        self.cells: dict[str, list[str | None]] = {name: [] for name in self.names}
        self.silent: list[int] = []
        self.broken: list[tuple[int, str, str, str, None]] = []

    def take(self, number: int, record: bytes) -> None:
        """One record: rows of cells, silent, or broken."""
        try:
            value = json.loads(record)
        except (ValueError, RecursionError):
            self.broken.append((number, *_BAD_JSON, "(no JSON)", None))
            return
        documents = value if isinstance(value, list) else [value]
        if not all(isinstance(d, dict) for d in documents):
            self.broken.append((number, *_NO_OBJECT, "(no object)", None))
            return
        try:
            rows = [row for document in documents if (row := self._row(document)) is not None]
        except RecursionError:
            self.broken.append((number, *_BAD_JSON, "(nested too deep)", None))
            return
        if not rows:
            self.silent.append(number)
        for row in rows:
            self.lines.append(number)
            for name in self.names:
                self.cells[name].append(row.get(name, self.fallback.get(name)))

    def _row(self, document: dict[str, Any]) -> dict[str, str | None] | None:
        rule = self.spec.json_
        for name in rule.carry:
            found = _find(document, name)
            if found is not None:
                self.carried[name] = found
        for under in rule.under:
            if isinstance(document.get(under), dict):
                document = document | document[under]
        if rule.reading is not None and not isinstance(document.get(rule.reading), dict):
            return None
        flat: dict[str, str | None] = {}
        _flatten(document, "", flat, frozenset(self.names))
        for name, value in self.carried.items():
            flat.setdefault(name, _text(value))
        return {name: value for name, value in flat.items() if value is not None}

    def batch(self, preparer: Preparer) -> Batch:
        """All taken since the last batch."""
        spec, names = self.spec, self.names
        schema: dict[str, pl.DataType] = {name: pl.String() for name in names}
        cells = pl.DataFrame(self.cells, schema=schema)
        cells = cells.with_columns(pl.Series("line", self.lines, dtype=pl.Int64))
        refusals = Refusals(cells.height)
        done = preparer.prepare(cells, refusals)
        rows = canonical_rows(done.cells, done.spec, refusals, self.state, done.marks)
        refused = cells.select("line").with_columns(refusals.reason.alias("reason"), refusals.detail.alias("detail"))
        refused = refused.filter(~refusals.good).unique("line", keep="first", maintain_order=True)
        texts = _texts_of(cells, names, spec)
        rejects = refused.join(texts(refused["line"]), on="line", how="left", maintain_order="left")
        rejects = rejects.join(table.owners_of(cells, done.spec), on="line", how="left", maintain_order="left")
        # A record that gave a good row counts as loaded, even where another row of it was refused.
        rejects = rejects.select(list(REJECTS)).filter(~pl.col("line").is_in(rows["line"].implode()))
        broken = pl.DataFrame(self.broken, schema=REJECTS, orient="row")
        silent = pl.Series("line", self.silent, dtype=pl.Int64)
        self._clear()
        return Batch({spec.kind: rows}, pl.concat([broken, rejects]).sort("line"), texts, silent=silent)


def flat_cells(records: Iterator[bytes], most: int) -> dict[str, list[str]]:
    """Cells of the first documents by their path, missing ones empty: to look at an unknown file."""
    rows: list[dict[str, str | None]] = []
    for record in records:
        try:
            value = json.loads(record)
            for document in value if isinstance(value, list) else [value]:
                if isinstance(document, dict):
                    row: dict[str, str | None] = {}
                    _flatten(document, "", row, None)
                    rows.append(row)
        except (ValueError, RecursionError):
            continue
        if len(rows) >= most:
            break
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {name: [row.get(name) or "" for row in rows] for name in names}


def _texts_of(cells: pl.DataFrame, names: list[str], spec: FormatSpec) -> Callable[[pl.Series], pl.DataFrame]:
    def texts(lines: pl.Series) -> pl.DataFrame:
        some = cells.filter(pl.col("line").is_in(lines.implode())).unique("line", keep="first", maintain_order=True)
        return table.texts_of(some, names, spec)

    return texts


def _find(value: Any, name: str) -> Any:
    """First scalar of a key anywhere in a document, `None` without."""
    if isinstance(value, dict):
        if isinstance(value.get(name), str | int):
            return value[name]
        value = list(value.values())
    if isinstance(value, list):
        return next((found for part in value if (found := _find(part, name)) is not None), None)
    return None


def _flatten(value: dict[str, Any], prefix: str, out: dict[str, str | None], wanted: frozenset[str] | None) -> None:
    """Cells of a document by path: the wanted ones, or all scalars."""
    for key, part in value.items():
        name = prefix + key
        if isinstance(part, dict) and (wanted is None or name not in wanted):
            _flatten(part, name + ".", out, wanted)
        elif (wanted is None and not isinstance(part, list | dict)) or (wanted is not None and name in wanted):
            out[name] = _text(part)


def _text(value: Any) -> str | None:
    """A JSON scalar as text of a cell; a nested value as its JSON, which no column takes."""
    if value is None:
        return None
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    return json.dumps(value)
