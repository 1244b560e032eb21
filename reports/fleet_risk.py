"""Breach risk of a fleet: who, how sure, how much is due to export, which cap would halve it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from models.domain import BASELINE_POLICY
from reports import text as t
from reports.blocks import Cell, Detail, Fact, Group, Row, Section, Table
from reports.policies_view import Option, label_of, option, options_of
from reports.render import page_name
from reports.rows import VehicleData, WarrantyRow
from reports.rows_fleet import FleetData

AT_RISK_FRAC = 0.10
TOP = 25
LEAST_SHOWN = 5  # vehicles in sight on the front page, where fewer are at risk; the rest down to TOP is folded
NOTHING_TO_HALVE = 0.05


@dataclass(frozen=True)
class Risk:
    """One vehicle's risk, going on as today, and what a cap does to it."""

    vehicle: VehicleData
    options: tuple[Option, ...]
    now: WarrantyRow | None
    base: WarrantyRow | None
    halving: Option | None

    @property
    def breach_frac(self) -> float:
        """Chance of a breach found, going on as today (0 where not computed)."""
        return 0.0 if self.now is None else self.now.breach_frac


def total(values: Iterable[float | None]) -> float:
    """Sum whose result does not depend on the order (exactly rounded); what is not known counts as nothing."""
    return math.fsum(v for v in values if v is not None and math.isfinite(v))


def _saved(o: Option) -> float:
    v = o.value.bill_saved_money_per_year if o.value else None
    return v if v is not None and math.isfinite(v) else -math.inf


def _halving(options: tuple[Option, ...], now: WarrantyRow | None) -> Option | None:
    if now is None or now.breach_frac < 0.005:
        return None
    fit = [o for o in options if o.capped and o.warranty and o.warranty.breach_frac <= now.breach_frac / 2]
    return max(fit, key=_saved, default=None)


def risks_of(data: FleetData) -> tuple[Risk, ...]:
    """Vehicles by falling risk, then by id."""
    out: list[Risk] = []
    for v in data.vehicles:
        options = options_of(v)
        now = option(options, "as_driven")
        base = option(options, "as_driven_no_export") or option(options, BASELINE_POLICY)
        present = now or base
        now_row = present.warranty if present else None
        out.append(Risk(v, options, now_row, base.warranty if base else None, _halving(options, now_row)))
    return tuple(sorted(out, key=lambda r: (-r.breach_frac, r.vehicle.vehicle.vehicle_id)))


def answers(data: FleetData, risks: tuple[Risk, ...]) -> tuple[Fact, ...]:
    """The four answers at the top of the fleet page."""
    known = [r for r in risks if r.now is not None]
    if not known:
        return (Fact("Which vehicles may breach?", "Not computed yet."),)
    risky = [r for r in known if r.breach_frac >= AT_RISK_FRAC]
    expected = total(r.breach_frac for r in known)
    limit = t.percent(AT_RISK_FRAC)
    who = (
        f"{len(risky)} of {len(known)} vehicles {'has' if len(risky) == 1 else 'have'} a chance of {limit} or more"
        if risky
        else f"No vehicle of {len(known)} has a chance of {limit} or more"
    )
    return (
        Fact(
            "Which vehicles may breach?",
            f"{who}.",
            f"{t.number(expected, 1)} breaches expected in the whole fleet, going on as today, tests once a year"
            " (assumed).",
        ),
        _how_sure(known, risky),
        _due_to_export(data, known),
        _which_cap(data, known, expected),
        *_departing(data),
    )


def _departing(data: FleetData) -> tuple[Fact, ...]:
    """Who fades faster than was forecast of it; nothing where nobody's readings could be tested."""
    if not data.departures:
        return ()
    who = sorted((d for d in data.departures if d.departed), key=lambda d: (-d.below_forecast_pp, d.vehicle_id))
    count = t.plural(len(data.departures), "tested vehicle")
    if not who:
        return (Fact("Does a vehicle leave its forecast?", f"None of {count}."),)
    d = who[0]
    return (
        Fact(
            "Does a vehicle leave its forecast?",
            f"{len(who)} of {count}.",
            f"{d.vehicle_id} furthest: {d.run_readings} readings since {d.since_day} lie "
            f"{t.number(d.below_forecast_pp, 1)} points below it ({t.number(abs(d.run_sigmas), 1)} standard errors).",
        ),
    )


def _how_sure(known: list[Risk], risky: list[Risk]) -> Fact:
    low = total(r.now.breach_low_frac for r in known if r.now)
    high = total(r.now.breach_high_frac for r in known if r.now)
    group = risky or known
    measured = sum(1 for r in group if r.vehicle.state.standing == "measured")
    which = "vehicles at risk" if risky else "vehicles"
    others = {len(group): ".", 0: "; all rest on their type."}.get(measured, "; the others rest on their type.")
    return Fact(
        "How sure is that?",
        f"The models range from {t.number(low, 1)} to {t.number(high, 1)} breaches.",
        f"{measured} of {len(group)} {which} have readings of their own battery{others}",
    )


def _due_to_export(data: FleetData, known: list[Risk]) -> Fact:
    title = "How much is due to export?"
    if not data.export_sessions:
        return Fact(title, "Nothing: these logs contain no export.", "What export would do stands under policies.")
    export = [r.now for r in known if r.now and r.vehicle.state.export_kwh > 0]
    fade, cover = total(w.breach_by_fade_frac for w in export), total(w.breach_by_cover_frac for w in export)
    return Fact(
        title,
        f"Wear: {t.number(fade, 2, plus=True)} breaches over the {t.plural(len(export), 'vehicle')} that export.",
        f"{_export_range(export)}Virtual kilometres: {t.number(cover, 2, plus=True)} (shorter cover finds fewer)."
        " Compared with the same driving and charging without the export.",
    )


def _export_range(export: list[WarrantyRow]) -> str:
    """Range over the models of what export adds, where every row has one."""
    ends = [(w.breach_by_fade_low_frac, w.breach_by_fade_high_frac) for w in export]
    if not ends or any(low is None or high is None for low, high in ends):
        return ""
    low, high = total(x for x, _ in ends), total(x for _, x in ends)
    return f"The models range from {t.number(low, 2, plus=True)} to {t.number(high, 2, plus=True)}. "


def _which_cap(data: FleetData, known: list[Risk], expected: float) -> Fact:
    title = "Which cap would halve it?"
    if expected < NOTHING_TO_HALVE:
        return Fact(title, "There is next to no breach risk to halve.", _halves_wear(data, known))
    ids = [p for p, policy in data.policies.items() if policy.caps]
    best: tuple[float, float, str] | None = None
    lowest: tuple[float, str] | None = None
    for policy_id in ids:
        rows = [(r, option(r.options, policy_id)) for r in known]
        if any(o is None or o.warranty is None for _, o in rows):
            continue
        breaches = total(o.warranty.breach_frac for _, o in rows if o and o.warranty)
        saved = total(_saved(o) for _, o in rows if o)
        if lowest is None or breaches < lowest[0]:
            lowest = (breaches, policy_id)
        if breaches <= expected / 2 and (best is None or saved > best[0]):
            best = (saved, breaches, policy_id)
    wear = _halves_wear(data, known)
    if best is not None:
        return Fact(
            title,
            f"{label_of(data.policies, best[2])}.",
            f"{t.number(best[1], 1)} breaches expected instead of {t.number(expected, 1)}; of the caps that halve them,"
            f" the one that keeps most of the saving. {wear}",
        )
    if lowest is None:
        return Fact(title, "No cap has been computed.")
    now, then = t.number(expected, 1), t.number(lowest[0], 1)
    nearest = (
        f"The nearest is “{label_of(data.policies, lowest[1])}” with {then} instead of {now} breaches"
        if then != now and lowest[0] < expected
        else f"Not one of them lowers the {now} breaches expected by as much as 0.1"
    )
    return Fact(
        title,
        "The risk itself: none of the caps tried.",
        f"{nearest}: most of the risk does not come from export. {wear}",
    )


def _halves_wear(data: FleetData, known: list[Risk]) -> str:
    """Which cap at least halves the extra wear of its own setting and keeps most of the export, in a sentence."""
    best: tuple[float, float, str, str] | None = None
    for policy_id, policy in data.policies.items():
        if not policy.caps or not policy.uncapped_policy_id:
            continue
        capped, full, kept, whole = [], [], [], []
        for r in known:
            a, b = option(r.options, policy_id), option(r.options, policy.uncapped_policy_id)
            if not (a and b and a.horizon and b.horizon and a.setting and b.setting):
                continue
            if (b.setting.export_kwh_per_year or 0.0) > 1.0:
                capped.append(a.horizon.diff_p50_pp)
                full.append(b.horizon.diff_p50_pp)
                kept.append(a.setting.export_kwh_per_year)
                whole.append(b.setting.export_kwh_per_year)
        if not full or total(full) <= 0 or total(whole) <= 0:
            continue
        left, energy = total(capped) / total(full), total(kept) / total(whole)
        if left <= 0.5 and (best is None or energy > best[1]):
            best = (left, energy, policy_id, policy.uncapped_policy_id)
    if best is None:
        return "No cap tried halves the extra wear of its setting."
    names = data.policies
    return (
        f"The extra wear of “{label_of(names, best[3])}” is at least halved by “{label_of(names, best[2])}”:"
        f" {t.percent(best[0])} of it is left, with {t.percent(best[1])} of the export."
    )


def _fade_range(w: WarrantyRow) -> list[str]:
    low, high = w.breach_by_fade_low_frac, w.breach_by_fade_high_frac
    return [] if low is None or high is None else [t.points_range(low * 100, high * 100)]


def _cover(cover: float | None) -> list[str]:
    return [] if cover is None else [f"shorter cover {t.points(cover * 100)}"]


def risk_table(risks: tuple[Risk, ...], top: int, driver_folder: str = "../driver/") -> Table:
    """Vehicles by falling risk, linked to their pages."""
    body: list[Row] = []
    for r in risks[:top]:
        v, s, w = r.vehicle, r.vehicle.state, r.now
        fade = None if w is None else w.breach_by_fade_frac
        cover = None if w is None else w.breach_by_cover_frac
        export = "none logged" if s.export_kwh <= 0 else f"{t.points(None if fade is None else fade * 100)} points"
        sub = "" if s.export_kwh <= 0 or w is None else "; ".join([*_fade_range(w), *_cover(cover)])
        body.append(
            Row(
                (
                    Cell(v.vehicle.vehicle_id, v.vehicle.cohort_id, driver_folder + page_name(v.vehicle.vehicle_id)),
                    Cell(
                        t.years(s.age_years),
                        f"{t.number(s.odometer_km)} km" if t.known(s.odometer_km) else "no odometer",
                    ),
                    Cell(t.percent(s.soh_frac, 1), t.percent_range(s.soh_low_frac, s.soh_high_frac, 1)),
                    Cell(t.words(s.standing)),
                    Cell(
                        t.chance(None if w is None else w.breach_frac),
                        t.chance_range(w.breach_low_frac, w.breach_high_frac) if w else "",
                    ),
                    Cell(
                        t.chance(r.base.breach_frac if r.base else None),
                        t.chance_range(r.base.breach_low_frac, r.base.breach_high_frac) if r.base else "",
                    ),
                    Cell(export, sub),
                    Cell(t.years(None if w is None else w.cover_end_years)),
                    Cell(r.halving.label if r.halving else "none" if r.breach_frac >= 0.005 else "not needed"),
                )
            )
        )
    columns = (
        "Vehicle",
        "Age",
        "Capacity now",
        "Standing",
        "Chance of breach",
        "Without export",
        "Export adds by wear",
        "Cover left",
        "Cap that halves it",
    )
    caption = (
        "Going on as today, under each vehicle's own contract, tests once a year (assumed); small print: 80 % range"
    )
    return Table(
        f"{caption} of capacity, range over the models of a chance; what export adds to the chance by wear and, apart,"
        " by using up cover as distance.",
        columns,
        (Group("", tuple(body)),),
        left=(3, 8),
    )


def risk_section(risks: tuple[Risk, ...], risky: int) -> Section:
    """Vehicles at risk, and the next ones folded away."""
    n = len(risks)
    shown = min(max(risky, LEAST_SHOWN), TOP)
    more = risks[shown:TOP]
    return Section(
        "risk",
        "Breach risk by vehicle",
        tables=(risk_table(risks, shown),),
        links=(Cell(f"All {t.plural(n, 'vehicle')}", href="vehicles.html"),) if n > TOP else (),
        details=(Detail(f"The next {t.plural(len(more), 'vehicle')} of {n}", tables=(risk_table(more, TOP),)),)
        if more
        else (),
    )
