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

import numpy as np

from models.dispatch_blocks import full_step_kwh, prepare
from models.dispatch_duty import at_meter, duty_of, energy_of_soc, soc_of_energy, window_energy
from models.dispatch_kernel import (
    ARBITRAGE,
    IMMEDIATE,
    NONE,
    OUTAGE,
    PEAK,
    SMART,
    SOLAR,
    Knobs,
    run_policy,
    run_recorded,
)
from models.domain import (
    DAYS_PER_YEAR,
    REPRESENTATIVE_WEEKS,
    Charger,
    FloatArray,
    Pack,
    Policy,
    RepresentativeYear,
    Tariff,
)
from models.representative import no_export_twin

__all__ = ["Dispatched", "changed_days_frac", "dispatch", "duty_of", "energy_of_soc", "soc_of_energy"]

EXPORT_CODES = {"none": NONE, "outage": OUTAGE, "peak": PEAK, "solar": SOLAR, "arbitrage": ARBITRAGE}
CHARGING_CODES = {"immediate": IMMEDIATE, "smart": SMART}
YEAR_SCALE = DAYS_PER_YEAR / (REPRESENTATIVE_WEEKS * 7)
WARM_UP_DAYS = 14
USUAL_TOP = 0.98  # the car is below what its driver fills up to for this share of the time
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
        ``energy[t+1] = energy[t] - drive + away + charge - export``. [kWh]
    meter_in_kwh, meter_out_kwh
        ``charge / efficiency + standby`` bought and ``export * efficiency - standby`` delivered, shape (n,). [kWh]
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
    meter_in_kwh: FloatArray
    meter_out_kwh: FloatArray
    outage_hours: float
    outage_bridged_hours: float
    unserved_drive_kwh: float
    clipped_kwh: float

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
            year = no_export_twin(year)
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
    energy = np.zeros(n + 1)
    drive, away, charge, export, spill = *(np.zeros(n) for _ in range(4)), np.zeros(4)

    def run(first: int, start_kwh: float) -> float:
        spill[:] = 0
        return run_policy(
            first, prepared.blocks, prepared.holds, prepared.need_kwh, prepared.sun_after_kwh, prepared.grid_after_kwh,
            prepared.cheap, prepared.dear, year.plugged, year.drive_kwh, year.away_charge_kwh, year.outage,
            prepared.resid_kw, prepared.sun_kwh, prepared.full_kwh, year.import_money_per_kwh, year.peak, start_kwh,
            knobs, CHARGING_CODES[policy.charging], EXPORT_CODES[policy.export], spd, energy,
            drive, away, charge, export, spill,
        )  # fmt: skip

    run(0, run(max(n - WARM_UP_DAYS * spd - spd // 2, 0), knobs.ceiling))
    return _result(year, policy, charger, pack, capacity_frac, energy, drive, away, charge, export, spill)


def _recorded(
    year: RepresentativeYear, policy: Policy, charger: Charger, pack: Pack, capacity_frac: float
) -> Dispatched:
    n = year.steps
    usable = pack.usable_kwh * capacity_frac
    net = year.away_charge_kwh - year.drive_kwh + year.recorded_charge_kwh - year.recorded_export_kwh
    start = float(energy_of_soc(pack, year.recorded_start_soc_frac)) * pack.usable_kwh
    rank = int(USUAL_TOP * (n - 1))
    highest = start + float(np.partition(np.cumsum(net), rank)[rank])
    top = min(max(highest / pack.usable_kwh, 0.0), 1.0) * usable
    energy = np.zeros(n + 1)
    drive, away, charge, export, spill = *(np.zeros(n) for _ in range(4)), np.zeros(4)
    run_recorded(
        year.drive_kwh, year.away_charge_kwh, year.recorded_charge_kwh, year.recorded_export_kwh,
        full_step_kwh(charger, year.step_minutes / 60), usable,
        min(max(top - (highest - start), 0.0), usable), energy, drive, away, charge, export, spill,
    )  # fmt: skip
    return _result(year, policy, charger, pack, capacity_frac, energy, drive, away, charge, export, spill)


def _result(
    year: RepresentativeYear,
    policy: Policy,
    charger: Charger,
    pack: Pack,
    capacity_frac: float,
    energy: FloatArray,
    drive: FloatArray,
    away: FloatArray,
    charge: FloatArray,
    export: FloatArray,
    spill: FloatArray,
) -> Dispatched:
    dt = year.step_minutes / 60
    standby_kwh = charger.standby_kw * dt
    soc, share = window_energy(pack)
    soc_frac, meter_in, meter_out = np.empty(energy.size), np.empty(charge.size), np.empty(charge.size)
    at_meter(
        energy, pack.usable_kwh * capacity_frac, share, soc, charge, export, charger.charge_efficiency_frac,
        charger.export_efficiency_frac, standby_kwh, soc_frac, meter_in, meter_out,
    )  # fmt: skip
    dark = np.flatnonzero(year.outage)
    load_kwh = year.load_kw[dark] * dt
    served = np.minimum(meter_out[dark], load_kwh)
    shares = np.divide(served, load_kwh, out=np.zeros_like(served), where=load_kwh > 0)
    return Dispatched(
        policy_id=policy.policy_id,
        capacity_frac=capacity_frac,
        step_minutes=year.step_minutes,
        soc_frac=soc_frac,
        energy_kwh=energy,
        drive_kwh=drive,
        away_charge_kwh=away,
        charge_kwh=charge,
        export_kwh=export,
        meter_in_kwh=meter_in,
        meter_out_kwh=meter_out,
        outage_hours=float(dark.size) * dt,
        outage_bridged_hours=float(shares.sum()) * dt,
        unserved_drive_kwh=float(spill[0]),
        clipped_kwh=float(spill[1] + spill[2] + spill[3]),
    )


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
