"""When a vehicle departs from what was forecast of it: a sequential test on its later readings.

Readings are compared with a forecast that was made before them and carries their common uncertainty (cohort, offset,
error that readings share). The statistic is a one-sided CUSUM of standardised innovations: each reading is compared
with its prediction given the earlier ones (Cholesky factor of the covariance of all), so that a forecast that was
wrong from the start does not count again at every reading.

Sources: Page 1954, doi 10.1093/biomet/41.1-2.100 (CUSUM); Siegmund 1985, Sequential Analysis, section 2.6 (average
run length).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from models.domain import FloatArray, History
from models.evidence import FleetFit, predict_joint, training_mask
from models.laws.base import Law
from models.parameters import entry


@dataclass(frozen=True)
class DepartureTerms:
    """See ``parameters/ensemble.toml``, ``[departure]``."""

    shift_sigma: float
    false_alarms_per_1000_months: float
    clip_sigma: float
    own_rate_sigma: float


def departure_terms(home: Path | None = None) -> DepartureTerms:
    """Terms from the parameters, those of a home first."""
    e = entry("ensemble", "departure", home)
    return DepartureTerms(**{name: e.number(name) for name in DepartureTerms.__dataclass_fields__})


@lru_cache(maxsize=8)
def threshold(shift_sigma: float, false_alarms_per_1000: float) -> float:
    """Limit of the CUSUM that normal innovations cross at a given rate. [sigma]

    Siegmund's approximation of the average run length, with k half the shift: (exp(2k(h + 1.166)) - 2k(h + 1.166)
    - 1) / (2 k^2) = 1000 / rate, solved for h.

    Examples
    --------
    >>> round(threshold(1.0, 1000 / 938.2), 1)
    5.0
    """
    k, wanted = 0.5 * shift_sigma, 1000.0 / false_alarms_per_1000
    low, high = 0.0, 200.0
    for _ in range(100):
        mid = 0.5 * (low + high)
        x = 2.0 * k * (mid + 1.166)
        length = (np.exp(min(x, 500.0)) - x - 1.0) / (2.0 * k * k)
        low, high = (mid, high) if length < wanted else (low, mid)
    return 0.5 * (low + high)


@dataclass(frozen=True)
class Departure:
    """What the test says of one vehicle.

    Parameters
    ----------
    departed
        Whether the sum crossed its limit and stands above it still.
    since_days, flagged_days
        First reading of the run that led to it; reading at which it was crossed. [d in service]
    readings
        Tested readings, and of these those of the run.
    sigmas
        Sum of the run's innovations over the square root of their number; negative = below the forecast. [1]
    below_pp
        Mean of the run's readings below their forecast. [pp]
    score, limit
        Largest sum, and the limit at the declared rate of false alarms. [sigma]
    alarmed_days
        Reading at which the limit was first crossed, whether the sum stands above it still or not. [d in service]
    """

    departed: bool
    since_days: float
    flagged_days: float
    readings: int
    run_readings: int
    sigmas: float
    below_pp: float
    score: float
    limit: float
    alarmed_days: float | None = None

    @property
    def sentence(self) -> str:
        """The finding in a sentence."""
        if not self.departed:
            return f"follows its forecast: {self.readings} readings tested"
        return (
            f"departs from its forecast: {self.run_readings} readings in a row lie {self.below_pp:.1f} points below it "
            f"({-self.sigmas:.1f} standard errors)"
        )


def departure(
    days: FloatArray,
    soh_frac: FloatArray,
    mean_frac: FloatArray,
    covariance: FloatArray,
    terms: DepartureTerms,
) -> Departure | None:
    """Test later readings against a forecast made before them.

    Parameters
    ----------
    days
        Increasing, shape (n,). [d in service]
    soh_frac, mean_frac
        Readings and their forecast, shape (n,). [1]
    covariance
        Of the forecast of these readings, their fresh error included, shape (n, n). [1]
    terms
        Shift to be found soon, declared rate of false alarms, and the limit of one innovation.

    Returns
    -------
    None where there is no reading to test.

    Limits
    ------
    The declared rate holds for normal innovations and one reading a month; laws that err in common raise it, which is
    measured (``benchmarks/bench_fleet.py``). Only loss beyond the forecast is looked for.
    """
    n = days.shape[0]
    if n == 0:
        return None
    error = np.asarray(soh_frac) - np.asarray(mean_frac)
    root = np.linalg.cholesky(covariance)
    innovation = np.clip(np.linalg.solve(root, error), -terms.clip_sigma, terms.clip_sigma)
    limit, k = threshold(terms.shift_sigma, terms.false_alarms_per_1000_months), 0.5 * terms.shift_sigma
    total, start, best = 0.0, 0, 0.0
    crossed: tuple[int, int] | None = None
    alarms: list[int] = []
    for i in range(n):
        if total <= 0.0:
            start = i
        total = max(total - innovation[i] - k, 0.0)
        best = max(best, total)
        if total > limit and crossed is None:
            crossed = (start, i)
            alarms.append(i)
        elif total <= 0.0:
            crossed = None
    first, at = crossed if crossed is not None else (0, n - 1)
    run = slice(first, n)
    return Departure(
        departed=crossed is not None,
        since_days=float(days[first]),
        flagged_days=float(days[at]),
        readings=n,
        run_readings=n - first,
        sigmas=float(np.sum(innovation[run]) / np.sqrt(n - first)),
        below_pp=float(-100.0 * np.mean(error[run])),
        score=float(best),
        limit=limit,
        alarmed_days=float(days[alarms[0]]) if alarms else None,
    )


def fleet_departures(
    fleet: FleetFit, histories: Mapping[str, History], laws: Mapping[str, Sequence[Law]], terms: DepartureTerms
) -> dict[str, Departure]:
    """Test the held-out last third of every vehicle's anchored readings against the forecast made without it.

    Parameters
    ----------
    fleet
        With the fits that had not seen the held-out readings.
    laws
        Cohort -> members of its ensemble.

    Returns
    -------
    Vehicle -> result, for vehicles with held-out readings.
    """
    before = replace(fleet, fits=fleet.training)
    out = {}
    for vehicle_id in sorted({h.vehicle_id for h in fleet.held_out}):
        h = histories[vehicle_id]
        mask, r = training_mask(h), h.readings
        later = ~mask & ~r.bms_reported
        since = float(r.days[mask].max()) if mask.any() else 0.0
        days = r.days[later]
        mean, covariance = predict_joint(
            before, h, laws[h.cohort_id], days, r.fresh_sigma_frac[later], since, terms.own_rate_sigma
        )
        result = departure(days, r.soh_frac[later], mean, covariance, terms)
        if result is not None:
            out[vehicle_id] = result
    return out
