"""What the decide step hands from loading to computing to writing: plain data, no warehouse."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.claims import ClaimTerms, VehicleClaims, claim_terms
from models.domain import (
    Charger,
    Contract,
    FloatArray,
    History,
    Home,
    Pack,
    Policy,
    RepresentativeYear,
    Tariff,
    Vehicle,
)
from models.ensemble import Worlds
from models.laws.base import Law
from models.parameters import entry
from models.resale import RecommendationTerms, ResaleWorlds, recommendation_terms, resale_worlds
from models.resistance_growth import ResistanceHistory
from models.warranty import MeasuringError, Window, contract_of, measuring_error, schedule_months, windows

SCENARIO_CONTRACT = "common_oem_70_virtual_km"


@dataclass(frozen=True, eq=False)
class Terms:
    """What is the same for all vehicles of a night."""

    as_of: date
    draws: int
    seed: int
    horizon_years: int
    error: MeasuringError
    schedules: dict[str, int]
    claims_schedule: str
    km_per_year_sigma_frac: float
    windows: tuple[Window, ...]
    claims: ClaimTerms
    resale: ResaleWorlds
    recommendation: RecommendationTerms

    @property
    def months(self) -> int:
        """Months of the horizon."""
        return 12 * self.horizon_years

    @property
    def quarters(self) -> int:
        """Calendar quarters that the horizon touches, that of the as-of day first."""
        return 4 * self.horizon_years + 1

    @property
    def years(self) -> tuple[int, ...]:
        """Years after the as-of day that tables show."""
        return tuple(range(self.horizon_years + 1))

    def quarter_of(self, month: FloatArray) -> NDArray[np.int64]:
        """Calendar quarter (0 = that of the as-of day) of months after the as-of day."""
        into = (self.as_of.month - 1) % 3 + (self.as_of.day - 1) / 31.0
        return np.minimum(np.floor((np.asarray(month) + into) / 3.0), self.quarters - 1).astype(np.int64)

    def quarter_name(self, quarter: int) -> str:
        """Name such as ``2026Q1``."""
        n = 4 * self.as_of.year + (self.as_of.month - 1) // 3 + quarter
        return f"{n // 4}Q{n % 4 + 1}"


def terms_of(as_of: date, draws: int, seed: int, horizon_years: int, home: Path | None) -> Terms:
    """Terms from the parameter files (packaged, then the home's)."""
    tests = entry("claims", "tests", home)
    return Terms(
        as_of=as_of,
        draws=draws,
        seed=seed,
        horizon_years=horizon_years,
        error=measuring_error(home),
        schedules=schedule_months(home),
        claims_schedule=tests.text("claims_schedule"),
        km_per_year_sigma_frac=tests.number("km_per_year_sigma_frac"),
        windows=windows(home),
        claims=claim_terms(home),
        resale=resale_worlds(draws, seed, home),
        recommendation=recommendation_terms(home),
    )


def contracts_of(vehicle: Vehicle, home: Path | None) -> tuple[Contract, ...]:
    """The vehicle's own contract first, then the scenario in which virtual kilometres count."""
    ids = dict.fromkeys((vehicle.contract_id, SCENARIO_CONTRACT))
    return tuple(contract_of(c, home) for c in ids)


@dataclass(frozen=True)
class Past:
    """What the logs say of a vehicle's life so far."""

    last_data_utc: datetime | None
    readings: int
    readings_bms: int
    soc_inferred: bool
    export_kwh: float
    export_hours: float
    odometer_km: float
    odometer_low_km: float
    odometer_high_km: float
    mean_soc_frac: float | None
    hot_share_frac: float | None
    high_soc_share_frac: float | None
    full_cycles_per_year: float | None
    outside_frac: float | None
    shrinkage: float | None
    residual_note: str
    logged_days: float
    resistance: ResistanceHistory | None = None

    @property
    def standing(self) -> str:
        """``measured`` with a reading of its own, else ``inferred`` where SOC is, else ``prior_only``."""
        if self.readings > self.readings_bms:
            return "measured"
        return "inferred" if self.soc_inferred else "prior_only"


@dataclass(frozen=True, eq=False)
class VehicleInputs:
    """All that a vehicle's figures depend on."""

    vehicle: Vehicle
    home: Home
    pack: Pack
    charger: Charger
    tariff: Tariff
    contracts: tuple[Contract, ...]
    policies: tuple[Policy, ...]
    laws: tuple[Law, ...]
    year: RepresentativeYear
    history: History
    worlds: Worlds
    past: Past
    terms: Terms
    exchange: float = 1.0  # units of the vehicle's currency a unit of the bill's

    @property
    def age_years(self) -> float:
        """Age at the end of the as-of day. [a]"""
        return max(((self.terms.as_of - self.vehicle.in_service_date).days + 1) / 365.25, 0.0)

    @property
    def family(self) -> str:
        """Battery durability family, as far as the registry tells: vehicle type and BMS version."""
        return f"{self.vehicle.vehicle_type}/{self.vehicle.bms_version or 'unknown'}"


@dataclass(frozen=True, eq=False)
class PolicyYear:
    """One policy on one vehicle's representative year: energies, bill and what the laws need of it."""

    policy: Policy
    export_kwh: float
    export_hours: float
    charge_kwh: float
    full_cycles: float
    mean_soc_frac: float
    bill_money: float
    outage_hours: float
    outage_hours_bridged: float
    unserved_drive_kwh: float
    drive_kwh: float
    cap_changed_days_frac: float | None
    temp_mean_c: float
    c_rate_p95: float
    exposures: dict[str, FloatArray]
    outside_frac: dict[str, float]
    resistance_z: FloatArray | None = None  # exposures of the law of resistance in a year, at full capacity
    plating_hours: float | None = None  # a year, with the anode below 0 V


@dataclass(frozen=True)
class Candidate:
    """A vehicle-policy that the conformance step may run through PyBaMM, with what it is stratified by."""

    vehicle_id: str
    cell_id: str
    policy_id: str
    temp_mean_c: float
    c_rate_p95: float
    mean_soc_frac: float


@dataclass(frozen=True)
class PolicySums:
    """What the fleet's tables need of one vehicle under one policy."""

    bill_saved_money: float
    export_kwh: float
    fade_diff_pp: float
    diff_draws_pp: NDArray[np.float32]
    diff_low_pp: float
    diff_high_pp: float
    breach_frac: float
    breach_low_frac: float
    breach_high_frac: float
    cap_changed_days_frac: float | None


@dataclass(frozen=True, eq=False)
class VehicleResult:
    """One vehicle's rows and what it adds to the fleet's sums (small: a few hundred kB)."""

    vehicle_id: str
    cohort_id: str
    family: str
    contract_id: str
    currency: str
    gross_kwh: float
    standing: str
    weight: FloatArray
    recommended: str
    rows: dict[str, list[dict[str, Any]]]
    claims: dict[str, VehicleClaims]
    above: dict[tuple[str, str], NDArray[np.bool_]]
    sums: dict[str, PolicySums]
    export_kwh_so_far: float
    soh_frac: float
    candidates: tuple[Candidate, ...] = field(default=())
    difference_weight: FloatArray | None = None  # of each draw on differences of policies; None: equal
