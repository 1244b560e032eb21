"""A simulated car with known capacity, for tests of sessions, duty and readings. Its truth is a table of current."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from models.domain import FloatArray, Pack, Vehicle
from models.packs import pack_of
from models.sessions import STATES, US_PER_DAY, Samples

START_US = 1_600_041_600_000_000  # 2020-09-14 00:00 UTC


def vehicle(vehicle_type: str = "demo_nmc_60", cell_id: str = "nmc811_lgm50", usable_kwh: float = 58.0) -> Vehicle:
    """A registered car of a type."""
    return Vehicle(
        "v000000000001", vehicle_type, cell_id, 62.0, usable_kwh, usable_kwh, date(2020, 1, 1), date(2020, 1, 1), "DE",
        "common_8y_160000km", 165.0, 185.0, "h1", "1", 38000.0, "EUR", f"{cell_id}.mild",
    )  # fmt: skip


def nmc_pack() -> Pack:
    """Battery of the compact NMC car when new."""
    return pack_of(vehicle())


def lfp_pack() -> Pack:
    """Battery of the compact LFP car when new."""
    return pack_of(vehicle("demo_lfp_60", "lfp_prada2013", 60.0))


def table(rows: list[tuple[float, str, float]], **channels: FloatArray | float) -> Samples:
    """Samples from (hour, state, current); voltage 360 V, other channels as given or unknown."""
    n = len(rows)
    known = {"voltage_v": 360.0} | channels
    arrays = {
        name: np.broadcast_to(np.asarray(known.get(name, np.nan), dtype=float), n).copy() for name in Samples.CHANNELS
    }
    arrays["current_a"] = np.array([r[2] for r in rows], dtype=float)
    time_us = START_US + np.array([round(r[0] * 3.6e9) for r in rows], dtype=np.int64)
    state = np.array([STATES.get(r[1], -1) for r in rows], dtype=np.int8)
    return Samples(time_us, state, np.full(n, -1, dtype=np.int64), (), **arrays)


@dataclass(frozen=True)
class Errors:
    """Standard deviations of what a logger gets wrong: per-cell voltage noise, OCV curve, current gain and offset."""

    voltage_v: float = 0.002
    curve_v: float = 0.008
    gain_frac: float = 0.005
    offset_a: float = 0.05


NONE = Errors(0.0, 0.0, 0.0, 0.0)


def simulate(
    pack: Pack, capacity_ah: float, seed: int, days: int, low: float, high: float, errors: Errors = NONE
) -> Samples:
    """Days of rest, a drive, rest, export down to `low`, rest, charge up to `high`, rest; samples as logged."""
    rng = np.random.default_rng(seed)
    gain, offset = 1 + rng.normal() * errors.gain_frac, rng.normal() * errors.offset_a
    knots = np.linspace(-0.1, 1.1, 60)
    likeness = np.exp(-0.5 * ((knots[:, None] - knots[None, :]) / 0.15) ** 2)
    curve = np.linalg.cholesky(likeness + 1e-9 * np.eye(60)) @ rng.normal(size=60) * errors.curve_v
    times, currents, states, socs = [], [], [], []
    soc, clock = high, 5.0
    for day in range(days):
        base = 24.0 * day
        goal_low = max(low + rng.normal() * 0.03, 0.02)
        goal_high = min(high + rng.normal() * 0.02, 0.998)
        plan = (
            ("rest", base + 8.0, 0.0),
            ("drive", base + 8.0 + 2 / 3, np.nan),
            ("rest", base + 18.0, 0.0),
            ("export", goal_low, -30.0),
            ("rest", base + 24.0, 0.0),
            ("charge", goal_high, 45.0),
            ("rest", base + 29.0, 0.0),
        )
        for state, goal, amps in plan:
            end = clock + max((goal - soc) * capacity_ah / amps, 1 / 60) if state in ("export", "charge") else goal
            if end <= clock + 1e-3:
                continue
            step = {"drive": 30 / 3600, "rest": 1 / 3}.get(state, 1 / 12)
            t = np.append(np.arange(clock, end - 1e-4, step), end - 1e-6)
            i = rng.normal(-30.0, 25.0, t.shape[0]) if state == "drive" else np.full(t.shape[0], amps)
            if state == "drive":
                i[[0, -1]] = 0.0
            path = soc + np.concatenate(([0.0], np.cumsum(0.5 * (i[1:] + i[:-1]) * np.diff(t)))) / capacity_ah
            times.append(t)
            currents.append(i)
            states.append(np.full(t.shape[0], STATES[state], dtype=np.int8))
            socs.append(path)
            soc, clock = float(path[-1]), end
    hours, current, cell = np.concatenate(times), np.concatenate(currents), np.concatenate(socs)
    n = hours.shape[0]
    cell_v = pack.ocv.voltage_v(cell) + np.interp(cell, knots, curve) + rng.normal(size=n) * errors.voltage_v
    nan = np.full(n, np.nan)
    return Samples(
        START_US + (hours * 3.6e9).astype(np.int64), np.concatenate(states), np.full(n, -1, dtype=np.int64), (),
        pack.n_series * cell_v + current * pack.resistance_ohm, current * gain + offset,
        np.round(pack.displayed_soc(cell), 3), np.full(n, 25.0), nan, nan, nan,
    )  # fmt: skip


def days_of(samples: Samples) -> int:
    """Whole UTC days that hold the samples."""
    return int(samples.time_us[-1] // US_PER_DAY - samples.time_us[0] // US_PER_DAY + 1)
