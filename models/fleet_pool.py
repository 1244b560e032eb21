"""Cohorts of one kind of cell teach each other: partial pooling of what they say of a law's cohort parameters.

A cohort's parameters are taken as those of its kind of cell plus something of its own (climate, use):
theta_c = mu + e_c, with the law's prior variance shared out between the two. What the other cohorts' readings say of mu
becomes the prior of a cohort. So ten cars whose oldest two are weak do not bend the fade of their climate alone.

References
----------
Hierarchical normal model: Gelman et al., Bayesian Data Analysis, section 5.4, here with vectors and Laplace
likelihoods.

Limits
------
Draws of two cohorts stay independent, though their posteriors now share a part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.domain import FloatArray
from models.fleet import CohortFit


@dataclass(frozen=True, eq=False)
class CohortPrior:
    """Normal prior of a cohort's parameters: mean, shape (c,), and inverse covariance, shape (c, c)."""

    mean: FloatArray
    precision: FloatArray


def own_prior(prior_sigma: FloatArray) -> CohortPrior:
    """The prior of a cohort that stands alone: independent, mean zero."""
    return CohortPrior(np.zeros(prior_sigma.shape), np.diag(1.0 / prior_sigma**2))


CYCLE_MULTIPLIERS = ("wear", "cycling")
"""Multipliers of what a full cycle costs."""


def held_sigma(fit: CohortFit) -> FloatArray:
    """Prior standard deviations with the cost of a cycle held at its prior mean, shape (c,)."""
    held = np.array([name in CYCLE_MULTIPLIERS for name in fit.names])
    return np.where(held, fit.prior.cycle_held_frac * fit.prior_sigma, fit.prior_sigma)


def released(fit: CohortFit) -> CohortFit:
    """A fit in which the cost of a cycle was held, with that cost as unsure as its prior again.

    The course of total fade in time says little on what a cycle costs: seasons or a bend that a law has wrong would
    pass for wear, and every difference between policies would bear it. So readings don't move that cost; all else
    follows it as the readings ask (a cut posterior).

    References
    ----------
    Plummer, Statistics and Computing 25 (2015) 37, doi 10.1007/s11222-014-9503-z (cuts).
    """
    covariance = fit.covariance
    for k, name in enumerate(fit.names):
        if name in CYCLE_MULTIPLIERS:
            along = covariance[:, k] / covariance[k, k]
            covariance = covariance + np.outer(along, along) * (fit.prior_sigma[k] ** 2 - covariance[k, k])
    return replace(fit, covariance=0.5 * (covariance + covariance.T))


def pooled_priors(fits: Sequence[CohortFit], common_frac: float, sigma: FloatArray | None = None) -> list[CohortPrior]:
    """What the other cohorts say, for each cohort.

    Parameters
    ----------
    fits
        Of one law in cohorts of one kind of cell, each fitted alone (`own_prior`).
    common_frac
        Share of the prior variance that belongs to the kind of cell, from 0 to below 1. [1]
    sigma
        Prior standard deviations of these fits, shape (c,); their own, if None.
    """
    variance = (fits[0].prior_sigma if sigma is None else sigma) ** 2
    apart = np.diag((1.0 - common_frac) * variance)
    seen = [_evidence(f, apart, 1.0 / variance) for f in fits]
    kind = np.diag(1.0 / np.maximum(common_frac * variance, 1e-12))
    out = []
    for k in range(len(fits)):
        others = [x for j, x in enumerate(seen) if j != k]
        precision = kind + np.sum([p for p, _ in others], axis=0)
        covariance = np.linalg.inv(precision)
        mean = covariance @ np.sum([y for _, y in others], axis=0) if others else np.zeros(variance.shape)
        both = np.linalg.inv(covariance + apart)
        out.append(CohortPrior(mean, 0.5 * (both + both.T)))
    return out


def _evidence(fit: CohortFit, apart: FloatArray, inverse: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Precision and linear term of what a cohort's readings say of the kind of cell, its own part integrated out."""
    information = np.linalg.inv(fit.covariance)
    data = information - np.diag(inverse)
    linear = information @ fit.mean
    gain = np.linalg.inv(np.eye(data.shape[0]) + data @ apart)
    precision = gain @ data
    return 0.5 * (precision + precision.T), gain @ linear
