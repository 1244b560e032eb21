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
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel

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
    """

    variance: float
    linear: float
    noise: float
    lengths: Sequence[float]

    def build(self) -> Any:
        """The kernel of scikit-learn, with the bounds within which its numbers are learned."""
        lengths: Any = np.array(self.lengths) if len(self.lengths) > 1 else self.lengths[0]
        kernel = ConstantKernel(self.variance, _AMPLITUDE_BOUNDS) * RBF(lengths, _LENGTH_BOUNDS)
        if self.linear > 0:
            kernel = kernel + ConstantKernel(self.linear, _LINEAR_BOUNDS) * DotProduct(1.0, "fixed")
        return kernel + WhiteKernel(self.noise, _NOISE_BOUNDS)


def start_kernel(trend: bool) -> ConditionKernel:
    """Where learning starts: a long scale and little noise."""
    return ConditionKernel(variance=1.0, linear=0.1 if trend else 0.0, noise=0.05, lengths=(3.0,))


def learn_kernel(points: FloatArray, values: FloatArray, trend: bool) -> ConditionKernel:
    """Kernel that maximises the marginal likelihood of values at points, one length scale for all coordinates.

    A length scale for each coordinate was tried: with some 40 conditions it errs more on those left out.

    Parameters
    ----------
    points
        Scaled conditions, shape (m, f).
    values
        Standardised coefficients, shape (m,).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model: Any = GaussianProcessRegressor(start_kernel(trend).build(), random_state=0).fit(points, values)
    found = model.kernel_.get_params()
    local = "k1__k1" if trend else "k1"
    return ConditionKernel(
        variance=float(found[f"{local}__k1__constant_value"]),
        linear=float(found["k1__k2__k1__constant_value"]) if trend else 0.0,
        noise=float(found["k2__noise_level"]),
        lengths=(float(found[f"{local}__k2__length_scale"]),),
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
    """
    fixed: Any = None
    model: Any = GaussianProcessRegressor(kernel.build(), optimizer=fixed).fit(points, values)
    unique, place = np.unique(at, axis=0, return_inverse=True)
    mean, sd = model.predict(unique, return_std=True)
    place = place.reshape(-1)
    return np.asarray(mean, dtype=np.float64)[place], np.asarray(sd, dtype=np.float64)[place]
