"""Spot check of the fit: the same posterior by Markov chains (emcee, in the development extra), on a small cohort.

Source: Foreman-Mackey et al. 2013, doi 10.1086/670067 (affine-invariant ensemble sampler).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from models.domain import DAYS_PER_MONTH, FloatArray, History, Readings
from models.fleet import CohortFit, fleet_prior
from models.fleet_fit import fit_cohort, log_posterior
from models.fleet_pool import own_prior
from models.fleet_predict import OWN, CohortData, cohort_data, predict
from models.laws.base import Law
from models.laws.power import power_law
from models.seeds import generator


def small_cohort(law: Law, vehicles: int, months: int, seed: int) -> list[History]:
    """A few cars that follow a power law of known rates, with monthly readings of 1 %."""
    rng = generator(seed, "small cohort")
    prior, out = fleet_prior(), []
    for v in range(vehicles):
        use = float(np.exp(0.4 * rng.standard_normal()))
        month = np.array([4.6e-3 / 12, use * 1.06e-3 / 12, DAYS_PER_MONTH, 6.0 * use])
        own = prior.own_sigma * rng.standard_normal(len(OWN))
        days = np.asarray((np.arange(months) + 1.0) * DAYS_PER_MONTH, dtype=np.float64)
        flat, none = np.full(months, 0.01), np.zeros(months)
        blank = Readings(days, days, flat, none, np.zeros(months, dtype=bool))
        h = History(
            f"v{v}", "c", np.full(months, DAYS_PER_MONTH), {law.law_id: np.tile(month, (months, 1))}, blank, 0.0
        )
        truth = predict(h, law, np.array([0.35, -0.25, 0.0, 0.1]), own, prior.spread_factor).soh_frac
        soh = truth + 0.01 * rng.standard_normal(months)
        readings = Readings(days, soh, flat, none, np.zeros(months, dtype=bool))
        out.append(History(h.vehicle_id, "c", h.period_days, h.exposures, readings, 0.0))
    return out


def sample(
    data: CohortData, fit: CohortFit, walkers: int, steps: int, burn: int, seed: int
) -> tuple[FloatArray, float]:
    """Chain of the cohort's parameters, shape (samples, c), and the mean share of accepted moves.

    The scale of the vehicles' offsets stays as the fit estimated it.
    """
    import emcee

    n, names = len(fit.mean), list(fit.vehicles)

    def density(x: FloatArray) -> float:
        value = log_posterior(data, x[:n], x[n:].reshape(-1, len(OWN)), fit.prior, own_prior(fit.prior_sigma))
        return value if np.isfinite(value) else -np.inf

    rng = generator(seed, "mcmc start")
    middle = np.concatenate([fit.mean, *(fit.vehicles[v].mean for v in names)])
    width = np.concatenate(
        [np.sqrt(np.diag(fit.covariance)), *(np.sqrt(np.diag(fit.vehicles[v].covariance)) for v in names)]
    )
    start = middle + 0.5 * width * rng.standard_normal((walkers, middle.shape[0]))
    sampler = emcee.EnsembleSampler(walkers, middle.shape[0], density)
    sampler.random_state = np.random.RandomState(seed).get_state()
    sampler.run_mcmc(start, steps, skip_initial_state_check=True)
    chain = np.asarray(sampler.get_chain(discard=burn, flat=True))[:, :n]
    return chain, float(np.mean(sampler.acceptance_fraction))


def laplace_against_mcmc(
    vehicles: int = 2, months: int = 24, seed: int = 1, walkers: int = 28, steps: int = 700
) -> dict[str, Any]:
    """Means and standard deviations of a small cohort's parameters by both ways; shift in standard deviations."""
    law = power_law("nmc_sanyo_2014")
    histories = small_cohort(law, vehicles, months, seed)
    fit = fit_cohort("c", histories, law, fleet_prior())
    data = cohort_data(histories, law, [np.ones(months, dtype=bool)] * vehicles)
    chain, accepted = sample(data, fit, walkers, steps, steps // 3, seed)
    sd = np.sqrt(np.diag(fit.covariance))
    rows = {
        name: {
            "laplace_mean": float(fit.mean[k]),
            "mcmc_mean": float(chain[:, k].mean()),
            "laplace_sd": float(sd[k]),
            "mcmc_sd": float(chain[:, k].std()),
            "shift_sd": float((chain[:, k].mean() - fit.mean[k]) / sd[k]),
        }
        for k, name in enumerate(fit.names)
    }
    return {"vehicles": vehicles, "months": months, "accepted_frac": accepted, "parameters": rows}
