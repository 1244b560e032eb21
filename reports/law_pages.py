"""Model cards: one page a law. Equation, source, tested range, how wrong it has been, where it fails."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from models.domain import BASELINE_POLICY
from models.law_card import LawCard
from models.law_tests import LawEvidence
from models.parameters import Parameter
from reports import text as t
from reports.blocks import Cell, Detail, Figure, Group, Page, Row, Section, Table, plain_table
from reports.charts_evidence import Trace, error_traces
from reports.driver_basis import LawError, law_errors
from reports.fleet import footer, nav, notices
from reports.render import page_name
from reports.rows_fleet import FleetData

VARIABLES = {
    "temp_c": "Cell temperature, °C",
    "cycling_temp_c": "Cell temperature while cycling, °C",
    "cell_soc_frac": "State of charge, 0 to 1",
    "depth_frac": "Depth of a cycle, 0 to 1",
    "c_rate_per_h": "C-rate, 1/h",
    "c_rate": "C-rate, 1/h",
    "temp": "Cell temperature, °C",
    "soc": "State of charge, 0 to 1",
    "depth": "Depth of a cycle, 0 to 1",
    "rate": "Mean C-rate, 1/h",
    "cycles": "Equivalent full cycles",
    "day": "Days",
}
STANDINGS = {"seen": "seen in the source", "secondary": "read in a secondary source", "assumed": "assumed"}
_WORST = 5
_LONGEST = 12


def card_name(law_id: str) -> str:
    """File name of a law's page, safe whatever the name of a law of one's own."""
    return f"law_{page_name(law_id)}"


def card_page(card: LawCard, data: FleetData) -> Page:
    """The card of one law."""
    return Page(
        title=f"Model card: {card.label}",
        eyebrow=f"Model card · {card.law_id}",
        headline=card.label,
        lead=_lead(card),
        sections=(
            _errors(card),
            _fleet(card, data),
            _equation(card),
            _range(card, data),
            _fails(card),
            _parameters(card),
        ),
        notices=notices(data),
        nav=nav(""),
        footer=footer(data),
        wide=True,
    )


def cards_section(data: FleetData) -> Section:
    """Links to all cards, with what was measured of each law."""
    body = tuple(
        Row(
            (
                Cell(card.label, card.law_id, card_name(card.law_id)),
                Cell(", ".join(card.cells) or "ageing tests (fadecast evidence)"),
                Cell(_tests_words(card.evidence)),
            )
        )
        for card in data.cards
    )
    table = Table(
        "One page a law: equation, source, tested range, how wrong it has been, where it fails.",
        ("Law", "Speaks for the cells", "Error on ageing tests"),
        (Group("", body),),
        text_columns=3,
    )
    return Section("cards", "Model cards", tables=(table,) if body else ())


def _tests_words(e: LawEvidence | None) -> str:
    if e is None:
        return "no ageing test of its chemistry that states temperature and charge"
    seen = ", the law was fitted to them" if e.in_sample else ", each left out in turn" if e.left_out else ""
    kind = f" of {e.cells}" if e.cells else ""
    return f"{t.number(e.rmse_pp, 1)} points on {t.plural(len(e.tests), 'test')}{kind}{seen}"


def _lead(card: LawCard) -> str:
    e = card.evidence
    if e is None:
        return (
            "No open ageing test of its chemistry that states temperature and charge was at hand: only the fleet's own"
            " readings show how wrong it is."
        )
    said = (
        f"Wrong by {t.number(e.rmse_pp, 1)} points of capacity on {t.plural(len(e.tests), 'ageing test')}"
        f"{' of ' + e.cells if e.cells else ''} (all check-ups together; {t.number(e.mean_rmse_pp, 1)} on average over"
        " tests);"
        f" its 80 % interval held {t.percent(e.inside_80_frac)} of the check-ups, averaged over tests."
    )
    return said + (" It was fitted to these tests, those it leaves out apart." if e.in_sample else "")


def _errors(card: LawCard) -> Section:
    e = card.evidence
    if e is None:
        return Section("errors", "How wrong it has been", lead="Not held against an ageing test.")
    figures = []
    for kind, x, label in (("storage", e.day, "days"), ("cycling", e.cycles, "equivalent full cycles")):
        traces = tuple(_trace(e, i, x) for i, k in enumerate(e.kinds) if k == kind)
        if traces:
            title = f"{kind.capitalize()}: measured less predicted capacity of {t.plural(len(traces), 'test')}"
            desc = "Lines are tests, bands the law's own 80 % intervals about its prediction; zero is a perfect law."
            figures.append(Figure(error_traces(f"card-{kind}", traces, title, desc, label), f"{title}. {desc}"))
    body = [_test_row(e, i) for i in sorted(range(len(e.tests)), key=lambda i: -e.of_test(i)[0])]
    columns = ("Test", "Error", "Mean error", "Inside the 80 % interval")
    columns += () if e.left_out else ("Outside the tested range",)
    return Section(
        "errors",
        "How wrong it has been",
        paragraphs=(
            "Errors in points of capacity (root mean square; mean of measured less predicted, as in the charts:"
            " below zero the cells lost more than predicted). "
            + (
                "The law was fitted to the tests of storage and of even cycles up to 1C; the others are not in it."
                if e.in_sample
                else "Every test was predicted by a law fitted without its condition."
                if e.left_out
                else "Nothing was fitted here: the interval is that between cells of one chemistry."
            ),
        ),
        figures=tuple(figures),
        tables=(
            plain_table(f"Worst {min(_WORST, len(body))} of {len(body)} tests.", columns, body[:_WORST]),
            *_record(card),
        ),
        details=(Detail(f"All {len(body)} tests", tables=(plain_table("All tests.", columns, body),)),),
        items=(f"Source: {_plain(e.source)}.",),
    )


def _record(card: LawCard) -> tuple[Table, ...]:
    """Errors when tests were left out in other ways; the score tells an interval from one of constant width."""
    body = [
        (
            f"{x.scheme}: {x.group}",
            t.number(x.tests),
            t.number(x.rmse_pp, 2),
            t.percent(x.inside_80_frac),
            t.number(x.score_pp, 2),
            t.number(x.constant_score_pp, 2),
        )
        for x in card.record
    ]
    columns = ("Left out", "Tests", "Error", "Inside the 80 % interval", "Interval score", "Score of a constant width")
    caption = "Whole groups left out, in points; of the scores (Gneiting and Raftery 2007) the smaller is the better."
    return (plain_table(caption, columns, body),) if body else ()


def _test_row(e: LawEvidence, index: int) -> tuple[str, ...]:
    rmse, bias, inside = e.of_test(index)
    # A test left out sets the range of the law that is kept, so the column would say "no" whatever the test.
    outside = () if e.left_out else ("yes" if e.outside[index] else "no",)
    return (e.tests[index], t.number(rmse, 2), t.number(-bias, 2, plus=True), t.percent(inside), *outside)


def _trace(e: LawEvidence, index: int, x: np.ndarray) -> Trace:
    at = np.flatnonzero(e.test == index)
    picked = at[np.unique(np.linspace(0, at.size - 1, min(at.size, _LONGEST)).astype(int))]
    where, error, low, high = (tuple(float(v) for v in c[picked]) for c in (x, -e.error_pp, e.low_pp, e.high_pp))
    return Trace(e.tests[index], where, error, low, high)


def cohort_errors(data: FleetData, cohort_id: str, law_ids: list[str]) -> list[LawError]:
    """Measured errors of laws in a cohort; conformance runs are those on any vehicle with one of its cells."""
    fits = tuple(f for f in data.fits if f.cohort_id == cohort_id)
    cells = {v.vehicle.cell_id for v in data.vehicles if v.vehicle.cohort_id == cohort_id}
    same_cell = {v.vehicle.vehicle_id for v in data.vehicles if v.vehicle.cell_id in cells}
    runs = tuple(c for c in data.conformance if c.vehicle_id in same_cell)
    return law_errors(law_ids, data.law_labels, fits, runs)


def _fleet(card: LawCard, data: FleetData) -> Section:
    body = []
    for cohort in sorted({f.cohort_id for f in data.fits if f.law_id == card.law_id}):
        (x,) = cohort_errors(data, cohort, [card.law_id])
        body.append((cohort, x.heldout, x.inside, t.percent(x.weight), x.conformance))
    table = plain_table(
        "On readings kept aside, in points of capacity; the weight serves levels only.",
        ("Cohort", "Error", "Inside the 80 % range", "Weight", "Fast calculation against PyBaMM, worst"),
        body,
    )
    return Section(
        "fleet",
        "In this fleet",
        tables=(table,) if body else (),
        lead="" if body else "No cohort of this fleet uses it, or nothing has been fitted yet.",
    )


def _equation(card: LawCard) -> Section:
    return Section("equation", "Equation", code=card.equation, items=(f"Source: {_plain(card.source)}.",))


def _plain(source: str) -> str:
    """A source without the hashes of its files, which stand in the parameters."""
    return re.sub(r",? sha256 [0-9a-f]{64}", "", source)


def _range(card: LawCard, data: FleetData) -> Section:
    body = [
        (VARIABLES.get(name, t.words(name)), t.number(low, 2), t.number(high, 2)) for name, low, high in card.ranges
    ]
    last = max((m.year for v in data.vehicles for m in v.members), default=0)
    found = sorted(
        m.outside_frac
        for v in data.vehicles
        for m in v.members
        if m.law_id == card.law_id and m.year == last and m.policy_id == BASELINE_POLICY and m.outside_frac is not None
    )
    said = (
        f"Share of wear expected outside this range in this fleet: median {t.percent(found[len(found) // 2])}, highest"
        f" {t.percent(found[-1])}. It counts, widens the ranges on all pages, and is shown."
        if found
        else "What lies outside is counted, widens the ranges on all pages, and is shown."
    )
    table = plain_table("Conditions the law was found at.", ("Condition", "Lowest", "Highest"), body)
    return Section("range", "Where it was tested", paragraphs=(said,), tables=(table,))


def _fails(card: LawCard) -> Section:
    items = [card.limits]
    e = card.evidence
    if e is not None:
        bad = [i for i in range(len(e.tests)) if e.of_test(i)[2] < 0.5]
        items += [
            f"Outside its own interval in more than half of the check-ups: {e.tests[i]} (mean error"
            f" {t.number(-e.of_test(i)[1], 1, plus=True)} points)."
            for i in bad
        ]
    return Section("fails", "Where it fails", items=tuple(items))


def _parameters(card: LawCard) -> Section:
    details = []
    for name, parameters in card.parameters:
        body = [(t.words(p.name), _value(p), p.unit, STANDINGS[p.standing], p.source) for p in parameters]
        columns = ("Parameter", "Value", "Unit", "Standing", "Source")
        table = plain_table("Every number with its source.", columns, body, 1, left=(2, 3, 4))
        table = replace(table, wide=True)  # a source may name a file by its hash
        details.append(Detail(f"{len(body)} parameters of {name}", tables=(table,)))
    assumed = sum(p.standing == "assumed" for _, parameters in card.parameters for p in parameters)
    return Section("parameters", "Parameters", paragraphs=(f"{assumed} of them are assumed.",), details=tuple(details))


def _value(p: Parameter) -> str:
    if isinstance(p.value, float):
        return f"{p.value:.6g}"
    return str(p.value)
