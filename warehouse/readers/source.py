"""A file's bytes: hash, decompression, blocks.

A `Source` is read twice: once for its hash (is the file known?), once for its records. Both run through it in blocks,
so that a file of any length needs the same memory. Files that unpack to a multiple of their size that no log has are
refused.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import os
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from warehouse.keys import utf8_text
from warehouse.readers.lines import PARQUET_MAGIC, LineCounter, Lines, RefusedFile, whole_lines

if TYPE_CHECKING:
    from pathlib import Path

    from warehouse.readers.batch import Counter

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_DAMAGED = (EOFError, zlib.error, pa.ArrowException, OSError)
CUT_OFF = "The compressed file is cut off or damaged; copy it again."
_DAMAGED_PARQUET = "The Parquet file is cut off or damaged; copy it again."
# Fleet files are read as a whole, and so are files where a caller asks for it (`read_bytes`).
MAX_WHOLE_BYTES = 2**30
BLOCK_BYTES = 1 << 23
# Logs unpack to 3 to 60 times their size; what unpacks to more than this, beyond some blocks, is a bomb.
MAX_UNPACK_RATIO, UNPACK_FREE_BYTES = 250, 2**28
_WAYS_OUT = {
    errno.ENOENT: "check its path",
    errno.EACCES: "make it readable for the user who runs fadecast",
    errno.EPERM: "make it readable for the user who runs fadecast",
}
_HASH_BLOCK = _STREAM_BUFFER = 1 << 20


class Source:
    """A file on its way in.

    Parameters
    ----------
    path
        The file.
    counter
        Counts the records while they are read; `None` where ``count`` does so.
    scratch
        Folder for what has to be unpacked onto the disk (a compressed Parquet file); made when needed.
    count
        Counts the records in a pass of its own.

    Raises
    ------
    RefusedFile
        The file cannot be read.
    """

    def __init__(
        self,
        path: Path,
        counter: Counter | None,
        scratch: Path | None = None,
        count: Callable[[Source], int] | None = None,
    ) -> None:
        self.path, self.name = path, utf8_text(path.name)
        self._counter, self._count = counter, count
        self._scratch = scratch
        self._unpacked: list[Path] = []
        self._records: int | None = None
        self._reading: Iterator[bytes] | None = None
        with self._reasons():
            if path.is_dir():
                raise RefusedFile("It is a folder; give one file.")
            if path.exists() and not path.is_file():
                said = "It is no regular file: a pipe or device cannot be read twice, to hash it and to take it in"
                raise RefusedFile(f"{said}; write it to a file first.")
            digest = hashlib.sha256()
            with path.open("rb", buffering=0) as file:
                before = os.fstat(file.fileno())
                self._head = file.read(8)
                digest.update(self._head)
                self.size = len(self._head)
                while block := file.read(_HASH_BLOCK):
                    digest.update(block)
                    self.size += len(block)
            self._stat = (before.st_dev, before.st_ino, before.st_size, before.st_mtime_ns)
        self.sha256 = digest.hexdigest()
        self.unchanged()

    @contextmanager
    def _reasons(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise
            out = _WAYS_OUT.get(error.errno or 0, "copy it to another place and take it in from there")
            raise RefusedFile(f"The file cannot be read ({error.strerror}); {out}.") from None

    def unchanged(self) -> None:
        """Raise `RefusedFile` when the file is another than when it was hashed (it grows, or was moved away)."""
        try:
            now = self.path.stat()
        except OSError as error:
            raise RefusedFile(f"The file went away while it was read ({error.strerror}); take it in again.") from None
        if (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns) != self._stat or now.st_size != self.size:
            raise RefusedFile("The file changed while it was read; take it in again when it is complete.")

    @property
    def records(self) -> int:
        """Records of the file, counted on its bytes; reads what nobody has read yet."""
        if self._records is None and self._count is not None:
            self._records = self._count(self)
        elif self._records is None and self._counter is not None:
            for _ in self.blocks() if self._reading is None else self._reading:
                pass
            self._records = self._counter.total()
        return self._records or 0

    @cached_property
    def is_parquet(self) -> bool:
        """Whether the (decompressed) file begins as Parquet does."""
        return self.head(4) == PARQUET_MAGIC

    def head(self, n: int) -> bytes:
        """First bytes of the decompressed file, uncounted."""
        blocks, out = self._plain(min(n, BLOCK_BYTES)), b""
        while len(out) < n and (block := next(blocks, b"")):
            out += block
        return out[:n]

    def open(self) -> io.BufferedReader:
        """Decompressed bytes as a stream that begins anew and is not counted."""
        return io.BufferedReader(_Stream(self._plain()), _STREAM_BUFFER)

    def blocks(self) -> Iterator[bytes]:
        """Decompressed bytes in blocks of `BLOCK_BYTES`, counted as they pass. Only once."""
        if self._reading is not None:
            raise RuntimeError("a source is read once")
        self._reading = self._passing()
        return self._reading

    def _passing(self) -> Iterator[bytes]:
        for block in self._plain():
            if self._counter is not None:
                self._counter.feed(block)
            yield block

    def stream(self) -> io.BufferedReader:
        """Decompressed bytes as a stream, counted as they pass. Only once."""
        return io.BufferedReader(_Stream(self.blocks()), _STREAM_BUFFER)

    def _plain(self, block_bytes: int | None = None) -> Iterator[bytes]:
        packed = self._head.startswith((_GZIP, _ZSTD))
        limit = max(self.size * MAX_UNPACK_RATIO, UNPACK_FREE_BYTES) if packed else None
        size = 0
        with self._reasons(), self._bytes() as file:
            opened = _opened(file, self._head)
            while True:
                try:
                    block = opened.read(block_bytes or BLOCK_BYTES)
                except _DAMAGED as error:
                    if isinstance(error, OSError) and not packed:
                        raise
                    raise RefusedFile(CUT_OFF) from None
                if not block:
                    break
                size += len(block)
                if limit is not None and size > limit:
                    raise RefusedFile(
                        f"The file unpacks to more than {MAX_UNPACK_RATIO} times its size, which no log does;"
                        " unpack it yourself and look into it."
                    )
                yield bytes(block)

    def lines(self) -> Iterator[Lines]:
        """Blocks of whole lines, without a byte order mark. Only once."""
        return whole_lines(self.blocks())

    def parquet(self, texts: Collection[str] = ()) -> pq.ParquetFile:
        """The file as Parquet; its records are its rows. Raises `RefusedFile`.

        Parameters
        ----------
        texts
            Columns that come by the numbers of their texts (dictionaries) where they hold text.
        """
        path = self.path
        if self._head.startswith((_GZIP, _ZSTD)):
            if self._scratch is None:
                raise RuntimeError("a compressed Parquet file needs a scratch folder")
            self._scratch.mkdir(parents=True, exist_ok=True)
            path = self._scratch / f"{self.sha256[:16]}.unpacked.tmp"
            self._unpacked.append(path)
            with path.open("wb") as out:
                for block in self._plain():
                    out.write(block)
        return self._parquet(path, texts)

    def _parquet(self, where: Path | pa.BufferReader, texts: Collection[str]) -> pq.ParquetFile:
        try:
            parquet = pq.ParquetFile(where)
            schema = parquet.schema_arrow
            found = [f.name for f in schema if f.name in texts and _is_text(f.type)]  # damaged names are no text
            if found and len(set(schema.names)) == len(schema.names):
                parquet = pq.ParquetFile(where, read_dictionary=found)
        except (pa.ArrowException, OSError, UnicodeDecodeError):
            raise RefusedFile("The file is not Parquet, which the format expects, or it is cut off.") from None
        self._records = parquet.metadata.num_rows
        return parquet

    def _bytes(self) -> IO[bytes]:
        return self.path.open("rb")

    def close(self) -> None:
        """Remove what was unpacked onto the disk."""
        for path in self._unpacked:
            path.unlink(missing_ok=True)


class BytesSource(Source):
    """Bytes in memory as a source."""

    def __init__(
        self,
        data: bytes,
        counter: Counter | None,
        count: Callable[[Source], int] | None = None,
        name: str = "",
    ) -> None:
        self.name = name
        self._counter, self._count = counter, count
        self._data, self._head, self.size = data, data[:8], len(data)
        self._records, self._reading = None, None
        self._unpacked = []
        self.sha256 = hashlib.sha256(data).hexdigest()

    def unchanged(self) -> None:
        """Bytes do not change."""

    def _bytes(self) -> IO[bytes]:
        return io.BytesIO(self._data)

    def parquet(self, texts: Collection[str] = ()) -> pq.ParquetFile:
        """The bytes as Parquet."""
        return self._parquet(pa.BufferReader(b"".join(self._plain())), texts)


def parquet_batches(parquet: pq.ParquetFile, rows: int, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
    """Batches of a Parquet file. Raises `RefusedFile` where its pages are damaged."""
    given = 0
    try:
        for batch in parquet.iter_batches(rows, columns=columns):
            given += batch.num_rows
            # Damaged metadata would end the process in polars (a panic), damaged text likewise.
            for column in batch.columns:
                if _is_text(column.type) or pa.types.is_dictionary(column.type):
                    column.validate(full=True)
            yield batch.replace_schema_metadata(None)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise RefusedFile(_DAMAGED_PARQUET) from None
    if given != parquet.metadata.num_rows:  # its row groups hold other rows than its foot says
        raise RefusedFile(_DAMAGED_PARQUET)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


class _Stream(io.RawIOBase):
    """Blocks as a raw stream."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        super().__init__()
        self._blocks = blocks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = memoryview(next(self._blocks, b""))
        n = min(len(buffer), len(self._rest))
        buffer[:n] = self._rest[:n]
        self._rest = self._rest[n:]
        return n


def _opened(file: IO[bytes], head: bytes) -> Any:
    if head.startswith(_GZIP):
        return gzip.GzipFile(fileobj=file)
    if head.startswith(_ZSTD):
        return pa.CompressedInputStream(pa.PythonFile(file), "zstd")
    return file


def file_sha256(path: Path) -> str:
    """Hash of a file's bytes as they lie on the disk. Raises `RefusedFile` when it cannot be read."""
    return Source(path, LineCounter(header=False)).sha256


def read_bytes(path: Path) -> bytes:
    """Decompressed bytes of a file of at most `MAX_WHOLE_BYTES`. Raises `RefusedFile`."""
    return whole(Source(path, LineCounter(header=False)))


def whole(source: Source) -> bytes:
    """Decompressed bytes of a source of at most `MAX_WHOLE_BYTES`. Raises `RefusedFile`."""
    blocks: list[bytes] = []
    size = 0
    for block in source.blocks():
        size += len(block)
        if size > MAX_WHOLE_BYTES:
            raise RefusedFile(f"The file holds more than {MAX_WHOLE_BYTES >> 30} GiB; split it.")
        blocks.append(block)
    return b"".join(blocks)
