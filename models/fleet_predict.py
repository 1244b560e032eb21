"""Predicted capacity readings of one vehicle and their derivatives, for the fit and for held-out scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.domain import FloatArray, History
from models.laws.base import Law

OWN = ("log_offset", "capacity_scale", "bms_offset", "anchored_offset")
_STEP = 1e-4
_ONE = np.array([1.0])


@dataclass(frozen=True, eq=False)
class Prediction:
    """Predicted readings, shape (n,), and derivatives by the cohort's (n, c) and the vehicle's parameters (n, 4)."""

    soh_frac: FloatArray
    by_cohort: FloatArray
    by_own: FloatArray


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
    capacity = law.project(history.exposures[law.law_id][None], _ONE, log_multipliers).capacity_frac
    times = np.concatenate([[0.0], np.cumsum(history.period_days)])
    full = np.concatenate([np.ones((capacity.shape[0], 1)), capacity], axis=1)
    at = np.clip(days, 0.0, times[-1])
    i = np.clip(np.searchsorted(times, at, side="right") - 1, 0, max(times.shape[0] - 2, 0))
    if times.shape[0] == 1:
        return np.ones((capacity.shape[0], days.shape[0]))
    w = (at - times[i]) / np.maximum(times[i + 1] - times[i], 1e-12)
    return full[:, i] * (1.0 - w) + full[:, i + 1] * w


def pack_capacity_frac(cell_frac: FloatArray, spread_factor: FloatArray | float) -> FloatArray:
    """Capacity of a pack in series from that of its mean cell: losses count times the spread, gains do not."""
    loss = 1.0 - np.asarray(cell_frac)
    return 1.0 - np.where(loss > 0, loss * spread_factor, loss)


def predict(
    history: History,
    law: Law,
    cohort: FloatArray,
    own: FloatArray,
    spread_factor: float,
    days: FloatArray | None = None,
) -> Prediction:
    """Predict the readings of a vehicle.

    Parameters
    ----------
    cohort
        The law's log-multipliers and the log of the spread over its prior, shape (c,).
    own
        Log-offset, capacity scale - 1, BMS offset, and the offset of anchored readings over its prior standard
        deviation (`Readings.anchored_offset_sigma`), shape (4,).
    spread_factor
        Prior value of the series spread. [1]
    days
        Other days than those of the readings (then nothing is BMS-reported).
    """
    m = cohort.shape[0] - 1
    at = history.readings.days if days is None else days
    bms = history.readings.bms_reported.astype(float) if days is None else np.zeros(at.shape)
    shared = (1.0 - bms) * history.readings.anchored_offset_sigma
    logs = np.tile(cohort[:-1] + own[0], (m + 1, 1))
    logs[1:] += _STEP * np.eye(m)
    cell = cell_capacity(history, law, logs, at)
    f, q0 = spread_factor * np.exp(cohort[-1]), 1.0 + own[1]
    pack = pack_capacity_frac(cell, f)
    slopes = q0 * (pack[1:] - pack[0]) / _STEP
    by_spread = -q0 * f * np.maximum(1.0 - cell[0], 0.0)
    return Prediction(
        q0 * pack[0] + own[2] * bms + own[3] * shared,
        np.column_stack([slopes.T, by_spread]),
        np.column_stack([slopes.sum(axis=0), pack[0], bms, shared]),
    )
