"""Predicted capacity readings of vehicles and their derivatives, for the fit and for held-out scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.domain import BoolArray, FloatArray, History, IntArray
from models.laws.base import Law

OWN = ("log_offset", "capacity_scale", "bms_offset", "anchored_offset")
COHORT_EXTRA = ("spread", "shape")
"""Beside the law's multipliers: log of the series spread over its prior, log of the exponent of the curve."""
SHAPE_LOSS_FRAC = 0.05
"""Loss at which the exponent of the curve changes nothing. [1]"""
CELL_SPEED_SIGMA = 0.05
"""Spread of speed between the cells of a pack over which readings are predicted: the least of 5 to 10 %. [1]"""
_SPEEDS = CELL_SPEED_SIGMA * np.sqrt(6.0) * np.linspace(-1.0, 1.0, 7)
_SHARES = np.array([1.0, 6.0, 15.0, 20.0, 15.0, 6.0, 1.0]) / 64.0
_STEP = 1e-4
_ONE = np.array([1.0])


@dataclass(frozen=True, eq=False)
class Prediction:
    """Predicted readings, shape (n,), and derivatives by the cohort's (n, c) and the vehicle's parameters (n, 4)."""

    soh_frac: FloatArray
    by_cohort: FloatArray
    by_own: FloatArray


def _places(period_days: FloatArray, days: FloatArray) -> tuple[IntArray, FloatArray]:
    """Period before each day (0 = new) and the share of the way to its end; later days take the end of the history."""
    times = np.concatenate([[0.0], np.cumsum(period_days)])
    at = np.clip(days, 0.0, times[-1])
    i = np.clip(np.searchsorted(times, at, side="right") - 1, 0, max(times.shape[0] - 2, 0))
    if times.shape[0] == 1:
        return i, np.zeros(days.shape)
    return i, (at - times[i]) / np.maximum(times[i + 1] - times[i], 1e-12)


def cell_capacity(history: History, law: Law, log_multipliers: FloatArray, days: FloatArray) -> FloatArray:
    """Cell capacity of a history at given days, linear between ends of periods.

    Parameters
    ----------
    log_multipliers
        Shape (draws, m).
    days
        Since the in-service day, shape (n,); later days than the history has take its end. [d]

    Returns
    -------
    FloatArray
        Shape (draws, n). [1]
    """
    exposures = history.exposures[law.law_id]
    if exposures.shape[0] == 0:
        return np.ones((log_multipliers.shape[0], days.shape[0]))
    return _at(law, exposures, log_multipliers, *_places(history.period_days, days))


def _at(law: Law, exposures: FloatArray, logs: FloatArray, i: IntArray, w: FloatArray) -> FloatArray:
    capacity = law.project(exposures[None], _ONE, logs).capacity_frac
    full = np.concatenate([np.ones((capacity.shape[0], 1)), capacity], axis=1)
    return full[:, i] * (1.0 - w) + full[:, i + 1] * w


def pack_capacity_frac(
    cell_frac: FloatArray, spread_factor: FloatArray | float, shape: FloatArray | float = 1.0
) -> FloatArray:
    """Capacity of a pack in series from that of its mean cell: losses count times the spread, gains do not.

    ``shape`` bends the curve of losses: loss becomes 0.05 (loss / 0.05)^shape, so that a fade that runs faster or
    slower than any law in the course of time can be learned; with 1 nothing changes.
    """
    loss = 1.0 - np.asarray(cell_frac)
    bent = SHAPE_LOSS_FRAC * (np.maximum(loss, 0.0) / SHAPE_LOSS_FRAC) ** shape
    return 1.0 - np.where(loss > 0, bent * spread_factor, loss)


def offset_powers(law: Law) -> FloatArray:
    """How a car's log-offset, that of its loss, enters the law's log-multipliers, shape (m,).

    A film that grows by dL/dt = 1 / (1/K + L/D) is exactly l times as thick at all times with l K and l^2 D. Were the
    offset one of the rates, a car of a weak batch would be had more cheaply by a cohort with more of what is linear in
    time, and so bend the forecasts of all others.
    """
    return np.array([2.0 if name == "diffusion" else 1.0 for name in law.multiplier_names])


def _around(law: Law) -> FloatArray:
    """Log-multipliers about a car's at which its readings are predicted, shape (speeds (m + 1), m).

    A cell's capacity follows the steps of its anode's curve: over a percent of lithium its slope may change by half.
    Cells of a pack meet them at different times. Were a car one cell, a fit could gain by putting readings on this or
    that step, would stop at the optimum nearest to its start, and would take the slope there for that of its range.
    """
    m = len(law.multiplier_names)
    steps = np.concatenate([np.zeros((1, m)), _STEP * np.eye(m)])
    return (_SPEEDS[:, None, None] * offset_powers(law) + steps).reshape(-1, m)


def own_log_multipliers(law: Law, cohort: FloatArray, log_offset: FloatArray | float) -> FloatArray:
    """Log-multipliers of a car, shape (..., m): the bend of the cohort's curve does not stretch its offset.

    Parameters
    ----------
    cohort
        The law's log-multipliers and `COHORT_EXTRA`, shape (..., c).
    log_offset
        Of the car's loss, shape (..., 1) or a number.
    """
    logs = cohort[..., : -len(COHORT_EXTRA)]
    return logs + offset_powers(law) * log_offset / np.exp(cohort[..., -1:])


def cohort_size(law: Law) -> int:
    """Number of a cohort's parameters."""
    return len(law.multiplier_names) + len(COHORT_EXTRA)


@dataclass(frozen=True, eq=False)
class CohortData:
    """Readings of several vehicles one after the other, ready to be predicted many times.

    Parameters
    ----------
    exposures
        Of each vehicle up to its last reading in use, shape (periods, k).
    places
        Of each vehicle: period before and share of the way, shape (n_v,) each.
    starts
        Where each vehicle's readings begin, shape (vehicles,).
    soh_frac, fresh_sigma_frac
        Readings and their fresh error, shape (n,). [1]
    bms, shared
        1 where BMS-reported; stated error that anchored readings share, shape (n,). [1]
    """

    law: Law
    exposures: tuple[FloatArray, ...]
    places: tuple[tuple[IntArray, FloatArray], ...]
    starts: IntArray
    soh_frac: FloatArray
    fresh_sigma_frac: FloatArray
    bms: FloatArray
    shared: FloatArray

    @property
    def vehicle(self) -> IntArray:
        """Vehicle of each reading, shape (n,)."""
        return np.repeat(np.arange(len(self.places)), np.diff(np.append(self.starts, self.soh_frac.shape[0])))


def cohort_data(histories: Sequence[History], law: Law, use: Sequence[BoolArray]) -> CohortData:
    """Put the readings in use of vehicles one after the other; each vehicle must have one at least."""
    exposures, places, starts, flat = [], [], [], []
    total = 0
    for h, mask in zip(histories, use, strict=True):
        r = h.readings
        i, w = _places(h.period_days, r.days[mask])
        rows = h.exposures[law.law_id]
        exposures.append(np.ascontiguousarray(rows[: int(i.max()) + 1]))
        places.append((i, w))
        starts.append(total)
        total += i.shape[0]
        bms = r.bms_reported[mask].astype(float)
        flat.append((r.soh_frac[mask], r.fresh_sigma_frac[mask], bms, (1.0 - bms) * r.anchored_offset_sigma))
    soh, fresh, bms, shared = (np.concatenate(x) for x in zip(*flat, strict=True))
    return CohortData(law, tuple(exposures), tuple(places), np.array(starts), soh, fresh, bms, shared)


def predict_cohort(data: CohortData, cohort: FloatArray, own: FloatArray, spread_factor: float) -> Prediction:
    """Predict the readings of all vehicles.

    Parameters
    ----------
    cohort
        The law's log-multipliers and `COHORT_EXTRA`, shape (c,).
    own
        Log-offset, capacity scale - 1, BMS offset, and the offset of anchored readings over its prior standard
        deviation (`Readings.anchored_offset_sigma`), shape (vehicles, 4).
    spread_factor
        Prior value of the series spread. [1]
    """
    steps = _around(data.law)
    each = own_log_multipliers(data.law, cohort, own[:, :1])
    cell = np.concatenate(
        [
            _at(data.law, e, logs + steps, *p) if e.shape[0] else np.ones((steps.shape[0], p[0].shape[0]))
            for e, p, logs in zip(data.exposures, data.places, each, strict=True)
        ],
        axis=1,
    )
    at = own[data.vehicle]
    return _assemble(data.law, cell, cohort, at, spread_factor, data.bms, data.shared)


def predict(
    history: History,
    law: Law,
    cohort: FloatArray,
    own: FloatArray,
    spread_factor: float,
    days: FloatArray | None = None,
) -> Prediction:
    """Predict the readings of one vehicle; parameters as in `predict_cohort`, ``own`` of shape (4,).

    Parameters
    ----------
    days
        Other days than those of the readings (then nothing is BMS-reported).
    """
    at = history.readings.days if days is None else days
    bms = history.readings.bms_reported.astype(float) if days is None else np.zeros(at.shape)
    shared = (1.0 - bms) * history.readings.anchored_offset_sigma
    cell = cell_capacity(history, law, own_log_multipliers(law, cohort, own[0]) + _around(law), at)
    return _assemble(law, cell, cohort, np.broadcast_to(own, (at.shape[0], len(OWN))), spread_factor, bms, shared)


def _assemble(
    law: Law,
    cell: FloatArray,
    cohort: FloatArray,
    own: FloatArray,
    spread_factor: float,
    bms: FloatArray,
    shared: FloatArray,
) -> Prediction:
    f, shape = spread_factor * np.exp(cohort[-2]), np.exp(cohort[-1])
    q0 = 1.0 + own[:, 1]
    cell = np.einsum("s,smn->mn", _SHARES, cell.reshape(_SHARES.shape[0], -1, cell.shape[1]))
    pack = pack_capacity_frac(cell, f, shape)
    slopes = q0 * (pack[1:] - pack[0]) / _STEP
    by_offset = offset_powers(law) @ slopes / shape
    loss = np.maximum(1.0 - cell[0], 0.0)
    bent = f * SHAPE_LOSS_FRAC * (loss / SHAPE_LOSS_FRAC) ** shape
    by_shape = -q0 * bent * shape * np.log(np.maximum(loss, 1e-12) / SHAPE_LOSS_FRAC) - own[:, 0] * by_offset
    return Prediction(
        q0 * pack[0] + own[:, 2] * bms + own[:, 3] * shared,
        np.column_stack([slopes.T, -q0 * bent, by_shape]),
        np.column_stack([by_offset, pack[0], bms, shared]),
    )
