"""Fleets whose truth is no fitted law: forecasts beat plain ones, intervals hold, Laplace agrees with Markov chains."""

from __future__ import annotations

import numpy as np
import pytest

from models.departure import departure_terms
from models.fleet_mcmc import laplace_against_mcmc
from models.fleet_score import score_trial, verdict, watch_trial
from models.fleet_trial import YEARS, forecast_trial, make_trial, make_world
from models.laws.power import power_law
from models.truth_duty import draw_habits
from models.truths import GENERATORS, MONTHS, STRESSES, cell_loss, draw_kinetics

LAWS = (power_law("nmc_b1_2023"), power_law("nmc622_denso_2021"))


@pytest.mark.parametrize("generator_id", GENERATORS)
def test_truths_lose_capacity_and_more_with_more_stress(generator_id: str) -> None:
    year = np.array([0.8, 0.7, 0.65, 0.8, 35.0, 45.0, 65.0]) / MONTHS
    stress = np.tile(year, (2, 10 * MONTHS, 1)) * np.array([1.0, 1.3])[:, None, None]
    assert stress.shape[2] == len(STRESSES)
    loss = cell_loss(draw_kinetics(generator_id, 1), stress)
    assert np.all(np.diff(loss, axis=1) > 0) and np.all(loss[1] > loss[0])
    assert 0.02 < loss[0, 5 * MONTHS] < 0.2


def test_confounded_exporters_park_fuller_and_random_ones_do_not() -> None:
    def gap(confounded: bool) -> float:
        habits = draw_habits(600, 3, confounded)
        fuller = [h.target_frac for h in habits if h.exporter], [h.target_frac for h in habits if not h.exporter]
        return float(np.mean(fuller[0]) - np.mean(fuller[1]))

    assert gap(True) > 0.04 > abs(gap(False))


@pytest.mark.slow
def test_a_small_fleet_is_foretold_better_than_by_plain_curves() -> None:
    world = make_world(7, 24, LAWS)
    trial = make_trial(world, "mixed_film", confounded=True)
    said, fit = forecast_trial(trial, 60)
    row = score_trial(trial, said)
    at = YEARS.index(3)
    assert row["rmse_pp"][at] < 2.0
    assert row["rmse_pp"][at] < row["rivals_rmse_pp"]["gradient_boosting"][at]
    assert row["rmse_pp"][at] < row["rivals_rmse_pp"]["cohort_mean"][at]
    assert row["inside_80_frac"][at] > 0.6
    assert np.all(trial.extra_fade_pp[:, at] > 0) and row["diff_sign_right_frac"][at] > 0.8
    assert verdict([row], 3).startswith(("learned", "nothing was learned"))
    watch = watch_trial(trial, fit, departure_terms())
    assert watch.sound_months > 100 and watch.false_alarms <= 2


@pytest.mark.slow
def test_laplace_agrees_with_mcmc() -> None:
    """Shifts below half a standard deviation, spreads within 30 % on a cohort of two cars."""
    rows = laplace_against_mcmc()["parameters"]
    for row in rows.values():
        assert abs(row["shift_sd"]) < 0.5
        assert row["mcmc_sd"] == pytest.approx(row["laplace_sd"], rel=0.3)
