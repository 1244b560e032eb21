"""What a logger writes of a simulated car: chosen points, sensors, sessions, and the defects that real logs have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import polars as pl

from models.domain import BoolArray, FloatArray, IntArray
from models.parameters import entry
from models.seeds import generator
from models.synthetic_car import CHARGING, CHARGING_AWAY, DRIVING, EXPORTING, IDLE, Run
from models.synthetic_habits import STEP_MINUTES, STEPS_PER_HOUR, Car

STEP_US = STEP_MINUTES * 60 * 1_000_000
HOUR_US = 3600 * 1_000_000
CLOCK_DRIFT_US = 17 * 1_000_000  # a wrong clock is not wrong by whole seconds of the others
_EPOCH = date(1970, 1, 1)
_STATES = {DRIVING: "drive", CHARGING: "charge", EXPORTING: "export", CHARGING_AWAY: "charge", IDLE: "rest"}
_ACTIVE_EVERY, _PLUGGED_EVERY, _PARKED_EVERY = 2, 6, 24  # points of five minutes: 10 min, 30 min, 2 h
DEFECTS = (
    "gaps", "gap_samples", "duplicates", "stuck_samples", "odometer_resets", "clock_sessions", "clock_samples",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class CarLog:
    """The log of one car as written, and what is wrong with it on purpose (names of `DEFECTS` -> number)."""

    samples: pl.DataFrame
    sessions: pl.DataFrame
    defects: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Sensors:
    """Errors of what a car measures: gain [1] and offset [A] of the current, noise of the voltage [V]."""

    current_gain: float
    current_offset_a: float
    voltage_noise_v: float


def labels(run: Run) -> IntArray:
    """What each point serves: that of the interval it starts, else that of the one it ends, shape (n,)."""
    act = run.act.astype(np.int64)
    before = np.concatenate(([IDLE], act[:-1]))
    return np.where(act == IDLE, before, act)


def logged_points(run: Run) -> BoolArray:
    """Points a logger writes: drives every 5 min, charge and export every 10, all edges, rests sparsely."""
    act = run.act.astype(np.int64)
    n = act.size
    k = np.arange(n)
    edge = np.zeros(n, dtype=bool)
    edge[1:] = act[1:] != act[:-1]
    near = edge.copy()
    near[:-1] |= edge[1:]
    near[1:] |= edge[:-1]
    active = act != IDLE
    keep = (act == DRIVING) | (active & (k % _ACTIVE_EVERY == 0)) | edge
    keep |= near & (active | np.concatenate(([False], active[:-1])))
    keep |= ~active & (run.plugged > 0) & (k % _PLUGGED_EVERY == 0)
    keep |= k % _PARKED_EVERY == 0
    # A log starts and ends with a point; plugging in and out are points too.
    keep[1:] |= run.plugged[1:] != run.plugged[:-1]
    keep[[0, -1]] = True
    return keep


def _refs(run: Run, label: IntArray) -> pl.Series:
    """Names of sessions: P = plugged in at home, D = drive, A = charge away; null where parked."""
    kind = np.where(label == DRIVING, "D", np.where(run.plugged > 0, "P", np.where(label == CHARGING_AWAY, "A", "")))
    ref = run.ref.copy()
    # The point that ends a drive or a charge belongs to it, though the next session has begun.
    ended = (run.act == IDLE) & (label != IDLE)
    ref[1:] = np.where(ended[1:], run.ref[:-1], ref[1:])
    kind = np.where(ended & (label == CHARGING_AWAY), "A", np.where(ended & np.isin(label, (1, 2)), "P", kind))
    number = pl.Series(ref).cast(pl.String).str.zfill(5)
    named = pl.Series(kind) + number
    return pl.select(pl.when(pl.Series((kind != "") & (ref > 0))).then(named).otherwise(None)).to_series()


def clean_samples(car: Car, run: Run, sensors: Sensors, seed: int) -> pl.DataFrame:
    """The log of a car before anything goes wrong, columns of the format ``fadecast_samples``, in time order."""
    rng = generator(seed, "sensor", str(car.index))
    label = labels(run)
    keep = np.flatnonzero(logged_points(run))
    start_us = (car.first_day - _EPOCH).days * 24 * HOUR_US + int(rng.integers(0, 300)) * 1_000_000
    current = run.current_a[keep]
    measured = np.where(current == 0, 0.0, current * (1 + sensors.current_gain) + sensors.current_offset_a)
    plugged = (run.plugged[keep] > 0) & (label[keep] != DRIVING)
    text = pl.Series("state", label[keep]).replace_strict(_STATES, return_dtype=pl.String)
    volts = run.voltage_v[keep] + rng.normal(0.0, sensors.voltage_noise_v, keep.size)
    return pl.DataFrame(
        {
            "vehicle": [car.name] * keep.size,
            "time_us": start_us + keep * STEP_US,
            "session": _refs(run, label).gather(keep),
            "state": text,
            "voltage_v": volts.round(1),
            "current_a": measured.round(2),
            "soc_pct": (100 * run.displayed_frac[keep]).round(1),
            "battery_temp_c": run.temp_c[keep].round(1),
            "ambient_c": run.ambient_c[keep].round(1),
            "power_kw": np.where(plugged, run.meter_kw[keep].round(3), np.nan),
            "odometer_km": run.odometer_km[keep].round(1),
        }
    ).with_columns(pl.col("power_kw").fill_nan(None))


def plugin_sessions(car: Car, run: Run, start_us: int) -> pl.DataFrame:
    """Plug-in sessions at home as a charger's portal lists them (``fadecast_sessions``); the last may be open."""
    change = np.flatnonzero(np.diff(np.concatenate(([0], run.plugged.astype(np.int64), [0]))))
    rows: list[tuple[str, str, str, int, int | None, float, float, float, float | None]] = []
    n = run.plugged.size
    for first, end in zip(change[::2], change[1::2], strict=True):
        meter = run.meter_kw[first:end]
        into = float(np.sum(np.maximum(meter, 0.0))) / STEPS_PER_HOUR
        out = float(np.sum(np.maximum(-meter, 0.0))) / STEPS_PER_HOUR
        shown = run.displayed_frac
        still = end >= n
        rows.append(
            (
                car.name,
                f"P{run.ref[first]:05d}",
                "plugin",
                start_us + int(first) * STEP_US,
                None if still else start_us + int(end) * STEP_US,
                round(into, 2),
                round(out, 2),
                round(100 * float(shown[first]), 1),
                None if still else round(100 * float(shown[end]), 1),
            )
        )
    schema = {
        "vehicle": pl.String, "session": pl.String, "kind": pl.String, "plug_in_us": pl.Int64, "plug_out_us": pl.Int64,
        "energy_in_kwh": pl.Float64, "energy_out_kwh": pl.Float64, "soc_start_pct": pl.Float64,
        "soc_end_pct": pl.Float64,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")


def _drop_gaps(
    frame: pl.DataFrame, years: float, rate: Mapping[str, float], rng: np.random.Generator, c: dict[str, int]
) -> pl.DataFrame:
    time = frame["time_us"].to_numpy()
    gone = np.zeros(time.size, dtype=bool)
    for _ in range(rng.poisson(rate["gaps_per_year"] * years)):
        begin = rng.integers(time[0], time[-1])
        length = rng.exponential(rate["gap_hours"]) * HOUR_US
        gone |= (time > begin) & (time < begin + length)
        c["gaps"] += 1
    c["gap_samples"] += int(gone.sum())
    return frame.filter(pl.Series(~gone))


def _freeze(
    frame: pl.DataFrame, years: float, rate: Mapping[str, float], rng: np.random.Generator, c: dict[str, int]
) -> pl.DataFrame:
    values = {n: frame[n].to_numpy().copy() for n in ("voltage_v", "current_a", "soc_pct")}
    flowing = np.flatnonzero((values["current_a"] != 0) & (np.abs(values["current_a"]) > 5))
    for _ in range(rng.poisson(rate["stuck_per_year"] * years)):
        if flowing.size == 0:
            break
        at, length = int(rng.choice(flowing)), int(rng.integers(3, 8))
        last = min(at + length, frame.height)
        for column in values.values():
            column[at:last] = column[at]
        c["stuck_samples"] += last - at - 1
    return frame.with_columns([pl.Series(n, v) for n, v in values.items()])


def _reset_odometer(
    frame: pl.DataFrame, rate: Mapping[str, float], rng: np.random.Generator, c: dict[str, int]
) -> pl.DataFrame:
    if rng.random() >= rate["reset_share"] or frame.height < 100:
        return frame
    at = int(rng.integers(frame.height // 4, 3 * frame.height // 4))
    km = frame["odometer_km"].to_numpy().copy()
    km[at:] = (km[at:] - km[at]).round(1)
    c["odometer_resets"] += 1
    return frame.with_columns(pl.Series("odometer_km", km))


def _wrong_clock(
    frame: pl.DataFrame, years: float, rate: Mapping[str, float], rng: np.random.Generator, c: dict[str, int]
) -> pl.DataFrame:
    names = frame["session"].drop_nulls().unique(maintain_order=True).to_list()
    time = frame["time_us"].to_numpy().copy()
    session = frame["session"].fill_null("")
    for _ in range(rng.poisson(rate["clock_per_year"] * years)):
        if not names:
            break
        rows = (session == names[int(rng.integers(len(names)))]).to_numpy()
        time[rows] += (HOUR_US if rng.random() < 0.5 else -HOUR_US) + CLOCK_DRIFT_US
        c["clock_sessions"] += 1
        c["clock_samples"] += int(rows.sum())
    return frame.with_columns(pl.Series("time_us", time))


def with_defects(car: Car, clean: pl.DataFrame, seed: int) -> tuple[pl.DataFrame, dict[str, int]]:
    """Gaps, frozen values, a reset odometer, clocks one hour off, lines sent twice; how many of each."""
    rng = generator(seed, "defects", str(car.index))
    rate = {n: float(p.value) for n, p in entry("synthetic", "defects").parameters.items()}
    counts: dict[str, int] = {name: 0 for name in DEFECTS}
    years = car.days / 365.25
    frame = _drop_gaps(clean, years, rate, rng, counts)
    frame = _freeze(frame, years, rate, rng, counts)
    frame = _reset_odometer(frame, rate, rng, counts)
    frame = _wrong_clock(frame, years, rate, rng, counts)
    twice = np.flatnonzero(rng.random(frame.height) < rate["duplicate_frac"])
    counts["duplicates"] = int(twice.size)
    order = np.sort(np.concatenate((np.arange(frame.height), twice)), kind="stable")
    return frame[order], counts


def log_of(car: Car, run: Run, sensors: Sensors, seed: int) -> CarLog:
    """Everything that is written about a car."""
    clean = clean_samples(car, run, sensors, seed)
    start_us = int(clean["time_us"][0])
    samples, counts = with_defects(car, clean, seed)
    return CarLog(stamped(samples, ["time_us"]), stamped(plugin_sessions(car, run, start_us), _SESSION_TIMES), counts)


_SESSION_TIMES = ["plug_in_us", "plug_out_us"]


def stamped(frame: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    """Microseconds as times, named by their unit."""
    return frame.with_columns([pl.col(n).cast(pl.Datetime("us")) for n in names]).rename(
        {n: n.replace("_us", "_utc") for n in names}
    )


def cell_soc_at(run: Run, hours: FloatArray) -> FloatArray:
    """True state of charge of the cell at hours after the start (for tests). [1]"""
    return np.interp(hours, np.arange(run.cell_soc_frac.size) / STEPS_PER_HOUR, run.cell_soc_frac)
