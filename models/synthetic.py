"""A simulated fleet whose truth is not a law that is fitted: cars, their logs with real defects, what really happened.

`fleet_of` plans cars and surroundings, `simulate` lets one car live and writes its log; `small_fleet` does both quickly
for tests, without PyBaMM. Everything follows from the seed; a car does not depend on how many others there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

import numpy as np

from models.domain import DAYS_PER_YEAR, FloatArray, IntArray, Pack, Vehicle
from models.packs import pack_of, vehicle_defaults
from models.parameters import entry
from models.policies import charger, tariff
from models.seeds import generator
from models.synthetic_car import Nature, Run, Surroundings, live
from models.synthetic_habits import Car, Days, plan_car, plan_days
from models.synthetic_logs import CarLog, Sensors, log_of
from models.synthetic_truth import (
    Archetype,
    ArchetypeSpec,
    VehicleTruth,
    archetype_specs,
    export_per_day_frac,
    formula_archetype,
)
from models.synthetic_world import HOURS_PER_DAY, air_temperature, day_ahead_price, house_series, utc_hours

SERIES_DAYS = 366
FIRST_GUESS_FRAC = 0.95


@dataclass(frozen=True, eq=False)
class Fleet:
    """Cars and what surrounds them; series are hourly from ``first_day`` to the day before ``end_day``, shape (n,)."""

    seed: int
    cars: tuple[Car, ...]
    first_day: date
    end_day: date
    hours: IntArray
    air_c: dict[str, FloatArray]
    house_kwh: dict[str, tuple[FloatArray, FloatArray]]
    price_money_per_kwh: dict[str, FloatArray]


@dataclass(frozen=True, eq=False)
class SimulatedCar:
    """A car's log and what only the simulation knows."""

    car: Car
    pack: Pack
    log: CarLog
    run: Run
    truth: VehicleTruth
    nature: Nature
    sensors: Sensors
    odometer_km: float
    facts: dict[str, float] = field(default_factory=dict)


def fleet_of(vehicles: int, days: int, seed: int) -> Fleet:
    """Plan a fleet: cars, air, houses, prices.

    Parameters
    ----------
    vehicles, days
        How many cars, and days of logs (fewer for cars that went into service later). [1], [d]

    Raises
    ------
    ValueError
        Fewer than one vehicle or day.
    """
    if vehicles < 1 or days < 1:
        raise ValueError(f"A simulated fleet needs at least one vehicle and one day, got {vehicles} and {days}.")
    cars = tuple(plan_car(k, days, seed) for k in range(vehicles))
    end = cars[0].end_day
    first = min(end - timedelta(days=SERIES_DAYS), *(c.first_day for c in cars))
    hours = utc_hours(first, end)
    air = {name: air_temperature(name, hours, seed) for name in sorted({c.climate for c in cars})}
    houses = {c.house.name: c.house for c in cars}
    energy = {name: house_series(houses[name], hours, air[houses[name].climate], seed) for name in sorted(houses)}
    price = {name: day_ahead_price(name, hours, seed) for name in sorted({c.house.market for c in cars})}
    return Fleet(seed, cars, first, end, hours, air, energy, price)


def specs_of(fleet: Fleet) -> tuple[ArchetypeSpec, ...]:
    """Archetypes that the fleet's cars follow, with and without export."""
    e = entry("synthetic", "fleet")
    years = int(np.ceil(e.number("age_high_years") + e.number("horizon_years")))
    return archetype_specs({(c.cell_id, c.climate) for c in fleet.cars}, years)


def pack_of_car(car: Car) -> Pack:
    """The battery of a car's type when new."""
    d = vehicle_defaults(car.vehicle_type)
    kwh = {name: d[name] for name in ("gross_kwh", "usable_kwh", "certified_kwh")}
    vehicle = Vehicle(
        vehicle_id=car.name,
        vehicle_type=car.vehicle_type,
        cell_id=car.cell_id,
        production_month=car.in_service_date,
        in_service_date=car.in_service_date,
        market=car.house.market,
        contract_id=car.contract_id,
        consumption_wh_per_km=d["consumption_wh_per_km"],
        certified_worst_wh_per_km=d["certified_worst_wh_per_km"],
        home_id=car.name,
        bms_version=car.bms_version,
        list_price_money=d["list_price_money"],
        currency=d["currency"],
        cohort_id=f"{car.cell_id}.{car.climate}",
        **kwh,
    )
    return pack_of(vehicle)


def _around(fleet: Fleet, car: Car) -> Surroundings:
    a = (car.first_day - fleet.first_day).days * HOURS_PER_DAY
    part = slice(a, a + car.days * HOURS_PER_DAY)
    load, pv = fleet.house_kwh[car.house.name]
    rng = generator(fleet.seed, "outage", str(car.index))
    outage = np.zeros(car.days * HOURS_PER_DAY)
    region = entry("outages", car.outage_region)
    minutes = region.number("saidi_minutes") / region.number("saifi")
    for _ in range(rng.poisson(region.number("saifi") * car.days / DAYS_PER_YEAR)):
        begin = int(rng.integers(outage.size))
        outage[begin : begin + max(1, round(rng.exponential(minutes / 60.0)))] = 1.0
    price = fleet.price_money_per_kwh[car.house.market][part]
    return Surroundings(fleet.air_c[car.climate][part], load[part], pv[part], price, outage)


def _draws(car: Car, seed: int) -> tuple[Nature, Sensors, dict[str, float]]:
    rng = generator(seed, "nature", str(car.index))
    s = entry("synthetic", "scatter")
    cell_sigma = s.number("cell_sigma")
    cells = rng.lognormal(-0.5 * cell_sigma**2, cell_sigma, int(s.number("cells")))
    nature = Nature(
        ocv_error_v=float(rng.normal(0.0, s.number("ocv_sigma_v"))),
        ocv_tilt_v=float(rng.normal(0.0, s.number("ocv_sigma_v"))),
        bms_capacity_factor=float(rng.normal(s.number("bms_capacity_mean"), s.number("bms_capacity_sigma"))),
        bms_bias_frac=float(rng.normal(0.0, s.number("bms_bias_sigma"))),
        resistance_growth=s.number("resistance_growth"),
    )
    sensors = Sensors(
        current_gain=float(rng.normal(0.0, s.number("current_gain_sigma"))),
        current_offset_a=float(rng.normal(0.0, s.number("current_offset_a"))),
        voltage_noise_v=s.number("voltage_noise_v"),
    )
    sigma = s.number("rate_sigma")
    # A few cars of a weak batch fade far faster than their cohort: no law and no prior knows of them.
    weak = generator(seed, "weak batch", str(car.index)).random() < s.number("weak_batch_share")
    batch = s.number("weak_batch_rate") if weak else 1.0
    return nature, sensors, {
        "rate": batch * float(rng.lognormal(-0.5 * sigma**2, sigma)),
        "weakest": float(cells.max()),
        "capacity_scale": float(rng.normal(s.number("capacity_mean"), s.number("capacity_sigma"))),
    }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Trial:
    """What a first life with a guessed capacity tells: export, mean displayed SOC, distance; its days are kept."""

    days: Days
    export_kwh_per_day: float
    mean_soc_frac: float
    km_per_day: float


def _live(fleet: Fleet, car: Car, days: Days, soh: FloatArray, odometer_km: float) -> tuple[Pack, Nature, Run]:
    pack, (nature, _, _) = pack_of_car(car), _draws(car, fleet.seed)
    plug, price = charger(car.charger_id), tariff(car.tariff_id)
    return pack, nature, live(car, days, _around(fleet, car), soh, pack, plug, price, nature, odometer_km, fleet.seed)


def try_car(fleet: Fleet, index: int) -> Trial:
    """Let one car live with a guessed capacity; needs no archetype."""
    car = fleet.cars[index]
    days = plan_days(car, fleet.seed)
    _, _, run = _live(fleet, car, days, np.full(car.days, FIRST_GUESS_FRAC), 0.0)
    km_per_day = float(run.odometer_km[-1] - run.odometer_km[0]) / car.days
    return Trial(days, run.export_kwh / car.days, float(np.mean(run.displayed_frac)), km_per_day)


def simulate_fade(fleet: Fleet, index: int, soh_frac: FloatArray) -> tuple[Run, Nature, Sensors]:
    """Let one car live with a capacity given day by day, shape (days,): for tests of what logs tell. [1]"""
    car = fleet.cars[index]
    _, nature, run = _live(fleet, car, plan_days(car, fleet.seed), soh_frac, 0.0)
    return run, nature, _draws(car, fleet.seed)[1]


def simulate(
    fleet: Fleet, index: int, archetypes: Mapping[ArchetypeSpec, Archetype], trial: Trial | None = None
) -> SimulatedCar:
    """Let one car of a fleet live with its true capacity, and write its log.

    Parameters
    ----------
    archetypes
        Those of `specs_of`.
    trial
        Of `try_car`, where it is at hand.

    Raises
    ------
    ValueError
        The archetypes lack the car's cell and climate.
    """
    car = fleet.cars[index]
    life = {s.export: a for s, a in archetypes.items() if (s.cell_id, s.climate) == (car.cell_id, car.climate)}
    if set(life) != {True, False}:
        raise ValueError(f"There is no archetype for {car.cell_id} in the {car.climate} climate.")
    trial = trial or try_car(fleet, index)
    _, sensors, drawn = _draws(car, fleet.seed)
    park = 1.0 + entry("synthetic", "scatter").number("park_full_effect") * (trial.mean_soc_frac - 0.65)
    truth = VehicleTruth(
        rate=drawn["rate"] * park,
        share=trial.export_kwh_per_day / pack_of_car(car).gross_kwh / export_per_day_frac(),
        weakest=drawn["weakest"],
        capacity_scale=drawn["capacity_scale"],
        quiet=life[False],
        exporting=life[True],
    )
    ages = np.array([car.age_years(car.first_day + timedelta(days=k)) for k in range(car.days)])
    odometer_km = round(trial.km_per_day * ages[0] * DAYS_PER_YEAR * 0.97, 1)
    pack, nature, run = _live(fleet, car, trial.days, truth.soh(ages), odometer_km)
    facts = {
        "export_kwh_per_year": run.export_kwh / car.days * DAYS_PER_YEAR,
        "km_per_year": trial.km_per_day * DAYS_PER_YEAR,
        "mean_soc_frac": trial.mean_soc_frac,
    }
    return SimulatedCar(
        car, pack, log_of(car, run, sensors, fleet.seed), run, truth, nature, sensors, odometer_km, facts
    )


def truth_record(sim: SimulatedCar) -> dict[str, object]:
    """What really happens to a car, for the truth file: fractions of nominal capacity; costs in percentage points."""
    car, truth = sim.car, sim.truth
    now, first = car.age_years(car.end_day), car.age_years(car.first_day)
    years = np.arange(1, int(entry("synthetic", "fleet").number("horizon_years")) + 1)
    later = (now + years).astype(np.float64)
    driven, stop = truth.soh(later), truth.soh_without_further_export(later, now)
    return {
        "vehicle": car.name,
        "cohort_id": f"{car.cell_id}.{car.climate}",
        "vehicle_type": car.vehicle_type,
        "rule": car.rule,
        "charging": car.charging,
        "age_years": round(now, 4),
        "soh_frac": _round(truth.soh(now)),
        "soh_never_exported_frac": _round(truth.soh(now, 0.0)),
        "export_cost_pp": _round(100 * (truth.soh(now, 0.0) - truth.soh(now))),
        "logged_export_cost_pp": _round(100 * (truth.export_cost_frac(now) - truth.export_cost_frac(first))),
        "years": years.tolist(),
        "soh_as_driven_frac": _round(driven),
        "soh_no_further_export_frac": _round(stop),
        "further_cost_pp": _round(100 * (stop - driven)),
        "rate": _round(truth.rate),
        "share": _round(truth.share),
        "weakest": _round(truth.weakest),
        "capacity_scale": _round(truth.capacity_scale),
        "bms_capacity_factor": _round(sim.nature.bms_capacity_factor),
        "bms_bias_frac": _round(sim.nature.bms_bias_frac),
        **{name: _round(value) for name, value in sim.facts.items()},
        "defects": sim.log.defects,
    }


def _round(value: FloatArray | float) -> float | list[float]:
    rounded = np.round(np.asarray(value, dtype=float), 6)
    return float(rounded) if rounded.ndim == 0 else [float(v) for v in rounded]


def small_fleet(seed: int, vehicles: int = 3, days: int = 45) -> list[SimulatedCar]:
    """A few cars for tests, in a second: truth by a formula (`formula_archetype`), neither PyBaMM nor a fitted law."""
    fleet = fleet_of(vehicles, days, seed)
    archetypes = {spec: formula_archetype(spec) for spec in specs_of(fleet)}
    return [simulate(fleet, k, archetypes) for k in range(vehicles)]


def without_defects(sim: SimulatedCar, seed: int) -> SimulatedCar:
    """The same car with a log in which nothing went wrong (for tests)."""
    from models.synthetic_logs import clean_samples, stamped

    clean = stamped(clean_samples(sim.car, sim.run, sim.sensors, seed), ["time_us"])
    return replace(sim, log=CarLog(clean, sim.log.sessions, {}))
