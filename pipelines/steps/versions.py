"""Versions by content: what a night's numbers depend on, in one hash."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from pipelines.settings import Settings
from warehouse.store import Warehouse

# What makes up "the code": a change of any of these files makes the next night compute anew.
_PACKAGES = ("models", "pipelines")


@lru_cache(maxsize=1)
def code_version() -> str:
    """Hash of the source and parameters that numbers depend on."""
    h = hashlib.sha256()
    for package in _PACKAGES:
        root = Path(str(files(package)))
        for path in sorted(root.rglob("*")):
            if path.suffix in (".py", ".toml"):
                h.update(path.relative_to(root).as_posix().encode())
                h.update(path.read_bytes())
    return h.hexdigest()[:16]


def inputs_version(wh: Warehouse, settings: Settings) -> str:
    """Hash of all a night depends on: data taken in, fleet, parameters, code, settings, as-of day."""
    h = hashlib.sha256(code_version().encode())
    for sql in (
        "SELECT part_id FROM meta_part ORDER BY ALL",
        "SELECT * FROM core_vehicle ORDER BY ALL",
        "SELECT * FROM core_home ORDER BY ALL",
        "SELECT * FROM core_alias ORDER BY ALL",
        "SELECT count(*), max(time_utc) FROM core_home_hour",
        "SELECT count(*), max(time_utc) FROM core_price_hour",
        "SELECT count(*), max(time_utc) FROM core_air_hour",
    ):
        h.update(repr(wh.rows(sql)).encode())
    own = settings.home / "parameters"
    for path in sorted(own.glob("*.toml")) if own.is_dir() else []:
        h.update(path.name.encode() + path.read_bytes())
    keep = settings.model_dump(exclude={"home", "workers", "batch_vehicles", "serve_hour_utc"})
    h.update(repr(sorted(keep.items())).encode())
    h.update(str(wh.as_of()).encode())
    return h.hexdigest()[:16]
