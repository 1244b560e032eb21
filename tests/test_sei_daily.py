"""The fast daily kernel of the SEI laws against the plain sum of its growth terms, step by step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.domain import Duty, FloatArray
from models.exposure import daily_exposures
from models.laws.base import Law
from models.laws.power import power_law
from models.laws.sei import SeiLaw, _cached_windows
from models.laws.sei_grid import MOVING
from models.laws.sei_kernel import KELVIN, anode_potential, growth_terms, step_terms, substeps
from models.laws.sei_vector import BLUR_PER_V, blurred
from models.v2h_year import v2h_pack

PACK = v2h_pack("nmc811_lgm50")
LAWS = [SeiLaw(cell, law) for cell in ("nmc811_lgm50", "lfp_prada2013") for law in ("sei_ec", "sei_interstitial")]


def plain(
    law: SeiLaw, soc: FloatArray, temp_c: FloatArray, current_c: FloatArray, flow_c: FloatArray, per_day: int
) -> FloatArray:
    t = law.tables
    k, ocp, warm, exchange = t.constants, blurred(t.esoh.anode_ocp_v), t.entropic_v_per_k, t.exchange_a_m2
    windows = _cached_windows(law.cell_id, law.law_id, law.home, law.version)[0]
    n_w, n_t, n_c = len(windows), law.nodes.size, law.coarse.size
    cycles_at = n_w + n_c * n_t
    out = np.zeros((-(-temp_c.size // per_day), cycles_at + 1 + n_c))
    moved = np.zeros((len(out), n_w))  # growth while current flows is straight between the windows of MOVING
    anode, cathode = k.anode_ah / k.lithium_ah, k.cathode_wear_ratio * k.cathode_ah / k.lithium_ah
    for h, rate, temp, s_0, s_1, step in zip(*substeps(soc, temp_c, current_c, 24 / per_day, flow_c), strict=True):
        row, mid = out[int(step) // per_day], 0.5 * (s_0 + s_1)
        terms = step_terms(rate if abs(rate) > 1e-5 else 0.0, temp + KELVIN, 1.0, k)
        row[cycles_at] += 0.5 * abs(rate) * h
        for w, (x_0, x_1, y_0, y_1) in enumerate(windows):
            x, y = x_0 + mid * (x_1 - x_0), y_0 + mid * (y_1 - y_0)
            a, b = growth_terms(anode_potential(x, terms, ocp, warm, exchange), terms, k.film_potential_v)
            growth = h * np.exp(-terms[5] * law.nodes) / (a + b * law.nodes)
            (moved[int(step) // per_day] if terms[2] else row)[w] += growth[law.middle]
            for c in np.flatnonzero(law.coarse == w):
                row[n_w + c * n_t : n_w + (c + 1) * n_t] += growth
                row[cycles_at + 1 + c] += 0.5 * abs(rate) * h * (anode * x + cathode * y)
    known = np.isin(law.fullness, MOVING[law.law_id])
    for row, fine in zip(out, moved, strict=True):
        if fine.any():
            row[:n_w] += 1.0 / np.interp(law.fullness, law.fullness[known], 1.0 / fine[known])
    return out


def made_duty(seed: int, swing_k: float) -> Duty:
    """Sixty hours of rests and currents, with temperatures that swing within a rest."""
    rng = np.random.default_rng(seed)
    moving = rng.random(60) < 0.4
    current = np.zeros((60, 4))
    current[moving, 0] = rng.uniform(-0.6, 0.6, moving.sum())
    soc = np.clip(0.5 + np.cumsum(np.concatenate([[0.0], 0.2 * current.sum(axis=1)])), 0.0, 1.0)
    flow = np.abs(current[:, 0]) * rng.uniform(0.9, 3.0, 60) if seed % 2 else None
    temp_c = 10.0 + swing_k * rng.uniform(-1, 1, 60)
    start = np.datetime64("2025-01-01", "us")
    ah = PACK.capacity_ah
    return Duty(start, 60, soc, temp_c, current * ah, ah, np.zeros(60, np.uint8), None if flow is None else flow * ah)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: f"{law.cell_id}-{law.law_id}")
@given(seed=st.integers(0, 10_000), swing_k=st.floats(0.0, 40.0))
@settings(max_examples=6, deadline=None)
def test_the_fast_kernel_is_the_plain_sum(law: SeiLaw, seed: int, swing_k: float) -> None:
    duty = made_duty(seed, swing_k)
    flow = np.empty(0) if duty.flow_a is None else duty.flow_a / PACK.capacity_ah
    fast = law.exposures(duty, PACK)
    # At the fullest window an anode beyond its limit would lose more than all lithium in a day: compared up to there.
    exact = plain(law, duty.cell_soc_frac, duty.temp_c, duty.current_a / PACK.capacity_ah, flow, 24)
    fast, exact = np.minimum(fast, 1.0), np.minimum(exact, 1.0)
    # Single precision: of 1,000 duties the largest entry is off by 4e-7 to 9e-7 in half of them, by 5e-5 in one.
    np.testing.assert_allclose(fast, exact, rtol=1e-4)
    assert np.median(np.abs(fast - exact) / np.maximum(exact, 1e-30)) < 3e-6


@pytest.mark.parametrize("law", LAWS, ids=lambda law: f"{law.cell_id}-{law.law_id}")
def test_a_duty_that_never_rests_is_the_plain_sum_too(law: SeiLaw) -> None:
    """An ageing test cycles without a rest; what lay behind the last step in memory was once taken for one."""
    hours = 48
    soc = 0.5 + 0.2 * np.where(np.arange(hours + 1) % 2 == 0, -1.0, 1.0)
    current = np.zeros((hours, 4))
    current[:, 1] = np.diff(soc) * PACK.capacity_ah
    duty = Duty(
        np.datetime64("2025-01-01", "us"), 60, soc, np.full(hours, 40.0), current, PACK.capacity_ah,
        np.zeros(hours, np.uint8),
    )  # fmt: skip
    exact = plain(law, soc, duty.temp_c, current / PACK.capacity_ah, np.empty(0), 24)
    for _ in range(3):  # memory behind an array changes from call to call
        np.testing.assert_allclose(np.minimum(law.exposures(duty, PACK), 1.0), np.minimum(exact, 1.0), rtol=1e-5)


@pytest.mark.parametrize("cell_id", ["nmc811_lgm50", "lfp_prada2013"])
def test_a_blur_keeps_the_time_through_a_kink(cell_id: str) -> None:
    """Time over which a parked cell crosses a stretch of stoichiometry, and a straight curve, stay as they were."""
    ocp = SeiLaw(cell_id, "sei_interstitial").tables.esoh.anode_ocp_v
    at = slice(ocp.size // 5, 9 * ocp.size // 10)
    exact, kept = np.exp(BLUR_PER_V * ocp[at]), np.exp(BLUR_PER_V * blurred(ocp)[at])
    assert kept.sum() == pytest.approx(exact.sum(), rel=2e-3)
    x = np.linspace(0.0, 1.0, 10_001)
    assert np.max(-np.diff(blurred(np.where(x < 0.5, 0.2, 0.15)))) < 0.05 / 15  # a step of 50 mV becomes a slope
    line = np.linspace(1.0, 0.0, 10_001)
    np.testing.assert_allclose(blurred(line)[100:-100], line[100:-100], atol=6e-5)


@pytest.mark.parametrize("cell_id", ["nmc811_lgm50", "lfp_prada2013"])
def test_members_are_the_same_alone_and_together(cell_id: str) -> None:
    members = [law for law in LAWS if law.cell_id == cell_id]
    duty = made_duty(3, 8.0)
    together = daily_exposures(duty, PACK, members)
    assert list(together) == [law.law_id for law in members]
    for law in members:
        np.testing.assert_array_equal(together[law.law_id], law.exposures(duty, PACK))


@pytest.mark.parametrize("law", [*LAWS[:2], power_law("nmc_b1_2023")], ids=lambda law: law.law_id)
def test_an_order_of_rows_is_the_rows_repeated(law: Law) -> None:
    """A year given once with an order projects as the year written out."""
    level = law.exposures(made_duty(5, 8.0), PACK)
    rows = 30.0 * np.stack([level, 1.1 * level])
    order = np.arange(24) % level.shape[0]
    levels, logs = np.array([1.0, 0.7]), np.full((4, len(law.multiplier_names)), 0.1)
    once = law.project(rows, levels, logs, None, order)
    written = law.project(rows[:, order], levels, logs)
    np.testing.assert_array_equal(once.capacity_frac, written.capacity_frac)
    np.testing.assert_array_equal(once.state, written.state)
    assert once.capacity_frac.shape == (4, 24)
    assert once.capacity_frac[0, -1] < 1.0


def test_power_laws_are_the_same_alone_and_together() -> None:
    together = daily_exposures(made_duty(4, 8.0), PACK, [power_law(x) for x in ("nmc_b1_2023", "nmc111_kokam_2017")])
    for law_id, rows in together.items():
        np.testing.assert_array_equal(rows, power_law(law_id).exposures(made_duty(4, 8.0), PACK))
