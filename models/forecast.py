"""Vehicle x policy -> fan of capacity to the horizon, drawn in pairs.

One draw is one world: member of the ensemble, cohort kinetics and the vehicle's own offset are the same for all
policies in it. So the difference of two policies is taken draw by draw, and its interval is far narrower than that of
either level.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.domain import BASELINE_POLICY, DAYS_PER_MONTH, FloatArray, History, IntArray
from models.ensemble import Worlds, pack_capacity
from models.exposure import LEVELS
from models.laws.base import Law
from models.laws.vector_math import VECTOR
from models.quantiles import weighted_quantile

MONTHS_PER_YEAR = 12
LEVEL_QUANTILES = (0.10, 0.25, 0.50, 0.75, 0.90)
DIFF_QUANTILES = (0.10, 0.50, 0.90)


@dataclass(frozen=True, eq=False)
class Fan:
    """Capacity of one vehicle under every policy.

    Parameters
    ----------
    policy_ids
        In the order of the first axis.
    capacity_frac
        Of the pack over as new, at the months 0, 1, ... after the as-of day, shape (policies, draws, months + 1). [1]
    now_cell_frac
        Capacity of the cell (before the pack's scatter) at the as-of day, shape (draws,). [1]
    """

    policy_ids: tuple[str, ...]
    capacity_frac: NDArray[np.float32]
    now_cell_frac: FloatArray

    @property
    def months(self) -> int:
        """Months after the as-of day."""
        return self.capacity_frac.shape[2] - 1

    def of(self, policy_id: str) -> NDArray[np.float32]:
        """Fan of one policy, shape (draws, months + 1)."""
        return self.capacity_frac[self.policy_ids.index(policy_id)]


def _members(worlds: Worlds, laws: Sequence[Law]) -> list[tuple[int, Law, IntArray]]:
    by_id = {law.law_id: law for law in laws}
    found = [(m, by_id[law_id], worlds.of_member(m)) for m, law_id in enumerate(worlds.law_ids)]
    return [f for f in found if f[2].size]


def project_past(
    worlds: Worlds, laws: Sequence[Law], exposures: Mapping[str, FloatArray]
) -> tuple[FloatArray, dict[str, FloatArray]]:
    """Capacity of the cell today and the state to go on from.

    Parameters
    ----------
    exposures
        Law -> (periods, k) of the life so far.

    Returns
    -------
    Capacity of the cell, shape (draws,) [1], and law -> state of its draws.
    """
    now = np.ones(worlds.member.shape[0])
    states: dict[str, FloatArray] = {}
    for m, law, which in _members(worlds, laws):
        past = exposures[law.law_id]
        if past.shape[0] == 0:
            past = np.zeros((1, len(law.exposure_names)))
        p = law.project(np.ascontiguousarray(past[None]), np.ones(1), worlds.log_multipliers[m])
        now[which] = p.capacity_frac[:, -1]
        states[law.law_id] = p.state
    return now, states


def project_vehicle(
    worlds: Worlds,
    laws: Sequence[Law],
    history: History,
    year_exposures: Mapping[str, Mapping[str, FloatArray]],
    horizon_years: int,
    first_month: int = 0,
    outside_frac: Mapping[str, Mapping[str, float]] | None = None,
) -> Fan:
    """Project a vehicle's life so far once, then every policy's representative year, repeated, from its state.

    Parameters
    ----------
    worlds
        Draws of the vehicle; draw i uses member i modulo their number.
    laws
        Members of the ensemble.
    history
        Exposures of the life so far by law.
    year_exposures
        Policy -> law -> (levels, 12, k): a year's exposures at the present capacities `LEVELS`, because fade feeds
        back on duty.
    horizon_years
        How far. [a]
    first_month
        Calendar month (0 = January) that follows the as-of day. [month]
    outside_frac
        Policy -> law -> share of that year's exposure outside the law's range, which widens the lower tail; that of
        the record, if None. [1]

    Returns
    -------
    `Fan`; float32, about 12 MB for 12 policies, 2,000 draws and 10 years.

    Limits
    ------
    The representative year is repeated: no change of driving, climate or tariff over the horizon.
    """
    months = MONTHS_PER_YEAR * horizon_years
    policy_ids = tuple(year_exposures)
    now, states = project_past(worlds, laws, history.exposures)
    members = _members(worlds, laws)
    levels = np.asarray(LEVELS, dtype=float)
    take = (first_month + np.arange(months)) % MONTHS_PER_YEAR
    out = np.empty((len(policy_ids), worlds.draws, months + 1), dtype=np.float32)
    cell = np.empty((worlds.draws, months + 1))
    cell[:, 0] = now
    years = np.arange(months + 1) / MONTHS_PER_YEAR
    extra = _cycles_beyond(laws, history, year_exposures, take)
    done: dict[tuple[int, ...], int] = {}
    for i, policy_id in enumerate(policy_ids):
        same = tuple(id(year_exposures[policy_id][law.law_id]) for _, law, _ in members)
        if same in done:  # the very same exposures, e.g. where nothing can be exported
            out[i] = out[done[same]]
            continue
        done[same] = i
        for m, law, which in members:
            year = year_exposures[policy_id][law.law_id]
            p = law.project(year, levels, worlds.log_multipliers[m], states[law.law_id], take)
            cell[which, 1:] = p.capacity_frac
        outside = None if outside_frac is None else outside_frac[policy_id]
        out[i] = with_cycle_error(pack_capacity(cell, worlds, now, years, outside), worlds, extra[policy_id])
    return Fan(policy_ids, out, now)


def with_cycle_error(capacity_frac: FloatArray, worlds: Worlds, cycles: FloatArray) -> FloatArray:
    """Add what the laws have wrong in the cost of a cycle; it gives back no more than what is lost from today on.

    Parameters
    ----------
    capacity_frac
        Of the pack, the first column today's, shape (draws, months + 1). [1]
    cycles
        Full cycles since today beyond those that the readings have seen the cost of, shape (months + 1,). [1]
    """
    if worlds.cycle_error_frac is None or not cycles.any():
        return capacity_frac
    out = np.array(capacity_frac, dtype=float)
    _take_cycles(out, worlds.cycle_error_frac, cycles)
    return out


@njit(**VECTOR)
def _take_cycles(capacity, error, cycles):  # pragma: no cover
    for d in range(capacity.shape[0]):
        today = capacity[d, 0]
        for k in range(capacity.shape[1]):
            lost = max(error[d] * cycles[k], min(capacity[d, k] - today, 0.0))
            capacity[d, k] = max(capacity[d, k] - lost, 0.0)


def _counted(laws: Sequence[Law]) -> tuple[str, int] | None:
    found = next((law for law in laws if "full_cycles" in law.exposure_names), None)
    return None if found is None else (found.law_id, found.exposure_names.index("full_cycles"))


def _cycles_beyond(
    laws: Sequence[Law], history: History, years: Mapping[str, Mapping[str, FloatArray]], take: IntArray
) -> dict[str, FloatArray]:
    """Full cycles of each policy since today beyond the pace of the life so far, shape (months + 1,) each.

    The readings have taught what use as it was costs; where a policy departs from it the laws speak alone. Without a
    life so far the first policy takes its place.
    """
    counted, none = _counted(laws), np.zeros(take.shape[0] + 1)
    if counted is None:
        return dict.fromkeys(years, none)
    law_id, k = counted
    own = {p: np.concatenate([[0.0], np.cumsum(x[law_id][0, take, k])]) for p, x in years.items()}
    past, days = history.exposures[law_id], float(history.period_days.sum())
    usual = next(iter(own.values()))
    if past.shape[0] and days > 0.0:
        usual = float(past[:, k].sum()) / days * DAYS_PER_MONTH * np.arange(take.shape[0] + 1)
    return {p: x - usual for p, x in own.items()}


def lost_to_export_pp(
    worlds: Worlds, laws: Sequence[Law], with_export: Mapping[str, FloatArray], without: Mapping[str, FloatArray]
) -> FloatArray:
    """Capacity that export has cost so far: the life as it was against its twin without export, a draw each. [pp]

    Parameters
    ----------
    with_export, without
        Law -> exposures of the life so far, shape (periods, k).
    """
    now, _ = project_past(worlds, laws, with_export)
    twin, _ = project_past(worlds, laws, without)
    lost = 100.0 * (pack_capacity(twin[:, None], worlds, twin) - pack_capacity(now[:, None], worlds, now))[:, 0]
    counted = _counted(laws)
    if counted is None or worlds.cycle_error_frac is None:
        return lost
    law_id, k = counted
    cycles = float(with_export[law_id][:, k].sum()) - float(without[law_id][:, k].sum())
    return lost + 100.0 * cycles * worlds.cycle_error_frac


def level_quantiles(capacity_frac: NDArray[np.float32], weight: FloatArray, months: Sequence[int]) -> FloatArray:
    """Quantiles of the level, shape (len(months), 5); weighted by evidence. [1]"""
    return weighted_quantile(capacity_frac[:, list(months)].astype(float), weight, LEVEL_QUANTILES).T


def paired_difference_pp(fan: Fan, policy_id: str, month: int, baseline: str = BASELINE_POLICY) -> FloatArray:
    """Extra fade of a policy against the baseline, a draw each; positive = more fade. [pp]"""
    base = fan.of(baseline)[:, month].astype(float)
    return 100.0 * (base - fan.of(policy_id)[:, month].astype(float))


def difference_quantiles(
    fan: Fan,
    policy_id: str,
    months: Sequence[int],
    baseline: str = BASELINE_POLICY,
    weight: FloatArray | None = None,
) -> FloatArray:
    """Quantiles (10, 50, 90 %) of the paired difference, shape (len(months), 3). [pp]

    Weights learned on total fade say nothing on the difference of two policies, so the members weigh equally, unless
    the cohort showed contrast in throughput: then ``weight`` is that of `models.ensemble.Worlds.difference_weight`.
    """
    which = list(months)
    base, own = (fan.of(p)[:, which].astype(float) for p in (baseline, policy_id))
    if weight is not None:
        return np.ascontiguousarray(weighted_quantile(100.0 * (base - own), weight, DIFF_QUANTILES).T, dtype=float)
    return np.ascontiguousarray(np.quantile(100.0 * (base - own), DIFF_QUANTILES, axis=0).T, dtype=float)


@dataclass(frozen=True)
class MemberMedian:
    """What one member alone says."""

    law_id: str
    policy_id: str
    year: int
    soh_p50: float
    diff_p50_pp: float
    weight: float


def member_medians(fan: Fan, worlds: Worlds, years: Sequence[int]) -> list[MemberMedian]:
    """Medians of every member by itself: how far the laws disagree."""
    out = []
    for m, law_id in enumerate(worlds.law_ids):
        which = np.flatnonzero(worlds.member == m)
        if not which.size:
            continue
        weight = float(worlds.weight[which].sum())
        for policy_id in fan.policy_ids:
            for year in years:
                month = MONTHS_PER_YEAR * year
                level = float(np.median(fan.of(policy_id)[which, month]))
                diff = float(np.median(paired_difference_pp(fan, policy_id, month)[which]))
                out.append(MemberMedian(law_id, policy_id, year, level, diff, weight))
    return out
