"""What every reader of logs gives: batches of canonical rows, refused rows, and lines that carry nothing for us.

A reader is a function ``read(source: Source, spec: FormatSpec) -> Iterator[Batch]``, listed with its counter of records
in `warehouse.readers.registry` and chosen by ``reader`` in a format. It takes the file from `warehouse.readers.source`
(``source.lines()`` in blocks of whole lines, ``source.stream()`` as decompressed bytes, ``source.parquet()``), keeps no
more than a batch in memory, and raises `RefusedFile` with one sentence where the whole file is of no use.

- Every record of the file (``line``, from 1: text line, Parquet row, message) stands in exactly one of rows, rejects
  and silent over all batches. The intake counts the records with the counter, on the bytes, and refuses the file when
  the two differ.
- All rows of a line stand in the same batch, whatever their kinds (a session assembled from many messages bears the
  line of the message that closes it). One line may give many rows.
- Batches of some 10,000 to 500,000 rows; lines may come in any order. What a batch holds must depend on the file alone.
- The reader knows nothing of the warehouse: hashing of vehicles, duplicates, conflicts and storage are the intake's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import polars as pl

# `owner` is the vehicle of the refused record as the log names it, null where it cannot be told: the intake hashes it,
# so that `fadecast forget` finds the record again.
REJECTS = {
    "line": pl.Int64(),
    "reason": pl.String(),
    "detail": pl.String(),
    "raw_text": pl.String(),
    "owner": pl.String(),
}
MAX_RAW_TEXT = 500


def _no_lines() -> pl.Series:
    return pl.Series("line", [], dtype=pl.Int64)


@dataclass(frozen=True)
class Batch:
    """Part of a file.

    Parameters
    ----------
    rows
        Canonical kind -> rows with the columns of ``RAW_SCHEMAS[kind]``; vehicles still named as in the log (the intake
        hashes them). A file may give more than one kind (samples and sessions of a charger).
    rejects
        Refused records, columns of `REJECTS`; personal fields masked, at most `MAX_RAW_TEXT` characters of text.
    texts
        Text of given lines of this batch (``line, raw_text``, personal fields masked), for rows refused later on.
    silent
        Lines that were understood and carry no reading (a heartbeat): they count as loaded.
    """

    rows: dict[str, pl.DataFrame]
    rejects: pl.DataFrame
    texts: Callable[[pl.Series], pl.DataFrame]
    silent: pl.Series = field(default_factory=_no_lines)


class Counter(Protocol):
    """Counts the records of a file on its (decompressed) bytes and on nothing else."""

    def feed(self, block: bytes) -> None:
        """Next bytes of the file, in blocks of any length."""
        ...

    def total(self) -> int:
        """Records so far; the end of what was fed counts as the end of the file."""
        ...
