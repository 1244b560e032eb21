"""Sections of the fleet page: policies, claims and cost, compliance."""

from __future__ import annotations

from models.domain import BASELINE_POLICY
from reports import charts
from reports import text as t
from reports.blocks import Cell, Detail, Figure, Group, Row, Section, Table, plain_table
from reports.blocks import rows as rows_of
from reports.fleet_risk import total
from reports.policies_view import SAME, difference_heading, label_of
from reports.rows_fleet import ClaimsRow, FleetData, FrontierRow

SHOWN_COHORTS = 2
SHOWN_QUARTERS = 12
AMOUNTS = ("Breaches", "Claims", "Cost", "Reserve, 99 %")
WINDOWS = {
    "five_years": f"80{t.NBSP}% to 5 years or 100,000 km",
    "eight_years": f"70{t.NBSP}% to 8 years or 160,000 km",
}


def _by_risk(data: FleetData, cohorts: set[str]) -> list[str]:
    """Cohorts, those with the most breaches expected as driven first; then the largest."""
    size = {c: sum(1 for v in data.vehicles if v.vehicle.cohort_id == c) for c in cohorts}
    risk = {f.cohort_id: (f.breach_frac or 0.0) * f.vehicles for f in data.frontier if f.policy_id == "as_driven"}
    return sorted(cohorts, key=lambda c: (-round(risk.get(c, 0.0), 6), -size[c], c))


def _charted(cohorts: int) -> tuple[str, ...]:
    return (f"Charts: the {SHOWN_COHORTS} cohorts with the most breaches expected.",) if cohorts > SHOWN_COHORTS else ()


def policies_section(data: FleetData) -> Section:
    """Benefit against fade and risk, by cohort."""
    cohorts = _by_risk(data, {f.cohort_id for f in data.frontier})
    if not cohorts:
        return Section("policies", "Export policies compared", lead="No policies have been computed yet.")
    figures = tuple(_frontier_figure(data, c, i) for i, c in enumerate(cohorts[:SHOWN_COHORTS]))
    details = [Detail(f"{c}: all settings in numbers", tables=(_frontier_table(data, c),)) for c in cohorts]
    return Section(
        "policies",
        "Export policies compared",
        paragraphs=(
            "Extra wear is the paired difference to smart charging without export, after ten years: mean of the"
            " vehicles in one simulated world, with the 80 % range over worlds. Savings are those of the source years'"
            " prices: a scenario.",
            *_charted(len(cohorts)),
        ),
        figures=figures,
        details=tuple(details),
    )


def _rows(data: FleetData, cohort: str) -> list[FrontierRow]:
    return [f for f in data.frontier if f.cohort_id == cohort]


def _frontier_figure(data: FleetData, cohort: str, number: int) -> Figure:
    rows = [f for f in _rows(data, cohort) if f.policy_id != BASELINE_POLICY and t.known(f.bill_saved_money_per_year)]
    currency = rows[0].currency if rows else ""
    dots = [
        charts.Dot(
            label_of(data.policies, f.policy_id),
            f.bill_saved_money_per_year or 0.0,
            f.fade_diff_p50_pp,
            f.fade_diff_p10_pp,
            f.fade_diff_p90_pp,
            difference_heading(f.fade_diff_p10_pp, f.fade_diff_p90_pp) != SAME,
        )
        for f in rows
    ]
    vehicles = max((f.vehicles for f in rows), default=0)
    return Figure(
        charts.frontier_scatter(
            f"frontier{number}",
            dots,
            f"Saving against extra wear, cohort {cohort}",
            f"{len(dots)} settings of {t.plural(vehicles, 'vehicle')}; lines span 80 % of the worlds.",
            f"bill saved, {currency} a year",
            "extra wear, points",
        ),
        f"{cohort}, {t.plural(vehicles, 'vehicle')}. Down and to the right is better; strong dots differ clearly from"
        " no export; a number that had to make room stands beside its point.",
        tuple(d.label for d in dots),
    )


def _frontier_table(data: FleetData, cohort: str) -> Table:
    body: list[Row] = []
    for f in _rows(data, cohort):
        base = f.policy_id == BASELINE_POLICY
        capped = t.percent(f.cap_changed_days_frac) if t.known(f.cap_changed_days_frac) else "no cap"
        body.append(
            Row(
                (
                    Cell(label_of(data.policies, f.policy_id)),
                    Cell(
                        "reference" if base else t.points(f.fade_diff_p50_pp),
                        "" if base else t.points_range(f.fade_diff_p10_pp, f.fade_diff_p90_pp),
                    ),
                    Cell("reference" if base else difference_heading(f.fade_diff_p10_pp, f.fade_diff_p90_pp)),
                    Cell("reference" if base else t.money(f.bill_saved_money_per_year, f.currency)),
                    Cell(f"{t.number(f.export_kwh_per_year)} kWh"),
                    Cell(t.chance(f.breach_frac)),
                    Cell(capped),
                )
            )
        )
    columns = (
        "Setting",
        "Extra wear, points",
        "In words",
        "Saved a year",
        "Exported a year",
        "Chance of breach",
        "Days changed by the cap",
    )
    return Table(f"Settings of cohort {cohort}.", columns, (Group("", tuple(body)),))


def claims_section(data: FleetData) -> Section:
    """Expected claims and their cost, by cohort and quarter."""
    title = "Claims and cost"
    if not data.claims:
        return Section("claims", title, lead="No claims have been computed yet.")
    groups: list[Group] = []
    own: list[Row] = []
    details: list[Detail] = []
    figures: list[Figure] = []
    for cohort in _by_risk(data, {c.cohort_id for c in data.claims}):
        mine = [c for c in data.claims if c.cohort_id == cohort]
        contracts = sorted({c.contract_id for c in mine})
        for contract in contracts:
            lines = [
                _claims_line(data, policy, rows)
                for policy in ("as_driven", BASELINE_POLICY, *_worst(mine, contract))
                if (rows := [c for c in mine if c.contract_id == contract and c.policy_id == policy])
            ]
            groups.append(Group(f"{cohort}: {_contract_label(data, contract)}", rows_of(*lines)))
        rows = [c for c in mine if c.policy_id == "as_driven"] or [c for c in mine if c.policy_id == BASELINE_POLICY]
        main = _main_contract(data, cohort, contracts)
        shown = [c for c in rows if c.contract_id == main]
        for contract in sorted(contracts, key=lambda c: (c != main, c)):
            if under := [c for c in rows if c.contract_id == contract]:
                name, *amounts = _claims_line(data, under[0].policy_id, under)
                said = f"{_contract_label(data, contract)}; {name}"
                own.append(Row((Cell(cohort, said), *(Cell(x) for x in amounts))))
        if len(figures) < SHOWN_COHORTS and total(c.cost_money for c in shown) >= 1.0:
            figures.append(_claims_figure(cohort, shown, len(figures)))
        details.append(_quarters(cohort, _contract_label(data, main), shown))
    return Section(
        "claims",
        title,
        paragraphs=(
            "Expected over the forecast, by contract. A breach becomes a claim, a claim a payment, by stated"
            " assumptions; sums are taken within a simulated world, so claims of a cohort move together. The reserve"
            " is the 99 % quantile of the cost to date.",
            *_charted(len(details)),
        ),
        tables=(
            Table(
                "Totals over the forecast, every vehicle under its own contract. Under the fleet: the range of 8 in"
                " 10 simulated worlds; those of cohorts stand with their quarters.",
                ("Cohort", *AMOUNTS),
                (Group("", (*own, *_fleet_line(data))),),
            ),
        ),
        figures=tuple(figures),
        details=(
            Detail(
                "All contracts, and what other settings would cost",
                tables=(
                    Table("Totals over the forecast, by cohort and contract.", ("Setting", *AMOUNTS), tuple(groups)),
                ),
            ),
            *details,
        ),
    )


def _fleet_line(data: FleetData) -> tuple[Row, ...]:
    """The whole fleet as driven, with ranges over worlds; nothing where the night has not written it."""
    names = ("expected_breaches_as_driven", "expected_claims_as_driven", "claims_cost_as_driven")
    known = {k.kpi: k for k in data.kpis}
    if not all(n in known for n in (*names, "claims_reserve_as_driven")):
        return ()
    breaches, claims, cost = (known[n] for n in names)
    reserve = known["claims_reserve_as_driven"]
    return (
        Row(
            (
                Cell("Whole fleet", label_of(data.policies, "as_driven")),
                *(Cell(t.number(k.value, 2), t.number_range(k.low, k.high)) for k in (breaches, claims)),
                Cell(t.money(cost.value, cost.unit), t.money_range(cost.low, cost.high, cost.unit)),
                Cell(t.money(reserve.value, reserve.unit)),
            ),
            strong=True,
        ),
    )


def _contract_label(data: FleetData, contract: str) -> str:
    return data.contract_labels.get(contract) or t.words(contract)


def _main_contract(data: FleetData, cohort: str, contracts: list[str]) -> str:
    counts = {
        c: sum(1 for v in data.vehicles if v.vehicle.cohort_id == cohort and v.vehicle.contract_id == c)
        for c in contracts
    }
    return max(contracts, key=lambda c: (counts[c], c))


def _worst(rows: list[ClaimsRow], contract: str) -> tuple[str, ...]:
    """The setting with the most expected breaches, beside those always shown."""
    others = sorted({c.policy_id for c in rows if c.contract_id == contract} - {"as_driven", BASELINE_POLICY})
    sums = {p: total(c.breaches for c in rows if c.contract_id == contract and c.policy_id == p) for p in others}
    return (max(others, key=lambda p: (sums[p], p)),) if others else ()


def _claims_line(data: FleetData, policy: str, rows: list[ClaimsRow]) -> tuple[str, ...]:
    reserves = [c.reserve_money for c in rows if c.reserve_money is not None]
    currency = rows[0].currency
    return (
        label_of(data.policies, policy),
        t.number(total(c.breaches for c in rows), 2),
        t.number(total(c.claims for c in rows), 2),
        t.money(total(c.cost_money for c in rows), currency),
        t.money(max(reserves, default=None), currency),
    )


def _claims_figure(cohort: str, rows: list[ClaimsRow], number: int) -> Figure:
    bars = [charts.Interval(c.quarter, c.cost_low_money, c.cost_money, c.cost_high_money) for c in rows]
    return Figure(
        charts.period_bars(
            f"claims{number}",
            bars,
            f"Expected cost of claims by quarter, cohort {cohort}",
            f"From {rows[0].quarter} to {rows[-1].quarter}; lines span 8 of 10 simulated worlds.",
            f"{rows[0].currency} a quarter",
        ),
        f"{cohort}: expected cost by quarter, going on as today. Lines: 80 % of simulated worlds; the mean may lie"
        " above them where claims are rare and dear.",
    )


def _quarters(cohort: str, contract: str, rows: list[ClaimsRow]) -> Detail:
    body = [
        (
            c.quarter,
            f"{t.number(c.breaches, 2)} ({t.number_range(c.breaches_low, c.breaches_high, 2)})",
            f"{t.number(c.claims, 2)} ({t.number_range(c.claims_low, c.claims_high, 2)})",
            f"{t.money(c.cost_money, c.currency)} ({t.money_range(c.cost_low_money, c.cost_high_money, c.currency)})",
            t.money(c.reserve_money, c.currency),
            t.number((c.monte_carlo_error_frac or 0.0) * 100, 2),
        )
        for c in rows[:SHOWN_QUARTERS]
    ]
    basis = rows[0].basis if rows else ""
    return Detail(
        f"{cohort}: the next {t.plural(len(body), 'quarter')}",
        (f"{contract}; going on as today. Basis: {basis or 'not stated'}.",),
        tables=(
            plain_table(
                "Expected values with 80 % ranges over worlds; where claims are rare the mean is the upper end.",
                ("Quarter", "Breaches", "Claims", "Cost", "Reserve to date", "Computing error of the reserve, %"),
                body,
            ),
        ),
    )


def _hardest(data: FleetData) -> tuple[str, ...]:
    """The family and window that passes least likely, going on as today, in a sentence."""
    known = [c for c in data.compliance if c.policy_id == "as_driven" and c.passes_frac is not None]
    if not known:
        return ()
    c = min(known, key=lambda c: (c.passes_frac, c.family, c.window_id))
    families = len({c.family for c in known})
    return (
        f"Least likely to pass of {t.plural(families, 'family', 'families')}, going on as today: {c.family},"
        f" {WINDOWS.get(c.window_id, t.words(c.window_id))}, with a chance of {t.chance(c.passes_frac)}.",
    )


def compliance_section(data: FleetData) -> Section:
    """UN GTR 22: the maker's duty towards authorities, never a customer's warranty."""
    said = (
        "Minimum performance of certified usable energy, counting virtual kilometres. It binds the maker towards"
        " authorities; it is nobody's customer warranty, and nothing above rests on it."
    )
    body: list[tuple[str, ...]] = []
    for c in data.compliance:
        if c.policy_id not in ("as_driven", BASELINE_POLICY) and len({x.policy_id for x in data.compliance}) > 4:
            continue
        body.append(
            (
                c.family,
                label_of(data.policies, c.policy_id),
                WINDOWS.get(c.window_id, t.words(c.window_id)),
                t.number(c.vehicles),
                f"{t.percent(c.share_above_frac)} ({t.percent_range(c.share_above_low_frac, c.share_above_high_frac)})",
                t.chance(c.passes_frac),
            )
        )
    table = plain_table(
        "A family passes when at least 90 % of its vehicles are above the floor.",
        ("Family", "Setting", "Window", "Vehicles", "Above the floor", "Chance to pass"),
        body,
        3,
    )
    return Section(
        "compliance",
        "UN GTR 22 compliance, apart",
        paragraphs=(said, *_hardest(data)),
        details=(Detail("Chance to pass by family, setting and window", tables=(table,)),) if body else (),
        lead="" if body else "Not computed yet.",
    )
