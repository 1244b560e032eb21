"""What the laws miss, learned from duty features over the fleet; stands aside where it has too little to go by.

Trained on held-out readings only (the laws had not seen them), vehicles as groups. It is used only where its
group-wise held-out error beats the laws' by a margin, where it does not lose when trained on earlier readings and
tried on later ones, and only inside its training range. Forecasts start from the full fit, which has seen those
readings: only the share of the pattern that is left there is passed on.
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
from models.evidence import Z80, HeldOut
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
    forward_laws_pp, forward_learned_pp
        The same on the later half of each vehicle's held-out readings, learned from the earlier half. [pp]
    left_frac
        Share of the learned pattern that is left in the errors of the full fit, which has seen the readings. [1]
    conformal
        Intervals of whichever is used (laws alone or corrected), None with too few vehicles.
    """

    used: bool
    reason: str
    groups: int
    readings: int
    rmse_laws_pp: float | None = None
    rmse_learned_pp: float | None = None
    forward_laws_pp: float | None = None
    forward_learned_pp: float | None = None
    left_frac: float = 1.0
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
        return self.left_frac * float(self.model.predict(features[None])[0]), "used"

    def extra_sigma_frac(self, horizon_days: float, sd_frac: float) -> float:
        """What the conformal width asks for beyond the laws' own standard deviation of a reading. [1]

        Parameters
        ----------
        horizon_days
            Since the last reading of the vehicle. [d]
        sd_frac
            The laws' standard deviation of a reading on that day, its error included. [1]
        """
        width = None if self.conformal is None else self.conformal.half_width_frac(horizon_days, sd_frac)
        return 0.0 if width is None else float(np.sqrt(max((width / Z80) ** 2 - sd_frac**2, 0.0)))


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
    t = _table(enough, weights, duty_features)
    _, place, count = np.unique(t.names, return_inverse=True, return_counts=True)
    weight = 1.0 / count[place]
    guess = np.zeros(t.target.shape)
    with threadpool_limits(1):
        for train, test in GroupKFold(n_splits=_FOLDS).split(t.rows, t.target, t.names):
            guess[test] = _learn(t, weight, train).predict(t.rows[test])
        forward = _learn(t, weight, np.flatnonzero(~t.later)).predict(t.rows[t.later])
        model = _learn(t, weight, np.arange(t.target.shape[0]))

    def rmse_pp(error: FloatArray, by: FloatArray) -> float:
        return float(100 * np.sqrt(np.average(error**2, weights=by)))

    laws, learned = rmse_pp(t.target, weight), rmse_pp(t.target - guess, weight)
    late = weight[t.later]
    forward_laws, forward_learned = rmse_pp(t.target[t.later], late), rmse_pp(t.target[t.later] - forward, late)
    used = learned < (1.0 - terms.margin_frac) * laws and forward_learned < forward_laws
    left = float(np.clip(np.sum(weight * guess * t.left) / max(float(np.sum(weight * guess**2)), 1e-12), 0.0, 1.0))
    error = t.target - guess if used else t.target
    scores = (
        f"held-out error {learned:.2f} pp with it, {laws:.2f} pp with the laws alone; on later readings than it "
        f"learned from {forward_learned:.2f} and {forward_laws:.2f} pp"
    )
    return ResidualModel(
        used,
        f"used: {scores}; {100 * left:.0f} % of it is left to add to the full fit"
        if used
        else f"stands aside: {scores}",
        len(enough),
        readings,
        laws,
        learned,
        forward_laws,
        forward_learned,
        left,
        model if used else None,
        applicability(t.rows, FEATURES, terms.neighbours) if used else None,
        group_conformal(error, t.sd, t.horizon, t.names.tolist(), terms.level, terms.min_groups),
    )


@dataclass(frozen=True, eq=False)
class _Table:
    """Held-out readings of all vehicles, one row a reading; ``left`` is the error of the full fit."""

    rows: FloatArray
    target: FloatArray
    left: FloatArray
    sd: FloatArray
    horizon: FloatArray
    later: np.ndarray
    names: np.ndarray


def _learn(t: _Table, weight: FloatArray, train: np.ndarray) -> HistGradientBoostingRegressor:
    return _model().fit(t.rows[train], t.target[train], sample_weight=weight[train])


def _table(
    held_out: Sequence[HeldOut], weights: Mapping[str, FloatArray], duty: Mapping[str, Mapping[str, float]]
) -> _Table:
    rows, target, left, sd, horizon, later, names = [], [], [], [], [], [], []
    for h in held_out:
        weight = weights[h.cohort_id]
        mean, spread = h.mixture(weight)
        for i in range(h.days.shape[0]):
            years = h.horizon_days[i] / 365.25
            rows.append(feature_row(h.days[i] / 365.25, years, 1.0 - mean[i], duty[h.vehicle_id]))
        target.append(h.soh_frac - mean)
        left.append(h.soh_frac - (mean if h.full_frac is None else h.full_frac @ weight))
        sd.append(spread)
        horizon.append(h.horizon_days)
        later.append(np.arange(h.days.shape[0]) >= (h.days.shape[0] + 1) // 2)
        names += [h.vehicle_id] * h.days.shape[0]
    return _Table(
        np.array(rows),
        np.concatenate(target),
        np.concatenate(left),
        np.concatenate(sd),
        np.concatenate(horizon),
        np.concatenate(later),
        np.array(names),
    )
