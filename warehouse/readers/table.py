"""The generic reader: CSV (plain, gz, zst) and Parquet by a format, to canonical rows and refused rows.

Every record of the file ends as rows (one, or one a series where a column is a series), or as one refused row with
its line, reason and text. Vehicles are still named as in the log: `warehouse.intake` hashes them before anything is
written, and removes personal fields from refused text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from warehouse.explaining.words import is_personal
from warehouse.keys import MASK
from warehouse.raw import RAW_SCHEMAS, plain_rows
from warehouse.readers import lines as text
from warehouse.readers.batch import MAX_RAW_TEXT, REJECTS, Batch
from warehouse.readers.canonical import FileState, canonical_rows, source_of, wide_rows
from warehouse.readers.cells import POSITION_LIKE, Refusals, as_text, mask_ragged
from warehouse.readers.fast import MIN_BYTES, Fast, fast_cells, lines_at, may_be_fast
from warehouse.readers.lines import EmptyFile, LineCounter, RefusedFile
from warehouse.readers.quick import quick_rows
from warehouse.readers.source import BytesSource, Source, parquet_batches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from warehouse.formatspec import FormatSpec
    from warehouse.readers.lines import Lines

BATCH_ROWS = 200_000  # of a Parquet file
_LOOKED_AT = 4096  # characters of a broken line


@dataclass(frozen=True)
class TableResult:
    """What a whole file gave: canonical rows (with line), refused rows, and the independent count of its records."""

    rows: pl.DataFrame
    rejects: pl.DataFrame
    rows_read: int
    texts: Callable[[pl.Series], pl.DataFrame]  # line, raw_text of accepted lines, personal fields masked
    silent: int = 0  # records that were understood and carry no reading: they count as loaded


def read_table(data: bytes | Source, spec: FormatSpec) -> TableResult:
    """All batches of a file (or of its bytes) at once: for small files and tests.

    Raises
    ------
    RefusedFile
        The whole file is of no use: not what the format says, or a column is missing.
    """
    source = BytesSource(data, counter(spec)) if isinstance(data, bytes) else data
    batches = list(read(source, spec))
    rows = pl.concat([plain_rows(batch.rows[spec.kind], spec.kind) for batch in batches])
    rejects = pl.concat([batch.rejects for batch in batches]).sort("line")

    def texts(lines: pl.Series) -> pl.DataFrame:
        return pl.concat([batch.texts(lines) for batch in batches])

    return TableResult(rows, rejects, source.records, texts)


def read(source: Source, spec: FormatSpec) -> Iterator[Batch]:
    """Batches of a file; see `warehouse.readers.batch`."""
    state = FileState()
    pieces = _parquet_pieces(source, spec) if spec.file.type == "parquet" else _text_pieces(source, spec, state)
    count = 0
    for piece in pieces:
        count += piece.cells.height + piece.broken.height
        yield _batch(piece, spec, state)
    if spec.typical is not None and count != spec.typical.rows:
        raise RefusedFile(f"A typical year has {spec.typical.rows} rows; the file has {count}.")


def counter(spec: FormatSpec) -> LineCounter:
    """Counter of the records of a table."""
    return LineCounter(header=spec.file.header is None)


@dataclass(frozen=True)
class Piece:
    """Cells of a part of a file, the lines that could not be split, and the text of given lines."""

    names: list[str]
    cells: pl.DataFrame
    broken: pl.DataFrame
    texts: Callable[[pl.Series], pl.DataFrame]


def _piece(names: list[str], cells: pl.DataFrame, broken: pl.DataFrame, spec: FormatSpec) -> Piece:
    def texts(lines: pl.Series) -> pl.DataFrame:
        return texts_of(cells.filter(pl.col("line").is_in(lines.implode())), names, spec)

    return Piece(names, cells, broken, texts)


def _parquet_pieces(source: Source, spec: FormatSpec) -> Iterator[Piece]:
    kinds = RAW_SCHEMAS[spec.kind] if spec.kind == "samples" and spec.wide is None else {}
    parquet = source.parquet({c.from_ for n, c in spec.columns.items() if c.from_ and kinds.get(n) == pl.String()})
    names = list(parquet.schema_arrow.names)
    need_columns(names, spec)
    wanted = None if spec.wide is not None else [n for n in names if n in spec.used_columns()]
    if len(set(names)) < len(names):
        raise RefusedFile("The Parquet file names a column twice.")
    line = 1
    for batch in parquet_batches(parquet, BATCH_ROWS, wanted):
        cells = pl.DataFrame([_cells(batch.column(i), name) for i, name in enumerate(batch.schema.names)])
        cells = cells.with_columns(pl.int_range(line, line + batch.num_rows, dtype=pl.Int64).alias("line"))
        line += batch.num_rows
        yield _piece(names, cells, pl.DataFrame(schema=REJECTS), spec)
    if line == 1:
        empty = pl.DataFrame(pl.from_arrow(parquet.schema_arrow.empty_table()))
        empty = empty.with_columns(pl.lit(None, pl.Int64).alias("line"))
        yield _piece(names, empty, pl.DataFrame(schema=REJECTS), spec)


def _cells(column: pa.Array, name: str) -> pl.Series:
    """A column of a Parquet batch; texts that were read by their numbers stay so."""
    if isinstance(column, pa.DictionaryArray):
        texts = pl.Series(column.dictionary)
        if texts.dtype != pl.String:
            return pl.Series(name, column.dictionary_decode())
        if texts.null_count() or texts.n_unique() < texts.len():
            return pl.Series(name, column.dictionary_decode(), dtype=pl.String)
        code = pl.Series(name, column.indices.cast(pa.uint32()))
        return code.cat.to(pl.Enum(texts))
    return pl.Series(name, column)


def _text_pieces(source: Source, spec: FormatSpec, state: FileState) -> Iterator[Piece]:
    names = None if spec.file.header is None else list(spec.file.header)
    if names is not None:
        need_columns(names, spec)
    fast = may_be_fast(spec)
    for block in source.lines():
        # Until there are times the careful way is taken: those of all later blocks are measured by the first ones.
        if fast and state.middle is not None and names is not None and len(block.data) >= MIN_BYTES:
            found = fast_cells(block, names, spec)
            if found is not None:
                yield from _fast_pieces(block, found, names, spec)
                continue
        lines = text.text_frame(block, spec.file.encoding)
        if names is None and lines.height:
            if lines.item(0, "line") in block.long:
                raise RefusedFile("The first line is not a header of column names.")
            names = text.header_names(lines.item(0, "text"), spec.file.delimiter)
            need_columns(names, spec)
            lines = lines.slice(1)
        if names is None:
            continue
        yield _piece(names, *split_lines(lines, block.long, names, spec), spec)
    if names is None:
        raise EmptyFile


def _fast_pieces(block: Lines, found: Fast, names: list[str], spec: FormatSpec) -> Iterator[Piece]:
    """The lines that need no care, then the others."""

    def texts(lines: pl.Series) -> pl.DataFrame:
        there = lines.filter(lines.is_in(found.cells["line"].implode()))
        some = lines_at(block, found.starts, there.to_numpy() - block.first, spec.file.encoding)
        cells, _ = split_lines(some, block.long, names, spec)
        return texts_of(cells, names, spec)

    yield Piece(names, found.cells, pl.DataFrame(schema=REJECTS), texts)
    if len(found.careful):
        lines = lines_at(block, found.starts, found.careful, spec.file.encoding)
        yield _piece(names, *split_lines(lines, block.long, names, spec), spec)


def _batch(piece: Piece, spec: FormatSpec, state: FileState) -> Batch:
    cells = piece.cells
    quick = quick_rows(cells, spec, state)
    if quick is not None:
        return Batch({spec.kind: quick}, piece.broken, piece.texts)
    refusals = Refusals(cells.height)
    if spec.wide is not None:
        rows = wide_rows(cells, piece.names, spec, refusals, state)
    else:
        rows = canonical_rows(cells, spec, refusals, state)
    rejects = piece.broken
    if not refusals.none:
        refused = cells.select("line").with_columns(refusals.reason.alias("reason"), refusals.detail.alias("detail"))
        refused = refused.filter(~refusals.good)
        refused = refused.join(piece.texts(refused["line"]), on="line", how="left", maintain_order="left")
        owners = owners_of(cells.filter(~refusals.good), spec)
        refused = refused.join(owners, on="line", how="left", maintain_order="left")
        rejects = pl.concat([rejects, refused]).sort("line")
    return Batch({spec.kind: rows}, rejects, piece.texts)


def owners_of(cells: pl.DataFrame, spec: FormatSpec) -> pl.DataFrame:
    """Vehicle of each record as the log names it: ``line, owner``, one row a line."""
    column = spec.columns.get("vehicle_id")
    if column is None or (column.from_ is not None and column.from_ not in cells.columns):
        return cells.select("line", pl.lit(None, pl.String).alias("owner")).unique("line", keep="first")
    owner = as_text(source_of(cells, column).cast(pl.String), spec.file)
    return cells.select("line", owner.alias("owner")).unique("line", keep="first", maintain_order=True)


def need_columns(names: list[str], spec: FormatSpec) -> None:
    missing = [name for name in spec.used_columns() if name not in names]
    if missing:
        has = text.shown_names(names)
        said = f"it has: {', '.join(has)}" if has else text.NO_HEADER
        raise RefusedFile(f"Column '{missing[0]}' of format {spec.name} is not in the file; {said}.")


def split_lines(
    lines: pl.DataFrame, long: frozenset[int], names: list[str], spec: FormatSpec
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Lines to cells; lines that cannot be split come back as refused rows."""
    delimiter, n = spec.file.delimiter, len(names)
    raw = lines["text"]
    odd = raw.str.contains('"', literal=True) | raw.str.contains("\x00", literal=True)
    odd = odd | raw.str.contains(text.REPLACEMENT, literal=True)
    if long:
        odd = odd | lines["line"].is_in(sorted(long))
    right = (raw.str.count_matches(delimiter, literal=True) == n - 1) & ~odd
    plain = lines.filter(right)
    columns = [f"c{i}" for i in range(n)]
    fields = plain["text"].str.split_exact(delimiter, n - 1).struct.rename_fields(columns).struct.unnest()
    used = {name: columns[i] for i, name in enumerate(names) if name}
    cells = fields.select(pl.col(column).alias(name) for name, column in used.items()).with_columns(plain["line"])
    quoted: list[tuple[int, list[str]]] = []
    broken: list[tuple[int, str, str, str, str | None]] = []
    hidden = personal_columns(spec)
    positions = {i for i, name in enumerate(names) if name in hidden or (name and is_personal(name))}
    owner = spec.columns.get("vehicle_id")
    for line, said in lines.filter(~right).rows():
        parts = text.split_quoted(said, delimiter)
        if line in long:
            reason, detail = "line_too_long", f"the line is longer than {text.MAX_LINE_BYTES} bytes"
        elif "\x00" in said or text.REPLACEMENT in said:
            reason, detail = "bad_characters", f"the line holds characters that are not {spec.file.encoding} text"
        elif parts is None:
            reason, detail = "bad_quotes", "the line's quotes do not close"
        elif len(parts) != n:
            reason, detail = "wrong_field_count", f"the line has {len(parts)} fields, the header {n}"
        else:
            quoted.append((line, parts))
            continue
        shown = mask_ragged(said[:_LOOKED_AT].replace("\x00", "").split(delimiter), positions, MASK, n)
        # Of a broken line nobody can tell which field is the vehicle.
        known = str(owner.value) if owner is not None and owner.value is not None else None
        broken.append((line, reason, detail, delimiter.join(shown)[:MAX_RAW_TEXT], known))
    if quoted:
        more = {name: [parts[i] for _, parts in quoted] for i, name in enumerate(names) if name}
        more_frame = pl.DataFrame(more | {"line": [line for line, _ in quoted]}, schema=cells.schema)
        cells = pl.concat([cells, more_frame]).sort("line")
    return cells, pl.DataFrame(broken, schema=REJECTS, orient="row")


def personal_columns(spec: FormatSpec) -> list[str]:
    """Columns that must not be kept in refused text."""
    owner = spec.columns.get("vehicle_id")
    return [*spec.personal, *([owner.from_] if owner is not None and owner.from_ is not None else [])]


def texts_of(cells: pl.DataFrame, names: list[str], spec: FormatSpec) -> pl.DataFrame:
    """Text of records, only of the columns that the format reads: all others are masked."""
    kept = set(spec.used_columns()) - set(personal_columns(spec))
    if spec.wide is not None:
        return cells.select("line", pl.lit("(one value a series)").alias("raw_text"))
    # A line that lost a field may be as long as those of another release: a position then stands in a reading's place.
    placed = bool(spec.personal)
    parts = [_shown(n, placed) if n in kept else pl.lit(MASK) for n in names if n]
    if not parts:
        return cells.select("line", pl.lit("").alias("raw_text"))
    shown = pl.concat_str(parts, separator=spec.file.delimiter).str.slice(0, MAX_RAW_TEXT)
    return cells.select("line", shown.alias("raw_text"))


def _shown(name: str, placed: bool) -> pl.Expr:
    said = pl.col(name).cast(pl.String).fill_null("")
    return pl.when(said.str.contains(POSITION_LIKE)).then(pl.lit(MASK)).otherwise(said) if placed else said
