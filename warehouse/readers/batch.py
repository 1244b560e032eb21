"""What every reader of logs gives: batches of canonical rows, refused rows, and lines that carry nothing for us.

A reader is an iterator of batches, so that a file of any length needs the memory of one batch. Every record of the
file (``line``, from 1: text line, Parquet row, message) stands in exactly one of rows, rejects and silent over all
batches; the intake counts the records on its own and proves it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import polars as pl

REJECTS = {"line": pl.Int64(), "reason": pl.String(), "detail": pl.String(), "raw_text": pl.String()}


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
        Refused records, columns of `REJECTS`; personal fields masked, at most 500 characters of text.
    silent
        Lines that were understood and carry no reading (a heartbeat): they count as loaded.
    texts
        Text of given lines of this batch (``line, raw_text``, personal fields masked), for rows refused later on.
    """

    rows: dict[str, pl.DataFrame]
    rejects: pl.DataFrame
    texts: Callable[[pl.Series], pl.DataFrame]
    silent: pl.Series = field(default_factory=_no_lines)
