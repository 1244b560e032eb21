"""Intervals of predicted ageing tests: their score, their coverage, and a calibration on left-out conditions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.domain import BoolArray, FloatArray

Z80 = 1.2815515655446004
LEVEL = 0.8
_FLOORS = (0.001, 0.002, 0.003, 0.004, 0.006, 0.008, 0.012)
# Where a law foretells little: floors up to any error there can be, so that an interval still holds its share.
_WIDE_FLOORS = (*_FLOORS, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64)
_LEAST_INSIDE = 0.72
_FACTORS = tuple(float(x) for x in np.geomspace(0.2, 6.0, 35))


@dataclass(frozen=True)
class Width:
    """Half-width of the 80 % interval = Z80 sqrt(floor^2 + (factor sd)^2 + doubt^2).

    Parameters
    ----------
    floor_frac
        Scatter of a check-up. [1]
    factor
        Multiplies the model's own standard deviation, never what is assumed about fields unknown. [1]
    """

    floor_frac: float
    factor: float

    def half_frac(self, sd_frac: FloatArray, doubt_frac: FloatArray | float = 0.0) -> FloatArray:
        """Half of the interval, shape (n,). [1]"""
        return Z80 * np.sqrt(self.floor_frac**2 + (self.factor * sd_frac) ** 2 + np.square(doubt_frac))


def interval_score(seen: FloatArray, low: FloatArray, high: FloatArray, level: float = LEVEL) -> FloatArray:
    """Score of Gneiting and Raftery, smaller is better: width + 2/(1 - level) times how far outside. [unit of `seen`]

    References
    ----------
    Gneiting and Raftery, J. Am. Stat. Assoc. 102 (2007) 359, doi 10.1198/016214506000001437, section 6.2.
    """
    alpha = 1.0 - level
    below, above = np.maximum(low - seen, 0.0), np.maximum(seen - high, 0.0)
    return (high - low) + 2.0 / alpha * (below + above)


def by_test(values: FloatArray | BoolArray, test_id: np.ndarray) -> FloatArray:
    """Mean within each test, in the order of sorted test ids, shape (tests,)."""
    _, place, count = np.unique(test_id, return_inverse=True, return_counts=True)
    return np.bincount(place, weights=np.asarray(values, dtype=np.float64)) / count


def calibrate(error_frac: FloatArray, sd_frac: FloatArray, test_id: np.ndarray) -> Width:
    """Width with the least interval score among those holding about 80 % of left-out tests, each weighing the same.

    Parameters
    ----------
    error_frac, sd_frac
        Of predictions for left-out tests, and the model's standard deviation, shape (n,). [1]
    """
    found, held = _best(_FLOORS, error_frac, sd_frac, test_id)
    return found if held >= _LEAST_INSIDE else _best(_WIDE_FLOORS, error_frac, sd_frac, test_id)[0]


def _best(
    floors: tuple[float, ...], error_frac: FloatArray, sd_frac: FloatArray, test_id: np.ndarray
) -> tuple[Width, float]:
    """The width of the least score, and the share that it holds. [1]"""
    best, found, held = np.inf, Width(0.006, 1.0), 0.0
    for floor in floors:
        for factor in _FACTORS:
            width = Width(floor, factor)
            half = width.half_frac(sd_frac)
            inside = float(by_test(np.abs(error_frac) <= half, test_id).mean())
            score = float(by_test(interval_score(error_frac, -half, half), test_id).mean())
            score *= 1.0 + 4.0 * max(abs(inside - LEVEL) - 0.03, 0.0)
            if score < best:
                best, found, held = score, width, inside
    return found, held


def constant_half_frac(error_frac: FloatArray, test_id: np.ndarray) -> float:
    """Half-width of a constant interval that holds 80 % of the errors, each test weighing the same: the rival. [1]"""
    order = np.argsort(np.abs(error_frac))
    _, place, count = np.unique(test_id, return_inverse=True, return_counts=True)
    weight = np.cumsum((1.0 / count[place])[order]) / count.size
    return float(np.abs(error_frac)[order][min(np.searchsorted(weight, LEVEL), order.size - 1)])
