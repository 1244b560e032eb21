"""One life logged twice: by the car and by the charger it was plugged into.

Where both logged the same time, the car's samples are the battery and the charger's are the meter: power and registers
of the charger are carried over to the car's samples, and the charger's own samples are counted as double. Where only
the charger logged, its samples stay. Both remain in the raw parts as evidence.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.counters import METER_REST_KW, drop_stuck_registers, mend_registers
from models.domain import BoolArray, FloatArray, IntArray, Pack
from models.sessions import (
    EXAMPLES,
    US_PER_DAY,
    US_PER_S,
    Finding,
    RawSession,
    Rules,
    Samples,
    finding,
    merged,
    runs_of,
    stamp,
)


def merge_loggers(samples: Samples, rule: Rules) -> tuple[Samples, list[Finding]]:
    """Samples of car and charger as one sequence.

    Returns
    -------
    Samples
        In time order, without the charger's samples in time that the car logged too.
    list of Finding
        ``double_logged``: the charger's samples that were merged.
    """
    charger = np.flatnonzero(samples.charger)
    car = np.flatnonzero(~samples.charger)
    if charger.shape[0] == 0 or car.shape[0] == 0:
        return samples, []
    reach = int(rule("defects", "double_logged_seconds") * US_PER_S)
    doubled = _near(samples.time_us[charger], samples.time_us[car], reach)
    hit = np.zeros(samples.size, dtype=bool)
    hit[charger[doubled]] = True
    found = finding("double_logged", samples, hit)
    if not found:
        return samples, []
    filled = {
        name: _carried(samples, name, car, charger, reach) for name in ("power_kw", "ambient_c", *Samples.REGISTERS)
    }
    return replace(samples, **filled).take(~hit), found


def join_meters(samples: Samples, pack: Pack, rule: Rules) -> tuple[Samples, list[Finding]]:
    """Several chargers of one car as one meter: what each one's registers rose by is added up.

    The power of an idle charger says nothing while another one is in use; where none is, it says that nothing flows.

    Each register is mended by itself first. Of rows at one time that of the charger in use stays.

    Returns
    -------
    Samples, list of Finding
        ``two_meters``: rows of all but the first charger; and what was mended in their registers.
    """
    told = samples.charger | np.isfinite(samples.energy_in_register_kwh) | np.isfinite(samples.energy_out_register_kwh)
    meters = np.unique(samples.meter[told])
    if meters.shape[0] < 2:
        return samples, []
    found = finding("two_meters", samples, told & (samples.meter > meters[0]))
    rise = {name: np.full(samples.size, np.nan) for name in Samples.REGISTERS}
    for meter in meters:
        rows = np.flatnonzero(told & (samples.meter == meter))
        own, stuck = drop_stuck_registers(samples.take(rows), pack, rule)
        own, mended = mend_registers(own, rule)
        found += [*stuck, *mended]
        for name in Samples.REGISTERS:
            value = getattr(own, name)
            known = np.isfinite(value)
            rise[name][rows[known]] = np.diff(value[known], prepend=value[known][:1])
    in_use = (samples.ref >= 0) | (np.abs(samples.power_kw) > METER_REST_KW) | np.isfinite(samples.soc_frac)
    silent = told & ~in_use & _other_in_use(samples, told, in_use, rule)
    total = {n: np.where(np.isfinite(r), np.cumsum(np.nan_to_num(r)), np.nan) for n, r in rise.items()}
    samples = replace(samples, power_kw=np.where(silent, np.nan, samples.power_kw), **total)
    order = np.lexsort((~in_use, samples.time_us))
    samples, told = samples.take(order), told[order]
    moment = runs_of(samples.time_us)
    latest: dict[str, FloatArray] = {}
    for name in Samples.REGISTERS:
        top = np.full(moment[-1] + 1, -np.inf)
        np.fmax.at(top, moment, getattr(samples, name))
        latest[name] = np.where(told & np.isfinite(top[moment]), top[moment], np.nan)
    rows = np.flatnonzero(told)
    stays = np.ones(samples.size, dtype=bool)
    stays[rows[1:]] = moment[rows[1:]] != moment[rows[:-1]]
    return replace(samples, meter=np.zeros(samples.size, np.int64), **latest).take(stays), merged(found)


def _other_in_use(samples: Samples, told: BoolArray, in_use: BoolArray, rule: Rules) -> BoolArray:
    """Whether another charger is in use at each sample's time: by its samples just before or after, shape (n,)."""
    reach = int(rule("cut", "gap_active_minutes") * 60 * US_PER_S)
    out = np.zeros(samples.size, dtype=bool)
    for meter in np.unique(samples.meter[told]):
        rows = np.flatnonzero(told & (samples.meter == meter))
        time, busy = samples.time_us[rows], in_use[rows]
        mine = samples.meter == meter
        for at in (
            np.searchsorted(time, samples.time_us, side="right") - 1,
            np.searchsorted(time, samples.time_us, side="left"),
        ):
            beside = np.clip(at, 0, rows.shape[0] - 1)
            near = (at == beside) & (np.abs(time[beside] - samples.time_us) <= reach)
            out |= ~mine & near & busy[beside]
    return out


def current_of_meter(samples: Samples, pack: Pack, rule: Rules) -> tuple[Samples, BoolArray, list[Finding]]:
    """Current and voltage of samples of which only the charger's meter is known, from its power.

    Voltage is the OCV of the displayed SOC (between known values linear; half charge where none is), current what the
    assumed efficiency leaves of the power; below `METER_REST_KW` nothing flows. Enough for duty and energies, never for
    a reading. Where neither the car nor an SOC was logged the samples stay as they are: sessions are balanced instead.

    Returns
    -------
    Samples
        With the values in place.
    BoolArray
        Which samples were given values, shape (n,).
    list of Finding
        ``current_from_meter``.
    """
    if not samples.charger.any():
        return samples, np.zeros(samples.size, dtype=bool), []
    hit = samples.charger & np.isfinite(samples.power_kw) & ~samples.accepted
    known = np.flatnonzero(np.isfinite(samples.soc_frac))
    if not hit.any() or not (samples.accepted.any() or known.shape[0]):
        return samples, np.zeros(samples.size, dtype=bool), []
    time = (samples.time_us - samples.time_us[0]) * 1e-6
    soc = np.interp(time, time[known], samples.soc_frac[known]) if known.shape[0] else np.full(samples.size, 0.5)
    volts = pack.n_series * np.interp(pack.cell_soc(soc), pack.ocv.cell_soc_frac, pack.ocv.ocv_v)
    power = np.where(np.abs(samples.power_kw) > METER_REST_KW, samples.power_kw, 0.0)
    efficiency = rule("balance", "charge_efficiency_frac")
    amps = np.where(power > 0, power * efficiency, power / efficiency) * 1000.0 / volts
    samples = replace(
        samples,
        voltage_v=np.where(hit, volts, samples.voltage_v),
        current_a=np.where(hit, amps, samples.current_a),
    )
    return samples, hit, finding("current_from_meter", samples, hit)


def _near(time: IntArray, others: IntArray, reach: int) -> BoolArray:
    """Times with another one within reach on both sides (or at the same moment), shape (n,)."""
    right = np.searchsorted(others, time)
    after = others[np.minimum(right, others.shape[0] - 1)] - time
    before = time - others[np.maximum(right - 1, 0)]
    same = after == 0
    return same | ((after >= 0) & (after <= reach) & (before >= 0) & (before <= reach) & (right > 0))


def _carried(samples: Samples, name: str, car: IntArray, charger: IntArray, reach: int) -> FloatArray:
    """A channel with the charger's values at the car's times where the car has none, shape (n,)."""
    value = getattr(samples, name).copy()
    known = charger[np.isfinite(value[charger])]
    wanting = car[~np.isfinite(value[car])]
    if known.shape[0] == 0 or wanting.shape[0] == 0:
        return value
    time = samples.time_us[known]
    near = _near(samples.time_us[wanting], time, reach)
    at = (samples.time_us[wanting[near]] - time[0]) * 1e-6
    value[wanting[near]] = np.interp(at, (time - time[0]) * 1e-6, value[known])
    return value


def merge_logged(logged: list[RawSession], rule: Rules) -> tuple[list[RawSession], list[Finding]]:
    """Sessions that car and charger logged both, as one: energies at the meter from the charger, SOC from the car.

    Two are the same where they are of one kind and overlap for most of the shorter one. Times are the wider ones.
    """
    least = rule("defects", "double_logged_overlap_frac")
    cars = sorted((r for r in logged if r.logger != "charger"), key=lambda r: r.start_us)
    chargers = sorted((r for r in logged if r.logger == "charger"), key=lambda r: r.start_us)
    if not cars or not chargers:
        return logged, []
    out: list[RawSession] = []
    merged: list[RawSession] = []
    taken: set[int] = set()
    begin = 0
    for car in cars:
        while begin < len(chargers) and _end(chargers[begin]) < car.start_us - US_PER_DAY:
            begin += 1
        best, share = -1, least
        for i in range(begin, len(chargers)):
            if chargers[i].start_us > _end(car):
                break
            overlap = _overlap_frac(car, chargers[i])
            if i not in taken and overlap >= share and "drive" not in (car.kind, chargers[i].kind):
                best, share = i, overlap
        if best < 0:
            out.append(car)
            continue
        taken.add(best)
        one = _one(car, chargers[best])
        out.append(one)
        merged.append(one)
    out += [r for i, r in enumerate(chargers) if i not in taken]
    out.sort(key=lambda r: (r.start_us, r.kind, r.session_ref))
    if not merged:
        return logged, []
    examples = tuple(stamp(r.start_us) for r in merged[:EXAMPLES])
    return out, [Finding("double_logged", len(merged), examples[0], len(merged), examples)]


def _end(r: RawSession) -> int:
    return r.end_us if r.end_us is not None else r.start_us + US_PER_DAY


def _overlap_frac(a: RawSession, b: RawSession) -> float:
    common = min(_end(a), _end(b)) - max(a.start_us, b.start_us)
    return common / max(min(_end(a) - a.start_us, _end(b) - b.start_us), 1)


def _one(car: RawSession, charger: RawSession) -> RawSession:
    ends = [r.end_us for r in (car, charger) if r.end_us is not None]

    def first(name: str, one: RawSession, other: RawSession) -> float | None:
        value = getattr(one, name)
        return getattr(other, name) if value is None else value

    return replace(
        car,
        kind="plugin" if "plugin" in (car.kind, charger.kind) else car.kind,
        start_us=min(car.start_us, charger.start_us),
        end_us=max(ends) if ends else None,
        energy_in_meter_kwh=first("energy_in_meter_kwh", charger, car),
        energy_out_meter_kwh=first("energy_out_meter_kwh", charger, car),
        soc_start_frac=first("soc_start_frac", car, charger),
        soc_end_frac=first("soc_end_frac", car, charger),
        shared=car.shared or charger.shared,
        flags=(*dict.fromkeys((*car.flags, *charger.flags, "double_logged")),),
    )
