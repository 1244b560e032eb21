"""One simulated car, point by point of five minutes: habits become currents, a battery answers.

Current is linear between points and zero at both ends of every drive, charge and export, so that a trapezoid over the
logged points is the true charge. The battery is not the one of the fitted models: it has a polarisation that relaxes,
a resistance that grows, a BMS with a capacity of its own in mind.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.domain import Charger, FloatArray, IntArray, Pack, Tariff
from models.seeds import generator
from models.synthetic_habits import RULES, STEPS_PER_HOUR, Car, Days

IDLE, DRIVING, CHARGING, EXPORTING, CHARGING_AWAY = -1, 0, 1, 2, 4
CHARGINGS = ("immediate", "smart", "solar", "arbitrage")
SOLAR_LEAST_KW = 1.4
RELAX_MINUTES = 20.0
RETHINK_HOURS = 6.0
_DEAR_HOURS, _CHEAP_HOURS = 5, 7
OCV_POINTS = 1001


@dataclass(frozen=True)
class Nature:
    """What is special about one pack and its sensors (drawn from ``parameters/synthetic.toml``, group scatter)."""

    ocv_error_v: float
    ocv_tilt_v: float
    bms_capacity_factor: float
    bms_bias_frac: float
    resistance_growth: float


@dataclass(frozen=True, eq=False)
class Run:
    """What happened, at points five minutes apart from the first day's midnight UTC, shape (n,).

    Parameters
    ----------
    act
        What the interval after a point serves: -1 nothing, 0 drive, 1 charge at home, 2 export, 4 charge away.
    ref
        Number of the drive, plug-in or charge away that a point belongs to; 0 = parked, not plugged in.
    current_a, voltage_v, cell_soc_frac, displayed_frac, temp_c, meter_kw, odometer_km
        True values; the displayed SOC is the BMS's.
    """

    act: NDArray[np.int8]
    plugged: NDArray[np.uint8]
    ref: IntArray
    current_a: FloatArray
    voltage_v: FloatArray
    cell_soc_frac: FloatArray
    displayed_frac: FloatArray
    temp_c: FloatArray
    ambient_c: FloatArray
    meter_kw: FloatArray
    odometer_km: FloatArray
    stranded_steps: int

    @property
    def export_kwh(self) -> float:
        """Energy exported, at the battery. [kWh]"""
        power = np.where(self.meter_kw < 0, -self.current_a * self.voltage_v / 1000.0, 0.0)
        return float(np.sum(power)) / STEPS_PER_HOUR


@njit(cache=True, nogil=True)
def _want(rule, charging, disp, act, mode, plugged, full, k, c, x):  # pragma: no cover
    """What the car wants to do in interval k; c = numbers of habit and charger, x = series (rows) of the intervals."""
    target, floor, least_export, charge_kw = c[0], c[1], c[2], c[3]
    peak, cheap, dear, bargain, outage, surplus, load, boost, away_kw = (
        x[0, k], x[1, k], x[2, k], x[3, k], x[4, k], x[5, k], x[6, k], x[7, k], x[8, k],
    )  # fmt: skip
    if mode == 1:
        return 0
    if mode == 2:
        return 4 if away_kw > 0 and disp < 0.8 else -1
    if plugged == 0:
        return -1
    if rule > 0:
        room = floor if act == 2 else floor + 0.04
        when = (rule == 1 and peak > 0) or (rule == 2 and x[9, k] > 0) or (rule == 3 and dear > 0)
        if ((when and disp > room) or (outage > 0 and disp > 0.2)) and load - surplus >= least_export and boost == 0:
            return 2
    if outage > 0 or charge_kw <= 0:
        return -1
    goal = 1.0 if full > 0 or boost > 0 else target
    below = disp < goal - (0.004 if act == 1 else 0.03)
    if boost > 0:
        return 1 if below else -1
    if disp < (c[11] + 0.1 if act == 1 else c[11]) and rule != 1 and full == 0:
        return 1
    if charging == 0:
        return 1 if below else -1
    if charging == 1:
        return 1 if below and cheap > 0 else -1
    if charging == 2:
        if below and surplus >= SOLAR_LEAST_KW:
            return 1
        night = goal if full > 0 else 0.6
        return 1 if cheap > 0 and disp < night - (0.0 if act == 1 else 0.03) else -1
    return 1 if below and bargain > 0 else -1


@njit(cache=True, nogil=True)
def _battery_kw(act, disp, k, charging, c, x, drive_kw, air):  # pragma: no cover
    """Battery power of an activity at point k, positive charging."""
    if act == 0:
        return -(drive_kw[k] * (1.0 + 0.012 * max(0.0, 16.0 - air)) + 0.3)
    taper = min(1.0, max(0.12, (1.03 - disp) / 0.18))
    if act == 4:
        return x[8, k] * 0.93 * taper
    charge_kw, eff_in, eff_out, standby, limit = c[3], c[4], c[5], c[6], c[7]
    if act == 1:
        ask = charge_kw
        if charging == 2 and x[1, k] == 0 and x[5, k] >= SOLAR_LEAST_KW and disp > 0.3:
            ask = min(charge_kw, x[5, k])
        return max(0.3, (ask - standby) * eff_in * taper)
    return -(min(max(x[6, k] - x[5, k], 0.0), limit) + standby) / eff_out


@njit(cache=True, nogil=True)
def _live(
    rule, charging, c, x, mode, drive_kw, km, plug_draw, full_draw, air, soh, ah, n_series, ocv_v, r25,
    low, high, heat_j_per_k, cool_w_per_k, nature, start, act_out, plugged_out, ref_out, out,
):  # pragma: no cover  # fmt: skip
    n = mode.shape[0]
    minutes = 5.0
    hours = minutes / 60.0
    z, temp, v1, odo, cur = start[0], air[0], 0.0, start[1], 0.0
    ocv_error, ocv_tilt, bms_factor, bms_bias, growth = nature
    relax = np.exp(-minutes / RELAX_MINUTES)
    think = np.exp(-minutes / 60.0 / RETHINK_HOURS)
    d = (z - low) / (high - low)
    disp = d + bms_bias * 4.0 * d * (1.0 - d)
    act, plugged, full, ref, count, stranded = -1, 0, 0, 0, 0, 0
    for k in range(n):
        m = mode[k]
        if m == 0 and (k == 0 or mode[k - 1] != 0):
            plugged = 1 if (plug_draw[k] < c[8] or disp < c[9]) else 0
            full = 1 if full_draw[k] < c[10] else 0
            count += plugged
            ref = count if plugged else 0
        elif m != 0 and (k == 0 or mode[k - 1] != m):
            plugged = 0
            count += 1
            ref = count if m == 1 or x[8, min(k + 1, n - 1)] > 0 else 0
        capacity = ah * soh[k // 288]
        if cur == 0.0:
            act = _want(rule, charging, disp, -1, m, plugged, full, k, c, x)
            if act == 0 and disp < 0.03:
                act = -1
        nxt = 0.0
        ohm = r25 * (1.0 + growth * (1.0 - soh[k // 288])) * np.exp(2500.0 * (1 / (temp + 273.15) - 1 / 298.15))
        place = z * (ocv_v.shape[0] - 1)
        left = min(int(place), ocv_v.shape[0] - 2)
        book = ocv_v[left] + (place - left) * (ocv_v[left + 1] - ocv_v[left])
        ocv = n_series * (book + ocv_error + ocv_tilt * (z - 0.5))
        if act >= 0 and k + 1 < n:
            same = mode[k + 1] == m
            if cur > 0.0 and z + 1.5 * cur * hours / capacity > 0.999:
                # Full by voltage, whatever the BMS believed: charging ends and the display is set right.
                same = False
                disp = max(disp, (z - low) / (high - low))
            ahead = disp + cur * hours / (capacity * bms_factor * (high - low))
            if (
                same
                and _want(rule, charging, ahead, act, m, plugged, full, k + 1, c, x) == act
                and (ahead > 0.03 or act == 1 or act == 4)
            ):
                p = 1000.0 * _battery_kw(act, ahead, k + 1, charging, c, x, drive_kw, air[k])
                u = ocv + v1
                nxt = (-u + np.sqrt(max(u * u + 4.0 * ohm * p, 0.25 * u * u))) / (2.0 * ohm)
            elif act == 0 and same:
                stranded += 1
        volts = ocv + v1 + cur * ohm
        power = cur * volts / 1000.0
        meter = 0.0
        if act == 1 and cur > 0:
            meter = power / c[4] + c[6]
        elif act == 2 and cur < 0:
            meter = min(power * c[5] + c[6], 0.0)
        act_out[k], plugged_out[k], ref_out[k] = act, plugged, ref
        out[0, k], out[1, k], out[2, k], out[3, k] = cur, volts, z, min(max(disp, 0.0), 1.0)
        out[4, k], out[5, k], out[6, k] = temp, meter, odo
        dq = 0.5 * (cur + nxt) * hours
        z = min(max(z + dq / capacity, 0.0), 1.0)
        disp += dq / (capacity * bms_factor * (high - low))
        d = (z - low) / (high - low)
        if cur == 0.0 and nxt == 0.0:
            disp = d + bms_bias * 4.0 * d * (1.0 - d) + (disp - d - bms_bias * 4.0 * d * (1.0 - d)) * think
        v1 = v1 * relax + 0.5 * (cur + nxt) * 0.45 * ohm * (1.0 - relax)
        heat = 0.5 * (cur * cur + nxt * nxt) * 1.45 * ohm
        temp += 300.0 * (heat + cool_w_per_k * (1.6 if m == 1 else 1.0) * (air[k] - temp)) / heat_j_per_k
        if act == 0 and (cur != 0.0 or nxt != 0.0):
            odo += km[k]
        cur = nxt
    return stranded


def _ranked(price: FloatArray, count: int, dearest: bool) -> FloatArray:
    """1 in the dearest (or cheapest) hours of each UTC day, shape of the price (hours)."""
    by_day = price.reshape(-1, 24)
    rank = np.argsort(np.argsort(-by_day if dearest else by_day, axis=1, kind="stable"), axis=1, kind="stable")
    return (rank < count).astype(float).ravel()


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What a car meets, hour by hour, shape (24 days,): air [°C], house load and PV [kWh], price, outage (0 or 1)."""

    air_c: FloatArray
    load_kwh: FloatArray
    pv_kwh: FloatArray
    price_money_per_kwh: FloatArray
    outage: FloatArray


def live(
    car: Car,
    days: Days,
    around: Surroundings,
    soh_frac: FloatArray,
    pack: Pack,
    charger: Charger,
    tariff: Tariff,
    nature: Nature,
    odometer_km: float,
    seed: int,
) -> Run:
    """Let a car live through its log.

    Parameters
    ----------
    soh_frac
        True capacity over nominal on each day, shape (days,). [1]
    odometer_km
        On the first day. [km]
    """
    n = days.mode.size
    rng = generator(seed, "load", str(car.index))

    def spread(hourly: FloatArray) -> FloatArray:
        return np.repeat(hourly, STEPS_PER_HOUR)

    load = spread(around.load_kwh) * np.repeat(rng.lognormal(-0.03, 0.25, n // 2), 2)
    pv = spread(around.pv_kwh)
    bargain, dear = (_ranked(around.price_money_per_kwh, *a) for a in ((_CHEAP_HOURS, False), (_DEAR_HOURS, True)))
    surplus = np.maximum(pv - load, 0.0)
    x = np.stack(
        [
            np.isin(days.local_hour, tariff.peak_hours).astype(float),
            np.isin(days.local_hour, tariff.cheap_hours).astype(float),
            spread(dear),
            spread(bargain),
            spread(around.outage),
            surplus,
            np.maximum(load - pv, 0.0),
            days.boost.astype(float),
            days.away_charge_kw,
            ((days.local_hour >= 17) | (days.local_hour < 1)).astype(float),
        ]
    )
    limit = min(car.export_limit_kw, charger.export_kw) if charger.export_kw > 0 else 0.0
    numbers = np.array(
        [
            *(car.target_frac, car.floor_frac, max(charger.min_export_kw, 0.4), charger.charge_kw),
            *(charger.charge_efficiency_frac, charger.export_efficiency_frac, charger.standby_kw, limit),
            *(car.plug_share, car.plug_below_frac, car.full_share, car.urgent_frac),
        ]
    )
    air = np.interp(np.arange(n) / STEPS_PER_HOUR, np.arange(around.air_c.size) + 0.5, around.air_c)
    act, plugged = np.empty(n, dtype=np.int8), np.empty(n, dtype=np.uint8)
    ref, out = np.empty(n, dtype=np.int64), np.empty((7, n))
    first_soc = float(pack.cell_soc(0.6))
    stranded = _live(
        RULES.index(car.rule) if charger.export_kw > 0 else 0,
        CHARGINGS.index(car.charging), numbers, x, days.mode, days.drive_kw, days.km, days.plug_draw, days.full_draw,
        air, soh_frac, pack.capacity_ah, float(pack.n_series), pack.ocv.voltage_v(np.linspace(0.0, 1.0, OCV_POINTS)),
        pack.resistance_ohm, pack.window_low_frac, pack.window_high_frac, pack.heat_capacity_j_per_k,
        pack.cooling_w_per_k,
        (nature.ocv_error_v, nature.ocv_tilt_v, nature.bms_capacity_factor, nature.bms_bias_frac,
         nature.resistance_growth),
        (first_soc, odometer_km), act, plugged, ref, out,
    )  # fmt: skip
    current, volts, soc, shown, temp, meter, odometer = out
    return Run(act, plugged, ref, current, volts, soc, shown, temp, air, meter, odometer, int(stranded))
