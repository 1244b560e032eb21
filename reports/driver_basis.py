"""The last section of a driver page: what we don't know, and how wrong the models have been."""

from __future__ import annotations

from dataclasses import dataclass

from reports import text as t
from reports.blocks import Detail, Section, plain_table
from reports.rows import ConformanceRow, FitRow, VehicleData

STANDINGS = {
    "measured": "readings of this battery",
    "inferred": "use inferred from energy, no reading of this battery",
    "prior_only": "what is known of its type (prior only), nothing measured on this car",
}
MANY = 12
FIELDS = {
    "cell_id": "kind of cells",
    "gross_kwh": "energy of the whole battery",
    "usable_kwh": "energy you can use",
    "certified_kwh": "certified energy",
    "certified_worst_wh_per_km": "certified consumption",
    "consumption_wh_per_km": "consumption",
    "contract_id": "warranty contract",
    "bms_version": "battery software",
    "in_service_date": "first day in service",
    "production_month": "month of production",
    "load_series_id": "house load",
    "price_series_id": "prices",
    "air_series_id": "air temperature",
    "outage_region": "power cuts",
    "annual_load_kwh": "house load of a year",
    "pv_kwp": "solar plant",
    "vehicle_type": "type of car",
    "market": "country",
    "tariff_id": "tariff",
    "charger_id": "charger",
    "list_price_money": "list price",
    "odometer_km": "distance driven",
    "odometer_date": "date of the odometer reading",
    "time_zone": "time zone",
    "home_id": "home",
    "currency": "currency",
}


@dataclass(frozen=True)
class LawError:
    """How wrong one law has been: on readings kept aside, and against the reference simulation."""

    law_id: str
    label: str
    heldout_rmse_pp: float | None
    heldout_inside_80_frac: float | None
    worst_error_pp: float | None
    samples: int
    weight: float | None

    @property
    def heldout(self) -> str:
        """Error on readings kept aside."""
        return (
            "no readings to test on" if self.heldout_rmse_pp is None else f"{t.number(self.heldout_rmse_pp, 2)} points"
        )

    @property
    def inside(self) -> str:
        """Share of those inside the 80 % range."""
        return t.percent(self.heldout_inside_80_frac) if self.heldout_inside_80_frac is not None else "not tested"

    @property
    def conformance(self) -> str:
        """Worst error of the fast calculation against PyBaMM."""
        if self.worst_error_pp is None:
            return "not simulated"
        return f"{t.number(self.worst_error_pp, 3)} points ({t.plural(self.samples, 'run')})"


def law_errors(
    law_ids: list[str], labels: dict[str, str], fits: tuple[FitRow, ...], conformance: tuple[ConformanceRow, ...]
) -> list[LawError]:
    """Measured error of each law, from the fits' held-out readings and from conformance runs."""
    out: list[LawError] = []
    for law_id in law_ids:
        mine = [f for f in fits if f.law_id == law_id]
        tested = [f for f in mine if t.known(f.heldout_rmse_pp)]
        inside = [f for f in mine if t.known(f.heldout_inside_80_frac)]
        runs = [c for c in conformance if c.law_id == law_id]
        out.append(
            LawError(
                law_id,
                labels.get(law_id) or t.words(law_id),
                max((f.heldout_rmse_pp or 0.0 for f in tested), default=None),
                min((f.heldout_inside_80_frac or 0.0 for f in inside), default=None),
                max((abs(c.error_pp) for c in runs), default=None),
                len(runs),
                next((f.weight for f in mine if t.known(f.weight)), None),
            )
        )
    return out


def assumed_words(names: tuple[str, ...]) -> list[str]:
    """Assumed fields in a driver's words, sorted, without doubles."""
    return sorted({FIELDS.get(n, t.words(n)) for n in names})


def _how_wrong(errors: list[LawError]) -> str:
    tested = sorted(e.heldout_rmse_pp for e in errors if e.heldout_rmse_pp is not None)
    if not tested:
        return (
            "How wrong the models have been on cars like yours: not known yet, there are no readings to test them on."
        )
    span = (
        t.number(tested[0], 1)
        if t.number(tested[0], 1) == t.number(tested[-1], 1)
        else f"{t.number(tested[0], 1)} to {t.number(tested[-1], 1)}"
    )
    return f"How wrong the models have been on cars like yours: {span} points, on readings kept aside."


def _resistance(v: VehicleData) -> list[str]:
    """Growth of the resistance, which costs power in the cold and a little efficiency: today, and at the horizon."""
    mine = [r for r in v.resistance if r.policy_id == "as_driven"]
    if not mine:
        return []
    now, last = min(mine, key=lambda r: r.year), max(mine, key=lambda r: r.year)
    said = [
        f"{t.percent(r.resistance_growth_frac)}"
        f" ({t.percent_range(r.resistance_growth_low_frac, r.resistance_growth_high_frac)})"
        for r in (now, last)
    ]
    return [
        f"Resistance since new, which takes power in the cold: {said[0]} more today, {said[1]} more in"
        f" {t.plural(last.year - now.year, 'year')} if you go on as today. Basis: {now.basis}."
    ]


def _plating(v: VehicleData) -> list[str]:
    """Hours a year that call for lithium plating: a flag, in no figure of the page."""
    hours = next((s.plating_hours_per_year for s in v.settings if s.policy_id == "as_driven"), None)
    if hours is None:
        return []
    found = "none" if hours < 0.05 else f"{t.number(hours, 1)} hours a year"
    return [
        f"Charging in the cold, where lithium may plate on the anode: {found} if you go on as today. A flag only: it"
        " enters no figure here, and understates fast charging."
    ]


def _assumed(words: list[str]) -> str:
    if not words:
        return "Nothing of this car is assumed."
    if len(words) > MANY:
        return f"Nearly everything about this car is assumed, nobody measured or stated it: {t.listing(words)}."
    return f"Assumed, nobody measured or stated them: {t.listing(words)}."


def stands_aside(reason: str) -> str:
    """Why a learned correction is not used, said once."""
    said = reason.removeprefix("stands aside").lstrip(" :,")
    return f"stands aside: {said}" if said else "stands aside"


def unknown_section(v: VehicleData) -> Section:
    """What is not known of this car: standing, assumed values, validity, age of the sources, errors of the models."""
    s = v.state
    law_ids = sorted({m.law_id for m in v.members} or {f.law_id for f in v.fits} or set(v.law_labels))
    errors = law_errors(law_ids, v.law_labels, v.fits, v.conformance)
    assumed = assumed_words(v.vehicle.assumed + (v.home.assumed if v.home else ()))
    items = [
        f"What this page rests on: {STANDINGS.get(s.standing, t.words(s.standing))}.",
        _assumed(assumed),
        _how_wrong(errors),
    ]
    if s.backcast_share_frac is not None:
        items.append(
            f"{t.percent(s.backcast_share_frac)} of this battery's life was not logged. We took it to be like the rest."
        )
    items.append(
        f"{t.percent(s.outside_frac)} of its life lies outside the conditions that the laws of ageing were tested in."
    )
    items += [*_resistance(v), *_plating(v)]
    if v.sources:
        items.append("Years put together: " + "; ".join(f"{name}: {when}" for name, when in v.sources) + ".")
    if v.sessions.first_utc and v.sessions.last_utc:
        zone = v.home.time_zone if v.home else "UTC"
        first, last = t.local_day(v.sessions.first_utc, zone), t.local_day(v.sessions.last_utc, zone)
        items.append(
            f"Your own sessions: {t.day(first)} to {t.day(last)}"
            + (" (dates assumed, the log has none)." if v.sessions.date_assumed else ".")
        )
    if v.sessions.drive_inferred:
        items.append(f"{t.plural(v.sessions.drive_inferred, 'drive')} inferred between unplugging and plugging in.")
    table = plain_table(
        "Each law's measured error, in points of capacity.",
        (
            "Law of ageing",
            "Error on readings kept aside",
            "Inside the 80 % range",
            "Fast calculation against PyBaMM",
            "Weight",
        ),
        [(e.label, e.heldout, e.inside, e.conformance, t.percent(e.weight)) for e in errors],
    )
    residual = [
        f"Learned correction ({'fleet' if r.scope == 'fleet' else 'cars like yours'}):"
        f" {'used' if r.used else stands_aside(r.reason)}."
        for r in v.residuals
    ]
    if not residual and s.residual_model:
        residual = [f"Learned correction: {s.residual_model}."]
    return Section(
        "unknown",
        "What we don’t know",
        items=tuple(items),
        details=(
            Detail(
                "How wrong each law has been",
                (
                    "No single law is right. All that fit these cells are used, and ranges span their differences.",
                    *residual,
                    *_spread(v),
                ),
                tables=(table,),
            ),
        ),
    )


def _spread(v: VehicleData) -> list[str]:
    """What each law says on its own, on the difference that matters most here."""
    year = max((m.year for m in v.members), default=0)
    chosen = next((p.policy_id for p in v.settings if p.recommended), "as_driven")
    rows = [m for m in v.members if m.policy_id == chosen and m.year == year and t.known(m.diff_p50_pp)]
    if not rows:
        return []
    said = [f"{v.law_labels.get(m.law_id) or t.words(m.law_id)}: {t.points(m.diff_p50_pp)}" for m in rows]
    name = v.policies[chosen].label if chosen in v.policies else t.words(chosen)
    return [f"Extra wear after {year} years of “{name}”, law by law, in points: {'; '.join(said)}."]
