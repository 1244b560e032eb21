"""Sessions of a vehicle that logs only plug-ins: state of charge by an energy balance, drives between them.

Stated assumptions (``parameters/history.toml``, [balance]): energy at the meter reaches the battery with one
efficiency; charging starts at plug-in; who stays plugged in longer than the energy needs has stopped at a ceiling; what
was charged since the last such stop was driven since, shared out over the absences by their length. Nobody drives
faster than a cap: what an absence is too short for was driven before, and then the stay before it ended below the
ceiling. Every such state of charge is flagged and never yields a capacity reading.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from models.domain import Pack
from models.sessions import US_PER_HOUR, Finding, RawSession, Rules, Session, stamp

NAN = float("nan")
ABSENT_LONG_HOURS = 7 * 24


@dataclass
class _Stay:
    """One time plugged in (or one logged drive): what flowed, and what is known of its state of charge."""

    raw: RawSession
    start_us: int
    end_us: int
    in_kwh: float = 0.0
    out_kwh: float = 0.0
    before: float = NAN
    after: float = NAN
    stopped: bool = False
    logged_before: bool = False
    logged_after: bool = False
    capped: bool = False
    parts: list[RawSession] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)

    @property
    def hours(self) -> float:
        return (self.end_us - self.start_us) / US_PER_HOUR


def _resolve(logged: list[RawSession], found: dict[str, list[int]]) -> list[_Stay]:
    """Stays in time order without overlap; sessions inside a plug-in window become its parts."""
    stays: list[_Stay] = []
    for raw in sorted(logged, key=lambda r: (r.start_us, r.kind != "plugin", r.session_ref)):
        flags = list(raw.flags) + (["shared"] if raw.shared else [])
        end = raw.end_us
        if end is not None and end < raw.start_us:
            end = None
            flags.append("negative_duration")
            found.setdefault("negative_duration", []).append(raw.start_us)
        for name in ("energy_in_meter_kwh", "energy_out_meter_kwh"):
            value = getattr(raw, name)
            if value is not None and value < 0:
                raw = replace(raw, **{name: None})
                flags.append("energy_reset")
                found.setdefault("energy_reset", []).append(raw.start_us)
        if end is None:
            flags.append("open_session")
            found.setdefault("open_session", []).append(raw.start_us)
        last = stays[-1] if stays else None
        if last is not None and last.raw.kind == "plugin" and raw.kind != "plugin" and raw.start_us < last.end_us:
            last.parts.append(replace(raw, end_us=min(end if end is not None else raw.start_us, last.end_us)))
            continue
        stay = _Stay(raw, raw.start_us, raw.start_us if end is None else end, flags=flags)
        if last is not None and stay.start_us < last.end_us:
            double = stay.end_us <= last.end_us
            rule = "double_session" if double else "overlap"
            if not double and last.end_us - stay.start_us <= 1.1 * US_PER_HOUR:
                rule = "clock_suspect"
            found.setdefault(rule, []).append(raw.start_us)
            stay.flags.append(rule)
            last.flags.append(rule)
            stay.end_us = max(stay.end_us, last.end_us)
            last.end_us = stay.start_us
        stays.append(stay)
    return stays


def _charge_power_kw(stays: list[_Stay], rule: Rules) -> float:
    """A user's charging power at the battery. [kW]"""
    power = [s.in_kwh / s.hours for s in stays if s.hours >= 0.25 and s.in_kwh > 0]
    if not power:
        return rule("balance", "default_charge_kw")
    return max(float(np.quantile(power, rule("balance", "charge_power_quantile"))), 0.5)


def _energies(stays: list[_Stay], pack: Pack, rule: Rules) -> float:
    """Energies at the battery, ends of open sessions, stops at the ceiling; returns the charging power. [kW]"""
    eff = rule("balance", "charge_efficiency_frac")
    for s in stays:
        sources = s.parts if s.parts else [s.raw]
        s.in_kwh = eff * sum(r.energy_in_meter_kwh or 0.0 for r in sources)
        s.out_kwh = sum(r.energy_out_meter_kwh or 0.0 for r in sources) / eff
        first, last = sources[0], sources[-1]
        if first.soc_start_frac is not None:
            s.before, s.logged_before = first.soc_start_frac, True
        if last.soc_end_frac is not None:
            s.after, s.logged_after = last.soc_end_frac, True
    power = _charge_power_kw(stays, rule)
    for i, s in enumerate(stays):
        need_us = int((s.in_kwh + s.out_kwh) / power * US_PER_HOUR)
        if "open_session" in s.flags:
            s.end_us = s.start_us + need_us
            if i + 1 < len(stays):
                s.end_us = min(s.end_us, stays[i + 1].start_us)
        spare = (1.0 + rule("balance", "stop_margin_frac")) * need_us + US_PER_HOUR // 4
        s.stopped = s.raw.kind != "drive" and "open_session" not in s.flags and s.end_us - s.start_us >= spare
        s.stopped = s.stopped and s.in_kwh > 0
        if not s.logged_after and s.stopped:
            s.after = rule("balance", "ceiling_soc_frac")
    return power


def _levels(stays: list[_Stay], pack: Pack, rule: Rules) -> None:
    """State of charge before and after every stay."""
    floor, ceiling = rule("balance", "floor_soc_frac"), rule("balance", "ceiling_soc_frac")
    change = [(s.in_kwh - s.out_kwh) / pack.usable_kwh for s in stays]
    for s, d in zip(stays, change, strict=True):
        if np.isnan(s.before) and not np.isnan(s.after):
            s.before = min(max(s.after - d, floor), 1.0)
        elif np.isnan(s.after) and not np.isnan(s.before):
            s.after = min(max(s.before + d, 0.0), 1.0)
    known = [i for i, s in enumerate(stays) if not np.isnan(s.before)]
    if not known:
        _go_on(stays, change, range(len(stays)), ceiling, floor)
        return
    for i in range(known[0] - 1, -1, -1):
        ahead = stays[i + 1].before + max(change[i + 1], 0.0)
        stays[i].after = min(max(ahead, floor), max(ceiling, stays[i + 1].before))
        stays[i].before = min(max(stays[i].after - change[i], floor), 1.0)
    for a, b in pairwise(known):
        _share_out(stays, change, a, b, rule)
    _go_on(stays, change, range(known[-1] + 1, len(stays)), stays[known[-1]].after, floor)


def _go_on(stays: list[_Stay], change: list[float], rows: range, level: float, floor: float) -> None:
    for i in rows:
        stays[i].before = min(max(level - max(change[i], 0.0), floor), 1.0)
        stays[i].after = level = min(max(stays[i].before + change[i], 0.0), 1.0)


def _share_out(stays: list[_Stay], change: list[float], a: int, b: int, rule: Rules) -> None:
    """Share what was driven between two known states of charge out over the absences between them."""
    floor, ceiling = rule("balance", "floor_soc_frac"), rule("balance", "ceiling_soc_frac")
    cap = rule("balance", "away_hours_cap")
    weight = [min(max(stays[i].start_us - stays[i - 1].end_us, 0) / US_PER_HOUR, cap) for i in range(a + 1, b + 1)]
    driven = stays[a].after + sum(change[a + 1 : b]) - stays[b].before
    total = sum(weight)
    level = stays[a].after
    top = max(ceiling, level)
    for i, w in zip(range(a + 1, b), weight[:-1], strict=True):
        level -= max(driven, 0.0) * (w / total if total > 0 else 0.0)
        stays[i].before = min(max(level, floor), max(top - max(change[i], 0.0), floor))
        stays[i].after = level = min(max(stays[i].before + change[i], 0.0), 1.0)


def _most(a: _Stay, b: _Stay, pack: Pack, rule: Rules, consumption_wh_per_km: float) -> float:
    """The largest drop in state of charge that can be driven in the absence between two stays."""
    hours = max(b.start_us - a.end_us, 0) / US_PER_HOUR
    km = hours * rule("balance", "max_drive_speed_km_per_h")
    return km * consumption_wh_per_km / 1000.0 / pack.usable_kwh


def _cap_drives(stays: list[_Stay], pack: Pack, rule: Rules, consumption_wh_per_km: float) -> None:
    """Let no absence hold more driving than fits, last absence first.

    What does not fit lowers the stay before the absence as a whole, and so was driven in earlier absences. A stay that
    would fall below the floor stays there; the stay after the absence is then raised as far as its own next absence
    has room. What is left fits no pack: there a stay's energies no longer balance, which `infer_sessions` flags.
    """
    floor = rule("balance", "floor_soc_frac")
    room = np.inf
    for a, b in reversed(list(pairwise(stays))):
        most = _most(a, b, pack, rule, consumption_wh_per_km)
        excess = a.after - b.before - most
        if excess > 1e-9:
            a.capped = True
            excess -= _lower(a, excess, pack, floor)
        if excess > 1e-9 and not (b.logged_before or b.logged_after):
            b.capped = True
            up = min(excess, max(1.0 - b.after, 0.0), room)
            b.after += up
            b.before += up
        room = max(most - (a.after - b.before), 0.0)
    for a, b in pairwise(stays):
        excess = a.after - b.before - _most(a, b, pack, rule, consumption_wh_per_km)
        if excess > 1e-9 and not b.logged_before:
            a.capped = b.capped = True
            b.before += excess
            b.after = b.after if b.logged_after or b.in_kwh < b.out_kwh else max(b.after, b.before)


def _lower(s: _Stay, by: float, pack: Pack, floor: float) -> float:
    """Let a stay end lower, and begin lower where its beginning is not logged; returns by how much it could."""
    if s.logged_after:
        return 0.0
    change = (s.in_kwh - s.out_kwh) / pack.usable_kwh
    least = s.before + change if s.logged_before else floor + max(change, 0.0)
    done = min(by, max(s.after - least, 0.0))
    if done > 0:
        s.after -= done
        if not s.logged_before:
            s.before = min(s.after - change, 1.0)
    return done


def _session(
    stay: _Stay, kind: str, start: int, end: int, soc: tuple[float, float], pack: Pack, plugged: bool
) -> Session:
    delta = (soc[1] - soc[0]) * pack.usable_kwh
    raw = stay.raw
    charge, export = kind == "charge", kind == "export"
    return Session(
        session_ref=raw.session_ref,
        kind=kind,
        start_us=start,
        end_us=end,
        energy_in_battery_kwh=max(delta, 0.0) if not charge else stay.in_kwh,
        energy_out_battery_kwh=max(-delta, 0.0) if not export else stay.out_kwh,
        energy_in_meter_kwh=_sum(stay, "energy_in_meter_kwh") if charge else NAN,
        energy_out_meter_kwh=_sum(stay, "energy_out_meter_kwh") if export else NAN,
        soc_start_frac=soc[0],
        soc_end_frac=soc[1],
        soc_inferred=not (stay.logged_before and stay.logged_after),
        temp_mean_c=NAN,
        plugged=plugged,
        distance_km=0.0,
        samples=0,
        flags=tuple(dict.fromkeys(stay.flags)),
    )


def _sum(stay: _Stay, name: str) -> float:
    values = [getattr(r, name) for r in (stay.parts or [stay.raw]) if getattr(r, name) is not None]
    return float(sum(values)) if values else NAN


def _events(s: _Stay, power_kw: float, eff: float) -> list[tuple[str, int, int, float]]:
    """What flowed in a stay: kind, start, end, energy at the battery. Logged parts keep their times; else export goes
    before charge, the first thing after plug-in."""
    out: list[tuple[str, int, int, float]] = []
    at = s.start_us
    if s.parts:
        for part in s.parts:
            kind = "export" if part.kind == "export" else "charge"
            value = part.energy_out_meter_kwh if kind == "export" else part.energy_in_meter_kwh
            start = max(part.start_us, at)
            end = max(min(part.end_us or start, s.end_us), start)
            kwh = (value or 0.0) / eff if kind == "export" else (value or 0.0) * eff
            out.append((kind, start, end, kwh))
            at = end
        return out
    for kind, kwh in (("export", s.out_kwh), ("charge", s.in_kwh)):
        if kwh > 0:
            end = min(at + int(kwh / power_kw * US_PER_HOUR), s.end_us)
            out.append((kind, at, end, kwh))
            at = end
    return out


def _of_stay(s: _Stay, power_kw: float, pack: Pack, rule: Rules) -> list[Session]:
    """Charges and exports of a stay and the plugged rests between them."""
    out: list[Session] = []
    events = _events(s, power_kw, rule("balance", "charge_efficiency_frac"))
    at, level = s.start_us, s.before
    for i, (kind, start, end, kwh) in enumerate(events):
        if start > at:
            out.append(_session(s, "rest", at, start, (level, level), pack, True))
        sign = -1.0 if kind == "export" else 1.0
        to = s.after if i == len(events) - 1 else min(max(level + sign * kwh / pack.usable_kwh, 0.0), 1.0)
        one = _session(s, kind, start, end, (level, to), pack, True)
        if len(s.parts) > 1 or len(events) > 1:
            one = replace(one, energy_in_battery_kwh=kwh if sign > 0 else 0.0)
            one = replace(one, energy_out_battery_kwh=kwh if sign < 0 else 0.0)
        if s.parts:
            part = s.parts[i]
            one = replace(
                one,
                session_ref=part.session_ref or one.session_ref,
                energy_in_meter_kwh=_or_nan(part.energy_in_meter_kwh) if sign > 0 else NAN,
                energy_out_meter_kwh=_or_nan(part.energy_out_meter_kwh) if sign < 0 else NAN,
            )
        out.append(one)
        at, level = end, to
    if s.end_us > at:
        rest = _session(s, "rest", at, s.end_us, (level, s.after), pack, True)
        out.append(replace(rest, energy_in_battery_kwh=0.0, energy_out_battery_kwh=0.0))
    return out


def _or_nan(value: float | None) -> float:
    return NAN if value is None else value


def _drives(a: _Stay, b: _Stay, pack: Pack, rule: Rules, consumption_wh_per_km: float) -> list[Session]:
    """Drives in the absence between two stays: out after the plug-out and home before the next plug-in."""
    drop = a.after - b.before
    away_us = b.start_us - a.end_us
    if drop <= 0.001 or away_us <= 0:
        return []
    kwh = min(drop, _most(a, b, pack, rule, consumption_wh_per_km)) * pack.usable_kwh
    km = kwh * 1000.0 / consumption_wh_per_km
    need_us = int(km / rule("balance", "drive_speed_km_per_h") * US_PER_HOUR)
    flags = ["drive_inferred", "distance_modelled"]
    if away_us > ABSENT_LONG_HOURS * US_PER_HOUR:
        flags.append("away_charge_unknown")
    if a.capped:
        flags.append("drive_capped")
    none = _Stay(RawSession("", "drive", a.end_us, b.start_us), a.end_us, b.start_us, flags=flags)
    half = (a.after + b.before) / 2
    if need_us >= away_us or kwh < 1.0:
        spans = [(max(b.start_us - need_us, a.end_us), b.start_us, a.after, b.before)]
    else:
        spans = [
            (a.end_us, a.end_us + need_us // 2, a.after, half),
            (b.start_us - need_us // 2, b.start_us, half, b.before),
        ]
    out = [_session(none, "drive", t0, t1, (s0, s1), pack, False) for t0, t1, s0, s1 in spans]
    share = {"energy_out_battery_kwh": kwh / len(out), "distance_km": km / len(out)}
    return [replace(d, soc_inferred=True, **share) for d in out]


def infer_sessions(
    logged: list[RawSession], pack: Pack, rule: Rules, consumption_wh_per_km: float
) -> tuple[list[Session], list[Finding]]:
    """Sessions of a vehicle without samples.

    Parameters
    ----------
    logged
        Sessions as logged, in any order.
    pack, consumption_wh_per_km
        Usable energy turns kWh into SOC; consumption turns kWh into kilometres. [Wh/km]

    Returns
    -------
    sessions
        In order of time and without overlap: charges, exports, plugged rests, and the drives between stays. Flags:
        ``soc_inferred``, ``drive_inferred``, ``charge_start_assumed``, ``drive_capped``, ``open_session``,
        ``overlap``, ...
    findings
        What had to be resolved.
    """
    found: dict[str, list[int]] = {}
    stays = _resolve(logged, found)
    if not stays:
        return [], []
    power = _energies(stays, pack, rule)
    _levels(stays, pack, rule)
    _cap_drives(stays, pack, rule, consumption_wh_per_km)
    out: list[Session] = []
    for i, s in enumerate(stays):
        error = abs((s.after - s.before) - (s.in_kwh - s.out_kwh) / pack.usable_kwh)
        inferred = not (s.logged_before and s.logged_after)
        s.flags += ["drive_capped"] if s.capped else []
        if s.raw.kind != "drive" and inferred:
            s.flags.append("soc_inferred")
            s.flags += ["charge_start_assumed"] if s.in_kwh > 0 else []
            if error > (1e-6 if s.capped else 0.02):
                s.flags.append("energy_exceeds_pack")
                found.setdefault("energy_exceeds_pack", []).append(s.start_us)
        if i:
            out += _drives(stays[i - 1], s, pack, rule, consumption_wh_per_km)
        if s.raw.kind == "drive":
            drive = _session(s, "drive", s.start_us, s.end_us, (s.before, s.after), pack, False)
            out.append(replace(drive, distance_km=drive.energy_out_battery_kwh * 1000.0 / consumption_wh_per_km))
        else:
            out += _of_stay(s, power, pack, rule)
    findings = [Finding(r, len(t), stamp(t[0])) for r, t in sorted(found.items())]
    return out, findings
