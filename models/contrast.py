"""When a cohort's readings may weigh the laws on the difference between policies: only with contrast in throughput.

Readings of cars that are used alike tell how fast they fade, not what an exported kWh costs. Where throughput differs
widely between the cars of a cohort, a law that foretells who fades more has earned weight on the difference too. Two
checks stand before it: the spread of throughput must be visible above the noise of the readings, and the gain in log
score over equal weights, measured on vehicles that the weights have not seen, must be clear. Else weights are equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.domain import FloatArray, History
from models.ensemble import stacking_weights
from models.fleet import CohortFit, FleetPrior
from models.fleet_predict import predict
from models.laws.base import Law
from models.parameters import entry

MIN_VEHICLES = 8


@dataclass(frozen=True)
class ContrastTerms:
    """Sizes of the two checks; see ``parameters/ensemble.toml``, ``[difference]``."""

    contrast_from: float
    cost_from: float
    wear_per_cycle_frac: float
    gain_from_sigma: float
    weight_floor: float
    weight_prior_vehicles: float


def contrast_terms(home: Path | None = None) -> ContrastTerms:
    """Terms from the parameters, those of a home first."""
    own, shared = entry("ensemble", "difference", home), entry("ensemble", "ensemble", home)
    return ContrastTerms(
        own.number("contrast_from"),
        own.number("cost_from"),
        own.number("wear_per_cycle_frac"),
        own.number("gain_from_sigma"),
        shared.number("weight_floor"),
        shared.number("weight_prior_vehicles"),
    )


def throughput_contrast(
    full_cycles: FloatArray, years: FloatArray, noise_frac: FloatArray, wear_per_cycle_frac: float
) -> float:
    """Spread of throughput between vehicles of one age, in standard errors of the fade it would cause.

    Parameters
    ----------
    full_cycles, years
        Since new and until the last reading, shape (vehicles,); the trend with age is taken out.
    noise_frac
        Standard deviation of what a vehicle's readings say of its fade, shape (vehicles,). [1]
    wear_per_cycle_frac
        Loss that a full cycle is taken to cause. [1]

    Examples
    --------
    >>> round(throughput_contrast(np.array([0.0, 400.0] * 8), np.full(16, 4.0), np.full(16, 0.02), 2.5e-5), 3)
    1.0
    """
    design = np.column_stack([np.ones(years.shape), years - years.mean()])
    trend = design @ np.linalg.lstsq(design, full_cycles, rcond=None)[0]
    spread = float(np.sqrt(np.mean((full_cycles - trend) ** 2)))
    noise = float(np.sqrt(np.mean(noise_frac**2)))
    return wear_per_cycle_frac * spread / noise * float(np.sqrt(full_cycles.shape[0]))


def difference_weights(
    error_frac: FloatArray, sigma_frac: FloatArray, contrast: float, terms: ContrastTerms
) -> FloatArray | None:
    """Weights of the laws on the difference, or None: equal.

    Parameters
    ----------
    error_frac, sigma_frac
        Mean reading minus what each law foretold from duty alone (no offset of the vehicle's own), and its standard
        deviation, shape (vehicles, laws). What all vehicles share is taken out: level is no evidence here. [1]
    contrast
        Of `throughput_contrast`.
    terms
        Thresholds.

    References
    ----------
    Stacking: Yao et al. 2018, doi 10.1214/17-BA1091; the gain is measured on the half that did not set the weights.
    """
    n, m = error_frac.shape
    if n < MIN_VEHICLES or m < 2 or contrast < terms.contrast_from:
        return None
    z = (error_frac - error_frac.mean(axis=0)) / sigma_frac
    scores = -0.5 * z**2 - np.log(sigma_frac)
    density = np.exp(scores - scores.max(axis=1, keepdims=True))
    gain = np.empty(n)
    for half in (np.arange(n) % 2 == 0, np.arange(n) % 2 == 1):
        w = stacking_weights(scores[~half], terms.weight_floor, terms.weight_prior_vehicles)
        gain[half] = np.log(density[half] @ w) - np.log(density[half].mean(axis=1))
    if gain.sum() <= terms.gain_from_sigma * np.sqrt(n) * gain.std():
        return None
    return stacking_weights(scores, terms.weight_floor, terms.weight_prior_vehicles)


def cohort_contrast(histories: Sequence[History], laws: Sequence[Law], prior: FleetPrior, wear_frac: float) -> float:
    """How well a cohort's anchored readings could see the cost of a cycle, before anything is fitted.

    Parameters
    ----------
    histories
        Vehicles of the cohort.
    wear_frac
        Loss that a full cycle is taken to cause. [1]

    Returns
    -------
    float
        As `throughput_contrast`; 0 for fewer than `MIN_VEHICLES` cars with anchored readings.
    """
    counted = next((law for law in laws if "full_cycles" in law.exposure_names), None)
    used = [h for h in histories if not h.readings.bms_reported.all()]
    if counted is None or len(used) < MIN_VEHICLES:
        return 0.0
    column, rows = counted.exposure_names.index("full_cycles"), []
    for h in used:
        keep = ~h.readings.bms_reported
        days, r = h.readings.days[keep], h.readings
        share = min(float(days[-1]) / max(float(h.period_days.sum()), 1.0), 1.0)
        fresh = float(np.mean(r.fresh_sigma_frac[keep] ** 2)) / days.shape[0]
        loss = float(np.mean(np.maximum(1.0 - r.soh_frac[keep], 0.0)))
        shared = (prior.anchored_scale * r.anchored_offset_sigma) ** 2
        noise2 = fresh + shared + prior.capacity_scale_sigma**2 + (prior.vehicle_sigma * loss) ** 2
        cycles = share * float(h.exposures[counted.law_id][:, column].sum())
        rows.append((cycles, float(days[-1]) / 365.25, np.sqrt(noise2)))
    cycles, years, noise = np.array(rows).T
    return throughput_contrast(cycles, years, noise, wear_frac)


def cohort_difference_weights(
    histories: Sequence[History], laws: Sequence[Law], fits: Sequence[CohortFit], home: Path | None = None
) -> FloatArray | None:
    """Weights on the difference from a cohort's anchored readings, or None: equal.

    Parameters
    ----------
    histories
        Vehicles of the cohort, in a fixed order.
    laws, fits
        Members and their fits to all readings, in the same order.
    """
    counted = next((law for law in laws if "full_cycles" in law.exposure_names), None)
    used = [h for h in histories if not h.readings.bms_reported.all()]
    if counted is None or len(used) < MIN_VEHICLES:
        return None
    terms, column = contrast_terms(home), counted.exposure_names.index("full_cycles")
    errors, sigmas, cycles, years = [], [], [], []
    for h in used:
        keep = ~h.readings.bms_reported
        days = h.readings.days[keep]
        row_error, row_sigma = [], []
        for law, fit in zip(laws, fits, strict=True):
            own = np.zeros_like(fit.vehicle(h.vehicle_id).mean)
            said = predict(h, law, fit.mean, own, fit.prior.spread_factor, days).soh_frac
            loss = float(np.mean(1.0 - said))
            row_error.append(float(np.mean(h.readings.soh_frac[keep] - said)))
            fresh = (fit.prior.noise_anchored * h.readings.fresh_sigma_frac[keep]) ** 2
            variance = float(np.mean(fresh)) / days.shape[0] + h.readings.anchored_offset_sigma**2
            variance += fit.prior.capacity_scale_sigma**2 + (fit.prior.vehicle_sigma * loss) ** 2
            row_sigma.append(float(np.sqrt(variance + fit.prior.reading_floor_sigma**2)))
        errors.append(row_error)
        sigmas.append(row_sigma)
        share = min(float(days[-1]) / max(float(h.period_days.sum()), 1.0), 1.0)
        cycles.append(share * float(h.exposures[counted.law_id][:, column].sum()))
        years.append(float(days[-1]) / 365.25)
    sigma = np.array(sigmas)
    contrast = throughput_contrast(np.array(cycles), np.array(years), sigma.mean(axis=1), terms.wear_per_cycle_frac)
    return difference_weights(np.array(errors), sigma, contrast, terms)
