"""Counters of meters and what the BMS says of its own health: resets, drop-outs, per-session counters, jumps.

Seen in the field: evcc-io/evcc#4997 (charged energy resets), lbbrhzn/ocpp#374 (registers drop out), lbbrhzn/ocpp#1707
(a register that stands still until the charge has ended),
JoaoPedroBelo/bmw-wallbox-ha#10 (per session against lifetime), flobz/psa_car_controller#854 (state of health jumps).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.domain import BoolArray, FloatArray, IntArray, Pack, Use
from models.sessions import US_PER_HOUR, Finding, Rules, Samples, finding, runs_of

# Power of the meter up to which the charger stands by. [kW]
METER_REST_KW = 0.05
_BACK_WITHIN = 48 * US_PER_HOUR
# Most resets lie at the beginnings of sessions: the counter is one of the session.
_PER_SESSION_SHARE = 0.8
_PER_SESSION_LEAST = 3
# Rises that tell a register's step, how far off a multiple of it they may be, and beyond how many steps they tell none.
_RISES_TELL, _OFF_STEP, _LEAP_STEPS = 5, 0.002, 20


def drop_stuck_registers(samples: Samples, pack: Pack, rule: Rules) -> tuple[Samples, list[Finding]]:
    """Registers that stand still while energy flows through the meter become unknown, their first value apart.

    What flowed is the meter's power; where there is none that of the battery in a named session (drives apart), or by
    how much the state of charge rose, or fell in an export, from one end of the standstill to the other: that it
    flickers, is recalibrated at rest or falls as the car uses energy itself is no flow. The register's own step
    (`register_step_kwh`) is no standstill. What it shows when it moves again counts.

    Returns
    -------
    Samples, list of Finding
        ``stuck_register``.
    """
    flows = _through_meter(samples, pack, rule)
    hits = np.zeros(samples.size, dtype=bool)
    mended: dict[str, FloatArray] = {}
    for name, (flow, by_soc) in zip(Samples.REGISTERS, flows, strict=True):
        value = getattr(samples, name)
        known = np.flatnonzero(np.isfinite(value))
        if known.shape[0] < 2:
            continue
        v, total, net = value[known], flow[known], by_soc[known]
        step = register_step_kwh(v)
        run = runs_of(v, samples.ref[known])
        first = np.flatnonzero(np.concatenate(([True], run[1:] != run[:-1])))
        end = np.concatenate((first[1:] - 1, [known.shape[0] - 1]))
        least = max(rule("defects", "stuck_register_kwh"), 1.5 * step)
        moved = total[end] - total[first] + np.maximum(net[end] - net[first], 0.0)
        stuck = (end - first + 1 >= rule("defects", "stuck_samples")) & (moved > least)
        hit = np.zeros(samples.size, dtype=bool)
        hit[known[stuck[run] & (np.arange(known.shape[0]) > first[run])]] = True
        if hit.any():
            mended[name] = np.where(hit, np.nan, value)
            hits |= hit
    return (replace(samples, **mended) if mended else samples), finding("stuck_register", samples, hits)


def register_step_kwh(value: FloatArray) -> float:
    """Step in which a register moves: the largest one of which all its rises are multiples. [kWh]

    Five rises or more tell a step of any size. Fewer prove none above 1 kWh: a register that stands still and shows the
    energy of a charge at its end would pass for a coarse one.

    Parameters
    ----------
    value
        Known values in order of time, shape (n,). [kWh]

    Examples
    --------
    >>> register_step_kwh(np.array([10.0, 10.0, 15.0, 25.0, 30.0, 30.0, 35.0, 50.0]))
    5.0
    >>> register_step_kwh(np.array([10.0, 16.1, 23.4, 28.2, 31.9, 40.0]))  # each charge shown when it is over
    1.0
    >>> register_step_kwh(np.array([10.0, 16.0])), register_step_kwh(np.array([10.0, 10.1]))
    (1.0, 0.1)
    """
    rises = np.diff(value)
    rises = rises[rises > 1e-6]
    least = float(rises.min()) if rises.shape[0] else 1.0
    if least < 1.0 or rises.shape[0] < _RISES_TELL:
        return min(round(least, 6), 1.0)
    rises = rises[rises < _LEAP_STEPS * least]
    for part in range(1, min(int(least), _LEAP_STEPS) + 1):
        times = rises * part / least
        if np.all(np.abs(times - np.round(times)) < _OFF_STEP):
            return least / part
    return 1.0


def _through_meter(samples: Samples, pack: Pack, rule: Rules) -> list[tuple[FloatArray, FloatArray]]:
    """Energy into and out of the car through the charger's meter up to each sample: by power, shape (n,), which only
    rises, and net by the state of charge where no power is known, shape (n,). [kWh]
    """
    hours = np.diff(samples.time_us) / US_PER_HOUR
    plugged = (samples.ref >= 0) & (samples.state != Use.DRIVE)
    own_use = (samples.current_a < 0.0) & (samples.state != Use.EXPORT)  # what a plugged car takes from its battery
    battery_kw = np.where(plugged, np.where(own_use, 0.0, samples.voltage_v * samples.current_a / 1000.0), np.nan)
    power = np.where(np.isfinite(samples.power_kw), samples.power_kw, battery_kw)
    power = np.where(np.abs(power) > METER_REST_KW, power, np.where(np.isfinite(power), 0.0, np.nan))
    # What flowed for certain: between a sample with power and one without nothing is known.
    least = np.minimum(np.abs(power[1:]), np.abs(power[:-1])) * (power[1:] * power[:-1] >= 0.0)
    sure = np.where(np.isfinite(least), np.sign(power[1:]) * least, np.nan)
    by_power = np.where(hours <= rule("cut", "gap_active_minutes") / 60.0, sure * hours, 0.0)
    by_soc = np.where(np.isfinite(by_power), 0.0, np.nan_to_num(np.diff(samples.soc_frac)) * pack.usable_kwh)
    out: list[tuple[FloatArray, FloatArray]] = []
    for sign, may in ((1.0, plugged & (samples.state != Use.REST)), (-1.0, plugged & (samples.state == Use.EXPORT))):
        flow = np.maximum(sign * np.nan_to_num(by_power), 0.0)
        net = np.where(may[1:] & may[:-1], sign * by_soc, 0.0)
        zero = np.zeros(min(samples.size, 1))
        out.append((np.concatenate((zero, np.cumsum(flow))), np.concatenate((zero, np.cumsum(net)))))
    return out


def mend_registers(samples: Samples, rule: Rules) -> tuple[Samples, list[Finding]]:
    """Energy registers that only rise: drop-outs become unknown, resets and leaps go on from what was there.

    A value below the one before that is back within two days dropped out. One that stays below was reset: what the
    register showed before is added. Where most resets fall on the beginnings of sessions the register is one of the
    session. Where it also falls at most beginnings of sessions it starts anew at all of them: one that begins above the
    end of the session before counts what it shows, not the difference. A rise faster than a charger can give is not
    energy and is taken out.

    Returns
    -------
    Samples
        With registers that never fall, NaN where not known.
    list of Finding
        ``register_dropout``, ``register_reset``, ``register_per_session``, ``register_leap``.
    """
    found: list[Finding] = []
    mended: dict[str, FloatArray] = {}
    for name in Samples.REGISTERS:
        value = getattr(samples, name)
        known = np.flatnonzero(np.isfinite(value))
        if known.shape[0] < 2:
            continue
        new, more = _mend_register(samples, value, known, rule)
        found += more
        if more:
            mended[name] = new
    return (replace(samples, **mended) if mended else samples), found


def _mend_register(
    samples: Samples, value: FloatArray, known: IntArray, rule: Rules
) -> tuple[FloatArray, list[Finding]]:
    time, v, step = samples.time_us[known], value[known], rule("defects", "register_step_kwh")
    dropped = _dropouts(time, v, step)
    kept = np.flatnonzero(~dropped)
    v, time, at = v[kept], time[kept], known[kept]
    rise = np.diff(v, prepend=v[:1])
    hours = np.diff(time, prepend=time[:1]) / US_PER_HOUR
    reset = rise < -step
    leap = rise > step + rule("defects", "register_power_kw") * hours
    leap[:1] = False
    # After a reset the register has counted from zero; a leap and a fall within rounding count nothing.
    gain = np.where(reset, np.where(v < 1.0, v, 0.0), np.where(leap, 0.0, np.maximum(rise, 0.0)))
    begins = _begins(samples, at)
    per_session = int(reset.sum()) >= _PER_SESSION_LEAST and (reset & begins).sum() >= _PER_SESSION_SHARE * reset.sum()
    anew = _starts_anew(samples.ref[at], reset, rise > step) if per_session else np.zeros(v.shape, dtype=bool)
    if anew.any():
        gain[anew] = np.where(v <= step + rule("defects", "register_power_kw") * hours, v, gain)[anew]
        reset = reset | anew
    out = np.full(value.shape, np.nan)
    out[at] = v[0] + np.cumsum(gain) if v.size else v
    hits = {
        "register_dropout": (known, dropped),
        "register_per_session" if per_session else "register_reset": (at, reset),
        "register_leap": (at, leap),
    }
    found: list[Finding] = []
    for name, (rows, hit) in hits.items():
        mask = np.zeros(value.shape, dtype=bool)
        mask[rows[hit]] = True
        found += finding(name, samples, mask)
    return out, found


def _dropouts(time: IntArray, v: FloatArray, step: float) -> BoolArray:
    """Values below an earlier one that is reached again within two days, shape (n,)."""
    out = np.zeros(v.shape, dtype=bool)
    i = 1
    while i < v.shape[0]:
        if v[i] >= v[i - 1] - step:
            i += 1
            continue
        soon = int(np.searchsorted(time, time[i] + _BACK_WITHIN, side="right"))
        back = np.flatnonzero(v[i:soon] >= v[i - 1] - step)
        # A counter that starts anew climbs back step by step; one that dropped out returns at once.
        if back.shape[0] and (back[0] == 1 or float(np.ptp(v[i : i + int(back[0])])) < step):
            out[i : i + int(back[0])] = True
            i += int(back[0])
        i += 1
    return out


def _starts_anew(ref: IntArray, reset: BoolArray, rises: BoolArray) -> BoolArray:
    """Readings with which a register of the session starts anew, above the one before or below it, shape (n,).

    None, unless it falls at nearly all beginnings of named sessions that tell anything (where it neither falls nor
    rises the session before is still shown).
    """
    first = np.flatnonzero((ref[1:] != ref[:-1]) & (ref[1:] >= 0)) + 1
    second = np.minimum(first + 1, ref.shape[0] - 1)
    later = reset[second] & (ref[second] == ref[first])
    fell, rose = reset[first] | later, rises[first] & ~later
    out = np.zeros(ref.shape, dtype=bool)
    if fell.sum() >= _PER_SESSION_SHARE * (fell | rose).sum():
        out[first[rose]] = True
        out[first[reset[first]]] = True
        out[second[later]] = True
    return out


def _begins(samples: Samples, rows: IntArray) -> BoolArray:
    """Whether a row is the first or second of its named session among the rows, shape (n,)."""
    ref = samples.ref[rows]
    new = np.concatenate(([True], ref[1:] != ref[:-1])) & (ref >= 0)
    return new | np.concatenate(([False], new[:-1]))


def drop_soh_jumps(samples: Samples, rule: Rules) -> tuple[Samples, list[Finding]]:
    """A state of health far from the median of its thirty neighbours becomes unknown (another field, a glitch)."""
    known = np.flatnonzero(np.isfinite(samples.soh_frac))
    if known.shape[0] < 3:
        return samples, []
    v = samples.soh_frac[known]
    reach = 15
    padded = np.pad(v, reach, mode="reflect" if v.shape[0] > reach else "edge")
    middle = np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1), axis=1)
    far = (np.abs(v - middle) > rule("defects", "soh_jump_frac")) | (v < rule("defects", "soh_least_frac"))
    hit = np.zeros(samples.size, dtype=bool)
    hit[known[far]] = True
    found = finding("jump_soh_frac", samples, hit)
    return (replace(samples, soh_frac=np.where(hit, np.nan, samples.soh_frac)) if found else samples), found


def register_kwh(samples: Samples, name: str, start_us: IntArray, end_us: IntArray) -> FloatArray:
    """Energy counted by a mended register between two times, NaN where it was not read near both ends. [kWh]"""
    value = getattr(samples, name)
    known = np.isfinite(value)
    if known.sum() < 2:
        return np.full(start_us.shape, np.nan)
    time, v = samples.time_us[known], value[known]
    near = np.ones(start_us.shape, dtype=bool)
    ends: list[FloatArray] = []
    for t in (start_us, end_us):
        right = np.clip(np.searchsorted(time, t), 0, time.shape[0] - 1)
        left = np.maximum(right - 1, 0)
        near &= np.minimum(np.abs(time[right] - t), np.abs(time[left] - t)) <= US_PER_HOUR // 4
        ends.append(np.interp((t - time[0]) * 1e-6, (time - time[0]) * 1e-6, v))
    return np.where(near, ends[1] - ends[0], np.nan)


def register_across(
    samples: Samples, name: str, start_us: IntArray, end_us: IntArray
) -> tuple[FloatArray, IntArray, IntArray]:
    """What a mended register rose by from its last reading before a time to its first after another, however far off.

    Returns
    -------
    FloatArray
        Rises, NaN where there is no reading on one side. [kWh]
    IntArray, IntArray
        Times of the two readings. [us]
    """
    value = getattr(samples, name)
    known = np.flatnonzero(np.isfinite(value))
    if known.shape[0] < 2:
        return np.full(start_us.shape, np.nan), start_us, end_us
    time, v = samples.time_us[known], value[known]
    before = np.searchsorted(time, start_us, side="right") - 1
    after = np.searchsorted(time, end_us, side="left")
    both = (before >= 0) & (after < time.shape[0])
    before, after = np.clip(before, 0, None), np.clip(after, None, time.shape[0] - 1)
    return np.where(both, v[after] - v[before], np.nan), time[before], time[after]
