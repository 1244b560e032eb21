"""The integral is the trapezoid sum whatever the grid; gaps are marked, filled apart, and never forced to close."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.domain import Pack, Use
from models.duty import (
    INTERPOLATED,
    MEASURED,
    MODELLED,
    Steps,
    build_duty,
    flow_current,
    grid,
    session_ah,
    steps_of_samples,
    week_source,
)
from models.integral import check_sums, integrate, plain_sums
from models.sessions import US_PER_HOUR, Samples, cut, rules

RULES = rules()


def _random(seed: int, n: int, longest_s: float) -> Samples:
    rng = np.random.default_rng(seed)
    time_us = 1_600_000_000_000_000 + np.cumsum(rng.integers(1, int(longest_s * 1e6), n))
    nan = np.full(n, np.nan)
    current = np.where(rng.random(n) < 0.15, 0.0, rng.normal(0, 60, n))
    state = np.repeat(rng.integers(0, 4, n // 3 + 1), 3)[:n].astype(np.int8)
    voltage = rng.uniform(300, 400, n)
    voltage[rng.random(n) < 0.05] = np.nan
    soc = np.clip(0.5 + np.cumsum(rng.normal(0, 0.003, n)), 0, 1)
    return Samples(
        time_us, state, rng.integers(-1, 4, n), ("a", "b", "c", "d"), voltage, current, soc, nan, nan, nan, nan
    )


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 2**31), n=st.integers(2, 200), longest_s=st.sampled_from([1.0, 60.0, 1500.0, 9000.0]),
    minutes=st.sampled_from([15, 60]),
)  # fmt: skip
def test_sums_over_steps_are_the_trapezoid_sums(seed: int, n: int, longest_s: float, minutes: int) -> None:
    samples = _random(seed, n, longest_s)
    runs = cut(samples, samples.state, 150.0, RULES)
    if runs.index.shape[0] < 2:
        return
    first_us, steps = grid(int(samples.time_us[0]), int(samples.time_us[-1]) + 1, minutes)
    got = integrate(samples, runs, first_us, steps, minutes)
    assert check_sums(got, samples, runs) < 1e-9
    # By run as by step, and net as numpy's own trapezoid.
    ah, kwh = plain_sums(samples, runs)
    assert got.run_ah.sum(axis=0) == pytest.approx(ah, rel=1e-9, abs=1e-12)
    assert got.run_kwh.sum(axis=0) == pytest.approx(kwh, rel=1e-9, abs=1e-12)
    whole = runs.joined
    hours = np.diff(samples.time_us[runs.index]) / 3.6e9  # differences first: hours since 1970 round to 0.2 µs
    current = samples.current_a[runs.index]
    net = float(np.sum((0.5 * (current[1:] + current[:-1]) * hours)[whole]))
    assert ah[0] - ah[1] == pytest.approx(net, rel=1e-6, abs=1e-6 * ah.sum() + 1e-9)
    assert got.covered_s.sum() == pytest.approx(
        float(np.diff(samples.time_us[runs.index])[whole].sum()) * 1e-6, rel=1e-9
    )
    # Sessions tile the logged time.
    assert np.all(got.run_end_us >= got.run_start_us)
    assert np.all(got.run_start_us[1:] >= got.run_end_us[:-1])


def test_a_step_boundary_splits_a_ramp_exactly(history_sim: ModuleType) -> None:
    # 0 A at 00:30, 60 A at 01:00, 0 A at 01:30, all charging: 7.5 + 7.5 Ah split by the hour.
    samples = history_sim.table([(0.5, "charge", 0.0), (1.0, "charge", 60.0), (1.5, "charge", 0.0)])
    runs = cut(samples, samples.state, 150.0, RULES)
    got = integrate(samples, runs, history_sim.START_US, 24, 60)
    assert got.step_ah[0, Use.CHARGE].tolist() == [15.0, 0.0]
    assert got.step_ah[1, Use.CHARGE].tolist() == [15.0, 0.0]
    assert got.step_kwh[:, Use.CHARGE, 0].sum() == pytest.approx(30.0 * 0.36)


def test_a_sign_change_is_split_and_between_uses_each_takes_its_part(history_sim: ModuleType) -> None:
    samples = history_sim.table([(0.0, "export", -30.0), (0.25, "charge", 10.0), (0.5, "charge", 10.0)])
    runs = cut(samples, samples.state, 150.0, RULES)
    got = integrate(samples, runs, history_sim.START_US, 24, 60)
    crossing = 0.25 * 30 / 40
    assert got.step_ah[0, Use.EXPORT].tolist() == pytest.approx([0.0, 0.5 * 30 * crossing])
    assert got.step_ah[0, Use.CHARGE].tolist() == pytest.approx([0.5 * 10 * (0.25 - crossing) + 2.5, 0.0])
    assert got.run_end_us[0] == got.run_start_us[1] == history_sim.START_US + int(crossing * US_PER_HOUR)


def test_an_interval_belongs_to_the_end_with_the_larger_current(history_sim: ModuleType) -> None:
    samples = history_sim.table(
        [(0.0, "rest", 0.0), (0.25, "charge", 20.0), (0.5, "charge", 20.0), (0.75, "rest", 0.0)]
    )
    runs = cut(samples, samples.state, 150.0, RULES)
    got = integrate(samples, runs, history_sim.START_US, 24, 60)
    assert got.step_ah[0, Use.REST].tolist() == [0.0, 0.0]
    assert got.step_ah[0, Use.CHARGE, 0] == pytest.approx(10.0)


def test_gaps_longer_than_the_limit_are_not_integrated(history_sim: ModuleType) -> None:
    rows = [(0.0, "charge", 20.0), (0.6, "charge", 20.0), (1.0, "rest", 0.0), (4.9, "rest", 0.0), (9.0, "rest", 0.0)]
    samples = history_sim.table(rows)
    runs = cut(samples, samples.state, 150.0, RULES)
    assert runs.joined.tolist() == [False, True, True, False]


def _steps(history_sim: ModuleType, rows: list[tuple[float, str, float]], soc: list[float]) -> tuple[Steps, Pack]:
    samples = history_sim.table(rows, soc_frac=np.array(soc), battery_temp_c=20.0)
    runs = cut(samples, samples.state, 150.0, RULES)
    first_us, n = grid(int(samples.time_us[0]), int(samples.time_us[-1]), 60)
    got = integrate(samples, runs, first_us, n, 60)
    pack = history_sim.nmc_pack()
    return steps_of_samples(samples, got, first_us, 60, pack, pack.capacity_ah, np.full(n, 10.0), RULES), pack


def test_the_residual_is_stored_and_not_forced_to_close(history_sim: ModuleType) -> None:
    rows = [(h / 4, "charge", 20.0) for h in range(0, 9)]
    steps, pack = _steps(history_sim, rows, [0.2 + 0.02 * k for k in range(9)])
    window_ah = pack.capacity_ah * (pack.window_high_frac - pack.window_low_frac)
    assert steps.filled[:2].tolist() == [MEASURED, MEASURED]
    assert steps.ah[0, Use.CHARGE, 0] == pytest.approx(20.0)
    assert steps.soc_residual_ah[:2] == pytest.approx([0.08 * window_ah - 20.0] * 2)
    duty = build_duty(steps)
    assert duty.current_a[:2, Use.CHARGE] == pytest.approx([20.0, 20.0])


def test_a_short_gap_is_interpolated_and_its_charge_kept_out_of_the_measured_sums(history_sim: ModuleType) -> None:
    rows = [(0.0, "rest", 0.0), (1.0, "rest", 0.0), (7.0, "rest", 0.0), (8.0, "rest", 0.0)]
    steps, pack = _steps(history_sim, rows, [0.8, 0.8, 0.5, 0.5])
    assert steps.filled[:9].tolist() == [MEASURED] + [INTERPOLATED] * 6 + [MEASURED] + [INTERPOLATED]
    assert not steps.ah.any()
    duty = build_duty(steps)
    window_ah = pack.capacity_ah * (pack.window_high_frac - pack.window_low_frac)
    assert duty.current_a[:, Use.DRIVE].sum() == pytest.approx(-0.3 * window_ah)
    assert duty.steps % 24 == 0
    assert steps.temp_c[:1] == pytest.approx(20.0)
    assert bool(steps.temp_modelled[12]) and steps.temp_c[23] < 20.0


def test_long_gaps_take_the_same_hours_of_the_nearest_measured_week() -> None:
    filled = np.zeros(24 * 28, dtype=np.uint8)
    filled[200:230] = MODELLED
    source = week_source(filled, 168)
    assert source[200:230].tolist() == list(range(32, 62))
    assert (source[filled == MEASURED] == -1).all()
    filled[:] = MODELLED
    assert (week_source(filled, 168) == -1).all()


def test_modelled_sessions_spread_their_charge_over_steps(history_sim: ModuleType) -> None:
    from models.balance import infer_sessions
    from models.sessions import RawSession

    pack = history_sim.nmc_pack()
    start = history_sim.START_US
    logged = [
        RawSession(str(k), "plugin", start + k * 24 * US_PER_HOUR, start + (k * 24 + 10) * US_PER_HOUR, 12.0)
        for k in range(1, 5)
    ]
    sessions, _ = infer_sessions(logged, pack, RULES, 165.0)
    first_us, n = grid(sessions[0].start_us, sessions[-1].end_us, 60)
    ah = session_ah(sessions, pack, pack.capacity_ah, first_us, n, 60)
    window_ah = pack.capacity_ah * (pack.window_high_frac - pack.window_low_frac)
    assert ah[:, Use.CHARGE].sum() == pytest.approx(
        sum(s.soc_end_frac - s.soc_start_frac for s in sessions if s.kind == "charge") * window_ah
    )
    assert ah[:, Use.DRIVE].sum() < 0


def test_a_short_drive_keeps_its_current() -> None:
    """20 minutes at 30 A and 10 minutes of export at 12 A in an hour, weighted by charge; NaN where nothing flowed."""
    net_ah, flow_s = np.zeros((2, 4)), np.zeros((2, 4))
    net_ah[0, Use.DRIVE], flow_s[0, Use.DRIVE] = -10.0, 1200.0
    net_ah[0, Use.EXPORT], flow_s[0, Use.EXPORT] = -2.0, 600.0
    assert flow_current(net_ah, flow_s)[0] == pytest.approx((10.0 * 30.0 + 2.0 * 12.0) / 12.0)
    assert np.isnan(flow_current(net_ah, flow_s)[1])


def test_the_time_of_flow_is_that_of_the_samples(history_sim: ModuleType) -> None:
    """A charge of 20 minutes within an hour: the hour's mean is a third, ``flow_a`` is the current."""
    rows = [(m / 60, "charge" if 2 <= m <= 22 else "rest", 60.0 if 2 <= m <= 22 else 0.0) for m in range(40)]
    steps, _ = _steps(history_sim, rows, list(np.linspace(0.4, 0.6, 40)))
    assert steps.flow_a[0] == pytest.approx(60.0, rel=0.06)  # half a minute of ramp at either end
    assert steps.flow_a[0] > 2.5 * steps.ah[0].sum()
