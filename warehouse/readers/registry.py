"""Readers by name, as a format's ``reader`` says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from warehouse.formatspec import FormatSpec
    from warehouse.readers.batch import Batch, Counter
    from warehouse.readers.source import Source


@dataclass(frozen=True)
class Reader:
    """A reader of logs (see `batch`).

    Parameters
    ----------
    read
        Gives the batches of a file.
    counter
        Makes the counter that is fed the bytes while they are read.
    count
        Instead of a counter: counts the records of a file in a pass of its own (``source.open()``).
    version
        Goes up when the same file gives other rows than before: files of an older one are read again when they come
        again (`warehouse.again`).
    """

    read: Callable[[Source, FormatSpec], Iterator[Batch]]
    counter: Callable[[FormatSpec], Counter] | None = None
    count: Callable[[Source], int] | None = None
    version: int = 1


# Name -> module that holds READER; imported when a format asks for it.
READERS = {"table": "warehouse.readers.choose", "json": "warehouse.readers.nested", "ocpp": "warehouse.readers.ocpp"}


def reader_of(name: str) -> Reader:
    """Reader of a name; formats are checked against `READERS` before."""
    reader = import_module(READERS[name]).READER
    if not isinstance(reader, Reader):
        raise TypeError(f"{READERS[name]}.READER is no Reader")
    return reader


def open_source(path: Path, spec: FormatSpec, scratch: Path | None = None) -> tuple[Reader, Source]:
    """A file on its way in, and its reader. Raises `RefusedFile` when it cannot be read."""
    from warehouse.readers.source import Source

    reader = reader_of(spec.reader)
    return reader, Source(path, None if reader.counter is None else reader.counter(spec), scratch, reader.count)
