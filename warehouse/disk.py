"""Disks that are full or cannot be written, said in one sentence."""

from __future__ import annotations

import errno
import os
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CODES = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EEXIST,
    errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EISDIR,
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


def check_home(home: Path) -> None:
    """Refuse a home that can never be one: no folder, below a file, or closed to this user.

    One that is missing is well: whoever writes makes it (`make_home`).

    Raises
    ------
    WarehouseError
        It is none; one sentence with the way out.
    """
    from warehouse.store import WarehouseError

    way_out = "give a folder with --home (or FADECAST_HOME), and run the command again."
    try:
        there = next((at for at in (home, *home.parents) if os.path.lexists(at)), home)
        if os.path.lexists(there) and not there.is_dir():
            raise WarehouseError(f"The home {home} cannot be used, as {there} is no folder; {way_out}")
    except OSError as error:
        raise WarehouseError(f"The home {home} cannot be used ({error.strerror}); {way_out}") from None
    if home.is_dir() and not os.access(home, os.R_OK | os.X_OK):
        raise WarehouseError(f"The home {home} cannot be read ({os.strerror(errno.EACCES)}); {way_out}")


def check_writable(home: Path) -> None:
    """Refuse a home that takes no file, before long work for it begins; make it. Raises `WarehouseError`."""
    make_home(home)
    with writing(home), tempfile.TemporaryFile(dir=home):
        pass


def make_home(home: Path) -> None:
    """Make a home where there is none yet.

    Raises
    ------
    WarehouseError
        The disk refuses it, for whatever reason.
    """
    from warehouse.store import WarehouseError

    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WarehouseError(
            f"The home {home} cannot be written ({error.strerror}): it is not there and cannot be made; give another"
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
