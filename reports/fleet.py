"""The fleet page: within a minute, who may breach, how sure, how much is due to export, which cap would halve it."""

from __future__ import annotations

import math
from collections.abc import Iterable

from models.domain import BASELINE_POLICY
from reports import charts
from reports import text as t
from reports.blocks import Cell, Detail, Fact, Figure, Page, Section, Table, plain_table
from reports.fleet_policies import claims_section, compliance_section, policies_section
from reports.fleet_risk import AT_RISK_FRAC, answers, risk_section, risk_table, risks_of
from reports.render import page_name
from reports.rows_fleet import FleetData, KpiRow

MOST_DOTS = 400
PAGES = (
    ("index.html", "Fleet"),
    ("vehicles.html", "All vehicles"),
    ("models.html", "Models"),
    ("data.html", "Data"),
    ("dictionary.html", "Tables and SQL"),
)
ON_THIS_PAGE = (
    Cell("Breach risk by vehicle", href="#risk"),
    Cell("Export policies", href="#policies"),
    Cell("Key figures", href="#figures"),
    Cell("Claims and cost", href="#claims"),
    Cell("Compliance", href="#compliance"),
    Cell("Capacity today", href="#capacity"),
    Cell("Data quality", href="#data"),
    Cell("Evidence", href="#evidence"),
)
# Figures of the night in the order shown; those not named here come after, in words; some stand elsewhere already.
KPIS = {
    "vehicles": "Vehicles",
    "vehicles_measured": "Measured pages",
    "vehicles_inferred": "Inferred pages",
    "vehicles_prior_only": "Prior-only pages",
    "soh_median": "Capacity, median",
    "export_kwh_so_far": "Exported so far",
    "expected_breaches_as_driven": "Breaches expected, as driven",
    "expected_breaches_no_export": "Breaches expected, no export",
    "expected_breaches_evening_peak": "Breaches expected, evening export",
    "expected_claims_as_driven": "Claims expected, as driven",
    "claims_cost_as_driven": "Cost of claims expected, as driven",
    "breaches_due_to_recorded_export": "Breaches due to export, as driven",
    "breaches_due_to_export": "Breaches evening export would add",
    "breaches_due_to_way_of_use": "Breaches due to way of use",
    "v2h_effect_pp": "Extra wear by evening export",
    "v2h_effect_unclear_share": "Evening export: no clear difference",
    "recommended_export_vehicles": "Recommended to export",
}
RANGES_SAID = (
    "Small print: in 8 of 10 simulated worlds the figure itself lies within, a count of breaches being whole; for the "
    "capacity, 8 of 10 vehicles. How far the models differ in what they expect stands above."
)
ELSEWHERE = ("as_of", "cap_that_halves_effect")
STANDINGS = ("measured", "inferred", "prior_only")


def nav(current: str) -> tuple[Cell, ...]:
    """Links to the sister pages; the current one has none."""
    return tuple(Cell(label, href="" if name == current else name) for name, label in PAGES)


def notices(data: FleetData) -> tuple[str, ...]:
    """What stands above everything, said by the data and not by the name of a home."""
    out: list[str] = []
    if data.simulated:
        out.append("Demonstration: all vehicles and their logs are simulated.")
    if not data.export_sessions:
        out.append(
            "These logs contain no export. Everything about export is a calculation from models, not an observation."
        )
    if data.soc_inferred_sessions:
        out.append(
            f"The state of charge is inferred in {t.number(data.soc_inferred_sessions)} of {t.number(data.sessions)}"
            " sessions; an inferred level never yields a capacity reading."
        )
    return tuple(out)


def footer(data: FleetData) -> tuple[str, ...]:
    """Basis of every fleet page."""
    return (
        f"Fadecast · data up to {t.day(data.as_of_day)}. Ranges are 80 % intervals unless said otherwise; differences"
        " between settings are taken in pairs within the same simulated worlds. Scenarios and assumed values are marked"
        " as such.",
        how_wrong(data),
    )


def how_wrong(data: FleetData) -> str:
    """Measured error of the models in a sentence; it stands on every page with figures."""
    tested = _finite(f.heldout_rmse_pp for f in data.fits)
    runs = _finite(abs(c.error_pp) for c in data.conformance)
    said = (
        f"{t.number_range(tested[0], tested[-1], 1)} points of capacity on readings kept aside, by law and cohort"
        if tested
        else "not known yet, there are no readings to test them on"
    )
    fast = f" The fast calculation differs from PyBaMM by at most {t.number(runs[-1], 3)} points." if runs else ""
    return f"How wrong the models have been: {said}.{fast}"


def _standing_counts(data: FleetData) -> dict[str, int]:
    return {k: sum(1 for v in data.vehicles if v.state.standing == k) for k in STANDINGS}


_SOME_BREACHES = 0.5  # expected in a fleet, from which on it is not called unlikely


def index_page(data: FleetData) -> Page:
    """The front page of a fleet."""
    risks = risks_of(data)
    risky = sum(1 for r in risks if r.now is not None and r.breach_frac >= AT_RISK_FRAC)
    n = len(data.vehicles)
    counts = _standing_counts(data)
    limit = t.percent(AT_RISK_FRAC)
    expected = sum(r.breach_frac for r in risks if r.now is not None)
    headline = (
        f"{t.plural(risky, 'vehicle')} of {n} may breach the warranty."
        if risky
        else f"No vehicle of {n} is likely to breach the warranty."
        if expected < _SOME_BREACHES  # small chances of many cars add up
        else f"No single vehicle of {n} stands out, yet {t.number(expected, 1)} breaches are expected."
    )
    lead = (
        f"Counted from a chance of {limit} that a test finds too little capacity while cover lasts."
        f" {counts['measured']} measured, {counts['inferred']} inferred, {counts['prior_only']} known by type alone."
    )
    if data.vehicles and not counts["measured"]:
        lead += " No vehicle has a reading of its own: all chances are those of its type."
    sections = (
        Section("minute", "In a minute", answers=answers(data, risks), links=ON_THIS_PAGE, strong=True),
        risk_section(risks, risky),
        policies_section(data),
        _kpi_section(data),
        claims_section(data),
        compliance_section(data),
        _capacity_section(data),
        _quality_section(data),
        _evidence_section(data),
    )
    return Page(
        title="Fleet: battery wear, warranty and export",
        eyebrow=f"Fleet report · {t.plural(n, 'vehicle')} · data up to {t.day(data.as_of_day)}",
        headline=headline,
        lead=lead,
        sections=sections,
        notices=notices(data),
        nav=nav("index.html"),
        footer=footer(data),
        wide=True,
    )


def vehicles_page(data: FleetData) -> Page:
    """All vehicles by falling risk."""
    risks = risks_of(data)
    return Page(
        title="All vehicles",
        eyebrow=f"Fleet report · data up to {t.day(data.as_of_day)}",
        headline=f"All {t.plural(len(risks), 'vehicle')}, by risk of breach",
        lead="Each links to the page its driver sees.",
        sections=(Section("vehicles", "Vehicles", tables=(risk_table(risks, len(risks)),)),),
        notices=notices(data),
        nav=nav("vehicles.html"),
        footer=footer(data),
        wide=True,
    )


def kpi_value(k: KpiRow, value: float | None) -> str:
    """A figure of the night in its unit: shares in percent, counts whole, other figures with two digits."""
    if k.unit in ("1", "frac"):
        return t.percent(value, 1)
    if k.unit == "vehicles" and not _is_event(k):
        return t.number(value)
    if k.unit == "USD":
        return t.money(value, k.unit)
    shown = t.number(value, 0 if k.unit == "kWh" or (value is not None and abs(value) >= 100) else 2)
    unit = {"pp": "points", "vehicles": "", "": ""}.get(k.unit, k.unit)
    return shown if shown == t.UNKNOWN or not unit else f"{shown}{t.NBSP}{unit}"


def _is_event(k: KpiRow) -> bool:
    """Whether it counts breaches or claims: fractions are expected of them, whole numbers come."""
    return k.unit == "vehicles" and ("breaches" in k.kpi or "claims" in k.kpi)


def _kpi_section(data: FleetData) -> Section:
    rank = {name: i for i, name in enumerate(KPIS)}
    shown = [
        k
        for k in sorted(data.kpis, key=lambda k: (rank.get(k.kpi, len(rank)), k.kpi))
        if t.known(k.value) and k.kpi not in ELSEWHERE and not k.kpi.startswith("effect_left_")
    ]
    rows = [(KPIS.get(k.kpi, t.words(k.kpi).capitalize()), kpi_value(k, k.value), _kpi_range(k)) for k in shown]
    facts = [Fact(*row) for row, k in zip(rows, shown, strict=True) if k.kpi in KPIS]
    body = [(*row, k.basis or "") for row, k in zip(rows, shown, strict=True)]
    table = plain_table("Every figure of the night.", ("Figure", "Value", "Range", "Rests on"), body, left=(3,))
    return Section(
        "figures",
        "Key figures",
        facts=tuple(facts),
        lead=RANGES_SAID if facts else "No figures have been written yet.",
        details=(Detail("All figures and what they rest on", tables=(table,)),) if body else (),
    )


def _kpi_range(k: KpiRow) -> str:
    if not (t.known(k.low) and t.known(k.high)):
        return ""
    if _is_event(k) and all(x == round(x or 0) for x in (k.low, k.high)):
        return t.number_range(k.low, k.high)  # counts: digits would claim what they cannot have
    low, high = kpi_value(k, k.low), kpi_value(k, k.high)
    return low if low == high else f"{low} to {high}"


def _capacity_section(data: FleetData) -> Section:
    soh = [v.state.soh_frac for v in data.vehicles]
    first = int(min([0.76, *soh]) * 50) / 50
    edges = [round(first + 0.02 * i, 2) for i in range(int(max([1.0, *soh]) * 50 - first * 50 + 1.5) + 1)]
    counts = [0] * (len(edges) - 1)
    for x in soh:
        i = min(max(int((x - edges[0]) / 0.02 + 1e-9), 0), len(counts) - 1)
        counts[i] += 1
    floors = sorted({v.contract.floor_frac for v in data.vehicles if v.contract})
    body: list[tuple[str, ...]] = []
    for cohort in sorted({v.vehicle.cohort_id for v in data.vehicles}):
        mine = [v for v in data.vehicles if v.vehicle.cohort_id == cohort]
        values = sorted(v.state.soh_frac for v in mine)
        by = {k: sum(1 for v in mine if v.state.standing == k) for k in STANDINGS}
        ages = sorted(v.state.age_years for v in mine)
        body.append(
            (
                cohort,
                t.number(len(mine)),
                f"{by['measured']} / {by['inferred']} / {by['prior_only']}",
                t.number(ages[len(ages) // 2], 1),
                t.percent(values[len(values) // 2], 1),
                t.percent_range(values[0], values[-1], 1),
            )
        )
    return Section(
        "capacity",
        "Capacity today",
        figures=(
            Figure(
                charts.histogram(
                    "soh",
                    edges,
                    counts,
                    "Capacity today over vehicles",
                    f"{t.plural(len(soh), 'vehicle')} between {t.percent(min(soh, default=0))} and"
                    f" {t.percent(max(soh, default=0))}.",
                    "capacity over capacity as new",
                    floors[0] if len(floors) == 1 else None,
                ),
                "Vehicles by capacity today. Those not measured stand at the middle of their type's range.",
            ),
            _age_figure(data, floors),
        )
        if soh
        else (),
        details=(
            Detail(
                f"Capacity of {t.plural(len(body), 'cohort')} in numbers",
                tables=(
                    plain_table(
                        "Cohorts: same cells, similar climate.",
                        (
                            "Cohort",
                            "Vehicles",
                            "Measured / inferred / prior only",
                            "Median age, years",
                            "Median capacity",
                            "Lowest to highest",
                        ),
                        body,
                    ),
                ),
            ),
        ),
    )


def _age_figure(data: FleetData, floors: list[float]) -> Figure:
    step = -(-len(data.vehicles) // MOST_DOTS)
    shown = data.vehicles[::step]
    dots = [charts.Reading(v.state.age_years, v.state.soh_frac, 0.0) for v in shown]
    some = f" {len(dots)} of {len(data.vehicles)} shown." if step > 1 else ""
    return Figure(
        charts.age_scatter(
            "age",
            dots,
            floors,
            "Capacity against age",
            f"{t.plural(len(dots), 'vehicle')}; the dashed line is the warranty's limit.",
            "years in service",
        ),
        f"Capacity today by age, one dot a vehicle.{some}",
    )


def _quality_section(data: FleetData) -> Section:
    return Section(
        "data",
        "Data quality",
        paragraphs=(
            f"{t.number(sum(f.rows_read for f in data.files))} rows read ="
            f" {t.number(sum(f.rows_loaded for f in data.files))} loaded"
            f" + {t.number(sum(f.rows_rejected for f in data.files))} rejected"
            f" + {t.number(sum(f.rows_duplicate for f in data.files))} duplicate, from"
            f" {t.plural(len(data.files), 'file')}; rows read are counted independently.",
            *(
                (f"{t.plural(data.unregistered, 'vehicle')} with logs but not registered: loaded, not computed.",)
                if data.unregistered
                else ()
            ),
        ),
        links=(Cell("Rules, rejected rows, refused files", href="data.html"),),
        details=(Detail("Files and rows by format", tables=(files_table(data),)),),
    )


def files_table(data: FleetData) -> Table:
    """Files and rows by format."""
    body: list[tuple[str, ...]] = []
    for name in sorted({f.format for f in data.files}):
        mine = [f for f in data.files if f.format == name]
        refused = sum(1 for f in mine if f.status == "refused")
        body.append(
            (
                name,
                t.number(len(mine)),
                t.number(refused),
                t.number(sum(f.rows_read for f in mine)),
                t.number(sum(f.rows_loaded for f in mine)),
                t.number(sum(f.rows_rejected for f in mine)),
                t.number(sum(f.rows_duplicate for f in mine)),
            )
        )
    columns = ("Format", "Files", "Refused", "Rows read", "Loaded", "Rejected", "Duplicate")
    return plain_table("Files taken in, by format.", columns, body)


def _finite(values: Iterable[float | None]) -> list[float]:
    return sorted({v for v in values if v is not None and math.isfinite(v)})


def _evidence_section(data: FleetData) -> Section:
    errors = sorted(abs(c.error_pp) for c in data.conformance)
    readings = sum(v.state.own_readings for v in data.vehicles)
    reported = sum(v.state.readings_bms for v in data.vehicles)
    tested = _finite(f.heldout_rmse_pp for f in data.fits)
    inside = _finite(f.heldout_inside_80_frac for f in data.fits)
    facts = [
        Fact("Readings used", t.number(readings), f"and {t.number(reported)} reported by the cars", "rested voltages"),
        Fact(
            "Error on readings kept aside",
            f"{t.number(tested[len(tested) // 2], 2)} points" if tested else "no readings to test on",
            f"{t.number(tested[0], 2)} to {t.number(tested[-1], 2)} over laws and cohorts" if tested else "",
        ),
        Fact(
            "Inside the 80 % range",
            t.percent(inside[len(inside) // 2]) if inside else "not tested",
            t.percent_range(inside[0], inside[-1]) if inside else "",
            "share of readings kept aside",
        ),
        Fact(
            "Fast calculation against PyBaMM",
            f"{t.number(errors[-1], 3)} points at worst" if errors else "not simulated",
            f"median {t.number(errors[len(errors) // 2], 3)}" if errors else "",
            f"{t.plural(len(errors), 'run')}, of capacity",
        ),
    ]
    first = next((f for v in data.vehicles for f in v.forecasts if f.policy_id == BASELINE_POLICY and f.basis), None)
    details = (Detail("Basis of the forecasts", (first.basis,)),) if first else ()
    return Section(
        "evidence",
        "Evidence for the models",
        facts=tuple(facts),
        links=(
            Cell("Fits, weights, members, conformance runs", href="models.html"),
            *(Cell(f"Card: {card.label}", href=f"law_{page_name(card.law_id)}") for card in data.cards),
        ),
        details=details,
    )
