"""Cross-section of owners' reports: a fleet's curve as prior, fitted on part of the cars and scored on the others.

One report a car says nothing on its own course; what is learned is the cohort's: a bent curve of age and distance,

    loss = a (age / 2)^p + b (km / 50,000)^r, with the scatter between cars.

Rivals know the same cars: square root of age, straight line of age.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from models.domain import BoolArray, FloatArray
from models.seeds import generator

FOLDS = 5
_PRIOR = np.array([np.log(0.045), np.log(0.5), np.log(0.01), np.log(0.5)])
_SIGMA = np.array([0.7, 0.4, 1.0, 0.4])
"""Logarithms of a, p, b and r: storage and use of published laws, wide."""
_HUBER = 1.5


@dataclass(frozen=True, eq=False)
class Curve:
    """Cohort's curve: logarithms of a, p, b, r (mean and covariance), and the scatter between cars [1]."""

    mean: FloatArray
    covariance: FloatArray
    scatter_frac: float

    def predict(self, age_years: FloatArray, km: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Loss and its standard deviation, scatter between cars included, shape (n,). [1]"""
        slope = _slope(self.mean, age_years, km)
        variance = np.einsum("ij,jk,ik->i", slope, self.covariance, slope)
        return loss(self.mean, age_years, km), np.sqrt(variance + self.scatter_frac**2)


def loss(x: FloatArray, age_years: FloatArray, km: FloatArray) -> FloatArray:
    """Loss of capacity of the mean car. [1]"""
    a, p, b, r = np.exp(x)
    return a * (np.maximum(age_years, 1e-6) / 2.0) ** p + b * (np.maximum(km, 1.0) / 50_000.0) ** r


def _slope(x: FloatArray, age_years: FloatArray, km: FloatArray) -> FloatArray:
    steps = 1e-5 * np.eye(x.shape[0])
    return np.column_stack([(loss(x + s, age_years, km) - loss(x - s, age_years, km)) / 2e-5 for s in steps])


def fit_curve(age_years: FloatArray, km: FloatArray, loss_frac: FloatArray) -> Curve:
    """Fit the cohort's curve, robustly and towards its prior; the scatter is that which holds 80 % of cars."""
    scatter, x = 0.03, _PRIOR
    for _ in range(5):
        found = least_squares(
            lambda v, s=scatter: np.concatenate(
                [_robust((loss(v, age_years, km) - loss_frac) / s), (v - _PRIOR) / _SIGMA]
            ),
            x,
        )
        x = found.x
        error = loss(x, age_years, km) - loss_frac
        scatter = float(np.quantile(np.abs(error), 0.8) / 1.2815515655)
    j = np.concatenate([_slope(x, age_years, km) / scatter, np.diag(1.0 / _SIGMA)])
    return Curve(np.asarray(x, dtype=np.float64), np.asarray(np.linalg.inv(j.T @ j), dtype=np.float64), scatter)


def _robust(z: FloatArray) -> FloatArray:
    size = np.abs(z)
    return np.where(size > _HUBER, np.sign(z) * np.sqrt(np.maximum(2 * _HUBER * size - _HUBER**2, 0.0)), z)


def power_of_age(age_years: FloatArray, loss_frac: FloatArray, power: float) -> FloatArray:
    """Least-squares level and slope of a plain rival, shape (2,)."""
    x = np.column_stack([np.ones(age_years.shape), age_years**power])
    return np.asarray(np.linalg.lstsq(x, loss_frac, rcond=None)[0], dtype=np.float64)


def cross_validate(
    age_years: FloatArray, km: FloatArray, loss_frac: FloatArray, forward: bool = False, seed: int = 1
) -> dict[str, float]:
    """Errors on cars that were left out, in percentage points, and the share inside the 80 % interval.

    Parameters
    ----------
    forward
        Leave out the oldest fifth of the cars instead of random fifths in turn.
    """
    n = age_years.shape[0]
    fold = generator(seed, "survey folds").permutation(n) % FOLDS
    if forward:
        fold = (np.argsort(np.argsort(age_years, kind="stable"), kind="stable") >= n - n // FOLDS).astype(np.int64)
    errors: dict[str, list[FloatArray]] = {"cohort": [], "root_of_time": [], "straight_line": []}
    inside: list[BoolArray] = []
    for k in [1] if forward else range(FOLDS):
        out = fold == k
        curve = fit_curve(age_years[~out], km[~out], loss_frac[~out])
        mean, sd = curve.predict(age_years[out], km[out])
        errors["cohort"].append(mean - loss_frac[out])
        inside.append(np.abs(mean - loss_frac[out]) <= 1.2815515655 * sd)
        for name, power in (("root_of_time", 0.5), ("straight_line", 1.0)):
            level, slope = power_of_age(age_years[~out], loss_frac[~out], power)
            errors[name].append(level + slope * age_years[out] ** power - loss_frac[out])
    result = {f"rmse_{k}_pp": float(100 * np.sqrt(np.mean(np.concatenate(e) ** 2))) for k, e in errors.items()}
    return result | {"cars": float(n), "scored": float(sum(i.size for i in inside)),
                     "inside_80_frac": float(np.mean(np.concatenate(inside)))}  # fmt: skip
