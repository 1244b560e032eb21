"""Warranty: when cover ends, how likely a breach is found within it, and what export has to do with it.

Two things are kept apart all the way: *fade* (capacity below the contract's floor) and *cover* (years and kilometres
that run out). Export can cause the first and, where a contract counts virtual kilometres, shorten the second.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.domain import Contract, FloatArray
from models.parameters import Entry, ParameterError, entry, load

MONTHS_PER_YEAR = 12
NO_END = 1e9
SCHEDULES = ("single", "yearly", "quarterly")
_GH_NODES = 21
_LEAST_WEIGHT = 1e-7  # nodes beyond about 5 sigma change no printed digit
_UNKNOWN = "unknown"


@dataclass(frozen=True)
class MeasuringError:
    """Error of a capacity test: a part that stays with the vehicle and a part of each test, 1 sigma. [1]"""

    persistent_sigma_frac: float
    per_test_sigma_frac: float

    def __post_init__(self) -> None:
        if self.persistent_sigma_frac < 0 or self.per_test_sigma_frac < 0:
            raise ValueError("MeasuringError needs standard deviations of at least 0.")


@dataclass(frozen=True, eq=False)
class Distance:
    """Kilometres of one vehicle, a draw each: now, and those of a coming year.

    Parameters
    ----------
    age_years
        Since the in-service date. [a]
    odometer_km, km_per_year
        Shape (draws,). [km], [km/a]
    virtual_km
        Export so far over the worst-case certified consumption (UN GTR 22, 5.2). [km]
    """

    age_years: float
    odometer_km: FloatArray
    km_per_year: FloatArray
    virtual_km: float


def contract_of(contract_id: str, home: Path | None = None) -> Contract:
    """A contract from ``parameters/contracts.toml``; clauses given as ``unknown`` become ``None``.

    Raises
    ------
    ParameterError
        There is no such contract, or a value has the wrong type.
    """
    e = entry("contracts", contract_id, home)
    measure = e.text("measure")
    if measure not in ("soh", "soce"):
        raise ParameterError(f"{e.file}: [{contract_id}.measure] must be 'soh' or 'soce', got {measure!r}.")
    standings = {p.standing for p in e.parameters.values()}
    worst = "assumed" if "assumed" in standings else "secondary" if "secondary" in standings else "seen"
    return Contract(
        contract_id=contract_id,
        label=e.label,
        floor_frac=e.number("floor_frac"),
        years=e.number("years"),
        km=e.number("km"),
        measure=measure,
        virtual_km=_flag(e, "virtual_km"),
        export_cap_kwh=_known(e, "export_cap_kwh"),
        export_cap_hours=_known(e, "export_cap_hours"),
        source=e["floor_frac"].source,
        standing=worst,
    )


def contracts(home: Path | None = None) -> tuple[Contract, ...]:
    """All contracts, in the order of the file."""
    return tuple(contract_of(c, home) for c in load("contracts", home))


def _known(e: Entry, name: str) -> float | None:
    return None if e.get(name, _UNKNOWN) == _UNKNOWN else e.number(name)


def _flag(e: Entry, name: str) -> bool | None:
    value: Any = e.get(name, _UNKNOWN)
    if value == _UNKNOWN:
        return None
    if not isinstance(value, bool):
        raise ParameterError(f"{e.file}: [{e.entry_id}.{name}] must be true, false or 'unknown', got {value!r}.")
    return value


def measuring_error(home: Path | None = None) -> MeasuringError:
    """Assumed test error, from ``parameters/claims.toml`` [tests]."""
    e = entry("claims", "tests", home)
    return MeasuringError(e.number("persistent_sigma_frac"), e.number("per_test_sigma_frac"))


def schedule_months(home: Path | None = None) -> dict[str, int]:
    """Months between tests by schedule; 0 = one test, the last yearly one within cover."""
    e = entry("claims", "tests", home)
    return {s: int(e.number(f"{s}_months")) for s in SCHEDULES}


def virtual_km(export_kwh: float, certified_worst_wh_per_km: float) -> float:
    """Virtual kilometres of an exported energy. [km]

    UN GTR No. 22, 5.2: total discharge energy during V2X over the worst-case certified consumption of the family.

    Examples
    --------
    >>> virtual_km(10_000.0, 170.0) // 1
    58823.0
    """
    if certified_worst_wh_per_km <= 0:
        raise ValueError(f"certified_worst_wh_per_km must be positive, got {certified_worst_wh_per_km}.")
    return 1000.0 * export_kwh / certified_worst_wh_per_km


def cover_end_months(
    contract_years: float,
    contract_km: float,
    distance: Distance,
    virtual_km_per_year: float,
    counts_virtual: bool,
    cap_left_months: float = NO_END,
) -> FloatArray:
    """When cover ends, in months after the as-of day, a draw each; 0 = it has ended. [month]

    Parameters
    ----------
    contract_years, contract_km
        Limits, counted from the in-service date, whichever comes first. [a], [km]
    virtual_km_per_year
        Of the policy. [km/a]
    counts_virtual
        Whether the contract adds virtual kilometres, those driven up already included.
    cap_left_months
        Until an export cap of the contract is used up; taken as the end of cover. [month]
    """
    by_age = MONTHS_PER_YEAR * (contract_years - distance.age_years)
    extra_now = distance.virtual_km if counts_virtual else 0.0
    extra = virtual_km_per_year if counts_virtual else 0.0
    left = contract_km - distance.odometer_km - extra_now
    rate = np.maximum(distance.km_per_year + extra, 1.0)
    by_km = MONTHS_PER_YEAR * left / rate
    return np.maximum(np.minimum(np.minimum(by_age, by_km), cap_left_months), 0.0)


def cap_left_months(
    contract: Contract, export_kwh: float, export_hours: float, kwh_per_year: float, hours_per_year: float
) -> float:
    """Months until an export cap of the contract is used up; ``NO_END`` where none is known or none is reached."""
    left = NO_END
    for cap, used, rate in (
        (contract.export_cap_kwh, export_kwh, kwh_per_year),
        (contract.export_cap_hours, export_hours, hours_per_year),
    ):
        if cap is not None and rate > 0:
            left = min(left, max(0.0, MONTHS_PER_YEAR * (cap - used) / rate))
    return left


def event_months(age_years: float, interval_months: int, horizon_months: int) -> FloatArray:
    """Test events after the as-of day: every ``interval_months`` of age. [month]

    Counted from the in-service date, so that yearly tests are among the quarterly ones: testing more often can only
    find more.
    """
    if interval_months <= 0:
        raise ValueError(f"interval_months must be positive, got {interval_months}.")
    age = MONTHS_PER_YEAR * age_years
    first = (math.floor(age / interval_months) + 1) * interval_months - age
    return np.arange(first, horizon_months + 1e-9, interval_months, dtype=float)


@lru_cache(maxsize=1)
def _quadrature() -> tuple[FloatArray, FloatArray]:
    """Nodes [standard deviations] and weights (sum 1) of a mean over a normal distribution, tiny weights left out."""
    x, w = np.polynomial.hermite.hermgauss(_GH_NODES)
    w = w / math.sqrt(math.pi)
    keep = w > _LEAST_WEIGHT
    return math.sqrt(2.0) * x[keep], w[keep] / w[keep].sum()


@njit(cache=True, nogil=True)
def _phi(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


@njit(cache=True, nogil=True)
def _found_kernel(capacity, tests, end, floor, sp, st, nodes, weights, last_only, out):  # pragma: no cover - numba
    draws, m1 = capacity.shape
    n = tests.shape[0]
    k = nodes.shape[0]
    margin = 6.0 * (sp + st) + 1e-12
    soh = np.empty(n)
    keep = np.empty(k)
    for d in range(draws):
        inside = 0
        lowest = 1e9
        for j in range(n):
            if tests[j] > end[d]:
                break
            x = tests[j]
            i = min(int(x), m1 - 2)
            w = x - i
            soh[j] = capacity[d, i] * (1.0 - w) + capacity[d, i + 1] * w
            lowest = min(lowest, soh[j])
            inside = j + 1
        if inside == 0 or lowest - floor > margin:
            continue
        first = inside - 1 if last_only else 0
        low = 1e9
        for q in range(k):
            keep[q] = 1.0
        before = 0.0
        for j in range(first, inside):
            low = min(low, soh[j])
            if st > 0.0:
                found = 0.0
                for q in range(k):
                    z = (soh[j] + nodes[q] - floor) / st
                    if z < 6.0:
                        keep[q] *= _phi(z)
                    found += weights[q] * (1.0 - keep[q])
            elif sp > 0.0:
                found = _phi((floor - low) / sp)
            else:
                found = 1.0 if low < floor else 0.0
            out[d, j] = max(found - before, 0.0)
            before = found


def found(
    capacity_frac: NDArray[np.float32] | FloatArray,
    tests: FloatArray,
    end_months: FloatArray,
    floor_frac: float,
    error: MeasuringError,
    last_only: bool = False,
) -> FloatArray:
    """Probability that a breach is first found at each test within cover, given each draw's world.

    The per-test error is integrated analytically (a test finds a breach with Phi((floor - SOH - b)/sigma_test)), the
    persistent error b by Gauss-Hermite quadrature: b stays the same at all tests of a vehicle, so many tests do not
    turn noise into breaches.

    Parameters
    ----------
    capacity_frac
        At the months 0, 1, ... after the as-of day, shape (draws, months + 1). [1]
    tests
        Increasing, shape (n,). [month]
    end_months
        End of cover, shape (draws,). [month]
    last_only
        Only the last test within cover takes place (schedule ``single``).

    Returns
    -------
    Shape (draws, n); the sum over tests is the probability that the breach is found at all, at most 1.
    """
    capacity = np.ascontiguousarray(capacity_frac)
    out = np.zeros((capacity.shape[0], tests.shape[0]))
    nodes, weights = _quadrature()
    _found_kernel(
        capacity,
        np.ascontiguousarray(tests, dtype=float),
        np.ascontiguousarray(end_months, dtype=float),
        floor_frac,
        error.persistent_sigma_frac,
        error.per_test_sigma_frac,
        nodes * error.persistent_sigma_frac,
        weights,
        last_only,
        out,
    )
    return out


def true_breach_month(
    capacity_frac: NDArray[np.float32] | FloatArray, end_months: FloatArray, floor_frac: float
) -> FloatArray:
    """First month within cover below the floor, a draw each; NaN where there is none. Shape (draws,). [month]"""
    months = np.arange(capacity_frac.shape[1], dtype=float)
    below = (capacity_frac < floor_frac) & (months[None, :] <= end_months[:, None])
    first = below.argmax(axis=1).astype(float)
    return np.where(below.any(axis=1), first, np.nan)


def monte_carlo_error(values: FloatArray, weights: FloatArray) -> float:
    """Standard error of a weighted mean over draws (weights sum to 1)."""
    mean = float(weights @ values)
    return float(np.sqrt(np.sum((weights * (values - mean)) ** 2)))


@dataclass(frozen=True)
class Attribution:
    """Change of the breach probability against no export, split exactly into its two causes. [1]"""

    by_fade_frac: float
    by_cover_frac: float


def attribute(with_both: float, fade_only: float, cover_only: float, neither: float) -> Attribution:
    """Split the effect of export on the breach probability into fade and shortened cover.

    The mean over both orders (Shapley), so that the parts add up to the whole.

    Parameters
    ----------
    with_both, fade_only, cover_only, neither
        Breach probability with the export's fade and cover, with its fade but the cover without export, the reverse,
        and without export. [1]
    """
    fade = 0.5 * ((fade_only - neither) + (with_both - cover_only))
    cover = 0.5 * ((cover_only - neither) + (with_both - fade_only))
    return Attribution(fade, cover)


def soce(capacity_frac: FloatArray, usable_kwh: float, certified_kwh: float) -> FloatArray:
    """State of certified energy (UN GTR 22): usable energy over the certified one, at most 1. [1]

    Limits: usable energy is taken to fall with capacity; the rise of resistance and a buffer released by the BMS are
    left out.
    """
    return np.minimum(np.asarray(capacity_frac) * (usable_kwh / certified_kwh), 1.0)


@dataclass(frozen=True)
class Window:
    """A window of UN GTR 22: floor on SOCE, limits of time and total distance, share that has to be above."""

    window_id: str
    label: str
    floor_frac: float
    years: float
    km: float
    pass_share_frac: float


def windows(home: Path | None = None) -> tuple[Window, ...]:
    """The windows of ``parameters/durability.toml``."""
    return tuple(
        Window(k, e.label, e.number("floor_frac"), e.number("years"), e.number("km"), e.number("pass_share_frac"))
        for k, e in load("durability", home).items()
    )


def above_at_window_end(
    capacity_frac: NDArray[np.float32] | FloatArray, end_months: FloatArray, floor_frac: float
) -> NDArray[np.bool_]:
    """Whether SOCE is still at or above the floor when the window ends, a draw each, shape (draws,).

    Windows that end beyond the horizon are judged at the horizon.
    """
    m1 = capacity_frac.shape[1]
    x = np.minimum(end_months, m1 - 1.0)
    i = np.minimum(x.astype(np.int64), m1 - 2)
    w = x - i
    d = np.arange(capacity_frac.shape[0])
    value = capacity_frac[d, i] * (1.0 - w) + capacity_frac[d, i + 1] * w
    return value >= floor_frac
