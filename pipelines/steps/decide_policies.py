"""Policies on one vehicle's representative year: dispatch, bill, duty and exposures at falling capacity."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from models.bill import bill_money_per_year
from models.dispatch import Dispatched, changed_days_frac, dispatch, duty_of
from models.domain import Duty, FloatArray, Policy
from models.exposure import LEVELS, level_exposures, year_exposures
from models.laws.plating import plating_exposure
from models.laws.sei import SeiLaw
from models.resistance_growth import growth_law
from pipelines.steps.decide_types import PolicyYear, VehicleInputs


class _Cache:
    """Exposures by the content of a dispatch: homes that cannot export have many policies of the same duty."""

    def __init__(self, inputs: VehicleInputs) -> None:
        self._inputs = inputs
        self._known: dict[bytes, tuple[Duty, dict[str, FloatArray], dict[str, float], FloatArray]] = {}

    def of(self, done: tuple[Dispatched, ...]) -> tuple[Duty, dict[str, FloatArray], dict[str, float], FloatArray]:
        """Duty at full capacity, law -> (levels, 12, k), law -> share outside its range, a year for the resistance."""
        h, year = hashlib.sha256(), self._inputs.year
        for d in done:  # the start and all flows: the rest follows from them
            driven = ((d.drive_kwh, year.drive_kwh), (d.away_charge_kwh, year.away_charge_kwh))
            h.update(bytes(own is given for own, given in driven))
            cut = [own for own, given in driven if own is not given]
            for a in (d.energy_kwh[:1], d.charge_kwh, d.export_kwh, *cut):
                h.update(np.ascontiguousarray(a).tobytes())
        key = h.digest()
        if key not in self._known:
            self._known[key] = self._make(done)
        return self._known[key]

    def _make(self, done: tuple[Dispatched, ...]) -> tuple[Duty, dict[str, FloatArray], dict[str, float], FloatArray]:
        i = self._inputs
        duties = [duty_of(d, i.year, i.pack) for d in done]
        stacked = level_exposures(duties, i.pack, i.laws)
        outside = {law.law_id: law.range_check(duties[0], i.pack).outside_frac for law in i.laws}
        law = growth_law()
        ohms = year_exposures(duties[0], i.pack, (law,))[law.law_id].sum(axis=0)
        return duties[0], stacked, outside, ohms


def run_policies(inputs: VehicleInputs) -> tuple[PolicyYear, ...]:
    """Every policy, dispatched at each capacity of `LEVELS`; in the order of the policies."""
    cache = _Cache(inputs)
    full: dict[str, Dispatched] = {}
    out: list[PolicyYear] = []
    for policy in inputs.policies:
        done = tuple(
            dispatch(inputs.year, policy, inputs.charger, inputs.tariff, inputs.pack, level) for level in LEVELS
        )
        full[policy.policy_id] = done[0]
        duty, exposures, outside, ohms = cache.of(done)
        year = _policy_year(inputs, policy, done[0], duty, exposures, outside, full)
        out.append(replace(year, resistance_z=ohms, plating_hours=_plating_hours(inputs, duty)))
    return tuple(out)


def _plating_hours(inputs: VehicleInputs, duty: Duty) -> float | None:
    """Hours a year below 0 V on the anode; None where no member of the ensemble knows the anode."""
    law = next((law for law in inputs.laws if isinstance(law, SeiLaw)), None)
    found = plating_exposure(duty, inputs.pack, law.home) if law else None
    return found.hours_per_year if found else None


def policy_duty(inputs: VehicleInputs, policy_id: str) -> Duty:
    """Duty of one policy at full capacity, e.g. to run it through PyBaMM."""
    policy = next(p for p in inputs.policies if p.policy_id == policy_id)
    done = dispatch(inputs.year, policy, inputs.charger, inputs.tariff, inputs.pack, 1.0)
    return duty_of(done, inputs.year, inputs.pack)


def _policy_year(
    inputs: VehicleInputs,
    policy: Policy,
    done: Dispatched,
    duty: Duty,
    exposures: dict[str, FloatArray],
    outside: dict[str, float],
    full: dict[str, Dispatched],
) -> PolicyYear:
    uncapped = full.get(policy.uncapped_policy_id)
    rate = np.abs(duty.current_a.sum(axis=1)) / duty.capacity_ah
    flowing = rate[rate > 1e-4]
    return PolicyYear(
        policy=policy,
        export_kwh=done.export_kwh_per_year,
        export_hours=done.export_hours_per_year,
        charge_kwh=done.charge_kwh_per_year,
        full_cycles=done.throughput_kwh_per_year / inputs.pack.usable_kwh,
        mean_soc_frac=done.mean_soc_frac,
        bill_money=bill_money_per_year(done, inputs.year),
        outage_hours=done.outage_hours,
        outage_hours_bridged=done.outage_bridged_hours,
        unserved_drive_kwh=done.unserved_drive_kwh,
        drive_kwh=float(inputs.year.drive_kwh.sum()),
        cap_changed_days_frac=None if uncapped is None else changed_days_frac(done, uncapped),
        temp_mean_c=float(duty.temp_c.mean()),
        c_rate_p95=float(np.quantile(flowing, 0.95)) if flowing.size else 0.0,
        exposures=exposures,
        outside_frac=outside,
    )
