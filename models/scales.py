"""A state of charge logged as a fraction where the format says percent, found from the charge that flowed.

Values between 0 and 1 pass as 0 to 1 %. Whether they are is told by how they move: a hundredth of what flowed is no
state of charge. The other way round (55 where a fraction is due) is impossible and refused at intake.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.domain import Pack
from models.sessions import US_PER_HOUR, Finding, Rules, Samples, finding, runs_of

# Displayed values up to this may be fractions taken for percent. [1]
LOW_FRAC = 0.0105


def mend_soc_scale(samples: Samples, pack: Pack, rule: Rules) -> tuple[Samples, list[Finding]]:
    """Multiply by a hundred what the balance of charge proves to be fractions of fractions.

    Stretches of such low values in which too little flowed to tell go with the others, if all that tell say the same.

    Returns
    -------
    Samples, list of Finding
        ``soc_scale``.
    """
    low = np.isfinite(samples.soc_frac) & (samples.soc_frac <= LOW_FRAC)
    if low.sum() < rule("defects", "soc_scale_samples"):
        return samples, []
    rows = np.flatnonzero(np.isfinite(samples.soc_frac))
    piece = runs_of(low[rows])
    hours = np.diff(samples.time_us[rows]) / US_PER_HOUR
    share = np.where(
        np.isfinite(samples.current_a), samples.current_a / pack.capacity_ah, samples.power_kw / pack.usable_kwh
    )[rows]
    flow = 0.5 * (share[1:] + share[:-1]) * hours
    tells = (hours <= rule("cut", "gap_active_minutes") / 60.0) & np.isfinite(flow) & (piece[1:] == piece[:-1])
    flow, moved = np.where(tells, flow, 0.0), np.where(tells, np.diff(samples.soc_frac[rows]), 0.0)
    size = int(piece[-1]) + 1
    amount, square, product = (np.bincount(piece[1:], v, size) for v in (np.abs(flow), flow * flow, moved * flow))
    slope = np.divide(product, square, out=np.zeros(size), where=square > 0.0)
    is_low = np.zeros(size, dtype=bool)
    is_low[piece[low[rows]]] = True
    told = is_low & (amount >= rule("defects", "soc_scale_flow_frac"))
    proven = told & (slope >= 0.005) & (slope <= 0.02)
    if not proven.any():
        return samples, []
    mended = proven | (is_low & ~told & bool(proven[told].all()))
    hit = np.zeros(samples.size, dtype=bool)
    hit[rows[mended[piece]]] = True
    value = np.where(hit, np.minimum(samples.soc_frac * 100.0, 1.0), samples.soc_frac)
    return replace(samples, soc_frac=value), finding("soc_scale", samples, hit)
