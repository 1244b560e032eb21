"""Ten years of one made V2H year through PyBaMM, the kernel and the daily exposures: how far the fast routes drift.

All routes follow the same state of charge (re-anchored every 28 days) with the present capacity of their own: charge is
swing times capacity. What is compared is capacity between the voltage limits at every anchor, 130 of them.
"""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from time import process_time

import numpy as np

from models.cell_reference import Kind, Reference
from models.domain import Duty, FloatArray, Pack
from models.laws.sei import SeiLaw, kernel_run
from models.laws.sei_steps import Steps, balanced_current, segments_of, steps_of

ANCHOR = 28
"""Days between two anchors; a year of 364 days has 13. [d]"""
LEVELS = tuple(round(1.0 - 0.025 * i, 3) for i in range(17))
"""Present capacities at which the daily exposures are stored; a start at 20 % lithium loss ends near 0.63. [1]

Close together: this duty keeps its swings of SOC, so that throughput goes with the capacity; between two levels a
projection takes it for linear in one over the capacity, as a driver's energy is.
"""


@dataclass(frozen=True, eq=False)
class Path:
    """States at the anchors, shape (anchors, 3), and CPU seconds of the way to them."""

    states: FloatArray
    cpu_s: float


@dataclass(frozen=True)
class Drift:
    """How far a fast route is from another one over ten years."""

    p95_pp: float
    max_pp: float
    lost_pp: float
    of_loss_frac: float
    lithium_error_frac: float


def _part(steps: Steps, a: int, b: int) -> Steps:
    return Steps(*(getattr(steps, f.name)[a:b] for f in dataclasses.fields(Steps)))


def _anchors(steps: Steps) -> FloatArray:
    return np.searchsorted(steps.day, np.arange(0, steps.day[-1] + 2, ANCHOR))


def pybamm_path(
    law: SeiLaw, duty: Duty, pack: Pack, start: FloatArray, years: int, reference: Reference | None
) -> Path:
    """PyBaMM's SPM at tight tolerance; `reference` may be one built by `build_reference` for the same law and duty."""
    begun = process_time()
    steps = steps_of(duty, pack)
    built = reference or build_reference(law, duty, pack)
    marks = _anchors(steps)
    now, states = np.asarray(start, dtype=float), []
    for _ in range(years):
        for a, b in itertools.pairwise(marks):
            now = built.solve(int(a), int(b), now, law.tables.capacity_frac(now)).state
            states.append(now)
    return Path(np.array(states), process_time() - begun)


def build_reference(law: SeiLaw, duty: Duty, pack: Pack, compiled: bool = True) -> Reference:
    """PyBaMM's model on a duty of any length, its currents those of a new cell."""
    steps = steps_of(duty, pack)
    kind = Kind(compiled=compiled)
    return Reference(law.cell_id, law.law_id, steps, balanced_current(steps), law.tables, kind, home=law.home)


def kernel_path(
    law: SeiLaw, duty: Duty, pack: Pack, start: FloatArray, years: int, anchor_days: float = ANCHOR
) -> Path:
    """The kernel's recursion, sub-step by sub-step, re-anchored every `anchor_days` (at most `ANCHOR`)."""
    begun = process_time()
    steps = steps_of(duty, pack)
    marks, base = _anchors(steps), balanced_current(steps)
    parts = [_part(steps, a, b) for a, b in itertools.pairwise(marks)]
    segments = [segments_of(part, anchor_days) for part in parts]
    now, states = np.asarray(start, dtype=float), []
    for _ in range(years):
        for part, cut, a, b in zip(parts, segments, marks[:-1], marks[1:], strict=True):
            now = kernel_run(part, base[a:b] * law.tables.capacity_frac(now), cut, now, law.tables)[-1]
            states.append(now)
    return Path(np.array(states), process_time() - begun)


def daily_path(
    law: SeiLaw, duty: Duty, pack: Pack, start: FloatArray, years: int, period_days: int = 1
) -> tuple[FloatArray, FloatArray, float]:
    """Daily exposures at `LEVELS` and their projection.

    Parameters
    ----------
    period_days
        Days summed to a period of the projection, 1 or `ANCHOR`. [d]

    Returns
    -------
    Capacity and lithium lost at the anchors, shape (anchors,) each [1], and CPU seconds.
    """
    begun = process_time()
    rows = []
    for level in LEVELS:
        # The exact run has whole steps of constant current, so no time of flow here either.
        amps, ah = duty.current_a * level, duty.capacity_ah * level
        at = dataclasses.replace(duty, current_a=amps, capacity_ah=ah, flow_a=None)
        daily = law.exposures(at, pack)
        rows.append(daily.reshape(-1, period_days, daily.shape[1]).sum(axis=1))
    run = law.project(
        np.tile(np.stack(rows), (1, years, 1)),
        np.array(LEVELS),
        np.zeros((1, len(law.multiplier_names))),
        np.asarray(start, dtype=float)[None],
    )
    step = ANCHOR // period_days
    lithium = run.components["lithium"][0, step - 1 :: step]
    return run.capacity_frac[0, step - 1 :: step], lithium, process_time() - begun


def lithium_of(law: SeiLaw, states: FloatArray) -> FloatArray:
    """Lithium lost in states of shape (n, 3), to the film and with lost material. [1]"""
    return states[:, 0] - law.tables.constants.film_start_frac + states[:, 2]


def drift(
    law: SeiLaw, start: FloatArray, truth: FloatArray, capacity_frac: FloatArray, lithium_frac: FloatArray
) -> Drift:
    """Compare capacity [1] and lithium lost [1] at the anchors, shape (n,), with a reference's states, shape (n, 3)."""
    exact = np.array([law.tables.capacity_frac(s) for s in truth])
    error = 100.0 * (capacity_frac - exact)
    lost = 100.0 * (law.tables.capacity_frac(start) - exact[-1])
    before = float(lithium_of(law, np.asarray(start)[None])[0])
    gone = float(lithium_of(law, truth[-1:])[0]) - before
    return Drift(
        p95_pp=float(np.quantile(np.abs(error), 0.95)),
        max_pp=float(np.max(np.abs(error))),
        lost_pp=float(lost),
        of_loss_frac=float(error[-1] / lost),
        lithium_error_frac=(float(lithium_frac[-1]) - before) / gone - 1.0,
    )
