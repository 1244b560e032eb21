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
    filled,
    heat,
    lasting_of,
    profile_loss_frac,
    reversible_doubt_of,
    reversible_of,
    storage_of,
)
from models.ageing_intervals import Width
from models.domain import BoolArray, FloatArray
from models.learned.ageing import ConditionKernel, predict_at

STORAGE_KERNEL = ConditionKernel(variance=1.0, linear=0.0, noise=0.0625, lengths=(0.25, 0.25))
STORAGE_SPREAD = 0.2
UNKNOWN_SPREAD = 0.25
REVERSIBLE_SPREAD = 0.1
LASTING_SPREAD = 0.08
OUTSIDE_SPREAD = 1.5
TRANSFER_SD = 0.02
_SLACK = 0.02
Span = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Forecast:
    """Of rows: loss, its reversible part and its standard deviation [1]; whether inside the fitted range."""

    loss_frac: FloatArray
    reversible_frac: FloatArray
    sd_frac: FloatArray
    in_range: BoolArray


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

    def forecast(self, rows: Rows) -> Forecast:
        """Predict rows, each by its own conditions."""
        ...


def within(values: FloatArray, span: Span) -> BoolArray:
    """Whether known and inside a range, two per cent of slack at both ends."""
    slack = _SLACK * max(span[1] - span[0], 1e-9)
    return (values >= span[0] - slack) & (values <= span[1] + slack)


def span_of(values: FloatArray) -> Span:
    """Smallest and largest known value; an empty range where nothing is known."""
    known = values[np.isfinite(values)]
    return (float(known.min()), float(known.max())) if known.size else (np.inf, -np.inf)


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

    def multiplier(self, temp_c: FloatArray, soc_frac: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Log multiplier of the law and its standard deviation, shape (n,). [1]"""
        points = np.column_stack([heat(self.temp_c), self.soc_frac])
        at = np.column_stack([heat(temp_c), np.clip(soc_frac, 0.0, 1.0)])
        mean, sd = predict_at(STORAGE_KERNEL, points, self.log_multiplier / STORAGE_SPREAD, at)
        return mean * STORAGE_SPREAD, sd * STORAGE_SPREAD

    def loss_and_sd(self, rows: Rows) -> tuple[FloatArray, FloatArray]:
        """Storage loss and its standard deviation, wider where temperature, SOC or time is unknown, shape (n,). [1]"""
        temp, soc = filled(rows.temp_c, REFERENCE_TEMP_C), filled(rows.soc_frac, UNKNOWN_SOC_FRAC)
        log, sd = self.multiplier(temp, soc)
        loss = storage_of(rows, self.law) * np.exp(log)
        guessed = np.isnan(rows.temp_c).astype(float) * 4.0 + np.isnan(rows.soc_frac) + 3.0 * np.isnan(rows.day)
        return loss, loss * np.sqrt(sd**2 + guessed * UNKNOWN_SPREAD**2)

    def in_range(self, rows: Rows) -> BoolArray:
        """Whether temperature, SOC and time are known and inside what was stored."""
        return (
            within(rows.temp_c, self.temp_span_c)
            & within(rows.soc_frac, self.soc_span)
            & (rows.day <= self.day_span[1] * (1 + _SLACK))
        )

    def forecast(self, rows: Rows) -> Forecast:
        """Predict rows of storage tests."""
        loss, sd = self.loss_and_sd(rows)
        inside = self.in_range(rows)
        return Forecast(loss, np.zeros(rows.n), np.where(inside, sd, sd * OUTSIDE_SPREAD), inside)


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

    def forecast(self, rows: Rows) -> Forecast:
        """Predict rows of cycling tests and of load spectra."""
        stored, stored_sd = self.storage.loss_and_sd(rows) if self.storage else (np.zeros(rows.n), np.zeros(rows.n))
        lasting, back = lasting_of(rows, self.law), reversible_of(rows, self.law)
        guessed = np.isnan(rows.depth_frac).astype(float) + np.isnan(rows.charge_per_h + rows.discharge_per_h)
        spread = lasting * np.sqrt(LASTING_SPREAD**2 + guessed * UNKNOWN_SPREAD**2)
        elsewhere = np.where(within(rows.soc_frac, self.soc_span), 0.0, reversible_doubt_of(rows, self.law))
        sd = np.sqrt(stored_sd**2 + spread**2 + (REVERSIBLE_SPREAD * back) ** 2 + elsewhere**2)
        inside = (
            within(rows.temp_c, self.temp_span_c)
            & within(rows.depth_frac, self.depth_span)
            & within(rows.soc_frac, self.soc_span)
            & within(rows.charge_per_h, self.rate_span_per_h)
            & within(rows.discharge_per_h, self.rate_span_per_h)
            & (rows.cycles <= self.cycles_span[1] * (1 + _SLACK))
        )
        return Forecast(stored + lasting + back, back, np.where(inside, sd, sd * OUTSIDE_SPREAD), inside)


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
        raw = np.column_stack([feature(rows, n) for n in self.names])
        z = (shaped(raw, self.offsets) - self.centre) / self.scale
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
    if name in _STANDARD:
        return getattr(rows, _STANDARD[name])
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
        sd = np.sqrt(sd**2 + unknown[:, None] * self.coefficients.std(axis=0) ** 2)
        cycles = np.where(np.isnan(rows.cycles), filled(rows.day, 0.0), rows.cycles)
        loss = profile_loss_frac(mean[:, 0], mean[:, 1], cycles)
        distance = np.abs(np.log(np.maximum(cycles, 1.0) / 600.0))
        spread = loss * np.sqrt(sd[:, 0] ** 2 + (distance * sd[:, 1]) ** 2)
        slack = 0.1 * (self.high - self.low)
        inside = (
            ((at >= self.low - slack) & (at <= self.high + slack)).all(axis=1)
            & (unknown == 0)
            & (rows.cycles <= self.cycles_span[1] * (1 + _SLACK))
        )
        return Forecast(loss, np.zeros(rows.n), np.where(inside, spread, spread * OUTSIDE_SPREAD), inside)


def transferred(rows: Rows, known: Forecast, log_sd: float) -> Forecast:
    """A forecast carried over to another cell: same mean, the stated scatter between cells added, never in range."""
    sd = np.sqrt(known.sd_frac**2 + (log_sd * known.loss_frac) ** 2 + TRANSFER_SD**2)
    return replace(known, sd_frac=sd, in_range=np.zeros(rows.n, dtype=bool))
