"""Efficiency and standby of each car's charger, from the sessions of the night."""

from __future__ import annotations

import numpy as np
import polars as pl

from models.charger_fit import ChargerFit, fit_charger, round_trip
from models.domain import Estimate
from models.policies import charger as charger_of
from pipelines.settings import Settings
from pipelines.steps.fleet import load_homes, load_vehicles
from warehouse.store import Warehouse

TABLE = "out_charger"


def build_chargers(wh: Warehouse, settings: Settings) -> int:
    """Write ``out_charger`` anew: one row a vehicle whose sessions tell something; returns how many."""
    vehicles, homes = load_vehicles(wh), load_homes(wh)
    rows: list[dict[str, object]] = []
    for vehicle_id, vehicle in vehicles.items():
        fits = {kind: _fit(wh, vehicle_id, kind) for kind in ("charge", "export")}
        if not any(fits.values()):
            continue
        home = homes.get(vehicle.home_id)
        charger_id = home.charger_id if home is not None else ""
        row: dict[str, object] = {"vehicle_id": vehicle_id, "charger_id": charger_id}
        for kind, fit in fits.items():
            row[f"sessions_{kind}"] = 0 if fit is None else fit.sessions
            row |= _columns(f"{kind}_overall_frac", None if fit is None else fit.overall)
            row |= _columns(f"{kind}_efficiency_frac", None if fit is None else fit.efficiency)
            row |= _columns(f"{kind}_standby_kw", None if fit is None else fit.standby)
        row |= _columns("round_trip_frac", round_trip(fits["charge"], fits["export"]))
        row["assumed_round_trip_frac"] = _assumed(charger_id, settings)
        rows.append(row)
    names = [c.name for c in wh.registry.table(TABLE)]
    frame = pl.DataFrame({n: [r.get(n) for r in rows] for n in names}, strict=False)
    with wh.transaction():
        wh.write(TABLE, frame)
    return len(rows)


def _fit(wh: Warehouse, vehicle_id: str, kind: str) -> ChargerFit | None:
    """Fit of one direction; sessions whose SOC is inferred have no energy at the battery of their own."""
    side = "out" if kind == "export" else "in"
    found = wh.rows(
        f"SELECT energy_{side}_battery_kwh, energy_{side}_meter_kwh, epoch_us(end_utc) - epoch_us(start_utc)"  # noqa: S608
        " FROM core_session WHERE vehicle_id = ? AND kind = ? AND samples > 0 AND NOT soc_inferred"
        " AND NOT list_contains(flags, 'current_from_meter')"
        f" AND energy_{side}_meter_kwh IS NOT NULL ORDER BY start_utc, session_id",
        [vehicle_id, kind],
    )
    if not found:
        return None
    battery, meter, micros = (np.array(x, dtype=float) for x in zip(*found, strict=True))
    return fit_charger(battery, meter, micros / 3.6e9, kind == "export")


def _columns(name: str, e: Estimate | None) -> dict[str, float | None]:
    stem, _, unit = name.rpartition("_")
    low, high = f"{stem}_low_{unit}", f"{stem}_high_{unit}"
    return {name: None, low: None, high: None} if e is None else {name: e.value, low: e.low, high: e.high}


def _assumed(charger_id: str, settings: Settings) -> float | None:
    """Round trip without standby that the calculations assume."""
    if not charger_id:
        return None
    charger = charger_of(charger_id, settings.home)
    return charger.charge_efficiency_frac * charger.export_efficiency_frac
