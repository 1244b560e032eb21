"""Conformance: a stratified sample of vehicle-policies through PyBaMM and the fast routes, every night that computes.

What is compared is capacity after some weeks of the very duty that the vehicle's forecast rests on (for `as_driven` the
logged duty itself). Samples take the fleet's cells in turn, alternate between a cell's members and walk through the
seasons. The rows say how far the
kernel is off; the night fails when one is above its budget.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from models.cell_reference import ReferenceUnsolved
from models.conformance import ConformanceResult, conformance, cut_days, sample_by_cell
from models.dispatch import dispatch
from models.dispatch_duty import duty_of
from models.domain import Duty, Pack
from models.laws import sei
from models.laws.sei import SeiLaw
from models.packs import pack_of
from models.policies import charger, policies, tariff
from pipelines.ledger import set_state, state
from pipelines.settings import Settings
from pipelines.steps.decide_types import Candidate
from pipelines.steps.fleet import load_homes, load_vehicles
from pipelines.steps.history import load_duty
from pipelines.steps.years import load_year
from warehouse.store import Warehouse

SUBJECT = "conformance"
AS_DRIVEN = "as_driven"
LEAST_DAYS = 28  # a few days lose too little to tell a wrong rate
LEAST_LOSS_PP = 0.05
LOSS_BUDGET_FRAC = 0.03


@dataclass(frozen=True)
class Conformed:
    """What the step found.

    Parameters
    ----------
    samples, computed
        Rows stored; how many of them were computed now (the rest were known).
    error_p95_pp
        95 % quantile of the absolute error. [pp]
    error_of_loss_frac
        Largest error relative to the loss, where something was lost. [1]
    passed
        Whether every sample is within its budget (and at least one could be solved).
    unsolved
        One sentence a sample that PyBaMM's solver gave up on; it has no row.
    """

    samples: int
    computed: int
    error_p95_pp: float
    error_of_loss_frac: float
    passed: bool
    unsolved: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """For the log of a night."""
        if not self.samples:
            return " ".join(("No vehicle-policy was run through PyBaMM.", *self.unsolved))
        text = (
            f"{self.samples} vehicle-policies against PyBaMM ({self.computed} new): "
            f"95 % within {self.error_p95_pp:.3f} pp of capacity, at most {100 * self.error_of_loss_frac:.1f} % of the "
            f"loss{'' if self.passed else ', above the budget'}."
        )
        return " ".join((text, *self.unsolved))


@dataclass(frozen=True, eq=False)
class Sample:
    """One vehicle-policy to run: its duty, its pack, the member it is run with and the version of all that."""

    vehicle_id: str
    policy_id: str
    duty: Duty
    pack: Pack
    law: SeiLaw

    @property
    def sample_id(self) -> str:
        """Name of the row."""
        return f"{self.vehicle_id}.{self.policy_id}.{self.law.law_id}"

    @property
    def version(self) -> str:
        """Hash of all that the result depends on."""
        h = hashlib.sha256(self.law.version.encode())
        for part in (self.duty.cell_soc_frac, self.duty.temp_c, self.duty.current_a):
            h.update(np.ascontiguousarray(part).tobytes())
        h.update(f"{self.duty.capacity_ah} {self.duty.step_minutes} {self.pack.capacity_ah}".encode())
        return h.hexdigest()[:16]


def conform(wh: Warehouse, settings: Settings, candidates: Sequence[Candidate]) -> Conformed:
    """Write ``out_conformance`` for a stratified sample; the same inputs give the same rows and cost nothing again.

    Parameters
    ----------
    wh, settings
        The open warehouse; ``conformance_samples`` and ``conformance_days`` of the settings.
    candidates
        Vehicle-policies to choose from, in order of vehicle and policy.

    Returns
    -------
    Conformed
        Its ``passed`` is False when a sample errs by more than its budget.
    """
    able = [c for c in candidates if sei.members(c.cell_id, settings.home)]
    wanted = settings.conformance_samples
    picked = [able[i] for i in sample_by_cell(able, 2 * wanted)]
    least = min(LEAST_DAYS, settings.conformance_days) * 24 * 60
    samples = [s for s in _samples(wh, settings, picked) if s.duty.steps * s.duty.step_minutes >= least]
    return run_samples(wh, settings, samples[:wanted])


def run_samples(wh: Warehouse, settings: Settings, samples: Sequence[Sample]) -> Conformed:
    """Run the samples that are new or have changed, keep the others' rows, write the table."""
    known = {row["sample_id"]: row for row in wh.read("SELECT * FROM out_conformance ORDER BY sample_id").to_dicts()}
    rows: list[dict[str, Any]] = []
    fresh: list[tuple[Sample, str]] = []
    unsolved: list[str] = []
    for sample in sorted(samples, key=lambda s: s.sample_id):
        version = f"{sample.version} {settings.pybamm_budget_pp}"
        subject = f"{SUBJECT} {sample.policy_id} {sample.law.law_id}"
        if sample.sample_id in known and state(wh, sample.vehicle_id, subject) == version:
            rows.append(known[sample.sample_id])
            continue
        try:
            result = conformance(sample.duty, sample.pack, sample.law, settings.conformance_days)
        except ReferenceUnsolved as e:
            unsolved.append(f"{sample.sample_id}: {e}")
            continue
        rows.append(_row(sample, result, settings.pybamm_budget_pp))
        fresh.append((sample, version))
    if rows or known:
        with wh.transaction():
            schema = wh.read("SELECT * FROM out_conformance LIMIT 0").schema
            wh.write("out_conformance", pl.DataFrame(rows, schema=schema, orient="row"))
            for sample, version in fresh:
                set_state(wh, sample.vehicle_id, f"{SUBJECT} {sample.policy_id} {sample.law.law_id}", version)
    errors = np.abs([row["error_pp"] for row in rows]) if rows else np.zeros(1)
    return Conformed(
        samples=len(rows),
        computed=len(fresh),
        error_p95_pp=float(np.quantile(errors, 0.95)),
        error_of_loss_frac=max((_of_loss(row) for row in rows), default=0.0),
        passed=all(row["passed"] for row in rows) and (bool(rows) or not unsolved),
        unsolved=tuple(unsolved),
    )


def _samples(wh: Warehouse, settings: Settings, picked: Sequence[Candidate]) -> list[Sample]:
    vehicles, homes = load_vehicles(wh), load_homes(wh)
    known = {p.policy_id: p for p in policies(settings.home)}
    out: list[Sample] = []
    runs: Counter[str] = Counter()  # of each cell: its members take turns
    for i, candidate in enumerate(picked):
        vehicle = vehicles[candidate.vehicle_id]
        pack = pack_of(vehicle, settings.home)
        if candidate.policy_id == AS_DRIVEN:
            duty = load_duty(wh, vehicle, pack)
        else:
            home = homes[vehicle.home_id]
            year = load_year(wh, vehicle, home, pack)
            done = dispatch(
                year,
                known[candidate.policy_id],
                charger(home.charger_id, settings.home),
                tariff(home.tariff_id, settings.home),
                pack,
                1.0,
            )
            duty = duty_of(done, year, pack)
        days = duty.steps * duty.step_minutes // (24 * 60)
        first = (i * 91) % max(days - settings.conformance_days + 1, 1)
        members = sei.members(candidate.cell_id, settings.home)
        duty = cut_days(duty, first, settings.conformance_days)
        law = members[runs[candidate.cell_id] % len(members)]
        runs[candidate.cell_id] += 1
        out.append(Sample(candidate.vehicle_id, candidate.policy_id, duty, pack, law))
    return out


def _of_loss(row: dict[str, Any]) -> float:
    """Absolute error relative to the loss; 0 where next to nothing was lost."""
    relative = row["error_of_loss_frac"]
    if not relative or abs(row["error_pp"] / relative) < LEAST_LOSS_PP:
        return 0.0
    return abs(float(relative))


def _row(sample: Sample, result: ConformanceResult, budget_pp: float) -> dict[str, Any]:
    allowed = min(result.budget_pp, budget_pp)
    row = {
        "sample_id": sample.sample_id,
        "vehicle_id": sample.vehicle_id,
        "policy_id": sample.policy_id,
        "law_id": result.law_id,
        "parameter_set": result.parameter_set,
        "temp_mean_c": result.temp_mean_c,
        "temp_max_c": result.temp_max_c,
        "c_rate_p95": result.c_rate_p95,
        "mean_soc_frac": result.mean_soc_frac,
        "days": result.days,
        "capacity_kernel_frac": result.capacity_kernel_frac,
        "capacity_pybamm_frac": result.capacity_pybamm_frac,
        "error_pp": result.error_pp,
        "error_of_loss_frac": result.error_of_loss_frac,
        "budget_pp": allowed,
        "passed": abs(result.error_pp) <= allowed,
    }
    row["passed"] = row["passed"] and _of_loss(row) <= LOSS_BUDGET_FRAC
    return row
