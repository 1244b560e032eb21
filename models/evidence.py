"""Held-out evidence: how well each law foretells the later readings of the vehicles of a cohort.

Time-forward: the last third of every vehicle's anchored readings is held out, the law is fitted to the rest, and the
held-out ones are predicted with their variance. BMS-reported readings teach little and score nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from models.contrast import cohort_contrast, cohort_difference_weights, contrast_terms
from models.domain import BoolArray, FloatArray, History
from models.ensemble import stacking_weights
from models.fleet import CohortFit, FleetPrior, fleet_prior, prior_fit
from models.fleet_fit import fit_cohort
from models.fleet_pool import held_sigma, own_prior, pooled_priors, released
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
    return p.soh_frac, np.sqrt(variance + fit.prior.reading_sigma_frac(fresh_sigma_frac) ** 2)


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
    noise = np.diag(weight @ np.array([f.prior.reading_sigma_frac(fresh_sigma_frac) ** 2 for f in fits]))
    return mean, covariance + own_rate_sigma**2 * np.outer(change, change) + noise


def _held_out(
    cohort_id: str, histories: Sequence[History], laws: Sequence[Law], fits: Sequence[CohortFit]
) -> list[HeldOut]:
    """Held-out readings of a cohort, predicted by fits that have not seen them."""
    rows = []
    for h in histories:
        mask = training_mask(h)
        out = ~mask & ~h.readings.bms_reported
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
    return rows


def _fit_kind(
    cohorts: Mapping[str, Sequence[History]],
    laws: Sequence[Law],
    prior: FleetPrior,
    masks: Mapping[str, Sequence[BoolArray]] | None = None,
    near: Mapping[tuple[str, str], CohortFit] | None = None,
    held: bool = False,
) -> dict[tuple[str, str], CohortFit]:
    """Fit every law to the cohorts of one kind of cell, each alone, then again with what the others say.

    ``held``: the cost of a cycle is not learned (`models.fleet_pool.released`).
    """
    out = {}
    for law in laws:
        start = prior_fit("", law, prior)
        sigma = held_sigma(start) if held else start.prior_sigma
        alone = []
        for c, own in cohorts.items():
            before = near[c, law.law_id] if near else None
            alone.append(fit_cohort(c, own, law, prior, masks[c] if masks else None, before, own_prior(sigma)))
        if len(alone) > 1 and any(f.readings for f in alone):
            about = pooled_priors(alone, prior.cohort_common_frac, sigma)
            alone = [
                fit_cohort(f.cohort_id, own, law, prior, masks[f.cohort_id] if masks else None, f, mates)
                for f, own, mates in zip(alone, cohorts.values(), about, strict=True)
            ]
        out |= {(f.cohort_id, law.law_id): released(f) if held else f for f in alone}
    return out


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
    terms, contrast = entry("ensemble", "ensemble", home), contrast_terms(home)
    fits: dict[tuple[str, str], CohortFit] = {}
    training: dict[tuple[str, str], CohortFit] = {}
    held: list[HeldOut] = []
    kinds: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for cohort_id in sorted(laws):
        kinds.setdefault(tuple((law.law_id, law.version) for law in laws[cohort_id]), []).append(cohort_id)
    for cohort_ids in kinds.values():
        members = laws[cohort_ids[0]]
        own = {c: [histories[v] for v in sorted(histories) if histories[v].cohort_id == c] for c in cohort_ids}
        masks = {c: [training_mask(h) for h in own[c]] for c in cohort_ids}
        seen = [cohort_contrast(own[c], members, prior, contrast.wear_per_cycle_frac) for c in cohort_ids]
        held_cost = float(np.linalg.norm(seen)) < contrast.cost_from
        some = any(_held_any(own[c]) for c in cohort_ids)
        near = _fit_kind(own, members, prior, masks, held=held_cost) if some else {}
        whole = _fit_kind(own, members, prior, near=near or None, held=held_cost)
        for c in cohort_ids:
            before = [near[c, law.law_id] for law in members] if near else []
            out = _held_out(c, own[c], members, before) if near else []
            scores = log_scores(out) if out else np.empty((0, len(members)))
            weight = stacking_weights(scores, terms.number("weight_floor"), terms.number("weight_prior_vehicles"))
            for k, law in enumerate(members):
                fit = replace(whole[c, law.law_id], weight=float(weight[k]))
                if out:
                    training[c, law.law_id] = replace(before[k], weight=float(weight[k]))
                    error = np.concatenate([h.mean_frac[:, k] - h.soh_frac for h in out])
                    sd = np.concatenate([h.sd_frac[:, k] for h in out])
                    fit = replace(
                        fit,
                        heldout_rmse_pp=float(100 * np.sqrt(np.mean(error**2))),
                        heldout_inside_80_frac=float(np.mean(np.abs(error) <= Z80 * sd)),
                    )
                fits[c, law.law_id] = fit
            found = [fits[c, law.law_id] for law in members]
            held += [_seen_again(h, histories, members, found) for h in out]
            apart = cohort_difference_weights(own[c], members, found, home)
            if apart is not None:
                for law, w in zip(members, apart, strict=True):
                    fits[c, law.law_id] = replace(fits[c, law.law_id], difference_weight=float(w))
    order = [(c, law.law_id) for c in sorted(laws) for law in laws[c]]
    held.sort(key=lambda h: (h.cohort_id, h.vehicle_id))
    return FleetFit({k: fits[k] for k in order}, tuple(held), {k: training[k] for k in order if k in training})


def _held_any(histories: Sequence[History]) -> bool:
    return any(bool((~training_mask(h) & ~h.readings.bms_reported).any()) for h in histories)


def _seen_again(
    row: HeldOut, histories: Mapping[str, History], laws: Sequence[Law], fits: Sequence[CohortFit]
) -> HeldOut:
    h = histories[row.vehicle_id]
    said = [
        predict(h, law, fit.mean, fit.vehicle(h.vehicle_id).mean, fit.prior.spread_factor, row.days).soh_frac
        for law, fit in zip(laws, fits, strict=True)
    ]
    return replace(row, full_frac=np.column_stack(said))
