"""The solver of the hierarchical fit: damped Gauss-Newton on an arrow-shaped problem, all vehicles at once.

The curvature is arrow-shaped (cohort block, one small block a vehicle), so the cost grows with the number of vehicles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.domain import BoolArray, FloatArray, History
from models.fleet import CohortFit, FleetPrior, VehicleFit, prior_fit
from models.fleet_pool import CohortPrior, own_prior
from models.fleet_predict import OWN, CohortData, cohort_data, predict_cohort
from models.laws.base import Law

_TOLERANCE = 3e-5
_ROUNDS = 40
_SPREAD_ROUNDS = 5
_SPREAD_TOLERANCE = 0.03
_ESTIMATED = ("vehicle_sigma", "bms_offset_mean", "bms_offset_sigma", "anchored_scale", "noise_anchored", "noise_bms")


@dataclass(frozen=True, eq=False)
class _Equations:
    """Normal equations at a point: cost, gradients and blocks of the curvature, vehicles first."""

    cost: float
    grad_c: FloatArray
    grad_v: FloatArray
    h_cc: FloatArray
    h_cv: FloatArray
    h_vv: FloatArray


def _equations(
    data: CohortData, cohort: FloatArray, own: FloatArray, prior: FleetPrior, about: CohortPrior
) -> _Equations:
    p = predict_cohort(data, cohort, own, prior.spread_factor)
    sigma = prior.reading_sigma_frac(data.fresh_sigma_frac, data.bms)
    e = (p.soh_frac - data.soh_frac) / sigma
    size, k = np.abs(e), prior.outlier_sigma
    w = np.where(size > k, k / np.maximum(size, 1e-12), 1.0)
    cost = float(np.sum(np.where(size > k, 2 * k * size - k * k, e * e)))
    jc, jv = p.by_cohort / sigma[:, None], p.by_own / sigma[:, None]
    wc, wv = w[:, None] * jc, w[:, None] * jv
    own_inverse = np.tile(1.0 / prior.own_sigma**2, (own.shape[0], 1))
    apart, off = own - prior.own_mean, cohort - about.mean
    # Student's t for the offset: a car of a weak batch is believed and does not drag its whole cohort along.
    nu, scale = prior.vehicle_dof, prior.vehicle_sigma**2
    own_inverse[:, 0] = (nu + 1.0) / (nu * scale + own[:, 0] ** 2)
    cost += (nu + 1.0) * float(np.sum(np.log1p(own[:, 0] ** 2 / (nu * scale))))
    cost += float(np.sum(apart[:, 1:] ** 2 * own_inverse[:, 1:])) + float(off @ about.precision @ off)

    def by_vehicle(rows: FloatArray) -> FloatArray:
        return np.asarray(np.add.reduceat(rows, data.starts, axis=0))

    return _Equations(
        cost,
        wc.T @ e + about.precision @ off,
        by_vehicle(wv * e[:, None]) + apart * own_inverse,
        wc.T @ jc + about.precision,
        by_vehicle(wc[:, :, None] * jv[:, None, :]),
        by_vehicle(wv[:, :, None] * jv[:, None, :]) + own_inverse[:, :, None] * np.eye(len(OWN)),
    )


def log_posterior(
    data: CohortData, cohort: FloatArray, own: FloatArray, prior: FleetPrior, about: CohortPrior
) -> float:
    """Logarithm of the density that `fit_cohort` maximises, up to a constant."""
    return -0.5 * _equations(data, cohort, own, prior, about).cost


def _step(q: _Equations, damping: float) -> tuple[FloatArray, FloatArray]:
    h_vv = q.h_vv * (1.0 + damping * np.eye(len(OWN)))
    both = np.linalg.solve(h_vv, np.concatenate([q.grad_v[:, :, None], q.h_cv.transpose(0, 2, 1)], axis=2))
    grad = q.grad_c - np.einsum("vij,vj->i", q.h_cv, both[:, :, 0])
    matrix = q.h_cc * (1.0 + damping * np.eye(q.h_cc.shape[0])) - np.einsum("vij,vjk->ik", q.h_cv, both[:, :, 1:])
    step_c = np.asarray(-np.linalg.solve(matrix, grad), dtype=np.float64)
    return step_c, -both[:, :, 0] - both[:, :, 1:] @ step_c


def _solve(
    data: CohortData, cohort: FloatArray, own: FloatArray, prior: FleetPrior, about: CohortPrior
) -> tuple[FloatArray, FloatArray, _Equations]:
    damping = 1e-3
    q = _equations(data, cohort, own, prior, about)
    for _ in range(_ROUNDS):
        step_c, step_v = _step(q, damping)
        new_cohort, new_own = cohort + np.clip(step_c, -2, 2), own + np.clip(step_v, -1, 1)
        new = _equations(data, new_cohort, new_own, prior, about)
        if not np.isfinite(new.cost) or new.cost > q.cost:
            damping *= 10.0
            if damping > 1e8:
                break
            continue
        done = q.cost - new.cost < _TOLERANCE * (1.0 + q.cost)
        cohort, own, q, damping = new_cohort, new_own, new, max(damping / 10.0, 1e-9)
        if done:
            break
    return cohort, own, q


def fit_cohort(
    cohort_id: str,
    histories: Sequence[History],
    law: Law,
    prior: FleetPrior,
    use: Sequence[BoolArray] | None = None,
    near: CohortFit | None = None,
    about: CohortPrior | None = None,
) -> CohortFit:
    """Fit one law to the readings of a cohort.

    Parameters
    ----------
    histories
        The cohort's vehicles, in a fixed order.
    use
        Which readings of each vehicle count (all, if None); the others are held out.
    near
        A fit of the same law and cohort to begin at, e.g. without the held-out readings.
    about
        Prior of the cohort's parameters, e.g. what other cohorts say; the law's own, if None.

    Returns
    -------
    CohortFit
        Gauss-Newton (damped; Huber weights on readings, Student's t on vehicle offsets) with the inverse curvature as
        covariance; the prior itself where there is no reading. The scale of the offsets, the scatter of the readings
        and the BMS offsets are estimated by expectation and maximisation, the stated ones counting as
        ``vehicle_sigma_weight`` vehicles and ``noise_weight`` readings.

    References
    ----------
    Laplace approximation and hierarchical shrinkage: Gelman et al., Bayesian Data Analysis, chapters 5 and 13.

    Limits
    ------
    Multipliers are log-normal; the scale of the offsets has no uncertainty of its own. On film laws the Laplace
    approximation is somewhat too narrow along speed: chains over the demo's interstitial fits have 1.2 to 1.3 times its
    standard deviation there (0.9 in the bend) and means within 0.35 of one.
    """
    start = prior_fit(cohort_id, law, prior)
    masks = [np.ones(h.readings.days.shape, dtype=bool) for h in histories] if use is None else list(use)
    having = [i for i, m in enumerate(masks) if m.any()]
    if not having and about is not None:
        return replace(start, mean=about.mean, covariance=np.linalg.inv(about.precision))
    if not having:
        return start
    chosen, masks = [histories[i] for i in having], [masks[i] for i in having]
    data = cohort_data(chosen, law, masks)
    about = own_prior(start.prior_sigma) if about is None else about
    cohort, own = start.mean.copy(), np.tile(prior.own_mean, (len(chosen), 1))
    if near is not None:
        cohort, own = near.mean.copy(), np.array([near.vehicle(h.vehicle_id).mean for h in chosen])
        prior = replace(prior, **{name: getattr(near.prior, name) for name in _ESTIMATED})
    rounds = 0
    while True:
        cohort, own, q = _solve(data, cohort, own, prior, about)
        conditional = np.linalg.inv(q.h_vv)
        conditional = 0.5 * (conditional + conditional.transpose(0, 2, 1))
        slope = -conditional @ q.h_cv.transpose(0, 2, 1)
        information = q.h_cc + np.einsum("vij,vjk->ik", q.h_cv, slope)
        covariance = np.linalg.inv(information)
        covariance = 0.5 * (covariance + covariance.T)
        found = _estimated(data, cohort, own, _Posterior(conditional, slope, covariance), prior, start.prior)
        rounds += 1
        moved = [abs(np.log(found[k] / getattr(prior, k))) for k in _ESTIMATED if k != "bms_offset_mean"]
        if max(moved) < _SPREAD_TOLERANCE or rounds == _SPREAD_ROUNDS:
            break
        prior = replace(prior, **found)
    vehicles = {}
    for i, (h, mask) in enumerate(zip(chosen, masks, strict=True)):
        bms = int(np.sum(h.readings.bms_reported & mask))
        vehicles[h.vehicle_id] = VehicleFit(own[i], conditional[i], slope[i], int(mask.sum()) - bms, bms)
    return replace(start, mean=cohort, covariance=covariance, prior=prior, vehicles=vehicles)


@dataclass(frozen=True, eq=False)
class _Posterior:
    """Covariance of the vehicles' parameters given the cohort's, their slope with these, and theirs."""

    conditional: FloatArray
    slope: FloatArray
    covariance: FloatArray

    def variance(self, k: int) -> FloatArray:
        """Of a vehicle's k-th own parameter, shape (vehicles,)."""
        s = self.slope[:, k]
        return self.conditional[:, k, k] + np.einsum("vi,ij,vj->v", s, self.covariance, s)


def _estimated(
    data: CohortData, cohort: FloatArray, own: FloatArray, post: _Posterior, prior: FleetPrior, stated: FleetPrior
) -> dict[str, float]:
    """One step of expectation and maximisation of what a cohort says of its own scatter."""
    found = {"vehicle_sigma": _spread(own[:, 0] ** 2 + post.variance(0), prior, stated)}
    n0 = stated.vehicle_sigma_weight
    reported = np.add.reduceat(data.bms, data.starts) > 0
    anchored = int(np.sum(np.add.reduceat(1.0 - data.bms, data.starts) > 0))
    offset, n = own[reported, 2], int(reported.sum())
    # Without cars of both kinds an offset of all BMS and a faster fade look the same.
    mean = float(offset.sum()) / (n + n0) if anchored >= n0 else stated.bms_offset_mean
    square = (offset - mean) ** 2 + post.variance(2)[reported]
    found["bms_offset_mean"] = mean
    found["bms_offset_sigma"] = float(np.sqrt((square.sum() + n0 * stated.bms_offset_sigma**2) / (n + n0)))
    shares = np.add.reduceat(data.shared, data.starts) > 0
    square = own[shares, 3] ** 2 + post.variance(3)[shares]
    found["anchored_scale"] = float(np.sqrt((square.sum() + n0 * stated.anchored_scale**2) / (square.size + n0)))
    p = predict_cohort(data, cohort, own, prior.spread_factor)
    slope, conditional = post.slope[data.vehicle], post.conditional[data.vehicle]
    by_cohort = p.by_cohort + np.einsum("ni,nij->nj", p.by_own, slope)
    variance = np.einsum("ni,ij,nj->n", by_cohort, post.covariance, by_cohort)
    variance = variance + np.einsum("ni,nij,nj->n", p.by_own, conditional, p.by_own)
    # Winsorised like the fit itself, so that a few wild readings do not speak for all.
    most = (prior.outlier_sigma * prior.reading_sigma_frac(data.fresh_sigma_frac, data.bms)) ** 2
    seen = np.minimum((p.soh_frac - data.soh_frac) ** 2, most) + variance - stated.reading_floor_sigma**2
    ratio = seen / np.maximum(data.fresh_sigma_frac, 1e-4) ** 2
    for name, kind in (("noise_anchored", data.bms == 0), ("noise_bms", data.bms > 0)):
        m0 = stated.noise_weight
        scale2 = (float(ratio[kind].sum()) + m0 * getattr(stated, name) ** 2) / (int(kind.sum()) + m0)
        found[name] = float(np.sqrt(max(scale2, stated.noise_least**2)))
    return found


def _spread(square: FloatArray, prior: FleetPrior, stated: FleetPrior) -> float:
    """Scale of Student's t for offsets of given expected squares, shape (vehicles,): one step of expectation."""
    nu = prior.vehicle_dof
    weight = (nu + 1.0) / (nu + square / prior.vehicle_sigma**2)
    n0 = stated.vehicle_sigma_weight
    return float(np.sqrt((np.sum(weight * square) + n0 * stated.vehicle_sigma**2) / (square.shape[0] + n0)))
