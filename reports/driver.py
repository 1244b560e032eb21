"""The page of one vehicle, for its driver: two minutes, plain words, every number with its range and its basis."""

from __future__ import annotations

from models.domain import BASELINE_POLICY
from reports import charts
from reports import text as t
from reports.blocks import Cell, Detail, Fact, Figure, Group, Page, Row, Section, Table, plain_table
from reports.driver_basis import unknown_section
from reports.driver_cover import habits_section, resale_section, warranty_section
from reports.driver_now import headline, headline_figure, notices, now_section
from reports.policies_view import (
    GROUPS,
    REFERENCE,
    SAME,
    Option,
    difference_heading,
    horizon_years,
    option,
    options_of,
    recommended_option,
)
from reports.rows import VehicleData

# Fewer hours of power cuts bridged in a year are not worth a line.
SHOWN_OUTAGE_HOURS = 0.1


def driver_page(v: VehicleData) -> Page:
    """View of one vehicle's page.

    Parameters
    ----------
    v
        Everything known of the vehicle; missing parts become sentences, never blanks.
    """
    options = options_of(v)
    s = v.state
    zone = v.home.time_zone if v.home else "UTC"
    last = t.day(t.local_day(s.last_data_utc, zone))
    eyebrow = f"Battery report · {v.vehicle_label or v.vehicle.vehicle_type} · data up to {last}"
    said, lead = headline(v)
    sections = (
        now_section(v, last),
        _recommended_section(v, options),
        _export_section(v),
        _policies_section(v, options),
        warranty_section(v, options),
        resale_section(v, options),
        habits_section(v),
        unknown_section(v),
    )
    return Page(
        title=f"Battery report {v.vehicle.vehicle_id}",
        eyebrow=eyebrow,
        headline=said,
        lead=lead,
        sections=sections,
        notices=notices(v),
        figures=(headline_figure(v),),
        footer=(
            f"Fadecast · car {v.vehicle.vehicle_id} · data up to {last}. Ranges hold in 8 of 10 cases, as far as the"
            " models are right. This report is neither a diagnosis nor an appraisal nor legal advice.",
        ),
    )


def _beside(options: tuple[Option, ...]) -> str:
    """The same chance going on as today and without export, to compare; '' where they are not known."""
    chosen = recommended_option(options)
    said = [
        f"{other.breach} {words}"
        for policy_id, words in (("as_driven", "going on as today"), (BASELINE_POLICY, "without export"))
        if (other := option(options, policy_id)) is not None and other.warranty is not None and other != chosen
    ]
    return "; " + ", ".join(said) if said else ""


def _recommended_section(v: VehicleData, options: tuple[Option, ...]) -> Section:
    chosen = recommended_option(options)
    if chosen is None:
        return Section(
            "setting",
            "Recommended setting",
            lead="No setting could be recommended: the settings have not been computed for this car.",
            strong=True,
        )
    policy = v.policies.get(chosen.policy_id)
    items: list[str] = []
    years = horizon_years(v)
    if chosen.policy_id == BASELINE_POLICY:
        items.append("Every other setting is compared with this one: smart charging, nothing exported.")
    elif chosen.horizon is not None:
        heading = difference_heading(chosen.horizon.diff_p10_pp, chosen.horizon.diff_p90_pp)
        items.append(
            f"Wear: {chosen.wear} points after {years} years ({chosen.wear_range}). {heading}"
            + (" to a car that exports nothing." if heading == SAME else " than without export.")
        )
    if chosen.value is not None and chosen.policy_id != BASELINE_POLICY:
        items.append(f"Electricity: about {chosen.saved} saved a year, at the prices of the source years.")
    if chosen.warranty is not None:
        said = f"Warranty: chance of a breach {chosen.breach} (models say {chosen.breach_range})"
        items.append(f"{said}{_beside(options)}.")
    p = chosen.setting
    if p is not None and t.known(p.outage_hours_bridged) and (p.outage_hours_bridged or 0) >= SHOWN_OUTAGE_HOURS:
        items.append(
            f"Power cuts: bridges {t.number(p.outage_hours_bridged, 1)} of {t.number(p.outage_hours, 1)} hours a year"
            " (scenario)."
        )
    reasons = [p.basis] if p is not None and p.basis else []
    return Section(
        "setting",
        f"Recommended: {chosen.label}",
        lead=policy.description if policy else "",
        items=tuple(items),
        strong=True,
        details=(
            Detail(
                "Why this one: the rule",
                (
                    "A setting may be recommended only if it hardly raises the chance of a warranty breach, stays below"
                    " a limit of extra wear even at the cautious end of its range, and still serves your driving. Of"
                    " those the one with the largest yearly gain wins: bill saved less the scenario's loss of value."
                    " Among near equals the simplest wins. If none gains enough, the answer is smart charging without"
                    " export. All limits are assumed values.",
                    *(f"In the night's own words: {r}" for r in reasons),
                ),
            ),
        ),
    )


def _export_section(v: VehicleData) -> Section:
    s = v.state
    title = "What export has cost so far"
    if s.export_kwh <= 0:
        said = "These logs contain no export" + (
            ", so it has cost this battery nothing." if v.logs_have_export else "."
        )
        more = (
            ()
            if v.logs_have_export
            else ("Export has cost this battery nothing, and no car here shows what it would cost.",)
        )
        return Section("export", title, lead=said, paragraphs=more)
    facts = [
        Fact(
            "Exported",
            f"{t.number(s.export_kwh, 1 if s.export_kwh < 10 else 0)} kWh",
            "",
            f"in {t.number(s.export_hours)} hours, at the battery",
        ),
        Fact("As distance", f"{t.number(s.virtual_km)} km", "", "at the type's worst certified consumption"),
    ]
    if s.export_cost_pp is None or s.export_cost_low_pp is None or s.export_cost_high_pp is None:
        return Section("export", title, lead="Its share of the wear could not be computed.", facts=tuple(facts))
    unclear = s.export_cost_low_pp <= 0 <= s.export_cost_high_pp
    amount = f"{t.number(s.export_cost_pp, 1)} points of capacity"
    span = t.number_range(s.export_cost_low_pp, s.export_cost_high_pp, 1)
    lead = f"No clear difference: {amount}, range {span}." if unclear else f"About {amount}, range {span}."
    return Section(
        "export",
        title,
        lead=lead,
        paragraphs=("One point is 1\u00a0% of what the battery held when new.",),
        facts=tuple(facts),
        details=(
            Detail(
                "Where this comes from",
                (
                    "The same car in the same simulated worlds, once with its export and once without; the difference"
                    " is taken in pairs. A negative number means that export let the battery rest at a lower level.",
                    f"Basis: {s.basis or 'not stated'}.",
                ),
            ),
        ),
    )


def _row(o: Option) -> Row:
    return Row(
        (
            Cell(o.label, "recommended" if o.recommended else ""),
            Cell(o.wear, o.wear_range),
            Cell(o.saved),
            Cell(o.cover),
        ),
        strong=o.recommended,
    )


def _table(caption: str, options: list[Option], columns: tuple[str, ...]) -> Table:
    groups = tuple(
        Group(g, tuple(_row(o) for o in options if o.group == g)) for g in GROUPS if any(o.group == g for o in options)
    )
    return Table(caption, columns, groups, stacked=False)


def _policies_section(v: VehicleData, options: tuple[Option, ...]) -> Section:
    years = horizon_years(v)
    shown = [o for o in options if not o.capped or o.recommended]
    rest = [o for o in options if o.capped and not o.recommended]
    columns = ("Setting", f"Extra wear in {years} years", "Saved a year", "Years of warranty")
    rows = [
        charts.Interval(o.label, o.horizon.diff_p10_pp, o.horizon.diff_p50_pp, o.horizon.diff_p90_pp, o.recommended)
        for o in shown
        if o.horizon is not None and o.policy_id != BASELINE_POLICY
    ]
    unclear = sum(1 for o in options if o.group != REFERENCE and o.group == SAME)
    others = sum(1 for o in options if o.group != REFERENCE)
    base = option(options, BASELINE_POLICY)
    figure = Figure(
        charts.paired_differences(
            "diff",
            rows,
            f"Extra wear after {years} years",
            f"Points of capacity lost beyond the reference, with 80 % ranges, for {len(rows)} settings.",
            "less wear",
            "more wear",
        ),
        f"Points of capacity after {years} years compared with “{base.label if base else 'no export'}”. A bar that"
        " crosses the black line shows no clear difference.",
    )
    details: list[Detail] = []
    if rest:
        details.append(Detail("Settings with limits", tables=(_table("The same with a limit.", rest, columns),)))
    details.append(_eight_detail(options))
    details.append(_energy_detail(options))
    return Section(
        "settings",
        "Settings side by side",
        lead=f"{unclear} of {others} settings show no clear difference in wear to exporting nothing." if others else "",
        figures=(figure,) if rows else (),
        tables=(
            _table(
                "Extra wear in points of capacity, with ranges that hold in 8 of 10 cases; money is a scenario.",
                shown,
                columns,
            ),
        ),
        details=tuple(details),
    )


def _eight_detail(options: tuple[Option, ...]) -> Detail:
    year = next((o.eight.year for o in options if o.eight is not None), 0)
    body = tuple(
        Row(
            (Cell(o.label), Cell(o.wear_eight, o.wear_eight_range), Cell(o.breach, o.breach_range)),
            strong=o.recommended,
        )
        for o in options
    )
    columns = ("Setting", f"Extra wear, {year} years", "Chance of a breach")
    table = Table("Ranges: 8 of 10 cases for wear, over the models for the chance.", columns, (Group("", body),), False)
    return Detail(f"After {year} years, and the chance of a breach", tables=(table,))


def _energy_detail(options: tuple[Option, ...]) -> Detail:
    body: list[tuple[str, ...]] = []
    caps: list[str] = []
    for o in options:
        p = o.setting
        if p is None:
            continue
        body.append(
            (
                o.label,
                f"{t.number(p.export_kwh_per_year)} kWh",
                t.number(p.full_cycles_per_year),
                t.percent(p.mean_soc_frac),
                t.percent(p.outside_frac),
                f"{t.number(p.unserved_drive_kwh)} kWh",
            )
        )
        if p.cap and t.known(p.cap_changed_days_frac):
            caps.append(f"{o.label}: the limit changed {t.percent(p.cap_changed_days_frac)} of days.")
    table = plain_table(
        "A year in each setting.",
        ("Setting", "Exported", "Full cycles", "Mean level", "Outside tested range", "Driving charged elsewhere"),
        body,
    )
    basis = next((o.horizon.basis for o in options if o.horizon is not None and o.horizon.basis), "not stated")
    return Detail(
        "What is behind it: energy, limits, validity",
        (
            "Each setting is run through one typical year of this car: its own plug-in times and drives, house load,"
            " prices and weather. Then the year is repeated.",
            f"Basis: {basis}.",
        ),
        tuple(caps),
        tables=(table,),
    )
