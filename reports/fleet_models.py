"""Sister page: how wrong the laws have been, what the fleet taught them, conformance to PyBaMM."""

from __future__ import annotations

import math

from models.domain import BASELINE_POLICY
from reports import text as t
from reports.blocks import Detail, Page, Section, plain_table
from reports.driver_basis import stands_aside
from reports.fleet import footer, nav, notices
from reports.law_pages import cards_section, cohort_errors
from reports.policies_view import horizon_years, label_of
from reports.rows_fleet import FleetData

# Effects outside this range need an explanation (published studies lie within it).
EXPECTED_EFFECT_PP = (-1.0, 9.0)
_MOST_FLAGGED = 50
# Shares of readings kept aside inside the 80 % range from which on its width is called wrong.
INSIDE_WIDE, INSIDE_NARROW = 0.9, 0.65


def models_page(data: FleetData) -> Page:
    """Evidence for the models."""
    return Page(
        title="Evidence for the models",
        eyebrow=f"Fleet report · data up to {t.day(data.as_of_day)}",
        headline="How wrong the models have been",
        lead="Measured errors of every law, what the readings taught them, and where they disagree.",
        sections=(
            cards_section(data),
            _error_section(data),
            _fit_section(data),
            _member_section(data),
            _conformance_section(data),
            _residual_section(data),
            _range_section(data),
        ),
        notices=notices(data),
        nav=nav("models.html"),
        footer=footer(data),
        wide=True,
    )


def _law(data: FleetData, law_id: str) -> str:
    return data.law_labels.get(law_id) or t.words(law_id)


def _error_section(data: FleetData) -> Section:
    details: list[Detail] = []
    for cohort in sorted({f.cohort_id for f in data.fits}):
        fits = [f for f in data.fits if f.cohort_id == cohort]
        errors = cohort_errors(data, cohort, sorted({f.law_id for f in fits}))
        body = [
            (
                e.label,
                t.percent(e.weight),
                t.number(max((f.readings for f in fits if f.law_id == e.law_id), default=0)),
                t.number(max((f.vehicles for f in fits if f.law_id == e.law_id), default=0)),
                e.heldout,
                e.inside,
                e.conformance,
            )
            for e in errors
        ]
        table = plain_table(
            "Errors in points of capacity.",
            (
                "Law",
                "Weight",
                "Readings",
                "Vehicles",
                "Error on readings kept aside",
                "Inside the 80 % range",
                "Against PyBaMM, worst",
            ),
            body,
        )
        details.append(Detail(cohort, tables=(table,), open=not details))
    words = "Weights serve levels only; differences between settings weigh all laws equally."
    return Section(
        "errors",
        "Laws and their errors",
        lead=_range_words(data) if details else "Nothing has been fitted yet.",
        paragraphs=(words,) if details else (),
        details=tuple(details),
    )


def _range_words(data: FleetData) -> str:
    """What it means where far more or fewer readings than 80 % lie inside the 80 % range."""
    shares = [(f.heldout_inside_80_frac, f.cohort_id) for f in data.fits if f.heldout_inside_80_frac is not None]
    wide, narrow = ({c for x, c in shares if x > INSIDE_WIDE}, {c for x, c in shares if x < INSIDE_NARROW})
    said = [
        (wide, f"More than {t.percent(INSIDE_WIDE)} inside: readings scatter less than stated, ranges are too wide"),
        (narrow, f"Less than {t.percent(INSIDE_NARROW)} inside: ranges are too narrow"),
    ]
    return " ".join(f"{words} (for a law or more of {t.listing(sorted(found))})." for found, words in said if found)


def _fit_section(data: FleetData) -> Section:
    details: list[Detail] = []
    for cohort in sorted({f.cohort_id for f in data.fits}):
        rows = [f for f in data.fits if f.cohort_id == cohort]
        body = [
            (
                _law(data, f.law_id),
                t.words(f.parameter),
                f"{t.number(math.exp(f.prior_value), 2)} ({t.number_range(*_spread(f.prior_value, f.prior_sigma), 2)})",
                f"{t.number(math.exp(f.value), 2)} ({t.number_range(math.exp(f.low), math.exp(f.high), 2)})",
                t.number(f.shrinkage, 2),
                f.note or "",
            )
            for f in rows
        ]
        table = plain_table(
            "Factors on the law's own rates; 1 is the published parameter.",
            ("Law", "Factor", "Before (80 %)", "After (80 %)", "Width after / before", "Note"),
            body,
            2,
            left=(5,),
        )
        details.append(Detail(cohort, tables=(table,), open=not details))
    return Section(
        "fits",
        "What the readings taught",
        paragraphs=("A width of 1.00 means that nothing was learned and the prior stands.",),
        details=tuple(details),
    )


def _spread(value: float, sigma: float) -> tuple[float, float]:
    return math.exp(value - 1.2816 * sigma), math.exp(value + 1.2816 * sigma)


def _median(values: list[float]) -> float | None:
    ordered = sorted(v for v in values if math.isfinite(v))
    if not ordered:
        return None
    mid = len(ordered) // 2
    return ordered[mid] if len(ordered) % 2 else (ordered[mid - 1] + ordered[mid]) / 2


def _member_section(data: FleetData) -> Section:
    """Medians over vehicles of each law's own difference: where the laws disagree."""
    cells: dict[tuple[str, str, str], list[float]] = {}
    year = max((m.year for v in data.vehicles for m in v.members), default=0)
    for v in data.vehicles:
        for m in v.members:
            if m.year == year and m.policy_id != BASELINE_POLICY and t.known(m.diff_p50_pp):
                cells.setdefault((v.vehicle.cell_id, m.policy_id, m.law_id), []).append(m.diff_p50_pp)
    details: list[Detail] = []
    for cell in sorted({k[0] for k in cells}):
        laws = sorted({k[2] for k in cells if k[0] == cell})
        known = {k[1] for k in cells if k[0] == cell}
        order = [p for p in data.policies if p in known] + sorted(known - set(data.policies))
        body = [
            (
                label_of(data.policies, policy),
                *(t.points(_median(cells.get((cell, policy, law), [])), 2) for law in laws),
            )
            for policy in order
        ]
        table = plain_table(
            f"Extra wear after {year} years in points, median over vehicles, law by law.",
            ("Setting", *(_law(data, law) for law in laws)),
            body,
        )
        details.append(Detail(f"Cell {cell}", tables=(table,), open=not details))
    return Section(
        "members",
        "Where the laws disagree",
        paragraphs=("No law is right. The ranges on all pages span these differences.",),
        details=tuple(details),
    )


def _conformance_section(data: FleetData) -> Section:
    body = [
        (
            c.vehicle_id,
            label_of(data.policies, c.policy_id),
            _law(data, c.law_id),
            c.parameter_set,
            t.number(c.days),
            f"{t.number(c.temp_mean_c, 1)} / {t.number(c.temp_max_c, 1)}",
            t.number(c.c_rate_p95, 2),
            t.percent(c.capacity_kernel_frac, 3),
            t.percent(c.capacity_pybamm_frac, 3),
            t.number(c.error_pp, 4, plus=True),
            t.percent(c.error_of_loss_frac, 1),
            "yes" if c.passed else "no",
        )
        for c in data.conformance
    ]
    table = plain_table(
        "The same duty through the fast calculation and through PyBaMM (SPM, tight tolerances).",
        (
            "Vehicle",
            "Setting",
            "Law",
            "Parameter set",
            "Days",
            "°C mean / max",
            "C-rate, 95 %",
            "Capacity, fast",
            "Capacity, PyBaMM",
            "Error, points",
            "Error of the loss",
            "Within budget",
        ),
        body,
        4,
    )
    budget = max((c.budget_pp for c in data.conformance), default=None)
    said = f"A night fails when the error exceeds {t.number(budget, 3)} points of capacity." if body else ""
    return Section(
        "conformance",
        "Conformance to PyBaMM",
        paragraphs=(said,) if said else (),
        tables=(table,) if body else (),
        lead="" if body else "No conformance run has been made yet.",
    )


def _residual_section(data: FleetData) -> Section:
    body = [
        (
            r.scope,
            "used" if r.used else "stands aside",
            "" if r.used else stands_aside(r.reason).removeprefix("stands aside").lstrip(": "),
            t.number(r.groups),
            t.number(r.readings),
            t.number(r.rmse_laws_pp, 2),
            t.number(r.rmse_learned_pp, 2),
            t.number(r.half_width_pp, 2),
            t.percent(r.inside_80_frac),
        )
        for r in data.residuals
    ]
    table = plain_table(
        "Learned on what the laws leave over; errors held out by vehicle, in points.",
        (
            "Scope",
            "State",
            "Reason",
            "Vehicles",
            "Readings",
            "Error of the laws",
            "With the correction",
            "Half width",
            "Inside the 80 % range",
        ),
        body,
        3,
    )
    return Section(
        "residual",
        "Learned correction",
        tables=(table,) if body else (),
        lead="" if body else "No correction has been learned: too few readings.",
    )


def _plating(data: FleetData) -> list[str]:
    """How many vehicles charge where lithium may plate, going on as today: flagged, never weighed."""
    hours = sorted(
        s.plating_hours_per_year
        for v in data.vehicles
        for s in v.settings
        if s.policy_id == "as_driven" and s.plating_hours_per_year is not None
    )
    if not hours:
        return []
    flagged = sum(1 for h in hours if h >= 0.05)
    return [
        f"Cold charging: {t.plural(flagged, 'vehicle')} of {len(hours)} spend time with the anode below 0 V against"
        f" lithium, where it may plate (at most {t.number(hours[-1], 1)} hours a year). A flag only: the speed of"
        " plating is not calibrated, so it enters no forecast."
    ]


def _range_section(data: FleetData) -> Section:
    low, high = EXPECTED_EFFECT_PP
    found = [
        (max(low - f.diff_p50_pp, f.diff_p50_pp - high), v.vehicle.vehicle_id, f)
        for v in data.vehicles
        for last in [horizon_years(v)]
        for f in v.forecasts
        if f.year == last and not low <= f.diff_p50_pp <= high
    ]
    flagged = [
        (
            vehicle_id,
            label_of(data.policies, f.policy_id),
            t.points(f.diff_p50_pp, 2),
            t.points_range(f.diff_p10_pp, f.diff_p90_pp, 2),
        )
        for _, vehicle_id, f in sorted(found, key=lambda x: (-x[0], x[1], x[2].policy_id))
    ]
    outside = sorted(v.state.outside_frac for v in data.vehicles if v.state.outside_frac is not None)
    paragraphs = [
        f"{t.plural(len(flagged), 'vehicle-setting')} outside {t.points(low, 0)} to {t.points(high, 0)} points: such an"
        " effect needs an explanation before it is believed.",
    ]
    if outside:
        paragraphs.append(
            f"Share of life outside the laws' tested conditions: median {t.percent(outside[len(outside) // 2])}, "
            f"highest {t.percent(outside[-1])}. Ranges are widened for it, on the side of more wear."
        )
    paragraphs += _plating(data)
    table = plain_table(
        "Effects outside the range of published studies, in points, furthest first"
        + (f": {_MOST_FLAGGED} of {len(flagged)}." if len(flagged) > _MOST_FLAGGED else "."),
        ("Vehicle", "Setting", "Extra wear", "Range"),
        flagged[:_MOST_FLAGGED],
        2,
    )
    return Section("validity", "Validity", paragraphs=tuple(paragraphs), tables=(table,) if flagged else ())
