"""A made-up vehicle with all that its decisions depend on, without a warehouse."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime

import numpy as np

from models.dispatch import dispatch, duty_of
from models.domain import History, Home, Readings, RepresentativeYear, Vehicle
from models.ensemble import worlds
from models.exposure import year_exposures
from models.laws.registry import laws_for
from models.packs import pack_of, vehicle_defaults
from models.policies import charger, policies, tariff
from models.resale import exchange
from pipelines.steps.decide_types import Past, VehicleInputs, contracts_of, terms_of

POLICIES = ("as_driven", "no_export_smart", "no_export_immediate", "evening_peak", "evening_peak_2_kwh_day")
AS_OF = date(2025, 2, 28)


def commuter_year() -> RepresentativeYear:
    """Drives twice a working day, at home from 17 to 7, has exported 4 kWh every evening."""
    n = 52 * 7 * 96
    hour, day = (np.arange(n) // 4) % 24, np.arange(n) // 96
    drive = np.where(np.isin(hour, (8, 15)), 1.25, 0.0)
    night, evening = (hour >= 1) & (hour < 5), (hour >= 18) & (hour < 20)
    return RepresentativeYear(
        step_minutes=15,
        utc_offset_hours=0.0,
        plugged=(hour >= 17) | (hour < 7),
        drive_kwh=drive,
        away_charge_kwh=np.zeros(n),
        recorded_charge_kwh=np.where(night, 14 / 16, 0.0),
        recorded_export_kwh=np.where(evening, 0.5, 0.0),
        load_kw=np.where((hour >= 16) & (hour < 22), 0.9, 0.3),
        pv_kw=np.zeros(n),
        import_money_per_kwh=np.where(night, 0.085, 0.28),
        feed_in_money_per_kwh=0.15,
        peak=np.isin(hour, (16, 17, 18)),
        cheap=np.isin(hour, (1, 2, 3, 4)),
        outage=np.zeros(n, dtype=bool),
        ambient_c=10 + 8 * np.sin(2 * np.pi * (day - 110) / 365) + 3 * np.sin(2 * np.pi * hour / 24),
        currency="GBP",
        km_per_year=13_000.0,
        sources={"vehicle": "made up"},
        recorded_start_soc_frac=0.7,
    )


def vehicle_inputs(
    vehicle_id: str = "v0001",
    draws: int = 120,
    charger_id: str = "v2h_7kw",
    vehicle_type: str = "demo_nmc_60",
    policy_ids: tuple[str, ...] = POLICIES,
    laws_kept: int = 2,
) -> VehicleInputs:
    """Two years old, the second of them logged; the last laws of its cell (quick ones) speak."""
    d = vehicle_defaults(vehicle_type)
    vehicle = Vehicle(
        vehicle_id=vehicle_id,
        vehicle_type=vehicle_type,
        cell_id=d["cell_id"],
        gross_kwh=d["gross_kwh"],
        usable_kwh=d["usable_kwh"],
        certified_kwh=d["certified_kwh"],
        production_month=date(2023, 1, 1),
        in_service_date=date(2023, 3, 1),
        market="GB",
        contract_id="common_oem_70",
        consumption_wh_per_km=d["consumption_wh_per_km"],
        certified_worst_wh_per_km=d["certified_worst_wh_per_km"],
        home_id="h",
        bms_version="1",
        list_price_money=d["list_price_money"],
        currency=d["currency"],
        cohort_id=f"{d['cell_id']}.mild",
        assumed=("list_price_money",),
    )
    home = Home("h", "GB", "Europe/London", "uk_go_like", charger_id, "", "", "", "gb", 3000.0, 0.0)
    pack, laws, year = pack_of(vehicle), laws_for(vehicle.cell_id)[-laws_kept:], commuter_year()
    known = tuple(p for p in policies() if p.policy_id in policy_ids)
    box, prices = charger(charger_id), tariff("uk_go_like")
    driven = dispatch(year, known[0], box, prices, pack, 1.0)
    once = year_exposures(duty_of(driven, year, pack), pack, laws)
    nothing = np.zeros(0)
    history = History(
        vehicle_id,
        vehicle.cohort_id,
        np.full(24, 365.25 / 12),
        {k: np.concatenate([x, x]) for k, x in once.items()},
        Readings(nothing, nothing, nothing, nothing, nothing.astype(bool)),
        0.5,
    )
    past = Past(
        last_data_utc=datetime(2025, 2, 28, 20),
        readings=5,
        readings_bms=1,
        soc_inferred=False,
        export_kwh=1400.0,
        export_hours=700.0,
        odometer_km=26_000.0,
        odometer_low_km=25_000.0,
        odometer_high_km=27_000.0,
        mean_soc_frac=0.6,
        hot_share_frac=0.05,
        high_soc_share_frac=0.1,
        full_cycles_per_year=60.0,
        outside_frac=0.1,
        shrinkage=1.0,
        residual_note="stands aside",
        logged_days=365.0,
    )
    return VehicleInputs(
        vehicle=vehicle,
        home=home,
        pack=pack,
        charger=box,
        tariff=prices,
        contracts=contracts_of(vehicle, None),
        policies=known,
        laws=laws,
        year=year,
        history=history,
        worlds=worlds({}, vehicle.cohort_id, vehicle_id, laws, draws, 1),
        past=past,
        terms=terms_of(AS_OF, draws, 1, 10, None),
        exchange=exchange(year.currency, vehicle.currency),
    )


def without_readings(inputs: VehicleInputs, soc_inferred: bool) -> VehicleInputs:
    """The same vehicle, not yet measured."""
    return replace(inputs, past=replace(inputs.past, readings=0, readings_bms=0, soc_inferred=soc_inferred))
