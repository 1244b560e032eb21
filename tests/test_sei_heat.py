"""Self-heating of a cell in the kernel: invariants of the lump, and the DFN with lumped heat."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.cell import heat_tables
from models.laws.sei import SeiLaw
from models.parameters import ParameterError
from models.warm_month import air_steps, warm_month, warmed

CELL = "nmc811_lgm50"


def test_rest_stays_at_the_airs_temperature() -> None:
    t = SeiLaw(CELL, "sei_ec").tables
    steps = air_steps(CELL, 10.0, 2)
    still = dataclasses.replace(steps, temp_c=np.full(steps.hours.size, 10.0))
    out = warmed(CELL, t, still, np.zeros(steps.hours.size), t.new_state)
    np.testing.assert_allclose(out.temp_c, 10.0, atol=1e-12)


@settings(max_examples=15, deadline=None)
@given(st.floats(-10, 40), st.floats(0.05, 0.5), st.sampled_from([-1.0, 1.0]))
def test_a_current_warms_whichever_way_it_flows(air_c: float, c_rate: float, sign: float) -> None:
    """At 25 degC and 0.3C an LG M50 in still air ends some kelvins warmer; colder cells warm more."""
    t = SeiLaw(CELL, "sei_ec").tables
    steps = air_steps(CELL, air_c, 2)
    still = dataclasses.replace(steps, temp_c=np.full(steps.hours.size, air_c))
    gain = [
        warmed(CELL, t, still, np.full(steps.hours.size, sign * x), t.new_state).temp_c[-1] - air_c
        for x in (c_rate, 1.5 * c_rate)
    ]
    assert 0.0 < gain[0] < gain[1] < 60.0


def test_stronger_losses_in_the_cold() -> None:
    resistance = heat_tables(CELL).resistance_ohm
    assert np.all(np.diff(resistance) < 0)
    assert 0.005 < resistance[11] < 0.05  # 25 degC, a 5 A.h cell


def test_a_set_without_thermal_parameters_is_named() -> None:
    with pytest.raises(ParameterError, match="lfp_prada2013"):
        heat_tables("lfp_prada2013")


@pytest.mark.slow
def test_self_heating_brings_the_kernel_to_the_dfn() -> None:
    """Three days at -10 degC: within 0.3 % of the loss with self-heating, too little lost without.

    Over a month the errors are 0.0 and -0.5 % (``benchmarks/bench_self_heating.py``); the first days hold the start.
    """
    r = warm_month(CELL, "sei_ec", -10.0, days=3)
    assert np.max(np.abs(r.error_frac)) < 0.003, r
    assert r.cold_error_frac[-1] < -0.001 < r.error_frac[-1], r
    assert r.warming_k > 0.05
