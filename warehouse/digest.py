"""What "identical" means: a hash per table (sorted rows), of the pages and of the samples; never a file's bytes.

`meta_run` alone holds the clock and is left out. Numbers are hashed as they are stored, to the last bit.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from warehouse.store import Warehouse, WarehouseError, open_warehouse

if TYPE_CHECKING:
    from pathlib import Path

LEFT_OUT = ("meta_run", "meta_migration")
# Where something lies is not what it is: parts move into packs.
PLACES = frozenset({("meta_part", "part_path")})
SAMPLES, PAGES = "samples", "pages"


def digest_home(home: Path) -> dict[str, str]:
    """Hashes of a home: one a table, then ``pages`` and ``samples``, in the order of their names.

    Raises
    ------
    WarehouseError
        There is no warehouse in the home.
    """
    with open_warehouse(home, create=False) as wh:
        return digest(wh)


def digest(wh: Warehouse) -> dict[str, str]:
    """Hashes of an open warehouse (see `digest_home`)."""
    out = {table: digest_table(wh, table) for table in sorted(wh.registry.tables) if table not in LEFT_OUT}
    out[PAGES] = digest_pages(wh.home)
    out[SAMPLES] = digest_samples(wh)
    return dict(sorted(out.items()))


def digest_table(wh: Warehouse, table: str) -> str:
    """Hash of a table's rows, sorted by all columns. Raises `WarehouseError` for a name that is not registered."""
    if table not in wh.registry.tables:
        raise WarehouseError(f"There is no table '{table}'; there are: {', '.join(sorted(wh.registry.tables))}.")
    columns = ", ".join(c for c in wh.registry.tables[table] if (table, c) not in PLACES)
    return frame_hash(wh.read(f"SELECT {columns} FROM {table} ORDER BY ALL"))  # noqa: S608 - names of the registry


def digest_pages(home: Path) -> str:
    """Hash of names and bytes of the published pages."""
    digest = hashlib.sha256()
    folder = (home / "pages").resolve()  # a link through the current publication
    if folder.is_dir():
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            name = path.relative_to(folder).as_posix().encode()
            digest.update(b"%d %b %d " % (len(name), name, path.stat().st_size))
            digest.update(path.read_bytes())
    return digest.hexdigest()


def digest_samples(wh: Warehouse) -> str:
    """Hash of all accepted samples by vehicle and time, without their line numbers."""
    digest = hashlib.sha256()
    for vehicle_id in wh.vehicles_with("samples"):
        digest.update(frame_hash(wh.samples(vehicle_id).drop("line")).encode())
    return digest.hexdigest()


def frame_hash(frame: pl.DataFrame) -> str:
    """Hash of a frame: names, types and values column by column, rows as they stand.

    Examples
    --------
    >>> a = frame_hash(pl.DataFrame({"x": [0.0, None]}))
    >>> a == frame_hash(pl.DataFrame({"x": [-0.0, None]})), a == frame_hash(pl.DataFrame({"x": [0.0, 0.0]}))
    (True, False)
    """
    digest = hashlib.sha256(str(frame.height).encode())
    for series in frame.iter_columns():
        digest.update(f"|{series.name} {series.dtype}|".encode())
        _update(digest, series)
    return digest.hexdigest()


def _update(digest: hashlib._Hash, series: pl.Series) -> None:
    if series.is_empty():
        return  # nothing below would add a byte, and most tables of a young home have no rows
    if isinstance(series.dtype, pl.List):
        lengths = series.list.len()
        digest.update(lengths.cast(pl.Int64).fill_null(-1).to_numpy().tobytes())
        _update(digest, series.filter(lengths > 0).explode())
        return
    digest.update(np.packbits(series.is_null().to_numpy()).tobytes())
    if series.dtype == pl.String:
        digest.update(series.str.len_bytes().fill_null(0).cast(pl.Int64).to_numpy().tobytes())
        digest.update("".join(series.fill_null("").to_list()).encode())
    elif series.dtype.is_float():
        digest.update((series.fill_null(0.0).to_numpy() + 0.0).tobytes())  # -0.0 becomes 0.0
    else:
        digest.update(series.cast(pl.Int64).fill_null(0).to_numpy().tobytes())
