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
from weakref import WeakKeyDictionary

import numpy as np

from models.dispatch_kernel import (
    ARBITRAGE,
    IMMEDIATE,
    NONE,
    OUTAGE,
    PEAK,
    SMART,
    SOLAR,
    Knobs,
    cut_blocks,
    find_windows,
    run_policy,
    run_recorded,
    trip_needs,
)
from models.domain import (
    DAYS_PER_YEAR,
    REPRESENTATIVE_WEEKS,
    Charger,
    Duty,
    FloatArray,
    IntArray,
    Pack,
    Policy,
    RepresentativeYear,
    Tariff,
    Use,
)
from models.packs import energy_curve
from models.thermal import cell_temperature

EXPORT_CODES = {"none": NONE, "outage": OUTAGE, "peak": PEAK, "solar": SOLAR, "arbitrage": ARBITRAGE}
CHARGING_CODES = {"immediate": IMMEDIATE, "smart": SMART}
YEAR_SCALE = DAYS_PER_YEAR / (REPRESENTATIVE_WEEKS * 7)
WARM_UP_DAYS = 14
CHANGED_KWH = 0.01
DUTY_START = np.datetime64("2001-01-01T00:00:00", "us")  # a Monday: step 0 of a representative year, local time


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


@dataclass(frozen=True, eq=False)
class _Blocks:
    blocks: IntArray
    need_kwh: FloatArray
    sun_after_kwh: FloatArray
    cheap: IntArray
    dear: IntArray
    resid_kw: FloatArray
    sun_kwh: FloatArray
    full_kwh: FloatArray


_PREPARED: WeakKeyDictionary[RepresentativeYear, dict[Charger, _Blocks]] = WeakKeyDictionary()


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
    ``as_driven`` replays the recorded energies; with less capacity the car is charged to the same highest displayed
    SOC, and what is missing below empty is charged on the way and not at home. A year's export cap counts from week 1.
    """
    if not 0.2 <= capacity_frac <= 1.2:
        raise ValueError(f"capacity_frac must lie within 0.2 and 1.2, got {capacity_frac:g}.")
    if tariff.currency != year.currency:
        raise ValueError(f"Tariff {tariff.tariff_id} is in {tariff.currency}, the year's prices in {year.currency}.")
    if policy.charging == "as_driven":
        return _recorded(year, policy, charger, pack, capacity_frac)
    if policy.charging not in CHARGING_CODES or policy.export not in EXPORT_CODES:
        raise ValueError(f"Policy {policy.policy_id}: no rule '{policy.charging}' or '{policy.export}'.")
    prepared = _prepare(year, charger)
    usable = pack.usable_kwh * capacity_frac
    lim = policy.limits
    dt = year.step_minutes / 60
    full = _full_step_kwh(charger, dt)
    knobs = Knobs(
        dt=dt,
        usable=usable,
        ceiling=energy_of_soc(pack, lim.soc_ceiling_frac) * usable,
        floor=energy_of_soc(pack, lim.soc_floor_frac) * usable,
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
            first, prepared.blocks, prepared.need_kwh, prepared.sun_after_kwh, prepared.cheap, prepared.dear,
            year.plugged, year.drive_kwh, year.away_charge_kwh, year.outage, prepared.resid_kw, prepared.sun_kwh,
            prepared.full_kwh, year.import_money_per_kwh, year.peak, start_kwh, knobs, CHARGING_CODES[policy.charging],
            EXPORT_CODES[policy.export], spd, energy, drive, away, charge, export, spill,
        )  # fmt: skip

    run(0, run(max(n - WARM_UP_DAYS * spd - spd // 2, 0), knobs.ceiling))
    return _result(year, policy, charger, pack, capacity_frac, energy, drive, away, charge, export, spill)


def _recorded(
    year: RepresentativeYear, policy: Policy, charger: Charger, pack: Pack, capacity_frac: float
) -> Dispatched:
    n = year.steps
    usable = pack.usable_kwh * capacity_frac
    net = year.away_charge_kwh - year.drive_kwh + year.recorded_charge_kwh - year.recorded_export_kwh
    start = energy_of_soc(pack, year.recorded_start_soc_frac) * pack.usable_kwh
    highest = start + max(float(np.cumsum(net).max()), 0.0)
    top = min(highest / pack.usable_kwh, 1.0) * usable
    energy = np.zeros(n + 1)
    drive, away, charge, export, spill = *(np.zeros(n) for _ in range(4)), np.zeros(4)
    run_recorded(
        year.drive_kwh, year.away_charge_kwh, year.recorded_charge_kwh, year.recorded_export_kwh, usable,
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
    meter_in = np.where(charge > 0, charge / charger.charge_efficiency_frac + standby_kwh, 0.0)
    meter_out = np.where(export > 0, np.maximum(export * charger.export_efficiency_frac - standby_kwh, 0.0), 0.0)
    load_kwh = year.load_kw * dt
    served = np.minimum(meter_out[year.outage], load_kwh[year.outage])
    shares = np.divide(served, load_kwh[year.outage], out=np.zeros_like(served), where=load_kwh[year.outage] > 0)
    return Dispatched(
        policy_id=policy.policy_id,
        capacity_frac=capacity_frac,
        step_minutes=year.step_minutes,
        soc_frac=soc_of_energy(pack, energy / (pack.usable_kwh * capacity_frac)),
        energy_kwh=energy,
        drive_kwh=drive,
        away_charge_kwh=away,
        charge_kwh=charge,
        export_kwh=export,
        meter_in_kwh=meter_in,
        meter_out_kwh=meter_out,
        outage_hours=float(np.count_nonzero(year.outage)) * dt,
        outage_bridged_hours=float(shares.sum()) * dt,
        unserved_drive_kwh=float(spill[0]),
        clipped_kwh=float(spill[1] + spill[2] + spill[3]),
    )


def _least(a: float, b: float | None) -> float:
    return a if b is None else min(a, b)


def _full_step_kwh(charger: Charger, dt: float) -> float:
    return max(charger.charge_kw - charger.standby_kw, 0.0) * charger.charge_efficiency_frac * dt


def _prepare(year: RepresentativeYear, charger: Charger) -> _Blocks:
    """What does not depend on the policy, kept as long as the year lives."""
    known = _PREPARED.setdefault(year, {})
    if charger not in known:
        dt = year.step_minutes / 60
        n, spd = year.steps, 24 * 60 // year.step_minutes
        may = year.plugged & ~year.outage
        full = np.where(may, _full_step_kwh(charger, dt), 0.0)
        surplus_kw = np.minimum(np.maximum(year.pv_kw - year.load_kw, 0.0), charger.charge_kw)
        sun = np.maximum(surplus_kw - charger.standby_kw, 0.0) * charger.charge_efficiency_frac * dt
        sun = np.where(may, np.minimum(sun, full), 0.0)
        resid = np.where(year.outage, year.load_kw, np.maximum(year.load_kw - year.pv_kw, 0.0))
        windows = find_windows(year.plugged)
        blocks = cut_blocks(windows, spd, n)
        sums = np.concatenate([[0.0], np.cumsum(sun)])
        sun_after = sums[windows[blocks[:, 2], 1]] - sums[blocks[:, 1]] if len(blocks) else np.zeros(0)
        block = np.zeros(n, np.int64)
        block[blocks[:, 0]] = 1
        block[blocks[blocks[:, 1] < n, 1]] = 1
        block = np.cumsum(block)
        t = np.arange(n)
        known[charger] = _Blocks(
            blocks=blocks,
            need_kwh=trip_needs(windows, year.drive_kwh - year.away_charge_kwh, full, n),
            sun_after_kwh=sun_after,
            cheap=np.lexsort((-t, year.import_money_per_kwh, block)),
            dear=np.lexsort((t, -year.import_money_per_kwh, block)),
            resid_kw=resid,
            sun_kwh=sun,
            full_kwh=full,
        )
    return known[charger]


def _window_energy(pack: Pack) -> tuple[FloatArray, FloatArray]:
    """Displayed SOC and share of the usable energy below it, both increasing from 0 to 1."""
    inside = (pack.ocv.cell_soc_frac > pack.window_low_frac) & (pack.ocv.cell_soc_frac < pack.window_high_frac)
    soc = np.concatenate([[pack.window_low_frac], pack.ocv.cell_soc_frac[inside], [pack.window_high_frac]])
    share = np.interp(soc, pack.ocv.cell_soc_frac, energy_curve(pack.ocv))
    return (soc - soc[0]) / (soc[-1] - soc[0]), (share - share[0]) / (share[-1] - share[0])


def energy_of_soc(pack: Pack, soc_frac: float) -> float:
    """Share of the usable energy below a displayed state of charge. [1]"""
    soc, share = _window_energy(pack)
    return float(np.interp(soc_frac, soc, share))


def soc_of_energy(pack: Pack, share_frac: FloatArray) -> FloatArray:
    """Displayed state of charge at shares of the usable energy (clipped to 0..1). [1]"""
    soc, share = _window_energy(pack)
    return np.interp(share_frac, share, soc)


def changed_days_frac(capped: Dispatched, uncapped: Dispatched) -> float:
    """Share of the year's days on which a cap changed what was charged or exported by more than 0.01 kWh. [1]

    Steps are compared, not sums of days: the same energy at other hours is a change.
    """
    spd = 24 * 60 // capped.step_minutes
    changed = np.zeros(capped.charge_kwh.size // spd, dtype=bool)
    for a, b in ((capped.charge_kwh, uncapped.charge_kwh), (capped.export_kwh, uncapped.export_kwh)):
        changed |= np.abs(a - b).reshape(-1, spd).sum(axis=1) > CHANGED_KWH
    return float(changed.mean())


def duty_of(dispatched: Dispatched, year: RepresentativeYear, pack: Pack, step_minutes: int = 60) -> Duty:
    """What the battery goes through in a dispatched year.

    Currents are energies over the step's mean open-circuit voltage, so that they add up to the change of the cell's
    state of charge exactly; heat is the resistance times the mean square current of the fine steps; the temperature
    is `thermal.cell_temperature`, started in the middle of the year's first day.

    Parameters
    ----------
    step_minutes
        A multiple of the dispatch's step that divides a day. [min]

    Returns
    -------
    Duty
        364 whole local days from Monday, 2001-01-01 in standard time; ``filled`` is 2 (modelled) throughout.

    Raises
    ------
    ValueError
        The steps don't fit into each other.
    """
    fine = dispatched.step_minutes
    if step_minutes % fine or (24 * 60) % step_minutes:
        raise ValueError(f"step_minutes must be a multiple of {fine} that divides a day, got {step_minutes}.")
    per = step_minutes // fine
    capacity_ah = pack.capacity_ah * dispatched.capacity_frac
    cell_soc = pack.cell_soc(dispatched.soc_frac)
    net_kwh = np.diff(dispatched.energy_kwh)
    charge_ah = np.diff(cell_soc) * capacity_ah
    mid_v = pack.ocv_pack_v((cell_soc[1:] + cell_soc[:-1]) / 2)
    ah_per_kwh = np.divide(charge_ah, net_kwh, out=1000 / mid_v, where=np.abs(net_kwh) > 1e-6)
    amps = np.zeros((net_kwh.size, len(Use)))
    scale = ah_per_kwh * 60 / fine
    amps[:, Use.DRIVE] = -dispatched.drive_kwh * scale
    amps[:, Use.CHARGE] = (dispatched.charge_kwh + dispatched.away_charge_kwh) * scale
    amps[:, Use.EXPORT] = -dispatched.export_kwh * scale
    total = amps.sum(axis=1)
    heat_w = (total**2).reshape(-1, per).mean(axis=1) * pack.resistance_ohm
    ambient_c = year.ambient_c.reshape(-1, per).mean(axis=1)
    day = 24 * 60 // step_minutes
    return Duty(
        start_utc=DUTY_START - np.timedelta64(round(year.utc_offset_hours * 60), "m"),
        step_minutes=step_minutes,
        cell_soc_frac=np.ascontiguousarray(cell_soc[::per]),
        temp_c=cell_temperature(ambient_c, heat_w, pack, step_minutes, float(ambient_c[:day].mean())),
        current_a=amps.reshape(-1, per, len(Use)).mean(axis=1),
        capacity_ah=capacity_ah,
        filled=np.full(ambient_c.size, 2, np.uint8),
    )
