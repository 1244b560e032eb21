"""How a pack's resistance grows: a published law, one multiplier learned from the vehicle's own readings.

Growth since new is g(t) = (Z_cal t)^p + Z_cyc t with the law's yearly exposures Z; readings are R0 (1 + m g) with both
the resistance as new, R0, and the multiplier m unknown. R0 is never taken from a maker: the readings' own level tells
it, so that one reading says nothing of growth.

Source: Schmalstieg et al. 2014, doi 10.1016/j.jpowsour.2014.02.012 (the resistance part); other chemistries borrow it
with a wider prior.

Limits
------
Life before the logs is taken to be like the recorded one. Temperature acts on storage only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from models.domain import FloatArray
from models.laws.power import PowerLaw, power_law
from models.parameters import entry
from models.quantiles import weighted_quantile

QUANTILES = (0.10, 0.50, 0.90)
_GRID = np.linspace(-4.0, 4.0, 321)


@dataclass(frozen=True, eq=False)
class ResistanceHistory:
    """Readings of one vehicle: age [a], pack resistance at 25 °C [Ohm] and its standard deviation, shape (n,) each."""

    years: FloatArray
    resistance_ohm: FloatArray
    sigma_ohm: FloatArray


@lru_cache(maxsize=8)
def growth_law(home: Path | None = None) -> PowerLaw:
    """The law of growth; its "loss" is the growth of resistance since new."""
    return power_law("growth", home, "resistance")


def growth_sigma(chemistry: str, home: Path | None = None) -> float:
    """Prior standard deviation of the logarithm of the multiplier: wider where the law is borrowed. [1]"""
    e = entry("resistance", "growth", home)
    return e.number("sigma" if chemistry == e.text("chemistry") else "sigma_borrowed")


def growth_frac(
    law: PowerLaw, past: FloatArray, age_years: FloatArray | float, ahead: FloatArray, years: FloatArray
) -> FloatArray:
    """Growth since new of the law alone. [1]

    Parameters
    ----------
    past, ahead
        Yearly exposures of the life so far and of the policy, shape (2 or more,).
    age_years
        Length of the life so far. [a]
    years
        Years after it, shape (n,). [a]
    """
    z = [past[i] * age_years + ahead[i] * years for i in range(2)]
    return z[0] ** law.exponents[0] + z[1] ** law.exponents[1]


def multiplier_weights(history: ResistanceHistory, growth: FloatArray, sigma: float) -> FloatArray:
    """Posterior weights of the log-multipliers `log_multipliers`, sums to 1.

    Parameters
    ----------
    growth
        What the law alone says at the readings' ages, shape (n,). [1]
    sigma
        Of `growth_sigma`.

    References
    ----------
    The level (log of the resistance as new) has a flat prior and is integrated out: a Gaussian integral, exact.
    """
    score = -0.5 * (_GRID / sigma) ** 2
    if history.years.shape[0] >= 2:
        w = (history.resistance_ohm / history.sigma_ohm) ** 2
        y = np.log(history.resistance_ohm)[None] - np.log1p(np.exp(_GRID)[:, None] * growth[None])
        mean = (y @ w) / w.sum()
        score = score - 0.5 * (((y - mean[:, None]) ** 2) @ w)
    out = np.exp(score - score.max())
    return out / out.sum()


def log_multipliers() -> FloatArray:
    """The grid that `multiplier_weights` weighs, shape (g,)."""
    return _GRID.copy()


def growth_quantiles(weights: FloatArray, growth: Sequence[float] | FloatArray) -> FloatArray:
    """Quantiles of the growth since new, shape (n, 3), for what the law alone says at n times. [1]"""
    low, mid, high = weighted_quantile(np.exp(_GRID), weights, QUANTILES)
    return np.asarray(growth, dtype=float)[:, None] * np.array([low, mid, high])[None]
