"""A made year of vehicle-to-home: the duty on which the reduced routes are measured against PyBaMM.

A commuter's 52 weeks with weekends, trips of random length, seasons and weather of a simulated climate, dispatched
under one of the packaged policies at any present capacity: as demanding as a real car's year, without anybody's data.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from models.dispatch import dispatch
from models.dispatch_duty import duty_of
from models.domain import REPRESENTATIVE_WEEKS, Duty, Pack, RepresentativeYear
from models.packs import mean_ocv_v, ocv_of
from models.policies import charger, policy, tariff
from models.seeds import generator
from models.synthetic_world import air_temperature

STEPS_PER_DAY = 96
DAYS = REPRESENTATIVE_WEEKS * 7
SUMMER_KWH_PER_KM, COLD_EXTRA_FRAC_PER_K = 0.155, 0.012
GROSS_KWH = 62.0


@lru_cache(maxsize=16)
def v2h_pack(cell_id: str) -> Pack:
    """A compact car's pack of any cell: 62 kWh between the cell's voltage limits, 58 of them displayed.

    >>> round(v2h_pack("nmc811_lgm50").capacity_ah)
    173
    """
    ocv = ocv_of(cell_id)
    return Pack(
        vehicle_type="made",
        cell_id=cell_id,
        chemistry="made",
        n_series=96,
        capacity_ah=1000.0 * GROSS_KWH / (96 * mean_ocv_v(ocv)),
        gross_kwh=GROSS_KWH,
        usable_kwh=58.0,
        certified_kwh=58.0,
        window_low_frac=0.04,
        window_high_frac=0.97,
        resistance_ohm=0.085,
        ocv=ocv,
        heat_capacity_j_per_k=3.3e5,
        cooling_w_per_k=9.0,
    )


@lru_cache(maxsize=8)
def v2h_year(climate: str = "mild", seed: int = 1, shift_k: float = 0.0) -> RepresentativeYear:
    """Plug-in windows, driving, house and weather of one made car, 52 weeks in quarter-hours.

    Parameters
    ----------
    climate
        ``cold``, ``mild`` or ``hot``: a climate of the simulated fleet.
    seed
        Of everything that is random.
    shift_k
        Added to the air temperature. [K]
    """
    rng = generator(seed, "v2h year", climate)
    n = DAYS * STEPS_PER_DAY
    hours = np.arange(DAYS * 24)
    air = np.repeat(air_temperature(climate, hours, seed) + shift_k, 4)
    plugged = np.ones(n, dtype=bool)
    drive = np.zeros(n)
    away = np.zeros(n)
    for day in range(DAYS):
        weekend = day % 7 >= 5
        if rng.random() < (0.35 if weekend else 0.10):
            continue
        leave = int(rng.normal(42 if weekend else 30, 5 if weekend else 2))
        back = leave + max(int(rng.normal(14 if weekend else 40, 5)), 4)
        leave, back = day * STEPS_PER_DAY + max(leave, 12), day * STEPS_PER_DAY + min(back, 92)
        km = min(rng.lognormal(3.7, 0.7 if weekend else 0.35), 250.0)
        kwh = km * SUMMER_KWH_PER_KM * (1.0 + COLD_EXTRA_FRAC_PER_K * max(20.0 - air[leave], 0.0))
        plugged[leave:back] = False
        drive[leave : leave + 2] += 0.25 * kwh
        drive[back - 2 : back] += 0.25 * kwh
        if kwh > 25.0:
            away[leave + 2 : leave + 4] += 0.5 * min(kwh - 20.0, 20.0)
    hour = np.arange(n) // 4 % 24
    prices = tariff("us_ev2a_like")
    evening = np.isin(hour, (17, 18, 19, 20, 21))
    season = np.cos(2 * np.pi * np.arange(n) / n)
    load = (0.3 + 1.4 * evening + 0.4 * np.isin(hour, (6, 7, 8))) * (1.0 + 0.3 * season) * rng.gamma(4.0, 0.25, n)
    sun = 4.0 * np.maximum(np.sin((hour - 6) / 12 * np.pi), 0.0) * (1.0 - 0.6 * season)
    none = np.zeros(n)
    return RepresentativeYear(
        step_minutes=15,
        utc_offset_hours=0.0,
        plugged=plugged,
        drive_kwh=drive,
        away_charge_kwh=away,
        recorded_charge_kwh=none,
        recorded_export_kwh=none,
        load_kw=load,
        pv_kw=sun * np.repeat(rng.random(DAYS), STEPS_PER_DAY),
        import_money_per_kwh=np.tile(np.repeat(np.asarray(prices.import_money_per_kwh), 4), DAYS),
        feed_in_money_per_kwh=prices.feed_in_money_per_kwh,
        peak=np.isin(hour, prices.peak_hours),
        cheap=np.isin(hour, prices.cheap_hours),
        outage=np.zeros(n, dtype=bool),
        ambient_c=air,
        currency=prices.currency,
        km_per_year=14_000.0,
    )


def v2h_duty(
    pack: Pack,
    capacity_frac: float = 1.0,
    policy_id: str = "evening_peak",
    climate: str = "mild",
    seed: int = 1,
    shift_k: float = 0.0,
    step_minutes: int = 60,
) -> Duty:
    """Duty of a made year under a policy, dispatched at a present capacity, 364 days.

    Parameters
    ----------
    pack
        See `v2h_pack`.
    capacity_frac
        Present over new capacity: the same driving takes deeper swings of less. [1]
    policy_id
        Entry of ``parameters/policies.toml``.
    climate, seed, shift_k
        See `v2h_year`.
    step_minutes
        Of the duty. [min]
    """
    year = v2h_year(climate, seed, shift_k)
    done = dispatch(year, policy(policy_id), charger("v2h_10kw"), tariff("us_ev2a_like"), pack, capacity_frac)
    return duty_of(done, year, pack, step_minutes)
