"""Representative years from the warehouse: one vehicle's log and its home's series put together. Reads only."""

from __future__ import annotations

import numpy as np
import polars as pl

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
    house = wh.read(
        "SELECT time_utc, load_kwh, pv_kwh FROM core_home_hour WHERE load_series_id = ? ORDER BY time_utc",
        [home.load_series_id],
    )
    price = wh.read(
        "SELECT time_utc, price_money_per_kwh, currency FROM core_price_hour WHERE price_series_id = ?"
        " ORDER BY time_utc",
        [home.price_series_id],
    )
    air = wh.read(
        "SELECT time_utc, air_temp_c, typical_year FROM core_air_hour WHERE air_series_id = ? ORDER BY time_utc",
        [home.air_series_id],
    )
    return HomeSeries(
        load_kwh=_series(house, "load_kwh", home.load_series_id),
        pv_kwh=_series(house, "pv_kwh", home.load_series_id),
        price=_series(price, "price_money_per_kwh", home.price_series_id),
        price_currency=str(price.get_column("currency")[0]) if price.height else "",
        air_c=_series(
            air, "air_temp_c", home.air_series_id, bool(air.get_column("typical_year").fill_null(False).all())
        ),
    )


def _series(frame: pl.DataFrame, column: str, name: str, typical_year: bool = False) -> Series | None:
    """Means by the hour of what is known, in order of time; None where nothing is."""
    values = frame.get_column(column).cast(pl.Float64).to_numpy()
    hours = frame.get_column("time_utc").to_numpy().astype("datetime64[h]").astype(np.int64)
    known = np.isfinite(values)
    if not known.any():
        return None
    first = np.flatnonzero(np.diff(hours[known], prepend=-1))
    count = np.diff(np.append(first, known.sum()))
    return Series(hours[known][first], np.add.reduceat(values[known], first) / count, name, typical_year)


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
