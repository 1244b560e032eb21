"""Resistance from current steps finds a growth it was not told of; the growth law and its multiplier behave."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest

from models.life import prepare
from models.packs import pack_of
from models.resistance import current_steps, resistance_readings
from models.resistance_growth import (
    ResistanceHistory,
    growth_frac,
    growth_law,
    growth_quantiles,
    growth_sigma,
    log_multipliers,
    multiplier_weights,
)
from models.sessions import Runs, Samples, rules
from models.synthetic import fleet_of, pack_of_car, simulate_fade
from models.synthetic_logs import log_of
from pipelines.steps.history import samples_of

LOGS = Path(__file__).resolve().parents[2] / "shared" / "data" / "logs"


def test_growth_of_a_simulated_car_is_found() -> None:
    """A third more resistance in a year, logged every five minutes with noise, gaps and frozen values."""
    fleet = fleet_of(2, 366, 3)
    for index in range(2):
        car = fleet.cars[index]
        soh = np.linspace(1.0, 0.8, car.days)
        run, nature, sensors = simulate_fade(fleet, index, soh)
        pack = pack_of_car(car)
        frame = log_of(car, run, sensors, fleet.seed).samples.unique("time_utc", keep="first").sort("time_utc")
        frame = frame.rename({"session": "session_ref"}).with_columns(soc_frac=pl.col("soc_pct") / 100)
        missing = {c: pl.lit(None, pl.Float64) for c in Samples.CHANNELS if c not in frame.columns}
        frame = frame.with_columns(logger=pl.lit(None, pl.String), **missing)
        samples, runs, _ = prepare(samples_of(frame), pack, rules(None))
        found = resistance_readings(samples, runs, pack)
        assert len(found) >= 8
        days = np.array([(r.time_us - int(samples.time_us[0])) / 8.64e10 for r in found])
        ohm = np.array([r.resistance_ohm for r in found])
        sigma = np.array([r.sigma_ohm for r in found]) / ohm
        truth = pack.resistance_ohm * (
            1.0 + nature.resistance_growth * (1.0 - np.interp(days, np.arange(car.days), soh))
        )
        apart = np.log(ohm / truth)
        assert abs(apart.mean()) < 0.06  # five minutes hold some diffusion too
        assert apart.std() < 0.02
        assert np.sqrt(np.mean(((apart - apart.mean()) / sigma) ** 2)) < 1.6
        slope = np.polyfit(days, np.log(ohm) - np.log(truth), 1)[0] * 365.25
        assert abs(slope) < 0.05
        assert np.log(truth[-1] / truth[0]) > 0.15


def made(jump_a: float, ohm: float, temp_c: np.ndarray, soc: float = 0.5) -> tuple[Samples, Runs]:
    n = temp_c.shape[0]
    current = np.where(np.arange(n) % 2 == 0, 0.0, jump_a)
    factor = np.exp(2000.0 * (1 / (temp_c + 273.15) - 1 / 298.15))
    volt = 360.0 + ohm * factor * current
    whole = {"voltage_v": volt, "current_a": current, "soc_frac": np.full(n, soc), "battery_temp_c": temp_c}
    none = np.full(n, np.nan)
    channels = {name: whole.get(name, none) for name in Samples.CHANNELS}
    time = 1_600_041_600_000_000 + np.arange(n, dtype=np.int64) * 1_000_000
    state, ref = np.zeros(n, dtype=np.int8), np.full(n, -1, dtype=np.int64)
    samples = Samples(time, state, ref, (), **channels)
    base = prepare(samples, pack_of_car(fleet_of(1, 30, 1).cars[0]), rules(None))[1]
    return samples, Runs(*(getattr(base, f) for f in Runs.__dataclass_fields__))


def test_temperature_is_taken_out() -> None:
    pack = pack_of_car(fleet_of(1, 30, 1).cars[0])
    cold, warm = (resistance_readings(*made(-60.0, 0.08, np.full(400, t)), pack)[0] for t in (10.0, 35.0))
    mixed = resistance_readings(*made(-60.0, 0.08, np.repeat([10.0, 35.0], 300)), pack)[0]
    assert mixed.resistance_ohm == pytest.approx(0.08, rel=0.01)
    # One temperature alone leaves the prior's slope, and the error says so.
    for one in (cold, warm):
        assert abs(np.log(one.resistance_ohm / 0.08)) < 2.0 * one.sigma_ohm / one.resistance_ohm
        assert one.sigma_ohm > mixed.sigma_ohm


def test_small_steps_and_full_batteries_are_left_out() -> None:
    pack = pack_of_car(fleet_of(1, 30, 1).cars[0])
    assert resistance_readings(*made(-2.0, 0.08, np.full(400, 25.0)), pack) == []
    assert current_steps(*made(-60.0, 0.08, np.full(400, 25.0), soc=0.97), pack).time_us.size == 0
    assert resistance_readings(*made(-60.0, 0.08, np.full(400, np.nan)), pack) == []


def test_growth_law_golden() -> None:
    """Schmalstieg's resistance at 4.2 V and 50 degC: (5.270 x 4.2 - 16.32) 1e5 exp(-5986/323.15) t^0.75."""
    law, volt, soc = growth_law(), np.array([4.2]), np.ones(1)
    rate = law.calendar(np.array([323.15]), soc, volt)
    assert rate == pytest.approx((5.270 * 4.2 - 16.32) * 1e5 * np.exp(-5986.0 / 323.15), rel=1e-12)
    half = np.full(1, 0.8)
    wear = law.cycling(half, np.array([3.725]), half, np.array([308.15]), half)
    assert wear == pytest.approx(2 * 2.05 * (-1.521e-5 + 2.798e-4 * 0.8), rel=1e-12)
    assert law.exponents == (0.75, 1.0)


def test_growth_goes_on_from_the_life_so_far_with_the_exposures_of_the_policy() -> None:
    """Storage with exponent 0.75 and cycles with 1: by hand; a policy that asks more grows more."""
    law, past, years = growth_law(), np.array([0.012, 0.004, 365.25, 50.0]), np.array([0.0, 2.0, 5.0])
    hard, mild = past * np.array([1.0, 2.0, 1.0, 2.0]), past * np.array([0.5, 1.0, 1.0, 1.0])
    found = growth_frac(law, past, 3.0, hard, years)
    assert found == pytest.approx((0.012 * (3.0 + years)) ** 0.75 + 0.004 * 3.0 + 0.008 * years, rel=1e-12)
    assert found[0] == growth_frac(law, past, 3.0, mild, years)[0]
    assert np.all(found[1:] > growth_frac(law, past, 3.0, past, years)[1:])
    assert np.all(growth_frac(law, past, 3.0, mild, years)[1:] < growth_frac(law, past, 3.0, past, years)[1:])


@pytest.mark.parametrize("multiplier", [0.4, 1.0, 2.5])
def test_the_multiplier_is_learned_and_the_level_is_not_needed(multiplier: float) -> None:
    law, z = growth_law(), np.array([0.012, 0.004, 365.25, 50.0])
    years = np.linspace(0.5, 5.0, 40)
    g = growth_frac(law, z, 0.0, z, years)
    rng = np.random.default_rng(5)
    for level in (0.05, 0.2):
        ohm = level * (1.0 + multiplier * g) * np.exp(rng.normal(0.0, 0.005, years.size))
        w = multiplier_weights(ResistanceHistory(years, ohm, 0.005 * ohm), g, growth_sigma("nmc"))
        low, _, high = growth_quantiles(w, g[-1:])[0] / g[-1]
        assert low < multiplier < high
        assert high / low < 2.5
    prior = multiplier_weights(ResistanceHistory(years[:1], ohm[:1], ohm[:1]), g[:1], growth_sigma("nmc"))
    assert prior.sum() == pytest.approx(1.0)
    assert float(log_multipliers() @ prior) == pytest.approx(0.0, abs=1e-9)
    assert growth_sigma("lfp") > growth_sigma("nmc")
    assert np.all(np.diff(growth_frac(law, z, 5.0, z, years)) > 0)


@pytest.mark.data
def test_bmw_drives_repeat(made_years: ModuleType) -> None:
    """Drives of one car at 2 to 30 degC, 1 Hz: each drive's resistance at 25 degC is the same within a few percent."""
    log = LOGS / "bmw_i3_trips_1hz.parquet"
    if not log.is_file():
        pytest.skip("../shared/data is not there: the BMW i3's drives are not in the repository")
    frame = pl.read_parquet(log).sort("trip", "t_s")
    trip = frame["trip"].cast(pl.Categorical).to_physical().to_numpy().astype(np.int64)
    n = trip.size
    # A month a drive, so that each gets a reading of its own.
    month = (np.datetime64("2010-01", "M") + trip).astype("datetime64[us]").astype(np.int64)
    names = {"voltage_v": "u_V", "current_a": "i_A", "battery_temp_c": "t_batt_C"}
    none = np.full(n, np.nan)
    channels = {c: frame[names[c]].to_numpy().astype(float) if c in names else none for c in Samples.CHANNELS}
    channels["soc_frac"] = frame["soc_pct"].to_numpy().astype(float) / 100
    time = month + frame["t_s"].to_numpy().astype(np.int64) * 1_000_000
    samples = Samples(time, np.zeros(n, dtype=np.int8), trip, (), **channels)
    index = np.arange(n, dtype=np.int64)
    joined = np.diff(trip) == 0
    ends = np.array([0]), np.array([n - 1])
    runs = Runs(index, np.zeros(n, dtype=np.int64), np.zeros(1, dtype=np.int8), joined, *ends)
    found = resistance_readings(samples, runs, pack_of(made_years.vehicle("bmw_i3_60ah")))
    ohm = np.array([r.resistance_ohm for r in found])
    assert len(found) >= 25
    assert 0.03 < np.median(ohm) < 0.3
    assert np.std(np.log(ohm)) < 0.08
    assert len({round(r.step_s) for r in found}) == 1
