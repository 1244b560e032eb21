"""From the warehouse to pages: plain rows are loaded here, view models and templates know no database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from models.domain import Contract, Home, Policy, Vehicle
from models.law_card import evidence_cards, law_cards
from models.laws.registry import laws_for
from models.packs import pack_of
from models.parameters import ParameterError, entry, load
from models.policies import policies as known_policies
from models.warranty import contract_of
from pipelines.settings import Settings
from pipelines.steps.fleet import load_homes, load_vehicles
from pipelines.steps.quality import rules_touched
from reports import driver, fleet, fleet_data, fleet_models, law_pages
from reports.render import MAX_DRIVER_BYTES, PageError, page_name, render_page
from reports.rows import (
    ConformanceRow,
    DepartureRow,
    FitRow,
    ForecastRow,
    Habits,
    MemberRow,
    PolicyRow,
    ReadingRow,
    ResidualRow,
    ResistanceRow,
    SessionCounts,
    StateRow,
    ValueRow,
    VehicleData,
    WarrantyRow,
)
from reports.rows_fleet import (
    ChargerRow,
    ClaimsRow,
    ColumnDoc,
    ComplianceRow,
    FileRow,
    FleetData,
    FrontierRow,
    KpiRow,
    TableDoc,
)
from warehouse.store import Warehouse

T = TypeVar("T")
# Heavy or revealing when the house is at home: readers get the facts made from them.
NOT_SERVED = (
    "core_duty_step",
    "core_exposure_day",
    "core_exposure_life",
    "core_home_hour",
    "core_price_hour",
    "core_air_hour",
)
# The clock, and what a night notes after it has published: served, but no reason to publish.
UNVERSIONED = ("meta_run", "meta_state")
SMALLEST_COHORT = 10
DEMO_MARK = "demo.json"


def page_bytes(wh: Warehouse, settings: Settings) -> Iterator[tuple[str, bytes]]:
    """Every page as (path below ``pages``, bytes), driver pages first, in a fixed order.

    Raises
    ------
    PageError
        A vehicle id is no safe name, or a driver page is larger than 80 kB.
    """
    data = load_fleet(wh, settings)
    for vehicle in data.vehicles:
        body = render_page(driver.driver_page(vehicle))
        if len(body) > MAX_DRIVER_BYTES:
            raise PageError(
                f"The page of vehicle {vehicle.vehicle.vehicle_id} has {len(body)} bytes, more than {MAX_DRIVER_BYTES};"
                " show fewer policies."
            )
        yield f"driver/{page_name(vehicle.vehicle.vehicle_id)}", body
    yield "fleet/index.html", render_page(fleet.index_page(data))
    yield "fleet/vehicles.html", render_page(fleet.vehicles_page(data))
    yield "fleet/models.html", render_page(fleet_models.models_page(data))
    for card in data.cards:
        yield f"fleet/{law_pages.card_name(card.law_id)}", render_page(law_pages.card_page(card, data))
    yield "fleet/data.html", render_page(fleet_data.data_page(data))
    yield "fleet/dictionary.html", render_page(fleet_data.dictionary_page(dictionary(wh)))


def _load(wh: Warehouse, row_type: type[T], table: str, order: str) -> list[T]:
    """Rows of a table as dataclasses."""
    names = [f.name for f in fields(row_type)]  # pyright: ignore[reportArgumentType] - every row is a dataclass
    sql = f"SELECT {', '.join(names)} FROM {table} ORDER BY {order}"  # noqa: S608 - names of our own types
    return [row_type(*row) for row in wh.rows(sql)]


def _by_vehicle(found: Sequence[Any]) -> dict[str, tuple[Any, ...]]:
    out: dict[str, list[Any]] = defaultdict(list)
    for row in found:
        out[row.vehicle_id].append(row)
    return {k: tuple(v) for k, v in out.items()}


def _sessions(wh: Warehouse) -> dict[str, SessionCounts]:
    found = wh.rows(
        "SELECT vehicle_id, count(*) FILTER (kind = 'drive'), count(*) FILTER (kind = 'charge'),"
        " count(*) FILTER (kind = 'export'), count(*) FILTER (kind NOT IN ('drive', 'charge', 'export')),"
        " count(*) FILTER (soc_inferred), count(*) FILTER (list_contains(flags, 'drive_inferred')),"
        " count(*) FILTER (list_contains(flags, 'date_assumed')), min(start_utc), max(coalesce(end_utc, start_utc))"
        " FROM core_session GROUP BY vehicle_id ORDER BY vehicle_id"
    )
    return {row[0]: SessionCounts(*row[1:]) for row in found}


def _habits(wh: Warehouse, windows: dict[str, tuple[float, float]]) -> dict[str, Habits]:
    """Hours by displayed SOC and temperature; integer counts, so that no order of summation matters."""
    if not windows:
        return {}
    values = ", ".join("(?, ?, ?)" for _ in windows)
    params: list[Any] = [x for v, (low, high) in sorted(windows.items()) for x in (v, low, high)]
    soc = "((cell_soc_start_frac + cell_soc_end_frac) / 2 - w.low) / (w.high - w.low)"
    bins = ", ".join(f"count(*) FILTER (least(4, greatest(0, floor({soc} * 5))) = {i})" for i in range(5))
    heat = ", ".join(f"count(*) FILTER (least(4, greatest(0, floor(temp_c / 10) + 1)) = {i})" for i in range(5))
    found = wh.rows(
        f"SELECT d.vehicle_id, {bins}, {heat}, count(*) FILTER (filled = 0), count(*) FILTER (filled > 0),"  # noqa: S608
        " count(*) FILTER (temp_modelled), min(step_minutes) FROM core_duty_step d"
        f" JOIN (VALUES {values}) w(vehicle_id, low, high) USING (vehicle_id) GROUP BY ALL ORDER BY ALL",
        params,
    )
    out: dict[str, Habits] = {}
    for row in found:
        n = [c * row[-1] // 60 for c in row[1:-1]]
        out[row[0]] = Habits((n[0], n[1], n[2], n[3], n[4]), (n[5], n[6], n[7], n[8], n[9]), n[10], n[11], n[12])
    return out


def _sources(wh: Warehouse) -> dict[tuple[str, str], str]:
    """(kind, series) -> the years it covers, in words."""
    out: dict[tuple[str, str], str] = {}
    for kind, table, typical in (
        ("load", "core_home_hour", "false"),
        ("price", "core_price_hour", "false"),
        ("air", "core_air_hour", "bool_and(typical_year)"),
    ):
        for series, first, last, is_typical in wh.rows(
            f"SELECT {kind}_series_id, min(year(time_utc)), max(year(time_utc)), {typical} FROM {table}"  # noqa: S608
            f" GROUP BY {kind}_series_id ORDER BY {kind}_series_id"
        ):
            out[(kind, series)] = "a typical year" if is_typical else str(first) if first == last else f"{first}–{last}"
    return out


def _words(kind: str, entry_id: str, home: Path) -> str:
    """Label of a parameter entry; its own name where there is none."""
    try:
        return entry(kind, entry_id, home).label
    except ParameterError:
        return entry_id


def _contract(contract_id: str, home: Path) -> Contract | None:
    try:
        return contract_of(contract_id, home)
    except ParameterError:
        return None


def _windows(vehicles: dict[str, Vehicle], home: Path) -> dict[str, tuple[float, float]]:
    """Cell state of charge shown as 0 % and 100 %, for vehicles whose battery is known."""
    out: dict[str, tuple[float, float]] = {}
    for vehicle_id, vehicle in vehicles.items():
        try:
            pack = pack_of(vehicle, home)
        except ParameterError:
            continue
        out[vehicle_id] = (pack.window_low_frac, pack.window_high_frac)
    return out


def load_fleet(wh: Warehouse, settings: Settings) -> FleetData:
    """Everything the pages show, in a fixed order."""
    home, as_of = settings.home, wh.as_of()
    policies: dict[str, Policy] = {p.policy_id: p for p in known_policies(home)}
    rank = {p: i for i, p in enumerate(policies)}
    registered, homes = load_vehicles(wh), load_homes(wh)
    vehicles = list(registered.values())
    states = {s.vehicle_id: s for s in _load(wh, StateRow, "out_vehicle_state", "vehicle_id")}
    by = {
        "forecasts": _by_vehicle(_load(wh, ForecastRow, "out_forecast", "vehicle_id, policy_id, year")),
        "members": _by_vehicle(_load(wh, MemberRow, "out_member", "vehicle_id, policy_id, law_id, year")),
        "warranties": _by_vehicle(
            _load(wh, WarrantyRow, "out_warranty", "vehicle_id, contract_id, policy_id, test_schedule")
        ),
        "values": _by_vehicle(_load(wh, ValueRow, "out_value", "vehicle_id, policy_id, year")),
        "resistance": _by_vehicle(_load(wh, ResistanceRow, "out_resistance", "vehicle_id, policy_id, year")),
        "readings": _by_vehicle(
            _load(wh, ReadingRow, "core_capacity_reading", "vehicle_id, days_in_service, method, soh_frac, sigma_frac")
        ),
    }
    settings_of = _by_vehicle(
        sorted(
            _load(wh, PolicyRow, "out_policy", "vehicle_id, policy_id"),
            key=lambda r: (r.vehicle_id, rank.get(r.policy_id, len(rank)), r.policy_id),
        )
    )
    fits = tuple(_load(wh, FitRow, "out_fit", "cohort_id, law_id, parameter"))
    conformance = tuple(_load(wh, ConformanceRow, "out_conformance", "law_id, parameter_set, sample_id"))
    residuals = tuple(_load(wh, ResidualRow, "out_residual", "scope"))
    departures = tuple(_load(wh, DepartureRow, "out_departure", "vehicle_id"))
    sessions, sources = _sessions(wh), _sources(wh)
    habits = _habits(wh, _windows(registered, home))
    cell_sets = {v.vehicle_id: v.cell_id for v in vehicles}
    labels = {c: {law.law_id: law.label for law in _laws(c, home)} for c in sorted({v.cell_id for v in vehicles})}
    cohort_soh: dict[str, list[float]] = defaultdict(list)
    for v in vehicles:
        if v.vehicle_id in states and states[v.vehicle_id].standing == "measured":
            cohort_soh[v.cohort_id].append(states[v.vehicle_id].soh_frac)
    export_sessions = sum(s.export for s in sessions.values())
    simulated = (home / DEMO_MARK).exists()
    type_label = cache(lambda t: _words("vehicles", t, home))
    cell_label = cache(lambda c: _words("cells", c, home))
    contract = cache(lambda c: _contract(c, home))
    contracts = {name: e.label for name, e in sorted(load("contracts", home).items())}
    out: list[VehicleData] = []
    for v in vehicles:
        if v.vehicle_id not in states:
            continue
        place = homes.get(v.home_id)
        out.append(
            VehicleData(
                vehicle=v,
                state=states[v.vehicle_id],
                contract=contract(v.contract_id),
                policies=policies,
                vehicle_label=type_label(v.vehicle_type),
                cell_label=cell_label(v.cell_id),
                home=place,
                settings=settings_of.get(v.vehicle_id, ()),
                fits=tuple(f for f in fits if f.cohort_id == v.cohort_id),
                conformance=tuple(c for c in conformance if cell_sets.get(c.vehicle_id) == v.cell_id),
                residuals=tuple(r for r in residuals if r.scope in (v.cohort_id, "fleet")),
                sessions=sessions.get(v.vehicle_id, SessionCounts()),
                habits=habits.get(v.vehicle_id, Habits()),
                sources=_named_sources(place, sources),
                law_labels=labels[v.cell_id],
                contract_labels=contracts,
                cohort_soh=_shown_cohort(cohort_soh[v.cohort_id]),
                logs_have_export=export_sessions > 0,
                simulated=simulated,
                **{k: found.get(v.vehicle_id, ()) for k, found in by.items()},
            )
        )
    known = {v.vehicle_id for v in vehicles}
    with_logs = {*wh.vehicles_with("samples"), *wh.vehicles_with("sessions")}
    return FleetData(
        as_of_day=as_of,
        vehicles=tuple(out),
        policies=policies,
        kpis=tuple(k for k in _load(wh, KpiRow, "meta_kpi", "kpi, unit, value") if k.as_of_day == as_of),
        claims=tuple(_load(wh, ClaimsRow, "out_claims", "cohort_id, contract_id, policy_id, quarter")),
        compliance=tuple(_load(wh, ComplianceRow, "out_compliance", "family, policy_id, window_id")),
        frontier=tuple(
            sorted(
                _load(wh, FrontierRow, "out_policy_frontier", "cohort_id, policy_id"),
                key=lambda r: (r.cohort_id, rank.get(r.policy_id, len(rank)), r.policy_id),
            )
        ),
        files=tuple(_load(wh, FileRow, "meta_file", "format, path, sha256")),
        rules=rules_touched(wh, home),
        chargers=tuple(_load(wh, ChargerRow, "out_charger", "charger_id, vehicle_id")),
        fits=fits,
        conformance=conformance,
        residuals=residuals,
        departures=departures,
        law_labels={k: x for cell in sorted(labels) for k, x in labels[cell].items()},
        contract_labels=contracts,
        cards=(*law_cards(home), *evidence_cards(home)),
        unregistered=len(with_logs - known),
        soc_inferred_sessions=sum(s.soc_inferred for s in sessions.values()),
        sessions=sum(s.total for s in sessions.values()),
        export_sessions=export_sessions,
        simulated=simulated,
    )


def _laws(cell_id: str, home: Path) -> tuple[Any, ...]:
    try:
        return laws_for(cell_id, home)
    except ParameterError:
        return ()


def _shown_cohort(soh: list[float]) -> tuple[float, ...]:
    """Capacities of a cohort, sorted; nothing where a single car could be told."""
    return tuple(sorted(soh)) if len(soh) >= SMALLEST_COHORT else ()


def _named_sources(place: Home | None, sources: dict[tuple[str, str], str]) -> tuple[tuple[str, str], ...]:
    if place is None:
        return ()
    wanted = (
        ("House load and solar", "load", place.load_series_id),
        ("Prices", "price", place.price_series_id),
        ("Air temperature", "air", place.air_series_id),
    )
    return tuple((name, sources[(kind, series)]) for name, kind, series in wanted if (kind, series) in sources)


def dictionary(wh: Warehouse) -> tuple[TableDoc, ...]:
    """The data dictionary: tables with rows counted where they are facts of the data."""
    out: list[TableDoc] = []
    for table in sorted(wh.registry.tables):
        columns = tuple(ColumnDoc(c.name, c.type, c.unit, c.meaning) for c in wh.registry.table(table))
        count = None if table in UNVERSIONED else wh.scalar(f"SELECT count(*) FROM {table}")  # noqa: S608 - registry
        served = table not in NOT_SERVED and not table.startswith("raw_")
        out.append(TableDoc(table, columns, count, served))
    return tuple(out)
