"""One vehicle's logs to its life so far: sessions, duty steps, capacity readings, and what was wrong with the logs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from models.balance import infer_sessions
from models.cars import SEVERAL_CARS, several_cars
from models.defects import clean, count_gaps
from models.domain import BoolArray, FloatArray, IntArray, Pack
from models.duty import Steps, grid, steps_of_samples, steps_of_sessions
from models.integral import Integral, integrate
from models.knots import interp_known
from models.loggers import current_of_meter, merge_logged
from models.reconcile import match_logged, sessions_of_samples
from models.resistance import ResistanceReading, resistance_readings
from models.rested import CellCurve
from models.sessions import (
    EXAMPLES,
    US_PER_HOUR,
    Finding,
    RawSession,
    Rules,
    Runs,
    Samples,
    Session,
    cut,
    merged,
    stamp,
    typed_states,
)
from models.soh import Reading, capacity_readings, present_capacity_ah
from models.soh_displayed import displayed_readings

Air = Callable[[int, int], FloatArray]


@dataclass(frozen=True, eq=False)
class Life:
    """What is known of one vehicle's past.

    Parameters
    ----------
    sessions, readings, findings
        In order of time; findings by rule.
    steps
        Hourly duty of whole UTC days, None where there is nothing.
    odometer
        Logged odometer as (time in us, km), in time order.
    resistance
        Readings of resistance in order of time.
    """

    sessions: list[Session]
    readings: list[Reading]
    findings: list[Finding]
    steps: Steps | None
    odometer: tuple[np.ndarray, FloatArray]
    resistance: list[ResistanceReading] = field(default_factory=list)


def prepare(samples: Samples, pack: Pack, rule: Rules) -> tuple[Samples, Runs, list[Finding]]:
    """Clean, typed and cut samples: those that are accepted and integrated."""
    return _prepare(samples, pack, rule)[:3]


def _prepare(samples: Samples, pack: Pack, rule: Rules) -> tuple[Samples, Runs, list[Finding], BoolArray]:
    """As `prepare`, and which samples have their current from the charger's meter, shape (n,)."""
    samples, found = clean(samples, pack, rule)
    found = [*found, *several_cars(samples, pack, rule)]
    samples, from_meter, more = current_of_meter(samples, pack, rule)
    state, typed = typed_states(samples, pack.capacity_ah, rule)
    runs = cut(samples, state, pack.capacity_ah, rule)
    gaps = count_gaps(samples, runs.joined, runs.index, state)
    return samples, runs, merged(found + more + typed + gaps), from_meter


def _readings(
    samples: Samples, runs: Runs, integral: Integral, from_meter: BoolArray, pack: Pack, curve: CellCurve, rule: Rules
) -> tuple[list[Reading], list[ResistanceReading]]:
    """Readings of capacity and resistance, from what the battery's own sensors told alone."""
    if from_meter.any():
        samples = replace(samples, current_a=np.where(from_meter, np.nan, samples.current_a))
        runs = cut(samples, typed_states(samples, pack.capacity_ah, rule)[0], pack.capacity_ah, rule)
        if runs.index.shape[0] < 2:
            return displayed_readings(samples, pack, rule), []
        time = samples.time_us[runs.index]
        integral = integrate(samples, runs, *grid(int(time[0]), int(time[-1]), 60), 60)
    readings = capacity_readings(samples, runs, integral, pack, curve, rule)
    readings = sorted([*readings, *displayed_readings(samples, pack, rule)], key=lambda r: (r.time_us, r.method))
    return readings, resistance_readings(samples, runs, pack)


def _plausible(readings: list[Reading], rule: Rules) -> tuple[list[Reading], list[Finding]]:
    """Readings that the battery as registered can have given, and what was left out."""
    low, high = rule("capacity", "least_soh_frac"), rule("capacity", "most_soh_frac")
    odd = [r for r in readings if not low <= r.soh_frac <= high]
    if not odd:
        return readings, []
    examples = tuple(stamp(r.time_us) for r in odd[:EXAMPLES])
    kept = [r for r in readings if low <= r.soh_frac <= high]
    return kept, [Finding("implausible_reading", len(odd), examples[0], 0, examples)]


def counted_soc(samples: Samples, runs: Runs, pack: Pack, rule: Rules) -> FloatArray:
    """Displayed SOC of a log without any, by counting ampere-hours; its highest value is taken as the ceiling.

    The rests of unlogged time cannot be seen: it is a path for the laws of ageing, never for a reading.
    """
    soc = np.full(samples.size, np.nan)
    time, current = samples.time_us[runs.index], samples.current_a[runs.index]
    ah = 0.5 * (current[1:] + current[:-1]) * np.diff(time) / US_PER_HOUR
    usable = pack.capacity_ah * (pack.window_high_frac - pack.window_low_frac)
    counted = np.concatenate(([0.0], np.cumsum(np.where(runs.joined, ah, 0.0)))) / usable
    soc[runs.index] = np.clip(counted - counted.max() + rule("balance", "ceiling_soc_frac"), 0.0, 1.0)
    return soc


def life_of(
    samples: Samples,
    logged: list[RawSession],
    pack: Pack,
    curve: CellCurve,
    rule: Rules,
    air: Air,
    consumption_wh_per_km: float,
    step_minutes: int = 60,
    dated: bool = True,
) -> Life:
    """Sessions, duty and readings of one vehicle.

    Parameters
    ----------
    samples, logged
        As in the raw parts, one vehicle.
    pack, curve
        Its battery when new, and what is known of its OCV.
    air
        Gives the air temperature of each step from the beginning of the first step and the number of steps. [°C]
    consumption_wh_per_km
        Turns energy into distance where no odometer is logged. [Wh/km]
    dated
        Whether the log bears dates; else the time between its sessions is not real.
    """
    logged, doubled = merge_logged(logged, rule)
    if samples.size:
        samples, runs, found, from_meter = _prepare(samples, pack, rule)
        found = merged(found + doubled)
        if runs.index.shape[0] >= 2:
            return _from_samples(
                samples, runs, from_meter, found, logged, pack, curve, rule, air, consumption_wh_per_km,
                step_minutes, dated,
            )  # fmt: skip
    else:
        found = doubled
    sessions, more = infer_sessions(logged, pack, rule, consumption_wh_per_km)
    none = (np.zeros(0, np.int64), np.zeros(0))
    if not sessions:
        return Life([], [], merged(found + more), None, none)
    first_us, n = grid(min(s.start_us for s in sessions), max(s.end_us for s in sessions), step_minutes)
    air_c = air(first_us, n)
    steps = steps_of_sessions(sessions, first_us, n, step_minutes, pack, pack.capacity_ah, air_c)
    return Life(_with_temperature(sessions, steps), [], merged(found + more), steps, none)


def _from_samples(
    samples: Samples,
    runs: Runs,
    from_meter: BoolArray,
    found: list[Finding],
    logged: list[RawSession],
    pack: Pack,
    curve: CellCurve,
    rule: Rules,
    air: Air,
    consumption_wh_per_km: float,
    step_minutes: int,
    dated: bool,
) -> Life:
    time = samples.time_us[runs.index]
    first_us, n = grid(int(time[0]), int(time[-1]), step_minutes)
    integral = integrate(samples, runs, first_us, n, step_minutes)
    inferred = not np.isfinite(samples.soc_frac).any()
    mixed = any(f.rule == SEVERAL_CARS for f in found)
    # Of several cars nothing is a reading of this one's battery.
    readings, ohms = ([], []) if mixed else _readings(samples, runs, integral, from_meter, pack, curve, rule)
    readings, odd = _plausible(readings, rule)
    found = [*found, *odd]
    if inferred:
        samples = replace(samples, soc_frac=counted_soc(samples, runs, pack, rule))
        found = [*found, Finding("soc_inferred", samples.size, stamp(int(time[0])))]
    sessions = sessions_of_samples(samples, runs, integral, pack, rule, consumption_wh_per_km, dated)
    for name in ("energy_disagrees", "drive_capped"):
        hit = [s for s in sessions if name in s.flags]
        examples = tuple(stamp(s.start_us) for s in hit[:EXAMPLES])
        found = [*found, Finding(name, len(hit), examples[0], len(hit), examples)] if hit else found
    sessions = _marked(sessions, samples.time_us[from_meter])
    sessions, unmatched, more = match_logged(sessions, logged, samples, rule)
    sessions = _with_unmatched(sessions, unmatched, samples, pack, rule)
    if inferred:
        sessions = [replace(s, soc_inferred=True, flags=(*s.flags, "soc_inferred")) for s in sessions]
    if mixed:
        sessions = [replace(s, flags=(*s.flags, SEVERAL_CARS)) for s in sessions]
    capacity = present_capacity_ah(readings, pack)
    steps = steps_of_samples(samples, integral, first_us, step_minutes, pack, capacity, air(first_us, n), rule)
    km = np.isfinite(samples.odometer_km)
    km = slice(None) if km.all() else km
    odometer = (samples.time_us[km], samples.odometer_km[km])
    return Life(_with_temperature(sessions, steps), readings, merged(found + more), steps, odometer, ohms)


def _marked(sessions: list[Session], time_us: IntArray) -> list[Session]:
    """Sessions with a flag where their current is from the charger's meter (its efficiency is then no finding)."""
    if time_us.shape[0] == 0:
        return sessions
    inside = [np.searchsorted(time_us, s.end_us, "left") > np.searchsorted(time_us, s.start_us) for s in sessions]
    return [
        replace(s, flags=(*s.flags, "current_from_meter")) if hit and s.samples else s
        for s, hit in zip(sessions, inside, strict=True)
    ]


def _with_unmatched(
    sessions: list[Session], unmatched: list[RawSession], samples: Samples, pack: Pack, rule: Rules
) -> list[Session]:
    """Add logged sessions in whose time no sample lies; they replace what was inferred for the same time."""
    if not unmatched:
        return sessions
    eff = rule("balance", "charge_efficiency_frac")
    added: list[Session] = []
    ends = np.array([r.end_us if r.end_us is not None else r.start_us for r in unmatched])
    both = np.stack((np.array([r.start_us for r in unmatched]), ends), axis=1)
    by_session = interp_known(both.ravel(), samples.time_us, samples.soc_frac).reshape(-1, 2)
    for raw, end, soc in zip(unmatched, ends.tolist(), by_session, strict=True):
        flags = [*raw.flags, "no_samples"] + ["open_session"] * (raw.end_us is None) + ["shared"] * raw.shared
        for kind, into, out in _flows(raw):
            added.append(
                Session(
                    raw.session_ref, kind, raw.start_us, max(end, raw.start_us),
                    (into or 0.0) * eff, (out or 0.0) / eff, _nan(into), _nan(out),
                    float(soc[0]) if raw.soc_start_frac is None else raw.soc_start_frac,
                    float(soc[1]) if raw.soc_end_frac is None else raw.soc_end_frac,
                    raw.soc_end_frac is None, float("nan"), kind != "drive", 0.0, 0, tuple(flags),
                )
            )  # fmt: skip
    kept = [
        s
        for s in sessions
        if "gap" not in s.flags
        or not any(a.kind == s.kind and a.start_us < s.end_us and a.end_us > s.start_us for a in added)
    ]
    return sorted([*kept, *added], key=lambda s: (s.start_us, s.end_us, s.kind))


def _flows(raw: RawSession) -> list[tuple[str, float | None, float | None]]:
    """Kinds of a logged session with energy in and out at the meter; a plug-in with export is both."""
    if raw.kind != "plugin":
        return [(raw.kind, raw.energy_in_meter_kwh, raw.energy_out_meter_kwh)]
    out: list[tuple[str, float | None, float | None]] = []
    if raw.energy_out_meter_kwh:
        out.append(("export", None, raw.energy_out_meter_kwh))
    if raw.energy_in_meter_kwh or not out:
        out.append(("charge" if raw.energy_in_meter_kwh else "rest", raw.energy_in_meter_kwh, None))
    return out


def _nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _with_temperature(sessions: list[Session], steps: Steps) -> list[Session]:
    """Sessions without a logged temperature get the mean of the steps they lie in, flagged."""
    total = np.concatenate(([0.0], np.cumsum(steps.temp_c)))
    step_us = steps.step_minutes * 60_000_000
    out: list[Session] = []
    for s in sessions:
        if np.isfinite(s.temp_mean_c):
            out.append(s)
            continue
        a = min(max((s.start_us - steps.first_us) // step_us, 0), steps.size - 1)
        b = min(max((max(s.end_us - 1, s.start_us) - steps.first_us) // step_us, a), steps.size - 1)
        mean = float((total[b + 1] - total[a]) / (b + 1 - a))
        out.append(replace(s, temp_mean_c=mean, flags=(*s.flags, "temp_modelled")))
    return out
