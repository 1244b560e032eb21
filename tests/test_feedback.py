"""Three present capacities stand for every one that a car passes through: against dispatching anew every month."""

from __future__ import annotations

import numpy as np
import pytest

from models.dispatch import dispatch
from models.dispatch_duty import duty_of
from models.exposure import LEVELS, twelve_periods
from models.laws.power import power_law
from models.policies import charger, policy, tariff
from models.v2h_year import v2h_pack, v2h_year

YEARS = 6
CELL = "nmc811_lgm50"


@pytest.mark.parametrize("policy_id", ["evening_peak", "evening_peak_floor_60"])
def test_levels_of_capacity_agree_with_dispatching_anew_every_month(policy_id: str) -> None:
    """|dq| at most 0.02 pp, SOC floors included; with the fresh duty for ever it would be more."""
    law, pack, year = power_law("nmc_b1_2023"), v2h_pack(CELL), v2h_year()
    setting, box, prices = policy(policy_id), charger("v2h_7kw"), tariff("us_ev2a_like")
    logs = np.log(np.array([[2.0, 1.5]]))  # a weak car: it passes the second level within the years tried

    def periods(level: float) -> np.ndarray:
        return twelve_periods(
            law.exposures(duty_of(dispatch(year, setting, box, prices, pack, level), year, pack), pack)
        )

    stacked = np.tile(np.stack([periods(x) for x in LEVELS]), (1, YEARS, 1))
    mine = law.project(stacked, np.array(LEVELS), logs).capacity_frac[0]
    alone = law.project(stacked[:1], np.ones(1), logs).capacity_frac[0]
    state, now, truth = None, 1.0, []
    for month in range(12 * YEARS):
        done = law.project(periods(round(now, 5))[None, month % 12 : month % 12 + 1], np.ones(1), logs, state)
        state, now = done.state, float(done.capacity_frac[0, -1])
        truth.append(now)
    assert truth[-1] < 0.88
    assert 100 * np.max(np.abs(mine - truth)) <= 0.02
    assert 100 * np.max(np.abs(alone - truth)) > 0.05
