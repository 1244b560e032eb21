"""Fitted models of ageing tests: a law, what it misses at tested conditions, and the width of its interval."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from models.ageing import (
    REFERENCE_TEMP_C,
    UNKNOWN_SOC_FRAC,
    Cycling,
    Rows,
    Storage,
    days_of,
    filled,
    heat,
    lasting_of,
    mean_rate_per_h,
    profile_loss_frac,
    reversible_doubt_of,
    reversible_doubt_unknown,
    reversible_of,
    storage_of,
)
from models.ageing_intervals import Width
from models.ageing_range import FARTHEST, Span, before, beyond, beyond_log, clamped, far_doubt, later, within
from models.domain import BoolArray, FloatArray
from models.learned.ageing import ConditionKernel, predict_at

STORAGE_KERNEL = ConditionKernel(variance=1.0, linear=0.0, noise=0.0625, lengths=(0.25, 0.25))
STORAGE_SPREAD = 0.2
UNKNOWN_SPREAD = 0.25
UNKNOWN_TEMP_C = 15.0
UNKNOWN_SOCS = (0.1, 0.9)
UNKNOWN_DAY_SPREAD = 0.433
REVERSIBLE_SPREAD = 0.15
LASTING_SPREAD = 0.08
UNKNOWN_RATE_SPREAD = 0.15
TRANSFER_SD = 0.02
# One unit of distance outside what was tested widens an interval by its own width.
FAR_TEMP_C, FAR_SOC, FAR_LOG = 15.0, 0.25, 1.0
# Discharge above 1C wears at a rate of its own (9 pp missed when it was left out): it counts several times.
FAST_WEIGHT = 6.0
# A Gaussian process doubts distant profiles by itself: its coordinates add little.
PROCESS_WEIGHT = 0.15
# So does the one over stored temperatures. Whole temperatures left out score best with no more at all (2.19 pp at 0,
# 2.37 at 0.3, 2.84 at 1, 2.44 with a constant width); some is kept, since no test reaches far out.
TEMP_WEIGHT = 0.3
_ABSURD, _FARTHEST_Z = 1e9, 12.0


@dataclass(frozen=True, eq=False)
class Forecast:
    """What is foretold of rows, each of shape (n,).

    Parameters
    ----------
    loss_frac, reversible_frac
        Loss, and the part of it that returns. [1]
    sd_frac, doubt_frac
        Standard deviation that a calibration scales; and what is assumed about fields unknown or a cell unknown, which
        no calibration has seen. [1]
    in_range
        Whether inside the fitted range.
    """

    loss_frac: FloatArray
    reversible_frac: FloatArray
    sd_frac: FloatArray
    doubt_frac: FloatArray
    in_range: BoolArray


def _doubted_already(rows: Rows, span_c: Span) -> FloatArray:
    """Part of the distance in temperature that a standard deviation of storage knows by itself, shape (n,). [1]"""
    return (1.0 - TEMP_WEIGHT) * beyond(rows.temp_c, span_c, FAR_TEMP_C)


class AgeingModel(Protocol):
    """What the step needs of a model."""

    @property
    def cell(self) -> str:
        """Cell it was fitted to."""
        ...

    @property
    def chemistry(self) -> str:
        """Chemistry of that cell."""
        ...

    @property
    def width(self) -> Width:
        """Width of its interval."""
        ...

    def fields(self) -> tuple[str, ...]:
        """Columns that it reads beside time and throughput."""
        ...

    def forecast(self, rows: Rows) -> Forecast:
        """Predict rows, each by its own conditions."""
        ...


@dataclass(frozen=True, eq=False)
class StorageModel:
    """Storage law, and a Gaussian process of the log multipliers of tested conditions.

    Parameters
    ----------
    temp_c, soc_frac, log_multiplier
        The table, one row a tested condition, shape (m,).
    """

    cell: str
    chemistry: str
    law: Storage
    temp_c: FloatArray
    soc_frac: FloatArray
    log_multiplier: FloatArray
    width: Width
    temp_span_c: Span
    soc_span: Span
    day_span: Span

    def fields(self) -> tuple[str, ...]:
        """Temperature and SOC."""
        return STANDARD_FEATURES[:2]

    def multiplier(self, temp_c: FloatArray, soc_frac: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Log multiplier of the law and its standard deviation, shape (n,). [1]"""
        points = np.column_stack([heat(self.temp_c), self.soc_frac])
        at = np.column_stack([heat(temp_c), np.clip(soc_frac, 0.0, 1.0)])
        mean, sd = predict_at(STORAGE_KERNEL, points, self.log_multiplier / STORAGE_SPREAD, at)
        return mean * STORAGE_SPREAD, sd * STORAGE_SPREAD

    def loss_and_sd(self, rows: Rows) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Storage loss, its standard deviation, and the doubt where temperature, SOC or time is unknown. [1]"""
        temp, soc = filled(rows.temp_c, REFERENCE_TEMP_C), filled(rows.soc_frac, UNKNOWN_SOC_FRAC)
        log, sd = self.multiplier(temp, soc)
        loss = storage_of(rows, self.law) * np.exp(log)
        return loss, loss * sd, self._guessed_frac(rows, temp, soc) * np.exp(log)

    def _guessed_frac(self, rows: Rows, temp_c: FloatArray, soc_frac: FloatArray) -> FloatArray:
        """Doubt of the law's loss where temperature, SOC or time are guessed, shape (n,). [1]

        What 15 K more would cost; half of what lies between 10 and 90 % charge; a factor for the time. With one of
        them hidden from the development half the 80 % interval holds 76 to 93 % of its check-ups.
        """
        day = days_of(rows)
        loss = self.law.loss_frac(temp_c, soc_frac, day)
        warm = self.law.loss_frac(temp_c + UNKNOWN_TEMP_C, soc_frac, day) - loss
        low, high = (self.law.loss_frac(temp_c, np.full(rows.n, s), day) for s in UNKNOWN_SOCS)
        parts = (
            np.isnan(rows.temp_c) * warm,
            np.isnan(rows.soc_frac) * 0.5 * (high - low),
            np.isnan(rows.day) * UNKNOWN_DAY_SPREAD * loss,
        )
        return np.sqrt(np.sum(np.square(parts), axis=0))

    def in_range(self, rows: Rows) -> BoolArray:
        """Whether temperature, SOC and time are known and inside what was stored."""
        return (
            within(rows.temp_c, self.temp_span_c)
            & within(rows.soc_frac, self.soc_span)
            & before(rows.day, self.day_span[1])
        )

    def distance(self, rows: Rows) -> FloatArray:
        """How far temperature, SOC and time lie outside what was stored, shape (n,). [1]"""
        return (
            beyond(rows.temp_c, self.temp_span_c, FAR_TEMP_C)
            + beyond(rows.soc_frac, self.soc_span, FAR_SOC)
            + later(rows.day, self.day_span[1])
        )

    def forecast(self, rows: Rows) -> Forecast:
        """Predict rows of storage tests."""
        loss, sd, doubt = self.loss_and_sd(rows)
        edge = self.loss_and_sd(replace(rows, temp_c=clamped(rows.temp_c, self.temp_span_c)))[0]
        distance = self.distance(rows)
        # Whole SOCs were left out and foretold: they count no further.
        far = distance - beyond(rows.soc_frac, self.soc_span, FAR_SOC)
        doubt = np.hypot(doubt, far_doubt(loss, edge, far))
        sd = sd * (1.0 + distance - _doubted_already(rows, self.temp_span_c))
        return Forecast(loss, np.zeros(rows.n), sd, doubt, self.in_range(rows))


@dataclass(frozen=True, eq=False)
class CyclingModel:
    """Storage and cycling of one cell; `storage` is None where no storage test is known of its chemistry."""

    cell: str
    chemistry: str
    law: Cycling
    storage: StorageModel | None
    width: Width
    temp_span_c: Span
    depth_span: Span
    rate_span_per_h: Span
    soc_span: Span
    cycles_span: Span

    def fields(self) -> tuple[str, ...]:
        """Temperature, SOC, depth, rates and the day, which storage needs."""
        return (*STANDARD_FEATURES, *(("day",) if self.storage else ()))

    def forecast(self, rows: Rows) -> Forecast:
        """Predict rows of cycling tests and of load spectra."""
        stored, stored_sd, doubt = self._stored(rows)
        lasting, back = lasting_of(rows, self.law, self.depth_span), reversible_of(rows, self.law)
        scatter = max(self.law.depth_moments(self.depth_span)[1], UNKNOWN_SPREAD)
        guessed = np.isnan(rows.depth_frac) * scatter**2
        guessed = guessed + np.isnan(rows.charge_per_h + rows.discharge_per_h) * UNKNOWN_RATE_SPREAD**2
        hidden = reversible_doubt_unknown(rows, self.law, self.depth_span)
        doubt = np.sqrt(doubt**2 + lasting**2 * guessed + hidden**2)
        elsewhere = np.where(within(rows.soc_frac, self.soc_span), 0.0, reversible_doubt_of(rows, self.law))
        sd = np.sqrt(stored_sd**2 + (LASTING_SPREAD * lasting) ** 2 + (REVERSIBLE_SPREAD * back) ** 2 + elsewhere**2)
        inside = (
            within(rows.temp_c, self.temp_span_c)
            & within(rows.depth_frac, self.depth_span)
            & within(rows.soc_frac, self.soc_span)
            & within(rows.charge_per_h, self.rate_span_per_h)
            & within(rows.discharge_per_h, self.rate_span_per_h)
            & before(rows.cycles, self.cycles_span[1])
        )
        distance, loss = self.distance(rows), stored + lasting + back
        edge = lasting + back + self._stored(replace(rows, temp_c=clamped(rows.temp_c, self.temp_span_c)))[0]
        doubt = np.hypot(doubt, far_doubt(loss, edge, distance))
        sd = sd * (1.0 + distance - _doubted_already(rows, self.temp_span_c))
        return Forecast(loss, back, sd, doubt, inside)

    def _stored(self, rows: Rows) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Storage loss, its standard deviation, wider past the longest storage tested, and its doubt. [1]"""
        if self.storage is None:
            none = np.zeros(rows.n)
            return none, none, none
        loss, sd, doubt = self.storage.loss_and_sd(rows)
        return loss, sd * (1.0 + later(rows.day, self.storage.day_span[1])), doubt

    def distance(self, rows: Rows) -> FloatArray:
        """How far temperature, depth, SOC, rates and throughput lie outside what was tested, shape (n,). [1]"""
        rate = mean_rate_per_h(rows)
        known = np.isfinite(rows.charge_per_h + rows.discharge_per_h)
        quickest = np.maximum(rows.charge_per_h, rows.discharge_per_h)
        return (
            beyond(rows.temp_c, self.temp_span_c, FAR_TEMP_C)
            + beyond_log(rows.depth_frac, self.depth_span, FAR_LOG)
            + beyond(rows.soc_frac, self.soc_span, FAR_SOC)
            + np.where(known, beyond_log(rate, self.rate_span_per_h, FAR_LOG), 0.0)
            + FAST_WEIGHT * beyond_log(quickest, (0.0, self.rate_span_per_h[1]), FAR_LOG)
            + later(rows.cycles, self.cycles_span[1])
        )


@dataclass(frozen=True, eq=False)
class Scaling:
    """How features become coordinates: log(x + offset) where skewed, then centred and scaled.

    Parameters
    ----------
    names
        Of the features; ``charge_c_rate`` and its sisters are columns of the exchange format.
    offsets
        NaN where the feature is taken as it is, shape (f,).
    """

    names: tuple[str, ...]
    offsets: FloatArray
    centre: FloatArray
    scale: FloatArray

    def coordinates(self, rows: Rows) -> tuple[FloatArray, FloatArray]:
        """Coordinates, unknown ones at their centre, shape (n, f); and the share unknown, shape (n,)."""
        # Cut far outside anything tested, so that an absurd feature stays a number and widens the interval.
        raw = np.clip(np.column_stack([feature(rows, n) for n in self.names]), -_ABSURD, _ABSURD)
        z = np.clip((shaped(raw, self.offsets) - self.centre) / self.scale, -_FARTHEST_Z, _FARTHEST_Z)
        return np.where(np.isnan(z), 0.0, z), np.isnan(z).mean(axis=1)


def shaped(raw: FloatArray, offsets: FloatArray) -> FloatArray:
    """log(x + offset) where an offset is given, never below half the offset; else x, shape (n, f)."""
    with np.errstate(invalid="ignore"):
        log = np.log(np.maximum(raw + offsets, 0.5 * offsets))
    return np.where(np.isnan(offsets), raw, log)


_STANDARD = {
    "temperature_c": "temp_c",
    "soc_mean_frac": "soc_frac",
    "dod_frac": "depth_frac",
    "charge_c_rate": "charge_per_h",
    "discharge_c_rate": "discharge_per_h",
}
STANDARD_FEATURES = tuple(_STANDARD)
PROFILE_FEATURES = ("temperature_c", "soc_mean_frac", "dod_frac")
"""Columns of the format that count beside a profile's own features; its C-rates are only nominal."""


def feature(rows: Rows, name: str) -> FloatArray:
    """A feature by name, unknown (NaN) where the rows lack it, shape (n,)."""
    if name in _STANDARD or name == "day":
        return getattr(rows, _STANDARD.get(name, name))
    return rows.features.get(name, np.full(rows.n, np.nan))


@dataclass(frozen=True, eq=False)
class ProfileModel:
    """ln loss at 600 full cycles and exponent, each the mean of Gaussian processes over the profile's features.

    Parameters
    ----------
    points
        Coordinates of tested profiles, shape (m, f).
    coefficients
        ln loss and exponent of each, shape (m, 2).
    kernels
        For each coefficient the kernels whose predictions are averaged.
    low, high
        Of the coordinates, shape (f,).
    """

    cell: str
    chemistry: str
    scaling: Scaling
    points: FloatArray
    coefficients: FloatArray
    kernels: tuple[tuple[ConditionKernel, ...], tuple[ConditionKernel, ...]]
    width: Width
    low: FloatArray
    high: FloatArray
    cycles_span: Span

    def fields(self) -> tuple[str, ...]:
        """The features it learned."""
        return self.scaling.names

    def coefficients_at(self, at: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Coefficients and standard deviations at coordinates, both of shape (n, 2)."""
        centre, scale = self.coefficients.mean(axis=0), np.maximum(self.coefficients.std(axis=0), 1e-3)
        mean, sd = np.empty((at.shape[0], 2)), np.empty((at.shape[0], 2))
        for j in range(2):
            table = (self.coefficients[:, j] - centre[j]) / scale[j]
            found = [predict_at(k, self.points, table, at) for k in self.kernels[j]]
            middle = np.mean([m for m, _ in found], axis=0)
            between = np.mean([(m - middle) ** 2 for m, _ in found], axis=0)
            mean[:, j] = centre[j] + scale[j] * middle
            sd[:, j] = scale[j] * np.sqrt(np.mean([s**2 for _, s in found], axis=0) + between)
        return mean, sd

    def forecast(self, rows: Rows) -> Forecast:
        """Predict rows of dynamic profiles; features that are missing stand at their mean and widen the interval."""
        at, unknown = self.scaling.coordinates(rows)
        mean, sd = self.coefficients_at(at)
        cycles = np.where(np.isnan(rows.cycles), filled(rows.day, 0.0), rows.cycles)
        loss = profile_loss_frac(mean[:, 0], mean[:, 1], cycles)
        distance = np.abs(np.log(np.maximum(cycles, 1.0) / 600.0))
        spread = loss * np.sqrt(sd[:, 0] ** 2 + (distance * sd[:, 1]) ** 2)
        scatter = self.coefficients.std(axis=0)
        doubt = loss * np.sqrt(unknown * (scatter[0] ** 2 + (distance * scatter[1]) ** 2))
        slack = 0.1 * (self.high - self.low)
        inside = (
            ((at >= self.low - slack) & (at <= self.high + slack)).all(axis=1)
            & (unknown == 0)
            & before(rows.cycles, self.cycles_span[1])
        )
        outside = np.maximum(np.maximum(self.low - at, at - self.high), 0.0).sum(axis=1)
        far = PROCESS_WEIGHT * np.minimum(outside, FARTHEST) + later(rows.cycles, self.cycles_span[1])
        return Forecast(loss, np.zeros(rows.n), spread * (1.0 + far), doubt, inside)


def transferred(rows: Rows, known: Forecast, log_sd: float) -> Forecast:
    """A forecast carried over to another cell: same mean, the stated scatter between cells added, never in range."""
    doubt = np.sqrt(known.doubt_frac**2 + (log_sd * known.loss_frac) ** 2 + TRANSFER_SD**2)
    return replace(known, doubt_frac=doubt, in_range=np.zeros(rows.n, dtype=bool))
