"""The simulated surroundings: air temperature, houses with photovoltaics, day-ahead prices. Hourly, in UTC.

Limits: one station a climate; clouds and heating follow no weather model; prices follow no market.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from models.domain import DAYS_PER_YEAR, FloatArray, IntArray
from models.parameters import entry
from models.seeds import generator

HOURS_PER_DAY = 24
CLIMATES = ("cold", "mild", "hot")
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class House:
    """A simulated house: load without the car, photovoltaics, where it stands."""

    name: str
    climate: str
    market: str
    time_zone: str
    annual_load_kwh: float
    pv_kwp: float


def utc_hours(first: date, end: date) -> IntArray:
    """Hours since 1970 UTC from the first day to the day before ``end``, shape (n,). [h]"""
    return np.arange((first - _EPOCH).days * HOURS_PER_DAY, (end - _EPOCH).days * HOURS_PER_DAY)


def utc_offset_hours(first: date, end: date, zone: str) -> FloatArray:
    """Offset of local clocks from UTC on each day (taken at noon), shape (days,). [h]"""
    tz = ZoneInfo(zone)
    days = [first + timedelta(days=k) for k in range((end - first).days)]
    offsets = [datetime.combine(d, time(12), tzinfo=tz).utcoffset() or timedelta(0) for d in days]
    return np.array([o.total_seconds() / 3600.0 for o in offsets])


def _smooth_noise(rng: np.random.Generator, n: int, hours: float) -> FloatArray:
    """Unit-variance noise that forgets itself with a time constant. [1]"""
    keep = float(np.exp(-1.0 / hours))
    kick = rng.normal(0.0, np.sqrt(1 - keep**2), n)
    out = np.empty(n)
    level = float(rng.normal())
    for k in range(n):
        level = keep * level + kick[k]
        out[k] = level
    return out


def _year_phase(hours: IntArray) -> FloatArray:
    """0 at New Year, 2 pi a year later."""
    return 2 * np.pi * (hours / HOURS_PER_DAY / DAYS_PER_YEAR)


def air_temperature(climate: str, hours: IntArray, seed: int) -> FloatArray:
    """Air temperature of a climate, shape (n,). [°C]"""
    e = entry("synthetic", f"climate_{climate}")
    season = -np.cos(_year_phase(hours) - 2 * np.pi * 20 / DAYS_PER_YEAR)
    clock = np.cos(2 * np.pi * (hours % HOURS_PER_DAY - 14) / HOURS_PER_DAY)
    weather = 3.2 * _smooth_noise(generator(seed, "air", climate), hours.size, 48.0)
    return e.number("mean_c") + e.number("season_c") * season + e.number("day_c") * clock + weather


def _sun(hours: IntArray, latitude_deg: float) -> FloatArray:
    """Sine of the sun's height at UTC noon-centred hours, 0 at night, shape (n,). [1]"""
    declination = np.radians(-23.44) * np.cos(_year_phase(hours) + 2 * np.pi * 10 / DAYS_PER_YEAR)
    angle = 2 * np.pi * (hours % HOURS_PER_DAY - 11.5) / HOURS_PER_DAY
    latitude = np.radians(latitude_deg)
    height = np.sin(latitude) * np.sin(declination) + np.cos(latitude) * np.cos(declination) * np.cos(angle)
    return np.maximum(height, 0.0)


def house_series(house: House, hours: IntArray, air_c: FloatArray, seed: int) -> tuple[FloatArray, FloatArray]:
    """Load and photovoltaic output of a house in each hour, shapes (n,). [kWh]"""
    rng = generator(seed, "house", house.name)
    offset = 1.0 if house.time_zone != "UTC" else 0.0
    clock = (hours + offset) % HOURS_PER_DAY

    def bump(at: float, width: float) -> FloatArray:
        gap = np.minimum(np.abs(clock - at), HOURS_PER_DAY - np.abs(clock - at))
        return np.exp(-0.5 * (gap / width) ** 2)

    shape = 0.35 + 0.5 * bump(7.5, 1.3) + 0.35 * bump(12.5, 2.0) + 1.1 * bump(19.5, 2.0)
    weather = 1.0 + 0.03 * np.maximum(12.0 - air_c, 0.0) + 0.05 * np.maximum(air_c - 24.0, 0.0)
    raw = shape * weather * rng.lognormal(0.0, 0.35, hours.size)
    load = raw * house.annual_load_kwh / DAYS_PER_YEAR / HOURS_PER_DAY / raw.mean()
    latitude = entry("synthetic", f"climate_{house.climate}").number("latitude_deg")
    clouds = 0.15 + 0.85 / (1.0 + np.exp(-1.6 * _smooth_noise(rng, hours.size, 12.0) - 0.4))
    return load, 0.85 * house.pv_kwp * _sun(hours, latitude) * clouds


def day_ahead_price(market: str, hours: IntArray, seed: int) -> FloatArray:
    """Day-ahead price of a market; may fall below zero at noon, shape (n,). [EUR/kWh]"""
    rng = generator(seed, "price", market)
    clock = (hours + 1) % HOURS_PER_DAY
    summer = 0.5 - 0.5 * np.cos(_year_phase(hours))
    evening = np.exp(-0.5 * ((clock - 19) / 1.8) ** 2)
    morning = np.exp(-0.5 * ((clock - 8) / 1.5) ** 2)
    noon = np.exp(-0.5 * ((clock - 13) / 2.2) ** 2)
    weekend = ((hours // HOURS_PER_DAY + 3) % 7 >= 5).astype(float)
    level = 0.075 - 0.012 * weekend + 0.02 * _smooth_noise(rng, hours.size, 60.0)
    daily = 0.075 * evening + 0.03 * morning - (0.02 + 0.06 * summer) * noon
    return level + daily * (1.0 + 0.2 * _smooth_noise(rng, hours.size, 36.0)) + rng.normal(0.0, 0.006, hours.size)


def _stamps(hours: IntArray) -> pl.Series:
    return pl.Series("time_utc", hours * 3600 * 1_000_000, dtype=pl.Int64).cast(pl.Datetime("us"))


def air_frame(series_id: str, hours: IntArray, air_c: FloatArray) -> pl.DataFrame:
    """Rows of an air-temperature file: station, time_utc, air_temp_c. [°C]"""
    n = hours.size
    return pl.DataFrame({"station": [series_id] * n, "time_utc": _stamps(hours), "air_temp_c": air_c.round(1)})


def house_frame(house: House, hours: IntArray, load: FloatArray, pv: FloatArray) -> pl.DataFrame:
    """Rows of a house file: load_series, time_utc, load_kwh, pv_kwh. [kWh]"""
    series = [house.name] * hours.size
    return pl.DataFrame(
        {"load_series": series, "time_utc": _stamps(hours), "load_kwh": load.round(3), "pv_kwh": pv.round(3)}
    )


def price_frame(series_id: str, hours: IntArray, price: FloatArray) -> pl.DataFrame:
    """Rows of a price file: price_series, time_utc, price_eur_per_kwh. [EUR/kWh]"""
    n = hours.size
    return pl.DataFrame(
        {"price_series": [series_id] * n, "time_utc": _stamps(hours), "price_eur_per_kwh": price.round(4)}
    )
