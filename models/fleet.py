"""What a cohort's capacity readings teach a law: hierarchical MAP with its Laplace covariance.

One vehicle's readings identify one direction; kinetics are therefore shared by a cohort (cell x climate), which its
kind of cell's other cohorts inform (`models.fleet_pool`). A vehicle adds one log-offset of its loss
(`models.fleet_predict.offset_powers`), a capacity scale when new, and an offset of its readings of either kind:

    soh = q0 (1 - f bend(loss_cell(multipliers exp(theta + delta)))) + (b [BMS-reported] or s a [anchored])

with theta the cohort's log-multipliers, f the series spread of the pack, bend(x) = 0.05 (x / 0.05)^g the cohort's
deviation from the law's course in time, delta, q0, b and a the vehicle's own. ``s`` is the stated error that its
anchored readings share (gain of the current sensor, OCV curve) and ``a`` how far it applies; only what is left of a
reading's error counts as fresh noise. Offsets of readings are no part of any forecast. Estimated from the cohort
(empirical Bayes): the spread between vehicles, how much of the stated errors the readings of either kind really
scatter, mean and spread of the BMS offsets. The solver is `models.fleet_fit`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from models.domain import FloatArray
from models.fleet_predict import COHORT_EXTRA, OWN, own_log_multipliers
from models.laws.base import Law
from models.parameters import entry
from models.seeds import generator, shared_normal

_GRID = np.linspace(-8.0, 8.0, 801)


@dataclass(frozen=True)
class FleetPrior:
    """Priors of the fit; see ``parameters/ensemble.toml``, ``[fleet]``. All [1], weights in vehicles or readings.

    Those named ``vehicle_sigma``, ``bms_offset_mean``, ``bms_offset_sigma``, ``anchored_scale``, ``noise_anchored`` and
    ``noise_bms`` are estimated from the cohort: a fit bears them as it found them.
    """

    vehicle_sigma: float
    vehicle_sigma_weight: float
    vehicle_dof: float
    capacity_scale_sigma: float
    bms_offset_mean: float
    bms_offset_sigma: float
    anchored_scale: float
    noise_anchored: float
    noise_bms: float
    noise_weight: float
    noise_least: float
    reading_floor_sigma: float
    outlier_sigma: float
    spread_factor: float
    spread_log_sigma: float
    shape_log_sigma: float
    cohort_common_frac: float
    cycle_held_frac: float

    @property
    def own_sigma(self) -> FloatArray:
        """Prior standard deviations of a vehicle's own parameters, in the order of `OWN`."""
        return np.array([self.vehicle_sigma, self.capacity_scale_sigma, self.bms_offset_sigma, self.anchored_scale])

    @property
    def own_mean(self) -> FloatArray:
        """Prior means of a vehicle's own parameters, in the order of `OWN`."""
        return np.array([0.0, 0.0, self.bms_offset_mean, 0.0])

    def reading_sigma_frac(self, fresh_sigma_frac: FloatArray, bms: FloatArray | float = 0.0) -> FloatArray:
        """Error of readings that is their own, shape (n,): the stated one as the cohort's scatter has it. [1]

        Parameters
        ----------
        fresh_sigma_frac
            Stated, without what a car's readings share, shape (n,). [1]
        bms
            1 where BMS-reported, shape (n,).
        """
        scale = self.noise_anchored + (self.noise_bms - self.noise_anchored) * np.asarray(bms)
        return np.sqrt((scale * fresh_sigma_frac) ** 2 + self.reading_floor_sigma**2)


def fleet_prior(home: Path | None = None) -> FleetPrior:
    """Priors from the parameters, those of a home first."""
    e = entry("ensemble", "fleet", home)
    return FleetPrior(**{name: e.number(name) for name in FleetPrior.__dataclass_fields__})


@dataclass(frozen=True, eq=False)
class VehicleFit:
    """A vehicle's own parameters, in the order of `OWN`, given the cohort's.

    Parameters
    ----------
    mean
        At the cohort's mean, shape (4,).
    covariance
        Given the cohort's parameters, shape (4, 4).
    slope
        Change of ``mean`` with the cohort's parameters, shape (4, c).
    readings, readings_bms
        How many anchored and BMS-reported readings it had.
    """

    mean: FloatArray
    covariance: FloatArray
    slope: FloatArray
    readings: int = 0
    readings_bms: int = 0


@dataclass(frozen=True, eq=False)
class Drawn:
    """Draws of one vehicle under one law.

    Parameters
    ----------
    log_multipliers
        With the vehicle's offset, shape (draws, m).
    spread_factor, shape, capacity_scale
        Spread factor of the pack, exponent of the curve, capacity scale when new, shape (draws,). [1]
    """

    log_multipliers: FloatArray
    spread_factor: FloatArray
    shape: FloatArray
    capacity_scale: FloatArray


@dataclass(frozen=True, eq=False)
class CohortFit:
    """Posterior of one law in one cohort (Laplace).

    Parameters
    ----------
    names
        Of the cohort's parameters: the law's multipliers, ``spread`` (log of the factor over its prior) and ``shape``
        (log of the exponent of the curve).
    prior_sigma, mean
        Prior standard deviation (prior mean zero) and posterior mean, shape (c,).
    covariance
        Posterior, shape (c, c).
    prior
        Priors of the fit; ``vehicle_sigma`` is the spread between vehicles as estimated.
    weight
        Evidence weight of the law among the members of the cohort. [1]
    difference_weight
        Its weight on the difference between policies; None: all weigh equally. [1]
    heldout_rmse_pp, heldout_inside_80_frac
        On readings the fit had not seen, None where there were none. [pp], [1]
    """

    cohort_id: str
    law_id: str
    names: tuple[str, ...]
    prior_sigma: FloatArray
    mean: FloatArray
    covariance: FloatArray
    prior: FleetPrior
    vehicles: dict[str, VehicleFit] = field(default_factory=dict)
    weight: float = 1.0
    heldout_rmse_pp: float | None = None
    heldout_inside_80_frac: float | None = None
    difference_weight: float | None = None

    @property
    def shrinkage(self) -> FloatArray:
        """Posterior over prior standard deviation of the cohort's parameters: 1 = nothing was learned."""
        return np.sqrt(np.diag(self.covariance)) / self.prior_sigma

    @property
    def readings(self) -> int:
        """Readings used, BMS-reported ones included."""
        return sum(v.readings + v.readings_bms for v in self.vehicles.values())

    def vehicle(self, vehicle_id: str) -> VehicleFit:
        """A vehicle's own parameters; its prior where it was not in the fit."""
        known = self.vehicles.get(vehicle_id)
        if known is not None:
            return known
        return VehicleFit(self.prior.own_mean, np.diag(self.prior.own_sigma**2), np.zeros((len(OWN), len(self.names))))

    def vehicle_shrinkage(self, vehicle_id: str) -> float:
        """Posterior over prior standard deviation of a vehicle's log-offset: 1 = nothing was learned of it."""
        v = self.vehicle(vehicle_id)
        total = v.covariance + v.slope @ self.covariance @ v.slope.T
        return float(np.sqrt(total[0, 0]) / self.prior.vehicle_sigma)

    def draw(self, law: Law, vehicle_id: str, draws: int, seed: int) -> Drawn:
        """Draw worlds of a vehicle: the cohort's part is the same for all its vehicles in the same draw.

        The vehicle's log-offset is drawn from its normal likelihood times Student's t, so that a car of which little
        is known keeps the tails of its prior; its other parameters follow it as in the Laplace approximation.
        """
        shared = shared_normal(seed, ("cohort", self.cohort_id, self.law_id), (draws, len(self.names)))
        step = shared @ _root(self.covariance).T
        v = self.vehicle(vehicle_id)
        rng = generator(seed, "vehicle", vehicle_id, self.law_id)
        own = rng.standard_normal((draws, len(OWN))) @ _root(v.covariance).T
        gain = v.covariance[0] / v.covariance[0, 0]
        offset = self._offset(v, rng.random(draws))
        own = v.mean + own + np.outer(offset - own[:, 0], gain) + step @ v.slope.T
        cohort = self.mean + step
        return Drawn(
            own_log_multipliers(law, cohort, own[:, :1]),
            self.prior.spread_factor * np.exp(cohort[:, -2]),
            np.exp(cohort[:, -1]),
            1.0 + own[:, 1],
        )

    def _offset(self, v: VehicleFit, uniform: FloatArray) -> FloatArray:
        """Deviations of the log-offset from its mean: likelihood times Student's t, by its distribution on a grid."""
        scale, nu = self.prior.vehicle_sigma, self.prior.vehicle_dof
        known = v.readings + v.readings_bms > 0
        curve = (nu + 1.0) / (nu * scale**2 + v.mean[0] ** 2) if known else 0.0
        precision = max(1.0 / v.covariance[0, 0] - curve, 0.0) if known else 0.0
        width = 1.0 / np.sqrt(precision + 1.0 / (4.0 * scale) ** 2)
        x = v.mean[0] + _GRID * max(width, np.sqrt(v.covariance[0, 0]))
        # The mode of the product is the fit's mean: the gradient of the prior there is that of the likelihood.
        data = -0.5 * precision * (x - v.mean[0]) ** 2 + curve * v.mean[0] * (x - v.mean[0])
        log_density = data - 0.5 * (nu + 1.0) * np.log1p(x**2 / (nu * scale**2))
        mass = np.cumsum(np.exp(log_density - log_density.max()))
        return np.interp(uniform, mass / mass[-1], x) - v.mean[0]


def _root(covariance: FloatArray) -> FloatArray:
    return np.asarray(np.linalg.cholesky(covariance + 1e-14 * np.eye(covariance.shape[0])), dtype=np.float64)


def prior_fit(cohort_id: str, law: Law, prior: FleetPrior) -> CohortFit:
    """The posterior of a cohort without readings: its prior."""
    sigma = np.array([*law.multiplier_sigma, prior.spread_log_sigma, prior.shape_log_sigma])
    names = (*law.multiplier_names, *COHORT_EXTRA)
    return CohortFit(cohort_id, law.law_id, names, sigma, np.zeros(sigma.shape), np.diag(sigma**2), prior)
