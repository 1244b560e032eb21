"""Plain forecasts to beat: square root of time with shrinkage, straight line, cohort mean, gradient boosting.

Each knows the same readings as the hierarchical fit. The curves are mixed linear models: every vehicle has its own
slope and level, drawn towards those of its fleet with variances found by maximum likelihood (empirical Bayes), so that
they are fair rivals. Readings of the BMS carry an offset of their own there too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from models.domain import DAYS_PER_YEAR, FloatArray, Readings

_OFFSET_SIGMA = 0.04
_LEVEL_SIGMA = 0.015


@dataclass(frozen=True)
class Curve:
    """A fleet's common curve ``level - slope years^power`` and how far vehicles stray from its slope. [1]"""

    power: float
    level: float
    slope: float
    slope_sigma: float


def _design(r: Readings, power: float) -> tuple[FloatArray, FloatArray]:
    x = np.column_stack([np.ones(r.days.shape), -((r.days / DAYS_PER_YEAR) ** power)])
    return x, r.bms_reported.astype(float)


def _covariance(x: FloatArray, bms: FloatArray, sigma: FloatArray, slope_sigma: float) -> FloatArray:
    own = np.outer(x[:, 1], x[:, 1]) * slope_sigma**2 + _LEVEL_SIGMA**2
    return own + _OFFSET_SIGMA**2 * np.outer(bms, bms) + np.diag(sigma**2)


def fit_curve(readings: Sequence[Readings], power: float) -> Curve:
    """Fit the common curve by generalised least squares and its spread by maximum likelihood.

    Raises
    ------
    ValueError
        Nobody has a reading.
    """
    rows = [(*_design(r, power), r.soh_frac, r.sigma_frac) for r in readings if r.days.shape[0]]
    if not rows:
        raise ValueError("A curve needs at least one capacity reading.")

    def solve(slope_sigma: float) -> tuple[float, FloatArray]:
        information, score, constant = np.zeros((2, 2)), np.zeros(2), 0.0
        for x, bms, y, sigma in rows:
            both = np.linalg.solve(_covariance(x, bms, sigma, slope_sigma), np.column_stack([x, y]))
            information += x.T @ both[:, :2]
            score += x.T @ both[:, 2]
            constant += float(y @ both[:, 2])
            constant += float(np.linalg.slogdet(_covariance(x, bms, sigma, slope_sigma))[1])
        beta = np.linalg.solve(information + 1e-9 * np.eye(2), score)
        return constant - float(score @ beta), np.asarray(beta, dtype=np.float64)

    found = minimize(lambda z: solve(float(np.exp(z[0])))[0], np.array([np.log(0.005)]), method="Nelder-Mead",
                     options={"maxiter": 40, "xatol": 0.02, "fatol": 0.01})  # fmt: skip
    sigma = float(np.exp(found.x[0]))
    _, beta = solve(sigma)
    return Curve(power, float(beta[0]), float(beta[1]), sigma)


def forecast_curve(curve: Curve, r: Readings, days: FloatArray, own: bool = True) -> FloatArray:
    """Capacity on later days, shape (n,); the fleet's curve where ``own`` is False or nothing was read. [1]"""
    level, slope = curve.level, curve.slope
    if own and r.days.shape[0]:
        x, bms = _design(r, curve.power)
        weights = np.linalg.solve(
            _covariance(x, bms, r.sigma_frac, curve.slope_sigma), r.soh_frac - level * x[:, 0] - slope * x[:, 1]
        )
        level += _LEVEL_SIGMA**2 * float(np.sum(weights))
        slope += curve.slope_sigma**2 * float(x[:, 1] @ weights)
    return level - slope * (days / DAYS_PER_YEAR) ** curve.power


def boosted(readings: Sequence[Readings], features: FloatArray, days: Sequence[FloatArray]) -> list[FloatArray]:
    """Gradient boosting of all readings on age and duty features, asked for later days.

    Parameters
    ----------
    features
        Of each vehicle, shape (vehicles, f).
    days
        Days to forecast of each vehicle. [d]
    """
    rows = [
        np.column_stack([r.days, np.tile(f, (r.days.shape[0], 1))]) for r, f in zip(readings, features, strict=True)
    ]
    model = HistGradientBoostingRegressor(max_iter=200, random_state=0)
    with threadpool_limits(1):
        model.fit(np.concatenate(rows), np.concatenate([r.soh_frac for r in readings]))
        asked = [np.column_stack([d, np.tile(f, (d.shape[0], 1))]) for d, f in zip(days, features, strict=True)]
        said = np.asarray(model.predict(np.concatenate(asked)), dtype=np.float64)
    return np.split(said, np.cumsum([d.shape[0] for d in days])[:-1])
