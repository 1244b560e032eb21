"""Laws of ageing tests: limits, invariants, intervals, and coefficients that survive storing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.ageing import Cycling, Rows, Storage, days_of, mean_rate_per_h, reversible_of
from models.ageing_entries import fitted_of, parameters_of, toml_of
from models.ageing_fit import fit_storage, left_out, storage_conditions
from models.ageing_intervals import Width, calibrate, constant_half_frac, interval_score
from models.ageing_models import StorageModel
from models.learned.ageing import learn_kernel, predict_at
from models.parameters import load

LAW = Storage(-3.45, 4.0, 0.9, 2.0, 0.5, -0.2, -1.5)


def rows(n: int = 1, **given_columns: object) -> Rows:
    plain = {
        "test_id": np.array(["a"] * n, dtype=object),
        "cell": np.array(["cell"] * n, dtype=object),
        "chemistry": np.array(["LFP/graphite"] * n, dtype=object),
        "kind": np.array(["cycle"] * n, dtype=object),
        "first": np.zeros(n, dtype=bool),
    }
    names = ("temp_c", "soc_frac", "depth_frac", "charge_per_h", "discharge_per_h", "day", "cycles", "capacity_frac")
    body = plain | {k: np.full(n, np.nan) for k in names}
    body |= {k: np.asarray(v) if k in plain else np.full(n, v, dtype=float) for k, v in given_columns.items()}
    return Rows(**body)  # pyright: ignore[reportArgumentType]


@given(st.floats(-20, 60), st.floats(0, 1), st.floats(1, 3000))
@settings(max_examples=50, deadline=None)
def test_storage_grows_with_time_and_temperature(temp: float, soc: float, day: float) -> None:
    def loss(t: float, d: float) -> float:
        return float(LAW.loss_frac(np.array([t]), np.array([soc]), np.array([d]))[0])

    assert 0 < loss(temp, day) < loss(temp, 1.1 * day)
    assert loss(temp, day) < loss(temp + 5, day)
    assert loss(temp, 0.0) == 0.0


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 20_000))
@settings(max_examples=50, deadline=None)
def test_reversible_loss_is_bounded_and_only_of_shallow_cycles(depth: float, soc: float, cycles: float) -> None:
    law = Cycling(-3.3, 0.4, 0.1, 0.7, reversible_peak=0.17)
    back = float(law.reversible_frac(np.array([depth]), np.array([soc]), np.array([cycles]))[0])
    assert 0 <= back <= 0.17 + 1e-12
    if depth >= 0.8:
        assert back == 0.0


def test_reversible_loss_returns_and_needs_a_known_depth() -> None:
    law = Cycling(-3.3, 0.4, 0.1, 0.7, reversible_peak=0.17)
    shallow = rows(3, depth_frac=0.15, soc_frac=0.5)
    grown = reversible_of(replace(shallow, cycles=np.array([300.0, 1250.0, 10_000.0])), law)
    assert grown[1] == pytest.approx(0.17) and grown[1] > grown[2] and grown[1] > grown[0]
    assert reversible_of(rows(1, soc_frac=0.5, cycles=1250), law)[0] == 0.0


def test_mean_rate_is_the_same_from_rates_and_from_throughput() -> None:
    # 0.5C up and 1C down: 2 h + 1 h a full cycle.
    by_rate = rows(1, charge_per_h=0.5, discharge_per_h=1.0)
    by_time = rows(1, cycles=800, day=100)
    assert mean_rate_per_h(by_rate)[0] == pytest.approx(2 / 3)
    assert mean_rate_per_h(by_time)[0] == pytest.approx(2 / 3)
    assert days_of(rows(1, charge_per_h=0.5, discharge_per_h=1.0, cycles=800))[0] == pytest.approx(100)


def made_storage() -> Rows:
    """Six conditions of five check-ups that follow `LAW` exactly."""
    days = np.array([30.0, 90, 200, 400, 800])
    points = [(10, 0.5), (25, 0.2), (25, 0.9), (40, 0.5), (40, 0.1), (50, 0.7)]
    parts = {k: [] for k in ("test_id", "temp_c", "soc_frac", "day", "capacity_frac")}
    for i, (temp, soc) in enumerate(points):
        loss = LAW.loss_frac(np.full(5, temp), np.full(5, soc), days)
        for k, v in zip(parts, ([f"t{i}"] * 5, [temp] * 5, [soc] * 5, days, 1 - loss), strict=True):
            parts[k] += list(v)
    n = 30
    made = rows(n, kind=np.array(["calendar"] * n, dtype=object), test_id=np.array(parts["test_id"], dtype=object))
    numbers: dict[str, Any] = {k: np.array(v, dtype=float) for k, v in parts.items() if k != "test_id"}
    return replace(made, **numbers)


def test_a_made_storage_cell_is_recovered_and_left_out_conditions_foretold() -> None:
    made = made_storage()
    model = fit_storage(made)
    done = model.forecast(made)
    assert np.abs(done.loss_frac - (1 - made.capacity_frac)).max() < 0.002
    assert done.in_range.all()
    found = left_out(made, storage_conditions(made), lambda keep: fit_storage(made.take(keep)))
    assert found.rmse_pp().mean() < 0.6


def test_calibration_holds_eighty_per_cent_and_beats_constant_width_on_uneven_errors() -> None:
    rng = np.random.default_rng(1)
    sd = np.repeat(rng.uniform(0.002, 0.03, 60), 20)
    test = np.repeat(np.arange(60), 20)
    error = rng.normal(0, 1, sd.size) * sd * 1.7
    half = calibrate(error, sd, test).half_frac(sd)
    assert 0.74 < np.mean(np.abs(error) <= half) < 0.86
    flat = np.full(sd.size, constant_half_frac(error, test))
    assert np.mean(np.abs(error) <= flat) == pytest.approx(0.8, abs=0.01)
    assert interval_score(error, -half, half).mean() < interval_score(error, -flat, flat).mean()


def test_what_is_left_out_is_not_fitted_to() -> None:
    """The law that predicts a group never gets a row of it; rows of group '' are fitted to and not predicted."""
    made = made_storage()
    condition = storage_conditions(made)
    group = np.where(made.temp_c == 25.0, "", condition).astype(object)
    seen: list[np.ndarray] = []

    def fit(keep: np.ndarray) -> StorageModel:
        seen.append(keep)
        return fit_storage(made.take(keep))

    found = left_out(made, group, fit)
    names = [n for n in np.unique(group) if n]
    assert len(seen) == len(names) == 4
    for keep, name in zip(seen, names, strict=True):
        assert np.array_equal(keep, group != name)
    assert (found.rows.temp_c != 25.0).all() and found.error_frac.size == 20
    # A condition that ages twice as fast as all others is missed by half of its loss when it is left out.
    odd = condition == condition[-1]
    loss = np.where(odd, 2.0, 1.0) * (1.0 - made.capacity_frac)
    fast = replace(made, capacity_frac=1.0 - loss)
    away = left_out(fast, condition, lambda keep: fit_storage(fast.take(keep)))
    assert away.error_frac[odd].mean() < -0.25 * loss[odd].mean()


def test_interval_score_by_hand() -> None:
    # Width 2; a point 0.5 above pays 2/0.2 * 0.5 = 5 more.
    score = interval_score(np.array([0.0, 1.5]), np.array([-1.0, -1.0]), np.array([1.0, 1.0]))
    assert score == pytest.approx([2.0, 7.0])
    assert Width(0.003, 0.0).half_frac(np.array([9.0]))[0] == pytest.approx(0.003 * 1.2815515655446004)


def test_process_returns_to_its_table_and_doubts_far_away() -> None:
    x = np.linspace(-1, 1, 9)[:, None]
    y = np.sin(2 * x[:, 0])
    kernel = learn_kernel(x, y, trend=False)
    mean, sd = predict_at(kernel, x, y, np.array([[0.25], [40.0]]))
    assert mean[0] == pytest.approx(np.sin(0.5), abs=0.05)
    assert sd[1] > 5 * sd[0]


def test_shipped_laws_survive_storing_and_name_their_sources() -> None:
    shipped = fitted_of(load("evidence"))
    assert {parameters_of(f)["form"] for f in shipped} == {"storage", "cycling", "profile"}
    for f in shipped:
        assert "development half" in f.source and "CC BY" in f.source
        assert toml_of(f).startswith(f"[{f.entry_id}]")
    from models.parameters import _parse

    again = fitted_of(_parse("\n".join(toml_of(f) for f in shipped), "again"))
    for old, new in zip(shipped, again, strict=True):
        assert parameters_of(old) == parameters_of(new)


def test_intervals_widen_with_the_distance_from_what_was_tested() -> None:
    """Cold storage and cold, hot, fast or long cycling: never narrower further out; inside nothing is added."""
    models = {type(f.model).__name__: f.model for f in fitted_of(load("evidence"))}
    cold = np.array([0.0, -20.0, -30.0, -40.0])
    stored = rows(4, temp_c=cold, soc_frac=0.5, day=400.0, kind="calendar")
    cycled = {
        "temp_c": 30.0,
        "soc_frac": 0.5,
        "depth_frac": 0.8,
        "charge_per_h": 0.5,
        "discharge_per_h": 0.5,
        "day": 200.0,
        "cycles": 600.0,
    }
    cases = {
        "StorageModel": [stored],
        "CyclingModel": [
            rows(5, **cycled | {"temp_c": np.array([25.0, 5.0, -5.0, -20.0, -40.0])}),
            rows(4, **cycled | {"temp_c": np.array([40.0, 60.0, 70.0, 80.0])}),
            rows(
                3, **cycled | {"charge_per_h": np.array([2.0, 3.0, 5.0]), "discharge_per_h": np.array([2.0, 3.0, 5.0])}
            ),
            rows(3, **cycled | {"cycles": np.array([1e4, 4e4, 1e5]), "day": np.array([880.0, 3600.0, 9000.0])}),
        ],
    }
    for name, groups in cases.items():
        for group in groups:
            done = models[name].forecast(group)
            half = models[name].width.half_frac(done.sd_frac, done.doubt_frac)
            assert done.doubt_frac[0] == pytest.approx(0.0), (name, group.temp_c, group.cycles, done.doubt_frac)
            assert np.all(np.diff(half) > 0) and half[-1] > 2.0 * half[0]
    # A cold cell may keep the pace of the coldest one tested: its loss is within the interval.
    done = models["StorageModel"].forecast(stored)
    half = models["StorageModel"].width.half_frac(done.sd_frac, done.doubt_frac)
    assert done.loss_frac[1] + 1.6 * half[1] > done.loss_frac[0]
