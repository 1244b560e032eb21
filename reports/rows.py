"""What pages are made from: plain rows, one dataclass a table, field names = column names.

`pipelines.steps.publish` fills them from the warehouse; tests fill them by hand. Nothing here knows a database.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime

from models.domain import Contract, Home, Policy, Vehicle


@dataclass(frozen=True)
class StateRow:
    """One row of ``out_vehicle_state``."""

    vehicle_id: str
    soh_frac: float
    soh_low_frac: float
    soh_high_frac: float
    standing: str
    last_data_utc: datetime | None
    readings: int
    readings_bms: int
    export_kwh: float
    export_hours: float
    virtual_km: float
    odometer_km: float | None
    odometer_low_km: float | None
    odometer_high_km: float | None
    age_years: float
    export_cost_pp: float | None
    export_cost_low_pp: float | None
    export_cost_high_pp: float | None
    mean_soc_frac: float | None
    hot_share_frac: float | None
    high_soc_share_frac: float | None
    full_cycles_per_year: float | None
    backcast_share_frac: float | None
    outside_frac: float | None
    shrinkage: float | None
    residual_model: str
    basis: str

    @property
    def own_readings(self) -> int:
        """Readings that rest on voltages, not on the car's own count."""
        return self.readings - self.readings_bms


@dataclass(frozen=True)
class ForecastRow:
    """One row of ``out_forecast``."""

    vehicle_id: str
    policy_id: str
    year: int
    soh_p10: float
    soh_p25: float
    soh_p50: float
    soh_p75: float
    soh_p90: float
    diff_p10_pp: float
    diff_p50_pp: float
    diff_p90_pp: float
    level: float
    basis: str


@dataclass(frozen=True)
class MemberRow:
    """One row of ``out_member``."""

    vehicle_id: str
    policy_id: str
    law_id: str
    year: int
    soh_p50: float
    diff_p50_pp: float
    outside_frac: float | None
    weight: float


@dataclass(frozen=True)
class WarrantyRow:
    """One row of ``out_warranty``."""

    vehicle_id: str
    contract_id: str
    policy_id: str
    test_schedule: str
    breach_frac: float
    breach_low_frac: float
    breach_high_frac: float
    true_breach_frac: float
    breach_year_p50: float | None
    fade_by_export_pp: float | None
    fade_by_export_low_pp: float | None
    fade_by_export_high_pp: float | None
    cover_end_years: float | None
    cover_lost_by_export_years: float | None
    breach_by_fade_frac: float | None
    breach_by_cover_frac: float | None
    virtual_km: float | None
    monte_carlo_error_frac: float | None
    basis: str
    breach_by_fade_low_frac: float | None = None
    breach_by_fade_high_frac: float | None = None


@dataclass(frozen=True)
class ValueRow:
    """One row of ``out_value``."""

    vehicle_id: str
    policy_id: str
    year: int
    value_money: float | None
    value_low_money: float | None
    value_high_money: float | None
    value_diff_money: float | None
    value_diff_low_money: float | None
    value_diff_high_money: float | None
    bill_saved_money_per_year: float | None
    wear_money_per_kwh: float | None
    wear_low_money_per_kwh: float | None
    wear_high_money_per_kwh: float | None
    currency: str
    basis: str


@dataclass(frozen=True)
class PolicyRow:
    """One row of ``out_policy``."""

    vehicle_id: str
    policy_id: str
    export_kwh_per_year: float | None
    export_hours_per_year: float | None
    full_cycles_per_year: float | None
    mean_soc_frac: float | None
    bill_money_per_year: float | None
    outage_hours: float | None
    outage_hours_bridged: float | None
    unserved_drive_kwh: float | None
    cap_changed_days_frac: float | None
    cap: str | None
    currency: str
    outside_frac: float | None
    recommended: bool
    basis: str
    plating_hours_per_year: float | None = None


@dataclass(frozen=True)
class ReadingRow:
    """One row of ``core_capacity_reading``."""

    vehicle_id: str
    days_in_service: float
    method: str
    soh_frac: float
    sigma_frac: float
    bms_reported: bool


@dataclass(frozen=True)
class FitRow:
    """One row of ``out_fit``."""

    cohort_id: str
    law_id: str
    parameter: str
    prior_value: float
    prior_sigma: float
    value: float
    low: float
    high: float
    shrinkage: float
    readings: int
    vehicles: int
    weight: float | None
    heldout_rmse_pp: float | None
    heldout_inside_80_frac: float | None
    note: str | None


@dataclass(frozen=True)
class ConformanceRow:
    """One row of ``out_conformance``."""

    sample_id: str
    vehicle_id: str
    policy_id: str
    law_id: str
    parameter_set: str
    temp_mean_c: float | None
    temp_max_c: float | None
    c_rate_p95: float | None
    mean_soc_frac: float | None
    days: float
    capacity_kernel_frac: float
    capacity_pybamm_frac: float
    error_pp: float
    error_of_loss_frac: float | None
    budget_pp: float
    passed: bool


@dataclass(frozen=True)
class ResidualRow:
    """One row of ``out_residual``."""

    scope: str
    groups: int
    readings: int
    used: bool
    reason: str
    rmse_laws_pp: float | None
    rmse_learned_pp: float | None
    half_width_pp: float | None
    inside_80_frac: float | None


@dataclass(frozen=True)
class DepartureRow:
    """One row of ``out_departure``."""

    vehicle_id: str
    cohort_id: str
    departed: bool
    since_day: date
    flagged_day: date | None
    tested_readings: int
    run_readings: int
    run_sigmas: float
    below_forecast_pp: float


@dataclass(frozen=True)
class SessionCounts:
    """What ``core_session`` holds of one vehicle; times are UTC."""

    drive: int = 0
    charge: int = 0
    export: int = 0
    rest: int = 0
    soc_inferred: int = 0
    drive_inferred: int = 0
    date_assumed: int = 0
    first_utc: datetime | None = None
    last_utc: datetime | None = None

    @property
    def total(self) -> int:
        """Sessions of all kinds."""
        return self.drive + self.charge + self.export + self.rest


@dataclass(frozen=True)
class Habits:
    """Hours of ``core_duty_step`` by displayed SOC (fifths) and by cell temperature (< 0, 10, 20, 30, above °C)."""

    soc_hours: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)
    temp_hours: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)
    measured_hours: int = 0
    filled_hours: int = 0
    temp_modelled_hours: int = 0


@dataclass(frozen=True)
class ResistanceRow:
    """One row of ``out_resistance``."""

    vehicle_id: str
    policy_id: str
    year: int
    resistance_growth_frac: float
    resistance_growth_low_frac: float
    resistance_growth_high_frac: float
    readings: int
    basis: str


@dataclass(frozen=True)
class VehicleData:
    """All that one driver page shows."""

    vehicle: Vehicle
    state: StateRow
    contract: Contract | None
    policies: dict[str, Policy]
    vehicle_label: str = ""
    cell_label: str = ""
    home: Home | None = None
    forecasts: tuple[ForecastRow, ...] = ()
    members: tuple[MemberRow, ...] = ()
    warranties: tuple[WarrantyRow, ...] = ()
    values: tuple[ValueRow, ...] = ()
    settings: tuple[PolicyRow, ...] = ()
    readings: tuple[ReadingRow, ...] = ()
    resistance: tuple[ResistanceRow, ...] = ()
    fits: tuple[FitRow, ...] = ()
    conformance: tuple[ConformanceRow, ...] = ()
    residuals: tuple[ResidualRow, ...] = ()
    sessions: SessionCounts = field(default_factory=SessionCounts)
    habits: Habits = field(default_factory=Habits)
    sources: tuple[tuple[str, str], ...] = ()
    law_labels: dict[str, str] = field(default_factory=dict)
    contract_labels: dict[str, str] = field(default_factory=dict)
    cohort_soh: tuple[float, ...] = ()
    logs_have_export: bool = True
    simulated: bool = False
