"""Cells of large plain text tables by compiled loops: numbers, UTC times and texts of the lines that need no care.

For formats of samples with times as ``YYYY-MM-DDTHH:MM:SSZ`` and one row a line. A line with quotes, odd characters, an
unusual number or time, or another number of fields is left to the careful way; tests prove that both give the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from warehouse.raw import RAW_SCHEMAS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from warehouse.formatspec import FormatSpec
    from warehouse.readers.lines import Lines

# Smaller blocks are read the careful way: they are not worth the compiled code's loading.
MIN_BYTES = 1 << 20
_END = 10


@dataclass(frozen=True)
class Fast:
    """Cells of good lines (typed), and the places of all lines of the block."""

    cells: pl.DataFrame
    careful: NDArray[np.int64]
    starts: NDArray[np.int64]


def may_be_fast(spec: FormatSpec) -> bool:
    """Whether the good lines of a format can be told from their bytes alone, each for itself."""
    plain = spec.kind == "samples" and spec.file.type == "csv" and spec.time.format == "iso" and spec.time.zone == "UTC"
    alone = len(spec.file.delimiter) == 1 and spec.file.delimiter != spec.file.decimal
    return plain and alone and not spec.time.spans and spec.elapsed is None and spec.wide is None


def kinds_of(names: list[str], spec: FormatSpec) -> tuple[NDArray[np.int64], list[tuple[str, int]]] | None:
    """Kind of each column of the file, and the used columns with theirs; `None` where a column is of two kinds."""
    from warehouse.readers.kernels import NUMBER, SKIP, TEXT, TIME

    kinds: dict[str, int] = {}
    for name, column in spec.columns.items():
        dtype = RAW_SCHEMAS[spec.kind][name]
        kind = NUMBER if dtype == pl.Float64() else TIME if isinstance(dtype, pl.Datetime) else TEXT
        for source in (column.from_, *column.subtract):
            if source is not None and kinds.setdefault(source, kind) != kind:
                return None
    used = [(name, kinds[name]) for name in names if name in kinds]
    return np.array([kinds.get(name, SKIP) for name in names]), used


def fast_cells(block: Lines, names: list[str], spec: FormatSpec) -> Fast | None:
    """Cells of the lines of a block that need no care; `None` where the careful way has to read it all."""
    from warehouse.readers import kernels

    found = kinds_of(names, spec)
    if found is None or block.long:
        return None
    kinds, used = found
    data = np.frombuffer(block.data, np.uint8)
    lines = int(np.count_nonzero(data == _END)) + (not block.data.endswith(b"\n"))
    starts, good = np.empty(lines + 1, np.int64), np.empty(lines, np.uint8)
    n = {kind: sum(k == kind for _, k in used) for kind in (kernels.NUMBER, kernels.TIME, kernels.TEXT)}
    numbers = np.empty((n[kernels.NUMBER], lines))
    times = np.empty((n[kernels.TIME], lines), np.int64)
    codes = np.empty((n[kernels.TEXT], lines), np.int32)
    tables = np.full((n[kernels.TEXT], 2 * kernels.MAX_TEXTS), -1, np.int32)
    known = np.empty((n[kernels.TEXT], kernels.MAX_TEXTS, 2), np.int64)
    counts = np.zeros(n[kernels.TEXT], np.int64)
    delimiter, decimal = ord(spec.file.delimiter), ord(spec.file.decimal)
    kernels.parse(data, kinds, delimiter, decimal, starts, good, numbers, times, codes, tables, known, counts)
    whole = bool((good == 1).all())
    rows = slice(None) if whole else np.flatnonzero(good == 1)
    columns: list[pl.Series] = []
    at = dict.fromkeys(n, 0)
    for name, kind in used:
        i = at[kind]
        at[kind] += 1
        if kind == kernels.NUMBER:
            columns.append(pl.Series(name, numbers[i][rows]))
        elif kind == kernels.TIME:
            columns.append(pl.Series(name, times[i][rows]).cast(pl.Datetime("us", "UTC")))
        else:
            texts = [block.data[a:b].decode("ascii") for a, b in known[i, : counts[i]].tolist()]
            columns.append(pl.Series(name, codes[i][rows].astype(np.uint32)).cat.to(pl.Enum(texts)))
    columns.append(pl.Series("line", np.arange(block.first, block.first + lines)[rows]))
    return Fast(pl.DataFrame(columns), np.flatnonzero(good == 0), starts)


def lines_at(block: Lines, starts: NDArray[np.int64], places: NDArray[np.int64], encoding: str) -> pl.DataFrame:
    """Text of some lines of a block (``line, text``)."""
    ends = starts[1:] - 1
    spans = zip(starts[places].tolist(), ends[places].tolist(), strict=True)
    texts = [block.data[a:b].decode(encoding, errors="replace") for a, b in spans]
    return pl.DataFrame({"line": places + block.first, "text": texts}, schema={"line": pl.Int64, "text": pl.String})
