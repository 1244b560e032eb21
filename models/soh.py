"""Capacity readings with their errors.

Ampere-hours between two rested, OCV-anchored points over their difference of state of charge, errors in both: for
consecutive anchors k with anchored SOC ``z``, ``q_k = Q (z_{k+1} - z_k) + e_k`` where ``e`` holds the noise of the
integral and, times Q, that of both anchors; anchors are shared by neighbours, so the covariance is tridiagonal.
Minimising ``r' C(Q)^-1 r`` over Q is total least squares with stated variances (Plett 2011,
10.1016/j.jpowsour.2010.09.048) with correlated pairs. What does not average out over pairs (gain and offset of the
current sensor, error of the OCV curve) is propagated through the same weights and added. What stays the same from
month to month (that gain and curve; of BMS readings gain and scatter between BMSs) is told apart as the shared part.

Limits
------
The curve is that of the new cell: the shift of the electrodes against each other with age is not in it. An inferred
SOC never yields a reading. Ampere-hours over the BMS's own SOC return the BMS's own constant: marked `bms_reported`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from models.domain import FloatArray, IntArray, Pack
from models.integral import Integral
from models.rested import Anchors, CellCurve, rested_points
from models.sessions import US_PER_HOUR, Rules, Runs, Samples

REFERENCE_C = 25.0


@dataclass(frozen=True)
class Reading:
    """One capacity reading: a month of one vehicle by one method.

    ``soh_frac`` may exceed 1; ``sigma_frac`` is the whole error and ``shared_sigma_frac`` its part that the vehicle's
    readings by this method have in common; ``swing_frac`` is the sum of the SOC swings used; ``pairs`` how many.
    """

    time_us: int
    method: str  # ocv_anchored | bms_soc | bms_soh
    soh_frac: float
    sigma_frac: float
    shared_sigma_frac: float
    capacity_ah: float
    swing_frac: float
    temp_c: float
    bms_reported: bool
    pairs: int


@dataclass(frozen=True, eq=False)
class Pairs:
    """Consecutive anchors with a complete integral of current between them; arrays have shape (p,)."""

    left: IntArray
    charge_ah: FloatArray
    variance_ah2: FloatArray
    hours: FloatArray


@njit(cache=True, nogil=True)
def _sums(index, time_us, current, interval_ah, joined, position, charge, spread, missing):  # pragma: no cover
    """Charge, its variance and the gaps from the first accepted sample to those at rising positions."""
    ah = square = 0.0
    gaps = at = 0
    for k in range(position.shape[0]):
        for i in range(at, position[k]):
            i0, i1 = index[i], index[i + 1]
            if not np.isnan(interval_ah[i]):
                ah += interval_ah[i]
            width = (current[i1] - current[i0]) * ((time_us[i1] - time_us[i0]) / US_PER_HOUR)
            square += width * width / 12.0
            gaps += not joined[i]
        at = position[k]
        charge[k], spread[k], missing[k] = ah, square, gaps


@njit(cache=True, nogil=True)
def _moved(index, first, last, soc, interval_ah, a, b, count, moved):  # pragma: no cover
    """First and last sample of each run whose SOC is logged (its last where none is), how many are, and the charge
    between the two.
    """
    ah = 0.0
    for k in range(first.shape[0]):
        a[k] = b[k] = last[k]
        begin = end = 0.0
        for i in range(first[k], last[k] + 1):
            if np.isfinite(soc[index[i]]):
                if count[k] == 0:
                    a[k], begin = i, ah
                b[k], end = i, ah
                count[k] += 1
            if i < interval_ah.shape[0] and not np.isnan(interval_ah[i]):
                ah += interval_ah[i]
        moved[k] = end - begin


def anchor_pairs(anchors: Anchors, samples: Samples, runs: Runs, integral: Integral) -> Pairs:
    """Pairs of consecutive anchors between which no interval is missing.

    The variance of the charge is that of a current that runs anyhow between its samples: ``(dI dt)^2 / 12`` each.
    """
    if anchors.size < 2:
        return Pairs(np.zeros(0, np.int64), np.zeros(0), np.zeros(0), np.zeros(0))
    charge, spread, missing = np.empty(anchors.size), np.empty(anchors.size), np.empty(anchors.size, np.int64)
    _sums(
        runs.index, samples.time_us, samples.current_a, integral.interval_ah, runs.joined, anchors.position, charge,
        spread, missing,
    )  # fmt: skip
    whole = missing[:-1] == missing[1:]
    left = np.flatnonzero(whole).astype(np.int64)
    hours = np.diff(anchors.time_us)[whole] / US_PER_HOUR
    return Pairs(left, np.diff(charge)[whole], np.diff(spread)[whole], hours)


@njit(cache=True, nogil=True)
def _solve(diag, off, rhs, out):  # pragma: no cover
    """Thomas algorithm for a symmetric tridiagonal system, one right-hand side."""
    n = diag.shape[0]
    c = np.empty(n)
    c[0] = off[0] / diag[0] if n > 1 else 0.0
    out[0] = rhs[0] / diag[0]
    for i in range(1, n):
        m = diag[i] - off[i - 1] * c[i - 1]
        if i < n - 1:
            c[i] = off[i] / m
        out[i] = (rhs[i] - off[i - 1] * out[i - 1]) / m
    for i in range(n - 2, -1, -1):
        out[i] -= c[i] * out[i + 1]


@njit(cache=True, nogil=True)
def _chi2(capacity, charge, swing, variance, s_left, s_right, linked, out):  # pragma: no cover
    n = charge.shape[0]
    diag, off, r = np.empty(n), np.zeros(max(n - 1, 1)), np.empty(n)
    for k in range(n):
        diag[k] = variance[k] + capacity * capacity * (s_left[k] ** 2 + s_right[k] ** 2)
        r[k] = charge[k] - capacity * swing[k]
        if k + 1 < n and linked[k]:
            off[k] = -capacity * capacity * s_right[k] ** 2
    _solve(diag, off, r, out)
    return np.sum(r * out)


@njit(cache=True, nogil=True)
def _fit(charge, swing, variance, s_left, s_right, linked, low, high):  # pragma: no cover
    """Capacity of least chi-square by golden section between two bounds. [A.h]"""
    work = np.empty(charge.shape[0])
    g = 0.6180339887498949
    a, b = low, high
    c, d = b - g * (b - a), a + g * (b - a)
    fc = _chi2(c, charge, swing, variance, s_left, s_right, linked, work)
    fd = _chi2(d, charge, swing, variance, s_left, s_right, linked, work)
    for _ in range(60):
        if fc < fd:
            b, d, fd = d, c, fc
            c = b - g * (b - a)
            fc = _chi2(c, charge, swing, variance, s_left, s_right, linked, work)
        else:
            a, c, fc = c, d, fd
            d = a + g * (b - a)
            fd = _chi2(d, charge, swing, variance, s_left, s_right, linked, work)
    return 0.5 * (a + b)


@dataclass(frozen=True)
class Fit:
    """Capacity of a set of pairs, its standard deviation in all, and the part of it that all months share. [A.h]"""

    capacity_ah: float
    sigma_ah: float
    shared_sigma_ah: float


def fit_capacity(anchors: Anchors, pairs: Pairs, pack: Pack, rule: Rules) -> Fit:
    """Total least squares over consecutive pairs that share anchors.

    Parameters
    ----------
    anchors, pairs
        `pairs.left` counts into the anchors; neighbours in `pairs` share an anchor where their numbers follow.

    Raises
    ------
    ValueError
        There are no pairs.
    """
    n = pairs.left.shape[0]
    if n == 0:
        raise ValueError("fit_capacity needs at least one pair of anchors.")
    z = anchors.cell_soc_frac
    swing = z[pairs.left + 1] - z[pairs.left]
    s_left, s_right = anchors.sigma_frac[pairs.left], anchors.sigma_frac[pairs.left + 1]
    linked = np.concatenate((np.diff(pairs.left) == 1, [False]))
    variance = pairs.variance_ah2 + (1e-4 * pack.capacity_ah) ** 2
    q = _fit(pairs.charge_ah, swing, variance, s_left, s_right, linked, 0.3 * pack.capacity_ah, 1.7 * pack.capacity_ah)
    diag = variance + q**2 * (s_left**2 + s_right**2)
    off = np.where(linked[:-1], -(q**2) * s_right[:-1] ** 2, 0.0) if n > 1 else np.zeros(1)
    weight = np.empty(n)
    _solve(diag, np.ascontiguousarray(off), np.ascontiguousarray(swing), weight)
    information = float(np.sum(swing * weight))
    weight = weight / information
    # Scatter beyond the stated noise widens the interval; less scatter does not narrow it.
    work = np.empty(n)
    chi2 = float(_chi2(q, pairs.charge_ah, swing, variance, s_left, s_right, linked, work))
    excess = max(chi2 / (n - 1), 1.0) if n > 2 else 1.0
    random = excess / information
    gain = (rule("capacity", "current_gain_sigma_frac") * q) ** 2
    offset = (rule("capacity", "current_offset_sigma_a") * float(np.sum(weight * pairs.hours))) ** 2
    curve = _curve_variance(anchors, pairs, weight, q, rule)
    return Fit(q, float(np.sqrt(random + gain + offset + curve)), float(np.sqrt(gain + curve)))


def _curve_variance(anchors: Anchors, pairs: Pairs, weight: FloatArray, q: float, rule: Rules) -> float:
    """Variance through the error of the OCV curve, which anchors at like SOC share. [A².h²]"""
    used = np.unique(np.concatenate((pairs.left, pairs.left + 1)))
    pull = np.zeros(used.shape[0])
    np.add.at(pull, np.searchsorted(used, pairs.left + 1), -q * weight)
    np.add.at(pull, np.searchsorted(used, pairs.left), q * weight)
    z, s = anchors.cell_soc_frac[used], anchors.curve_sigma_frac[used]
    apart = (z[:, None] - z[None, :]) / rule("capacity", "curve_length_frac")
    pulled = pull * s
    return float(np.einsum("i,ij,j->", pulled, np.exp(-0.5 * apart**2), pulled))


def _month(time_us: IntArray) -> IntArray:
    return (time_us // 1_000_000).astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)


def _to_reference(capacity_ah: float, temp_c: float, rule: Rules) -> tuple[float, float]:
    """Capacity at 25 °C and the relative standard deviation that the correction adds."""
    if not np.isfinite(temp_c):
        return capacity_ah, 20.0 * rule("capacity", "temp_coefficient_sigma_per_k")
    away = temp_c - REFERENCE_C
    factor = 1.0 + rule("capacity", "temp_coefficient_per_k") * away
    return capacity_ah / factor, abs(away) * rule("capacity", "temp_coefficient_sigma_per_k")


def anchored_readings(
    samples: Samples, runs: Runs, integral: Integral, pack: Pack, curve: CellCurve, rule: Rules
) -> list[Reading]:
    """One OCV-anchored reading for each calendar month (UTC) in which anchors lie far enough apart."""
    anchors = rested_points(samples, runs, pack, curve, rule)
    pairs = anchor_pairs(anchors, samples, runs, integral)
    out: list[Reading] = []
    if pairs.left.shape[0] == 0:
        return out
    month = _month(anchors.time_us[pairs.left + 1])
    for m in np.unique(month):
        rows = np.flatnonzero(month == m)
        mine = Pairs(pairs.left[rows], pairs.charge_ah[rows], pairs.variance_ah2[rows], pairs.hours[rows])
        z = anchors.cell_soc_frac
        swing = np.abs(z[mine.left + 1] - z[mine.left])
        if float(swing.max()) < rule("capacity", "min_swing_frac"):
            continue
        fit = fit_capacity(anchors, mine, pack, rule)
        ends = np.concatenate((mine.left, mine.left + 1))
        temps = anchors.temp_c[ends]
        temp = float(temps[np.isfinite(temps)].mean()) if np.isfinite(temps).any() else float("nan")
        capacity, temp_sigma = _to_reference(fit.capacity_ah, temp, rule)
        sigma = float(np.hypot(fit.sigma_ah / pack.capacity_ah, temp_sigma * capacity / pack.capacity_ah))
        if sigma > rule("capacity", "max_sigma_frac"):
            continue
        middle = int(anchors.time_us[ends].astype(np.float64).mean())
        out.append(
            Reading(
                middle,
                "ocv_anchored",
                capacity / pack.capacity_ah,
                sigma,
                fit.shared_sigma_ah / pack.capacity_ah,
                capacity,
                float(swing.sum()),
                temp,
                False,
                int(rows.shape[0]),
            )
        )
    return out


def bms_readings(samples: Samples, runs: Runs, integral: Integral, pack: Pack, rule: Rules) -> list[Reading]:
    """One reading a month of ampere-hours over the BMS's own SOC, over runs that move it by more than 15 %.

    ``soh_frac`` is charge per displayed 100 % over the usable charge when new; marked `bms_reported`.
    """
    index = runs.index
    if index.shape[0] < 2:
        return []
    r = runs.use.shape[0]
    a, b, count = np.zeros(r, np.int64), np.zeros(r, np.int64), np.zeros(r, np.int64)
    moved = np.zeros(r)
    _moved(index, runs.first, runs.last, samples.soc_frac, integral.interval_ah, a, b, count, moved)
    time = runs.of(samples.time_us)
    soc = samples.soc_frac[index[b]] - samples.soc_frac[index[a]]
    swing = np.where((b > a) & (count >= 2), soc, 0.0)
    hours = (time[b] - time[a]) / US_PER_HOUR
    # Displayed SOC lags and is rounded; a run counts where it moves far and the charge has its sign.
    good = np.flatnonzero((np.abs(np.nan_to_num(swing)) > rule("capacity", "bms_min_swing_frac")) & (moved * swing > 0))
    usable_ah = pack.capacity_ah * (pack.window_high_frac - pack.window_low_frac)
    month = _month(time[b[good]])
    out: list[Reading] = []
    for m in np.unique(month):
        rows = good[month == m]
        ah, dz = np.abs(moved[rows]), np.abs(swing[rows])
        capacity = float(ah.sum() / dz.sum())
        random = np.sqrt(2.0 * rows.shape[0]) * rule("capacity", "bms_soc_sigma_frac") * capacity / float(dz.sum())
        offset = rule("capacity", "current_offset_sigma_a") * abs(float((np.sign(moved[rows]) * hours[rows]).sum()))
        t = samples.battery_temp_c[index[np.concatenate((a[rows], b[rows]))]]
        temp = float(t[np.isfinite(t)].mean()) if np.isfinite(t).any() else float("nan")
        capacity, temp_sigma = _to_reference(capacity, temp, rule)
        fresh = (
            random / usable_ah,
            offset / float(dz.sum()) / usable_ah,
            temp_sigma * capacity / usable_ah,
        )
        gain = rule("capacity", "current_gain_sigma_frac") * capacity / usable_ah
        shared = float(np.hypot(gain, rule("capacity", "bms_scatter_frac")))
        sigma = float(np.sqrt(sum(p * p for p in fresh) + shared**2))
        middle = int(time[np.concatenate((a[rows], b[rows]))].astype(np.float64).mean())
        out.append(
            Reading(
                middle,
                "bms_soc",
                capacity / usable_ah,
                sigma,
                shared,
                capacity,
                float(dz.sum()),
                temp,
                True,
                int(rows.shape[0]),
            )
        )
    return out


def capacity_readings(
    samples: Samples, runs: Runs, integral: Integral, pack: Pack, curve: CellCurve, rule: Rules
) -> list[Reading]:
    """All readings of a vehicle in time order: OCV-anchored, and what its BMS reports.

    Never call it with an inferred SOC: it needs samples as logged.
    """
    both = anchored_readings(samples, runs, integral, pack, curve, rule)
    both += bms_readings(samples, runs, integral, pack, rule)
    return sorted(both, key=lambda r: (r.time_us, r.method))


def present_capacity_ah(readings: list[Reading], pack: Pack) -> float:
    """Capacity the SOC of these logs refers to: anchored readings by their errors, else that of the new pack. [A.h]"""
    anchored = [r for r in readings if not r.bms_reported]
    if not anchored:
        return pack.capacity_ah
    weight = np.array([r.sigma_frac**-2.0 for r in anchored])
    return float(np.sum(weight * np.array([r.capacity_ah for r in anchored])) / np.sum(weight))
