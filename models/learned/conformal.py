"""Group-wise conformal intervals: one score a vehicle and bin of horizon, normalised by the laws' own spread.

Readings of one vehicle are not exchangeable with each other, vehicles are: one reading of each vehicle counts in a bin,
the furthest ahead. (The largest error of a vehicle would hold all its readings at once, and so be wider than an
interval that is asked to hold one.) No guarantee is claimed forward in time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.domain import FloatArray

HORIZON_EDGES_DAYS = (0.0, 90.0, 365.0, np.inf)


@dataclass(frozen=True, eq=False)
class Conformal:
    """Factors on the laws' standard deviation by bin of horizon; NaN where a bin has too few vehicles.

    Parameters
    ----------
    level
        Aimed coverage of one reading. [1]
    factors
        Half width over standard deviation, one a bin of `HORIZON_EDGES_DAYS`.
    widths_frac
        Median half width in each bin. [1]
    groups
        Vehicles in each bin.
    inside_frac
        Share of those readings, one a vehicle and bin, inside the interval made without their own vehicle. [1]
    """

    level: float
    factors: FloatArray
    widths_frac: FloatArray
    groups: tuple[int, ...]
    inside_frac: float

    def half_width_frac(self, horizon_days: float, sd_frac: float) -> float | None:
        """Half width of the interval [1], None where the laws' own interval has to do."""
        factor = self.factors[horizon_bin(np.array([horizon_days]))[0]]
        return None if np.isnan(factor) else float(factor * sd_frac)


def horizon_bin(horizon_days: FloatArray) -> np.ndarray:
    """Bin of each horizon."""
    return np.searchsorted(np.asarray(HORIZON_EDGES_DAYS[1:-1]), horizon_days, side="right")


def conformal_factor(scores: FloatArray, level: float) -> float:
    """Finite-sample quantile: the ceil((n + 1) level)-th smallest score, NaN where n is too small for it.

    References
    ----------
    Dunn, Wasserman and Ramdas 2022, doi 10.1080/01621459.2022.2060112 (conformal prediction with groups).

    Examples
    --------
    >>> conformal_factor(np.arange(1.0, 10.0), 0.8)
    8.0
    """
    n = scores.shape[0]
    rank = int(np.ceil((n + 1) * level))
    return float("nan") if n == 0 or rank > n else float(np.sort(scores)[rank - 1])


def group_conformal(
    error_frac: FloatArray,
    sd_frac: FloatArray,
    horizon_days: FloatArray,
    groups: Sequence[str],
    level: float,
    min_groups: int,
) -> Conformal:
    """Conformal factors from held-out errors.

    Parameters
    ----------
    error_frac, sd_frac, horizon_days
        Held-out errors, the laws' standard deviations and horizons, shape (n,).
    groups
        Vehicle of each, length n.
    min_groups
        Vehicles a bin needs.
    """
    z, bins = np.abs(error_frac) / sd_frac, horizon_bin(horizon_days)
    names = np.asarray(groups)
    count = len(HORIZON_EDGES_DAYS) - 1
    factors, widths, sizes = np.full(count, np.nan), np.full(count, np.nan), [0] * count
    inside: list[bool] = []
    for b in range(count):
        ids = sorted(set(names[bins == b].tolist()))
        sizes[b] = len(ids)
        if len(ids) < min_groups:
            continue
        ahead = [np.flatnonzero((bins == b) & (names == g)) for g in ids]
        score = np.array([z[i[np.argmax(horizon_days[i])]] for i in ahead])
        factors[b] = conformal_factor(score, level)
        widths[b] = factors[b] * float(np.median(sd_frac[bins == b]))
        inside += [bool(score[i] <= conformal_factor(np.delete(score, i), level)) for i in range(len(ids))]
    return Conformal(level, factors, widths, tuple(sizes), float(np.mean(inside)) if inside else float("nan"))
