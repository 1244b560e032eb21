"""A product's law against an ageing test: the test's constant conditions as a duty, the law's prior as its interval.

This is transfer, not fit: a law found on one cell predicts another cell of its chemistry, with the spread that its
multipliers are given between cells. Only tests whose temperature, state of charge and time are known can be predicted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.domain import Duty, FloatArray, Pack, Use
from models.laws.base import Law
from models.packs import mean_ocv_v, ocv_of
from models.parameters import Entry, entry, load
from models.seeds import generator

_STORAGE_STEP_MINUTES, _CYCLING_STEP_MINUTES = 60, 1
_CYCLING_DAYS = 4
_PERIODS = 80
_DRAWS = 400
_Q10, _Q90 = 0.1, 0.9
_OUTSIDE_FRAC = 0.05
EVIDENCE = "law_evidence"


@dataclass(frozen=True)
class Condition:
    """Constant conditions of a test.

    Parameters
    ----------
    temp_c, soc_mean_frac
        Cell temperature [degC], mean state of charge [1].
    depth_frac
        Depth of the cycles, zero in storage. [1]
    charge_per_h, discharge_per_h
        C-rates, zero in storage. [1/h]
    """

    temp_c: float
    soc_mean_frac: float
    depth_frac: float = 0.0
    charge_per_h: float = 0.0
    discharge_per_h: float = 0.0

    @property
    def words(self) -> str:
        """For a table.

        Examples
        --------
        >>> Condition(40, 0.125).words
        'storage at 40 °C, 12.5 % charge'
        >>> Condition(25, 0.5, 0.8, 1.0, 0.5).words
        '80 % deep cycles around 50 % charge at 25 °C, 1C / 0.5C'
        """
        if self.depth_frac == 0.0:
            return f"storage at {self.temp_c:g} °C, {100 * self.soc_mean_frac:g} % charge"
        return (
            f"{100 * self.depth_frac:g} % deep cycles around {100 * self.soc_mean_frac:g} % charge at "
            f"{self.temp_c:g} °C, {self.charge_per_h:g}C / {self.discharge_per_h:g}C"
        )


def cell_pack(cell_id: str, home: Path | None = None) -> Pack:
    """One cell as a pack of its own, without a window, for a test at constant temperature."""
    cell = entry("cells", cell_id, home)
    ocv = ocv_of(cell_id, home)
    ah = cell.number("nominal_ah")
    kwh = ah * mean_ocv_v(ocv) / 1000.0
    return Pack(cell_id, cell_id, cell.text("chemistry"), 1, ah, kwh, kwh, kwh, 0.0, 1.0, 0.02, ocv, 1.0, 1.0)


def steady_duty(condition: Condition, pack: Pack) -> Duty:
    """One day of storage, or four days of cycling without rests at rates rounded to whole minutes a half cycle.

    Raises
    ------
    ValueError
        The cycles leave 0 to 1, or a rate is missing.
    """
    c = condition
    if c.depth_frac == 0.0:
        step, n = _STORAGE_STEP_MINUTES, 24 * 60 // _STORAGE_STEP_MINUTES
        soc = np.full(n + 1, c.soc_mean_frac)
    else:
        step, n = _CYCLING_STEP_MINUTES, _CYCLING_DAYS * 24 * 60 // _CYCLING_STEP_MINUTES
        low, high = c.soc_mean_frac - 0.5 * c.depth_frac, c.soc_mean_frac + 0.5 * c.depth_frac
        if low < -0.03 or high > 1.03 or c.charge_per_h <= 0 or c.discharge_per_h <= 0:
            raise ValueError(
                f"A cycling test needs rates above zero and cycles within 0 and 1; got {low:g} to {high:g}, "
                f"{c.charge_per_h:g} and {c.discharge_per_h:g} per hour."
            )
        # Whole steps a half cycle, so that the depth is exact; the hair below one keeps a rate on the very edge of a
        # law's range from falling out by rounding.
        up, down = (max(1, round(60.0 * c.depth_frac / rate / step)) for rate in (c.charge_per_h, c.discharge_per_h))
        at = np.mod(np.arange(n + 1), up + down).astype(float)
        edge = (high - low) * 1e-7
        soc = np.interp(at, [0.0, up, up + down], [max(low, 0.0) + edge, min(high, 1.0) - edge, max(low, 0.0) + edge])
    flow = np.diff(soc) * pack.capacity_ah / (step / 60.0)
    current = np.zeros((n, len(Use)))
    current[:, Use.CHARGE], current[:, Use.DRIVE] = np.maximum(flow, 0.0), np.minimum(flow, 0.0)
    temp = np.full(n, c.temp_c)
    return Duty(
        np.datetime64("2001-01-01T00:00", "m"), step, soc, temp, current, pack.capacity_ah, np.zeros(n, dtype=np.uint8)
    )


@dataclass(frozen=True, eq=False)
class Predicted:
    """A law's prediction of a test at its check-ups, over the first one, each of shape (n,). [1]

    Parameters
    ----------
    median, low, high
        Of the law's prior over cells: half, 10 % and 90 %.
    outside_frac
        Share of the exposure outside the law's tested range, of the one condition that is furthest out. [1]
    """

    median: FloatArray
    low: FloatArray
    high: FloatArray
    outside_frac: float


def predict_test(law: Law, pack: Pack, condition: Condition, day: FloatArray, cycles: FloatArray) -> Predicted:
    """Predict the capacity at the check-ups of a test.

    Parameters
    ----------
    day, cycles
        Time and equivalent full cycles since the first check-up, shape (n,); storage goes by time, cycling by full
        cycles (the cells cycled without rests but for the check-ups). [d], [1]

    Limits
    ------
    Cell temperature is that of the chamber; the depth stays that of the new cell; the first check-up is a new cell.
    """
    duty = steady_duty(condition, pack)
    per_day = law.exposures(duty, pack).sum(axis=0) / (duty.steps * duty.step_hours / 24.0)
    if condition.depth_frac == 0.0:
        time = np.asarray(day, dtype=float)
    else:
        turned = float(np.abs(np.diff(duty.cell_soc_frac)).sum()) / 2.0 / (duty.steps * duty.step_hours / 24.0)
        time = np.asarray(cycles, dtype=float) / turned
    grid = np.linspace(0.0, max(float(time.max()), 1e-6), _PERIODS + 1)
    exposures = np.tile(per_day * grid[1], (1, _PERIODS, 1))
    sigma = np.array(law.multiplier_sigma)
    logs = generator(0, "law test", law.law_id).standard_normal((_DRAWS, sigma.size)) * sigma
    logs[0] = 0.0
    capacity = law.project(exposures, np.ones(1), logs).capacity_frac
    path = np.column_stack([np.ones(_DRAWS), capacity])
    at = np.array([np.interp(time, grid, row) for row in path])
    low, high = np.quantile(at[1:], (_Q10, _Q90), axis=0)
    # One condition outside is enough: weighed by loss, four days of storage would hide the cycles of a year-long test.
    outside = max(law.range_check(duty, pack).by_variable.values(), default=0.0)
    return Predicted(at[0], low, high, outside)


@dataclass(frozen=True, eq=False)
class LawEvidence:
    """How wrong a law was on ageing tests, one point a check-up (`models/parameters/law_evidence.toml`).

    Parameters
    ----------
    test
        Which test each point belongs to, index into ``tests``, shape (n,).
    day, cycles
        Of the check-up. [d], [1]
    error_pp
        Predicted less measured capacity, shape (n,). [pp]
    low_pp, high_pp
        Ends of the law's interval less its median, shape (n,). [pp]
    tests
        Conditions of each test in words.
    outside
        Whether any condition of a test lies outside the law's tested range, shape (tests,); of tests left out, which
        set the range themselves, nothing is said.
    in_sample, left_out
        Whether the law was fitted to these tests; whether each was predicted by a fit without its condition.
    source, cells
        The data, and how the figures were made; which cells were tested, in words.
    """

    test: np.ndarray
    day: FloatArray
    cycles: FloatArray
    error_pp: FloatArray
    low_pp: FloatArray
    high_pp: FloatArray
    tests: tuple[str, ...]
    kinds: tuple[str, ...]
    outside: np.ndarray
    in_sample: bool
    source: str
    left_out: bool = False
    cells: str = ""

    @property
    def rmse_pp(self) -> float:
        """Root mean square error over all points. [pp]"""
        return float(np.sqrt(np.mean(self.error_pp**2)))

    @property
    def mean_rmse_pp(self) -> float:
        """Root mean square error of a test, averaged over tests. [pp]"""
        return float(np.mean([self.of_test(i)[0] for i in range(len(self.tests))]))

    def of_test(self, index: int) -> tuple[float, float, float]:
        """Root mean square error [pp], mean error [pp] and share inside the interval [1] of one test."""
        at = self.test == index
        inside = self._inside[at]
        error = self.error_pp[at]
        return float(np.sqrt(np.mean(error**2))), float(np.mean(error)), float(np.mean(inside))

    @property
    def inside_80_frac(self) -> float:
        """Share inside the interval, averaged over tests. [1]"""
        return float(np.mean([self.of_test(i)[2] for i in range(len(self.tests))]))

    @property
    def _inside(self) -> np.ndarray:
        return (-self.error_pp >= self.low_pp) & (-self.error_pp <= self.high_pp)


def law_evidence(law_id: str, home: Path | None = None) -> LawEvidence | None:
    """Stored evidence of a law, None where it was never held against an ageing test."""
    found = load(EVIDENCE, home).get(law_id)
    return None if found is None else _evidence(found)


def _evidence(e: Entry) -> LawEvidence:
    def column(name: str) -> FloatArray:
        return np.asarray(e[name].value, dtype=float)

    return LawEvidence(
        test=np.asarray(e["test"].value, dtype=int),
        tests=tuple(e["tests"].value),
        kinds=tuple(e["kinds"].value),
        outside=np.asarray(e["outside_frac"].value, dtype=float) > _OUTSIDE_FRAC,
        in_sample=bool(e["in_sample"].value),
        source=e["error_pp"].source,
        cells=e.text("cells"),
        day=column("day"),
        cycles=column("cycles"),
        error_pp=column("error_pp"),
        low_pp=column("low_pp"),
        high_pp=column("high_pp"),
    )
