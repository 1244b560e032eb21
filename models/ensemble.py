"""The ensemble: members, evidence weights, paired draws. One draw is one world.

In a world the law, the cohort's kinetics and the spread of its packs are shared by all vehicles and policies; what
belongs to a vehicle is independent of the others. What the laws have wrong in the cost of a cycle is a part of a
world too: members that agree may all be wrong. Levels of capacity weigh the members by evidence; differences
between policies weigh them equally, because evidence on total fade says nothing on a difference, unless the cohort
shows contrast in throughput (`models.contrast`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
from numba import njit
from scipy.special import ndtri

from models.domain import FloatArray, IntArray
from models.fleet import CohortFit, fleet_prior, prior_fit
from models.fleet_predict import SHAPE_LOSS_FRAC
from models.laws.base import Law
from models.laws.vector_math import VECTOR, blocks, power_into
from models.parameters import entry, load
from models.seeds import generator, shared_normal


@dataclass(frozen=True)
class Widening:
    """One-sided widening of the lower tail; see ``parameters/ensemble.toml``, ``[ensemble]``. All [1]."""

    knee_from_frac: float
    knee_sigma: float
    outside_sigma: float


def widening(home: Path | None = None) -> Widening:
    """Widening from the parameters, those of a home first."""
    e = entry("ensemble", "ensemble", home)
    return Widening(e.number("knee_from_frac"), e.number("knee_sigma"), e.number("outside_sigma"))


def apply_widening(
    capacity_frac: FloatArray,
    knee: FloatArray,
    outside_frac: FloatArray | float,
    by: Widening,
    now_frac: FloatArray | float = 1.0,
) -> FloatArray:
    """Add the loss of knees and of extrapolation, one-sidedly.

    Loss beyond ``knee_from_frac`` and loss under exposure outside the tested range grow by the draw's ``knee``, a
    standard normal cut off at zero: half of the worlds have none, so medians stay and only the lower tail widens. Only
    loss that is still to come counts; what has happened is held by the readings.

    Parameters
    ----------
    capacity_frac
        Shape (draws, periods). [1]
    knee
        Shape (draws,), not negative. [1]
    outside_frac
        Share of the exposure outside the law's range, for all draws or shape (draws,). [1]
    by
        Sizes of the widening.
    now_frac
        Capacity today, for all draws or shape (draws,). [1]
    """
    draws = capacity_frac.shape[0]
    now, outside = (np.ascontiguousarray(np.broadcast_to(x, (draws,)), dtype=float) for x in (now_frac, outside_frac))
    out = np.array(capacity_frac, dtype=float)
    _widen(out, now, knee, outside, by.knee_from_frac, by.knee_sigma, by.outside_sigma)
    return out


@njit(**VECTOR)
def _widen(capacity, now, knee, outside, knee_from, knee_sigma, outside_sigma):  # pragma: no cover
    """`apply_widening` in place."""
    for d in range(capacity.shape[0]):
        so_far = max(1.0 - now[d], 0.0)
        first, beyond_range = max(so_far, knee_from), outside_sigma * outside[d]
        for k in range(capacity.shape[1]):
            loss = max(1.0 - capacity[d, k], 0.0)
            extra = knee_sigma * max(loss - first, 0.0) + beyond_range * max(loss - so_far, 0.0)
            capacity[d, k] = max(capacity[d, k] - knee[d] * extra, 0.0)


@njit(**VECTOR)
def _to_pack(cell, now, spread, shape, growth, out):  # pragma: no cover
    """Series spread, bend and pace of all draws; `now` becomes that of the pack, too. No growth, no pace."""
    n = cell.shape[1]
    room = blocks(n + 1)
    part, bent = np.zeros(room), np.empty(room)
    for d in range(cell.shape[0]):
        for k in range(n):
            part[k] = max(1.0 - cell[d, k], 0.0) / SHAPE_LOSS_FRAC
        part[n] = max(1.0 - now[d], 0.0) / SHAPE_LOSS_FRAC
        power_into(part, shape[d], bent)
        by = SHAPE_LOSS_FRAC * spread[d]
        for k in range(n):
            out[d, k] = 1.0 - by * bent[k] if part[k] > 0.0 else cell[d, k]
        if part[n] > 0.0:
            now[d] = 1.0 - by * bent[n]
        if growth.shape[0] > 0:
            for k in range(n):
                out[d, k] = now[d] + (out[d, k] - now[d]) * growth[d, k]


@dataclass(frozen=True, eq=False)
class Worlds:
    """The worlds of one vehicle.

    Parameters
    ----------
    law_ids
        Members in their fixed order.
    member
        Draw i belongs to member i % len(law_ids), shape (draws,).
    weight
        Evidence weight of each draw, for levels, sums to 1, shape (draws,).
    log_multipliers
        For each member an array (its draws, its multipliers), the vehicle's offset included.
    capacity_scale
        Capacity of the pack when new over nominal, shape (draws,). [1]
    spread_factor
        Pack loss over cell loss, shape (draws,). [1]
    knee
        Standard normal cut at zero: scale of the one-sided widening, shape (draws,).
    residual_shift_frac
        What the learned residual adds to the capacity, shape (draws,); zero where it stands aside. [1]
    outside_frac
        Share of the recorded exposure outside the range of the draw's law, shape (draws,). [1]
    by
        Sizes of the one-sided widening.
    shape
        Exponent by which the cohort's fade bends away from the law's course, shape (draws,); 1 if None. [1]
    pace
        Logarithm, a square root of years, by which loss to come outruns the laws, shape (draws,); 0 if None.
    difference_weight
        Weight of each draw on the difference between policies, sums to 1, shape (draws,); None: equal.
    cycle_error_frac
        What a full cycle costs beyond what the draw's law says, of either sign, shape (draws,); 0 if None. [1]
    """

    law_ids: tuple[str, ...]
    member: IntArray
    weight: FloatArray
    log_multipliers: tuple[FloatArray, ...]
    capacity_scale: FloatArray
    spread_factor: FloatArray
    knee: FloatArray
    residual_shift_frac: FloatArray
    outside_frac: FloatArray
    by: Widening
    shape: FloatArray | None = None
    pace: FloatArray | None = None
    difference_weight: FloatArray | None = None
    cycle_error_frac: FloatArray | None = None

    @property
    def draws(self) -> int:
        """Number of worlds."""
        return self.member.shape[0]

    def of_member(self, index: int) -> IntArray:
        """Draws that belong to a member."""
        return np.flatnonzero(self.member == index)


def pack_capacity(
    cell_frac: FloatArray,
    worlds: Worlds,
    now_frac: FloatArray,
    years: FloatArray | None = None,
    outside_frac: Mapping[str, float] | None = None,
) -> FloatArray:
    """Pack capacity over nominal from the cell capacities of all draws.

    Series spread and bend, pace and one-sided widening of what is to come, capacity scale when new and learned
    residual, in this order. The pace is a random walk of the logarithm of the rate that no reading has seen: loss to
    come is multiplied by exp(pace sqrt(years)), the same for all policies of a draw.

    Parameters
    ----------
    cell_frac
        What the laws project, shape (draws, periods). [1]
    worlds
        The worlds they were projected in.
    now_frac
        Cell capacity today, shape (draws,). [1]
    years
        From today to each period, shape (periods,); without them the pace is left out. [a]
    outside_frac
        Law -> share of the exposure to come outside its range; that of the record, if None. [1]
    """
    spread = worlds.spread_factor
    shape = np.ones(spread.shape) if worlds.shape is None else worlds.shape
    now, pack = np.array(now_frac, dtype=float), np.empty(cell_frac.shape)
    _to_pack(np.ascontiguousarray(cell_frac, dtype=float), now, spread, shape, _growth(worlds, years), pack)
    outside = worlds.outside_frac
    if outside_frac is not None:
        outside = np.array([outside_frac.get(k, 0.0) for k in worlds.law_ids])[worlds.member]
    pack = apply_widening(pack, worlds.knee, outside, worlds.by, now)
    pack *= worlds.capacity_scale[:, None]
    pack += worlds.residual_shift_frac[:, None]
    return pack


_GROWTH: WeakKeyDictionary[Worlds, tuple[bytes, FloatArray]] = WeakKeyDictionary()


def _growth(worlds: Worlds, years: FloatArray | None) -> FloatArray:
    """By how much loss to come is multiplied, shape (draws, periods), or none; kept, as all policies share it. [1]"""
    if years is None or worlds.pace is None:
        return np.empty((0, 0))
    key, known = years.tobytes(), _GROWTH.get(worlds)
    if known is None or known[0] != key:
        known = _GROWTH[worlds] = key, np.exp(worlds.pace[:, None] * np.sqrt(years))
    return known[1]


def worlds(
    fits: dict[tuple[str, str], CohortFit],
    cohort_id: str,
    vehicle_id: str,
    laws: Sequence[Law],
    draws: int,
    seed: int,
    residual_shift_frac: float = 0.0,
    residual_sigma_frac: float = 0.0,
    outside_frac: Mapping[str, float] | None = None,
    home: Path | None = None,
) -> Worlds:
    """Draw the worlds of one vehicle.

    Parameters
    ----------
    fits
        (cohort_id, law_id) -> fit; where one is missing its prior is drawn from.
    laws
        Members in their fixed order.
    draws
        How many worlds in all; each member gets its turn.
    residual_shift_frac, residual_sigma_frac
        What the learned residual adds, and its standard deviation. [1]
    outside_frac
        Law -> share of the recorded exposure outside its range; nothing outside, if None. [1]

    Raises
    ------
    ValueError
        Fewer draws than members.
    """
    n = len(laws)
    if n == 0 or draws < n:
        raise ValueError(f"worlds needs at least one draw a member, got {draws} draws for {n} members.")
    member = np.arange(draws, dtype=np.int64) % n
    counts = np.bincount(member, minlength=n)
    known_rules = load("ensemble", home)
    rules, wear = known_rules["ensemble"], known_rules["difference"]
    prior = fleet_prior(home)
    own_fits = [fits.get((cohort_id, law.law_id)) or prior_fit(cohort_id, law, prior) for law in laws]
    known = all((cohort_id, law.law_id) in fits for law in laws)
    weights = np.array([f.weight for f in own_fits]) if known else np.ones(n)
    # A law far outside the range it was found in says less of the level; the floor keeps it alive.
    inside = 1.0 - np.array([(outside_frac or {}).get(law.law_id, 0.0) for law in laws])
    weights = weights * np.maximum(inside, rules.number("weight_floor"))
    weights = weights / weights.sum()
    scale, spread, shape = np.empty(draws), np.empty(draws), np.empty(draws)
    logs = []
    for k, fit in enumerate(own_fits):
        drawn = fit.draw(laws[k], vehicle_id, int(counts[k]), seed)
        logs.append(drawn.log_multipliers)
        spread[member == k], scale[member == k] = drawn.spread_factor, drawn.capacity_scale
        shape[member == k] = drawn.shape
    given = [f.difference_weight for f in own_fits]
    apart = None if any(w is None for w in given) else np.array(given, dtype=float)
    knee = np.maximum(shared_normal(seed, ("knee", cohort_id), (draws,)), 0.0)
    stratified = _cycle_error(seed, cohort_id, draws)
    noise = generator(seed, "residual", vehicle_id).standard_normal(draws)
    return Worlds(
        tuple(law.law_id for law in laws),
        member,
        (weights / counts)[member],
        tuple(logs),
        scale,
        spread,
        knee,
        residual_shift_frac + residual_sigma_frac * noise,
        np.array([(outside_frac or {}).get(law.law_id, 0.0) for law in laws])[member],
        widening(home),
        shape,
        rules.number("pace_sigma") * shared_normal(seed, ("pace", cohort_id), (draws,)),
        difference_weight=None if apart is None else (apart / counts)[member],
        cycle_error_frac=wear.number("wear_error_ratio") * wear.number("wear_per_cycle_frac") * stratified,
    )


@lru_cache(maxsize=64)
def _cycle_error(seed: int, cohort_id: str, draws: int) -> FloatArray:
    """Structural error of a cycle's cost: normal, stratified so that no median moves, shared by a cohort. [1]"""
    normal = ndtri((np.arange(draws) + 0.5) / draws)
    return np.asarray(generator(seed, "cycle error", cohort_id).permutation(normal), dtype=np.float64)


def stacking_weights(log_scores: FloatArray, floor: float, prior_vehicles: float) -> FloatArray:
    """Weights of members from the log scores of held-out readings, one row a vehicle.

    Maximises the log score of the mixture (Yao et al. 2018, doi 10.1214/17-BA1091) by expectation-maximisation, with
    equal weights counting as ``prior_vehicles`` vehicles, then lifts every member to the floor.

    Parameters
    ----------
    log_scores
        Mean log density of a vehicle's held-out readings under each member, shape (vehicles, members).
    floor
        Least weight of a member. [1]
    prior_vehicles
        Strength of equal weights. [vehicles]

    Examples
    --------
    >>> stacking_weights(np.zeros((0, 2)), 0.05, 4.0).tolist()
    [0.5, 0.5]
    """
    n, m = log_scores.shape
    w = np.full(m, 1.0 / m)
    if n == 0 or m == 1:
        return w
    density = np.exp(log_scores - log_scores.max(axis=1, keepdims=True))
    for _ in range(500):
        share = density * w
        share /= share.sum(axis=1, keepdims=True)
        new = (share.sum(axis=0) + prior_vehicles / m) / (n + prior_vehicles)
        if np.max(np.abs(new - w)) < 1e-10:
            w = new
            break
        w = new
    floor = min(floor, 1.0 / m)
    return floor + (1.0 - m * floor) * w
