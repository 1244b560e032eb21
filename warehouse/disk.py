"""Disks that are full or cannot be written, said in one sentence."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CODES = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EEXIST,
    errno.ENOTDIR,
)  # fmt: skip


def reason_of(error: Exception) -> str | None:
    """Why a disk refused, `None` where an error is another one (DuckDB and polars tell the reason in words only)."""
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno) if error.errno in _CODES else None
    return next((os.strerror(code) for code in _CODES if os.strerror(code) in str(error)), None)


@contextmanager
def writing(home: Path) -> Iterator[None]:
    """Turn what a full or locked disk raises into a `WarehouseError`; what was committed before stays."""
    from warehouse.store import WarehouseError

    try:
        yield
    except (OSError, duckdb.Error, pl.exceptions.PolarsError) as error:
        reason = reason_of(error)
        if reason is None:
            raise
        raise WarehouseError(
            f"The home {home} cannot be written ({reason}); what was done before stays. Make room or give another"
            " --home, and run the command again."
        ) from None


def make_database(path: Path) -> None:
    """Make an empty database where there is none: whole or not at all, so that a full disk leaves no half a header."""
    if path.exists():
        return
    new = path.with_suffix(".making.tmp")
    new.unlink(missing_ok=True)
    duckdb.connect(str(new)).close()
    with new.open("rb") as file:
        os.fsync(file.fileno())
    new.replace(path)
