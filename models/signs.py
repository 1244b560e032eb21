"""Signs of current and power, found from the balance of energy and not only believed as declared.

Over a stretch in which the state of charge moves clearly, the charge that flowed must have its sign; at the meter,
power and the battery's own power must agree. A log that contradicts itself almost everywhere has its sign turned, one
that does so here and there is left out there (JohNan/homeassistant-homevolt-local#79: sign disputes).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.domain import Pack
from models.sessions import US_PER_HOUR, Finding, Rules, Samples, finding


def mend_signs(samples: Samples, pack: Pack, rule: Rules) -> tuple[Samples, list[Finding]]:
    """Turn the sign of current or power where the whole log is against it; leave out stretches that contradict it.

    Returns
    -------
    Samples
        Current is NaN in contradicting stretches.
    list of Finding
        ``sign_flipped`` (current), ``power_sign_flipped``, ``sign_conflict`` (stretches left out).
    """
    found: list[Finding] = []
    stretch, opposite = _stretches(samples, pack, rule)
    if stretch.shape[0]:
        counted = np.unique(stretch[stretch >= 0]).shape[0]
        wrong = opposite.shape[0]
        if counted >= rule("defects", "sign_stretches") and wrong >= rule("defects", "sign_share_frac") * counted:
            hit = np.isfinite(samples.current_a) & (samples.current_a != 0)
            found += finding("sign_flipped", samples, hit)
            samples = replace(samples, current_a=-samples.current_a)
        elif wrong:
            hit = np.isin(stretch, opposite) & np.isfinite(samples.current_a)
            found += finding("sign_conflict", samples, hit)
            samples = replace(samples, current_a=np.where(hit, np.nan, samples.current_a))
    battery_kw = samples.voltage_v * samples.current_a / 1000.0
    both = (np.abs(samples.power_kw) > 0.5) & (np.abs(battery_kw) > 0.5)
    if both.sum() >= 10:
        against = both & (samples.power_kw * battery_kw < 0)
        if against.sum() >= rule("defects", "sign_share_frac") * both.sum():
            found += finding("power_sign_flipped", samples, np.isfinite(samples.power_kw) & (samples.power_kw != 0))
            samples = replace(samples, power_kw=-samples.power_kw)
    return samples, found


def _stretches(samples: Samples, pack: Pack, rule: Rules) -> tuple[np.ndarray, np.ndarray]:
    """Number of the stretch of each sample (-1 = says nothing), shape (n,), and the stretches against their current.

    A stretch is a time without gaps in which the displayed SOC goes one way by a clear step.
    """
    rows = np.flatnonzero(np.isfinite(samples.soc_frac) & np.isfinite(samples.current_a))
    nothing = np.full(samples.size, -1, dtype=np.int64)
    if rows.shape[0] < 3:
        return nothing[:0], nothing[:0]
    time, soc, amps = samples.time_us[rows], samples.soc_frac[rows], samples.current_a[rows]
    hours = np.diff(time) / US_PER_HOUR
    near = hours <= rule("cut", "gap_active_minutes") / 60.0
    flow = np.where(near, 0.5 * (amps[1:] + amps[:-1]) * hours, 0.0)
    # A new stretch begins at a gap and where the SOC turns.
    move = np.sign(np.diff(soc))
    last = np.zeros(move.shape)
    place = np.maximum.accumulate(np.where(move != 0, np.arange(move.shape[0]), -1))
    last[place >= 0] = move[place[place >= 0]]
    turned = np.concatenate(([False], (last[1:] != last[:-1]) & (last[:-1] != 0)))
    piece = np.concatenate(([0], np.cumsum(~near | turned)))
    first = np.flatnonzero(np.concatenate(([True], piece[1:] != piece[:-1])))
    end = np.concatenate((first[1:] - 1, [rows.shape[0] - 1]))
    total = np.concatenate(([0.0], np.cumsum(flow)))
    swing, charge = soc[end] - soc[first], (total[end] - total[first]) / pack.capacity_ah
    least = rule("defects", "sign_swing_frac")
    clear = (np.abs(swing) >= least) & (np.abs(charge) >= 0.5 * np.abs(swing))
    out = nothing
    out[rows] = np.where(clear[piece], piece, -1)
    return out, np.flatnonzero(clear & (swing * charge < 0))
