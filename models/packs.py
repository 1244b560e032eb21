"""Packs: a registered vehicle's battery as the models see it, from ``vehicles.toml`` and ``cells.toml``."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from models.domain import FloatArray, OcvCurve, Pack, Vehicle
from models.laws.esoh import ocv_curve
from models.parameters import ParameterError, entry, load

VEHICLE_NUMBERS = (
    "gross_kwh",
    "usable_kwh",
    "certified_kwh",
    "consumption_wh_per_km",
    "certified_worst_wh_per_km",
    "list_price_money",
)


def fingerprint(pack: Pack) -> bytes:
    """All of a pack in bytes to hash: packs of the same bytes are the same to every law."""
    scalars = sorted((name, getattr(pack, name)) for name in Pack.__dataclass_fields__ if name != "ocv")
    return repr(scalars).encode() + pack.ocv.cell_soc_frac.tobytes() + pack.ocv.ocv_v.tobytes()


def vehicle_types(home: Path | None = None) -> tuple[str, ...]:
    """Names of the vehicle types there are."""
    return tuple(sorted(load("vehicles", home)))


def vehicle_defaults(vehicle_type: str, home: Path | None = None) -> dict[str, Any]:
    """What a vehicle of a type is where its fleet file says nothing.

    Parameters
    ----------
    vehicle_type
        Entry of ``parameters/vehicles.toml``.
    home
        Folder whose ``parameters/vehicles.toml`` replaces packaged entries.

    Returns
    -------
    dict
        ``cell_id``, the numbers `VEHICLE_NUMBERS` (kWh, Wh/km, money) and ``currency``. All of it is the type's, not
        the vehicle's: the caller lists what it took in ``assumed``.

    Raises
    ------
    ParameterError
        There is no such type (the message lists those there are), or it lacks a value.
    """
    e = entry("vehicles", vehicle_type, home)
    out: dict[str, Any] = {"cell_id": e.text("cell_id")}
    out |= {name: e.number(name) for name in VEHICLE_NUMBERS}
    out["currency"] = e["list_price_money"].unit
    return out


@lru_cache(maxsize=64)
def ocv_of(cell_id: str, home: Path | None = None) -> OcvCurve:
    """Open-circuit voltage of a cell between its voltage limits, from ``parameters/cells.toml``.

    Raises
    ------
    ParameterError
        There is no such cell, or its curve is not increasing from 0 to 1.
    """
    curve = ocv_curve(cell_id, home)
    soc, volts = curve.cell_soc_frac, curve.ocv_v
    if soc.shape != volts.shape or soc.size < 2 or soc[0] != 0.0 or soc[-1] != 1.0 or np.any(np.diff(soc) <= 0):
        raise ParameterError(
            f"cells: [{cell_id}] needs ocv_soc increasing from 0 to 1 and ocv_v of the same length; "
            f"got {soc.size} and {volts.size} values."
        )
    if np.any(np.diff(volts) < 0) or volts[0] <= 0:
        raise ParameterError(f"cells: [{cell_id}.ocv_v] must be positive and never decrease.")
    return curve


def energy_curve(ocv: OcvCurve) -> FloatArray:
    """Share of the energy between the voltage limits that lies below each point of the curve, shape (n,), 0 to 1. [1]

    >>> import numpy as np
    >>> energy_curve(OcvCurve(np.array([0.0, 0.5, 1.0]), np.array([3.0, 3.0, 3.0]), "flat")).tolist()
    [0.0, 0.5, 1.0]
    """
    mean_v = (ocv.ocv_v[1:] + ocv.ocv_v[:-1]) / 2
    energy = np.concatenate([[0.0], np.cumsum(mean_v * np.diff(ocv.cell_soc_frac))])
    return energy / energy[-1]


def mean_ocv_v(ocv: OcvCurve) -> float:
    """Mean open-circuit voltage of a cell over its whole charge. [V]"""
    mean_v = (ocv.ocv_v[1:] + ocv.ocv_v[:-1]) / 2
    return float(np.sum(mean_v * np.diff(ocv.cell_soc_frac)))


def pack_of(vehicle: Vehicle, home: Path | None = None) -> Pack:
    """The battery of a vehicle when new.

    Energies are the vehicle's own, all else its type's. The charge follows from gross energy, series cells and OCV
    (unless the type states ``capacity_ah``, which then scales with gross energy); the displayed window is where
    ``usable_kwh`` of open-circuit energy fit, the hidden rest split by ``buffer_top_share_frac``.

    Raises
    ------
    ParameterError
        Type or cell is unknown, or the usable energy exceeds the gross one.

    Limits
    ------
    Buffers do not move with age: a maker's that are released later look like less fade than there is.
    """
    e = entry("vehicles", vehicle.vehicle_type, home)
    cell = entry("cells", vehicle.cell_id, home)
    ocv = ocv_of(vehicle.cell_id, home)
    if not 0 < vehicle.usable_kwh <= vehicle.gross_kwh:
        raise ParameterError(
            f"Vehicle {vehicle.vehicle_id}: usable_kwh must be positive and not above gross_kwh; "
            f"got {vehicle.usable_kwh:g} and {vehicle.gross_kwh:g}."
        )
    n_series = int(e.number("n_series"))
    if "capacity_ah" in e.parameters:
        capacity_ah = e.number("capacity_ah") * vehicle.gross_kwh / e.number("gross_kwh")
    else:
        capacity_ah = vehicle.gross_kwh * 1000 / (n_series * mean_ocv_v(ocv))
    hidden = 1 - vehicle.usable_kwh / vehicle.gross_kwh
    top = e.number("buffer_top_share_frac")
    if not 0 <= top <= 1:
        raise ParameterError(f"{e.file}: [{e.entry_id}.buffer_top_share_frac] must lie within 0 and 1, got {top:g}.")
    energy = energy_curve(ocv)
    window = np.interp([hidden * (1 - top), 1 - hidden * top], energy, ocv.cell_soc_frac)
    return Pack(
        vehicle_type=vehicle.vehicle_type,
        cell_id=vehicle.cell_id,
        chemistry=cell.text("chemistry"),
        n_series=n_series,
        capacity_ah=capacity_ah,
        gross_kwh=vehicle.gross_kwh,
        usable_kwh=vehicle.usable_kwh,
        certified_kwh=vehicle.certified_kwh,
        window_low_frac=float(window[0]),
        window_high_frac=float(window[1]),
        resistance_ohm=e.number("resistance_ohm"),
        ocv=ocv,
        heat_capacity_j_per_k=e.number("heat_capacity_j_per_k"),
        cooling_w_per_k=e.number("cooling_w_per_k"),
    )
