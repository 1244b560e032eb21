"""Representative years from the warehouse: what is stored is what is put together."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest

from models.domain import Pack
from pipelines.steps.years import load_series, load_stays, load_year, odometer_km_per_year
from warehouse.store import Warehouse, open_warehouse

DAYS = 28
START = datetime(2021, 3, 1)


def frame(wh: Warehouse, table: str, columns: dict[str, Any]) -> pl.DataFrame:
    """Rows with the given columns; all others null, numbers zero, truth false."""
    n = len(next(iter(columns.values())))
    filler: dict[Any, Any] = {pl.Float64(): 0.0, pl.Boolean(): False, pl.UInt8(): 0, pl.Int64(): 0}
    out = {}
    for name, dtype in wh.registry.schema(table).items():
        value = columns.get(name, [filler.get(dtype)] * n)
        out[name] = pl.Series(name, value, dtype=dtype)
    return pl.DataFrame(out)


def fill(wh: Warehouse, vehicle_id: str, pack: Pack) -> None:
    hours = [START + timedelta(hours=h) for h in range(DAYS * 24)]
    hour = np.arange(DAYS * 24) % 24
    drive, charge = np.where(hour == 8, 20.0, 0.0), np.where(hour == 2, 20.0, 0.0)
    soc = 0.6 + np.concatenate([[0.0], np.cumsum(charge - drive)]) / pack.capacity_ah
    rows = {
        "vehicle_id": [vehicle_id] * len(hours),
        "step_utc": hours,
        "step_minutes": [60] * len(hours),
        "cell_soc_start_frac": soc[:-1],
        "cell_soc_end_frac": soc[1:],
        "temp_c": [20.0] * len(hours),
        "drive_out_ah": drive,
        "charge_in_ah": charge,
        "capacity_ah": [pack.capacity_ah] * len(hours),
    }
    wh.write("core_duty_step", frame(wh, "core_duty_step", rows))
    kinds: list[str] = []
    starts: list[datetime] = []
    ends: list[datetime | None] = []
    plugged: list[bool] = []
    for day in range(DAYS):
        for kind, a, b, home in (
            ("rest", 0, 2, True),
            ("charge", 2, 3, True),
            ("rest", 3, 8, True),
            ("drive", 8, 9, False),
            ("rest", 9, 17, False),
            ("rest", 17, 24, True),
        ):
            kinds.append(kind)
            starts.append(START + timedelta(days=day, hours=a))
            ends.append(START + timedelta(days=day, hours=b))
            plugged.append(home)
    kinds.append("charge")
    starts.append(START + timedelta(days=DAYS))
    ends.append(None)
    plugged.append(True)
    n = len(kinds)
    sessions = {
        "vehicle_id": [vehicle_id] * n,
        "session_id": [f"s{k:04d}" for k in range(n)],
        "kind": kinds,
        "start_utc": starts,
        "end_utc": ends,
        "plugged": plugged,
    }
    wh.write("core_session", frame(wh, "core_session", sessions))
    year = [datetime(2016, 1, 1) + timedelta(hours=h) for h in range(8784)]
    home = {"load_series_id": ["load"] * 8784, "time_utc": year, "load_kwh": [0.5] * 8784, "pv_kwh": [None] * 8784}
    wh.write("core_home_hour", frame(wh, "core_home_hour", home))
    price = {
        "price_series_id": ["price"] * 4,
        "time_utc": [START + timedelta(minutes=30 * k) for k in range(4)],
        "price_money_per_kwh": [0.1, 0.3, 0.5, 0.5],
        "currency": ["EUR"] * 4,
    }
    wh.write("core_price_hour", frame(wh, "core_price_hour", price))
    typical = [datetime(2001, 1, 1) + timedelta(hours=h) for h in range(8760)]
    air = {
        "air_series_id": ["air"] * 8760,
        "time_utc": typical,
        "air_temp_c": [9.0] * 8760,
        "typical_year": [True] * 8760,
    }
    wh.write("core_air_hour", frame(wh, "core_air_hour", air))


@pytest.fixture
def stored(tmp_path: Path, made_years: ModuleType) -> Any:
    with open_warehouse(tmp_path / "home") as wh:
        fill(wh, made_years.vehicle().vehicle_id, made_years.pack())
        yield wh


def test_a_year_is_put_together_from_what_is_stored(stored: Warehouse, made_years: ModuleType) -> None:
    vehicle, pack = made_years.vehicle(), made_years.pack()
    year = load_year(stored, vehicle, made_years.home(time_zone="UTC", pv_kwp=2.0), pack)
    hour = np.arange(year.steps) // 4 % 24
    assert np.array_equal(year.plugged, (hour < 8) | (hour >= 17))
    assert set(np.unique(hour[year.drive_kwh > 1e-9])) == {8}
    assert set(np.unique(hour[year.recorded_charge_kwh > 1e-9])) == {2}
    volts = float(pack.ocv_pack_v(0.6 + 10 / pack.capacity_ah))
    assert year.drive_kwh.sum() == pytest.approx(364 * 20 * volts / 1000, rel=1e-3)
    assert year.load_kw == pytest.approx(4000 / 8766)
    assert year.sources["sun"].startswith("assumed clear-sky shape")
    assert year.sources["air"] == "air, typical year"
    assert year.sources["vehicle"].startswith("logged 2021-03-01 to 2021-03-28: 4 of 52 weeks")
    assert np.all(year.ambient_c == 9.0)


def test_half_hours_become_hours_and_nothing_becomes_none(stored: Warehouse, made_years: ModuleType) -> None:
    series = load_series(stored, made_years.home())
    assert series.price is not None and series.price.values.tolist() == pytest.approx([0.2, 0.5])
    assert series.price_currency == "EUR"
    assert series.load_kwh is not None and series.pv_kwh is None
    none = load_series(stored, made_years.home(load_series_id="", price_series_id="x", air_series_id="y"))
    assert (none.load_kwh, none.price, none.price_currency, none.air_c) == (None, None, "", None)


def test_open_sessions_are_left_out(stored: Warehouse, made_years: ModuleType) -> None:
    stays = load_stays(stored, made_years.vehicle().vehicle_id)
    assert stays.start_us.size == DAYS * 6
    assert np.all(np.diff(stays.start_us) > 0)


def test_the_odometer_gives_the_distance_of_a_year(stored: Warehouse) -> None:
    rows = {
        "vehicle_id": ["v"] * 3,
        "time_utc": [datetime(2020, 1, 1), datetime(2020, 1, 1) + timedelta(days=200), datetime(2022, 1, 1)],
        "odometer_km": [1000.0, 9000.0, 99_000.0],
        "modelled": [False, False, True],
    }
    stored.write("core_odometer", frame(stored, "core_odometer", rows))
    assert odometer_km_per_year(stored, "v") == pytest.approx(8000 / 200 * 365.25)
    assert odometer_km_per_year(stored, "nobody") is None
