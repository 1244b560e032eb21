"""Which rules for defects can find anything in a life at all: one pass over its samples.

Most lives are clean in most ways, and each rule of `models.defects` reads and copies whole columns. What is said here
is only that a rule finds nothing: then it need not run. Sums are not those of the rules to the last bit, so a doubt
counts as a yes.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from models.clock import NEAR_HOURS
from models.domain import BoolArray, FloatArray, Pack
from models.scales import LOW_FRAC
from models.sessions import US_PER_HOUR, Rules, Samples

(METERS, LOGGERS, DOUBLED, IMPOSSIBLE, SCALE, CLOCK, SPIKES, STUCK, ODOMETER, HEALTH, SIGNS, REGISTERS) = range(12)
RULES = 12
# Numbers of the rules in the order in which the kernel reads them.
(
    _CELL_LOW_V, _CELL_HIGH_V, _MOST_A, _LOW_C, _HIGH_C, _SPIKE_SOC, _SPIKE_V, _STUCK_LEAST, _SMALL_A, _STUCK_AH,
    _GAP_REST_HOURS, _GAP_ACTIVE_HOURS, _SWING, _CAPACITY_AH, _N_SERIES, _CLOCK_SOC, _CLOCK_KM, _CLOCK_NEAR_US,
    _LOW_SOC, _LEAST_LOW,
) = range(20)  # fmt: skip
_LIMITS = 20
# Share of a sum of current from which on a rule that compares it with a limit is asked.
_DOUBT = 0.5


@njit(cache=True, nogil=True)
def _screen(
    time, ref, charger, meter, volt, amps, soc, temp, air, power, km, health, into, out_of, limit, begins, ends, counts,
    may,
):  # fmt: skip  # pragma: no cover
    n = time.shape[0]
    lows = cars = chargers = healths = intos = outs = 0
    far_km = -np.inf
    known_soc = known_v = np.nan
    last_v = last_a = last_soc = 0.0  # of the sample before, unknown as 0
    streak = 0
    # Of the last sample whose SOC and current are known, its stretch of one SOC and that of one direction:
    before = -1
    held = 0
    held_ah = flow_ah = start_soc = direction = 0.0
    for i in range(n):
        if i > 0 and time[i] == time[i - 1]:
            may[DOUBLED] = True
        if meter[i] != meter[0]:
            may[METERS] = True
        if charger[i]:
            chargers += 1
        else:
            cars += 1
        r = ref[i]
        if r >= 0:
            if counts[r] == 0:
                begins[r] = i
            ends[r] = i
            counts[r] += 1
        v, a, s = volt[i], amps[i], soc[i]
        cell = v / limit[_N_SERIES]
        if (
            cell < limit[_CELL_LOW_V] or cell > limit[_CELL_HIGH_V] or abs(a) > limit[_MOST_A] or s < -0.02 or s > 1.05
            or km[i] < 0 or km[i] > 3e6 or temp[i] < limit[_LOW_C] or temp[i] > limit[_HIGH_C]
            or air[i] < limit[_LOW_C] or air[i] > limit[_HIGH_C]
        ):  # fmt: skip
            may[IMPOSSIBLE] = True
        if np.isfinite(s):
            lows += s <= limit[_LOW_SOC]
            if abs(s - known_soc) > limit[_SPIKE_SOC]:
                may[SPIKES] = True
            known_soc = s
        if np.isfinite(v):
            if abs(v - known_v) > limit[_SPIKE_V] * abs(known_v):
                may[SPIKES] = True
            known_v = v
        v0, a0, s0 = 0.0 if np.isnan(v) else v, 0.0 if np.isnan(a) else a, 0.0 if np.isnan(s) else s
        if i > 0 and abs(a0) > limit[_SMALL_A] and a0 == last_a and v0 == last_v and s0 == last_soc:
            streak += 1
            if streak + 1 >= limit[_STUCK_LEAST]:
                may[STUCK] = True
        else:
            streak = 0
        last_v, last_a, last_soc = v0, a0, s0
        if np.isfinite(km[i]):
            if km[i] < far_km:
                may[ODOMETER] = True
            far_km = max(far_km, km[i])
        kw = v * a / 1000.0
        if abs(power[i]) > 0.5 and abs(kw) > 0.5 and power[i] * kw < 0:
            may[SIGNS] = True
        healths += np.isfinite(health[i])
        intos += np.isfinite(into[i])
        outs += np.isfinite(out_of[i])
        if not (np.isfinite(s) and np.isfinite(a)):
            continue
        if before < 0:
            before, held, start_soc = i, 1, s
            continue
        hours = (time[i] - time[before]) / US_PER_HOUR
        flow = 0.5 * (a + amps[before]) * hours
        sure = min(abs(a), abs(amps[before])) * np.sign(a) * hours if a * amps[before] > 0.0 else 0.0
        move = s - soc[before]
        if move == 0.0 and hours < limit[_GAP_REST_HOURS]:
            held += 1
            held_ah += sure
            if held >= limit[_STUCK_LEAST] and abs(held_ah) > _DOUBT * limit[_STUCK_AH]:
                may[STUCK] = True
        else:
            held, held_ah = 1, 0.0
        turned = direction != 0.0 and move != 0.0 and (move > 0.0) != (direction > 0.0)
        if move != 0.0:
            direction = move
        if turned or not hours <= limit[_GAP_ACTIVE_HOURS]:
            if _against(soc[before] - start_soc, flow_ah, limit):
                may[SIGNS] = True
            start_soc, flow_ah = s, 0.0
        else:
            flow_ah += flow
        before = i
    if before >= 0 and _against(soc[before] - start_soc, flow_ah, limit):
        may[SIGNS] = True
    may[LOGGERS] = cars > 0 and chargers > 0
    may[SCALE] = lows >= limit[_LEAST_LOW]
    may[HEALTH] = healths >= 3
    may[REGISTERS] = intos >= 2 or outs >= 2
    for r in range(counts.shape[0]):
        if counts[r] == 0:
            continue
        if ends[r] - begins[r] + 1 > counts[r]:
            may[CLOCK] = True
        for side in range(2):
            edge = begins[r] if side == 0 else ends[r]
            beside = edge - 1 if side == 0 else edge + 1
            if beside < 0 or beside >= n or abs(time[beside] - time[edge]) >= limit[_CLOCK_NEAR_US]:
                continue
            ahead = km[beside] - km[edge] if side == 0 else km[edge] - km[beside]
            if abs(soc[edge] - soc[beside]) > limit[_CLOCK_SOC] or ahead > limit[_CLOCK_KM]:
                may[CLOCK] = True


@njit(cache=True, nogil=True)
def _against(swing, flow_ah, limit):  # pragma: no cover
    """Whether the charge of a stretch may have the other sign than its change of SOC."""
    clear = abs(swing) >= limit[_SWING] and abs(flow_ah) >= _DOUBT * 0.5 * abs(swing) * limit[_CAPACITY_AH]
    return clear and swing * flow_ah < 0.0


def _limits(pack: Pack, rule: Rules) -> FloatArray:
    out = np.empty(_LIMITS)
    for at, group, name, factor in (
        (_CELL_LOW_V, "defects", "cell_voltage_low_v", 1.0),
        (_CELL_HIGH_V, "defects", "cell_voltage_high_v", 1.0),
        (_MOST_A, "defects", "current_c_rate", pack.capacity_ah),
        (_LOW_C, "defects", "temp_low_c", 1.0),
        (_HIGH_C, "defects", "temp_high_c", 1.0),
        (_SPIKE_SOC, "defects", "spike_soc_frac", 1.0),
        (_SPIKE_V, "defects", "spike_voltage_frac", 1.0),
        (_SMALL_A, "cut", "rest_c_rate", pack.capacity_ah),
        (_STUCK_AH, "defects", "stuck_soc_frac", pack.capacity_ah),
        (_GAP_REST_HOURS, "cut", "gap_rest_hours", 1.0),
        (_SWING, "defects", "sign_swing_frac", 1.0),
        (_CLOCK_SOC, "defects", "clock_soc_frac", 2.0),
        (_CLOCK_KM, "defects", "clock_km", 1.0),
    ):
        out[at] = rule(group, name) * factor
    out[_GAP_ACTIVE_HOURS] = rule("cut", "gap_active_minutes") / 60.0
    out[_STUCK_LEAST] = int(rule("defects", "stuck_samples"))
    out[_LOW_SOC], out[_LEAST_LOW] = LOW_FRAC, rule("defects", "soc_scale_samples")
    out[_CAPACITY_AH], out[_N_SERIES], out[_CLOCK_NEAR_US] = pack.capacity_ah, pack.n_series, NEAR_HOURS * US_PER_HOUR
    return out


def screen(samples: Samples, pack: Pack, rule: Rules) -> BoolArray:
    """Which rules may find something, by their numbers; of the others it is certain that they find nothing.

    Returns
    -------
    BoolArray
        Shape (`RULES`,).
    """
    may = np.zeros(RULES, dtype=bool)
    if samples.size == 0:
        return may
    limit = _limits(pack, rule)
    begins, ends, counts = (np.zeros(int(samples.ref.max()) + 1, np.int64) for _ in range(3))
    _screen(
        samples.time_us, samples.ref, samples.charger, samples.meter, samples.voltage_v, samples.current_a,
        samples.soc_frac, samples.battery_temp_c, samples.ambient_c, samples.power_kw, samples.odometer_km,
        samples.soh_frac, samples.energy_in_register_kwh, samples.energy_out_register_kwh, limit, begins, ends, counts,
        may,
    )  # fmt: skip
    # Without a least number of stretches a log without any would be turned.
    if rule("defects", "sign_stretches") < 1 or rule("defects", "sign_share_frac") <= 0:
        may[SIGNS] = True
    return may
