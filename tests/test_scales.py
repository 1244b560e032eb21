"""A state of charge in another scale than the format says is found from the charge that flowed."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from models.defects import clean
from models.scales import mend_soc_scale
from models.sessions import Samples, rules

RULES = rules()


def _week(sim: ModuleType) -> Samples:
    return sim.simulate(sim.nmc_pack(), 150.0, seed=3, days=7, low=0.3, high=0.9)


@pytest.mark.parametrize("digits", [2, 4])
def test_fractions_taken_for_percent_are_repaired(history_sim: ModuleType, digits: int) -> None:
    """A log with 0.55 where the format says percent: 0.55 %."""
    right = replace(_week(history_sim), soc_frac=np.round(_week(history_sim).soc_frac, digits))
    wrong = replace(right, soc_frac=right.soc_frac / 100.0)
    got, found = mend_soc_scale(wrong, history_sim.nmc_pack(), RULES)
    assert [(f.rule, f.rows) for f in found] == [("soc_scale", right.size)]
    assert np.allclose(got.soc_frac, right.soc_frac)
    again, none = mend_soc_scale(got, history_sim.nmc_pack(), RULES)
    assert again is got and none == []
    by_meter = replace(wrong, current_a=np.full(wrong.size, np.nan), power_kw=right.voltage_v * right.current_a / 950.0)
    assert mend_soc_scale(by_meter, history_sim.nmc_pack(), RULES)[1] == found
    # Half of the log only, as after a change of the app: the rest stays.
    late = np.arange(right.size) >= right.size // 2
    part = replace(right, soc_frac=np.where(late, wrong.soc_frac, right.soc_frac))
    got, (one,) = mend_soc_scale(part, history_sim.nmc_pack(), RULES)
    assert one.rows == late.sum() and np.allclose(got.soc_frac, right.soc_frac)
    assert "soc_scale" in {f.rule for f in clean(part, history_sim.nmc_pack(), RULES)[1]}


def test_an_empty_battery_and_a_log_that_proves_nothing_stay(history_sim: ModuleType) -> None:
    right, pack = _week(history_sim), history_sim.nmc_pack()
    assert mend_soc_scale(right, pack, RULES) == (right, [])
    flat = history_sim.table([(k / 12, "rest", 0.0) for k in range(200)], soc_frac=0.005)
    assert mend_soc_scale(flat, pack, RULES)[1] == []  # nothing flowed
    rows = [(k / 60, "drive", -30.0) for k in range(60)]  # turtle mode: the display stands at 1 %, then at 0
    low = history_sim.table(rows, soc_frac=np.where(np.arange(60) < 30, 0.01, 0.0))
    assert mend_soc_scale(low, pack, RULES)[1] == []
