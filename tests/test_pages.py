"""View models and pages: what a driver and an analyst must find there, from made-up rows."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from types import ModuleType
from typing import Any

import pytest

from reports import driver, fleet, fleet_data, fleet_models
from reports.blocks import Page
from reports.fleet_risk import TOP, answers, risks_of
from reports.policies_view import difference_heading, options_of
from reports.render import MAX_DRIVER_BYTES, render_page
from reports.rows import VehicleData
from reports.rows_fleet import ColumnDoc, FleetData, TableDoc

VOID = {"meta", "br", "hr", "img", "input", "link"}
DRIVER_HEADINGS = [
    "Your battery now", "Recommended", "What export has cost so far", "Settings side by side", "Warranty left",
    "Resale value: a scenario", "Your habits", "What we don’t know",
]  # fmt: skip


class _Checker(HTMLParser):
    """Every tag closed in order, ids unique, no handler or style attribute, cells within labelled tables."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.stack: list[str] = []
        self.ids: list[str] = []
        self.headings: list[int] = []
        self.text: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        assert not any(k == "style" or k.startswith("on") for k in named), attrs
        assert tag != "script"
        if "id" in named:
            self.ids.append(named["id"] or "")
        if tag in ("h1", "h2", "h3"):
            self.headings.append(int(tag[1]))
        if tag == "th":
            assert "scope" in named
        if tag == "a":
            self.links.append(named["href"] or "")
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "svg" in self.stack or tag in VOID, tag

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.stack:
            self.text.append(data)


def _checked(page: Page) -> tuple[str, _Checker]:
    body = render_page(page)
    assert body == render_page(page)
    html = body.decode()
    checker = _Checker()
    checker.feed(html)
    checker.close()
    assert not checker.stack
    assert len(set(checker.ids)) == len(checker.ids)
    assert checker.headings[0] == 1
    assert checker.headings.count(1) == 1
    said = re.sub(r"\s+", " ", " ".join(checker.text).replace("\u00a0", " ").replace("\u2060", ""))
    assert not re.search(r"\b(nan|None|inf|null|undefined)\b", said)
    return said, checker


@pytest.mark.parametrize(("standing", "export"), [("measured", True), ("inferred", False), ("prior_only", False)])
def test_driver_page_is_whole_small_and_clean(page_rows: ModuleType, standing: str, export: bool) -> None:
    page = driver.driver_page(page_rows.vehicle(9, standing, export))
    said, checker = _checked(page)
    assert len(render_page(page)) <= MAX_DRIVER_BYTES
    places = [said.index(h) for h in DRIVER_HEADINGS]
    assert places == sorted(places)
    assert "not an appraisal" in said
    assert checker.links == ["#main"]


def test_driver_page_says_what_is_measured_and_what_is_not(page_rows: ModuleType) -> None:
    measured, _ = _checked(driver.driver_page(page_rows.vehicle(9)))
    assert "Your battery holds about 8" in measured
    assert "We are 80 % sure" in measured
    assert "24 readings from this car" in measured
    for standing in ("inferred", "prior_only"):
        said, _ = _checked(driver.driver_page(page_rows.vehicle(9, standing, False)))
        assert "Not yet measured" in said
        assert "Your battery holds" not in said
        assert "These logs contain no export" in said
    inferred, _ = _checked(driver.driver_page(page_rows.vehicle(9, "inferred", False)))
    assert "state of charge is inferred" in inferred


def test_the_chance_of_a_breach_stands_beside_what_it_would_be_otherwise(page_rows: ModuleType) -> None:
    v = page_rows.vehicle(9)
    chances = {"as_driven": 0.31, "no_export_smart": 0.22}
    ranged = tuple(replace(w, breach_frac=chances.get(w.policy_id, 0.4)) for w in v.warranties)
    said, _ = _checked(driver.driver_page(replace(v, warranties=ranged)))
    (line,) = re.findall(r"Warranty: chance of a breach [^.]*\.", said)
    assert line.endswith("; 31 % going on as today, 22 % without export.") and "chance of a breach 40 %" in line


def test_no_export_is_said_of_a_car_in_a_fleet_that_exports(page_rows: ModuleType) -> None:
    v = page_rows.vehicle(9, export=False)
    said, _ = _checked(driver.driver_page(replace(v, logs_have_export=True)))
    assert "These logs contain no export, so it has cost this battery nothing." in said
    assert "from any car" not in said


def test_intervals_with_zero_stand_under_no_clear_difference(page_rows: ModuleType) -> None:
    options = options_of(page_rows.vehicle(9))
    groups = {o.policy_id: o.group for o in options}
    assert groups["no_export_smart"] == "For comparison"
    for o in options:
        if o.policy_id != "no_export_smart" and o.horizon is not None:
            zero = o.horizon.diff_p10_pp <= 0 <= o.horizon.diff_p90_pp
            assert (o.group == "No clear difference") == zero
    said, _ = _checked(driver.driver_page(page_rows.vehicle(9)))
    assert "No clear difference" in said
    assert difference_heading(0.0, 1.0) == "No clear difference"


def test_export_cost_with_zero_inside_is_headed_unclear(page_rows: ModuleType) -> None:
    v = page_rows.vehicle(9)
    v = replace(v, state=replace(v.state, export_cost_low_pp=-0.2, export_cost_pp=0.1, export_cost_high_pp=0.4))
    said, _ = _checked(driver.driver_page(v))
    assert "No clear difference: 0.1 points of capacity, range −0.2 to 0.4." in said


def test_a_little_export_is_not_said_to_be_none(page_rows: ModuleType) -> None:
    v = page_rows.vehicle(3)
    said, _ = _checked(driver.driver_page(replace(v, state=replace(v.state, export_kwh=0.36, virtual_km=2.0))))
    assert "0.4 kWh" in said and "Exported 0 kWh" not in said


def test_assumed_values_errors_and_sources_are_named(page_rows: ModuleType) -> None:
    said, _ = _checked(driver.driver_page(page_rows.vehicle(9)))
    assert "Assumed, nobody measured or stated them: consumption, house load of a year and list price." in said
    assert "How wrong the models have been on cars like yours: 0.6 to 0.8 points" in said
    assert "Prices: 2015–2024" in said
    assert "a typical year" in said
    for label in page_rows.LAWS.values():
        assert label in said
    assert "0.006 points (1 run)" in said
    assert "stands aside: fewer than 20 vehicles with readings." in said


def test_what_export_adds_to_the_risk_has_the_models_range(page_rows: ModuleType) -> None:
    v = page_rows.vehicle(9)
    ranged = tuple(replace(w, breach_by_fade_low_frac=0.004, breach_by_fade_high_frac=0.123) for w in v.warranties)
    said, _ = _checked(driver.driver_page(replace(v, warranties=ranged)))
    assert "(+0.4 to +12.3 by law)" in said
    f = page_rows.fleet()
    f = replace(
        f,
        vehicles=tuple(
            replace(
                x,
                warranties=tuple(
                    replace(w, breach_by_fade_low_frac=0.01, breach_by_fade_high_frac=0.02) for w in x.warranties
                ),
            )
            for x in f.vehicles
        ),
    )
    due = answers(f, risks_of(f))[2]
    assert due.range.startswith("The models range from +0.40 to +0.80.")  # 40 vehicles
    without = answers(page_rows.fleet(), risks_of(page_rows.fleet()))[2]
    assert "The models range" not in without.range


def test_hours_of_cold_charging_are_flagged_and_said_to_weigh_nothing(page_rows: ModuleType) -> None:
    def flagged(v: VehicleData, hours: float) -> VehicleData:
        return replace(v, settings=tuple(replace(s, plating_hours_per_year=hours) for s in v.settings))

    cold, _ = _checked(driver.driver_page(flagged(page_rows.vehicle(9), 12.34)))
    assert "lithium may plate on the anode: 12.3 hours a year" in cold and "enters no figure here" in cold
    warm, _ = _checked(driver.driver_page(flagged(page_rows.vehicle(9), 0.0)))
    assert "lithium may plate on the anode: none" in warm
    assert "plate" not in _checked(driver.driver_page(page_rows.vehicle(9)))[0]
    f = page_rows.fleet()
    f = replace(f, vehicles=tuple(flagged(v, 8.0 if i < 3 else 0.0) for i, v in enumerate(f.vehicles)))
    said, _ = _checked(fleet_models.models_page(f))
    assert "Cold charging: 3 vehicles of 40 spend time" in said and "at most 8.0 hours a year" in said


def test_ranges_that_hold_too_many_or_too_few_readings_are_said(page_rows: ModuleType) -> None:
    f = page_rows.fleet()

    def said(inside: float) -> str:
        fits = tuple(replace(x, heldout_inside_80_frac=inside) for x in f.fits)
        return _checked(fleet_models.models_page(replace(f, fits=fits)))[0]

    assert "ranges are too wide (for" in said(0.97) and "too narrow" not in said(0.97)
    assert "ranges are too narrow (for" in said(0.5)
    assert "ranges are too" not in said(0.8)


def test_effects_that_no_published_study_has_are_listed_furthest_first_and_cut_off_aloud(
    page_rows: ModuleType,
) -> None:
    f = page_rows.fleet(60)
    last = max(x.year for x in f.vehicles[0].forecasts)

    def said(effects: list[float]) -> str:
        """Effect of one setting of each of the first vehicles at the horizon; all others 0."""
        vehicles = []
        for i, v in enumerate(f.vehicles):
            rows = [replace(x, diff_p50_pp=0.0) for x in v.forecasts]
            at = next(k for k, x in enumerate(rows) if x.year == last)
            rows[at] = replace(rows[at], diff_p50_pp=effects[i] if i < len(effects) else 0.0)
            vehicles.append(replace(v, forecasts=tuple(rows)))
        return _checked(fleet_models.models_page(replace(f, vehicles=tuple(vehicles))))[0]

    assert "0 vehicle-settings outside" in said([-0.99, 8.99])
    few = said([-1.01, 9.5, -3.0])
    assert "3 vehicle-settings outside" in few and "in points, furthest first." in few
    assert few.index("−3.00") < few.index("+9.50") < few.index("−1.01")
    assert "furthest first: 50 of 60." in said([10.0 + 0.1 * i for i in range(60)])


def test_missing_parts_become_sentences(page_rows: ModuleType) -> None:
    v = page_rows.vehicle(9, "prior_only", False)
    bare = replace(
        v,
        contract=None,
        home=None,
        forecasts=(),
        members=(),
        warranties=(),
        values=(),
        settings=(),
        fits=(),
        conformance=(),
        residuals=(),
        sources=(),
        cohort_soh=(),
        state=replace(
            v.state, last_data_utc=None, odometer_km=None, mean_soc_frac=None, outside_frac=None, export_cost_pp=None
        ),
        habits=type(v.habits)(),
        sessions=type(v.sessions)(),
    )
    said, _ = _checked(driver.driver_page(bare))
    assert "No warranty contract is registered" in said
    assert "No scenario" in said
    assert "not known yet, there are no readings to test them on" in said


def test_small_cohorts_are_not_compared(page_rows: ModuleType) -> None:
    said, _ = _checked(driver.driver_page(replace(page_rows.vehicle(9), cohort_soh=())))
    assert "of 10 cars" not in said


def test_warranty_that_has_ended(page_rows: ModuleType) -> None:
    v = page_rows.vehicle(9)
    said, _ = _checked(driver.driver_page(replace(v, state=replace(v.state, age_years=9.2))))
    assert "The cover of this contract has ended." in said


def test_hostile_strings_never_reach_a_page(page_rows: ModuleType) -> None:
    v = replace(page_rows.vehicle(9), **page_rows.hostile())
    html = render_page(driver.driver_page(v)).decode()
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    f = page_rows.fleet(6)
    bad = "<script>x</script>"
    f = replace(
        f,
        files=tuple(replace(x, path=bad, format=bad, error=bad) for x in f.files),
        rules=tuple(replace(q, rule=bad, title=bad, meaning=bad) for q in f.rules),
        law_labels=dict.fromkeys(f.law_labels, bad),
    )
    for page in _fleet_pages(f):
        assert "<script" not in render_page(page).decode()


def _fleet_pages(f: FleetData) -> list[Page]:
    docs = (TableDoc("out_forecast", (ColumnDoc("soh_p50", "DOUBLE", "1", "Median"),), 3, True),)
    return [
        fleet.index_page(f),
        fleet.vehicles_page(f),
        fleet_models.models_page(f),
        fleet_data.data_page(f),
        fleet_data.dictionary_page(docs),
    ]


def test_fleet_pages_are_clean_and_link_each_other(page_rows: ModuleType) -> None:
    f = page_rows.fleet()
    names = {name for name, _ in fleet.PAGES}
    for page in _fleet_pages(f):
        said, checker = _checked(page)
        assert "How wrong the models have been: 0.6 to 0.8 points" in said or page.title == "Tables and SQL"
        for link in checker.links:
            if link.startswith("#"):
                assert link[1:] in checker.ids
                continue
            assert link == "#main" or link in names or re.fullmatch(r"\.\./driver/v[0-9a-f]{12}\.html", link), link


def test_fleet_page_answers_within_a_minute(page_rows: ModuleType) -> None:
    f = page_rows.fleet()
    risks = risks_of(f)
    assert [r.breach_frac for r in risks] == sorted((r.breach_frac for r in risks), reverse=True)
    who, sure, due, cap = answers(f, risks)
    assert "the others rest on their type" in sure.range
    for standing, end in (("measured", "readings of their own battery."), ("prior_only", "; all rest on their type.")):
        only = tuple(replace(v, state=replace(v.state, standing=standing)) for v in f.vehicles)
        all_alike = replace(f, vehicles=only)
        assert answers(all_alike, risks_of(all_alike))[1].range.endswith(end)
    assert who.value.startswith("5 of 40 vehicles have a chance of 10")
    assert "models range" in sure.value
    assert "breaches over the 40 vehicles that export" in due.value
    assert "Evening peak" in cap.range
    said, _ = _checked(fleet.index_page(f))
    assert said.index("In a minute") < said.index("The next 20 vehicles of 40") < said.index("Small print: in 8 of 10")
    assert "in 8 of 10 simulated worlds the figure itself lies within" in said
    assert "0 to 5" in said and "0.00 to 5.00" not in said  # breaches are counted
    for heading in ("Export policies compared", "Claims and cost", "UN GTR 22 compliance", "Data quality", "Evidence"):
        assert heading in said
    assert "Charts: the 2 cohorts" not in said  # it has no more
    several = tuple(replace(r, cohort_id=c) for r in f.frontier for c in ("a", "b", "c"))
    several = tuple(replace(r, breach_frac=0.1 + 0.5 * (r.cohort_id == "c")) for r in several)
    charted, _ = _checked(fleet.index_page(replace(f, frontier=several)))
    assert "Charts: the 2 cohorts with the most breaches expected." in charted
    assert charted.index("c: all settings in numbers") < charted.index("a: all settings in numbers")
    assert "24 measured, 8 inferred, 8 known by type alone" in said


def test_caps_that_change_nothing_are_not_called_the_nearest(page_rows: ModuleType) -> None:
    f = page_rows.fleet()
    same = tuple(replace(v, warranties=tuple(replace(w, breach_frac=0.2) for w in v.warranties)) for v in f.vehicles)
    cap = answers(replace(f, vehicles=same), risks_of(replace(f, vehicles=same)))[3]
    assert cap.range.startswith("Not one of them lowers the 8.0 breaches expected by as much as 0.1: most of the risk")


def test_fleet_without_export_says_so(page_rows: ModuleType) -> None:
    said, _ = _checked(fleet.index_page(page_rows.fleet(10, export=False)))
    assert "These logs contain no export" in said
    assert "Nothing: these logs contain no export." in said


def test_a_fleet_of_a_thousand_stays_light(page_rows: ModuleType) -> None:
    few = page_rows.fleet(4)
    many = tuple(
        replace(v, vehicle=replace(v.vehicle, vehicle_id=f"w{i:012x}"))
        for i, v in enumerate(few.vehicles[i % 4] for i in range(1000))
    )
    f = replace(few, vehicles=many)
    page = fleet.index_page(f)
    said, checker = _checked(page)
    assert sum(link.startswith("../driver/") for link in checker.links) == TOP
    assert "All 1,000 vehicles" in said
    assert len(render_page(page)) < 250_000
    _, everyone = _checked(fleet.vehicles_page(f))
    assert sum(link.startswith("../driver/") for link in everyone.links) == 1000


def test_an_empty_fleet_has_pages(page_rows: ModuleType) -> None:
    empty: dict[str, Any] = dict.fromkeys(
        ("vehicles", "kpis", "claims", "compliance", "frontier", "files", "rules", "fits", "conformance",
         "residuals"), ()
    )  # fmt: skip
    for page in _fleet_pages(replace(page_rows.fleet(1), as_of_day=None, sessions=0, export_sessions=0, **empty)):
        _checked(page)
