"""Who drives the simulated cars, and when: cars with their habits, and their days as intervals of five minutes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from models.domain import FloatArray
from models.packs import vehicle_defaults
from models.parameters import entry
from models.seeds import generator
from models.synthetic_world import House, utc_offset_hours

STEP_MINUTES = 5
STEPS_PER_HOUR = 60 // STEP_MINUTES
STEPS_PER_DAY = 24 * STEPS_PER_HOUR
HOME, DRIVE, AWAY = 0, 1, 2
RUN_DOWN_EVERY_DAYS, RUN_DOWN_DAYS = 28, 9
RULES = ("none", "evening_peak", "solar", "arbitrage", "backup")
# Which rule and which type the n-th car has: exporters and others in every climate.
_RULE_OF = (
    *("arbitrage", "none", "evening_peak", "solar", "none"),
    *("evening_peak", "backup", "evening_peak", "none", "solar"),
)
_TYPE_OF = (
    ("demo_nmc_60", "mild"),
    ("demo_lfp_60", "mild"),
    ("demo_nmc_60", "cold"),
    ("demo_nmc_77", "hot"),
    ("demo_nmc_77", "mild"),
    ("demo_lfp_60", "mild"),
    ("demo_nmc_77", "cold"),
    ("demo_nmc_60", "hot"),
)
_LIVES = ("commuter", "commuter", "home", "commuter", "shift", "commuter", "home", "commuter", "commuter", "home")


@dataclass(frozen=True)
class Car:
    """One simulated car and the habits of its people.

    Parameters
    ----------
    name
        Name in the logs (a user id, hashed at the door).
    rule, charging
        When it exports (`RULES`); ``immediate``, ``smart``, ``solar`` or ``arbitrage``.
    in_service_date, first_day, end_day
        In service; first day of its log and first day after it.
    target_frac, floor_frac, plug_below_frac, urgent_frac
        Displayed SOC where charging stops, export stops, below which it is always plugged in, and always charged. [1]
    plug_share, full_share
        Share of arrivals at home that end plugged in; share of plug-ins that charge to full. [1]
    commute_km, export_limit_kw
        One way; most it exports at the meter. [km], [kW]
    """

    index: int
    name: str
    vehicle_type: str
    cell_id: str
    climate: str
    house: House
    tariff_id: str
    charger_id: str
    outage_region: str
    rule: str
    charging: str
    life: str
    in_service_date: date
    first_day: date
    end_day: date
    target_frac: float
    floor_frac: float
    plug_below_frac: float
    urgent_frac: float
    plug_share: float
    full_share: float
    commute_km: float
    consumption_wh_per_km: float
    export_limit_kw: float
    bms_version: str
    contract_id: str

    @property
    def exports(self) -> bool:
        """Whether it exports day by day."""
        return self.rule not in ("none", "backup")

    @property
    def days(self) -> int:
        """Days of its log."""
        return (self.end_day - self.first_day).days

    def age_years(self, day: date) -> float:
        """Years in service on a day. [a]"""
        return (day - self.in_service_date).days / 365.25


def plan_house(climate: str, market: str, variant: int, seed: int) -> House:
    """One of three houses of a market: without photovoltaics, with a small plant, with a large one."""
    name = f"house_{market.lower()}_{variant + 1}"
    rng = generator(seed, "plan", name)
    load = float(round(rng.uniform(4500.0, 8500.0) * (1.2 if climate == "cold" else 1.0), -1))
    kwp = (0.0, 5.5, 9.0)[variant]
    return House(name, climate, market, entry("synthetic", f"market_{market}").text("time_zone"), load, kwp)


def plan_car(index: int, days: int, seed: int) -> Car:
    """The n-th car of a fleet; it does not depend on how many there are."""
    rng = generator(seed, "car", str(index))
    fleet = entry("synthetic", "fleet")
    vehicle_type, climate = _TYPE_OF[index % len(_TYPE_OF)]
    markets = entry("synthetic", f"climate_{climate}")["markets"].value
    market_id = markets[(index // 2) % len(markets)]
    market = entry("synthetic", f"market_{market_id}")
    rule = _RULE_OF[(index + 7 * (index // 8) + 7 * (index // 4)) % len(_RULE_OF)]
    exports = rule not in ("none", "backup")
    lfp = "lfp" in vehicle_type
    charging = {"evening_peak": "smart", "solar": "solar", "arbitrage": "arbitrage", "backup": "smart"}.get(
        rule, ("immediate", "smart")[index // 2 % 2]
    )
    end = date.fromisoformat(fleet.text("log_end_day"))
    age = float(rng.uniform(fleet.number("age_low_years"), fleet.number("age_high_years")))
    in_service = end - timedelta(days=round(age * 365.25))
    defaults = vehicle_defaults(vehicle_type)
    commute_km = float(rng.uniform(8.0, 38.0))
    need = 2 * commute_km * defaults["consumption_wh_per_km"] / 1000.0 / defaults["usable_kwh"]
    variant = index // len(_TYPE_OF) % 3
    house = plan_house(climate, market_id, 1 + variant % 2 if rule == "solar" else variant, seed)
    return Car(
        index=index,
        name=f"car-{index + 1:04d}",
        vehicle_type=vehicle_type,
        cell_id=defaults["cell_id"],
        climate=climate,
        house=house,
        tariff_id=market.text("tariff_id"),
        charger_id=("v2h_10kw", "v2h_7kw", "v2h_11kw")[index % 3] if rule != "none" else "ac_wallbox_7kw",
        outage_region=market.text("outage_region"),
        rule=rule,
        charging=charging,
        life=_LIVES[int(rng.integers(len(_LIVES)))],
        in_service_date=in_service,
        first_day=max(end - timedelta(days=days), in_service),
        end_day=end,
        target_frac=float(rng.choice([0.85, 0.9] if exports else [0.8, 0.8, 0.9])),
        floor_frac=max(float(rng.choice([0.1, 0.15])), need + 0.04) if lfp else float(rng.choice([0.25, 0.3, 0.4])),
        plug_below_frac=float(np.clip(1.3 * need + 0.05, 0.1, 0.3) if lfp else rng.uniform(0.3, 0.5)),
        urgent_frac=(1.2 * need + 0.03 if charging in ("solar", "arbitrage") else 0.08) if lfp else 0.22,
        plug_share=float(rng.uniform(0.88, 0.98)) if rule != "none" else float(rng.uniform(0.15, 0.6)),
        full_share=float(rng.uniform(0.15, 0.3)) if lfp else float(rng.uniform(0.02, 0.08)),
        commute_km=commute_km,
        consumption_wh_per_km=float(defaults["consumption_wh_per_km"] * rng.normal(1.0, 0.06)),
        export_limit_kw=float(rng.choice([3.0, 5.0, 7.0])),
        bms_version=("bms-2.1", "bms-2.3")[index // 4 % 2] if not lfp else "bms-lfp-1.4",
        contract_id="common_oem_70_virtual_km" if index % 5 == 4 else "common_oem_70",
    )


@dataclass(frozen=True, eq=False)
class Days:
    """A car's days in intervals of five minutes, shape (n,) each.

    Parameters
    ----------
    mode
        `HOME`, `DRIVE` or `AWAY`.
    drive_kw, km
        Asked of the battery before heating; distance. [kW], [km]
    away_charge_kw
        What a charger away from home offers. [kW]
    boost
        Before a long trip: charge to full.
    local_hour
        Local clock hour, 0 to 23.
    plug_draw, full_draw
        Uniform draws that decide at each arrival.
    """

    mode: NDArray[np.uint8]
    drive_kw: FloatArray
    km: FloatArray
    away_charge_kw: FloatArray
    boost: NDArray[np.bool_]
    local_hour: NDArray[np.int64]
    plug_draw: FloatArray
    full_draw: FloatArray


class _Planner:
    """Writes trips into the intervals of one car."""

    def __init__(self, car: Car, seed: int) -> None:
        self.car, self.rng = car, generator(seed, "days", str(car.index))
        n = car.days * STEPS_PER_DAY
        self.mode = np.zeros(n, dtype=np.uint8)
        self.drive_kw, self.km, self.away_kw = np.zeros(n), np.zeros(n), np.zeros(n)
        self.boost = np.zeros(n, dtype=bool)

    def leg(self, at: int, km: float, speed_km_per_h: float) -> int:
        """One drive from an interval on; returns the interval after it (or -1 where it does not fit)."""
        steps = max(3, round(km / speed_km_per_h * STEPS_PER_HOUR))
        if at < 1 or at + steps + 2 > self.mode.size or self.mode[at - 1 : at + steps + 1].any():
            return -1
        energy_kwh = km * self.car.consumption_wh_per_km / 1000.0 * (0.85 + 0.0022 * speed_km_per_h)
        # Current is zero at both ends of a drive: the steps - 1 points between carry its energy.
        power = energy_kwh * STEPS_PER_HOUR / (steps - 1)
        self.mode[at : at + steps] = DRIVE
        self.drive_kw[at : at + steps] = power * self.rng.lognormal(-0.045, 0.3, steps)
        self.km[at : at + steps] = km / steps
        return at + steps

    def trip(self, at: int, km: float, speed_km_per_h: float, stay_hours: float, away_kw: float = 0.0) -> None:
        """Out, stay, back; nothing where it does not fit."""
        steps = max(3, round(km / speed_km_per_h * STEPS_PER_HOUR))
        stay = max(4, round(stay_hours * STEPS_PER_HOUR))
        if at < 1 or at + 2 * steps + stay + 2 > self.mode.size or self.mode[at - 1 : at + 2 * steps + stay + 2].any():
            return
        there = self.leg(at, km, speed_km_per_h)
        back = there + stay
        self.leg(back, km, speed_km_per_h)
        self.mode[there:back] = AWAY
        self.away_kw[there + 1 : back - 1] = away_kw

    def day(self, midnight: int, weekday: int) -> None:
        """Trips of one local day."""
        rng, car = self.rng, self.car

        def clock(hour: float) -> int:
            return midnight + round(hour * STEPS_PER_HOUR)

        if weekday < 5 and car.life == "commuter" and rng.random() < 0.88:
            self.trip(clock(rng.normal(7.5, 0.4)), car.commute_km * rng.uniform(0.97, 1.1), 42.0, rng.normal(8.9, 0.5))
        elif weekday < 5 and car.life == "shift" and rng.random() < 0.85:
            self.trip(clock(rng.normal(13.2, 0.2)), car.commute_km, 42.0, rng.normal(8.2, 0.2))
        elif weekday < 5 and rng.random() < 0.55:
            self.trip(clock(rng.uniform(9, 14)), rng.lognormal(2.3, 0.6), 35.0, rng.uniform(0.6, 3.0))
        if weekday >= 5 and rng.random() < 0.05:
            start = clock(rng.uniform(8, 10))
            self.boost[max(start - 10 * STEPS_PER_HOUR, 0) : max(start, 0)] = True
            self.trip(start, rng.uniform(90, 150), 85.0, rng.uniform(3.0, 6.0), float(rng.choice([11.0, 22.0, 50.0])))
        elif weekday >= 5 and rng.random() < 0.7:
            km = min(rng.lognormal(2.8, 0.7), 60.0)
            self.trip(clock(rng.uniform(9.5, 14)), km, 48.0, rng.uniform(1.0, 4.0))
        if rng.random() < 0.22:
            self.trip(clock(rng.uniform(18.5, 20.0)), rng.uniform(3, 9), 30.0, rng.uniform(0.5, 1.5))


def plan_days(car: Car, seed: int) -> Days:
    """A car's log period, day by day in local time, with a holiday at home in it every year."""
    planner = _Planner(car, seed)
    offsets = utc_offset_hours(car.first_day, car.end_day, car.house.time_zone)
    holiday = planner.rng.uniform(0.1, 0.9) * 365.25
    for k in range(car.days):
        day = car.first_day + timedelta(days=k)
        if not holiday <= day.timetuple().tm_yday < holiday + 9:
            planner.day(k * STEPS_PER_DAY - round(offsets[k] * STEPS_PER_HOUR), day.weekday())
    n = planner.mode.size
    plug_draw, full_draw = planner.rng.random(n), planner.rng.random(n)
    if "lfp" in car.vehicle_type:
        # Makers of LFP cars ask for it: now and then run low, then charge to full.
        for begin in range(int(planner.rng.integers(3, 12)), car.days, RUN_DOWN_EVERY_DAYS):
            spell = slice(begin * STEPS_PER_DAY, (begin + RUN_DOWN_DAYS) * STEPS_PER_DAY)
            plug_draw[spell], full_draw[spell] = 2.0, 0.0
    hour = np.arange(n) // STEPS_PER_HOUR + np.repeat(offsets, STEPS_PER_DAY).astype(np.int64)
    return Days(
        planner.mode,
        planner.drive_kw,
        planner.km,
        planner.away_kw,
        planner.boost,
        hour % 24,
        plug_draw,
        full_draw,
    )
