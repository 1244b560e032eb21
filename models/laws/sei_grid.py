"""Where the SEI members' growth is stored: windows of the anode and thicknesses of the film, and their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from models.domain import FloatArray, IntArray

NODES = {
    "sei_ec": np.array([4e-4, 4e-3, 0.015, 0.04, 0.09, 0.17, 0.32, 0.65]),
    "sei_interstitial": np.array([4e-4, 0.03, 0.1, 0.18, 0.3, 0.6]),  # 1/G is all but proportional to the thickness
}
"""Film thicknesses at which growth is stored, in units of the film that would hold all cyclable lithium. [1]"""
MIDDLE = {"sei_ec": 3, "sei_interstitial": 2}
"""Node at which every window has its growth; the others have them at the coarse windows only."""
_STEPS = np.linspace(0.69, 1.0, 39)
_FEW = np.concatenate([[0.5, 0.58, 0.64], _STEPS[2::4], [1.06, 1.1]])
FULLNESS = {
    "sei_ec": _FEW,  # part of those below: computed at once
    "sei_interstitial": np.union1d(_FEW, [0.54, 0.61, 0.665, *_STEPS, 1.03]),  # closer: see `sei_vector.blurred`
}
"""Windows at which growth is stored: full anode's stoichiometry over that of the new cell. [1]"""
MOVING = {"sei_ec": _FEW, "sei_interstitial": np.union1d(_FEW, _STEPS[2::2])}
"""Windows at which growth while current flows is computed: charge passes the anode's kinks, a parked car stays."""
COARSE = {"sei_ec": np.array([0, 3, 7, 12, 14]), "sei_interstitial": np.array([0, 8, 20, 32, 44, 47])}
"""Windows that have all nodes: how growth depends on thickness changes little between windows.

They are windows of both members and `MOVING`, and fewer than a vector register holds: see `Grid`.
"""


class Grid(NamedTuple):
    """What a member's growth is wanted at: ``fine`` windows at the middle node, then ``coarse`` ones at all nodes.

    Windows are places among those handed to `models.laws.sei_daily.daily_growth`, nodes film thicknesses in film
    units; the coarse windows have trapped lithium too. The n fine windows are the first n in any order: members share
    windows from the start on. The coarse ones stand before the others: what is computed at all nodes are the first
    windows. A member that is not wanted has none.
    """

    fine: IntArray
    coarse: IntArray
    nodes: FloatArray
    middle: int


class Between(NamedTuple):
    """Windows between those at which growth while current flows is computed, which are the first ``moving`` ones.

    Shape (w - moving,) each: places of the neighbours below and above, and the share of the way from the one below.
    """

    moving: int
    below: IntArray
    above: IntArray
    way: FloatArray


NO_GRID = Grid(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), 0)


def ordered(law_ids: Sequence[str]) -> tuple[FloatArray, dict[str, Grid], Between]:
    """Windows of one or both members in the order in which they are computed.

    Returns
    -------
    tuple
        Fullness, shape (w,) [1]; law_id -> `Grid`; `Between`.
    """
    by_count = sorted(law_ids, key=lambda x: FULLNESS[x].size)  # both members share the windows of the smaller one
    fullness = np.unique(np.concatenate([FULLNESS[x][COARSE[x]] for x in law_ids]))
    for part in [*(MOVING[x] for x in by_count), *(FULLNESS[x] for x in by_count)]:
        fullness = np.concatenate([fullness, np.setdiff1d(part, fullness)])
    by_size, grids = np.argsort(fullness), dict[str, Grid]()
    for x in law_ids:
        at = by_size[np.searchsorted(fullness, FULLNESS[x], sorter=by_size)]
        grids[x] = Grid(at, at[COARSE[x]], NODES[x], MIDDLE[x])
    moving = MOVING[by_count[-1]]  # the other one's are among them
    places, rest = by_size[np.searchsorted(fullness, moving, sorter=by_size)], fullness[moving.size :]
    i = np.clip(np.searchsorted(moving, rest), 1, moving.size - 1)
    way = (rest - moving[i - 1]) / (moving[i] - moving[i - 1])
    return fullness, grids, Between(int(moving.size), places[i - 1], places[i], way)
