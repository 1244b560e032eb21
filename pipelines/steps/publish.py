"""Publish: pages and a serving copy of the tables, swapped in by one rename.

``published/<run>/{pages,serving.duckdb,manifest.json}``; unchanged pages are hard links to those of the publication
before; ``<home>/current`` points to the run, ``<home>/pages`` and ``<home>/serving.duckdb`` are links through it.
What is new is decided by the pages' bytes and a hash per table, never by the bytes of a database file. Nothing new,
no publication; then only pages that were deleted or changed by hand are put back. Two publications are kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines.settings import Settings
from pipelines.steps.pages import NOT_SERVED, UNVERSIONED, page_bytes
from reports.render import write_atomic
from warehouse.store import Warehouse

KEPT = 2
MANIFEST = "manifest.json"


def served_tables(wh: Warehouse) -> tuple[str, ...]:
    """Tables that the serving copy holds, sorted: core_ (small ones), out_ and meta_."""
    return tuple(
        sorted(t for t in wh.registry.tables if t.startswith(("core_", "out_", "meta_")) and t not in NOT_SERVED)
    )


def publish(wh: Warehouse, settings: Settings, run_id: str) -> str | None:
    """Publish pages and tables where anything changed.

    Parameters
    ----------
    wh
        The open warehouse, no transaction under way.
    settings
        Home and parameters of the run.
    run_id
        Name of the night, becomes the publication's name.

    Returns
    -------
    str or None
        Name of the publication, or None when nothing changed (deleted pages come back all the same).

    Raises
    ------
    PageError
        A page cannot be made (an unsafe vehicle id, a driver page that is too large).
    """
    root = settings.home / "published"
    root.mkdir(parents=True, exist_ok=True)
    before = current(settings.home)
    old = _manifest(before)
    stage = root / f".{run_id}.part"
    _remove_stages(root)
    (stage / "pages").mkdir(parents=True)
    tables = {t: table_version(wh, t) for t in served_tables(wh) if t not in UNVERSIONED}
    hashes: dict[str, str] = {}
    put_back = False
    for name, data in page_bytes(wh, settings):
        hashes[name] = hashlib.sha256(data).hexdigest()
        put_back |= _place(stage / "pages" / name, data, None if before is None else before / "pages" / name)
    manifest = {"tables": tables, "pages": hashes}
    if before is not None and manifest == old and (before / "serving.duckdb").exists():
        if put_back:
            _restore(stage / "pages", before / "pages", hashes)
        _remove_stages(root)
        _link_home(settings.home)
        return None
    write_serving(wh, stage / "serving.duckdb")
    write_atomic(stage / MANIFEST, _json(manifest))
    name = _free_name(root, run_id)
    for folder in (stage / "pages", stage):
        _sync_folder(folder)
    stage.rename(root / name)
    _sync_folder(root)
    _swap(settings.home / "current", Path("published") / name)
    _link_home(settings.home)
    _prune(root, keep=[name, *([before.name] if before is not None else [])])
    return name


def current(home: Path) -> Path | None:
    """Folder of the publication that readers see, or None."""
    link = home / "current"
    if not link.is_symlink():
        return None
    folder = home / link.readlink()
    return folder if folder.is_dir() else None


def table_version(wh: Warehouse, table: str) -> str:
    """Hash of a table's rows whatever their order; exact to the last bit of every float."""
    rows, digest = wh.rows(
        "SELECT count(*), coalesce(sha256(string_agg(h, '' ORDER BY h)), '')"  # noqa: S608 - a name of the registry
        f" FROM (SELECT md5(CAST(t AS VARCHAR)) AS h FROM {table} t)"
    )[0]
    return f"{rows}:{digest[:32]}"


def write_serving(wh: Warehouse, path: Path) -> None:
    """Copy the served tables, sorted, with the registry's units and meanings as comments on the columns."""
    path.unlink(missing_ok=True)
    quoted = str(path).replace("'", "''")
    wh.con.execute(f"ATTACH '{quoted}' AS serving")
    try:
        wh.con.execute("BEGIN TRANSACTION")
        for table in served_tables(wh):
            names = ", ".join(c.name for c in wh.registry.table(table))
            # Names come from the registry, never from a log.
            wh.con.execute(f"CREATE TABLE serving.{table} AS SELECT {names} FROM {table} ORDER BY ALL")  # noqa: S608
            for column in wh.registry.table(table):
                said = f"[{column.unit}] {column.meaning}".replace("'", "''")
                wh.con.execute(f"COMMENT ON COLUMN serving.{table}.{column.name} IS '{said}'")
        wh.con.execute("COMMIT")
        wh.con.execute("CHECKPOINT serving")
    finally:
        wh.con.execute("DETACH serving")


def _place(path: Path, data: bytes, old: Path | None) -> bool:
    """Put a page in the stage: a hard link where the old bytes are the same; tells whether they were not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if old is not None and old.is_file() and old.read_bytes() == data:
        try:
            os.link(old, path)
            return False
        except OSError:  # a file system without hard links
            write_atomic(path, data)
            return False
    write_atomic(path, data)
    return True


def _restore(stage: Path, pages: Path, hashes: dict[str, str]) -> None:
    for name in sorted(hashes):
        target, data = pages / name, (stage / name).read_bytes()
        if not target.is_file() or target.read_bytes() != data:
            write_atomic(target, data)


def _manifest(folder: Path | None) -> dict[str, Any]:
    if folder is None:
        return {}
    try:
        return json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _json(body: dict[str, Any]) -> bytes:
    return (json.dumps(body, indent=1, sort_keys=True) + "\n").encode()


def _free_name(root: Path, run_id: str) -> str:
    names = [run_id, *(f"{run_id}-{i}" for i in range(2, 1000))]
    return next(n for n in names if not (root / n).exists())


def _swap(link: Path, target: Path) -> None:
    """Point a link elsewhere by one rename."""
    temporary = link.with_name(f".{link.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)


def _link_home(home: Path) -> None:
    for name in ("pages", "serving.duckdb"):
        link, target = home / name, Path("current") / name
        if not (link.is_symlink() and link.readlink() == target):
            _swap(link, target)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _publications(root: Path) -> Iterator[Path]:
    yield from sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))


def _prune(root: Path, keep: list[str]) -> None:
    kept = set(keep[:KEPT])
    for folder in _publications(root):
        if folder.name not in kept:
            shutil.rmtree(folder)


def _remove_stages(root: Path) -> None:
    """Remove what a killed night left half made."""
    for folder in root.glob(".*.part"):
        shutil.rmtree(folder)
