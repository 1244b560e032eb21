"""Load what one vehicle's decisions depend on from the warehouse. Reads only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, time, timedelta
from typing import Any

import numpy as np

from models.domain import DAYS_PER_YEAR, Pack, RepresentativeYear, Vehicle
from models.ensemble import worlds
from models.packs import pack_of
from models.policies import charger, policies, tariff
from models.resale import exchange
from pipelines.settings import Settings
from pipelines.steps.decide_types import Past, Terms, VehicleInputs, contracts_of
from pipelines.steps.fleet import load_homes, load_vehicles
from pipelines.steps.history import load_duty
from pipelines.steps.history_rows import load_resistance
from pipelines.steps.learn import Learned
from pipelines.steps.years import load_year
from warehouse.store import Warehouse

HOT_C = 30.0
HIGH_SOC = 0.8
# Where no odometer was ever read: the distance of the representative year over the age, +-40 %.
MODELLED_KM_FRAC = 0.4


def vehicles_with_duty(wh: Warehouse) -> list[str]:
    """Registered vehicles in service that have logs, in order of their ids."""
    sql = (
        "SELECT vehicle_id FROM core_vehicle WHERE in_service_date <= ? "
        "AND vehicle_id IN (SELECT vehicle_id FROM core_duty_step) ORDER BY vehicle_id"
    )
    return [row[0] for row in wh.rows(sql, [wh.as_of()])]


def load_inputs(
    wh: Warehouse, settings: Settings, learned: Learned, terms: Terms, vehicle_ids: Sequence[str]
) -> Iterator[VehicleInputs]:
    """Inputs of each vehicle in turn, loaded when asked for."""
    vehicles, homes = load_vehicles(wh), load_homes(wh)
    known = policies(settings.home)
    for vehicle_id in vehicle_ids:
        vehicle = vehicles[vehicle_id]
        home = homes[vehicle.home_id]
        pack = pack_of(vehicle, settings.home)
        year = load_year(wh, vehicle, home, pack)
        laws = learned.laws[vehicle.cohort_id]
        shift = learned.shifts[vehicle_id]
        yield VehicleInputs(
            vehicle=vehicle,
            home=home,
            pack=pack,
            charger=charger(home.charger_id, settings.home),
            tariff=tariff(home.tariff_id, settings.home),
            contracts=contracts_of(vehicle, settings.home),
            policies=known,
            laws=laws,
            year=year,
            history=learned.histories[vehicle_id],
            worlds=worlds(
                learned.fits,
                vehicle.cohort_id,
                vehicle_id,
                laws,
                terms.draws,
                terms.seed,
                residual_shift_frac=shift.frac,
                residual_sigma_frac=shift.sigma_frac,
                outside_frac=learned.outside[vehicle_id],
                home=settings.home,
            ),
            past=load_past(wh, vehicle, pack, year, learned, terms),
            terms=terms,
            exchange=exchange(year.currency, vehicle.currency, settings.home),
        )


def load_past(
    wh: Warehouse, vehicle: Vehicle, pack: Pack, year: RepresentativeYear, learned: Learned, terms: Terms
) -> Past:
    """What the logs say of a vehicle's life up to the as-of day. Sums run in time order."""
    vehicle_id = vehicle.vehicle_id
    until = datetime.combine(terms.as_of, time()) + timedelta(days=1)
    duty = load_duty(wh, vehicle, pack)
    soc = pack.displayed_soc((duty.cell_soc_frac[1:] + duty.cell_soc_frac[:-1]) / 2)
    days = duty.steps * duty.step_hours / 24
    cycles = float(np.sum(np.abs(duty.current_a))) * duty.step_hours / 2 / duty.capacity_ah
    sessions = wh.rows(
        "SELECT kind, start_utc, end_utc, soc_inferred, energy_out_battery_kwh FROM core_session "
        "WHERE vehicle_id = ? AND start_utc < ? ORDER BY start_utc, kind, session_id",
        [vehicle_id, until],
    )
    exports = [s for s in sessions if s[0] == "export"]
    sampled = wh.rows(
        "SELECT export_out_kwh FROM core_duty_step WHERE vehicle_id = ? AND step_utc < ? AND export_out_kwh > 0 "
        "ORDER BY step_utc",
        [vehicle_id, until],
    )
    # Samples where there are any; sessions alone where the log holds no samples.
    export_kwh = max(sum(abs(r[0]) for r in sampled), sum(abs(s[4]) for s in exports if s[4] is not None))
    readings = learned.histories[vehicle_id].readings
    bms = int(np.sum(readings.bms_reported))
    km, low, high = _odometer(wh, vehicle, year, until)
    outside = learned.outside[vehicle_id]
    return Past(
        last_data_utc=max((x for s in sessions for x in s[1:3] if x is not None), default=None),
        readings=int(readings.days.shape[0]),
        readings_bms=bms,
        soc_inferred=any(bool(s[3]) for s in sessions),
        export_kwh=float(export_kwh),
        export_hours=float(sum((s[2] - s[1]).total_seconds() / 3600 for s in exports if s[2] is not None)),
        odometer_km=km,
        odometer_low_km=low,
        odometer_high_km=high,
        mean_soc_frac=float(np.mean(soc)),
        hot_share_frac=float(np.mean(duty.temp_c > HOT_C)),
        high_soc_share_frac=float(np.mean(soc > HIGH_SOC)),
        full_cycles_per_year=cycles / max(days / DAYS_PER_YEAR, 1e-9),
        outside_frac=float(np.mean(list(outside.values()))) if outside else None,
        shrinkage=learned.vehicle_shrinkage(vehicle_id),
        residual_note=learned.shifts[vehicle_id].note,
        logged_days=days,
        resistance=load_resistance(wh, vehicle_id, (terms.as_of - vehicle.in_service_date).days + 1.0),
    )


def _odometer(wh: Warehouse, vehicle: Vehicle, year: RepresentativeYear, until: datetime) -> tuple[float, float, float]:
    """Odometer on the as-of day, carried on from the last reading at the representative year's pace."""
    rows: list[tuple[Any, ...]] = wh.rows(
        "SELECT time_utc, odometer_km, odometer_low_km, odometer_high_km FROM core_odometer "
        "WHERE vehicle_id = ? AND time_utc < ? ORDER BY time_utc",
        [vehicle.vehicle_id, until],
    )
    rows = [r for r in rows if r[1] is not None]
    if rows:
        at, km, low, high = rows[-1]
        more = year.km_per_year * max((until - at).total_seconds(), 0.0) / (86400 * DAYS_PER_YEAR)
        low, high = (km if low is None else low), (km if high is None else high)
        return km + more, low + (1 - MODELLED_KM_FRAC) * more, high + (1 + MODELLED_KM_FRAC) * more
    age = max((until.date() - vehicle.in_service_date).days / DAYS_PER_YEAR, 0.0)
    km = year.km_per_year * age
    return km, (1 - MODELLED_KM_FRAC) * km, (1 + MODELLED_KM_FRAC) * km
