"""What the ledger says of the vehicles' logs, read once for all of them: a night asks it of each vehicle in turn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from warehouse.store import Warehouse


@dataclass(frozen=True)
class Logged:
    """The logs of one vehicle.

    Parameters
    ----------
    names
        Ids under which it stands in the logs (`Warehouse.names_of`).
    parts
        Kind, part and name of each part it is in, sorted.
    paths
        Files by kind, in the order they were taken in (`Warehouse.parts`).
    flags
        What holds for whole parts, e.g. ``date_assumed``; sorted.
    formats
        Formats of its logs, sorted.
    rows
        Samples, before what was logged twice is merged.
    """

    names: list[str]
    parts: list[tuple[str, str, str]] = field(default_factory=list)
    paths: dict[str, list[Path]] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    rows: int = 0


def logbook(wh: Warehouse) -> dict[str, Logged]:
    """Logs of all vehicles that have any, by vehicle in the order of their ids."""
    names: dict[str, list[str]] = {}
    for vehicle_id, alias_id in wh.rows("SELECT vehicle_id, alias_id FROM core_alias ORDER BY ALL"):
        names.setdefault(vehicle_id, [vehicle_id]).append(alias_id)
    owner: dict[str, str] = {alias: vehicle_id for vehicle_id, some in names.items() for alias in some[1:]}
    places: dict[tuple[str, str], tuple[int, Path, str]] = {}
    flags: dict[str, set[str]] = {}
    asked = "SELECT kind, part_id, part_path, sha256, flags FROM meta_part ORDER BY rowid"
    for number, (kind, part_id, path, sha256, said) in enumerate(wh.rows(asked)):
        places[kind, part_id] = number, wh.home / path, sha256
        flags.setdefault(part_id, set()).update(said or ())
    formats: dict[str, set[str]] = {}
    for sha256, name in wh.rows("SELECT sha256, format FROM meta_file WHERE status = 'loaded'"):
        formats.setdefault(sha256, set()).add(name)
    found: dict[str, list[tuple[str, str, str, int]]] = {}
    for kind, part_id, name, n in wh.rows("SELECT kind, part_id, vehicle_id, rows FROM meta_part_vehicle ORDER BY ALL"):
        found.setdefault(owner.get(name) or name, []).append((kind, part_id, name, n))
    out: dict[str, Logged] = {}
    for vehicle_id, rows in sorted(found.items()):
        paths: dict[str, dict[Path, None]] = {}
        for kind, at in sorted((row[0], places[row[:2]][:2]) for row in rows):
            paths.setdefault(kind, {})[at[1]] = None
        out[vehicle_id] = Logged(
            names.get(vehicle_id, [vehicle_id]),
            [row[:3] for row in rows],
            {kind: list(some) for kind, some in paths.items()},
            tuple(sorted({flag for row in rows for flag in flags[row[1]]})),
            tuple(sorted({name for row in rows for name in formats.get(places[row[:2]][2], ())})),
            sum(row[3] for row in rows if row[0] == "samples"),
        )
    return out
