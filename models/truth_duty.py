"""Quick simulated years of many cars, hour by hour, with and without export: the duty of the trial fleets.

Used to try the learning on fleets whose truth is known (`models.truths`), not for the demo's logs. A car's year of 364
days is lived twice with the same trips: once exporting in the evening, once not.

Limits: one climate a car, hourly steps, trips by a fixed clock, charging at home only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from models.domain import REPRESENTATIVE_WEEKS, Duty, FloatArray, Pack, Use
from models.packs import ocv_of
from models.seeds import generator

CELL_ID = "nmc811_lgm50"
DAYS = 7 * REPRESENTATIVE_WEEKS
CLIMATES = {"mild": (11.0, 8.5, 3.5), "hot": (20.0, 9.0, 5.0)}
"""Mean air temperature, half the range of the seasons and of the day. [°C]"""
EXPORT_HOURS = 3
CHARGE_PER_HOUR = 0.12
_START = np.datetime64("2001-01-01T00:00:00", "us")


@dataclass(frozen=True)
class Habit:
    """How one car is used.

    Parameters
    ----------
    drive_frac
        Of the capacity, on a day with driving. [1]
    target_frac
        Displayed state of charge at which charging ends. [1]
    late
        Charges in the last hours of the night, not on arrival.
    home_share
        Share of weekdays the car stays at home. [1]
    plug_share
        Share of evenings it is plugged in though not low. [1]
    export_frac, floor_frac
        Exported each plugged evening, over the capacity, and not below this state of charge. [1]
    """

    climate: str
    drive_frac: float
    target_frac: float
    late: bool
    home_share: float
    plug_share: float
    export_frac: float
    floor_frac: float
    exporter: bool


def trial_pack() -> Pack:
    """Battery of all trial cars: 60 kWh of the cell `CELL_ID`."""
    return Pack("trial", CELL_ID, "nmc", 96, 160.0, 60.0, 57.0, 57.0, 0.03, 0.97, 0.1, ocv_of(CELL_ID), 4e5, 10.0)


def draw_habits(vehicles: int, seed: int, confounded: bool, exporters_share: float = 0.4) -> list[Habit]:
    """Draw the cars of a fleet; where confounded, who parks full, at home and in the heat rather exports."""
    rng = generator(seed, "habits")
    u = rng.random((vehicles, 7))
    drive = 0.22 * rng.lognormal(0.0, 0.45, vehicles)
    who = generator(seed, "exporters", str(confounded)).random(vehicles)
    out = []
    for k in range(vehicles):
        climate = "mild" if u[k, 0] < 0.5 else "hot"
        target = 0.7 + 0.3 * u[k, 1]
        home = 0.4 * u[k, 2]
        chance = exporters_share
        if confounded:
            pull = 4.0 * (target - 0.85) / 0.15 * 0.5 + 4.0 * (home - 0.2) + (0.7 if climate == "hot" else -0.7)
            odds = exporters_share / (1.0 - exporters_share) * np.exp(pull)
            chance = float(odds / (1.0 + odds))
        out.append(
            Habit(
                climate=climate,
                drive_frac=float(np.clip(drive[k], 0.05, 0.6)),
                target_frac=target,
                late=bool(u[k, 3] < 0.5),
                home_share=home,
                plug_share=0.4 + 0.6 * float(u[k, 4]),
                export_frac=0.06 + 0.16 * float(u[k, 5]),
                floor_frac=0.2 + 0.25 * float(u[k, 6]),
                exporter=bool(who[k] < chance),
            )
        )
    return out


@njit(cache=True, nogil=True)
def _live(
    soc, current, drive, late, target, export, floor, home, plug, from_hour, per_hour
):  # pragma: no cover - compiled
    now = target
    n_days = home.shape[0]
    for day in range(n_days):
        at_home = home[day]
        for hour in range(24):
            t = day * 24 + hour
            soc[t] = now
            change = 0.0
            away = (not at_home) and 8 <= hour < 18
            if not at_home and (hour == 8 or hour == 17):
                change = -min(0.5 * drive[day], now - 0.02)
                current[t, 0] = change
            elif at_home and hour == 13:
                change = -min(0.3 * drive[day], now - 0.02)
                current[t, 0] = change
            elif not away:
                plugged = plug[day] if hour >= 18 else (plug[day - 1] if day > 0 else True)
                plugged = plugged or now < 0.35
                if plugged and 18 <= hour < 18 + EXPORT_HOURS and export > 0.0:
                    change = -max(min(export / EXPORT_HOURS, now - floor), 0.0)
                    current[t, 2] = change
                elif plugged and now < target:
                    waits = late and not (from_hour <= hour < 8)
                    early = export > 0.0 and 16 <= hour < 18
                    if not waits and not early:
                        change = min(per_hour, target - now)
                        current[t, 1] = change
            now += change
    soc[n_days * 24] = now


def air_c(climate: str, seed: int) -> FloatArray:
    """Hourly air temperature of 364 days from the first of January, shape (8736,). [°C]"""
    mean, season, day = CLIMATES[climate]
    t = np.arange(DAYS * 24)
    rng = generator(seed, "trial air", climate)
    weather = np.convolve(rng.normal(0.0, 2.5, DAYS + 8), np.ones(5) / np.sqrt(5.0), "valid")
    slow = np.interp(t / 24.0, np.arange(weather.size), weather)
    wave = -season * np.cos(2 * np.pi * (t / 24.0 - 15.0) / DAYS)
    return mean + wave + day * np.cos(2 * np.pi * (t % 24 - 15) / 24.0) + slow


def duties(habit: Habit, index: int, seed: int, pack: Pack, air: FloatArray) -> tuple[Duty, Duty]:
    """A car's year without export and with it: the same trips, the same evenings at the plug."""
    rng = generator(seed, "trips", str(index))
    weekday = np.arange(DAYS) % 7 < 5
    home = np.where(weekday, rng.random(DAYS) < habit.home_share, rng.random(DAYS) < 0.6)
    drive = habit.drive_frac * rng.lognormal(-0.045, 0.3, DAYS)
    plug = rng.random(DAYS) < habit.plug_share
    shade = float(rng.normal(0.0, 1.0))
    out = []
    for export in (0.0, habit.export_frac):
        soc, change = np.empty(DAYS * 24 + 1), np.zeros((DAYS * 24, len(Use)))
        _live(
            soc, change, drive, habit.late, habit.target_frac, export, habit.floor_frac, home, plug, 2, CHARGE_PER_HOUR
        )
        width = pack.window_high_frac - pack.window_low_frac
        warm = np.convolve(air, np.ones(12) / 12.0, "same") + shade + 40.0 * np.abs(change).sum(axis=1) * width
        out.append(
            Duty(
                _START,
                60,
                pack.cell_soc(soc),
                warm,
                change * width * pack.capacity_ah,
                pack.capacity_ah,
                np.full(DAYS * 24, 2, np.uint8),
            )
        )
    return out[0], out[1]
