"""Evidence, learned residual, conformal intervals, applicability: used where earned, aside where not, with a reason."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.domain import DAYS_PER_MONTH, History, Readings
from models.ensemble import worlds
from models.evidence import HeldOut, fit_fleet, training_mask
from models.fleet import fleet_prior
from models.fleet_predict import predict
from models.laws.power import power_law
from models.learned.applicability import applicability
from models.learned.conformal import conformal_factor, group_conformal, horizon_bin
from models.learned.residual import FEATURES, feature_row, fit_residual, residual_terms

PRIOR = fleet_prior()
LAWS = (power_law("nmc_sanyo_2014"), power_law("nmc_b1_2023"))
MONTHS = {"nmc_sanyo_2014": [4.6e-3 / 12, 1.06e-3 / 12], "nmc_b1_2023": [1.3e-3 / 12, 5e-6 / 12]}
TERMS = residual_terms()


def fleet(vehicles: int, months: int, seed: int = 1, shared: float = 0.0) -> dict[str, History]:
    """Vehicles that age by the first law; ``shared`` is the error that all readings of one have in common."""
    rng = np.random.default_rng(seed)
    out = {}
    for v in range(vehicles):
        use = np.exp(0.3 * rng.standard_normal())
        exposures = {k: np.tile([*x, DAYS_PER_MONTH, 6.0], (months, 1)) * [1, use, 1, use] for k, x in MONTHS.items()}
        days = (np.arange(months) + 1.0) * DAYS_PER_MONTH
        common = np.full(months, shared)
        blank = Readings(days, days, np.hypot(0.008, common), common, np.zeros(months, dtype=bool))
        h = History(f"v{v:02d}", "c", np.full(months, DAYS_PER_MONTH), exposures, blank, 0.0)
        own = np.array([0.15, 0.015, 0.0]) * rng.standard_normal(3)
        own = np.append(own, np.random.default_rng([seed, v]).standard_normal())
        truth = predict(h, LAWS[0], np.array([0.2, 0.1, 0.0, 0.0]), own, PRIOR.spread_factor).soh_frac
        r = replace(blank, soh_frac=truth + 0.008 * rng.standard_normal(months))
        out[h.vehicle_id] = History(h.vehicle_id, "c", h.period_days, exposures, r, 0.0)
    return out


def synthetic_held_out(vehicles: int, miss: float) -> tuple[list[HeldOut], dict[str, dict[str, float]]]:
    """Laws that miss by an amount that grows with mean temperature."""
    rng = np.random.default_rng(3)
    held, duty = [], {}
    for v in range(vehicles):
        temp = 5.0 + 25.0 * rng.random()
        duty[f"v{v:02d}"] = {"full_cycles_per_year": 60.0, "mean_temp_c": temp, "mean_soc_frac": 0.6}
        n = 8
        days = 300.0 + 20.0 * np.arange(n)
        mean = np.full((n, 1), 0.95)
        soh = 0.95 - miss * (temp - 17.5) / 12.5 + 0.004 * rng.standard_normal(n)
        held.append(HeldOut(f"v{v:02d}", "c", days, days - 280, soh, np.full(n, 0.004), mean, np.full((n, 1), 0.01)))
    return held, duty


def test_the_last_third_is_held_out() -> None:
    h = fleet(1, 12)["v00"]
    assert training_mask(h).tolist() == [True] * 8 + [False] * 4
    assert training_mask(fleet(1, 2)["v00"]).all()


@pytest.mark.parametrize("shared", [0.0, 0.04])
def test_held_out_readings_are_covered_by_the_true_law(shared: float) -> None:
    held = fit_fleet(fleet(12, 24, shared=shared), {"c": LAWS}).held_out
    z = np.concatenate([(h.soh_frac - h.mean_frac[:, 0]) / h.sd_frac[:, 0] for h in held])
    assert 0.65 < np.mean(np.abs(z) < 1.2816) < 0.95


def test_evidence_weighs_and_scores() -> None:
    fit = fit_fleet(fleet(12, 24), {"c": LAWS})
    weight = fit.weight("c")
    assert weight.sum() == pytest.approx(1.0)
    assert weight.min() >= 0.05
    first = fit.fits["c", "nmc_sanyo_2014"]
    assert first.heldout_rmse_pp is not None and first.heldout_rmse_pp < 2.0
    assert first.readings == 12 * 24


def test_a_cohort_without_readings_weighs_equally() -> None:
    none = Readings(np.empty(0), np.empty(0), np.empty(0), np.empty(0), np.empty(0, dtype=bool))
    histories = {k: History(k, "c", h.period_days, h.exposures, none, 1.0) for k, h in fleet(2, 6).items()}
    fit = fit_fleet(histories, {"c": LAWS})
    assert fit.weight("c").tolist() == [0.5, 0.5]
    assert fit.held_out == ()
    assert fit.fits["c", "nmc_sanyo_2014"].heldout_rmse_pp is None


def test_the_residual_stands_aside_with_few_vehicles() -> None:
    held, duty = synthetic_held_out(12, 0.03)
    r = fit_residual(held, {"c": np.ones(1)}, duty, TERMS)
    assert not r.used
    assert "12 vehicles" in r.reason and "20 are needed" in r.reason
    assert r.shift_frac(np.zeros(len(FEATURES))) == (0.0, r.reason)


def test_the_residual_stands_aside_where_it_gains_nothing() -> None:
    held, duty = synthetic_held_out(30, 0.0)
    r = fit_residual(held, {"c": np.ones(1)}, duty, TERMS)
    assert not r.used
    assert r.rmse_learned_pp is not None and r.rmse_laws_pp is not None
    assert r.conformal is not None


def test_the_residual_learns_what_the_laws_miss_and_withdraws_outside() -> None:
    held, duty = synthetic_held_out(40, 0.03)
    r = fit_residual(held, {"c": np.ones(1)}, duty, TERMS)
    assert r.used and r.rmse_learned_pp is not None and r.rmse_laws_pp is not None
    assert r.rmse_learned_pp < 0.7 * r.rmse_laws_pp
    like = held[int(np.argmax([duty[h.vehicle_id]["mean_temp_c"] for h in held]))]
    row = feature_row(360 / 365.25, 80 / 365.25, 0.05, duty[like.vehicle_id])
    shift, note = r.shift_frac(row)
    assert note == "used" and shift < -0.01
    far = row.copy()
    far[FEATURES.index("mean_temp_c")] = 45.0
    shift, note = r.shift_frac(far)
    assert shift == 0.0
    assert note == "withdrawn to the laws: outside the range learned from: mean_temp_c"
    again = fit_residual(held, {"c": np.ones(1)}, duty, TERMS)
    assert again.shift_frac(row) == r.shift_frac(row)


def test_only_what_the_full_fit_has_left_is_added_and_the_time_forward_error_is_told() -> None:
    held, duty = synthetic_held_out(40, 0.03)
    row = feature_row(360 / 365.25, 80 / 365.25, 0.05, {**duty["v00"], "mean_temp_c": 27.0})
    plain = fit_residual(held, {"c": np.ones(1)}, duty, TERMS)
    assert plain.forward_learned_pp is not None and plain.forward_laws_pp is not None
    assert plain.forward_learned_pp < 0.7 * plain.forward_laws_pp
    assert "on later readings than it learned from" in plain.reason
    assert plain.left_frac > 0.8
    for share in (0.0, 0.25):
        # A full fit that has taken up most of what the earlier fit missed.
        seen = [replace(h, full_frac=h.mean_frac + (1.0 - share) * (h.soh_frac[:, None] - h.mean_frac)) for h in held]
        r = fit_residual(seen, {"c": np.ones(1)}, duty, TERMS)
        assert r.used and r.left_frac == pytest.approx(share * plain.left_frac, abs=0.02)
        assert r.shift_frac(row)[0] == pytest.approx(share * plain.shift_frac(row)[0], abs=0.002)


def test_what_is_a_cars_own_is_not_learned_from_its_other_readings() -> None:
    """Whole vehicles are left out: a miss without rule between cars would be known by the car's temperature alone."""
    held, duty = synthetic_held_out(40, 0.0)
    own = np.random.default_rng(8).normal(0.0, 0.02, len(held))
    lone = [replace(h, soh_frac=h.soh_frac + x) for h, x in zip(held, own, strict=True)]
    r = fit_residual(lone, {"c": np.ones(1)}, duty, TERMS)
    assert r.rmse_learned_pp is not None and r.rmse_laws_pp is not None
    assert r.rmse_learned_pp > 0.95 * r.rmse_laws_pp and not r.used


def test_a_miss_that_turns_later_is_found_by_learning_forward_in_time_alone() -> None:
    """Left-out cars show the same turn, so that errors by vehicle are small: only time-forward it misleads."""
    held, duty = synthetic_held_out(40, 0.03)
    turned = []
    for h in held:
        late = np.arange(h.days.size) >= 4
        turned.append(replace(h, soh_frac=np.where(late, 2.0 * h.mean_frac[:, 0] - h.soh_frac, h.soh_frac)))
    r = fit_residual(turned, {"c": np.ones(1)}, duty, TERMS)
    assert r.rmse_learned_pp is not None and r.rmse_laws_pp is not None
    assert r.rmse_learned_pp < 0.8 * r.rmse_laws_pp
    assert r.forward_learned_pp is not None and r.forward_laws_pp is not None
    assert r.forward_learned_pp > 1.5 * r.forward_laws_pp
    assert not r.used and r.model is None


def test_a_conformal_width_beyond_the_laws_own_reaches_the_forecast() -> None:
    held, duty = synthetic_held_out(60, 0.0)
    bold = [replace(h, sd_frac=0.25 * h.sd_frac) for h in held]  # say 0.25 %, err by 0.4 %
    r = fit_residual(bold, {"c": np.ones(1)}, duty, TERMS)
    assert not r.used
    extra = r.extra_sigma_frac(60.0, 0.0025)
    assert np.hypot(extra, 0.0025) == pytest.approx(0.004, rel=0.2)
    assert fit_residual(held, {"c": np.ones(1)}, duty, TERMS).extra_sigma_frac(60.0, 0.01) == 0.0
    assert r.extra_sigma_frac(4000.0, 0.0025) == 0.0  # too few vehicles so far ahead: the laws' interval stands
    law = LAWS[0]
    quiet, wide = (worlds({}, "c", "v", [law], 400, 1, residual_sigma_frac=s) for s in (0.0, extra))
    assert quiet.residual_shift_frac.std() == 0.0
    assert wide.residual_shift_frac.std() == pytest.approx(extra, rel=0.1)


def test_conformal_needs_enough_vehicles_and_covers() -> None:
    rng = np.random.default_rng(5)
    groups = [f"v{i}" for i in range(400) for _ in range(4)]
    sd = np.full(1600, 0.01)
    error = 0.02 * rng.standard_normal(1600)  # the laws' spread is too small by half
    c = group_conformal(error, sd, np.full(1600, 30.0), groups, 0.8, 20)
    assert c.groups == (400, 0, 0)
    assert np.isnan(c.factors[1])
    assert c.half_width_frac(400.0, 0.01) is None
    # One reading is to be held, not all four of a vehicle at once: 1.28 standard deviations, not 1.9.
    assert c.half_width_frac(30.0, 0.01) == pytest.approx(1.2816 * 0.02, rel=0.12)
    assert c.inside_frac == pytest.approx(0.8, abs=0.02)
    assert np.isnan(conformal_factor(np.arange(3.0), 0.8))
    assert horizon_bin(np.array([10.0, 90.0, 400.0])).tolist() == [0, 1, 2]


def test_the_reading_furthest_ahead_counts_and_no_vehicle_vouches_for_itself() -> None:
    """24 vehicles whose later errors are 1 to 24 standard deviations, and ten times as wrong early on."""
    groups = [f"v{i:02d}" for i in range(24) for _ in range(2)]
    horizon = np.array([10.0, 60.0] * 24)
    late = np.arange(1.0, 25.0)
    error = 0.01 * np.column_stack([10.0 * late, late]).ravel()
    c = group_conformal(error, np.full(48, 0.01), horizon, groups, 0.8, 20)
    assert c.factors[0] == 20.0  # of 24 the ceil(25 x 0.8)-th
    # Without its own score the 20th of the other 23 is 20 or 21: 20 is held by 21, so 1 to 20 are.
    assert c.inside_frac == pytest.approx(20 / 24)
    # With 26 the interval made with a vehicle's own score would hold 22, the one without it 21.
    late = np.arange(1.0, 27.0)
    more = [f"v{i:02d}" for i in range(26)]
    c = group_conformal(0.01 * late, np.full(26, 0.01), np.full(26, 30.0), more, 0.8, 20)
    assert c.factors[0] == 22.0 and c.inside_frac == pytest.approx(21 / 26)


def test_applicability_knows_holes_too() -> None:
    rng = np.random.default_rng(7)
    ring = rng.standard_normal((200, 2))
    ring /= np.linalg.norm(ring, axis=1, keepdims=True)
    a = applicability(ring, ("x", "y"), 5)
    assert a.reason_outside(ring[0]) == ""
    assert "no vehicle like this" in a.reason_outside(np.zeros(2))
    assert a.reason_outside(np.array([3.0, 0.0])) == "outside the range learned from: x"
