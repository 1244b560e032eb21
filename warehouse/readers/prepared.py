"""Reader in batches for formats whose cells need work first: see `warehouse.formatkeys`.

A batch's cells are put right (meters to differences, garbage and sentinels emptied, columns combined, epoch times
written as text), then read column by column as by `warehouse.readers.table`. Memory is that of one batch, whatever
the length of the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from warehouse.formatheader import fitted
from warehouse.readers import lines as text
from warehouse.readers import table
from warehouse.readers.batch import REJECTS, Batch
from warehouse.readers.canonical import FileState, canonical_rows, wide_rows
from warehouse.readers.cells import Refusals
from warehouse.readers.lines import EmptyFile
from warehouse.readers.prepare import Preparer
from warehouse.readers.source import parquet_batches

if TYPE_CHECKING:
    from warehouse.formatspec import FormatSpec
    from warehouse.readers.source import Source

BATCH_ROWS = 1 << 16
OTHER_LENGTH = "columns_added"


def read_prepared(source: Source, spec: FormatSpec) -> Iterator[Batch]:
    """Batches of canonical rows of a file.

    Raises
    ------
    RefusedFile
        The whole file is of no use: not what the format says, or a column is missing.
    """
    if spec.file.type == "parquet" or (spec.file.type == "auto" and source.is_parquet):
        yield from _read_parquet(source, spec)
    else:
        yield from _read_text(source, spec)


def _read_parquet(source: Source, spec: FormatSpec) -> Iterator[Batch]:
    parquet, file_name = source.parquet(), source.name
    names = list(parquet.schema_arrow.names)
    plain = fitted(spec, names, file_name, parquet=True)
    table.need_columns(names, plain)
    preparer, first, state = Preparer(plain), 1, FileState()
    used = [n for n in plain.used_columns() if n in names]
    used += [mark.column for mark in plain.marks if mark.column in names and mark.column not in used]
    if plain.time.epoch is not None and plain.time.epoch not in used:
        used.append(plain.time.epoch)
    for part in parquet_batches(parquet, BATCH_ROWS, used):
        frame = pl.DataFrame(pl.from_arrow(part))
        cells = frame.with_columns(pl.int_range(first, first + frame.height, dtype=pl.Int64).alias("line"))
        first += frame.height
        yield _batch(cells, pl.DataFrame(schema=REJECTS), used, plain, preparer, state)


def _read_text(source: Source, spec: FormatSpec) -> Iterator[Batch]:
    file_name, state = source.name, FileState()
    names = list(spec.file.header) if spec.file.header is not None else None
    plain = preparer = None
    if names is not None:
        plain = fitted(spec, names, file_name)
        table.need_columns(names, plain)
        preparer = Preparer(plain)
    skip, after = spec.lines.before, 0
    empty = True
    for block in source.lines():
        lines = text.text_frame(block, spec.file.encoding)
        empty = empty and lines.height == 0
        silent: list[pl.Series] = []
        rest = lines
        if skip:
            silent.append(rest["line"].head(skip))
            taken = min(skip, rest.height)
            rest, skip = rest.slice(taken), skip - taken
        if names is None and rest.height:
            names = text.header_names(rest.item(0, "text"), spec.file.delimiter)
            rest, after = rest.slice(1), spec.lines.after
            plain = fitted(spec, names, file_name)
            table.need_columns(names, plain)
            preparer = Preparer(plain)
        if after:
            silent.append(rest["line"].head(after))
            taken = min(after, rest.height)
            rest, after = rest.slice(taken), after - taken
        if plain is None or preparer is None or names is None:
            if silent:
                yield _nothing(silent)
            continue
        for segment, header in _segments(rest, spec):
            if header is not None:
                silent.append(header["line"])
                again = text.header_names(header.item(0, "text"), spec.file.delimiter)
                new = fitted(spec, again, file_name)
                if set(new.used_columns()) <= set(again):
                    names, plain = again, new
                    preparer = replace(preparer, spec=new)  # the meters' last readings stay
            if segment.height:
                fitting, other = _to_width(segment, len(names), spec)
                cells, broken = table.split_lines(fitting, block.long, names, plain)
                yield _batch(cells, broken, names, plain, preparer, state, other)
        if silent:
            yield _nothing(silent)
    if empty or names is None:
        raise EmptyFile


def _nothing(silent: list[pl.Series]) -> Batch:
    none = pl.DataFrame(schema=REJECTS)
    return Batch({}, none, lambda _: none.select("line", "raw_text"), silent=pl.concat(silent))


def _segments(lines: pl.DataFrame, spec: FormatSpec) -> Iterator[tuple[pl.DataFrame, pl.DataFrame | None]]:
    """Lines between headers that stand in the middle of a file, each with the header before it."""
    mark = spec.lines.header_again
    if mark is None:
        yield lines, None
        return
    rows = lines["text"].str.strip_chars_start(' "').str.starts_with(mark).arg_true().to_list()
    yield lines.head(rows[0] if rows else lines.height), None
    for row, end in zip(rows, [*rows[1:], lines.height][: len(rows)], strict=True):
        yield lines.slice(row + 1, end - row - 1), lines.slice(row, 1)


def _to_width(lines: pl.DataFrame, n: int, spec: FormatSpec) -> tuple[pl.DataFrame, pl.Series | None]:
    """Lines of another allowed length made as long as the header: fields behind it cut off, missing ones empty.

    With them the numbers of those lines, `None` where there are none.
    """
    widths = [w for w in spec.lines.widths if w != n]
    if not widths:
        return lines, None
    delimiter = spec.file.delimiter
    fields = lines["text"].str.count_matches(delimiter, literal=True) + 1
    longer = fields.is_in([w for w in widths if w > n])
    shorter = fields.is_in([w for w in widths if w < n])
    if not (longer.any() or shorter.any()):
        return lines, None
    cut = pl.col("text").str.split(delimiter).list.head(n).list.join(delimiter)
    fill = (n - fields.cast(pl.Int64)).clip(0)
    made = lines.with_columns(longer.alias("_l"), shorter.alias("_s"), fill.alias("_n")).select(
        "line",
        pl.when(pl.col("_l"))
        .then(cut)
        .when(pl.col("_s"))
        .then(pl.col("text") + pl.lit(delimiter).repeat_by("_n").list.join(""))
        .otherwise("text")
        .alias("text"),
    )
    return made, lines["line"].filter(longer | shorter)


def _batch(
    cells: pl.DataFrame,
    broken: pl.DataFrame,
    names: list[str],
    spec: FormatSpec,
    preparer: Preparer,
    state: FileState,
    other: pl.Series | None = None,
) -> Batch:
    refusals = Refusals(cells.height)
    done = preparer.prepare(cells, refusals)
    if done.spec.wide is not None:
        rows = wide_rows(done.cells, names, done.spec, refusals, state)
    else:
        marks = list(done.marks)
        if other is not None:
            of_length = cells["line"].is_in(other.implode())
            marks.append(pl.select(pl.when(of_length).then(pl.lit(OTHER_LENGTH))).to_series())
        rows = canonical_rows(done.cells, done.spec, refusals, state, marks)
    refused = cells.select("line").with_columns(refusals.reason.alias("reason"), refusals.detail.alias("detail"))
    refused = refused.filter(~refusals.good)
    texts = _texts_of(cells, names, spec)
    rejects = refused.join(texts(refused["line"]), on="line", how="left", maintain_order="left")
    rejects = rejects.join(table.owners_of(done.cells, done.spec), on="line", how="left", maintain_order="left")
    return Batch({spec.kind: rows}, pl.concat([broken, rejects.select(list(REJECTS))]).sort("line"), texts)


def _texts_of(cells: pl.DataFrame, names: list[str], spec: FormatSpec) -> Callable[[pl.Series], pl.DataFrame]:
    def texts(lines: pl.Series) -> pl.DataFrame:
        return table.texts_of(cells.filter(pl.col("line").is_in(lines.implode())), names, spec)

    return texts
