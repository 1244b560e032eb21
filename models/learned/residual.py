"""What the laws miss, learned from duty features over the fleet; stands aside where it has too little to go by.

Trained on held-out readings only (the laws had not seen them), vehicles as groups. It is used only where its
group-wise held-out error beats the laws' by a margin, and only inside its training range.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import GroupKFold
from threadpoolctl import threadpool_limits

from models.domain import FloatArray
from models.evidence import HeldOut
from models.learned.applicability import Applicability, applicability
from models.learned.conformal import Conformal, group_conformal
from models.parameters import entry

FEATURES = ("age_years", "horizon_years", "predicted_loss_frac", "full_cycles_per_year", "mean_temp_c", "mean_soc_frac")
_FOLDS = 5


@dataclass(frozen=True)
class ResidualTerms:
    """See ``parameters/ensemble.toml``, ``[learned]``."""

    min_groups: int
    min_readings: int
    margin_frac: float
    level: float
    neighbours: int


def residual_terms(home: Path | None = None) -> ResidualTerms:
    """Terms from the parameters, those of a home first."""
    e = entry("ensemble", "learned", home)
    return ResidualTerms(
        min_groups=int(e.number("min_groups")),
        min_readings=int(e.number("min_readings")),
        margin_frac=e.number("margin_frac"),
        level=e.number("level"),
        neighbours=int(e.number("neighbours")),
    )


@dataclass(frozen=True, eq=False)
class ResidualModel:
    """The learned residual and how well it did.

    Parameters
    ----------
    used
        Whether it may correct the laws.
    reason
        In a sentence: why it stands aside, or what it gains.
    groups, readings
        Vehicles with enough held-out readings; those readings.
    rmse_laws_pp, rmse_learned_pp
        Group-wise held-out errors, None where nothing was tried. [pp]
    conformal
        Intervals of whichever is used (laws alone or corrected), None with too few vehicles.
    """

    used: bool
    reason: str
    groups: int
    readings: int
    rmse_laws_pp: float | None = None
    rmse_learned_pp: float | None = None
    model: HistGradientBoostingRegressor | None = None
    range: Applicability | None = None
    conformal: Conformal | None = None

    def shift_frac(self, features: FloatArray) -> tuple[float, str]:
        """What to add to the laws' capacity [1] for one row of `FEATURES`, and why nothing where it is zero."""
        if not self.used or self.model is None or self.range is None:
            return 0.0, self.reason
        outside = self.range.reason_outside(features)
        if outside:
            return 0.0, f"withdrawn to the laws: {outside}"
        return float(self.model.predict(features[None])[0]), "used"


def feature_row(
    age_years: float, horizon_years: float, predicted_loss_frac: float, duty: Mapping[str, float]
) -> FloatArray:
    """One row of `FEATURES`; ``duty`` has the vehicle's own three."""
    own = [duty[n] for n in FEATURES[3:]]
    return np.array([age_years, horizon_years, predicted_loss_frac, *own])


def _model() -> HistGradientBoostingRegressor:
    return HistGradientBoostingRegressor(
        max_iter=80, learning_rate=0.05, max_leaf_nodes=6, min_samples_leaf=10, l2_regularization=1.0, random_state=0
    )


def fit_residual(
    held_out: Sequence[HeldOut],
    weights: Mapping[str, FloatArray],
    duty_features: Mapping[str, Mapping[str, float]],
    terms: ResidualTerms,
) -> ResidualModel:
    """Learn what the weighted laws miss on held-out readings.

    Parameters
    ----------
    held_out
        Held-out readings of all vehicles.
    weights
        Cohort -> evidence weights of its laws.
    duty_features
        Vehicle -> ``full_cycles_per_year``, ``mean_temp_c``, ``mean_soc_frac``.
    terms
        When to trust it.

    Limits
    ------
    The gain is that of vehicles like these, over horizons like these; every vehicle weighs the same.
    """
    enough = [h for h in held_out if h.days.shape[0] >= terms.min_readings and h.vehicle_id in duty_features]
    readings = sum(h.days.shape[0] for h in enough)
    if len(enough) < terms.min_groups:
        return ResidualModel(
            False,
            f"stands aside: {len(enough)} vehicles have {terms.min_readings} held-out readings or more, "
            f"{terms.min_groups} are needed",
            len(enough),
            readings,
        )
    rows, target, sd, horizon, names = _table(enough, weights, duty_features)
    _, place, count = np.unique(names, return_inverse=True, return_counts=True)
    weight = 1.0 / count[place]
    guess = np.zeros(target.shape)
    with threadpool_limits(1):
        for train, test in GroupKFold(n_splits=_FOLDS).split(rows, target, names):
            guess[test] = _model().fit(rows[train], target[train], sample_weight=weight[train]).predict(rows[test])
        model = _model().fit(rows, target, sample_weight=weight)
    laws = float(100 * np.sqrt(np.average(target**2, weights=weight)))
    learned = float(100 * np.sqrt(np.average((target - guess) ** 2, weights=weight)))
    used = learned < (1.0 - terms.margin_frac) * laws
    error = target - guess if used else target
    conformal = group_conformal(error, sd, horizon, names.tolist(), terms.level, terms.min_groups)
    if not used:
        reason = f"stands aside: held-out error {learned:.2f} pp with it, {laws:.2f} pp with the laws alone"
        return ResidualModel(False, reason, len(enough), readings, laws, learned, conformal=conformal)
    return ResidualModel(
        True,
        f"used: held-out error {learned:.2f} pp with it, {laws:.2f} pp with the laws alone",
        len(enough),
        readings,
        laws,
        learned,
        model,
        applicability(rows, FEATURES, terms.neighbours),
        conformal,
    )


def _table(
    held_out: Sequence[HeldOut], weights: Mapping[str, FloatArray], duty: Mapping[str, Mapping[str, float]]
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, np.ndarray]:
    rows, target, sd, horizon, names = [], [], [], [], []
    for h in held_out:
        mean, spread = h.mixture(weights[h.cohort_id])
        for i in range(h.days.shape[0]):
            years = h.horizon_days[i] / 365.25
            rows.append(feature_row(h.days[i] / 365.25, years, 1.0 - mean[i], duty[h.vehicle_id]))
        target.append(h.soh_frac - mean)
        sd.append(spread)
        horizon.append(h.horizon_days)
        names += [h.vehicle_id] * h.days.shape[0]
    return np.array(rows), np.concatenate(target), np.concatenate(sd), np.concatenate(horizon), np.array(names)
