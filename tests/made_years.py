"""Seeded years at home for the tests of dispatch, policies and bill: made, not measured."""

from __future__ import annotations

from datetime import date

import numpy as np

from models.domain import Charger, FloatArray, Home, Limits, Pack, Policy, RepresentativeYear, Tariff, Vehicle
from models.laws.esoh import ocv_curve
from models.packs import pack_of, vehicle_defaults
from models.policies import tariff

DAY = 96
CHARGER = Charger("test", 10.0, 10.0, 0.3, 0.94, 0.92, 0.1)


def pack_of_cell(cell_id: str = "nmc811_lgm50") -> Pack:
    """A pack of 60 kWh of the cell, in a window of 3 to 98 %."""
    return Pack(
        vehicle_type="test",
        cell_id=cell_id,
        chemistry="nmc",
        n_series=96,
        capacity_ah=150.0,
        gross_kwh=60.0,
        usable_kwh=57.0,
        certified_kwh=57.0,
        window_low_frac=0.03,
        window_high_frac=0.98,
        resistance_ohm=0.08,
        ocv=ocv_curve(cell_id),
        heat_capacity_j_per_k=4e5,
        cooling_w_per_k=5.0,
    )


def vehicle(vehicle_type: str = "demo_nmc_60") -> Vehicle:
    d = vehicle_defaults(vehicle_type)
    return Vehicle(
        vehicle_id="v000000000001",
        vehicle_type=vehicle_type,
        cell_id=d["cell_id"],
        gross_kwh=d["gross_kwh"],
        usable_kwh=d["usable_kwh"],
        certified_kwh=d["certified_kwh"],
        production_month=date(2022, 1, 1),
        in_service_date=date(2022, 2, 1),
        market="DE",
        contract_id="common_oem_70",
        consumption_wh_per_km=d["consumption_wh_per_km"],
        certified_worst_wh_per_km=d["certified_worst_wh_per_km"],
        home_id="h1",
        bms_version="1",
        list_price_money=d["list_price_money"],
        currency=d["currency"],
        cohort_id="c",
    )


def home(**changes: object) -> Home:
    values: dict[str, object] = {
        "home_id": "h1",
        "market": "DE",
        "time_zone": "Europe/Berlin",
        "tariff_id": "de_fixed",
        "charger_id": "v2h_10kw",
        "load_series_id": "load",
        "price_series_id": "price",
        "air_series_id": "air",
        "outage_region": "us_maine",
        "annual_load_kwh": 4000.0,
        "pv_kwp": 5.0,
    }
    return Home(**(values | changes))  # type: ignore[arg-type]


def pack(vehicle_type: str = "demo_nmc_60") -> Pack:
    return pack_of(vehicle(vehicle_type))


def policy(charging: str = "smart", export: str = "peak", **limits: float) -> Policy:
    return Policy("p", "P", charging, export, Limits(**limits))


def year(
    seed: int = 1,
    days: int = 28,
    prices: Tariff | None = None,
    load_kw: FloatArray | None = None,
    pv_kwp: float = 4.0,
    outages: int = 2,
    recorded: bool = False,
) -> RepresentativeYear:
    """Random trips, windows (short stops at home too), load, sun and outages; trips never exceed 40 kWh a day."""
    rng = np.random.default_rng(seed)
    prices = prices or tariff("us_ev2a_like")
    n = days * DAY
    plugged = np.ones(n, dtype=bool)
    drive = np.zeros(n)
    away = np.zeros(n)
    for day in range(days):
        if rng.random() < 0.25:
            continue
        begin = day * DAY + int(rng.integers(20, 45))
        end = min(begin + int(rng.integers(8, 45)), n)
        plugged[begin:end] = False
        kwh = min(rng.lognormal(2.0, 0.7), 40.0)
        drive[begin : begin + 3] += kwh / 6
        drive[end - 3 : end] += kwh / 6
        if rng.random() < 0.1:
            away[begin + 4] += rng.uniform(0.5, 15.0)
        if rng.random() < 0.3 and end + 8 < (day + 1) * DAY:  # a short stop at home, then off again
            again = end + int(rng.integers(1, 4))
            plugged[again : again + 4] = False
            drive[again] += rng.uniform(0.2, 6.0)
        if rng.random() < 0.2:
            drive[day * DAY : (day + 1) * DAY] += rng.uniform(0.0, 0.01)  # a car that draws a little at rest
    hour = np.arange(n) // 4 % 24
    shape = 0.3 + 1.2 * np.isin(hour, (17, 18, 19, 20, 21)) + 0.5 * np.isin(hour, (6, 7, 8))
    load = shape * rng.gamma(2.0, 0.5, n) if load_kw is None else load_kw
    sun = pv_kwp * np.maximum(np.sin((hour - 6) / 12 * np.pi), 0.0) * np.repeat(rng.random(days), DAY)
    outage = np.zeros(n, dtype=bool)
    for at in rng.integers(0, n, outages):
        outage[at : at + int(rng.integers(1, 12))] = True
    price = np.tile(np.repeat(np.asarray(prices.import_money_per_kwh), 4), days)
    if prices.dynamic:
        price = price + rng.normal(0, 0.05, n).repeat(4)[:n]
    charge, export = np.zeros(n), np.zeros(n)
    if recorded:
        for day in range(days):
            t = day * DAY + 80
            export[t : t + 4] = plugged[t : t + 4] * 0.8
            charge[t + 8 : t + 12] = plugged[t + 8 : t + 12] * 2.0
    return RepresentativeYear(
        step_minutes=15,
        utc_offset_hours=1.0,
        plugged=plugged,
        drive_kwh=drive,
        away_charge_kwh=away,
        recorded_charge_kwh=charge,
        recorded_export_kwh=export,
        load_kw=load,
        pv_kw=sun,
        import_money_per_kwh=price,
        feed_in_money_per_kwh=prices.feed_in_money_per_kwh,
        peak=np.isin(hour, prices.peak_hours),
        cheap=np.isin(hour, prices.cheap_hours),
        outage=outage,
        ambient_c=12 + 8 * np.sin(np.arange(n) / n * 6.28),
        currency=prices.currency,
        km_per_year=14_000.0,
    )
