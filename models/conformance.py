"""How far the fast routes are from PyBaMM, in capacity, on a duty that a vehicle had or would have under a policy.

Three routes go through the same steps of constant current from the same state: PyBaMM's single-particle model, the
kernel's recursion, and the daily exposures with their projection (what forecasts use). Each ends in losses of lithium
and active material, which the same balance of electrodes turns into capacity between the BMS's voltage limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from models.cell_reference import reference_run
from models.domain import Duty, FloatArray, Pack
from models.laws.esoh import lithium_loss_for
from models.laws.sei import SeiLaw, kernel_run
from models.laws.sei_steps import Steps, balanced_current, segments_of, steps_of


@dataclass(frozen=True)
class ConformanceResult:
    """Capacity after a duty by three routes, over capacity as new, and what the duty was like.

    Parameters
    ----------
    capacity_kernel_frac
        By daily exposures and projection: what forecasts use. [1]
    capacity_recursion_frac, capacity_pybamm_frac
        By the kernel's recursion; by PyBaMM. [1]
    start_frac
        Capacity at the start. [1]
    error_pp
        Largest difference of either fast route to PyBaMM at the end, with its sign. [pp]
    error_of_loss_frac
        That difference over the capacity lost in PyBaMM. [1]
    budget_pp
        What the law's parameters allow. [pp]
    """

    law_id: str
    parameter_set: str
    days: int
    temp_mean_c: float
    temp_max_c: float
    c_rate_p95: float
    mean_soc_frac: float
    capacity_kernel_frac: float
    capacity_recursion_frac: float
    capacity_pybamm_frac: float
    start_frac: float
    error_pp: float
    error_of_loss_frac: float
    budget_pp: float

    @property
    def passed(self) -> bool:
        """Whether the error is within the budget."""
        return abs(self.error_pp) <= self.budget_pp


class Stratified(Protocol):
    """Whatever states the three traits that samples are spread over."""

    @property
    def temp_mean_c(self) -> float: ...
    @property
    def c_rate_p95(self) -> float: ...
    @property
    def mean_soc_frac(self) -> float: ...


class OfCell(Stratified, Protocol):
    """Traits and the cell they belong to."""

    @property
    def cell_id(self) -> str: ...


@dataclass(frozen=True)
class Traits:
    """What conformance samples are spread over."""

    temp_mean_c: float
    temp_max_c: float
    c_rate_p95: float
    mean_soc_frac: float


def traits(duty: Duty, pack: Pack) -> Traits:
    """Temperature, current and state of charge of a duty (95 % quantile of |current| where there is any)."""
    c_rate = np.abs(duty.current_a.sum(axis=1)) / pack.capacity_ah
    moving = c_rate[c_rate > 1e-3]
    return Traits(
        temp_mean_c=float(np.mean(duty.temp_c)),
        temp_max_c=float(np.max(duty.temp_c)),
        c_rate_p95=float(np.quantile(moving, 0.95)) if moving.size else 0.0,
        mean_soc_frac=float(np.mean(duty.cell_soc_frac)),
    )


def conformance_sample(candidates: Sequence[Stratified], n: int) -> list[int]:
    """Indices of at most n candidates spread over temperature, C-rate and state of charge.

    Each trait is scaled to its range; the first pick is the candidate nearest the medians, every further one the
    candidate farthest from those already picked (greedy maximin), so that hot, cold, harsh and gentle duties come up.
    Ties go to the earlier candidate; the same candidates give the same sample.

    Examples
    --------
    >>> ts = [Traits(t, t, 0.1, 0.5) for t in (5.0, 14.0, 15.0, 16.0, 30.0)]
    >>> conformance_sample(ts, 3)
    [2, 4, 0]
    """
    count = min(n, len(candidates))
    if count <= 0:
        return []
    values = np.array([[t.temp_mean_c, t.c_rate_p95, t.mean_soc_frac] for t in candidates])
    low, high = values.min(axis=0), values.max(axis=0)
    scaled = (values - low) / np.where(high > low, high - low, 1.0)
    picked = [int(np.argmin(np.abs(scaled - np.median(scaled, axis=0)).sum(axis=1)))]
    distance = np.abs(scaled - scaled[picked[0]]).sum(axis=1)
    while len(picked) < count:
        distance[picked] = -1.0
        picked.append(int(np.argmax(distance)))
        distance = np.minimum(distance, np.abs(scaled - scaled[picked[-1]]).sum(axis=1))
    return picked


def sample_by_cell(candidates: Sequence[OfCell], n: int) -> list[int]:
    """Indices of at most n candidates: every cell in turn, the most frequent first, each spread as by its own sample.

    A parameter set is what a conformance run tests first of all: as soon as a fleet has cars of a cell, one of its
    duties is drawn (cells in the order of their number of candidates, ties by name, while n lasts).
    """
    of_cell: dict[str, list[int]] = {}
    for i, c in enumerate(candidates):
        of_cell.setdefault(c.cell_id, []).append(i)
    turns = [
        [mine[i] for i in conformance_sample([candidates[j] for j in mine], n)]
        for _, mine in sorted(of_cell.items(), key=lambda item: (-len(item[1]), item[0]))
    ]
    in_turn = [turn[k] for k in range(max(map(len, turns), default=0)) for turn in turns if k < len(turn)]
    return in_turn[: max(n, 0)]


def cut_days(duty: Duty, first_day: int, days: int) -> Duty:
    """Whole days of a duty from one of its days on (as many as there are), whole steps of constant current."""
    per_day = 24 * 60 // duty.step_minutes
    a = min(max(first_day, 0) * per_day, duty.steps)
    b = min(a + days * per_day, duty.steps)
    return replace(duty.part(a, b), flow_a=None)


def start_state(duty: Duty, pack: Pack, law: SeiLaw) -> FloatArray:
    """State whose capacity is the one the duty's SOC refers to: lithium lost to the film alone, shape (3,)."""
    present = min(duty.capacity_ah / pack.capacity_ah, 1.0)
    if present >= 1.0 - 1e-6:
        return law.tables.new_state
    return law.tables.aged_state(lithium_loss_for(law.tables.esoh, present))


def daily_run(law: SeiLaw, duty: Duty, pack: Pack, state: FloatArray) -> FloatArray:
    """State after a duty by daily exposures and projection, a day a period, shape (3,)."""
    daily = law.exposures(duty, pack)
    run = law.project(daily[None], np.array([1.0]), np.zeros((1, len(law.multiplier_names))), state[None])
    return run.state[0, :3]


def conformance(duty: Duty, pack: Pack, law: SeiLaw, days: int = 90) -> ConformanceResult:
    """Run PyBaMM, the kernel and the daily exposures on the same duty and compare capacity.

    Parameters
    ----------
    duty
        Its first `days` are used; its SOC is the truth that currents are balanced to (see `balanced_current`).
    pack, law
        The pack's cell must be the law's.
    days
        Length. [d]

    Limits
    ------
    Same film and wear laws on both sides: the test is of the reduction (quasi-steady particle, daily nodes, windows),
    not of the physics. PyBaMM's single-particle model has no electrolyte: on harsh days DFN differs by some 0.3 % of
    the loss.
    """
    part = cut_days(duty, 0, days)
    state = start_state(part, pack, law)
    tables = law.tables
    steps = steps_of(part, pack)
    charge = balanced_current(steps, tables.capacity_frac(state))
    segments = segments_of(steps)
    reference = reference_run(law.cell_id, law.law_id, steps, charge, segments, state, tables, law.home)[-1]
    recursion = kernel_run(steps, charge, segments, state, tables)[-1]
    daily = daily_run(law, part, pack, state)
    return _result(part, pack, law, steps, state, daily, recursion, reference)


def _result(
    duty: Duty,
    pack: Pack,
    law: SeiLaw,
    steps: Steps,
    state: FloatArray,
    daily: FloatArray,
    recursion: FloatArray,
    reference: FloatArray,
) -> ConformanceResult:
    t = traits(duty, pack)
    start, fast, exact, truth = (law.tables.capacity_frac(s) for s in (state, daily, recursion, reference))
    errors = (100.0 * (fast - truth), 100.0 * (exact - truth))
    error = max(errors, key=abs)
    lost = start - truth
    return ConformanceResult(
        law_id=law.law_id,
        parameter_set=law.cell.text("parameter_set"),
        days=int(steps.day[-1]) + 1,
        temp_mean_c=t.temp_mean_c,
        temp_max_c=t.temp_max_c,
        c_rate_p95=t.c_rate_p95,
        mean_soc_frac=t.mean_soc_frac,
        capacity_kernel_frac=fast,
        capacity_recursion_frac=exact,
        capacity_pybamm_frac=truth,
        start_frac=start,
        error_pp=error,
        error_of_loss_frac=error / 100.0 / lost if lost > 1e-9 else 0.0,
        budget_pp=law.parameters.number("conformance_budget_pp"),
    )
