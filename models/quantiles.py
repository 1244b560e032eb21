"""Weighted quantiles of draws."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit

from models.domain import FloatArray
from models.laws.vector_math import VECTOR


def weighted_quantile(values: FloatArray, weights: FloatArray, q: float | Sequence[float]) -> FloatArray:
    """Weighted quantiles along the first axis.

    Linear between the middles of the weights' steps; equal weights give numpy's ``hazen`` quantiles.

    Parameters
    ----------
    values
        Shape (draws, ...).
    weights
        Shape (draws,), not negative.
    q
        One probability or several. [1]

    Returns
    -------
    FloatArray
        Shape (len(q), ...), or (...) for a single probability.

    Examples
    --------
    >>> float(weighted_quantile(np.array([1.0, 2.0, 3.0]), np.ones(3), 0.5))
    2.0
    """
    x = np.asarray(values, dtype=float)
    probabilities = np.atleast_1d(np.asarray(q, dtype=float))
    flat = x.reshape(x.shape[0], -1)
    in_order, w = np.empty(flat.shape), np.empty(flat.shape)
    _sort_columns(flat, np.asarray(weights, dtype=float), in_order, w)
    out = np.empty((probabilities.shape[0], flat.shape[1]))
    _between_middles(in_order, w, w.sum(axis=0), probabilities, out)
    shaped = out.reshape((probabilities.shape[0], *x.shape[1:]))
    return shaped[0] if np.ndim(q) == 0 else shaped


@njit(cache=True, nogil=True)
def _sort_columns(values, weights, in_order, by):  # pragma: no cover
    """Values of each column in order, equal ones as they come, and their weights."""
    for c in range(values.shape[1]):
        order = np.argsort(np.ascontiguousarray(values[:, c]), kind="mergesort")
        for k in range(order.shape[0]):
            in_order[k, c], by[k, c] = values[order[k], c], weights[order[k]]


@njit(**VECTOR)
def _between_middles(in_order, by, total, probabilities, out):  # pragma: no cover
    """Values at probabilities, linear between the middles of the weights' steps."""
    n = in_order.shape[0]
    middle = np.empty(n)
    for c in range(in_order.shape[1]):
        so_far = 0.0
        for k in range(n):
            so_far += by[k, c]
            middle[k] = (so_far - 0.5 * by[k, c]) / total[c]
        for q in range(probabilities.shape[0]):
            x = probabilities[q]
            k = np.searchsorted(middle, x, side="right") - 1
            if k < 0:
                out[q, c] = in_order[0, c]
            elif k >= n - 1 or middle[k] == x:
                out[q, c] = in_order[min(k, n - 1), c]
            else:
                slope = (in_order[k + 1, c] - in_order[k, c]) / (middle[k + 1] - middle[k])
                out[q, c] = slope * (x - middle[k]) + in_order[k, c]
