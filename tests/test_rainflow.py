"""Rainflow: ASTM E1049-85, the same ranges as `rainflow` 3.2, throughput conserved, resume = one-shot."""

from __future__ import annotations

import numpy as np
import pytest
import rainflow
from hypothesis import given, settings
from hypothesis import strategies as st

from models.laws.rainflow import EMPTY, Cycles, advance, count_cycles, residue

LEVELS = st.lists(st.integers(0, 8), min_size=3, max_size=60)


# At least three samples: `rainflow` 3.2 counts nothing in a trace of two.
def rows(c: Cycles) -> list[tuple[float, float, float]]:
    return sorted(zip(c.range_frac.tolist(), c.mean_frac.tolist(), c.count.tolist(), strict=True))


def reference(x: np.ndarray) -> list[tuple[float, float, float]]:
    return sorted((float(r), float(m), float(c)) for r, m, c, _, _ in rainflow.extract_cycles(x.tolist()) if r > 0)


def close(a: list[tuple[float, float, float]], b: list[tuple[float, float, float]]) -> bool:
    return len(a) == len(b) and np.allclose(np.array(a).reshape(-1, 3), np.array(b).reshape(-1, 3), atol=1e-12)


def test_same_ranges_as_the_reference_on_random_traces() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        x = rng.random(400)
        assert close(rows(count_cycles(x)), reference(x))


def test_same_ranges_on_parked_cars() -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        x = np.repeat(np.round(rng.random(80), 2), rng.integers(1, 30, 80))
        assert close(rows(count_cycles(x)), reference(x))


@given(LEVELS)
@settings(max_examples=150, deadline=None)
def test_same_ranges_on_any_plateaus(levels: list[int]) -> None:
    x = np.array(levels, dtype=float)
    assert close(rows(count_cycles(x)), reference(x))


@given(LEVELS, st.data())
@settings(max_examples=100, deadline=None)
def test_cut_anywhere_gives_the_same(levels: list[int], data: st.DataObject) -> None:
    x = np.array(levels, dtype=float)
    cut = data.draw(st.integers(0, len(levels)))
    state, first = advance(EMPTY, x[:cut])
    state, second = advance(state, x[cut:])
    last = residue(state)
    whole = count_cycles(x)
    for name in ("range_frac", "count", "start", "end", "closing"):
        pieces = np.concatenate([getattr(c, name) for c in (first, second, last)])
        assert np.array_equal(pieces, getattr(whole, name))


@given(LEVELS)
@settings(max_examples=100, deadline=None)
def test_throughput_is_conserved(levels: list[int]) -> None:
    x = np.array(levels, dtype=float)
    c = count_cycles(x)
    assert float(np.sum(2 * c.count * c.range_frac)) == pytest.approx(np.abs(np.diff(x)).sum(), abs=1e-9)


def test_nothing_happens_in_a_car_that_only_stands() -> None:
    assert count_cycles(np.full(100, 0.7)).count.size == 0
