"""Single passes over a life: what they pass over finds nothing, and what they compute is what whole columns gave."""

from __future__ import annotations

from types import ModuleType
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import defect_screen, defects, knots
from models.defects import clean
from models.knots import interp_known
from models.sessions import US_PER_HOUR, Samples, rules
from tests import history_sim

RULES = rules()
PACK = history_sim.nmc_pack()
DAYS = 4


def _life(**channels: np.ndarray) -> Samples:
    """Four days of a sample every five minutes: two drives and a charge a day, as a clean logger writes them."""
    n = DAYS * 288
    hour = np.arange(n) / 12 % 24
    drive, charge = (hour >= 8) & (hour < 9) | (hour >= 17) & (hour < 18), (hour >= 20) & (hour < 23)
    wiggle = np.arange(n) * 7919 % 101 / 100
    amps = np.where(drive, -30.0 + 10 * wiggle, np.where(charge, 16.0 + wiggle, 0.0))
    soc = 0.7 + np.concatenate(([0.0], np.cumsum(0.5 * (amps[1:] + amps[:-1]) / 12))) / 160.0
    ref = np.where(drive | charge, np.cumsum(np.diff((drive | charge).astype(int), prepend=0) == 1) - 1, -1)
    arrays = {name: np.full(n, np.nan) for name in Samples.CHANNELS}
    arrays |= {
        "voltage_v": 340.0 + 30 * soc + 0.1 * wiggle, "current_a": amps, "soc_frac": soc.round(3),
        "battery_temp_c": 20 + wiggle, "ambient_c": np.full(n, 12.0), "power_kw": np.where(charge, 6.5, 0.0),
        "odometer_km": 1000.0 + np.cumsum(np.where(drive, 3.0, 0.0)),
    }  # fmt: skip
    time_us = history_sim.START_US + (np.arange(n) * 300_000_000).astype(np.int64)
    state = np.where(drive, 0, np.where(charge, 1, 3)).astype(np.int8)
    return Samples(time_us, state, ref.astype(np.int64), tuple(f"s{k}" for k in range(ref.max() + 1)), **arrays)


def _spoilt(seed: int, kinds: int) -> Samples:
    """The same life with some defects of some kinds, some of them just within what a rule lets pass."""
    rng = np.random.default_rng(seed)
    clean_one = _life()
    own = {name: getattr(clean_one, name).copy() for name in Samples.ARRAYS}
    n = clean_one.size

    def stretch(longest: int) -> slice:
        a = int(rng.integers(0, n - 1))
        return slice(a, min(a + int(rng.integers(1, longest)), n))

    def registers() -> None:
        own["energy_in_register_kwh"] = 50.0 + np.cumsum(np.where(own["state"] == 1, 0.5, 0.0)).round(2)
        if rng.random() < 0.7:
            own["energy_in_register_kwh"][stretch(n)] *= rng.choice([0.0, 0.1, np.nan])

    def charger() -> None:
        own["charger"][stretch(60)] = True
        if rng.random() < 0.5:
            own["meter"][stretch(200)] = 1

    def hold() -> None:
        where = stretch(8)
        for name in ("voltage_v", "current_a", "soc_frac"):
            own[name][where] = own[name][where.start]

    def spike() -> None:
        at = int(rng.integers(1, n - 1))
        own["voltage_v"][at] *= rng.choice([0.8, 0.86, 1.16, 1.2])
        own["soc_frac"][at] += rng.choice([-0.12, 0.07, 0.09])

    def earlier() -> None:
        own["time_us"] = own["time_us"] - 300_000_000 * (rng.random(n) < 0.02)

    def later() -> None:
        own["time_us"] = own["time_us"] + np.where(own["ref"] == rng.integers(0, 12), US_PER_HOUR, 0)

    def hundredths() -> None:
        where = stretch(n)
        own["soc_frac"][where] /= rng.choice([30.0, 100.0])

    kinds_of = [
        earlier, later, hundredths, registers, charger, hold, spike,
        lambda: own["voltage_v"].__setitem__(stretch(3), rng.choice([0.0, 90.0, 360.0, 500.0, np.nan])),
        lambda: own["current_a"].__setitem__(stretch(40), rng.choice([-2e4, np.nan, -60.0, 3.0, 40.0])),
        lambda: own["soc_frac"].__setitem__(stretch(60), rng.choice([0.5, 0.62, 1.2, np.nan])),
        lambda: own["battery_temp_c"].__setitem__(stretch(3), rng.choice([95.0, -60.0])),
        lambda: own["odometer_km"].__setitem__(stretch(n), rng.choice([0.0, 900.0, 1003.0, np.nan])),
        lambda: own["current_a"].__setitem__(stretch(n), -own["current_a"][0]),
        lambda: own.__setitem__("current_a", np.where(np.arange(n) < rng.integers(0, n), -1, 1) * own["current_a"]),
        lambda: own.__setitem__("power_kw", own["power_kw"] * rng.choice([-1.0, 1.0])),
        lambda: own["soh_frac"].__setitem__(stretch(50), rng.choice([0.9, 0.2])),
    ]  # fmt: skip
    for k in rng.integers(0, len(kinds_of), kinds):
        kinds_of[k]()
    order = np.argsort(own["time_us"], kind="stable")
    return Samples(refs=clean_one.refs, **{name: array[order] for name, array in own.items()})


def test_nothing_is_suspected_of_a_clean_life():
    assert not defect_screen.screen(_life(), PACK, RULES).any()


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**31), kinds=st.integers(0, 4))
def test_a_rule_that_is_passed_over_finds_nothing(seed: int, kinds: int):
    samples = _spoilt(seed, kinds)
    got, found = clean(samples, PACK, RULES)
    with patch.object(defects, "screen", lambda *_: np.ones(defect_screen.RULES, dtype=bool)):
        all_asked, all_found = clean(samples, PACK, RULES)
    assert found == all_found
    for name in Samples.ARRAYS:
        assert np.array_equal(getattr(got, name), getattr(all_asked, name), equal_nan=name in Samples.CHANNELS), name


def test_the_spoilt_lives_have_every_defect():
    found = {f.rule for seed in range(400) for f in clean(_spoilt(seed, 3), PACK, RULES)[1]}
    assert found >= {
        "double_logged", "duplicate_time", "impossible_voltage_v", "impossible_current_a", "impossible_soc_frac",
        "impossible_battery_temp_c", "clock_one_hour", "jump_soc_frac", "jump_voltage_v", "stuck_record", "stuck_soc",
        "odometer_reset", "jump_odometer_km", "jump_soh_frac", "sign_conflict", "soc_scale",
        "power_sign_flipped", "two_meters",
    }  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(1, 60), k=st.integers(0, 30))
def test_values_between_known_samples_are_those_of_the_whole_column(seed: int, n: int, k: int):
    rng = np.random.default_rng(seed)
    time = np.sort(rng.integers(0, 200, n)) * 500_000
    value = np.where(rng.random(n) < rng.choice([0.1, 0.6, 1.0]), rng.normal(size=n), np.nan)
    value.flags.writeable = False
    at = np.sort(rng.integers(-10, 210, k)) * 500_000
    whole = interp_known(at, time, value)
    with patch.object(knots, "_COMPILED_FROM", 0):
        beside = interp_known(at, time, value)
    assert np.array_equal(whole, beside, equal_nan=True)


@pytest.mark.parametrize("name", ["soc_frac", "time_us"])
def test_samples_are_not_written_to(history_sim: ModuleType, name: str):
    with pytest.raises(ValueError, match="read-only"):
        getattr(_life(), name)[0] = 0
