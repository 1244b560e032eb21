"""Held-out evidence: how well each law foretells the later readings of the vehicles of a cohort.

Time-forward: the last third of every vehicle's anchored readings is held out, the law is fitted to the rest, and the
held-out ones are predicted with their variance. BMS-reported readings teach little and score nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from models.contrast import cohort_difference_weights
from models.domain import BoolArray, FloatArray, History
from models.ensemble import stacking_weights
from models.fleet import CohortFit, FleetPrior, fleet_prior
from models.fleet_fit import fit_cohort
from models.fleet_predict import predict
from models.laws.base import Law
from models.parameters import entry

Z80 = 1.2815515655446004
MIN_READINGS = 3


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Held-out readings of one vehicle and what the laws of its cohort said of them.

    Parameters
    ----------
    days, horizon_days
        Since the in-service day; since the last reading that was used, shape (n,). [d]
    soh_frac, sigma_frac
        The readings, shape (n,). [1]
    mean_frac, sd_frac
        Predictions of the laws and their standard deviations (reading error included), shape (n, laws). [1]
    full_frac
        What the laws say of the same days once they have seen these readings, shape (n, laws); None: not computed. [1]
    """

    vehicle_id: str
    cohort_id: str
    days: FloatArray
    horizon_days: FloatArray
    soh_frac: FloatArray
    sigma_frac: FloatArray
    mean_frac: FloatArray
    sd_frac: FloatArray
    full_frac: FloatArray | None = None

    def mixture(self, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation of the weighted mixture of laws, shape (n,) each."""
        mean = self.mean_frac @ weight
        second = (self.sd_frac**2 + self.mean_frac**2) @ weight
        return mean, np.sqrt(np.maximum(second - mean**2, 1e-12))


@dataclass(frozen=True, eq=False)
class FleetFit:
    """All cohorts' fits, weighed, the held-out readings they were weighed by, and the fits that had not seen these."""

    fits: dict[tuple[str, str], CohortFit]
    held_out: tuple[HeldOut, ...]
    training: dict[tuple[str, str], CohortFit] = field(default_factory=dict)

    def weight(self, cohort_id: str) -> FloatArray:
        """Evidence weights of a cohort's laws, in their order."""
        return np.array([f.weight for (c, _), f in self.fits.items() if c == cohort_id])


def training_mask(history: History) -> BoolArray:
    """Readings to fit on: all but the last third of the anchored ones and what came with them."""
    r = history.readings
    anchored = r.days[~r.bms_reported]
    if anchored.shape[0] < MIN_READINGS:
        return np.ones(r.days.shape, dtype=bool)
    first_out = anchored[anchored.shape[0] - anchored.shape[0] // 3]
    return r.days < first_out


def predict_marginal(
    fit: CohortFit, history: History, law: Law, days: FloatArray, fresh_sigma_frac: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of anchored readings on given days, parameters and reading error included.

    What the vehicle's readings share is one of its parameters; ``fresh_sigma_frac`` is what is left. Linearised about
    the posterior mean (Laplace). Days beyond the history take its end.
    """
    v = fit.vehicle(history.vehicle_id)
    p = predict(history, law, fit.mean, v.mean, fit.prior.spread_factor, days)
    by_cohort = p.by_cohort + p.by_own @ v.slope
    variance = np.einsum("ij,jk,ik->i", by_cohort, fit.covariance, by_cohort)
    variance = variance + np.einsum("ij,jk,ik->i", p.by_own, v.covariance, p.by_own)
    return p.soh_frac, np.sqrt(variance + fresh_sigma_frac**2 + fit.prior.reading_floor_sigma**2)


def _joint(fit: CohortFit, history: History, law: Law, days: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean, shape (n,), and covariance of what the parameters leave open, shape (n, n)."""
    v = fit.vehicle(history.vehicle_id)
    p = predict(history, law, fit.mean, v.mean, fit.prior.spread_factor, days)
    by_cohort = p.by_cohort + p.by_own @ v.slope
    covariance = by_cohort @ fit.covariance @ by_cohort.T + p.by_own @ v.covariance @ p.by_own.T
    return p.soh_frac, covariance


def predict_joint(
    fleet: FleetFit,
    history: History,
    laws: Sequence[Law],
    days: FloatArray,
    fresh_sigma_frac: FloatArray,
    since_days: float,
    own_rate_sigma: float,
) -> tuple[FloatArray, FloatArray]:
    """Mean and covariance of anchored readings under the weighted laws of a cohort.

    Parameters
    ----------
    days, fresh_sigma_frac
        Days of the readings and the error each has of its own, shape (n,). [d], [1]
    since_days
        End of what the fit has seen: from there on a car's own rate may change. [d]
    own_rate_sigma
        How much, over the loss that is forecast from there on. [1]

    Returns
    -------
    tuple[FloatArray, FloatArray]
        Shapes (n,) and (n, n); that of a mixture, between laws included.
    """
    fits = [fleet.fits[history.cohort_id, law.law_id] for law in laws]
    weight = np.array([f.weight for f in fits])
    weight = weight / weight.sum()
    with_start = np.concatenate([[since_days], days])
    said = [_joint(f, history, law, with_start) for f, law in zip(fits, laws, strict=True)]
    means = np.array([m[1:] for m, _ in said])
    mean = weight @ means
    covariance = np.einsum("k,kij->ij", weight, np.array([c[1:, 1:] for _, c in said]))
    covariance = covariance + np.einsum("k,ki,kj->ij", weight, means - mean, means - mean)
    change = weight @ np.array([m[0] - m[1:] for m, _ in said])
    floor = fits[0].prior.reading_floor_sigma
    noise = np.diag(fresh_sigma_frac**2 + floor**2)
    return mean, covariance + own_rate_sigma**2 * np.outer(change, change) + noise


def held_out_readings(
    cohort_id: str, histories: Sequence[History], laws: Sequence[Law], prior: FleetPrior
) -> list[HeldOut]:
    """Fit every law to the earlier readings of a cohort and predict the later ones."""
    return _held_out(cohort_id, histories, laws, prior)[0]


def _held_out(
    cohort_id: str, histories: Sequence[History], laws: Sequence[Law], prior: FleetPrior
) -> tuple[list[HeldOut], list[CohortFit]]:
    masks = [training_mask(h) for h in histories]
    outs = [~m & ~h.readings.bms_reported for m, h in zip(masks, histories, strict=True)]
    if not any(o.any() for o in outs):
        return [], []
    fits = [fit_cohort(cohort_id, histories, law, prior, masks) for law in laws]
    rows = []
    for h, mask, out in zip(histories, masks, outs, strict=True):
        if not out.any():
            continue
        r = h.readings
        days, fresh = r.days[out], r.fresh_sigma_frac[out]
        said = [predict_marginal(f, h, law, days, fresh) for f, law in zip(fits, laws, strict=True)]
        last = r.days[mask].max() if mask.any() else 0.0
        rows.append(
            HeldOut(
                h.vehicle_id,
                cohort_id,
                days,
                days - last,
                r.soh_frac[out],
                r.sigma_frac[out],
                np.column_stack([m for m, _ in said]),
                np.column_stack([s for _, s in said]),
            )
        )
    return rows, fits


def log_scores(held_out: Sequence[HeldOut]) -> FloatArray:
    """Mean log density of a vehicle's held-out readings under each law, shape (vehicles, laws)."""
    rows = []
    for h in held_out:
        z = (h.soh_frac[:, None] - h.mean_frac) / h.sd_frac
        rows.append(np.mean(-0.5 * z**2 - np.log(h.sd_frac), axis=0))
    return np.array(rows)


def fit_fleet(
    histories: Mapping[str, History], laws: Mapping[str, Sequence[Law]], home: Path | None = None
) -> FleetFit:
    """Fit every law in every cohort, and weigh the laws of a cohort by held-out readings.

    Parameters
    ----------
    histories
        Vehicle -> history.
    laws
        Cohort -> members of its ensemble, in their fixed order.
    home
        Where own parameters lie, if any.
    """
    prior = fleet_prior(home)
    terms = entry("ensemble", "ensemble", home)
    fits: dict[tuple[str, str], CohortFit] = {}
    training: dict[tuple[str, str], CohortFit] = {}
    held: list[HeldOut] = []
    for cohort_id in sorted(laws):
        members = laws[cohort_id]
        own = [histories[v] for v in sorted(histories) if histories[v].cohort_id == cohort_id]
        out, near = _held_out(cohort_id, own, members, prior)
        scores = log_scores(out) if out else np.empty((0, len(members)))
        weight = stacking_weights(scores, terms.number("weight_floor"), terms.number("weight_prior_vehicles"))
        for k, law in enumerate(members):
            fit = fit_cohort(cohort_id, own, law, prior, near=near[k] if near else None)
            fit = replace(fit, weight=float(weight[k]))
            if near:
                training[cohort_id, law.law_id] = replace(near[k], weight=float(weight[k]))
            if out:
                error = np.concatenate([h.mean_frac[:, k] - h.soh_frac for h in out])
                sd = np.concatenate([h.sd_frac[:, k] for h in out])
                fit = replace(
                    fit,
                    heldout_rmse_pp=float(100 * np.sqrt(np.mean(error**2))),
                    heldout_inside_80_frac=float(np.mean(np.abs(error) <= Z80 * sd)),
                )
            fits[cohort_id, law.law_id] = fit
        held += [_seen_again(h, histories, members, [fits[cohort_id, law.law_id] for law in members]) for h in out]
        apart = cohort_difference_weights(own, members, [fits[cohort_id, law.law_id] for law in members], home)
        if apart is not None:
            for law, w in zip(members, apart, strict=True):
                fits[cohort_id, law.law_id] = replace(fits[cohort_id, law.law_id], difference_weight=float(w))
    return FleetFit(fits, tuple(held), training)


def _seen_again(
    row: HeldOut, histories: Mapping[str, History], laws: Sequence[Law], fits: Sequence[CohortFit]
) -> HeldOut:
    h = histories[row.vehicle_id]
    said = [
        predict(h, law, fit.mean, fit.vehicle(h.vehicle_id).mean, fit.prior.spread_factor, row.days).soh_frac
        for law, fit in zip(laws, fits, strict=True)
    ]
    return replace(row, full_frac=np.column_stack(said))
