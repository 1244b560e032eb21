"""Fans drawn in pairs: resume, pairing, levels, differences, cost of past export."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri

from models import forecast
from models.domain import Duty, FloatArray, History, IntArray, Pack, Readings
from models.ensemble import Widening, Worlds
from models.exposure import LEVELS
from models.laws.base import Projection, RangeCheck

NONE = np.zeros(0)
NO_READINGS = Readings(NONE, NONE, NONE, NONE, NONE.astype(bool))


@dataclass(frozen=True)
class Line:
    """Loss = multiplier x exposure, interpolated between levels: the simplest law there can be."""

    law_id: str
    power: float = 1.0
    label: str = "line"
    version: str = "1"
    chemistry: str = "nmc"
    exposure_names: tuple[str, ...] = ("x",)
    multiplier_names: tuple[str, ...] = ("rate",)
    multiplier_sigma: tuple[float, ...] = (0.3,)
    source: str = "test"

    def exposures(self, duty: Duty, pack: Pack) -> FloatArray:
        return np.abs(duty.current_a.sum(axis=1)).reshape(-1, duty.steps_per_day).sum(axis=1)[:, None]

    def project(
        self,
        exposures: FloatArray,
        level_capacity_frac: FloatArray,
        log_multipliers: FloatArray,
        state: FloatArray | None = None,
        order: IntArray | None = None,
    ) -> Projection:
        exposures = exposures if order is None else exposures[:, order]
        draws, periods = log_multipliers.shape[0], exposures.shape[1]
        z = np.zeros(draws) if state is None else state[:, 0].copy()
        out = np.empty((draws, periods))
        order = np.argsort(level_capacity_frac)
        for t in range(periods):
            capacity = 1 - z**self.power
            x = np.interp(capacity, level_capacity_frac[order], exposures[order, t, 0])
            z = z + np.exp(log_multipliers[:, 0]) * x
            out[:, t] = 1 - z**self.power
        return Projection(out, z[:, None])

    def range_check(self, duty: Duty, pack: Pack) -> RangeCheck:
        return RangeCheck(0.0, {})


def worlds_of(draws: int, laws: tuple[Line, ...], sigma: float = 0.3, seed: int = 1) -> Worlds:
    rng = np.random.default_rng(seed)
    m = len(laws)
    member = np.arange(draws) % m
    counts = np.bincount(member, minlength=m)
    return Worlds(
        tuple(law.law_id for law in laws),
        member,
        np.full(draws, 1 / draws),
        tuple(sigma * rng.standard_normal((int(n), 1)) for n in counts),
        np.ones(draws),
        np.full(draws, 1.12),
        np.zeros(draws),
        np.zeros(draws),
        np.zeros(draws),
        Widening(0.2, 0.5, 0.15),
    )


def history_of(months: int, x: float, laws: tuple[Line, ...]) -> History:
    return History(
        "v", "c", np.full(months, 30.4375), {law.law_id: np.full((months, 1), x) for law in laws}, NO_READINGS, 0.0
    )


def year_of(x: float, laws: tuple[Line, ...]) -> dict[str, FloatArray]:
    return {law.law_id: np.full((len(LEVELS), 12, 1), x) for law in laws}


LAWS = (Line("a"), Line("b", 0.5))
X = 0.001


def fan_of(draws: int = 200, **more: float) -> forecast.Fan:
    policies = {"no_export_smart": X, "evening_peak": 1.3 * X} | more
    return forecast.project_vehicle(
        worlds_of(draws, LAWS),
        LAWS,
        history_of(12, X, LAWS),
        {p: year_of(x, LAWS) for p, x in policies.items()},
        10,
    )


def test_future_goes_on_from_the_past():
    """A past of a year and nine more are ten years at once: resume = one-shot."""
    worlds = worlds_of(100, LAWS)
    late = forecast.project_vehicle(worlds, LAWS, history_of(12, X, LAWS), {"no_export_smart": year_of(X, LAWS)}, 9)
    early = forecast.project_vehicle(worlds, LAWS, history_of(0, X, LAWS), {"no_export_smart": year_of(X, LAWS)}, 10)
    assert late.capacity_frac[0, :, -1] == pytest.approx(early.capacity_frac[0, :, -1], abs=1e-6)
    assert late.capacity_frac[0, :, 0] == pytest.approx(early.capacity_frac[0, :, 12], abs=1e-6)
    assert early.capacity_frac[0, :, 0] == pytest.approx(1.0)


def test_the_fan_is_small_and_starts_the_same_for_all():
    fan = fan_of()
    assert fan.capacity_frac.dtype == np.float32
    assert fan.capacity_frac.shape == (2, 200, 121)
    assert fan.months == 120
    assert np.array_equal(fan.of("no_export_smart")[:, 0], fan.of("evening_peak")[:, 0])


def test_the_same_exposures_give_the_same_fan_at_no_cost():
    year = year_of(X, LAWS)
    fan = forecast.project_vehicle(
        worlds_of(20, LAWS), LAWS, history_of(3, X, LAWS), {"no_export_smart": year, "solar": year}, 2
    )
    assert np.array_equal(fan.capacity_frac[0], fan.capacity_frac[1])


def test_differences_are_paired():
    """Drawn in pairs the interval of the difference is far narrower than that of the level."""
    fan = fan_of(2000)
    diff = forecast.difference_quantiles(fan, "evening_peak", [120])[0]
    level = forecast.level_quantiles(fan.of("evening_peak"), np.full(2000, 1 / 2000), [120])[0]
    assert diff[0] > 0
    assert diff[2] - diff[0] < 0.5 * 100 * (level[-1] - level[0])
    assert np.all(forecast.difference_quantiles(fan, "no_export_smart", [0, 60, 120]) == 0)


def test_weights_move_levels_but_not_differences():
    fan = fan_of()
    member = np.arange(200) % 2
    heavy = np.where(member == 0, 0.95, 0.05) / 100
    even = np.full(200, 1 / 200)
    level = [forecast.level_quantiles(fan.of("evening_peak"), w, [120])[0, 2] for w in (heavy, even)]
    assert abs(level[0] - level[1]) > 0.01
    assert forecast.difference_quantiles(fan, "evening_peak", [120]).shape == (1, 3)


def test_members_speak_alone():
    fan = fan_of()
    worlds = worlds_of(200, LAWS)
    rows = forecast.member_medians(fan, worlds, [5, 10])
    assert {r.law_id for r in rows} == {"a", "b"}
    assert len(rows) == 2 * 2 * 2
    assert all(r.weight == pytest.approx(0.5) for r in rows)
    by_law = {r.law_id: r for r in rows if r.policy_id == "evening_peak" and r.year == 10}
    assert by_law["a"].soh_p50 != pytest.approx(by_law["b"].soh_p50, abs=0.01)


def test_calendar_months_are_turned_to_the_as_of_day():
    year = {law.law_id: np.zeros((len(LEVELS), 12, 1)) for law in LAWS}
    for x in year.values():
        x[:, 6] = X * 10  # July alone wears
    fan = forecast.project_vehicle(
        worlds_of(20, LAWS), LAWS, history_of(1, X, LAWS), {"no_export_smart": year}, 1, first_month=5
    )
    loss = -np.diff(fan.of("no_export_smart"), axis=1)
    assert np.all(loss[:, 1] > 0)
    assert loss[:, [0, *range(2, 12)]] == pytest.approx(0, abs=1e-6)


@given(extra=st.floats(-0.5, 2.0))
@settings(max_examples=20, deadline=None)
def test_what_export_has_cost_has_the_sign_of_the_wear(extra):
    worlds = worlds_of(40, LAWS)
    base = history_of(24, X, LAWS).exposures
    more = {k: v * (1 + extra) for k, v in base.items()}
    lost = forecast.lost_to_export_pp(worlds, LAWS, more, base)
    assert np.all(np.sign(lost) == np.sign(extra)) or abs(extra) < 1e-9


def test_the_lower_tail_widens_by_what_of_the_years_to_come_is_outside_the_range():
    """Not by the record's share: a policy that leaves the range is widened, one within it is not."""
    worlds = replace(worlds_of(400, LAWS), outside_frac=np.full(400, 0.5), knee=np.abs(np.linspace(-2, 2, 400)))
    years = {"no_export_smart": year_of(X, LAWS), "evening_peak": year_of(1.3 * X, LAWS)}
    shares = {"no_export_smart": {"a": 0.0, "b": 0.0}, "evening_peak": {"a": 1.0, "b": 1.0}}
    life = history_of(12, X, LAWS)
    said, plain = (forecast.project_vehicle(worlds, LAWS, life, years, 10, 0, s) for s in (shares, None))
    inside = forecast.project_vehicle(replace(worlds, outside_frac=np.zeros(400)), LAWS, life, years, 10)
    assert np.array_equal(said.of("no_export_smart"), inside.of("no_export_smart"))
    assert np.all(said.of("evening_peak")[:, -1] <= plain.of("evening_peak")[:, -1])
    assert said.of("evening_peak")[:, -1].mean() < plain.of("evening_peak")[:, -1].mean() - 1e-4
    assert np.array_equal(said.capacity_frac[:, :, 0], plain.capacity_frac[:, :, 0])


def test_what_laws_have_wrong_in_a_cycle_widens_differences_and_moves_no_median():
    """Cycles as before the day cost what readings taught; beyond them the interval grows with their number."""
    laws = (replace(LAWS[0], exposure_names=("full_cycles",)),)
    plain = worlds_of(400, laws)
    error = 0.5 * np.asarray(ndtri((np.arange(400) + 0.5) / 400))
    shuffled = np.random.default_rng(2).permutation(error)
    wide = replace(plain, cycle_error_frac=shuffled)
    years = {p: year_of(x, laws) for p, x in (("no_export_smart", X), ("evening_peak", 1.4 * X), ("much", 50 * X))}
    fans = [forecast.project_vehicle(w, laws, history_of(12, X, laws), years, 10) for w in (plain, wide)]
    assert np.array_equal(fans[0].of("no_export_smart"), fans[1].of("no_export_smart"))
    assert np.array_equal(fans[0].capacity_frac[:, :, 0], fans[1].capacity_frac[:, :, 0])
    told = [forecast.difference_quantiles(f, "evening_peak", [36, 120]) for f in fans]
    assert told[1][:, 1] == pytest.approx(told[0][:, 1], rel=0.01)
    assert np.all(told[1][:, 2] - told[1][:, 0] > told[0][:, 2] - told[0][:, 0])
    apart = forecast.paired_difference_pp(fans[1], "evening_peak", 120) - forecast.paired_difference_pp(
        fans[0], "evening_peak", 120
    )
    assert apart == pytest.approx(100 * shuffled * 0.4 * X * 120, abs=1e-4)
    # A world where cycles cost less gives back no capacity beyond today's.
    kind = replace(plain, cycle_error_frac=np.full(400, -1.0))
    much = forecast.project_vehicle(kind, laws, history_of(12, X, laws), years, 10).of("much")
    assert np.all(much <= much[:, :1])


def test_the_cost_of_past_export_is_as_unsure_as_that_of_export_to_come():
    laws = (replace(LAWS[0], exposure_names=("full_cycles",)),)
    plain = worlds_of(40, laws)
    wide = replace(plain, cycle_error_frac=np.linspace(-1e-3, 1e-3, 40))
    base = history_of(24, X, laws).exposures
    more = {k: 2 * v for k, v in base.items()}
    lost = [forecast.lost_to_export_pp(w, laws, more, base) for w in (plain, wide)]
    assert lost[1] - lost[0] == pytest.approx(100 * 24 * X * np.linspace(-1e-3, 1e-3, 40))
