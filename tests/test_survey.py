"""A cohort's curve from one report a car: recovered, and better than plain curves on owners' cars left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from models.survey import cross_validate, fit_curve, loss

SURVEY = Path(__file__).parents[1] / "../shared/data/field/tesla_model3_sr_owner_survey.csv"


def test_the_curve_is_recovered() -> None:
    rng = np.random.default_rng(1)
    age, km = rng.uniform(0.2, 5.0, 600), rng.uniform(2e3, 1.5e5, 600)
    truth = np.log(np.array([0.04, 0.6, 0.012, 0.7]))
    said = loss(truth, age, km) + 0.012 * rng.standard_normal(600)
    said[:10] += 0.2  # a few wrong reports
    curve = fit_curve(age, km, said)
    mean, sd = curve.predict(np.array([1.0, 4.0]), np.array([3e4, 1.2e5]))
    assert mean == pytest.approx(loss(truth, np.array([1.0, 4.0]), np.array([3e4, 1.2e5])), abs=0.004)
    assert sd == pytest.approx(np.full(2, 0.012), rel=0.25)


@pytest.mark.data
@pytest.mark.skipif(not SURVEY.is_file(), reason="needs the owners' survey in ../shared/data")
def test_owners_cars_left_out_are_foretold_better_than_by_plain_curves() -> None:
    frame = pl.read_csv(SURVEY).select("age_months", "odometer_km", "degradation_frac").drop_nulls()
    age, km, said = (frame[c].cast(pl.Float64).to_numpy() for c in frame.columns)
    use = (age > 0) & (km > 0)
    for forward in (False, True):
        row = cross_validate(age[use] / 12.0, km[use], said[use], forward=forward)
        assert row["rmse_cohort_pp"] < min(row["rmse_root_of_time_pp"], row["rmse_straight_line_pp"])
        assert row["rmse_cohort_pp"] < 1.35
        assert 0.74 <= row["inside_80_frac"] <= 0.86
