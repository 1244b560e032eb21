"""exp and powers of whole arrays against numpy's."""

from __future__ import annotations

import numpy as np
import pytest

from models.laws.vector_math import exp, power

RNG = np.random.default_rng(1)


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 40_000])  # below, at and above a chunk
def test_exp_is_numpys(size: int) -> None:
    x = RNG.uniform(-707, 708, size)
    np.testing.assert_allclose(exp(x), np.exp(x), rtol=4e-16)


@pytest.mark.parametrize("exponent", [0.07, 0.458, 1.0, 1 / 0.467, 6.0])
def test_power_is_numpys(exponent: float) -> None:
    x = np.exp(RNG.uniform(-70, 70, 40_000))
    np.testing.assert_allclose(power(x, exponent), np.power(x, exponent), rtol=1e-13)
    near = RNG.uniform(0.01, 10, 40_000)
    np.testing.assert_allclose(power(near, exponent), np.power(near, exponent), rtol=2e-15 * max(exponent, 1))


def test_edges() -> None:
    x = np.array([0.0, -1.0, np.nan, 1.0, 4.0])
    assert power(x, 0.5) == pytest.approx([0.0, np.nan, np.nan, 1.0, 2.0], rel=1e-15, nan_ok=True)
    assert exp(np.array([-1e4, 1e4])) == pytest.approx(np.exp([-708.0, 709.0]))
    assert np.isnan(exp(np.array([np.nan]))).all()
    assert power(x[::2], 2.0)[2] == pytest.approx(16.0, rel=1e-15)
