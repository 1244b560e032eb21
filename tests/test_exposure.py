"""Days to months and years: sums conserved, months counted from in-service, gaps filled by calendar month."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.domain import DAYS_PER_MONTH
from models.exposure import LEVELS, fill_days, month_of_day, monthly, twelve_periods


@settings(deadline=None)
@given(st.integers(1, 800), st.integers(0, 400))
def test_months_conserve_days_and_sums(days: int, first: int) -> None:
    daily = np.random.default_rng(days).random((days, 2))
    sums, count = monthly(daily, first)
    month, one_by_one = month_of_day(first, days), np.zeros_like(sums)
    np.add.at(one_by_one, month, daily)
    assert count.tolist() == np.bincount(month).tolist()
    assert np.array_equal(sums, one_by_one)  # in order of time
    assert sums.shape[0] == int((first + days - 1) // DAYS_PER_MONTH) + 1


def test_days_before_the_in_service_day_have_no_month() -> None:
    with pytest.raises(ValueError, match="first_day must be 0 or more, got -1"):
        monthly(np.ones((3, 1)), -1)


def test_a_year_is_twelve_months() -> None:
    month = month_of_day(0, 366)
    assert month[0] == 0
    assert month[365] == 11
    assert month_of_day(366, 1)[0] == 12


def test_a_representative_year_is_scaled_to_a_calendar_year() -> None:
    daily = np.random.default_rng(1).random((364, 3))
    months = twelve_periods(daily)
    assert months.shape == (12, 3)
    assert months.sum(axis=0) == pytest.approx(daily.sum(axis=0) * 365.25 / 364, rel=1e-12)
    assert twelve_periods(np.ones((364, 1)))[:, 0] == pytest.approx(np.full(12, DAYS_PER_MONTH))
    with pytest.raises(ValueError, match="364"):
        twelve_periods(daily[:-1])


def test_levels_decrease_from_new() -> None:
    assert LEVELS[0] == 1.0
    assert list(LEVELS) == sorted(LEVELS, reverse=True)


def test_days_before_the_logs_take_their_calendar_month() -> None:
    in_service = date(2022, 1, 1)
    days = np.arange(365, 730)
    season = np.where(
        np.isin((np.datetime64("2022-01-01") + days).astype("datetime64[M]").astype(int) % 12, [6]), 3, 1.0
    )
    out, share = fill_days(days, season[:, None], 730, in_service)
    assert share == pytest.approx(0.5)
    assert out[365:, 0] == pytest.approx(season)
    assert out[190, 0] == 3.0  # July
    assert out[10, 0] == 1.0


def test_unseen_months_lie_between_their_neighbours() -> None:
    days = np.concatenate([np.arange(31), np.arange(181, 212)])  # January and July
    values = np.concatenate([np.zeros(31), np.full(31, 6.0)])[:, None]
    out, share = fill_days(days, values, 365, date(2023, 1, 1))
    assert out[75, 0] == pytest.approx(2.0)  # March
    assert 0.8 < share < 0.85


def test_no_logged_day_fills_nothing() -> None:
    out, share = fill_days(np.empty(0, dtype=np.int64), np.empty((0, 2)), 10, date(2023, 1, 1))
    assert share == 1.0
    assert out.sum() == 0.0
