"""The vocabulary: frozen types that every other module speaks in.

Conventions (see README, "Words"): units stand in names; current and power are positive when they charge the
battery; fractions inside, percent on pages only; times are UTC; ``soc_frac`` without a prefix is the *displayed*
(usable) state of charge, ``cell_soc_frac`` that of the cell between its own voltage limits.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from models.ocv import OcvCurve as OcvCurve

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

REPRESENTATIVE_WEEKS = 52
DAYS_PER_YEAR = 365.25
DAYS_PER_MONTH = DAYS_PER_YEAR / 12
STANDINGS = ("seen", "secondary", "assumed")
BASELINE_POLICY = "no_export_smart"


class Use(IntEnum):
    """What a current serves; the order is that of the columns of `Duty.current_a`."""

    DRIVE = 0
    CHARGE = 1
    EXPORT = 2
    REST = 3


@dataclass(frozen=True)
class Estimate:
    """A number that is never bare: value, interval, level of the interval and what it rests on."""

    value: float
    low: float
    high: float
    level: float = 0.8
    basis: str = ""

    def __post_init__(self) -> None:
        if not self.low <= self.value <= self.high:
            raise ValueError(f"Estimate needs low <= value <= high, got {self.low} <= {self.value} <= {self.high}.")
        if not 0 < self.level < 1:
            raise ValueError(f"Estimate.level must lie between 0 and 1, got {self.level}.")

    @property
    def includes_zero(self) -> bool:
        """Whether the interval contains zero (then a difference is "no clear difference")."""
        return self.low <= 0 <= self.high


@dataclass(frozen=True, eq=False)
class Pack:
    """A vehicle's battery as the models see it, when new.

    Parameters
    ----------
    vehicle_type, cell_id, chemistry
        Names in ``parameters/vehicles.toml`` and ``parameters/cells.toml``; chemistry is ``nmc``, ``nca`` or ``lfp``.
    n_series
        Cells (or parallel groups) in series. [1]
    capacity_ah
        Gross capacity of the pack when new, between the cell's voltage limits. [A.h]
    gross_kwh, usable_kwh, certified_kwh
        Gross; what the BMS lets the driver use; usable energy certified. [kWh]
    window_low_frac, window_high_frac
        Cell state of charge shown as 0 % and as 100 %. [1]
    resistance_ohm
        Pack resistance at 25 °C and half charge, new. [Ohm]
    ocv
        Curve of one cell.
    heat_capacity_j_per_k, cooling_w_per_k
        Lumped pack; cooling to ambient when parked. [J/K], [W/K]
    """

    vehicle_type: str
    cell_id: str
    chemistry: str
    n_series: int
    capacity_ah: float
    gross_kwh: float
    usable_kwh: float
    certified_kwh: float
    window_low_frac: float
    window_high_frac: float
    resistance_ohm: float
    ocv: OcvCurve
    heat_capacity_j_per_k: float
    cooling_w_per_k: float

    def cell_soc(self, soc_frac: FloatArray | float) -> FloatArray:
        """Displayed state of charge to that of the cell."""
        return self.window_low_frac + np.asarray(soc_frac, dtype=float) * (self.window_high_frac - self.window_low_frac)

    def displayed_soc(self, cell_soc_frac: FloatArray | float) -> FloatArray:
        """State of charge of the cell to the displayed one (may leave 0..1 in the buffers)."""
        x = np.asarray(cell_soc_frac, dtype=float)
        return (x - self.window_low_frac) / (self.window_high_frac - self.window_low_frac)

    def ocv_pack_v(self, cell_soc_frac: FloatArray | float) -> FloatArray:
        """Open-circuit voltage of the pack [V]."""
        return self.n_series * self.ocv.voltage_v(cell_soc_frac)


@dataclass(frozen=True)
class Vehicle:
    """One registered vehicle; ``assumed`` names the fields nobody measured or stated."""

    vehicle_id: str
    vehicle_type: str
    cell_id: str
    gross_kwh: float
    usable_kwh: float
    certified_kwh: float
    production_month: date
    in_service_date: date
    market: str
    contract_id: str
    consumption_wh_per_km: float
    certified_worst_wh_per_km: float
    home_id: str
    bms_version: str
    list_price_money: float
    currency: str
    cohort_id: str
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Home:
    """Where a vehicle is plugged in."""

    home_id: str
    market: str
    time_zone: str
    tariff_id: str
    charger_id: str
    load_series_id: str
    price_series_id: str
    air_series_id: str
    outage_region: str
    annual_load_kwh: float
    pv_kwp: float
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Charger:
    """Bidirectional (or plain) charger: AC power = DC / efficiency + standby.

    Powers in kW at the meter, efficiencies one way, ``standby_kw`` drawn from the grid whenever it works.
    """

    charger_id: str
    charge_kw: float
    export_kw: float
    min_export_kw: float
    charge_efficiency_frac: float
    export_efficiency_frac: float
    standby_kw: float


@dataclass(frozen=True)
class Tariff:
    """Retail tariff in local time. Hours of ``peak_hours`` and ``cheap_hours`` are local clock hours."""

    tariff_id: str
    currency: str
    import_money_per_kwh: tuple[float, ...]
    feed_in_money_per_kwh: float
    peak_hours: tuple[int, ...]
    cheap_hours: tuple[int, ...]
    dynamic: bool
    dynamic_markup_money_per_kwh: float = 0.0


@dataclass(frozen=True)
class Limits:
    """Limits of an export policy; ``None`` means no such limit. SOC is the displayed one, energy at the battery."""

    soc_floor_frac: float = 0.2
    soc_ceiling_frac: float = 0.8
    export_kw: float | None = None
    export_kwh_per_day: float | None = None
    export_hours_per_day: float | None = None
    export_kwh_per_year: float | None = None
    driving_reserve_kwh: float = 0.0


@dataclass(frozen=True)
class Policy:
    """A charging rule + limits + when to export (data in ``parameters/policies.toml``)."""

    policy_id: str
    label: str
    charging: str  # immediate | smart | as_driven
    export: str  # none | outage | peak | solar | arbitrage | as_driven
    limits: Limits
    caps: tuple[str, ...] = ()  # which limits are caps whose effect is counted, e.g. ("soc_floor_frac",)
    uncapped_policy_id: str = ""  # the same policy without its cap
    description: str = ""


@dataclass(frozen=True)
class Contract:
    """Warranty contract as data; unknown clauses stay ``None`` and are shown as unknown."""

    contract_id: str
    label: str
    floor_frac: float
    years: float
    km: float
    measure: str  # "soh" or "soce": what the floor refers to
    virtual_km: bool | None
    export_cap_kwh: float | None
    export_cap_hours: float | None
    source: str
    standing: str


@dataclass(frozen=True, eq=False)
class Duty:
    """What a battery went through, step by step.

    Parameters
    ----------
    start_utc
        Beginning of the first step.
    step_minutes
        60 for ageing, 15 for dispatch; nothing assumes an hour. [min]
    cell_soc_frac
        At the step boundaries, shape (n + 1,). [1]
    temp_c
        Cell temperature, mean of each step, shape (n,). [°C]
    current_a
        Mean pack current of each step by `Use`, shape (n, 4), positive charging. [A]
    capacity_ah
        Pack capacity the SOC refers to (present, not new). [A.h]
    filled
        0 measured, 1 interpolated, 2 modelled, shape (n,).
    flow_a
        Size of the current while it flows, mean of each step weighted by throughput, shape (n,): a drive of 20 minutes
        moves three times the step's mean. Where it is NaN, or None for all, current flows for the whole step. [A]
    """

    start_utc: np.datetime64
    step_minutes: int
    cell_soc_frac: FloatArray
    temp_c: FloatArray
    current_a: FloatArray
    capacity_ah: float
    filled: NDArray[np.uint8]
    flow_a: FloatArray | None = None

    def __post_init__(self) -> None:
        n = self.temp_c.shape[0]
        got = (self.cell_soc_frac.shape, self.current_a.shape, self.filled.shape)
        if self.flow_a is not None and self.flow_a.shape != (n,):
            raise ValueError(f"Duty needs flow_a ({n},) or None; got {self.flow_a.shape}.")
        if got != ((n + 1,), (n, len(Use)), (n,)):
            raise ValueError(f"Duty needs cell_soc_frac (n+1,), current_a (n, {len(Use)}) and filled (n,); got {got}.")

    @property
    def steps(self) -> int:
        """Number of steps."""
        return self.temp_c.shape[0]

    @property
    def step_hours(self) -> float:
        """Length of a step. [h]"""
        return self.step_minutes / 60.0

    def part(self, first: int, end: int) -> Duty:
        """Steps ``first`` up to, but without, ``end`` (views, no copies)."""
        return replace(
            self,
            start_utc=self.start_utc + np.timedelta64(first * self.step_minutes, "m"),
            cell_soc_frac=self.cell_soc_frac[first : end + 1],
            temp_c=self.temp_c[first:end],
            current_a=self.current_a[first:end],
            filled=self.filled[first:end],
            flow_a=None if self.flow_a is None else self.flow_a[first:end],
        )


@dataclass(frozen=True, eq=False)
class RepresentativeYear:
    """52 weeks of one vehicle's life at home, on which policies are dispatched.

    Everything is aligned by local ISO week, weekday and hour in standard time, step 0 = Monday 00:00 of week 1; all
    arrays have shape (n,) with n = 52 * 7 * 24 * 60 / step_minutes. Energies are per step.

    Parameters
    ----------
    plugged
        Connected at home.
    drive_kwh, away_charge_kwh
        Taken from the battery by driving (net of recuperation); charged into it away from home. [kWh]
    recorded_charge_kwh, recorded_export_kwh
        What the car really did at home, at the battery: the policy ``as_driven``. [kWh]
    load_kw, pv_kw
        House load without the car; PV output. [kW]
    import_money_per_kwh
        Price of a bought kWh. [currency/kWh]
    peak, cheap, outage
        Tariff's peak and cheap hours; grid outage.
    ambient_c
        Air temperature at the car. [°C]
    sources
        Name -> years and standing of what was put together, for the page.
    recorded_start_soc_frac
        Displayed state of charge as recorded at step 0: where ``as_driven`` starts. [1]
    """

    step_minutes: int
    utc_offset_hours: float
    plugged: BoolArray
    drive_kwh: FloatArray
    away_charge_kwh: FloatArray
    recorded_charge_kwh: FloatArray
    recorded_export_kwh: FloatArray
    load_kw: FloatArray
    pv_kw: FloatArray
    import_money_per_kwh: FloatArray
    feed_in_money_per_kwh: float
    peak: BoolArray
    cheap: BoolArray
    outage: BoolArray
    ambient_c: FloatArray
    currency: str
    km_per_year: float
    sources: dict[str, str] = field(default_factory=dict)
    recorded_start_soc_frac: float = 0.8

    @property
    def steps(self) -> int:
        """Number of steps in the year."""
        return self.plugged.shape[0]


@dataclass(frozen=True, eq=False)
class Readings:
    """Capacity readings of one vehicle, in time order.

    Parameters
    ----------
    days
        Days since the vehicle went into service, shape (n,). [d]
    soh_frac, sigma_frac
        Present capacity over capacity as new and its standard deviation, shape (n,). [1]
    shared_sigma_frac
        Part of it that all readings of the vehicle by the same method share, shape (n,). [1]
    bms_reported
        Whether the reading only repeats the BMS's own constant, shape (n,).
    """

    days: FloatArray
    soh_frac: FloatArray
    sigma_frac: FloatArray
    shared_sigma_frac: FloatArray
    bms_reported: BoolArray

    @property
    def fresh_sigma_frac(self) -> FloatArray:
        """Standard deviation of what each reading has of its own, shape (n,). [1]"""
        return np.sqrt(np.maximum(self.sigma_frac**2 - self.shared_sigma_frac**2, 0.0))

    @property
    def anchored_offset_sigma(self) -> float:
        """Standard deviation of the error that all anchored readings share: mean over them, 0 without any. [1]"""
        return float(np.mean(self.shared_sigma_frac[~self.bms_reported])) if not self.bms_reported.all() else 0.0


@dataclass(frozen=True, eq=False)
class History:
    """What a fit needs of one vehicle: exposures of its past by law, and its readings.

    ``exposures[law_id]`` has shape (periods, k): sums over each period. Periods start at the in-service date;
    ``backcast_share_frac`` tells how much of the time was not logged but taken from the representative year.
    """

    vehicle_id: str
    cohort_id: str
    period_days: FloatArray
    exposures: dict[str, FloatArray]
    readings: Readings
    backcast_share_frac: float
    features: dict[str, float] = field(default_factory=dict)
