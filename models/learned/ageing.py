"""Gaussian process over conditions: what a parametric law misses at one condition, read from its neighbours.

A process ships as numbers: a compact table of condition points, the residual coefficient of each, and the kernel. It is
rebuilt from them in a moment; nothing is pickled and no measurement is copied.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, Matern, WhiteKernel

from models.domain import FloatArray

_LENGTH_BOUNDS = (0.5, 30.0)
_AMPLITUDE_BOUNDS = (1e-2, 1e2)
_LINEAR_BOUNDS = (1e-3, 10.0)
_NOISE_BOUNDS = (1e-3, 0.5)


@dataclass(frozen=True)
class ConditionKernel:
    """Squared-exponential kernel of scaled condition points, with or without a linear trend.

    Parameters
    ----------
    variance, linear, noise
        Variance of the local part, of a linear trend (0 = none), and of a condition's own scatter, in units of the
        residual squared.
    lengths
        Length scale of each coordinate, shape (f,), or one for all, shape (1,).
    columns
        Coordinates it looks at; empty = all.
    rough
        Matern 5/2 in place of the squared exponential: trusts neighbours less far out.
    """

    variance: float
    linear: float
    noise: float
    lengths: Sequence[float]
    columns: tuple[int, ...] = ()
    rough: bool = False

    def seen(self, points: FloatArray) -> FloatArray:
        """The coordinates it looks at, shape (n, f)."""
        return points[:, list(self.columns)] if self.columns else points

    def build(self) -> Any:
        """The kernel of scikit-learn, with the bounds within which its numbers are learned."""
        lengths: Any = np.array(self.lengths) if len(self.lengths) > 1 else self.lengths[0]
        local = Matern(lengths, _LENGTH_BOUNDS, nu=2.5) if self.rough else RBF(lengths, _LENGTH_BOUNDS)
        kernel = ConstantKernel(self.variance, _AMPLITUDE_BOUNDS) * local
        if self.linear > 0:
            kernel = kernel + ConstantKernel(self.linear, _LINEAR_BOUNDS) * DotProduct(1.0, "fixed")
        return kernel + WhiteKernel(self.noise, _NOISE_BOUNDS)


def start_kernel(trend: bool, columns: tuple[int, ...] = (), rough: bool = False) -> ConditionKernel:
    """Where learning starts: a long scale and little noise."""
    return ConditionKernel(1.0, 0.1 if trend else 0.0, 0.05, (3.0,), columns, rough)


def learn_kernel(
    points: FloatArray, values: FloatArray, trend: bool, columns: tuple[int, ...] = (), rough: bool = False
) -> ConditionKernel:
    """Kernel that maximises the marginal likelihood of values at points, one length scale for all coordinates.

    A length scale for each coordinate was tried: with some 40 conditions it errs more on those left out.

    Parameters
    ----------
    points
        Scaled conditions, shape (m, f).
    values
        Standardised coefficients, shape (m,).
    trend, columns, rough
        With a linear trend; the coordinates it looks at; Matern 5/2 or not.
    """
    start = start_kernel(trend, columns, rough)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model: Any = GaussianProcessRegressor(start.build(), random_state=0).fit(start.seen(points), values)
    found = model.kernel_.get_params()
    local = "k1__k1" if trend else "k1"
    return ConditionKernel(
        variance=float(found[f"{local}__k1__constant_value"]),
        linear=float(found["k1__k2__k1__constant_value"]) if trend else 0.0,
        noise=float(found["k2__noise_level"]),
        lengths=(float(found[f"{local}__k2__length_scale"]),),
        columns=columns,
        rough=rough,
    )


def predict_at(
    kernel: ConditionKernel, points: FloatArray, values: FloatArray, at: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation at new conditions, the scatter between conditions included.

    Parameters
    ----------
    points, values
        The table: scaled conditions, shape (m, f), and their coefficients, shape (m,).
    at
        Scaled conditions, shape (n, f).

    Returns
    -------
    tuple of arrays, shape (n,)

    Notes
    -----
    Each condition is predicted on its own: in one matrix product its last digits would depend on the others.
    """
    fixed: Any = None
    model: Any = GaussianProcessRegressor(kernel.build(), optimizer=fixed).fit(kernel.seen(points), values)
    unique, place = np.unique(kernel.seen(at), axis=0, return_inverse=True)
    found = np.array([model.predict(row[None, :], return_std=True) for row in unique], dtype=np.float64).reshape(-1, 2)
    return found[place.reshape(-1), 0], found[place.reshape(-1), 1]
