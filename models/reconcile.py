"""Sessions of a vehicle whose samples are logged: from runs, across gaps, matched with logged ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numba import njit

from models.counters import register_across, register_kwh, register_step_kwh
from models.domain import BoolArray, FloatArray, Pack, Use
from models.integral import IN, OUT, Integral
from models.knots import interp_known
from models.sessions import KINDS, US_PER_HOUR, Finding, RawSession, Rules, Runs, Samples, Session, stamp

NAN = float("nan")
# Steps of a register (or kWh, where it moves in finer ones) from which on a charge or export has moved it.
_REGISTER_SEES = 1.5
# A register out of reach during a charge that rose by this share of its energy (and a step) across it counted it.
_ACROSS_LOW, _ACROSS_HIGH = 0.8, 1.5


@njit(cache=True, nogil=True)
def _of_runs(first, last, temp, power, index, mean, metered):  # pragma: no cover
    """Mean of the known temperatures of each run, NaN where none is known, and whether power is known anywhere in it.

    The sum goes on from run to run: a mean is a difference of two of its values.
    """
    total = 0.0
    for k in range(first.shape[0]):
        begin, n = total, 0
        for i in range(first[k], last[k] + 1):
            j = index[i]
            if np.isfinite(temp[j]):
                total += temp[j]
                n += 1
            if np.isfinite(power[j]):
                metered[k] = True
        mean[k] = (total - begin) / n if n > 0 else np.nan


def sessions_of_samples(
    samples: Samples,
    runs: Runs,
    integral: Integral,
    pack: Pack,
    rule: Rules,
    consumption_wh_per_km: float,
    dated: bool = True,
) -> list[Session]:
    """One session a run, and one for each gap across which SOC or odometer changed; in order of their starts.

    Where the dates of a log are only assumed (``dated`` false) its gaps mean nothing and yield no session.
    """
    index, r = runs.index, runs.use.shape[0]
    if r == 0:
        return []
    start, end = integral.run_start_us, integral.run_end_us
    soc0, soc1 = (interp_known(t, samples.time_us, samples.soc_frac) for t in (start, end))
    km0, km1 = (interp_known(t, samples.time_us, samples.odometer_km) for t in (start, end))
    temp, has_power = np.empty(r), np.zeros(r, dtype=bool)
    _of_runs(runs.first, runs.last, samples.battery_temp_c, samples.power_kw, index, temp, has_power)
    meter_kwh, has_meter, differs = _meter_energies(samples, runs, integral, has_power, rule)
    plugged, away, guessed = _plugged(samples, runs, integral, has_meter, rule)
    out: list[Session] = []
    for k in range(r):
        use = Use(int(runs.use[k]))
        flags: list[str] = []
        distance = 0.0
        ah, kwh, meter = integral.run_ah[k], integral.run_kwh[k], meter_kwh[k]
        if use is Use.DRIVE:
            distance = float(km1[k] - km0[k])
            if not np.isfinite(distance):
                distance = max(float(kwh[OUT] - kwh[IN]), 0.0) * 1000.0 / consumption_wh_per_km
                flags.append("distance_modelled")
        if away[k]:
            flags.append("away_charge")
        if guessed[k]:
            flags.append("plugged_inferred")
        if differs[k]:
            flags.append("energy_disagrees")
        if ah.sum() == 0 and use is not Use.REST:
            flags.append("no_energy")
        ref = int(samples.ref[index[runs.first[k]]])
        out.append(
            Session(
                session_ref=samples.refs[ref] if ref >= 0 else "",
                kind=KINDS[int(use)],
                start_us=int(start[k]),
                end_us=int(end[k]),
                energy_in_battery_kwh=float(kwh[IN]),
                energy_out_battery_kwh=float(kwh[OUT]),
                energy_in_meter_kwh=float(meter[IN]),
                energy_out_meter_kwh=float(meter[OUT]),
                soc_start_frac=float(soc0[k]),
                soc_end_frac=float(soc1[k]),
                soc_inferred=False,
                temp_mean_c=float(temp[k]),
                plugged=bool(plugged[k]),
                distance_km=distance,
                samples=int(runs.last[k] - runs.first[k] + 1),
                flags=tuple(flags),
            )
        )
    if dated:
        out += _gap_sessions(samples, runs, pack, rule, consumption_wh_per_km)
    return sorted(out, key=lambda s: (s.start_us, s.end_us, s.kind))


def _meter_energies(
    samples: Samples, runs: Runs, integral: Integral, has_power: BoolArray, rule: Rules
) -> tuple[FloatArray, BoolArray, BoolArray]:
    """Energy into and out of the car at the meter for each run, shape (r, 2) [kWh]; which runs have one; which differ.

    The meter's power counts where it is logged, else its registers. Where both are known and differ by more than a
    tenth and half a kWh (and a step of the register) the run is marked. A drive has no meter of its registers, nor has
    a charge or an export during which they stand still: it went through another meter. One during which they were out
    of reach and across which they rose by as much went through this one.
    """
    out = np.where(has_power[:, None], integral.run_meter_kwh, np.nan)
    by_register = np.stack(
        [register_kwh(samples, n, integral.run_start_us, integral.run_end_us) for n in Samples.REGISTERS], axis=1
    )
    step = np.array([_step(getattr(samples, n)) for n in Samples.REGISTERS])
    active = (runs.use == Use.CHARGE) | (runs.use == Use.EXPORT)
    sees = _REGISTER_SEES * np.maximum(step, 1.0)
    read = np.isfinite(by_register).any(axis=1)
    idle = active & read & ~(by_register > 0.0).any(axis=1) & (integral.run_kwh > sees).any(axis=1)
    by_register[(runs.use == Use.DRIVE) | (idle & ~has_power)] = np.nan
    coarse = (step > 1.0) & (by_register < 2.0 * step)
    unread = ~has_power & ~read
    across, counted = _across(samples, runs, integral, unread, _strong(runs, integral, rule), step)
    known = np.isfinite(by_register)
    seen = has_power | known.any(axis=1) | counted
    wide = np.maximum(0.5, 0.1 * np.abs(by_register)) + np.where(step > 1.0, step, 0.0)
    differs = has_power & (known & (np.abs(out - by_register) > wide)).any(axis=1)
    by_register[coarse] = np.nan  # it tells that this meter counted, not how much
    by_register = np.where(known, by_register, across)
    out = np.where(~has_power[:, None], by_register, out)
    return out, seen, differs


def _strong(runs: Runs, integral: Integral, rule: Rules) -> BoolArray:
    """Charges stronger than a home outlet, shape (r,)."""
    hours = np.maximum((integral.run_end_us - integral.run_start_us) / US_PER_HOUR, 1e-9)
    return (runs.use == Use.CHARGE) & (integral.run_kwh.max(axis=1) / hours > rule("cut", "home_charge_kw"))


def _step(register: FloatArray) -> float:
    """Step of a register [kWh], 1 where it is not read."""
    known = register[np.isfinite(register)]
    return register_step_kwh(known) if known.shape[0] > 1 else 1.0


def _across(
    samples: Samples, runs: Runs, integral: Integral, unread: BoolArray, strong: BoolArray, step: FloatArray
) -> tuple[FloatArray, BoolArray]:
    """Charges and exports during which no register was read, by what it rose by from before them to after them.

    Returns
    -------
    FloatArray
        Energy at the meter of those that lie alone between two readings, else NaN, shape (r, 2). [kWh]
    BoolArray
        Which went through this meter: what lies between the two readings adds up to the rise, shape (r,).
    """
    start, end = integral.run_start_us, integral.run_end_us
    energy, counted = np.full((start.shape[0], 2), np.nan), np.zeros(start.shape[0], dtype=bool)
    for side, (name, use) in enumerate(zip(Samples.REGISTERS, (Use.CHARGE, Use.EXPORT), strict=True)):
        mine = np.flatnonzero(unread & (runs.use == use))
        if mine.shape[0] == 0:
            continue
        rise, before, after = register_across(samples, name, start[mine], end[mine])
        flowing = np.flatnonzero((runs.use == use) & ~strong)
        ends = np.searchsorted(end[flowing], before, side="right")
        total = np.concatenate(([0.0], np.cumsum(integral.run_kwh[flowing, side])))
        last = np.searchsorted(start[flowing], after, side="left")
        between = total[last] - total[ends]
        # At the meter a charge is more than in the battery, an export less.
        low, high = (_ACROSS_LOW, _ACROSS_HIGH) if use is Use.CHARGE else (1.0 / _ACROSS_HIGH, 1.0 / _ACROSS_LOW)
        fits = (rise > low * between - step[side]) & (rise < high * between + step[side]) & (rise > 0.0)
        counted[mine] |= fits
        alone = fits & (last - ends == 1) & (step[side] <= 1.0)
        energy[mine, side] = np.where(alone, rise, np.nan)
    return energy, counted


def _plugged(
    samples: Samples, runs: Runs, integral: Integral, has_meter: BoolArray, rule: Rules
) -> tuple[BoolArray, BoolArray, BoolArray]:
    """Whether each run was plugged in at home, was a charge away from home, and whether a rest's plug is inferred.

    A charge is away when stronger than a home outlet, or not seen by the meter in a log in which most are. A rest is
    plugged when it bears a session name, or when the stay between two drives holds a charge or export at home.
    """
    use = runs.use
    active = (use == Use.CHARGE) | (use == Use.EXPORT)
    metered_share = float(has_meter[active].mean()) if active.any() else 0.0
    unmetered = ~has_meter & (metered_share > 0.5)
    away = (use == Use.CHARGE) & (_strong(runs, integral, rule) | unmetered)
    home = active & ~away
    stay = np.cumsum(use == Use.DRIVE)
    at_home = np.zeros(int(stay[-1]) + 1, dtype=bool)
    at_home[stay[home]] = True
    rest = use == Use.REST
    named = rest & (samples.ref[runs.index[runs.first]] >= 0)
    guessed = rest & ~named & at_home[stay]
    return home | named | guessed, away, guessed


def _gap_sessions(samples: Samples, runs: Runs, pack: Pack, rule: Rules, consumption_wh_per_km: float) -> list[Session]:
    """What happened where nothing was logged: a drive or a charge by the change of SOC and odometer across a gap."""
    out: list[Session] = []
    gaps = np.flatnonzero(~runs.joined)
    if gaps.shape[0] == 0:
        return out
    both = samples.time_us[runs.index[np.stack((gaps, gaps + 1), axis=1)]]
    by_gap = (interp_known(both.ravel(), samples.time_us, v) for v in (samples.soc_frac, samples.odometer_km))
    for ends, soc, km in zip(both, *(value.reshape(-1, 2) for value in by_gap), strict=True):
        change = float(soc[1] - soc[0])
        driven = float(km[1] - km[0])
        least = rule("cut", "gap_soc_frac")
        if not (abs(change) > least or driven > 1.0):
            continue
        kwh = abs(change) * pack.usable_kwh if np.isfinite(change) else driven * consumption_wh_per_km / 1000.0
        charge = np.isfinite(change) and change > least
        flags = ["gap", "charge_inferred" if charge else "drive_inferred"]
        if not np.isfinite(driven):
            driven = 0.0 if charge else kwh * 1000.0 / consumption_wh_per_km
            flags += [] if charge else ["distance_modelled"]
        hours = float(ends[1] - ends[0]) / US_PER_HOUR
        most_km, most_kwh = rule("cut", "gap_drive_km_per_h") * hours, rule("cut", "gap_drive_kw") * hours
        if not charge and (driven > most_km or kwh > most_kwh):  # a jump of the log, not all of it a drive
            driven, kwh = min(driven, most_km), min(kwh, most_kwh)
            flags.append("drive_capped")
        out.append(
            Session(
                session_ref="",
                kind="charge" if charge else "drive",
                start_us=int(ends[0]),
                end_us=int(ends[1]),
                energy_in_battery_kwh=kwh if charge else 0.0,
                energy_out_battery_kwh=0.0 if charge else kwh,
                energy_in_meter_kwh=NAN,
                energy_out_meter_kwh=NAN,
                soc_start_frac=float(soc[0]),
                soc_end_frac=float(soc[1]),
                soc_inferred=False,
                temp_mean_c=NAN,
                plugged=False,
                distance_km=driven,
                samples=0,
                flags=tuple(flags),
            )
        )
    return out


def _overlap(session: Session, raw: RawSession) -> int:
    end = raw.end_us if raw.end_us is not None else session.end_us
    return min(session.end_us, end) - max(session.start_us, raw.start_us)


def match_logged(
    sessions: list[Session], logged: list[RawSession], samples: Samples, rule: Rules
) -> tuple[list[Session], list[RawSession], list[Finding]]:
    """Match the sessions logged beside the samples with those cut from them.

    Plug-in windows mark what lies inside as plugged; logged meter energies fill in where no sample has a meter, and a
    difference above a tenth and half a kWh is flagged. Logged sessions in whose time there is no sample are returned.

    Returns
    -------
    sessions, unmatched, findings
    """
    if not logged or not sessions:
        return sessions, logged, []
    out = list(sessions)
    starts = np.array([s.start_us for s in out])
    longest = max(s.end_us - s.start_us for s in out)
    unmatched: list[RawSession] = []
    differ: list[RawSession] = []
    for raw in logged:
        stop = raw.end_us if raw.end_us is not None else raw.start_us + 24 * US_PER_HOUR
        lo = int(np.searchsorted(starts, raw.start_us - longest))
        hi = int(np.searchsorted(starts, stop, side="right"))
        inside = [i for i in range(lo, hi) if _overlap(out[i], raw) > 0.5 * (out[i].end_us - out[i].start_us)]
        lo_s, hi_s = np.searchsorted(samples.time_us, [raw.start_us, stop])
        if hi_s <= lo_s:
            unmatched.append(raw)
            continue
        if raw.kind == "plugin":
            for i in inside:
                if out[i].kind != "drive":
                    flags = tuple(f for f in out[i].flags if f != "plugged_inferred")
                    out[i] = replace(out[i], plugged=True, flags=flags)
        wanted = ("charge", "export") if raw.kind == "plugin" else (raw.kind,)
        same = [i for i in inside if out[i].kind in wanted and out[i].samples > 0]
        for name, kind in (("energy_in_meter_kwh", "charge"), ("energy_out_meter_kwh", "export")):
            value = getattr(raw, name)
            mine = [i for i in same if out[i].kind == kind]
            if value is None or not mine:
                continue
            known = [getattr(out[i], name) for i in mine]
            if all(np.isnan(v) for v in known):
                if len(mine) == 1:
                    out[mine[0]] = replace(out[mine[0]], **{name: value})
            elif not any(np.isnan(v) for v in known) and abs(sum(known) - value) > max(0.5, 0.1 * abs(value)):
                differ.append(raw)
                out[mine[0]] = replace(out[mine[0]], flags=(*out[mine[0]].flags, "energy_disagrees"))
    found = [Finding("energy_disagrees", len(differ), stamp(differ[0].start_us))] if differ else []
    if unmatched:
        found.append(Finding("session_without_samples", len(unmatched), stamp(unmatched[0].start_us)))
    return out, unmatched, found
