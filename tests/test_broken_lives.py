"""Logs broken in every way that passes the door: a life is made of them that no data check stops a fleet's night for.

Values stay within what the intake lets in. The conditions are those of ``warehouse/sql/checks`` on what a log becomes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from models.domain import FloatArray
from models.life import Life, life_of
from models.rested import CellCurve
from models.sessions import Samples, rules, session_ids

RULES = rules()
MINUTE_US = 60_000_000


def _broken(s: Samples, rng: np.random.Generator) -> Samples:
    """One to four stretches with other times, values, states, names, loggers, or without some."""
    for _ in range(rng.integers(1, 5)):
        n = s.size
        first = int(rng.integers(0, n - 2))
        last = min(n, first + int(rng.integers(2, 400)))
        part, length = slice(first, last), last - first
        values: dict[str, Callable[[FloatArray], FloatArray]] = {
            "soc_frac": lambda v: np.clip(v + rng.normal() * 0.4, 0.0, 1.0),
            "soc_frac ": lambda v: np.round(v * 100) / 10_000,
            "current_a": lambda v: np.clip(v * rng.choice([-1.0, 0.1, 10.0, 1000.0]), -2000.0, 2000.0),
            "voltage_v": lambda v: np.clip(v * rng.choice([0.01, 0.5, 2.0]), 1.0, 1500.0),
            "power_kw": lambda v: np.full(v.shape, rng.uniform(-500.0, 500.0)),
            "energy_in_register_kwh": lambda v: np.cumsum(rng.choice([0, 0.1, 5, -50, 1e6], v.shape)).clip(0, 1e9),
            "odometer_km": lambda v: 1000.0 + np.cumsum(rng.choice([0, 1, 500, -900, 1e5], v.shape)).clip(0, 2e6),
            "soh_frac": lambda v: rng.uniform(0.0, 1.1, v.shape),
            "battery_temp_c": lambda v: rng.uniform(-50.0, 90.0, v.shape),
            "voltage_v ": lambda v: np.full(v.shape, np.nan),
            "soc_frac  ": lambda v: np.full(v.shape, np.nan),
        }
        kind = int(rng.integers(0, len(values) + 6))
        if kind < len(values):
            name = list(values)[kind]
            value = getattr(s, name.strip()).copy()
            value[part] = values[name](value[part])
            s = replace(s, **{name.strip(): value})
        elif kind == len(values):
            time = s.time_us.copy()
            time[first:] += int(rng.integers(-5_000, 50_000)) * MINUTE_US
            s = replace(s, time_us=time).take(np.argsort(time, kind="stable"))
        elif kind == len(values) + 1:
            kept = np.ones(n, dtype=bool)
            kept[part] = False
            s = s.take(kept) if kept.sum() > 50 else s
        else:
            name, other = (
                ("state", rng.integers(-1, 4, length)), ("ref", rng.integers(0, 3)),
                ("charger", True), ("meter", rng.integers(0, 3)),
            )[kind - len(values) - 2]  # fmt: skip
            value = getattr(s, name).copy()
            value[part] = other
            s = replace(s, **{name: value}, refs=("A", "B", "C"))
    return s


def _stops_a_night(life: Life) -> list[str]:
    """What a data check would select."""
    said: list[str] = []
    for s in life.sessions:
        energies = (s.energy_in_battery_kwh, s.energy_out_battery_kwh, s.energy_in_meter_kwh, s.energy_out_meter_kwh)
        said += ["negative"] * bool(np.nanmin((*energies, s.distance_km)) < 0.0)
        said += ["ends before it begins"] * (s.end_us < s.start_us)
        said += ["charge"] * any(z < -1e-9 or z > 1 + 1e-9 for z in (s.soc_start_frac, s.soc_end_frac))
        if "drive_inferred" in s.flags and s.end_us > s.start_us + MINUTE_US:
            said += ["too fast"] * bool(np.nanmax((s.distance_km, s.energy_out_battery_kwh)) > 150.0 * s.hours)
    names = session_ids(life.sessions, "v")
    said += ["equal names"] * (len(set(names)) < len(names))
    said += ["reading"] * any(not 0.4 <= r.soh_frac <= 1.3 or not r.sigma_frac > 0.0 for r in life.readings)
    if life.steps is not None:
        said += ["amounts"] * bool((life.steps.ah < 0.0).any() or (life.steps.kwh < 0.0).any())
        said += ["cell charge"] * bool((np.abs(life.steps.cell_soc_frac - 0.5) > 0.55).any())
        said += ["not finite"] * (not np.isfinite(life.steps.ah).all() or not np.isfinite(life.steps.temp_c).all())
    return said


@pytest.mark.parametrize(
    ("first", "lives"), [(0, 60), pytest.param(1000, 600, marks=pytest.mark.slow)], ids=["quick", "long"]
)
def test_no_broken_log_becomes_a_life_that_a_data_check_refuses(
    history_sim: ModuleType, first: int, lives: int
) -> None:
    pack, curve = history_sim.nmc_pack(), CellCurve(True, 0.008)
    good = history_sim.simulate(pack, 150.0, seed=1, days=8, low=0.2, high=0.95)
    rules_met: set[str] = set()
    for seed in range(first, first + lives):
        log = _broken(good, np.random.default_rng(seed))
        life = life_of(log, [], pack, curve, RULES, lambda _, n: np.full(n, 10.0), 165.0)
        assert _stops_a_night(life) == [], seed
        rules_met |= {f.rule for f in life.findings}
    assert len(rules_met) >= 15
