"""Fleets whose truth is known, as the fit sees them, and what it made of them.

A world is a fleet's duty (`models.truth_duty`), shared by all generators of truth (`models.truths`) with the same seed.
A trial is a world under one generator with one way of choosing exporters: two years of readings, forecasts with and
without export, and the truth of both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.domain import DAYS_PER_MONTH, FloatArray, History, Pack, Readings
from models.ensemble import worlds
from models.evidence import FleetFit, fit_fleet
from models.exposure import LEVELS, year_exposures
from models.forecast import difference_quantiles, level_quantiles, project_vehicle
from models.laws.base import Law
from models.laws.registry import laws_for
from models.seeds import generator
from models.truth_duty import CELL_ID, CLIMATES, Habit, air_c, draw_habits, duties, trial_pack
from models.truths import MONTHS, Nature, draw_kinetics, draw_nature, pack_soh, stresses

LOGGED_MONTHS = 24
YEARS = (1, 3, 5, 10)
QUIET, EXPORT = "no_export", "export"


@dataclass(frozen=True, eq=False)
class World:
    """Duty of a fleet: exposures of every law and stresses of the truth, of a year without and with export.

    Parameters
    ----------
    exposures
        Law -> shape (vehicles, 2, 12, k).
    stress
        Shape (vehicles, 2, 12, s).
    features
        What a plain learner may know: mean cell SOC, mean temperature, full cycles a year, shape (vehicles, 2, 3).
    age_months
        Age at the end of the logs, shape (vehicles,). [month]
    """

    seed: int
    pack: Pack
    laws: tuple[Law, ...]
    nature: Nature
    exposures: dict[str, FloatArray]
    stress: FloatArray
    features: FloatArray
    age_months: np.ndarray

    @property
    def vehicles(self) -> int:
        """Number of cars."""
        return self.stress.shape[0]


def make_world(seed: int, vehicles: int, laws: tuple[Law, ...] | None = None) -> World:
    """Let a fleet live a year, without and with export."""
    pack = trial_pack()
    members = laws_for(CELL_ID) if laws is None else laws
    habits, nature = draw_habits(vehicles, seed, False), draw_nature(vehicles, seed)
    air = {c: air_c(c, seed) for c in CLIMATES}
    stress, features = [], np.empty((vehicles, 2, 3))
    exposures: dict[str, list[list[FloatArray]]] = {law.law_id: [] for law in members}
    for v, habit in enumerate(habits):
        both = duties(habit, v, seed, pack, air[habit.climate])
        stress.append([stresses(d, pack, float(nature.wrong_c[v])) for d in both])
        for e, d in enumerate(both):
            cycles = np.abs(np.diff(d.cell_soc_frac)).sum() / 2.0
            features[v, e] = d.cell_soc_frac.mean(), d.temp_c.mean(), cycles
        years = [year_exposures(d, pack, members) for d in both]
        for law in members:
            exposures[law.law_id].append([y[law.law_id] for y in years])
    age = LOGGED_MONTHS + generator(seed, "age").integers(0, 19, vehicles)
    arrays = {k: np.array(x) for k, x in exposures.items()}
    return World(seed, pack, members, nature, arrays, np.array(stress), features, age)


@dataclass(frozen=True, eq=False)
class Trial:
    """One fleet: what the fit may know (habits, histories) and the truth.

    Parameters
    ----------
    soh_frac
        True capacity at the end of each month of the life so far, a list of shape (months,) arrays. [1]
    ahead_frac
        True capacity `YEARS` ahead without and with export, shape (vehicles, 2, years). [1]
    """

    world: World
    generator_id: str
    confounded: bool
    habits: tuple[Habit, ...]
    histories: dict[str, History]
    soh_frac: tuple[FloatArray, ...]
    ahead_frac: FloatArray

    @property
    def exporter(self) -> np.ndarray:
        """Which cars export, shape (vehicles,)."""
        return np.array([h.exporter for h in self.habits])

    @property
    def as_driven_frac(self) -> FloatArray:
        """Truth when every car goes on as before, shape (vehicles, years). [1]"""
        return np.where(self.exporter[:, None], self.ahead_frac[:, 1], self.ahead_frac[:, 0])

    @property
    def extra_fade_pp(self) -> FloatArray:
        """Truth of the difference: capacity without less capacity with export from now on. [pp]"""
        return 100.0 * (self.ahead_frac[:, 0] - self.ahead_frac[:, 1])


def calendar(age_months: int, months: int) -> np.ndarray:
    """Calendar month (0 = January) of each month of a life that ends with December at ``age_months``."""
    return (np.arange(months) - age_months) % MONTHS


def make_trial(world: World, generator_id: str, confounded: bool, name: str = "") -> Trial:
    """Let a world's cars fade by a generator, and read their capacity."""
    n, far = world.vehicles, MONTHS * YEARS[-1]
    habits = draw_habits(n, world.seed, confounded)
    kinetics = draw_kinetics(generator_id, world.seed)
    rng = generator(world.seed, "readings", generator_id, str(confounded))
    end = int(world.age_months.max())
    # One array for all: months before a car was built carry no stress.
    monthly = np.zeros((2, n, end + far, world.stress.shape[3]))
    for v, habit in enumerate(habits):
        age = int(world.age_months[v])
        month = calendar(age, age + far)
        for e in (0, 1):
            use = np.full(age + far, e)
            use[:age] = int(habit.exporter)
            monthly[e, v, end - age :] = world.stress[v, use, month]
    soh = np.array([pack_soh(kinetics, world.nature, monthly[e]) for e in (0, 1)])
    ahead = np.stack([soh[:, :, end + MONTHS * y - 1] for y in YEARS], axis=2).transpose(1, 0, 2)
    histories, past = {}, []
    for v, habit in enumerate(habits):
        age = int(world.age_months[v])
        past.append(soh[0, v, end - age : end])
        readings = read(world.nature, v, past[-1], rng)
        e = int(habit.exporter)
        month = calendar(age, age)
        exposures = {k: np.ascontiguousarray(x[v, e][month]) for k, x in world.exposures.items()}
        vehicle_id = f"{name}{v:04d}"
        histories[vehicle_id] = History(
            vehicle_id,
            f"{name}{habit.climate}",
            np.full(age, DAYS_PER_MONTH),
            exposures,
            readings,
            1.0 - LOGGED_MONTHS / age,
        )
    return Trial(world, generator_id, confounded, tuple(habits), histories, tuple(past), ahead)


def read(nature: Nature, v: int, soh_frac: FloatArray, rng: np.random.Generator, stated: float = 0.011) -> Readings:
    """Monthly readings of the last two years, or the BMS's own values; a sixth of the months has none."""
    n = soh_frac.shape[0]
    month = np.arange(n - LOGGED_MONTHS, n)
    noise = rng.normal(0.0, 0.010, LOGGED_MONTHS)
    keep = rng.random(LOGGED_MONTHS) > 1.0 / 6.0
    true = soh_frac[month]
    if nature.bms_only[v]:
        shown = np.minimum(true + nature.bms_buffer_frac[v], np.maximum(true, 1.0)) + nature.bms_offset_frac[v]
        values = shown + 0.3 * noise
    else:
        values = true * (1.0 + nature.gain[v]) + noise
    days = (month + 1.0) * DAYS_PER_MONTH
    m = int(keep.sum())
    flags = np.full(m, bool(nature.bms_only[v]))
    return Readings(days[keep], values[keep], np.full(m, stated), np.zeros(m), flags)


@dataclass(frozen=True, eq=False)
class Forecasts:
    """What was forecast of a trial, shape (vehicles, years) each; intervals of 80 %.

    Parameters
    ----------
    median, low, high
        Capacity when every car goes on as before. [1]
    diff_pp, diff_low_pp, diff_high_pp
        Extra fade by export from now on. [pp]
    """

    median: FloatArray
    low: FloatArray
    high: FloatArray
    diff_pp: FloatArray
    diff_low_pp: FloatArray
    diff_high_pp: FloatArray


def forecast_trial(trial: Trial, draws: int, fleet: FleetFit | None = None) -> tuple[Forecasts, FleetFit]:
    """Fit a trial's readings and forecast every car, as a night does."""
    world, laws = trial.world, list(trial.world.laws)
    cohorts = sorted({h.cohort_id for h in trial.histories.values()})
    fit = fit_fleet(trial.histories, dict.fromkeys(cohorts, laws)) if fleet is None else fleet
    shape = (world.vehicles, len(YEARS))
    out = Forecasts(*(np.empty(shape) for _ in range(6)))
    months = [MONTHS * y for y in YEARS]
    for v, (vehicle_id, h) in enumerate(trial.histories.items()):
        drawn = worlds(fit.fits, h.cohort_id, vehicle_id, laws, draws, world.seed)
        years = {
            name: {k: np.repeat(x[v, e][None], len(LEVELS), axis=0) for k, x in world.exposures.items()}
            for e, name in enumerate((QUIET, EXPORT))
        }
        fan = project_vehicle(drawn, laws, h, years, YEARS[-1])
        driven = fan.of(EXPORT if trial.habits[v].exporter else QUIET)
        q = level_quantiles(driven, drawn.weight, months)
        out.low[v], out.median[v], out.high[v] = q[:, 0], q[:, 2], q[:, 4]
        d = difference_quantiles(fan, EXPORT, months, QUIET, drawn.difference_weight)
        out.diff_low_pp[v], out.diff_pp[v], out.diff_high_pp[v] = d.T
    return out, fit
