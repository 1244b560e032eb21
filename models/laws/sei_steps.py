"""A duty as steps of constant current: what the kernel and PyBaMM run along, anchored to the duty's SOC."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.domain import Duty, FloatArray, IntArray, Pack
from models.laws.sei_kernel import STILL_C_RATE, substeps

ANCHOR_DAYS = 30.0
"""Open-loop charge drifts: a run is set back to the duty's SOC at least this often. [d]"""


@dataclass(frozen=True, eq=False)
class Steps:
    """A duty cut to steps of constant current, cell-level, shape (m,) each; the same for kernel and PyBaMM.

    ``c_rate`` is current over capacity as new, positive charging [1/h]; ``day`` the duty's day.
    """

    hours: FloatArray
    c_rate: FloatArray
    temp_c: FloatArray
    soc_start: FloatArray
    soc_end: FloatArray
    day: FloatArray


def steps_of(duty: Duty, pack: Pack) -> Steps:
    """Cut a duty to steps of constant current (see `models.laws.sei_kernel.substeps`)."""
    soc, whole_step = np.clip(duty.cell_soc_frac, 0.0, 1.0), np.empty(0)
    out = substeps(soc, duty.temp_c, duty.current_a / pack.capacity_ah, duty.step_hours, whole_step)
    return Steps(*out[:5], day=np.floor_divide(out[5], 24 * 60 // duty.step_minutes))


def balanced_current(steps: Steps, capacity_frac: float = 1.0) -> FloatArray:
    """Current whose daily charge meets the duty's SOC, so that an open-loop run follows it. [1/h, capacity as new]

    Currents are first scaled to the swings of SOC times the present capacity (one factor for the duty, within 0.5 to
    2); then every day's charge is set to its change of SOC: the day's currents share the residual in proportion to
    their size (rests stay rests); a day without current gets it evenly. Currents below
    `models.laws.sei_kernel.STILL_C_RATE` count as rest.

    Parameters
    ----------
    steps
        The duty.
    capacity_frac
        Present capacity over capacity as new, constant over the duty. [1]

    Returns
    -------
    ndarray
        Shape (m,), positive charging.
    """
    c_rate = np.where(np.abs(steps.c_rate) < STILL_C_RATE, 0.0, steps.c_rate)
    charge = c_rate * steps.hours
    square = float(np.sum(charge**2))
    if square > 0.0:
        swing = float(np.sum(charge * (steps.soc_end - steps.soc_start))) * capacity_frac / square
        c_rate = c_rate * min(max(swing, 0.5), 2.0)
    starts = np.flatnonzero(np.diff(steps.day, prepend=-1.0))
    wanted = np.add.reduceat(steps.soc_end - steps.soc_start, starts) * capacity_frac
    residual = wanted - np.add.reduceat(c_rate * steps.hours, starts)
    size = np.add.reduceat(np.abs(c_rate) * steps.hours, starts)
    spread = np.add.reduceat(steps.hours, starts)
    lengths = np.diff(np.append(starts, c_rate.size))
    active = size > np.abs(residual)  # else the correction would turn a current round
    gain = np.repeat(np.where(active, residual / np.where(size > 0, size, 1.0), 0.0), lengths)
    even = np.repeat(np.where(active, 0.0, residual / spread), lengths)
    return c_rate + gain * np.abs(c_rate) + even


def segments_of(steps: Steps, anchor_days: float = ANCHOR_DAYS) -> IntArray:
    """First steps of the segments between two anchors (whole days, at most `anchor_days`) and the end, (s + 1,)."""
    days = steps.day
    starts = [0]
    for i in np.flatnonzero(np.diff(days)) + 1:
        if days[i] - days[starts[-1]] >= anchor_days:
            starts.append(int(i))
    return np.array([*starts, days.size])
