"""A vehicle that departs from its forecast is flagged, one that follows it is not, at the declared rate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.departure import departure, departure_terms, threshold

TERMS = departure_terms()
DAYS = 30.4 * np.arange(1, 13)
MEAN = 0.95 - 0.0002 * DAYS / 30.4


def covariance(n: int = 12) -> np.ndarray:
    """Fresh noise of 1 % and a common uncertainty of 0.8 %."""
    return 1e-4 * np.eye(n) + 0.64e-4


def test_a_fault_is_flagged_with_its_evidence() -> None:
    fault = 0.006 * np.maximum(np.arange(12) - 2, 0)
    d = departure(DAYS, MEAN - fault, MEAN, covariance(), TERMS)
    assert d is not None and d.departed
    assert DAYS[2] <= d.since_days <= d.flagged_days < DAYS[-1]
    assert d.sigmas < -2 and d.below_pp > 1 and d.score > d.limit
    assert "readings in a row" in d.sentence


def test_following_the_forecast_or_gaining_is_no_departure() -> None:
    for gain in (0.0, 0.03):
        d = departure(DAYS, MEAN + gain, MEAN, covariance(), TERMS)
        assert d is not None and not d.departed
        assert d.sentence == "follows its forecast: 12 readings tested"
    assert departure(DAYS[:0], MEAN[:0], MEAN[:0], covariance(0), TERMS) is None


def test_one_bad_reading_flags_nobody() -> None:
    soh = MEAN.copy()
    soh[5] -= 0.2
    d = departure(DAYS, soh, MEAN, covariance(), TERMS)
    assert d is not None and not d.departed


def test_an_alarm_that_later_readings_take_back_was_an_alarm() -> None:
    soh = MEAN.copy()
    soh[3:7] -= 0.04
    soh[7:] += 0.06
    d = departure(DAYS, soh, MEAN, 0.01**2 * np.eye(DAYS.size), TERMS)
    assert d is not None and not d.departed
    assert d.score > d.limit
    assert d.alarmed_days is not None and DAYS[3] < d.alarmed_days <= DAYS[6]


@pytest.mark.parametrize("rate", [1.0, 5.0])
def test_false_alarms_come_at_the_declared_rate(rate: float) -> None:
    terms = replace(TERMS, false_alarms_per_1000_months=rate)
    rng = np.random.default_rng(1)
    root, months, alarms = np.linalg.cholesky(covariance(60)), 0.0, 0
    days, mean = 30.4 * np.arange(1, 61), np.full(60, 0.9)
    for _ in range(400):
        d = departure(days, mean + root @ rng.standard_normal(60), mean, covariance(60), terms)
        assert d is not None
        crossed = d.alarmed_days is not None
        assert crossed == (d.score > d.limit)
        months += 60.0
        alarms += int(crossed)
    assert 0.3 * rate < 1000.0 * alarms / months < 1.6 * rate


def test_a_rarer_alarm_needs_a_higher_limit() -> None:
    assert threshold(1.0, 0.5) > threshold(1.0, 1.0) > threshold(1.0, 10.0)
