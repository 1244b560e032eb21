"""Top of a driver page: what stands above everything, the headline, the battery now and in the years ahead."""

from __future__ import annotations

from models.domain import BASELINE_POLICY
from reports import charts
from reports import text as t
from reports.blocks import Detail, Fact, Figure, Section
from reports.rows import VehicleData

SHOWN_READINGS = 60


def notices(v: VehicleData) -> tuple[str, ...]:
    """What stands above everything: simulated logs, logs without export, inferred levels; said by the data."""
    out: list[str] = []
    if v.simulated:
        out.append("Demonstration: this car and its logs are simulated.")
    if not v.logs_have_export:
        out.append(
            "These logs contain no export, from any car. Whatever is said below about export is a calculation from"
            " models, not an observation."
        )
    if v.sessions.soc_inferred:
        share = v.sessions.soc_inferred / max(v.sessions.total, 1)
        out.append(
            f"The state of charge is inferred in {t.percent(share)} of this car's sessions: the logs hold energy, not"
            " the battery's level."
        )
    return tuple(out)


def measured(v: VehicleData) -> bool:
    """Whether this battery's capacity rests on readings of its own."""
    return v.state.standing == "measured"


def _age_assumed(v: VehicleData) -> bool:
    return "in_service_date" in v.vehicle.assumed


def headline(v: VehicleData) -> tuple[str, str]:
    """The plain headline and the sentence below it."""
    s = v.state
    span = t.percent_range(s.soh_low_frac, s.soh_high_frac)
    if measured(v):
        return (
            f"Your battery holds about {t.percent(s.soh_frac)} of what it held when new.",
            f"We are 80{t.NBSP}% sure that it is {span}.",
        )
    return (
        f"Not yet measured. A car like yours most likely holds {span} of what it held when new.",
        "That is the range of its type at this age, not a reading of your battery"
        + (", if the car was new when its logs begin (assumed)." if _age_assumed(v) else "."),
    )


def headline_figure(v: VehicleData) -> Figure:
    """Today's capacity on a scale, beside the warranty's limit."""
    s, floor = v.state, v.contract.floor_frac if v.contract else None
    span = t.percent_range(s.soh_low_frac, s.soh_high_frac)
    floor_label = "warranty limit" if floor is not None else ""
    chart = charts.range_bar(
        "now",
        s.soh_frac,
        s.soh_low_frac,
        s.soh_high_frac,
        floor,
        "Capacity today",
        f"About {t.percent(s.soh_frac)} of the capacity when new, range {span}"
        + (f"; warranty limit {t.percent(floor)}." if floor is not None else "."),
        floor_label,
    )
    return Figure(chart)


def now_section(v: VehicleData, last: str) -> Section:
    """The battery today, with its interval, and the years ahead if all goes on as now."""
    s = v.state
    facts = [
        Fact(
            "Age",
            t.years(s.age_years),
            "",
            f"in service since {t.day(v.vehicle.in_service_date)}" + (" (assumed)" if _age_assumed(v) else ""),
        ),
        _distance(v),
        Fact(
            "Readings of this battery",
            t.number(s.own_readings) if s.own_readings else "none yet",
            "",
            "each between two long rests" if s.own_readings else "a reading needs two long rests",
        ),
    ]
    own_count = [r for r in v.readings if r.bms_reported]
    if own_count:
        facts.append(
            Fact(
                "The car's own count",
                t.percent(own_count[-1].soh_frac),
                "",
                f"last of {t.number(len(own_count))}; its maker's figure, no measurement of ours",
            )
        )
    fan = _fan(v)
    return Section(
        "now",
        "Your battery now",
        lead=_comparison(v) or "",
        facts=tuple(facts),
        figures=(fan,) if fan is not None else (),
        details=(
            Detail(
                "Where this comes from",
                (
                    _standing_words(v),
                    f"Basis: {s.basis or 'not stated'}. Data up to {last}. The range holds in 8 of 10 cases.",
                    f"{t.percent(s.outside_frac)} of this battery's life lies outside the conditions the ageing laws"
                    " were found in; ranges are widened for that.",
                ),
            ),
        ),
    )


def _comparison(v: VehicleData) -> str:
    cohort = v.cohort_soh
    if not cohort or not measured(v):
        return ""
    below = sum(1 for x in cohort if x < v.state.soh_frac)
    tenths = round(10 * below / len(cohort))
    return (
        f"It holds more than about {tenths} of 10 cars here with the same cells in a similar climate"
        f" ({len(cohort)} measured cars of all ages)."
    )


def _standing_words(v: VehicleData) -> str:
    s = v.state
    if measured(v):
        learned = f" It narrowed our first guess to {t.percent(s.shrinkage)} of its width." if s.shrinkage else ""
        return (
            f"Measured: {t.plural(s.own_readings, 'reading')} from this car's own sessions, each between two long"
            f" rests, when the voltage tells the level.{learned}"
        )
    if s.standing == "inferred":
        return (
            "Not measured: the logs say how much energy went in, not how full the battery was. Use and level are"
            " inferred by an energy balance; such values never count as a reading."
        )
    if s.readings_bms:
        return "The car's own count repeats what its maker put in; it is kept apart and trusted little."
    return "Not measured: no reading yet. This is what the models say for a car of its type, age and climate."


def _distance(v: VehicleData) -> Fact:
    s = v.state
    if not t.known(s.odometer_km):
        return Fact("Distance", t.UNKNOWN, "", "no odometer in the logs")
    exact = t.number(s.odometer_low_km) == t.number(s.odometer_high_km)
    span = "" if exact else f"{t.number_range(s.odometer_low_km, s.odometer_high_km)} km"
    return Fact("Distance", f"{t.number(s.odometer_km)} km", span, "as read" if exact else "modelled from use")


def _fan(v: VehicleData) -> Figure | None:
    rows = [f for f in v.forecasts if f.policy_id == "as_driven"] or [
        f for f in v.forecasts if f.policy_id == BASELINE_POLICY
    ]
    if not rows:
        return None
    age = v.state.age_years
    points = [charts.FanPoint(age + f.year, f.soh_p10, f.soh_p25, f.soh_p50, f.soh_p75, f.soh_p90) for f in rows]
    own = [r for r in v.readings if not r.bms_reported]
    own = own[:: -(-len(own) // SHOWN_READINGS)] if own else []
    readings = [charts.Reading(r.days_in_service / 365.25, r.soh_frac, r.sigma_frac) for r in own]
    last, floor = rows[-1], v.contract.floor_frac if v.contract else None
    cover = v.contract.years if v.contract else None
    desc = (
        f"Median {t.percent(last.soh_p50)} after {last.year} more years, 8 of 10 cases between"
        f" {t.percent(last.soh_p10)} and {t.percent(last.soh_p90)}."
    )
    dots = " Dots are this car's readings with their ranges." if readings else ""
    return Figure(
        charts.capacity_fan("fan", points, floor, cover, readings, "Capacity in the years ahead", desc),
        f"If you go on as today: {desc} Inner band: 5 of 10 cases; outer band: 8 of 10.{dots}",
    )
