"""Sections of a driver page: warranty left, resale scenario, habits."""

from __future__ import annotations

from models.domain import BASELINE_POLICY
from reports import charts
from reports import text as t
from reports.blocks import Detail, Fact, Figure, Section, plain_table
from reports.policies_view import Option, label_of, option, recommended_option, schedule_of
from reports.rows import VehicleData, WarrantyRow

SOC_LABELS = ("0–20 %", "20–40 %", "40–60 %", "60–80 %", "80–100 %")
TEMP_LABELS = ("below 0 °C", "0–10 °C", "10–20 °C", "20–30 °C", "above 30 °C")
SCHEDULE_WORDS = {"single": "one test, at the end", "yearly": "a test every year", "quarterly": "a test every quarter"}
CHART_ROWS = 6
SCENARIO_YEARS = (1, 3, 5, 8, 10)
SHOWN_YEAR = 5


def _now_option(options: tuple[Option, ...]) -> Option | None:
    """What goes on as today, else the baseline."""
    return option(options, "as_driven") or option(options, BASELINE_POLICY)


def warranty_section(v: VehicleData, options: tuple[Option, ...]) -> Section:
    """Warranty left in years and kilometres, and how likely a breach is found within it."""
    c, s = v.contract, v.state
    if c is None:
        return Section("warranty", "Warranty left", lead="No warranty contract is registered for this car.")
    now = _now_option(options)
    w = now.warranty if now else None
    left = max(c.years - s.age_years, 0.0)
    facts = [Fact("By age", t.years(left), "", f"of {t.number(c.years)} years")]
    ended = left <= 0
    if s.odometer_km is not None:
        km = c.km - s.odometer_km
        low = c.km - (s.odometer_high_km if s.odometer_high_km is not None else s.odometer_km)
        high = c.km - (s.odometer_low_km if s.odometer_low_km is not None else s.odometer_km)
        ended = ended or km <= 0
        facts.append(_km_fact("By distance driven", km, low, high, f"of {t.number(c.km)} km"))
        note = "this contract counts it" if c.virtual_km else "this contract does not count it"
        if c.virtual_km is None:
            note = "we do not know whether your contract counts it"
        gone = s.virtual_km
        facts.append(_km_fact("If export counted as distance", km - gone, low - gone, high - gone, note))
    else:
        facts.append(Fact("By distance driven", t.UNKNOWN, "", f"of {t.number(c.km)} km; no odometer in the logs"))
    figures: tuple[Figure, ...] = ()
    if w is not None:
        facts.append(
            Fact(
                "Chance of a breach found",
                t.chance(w.breach_frac),
                t.chance_range(w.breach_low_frac, w.breach_high_frac),
                "going on as today; range over the models",
            )
        )
        figures = (_breach_figure(options),)
        limit = t.percent(c.floor_frac)
        lead = (
            "The cover of this contract has ended."
            if ended
            else f"Cover ends in about {t.years(w.cover_end_years)}. The chance that a test finds less than {limit}"
            f" before that is {t.chance(w.breach_frac)}."
        )
    else:
        lead = "The cover of this contract has ended." if ended else "The chance of a breach has not been computed."
    return Section(
        "warranty",
        "Warranty left",
        lead=lead,
        facts=tuple(facts),
        figures=figures,
        details=(_warranty_detail(v, options, now),),
    )


def _km_fact(label: str, km: float, low: float, high: float, note: str) -> Fact:
    span = "" if t.number(low) == t.number(high) else f"{t.number_range(max(low, 0.0), max(high, 0.0))} km"
    return Fact(label, f"{t.number(max(km, 0.0))} km", span, note)


def _breach_figure(options: tuple[Option, ...]) -> Figure:
    plain = [o for o in options if o.warranty is not None and not o.capped and not o.recommended][:CHART_ROWS]
    shown = plain + [o for o in options if o.warranty is not None and o.recommended]
    rows = [
        charts.Interval(
            o.label,
            o.warranty.breach_low_frac,
            o.warranty.breach_frac,
            o.warranty.breach_high_frac,
            o.recommended,
        )
        for o in shown
        if o.warranty is not None
    ]
    return Figure(
        charts.breach_bars(
            "breach", rows, "Chance of a warranty breach by setting", "Bars with the range over the models."
        ),
        "Chance that a breach is found while covered, by setting. Thin lines: range over the models.",
    )


def _warranty_detail(v: VehicleData, options: tuple[Option, ...], now: Option | None) -> Detail:
    c = v.contract
    if c is None:
        return Detail("The contract and the tests")
    policy = now.policy_id if now else ""
    mine = [w for w in v.warranties if w.policy_id == policy]
    body = [
        (
            SCHEDULE_WORDS.get(w.test_schedule, t.words(w.test_schedule)),
            t.chance(w.breach_frac),
            t.chance_range(w.breach_low_frac, w.breach_high_frac),
            t.chance(w.true_breach_frac),
            t.number((w.monte_carlo_error_frac or 0.0) * 100, 1),
        )
        for w in mine
        if w.contract_id == c.contract_id
    ]
    tests = plain_table(
        "Going on as today, by how often the battery is tested.",
        ("Tests (assumed)", "Breach found", "Range", "True breach", "Computing error, points"),
        body,
    )
    unknown = [
        name
        for name, value in (
            ("whether export counts as distance", c.virtual_km),
            ("a limit on exported energy", c.export_cap_kwh),
            ("a limit on hours of export", c.export_cap_hours),
        )
        if value is None
    ]
    paragraphs = [
        f"{c.label}. Source: {c.source} ({_standing(c.standing)}).",
        f"Limit {t.percent(c.floor_frac)} of {'certified energy' if c.measure == 'soce' else 'capacity'},"
        f" {t.number(c.years)} years or {t.number(c.km)} km.",
    ]
    if unknown:
        paragraphs.append(
            f"Not known of this contract: {t.listing(unknown)}. Nothing is computed from what is not known."
        )
    items = [*_attribution(now.warranty if now else None), *_other_contracts(v, policy)]
    if now and now.warranty:
        paragraphs.append(f"Basis: {now.warranty.basis or 'not stated'}.")
    return Detail("The contract and the tests", tuple(paragraphs), tuple(items), tables=(tests,) if body else ())


def _standing(standing: str) -> str:
    return {"seen": "read in the source", "secondary": "from a secondary source"}.get(standing, "partly assumed")


def _by_law(w: WarrantyRow) -> str:
    low, high = w.breach_by_fade_low_frac, w.breach_by_fade_high_frac
    return "" if low is None or high is None else f" ({t.points_range(low * 100, high * 100)} by law)"


def _attribution(w: WarrantyRow | None) -> list[str]:
    if w is None or w.fade_by_export_pp is None:
        return []
    span = t.points_range(w.fade_by_export_low_pp, w.fade_by_export_high_pp)
    out = [
        "Going on as today, compared with the same charging without export: wear by the end of cover"
        f" {t.points(w.fade_by_export_pp)} points ({span})."
    ]
    if t.known(w.cover_lost_by_export_years):
        out.append(f"Cover that export uses up as distance: {t.years(w.cover_lost_by_export_years)}.")
    if t.known(w.breach_by_fade_frac) and t.known(w.breach_by_cover_frac):
        out.append(
            f"To the chance of a breach that wear adds {t.points((w.breach_by_fade_frac or 0) * 100)} points"
            f"{_by_law(w)};"
            f" shorter cover changes it by {t.points((w.breach_by_cover_frac or 0) * 100)} points."
        )
    return out


def _other_contracts(v: VehicleData, policy: str) -> list[str]:
    schedule = schedule_of(v)
    others = [
        w
        for w in v.warranties
        if w.policy_id == policy and w.contract_id != v.vehicle.contract_id and w.test_schedule == schedule
    ]
    names = {w.contract_id: v.contract_labels.get(w.contract_id) or t.words(w.contract_id) for w in others}
    return [
        f"“{names[w.contract_id]}”: cover ends in {t.years(w.cover_end_years)}, chance of a breach"
        f" {t.chance(w.breach_frac)} ({t.chance_range(w.breach_low_frac, w.breach_high_frac)})."
        for w in others
    ]


def resale_section(v: VehicleData, options: tuple[Option, ...]) -> Section:
    """Resale scenario: never an appraisal."""
    title = "Resale value: a scenario"
    if not v.values:
        return Section(
            "resale", title, lead="No scenario: a list price is missing, or the car is too old for the value curve."
        )
    chosen = recommended_option(options)
    wanted = [BASELINE_POLICY, "as_driven", chosen.policy_id if chosen else BASELINE_POLICY]
    wanted = list(dict.fromkeys(wanted))
    present = sorted({x.year for x in v.values})
    years = [y for y in present if y in SCENARIO_YEARS] or present[-1:]
    body: list[tuple[str, ...]] = []
    for year in years:
        for policy_id in wanted:
            row = next((x for x in v.values if x.policy_id == policy_id and x.year == year), None)
            if row is None or not t.known(row.value_money):
                continue
            diff = (
                "reference"
                if policy_id == BASELINE_POLICY
                else f"{t.money(row.value_diff_money, row.currency, plus=True)}"
                f" ({t.money_range(row.value_diff_low_money, row.value_diff_high_money, row.currency, plus=True)})"
            )
            body.append(
                (
                    f"in {t.plural(year, 'year')}: {label_of(v.policies, policy_id)}",
                    t.money(row.value_money, row.currency),
                    t.money_range(row.value_low_money, row.value_high_money, row.currency),
                    diff,
                )
            )
    last = max((y for y in years if y <= SHOWN_YEAR), default=years[-1])
    base = next((x for x in v.values if x.policy_id == BASELINE_POLICY and x.year == last), None)
    pick = next((x for x in v.values if x.policy_id == wanted[-1] and x.year == last), None)
    lead = "" if base is None else f"About {t.money(base.value_money, base.currency)} in {last} years without export"
    if base is not None:
        lead += f" ({t.money_range(base.value_low_money, base.value_high_money, base.currency)})."
    paragraphs: list[str] = []
    if pick is not None and chosen is not None and chosen.policy_id != BASELINE_POLICY:
        paragraphs.append(
            f"With the recommended setting: {t.money(pick.value_diff_money, pick.currency, plus=True)} against that"
            f" ({t.money_range(pick.value_diff_low_money, pick.value_diff_high_money, pick.currency, plus=True)})."
        )
    paragraphs.append("A scenario from list price, age, distance and battery. It is not an appraisal.")
    facts: list[Fact] = []
    if pick is not None and t.known(pick.wear_money_per_kwh):
        facts.append(
            Fact(
                "Value lost per exported kWh",
                t.money(pick.wear_money_per_kwh, pick.currency, 3),
                t.money_range(pick.wear_low_money_per_kwh, pick.wear_high_money_per_kwh, pick.currency, 3),
                f"over {last} years, {label_of(v.policies, pick.policy_id)}",
            )
        )
    table = plain_table(
        "Scenario values, 80 % ranges; the last column compares with no export, in pairs.",
        ("When and how", "Value", "Range", "Against no export"),
        body,
    )
    basis = (pick or base or v.values[0]).basis or "not stated"
    about = (
        "Value = list price × curve of age and distance × (1 + elasticity × (capacity − what is usual at that age))."
    )
    price = t.money(v.vehicle.list_price_money, v.vehicle.currency)
    assumed = " (assumed)" if "list_price_money" in v.vehicle.assumed else ""
    return Section(
        "resale",
        title,
        lead=lead,
        paragraphs=tuple(paragraphs),
        details=(
            Detail(
                "The scenario in numbers",
                (
                    f"{about} List price {price}{assumed}. How strongly buyers weigh the battery is uncertain.",
                    f"Basis: {basis}.",
                ),
                facts=tuple(facts),
                tables=(table,),
            ),
        ),
    )


def habits_section(v: VehicleData) -> Section:
    """Level and temperature the battery lives at."""
    s, h = v.state, v.habits
    facts = (
        Fact("Mean level", t.percent(s.mean_soc_frac), "", "as shown in the car"),
        Fact("Time above 80 %", t.percent(s.high_soc_share_frac)),
        Fact("Time above 30 °C", t.percent(s.hot_share_frac), "", "temperature of the cells"),
        Fact("Full cycles a year", t.number(s.full_cycles_per_year), "", "all energy through the battery"),
    )
    figures: list[Figure] = []
    for key, hours, labels, title, strong in (
        ("level", h.soc_hours, SOC_LABELS, "How full the battery was", 4),
        ("heat", h.temp_hours, TEMP_LABELS, "How warm the battery was", 4),
    ):
        total = sum(hours)
        if not total:
            continue
        bars = [
            charts.Bar(label, n / total, i == strong) for i, (label, n) in enumerate(zip(labels, hours, strict=True))
        ]
        desc = "; ".join(f"{b.label}: {t.percent(b.value)} of the time" for b in bars)
        figures.append(Figure(charts.habit_bars(key, bars, title, desc), f"{title}, share of the time."))
    paragraphs: list[str] = []
    high = s.high_soc_share_frac
    if high is not None and high > 0.25:
        paragraphs.append("Most batteries age faster when they stand full: charging later or to 80 % is gentler.")
    total = h.measured_hours + h.filled_hours
    basis = "No hourly record of use is kept for this car."
    if total:
        basis = (
            f"From {t.number(total)} hours: {t.percent(h.measured_hours / total)} from the logs,"
            f" {t.percent(h.filled_hours / total)} filled in. The temperature is modelled in"
            f" {t.percent(h.temp_modelled_hours / total)} of them."
        )
    counts = (
        f"{t.plural(v.sessions.drive, 'drive')}, {t.plural(v.sessions.charge, 'charge')},"
        f" {t.plural(v.sessions.export, 'export')}, {t.plural(v.sessions.rest, 'plugged rest')}"
    )
    return Section(
        "habits",
        "Your habits",
        paragraphs=tuple(paragraphs),
        facts=facts,
        figures=tuple(figures),
        details=(Detail("Where this comes from", (basis, f"Sessions: {counts}.")),),
    )
