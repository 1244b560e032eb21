"""Gaussian process over conditions: what a parametric law misses at one condition, read from its neighbours.

A process ships as numbers: a compact table of condition points, the residual coefficient of each, and the kernel. It is
rebuilt from them in a moment; nothing is pickled and no measurement is copied.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, Kernel, Matern, WhiteKernel

from models.domain import FloatArray

_LENGTH_BOUNDS = (0.5, 30.0)
_AMPLITUDE_BOUNDS = (1e-2, 1e2)
_LINEAR_BOUNDS = (1e-3, 10.0)
_NOISE_BOUNDS = (1e-3, 0.5)


@dataclass(frozen=True)
class ConditionKernel:
    """Kernel of scaled condition points.

    Parameters
    ----------
    smooth
        Squared-exponential (true) or Matérn 5/2 (false).
    variance, linear, noise
        Variance of the local part, of a linear trend (0 = none), and of a condition's own scatter, in units of the
        residual squared.
    lengths
        Length scale of each coordinate, shape (f,).
    """

    smooth: bool
    variance: float
    linear: float
    noise: float
    lengths: tuple[float, ...]

    def build(self, learn: bool = False) -> Kernel:
        """The kernel of scikit-learn, with bounds when its numbers are to be learned."""
        lengths = np.array(self.lengths)
        shape = RBF(lengths, _LENGTH_BOUNDS) if self.smooth else Matern(lengths, _LENGTH_BOUNDS, nu=2.5)
        kernel = ConstantKernel(self.variance, _AMPLITUDE_BOUNDS) * shape
        if self.linear > 0:
            kernel = kernel + ConstantKernel(self.linear, _LINEAR_BOUNDS) * DotProduct(1.0, "fixed")
        return kernel + WhiteKernel(self.noise, _NOISE_BOUNDS if learn else "fixed")


def start_kernel(coordinates: int, smooth: bool) -> ConditionKernel:
    """Where learning starts: long scales, little noise; the rougher kernel has a linear trend."""
    return ConditionKernel(smooth, 1.0, 0.0 if smooth else 0.1, 0.05, (3.0,) * coordinates)


def learn_kernel(points: FloatArray, values: FloatArray, smooth: bool) -> ConditionKernel:
    """Kernel that maximises the marginal likelihood of values at points.

    Parameters
    ----------
    points
        Scaled conditions, shape (m, f).
    values
        Standardised coefficients, shape (m,).
    """
    start = start_kernel(points.shape[1], smooth)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = GaussianProcessRegressor(start.build(learn=True), random_state=0).fit(points, values)
    found = model.kernel_.get_params()
    local = "k1" if smooth else "k1__k1"
    return ConditionKernel(
        smooth=smooth,
        variance=float(found[f"{local}__k1__constant_value"]),
        linear=0.0 if smooth else float(found["k1__k2__k1__constant_value"]),
        noise=float(found["k2__noise_level"]),
        lengths=tuple(float(x) for x in np.atleast_1d(found[f"{local}__k2__length_scale"])),
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
    model = GaussianProcessRegressor(kernel.build(), optimizer=None).fit(points, values)
    unique, place = np.unique(at, axis=0, return_inverse=True)
    mean, sd = model.predict(unique, return_std=True)
    place = place.reshape(-1)
    return np.asarray(mean, dtype=np.float64)[place], np.asarray(sd, dtype=np.float64)[place]
