"""The lumped pack: exact for any step, follows the log where there is one, maps typical years."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.thermal import air_at_steps, cell_temperature, fill_temperature


def test_cooling_is_the_exponential_of_the_time_constant(history_sim: ModuleType) -> None:
    pack = history_sim.nmc_pack()
    tau_h = pack.heat_capacity_j_per_k / pack.cooling_w_per_k / 3600.0
    got = cell_temperature(np.full(10, 10.0), np.zeros(10), pack, 60, 30.0)
    k = np.arange(10)
    mean = 10.0 + 20.0 * tau_h * (np.exp(-k / tau_h) - np.exp(-(k + 1) / tau_h))
    assert got == pytest.approx(mean, abs=1e-10)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_four_quarter_hours_average_to_the_hour(history_sim: ModuleType, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pack = history_sim.nmc_pack()
    air, heat = rng.normal(10, 15, 48), rng.uniform(0, 3000, 48)
    hour = cell_temperature(air, heat, pack, 60, 20.0)
    quarter = cell_temperature(np.repeat(air, 4), np.repeat(heat, 4), pack, 15, 20.0)
    assert quarter.reshape(48, 4).mean(axis=1) == pytest.approx(hour, abs=1e-9)


def test_steady_heat_warms_by_its_power_over_the_cooling(history_sim: ModuleType) -> None:
    pack = history_sim.nmc_pack()
    got = cell_temperature(np.full(2000, 5.0), np.full(2000, 90.0), pack, 60, 5.0)
    assert got[-1] == pytest.approx(5.0 + 90.0 / pack.cooling_w_per_k, abs=1e-6)


def test_logged_temperatures_stay_and_the_model_goes_on_from_them(history_sim: ModuleType) -> None:
    pack = history_sim.nmc_pack()
    logged = np.array([np.nan, 25.0, np.nan, np.nan])
    got = fill_temperature(logged, np.full(4, 10.0), np.zeros(4), pack, 60, 12.0)
    assert got[1] == 25.0
    assert 10.0 < got[3] < got[2] < 25.0


def test_shapes_and_parameters_are_checked(history_sim: ModuleType) -> None:
    pack = history_sim.nmc_pack()
    with pytest.raises(ValueError, match="one shape"):
        cell_temperature(np.zeros(3), np.zeros(4), pack, 60, 0.0)


def test_typical_years_are_mapped_by_month_day_and_hour() -> None:
    start = np.datetime64("2001-01-01T00", "h").astype(np.int64)
    hours = (start + np.arange(8760)).astype(float)
    values = np.arange(8760, dtype=float)
    want = np.array(["2020-01-01T05", "2020-02-29T05", "2023-12-31T23"], dtype="datetime64[h]").astype(np.int64)
    got = air_at_steps(hours, values, want.astype(float), True, 99.0)
    assert got.tolist() == [5.0, 58 * 24 + 5.0, 8759.0]
    assert air_at_steps(hours, values, want.astype(float), False, 99.0).tolist() == [99.0] * 3
