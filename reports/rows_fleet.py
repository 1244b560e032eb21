"""Plain rows of the fleet pages, field names = column names (see `reports.rows`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

from models.domain import Policy
from models.law_card import LawCard
from reports.rows import ConformanceRow, DepartureRow, FitRow, ResidualRow, VehicleData


@dataclass(frozen=True)
class ClaimsRow:
    """One row of ``out_claims``."""

    cohort_id: str
    contract_id: str
    policy_id: str
    quarter: str
    breaches: float
    breaches_low: float
    breaches_high: float
    claims: float
    claims_low: float
    claims_high: float
    cost_money: float
    cost_low_money: float
    cost_high_money: float
    reserve_money: float | None
    currency: str
    vehicles: int
    monte_carlo_error_frac: float | None
    basis: str


@dataclass(frozen=True)
class ComplianceRow:
    """One row of ``out_compliance``."""

    family: str
    policy_id: str
    window_id: str
    floor_frac: float
    vehicles: int
    share_above_frac: float
    share_above_low_frac: float
    share_above_high_frac: float
    passes_frac: float
    basis: str


@dataclass(frozen=True)
class FrontierRow:
    """One row of ``out_policy_frontier``."""

    cohort_id: str
    policy_id: str
    vehicles: int
    bill_saved_money_per_year: float | None
    export_kwh_per_year: float | None
    fade_diff_p10_pp: float
    fade_diff_p50_pp: float
    fade_diff_p90_pp: float
    breach_frac: float | None
    cap_changed_days_frac: float | None
    currency: str


@dataclass(frozen=True)
class KpiRow:
    """One row of ``meta_kpi``."""

    as_of_day: date | None
    kpi: str
    value: float | None
    low: float | None
    high: float | None
    unit: str
    basis: str


@dataclass(frozen=True)
class FileRow:
    """One row of ``meta_file``."""

    path: str
    format: str
    kind: str | None
    status: str
    rows_read: int
    rows_loaded: int
    rows_rejected: int
    rows_duplicate: int
    error: str | None


@dataclass(frozen=True)
class ChargerRow:
    """One row of ``out_charger``."""

    vehicle_id: str
    charger_id: str
    sessions_charge: int
    sessions_export: int
    charge_overall_frac: float | None
    export_overall_frac: float | None
    charge_standby_kw: float | None
    round_trip_frac: float | None
    round_trip_low_frac: float | None
    round_trip_high_frac: float | None
    assumed_round_trip_frac: float | None


@dataclass(frozen=True)
class Place:
    """Where a rule touched something; of a vehicle, where it has a page."""

    text: str
    vehicle_id: str = ""


@dataclass(frozen=True)
class RuleRow:
    """One rule and source: rows and named sessions touched, vehicles, examples; words from ``log_rules.toml``."""

    source: str
    rule: str
    title: str
    treatment: str
    meaning: str
    seen_in: str
    rows: int
    sessions: int
    vehicles: int
    places: tuple[Place, ...]


@dataclass(frozen=True)
class FleetData:
    """All that the fleet pages show."""

    as_of_day: date | None
    vehicles: tuple[VehicleData, ...]
    policies: dict[str, Policy]
    kpis: tuple[KpiRow, ...] = ()
    claims: tuple[ClaimsRow, ...] = ()
    compliance: tuple[ComplianceRow, ...] = ()
    frontier: tuple[FrontierRow, ...] = ()
    files: tuple[FileRow, ...] = ()
    rules: tuple[RuleRow, ...] = ()
    chargers: tuple[ChargerRow, ...] = ()
    fits: tuple[FitRow, ...] = ()
    conformance: tuple[ConformanceRow, ...] = ()
    residuals: tuple[ResidualRow, ...] = ()
    departures: tuple[DepartureRow, ...] = ()
    law_labels: dict[str, str] = field(default_factory=dict)
    contract_labels: dict[str, str] = field(default_factory=dict)
    cards: tuple[LawCard, ...] = ()
    unregistered: int = 0
    soc_inferred_sessions: int = 0
    sessions: int = 0
    export_sessions: int = 0
    simulated: bool = False


@dataclass(frozen=True)
class ColumnDoc:
    """One column of the dictionary."""

    name: str
    type: str
    unit: str
    meaning: str


@dataclass(frozen=True)
class TableDoc:
    """One table of the dictionary; ``served`` tells whether it is in serving.duckdb."""

    name: str
    columns: tuple[ColumnDoc, ...]
    rows: int | None
    served: bool
