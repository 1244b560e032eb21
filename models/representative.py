"""A representative year: one vehicle's life at home put together from series of different years.

52 ISO weeks in local standard time (`models.weeks`), 15-minute steps. The vehicle's weeks are its own
(`models.logged_weeks`); house, sun, price and air are each of the latest whole year there is; what a home has no
series of is assumed (``parameters/representative.toml``) and said in ``sources``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numba as nb
import numpy as np

from models.domain import (
    DAYS_PER_YEAR,
    REPRESENTATIVE_WEEKS,
    BoolArray,
    Duty,
    FloatArray,
    Home,
    Pack,
    RepresentativeYear,
    Tariff,
)
from models.logged_weeks import STEP_MINUTES, LoggedYear, Stays, logged_year
from models.parameters import entry
from models.weeks import YEAR_HOURS, Aligned, Series, align, standard_offset_hours, year_words

__all__ = ["HomeSeries", "Series", "Stays", "no_export_twin", "outage_steps", "representative_year"]

PER_HOUR = 60 // STEP_MINUTES
YEAR_STEPS = YEAR_HOURS * PER_HOUR
WEEKS_TO_YEAR = DAYS_PER_YEAR / (REPRESENTATIVE_WEEKS * 7)


@dataclass(frozen=True, eq=False)
class HomeSeries:
    """Hourly series of a home, None where there is none; kWh an hour, money per kWh, °C."""

    load_kwh: Series | None = None
    pv_kwh: Series | None = None
    price: Series | None = None
    price_currency: str = ""
    air_c: Series | None = None


def representative_year(
    duty: Duty,
    stays: Stays,
    pack: Pack,
    home: Home,
    tariff: Tariff,
    series: HomeSeries,
    consumption_wh_per_km: float,
    km_per_year: float | None = None,
    parameters_home: Path | None = None,
) -> RepresentativeYear:
    """Put a year together.

    Parameters
    ----------
    duty, stays
        The vehicle's own log: charge moved hour by hour, and its sessions.
    home, tariff, series
        Where it is plugged in; load is scaled to ``home.annual_load_kwh``, sun to ``home.pv_kwp``.
    consumption_wh_per_km
        Turns driving energy into distance where ``km_per_year`` is None. [Wh/km]
    km_per_year
        From odometer readings. [km/a]
    parameters_home
        Folder whose ``parameters/*.toml`` replace packaged entries.

    Raises
    ------
    ValueError
        The log is empty, or the price series is in another currency than the tariff.

    Limits
    ------
    Weeks of different years keep their own chance: a cold week of the air need not meet the dear week of the price
    that went with it. No public holidays; no daylight saving, so local clock hours of summer are an hour late.
    """
    offset = standard_offset_hours(home.time_zone)
    logged = logged_year(duty, stays, pack, offset)
    load_kw, load_words = _load(series.load_kwh, home, offset, parameters_home)
    pv_kw, sun_words = _sun(series.pv_kwh, home, offset, parameters_home)
    price, price_words = _price(series, tariff, offset)
    air_c, air_words = _air(series.air_c, offset, parameters_home)
    hour = np.arange(YEAR_STEPS) // PER_HOUR % 24
    region = entry("outages", home.outage_region, parameters_home)
    saidi, saifi = region.number("saidi_minutes"), region.number("saifi")
    drive_kwh = float(np.sum(logged.drive_kwh)) * WEEKS_TO_YEAR
    driven = max(drive_kwh, 0.0) * 1000 / consumption_wh_per_km
    return RepresentativeYear(
        step_minutes=STEP_MINUTES,
        utc_offset_hours=offset,
        plugged=logged.plugged,
        drive_kwh=logged.drive_kwh,
        away_charge_kwh=logged.away_charge_kwh,
        recorded_charge_kwh=logged.charge_kwh,
        recorded_export_kwh=logged.export_kwh,
        load_kw=np.repeat(load_kw, PER_HOUR),
        pv_kw=np.repeat(pv_kw, PER_HOUR),
        import_money_per_kwh=np.repeat(price, PER_HOUR),
        feed_in_money_per_kwh=tariff.feed_in_money_per_kwh,
        peak=np.isin(hour, tariff.peak_hours),
        cheap=np.isin(hour, tariff.cheap_hours),
        outage=outage_steps(home.home_id, saidi, saifi),
        ambient_c=np.repeat(air_c, PER_HOUR),
        currency=tariff.currency,
        km_per_year=driven if km_per_year is None else km_per_year,
        sources={
            "vehicle": _vehicle_words(logged),
            "house": load_words,
            "sun": sun_words,
            "price": price_words,
            "air": air_words,
            "outages": f"scenario from {saidi:g} minutes and {saifi:g} interruptions a year, {region.label}",
        },
        recorded_start_soc_frac=logged.start_soc_frac,
    )


@nb.njit(cache=True, nogil=True)
def _less_export(charge_kwh: FloatArray, away_kwh: FloatArray, export_kwh: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Charge at home and away less what made good an export, first come first served. [kWh]"""
    charge, away = charge_kwh.copy(), away_kwh.copy()
    owed = 0.0
    for t in range(export_kwh.size):
        back = min(owed, away[t])
        away[t] -= back
        owed -= back
        back = min(owed, charge[t])
        charge[t] -= back
        owed += export_kwh[t] - back
        back = min(export_kwh[t], charge[t])  # charge and export within one step
        charge[t] -= back
        owed -= back
    return charge, away


def no_export_twin(year: RepresentativeYear) -> RepresentativeYear:
    """The recorded past as it would have been without its export.

    What is exported must be charged again before the car is as full as it was: the charge that follows an export
    (at home or elsewhere) goes to making it good, first come first served. Without the export that much of the charge
    is not needed. So the twin drives the same, reaches the same state of charge once the energy would have been made
    good, stands fuller in between, and never stands fuller than before the export.

    Limits
    ------
    An export that nothing made good by the end of the year leaves the twin fuller by as much. A driver who charged
    more *because* of the export (a higher ceiling) is not seen.
    """
    export = year.recorded_export_kwh
    charge, away = _less_export(year.recorded_charge_kwh, year.away_charge_kwh, export)
    return replace(year, recorded_charge_kwh=charge, away_charge_kwh=away, recorded_export_kwh=np.zeros_like(export))


def outage_steps(home_id: str, saidi_minutes: float, saifi: float) -> BoolArray:
    """A year's outages of one home, shape (34944,): always the same for the same home.

    The number is the region's frequency, rounded up or down by the home's own chance; times are spread evenly; each
    lasts the region's mean duration times an exponential draw, at least one step.

    Parameters
    ----------
    home_id
        Seeds the draw.
    saidi_minutes, saifi
        Minutes without power and interruptions a customer sees in a year. [min/a], [1/a]
    """
    out = np.zeros(YEAR_STEPS, dtype=bool)
    if saifi <= 0 or saidi_minutes <= 0:
        return out
    seed = int.from_bytes(hashlib.sha256(f"outages|{home_id}".encode()).digest()[:8], "big")
    rng = np.random.Generator(np.random.PCG64(seed))
    count = int(np.floor(saifi + rng.random()))
    starts = np.sort(rng.integers(0, YEAR_STEPS, count))
    minutes = saidi_minutes / saifi * rng.exponential(1.0, count)
    for start, length in zip(starts, np.maximum(np.round(minutes / STEP_MINUTES), 1).astype(int), strict=True):
        out[start : start + length] = True
    return out


def _vehicle_words(logged: LoggedYear) -> str:
    span = f"logged {logged.first_day} to {logged.last_day}"
    if logged.repeated_days:
        return f"{span}, less than a week: its days repeated"
    missing = REPRESENTATIVE_WEEKS - logged.logged_weeks
    filled = f", {missing} taken from the nearest logged week" if missing else ""
    return f"{span}: {logged.logged_weeks} of {REPRESENTATIVE_WEEKS} weeks logged{filled}"


def _series_words(aligned: Aligned, name: str) -> str:
    filled = f", {aligned.filled_hours} hours filled from neighbouring weeks" if aligned.filled_hours else ""
    return f"{name} {year_words(aligned.years)}{filled}"


def _load(series: Series | None, home: Home, offset: float, parameters_home: Path | None) -> tuple[FloatArray, str]:
    rules = entry("representative", "house", parameters_home)
    annual = home.annual_load_kwh if home.annual_load_kwh > 0 else rules.number("annual_load_kwh")
    words = ""
    if series is not None:
        aligned = align(series, offset)
        shape = np.maximum(aligned.values, 0.0)
        words = f"{_series_words(aligned, series.name)}, scaled to {annual:.0f} kWh a year"
    else:
        shape = np.zeros(YEAR_HOURS)
    if not shape.any():
        day = np.arange(YEAR_HOURS) // 24
        season = 1 + rules.number("winter_frac") * np.cos(2 * np.pi * (day - 14) / (REPRESENTATIVE_WEEKS * 7))
        shape = np.tile(np.asarray(rules["hour_shape"].value, dtype=float), REPRESENTATIVE_WEEKS * 7) * season
        words = f"assumed day of a household, {annual:.0f} kWh a year"
    return shape * (annual / WEEKS_TO_YEAR / float(np.sum(shape))), words


def _sun(series: Series | None, home: Home, offset: float, parameters_home: Path | None) -> tuple[FloatArray, str]:
    if home.pv_kwp <= 0:
        return np.zeros(YEAR_HOURS), "no PV plant"
    rules = entry("representative", "sun", parameters_home)
    wanted = home.pv_kwp * rules.number("yield_kwh_per_kwp") / WEEKS_TO_YEAR
    scaled = f"scaled to {home.pv_kwp:g} kWp at {rules.number('yield_kwh_per_kwp'):.0f} kWh a kWp"
    shape = np.zeros(YEAR_HOURS)
    words = ""
    if series is not None:
        aligned = align(series, offset)
        shape = np.maximum(aligned.values, 0.0)
        words = f"{_series_words(aligned, series.name)}, {scaled}"
    if not shape.any():
        shape = clear_sky_shape(rules.number("latitude_deg"))
        words = f"assumed clear-sky shape, {scaled}"
    return shape * (wanted / float(np.sum(shape))), words


def clear_sky_shape(latitude_deg: float) -> FloatArray:
    """Sine of the sun's height above the horizon (0 below) at the middle of each hour, local solar time, (8736,)."""
    hours = np.arange(YEAR_HOURS)
    day = hours // 24
    tilt = np.deg2rad(-23.44) * np.cos(2 * np.pi * (day + 10) / DAYS_PER_YEAR)
    angle = np.deg2rad(15.0 * (hours % 24 + 0.5 - 12))
    latitude = np.deg2rad(latitude_deg)
    height = np.sin(latitude) * np.sin(tilt) + np.cos(latitude) * np.cos(tilt) * np.cos(angle)
    return np.maximum(height, 0.0)


def _price(series: HomeSeries, tariff: Tariff, offset: float) -> tuple[FloatArray, str]:
    by_hour = np.tile(np.asarray(tariff.import_money_per_kwh), REPRESENTATIVE_WEEKS * 7)
    if not tariff.dynamic:
        return by_hour, f"tariff {tariff.tariff_id}"
    if series.price is None:
        return by_hour, f"tariff {tariff.tariff_id}: no price series, its assumed shape of the day"
    if series.price_currency != tariff.currency:
        raise ValueError(
            f"Price series {series.price.name} is in {series.price_currency}, tariff {tariff.tariff_id} in "
            f"{tariff.currency}; give the home a series or a tariff in one currency."
        )
    aligned = align(series.price, offset)
    words = f"{_series_words(aligned, series.price.name)} plus {tariff.dynamic_markup_money_per_kwh:g} a kWh"
    return aligned.values + tariff.dynamic_markup_money_per_kwh, words


def _air(series: Series | None, offset: float, parameters_home: Path | None) -> tuple[FloatArray, str]:
    if series is None:
        rules = entry("representative", "air", parameters_home)
        hours = np.arange(YEAR_HOURS)
        season = np.cos(2 * np.pi * (hours / 24 - 197) / DAYS_PER_YEAR)
        daily = np.cos(2 * np.pi * (hours % 24 - 15) / 24)
        values = rules.number("mean_c") + rules.number("season_c") * season + rules.number("day_c") * daily
        return values, f"assumed, {rules.number('mean_c'):g} °C in the mean"
    aligned = align(series, offset)
    if series.typical_year:
        return aligned.values, f"{series.name}, typical year"
    return aligned.values, _series_words(aligned, series.name)
