"""Registered vehicles and homes, read from the warehouse into the models' types."""

from __future__ import annotations

from typing import Any

from models.domain import Home, Vehicle
from warehouse.store import Warehouse

_VEHICLE = tuple(Vehicle.__dataclass_fields__)
_HOME = tuple(Home.__dataclass_fields__)


def _typed(cls: type[Any], names: tuple[str, ...], row: tuple[Any, ...]) -> Any:
    values = dict(zip(names, row, strict=True))
    values["assumed"] = tuple(values["assumed"] or ())
    return cls(**values)


def load_vehicles(wh: Warehouse) -> dict[str, Vehicle]:
    """Every registered vehicle by its id, in order of the ids."""
    rows = wh.rows(f"SELECT {', '.join(_VEHICLE)} FROM core_vehicle ORDER BY vehicle_id")  # noqa: S608
    return {row[0]: _typed(Vehicle, _VEHICLE, row) for row in rows}


def load_homes(wh: Warehouse) -> dict[str, Home]:
    """Every home by its id, in order of the ids."""
    rows = wh.rows(f"SELECT {', '.join(_HOME)} FROM core_home ORDER BY home_id")  # noqa: S608
    return {row[0]: _typed(Home, _HOME, row) for row in rows}
