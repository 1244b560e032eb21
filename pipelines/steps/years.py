"""Representative years from the warehouse: one vehicle's log and its home's series put together. Reads only."""

from __future__ import annotations

import numpy as np

from models.domain import DAYS_PER_YEAR, Home, Pack, RepresentativeYear, Vehicle
from models.policies import tariff
from models.representative import HomeSeries, Series, Stays, representative_year
from models.sessions import STATES
from pipelines.steps.history_rows import load_duty
from warehouse.store import Warehouse

# Odometer readings further apart than this give the distance of a year.
ODOMETER_DAYS = 90.0


def load_year(wh: Warehouse, vehicle: Vehicle, home: Home, pack: Pack) -> RepresentativeYear:
    """The representative year of a vehicle at its home.

    Raises
    ------
    LookupError
        The vehicle has no history yet.
    ValueError
        Its price series is in another currency than its tariff.
    ParameterError
        Tariff or outage region are unknown.
    """
    return representative_year(
        load_duty(wh, vehicle, pack),
        load_stays(wh, vehicle.vehicle_id),
        pack,
        home,
        tariff(home.tariff_id, wh.home),
        load_series(wh, home),
        vehicle.consumption_wh_per_km,
        odometer_km_per_year(wh, vehicle.vehicle_id),
        wh.home,
    )


def load_stays(wh: Warehouse, vehicle_id: str) -> Stays:
    """Closed sessions of a vehicle in time order."""
    rows = wh.rows(
        "SELECT epoch_us(start_utc), epoch_us(end_utc), kind, plugged FROM core_session"
        " WHERE vehicle_id = ? AND end_utc IS NOT NULL ORDER BY start_utc, end_utc, kind, session_id",
        [vehicle_id],
    )
    rest = STATES["rest"]
    return Stays(
        start_us=np.array([r[0] for r in rows], dtype=np.int64),
        end_us=np.array([r[1] for r in rows], dtype=np.int64),
        use=np.array([STATES.get(r[2], rest) for r in rows], dtype=np.int64),
        plugged=np.array([bool(r[3]) for r in rows], dtype=bool),
    )


def load_series(wh: Warehouse, home: Home) -> HomeSeries:
    """Hourly series of a home, None where the warehouse has none of that name."""
    load, pv, price, air = (
        _series(wh, "core_home_hour", "load_series_id", home.load_series_id, "load_kwh"),
        _series(wh, "core_home_hour", "load_series_id", home.load_series_id, "pv_kwh"),
        _series(wh, "core_price_hour", "price_series_id", home.price_series_id, "price_money_per_kwh"),
        _series(wh, "core_air_hour", "air_series_id", home.air_series_id, "air_temp_c"),
    )
    currency = wh.scalar("SELECT min(currency) FROM core_price_hour WHERE price_series_id = ?", [home.price_series_id])
    typical = wh.scalar(
        "SELECT bool_and(typical_year) FROM core_air_hour WHERE air_series_id = ?", [home.air_series_id]
    )
    if air is not None and typical:
        air = Series(air.hours, air.values, air.name, typical_year=True)
    return HomeSeries(load, pv, price, str(currency or ""), air)


def _series(wh: Warehouse, table: str, key: str, series_id: str, column: str) -> Series | None:
    frame = wh.read(
        f"SELECT epoch(time_utc)::BIGINT // 3600 AS hour, min({column}) AS value FROM {table}"  # noqa: S608 - own names
        f" WHERE {key} = ? AND {column} IS NOT NULL GROUP BY hour ORDER BY hour",
        [series_id],
    )
    if frame.height == 0:
        return None
    return Series(
        frame.get_column("hour").to_numpy().astype(np.int64),
        frame.get_column("value").to_numpy().astype(float),
        series_id,
    )


def odometer_km_per_year(wh: Warehouse, vehicle_id: str) -> float | None:
    """Distance of a year from the first and last odometer reading, None where they are too close or there are none."""
    rows = wh.rows(
        "SELECT epoch(time_utc), odometer_km FROM core_odometer"
        " WHERE vehicle_id = ? AND NOT modelled AND odometer_km IS NOT NULL ORDER BY time_utc",
        [vehicle_id],
    )
    if len(rows) < 2:
        return None
    days = (rows[-1][0] - rows[0][0]) / 86400
    km = rows[-1][1] - rows[0][1]
    return km / days * DAYS_PER_YEAR if days >= ODOMETER_DAYS and km > 0 else None
