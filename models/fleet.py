"""What a cohort's capacity readings teach a law: hierarchical MAP with its Laplace covariance.

One vehicle's readings identify one direction; kinetics are therefore shared by a cohort (cell x climate) and a vehicle
adds one log-offset to all rates, a capacity scale when new, and an offset of its readings of either kind. Predicted:

    soh = q0 (1 - f loss_cell(multipliers exp(theta + delta))) + (b [BMS-reported] or s a [anchored])

with theta the cohort's log-multipliers, f the series spread of the pack, delta, q0, b and a the vehicle's own. ``s`` is
the stated error that its anchored readings share (gain of the current sensor, OCV curve) and ``a`` has unit variance;
only what is left of a reading's error counts as fresh noise. Offsets of readings are no part of any forecast. The
curvature is arrow-shaped (cohort block, one small block a vehicle), so the cost grows with the number of vehicles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from models.domain import BoolArray, FloatArray, History
from models.fleet_predict import OWN, Prediction, predict
from models.laws.base import Law
from models.parameters import entry
from models.seeds import generator

_TOLERANCE = 1e-8
_ROUNDS = 40


@dataclass(frozen=True)
class FleetPrior:
    """Priors of the fit; see ``parameters/ensemble.toml``, ``[fleet]``. All [1]."""

    vehicle_sigma: float
    vehicle_dof: float
    capacity_scale_sigma: float
    bms_offset_sigma: float
    reading_floor_sigma: float
    outlier_sigma: float
    spread_factor: float
    spread_log_sigma: float

    @property
    def own_sigma(self) -> FloatArray:
        """Prior standard deviations of a vehicle's own parameters, in the order of `OWN`."""
        return np.array([self.vehicle_sigma, self.capacity_scale_sigma, self.bms_offset_sigma, 1.0])


def fleet_prior(home: Path | None = None) -> FleetPrior:
    """Priors from the parameters, those of a home first."""
    e = entry("ensemble", "fleet", home)
    return FleetPrior(**{name: e.number(name) for name in FleetPrior.__dataclass_fields__})


@dataclass(frozen=True, eq=False)
class VehicleFit:
    """A vehicle's own parameters, in the order of `OWN`, given the cohort's.

    Parameters
    ----------
    mean
        At the cohort's mean, shape (4,).
    covariance
        Given the cohort's parameters, shape (4, 4).
    slope
        Change of ``mean`` with the cohort's parameters, shape (4, c).
    readings, readings_bms
        How many anchored and BMS-reported readings it had.
    """

    mean: FloatArray
    covariance: FloatArray
    slope: FloatArray
    readings: int = 0
    readings_bms: int = 0


@dataclass(frozen=True, eq=False)
class CohortFit:
    """Posterior of one law in one cohort (Laplace).

    Parameters
    ----------
    names
        Of the cohort's parameters: the law's multipliers and ``spread`` (log of the factor over its prior).
    prior_sigma, mean
        Prior standard deviation (prior mean zero) and posterior mean, shape (c,).
    covariance
        Posterior, shape (c, c).
    weight
        Evidence weight of the law among the members of the cohort. [1]
    heldout_rmse_pp, heldout_inside_80_frac
        On readings the fit had not seen, None where there were none. [pp], [1]
    """

    cohort_id: str
    law_id: str
    names: tuple[str, ...]
    prior_sigma: FloatArray
    mean: FloatArray
    covariance: FloatArray
    prior: FleetPrior
    vehicles: dict[str, VehicleFit] = field(default_factory=dict)
    weight: float = 1.0
    heldout_rmse_pp: float | None = None
    heldout_inside_80_frac: float | None = None

    @property
    def shrinkage(self) -> FloatArray:
        """Posterior over prior standard deviation of the cohort's parameters: 1 = nothing was learned."""
        return np.sqrt(np.diag(self.covariance)) / self.prior_sigma

    @property
    def readings(self) -> int:
        """Readings used, BMS-reported ones included."""
        return sum(v.readings + v.readings_bms for v in self.vehicles.values())

    def vehicle(self, vehicle_id: str) -> VehicleFit:
        """A vehicle's own parameters; its prior where it was not in the fit."""
        known = self.vehicles.get(vehicle_id)
        if known is not None:
            return known
        return VehicleFit(np.zeros(len(OWN)), np.diag(self.prior.own_sigma**2), np.zeros((len(OWN), len(self.names))))

    def vehicle_shrinkage(self, vehicle_id: str) -> float:
        """Posterior over prior standard deviation of a vehicle's log-offset: 1 = nothing was learned of it."""
        v = self.vehicle(vehicle_id)
        total = v.covariance + v.slope @ self.covariance @ v.slope.T
        return float(np.sqrt(total[0, 0]) / self.prior.vehicle_sigma)

    def draw(self, vehicle_id: str, draws: int, seed: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Draw worlds of a vehicle: the cohort's part is the same for all its vehicles in the same draw.

        Returns
        -------
        tuple[FloatArray, FloatArray, FloatArray]
            Log-multipliers with the vehicle's offset, shape (draws, m); spread factor of the pack and capacity scale
            when new, shape (draws,).
        """
        shared = generator(seed, "cohort", self.cohort_id, self.law_id).standard_normal((draws, len(self.names)))
        step = shared @ _root(self.covariance).T
        v = self.vehicle(vehicle_id)
        own = generator(seed, "vehicle", vehicle_id, self.law_id).standard_normal((draws, len(OWN)))
        own = v.mean + step @ v.slope.T + own @ _root(v.covariance).T
        cohort = self.mean + step
        logs = cohort[:, :-1] + own[:, :1]
        return logs, self.prior.spread_factor * np.exp(cohort[:, -1]), 1.0 + own[:, 1]


def _root(covariance: FloatArray) -> FloatArray:
    return np.asarray(np.linalg.cholesky(covariance + 1e-14 * np.eye(covariance.shape[0])), dtype=np.float64)


def prior_fit(cohort_id: str, law: Law, prior: FleetPrior) -> CohortFit:
    """The posterior of a cohort without readings: its prior."""
    sigma = np.array([*law.multiplier_sigma, prior.spread_log_sigma])
    names = (*law.multiplier_names, "spread")
    return CohortFit(cohort_id, law.law_id, names, sigma, np.zeros(sigma.shape), np.diag(sigma**2), prior)


@dataclass(frozen=True, eq=False)
class _Block:
    """One vehicle's part of the normal equations at a point."""

    cost: float
    grad_c: FloatArray
    grad_v: FloatArray
    h_cc: FloatArray
    h_cv: FloatArray
    h_vv: FloatArray


def _block(history: History, p: Prediction, own: FloatArray, prior: FleetPrior, use: BoolArray) -> _Block:
    r = history.readings
    sigma = np.sqrt(r.fresh_sigma_frac**2 + prior.reading_floor_sigma**2)[use]
    e = (p.soh_frac[use] - r.soh_frac[use]) / sigma
    size = np.abs(e)
    k = prior.outlier_sigma
    w = np.where(size > k, k / np.maximum(size, 1e-12), 1.0)
    cost = float(np.sum(np.where(size > k, 2 * k * size - k * k, e * e)))
    jc, jv = p.by_cohort[use] / sigma[:, None], p.by_own[use] / sigma[:, None]
    inverse = 1.0 / prior.own_sigma**2
    # Student's t for the offset: a car of a weak batch is believed and does not drag its whole cohort along.
    nu, scale = prior.vehicle_dof, prior.vehicle_sigma**2
    inverse[0] = (nu + 1.0) / (nu * scale + own[0] ** 2)
    prior_cost = (nu + 1.0) * float(np.log1p(own[0] ** 2 / (nu * scale))) + float(np.sum(own[1:] ** 2 * inverse[1:]))
    return _Block(
        cost + prior_cost,
        jc.T @ (w * e),
        jv.T @ (w * e) + own * inverse,
        jc.T @ (w[:, None] * jc),
        jc.T @ (w[:, None] * jv),
        jv.T @ (w[:, None] * jv) + np.diag(inverse),
    )


def fit_cohort(
    cohort_id: str, histories: Sequence[History], law: Law, prior: FleetPrior, use: Sequence[BoolArray] | None = None
) -> CohortFit:
    """Fit one law to the readings of a cohort.

    Parameters
    ----------
    histories
        The cohort's vehicles, in a fixed order.
    use
        Which readings of each vehicle count (all, if None); the others are held out.

    Returns
    -------
    CohortFit
        Gauss-Newton (damped; Huber weights on readings, Student's t on vehicle offsets) with the inverse curvature as
        covariance; the prior itself where there is no reading.

    References
    ----------
    Laplace approximation and hierarchical shrinkage: Gelman et al., Bayesian Data Analysis, chapters 5 and 13.

    Limits
    ------
    The spread between vehicles is a stated prior, not estimated; multipliers are log-normal. A vehicle without readings
    is drawn from the normal core of the prior, not from its tails.
    """
    start = prior_fit(cohort_id, law, prior)
    masks = [np.ones(h.readings.days.shape, dtype=bool) for h in histories] if use is None else list(use)
    having = [i for i, m in enumerate(masks) if m.any()]
    if not having:
        return start
    data, masks = [histories[i] for i in having], [masks[i] for i in having]
    inverse = 1.0 / start.prior_sigma**2

    def at(cohort: FloatArray, own: FloatArray) -> tuple[float, list[_Block]]:
        blocks = [
            _block(h, predict(h, law, cohort, own[i], prior.spread_factor), own[i], prior, masks[i])
            for i, h in enumerate(data)
        ]
        return float(np.sum(cohort**2 * inverse)) + sum(b.cost for b in blocks), blocks

    cohort, own, damping = start.mean.copy(), np.zeros((len(data), len(OWN))), 1e-3
    cost, blocks = at(cohort, own)
    for _ in range(_ROUNDS):
        step_c, step_v = _step(blocks, cohort, inverse, damping)
        new_cohort, new_own = cohort + np.clip(step_c, -2, 2), own + np.clip(step_v, -1, 1)
        new_cost, new_blocks = at(new_cohort, new_own)
        if not np.isfinite(new_cost) or new_cost > cost:
            damping *= 10.0
            if damping > 1e8:
                break
            continue
        done = cost - new_cost < _TOLERANCE * (1.0 + cost)
        cohort, own, cost, blocks, damping = new_cohort, new_own, new_cost, new_blocks, max(damping / 10.0, 1e-9)
        if done:
            break
    information = np.diag(inverse)
    vehicles = {}
    for i, b in enumerate(blocks):
        spread = np.linalg.inv(b.h_vv)
        information = information + b.h_cc - b.h_cv @ spread @ b.h_cv.T
        bms = int(np.sum(data[i].readings.bms_reported & masks[i]))
        vehicles[data[i].vehicle_id] = VehicleFit(
            own[i], 0.5 * (spread + spread.T), -spread @ b.h_cv.T, int(masks[i].sum()) - bms, bms
        )
    covariance = np.linalg.inv(information)
    return CohortFit(
        cohort_id,
        law.law_id,
        start.names,
        start.prior_sigma,
        cohort,
        0.5 * (covariance + covariance.T),
        prior,
        vehicles,
    )


def _step(
    blocks: list[_Block], cohort: FloatArray, inverse: FloatArray, damping: float
) -> tuple[FloatArray, FloatArray]:
    grad, matrix = cohort * inverse, np.diag(inverse * (1.0 + damping))
    solved = []
    for b in blocks:
        h_vv = b.h_vv + damping * np.diag(np.diag(b.h_vv))
        both = np.linalg.solve(h_vv, np.column_stack([b.grad_v, b.h_cv.T]))
        solved.append(both)
        grad = grad + b.grad_c - b.h_cv @ both[:, 0]
        matrix = matrix + b.h_cc + damping * np.diag(np.diag(b.h_cc)) - b.h_cv @ both[:, 1:]
    step_c = np.asarray(-np.linalg.solve(matrix, grad), dtype=np.float64)
    return step_c, np.array([-both[:, 0] - both[:, 1:] @ step_c for both in solved])
