"""Policies put to work on a representative year: what the car charges and exports, step by step.

Order of a block (a plug-in window, cut at local noon): what must be in the battery at once · exports of the tariff's
peak and of outages · charging up to the target of the departure (the sun first, then the cheapest steps, the latest
of equals) · sun stored for the house · pairs of dear and cheap steps. No export is made that could not be charged
again before the car leaves.

Limits
------
House load, sun, prices and the departure are foreseen within a block (never beyond it); the charge power does not
taper; battery losses are part of the charger's efficiencies; in an outage the PV plant stands still and the grid
charges nothing; the house takes energy only up to its own load (vehicle-to-home, nothing is sold from the car).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from models.dispatch_blocks import full_step_kwh, outages_of, prepare, recorded_top_kwh, twin_of
from models.dispatch_duty import displayed_soc, duty_of, energy_of_soc, soc_of_energy
from models.dispatch_kernel import run_policy
from models.dispatch_moves import ARBITRAGE, IMMEDIATE, NONE, OUTAGE, PEAK, SMART, SOLAR, Knobs
from models.dispatch_recorded import run_recorded
from models.domain import (
    DAYS_PER_YEAR,
    REPRESENTATIVE_WEEKS,
    BoolArray,
    Charger,
    FloatArray,
    IntArray,
    Pack,
    Policy,
    RepresentativeYear,
    Tariff,
)

__all__ = ["Dispatched", "changed_days_frac", "dispatch", "duty_of", "energy_of_soc", "soc_of_energy"]

EXPORT_CODES = {"none": NONE, "outage": OUTAGE, "peak": PEAK, "solar": SOLAR, "arbitrage": ARBITRAGE}
CHARGING_CODES = {"immediate": IMMEDIATE, "smart": SMART}
YEAR_SCALE = DAYS_PER_YEAR / (REPRESENTATIVE_WEEKS * 7)
WARM_UP_DAYS = 14
CHANGED_KWH = 0.01


@dataclass(frozen=True, eq=False)
class Dispatched:
    """A representative year under one policy. Energies per step, at the battery unless they say meter.

    Parameters
    ----------
    policy_id
        Policy that was dispatched.
    capacity_frac
        Present over new capacity of the battery. [1]
    step_minutes
        Length of a step. [min]
    soc_frac, energy_kwh
        Displayed state of charge and usable energy at the step boundaries, shape (n + 1,). [1], [kWh]
    drive_kwh, away_charge_kwh, charge_kwh, export_kwh
        Served driving (net of recuperation), charge elsewhere, charge and export at home, shape (n,):
        ``energy[t+1] = energy[t] - drive + away + charge - export``. The first two are the year's own arrays where
        all was served. [kWh]
    busy
        Whether anything flows in a step, shape (n,).
    charger
        Whose losses lie between battery and meter.
    outage_hours, outage_bridged_hours
        Of the 52 weeks; an hour in which the car carries half the load counts half. [h]
    unserved_drive_kwh
        Driving that the battery could not give (charged on the way). [kWh]
    clipped_kwh
        Recorded charge and export, and charge elsewhere, that did not fit into the battery. [kWh]
    """

    policy_id: str
    capacity_frac: float
    step_minutes: int
    soc_frac: FloatArray
    energy_kwh: FloatArray
    drive_kwh: FloatArray
    away_charge_kwh: FloatArray
    charge_kwh: FloatArray
    export_kwh: FloatArray
    busy: BoolArray
    charger: Charger
    outage_hours: float
    outage_bridged_hours: float
    unserved_drive_kwh: float
    clipped_kwh: float

    @cached_property
    def meter_in_kwh(self) -> FloatArray:
        """Bought: ``charge / efficiency + standby``, shape (n,). [kWh]"""
        bought = self.charge_kwh / self.charger.charge_efficiency_frac + self.charger.standby_kw * self._hours
        return np.where(self.charge_kwh > 0, bought, 0.0)

    @cached_property
    def meter_out_kwh(self) -> FloatArray:
        """Delivered: ``export * efficiency - standby``, shape (n,). [kWh]"""
        return _delivered_kwh(self.export_kwh, self.charger, self._hours)

    @property
    def _hours(self) -> float:
        return self.step_minutes / 60

    @property
    def export_kwh_per_year(self) -> float:
        """Exported at the battery, scaled from 52 weeks to a year. [kWh/a]"""
        return float(self.export_kwh.sum()) * YEAR_SCALE

    @property
    def charge_kwh_per_year(self) -> float:
        """Charged at home, at the battery. [kWh/a]"""
        return float(self.charge_kwh.sum()) * YEAR_SCALE

    @property
    def export_hours_per_year(self) -> float:
        """Hours with export. [h/a]"""
        return float(np.count_nonzero(self.export_kwh > 0)) * self.step_minutes / 60 * YEAR_SCALE

    @property
    def mean_soc_frac(self) -> float:
        """Mean displayed state of charge. [1]"""
        return float(((self.soc_frac[1:] + self.soc_frac[:-1]) / 2).mean())

    @property
    def throughput_kwh_per_year(self) -> float:
        """Half of all that went in and out: over the usable energy it gives equivalent full cycles a year. [kWh/a]"""
        moved = np.abs(self.drive_kwh).sum() + self.away_charge_kwh.sum()
        return float(moved + self.charge_kwh.sum() + self.export_kwh.sum()) / 2 * YEAR_SCALE


def dispatch(
    year: RepresentativeYear, policy: Policy, charger: Charger, tariff: Tariff, pack: Pack, capacity_frac: float = 1.0
) -> Dispatched:
    """Dispatch one policy on a representative year.

    Parameters
    ----------
    year
        Life, house, sun, prices and weather, 15-minute steps.
    policy
        Charging rule, limits and when to export. Limits of energy and SOC are at the battery, of power at the meter.
    charger
        Powers, efficiencies, standby.
    tariff
        Must be in the currency of the year; its prices, peak and cheap hours are in the year already.
    pack
        Battery when new.
    capacity_frac
        Present over new capacity. [1]

    Returns
    -------
    Dispatched

    Raises
    ------
    ValueError
        A capacity outside 0.2..1.2, a tariff of another currency, an unknown rule.

    Notes
    -----
    The year is periodic: a policy starts with the energy that the last two weeks of the year leave behind.
    ``as_driven`` replays the recorded energies; with less capacity the car is charged to the same usual highest
    displayed SOC; what the battery cannot give or take is made good at the next recorded charge. A year's export cap
    counts from week 1.
    """
    if not 0.2 <= capacity_frac <= 1.2:
        raise ValueError(f"capacity_frac must lie within 0.2 and 1.2, got {capacity_frac:g}.")
    if tariff.currency != year.currency:
        raise ValueError(f"Tariff {tariff.tariff_id} is in {tariff.currency}, the year's prices in {year.currency}.")
    if policy.charging == "as_driven":
        if policy.export == "none":
            year = twin_of(year)
        return _recorded(year, policy, charger, pack, capacity_frac)
    if policy.charging not in CHARGING_CODES or policy.export not in EXPORT_CODES:
        raise ValueError(f"Policy {policy.policy_id}: no rule '{policy.charging}' or '{policy.export}'.")
    prepared = prepare(year, charger)
    usable = pack.usable_kwh * capacity_frac
    lim = policy.limits
    dt = year.step_minutes / 60
    full = full_step_kwh(charger, dt)
    knobs = Knobs(
        dt=dt,
        per_hour=1 / dt,
        usable=usable,
        ceiling=float(energy_of_soc(pack, lim.soc_ceiling_frac)) * usable,
        floor=float(energy_of_soc(pack, lim.soc_floor_frac)) * usable,
        reserve=lim.driving_reserve_kwh,
        eta_export=charger.export_efficiency_frac,
        standby=charger.standby_kw,
        export_kw=_least(charger.export_kw, lim.export_kw),
        min_kw=charger.min_export_kw,
        day_kwh=_least(np.inf, lim.export_kwh_per_day),
        day_hours=_least(np.inf, lim.export_hours_per_day),
        year_kwh=_least(np.inf, lim.export_kwh_per_year) / YEAR_SCALE,
        sun_cost=year.feed_in_money_per_kwh / charger.charge_efficiency_frac,
        meter_per_kwh=1 / charger.charge_efficiency_frac + (charger.standby_kw * dt / full if full else 0.0),
    )
    n = year.steps
    spd = 24 * 60 // year.step_minutes
    made = _Made(n)

    def run(first: int, start_kwh: float) -> float:
        made.spill[:] = 0
        last_kwh, made.cuts, made.even = run_policy(
            first, prepared.blocks, prepared.holds, prepared.need_kwh, prepared.sun_after_kwh, prepared.grid_after_kwh,
            prepared.cheap, prepared.dear, year.drive_kwh, year.away_charge_kwh, year.outage, prepared.resid_kw,
            prepared.sun_kwh, prepared.full_kwh, year.import_money_per_kwh, year.peak, start_kwh, knobs,
            CHARGING_CODES[policy.charging], EXPORT_CODES[policy.export], spd, made.energy, made.charge, made.export,
            made.cut_step, made.cut_kwh, made.spill,
        )  # fmt: skip
        return last_kwh

    run(0, run(max(n - WARM_UP_DAYS * spd - spd // 2, 0), knobs.ceiling))
    return made.result(year, policy, charger, pack, capacity_frac)


def _recorded(
    year: RepresentativeYear, policy: Policy, charger: Charger, pack: Pack, capacity_frac: float
) -> Dispatched:
    usable = pack.usable_kwh * capacity_frac
    start = float(energy_of_soc(pack, year.recorded_start_soc_frac)) * pack.usable_kwh
    highest = start + recorded_top_kwh(year)
    top = min(max(highest / pack.usable_kwh, 0.0), 1.0) * usable
    made = _Made(year.steps)
    made.cuts, made.even = run_recorded(
        year.drive_kwh, year.away_charge_kwh, year.recorded_charge_kwh, year.recorded_export_kwh,
        full_step_kwh(charger, year.step_minutes / 60), usable, min(max(top - (highest - start), 0.0), usable),
        made.energy, made.charge, made.export, made.cut_step, made.cut_kwh, made.spill,
    )  # fmt: skip
    return made.result(year, policy, charger, pack, capacity_frac)


class _Made:
    """What the kernels fill: energy, charge, export, and the steps whose driving or charge elsewhere was cut."""

    def __init__(self, steps: int) -> None:
        self.energy, self.charge, self.export = np.empty(steps + 1), np.empty(steps), np.empty(steps)
        self.cut_step: IntArray = np.empty(steps, np.int64)
        self.cut_kwh, self.spill, self.cuts, self.even = np.empty((steps, 2)), np.zeros(4), 0, 0

    def result(
        self, year: RepresentativeYear, policy: Policy, charger: Charger, pack: Pack, capacity_frac: float
    ) -> Dispatched:
        """Dispatched year: displayed charge, outages bridged."""
        hours = year.step_minutes / 60
        dark, load_kwh = outages_of(year)
        given, bridged = self.export[dark], 0.0
        if given.any():
            served = np.minimum(_delivered_kwh(given, charger, hours), load_kwh)
            shares = np.divide(served, load_kwh, out=np.zeros_like(served), where=load_kwh > 0)
            bridged = float(shares.sum()) * hours
        soc, busy = displayed_soc(pack, self.energy, pack.usable_kwh * capacity_frac)
        drive, away = self._served(year.drive_kwh, 0), self._served(year.away_charge_kwh, 1)
        if self.even:  # what flows may cancel out
            busy |= (drive != 0.0) | (away != 0.0) | (self.charge != 0.0) | (self.export != 0.0)
        return Dispatched(
            policy_id=policy.policy_id,
            capacity_frac=capacity_frac,
            step_minutes=year.step_minutes,
            soc_frac=soc,
            energy_kwh=self.energy,
            drive_kwh=drive,
            away_charge_kwh=away,
            charge_kwh=self.charge,
            export_kwh=self.export,
            busy=busy,
            charger=charger,
            outage_hours=float(dark.size) * hours,
            outage_bridged_hours=bridged,
            unserved_drive_kwh=float(self.spill[0]),
            clipped_kwh=float(self.spill[1] + self.spill[2] + self.spill[3]),
        )

    def _served(self, asked: FloatArray, column: int) -> FloatArray:
        at, served = self.cut_step[: self.cuts], self.cut_kwh[: self.cuts, column]
        if not self.cuts or np.array_equal(asked[at], served):
            return asked
        out = asked.copy()
        out[at] = served
        return out


def _delivered_kwh(export_kwh: FloatArray, charger: Charger, hours: float) -> FloatArray:
    delivered = np.maximum(export_kwh * charger.export_efficiency_frac - charger.standby_kw * hours, 0.0)
    return np.where(export_kwh > 0, delivered, 0.0)


def _least(a: float, b: float | None) -> float:
    return a if b is None else min(a, b)


def changed_days_frac(capped: Dispatched, uncapped: Dispatched) -> float:
    """Share of the year's days on which a cap changed what was charged or exported by more than 0.01 kWh. [1]

    Steps are compared, not sums of days: the same energy at other hours is a change.
    """
    spd = 24 * 60 // capped.step_minutes
    changed = np.zeros(capped.charge_kwh.size // spd, dtype=bool)
    for a, b in ((capped.charge_kwh, uncapped.charge_kwh), (capped.export_kwh, uncapped.export_kwh)):
        changed |= np.abs(a - b).reshape(-1, spd).sum(axis=1) > CHANGED_KWH
    return float(changed.mean())
